//! An agent with three tools that asks before it spends money; the parameters come from Rust types.
//! The replies are scripted: without `.backend(…)` the same program asks a real model. Tools that
//! share a database or a client take it by `function_with`.
//!
//! `cargo run --example agent --features schemars`

use turnwise::{Approval, ConversationManager, Result, ToolSet, backend::Scripted};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Order {
    /// As printed on the invoice
    number: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let status = async |order: Order| format!("{}: lost", order.number);
    let refund = async |order: Order| format!("{}: paid back", order.number);
    let tools = ToolSet::new()
        .function("today", "The date", async |(): ()| "2026-11-27")?
        .function("status", "Where an order is", status)?
        .function("refund", "Pays an order back", refund)?;
    let order = r#"{"number":1234}"#;
    let calls = [("status", order), ("refund", order)];
    let script = Scripted::default().and(calls).and("It is lost.");
    let chat = ConversationManager::builder("gpt-4o-mini")
        .backend(script)
        .build()?;
    let reply = chat
        .run_tools("My order 1234 is lost. Please refund it.", tools)
        .approve_each(|call| match call.name() {
            "refund" => Approval::refuse("a person must agree"),
            _ => Approval::Allow,
        })
        .await?;
    println!("{reply}");
    Ok(())
}
