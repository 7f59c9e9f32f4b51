//! `Observer`: is told what a manager does.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::embedding::EmbeddingCall;
use super::reply::Reply;
use super::summarizer::SummaryCall;
use crate::conversation::ItemId;
use crate::error::Error;
use crate::message::{Message, ToolCall};
use crate::plan::Plan;

/// Is told what a manager does, with the conversation's id: for logs, metrics, user interfaces. Its
/// methods are called outside any lock, on the task that sends, so they should return quickly. Dry
/// runs are not reported. An observer that holds a manager which has that observer keeps both
/// alive.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
/// use turnwise::{ConversationManager, Observer, Reply};
/// # use turnwise::backend::{ChatReply, Scripted, Usage};
/// # use turnwise::Message;
///
/// #[derive(Default)]
/// struct Meter(AtomicU64);
///
/// impl Observer for Meter {
///     fn committed(&self, _conversation: &str, reply: &Reply) {
///         let billed = reply.usage.as_ref().map_or(0, |usage| usage.prompt_tokens + usage.completion_tokens);
///         self.0.fetch_add(billed, Ordering::Relaxed);
///     }
/// }
///
/// let meter = Arc::new(Meter::default());
/// # let backend = Scripted::new([ChatReply::new(Message::assistant("Hello!")).usage(Usage::new(8, 2))]);
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).observer(Arc::clone(&meter)).build()?;
/// # futures_lite::future::block_on(async {
/// chat.send("Hi").await?;
/// assert_eq!(meter.0.load(Ordering::Relaxed), 10);
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
pub trait Observer: Send + Sync {
    /// A request is about to be sent.
    fn planned(&self, conversation: &str, plan: &Plan) {
        let _ = (conversation, plan);
    }

    /// A summarizer was called, before a request or [ahead of
    /// time](super::ConversationManager::prepare), whether or not its summary was used.
    fn summarized(&self, conversation: &str, call: &SummaryCall) {
        let _ = (conversation, call);
    }

    /// An embedder was called: for the question before a request, or for messages of the history
    /// after an exchange, then perhaps on another task. [`EmbeddingCall::refused`] says why there
    /// are no vectors, if it failed; no exchange fails because of it.
    fn embedded(&self, conversation: &str, call: &EmbeddingCall) {
        let _ = (conversation, call);
    }

    /// An exchange was recorded.
    fn committed(&self, conversation: &str, reply: &Reply) {
        let _ = (conversation, reply);
    }

    /// Items of the path that the previous request sent and this one did not. Called after
    /// [`committed`](Self::committed), or before [`failed`](Self::failed) if a [partial
    /// reply](crate::Exchange::keep_partial) is recorded.
    fn evicted(&self, conversation: &str, items: &[ItemId]) {
        let _ = (conversation, items);
    }

    /// A recorded change could not be saved: an exchange, part of a reply that broke off, or a
    /// summary. Called after [`committed`](Self::committed). The next save that succeeds includes
    /// it. If the exchange was dropped meanwhile, it is called on the saving thread.
    fn unsaved(&self, conversation: &str, error: &Error) {
        let _ = (conversation, error);
    }

    /// A [tool loop](super::ToolLoop) starts a call: its handler is called now.
    fn call_started(&self, conversation: &str, call: &ToolCall) {
        let _ = (conversation, call);
    }

    /// A call of a tool loop has ended after this time: with the result that the model is sent,
    /// also where a handler's error or panic became one, or with the error that ends the loop.
    /// Nothing is told of calls that were answered without calling a handler.
    fn call_ended(&self, conversation: &str, call: &ToolCall, result: Result<&Message, &Error>, time: Duration) {
        let _ = (conversation, call, result, time);
    }

    /// An exchange failed, or was dropped ([`Interrupted`](crate::ErrorKind::Interrupted)).
    fn failed(&self, conversation: &str, error: &Error) {
        let _ = (conversation, error);
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn planned(&self, conversation: &str, plan: &Plan) {
        (**self).planned(conversation, plan);
    }

    fn summarized(&self, conversation: &str, call: &SummaryCall) {
        (**self).summarized(conversation, call);
    }

    fn embedded(&self, conversation: &str, call: &EmbeddingCall) {
        (**self).embedded(conversation, call);
    }

    fn committed(&self, conversation: &str, reply: &Reply) {
        (**self).committed(conversation, reply);
    }

    fn evicted(&self, conversation: &str, items: &[ItemId]) {
        (**self).evicted(conversation, items);
    }

    fn unsaved(&self, conversation: &str, error: &Error) {
        (**self).unsaved(conversation, error);
    }

    fn call_started(&self, conversation: &str, call: &ToolCall) {
        (**self).call_started(conversation, call);
    }

    fn call_ended(&self, conversation: &str, call: &ToolCall, result: Result<&Message, &Error>, time: Duration) {
        (**self).call_ended(conversation, call, result, time);
    }

    fn failed(&self, conversation: &str, error: &Error) {
        (**self).failed(conversation, error);
    }
}

/// All observers of a manager.
#[derive(Clone, Default)]
pub(super) struct Observers(Vec<Arc<dyn Observer>>);

impl Observers {
    pub(super) fn add(&mut self, observer: impl Observer + 'static) {
        self.0.push(Arc::new(observer));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn tell(&self, what: impl Fn(&dyn Observer)) {
        self.0.iter().for_each(|observer| what(&**observer));
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} observers", self.0.len())
    }
}
