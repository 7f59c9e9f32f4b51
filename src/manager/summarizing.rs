//! Makes summaries before a request, or ahead of time.

use std::sync::Arc;

use super::input::{ExchangeInput, Planned};
use super::summarizer::{Made, SummaryCall, Work, attach};
use super::{ConversationManager, Shared};
use crate::conversation::Conversation;
use crate::error::Result;
use crate::plan::{Extras, Planner, SummaryRequest};

/// For how many sends not to ask again after summaries that were not accepted, or vectors that did
/// not come: 1, 3, 7, …, at most 31.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: u32,
    wait: u32,
}

impl Patience {
    /// Whether to ask now; each call counts as a send.
    pub(super) fn is_over(&mut self) -> bool {
        let is_over = self.wait == 0;
        self.wait = self.wait.saturating_sub(1);
        is_over
    }

    pub(super) fn learn(&mut self, is_made: bool) {
        self.failures = if is_made { 0 } else { (self.failures + 1).min(5) };
        self.wait = (1 << self.failures) - 1;
    }
}

impl ExchangeInput {
    /// The record with the new message, and its plan. If the plan requests a summary, it is made
    /// first, and then the vectors that it requests.
    pub(super) async fn plan_to_send(&self) -> Result<Planned> {
        let planned = self.plan_and_summarize().await?;
        self.plan_by_meaning(planned).await
    }

    async fn plan_and_summarize(&self) -> Result<Planned> {
        let staged = self.stage()?;
        let vectors = self.shared.vectors();
        let plan = self.plan_staged(&staged, &vectors)?;
        let shared = &self.shared;
        let is_time = || self.summarizes && shared.state(|state| state.patience.is_over());
        let Some(request) = plan.summary_request().filter(|_| is_time()) else {
            return Ok(Planned::new(staged, plan, Vec::new(), vectors));
        };
        let made = shared.summarize(&staged, request, &*self.planner()?).await;
        if !shared.take(&staged, &made)? {
            return Ok(Planned::new(staged, plan, made.calls, vectors));
        }
        // The summary was paid for, and stays even if the exchange fails.
        shared.save_later();
        let staged = self.stage()?;
        let plan = self.plan_staged(&staged, &vectors)?;
        Ok(Planned::new(staged, plan, made.calls, vectors))
    }
}

impl ConversationManager {
    /// Makes a summary ahead of time, so that a later [`send`](Self::send) need not wait for it, if
    /// the conversation fills more than `part` (0 to 1) of the budget and the strategy requests
    /// one. It may run in a task beside other work: exchanges that happen meanwhile are kept.
    /// Returns whether a summary was made. It is saved like an exchange, and
    /// [`Observer::unsaved`](super::Observer::unsaved) is called if that fails.
    ///
    /// # Errors
    /// Those of [`Planner::plan`]; a summary that cannot be made is not an error.
    pub async fn prepare(&self, part: f64) -> Result<bool> {
        let shared = Arc::clone(&self.shared);
        let record = self.snapshot();
        if record.path().is_empty() {
            return Ok(false);
        }
        let planner = shared.planner.trimming_above(part)?;
        let strategy = &*shared.setup.strategy;
        let extras = Extras { vectors: shared.vectors(), ..Extras::default() };
        let plan = shared.count(|ledger, cache| planner.plan_with(&record, ledger, strategy, cache, &extras))?;
        let Some(request) = plan.summary_request() else { return Ok(false) };
        let made = shared.summarize(&record, request, &planner).await;
        // A send in progress will commit a copy that was made before, so wait for it.
        let _turn = shared.queue.acquire().await;
        let is_made = shared.take(&record, &made)?;
        if is_made && let Some(error) = shared.autosave().await {
            shared.tell_unsaved(&error);
        }
        Ok(is_made)
    }
}

impl Shared {
    async fn summarize(&self, record: &Conversation, request: &SummaryRequest, planner: &Planner) -> Made {
        let Some(backend) = self.setup.backend_in_use().cloned() else { return Made::default() };
        let summarizer = &self.setup.summarizer;
        let model = &self.setup.model;
        let limit = planner.budget().limit;
        let paid = |call: &SummaryCall| {
            self.spend_on_summary(call);
            self.setup.observers.tell(|observer| observer.summarized(record.id(), call));
        };
        let dialect = planner.dialect_in_use();
        let work = Work { summarizer, backend, model, cost: planner.cost(), limit, dialect, paid: &paid };
        work.grant(record, request).await
    }

    /// Adds a summary to the record; it stays even if the exchange fails.
    fn take(&self, of: &Conversation, made: &Made) -> Result<bool> {
        let summarizer = &self.setup.summarizer;
        let model = &summarizer.model_of(&self.setup.model).name;
        self.state(|state| {
            state.patience.learn(made.summary.is_some());
            let Some((groups, text)) = &made.summary else { return Ok(false) };
            attach(&mut state.file.conversation, of, *groups, text, summarizer, model)?;
            Ok(true)
        })
    }
}
