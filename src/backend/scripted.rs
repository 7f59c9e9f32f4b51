//! A backend for tests: replies and errors from a queue.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use super::{BackendError, BoxFuture, ChatBackend, ChatReply};
use crate::message::{Message, ToolCall};
use crate::request::ChatRequest;

/// Answers from a queue, in order, and keeps the requests it saw. A clone is the same backend. An empty queue is an error
/// of the kind [`NoBackend`](crate::ErrorKind::NoBackend).
///
/// # Examples
/// ```
/// use turnwise::ConversationManager;
/// use turnwise::backend::Scripted;
///
/// let script = Scripted::new(["Hello!", "Bye!"]);
/// let chat = ConversationManager::builder("gpt-4o").backend(script.clone()).build()?;
/// # futures_lite::future::block_on(async {
/// assert_eq!(chat.send("Hi").await?.text(), "Hello!");
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// assert_eq!(script.requests()[0].messages.len(), 1);
/// # Ok::<(), turnwise::Error>(())
/// ```
///
/// With calls and errors:
/// ```
/// use turnwise::ToolCall;
/// use turnwise::backend::{BackendError, Scripted};
///
/// let script = Scripted::default()
///     .and([ToolCall::function("c1", "weather", r#"{"city":"Oslo"}"#)])
///     .and(BackendError::rate_limited(None))
///     .and("It rains in Oslo.");
/// ```
#[derive(Clone, Default)]
pub struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    queue: VecDeque<Result<ChatReply, BackendError>>,
    seen: Vec<ChatRequest>,
}

impl Scripted {
    /// A backend that answers so: with texts, messages, calls, errors.
    pub fn new(answers: impl IntoIterator<Item = impl Into<Answer>>) -> Self {
        answers.into_iter().fold(Self::default(), Self::and)
    }

    /// The same backend with an answer behind those in the queue.
    #[must_use]
    pub fn and(self, answer: impl Into<Answer>) -> Self {
        self.then(answer);
        self
    }

    /// Adds an answer behind those in the queue.
    pub fn then(&self, answer: impl Into<Answer>) -> &Self {
        self.script(|script| script.queue.push_back(answer.into().0));
        self
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<ChatRequest> {
        self.script(|script| script.seen.clone())
    }

    fn script<T>(&self, act: impl FnOnce(&mut Script) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a [`Scripted`] backend answers: made from a text, a [`Message`], calls, a [`ChatReply`], or a [`BackendError`].
#[derive(Debug)]
pub struct Answer(Result<ChatReply, BackendError>);

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Message::assistant(text).into()
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Message::assistant(text).into()
    }
}

impl From<Message> for Answer {
    fn from(message: Message) -> Self {
        ChatReply::new(message).into()
    }
}

impl<const N: usize> From<[ToolCall; N]> for Answer {
    fn from(calls: [ToolCall; N]) -> Self {
        Message::calls(calls).into()
    }
}

impl From<ChatReply> for Answer {
    fn from(reply: ChatReply) -> Self {
        Self(Ok(reply))
    }
}

impl From<BackendError> for Answer {
    fn from(error: BackendError) -> Self {
        Self(Err(error))
    }
}

impl From<Result<ChatReply, BackendError>> for Answer {
    fn from(answer: Result<ChatReply, BackendError>) -> Self {
        Self(answer)
    }
}

impl ChatBackend for Scripted {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let answer = self.script(|script| {
            script.seen.push(request);
            script.queue.pop_front()
        });
        Box::pin(async move { answer.unwrap_or_else(|| Err(BackendError::no_backend("the script has no reply left"))) })
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, seen) = self.script(|script| (script.queue.len(), script.seen.len()));
        write!(f, "Scripted({left} replies left, {seen} requests seen)")
    }
}
