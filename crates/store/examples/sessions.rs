//! The chat sessions of a server by their ids, in an SQLite database: they outlive the program, a send
//! to an id that nobody has begun is an error of its own kind, and a fork goes its own way.
//!
//! `cargo run -p turnwise-store --example sessions`

use std::sync::Arc;

use turnwise::backend::Scripted;
use turnwise::store::Store;
use turnwise::{ConversationManager, ErrorKind, SlidingWindow, TokenBudget};
use turnwise_store::SqliteStore;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    futures_lite::future::block_on(run())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join("chats.db");
    let template = ConversationManager::builder("gpt-4o-mini")
        .system("You are a shop's assistant. Be brief.")
        .strategy(SlidingWindow::turns(20))
        .budget(TokenBudget::limit(4_000))
        .backend(Scripted::new(["In aisle four.", "At nine.", "Next to the tea.", "We have none."]));

    // A server's first day.
    let (ada, bob) = {
        let sessions = template.clone().sessions_over(SqliteStore::open(&file)?)?;
        let ada = sessions.create().await?.id().to_owned();
        let bob = sessions.create().await?.id().to_owned();
        println!("{}", sessions.send(&ada, "Where is the coffee?").await?);
        println!("{}", sessions.send(&bob, "When do you open?").await?);
        (ada, bob)
    };

    // The next one: each conversation is where it was.
    let store = Arc::new(SqliteStore::open(&file)?);
    let sessions = template.sessions_over(Arc::clone(&store))?;
    println!("{}", sessions.send(&ada, "And the sugar?").await?);
    assert_eq!(sessions.open(&ada).await?.turn_count(), 2);

    // Somebody else's id, or one that was mistyped.
    let unknown = sessions.send("conv_unknown", "Hi").await;
    assert!(unknown.is_err_and(|error| error.kind() == ErrorKind::NotFound));

    // What if she had asked for something else? The fork copies nothing.
    store.fork(&ada, "what if").await?;
    println!("{}", sessions.send("what if", "And the cinnamon?").await?);
    assert_eq!(sessions.open("what if").await?.turn_count(), 3);
    assert_eq!(sessions.open(&ada).await?.turn_count(), 2);

    // Deleted by mistake.
    store.delete(&bob).await?;
    assert_eq!(sessions.ids(None, 10).await?.len(), 2);
    store.restore(&bob).await?;
    println!("{} conversations", sessions.ids(None, 10).await?.len());
    Ok(())
}
