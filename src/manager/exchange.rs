//! `Exchange`: one exchange, as a caller builds it.

use std::borrow::Cow;
use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;

use super::builder::check_params;
use super::params::typed_params;
use super::queue::SendPermit;
use super::reply::Reply;
use super::staged::{Ask, stage};
use super::streaming::ReplyStream;
use super::transaction::Transaction;
use super::{ConversationManager, Shared};
use crate::backend::BoxFuture;
use crate::conversation::Conversation;
use crate::error::Result;
use crate::json::RawJson;
use crate::message::Message;
use crate::plan::{Extras, Plan, Planner};
use crate::request::ChatRequest;

/// A message to be sent. Awaiting it sends the message, and records the exchange when the reply has
/// arrived; dropping it before that leaves no trace in the record. [`stream`](Self::stream) returns
/// the reply while it arrives.
///
/// If the server refuses a request as too long, it is planned once more under the limit learned
/// from the answer, and sent once more.
///
/// It is not a future itself. To run it in a task of its own, convert it:
/// `tokio::spawn(chat.send("Hi").into_future())`, with [`IntoFuture`] in scope.
///
/// # Errors
/// When awaited, those of [`plan`](Self::plan), and then those of the backend, with
/// [`Error::attempt`](crate::Error::attempt) for the request and the answer;
/// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) for an empty reply. The record is
/// unchanged.
///
/// # Examples
/// ```
/// use std::future::IntoFuture;
/// # use turnwise::{ConversationManager, backend::Scripted};
///
/// # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
/// # let backend = Scripted::new(["Hello!"]);
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
/// let task = tokio::spawn(chat.send("Hi").into_future());
/// assert_eq!(task.await.unwrap()?.text(), "Hello!");
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "an exchange is sent when it is awaited"]
pub struct Exchange {
    pub(super) manager: ConversationManager,
    pub(super) ask: Ask,
    pub(super) extras: Extras,
    pub(super) keeps_partial: bool,
}

impl Exchange {
    pub(super) fn new(manager: &ConversationManager, ask: Ask) -> Self {
        Self { manager: manager.clone(), ask, extras: Extras::default(), keeps_partial: false }
    }

    /// Sends a message directly before this one, with this request only, such as search results or
    /// the date. It is counted and shown in the plan, and never recorded.
    pub fn context(mut self, message: impl Into<Message>) -> Self {
        self.extras.context.push(message.into());
        self
    }

    /// A parameter of this request, sent as given, which replaces the manager's.
    pub fn param(mut self, name: &str, value: impl Into<RawJson>) -> Self {
        self.extras.params.set(name, value);
        self
    }

    typed_params!();

    /// Records the part that has arrived of a streamed reply that breaks off, or whose stream is
    /// dropped: its text, marked as [incomplete](Message::is_incomplete). Default: off, the record
    /// is unchanged.
    pub fn keep_partial(mut self) -> Self {
        self.keeps_partial = true;
        self
    }

    /// What would be sent (a dry run). Nothing is recorded.
    ///
    /// # Errors
    /// - Those of [`Planner::plan`](crate::Planner::plan).
    /// - [`ErrorKind::UnansweredCalls`](crate::ErrorKind::UnansweredCalls) if calls at the end of
    ///   the conversation would have no result.
    /// - [`ErrorKind::UnknownCall`](crate::ErrorKind::UnknownCall) for a result of a call that is
    ///   not open.
    /// - [`ErrorKind::InvalidMessage`](crate::ErrorKind::InvalidMessage) for another message that
    ///   could not be sent.
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no user message to answer
    ///   again.
    /// - [`ErrorKind::InvalidParam`](crate::ErrorKind::InvalidParam) for a parameter that is not
    ///   allowed.
    pub fn plan(self) -> Result<Plan> {
        self.plan_staged(&self.stage()?)
    }

    /// The request that would be sent, exactly as it goes over the wire. Nothing is recorded.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan).
    pub fn dry_run(self) -> Result<ChatRequest> {
        Ok(self.plan()?.request())
    }

    /// Sends it and returns the reply while it arrives; see [`ReplyStream`]. The future is ready
    /// when the first part of the reply has arrived.
    ///
    /// # Errors
    /// Those of the exchange itself.
    pub async fn stream(self) -> Result<ReplyStream> {
        self.stream_in(None).await
    }

    pub(super) async fn stream_in(self, turn: Option<Arc<SendPermit>>) -> Result<ReplyStream> {
        let mut transaction = Transaction::open(self, turn).await?;
        let events = transaction.ask_for_events().await?;
        Ok(ReplyStream::new(transaction, events))
    }

    pub(super) async fn run_in(self, turn: Option<Arc<SendPermit>>) -> Result<Reply> {
        let mut transaction = Transaction::open(self, turn).await?;
        let reply = transaction.ask().await?;
        transaction.commit(reply, None).await
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.manager.shared
    }

    /// The record followed by the messages to send.
    pub(super) fn stage(&self) -> Result<Conversation> {
        stage(self.manager.snapshot(), &self.ask)
    }

    pub(super) fn plan_staged(&self, staged: &Conversation) -> Result<Plan> {
        let shared = self.shared();
        let planner = self.planner()?;
        let strategy = &*shared.setup.strategy;
        shared.count(|ledger, cache| planner.plan_with(staged, ledger, strategy, cache, &self.extras))
    }

    /// The window in which at most `tokens` may be sent.
    pub(super) fn window_for(&self, tokens: u64) -> Option<u64> {
        let setup = &self.shared().setup;
        Some(setup.budget(&setup.params.and(&self.extras.params)).ok()?.window_for(tokens))
    }

    /// The manager's planner, or a separate one if this reply has another length, or bills have
    /// taught something.
    pub(super) fn planner(&self) -> Result<Cow<'_, Planner>> {
        let (shared, params) = (self.shared(), &self.extras.params);
        check_params(params)?;
        let learned = shared.learned();
        let planner = match shared.window(&learned) {
            None if !params.states_longest_reply() => Cow::Borrowed(&*shared.planner),
            window => {
                let params = shared.setup.params.and(params);
                let dialect = shared.planner.dialect_in_use().clone();
                Cow::Owned(shared.setup.planner(shared.planner.fixed().0, &params, &dialect, window)?)
            }
        };
        let budget = shared.calibrated(planner.budget(), &learned);
        if budget == *planner.budget() { Ok(planner) } else { Ok(Cow::Owned(planner.into_owned().at(budget))) }
    }
}

impl IntoFuture for Exchange {
    type Output = Result<Reply>;
    type IntoFuture = BoxFuture<'static, Result<Reply>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run_in(None))
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("ask", &self.ask).finish_non_exhaustive()
    }
}
