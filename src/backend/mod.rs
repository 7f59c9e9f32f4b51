//! `ChatBackend`, the trait between the manager and a chat-completions endpoint, and the replies
//! and errors it returns; and `Embedder`, that between the manager and an embedding model.
//!
//! A backend takes a request by value and returns a boxed future that owns what it needs. Its
//! errors are sorted into kinds by the constructors of [`BackendError`], in the same way for every
//! backend.

mod assembly;
mod classify;
mod embedder;
mod error;
mod gate;
mod limits;
mod nesting;
#[cfg(feature = "openai")]
pub mod openai;
mod said;
mod scripted;
mod scripted_embedder;
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

pub use crate::dialect::{Dialect, Preset};
pub use assembly::Assembly;
pub use embedder::{Embedder, Embeddings};
pub use error::BackendError;
pub use scripted::{Answer, Scripted};
pub use scripted_embedder::ScriptedEmbedder;
pub use stream::{ChatEvent, EventStream, ToolCallDelta};
pub use usage::Usage;

/// A boxed future, as backends return it.
///
/// # Examples
/// ```
/// use turnwise::Message;
/// use turnwise::backend::{BackendError, BoxFuture, ChatReply};
///
/// fn complete() -> BoxFuture<'static, Result<ChatReply, BackendError>> {
///     Box::pin(async { Ok(ChatReply::new(Message::assistant("The Elbe."))) })
/// }
/// ```
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Sends requests to a model and returns its replies.
///
/// Implement it for a server that `openai::OpenAi` cannot reach, to wrap another client,
/// or for a local model. For tests there is [`Scripted`].
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
    /// Sends a request and returns the reply.
    ///
    /// # Errors
    /// A [`BackendError`] of the kind that describes the failure; the manager reports it and
    /// records nothing.
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>>;

    /// Sends a request and returns the reply as a stream. Default: the whole reply of
    /// [`complete`](Self::complete) at once.
    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<EventStream, BackendError>> {
        let whole = self.complete(request);
        Box::pin(async move { whole.await.map(stream::at_once) })
    }

    /// A name of the server, such as its base URL without keys. What is learned about a model is
    /// kept separately for each name. Default: empty.
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

/// The answer of a model.
///
/// # Examples
/// ```
/// use turnwise::Message;
/// use turnwise::backend::{ChatReply, FinishReason, Usage};
///
/// let reply = ChatReply::new(Message::assistant("The Elbe is a")).finish(FinishReason::Length).usage(Usage::new(12, 4));
/// assert_eq!(reply.finish, FinishReason::Length);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatReply {
    /// The message, unchanged.
    pub message: Message,
    /// Why the model stopped.
    pub finish: FinishReason,
    /// The bill, if the server sent one.
    pub usage: Option<Usage>,
    /// The requests that were needed. If a backend lists none, the manager adds one.
    pub attempts: Vec<Attempt>,
    /// The whole answer, unchanged, if it was JSON: id, served model, log probabilities and
    /// everything else.
    pub raw: Option<RawJson>,
    /// How many half characters of the answer were replaced by U+FFFD (lone surrogates, such as the
    /// escape `\ud83d` without its other half).
    pub half_characters: usize,
}

impl ChatReply {
    /// A reply that the model ended on its own.
    pub fn new(message: Message) -> Self {
        let finish = if message.has_calls() { FinishReason::ToolCalls } else { FinishReason::Stop };
        Self { message, finish, usage: None, attempts: Vec::new(), raw: None, half_characters: 0 }
    }

    /// The same reply with this reason for its end.
    #[must_use]
    pub fn finish(mut self, finish: FinishReason) -> Self {
        self.finish = finish;
        self
    }

    /// The same reply with this bill.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// The same reply with the requests that were needed.
    #[must_use]
    pub fn attempts(mut self, attempts: impl IntoIterator<Item = Attempt>) -> Self {
        self.attempts = attempts.into_iter().collect();
        self
    }

    /// The same reply with one request of this duration, if it lists none.
    pub(crate) fn or_attempt(mut self, elapsed: Duration) -> Self {
        if self.attempts.is_empty() {
            self.attempts.push(Attempt::new(None, elapsed));
        }
        self
    }

    /// The same reply with the whole answer, unchanged.
    #[must_use]
    pub fn raw(mut self, answer: RawJson) -> Self {
        self.raw = Some(answer);
        self
    }
}

/// Why a model stopped. Reasons that this crate does not know are kept.
///
/// # Examples
/// ```
/// use turnwise::backend::FinishReason;
///
/// assert_eq!(FinishReason::from("length"), FinishReason::Length);
/// assert_eq!(serde_json::to_string(&FinishReason::ToolCalls)?, r#""tool_calls""#);
/// assert!(matches!(FinishReason::from("eos"), FinishReason::Other(reason) if &*reason == "eos"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishReason {
    /// The reply is complete.
    Stop,
    /// The reply was cut off at its largest size.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// A content filter cut the reply off.
    ContentFilter,
    /// Another reason.
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

/// One of the requests that were needed for a reply. As JSON its times are in milliseconds.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use turnwise::Message;
/// use turnwise::backend::{Attempt, ChatReply};
///
/// let mut reply = ChatReply::new(Message::assistant("The Elbe.")); // by a backend of your own
/// reply.attempts.push(Attempt::new(Some(200), Duration::from_millis(850)));
/// println!("answered after {:?}", reply.attempts.iter().map(|one| one.elapsed + one.waited).sum::<Duration>());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// The status of the answer; `None` if there was no answer or the backend does not report it.
    pub status: Option<u16>,
    /// How long the request took.
    #[serde(rename = "elapsed_ms", serialize_with = "in_millis")]
    pub elapsed: Duration,
    /// How long the backend waited after it.
    #[serde(rename = "waited_ms", serialize_with = "in_millis")]
    pub waited: Duration,
}

pub(crate) fn in_millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl Attempt {
    /// An attempt that is not followed by a wait.
    pub fn new(status: Option<u16>, elapsed: Duration) -> Self {
        Self { status, elapsed, waited: Duration::ZERO }
    }
}
