//! `Transaction`: an exchange in progress. It is planned, sent, and committed completely or not at
//! all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tracing::{Instrument, Span};

use super::failure::{FailedExchange, UnsavedExchange};
use super::input::{ExchangeInput, Planned};
use super::queue::SendPermit;
use super::reply::{Reply, Report};
use super::trace;
use super::{Shared, State};
use crate::backend::{Attempt, BackendError, BoxFuture, ChatBackend, ChatEvent, ChatReply, EventStream, FinishReason};
use crate::conversation::{Conversation, Item, ItemId};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Message, Role};
use crate::plan::Plan;
use crate::request::ChatRequest;
use crate::tokens::{Dollars, Forecast};

/// An exchange in progress. It holds the send permit. Dropping it before the commit leaves the
/// record unchanged.
pub(super) struct Transaction {
    permit: Arc<SendPermit>,
    input: ExchangeInput,
    started: Instant,
    /// When the request was sent.
    asked: Instant,
    planned: Planned,
    forecast: Forecast,
    /// Earlier requests, which were refused as too long and planned again.
    attempts: Vec<Attempt>,
    span: Span,
    /// Whether the exchange is committed, or its failure was reported. Until then a drop counts as
    /// a failed exchange: it is booked as a call that may be billed, and reported.
    is_told: bool,
}

/// The effects of a commit.
struct Committed {
    asked: ItemId,
    item_id: ItemId,
    /// How many tokens at the start of the request equal the start of the previous one.
    repeated: u64,
    /// The items that the previous request sent and this one did not.
    evicted: Vec<ItemId>,
}

/// The first part of a reply, and the rest of it.
pub(super) struct Events {
    pub(super) first: ChatEvent,
    pub(super) rest: EventStream,
    /// The time from the request to the first part.
    pub(super) waited: Duration,
}

impl Transaction {
    /// Waits for the send permit, unless it is given, and plans.
    pub(super) async fn open(input: ExchangeInput, permit: Option<Arc<SendPermit>>) -> Result<Self> {
        let started = Instant::now();
        let permit = match permit {
            Some(permit) => permit,
            None => SendPermit::wait(&input.shared).await,
        };
        let shared = &permit.shared;
        let span = trace::exchange(shared);
        let planned = match input.plan_to_send().instrument(span.clone()).await {
            Ok(planned) => planned,
            Err(error) => {
                shared.tell_failed(&span, &error);
                return Err(error);
            }
        };
        let id = planned.staged.id();
        let observers = &shared.setup.observers;
        observers.tell(|observer| observer.planned(id, &planned.plan));
        let forecast = shared.forecast(&planned.plan);
        let attempts = Vec::new();
        Ok(Self { permit, input, started, asked: started, planned, forecast, attempts, span, is_told: false })
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.planned.plan
    }

    pub(super) fn keeps_partial(&self) -> bool {
        self.input.keeps_partial
    }

    /// The whole reply.
    pub(super) async fn ask(&mut self) -> Result<ChatReply> {
        self.call(|backend, request| backend.complete(request)).await
    }

    /// The first part of the reply, and the rest while it arrives.
    pub(super) async fn ask_for_events(&mut self) -> Result<Events> {
        let begin = |backend: &dyn ChatBackend, request| -> BoxFuture<'static, _> {
            let stream = backend.stream(request);
            Box::pin(async move {
                let mut rest = stream.await?;
                match rest.next().await {
                    Some(first) => Ok((first?, rest)),
                    None => Err(nothing_came()),
                }
            })
        };
        let (first, rest) = self.call(begin).await?;
        Ok(Events { first, rest, waited: self.asked.elapsed() })
    }

    /// Sends the request; if it is too long, plans it again and sends it once more.
    async fn call<T>(
        &mut self,
        send: impl Fn(&dyn ChatBackend, ChatRequest) -> BoxFuture<'static, Result<T, BackendError>>,
    ) -> Result<T> {
        let shared = Arc::clone(&self.permit.shared);
        let Some(backend) = shared.setup.backend_in_use() else {
            return Err(self.refused(BackendError::no_backend(NO_BACKEND), None));
        };
        loop {
            let request = self.planned.plan.request();
            #[cfg(feature = "blobs")]
            let request = self.with_blobs(request)?;
            self.asked = Instant::now();
            let answer = send(&**backend, request).instrument(self.span.clone()).await;
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error.or_attempt(self.asked.elapsed()),
            };
            let is_overflow = error.kind() == ErrorKind::Overflow;
            if is_overflow {
                shared.learn_overflow(&self.forecast, &error);
            }
            let is_first = self.attempts.is_empty();
            if !(is_first && is_overflow && self.plan_smaller(&error)) {
                return Err(self.refused(error, None));
            }
            self.attempts.extend_from_slice(error.attempts());
        }
    }

    /// A request with the images and files that its plan refers to.
    #[cfg(feature = "blobs")]
    fn with_blobs(&mut self, request: ChatRequest) -> Result<ChatRequest> {
        let Some(folder) = self.permit.shared.setup.blobs.clone() else { return Ok(request) };
        let messages = crate::transcript::restored(&request.messages, &folder);
        let messages = messages.map_err(|error| self.tell_failed(error))?;
        Ok(ChatRequest { messages, ..request })
    }

    /// Plans again with what was learned from a request that was too long. Returns whether the new
    /// plan is smaller.
    fn plan_smaller(&mut self, error: &BackendError) -> bool {
        let shared = Arc::clone(&self.permit.shared);
        let before = self.planned.plan.tokens().total();
        let known = shared.state(|state| state.guess);
        if !self.is_explained(error) {
            // A smaller request than this one is the best guess.
            let guess = self.input.window_for(self.forecast.estimated.tokens / 4 * 3);
            shared.state(|state| state.guess = guess);
        }
        match self.input.plan_staged(&self.planned.staged, &self.planned.vectors) {
            Ok(plan) if plan.tokens().total() < before => {
                let id = self.planned.staged.id();
                shared.setup.observers.tell(|observer| observer.planned(id, &plan));
                self.forecast = shared.forecast(&plan);
                self.planned.plan = plan;
                true
            }
            _ => {
                // A guess that does not help says nothing about other requests.
                shared.state(|state| state.guess = known);
                false
            }
        }
    }

    /// Whether an answer says why the request was too long: it states what the request cost, or a
    /// limit that the request exceeds by our count.
    fn is_explained(&self, error: &BackendError) -> bool {
        let Some(limit) = error.limit().filter(|tokens| *tokens > 0) else { return false };
        let needed = self.input.window_for(self.forecast.tokens);
        error.prompt_tokens().is_some() || needed.is_none_or(|needed| needed > limit)
    }

    /// The error of a backend, with the part of the reply that has arrived.
    pub(super) fn refused(&mut self, error: BackendError, partial: Option<Message>) -> Error {
        let error = error.or_attempt(self.asked.elapsed());
        let attempts = [&self.attempts, error.attempts()].concat();
        if !attempts.is_empty() {
            self.permit.shared.spend_on_reply(attempts.len(), None, true);
        }
        let failed = FailedExchange { partial, ..self.failed() };
        let error = failed.refused(error.with_attempts(attempts), self.forecast.tokens);
        self.tell_failed(error)
    }

    fn failed(&self) -> FailedExchange {
        let recorded = self.permit.shared.state(|state| state.file.conversation.next_ordinal());
        let staged = (recorded..self.planned.staged.next_ordinal()).map(ItemId::from_index);
        let staged = staged.filter_map(|id| Some(self.planned.staged.get(id)?.message().clone()));
        FailedExchange::new(self.planned.plan.request(), staged.collect())
    }

    fn tell_failed(&mut self, error: Error) -> Error {
        self.is_told = true;
        self.permit.shared.tell_failed(&self.span, &error);
        error
    }

    /// Makes the staged record with the reply the current one, and saves it. The order:
    ///
    /// 1. The bill is booked, also of a reply that is not accepted.
    /// 2. A reply that cannot be recorded ends here: observers are told of the failure, and the
    ///    record is as before.
    /// 3. The staged record with the reply becomes the current one in memory, in one step under the
    ///    lock of the state. From here on `is_told` is set, so that a drop reports no failure.
    /// 4. Autosave writes the file on a thread of its own. If the future is
    ///    dropped here, [`Saving`] tells observers of the commit, and the thread goes on and
    ///    reports a failure itself.
    /// 5. Observers are told of the commit, then that it is not saved, if that is so.
    /// 6. Vectors of the new messages are made, if there is an embedder: in a task of its own, or
    ///    here outside a tokio runtime.
    /// 7. The send permit is released with `self`, unless a tool loop holds it too.
    pub(super) async fn commit(mut self, reply: ChatReply, first_event: Option<Duration>) -> Result<Reply> {
        let shared = Arc::clone(&self.permit.shared);
        let mut reply = reply.or_attempt(self.asked.elapsed());
        reply.attempts.splice(0..0, self.attempts.drain(..));
        let usable = usable(&reply);
        let cost = self.pay(&reply, usable.is_err());
        match usable {
            Ok(message) => reply.message = message,
            Err((kind, why)) => {
                let error = self.failed().unusable(reply, kind, &why);
                return Err(self.tell_failed(error));
            }
        }
        let elapsed = self.started.elapsed();
        let plan = &self.planned.plan;
        let Committed { asked, item_id, repeated, evicted } = match shared.commit(&self.planned, &reply.message) {
            Ok(committed) => committed,
            Err(why) => {
                let error = self.failed().unrecorded(reply, &why);
                return Err(self.tell_failed(error));
            }
        };
        self.is_told = true;
        let ChatReply { message, finish, usage, raw, attempts, half_characters } = reply;
        let report = Report {
            plan: plan.clone(),
            forecast: self.forecast,
            repeated,
            elapsed,
            first_event,
            attempts,
            cost,
            summaries: std::mem::take(&mut self.planned.summaries),
            embeddings: std::mem::take(&mut self.planned.embeddings),
            failed_calls: Vec::new(),
            half_characters,
            unsaved: None,
        };
        let conversation = shared.id.to_string();
        let mut reply = Reply { conversation, item_id, asked, message, finish, usage, raw, report };
        let mut saving = Saving { transaction: &self, reply: &reply, evicted: &evicted, is_over: false };
        let unsaved = shared.autosave().await;
        saving.is_over = true;
        drop(saving);
        reply.report.unsaved = unsaved.map(Arc::new);
        self.tell_committed(&reply, &evicted);
        shared.embed_after_exchange().await;
        match reply.report.unsaved.clone() {
            Some(error) => {
                self.span.in_scope(|| shared.tell_unsaved(&error));
                if shared.setup.requires_saved {
                    Err(UnsavedExchange::new(&shared, reply, error).into_error())
                } else {
                    Ok(reply)
                }
            }
            None => Ok(reply),
        }
    }

    /// Records the bill of a reply. Returns its cost, if that is known.
    fn pay(&self, reply: &ChatReply, failed: bool) -> Option<Dollars> {
        let shared = &self.permit.shared;
        if let Some(usage) = &reply.usage {
            shared.learn(&self.forecast, &self.planned.plan, usage.prompt_tokens);
        }
        shared.spend_on_reply(reply.attempts.len(), reply.usage.as_ref(), failed)
    }

    fn tell_committed(&self, reply: &Reply, evicted: &[ItemId]) {
        trace::committed(&self.span, reply);
        let id = self.planned.staged.id();
        self.permit.shared.setup.observers.tell(|observer| observer.committed(id, reply));
        self.tell_evicted(evicted);
    }

    fn tell_evicted(&self, items: &[ItemId]) {
        let id = self.planned.staged.id();
        if !items.is_empty() {
            self.permit.shared.setup.observers.tell(|observer| observer.evicted(id, items));
        }
    }

    /// Records the part of a reply that has arrived, marked as incomplete, and starts to save it.
    pub(super) fn commit_partial(&self, partial: &Message) {
        let shared = &self.permit.shared;
        if let Ok(committed) = shared.commit(&self.planned, &partial.clone().incomplete()) {
            self.tell_evicted(&committed.evicted);
            // A drop cannot wait for the save.
            shared.save_later();
        }
    }
}

/// An exchange that was recorded and is being saved. If it is dropped meanwhile, observers are
/// still told.
struct Saving<'a> {
    transaction: &'a Transaction,
    reply: &'a Reply,
    evicted: &'a [ItemId],
    /// Whether the wait for the save is over. Then the commit is reported by
    /// [`Transaction::commit`] and not by the drop of this.
    is_over: bool,
}

impl Drop for Saving<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.transaction.tell_committed(self.reply, self.evicted);
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.is_told {
            // The only wait is for an answer, so a request was in flight and may be billed.
            self.permit.shared.spend_on_reply(self.attempts.len() + 1, None, true);
            let error = Error::new(ErrorKind::Interrupted, "the exchange was dropped before its reply was complete");
            self.permit.shared.tell_failed(&self.span, &error);
        }
    }
}

/// The error if there is no backend.
const NO_BACKEND: &str = "the manager was built without one: set it with `Builder::backend`, or build the crate with its \
    feature `openai`, under which the default is the endpoint that OPENAI_BASE_URL and OPENAI_API_KEY name";

fn nothing_came() -> BackendError {
    BackendError::interrupted("the stream ended before anything arrived")
}

/// The message of a reply as it is recorded; an error if its role is not the assistant's, its calls
/// cannot be used, or it is empty.
fn usable(reply: &ChatReply) -> Result<Message, (ErrorKind, String)> {
    if *reply.message.role() != Role::Assistant {
        return Err((ErrorKind::Malformed, "the reply is not an assistant's message".to_owned()));
    }
    let message = reply.pass_gate().map_err(|stopped| (stopped.kind, stopped.why))?;
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
    if is_empty {
        Err((ErrorKind::Malformed, format!("empty reply: {end}{}", billed.unwrap_or_default())))
    } else {
        Ok(message)
    }
}

impl Shared {
    fn tell_failed(&self, span: &Span, error: &Error) {
        trace::failed(span, error);
        let id = self.state(|state| state.file.conversation.id().to_owned());
        self.setup.observers.tell(|observer| observer.failed(&id, error));
    }

    /// Makes the staged record with the reply the current one.
    fn commit(&self, planned: &Planned, reply: &Message) -> Result<Committed> {
        let Planned { staged, plan, vectors, new_vectors, .. } = planned;
        let mut staged = staged.clone();
        let item_id = staged.push(reply.clone());
        plan.commit_marks(&mut staged)?;
        let asked = staged.get(item_id).and_then(Item::parent).unwrap_or(item_id);
        let items = (!self.setup.observers.is_empty()).then(|| sent_items(plan));
        let sent = plan.sent();
        Ok(self.state(|state| {
            let repeated = state.last.as_ref().map_or(0, |last| plan.repeats(&sent, last));
            let evicted = items.map_or_else(Vec::new, |items| state.evicted(&staged, items));
            state.file.conversation = staged;
            for (item, vector) in new_vectors {
                state.file.vectors.put(vectors.by(), item, vector.clone());
            }
            state.last = Some(sent);
            Committed { asked, item_id, repeated, evicted }
        }))
    }
}

impl State {
    /// The items of the path that the previous request sent and this one does not.
    fn evicted(&mut self, staged: &Conversation, sent: Vec<ItemId>) -> Vec<ItemId> {
        let before = std::mem::replace(&mut self.sent, sent);
        let path = staged.path();
        let is_out = |id: &ItemId| path.position(*id).is_some() && self.sent.binary_search(id).is_err();
        before.into_iter().filter(is_out).collect()
    }
}

fn sent_items(plan: &Plan) -> Vec<ItemId> {
    plan.decisions().filter(|decision| decision.fate.is_sent()).filter_map(|decision| decision.item).collect()
}
