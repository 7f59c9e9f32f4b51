//! `Prices`: the price of each model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::names::{candidates, cuts, is_variant, spelling};
use super::{Model, Models, Price};

/// The prices of models: the one that the [table](Model::price) has, unless another was set.
///
/// A price holds for the model of the name that it was set for, and for its dated versions and
/// variants, as the table's facts do ([`Models::get`]): one set for `gpt-4o` is also that of
/// `gpt-4o-2024-08-06` and `openai/gpt-4o`. If several names fit, the longest holds; among them are
/// those of the built-in table, so that `gpt-4o-2024-05-13`, which has a price of its own there,
/// keeps it until one is set for exactly that name. Another host, a route (`:free`) or fine-tuning
/// changes the price, so such names need one of their own.
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
///
/// let negotiated = Price::new(2_000_000, 8_000_000);
/// let prices = prices.set("gpt-4o", negotiated);
/// assert_eq!(prices.of(&Model::find("gpt-4o-2024-08-06")), Some(negotiated));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[must_use]
pub struct Prices {
    own: BTreeMap<String, Price>,
}

impl Prices {
    /// The same prices, with this one for the model of this name and its variants.
    pub fn set(mut self, name: impl Into<String>, price: Price) -> Self {
        self.own.insert(name.into(), price);
        self
    }

    /// The price of a model; `None` if it is not known.
    pub fn of(&self, model: &Model) -> Option<Price> {
        self.own.get(&model.name).copied().or_else(|| self.of_family(model)).or(model.price)
    }

    /// The price that was set for the longest name of which the model is a variant, unless the
    /// built-in table has a longer one.
    fn of_family(&self, model: &Model) -> Option<Price> {
        if self.own.is_empty() {
            return None;
        }
        let own: BTreeMap<String, Price> = self.own.iter().map(|(name, price)| (spelling(name), *price)).collect();
        candidates(&model.name).iter().filter(|candidate| candidate.is_of(model.provider.as_deref())).find_map(
            |candidate| {
                let asked = spelling(candidate.name);
                let (name, price) = cuts(&asked).find_map(|(name, rest)| {
                    let price = own.get(name).filter(|_| is_variant(rest))?;
                    Some((name, *price))
                })?;
                let of_table = Models::builtin().name_of(&asked);
                of_table.is_none_or(|of_table| of_table.len() <= name.len()).then_some(price)
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Price = Price::new(1, 2);

    fn of(set: &[(&str, Price)], model: &str) -> Option<Price> {
        let prices = set.iter().fold(Prices::default(), |prices, (name, price)| prices.set(*name, *price));
        prices.of(&Model::find(model))
    }

    #[test]
    fn a_price_set_for_a_model_holds_for_its_variants() {
        for model in ["gpt-4o", "gpt-4o-2024-08-06", "GPT-4o-latest", "openai/gpt-4o-2024-11-20"] {
            assert_eq!(of(&[("gpt-4o", OWN)], model), Some(OWN), "{model}");
        }
        assert_eq!(of(&[("Our.Model", OWN)], "our-model-2026-01-31"), Some(OWN), "of no model of the table");
        assert_eq!(of(&[("azure/gpt-4o", OWN)], "azure/gpt-4o-2024-08-06"), Some(OWN), "at another host");
    }

    #[test]
    fn another_model_another_host_and_another_route_have_their_own_price() {
        for model in
            ["gpt-4o-mini", "gpt-4o-ultra", "gpt-4.1", "openrouter/openai/gpt-4o", "gpt-4o:free", "ft:gpt-4o:us::1"]
        {
            assert_eq!(of(&[("gpt-4o", OWN)], model), Model::find(model).price, "{model}");
        }
    }

    #[test]
    fn the_longest_name_holds() {
        let other = Price::new(3, 4);
        let set = [("gpt-4o", OWN), ("gpt-4o-2024-08", other)];
        assert_eq!(of(&set, "gpt-4o-2024-08-06"), Some(OWN), "a month alone is no model's name");
        let set = [("llama-9", OWN), ("llama-9-70b", other)];
        assert_eq!((of(&set, "llama-9-70b-instruct"), of(&set, "llama-9-8b")), (Some(other), Some(OWN)));
        let dated = "gpt-4o-2024-05-13";
        assert_eq!(of(&[("gpt-4o", OWN)], dated), Model::find(dated).price, "the table has a price for this one");
        assert_eq!(of(&[(dated, other)], dated), Some(other));
    }
}
