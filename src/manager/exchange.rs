//! One exchange: planned, sent, and committed whole or not at all.

use std::borrow::Cow;
use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::builder::check_params;
use super::failure::FailedExchange;
use super::params::typed_params;
use super::staged::check_staged;
use super::summarizer::SummaryCall;
use super::{ConversationManager, Shared, State, busy};
use crate::backend::{Attempt, BackendError, BoxFuture, ChatReply, FinishReason, Usage};
use crate::conversation::{Conversation, ItemId};
use crate::error::{Error, Result};
use crate::json::RawJson;
use crate::message::{Message, Role};
use crate::request::ChatRequest;
use crate::strategy::{Extras, Plan, Planner};

/// A message on its way: awaited, it is sent, and the exchange is recorded when the reply is there. Dropped before, it
/// leaves no trace in the record.
///
/// It is no future itself, so a task of its own takes what it turns into: `tokio::spawn(chat.send("Hi").into_future())`,
/// with [`IntoFuture`] in scope.
///
/// # Errors
/// Awaited, what [`plan`](Self::plan) says, and then what the backend says, with [`Error::attempt`] for what was sent and
/// what came back; [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) for an empty reply. The record is as it was.
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
#[must_use = "an exchange is sent when it is awaited"]
pub struct Exchange {
    pub(super) manager: ConversationManager,
    message: Option<Message>,
    extras: Extras,
}

/// What a model replied, as it was recorded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The reply's item in the record.
    pub item_id: ItemId,
    /// The item of the message that it answers; the reply's own where the head alone was sent.
    pub asked: ItemId,
    /// The message, as it came.
    pub message: Message,
    /// Why the model stopped.
    pub finish: FinishReason,
    /// What was billed, if the server said so.
    pub usage: Option<Usage>,
    /// The whole answer as it came, if the backend gives it: id, served model, log probabilities and all else.
    pub raw: Option<RawJson>,
    /// What the exchange did.
    pub report: Report,
}

/// What an exchange did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// What was sent, and why.
    pub plan: Plan,
    /// Tokens at its start that the last request had at its start too: what a provider's prompt cache can reuse.
    pub repeated: u64,
    /// From the first poll to the reply: waiting in the queue, planning and all attempts are part of it, saving is not.
    pub elapsed: Duration,
    /// The requests it took, the last one last.
    pub attempts: Vec<Attempt>,
    /// The calls that were made for summaries before it.
    pub summaries: Vec<SummaryCall>,
    /// Why the conversation could not be saved after it, if it could not. The exchange is in the record.
    pub unsaved: Option<Arc<Error>>,
}

impl Exchange {
    pub(super) fn new(manager: ConversationManager, message: Option<Message>) -> Self {
        Self { manager, message, extras: Extras::default() }
    }

    /// Sends a message directly before this one, with this request only: search results, the date. It is counted and
    /// shown in the plan, and never recorded.
    pub fn context(mut self, message: impl Into<Message>) -> Self {
        self.extras.context.push(message.into());
        self
    }

    /// A parameter of this request, sent as given, in the place of the manager's.
    pub fn param(mut self, name: &str, value: impl Into<RawJson>) -> Self {
        self.extras.params.set(name, value);
        self
    }

    typed_params!();

    /// What would be sent: the dry run. Nothing is recorded.
    ///
    /// # Errors
    /// As [`Planner::plan`](crate::Planner::plan);
    /// [`ErrorKind::UnansweredCalls`](crate::ErrorKind::UnansweredCalls) for another message than a result where the
    /// conversation ends in calls without results;
    /// [`ErrorKind::InvalidMessage`](crate::ErrorKind::InvalidMessage) for a message that could not be sent: a result that
    /// no call waits for, or one of several that are missing, and calls without results;
    /// [`ErrorKind::InvalidParam`](crate::ErrorKind::InvalidParam).
    pub fn plan(self) -> Result<Plan> {
        self.plan_staged(&self.stage()?)
    }

    /// The request that would be sent, as it goes over the wire. Nothing is recorded.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn dry_run(self) -> Result<ChatRequest> {
        Ok(self.plan()?.request())
    }

    /// The record with the message behind it.
    pub(super) fn stage(&self) -> Result<Conversation> {
        let mut staged = self.manager.snapshot();
        check_staged(&staged, self.message.as_ref())?;
        if let Some(message) = &self.message {
            staged.push(message.clone());
        }
        Ok(staged)
    }

    pub(super) fn plan_staged(&self, staged: &Conversation) -> Result<Plan> {
        let shared = &self.manager.shared;
        let planner = self.planner()?;
        let strategy = &*shared.setup.strategy;
        shared.count(|ledger, memo| planner.plan_with(staged, ledger, strategy, memo, &self.extras))
    }

    /// The manager's planner, or one of its own where this reply may have another length.
    pub(super) fn planner(&self) -> Result<Cow<'_, Planner>> {
        let (shared, params) = (&self.manager.shared, &self.extras.params);
        check_params(params)?;
        if !params.states_longest_reply() {
            return Ok(Cow::Borrowed(&shared.planner));
        }
        let tools = shared.planner.fixed().0;
        Ok(Cow::Owned(shared.setup.planner(tools, &shared.setup.params.and(params))?))
    }

    async fn run(self) -> Result<Reply> {
        let started = Instant::now();
        let shared = Arc::clone(&self.manager.shared);
        let _sending = Sending::begin(&shared);
        // Closed only when the manager is gone, and this future holds it.
        let _turn = shared.queue.acquire().await;
        let (staged, plan, summaries) = self.plan_and_summarize().await?;
        let request = plan.request();

        let Some(backend) = &shared.setup.backend else {
            let error = BackendError::no_backend("the manager was built without a backend");
            return Err(FailedExchange::refused(request, error));
        };
        let asked = Instant::now();
        let reply = match backend.complete(request.clone()).await {
            Ok(reply) => reply.or_attempt(asked.elapsed()),
            Err(error) => return Err(FailedExchange::refused(request, error.or_attempt(asked.elapsed()))),
        };
        if let Some(why) = unusable(&reply) {
            return Err(FailedExchange::unusable(request, reply, &why));
        }
        let elapsed = started.elapsed();
        let repeated = shared.state(|state| state.last.as_ref().map_or(0, |last| plan.repeats(last)));
        let (asked, item_id) = match shared.state(|state| state.commit(staged, &plan, &reply)) {
            Ok(ids) => ids,
            Err(error) => return Err(FailedExchange::unrecorded(request, reply, &error)),
        };
        let unsaved = shared.autosave().await.map(Arc::new);
        let ChatReply { message, finish, usage, attempts, raw } = reply;
        let report = Report { plan, repeated, elapsed, attempts, summaries, unsaved };
        Ok(Reply { item_id, asked, message, finish, usage, raw, report })
    }
}

/// Why a reply is none: said by somebody else, or with nothing in it.
fn unusable(reply: &ChatReply) -> Option<String> {
    let message = &reply.message;
    if *message.role() != Role::Assistant {
        return Some("the reply is not an assistant's message".to_owned());
    }
    let is_empty =
        message.text().is_empty() && !message.has_calls() && message.refusal().is_none() && message.audio().is_none();
    let end = match &reply.finish {
        FinishReason::Length => "stopped at its largest size",
        FinishReason::ContentFilter => "stopped by a filter",
        FinishReason::Stop | FinishReason::ToolCalls | FinishReason::Other(_) => "it has no text, calls or refusal",
    };
    let billed = reply.usage.as_ref().map(|usage| match usage.reasoning_tokens {
        0 => format!(" ({} tokens)", usage.completion_tokens),
        reasoning => format!(" ({} tokens, {reasoning} of them reasoning)", usage.completion_tokens),
    });
    is_empty.then(|| format!("empty reply: {end}{}", billed.unwrap_or_default()))
}

impl State {
    /// Makes the staged record the record, with the reply behind it.
    fn commit(&mut self, mut staged: Conversation, plan: &Plan, reply: &ChatReply) -> Result<(ItemId, ItemId)> {
        let item_id = staged.push(reply.message.clone());
        plan.commit_marks(&mut staged)?;
        let asked = staged.get(item_id).and_then(crate::conversation::Item::parent).unwrap_or(item_id);
        self.file.conversation = staged;
        self.last = Some(plan.sent());
        Ok((asked, item_id))
    }
}

/// While it lives, the record cannot be changed by anybody else.
pub(super) struct Sending<'a>(&'a Shared);

impl<'a> Sending<'a> {
    /// For a send, which waits for others in the queue.
    fn begin(shared: &'a Shared) -> Self {
        shared.state(|state| state.sends += 1);
        Self(shared)
    }

    /// For a change, which does not wait.
    pub(super) fn alone(shared: &'a Shared) -> Result<Self> {
        shared.state(|state| match state.sends {
            0 => {
                state.sends = 1;
                Ok(Self(shared))
            }
            1 => Err(busy("a send or a change is under way")),
            sends => Err(busy(format_args!("a send is under way, and {} wait for their turn", sends - 1))),
        })
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.state(|state| state.sends -= 1);
    }
}

impl IntoFuture for Exchange {
    type Output = Result<Reply>;
    type IntoFuture = BoxFuture<'static, Result<Reply>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("message", &self.message).finish_non_exhaustive()
    }
}

impl Reply {
    /// What the model said.
    pub fn text(&self) -> Cow<'_, str> {
        self.message.text()
    }

    /// The calls it makes; empty when there are none.
    pub fn tool_calls(&self) -> &[crate::message::ToolCall] {
        self.message.tool_calls()
    }

    /// Why the model refuses, when it does.
    pub fn refusal(&self) -> Option<&str> {
        self.message.refusal()
    }

    /// Whether the reply was cut off, by its largest size or by a filter.
    pub fn is_cut_off(&self) -> bool {
        matches!(self.finish, FinishReason::Length | FinishReason::ContentFilter)
    }

    /// Reads the text as JSON of a type of yours, for structured output.
    ///
    /// # Errors
    /// What `serde_json` says.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.text())
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}
