//! Replies as Rust types: the model is sent the JSON schema of the type, and what goes wrong is told
//! apart. The replies are scripted: without `.backend(…)` the same program asks a real model.
//!
//! `cargo run --example typed --features schemars`

use turnwise::backend::Scripted;
use turnwise::{ConversationManager, ErrorKind, Result};

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Ticket {
    /// In one sentence
    summary: String,
    urgency: Urgency,
    order: Option<u32>,
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Urgency {
    Low,
    High,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let backend = Scripted::new([
        r#"{"summary":"A parcel is lost.","urgency":"high","order":1234}"#,
        r#"{"summary":"A parcel is late.","urgency":"medium","order":null}"#,
        r#"{"summary":"A question about invoices.","urgency":"low","order":null}"#,
    ]);
    let chat = ConversationManager::builder("gpt-4o-mini")
        .system("You sort tickets.")
        .backend(backend)
        .build()?;

    let ticket: Ticket = chat.send("My order 1234 never arrived!").parse().await?;
    println!(
        "{:?}, order {:?}: {}",
        ticket.urgency, ticket.order, ticket.summary
    );

    match chat.send("My order is late.").parse::<Ticket>().await {
        Ok(ticket) => println!("{}", ticket.summary),
        Err(error) if error.kind() == ErrorKind::Refused => println!("the model refuses: {error}"),
        Err(error) if error.kind() == ErrorKind::CutReply => println!("too long: {error}"),
        Err(error) if error.kind() == ErrorKind::InvalidReply => println!("not a ticket: {error}"),
        Err(error) => return Err(error),
    }

    // With the reply, its bill and its plan.
    let reply = chat
        .send("How do I pay by invoice?")
        .schema::<Ticket>()
        .await?;
    let ticket: Ticket = reply.parse()?;
    println!(
        "{} ({} prompt tokens)",
        ticket.summary,
        reply.report.plan.tokens().total()
    );
    Ok(())
}
