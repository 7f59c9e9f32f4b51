//! A reply while it arrives, and what remains of one that breaks off.
//!
//! `cargo run --example streaming`

use std::io::{Write, stdout};

use turnwise::backend::{Answer, BackendError, ChatEvent, Scripted};
use turnwise::{ConversationManager, Exchange, Reply, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let long = "Rain fell on the river for a week, and on the eighth day the fox built a boat.";
    let broken =
        || Answer::from(long).broken_after(6, BackendError::interrupted("the server went away"));
    let backend = Scripted::default()
        .and(long)
        .and(broken())
        .and(broken())
        .and("She sailed to the sea.");
    let chat = ConversationManager::builder("gpt-4o-mini")
        .backend(backend)
        .build()?;

    let reply = print(chat.send("Tell me about the fox.")).await?;
    let first = reply.report.first_event.unwrap_or_default();
    println!(
        "({} ms until the first word, {} tokens)\n",
        first.as_millis(),
        reply.report.plan.tokens().total()
    );

    // The record is unchanged, and the error has the part that arrived.
    if let Err(error) = print(chat.send("Again, please.")).await {
        let partial = error
            .failed_exchange()
            .and_then(|failed| failed.partial.as_ref());
        let words = partial.map_or(0, |partial| partial.text().split_whitespace().count());
        println!(
            "\n({error}; {words} words arrived, {} turn is recorded)\n",
            chat.turn_count()
        );
    }

    // The part that arrived is recorded, and marked as incomplete.
    let _ = print(chat.send("Again, please.").keep_partial()).await;
    let kept = chat
        .history()
        .pop()
        .filter(turnwise::Message::is_incomplete);
    println!(
        "\n(kept: {} bytes, {} turns)\n",
        kept.map_or(0, |kept| kept.text().len()),
        chat.turn_count()
    );

    print(chat.send("And then?")).await?;
    Ok(())
}

async fn print(exchange: Exchange) -> Result<Reply> {
    let mut stream = exchange.stream().await?;
    while let Some(event) = stream.next().await {
        if let ChatEvent::Text(text) = event? {
            print!("{text}");
            // If there is no terminal, there is nothing to do about it.
            let _ = stdout().flush();
        }
    }
    println!();
    stream.finish().await
}
