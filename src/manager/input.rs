//! `ExchangeInput`: what a caller asks for, and what goes with it; the data that an exchange is
//! planned and sent from.
//!
//! [`Exchange`](super::Exchange) is the builder that callers see: it fills this in and hands it to
//! a transaction, which is the exchange in progress and knows nothing of the builder.

use std::borrow::Cow;
use std::sync::Arc;

use super::Shared;
use super::builder::check_params;
use super::embedding::EmbeddingCall;
use super::staged::{Ask, stage};
use super::summarizer::SummaryCall;
use crate::conversation::{Conversation, Item};
use crate::error::Result;
use crate::plan::{Extras, Plan, Planner};
use crate::request::Tool;
use crate::vectors::{Vector, Vectors};

/// What is to be sent, and in which conversation.
#[derive(Clone)]
pub(super) struct ExchangeInput {
    pub(super) shared: Arc<Shared>,
    pub(super) ask: Ask,
    pub(super) extras: Extras,
    /// In the place of the manager's.
    pub(super) tools: Option<Vec<Tool>>,
    pub(super) keeps_partial: bool,
    /// Whether the summary that a strategy requests is made first.
    pub(super) summarizes: bool,
}

/// What will be sent.
pub(super) struct Planned {
    /// The record with what is asked after it.
    pub(super) staged: Conversation,
    pub(super) plan: Plan,
    /// The calls for summaries that were made first.
    pub(super) summaries: Vec<SummaryCall>,
    /// The vectors that it was planned with.
    pub(super) vectors: Vectors,
    /// Those of them that were made for it, which are recorded with the exchange.
    pub(super) new_vectors: Vec<(Item, Vector)>,
    /// The calls that were made for them.
    pub(super) embeddings: Vec<EmbeddingCall>,
}

impl Planned {
    pub(super) fn new(staged: Conversation, plan: Plan, summaries: Vec<SummaryCall>, vectors: Vectors) -> Self {
        Self { staged, plan, summaries, vectors, new_vectors: Vec::new(), embeddings: Vec::new() }
    }
}

impl ExchangeInput {
    pub(super) fn new(shared: &Arc<Shared>, ask: Ask) -> Self {
        let shared = Arc::clone(shared);
        Self { shared, ask, extras: Extras::default(), tools: None, keeps_partial: false, summarizes: true }
    }

    /// The record with what is asked after it.
    pub(super) fn stage(&self) -> Result<Conversation> {
        stage(self.shared.record(), &self.ask)
    }

    pub(super) fn plan_staged(&self, staged: &Conversation, vectors: &Vectors) -> Result<Plan> {
        let planner = self.planner()?;
        let strategy = &*self.shared.setup.strategy;
        let extras = if vectors.is_empty() {
            Cow::Borrowed(&self.extras)
        } else {
            Cow::Owned(Extras { vectors: vectors.clone(), ..self.extras.clone() })
        };
        self.shared.count(|ledger, cache| planner.plan_with(staged, ledger, strategy, cache, &extras))
    }

    /// The window in which at most `tokens` may be sent.
    pub(super) fn window_for(&self, tokens: u64) -> Option<u64> {
        let setup = &self.shared.setup;
        Some(setup.budget(&setup.params.and(&self.extras.params)).ok()?.window_for(tokens))
    }

    /// The manager's planner, or another one where this request has other tools, its reply may have
    /// another length, or bills have taught something.
    pub(super) fn planner(&self) -> Result<Cow<'_, Planner>> {
        let shared = &self.shared;
        let params = &self.extras.params;
        check_params(params)?;
        let own_tools: &[Tool] = shared.planner.tools_and_params().0;
        let tools = self.tools.as_deref().unwrap_or(own_tools);
        let learned = shared.learned();
        let planner = match shared.window(&learned) {
            None if !params.states_longest_reply() && tools == own_tools => Cow::Borrowed(&*shared.planner),
            window => {
                let params = shared.setup.params.and(params);
                let dialect = shared.planner.dialect_in_use().clone();
                Cow::Owned(shared.setup.planner(tools, &params, &dialect, window)?)
            }
        };
        let budget = shared.calibrated(planner.budget(), &learned);
        if budget == *planner.budget() { Ok(planner) } else { Ok(Cow::Owned(planner.into_owned().with_budget(budget))) }
    }
}
