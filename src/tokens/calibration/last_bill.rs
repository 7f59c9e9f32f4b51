//! `LastBill`: the last bill of a conversation, as it is stored with it.

use serde::{Deserialize, Serialize};

use super::Anchor;

/// The last bill of a conversation, as stored with it.
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
