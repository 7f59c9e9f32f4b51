//! Serves the conversations of a folder: `cargo run -p turnwise-server --example serve -- FOLDER [ADDRESS [UPSTREAM]]`.
//!
//! UPSTREAM is the base URL of an endpoint of chat completions, which makes the responses; with `echo`, a model answers with the
//! prompt that it is given, so that a test sees what was sent. Items are sealed with the key in FOLDER.seal. Without it there are conversations only.

use std::env;
use std::sync::Arc;

use turnwise::backend::openai::OpenAi;
use turnwise::backend::{BackendError, BoxFuture, ChatBackend, ChatReply, Scripted};
use turnwise::store::FileStore;
use turnwise::{ChatRequest, ConversationManager, Message, TokenBudget};
use turnwise_server::{PlainText, SealKeys, Server};

/// Answers with the texts of the prompt, after thinking. A summary is a sentence.
struct Echo;

impl ChatBackend for Echo {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let texts = request.messages.iter().map(|message| message.text().into_owned());
        let texts: Vec<String> = texts.collect();
        let is_summary = texts.iter().any(|text| text.starts_with("You keep the memory of a conversation"));
        let said = if is_summary { "They spoke of rivers.".to_owned() } else { texts.join(" | ") };
        let said = Message::assistant(said);
        let thought = said.clone().with_field("reasoning_content", "I repeat it.").unwrap_or(said);
        let said = Scripted::default().and(thought);
        Box::pin(async move { said.complete(request).await })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().ok_or("which folder?")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let seal = SealKeys::open(format!("{folder}.seal"))?;
    let mut server = Server::new(FileStore::open(folder)?).seal(seal);
    if let Some(upstream) = arguments.next() {
        let backend: Arc<dyn ChatBackend> =
            if upstream == "echo" { Arc::new(Echo) } else { Arc::new(PlainText(OpenAi::at(&upstream, ""))) };
        // A model that the table does not know has this window.
        let budget = TokenBudget::window(8_192);
        server = server.responses(move |model| {
            ConversationManager::builder(model).backend(Arc::clone(&backend)).budget(budget.clone())
        });
    }
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/v1", listener.local_addr()?);
    Ok(axum::serve(listener, server.router()).await?)
}
