//! `LastBill`: the last bill of a conversation, as it is stored with it.

use serde::{Deserialize, Serialize};

use super::Anchor;

/// The last bill of a conversation, as stored with it.
///
/// # Examples
/// ```
/// use turnwise::tokens::{Calibration, Count};
///
/// let (model, server) = ("smollm2", "http://127.0.0.1:8080/v1");
/// let calibration = Calibration::new();
/// let first = calibration.of(model, server).forecast(Count::estimated(200), None);
/// let anchor = calibration.learn(model, server, &first, 230, None); // the bill
/// let counted = turnwise::ChatCost::for_model(model);
/// let last = turnwise::tokens::LastBill::new(model, server, counted.id(), anchor.unwrap(), 0);
/// assert!(last.is_of(model, server, counted.id()) && !last.is_of("gpt-4o", server, counted.id()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastBill {
    /// The model that billed.
    pub model: String,
    /// The base URL of its server.
    pub server: String,
    /// The cost rules of our count: [`ChatCost::id`](crate::ChatCost::id).
    pub counted: String,
    /// Our count and the bill.
    pub anchor: Anchor,
    /// The margin of the budget that the request was planned with, in tokens.
    /// [`ResolvedBudget::margin`] follows it in steps.
    ///
    /// [`ResolvedBudget::margin`]: crate::plan::ResolvedBudget::margin
    #[serde(default)]
    pub margin: u64,
}

impl LastBill {
    /// The bill of a model at a server, for a request counted by the rules with the id `counted`,
    /// with the margin of its budget.
    pub fn new(model: &str, server: &str, counted: &str, anchor: Anchor, margin: u64) -> Self {
        Self { model: model.to_owned(), server: server.to_owned(), counted: counted.to_owned(), anchor, margin }
    }

    /// Whether a forecast can start from it: the same model at the same server, counted by the same
    /// rules.
    pub fn is_of(&self, model: &str, server: &str, counted: &str) -> bool {
        (&*self.model, &*self.server, &*self.counted) == (model, server, counted)
    }
}
