//! Who answers: the trait between the manager and a chat-completions endpoint, and what comes back.
//!
//! A backend takes a request by value and returns a boxed future that owns what it needs. Its errors are sorted by
//! [`BackendError`]'s constructors, the same for every backend.

mod classify;
mod error;
#[cfg(feature = "openai")]
pub mod openai;
mod scripted;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::request::ChatRequest;

pub use crate::wire::Wire;
pub use error::BackendError;
pub use scripted::Scripted;

/// A future on the heap, as backends return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Sends a request to a model and waits for its reply.
///
/// # Examples
/// ```
/// use turnwise::Message;
/// use turnwise::backend::{BackendError, BoxFuture, ChatBackend, ChatReply};
/// use turnwise::ChatRequest;
///
/// struct Echo;
///
/// impl ChatBackend for Echo {
///     fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
///         Box::pin(async move {
///             let said = request.messages.last().map(|message| message.text().into_owned());
///             Ok(ChatReply::new(Message::assistant(said.unwrap_or_default())))
///         })
///     }
/// }
/// ```
pub trait ChatBackend: Send + Sync {
    /// The reply to a request.
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>>;
}

impl<B: ChatBackend + ?Sized> ChatBackend for Arc<B> {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        (**self).complete(request)
    }
}

/// What a model answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatReply {
    /// The message, as it came.
    pub message: Message,
    /// Why the model stopped.
    pub finish: FinishReason,
    /// What was billed, if the server said so.
    pub usage: Option<Usage>,
    /// The requests it took.
    pub attempts: Vec<Attempt>,
}

impl ChatReply {
    /// A reply that ended by itself.
    pub fn new(message: Message) -> Self {
        let finish = if message.has_calls() { FinishReason::ToolCalls } else { FinishReason::Stop };
        Self { message, finish, usage: None, attempts: Vec::new() }
    }

    /// The same reply with another end.
    #[must_use]
    pub fn finish(mut self, finish: FinishReason) -> Self {
        self.finish = finish;
        self
    }

    /// The same reply with a bill.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }
}

/// Why a model stopped. Reasons that this crate does not know are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// It was done.
    Stop,
    /// The reply was cut off at its largest size.
    Length,
    /// It calls tools.
    ToolCalls,
    /// A filter cut it off.
    ContentFilter,
    /// Something else.
    Other(Box<str>),
}

impl From<&str> for FinishReason {
    fn from(reason: &str) -> Self {
        match reason {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "tool_calls" | "function_call" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            other => Self::Other(other.into()),
        }
    }
}

/// What the server billed, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// The whole prompt.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// The reply.
    #[serde(default)]
    pub completion_tokens: u64,
    /// The part of the prompt that came from a cache.
    #[serde(default, rename = "prompt_tokens_details", with = "cached")]
    pub cached_tokens: u64,
}

impl Usage {
    /// A bill of so many tokens.
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self { prompt_tokens, completion_tokens, cached_tokens: 0 }
    }
}

/// `{"cached_tokens": n}`, or null, or nothing.
mod cached {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Default, Serialize, Deserialize)]
    struct Details {
        #[serde(default)]
        cached_tokens: Option<u64>,
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(tokens: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        Details { cached_tokens: Some(*tokens) }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        Ok(Option::<Details>::deserialize(deserializer)?.unwrap_or_default().cached_tokens.unwrap_or(0))
    }
}

/// One request that was made to get a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// The status of the answer; `None` when there was none.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// How long was waited after it, in milliseconds.
    pub waited: u64,
}

impl Attempt {
    /// An attempt without a wait behind it.
    pub fn new(status: Option<u16>, millis: u64) -> Self {
        Self { status, millis, waited: 0 }
    }
}
