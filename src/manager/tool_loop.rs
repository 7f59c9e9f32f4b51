//! `ToolLoop`: runs the calls of a model until it answers without calls.

use std::fmt;
use std::future::IntoFuture;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::ConversationManager;
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
use crate::message::Message;
use crate::text::counted;

/// A message and all tool calls that result from it. When awaited, the message is sent, the model's
/// calls are run, their results are sent, and so on until the model answers without calls. That
/// answer is the reply. Each exchange is recorded on its own; the whole loop holds the send permit.
///
/// A handler's error becomes the result of its call (`Error: …`), so that the model can react;
/// [`stop_on_error`](Self::stop_on_error) ends the loop instead. A call whose arguments are not a
/// JSON object, or that has no name, is answered with a description of the error, and no handler is
/// called. An unknown name is passed to the handler. While the loop runs, the user's message and
/// the newest calls with their results are part of every request. (Servers that require the model's
/// reasoning back beside its calls, such as `DeepSeek`, receive it with
/// [`Dialect::send_fields`](crate::backend::Dialect::send_fields).)
///
/// # When a loop is stopped
/// After an error, a dropped future or a killed process, no call that has run is run again. The
/// start of each call is recorded before its handler is called, and its result when the handler has
/// ended; with [autosave](crate::Builder::autosave), the start is on the disk before the handler is
/// called. [`resume_tools`](ConversationManager::resume_tools), in this process or after loading
/// the file, runs the calls that have not run and sends all results. A call that was started and
/// has no result has an unknown outcome: the handler may have done its work or not. It is an error
/// of the kind [`OutcomeUnknown`](ErrorKind::OutcomeUnknown), and runs again only with
/// [`rerun_unknown`](Self::rerun_unknown). [`open_calls`](ConversationManager::open_calls) shows
/// the state of each call.
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
/// - [`ErrorKind::Io`] or [`ErrorKind::Conflict`] if the start of a call could not be saved; the
///   call is then not run.
///
/// The record then ends in the calls, and [`resume_tools`](ConversationManager::resume_tools)
/// continues.
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
    first: Option<Exchange>,
    /// The template of every further exchange: the manager, and what is added to each request.
    next: Exchange,
    how: HowToRun,
    rounds: usize,
    on_event: Option<Show>,
}

type Show = Box<dyn FnMut(&ChatEvent) + Send>;

impl ToolLoop {
    pub(super) fn new(manager: &ConversationManager, first: Option<Ask>, handler: impl ToolHandler + 'static) -> Self {
        Self {
            first: first.map(|ask| Exchange::new(manager, ask)),
            next: Exchange::new(manager, Ask::Reply),
            how: HowToRun {
                handler: Arc::new(handler),
                parallel: usize::MAX,
                stops_on_error: false,
                reruns_unknown: false,
            },
            rounds: 10,
            on_event: None,
        }
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

    /// Ends the loop with [`ErrorKind::ToolFailed`] if a handler fails. Default: the failure is
    /// sent to the model as the result. Calls that run at the same time are waited for, so that
    /// their results are kept; no others are started. The failed call has no result, and
    /// [`resume_tools`](ConversationManager::resume_tools) runs it again.
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

    fn each(mut self, change: impl Fn(Exchange) -> Exchange) -> Self {
        self.first = self.first.map(&change);
        self.next = change(self.next);
        self
    }

    async fn run(mut self) -> Result<Reply> {
        let turn = SendPermit::wait(self.next.shared()).await;
        let has_open_calls = || !open_calls(&self.next.manager.snapshot()).is_empty();
        let mut asked = match self.first.take() {
            None if has_open_calls() => None,
            None => Some(self.next.clone()),
            first => first,
        };
        for round in 0.. {
            if let Some(exchange) = asked.take() {
                let reply = self.send(exchange, &turn).await?;
                if !reply.message.has_calls() {
                    return Ok(reply);
                }
            }
            if round >= self.rounds {
                break;
            }
            let results = run_open_calls(self.next.shared(), &self.how).await?;
            asked = Some(Exchange { ask: Ask::Results(results), ..self.next.clone() });
        }
        Err(too_many(self.rounds))
    }

    async fn send(&mut self, exchange: Exchange, turn: &Arc<SendPermit>) -> Result<Reply> {
        let turn = Some(Arc::clone(turn));
        let Some(show) = &mut self.on_event else { return exchange.run_in(turn).await };
        let mut stream = exchange.stream_in(turn).await?;
        while let Some(event) = stream.next().await {
            show(&event?);
        }
        stream.finish().await
    }
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
