//! `ReplyStream`: a reply while it arrives.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Stream, StreamExt};

use super::failure::UnsavedExchange;
use super::reply::Reply;
use super::transaction::{Events, Transaction};
use crate::backend::{Assembly, BackendError, BoxFuture, ChatEvent, ChatReply, EventStream};
use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;
use crate::plan::Plan;
use crate::tokens::{Count, StreamedCount, TokenCounter};

/// A reply while it arrives: a [`Stream`][stream] of [`ChatEvent`]s. Before the last one,
/// [`ChatEvent::Finished`], is returned, the exchange is recorded and saved;
/// [`finish`](Self::finish) then returns the reply with its report, which says whether it could be
/// saved. With [`require_saved`](crate::Builder::require_saved), an exchange that could not be
/// saved ends in an error of the kind [`ErrorKind::NotSaved`] in place of that event.
///
/// A stream that breaks off, stays silent, or is dropped before its end leaves the record
/// unchanged; the error holds the part that arrived ([`Error::failed_exchange`]).
/// [`keep_partial`](super::Exchange::keep_partial) records that part instead, marked as incomplete.
/// While a stream exists, it holds the send permit: other sends wait, and changes of the record are
/// refused.
///
/// [stream]: https://docs.rs/futures-util/latest/futures_util/stream/trait.Stream.html
///
/// # Examples
/// ```
/// use turnwise::backend::ChatEvent;
/// # use turnwise::{ConversationManager, backend::Scripted};
///
/// # futures_lite::future::block_on(async {
/// # let backend = Scripted::new(["The Elbe, the Oder."]);
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
/// let mut stream = chat.send("Name two rivers.").stream().await?;
/// while let Some(event) = stream.next().await {
///     if let ChatEvent::Text(text) = event? {
///         print!("{text}");
///     }
/// }
/// let reply = stream.finish().await?;
/// assert_eq!(reply.text(), "The Elbe, the Oder.");
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[must_use = "a reply is recorded when its stream was read to the end"]
pub struct ReplyStream {
    phase: Phase,
    /// The part that has arrived.
    assembly: Assembly,
    count: StreamedCount<Arc<dyn TokenCounter>>,
    /// How many bytes of the text have been counted.
    counted: usize,
    waited: Duration,
}

enum Phase {
    Coming {
        transaction: Box<Transaction>,
        first: Option<ChatEvent>,
        rest: EventStream,
    },
    Committing {
        commit: BoxFuture<'static, Result<Reply>>,
        reply: Box<ChatReply>,
    },
    Done(Box<Reply>),
    /// Recorded, but not saved although that was required.
    Unsaved(Box<UnsavedExchange>),
    Failed,
}

impl ReplyStream {
    pub(super) fn new(transaction: Transaction, events: Events) -> Self {
        let Events { first, rest, waited } = events;
        let count = StreamedCount::new(transaction.plan().cost().shared_counter());
        let phase = Phase::Coming { transaction: Box::new(transaction), first: Some(first), rest };
        Self { phase, assembly: Assembly::default(), count, counted: 0, waited }
    }

    /// The next part; `None` after the last one. The same as that of `StreamExt`, for programs without
    /// its extension traits.
    pub async fn next(&mut self) -> Option<Result<ChatEvent>> {
        StreamExt::next(self).await
    }

    /// Reads the rest and returns the reply as recorded.
    ///
    /// # Errors
    /// The error that the stream returns, or [`ErrorKind::Interrupted`] if it has returned one
    /// before. [`ErrorKind::NotSaved`] is returned both times, because the exchange is recorded.
    pub async fn finish(mut self) -> Result<Reply> {
        while let Some(event) = self.next().await {
            event?;
        }
        match std::mem::replace(&mut self.phase, Phase::Failed) {
            Phase::Done(reply) => Ok(*reply),
            Phase::Unsaved(unsaved) => Err(unsaved.into_error()),
            _ => Err(Error::new(ErrorKind::Interrupted, "the stream has already returned an error and has ended")),
        }
    }

    /// What is sent, and why; `None` after the stream has ended.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.phase {
            Phase::Coming { transaction, .. } => Some(transaction.plan()),
            Phase::Done(reply) => Some(&reply.report.plan),
            Phase::Unsaved(unsaved) => Some(&unsaved.reply.report.plan),
            Phase::Committing { .. } | Phase::Failed => None,
        }
    }

    /// The part that has arrived, as a message: text, reasoning and refusal, but no calls, which
    /// may be incomplete.
    pub fn partial(&self) -> Message {
        self.assembly.message()
    }

    /// The tokens of the text that has arrived. Each call counts only the new text and a little
    /// before it; nothing is counted unless this is called.
    pub fn tokens(&mut self) -> Count {
        let text = self.assembly.text();
        self.count.push(&text[self.counted..]);
        self.counted = text.len();
        self.count.count()
    }

    /// The time from the request to the first part of the reply.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Handles a part of the reply; the last one is returned only when the exchange is recorded.
    fn take(&mut self, event: ChatEvent) -> Option<ChatEvent> {
        let reply = match event {
            ChatEvent::Finished(reply) => reply,
            event => {
                self.assembly.push(&event);
                return Some(event);
            }
        };
        if let Phase::Coming { transaction, .. } = std::mem::replace(&mut self.phase, Phase::Failed) {
            let commit = Box::pin(transaction.commit((*reply).clone(), Some(self.waited)));
            self.phase = Phase::Committing { commit, reply };
        }
        None
    }

    fn fail(&mut self, error: BackendError) -> Option<Error> {
        match std::mem::replace(&mut self.phase, Phase::Failed) {
            Phase::Coming { mut transaction, .. } => {
                let partial = self.kept(&transaction);
                Some(transaction.refused(error, partial))
            }
            _ => None,
        }
    }

    /// The part that has arrived, recorded if that was requested.
    fn kept(&self, transaction: &Transaction) -> Option<Message> {
        let partial = self.assembly.message();
        let has_come = !partial.text().is_empty();
        if has_come && transaction.keeps_partial() {
            transaction.commit_partial(&partial);
        }
        (!self.assembly.is_empty()).then_some(partial)
    }
}

impl Stream for ReplyStream {
    type Item = Result<ChatEvent>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match &mut this.phase {
                Phase::Coming { first, rest, .. } => {
                    let event = match first.take() {
                        Some(first) => Some(Ok(first)),
                        None => ready!(rest.poll_next_unpin(context)),
                    };
                    let event = event.unwrap_or_else(|| Err(BackendError::interrupted("the reply broke off")));
                    match event {
                        Ok(event) => {
                            if let Some(event) = this.take(event) {
                                return Poll::Ready(Some(Ok(event)));
                            }
                        }
                        Err(error) => return Poll::Ready(this.fail(error).map(Err)),
                    }
                }
                Phase::Committing { commit, .. } => {
                    let committed = ready!(commit.as_mut().poll(context));
                    let phase = std::mem::replace(&mut this.phase, Phase::Failed);
                    let Phase::Committing { mut reply, .. } = phase else { return Poll::Ready(None) };
                    return Poll::Ready(Some(match committed {
                        Ok(recorded) => {
                            reply.message = recorded.message.clone();
                            this.phase = Phase::Done(Box::new(recorded));
                            Ok(ChatEvent::Finished(reply))
                        }
                        Err(error) => {
                            if let Some(unsaved) = error.unsaved() {
                                this.phase = Phase::Unsaved(Box::new(unsaved.clone()));
                            }
                            Err(error)
                        }
                    }));
                }
                Phase::Done(_) | Phase::Unsaved(_) | Phase::Failed => return Poll::Ready(None),
            }
        }
    }
}

impl Drop for ReplyStream {
    fn drop(&mut self) {
        if let Phase::Coming { transaction, .. } = &self.phase {
            self.kept(transaction);
        }
    }
}

impl fmt::Debug for ReplyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::Coming { .. } => "coming",
            Phase::Committing { .. } => "being recorded",
            Phase::Done(_) => "done",
            Phase::Unsaved(_) => "recorded, not saved",
            Phase::Failed => "failed",
        };
        write!(f, "ReplyStream({phase})")
    }
}
