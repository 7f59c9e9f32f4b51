//! A bot with a personality: the system prompt is always sent first, and turns are counted.
//!
//! `cargo run --example personality`

mod support;

use turnwise::{ConversationManager, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let backend = support::backend([
        "Arr! They call me Captain Byte, terror of the seven seas.",
        "North, matey, where the needle points and the rum is cold.",
        "I am a librarian. Please lower your voice.",
    ]);
    let chat = ConversationManager::builder("gpt-4o-mini")
        .system("You are a pirate. Answer in one sentence.")
        .backend(backend)
        .build()?;

    for question in ["Who are you?", "Where are we sailing?"] {
        let reply = chat.send(question).await?;
        println!("turn {}: {question}\n  {reply}", chat.turn_count());
    }

    chat.set_system("You are a librarian. Answer in one sentence.")?;
    println!(
        "a new personality: {}",
        chat.send("Who are you now?").await?
    );
    println!(
        "{} turns, {} messages, {} tokens",
        chat.turn_count(),
        chat.history().len(),
        chat.count_tokens()
    );
    Ok(())
}
