//! One record with many branches: undo, edit, fork, and a file that keeps them all.
//!
//! `cargo run --example branches`

use turnwise::{Conversation, Message, Result, Transcript};

fn main() -> Result<()> {
    let mut talk = Conversation::from_messages([Message::system("You tell stories.")]);
    let opening = talk.push("Tell me a story about a fox.");
    talk.push(Message::assistant("A fox lived by the river."));
    talk.push("Make it winter.");
    talk.push(Message::assistant(
        "Ice lay on the river, and the fox was hungry.",
    ));

    talk.undo();
    talk.push("Make it spring.");
    talk.push(Message::assistant("The ice broke, and the fox sang."));
    let about_an_owl = talk.edit(opening, "Tell me a story about an owl.")?;

    let mut other = talk.fork(opening)?;
    other.push(Message::assistant("Once there was a fox who could read."));

    for branch in talk.branches() {
        let here = if branch.is_current { "  <- here" } else { "" };
        println!(
            "branch of {} messages, ends with {}{here}",
            branch.len, branch.leaf
        );
    }
    let saved = Transcript::new(talk).to_json();
    let again = Transcript::from_json(&saved)?.conversation;
    assert_eq!(again.leaf(), Some(about_an_owl));
    println!(
        "{} items survive a file of {} bytes",
        again.items().count(),
        saved.len()
    );
    Ok(())
}
