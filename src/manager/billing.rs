//! What bills teach about counts, and what calls have cost.

use super::Shared;
use super::summarizer::SummaryCall;
use crate::backend::{BackendError, Usage};
use crate::budget::ResolvedBudget;
use crate::plan::Plan;
use crate::spending::{Call, Purpose};
use crate::tokens::{Anchor, Count, Dollars, Forecast, LastBill, Learned, Model};
use crate::transcript::Transcript;

/// The last bill of the conversation, and the margin that its request was planned with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Billed {
    pub(super) anchor: Anchor,
    margin: u64,
}

impl Shared {
    /// The names under which bills are kept: model and server.
    fn names(&self) -> (&str, &str) {
        let server = self.setup.backend_in_use().map_or("", |backend| backend.server());
        (&self.setup.model.name, server)
    }

    pub(super) fn learned(&self) -> Learned {
        let (model, server) = self.names();
        self.setup.calibration.of(model, server)
    }

    pub(super) fn forget(&self) {
        let (model, server) = self.names();
        self.setup.calibration.reset(model, server);
        self.state(|state| {
            state.billed = None;
            state.guess = None;
        });
    }

    /// A budget with the margin that bills have taught.
    pub(super) fn calibrated(&self, budget: &ResolvedBudget, learned: &Learned) -> ResolvedBudget {
        let billed = self.state(|state| state.billed);
        let anchor = billed.map(|billed| billed.anchor);
        let margin = billed.map_or(0, |billed| billed.margin);
        budget.calibrated(learned, self.planner.cost().is_exact(), anchor.as_ref(), margin)
    }

    pub(super) fn forecast(&self, plan: &Plan) -> Forecast {
        let anchor = self.state(|state| state.billed).map(|billed| billed.anchor);
        let tokens = plan.tokens();
        let estimated = Count { tokens: tokens.total(), exact: !tokens.estimated };
        self.learned().forecast(estimated, anchor.as_ref())
    }

    /// Takes in what a request cost that was forecast so.
    pub(super) fn learn(&self, forecast: &Forecast, plan: &Plan, billed: u64) {
        let (model, server) = self.names();
        let before = self.state(|state| state.billed).map(|billed| billed.anchor);
        let anchor = self.setup.calibration.learn(model, server, forecast, billed, before.as_ref());
        let margin = plan.budget().margin;
        self.state(|state| {
            state.billed = anchor.map(|anchor| Billed { anchor, margin });
            // A longer request than the guess allows was answered.
            state.guess = state.guess.filter(|guess| *guess >= billed);
        });
    }

    /// Takes in what an answer says of a request that was too long: the window, and what the request cost. Forecasts go on
    /// from the last request that was answered: this one was too far from what fits.
    pub(super) fn learn_overflow(&self, forecast: &Forecast, plan: &Plan, error: &BackendError) {
        let (model, server) = self.names();
        let calibration = &self.setup.calibration;
        // It cost more than what the window leaves beside the reply; how much more, some answers say.
        let least = |limit: u64| limit.saturating_sub(plan.budget().reply_reserve).saturating_add(1);
        let least = error.limit().map(least).filter(|least| *least > forecast.tokens);
        if let Some(billed) = error.prompt_tokens().or(least) {
            let anchor = self.state(|state| state.billed).map(|billed| billed.anchor);
            calibration.learn(model, server, forecast, billed, anchor.as_ref());
        }
        // Last, since a bill above a limit is taken for a request that was answered.
        calibration.learn_limit(model, server, error.limit().unwrap_or(0));
    }

    /// The window that the server has stated, or this conversation guesses.
    pub(super) fn window(&self, learned: &Learned) -> Option<u64> {
        learned.limit().into_iter().chain(self.state(|state| state.guess)).min()
    }

    /// Adds a reply to what was spent; what it cost, if that is known.
    pub(super) fn spend_on_reply(&self, attempts: usize, usage: Option<&Usage>, failed: bool) -> Option<Dollars> {
        self.spend(Purpose::Reply, &self.setup.model, attempts, usage, failed)
    }

    pub(super) fn spend_on_summary(&self, made: &SummaryCall) {
        let model = self.setup.summarizer.model_of(&self.setup.model);
        self.spend(Purpose::Summary, model, 1, made.usage.as_ref(), made.refused.is_some());
    }

    fn spend(
        &self,
        purpose: Purpose,
        model: &Model,
        attempts: usize,
        usage: Option<&Usage>,
        failed: bool,
    ) -> Option<Dollars> {
        let call = Call::new(purpose, &*model.name).attempts(attempts).usage(usage).price(self.setup.prices.of(model));
        let call = if failed { call.failed() } else { call };
        self.state(|state| state.file.spending.add(&call));
        call.cost()
    }

    /// The conversation as a file.
    pub(super) fn file(&self) -> Transcript {
        let (mut file, billed) = self.state(|state| (state.file.clone(), state.billed));
        let (model, server) = self.names();
        file.model = Some(model.to_owned());
        file.tools = self.planner.fixed().0.to_vec();
        file.calibration = self.setup.calibration.part(model, server);
        let counted = self.planner.cost().id();
        let last = |billed: Billed| LastBill::new(model, server, counted, billed.anchor, billed.margin);
        file.last_bill = billed.map(last).map(Box::new);
        file
    }

    /// The last bill of a file, where forecasts can start from it.
    pub(super) fn billed_in(&self, bill: &LastBill) -> Option<Billed> {
        let (model, server) = self.names();
        let is_ours = bill.is_of(model, server, self.planner.cost().id());
        is_ours.then_some(Billed { anchor: bill.anchor, margin: bill.margin })
    }
}
