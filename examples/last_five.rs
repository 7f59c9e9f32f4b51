//! Sends only the last five turns; the conversation stays complete.
//!
//! `cargo run --example last_five`

mod support;

use turnwise::{ConversationManager, Result, SlidingWindow};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let chat = ConversationManager::builder("gpt-4o-mini")
        .system("You are a tour guide. Answer in one sentence.")
        .strategy(SlidingWindow::turns(5))
        .backend(support::backend(["A lighthouse, and a very old goat."; 8]))
        .build()?;

    for island in 1..=8 {
        let reply = chat.send(format!("What is on island {island}?")).await?;
        let plan = &reply.report.plan;
        println!(
            "island {island}: {} messages sent, {} left out",
            plan.messages().len(),
            plan.evicted()
        );
    }
    println!("\n{}", chat.plan("Which island was first?")?.explain());
    println!("\n{} turns are in the record", chat.turn_count());
    Ok(())
}
