//! A backend for tests: replies and errors from a queue.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use super::{BackendError, BoxFuture, ChatBackend, ChatReply};
use crate::message::Message;
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
#[derive(Clone, Default)]
pub struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    queue: VecDeque<Result<ChatReply, BackendError>>,
    seen: Vec<ChatRequest>,
}

impl Scripted {
    /// A backend that says these texts.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let script = Self::default();
        for text in texts {
            script.then(Ok(ChatReply::new(Message::assistant(text))));
        }
        script
    }

    /// Adds a reply or an error behind those in the queue.
    pub fn then(&self, answer: Result<ChatReply, BackendError>) -> &Self {
        self.script(|script| script.queue.push_back(answer));
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
