//! A conversation in five lines. With a key in the environment,
//! `ConversationManager::new("gpt-4o-mini")` is enough.
//!
//! `cargo run --example quickstart`

mod support;

use turnwise::{ConversationManager, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let backend = support::backend(["The Dnipro.", "About 2,200 kilometres."]);
    let chat = ConversationManager::builder("gpt-4o-mini")
        .system("Be brief.")
        .backend(backend)
        .build()?;
    println!("{}", chat.send("Which river flows through Kyiv?").await?);
    println!("{}", chat.send("How long is it?").await?);
    Ok(())
}
