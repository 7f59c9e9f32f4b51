//! Who answers: the trait between the manager and a chat-completions endpoint, and what comes back.
//!
//! A backend takes a request by value and returns a boxed future that owns what it needs. Its errors are sorted by
//! [`BackendError`]'s constructors, the same for every backend.

mod assembly;
mod classify;
mod error;
mod gate;
mod limits;
mod nesting;
#[cfg(feature = "openai")]
pub mod openai;
mod said;
mod scripted;
mod secrets;
mod stream;
mod usage;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::json::RawJson;
use crate::message::Message;
use crate::request::ChatRequest;

pub use crate::dialect::Dialect;
pub use assembly::Assembly;
pub use error::BackendError;
pub use scripted::{Answer, Scripted};
pub use stream::{ChatEvent, EventStream, ToolCallDelta};
pub use usage::Usage;

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

    /// The reply as it comes. Default: the whole reply at once.
    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<EventStream, BackendError>> {
        let whole = self.complete(request);
        Box::pin(async move { whole.await.map(stream::at_once) })
    }

    /// What names the server, such as its base URL without keys: what is learned about a model is kept apart for each.
    /// Default: empty.
    #[allow(clippy::unnecessary_literal_bound, reason = "other backends return what they hold")]
    fn server(&self) -> &str {
        ""
    }
}

macro_rules! answer_through {
    ($($pointer:ident),*) => {$(
        impl<B: ChatBackend + ?Sized> ChatBackend for $pointer<B> {
            fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
                (**self).complete(request)
            }

            fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<EventStream, BackendError>> {
                (**self).stream(request)
            }

            fn server(&self) -> &str {
                (**self).server()
            }
        }
    )*};
}

answer_through!(Arc, Box);

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
    /// The requests it took. Where a backend names none, the manager enters one.
    pub attempts: Vec<Attempt>,
    /// The whole answer as it came, if it was JSON: id, served model, log probabilities and all else.
    pub raw: Option<RawJson>,
    /// How many half characters of the answer (lone surrogates, such as the escape `\ud83d` without its other half) were
    /// replaced by U+FFFD.
    pub half_characters: usize,
}

impl ChatReply {
    /// A reply that ended by itself.
    pub fn new(message: Message) -> Self {
        let finish = if message.has_calls() { FinishReason::ToolCalls } else { FinishReason::Stop };
        Self { message, finish, usage: None, attempts: Vec::new(), raw: None, half_characters: 0 }
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

    /// The same reply with the requests it took.
    #[must_use]
    pub fn attempts(mut self, attempts: impl IntoIterator<Item = Attempt>) -> Self {
        self.attempts = attempts.into_iter().collect();
        self
    }

    /// The same reply with one request that took so long, where no requests are named.
    pub(crate) fn or_attempt(mut self, elapsed: Duration) -> Self {
        if self.attempts.is_empty() {
            self.attempts.push(Attempt::new(None, elapsed));
        }
        self
    }

    /// The same reply with the whole answer as it came.
    #[must_use]
    pub fn raw(mut self, answer: RawJson) -> Self {
        self.raw = Some(answer);
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

/// As the API writes it: `stop`, `length`, `tool_calls`, `content_filter`, or what the server said.
impl Serialize for FinishReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Other(reason) => reason,
        })
    }
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

/// One request that was made to get a reply. As JSON its times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// The status of the answer; `None` when there was none, or the backend does not tell.
    pub status: Option<u16>,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "in_millis")]
    pub elapsed: Duration,
    /// How long was waited after it.
    #[serde(rename = "waited_ms", serialize_with = "in_millis")]
    pub waited: Duration,
}

pub(crate) fn in_millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl Attempt {
    /// An attempt without a wait behind it.
    pub fn new(status: Option<u16>, elapsed: Duration) -> Self {
        Self { status, elapsed, waited: Duration::ZERO }
    }
}
