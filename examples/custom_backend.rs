//! A custom backend: it takes a request by value and returns a future that owns what it needs.
//!
//! `cargo run --example custom_backend`

use std::time::Duration;

use turnwise::backend::{BackendError, BoxFuture, ChatBackend, ChatReply};
use turnwise::{ChatRequest, ConversationManager, Message, Result};

/// Repeats the last message, louder.
struct Mountains {
    distance: Duration,
}

impl ChatBackend for Mountains {
    fn complete(
        &self,
        request: ChatRequest,
    ) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let distance = self.distance;
        Box::pin(async move {
            if distance > Duration::from_secs(1) {
                return Err(BackendError::timeout("the mountains are too far away"));
            }
            tokio::time::sleep(distance).await;
            let call = request
                .messages
                .last()
                .map(|message| message.text().to_uppercase());
            Ok(ChatReply::new(Message::assistant(call.unwrap_or_default())))
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    for millis in [50, 5_000] {
        let backend = Mountains {
            distance: Duration::from_millis(millis),
        };
        let chat = ConversationManager::builder("gpt-4o-mini")
            .backend(backend)
            .build()?;
        match chat.send("Hello?").await {
            Ok(reply) => println!("{reply} ({} ms)", reply.report.elapsed.as_millis()),
            Err(error) => println!("{error}; try again: {}", error.is_retryable()),
        }
    }
    Ok(())
}
