//! A chat program with its own loop and client: it asks turnwise what to send, and why.
//!
//! `cargo run --example own_loop`

use turnwise::{Message, Result, SlidingWindow, TokenBudget, trim};

fn main() -> Result<()> {
    let budget = TokenBudget::for_model("gpt-4o-mini")?.reply_reserve(1_000);
    let last_five = SlidingWindow::turns(5);
    let mut history = vec![Message::system("You are a pirate. Answer in one sentence.")];

    for turn in 1..=8 {
        history.push(Message::user(format!(
            "Question {turn}: what is on island {turn}?"
        )));
        let plan = trim(&history, &budget, &last_five)?;
        println!(
            "turn {turn}: {} messages, {} tokens",
            plan.messages().len(),
            plan.tokens().total()
        );
        history.push(ask_the_model(plan.messages()));
    }

    history.push("And which island was first?".into());
    println!("\n{}", trim(&history, &budget, &last_five)?.explain());
    Ok(())
}

/// Takes the place of your client: the messages serialize to the API's JSON.
fn ask_the_model(messages: &[Message]) -> Message {
    let asked = messages.last().map(Message::text).unwrap_or_default();
    Message::assistant(format!("Arr, gold! ({} bytes of question)", asked.len()))
}
