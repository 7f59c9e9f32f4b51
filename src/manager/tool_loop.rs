//! `ToolLoop`: runs the calls of a model until it answers without calls.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::approval::{Approval, Approver};
use super::exchange::Exchange;
use super::handler::ToolHandler;
use super::open_calls::open_calls;
use super::params::typed_params;
use super::queue::SendPermit;
use super::reply::Reply;
use super::round::{HowToRun, run_open_calls};
use super::staged::Ask;
use crate::backend::{BoxFuture, ChatEvent};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::message::{Message, Role, ToolCall};
use crate::plan::Plan;
use crate::text::counted;

/// A message and all tool calls that result from it. When awaited, the message is sent, the model's
/// calls are run, their results are sent, and so on until the model answers without calls. That
/// answer is the reply. Each exchange is recorded on its own; the whole loop holds the send permit.
///
/// A handler's error becomes the result of its call (`Error: …`), so that the model can react;
/// [`stop_on_error`](Self::stop_on_error) ends the loop instead. A panic of a handler is caught
/// (unless the program aborts on panics) and treated as an error: the model is told that the tool
/// panicked and may have done part of its work, not the panic's text. A call whose arguments are
/// not a JSON object, or that has no name, is answered with a description of the error, and no
/// handler is called. A [`ToolSet`](crate::ToolSet) answers unknown names and arguments that do not
/// fit in the same way; to a function, an unknown name is passed. [`approve`](Self::approve) asks
/// before calls run. While the loop runs, the user's message and the newest calls with their
/// results are part of every request.
///
/// # Tool definitions
/// The definitions of a [`ToolSet`](crate::ToolSet) are sent with every request of the loop in the
/// place of the manager's, so the manager needs none. Where it has none, the set's are also saved
/// with the conversation, so that `turnwise plan` counts them; a [`send`](crate::ConversationManager::send)
/// outside a loop is sent without them, also after the conversation is loaded again. A function
/// brings no definitions: give them to [`Builder::tools`](crate::Builder::tools).
///
/// # When a loop is stopped
/// After an error, a dropped future or a killed process, no call that has run is run again. The
/// start of each call is recorded before its handler is called, and its result when the handler has
/// ended; with [autosave](crate::Builder::autosave), the start is on the disk before the handler is
/// called. [`resume_tools`](crate::ConversationManager::resume_tools), in this process or after
/// loading the file, runs the calls that have not run and sends all results. A call that was
/// started and has no result has an unknown outcome: the handler may have done its work or not. It
/// is an error of the kind [`OutcomeUnknown`](ErrorKind::OutcomeUnknown), and runs again only with
/// [`rerun_unknown`](Self::rerun_unknown). [`open_calls`](crate::ConversationManager::open_calls)
/// shows the state of each call.
///
/// Some servers of reasoning models require the reasoning back with the results of the calls, in
/// the field in which they sent it (`DeepSeek` and Moonshot in `reasoning_content`), and refuse the
/// request without it. Such fields are kept in the record, and sent with
/// [`Dialect::send_fields`](crate::Dialect::send_fields) or a [preset](crate::Dialect::preset).
///
/// # Errors
/// When awaited, those of an [`Exchange`], and:
/// - [`ErrorKind::Limit`] if the model still calls after the last round.
/// - [`ErrorKind::ToolFailed`] if a handler failed and the loop stops at failures.
/// - [`ErrorKind::OutcomeUnknown`], before anything is run, if a call was started earlier and has
///   no result.
/// - [`ErrorKind::NothingToResume`] if a loop is resumed that has already ended in an answer.
/// - [`ErrorKind::ApprovalNeeded`], before any call of the reply is run, if a person must decide;
///   [`ErrorKind::InvalidApproval`] if not every call was decided.
/// - [`ErrorKind::Io`] or [`ErrorKind::Conflict`] if the start of a call could not be saved; the
///   call is then not run.
///
/// The record then ends in the calls, and
/// [`resume_tools`](crate::ConversationManager::resume_tools) continues;
/// [`abandon_calls`](crate::ConversationManager::abandon_calls) closes them, so that the user can
/// send something else.
///
/// # Examples
/// ```
/// use turnwise::backend::Scripted;
/// use turnwise::{ConversationManager, ToolCall};
///
/// # futures_lite::future::block_on(async {
/// let calls = ["Oslo", "Rome"].map(|city| ToolCall::function(city, "weather", &format!("{{\"city\":\"{city}\"}}")));
/// let backend = Scripted::default().and(calls).and("It rains in both.");
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
///
/// let weather = |call: ToolCall| async move { format!("rain, for {}", call.arguments()) };
/// let reply = chat.run_tools("How is the weather in Oslo and in Rome?", weather).rounds(4).await?;
/// assert_eq!(reply.text(), "It rains in both.");
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[must_use = "the calls are run when the loop is awaited"]
pub struct ToolLoop {
    shared: Arc<Shared>,
    first: Option<Exchange>,
    /// The template of every further exchange: what is added to each request.
    next: Exchange,
    how: HowToRun,
    rounds: usize,
    on_event: Option<Show>,
}

type Show = Box<dyn FnMut(&ChatEvent) + Send>;

impl ToolLoop {
    pub(super) fn new(shared: &Arc<Shared>, first: Option<Ask>, handler: impl ToolHandler + 'static) -> Self {
        let tools = handler.definitions();
        let tool_loop = Self {
            shared: Arc::clone(shared),
            first: first.map(|ask| Exchange::new(shared, ask)),
            next: Exchange::new(shared, Ask::Reply),
            how: HowToRun {
                handler: Arc::new(handler),
                approver: None,
                parallel: usize::MAX,
                time_limit: None,
                stops_on_error: false,
                reruns_unknown: false,
            },
            rounds: 10,
            on_event: None,
        };
        if tools.is_empty() { tool_loop } else { tool_loop.each(|exchange| exchange.tools(tools.clone())) }
    }

    /// The most rounds, that is, how often results may be sent. Default 10.
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// The most calls to run at the same time. Default: all calls of a reply. Results are sent in
    /// the order of the calls.
    ///
    /// Set it to 1 for handlers that ask a person, or that must not overlap.
    pub fn parallel(mut self, calls: NonZeroUsize) -> Self {
        self.how.parallel = calls.get();
        self
    }

    /// Asks before calls run. `decide` is given all calls of a reply before the first of them runs,
    /// and gives one [`Approval`] for each, in their order: run it, refuse it with a reason that
    /// the model is told, or stop. Calls that cannot run are answered without asking: without a
    /// name, with arguments that are not a JSON object, and what
    /// [`ToolHandler::check`] refuses, for a [`ToolSet`](crate::ToolSet) unknown tools and
    /// arguments that do not fit. Another number of decisions than of calls is
    /// [`ErrorKind::InvalidApproval`], and nothing runs. Default: all calls run.
    ///
    /// An `async` closure cannot capture a state; [`approve_with`](Self::approve_with) hands one
    /// over.
    ///
    /// A decision that looks at one call at a time and waits for nothing is shorter with
    /// [`approve_each`](Self::approve_each).
    ///
    /// When one decision is [`Approval::Stop`], no call of the reply runs, and the loop ends in an
    /// error of the kind [`ErrorKind::ApprovalNeeded`]. The record ends in the calls:
    /// [`Error::calls`](crate::Error::calls) has those that were not decided, and later
    /// [`open_calls`](crate::ConversationManager::open_calls) shows all of them to a person.
    /// [`resume_tools`](crate::ConversationManager::resume_tools) asks again, at any time and also
    /// in another process that has [loaded](crate::Builder::resume) the conversation. Decisions are
    /// not recorded: a loop that was stopped while its calls ran asks again about those that have
    /// not.
    ///
    /// # Examples
    /// ```
    /// use turnwise::manager::Approval;
    /// use turnwise::{ConversationManager, ErrorKind, ToolCall, backend::Scripted};
    ///
    /// # futures_lite::future::block_on(async {
    /// let calls = ["look_up", "refund", "delete"].map(|name| ToolCall::function(name, name, "{}"));
    /// let backend = Scripted::default().and(calls).and("Refunded.");
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let run = async |call: ToolCall| format!("{} done", call.name());
    ///
    /// let stopped = chat.run_tools("Refund my order.", run).approve(async |calls| {
    ///     let ask = |call: &ToolCall| call.name() != "look_up";
    ///     calls.iter().map(|call| if ask(call) { Approval::Stop } else { Approval::Allow }).collect()
    /// });
    /// assert_eq!(stopped.await.unwrap_err().kind(), ErrorKind::ApprovalNeeded);
    /// assert_eq!(chat.open_calls().len(), 3, "nothing was run");
    ///
    /// // Later, when a person has decided:
    /// let resumed = chat.resume_tools(run).approve(async |calls| {
    ///     let decide = |call: &ToolCall| match call.name() {
    ///         "delete" => Approval::refuse("only the owner may delete"),
    ///         _ => Approval::Allow,
    ///     };
    ///     calls.iter().map(decide).collect()
    /// });
    /// assert_eq!(resumed.await?.text(), "Refunded.");
    /// assert_eq!(chat.history()[4].text(), "Error: not approved: only the owner may delete");
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn approve<F, R>(mut self, decide: F) -> Self
    where
        F: Fn(Vec<ToolCall>) -> R + Send + Sync + 'static,
        R: Future<Output = Vec<Approval>> + Send + 'static,
    {
        self.how.approver = Some(Approver::new(decide));
        self
    }

    /// Decides about each call on its own, with a closure that may capture a state: the short form
    /// of [`approve`](Self::approve), for decisions that need no waiting.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{Approval, ConversationManager, ToolCall, backend::Scripted};
    ///
    /// # futures_lite::future::block_on(async {
    /// let calls = ["look_up", "refund"].map(|name| ToolCall::function(name, name, "{}"));
    /// let backend = Scripted::default().and(calls).and("A colleague will refund it.");
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let agent = chat.run_tools("Refund my order.", async |_: ToolCall| "done");
    /// let agent = agent.approve_each(|call| match call.name() {
    ///     "refund" => Approval::refuse("a person must agree"),
    ///     _ => Approval::Allow,
    /// });
    /// println!("{}", agent.await?);
    /// assert_eq!(chat.history()[3].text(), "Error: not approved: a person must agree");
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn approve_each(self, decide: impl Fn(&ToolCall) -> Approval + Send + Sync + 'static) -> Self {
        self.approve(move |calls| std::future::ready(calls.iter().map(&decide).collect()))
    }

    /// Like [`approve`](Self::approve), with a state of which a clone is given to `decide` each
    /// time: an `Arc`, a channel, a handle to a user interface.
    ///
    /// # Examples
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use turnwise::{Approval, ConversationManager, ToolCall, backend::Scripted};
    ///
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::default().and([ToolCall::function("1", "refund", "{}")]).and("Refunded.");
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let asked = Arc::new(Mutex::new(Vec::new()));
    /// let agent = chat.run_tools("Refund my order.", async |_: ToolCall| "done");
    /// let agent = agent.approve_with(Arc::clone(&asked), async |asked, calls| {
    ///     asked.lock().unwrap().extend(calls.iter().map(|call| call.name().to_owned()));
    ///     vec![Approval::Allow; calls.len()]
    /// });
    /// agent.await?;
    /// assert_eq!(*asked.lock().unwrap(), ["refund"]);
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn approve_with<S, F, R>(self, state: S, decide: F) -> Self
    where
        S: Clone + Send + Sync + 'static,
        F: Fn(S, Vec<ToolCall>) -> R + Send + Sync + 'static,
        R: Future<Output = Vec<Approval>> + Send + 'static,
    {
        self.approve(move |calls| decide(state.clone(), calls))
    }

    /// How long each call may run. A call that takes longer is dropped, and its result tells the
    /// model so; with [`stop_on_error`](Self::stop_on_error) the loop ends, and the outcome of the
    /// call stays [unknown](ErrorKind::OutcomeUnknown), because it may have done its work. It works
    /// on every executor: a thread waits. Default: no limit.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.how.time_limit = Some(limit);
        self
    }

    /// Ends the loop with [`ErrorKind::ToolFailed`] if a handler fails. Default: the failure is
    /// sent to the model as the result. Calls that run at the same time are waited for, so that
    /// their results are kept; no others are started. The failed call has no result, and
    /// [`resume_tools`](crate::ConversationManager::resume_tools) runs it again. A call whose
    /// handler panicked may have done its work, so its outcome stays
    /// [unknown](ErrorKind::OutcomeUnknown); the panic's text is the error's source.
    pub fn stop_on_error(mut self) -> Self {
        self.how.stops_on_error = true;
        self
    }

    /// Runs calls again that were started and have no result, because a loop or its process was
    /// stopped while their handlers ran. Default: they are an error of the kind
    /// [`OutcomeUnknown`](ErrorKind::OutcomeUnknown).
    pub fn rerun_unknown(mut self) -> Self {
        self.how.reruns_unknown = true;
        self
    }

    /// Streams every reply and passes its events to `show` as they arrive. A reply that breaks off
    /// is not kept in part.
    ///
    /// # Examples
    /// ```
    /// # use turnwise::{ConversationManager, ToolCall, backend::Scripted};
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["It rains."]);
    /// # let tools = |_: ToolCall| async { "rain" };
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let tool_loop = chat.run_tools("How is the weather in Oslo?", tools);
    /// let reply = tool_loop.on_event(|event| print!("{}", event.text().unwrap_or_default())).await?;
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn on_event(mut self, show: impl FnMut(&ChatEvent) + Send + 'static) -> Self {
        self.on_event = Some(Box::new(show));
        self
    }

    /// Sends a message with every request of the loop, directly before the required messages; see
    /// [`Exchange::context`].
    pub fn context(self, message: impl Into<Message>) -> Self {
        let message = message.into();
        self.each(|exchange| exchange.context(message.clone()))
    }

    /// A parameter of every request of the loop; see [`Exchange::param`].
    pub fn param(self, name: &str, value: impl Into<RawJson>) -> Self {
        let value = value.into();
        self.each(|exchange| exchange.param(name, value.clone()))
    }

    typed_params!();

    /// Runs the loop, and reads the last reply as a type of yours, whose JSON schema is sent with
    /// every request; see [`Exchange::parse`](super::Exchange::parse).
    ///
    /// # Errors
    /// As the loop itself, and as [`Reply::parse`]; the exchanges are recorded then.
    #[cfg(feature = "schemars")]
    pub async fn parse<T: serde::de::DeserializeOwned + schemars::JsonSchema>(self) -> Result<T> {
        self.each(Exchange::schema::<T>).await?.parse()
    }

    /// What the first request of the loop would send (a dry run), with the loop's tools. Nothing is
    /// recorded or run.
    ///
    /// # Errors
    /// Those of [`Exchange::plan`]. A resumed loop whose first request depends on calls that are
    /// still open is [`ErrorKind::UnansweredCalls`].
    pub fn plan(self) -> Result<Plan> {
        self.first.unwrap_or(self.next).plan()
    }

    /// Runs the loop on a task of its own. After an
    /// [`abort`](tokio::task::JoinHandle::abort), wait for the handle before you change the record;
    /// see [`Exchange::spawn`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[cfg(feature = "openai")]
    pub fn spawn(self) -> tokio::task::JoinHandle<Result<Reply>> {
        tokio::spawn(self.into_future())
    }

    fn each(mut self, change: impl Fn(Exchange) -> Exchange) -> Self {
        self.first = self.first.map(&change);
        self.next = change(self.next);
        self
    }

    /// A conversation whose manager has no tools is saved with those of its last loop.
    fn note_tools(&self) {
        let tools = self.how.handler.definitions();
        if !tools.is_empty() && self.shared.planner.tools_and_params().0.is_empty() {
            self.shared.state(|state| state.file.set_tools(tools, true));
        }
    }

    async fn run(mut self) -> Result<Reply> {
        let permit = SendPermit::wait(&self.shared).await;
        self.note_tools();
        let mut asked = match self.first.take() {
            Some(first) => Some(first),
            None => self.resumed()?,
        };
        let mut failures = Vec::new();
        for round in 0.. {
            if let Some(exchange) = asked.take() {
                let mut reply = self.send(exchange, &permit).await?;
                if !reply.message.has_calls() {
                    reply.report.failed_calls = failures;
                    return Ok(reply);
                }
            }
            if round >= self.rounds {
                break;
            }
            let results = run_open_calls(&self.shared, &self.how, &mut failures).await?;
            asked = Some(self.next.clone().asking(Ask::Results(results)));
        }
        let open = open_calls(&self.shared.record()).into_iter().map(|open| open.call);
        Err(too_many(self.rounds).of_calls(open))
    }

    /// What a loop that was stopped asks first: nothing while calls are open, else for a reply.
    fn resumed(&self) -> Result<Option<Exchange>> {
        let record = self.shared.record();
        if !open_calls(&record).is_empty() {
            return Ok(None);
        }
        match record.path().messages().last() {
            Some(last) if *last.role() == Role::Assistant && !last.has_calls() => Err(finished()),
            _ => Ok(Some(self.next.clone())),
        }
    }

    async fn send(&mut self, exchange: Exchange, permit: &Arc<SendPermit>) -> Result<Reply> {
        let permit = Some(Arc::clone(permit));
        let Some(show) = &mut self.on_event else { return exchange.run_in(permit).await };
        let mut stream = exchange.stream_in(permit).await?;
        while let Some(event) = stream.next().await {
            show(&event?);
        }
        stream.finish().await
    }
}

fn finished() -> Error {
    let detail = "the conversation ends in the model's answer, so its tool loop has finished; that answer is the last \
                  message of `history()`. Send a message, or ask for one more answer with `reply()`";
    Error::new(ErrorKind::NothingToResume, detail)
}

fn too_many(rounds: usize) -> Error {
    let detail = format!(
        "the model still calls tools after {}; the calls are in the record, and `resume_tools` continues",
        counted(rounds, "round")
    );
    Error::new(ErrorKind::Limit, detail)
}

impl IntoFuture for ToolLoop {
    type Output = Result<Reply>;
    type IntoFuture = BoxFuture<'static, Result<Reply>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for ToolLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolLoop")
            .field("rounds", &self.rounds)
            .field("parallel", &self.how.parallel)
            .finish_non_exhaustive()
    }
}
