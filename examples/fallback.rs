//! A backend over two others: the second is called if the first fails with a temporary error.
//!
//! `cargo run --example fallback`

mod support;

use std::sync::Arc;

use turnwise::backend::{BackendError, BoxFuture, ChatBackend, ChatReply, Scripted};
use turnwise::{ChatRequest, ConversationManager, Result};

struct Fallback {
    first: Arc<dyn ChatBackend>,
    second: Arc<dyn ChatBackend>,
}

impl ChatBackend for Fallback {
    fn complete(
        &self,
        request: ChatRequest,
    ) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let first = self.first.complete(request.clone());
        let second = Arc::clone(&self.second);
        Box::pin(async move {
            match first.await {
                Err(error) if error.is_retryable() => second.complete(request).await,
                answered => answered,
            }
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let first = Scripted::default()
        .and(BackendError::unavailable("overloaded"))
        .and("The first is back.")
        .and(BackendError::auth("no such key"));
    let second = support::backend(["The second answers for the first."]);
    let backend = Fallback {
        first: Arc::new(first),
        second,
    };
    let chat = ConversationManager::builder("gpt-4o-mini")
        .backend(backend)
        .build()?;

    for question in ["Anybody there?", "And now?", "Still there?"] {
        match chat.send(question).await {
            Ok(reply) => println!("{question} {reply}"),
            Err(error) => println!("{question} No: {error}"),
        }
    }
    println!(
        "{} turns; the exchange that failed left no trace",
        chat.turn_count()
    );
    Ok(())
}
