//! `Prices`: the price of each model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Model, Price};

/// The prices of models: the one that the [table](Model::price) has, unless another was set for the
/// name.
///
/// In JSON it holds only the prices that were set: `{"our-finetune": {"input": "0.50", "output":
/// "1.50"}}`.
///
/// # Examples
/// ```
/// use turnwise::tokens::{Price, Prices};
/// use turnwise::Model;
///
/// let prices = Prices::default().set("our-finetune", Price::new(500_000, 1_500_000));
/// assert_eq!(prices.of(&Model::find("our-finetune")).map(|price| price.output), Some(1_500_000));
/// assert_eq!(prices.of(&Model::find("gpt-4o")), Model::find("gpt-4o").price);
/// assert_eq!(prices.of(&Model::find("smollm2")), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[must_use]
pub struct Prices {
    own: BTreeMap<String, Price>,
}

impl Prices {
    /// The same prices, with this one for the model of exactly this name.
    pub fn set(mut self, name: impl Into<String>, price: Price) -> Self {
        self.own.insert(name.into(), price);
        self
    }

    /// The price of a model; `None` if it is not known.
    pub fn of(&self, model: &Model) -> Option<Price> {
        self.own.get(&model.name).copied().or(model.price)
    }
}
