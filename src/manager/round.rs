//! `Round`: runs the calls of one reply. The start of each call is recorded before its handler is
//! called, and the result as soon as the handler ends; with autosave, both are saved at once.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::Shared;
use super::approval::{Approval, Approver};
use super::handler::{HandlerError, ToolHandler};
use super::observer::Observer;
use super::open_calls::{OpenCall, Outcome, calling_item, open_calls, results_elsewhere};
use super::reply::FailedCall;
use super::timer::within;
use crate::backend::BoxFuture;
use crate::conversation::{Conversation, ItemId};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Content, Message};
use crate::text::counted;

/// How calls are run.
pub(super) struct HowToRun {
    pub(super) handler: Arc<dyn ToolHandler>,
    pub(super) approver: Option<Approver>,
    pub(super) parallel: usize,
    pub(super) time_limit: Option<Duration>,
    pub(super) stops_on_error: bool,
    pub(super) reruns_unknown: bool,
}

type Running = FuturesUnordered<BoxFuture<'static, Ended>>;

/// A call whose handler has ended, or was dropped.
struct Ended {
    call: OpenCall,
    outcome: Result<Content, Failure>,
    time: Duration,
}

/// Why a call has no result.
enum Failure {
    Handler(HandlerError),
    /// It took longer than this.
    Late(Duration),
    /// It panicked with this text.
    Panicked(String),
}

/// The calls of one reply while they run.
pub(super) struct Round<'a> {
    how: &'a HowToRun,
    shared: Arc<Shared>,
    item: ItemId,
    waiting: VecDeque<OpenCall>,
    running: Running,
    failed: Option<Error>,
    /// The calls whose handlers failed while the loop goes on.
    failures: &'a mut Vec<FailedCall>,
    /// Whether the record has changes of this round that no save has started to write.
    is_unsaved: bool,
    is_saving: bool,
}

/// Runs the open calls at the end of the record that have not run yet, and returns the results of
/// all of them in the order of the calls. Calls whose handlers fail are added to `failures`. The
/// caller holds the send permit.
pub(super) async fn run_open_calls(
    shared: &Arc<Shared>,
    how: &HowToRun,
    failures: &mut Vec<FailedCall>,
) -> Result<Vec<Message>> {
    let record = shared.record();
    if let Some(item) = calling_item(&record) {
        let item = item.id();
        let mut round = Round::begin(shared, how, item, &record, failures)?;
        round.ask_approval().await?;
        round.run().await?;
    }
    let calls = open_calls(&shared.record());
    let result = |call: OpenCall| if let Outcome::Finished(result) = call.outcome { Some(result) } else { None };
    Ok(calls.into_iter().filter_map(result).collect())
}

impl<'a> Round<'a> {
    fn begin(
        shared: &Arc<Shared>,
        how: &'a HowToRun,
        item: ItemId,
        record: &Conversation,
        failures: &'a mut Vec<FailedCall>,
    ) -> Result<Self> {
        let mut round = Self {
            how,
            shared: Arc::clone(shared),
            item,
            waiting: VecDeque::new(),
            running: Running::new(),
            failed: None,
            failures,
            is_unsaved: false,
            is_saving: false,
        };
        let unfinished = open_calls(record).into_iter().filter(|call| !call.is_finished());
        let mut left: BTreeMap<usize, OpenCall> = unfinished.map(|call| (call.place, call)).collect();
        for (place, result) in results_elsewhere(record, item) {
            if left.remove(&place).is_some() {
                round.note_result(place, result);
            }
        }
        let unknown: Vec<&OpenCall> = left.values().filter(|call| call.outcome == Outcome::Started).collect();
        if !unknown.is_empty() && !how.reruns_unknown {
            return Err(outcome_unknown(&unknown));
        }
        for call in left.into_values() {
            match call.refusal().or_else(|| how.handler.check(&call.call).err()) {
                Some(why) => round.note_result(call.place, call.refused(&why)),
                None => round.waiting.push_back(call),
            }
        }
        Ok(round)
    }

    /// Asks which of the waiting calls may run. A refused one has its result.
    async fn ask_approval(&mut self) -> Result<()> {
        let Some(approver) = self.how.approver.as_ref().filter(|_| !self.waiting.is_empty()) else { return Ok(()) };
        let decisions = approver.decide(self.waiting.iter()).await?;
        for (call, decision) in std::mem::take(&mut self.waiting).into_iter().zip(decisions) {
            if let Approval::Refuse(why) = decision {
                self.note_result(call.place, call.refused(&format!("not approved: {why}")));
            } else {
                self.waiting.push_back(call);
            }
        }
        Ok(())
    }

    /// Runs the waiting calls. If a handler fails and the loop stops at failures, running calls are
    /// waited for, so that their results are not lost, and no others are started.
    async fn run(mut self) -> Result<()> {
        loop {
            let starting = self.start();
            let mut is_saved = true;
            if self.is_unsaved
                && let Some(error) = self.save().await
            {
                is_saved = false;
                if !starting.calls.is_empty() {
                    self.failed.get_or_insert_with(|| unsaved(error));
                }
            }
            if self.failed.is_none() {
                self.call_handlers(starting);
            } else {
                drop(starting);
            }
            if !self.running.is_empty() {
                poll_fn(|context| self.poll_finished(context)).await;
                continue;
            }
            let is_over = self.failed.is_some() || self.waiting.is_empty();
            if is_over && (!self.is_unsaved || !is_saved) {
                return self.failed.take().map_or(Ok(()), Err);
            }
        }
    }

    /// Calls the handlers. If an observer panics, the calls after it count as not started.
    fn call_handlers(&mut self, mut starting: Starting) {
        let was_unsaved = self.is_unsaved;
        while let Some(call) = starting.calls.pop_front() {
            self.is_unsaved |= !starting.calls.is_empty();
            self.tell(|observer, id| observer.call_started(id, &call.call));
            let running = caught(|| self.how.handler.run(call.call.clone()));
            self.running.push(Box::pin(run_one(call, running, self.how.time_limit)));
        }
        self.is_unsaved = was_unsaved;
    }

    /// Records the start of the calls that may start now.
    fn start(&mut self) -> Starting {
        let room = match self.failed {
            None => self.how.parallel.saturating_sub(self.running.len()).min(self.waiting.len()),
            Some(_) => 0,
        };
        let calls: VecDeque<OpenCall> = self.waiting.drain(..room).collect();
        for call in &calls {
            self.shared.state(|state| state.file.conversation.note_start(self.item, call.place));
        }
        self.is_unsaved |= !calls.is_empty();
        Starting { shared: Arc::clone(&self.shared), item: self.item, calls }
    }

    /// With autosave, saves while the handlers continue. Returns the error if that failed.
    async fn save(&mut self) -> Option<Error> {
        self.is_unsaved = false;
        self.is_saving = true;
        let shared = Arc::clone(&self.shared);
        let mut saving = pin!(shared.autosave());
        let error = poll_fn(|context| {
            let _ = self.poll_finished(context);
            saving.as_mut().poll(context)
        })
        .await;
        self.is_saving = false;
        self.is_unsaved |= error.is_some();
        error
    }

    /// Ready when at least one of the running calls has ended. Each result is recorded in the same
    /// poll, so a drop cannot lose it.
    fn poll_finished(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut has_ended = false;
        while let Poll::Ready(Some(ended)) = self.running.poll_next_unpin(context) {
            self.note(ended);
            has_ended = true;
        }
        if has_ended { Poll::Ready(()) } else { Poll::Pending }
    }

    fn note(&mut self, ended: Ended) {
        let Ended { call, outcome, time } = ended;
        match outcome {
            Ok(content) => self.note_ended(&call, content, time),
            Err(failure) if self.how.stops_on_error => {
                if let Failure::Handler(_) = failure {
                    self.shared.state(|state| state.file.conversation.forget_start(self.item, call.place));
                    self.is_unsaved = true;
                }
                let error = failed(&call, failure);
                self.tell(|observer, id| observer.call_ended(id, &call.call, Err(&error), time));
                self.failed.get_or_insert(error);
            }
            Err(failure) => {
                let reason = failure.to_string();
                self.note_ended(&call, format!("Error: {reason}").into(), time);
                self.failures.push(FailedCall { call: call.call, reason });
            }
        }
    }

    fn note_ended(&mut self, call: &OpenCall, content: Content, time: Duration) {
        let result = call.result(content);
        self.note_result(call.place, result.clone());
        self.tell(|observer, id| observer.call_ended(id, &call.call, Ok(&result), time));
    }

    fn tell(&self, what: impl Fn(&dyn Observer, &str)) {
        let observers = &self.shared.setup.observers;
        if !observers.is_empty() {
            let record = self.shared.record();
            observers.tell(|observer| what(observer, record.id()));
        }
    }

    fn note_result(&mut self, place: usize, result: Message) {
        let item = self.item;
        self.shared.state(|state| state.file.conversation.note_result(item, place, result));
        self.is_unsaved = true;
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        if self.is_unsaved || self.is_saving {
            // A drop cannot wait for the save.
            let _ = self.shared.begin_to_save();
        }
    }
}

/// Calls that are recorded as started and whose handlers are not called yet. Dropping this undoes
/// that; calls whose outcome was unknown before stay unknown.
struct Starting {
    shared: Arc<Shared>,
    item: ItemId,
    calls: VecDeque<OpenCall>,
}

impl Drop for Starting {
    fn drop(&mut self) {
        for call in self.calls.iter().filter(|call| call.outcome == Outcome::Waiting) {
            self.shared.state(|state| state.file.conversation.forget_start(self.item, call.place));
        }
    }
}

/// Runs one call, for as long as it may take.
async fn run_one(
    call: OpenCall,
    running: Result<BoxFuture<'static, Result<Content, HandlerError>>, Failure>,
    limit: Option<Duration>,
) -> Ended {
    let begun = Instant::now();
    let outcome = match running {
        Ok(running) => outcome(running, limit).await,
        Err(failure) => Err(failure),
    };
    Ended { call, outcome, time: begun.elapsed() }
}

async fn outcome(
    mut running: BoxFuture<'static, Result<Content, HandlerError>>,
    limit: Option<Duration>,
) -> Result<Content, Failure> {
    let running = poll_fn(move |context| match caught(|| running.as_mut().poll(context)) {
        Ok(polled) => polled.map_err(Failure::Handler),
        Err(panicked) => Poll::Ready(Err(panicked)),
    });
    let Some(limit) = limit else { return running.await };
    match within(limit, running).await {
        Ok(Some(done)) => done,
        Ok(None) => Err(Failure::Late(limit)),
        Err(error) => Err(Failure::Handler(error.into())),
    }
}

/// What code of a handler returns, or its panic as a failure. The panic has been reported by the
/// program's panic hook. The handler may be called again: a lock that was poisoned stays so.
fn caught<T>(act: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Failure::Panicked(text.unwrap_or("a panic without a text").to_owned())
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler(error) => error.fmt(f),
            Self::Late(limit) => {
                let seconds = limit.as_secs_f32();
                write!(f, "no result within {seconds} s; the call was stopped, and may have done part of its work")
            }
            Self::Panicked(_) => f.write_str("the tool panicked, and may have done part of its work"),
        }
    }
}

fn failed(call: &OpenCall, failure: Failure) -> Error {
    let named = call.named();
    let error = match failure {
        Failure::Handler(error) => Error::new(ErrorKind::ToolFailed, format!("the call {named} failed")).because(error),
        Failure::Panicked(text) => {
            Error::new(ErrorKind::ToolFailed, format!("the call {named} panicked, and may have done part of its work"))
                .because(HandlerError::from(text))
        }
        late @ Failure::Late(_) => Error::new(ErrorKind::ToolFailed, format!("the call {named}: {late}")),
    };
    error.of_calls([call.call.clone()])
}

fn unsaved(error: Error) -> Error {
    let detail = format!("the start of a call could not be saved, so the call was not run: {}", error.detail());
    Error::new(error.kind(), detail).because(error)
}

fn outcome_unknown(calls: &[&OpenCall]) -> Error {
    const MOST: usize = 8;
    let names: Vec<String> = calls.iter().take(MOST).map(|call| call.named()).collect();
    let more = if calls.len() > MOST { ", …" } else { "" };
    let detail = format!(
        "{} started but not finished, so it is not known what was done: {}{more}; find out, then \
         run them again with `rerun_unknown()`, or `push` a result for each and resume",
        counted(calls.len(), "call"),
        names.join(", "),
    );
    Error::new(ErrorKind::OutcomeUnknown, detail).of_calls(calls.iter().map(|open| open.call.clone()))
}
