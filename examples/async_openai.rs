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

fn main() -> Result<()> {
    let history: Vec<ChatCompletionRequestMessage> =
        (1..=40).map(|n| ChatCompletionRequestUserMessage::from(format!("What is {n} times {n}?")).into()).collect();

    let messages = history.iter().map(Message::from_serde).collect::<Result<Vec<_>>>()?;
    let plan = trim(&messages, &TokenBudget::limit(200), &SlidingWindow::tokens())?;
    let to_send: Vec<ChatCompletionRequestMessage> = plan.messages_as()?;

    println!("{} of {} messages are sent, {} tokens", to_send.len(), history.len(), plan.tokens().total());
    Ok(())
}
