//! Learning from bills, and adding up what calls have cost.

use super::Shared;
use super::summarizer::SummaryCall;
use crate::backend::{BackendError, Usage};
use crate::budget::ResolvedBudget;
use crate::plan::Plan;
use crate::spending::{Call, Purpose};
use crate::tokens::{Count, Dollars, Forecast, LastBill, Learned, Model};
use crate::transcript::Transcript;

impl Shared {
    /// The names under which bills are stored: model and server.
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
            state.file.last_bill = None;
            state.guess = None;
        });
    }

    /// A budget with the margin that bills have taught.
    pub(super) fn calibrated(&self, budget: &ResolvedBudget, learned: &Learned) -> ResolvedBudget {
        let anchor = self.of_last_bill(|bill| bill.anchor);
        let margin = self.of_last_bill(|bill| bill.margin).unwrap_or(0);
        budget.calibrated(learned, self.planner.cost().is_exact(), anchor.as_ref(), margin)
    }

    pub(super) fn forecast(&self, plan: &Plan) -> Forecast {
        let anchor = self.of_last_bill(|bill| bill.anchor);
        let tokens = plan.tokens();
        let estimated = Count { tokens: tokens.total(), exact: !tokens.estimated };
        self.learned().forecast(estimated, anchor.as_ref())
    }

    /// Learns from the bill of a request with this forecast.
    pub(super) fn learn(&self, forecast: &Forecast, plan: &Plan, billed: u64) {
        let (model, server) = self.names();
        let before = self.of_last_bill(|bill| bill.anchor);
        let anchor = self.setup.calibration.learn(model, server, forecast, billed, before.as_ref());
        let counted = self.planner.cost().id();
        let bill = anchor.map(|anchor| LastBill::new(model, server, counted, anchor, plan.budget().margin));
        self.state(|state| {
            state.file.last_bill = bill.map(Box::new);
            // A request longer than the guess was answered, so the guess was wrong.
            state.guess = state.guess.filter(|guess| *guess >= billed);
        });
    }

    /// Learns from an answer that a request was too long: the window, and what the request cost,
    /// where the answer states that. A window is no count of this request: it may be far above it.
    /// Forecasts still start from the last answered request, because this one is too far from what
    /// fits.
    pub(super) fn learn_overflow(&self, forecast: &Forecast, error: &BackendError) {
        let (model, server) = self.names();
        let calibration = &self.setup.calibration;
        if let Some(billed) = error.prompt_tokens() {
            let anchor = self.of_last_bill(|bill| bill.anchor);
            calibration.learn(model, server, forecast, billed, anchor.as_ref());
        }
        // Last, because a bill above a limit means that a longer request was answered.
        calibration.learn_limit(model, server, error.limit().unwrap_or(0));
    }

    /// The window that the server has stated, or that this conversation guesses.
    pub(super) fn window(&self, learned: &Learned) -> Option<u64> {
        learned.limit().into_iter().chain(self.state(|state| state.guess)).min()
    }

    /// Adds a reply to the spending. Returns its cost, if that is known.
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
        let mut file = self.state(|state| state.file.clone());
        let (model, server) = self.names();
        file.model = Some(model.to_owned());
        let own_tools = self.planner.tools_and_params().0;
        if !own_tools.is_empty() {
            file.set_tools(own_tools.to_vec(), false);
        }
        file.calibration = self.setup.calibration.part(model, server);
        file
    }

    /// Reads the last bill of the conversation, where forecasts can start from it: it is this
    /// model's, and its request was counted as this manager counts.
    pub(super) fn of_last_bill<T>(&self, read: impl FnOnce(&LastBill) -> T) -> Option<T> {
        let (model, server) = self.names();
        let counted = self.planner.cost().id();
        self.state(|state| state.file.last_bill.as_deref().filter(|bill| bill.is_of(model, server, counted)).map(read))
    }
}
