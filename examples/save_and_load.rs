//! A conversation that is saved after every exchange and change, and continued from its file.
//!
//! `cargo run --example save_and_load`

mod support;

use std::{env, fs, process};

use turnwise::{ConversationManager, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let file = env::temp_dir().join(format!("turnwise-{}.json", process::id()));
    let setup = ConversationManager::builder("gpt-4o-mini")
        .system("Be brief.")
        .autosave(&file);

    let chat = setup
        .clone()
        .backend(support::backend(["Hello, Ada!"]))
        .build()?;
    let reply = chat.send("My name is Ada.").await?;
    println!("{reply}");
    if let Some(why) = &reply.report.unsaved {
        println!("not saved: {why}");
    }
    drop(chat);

    let chat = setup.backend(support::backend(["Ada."])).load(&file)?;
    println!("loaded {} turn", chat.turn_count());
    let reply = chat.send("What is my name?").await?;
    println!("{reply}");
    if let Some(why) = &reply.report.unsaved {
        println!("not saved: {why}");
    }
    for message in chat.history() {
        println!("  {}: {}", message.role(), message.text());
    }
    // The file, and the lock file beside it, which keeps two programs from saving at the same time.
    let lock = file.with_file_name(format!(".turnwise-{}.json.lock", process::id()));
    for file in [file, lock] {
        if let Err(error) = fs::remove_file(&file) {
            println!("{} is still there: {error}", file.display());
        }
    }
    Ok(())
}
