//! `Round`: runs the calls of one reply. The start of each call is recorded before its handler is
//! called, and the result as soon as the handler ends; with autosave, both are saved at once.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::Shared;
use super::handler::{HandlerError, ToolHandler};
use super::open_calls::{OpenCall, Outcome, calling_item, open_calls, results_elsewhere};
use crate::backend::BoxFuture;
use crate::conversation::{Conversation, ItemId};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Content, Message};
use crate::text::counted;

/// How calls are run.
pub(super) struct HowToRun {
    pub(super) handler: Arc<dyn ToolHandler>,
    pub(super) parallel: usize,
    pub(super) stops_on_error: bool,
    pub(super) reruns_unknown: bool,
}

type Running = FuturesUnordered<BoxFuture<'static, (OpenCall, Result<Content, HandlerError>)>>;

/// The calls of one reply while they run.
pub(super) struct Round<'a> {
    how: &'a HowToRun,
    shared: Arc<Shared>,
    item: ItemId,
    waiting: VecDeque<OpenCall>,
    running: Running,
    failed: Option<Error>,
    /// Whether the record has changes of this round that no save has started to write.
    is_unsaved: bool,
    is_saving: bool,
}

/// Runs the open calls at the end of the record that have not run yet, and returns the results of
/// all of them in the order of the calls. The caller holds the send permit.
pub(super) async fn run_open_calls(shared: &Arc<Shared>, how: &HowToRun) -> Result<Vec<Message>> {
    let record = shared.state(|state| state.file.conversation.clone());
    if let Some(item) = calling_item(&record) {
        let item = item.id();
        Round::begin(shared, how, item, &record)?.run().await?;
    }
    let calls = open_calls(&shared.state(|state| state.file.conversation.clone()));
    let result = |call: OpenCall| if let Outcome::Finished(result) = call.outcome { Some(result) } else { None };
    Ok(calls.into_iter().filter_map(result).collect())
}

impl<'a> Round<'a> {
    fn begin(shared: &Arc<Shared>, how: &'a HowToRun, item: ItemId, record: &Conversation) -> Result<Self> {
        let mut round = Self {
            how,
            shared: Arc::clone(shared),
            item,
            waiting: VecDeque::new(),
            running: Running::new(),
            failed: None,
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
            match call.refusal() {
                Some(why) => round.note_result(call.place, call.result(format!("Error: {why}"))),
                None => round.waiting.push_back(call),
            }
        }
        Ok(round)
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
                for call in starting.done() {
                    let running = self.how.handler.run(call.call.clone());
                    self.running.push(Box::pin(async move { (call, running.await) }));
                }
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

    /// Records the start of the calls that may start now.
    fn start(&mut self) -> Starting {
        let room = match self.failed {
            None => self.how.parallel.saturating_sub(self.running.len()).min(self.waiting.len()),
            Some(_) => 0,
        };
        let calls: Vec<OpenCall> = self.waiting.drain(..room).collect();
        for call in &calls {
            let (item, place) = (self.item, call.place);
            self.shared.state(|state| state.file.conversation.note_start(item, place));
        }
        self.is_unsaved |= !calls.is_empty();
        Starting { shared: Arc::clone(&self.shared), item: self.item, calls }
    }

    /// With autosave, saves while the handlers continue. Returns the error if that failed.
    async fn save(&mut self) -> Option<Error> {
        (self.is_unsaved, self.is_saving) = (false, true);
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
        while let Poll::Ready(Some((call, outcome))) = self.running.poll_next_unpin(context) {
            self.note(&call, outcome);
            has_ended = true;
        }
        if has_ended { Poll::Ready(()) } else { Poll::Pending }
    }

    fn note(&mut self, call: &OpenCall, outcome: Result<Content, HandlerError>) {
        match outcome {
            Ok(content) => self.note_result(call.place, call.result(content)),
            Err(error) if self.how.stops_on_error => {
                let (item, place) = (self.item, call.place);
                self.shared.state(|state| state.file.conversation.forget_start(item, place));
                self.is_unsaved = true;
                self.failed.get_or_insert_with(|| failed(call, error));
            }
            Err(error) => self.note_result(call.place, call.result(format!("Error: {error}"))),
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
    calls: Vec<OpenCall>,
}

impl Starting {
    /// The calls, which count as started from now on.
    fn done(mut self) -> Vec<OpenCall> {
        std::mem::take(&mut self.calls)
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        for call in self.calls.iter().filter(|call| call.outcome == Outcome::Waiting) {
            self.shared.state(|state| state.file.conversation.forget_start(self.item, call.place));
        }
    }
}

fn named(call: &OpenCall) -> String {
    match call.call.id() {
        Some(id) => format!("`{id}` of `{}`", call.call.name()),
        None => format!("of `{}`", call.call.name()),
    }
}

fn failed(call: &OpenCall, error: HandlerError) -> Error {
    Error::new(ErrorKind::ToolFailed, format!("the call {} failed", named(call))).because(error)
}

fn unsaved(error: Error) -> Error {
    let detail = format!("the start of a call could not be saved, so the call was not run: {}", error.detail());
    Error::new(error.kind(), detail).because(error)
}

fn outcome_unknown(calls: &[&OpenCall]) -> Error {
    const MOST: usize = 8;
    let names: Vec<String> = calls.iter().take(MOST).map(|call| named(call)).collect();
    let more = if calls.len() > MOST { ", …" } else { "" };
    let detail = format!(
        "{} started but not finished, so it is not known what was done: {}{more}; find out, then \
         run them again with `rerun_unknown()`, or `push` a result for each and resume",
        counted(calls.len(), "call"),
        names.join(", "),
    );
    Error::new(ErrorKind::OutcomeUnknown, detail)
}
