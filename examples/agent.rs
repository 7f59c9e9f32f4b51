//! An agent with three tools that asks before it spends money; the parameters come from Rust types.
//! The replies are scripted: without `.backend(…)` the same program asks a real model. Tools that
//! share a database or a client take it by `function_with`.
//!
//! `cargo run --example agent --features schemars`

use turnwise::backend::Scripted;
use turnwise::{Approval, ConversationManager, Result, ToolCall, ToolSet};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Order {
    /// As printed on the invoice
    number: u32,
}

fn decide(call: &ToolCall) -> Approval {
    if call.name() == "refund" { Approval::refuse("a person must agree") } else { Approval::Allow }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let tools = ToolSet::new()
        .function("status", "Where an order is", async |order: Order| format!("{}: lost", order.number))?
        .function("refund", "Pays an order back", async |order: Order| format!("{}: paid back", order.number))?
        .function("today", "The date", async |(): ()| "2026-11-27")?;
    let calls = ["status", "refund"].map(|name| ToolCall::function(name, name, r#"{"number":1234}"#));
    let script = Scripted::default().and(calls).and("It is lost. A colleague will refund it.");
    let chat = ConversationManager::builder("gpt-4o-mini").backend(script).build()?;

    let agent = chat.run_tools("My order 1234 never arrived. Please refund it.", tools);
    let reply = agent.approve(async |calls| calls.iter().map(decide).collect()).await?;
    println!("{}\n{reply}", chat.history()[3].text());
    Ok(())
}
