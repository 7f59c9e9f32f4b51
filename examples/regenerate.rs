//! Another reply, another question, another conversation: regenerate, edit and fork.
//!
//! `cargo run --example regenerate`

mod support;

use turnwise::{ConversationManager, Message, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let backend = support::backend([
        "A fox lived by the river.",
        "Once there was a fox who could read.",
        "She borrowed every book on owls.",
        "She opened a school for hens.",
    ]);
    let chat = ConversationManager::builder("gpt-4o-mini")
        .system("One sentence each.")
        .backend(backend)
        .build()?;

    let first = chat.send("Tell me a story about a fox.").await?;
    let second = chat.regenerate().await?;
    println!("first:  {first}\nsecond: {second}");

    let ours = chat.edit(
        second.item_id,
        Message::assistant("Once there was a vixen who could read."),
    )?;
    println!("edited, and on with it: {}", chat.send("Go on.").await?);

    let other = chat.fork(ours)?;
    println!("in a fork: {}", other.send("Go on, but with hens.").await?);

    for (name, talk) in [("chat", &chat), ("fork", &other)] {
        println!("\n{name}");
        for branch in talk.branches() {
            let here = if branch.is_current { "  <- here" } else { "" };
            println!(
                "  a branch of {} messages, ends with {}{here}",
                branch.len, branch.leaf
            );
        }
    }
    chat.switch(first.item_id)?;
    println!("\nback at the first: {} turn", chat.turn_count());
    Ok(())
}
