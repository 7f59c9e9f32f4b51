//! The conversations of a server: one template, and one manager per user. They share backend,
//! strategy and vocabulary.
//!
//! `cargo run --example many_sessions`

mod support;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use turnwise::{ConversationManager, Result, SlidingWindow};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let template = ConversationManager::builder("gpt-4o-mini")
        .system("You are a shop's assistant. Be brief.")
        .strategy(SlidingWindow::turns(20))
        .backend(support::backend(["In aisle four.", "At nine.", "Next to the tea.", "At six on Sundays."]));
    let mut sessions = HashMap::new();

    let incoming = [
        ("ada", "Where is the coffee?"),
        ("bob", "When do you open?"),
        ("ada", "And the sugar?"),
        ("bob", "And when do you close?"),
    ];
    for (user, text) in incoming {
        let chat: &mut ConversationManager = match sessions.entry(user) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(template.clone().build()?),
        };
        println!("{user}, turn {}: {text} {}", chat.turn_count() + 1, chat.send(text).await?);
    }
    println!("{} sessions", sessions.len());
    Ok(())
}
