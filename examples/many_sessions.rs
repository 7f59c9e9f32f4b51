//! The conversations of a server, by user. They share backend, strategy and vocabulary; each is in
//! memory while somebody holds it, and otherwise in its file.
//!
//! `cargo run --example many_sessions`

mod support;

use turnwise::{ConversationManager, SlidingWindow};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::TempDir::new()?;
    let sessions = ConversationManager::builder("gpt-4o-mini")
        .system("You are a shop's assistant. Be brief.")
        .strategy(SlidingWindow::turns(20))
        .backend(support::backend([
            "In aisle four.",
            "At nine.",
            "Next to the tea.",
            "At six on Sundays.",
        ]))
        .sessions(folder.path())?;

    let incoming = [
        ("ada", "Where is the coffee?"),
        ("bob", "When do you open?"),
        ("ada", "And the sugar?"),
        ("bob", "And when do you close?"),
    ];
    for (user, text) in incoming {
        let chat = sessions.open(user).await?;
        println!(
            "{user}, turn {}: {text} {}",
            chat.turn_count() + 1,
            chat.send(text).await?
        );
    }
    println!("saved: {:?}", sessions.ids(None, 100).await?);
    Ok(())
}
