//! `Written`: a budget as it is in a configuration file.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Size, TokenBudget};
use crate::tokens::Model;

/// The members of a budget in a file, named after the methods that set them.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<WrittenModel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply_reserve: Option<u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    tools: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    margin: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high_mark: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low_mark: Option<f64>,
}

/// A model: the name of one in the built-in table, or a full description.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenModel {
    Named(String),
    Described(Box<Model>),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

impl Serialize for TokenBudget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = Written {
            reply_reserve: self.reply_reserve,
            tools: self.tools,
            margin: self.margin,
            within: self.within,
            high_mark: (self.high < 1.0).then_some(self.high),
            low_mark: self.low,
            ..Written::default()
        };
        // A model of the table is written by its name, so that a later table's facts are used.
        match (&self.model, self.size) {
            (Some(model), _) if Model::find(&model.name) == *model => {
                written.model = Some(WrittenModel::Named(model.name.clone()));
            }
            (Some(model), _) => written.model = Some(WrittenModel::Described(Box::new(model.clone()))),
            (None, Size::Limit(tokens)) => written.limit = Some(tokens),
            (None, Size::Window(tokens)) => written.window = Some(tokens),
        }
        written.serialize(serializer)
    }
}

/// In a configuration file, exactly one of `limit`, `window` and `model` is required; `model` is a
/// name in the built-in table or a full [`Model`]. Optional: `reply_reserve`, `tools`, `margin`,
/// `within`, `high_mark` and `low_mark`, which have the meaning and the defaults of the methods with
/// these names.
impl<'de> Deserialize<'de> for TokenBudget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let mut budget = match (written.limit, written.window, written.model) {
            (Some(tokens), None, None) => Self::limit(tokens),
            (None, Some(tokens), None) => Self::window(tokens),
            (None, None, Some(WrittenModel::Named(name))) => Self::for_model(name).map_err(D::Error::custom)?,
            (None, None, Some(WrittenModel::Described(model))) => Self::for_model(*model).map_err(D::Error::custom)?,
            _ => return Err(D::Error::custom("a budget has one of `limit`, `window` and `model`")),
        };
        budget.reply_reserve = written.reply_reserve;
        budget.tools = written.tools;
        budget.margin = written.margin;
        budget.within = written.within;
        budget.high = written.high_mark.unwrap_or(budget.high);
        budget.low = written.low_mark;
        // Reports a budget that contradicts itself when the file is read, not at the first request.
        budget.resolve().map_err(D::Error::custom)?;
        Ok(budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> serde_json::Result<TokenBudget> {
        serde_json::from_str(text)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut own = Model::new("our-finetune");
        own.window = Some(32_768);
        for budget in [
            TokenBudget::limit(8_000),
            TokenBudget::window(32_768).reply_reserve(1_000).tools(20).margin(30).within(16_000),
            TokenBudget::limit(8_000).high_mark(0.9).low_mark(0.5),
            TokenBudget::for_model("gpt-4o").unwrap().margin(7),
            TokenBudget::for_model(own).unwrap(),
        ] {
            let text = serde_json::to_string(&budget).unwrap();
            assert_eq!(read(&text).unwrap(), budget, "{text}");
        }
        let short = serde_json::to_string(&TokenBudget::for_model("gpt-4o").unwrap()).unwrap();
        assert_eq!(short, r#"{"model":"gpt-4o"}"#);
    }

    #[test]
    fn what_cannot_be_a_budget_says_why() {
        for (text, says) in [
            ("{}", "one of `limit`, `window` and `model`"),
            (r#"{"limit":1,"window":2}"#, "one of `limit`, `window` and `model`"),
            (r#"{"model":"gpt-4p"}"#, "similar names: "),
            (r#"{"limit":100,"high":0.5}"#, "unknown field `high`"),
            (r#"{"limit":100,"low_mark":2.0}"#, "parts of the limit from 0 to 1"),
            (r#"{"limit":0}"#, "leaves nothing to send"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
