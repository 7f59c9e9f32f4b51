//! `Scripted`: a backend for tests that answers from a queue.

use std::collections::VecDeque;
use std::fmt;
use std::future;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use futures_util::stream;

use super::stream::{EventStream, deltas};
use super::{BackendError, BoxFuture, ChatBackend, ChatEvent, ChatReply, ToolCallDelta};
use crate::message::{Message, ToolCall};
use crate::request::ChatRequest;

/// A backend for tests: answers from a queue, in order, and keeps the requests it received. Clones
/// share the queue. An empty queue is an error of the kind
/// [`NoBackend`](crate::ErrorKind::NoBackend).
///
/// A stream yields text word by word and each call in two deltas. Before a reply and before each
/// event the future is pending once, so that a test can stop at any point.
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
///     .and([("weather", r#"{"city":"Oslo"}"#), ("now", "{}")]) // two calls in one reply
///     .and([ToolCall::function("c3", "weather", r#"{"city":"Rome"}"#)]) // with an id
///     .and(BackendError::rate_limited(None))
///     .and("It rains in Oslo.");
/// ```
///
/// A stream that breaks off, and one that stalls:
/// ```
/// use futures_lite::StreamExt;
/// use turnwise::backend::{Answer, BackendError, ChatBackend, ChatEvent, Scripted};
/// use turnwise::ChatRequest;
///
/// let script = Scripted::default()
///     .and(Answer::from("Hello there, friend!").broken_after(2, BackendError::unavailable("gone")))
///     .and(Answer::from("Hello again").stalled_after(1));
/// # futures_lite::future::block_on(async {
/// let mut events = script.stream(ChatRequest::default()).await?;
/// assert_eq!(events.next().await.unwrap()?, ChatEvent::Text("Hello ".into()));
/// assert_eq!(events.next().await.unwrap()?, ChatEvent::Text("there, ".into()));
/// assert!(events.next().await.unwrap().is_err());
/// # Ok::<(), BackendError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    queue: VecDeque<Answer>,
    seen: Vec<ChatRequest>,
}

impl Scripted {
    /// A backend with these answers: texts, messages, calls, errors.
    pub fn new(answers: impl IntoIterator<Item = impl Into<Answer>>) -> Self {
        answers.into_iter().fold(Self::default(), Self::and)
    }

    /// The same backend with one more answer at the end of the queue.
    #[must_use]
    pub fn and(self, answer: impl Into<Answer>) -> Self {
        self.then(answer);
        self
    }

    /// Adds an answer to the end of the queue.
    pub fn then(&self, answer: impl Into<Answer>) -> &Self {
        self.script(|script| script.queue.push_back(answer.into()));
        self
    }

    /// The requests received so far.
    pub fn requests(&self) -> Vec<ChatRequest> {
        self.script(|script| script.seen.clone())
    }

    /// The next answer.
    fn answer(&self, request: ChatRequest) -> Answer {
        let answer = self.script(|script| {
            script.seen.push(request);
            script.queue.pop_front()
        });
        answer.unwrap_or_else(|| BackendError::no_backend("the script has no reply left").into())
    }

    fn script<T>(&self, act: impl FnOnce(&mut Script) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An answer of a [`Scripted`] backend: made from a text, a [`Message`], calls (each a [`ToolCall`],
/// or a name with its arguments), a [`ChatReply`], or a [`BackendError`].
///
/// # Examples
/// ```
/// use turnwise::ConversationManager;
/// use turnwise::backend::{Answer, Scripted};
///
/// let script = Scripted::default().and(Answer::from("A long story").ended_after(1));
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(script).build()?;
/// # futures_lite::future::block_on(async {
/// assert!(chat.send("Tell me a story.").await.is_err()); // it ended in the middle
/// # });
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Debug)]
pub struct Answer {
    said: Said,
    /// Whether it waits for ever after its events.
    stalls: bool,
}

#[derive(Debug)]
enum Said {
    Whole(Result<ChatReply, BackendError>),
    Events(Vec<Result<ChatEvent, BackendError>>),
}

impl Answer {
    /// Exactly these events. A stream of them ends after the last one, even without a
    /// [`Finished`](ChatEvent::Finished); without streaming, such an end is an error of the kind
    /// [`Interrupted`](crate::ErrorKind::Interrupted).
    pub fn events(events: impl IntoIterator<Item = Result<ChatEvent, BackendError>>) -> Self {
        Self { said: Said::Events(events.into_iter().collect()), stalls: false }
    }

    /// An answer that never arrives.
    pub fn pending() -> Self {
        Self { stalls: true, ..Self::events([]) }
    }

    /// The same answer up to this number of events, and then this error.
    #[must_use]
    pub fn broken_after(self, events: usize, error: BackendError) -> Self {
        let begun = self.into_events().into_iter().take(events);
        Self::events(begun.chain([Err(error)]))
    }

    /// The same answer up to this number of events, after which the stream ends.
    #[must_use]
    pub fn ended_after(self, events: usize) -> Self {
        Self::events(self.into_events().into_iter().take(events))
    }

    /// The same answer up to this number of events, and then nothing more, for ever.
    #[must_use]
    pub fn stalled_after(self, events: usize) -> Self {
        Self { stalls: true, ..self.ended_after(events) }
    }

    fn into_events(self) -> Vec<Result<ChatEvent, BackendError>> {
        match self.said {
            Said::Whole(Ok(reply)) => in_deltas(reply).map(Ok).collect(),
            Said::Whole(Err(error)) => vec![Err(error)],
            Said::Events(events) => events,
        }
    }

    async fn whole(self) -> Result<ChatReply, BackendError> {
        once_pending().await;
        let events = match self.said {
            Said::Whole(answer) => return answer,
            Said::Events(events) => events,
        };
        let end = events.into_iter().find_map(|event| match event {
            Ok(ChatEvent::Finished(reply)) => Some(Ok(*reply)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        match end {
            Some(end) => end,
            None if self.stalls => future::pending().await,
            None => Err(BackendError::interrupted("the script's reply has no end")),
        }
    }

    async fn stream(self) -> Result<EventStream, BackendError> {
        once_pending().await;
        if let Said::Whole(Err(error)) = self.said {
            return Err(error);
        }
        let stalls = self.stalls;
        let events = self.into_events().into_iter();
        let events = stream::unfold(events, move |mut events| async move {
            once_pending().await;
            match events.next() {
                Some(event) => Some((event, events)),
                None if stalls => future::pending().await,
                None => None,
            }
        });
        Ok(Box::pin(futures_util::StreamExt::fuse(events)))
    }
}

/// A reply as deltas of one word each.
fn in_deltas(reply: ChatReply) -> impl Iterator<Item = ChatEvent> {
    let whole = deltas(&reply.message);
    let parts = whole.into_iter().flat_map(|delta| match delta {
        ChatEvent::Text(text) => words(&text).map(ChatEvent::Text).collect(),
        ChatEvent::Reasoning(text) => words(&text).map(ChatEvent::Reasoning).collect(),
        ChatEvent::Refusal(text) => words(&text).map(ChatEvent::Refusal).collect(),
        ChatEvent::ToolCall(call) => {
            let index = call.index;
            let arguments = call.arguments;
            let begun = ToolCallDelta { arguments: String::new(), ..call };
            [begun, ToolCallDelta { index, arguments, ..ToolCallDelta::default() }].map(ChatEvent::ToolCall).into()
        }
        whole @ ChatEvent::Finished(_) => vec![whole],
    });
    parts.chain([ChatEvent::Finished(Box::new(reply))])
}

/// The words of a text, each with the spaces that follow it.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_inclusive(' ').map(str::to_owned)
}

/// A future that is pending once.
async fn once_pending() {
    let mut has_been = false;
    future::poll_fn(|context| {
        if std::mem::replace(&mut has_been, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

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

/// Calls of functions by name and arguments, with ids of their own.
impl<const N: usize> From<[(&str, &str); N]> for Answer {
    fn from(calls: [(&str, &str); N]) -> Self {
        let numbered = calls.into_iter().enumerate();
        let calls = numbered.map(|(n, (name, arguments))| ToolCall::function(&format!("call_{n}"), name, arguments));
        Message::calls(calls).into()
    }
}

impl From<ChatReply> for Answer {
    fn from(reply: ChatReply) -> Self {
        Ok(reply).into()
    }
}

impl From<BackendError> for Answer {
    fn from(error: BackendError) -> Self {
        Err(error).into()
    }
}

impl From<Result<ChatReply, BackendError>> for Answer {
    fn from(answer: Result<ChatReply, BackendError>) -> Self {
        Self { said: Said::Whole(answer), stalls: false }
    }
}

impl ChatBackend for Scripted {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        Box::pin(self.answer(request).whole())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<EventStream, BackendError>> {
        Box::pin(self.answer(request).stream())
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, seen) = self.script(|script| (script.queue.len(), script.seen.len()));
        write!(f, "Scripted({left} replies left, {seen} requests seen)")
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::StreamExt;
    use futures_lite::future::block_on;

    use super::*;
    use crate::backend::Assembly;
    use crate::error::ErrorKind;

    fn streamed(answer: impl Into<Answer>) -> (Assembly, usize, Option<BackendError>) {
        block_on(async {
            let mut events = Scripted::default().and(answer).stream(ChatRequest::default()).await.unwrap();
            let mut all = Assembly::new();
            let mut number = 0;
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => all.push(&event),
                    Err(error) => return (all, number, Some(error)),
                }
                number += 1;
            }
            (all, number, None)
        })
    }

    #[test]
    fn a_reply_comes_in_words_and_ends_whole() {
        let (all, number, error) = streamed("one two  three");
        assert_eq!((all.text().as_ref(), number, error.is_none()), ("one two  three", 5, true));
        assert!(all.is_finished());
        let calls = Message::calls([ToolCall::function("c", "f", "{}")]).with_content("now");
        let (all, number, _) = streamed(calls.clone());
        assert_eq!((all.message(), number), (calls, 4));
        assert_eq!((all.calls()[0].id.as_deref(), &*all.calls()[0].arguments), (Some("c"), "{}"));
    }

    #[test]
    fn an_answer_may_break_end_or_stall() {
        let (all, number, error) = streamed(Answer::from("a b c").broken_after(2, BackendError::timeout("x")));
        assert_eq!((all.text().as_ref(), number, error.unwrap().kind()), ("a b ", 2, ErrorKind::Timeout));
        let (all, number, error) = streamed(Answer::from("a b c").ended_after(1));
        assert_eq!((all.text().as_ref(), number, error.is_none(), all.is_finished()), ("a ", 1, true, false));
        for (answer, kind) in [
            (Answer::from("a b").ended_after(1), ErrorKind::Interrupted),
            (Answer::from("a b").broken_after(1, BackendError::timeout("x")), ErrorKind::Timeout),
        ] {
            let error = block_on(Scripted::default().and(answer).complete(ChatRequest::default())).unwrap_err();
            assert_eq!(error.kind(), kind);
        }
        for answer in [Answer::pending(), Answer::from("a").stalled_after(0)] {
            let mut reply = Scripted::default().and(answer).complete(ChatRequest::default());
            assert!((0..9).all(|_| block_on(futures_lite::future::poll_once(&mut reply)).is_none()));
        }
    }

    #[test]
    fn each_event_can_be_stopped_before() {
        let script = Scripted::default().and("a b");
        let mut stream = block_on(script.stream(ChatRequest::default())).unwrap();
        let polls: Vec<_> =
            (0..8).map(|_| block_on(futures_lite::future::poll_once(stream.next())).is_some()).collect();
        assert_eq!(polls, [false, true, false, true, false, true, false, true]);
        let mut reply = Scripted::new(["a"]).complete(ChatRequest::default());
        assert!(block_on(futures_lite::future::poll_once(&mut reply)).is_none());
    }
}
