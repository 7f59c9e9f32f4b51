//! A program that has messages of the crate `async-openai`, and its own client: turnwise decides
//! what is sent.
//!
//! `cargo run --example async_openai --features async-openai-043`; with a dependency on
//! `async-openai` of your own that feature is not needed: messages go through JSON. To send with
//! the re-exported `Client`, install a TLS provider first:
//! `rustls::crypto::ring::default_provider().install_default()`.

use turnwise::backend::openai::async_openai::types::chat::{
    ChatCompletionRequestMessage, ChatCompletionRequestUserMessage,
};
use turnwise::{Message, Result, SlidingWindow, TokenBudget, trim};

type Messages = Vec<ChatCompletionRequestMessage>;

/// All that the program needs of turnwise.
fn to_send(history: &Messages) -> Result<Messages> {
    let all = Message::all_from_serde(history)?;
    let plan = trim(&all, &TokenBudget::limit(200), &SlidingWindow::tokens())?;
    plan.messages_as()
}

fn main() -> Result<()> {
    let history: Messages = (1..=40)
        .map(|n| ChatCompletionRequestUserMessage::from(format!("What is {n} times {n}?")).into())
        .collect();
    let sent = to_send(&history)?;
    println!("{} of {} messages are sent", sent.len(), history.len());
    Ok(())
}
