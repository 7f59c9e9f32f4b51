//! The table of models: window, longest reply, encoding and billing of each.

mod names;
mod price;
mod prices;
mod table;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rules::{Family, ImageRule, NonAscii, ToolRule};
use crate::error::{Advice, Error, ErrorKind, Result};

pub use price::{Dollars, Price};
pub use prices::Prices;
pub use table::Models;

/// The command line's advice if a model's window is not known.
pub(crate) const STATE_A_BUDGET: &str =
    "pass --budget TOKENS to a command that plans, or describe the model in a file (--models FILE)";

/// How a model divides text into tokens.
///
/// # Examples
/// ```
/// use turnwise::tokens::{Encoding, Tiktoken, TokenCounter};
///
/// assert_eq!(Encoding::O200kBase.name(), "o200k_base");
/// assert_eq!(Tiktoken::new(Encoding::Cl100kBase).count("お誕生日おめでとう").tokens, 9);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Encoding {
    /// GPT-4o and every later model.
    #[serde(rename = "o200k_base")]
    O200kBase,
    /// GPT-4, GPT-4 turbo and GPT-3.5.
    #[serde(rename = "cl100k_base")]
    Cl100kBase,
}

impl Encoding {
    /// The encoding's usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::O200kBase => "o200k_base",
            Self::Cl100kBase => "cl100k_base",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is known about one model. Window and encoding are separate facts: either may be unknown.
///
/// A function that takes a model accepts a name, which is looked up in the [built-in
/// table](Models::builtin), or a `Model`.
///
/// # Examples
/// ```
/// use turnwise::tokens::Encoding;
/// use turnwise::{Model, TokenBudget};
///
/// let mut own = Model::new("our-finetune");
/// own.window = Some(32_768);
/// own.encoding = Some(Encoding::O200kBase);
/// assert_eq!(TokenBudget::for_model(own)?.resolve()?.limit, 24_576);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Row")]
#[non_exhaustive]
pub struct Model {
    /// Its name; if the model was looked up, the name that was asked for.
    pub name: String,
    /// The model of the table whose facts these are, if it has another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// The provider whose API has this [`price`](Self::price), written as before a model's name:
    /// `openai`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Tokens of prompt and reply together, if known. If the provider states only separate limits,
    /// it is the limit of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// The longest prompt in tokens, if it is known to be less than the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input: Option<u64>,
    /// The longest reply in tokens, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u64>,
    /// The encoding, if known; otherwise tokens are estimates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Whether figures are estimates although the encoding is known, because hosts add text to
    /// requests.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// The rules by which its messages are billed; [`Family::Chat`] if they are not known.
    pub family: Family,
    /// How it bills images, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<ImageRule>,
    /// How it bills tools, where it is not as `OpenAI` does; figures of requests with tools are
    /// estimates then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<ToolRule>,
    /// How results of parallel calls show it text outside ASCII, if known; figures of requests with
    /// such results are estimates otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub non_ascii: Option<NonAscii>,
    /// What its tokens cost at the provider's own API, if known: short prompts at the usual speed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Further remarks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Where these facts are from, and from when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// An entry of the table as written: an omitted member is unknown, or has the value of the model in
/// `like`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    like: Option<String>,
    provider: Option<String>,
    window: Option<u64>,
    max_input: Option<u64>,
    max_output: Option<u64>,
    encoding: Option<Encoding>,
    estimated: Option<bool>,
    family: Option<Family>,
    images: Option<ImageRule>,
    tools: Option<ToolRule>,
    non_ascii: Option<NonAscii>,
    price: Option<Price>,
    note: Option<String>,
    source: Option<String>,
}

impl Row {
    fn over(self, mut base: Model) -> Model {
        if let Some(window) = self.window {
            // A smaller window also bounds limits that are not stated again.
            base.max_input = base.max_input.filter(|longest| *longest < window);
            base.max_output = base.max_output.map(|longest| longest.min(window));
        }
        Model {
            name: self.name,
            like: self.like,
            provider: self.provider.or(base.provider),
            window: self.window.or(base.window),
            max_input: self.max_input.or(base.max_input),
            max_output: self.max_output.or(base.max_output),
            encoding: self.encoding.or(base.encoding),
            estimated: self.estimated.unwrap_or(base.estimated),
            family: self.family.unwrap_or(base.family),
            images: self.images.or(base.images),
            tools: self.tools.or(base.tools),
            non_ascii: self.non_ascii.or(base.non_ascii),
            price: self.price.or(base.price),
            note: self.note.or(base.note),
            source: self.source.or(base.source),
        }
    }
}

impl From<Row> for Model {
    fn from(row: Row) -> Self {
        row.over(Self::new(""))
    }
}

impl From<&str> for Model {
    /// Looks the name up in the built-in table, as [`Model::find`].
    fn from(name: &str) -> Self {
        Self::find(name)
    }
}

impl From<&String> for Model {
    fn from(name: &String) -> Self {
        Self::find(name)
    }
}

impl From<String> for Model {
    fn from(name: String) -> Self {
        Self::find(&name)
    }
}

impl From<&Model> for Model {
    fn from(model: &Model) -> Self {
        model.clone()
    }
}

impl Model {
    /// A model without any known facts.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            like: None,
            provider: None,
            window: None,
            max_input: None,
            max_output: None,
            encoding: None,
            estimated: false,
            family: Family::Chat,
            images: None,
            tools: None,
            non_ascii: None,
            price: None,
            note: None,
            source: None,
        }
    }

    /// Looks a model up in the built-in table; [`Models::get`] explains how names are understood. A
    /// model that is not in it has no known facts.
    ///
    /// # Examples
    /// ```
    /// use turnwise::Model;
    ///
    /// assert_eq!(Model::find("openai/gpt-4o-2024-08-06").window, Some(128_000));
    /// assert_eq!(Model::find("my-own-model").encoding, None);
    /// ```
    pub fn find(name: &str) -> Self {
        Models::builtin().find(name)
    }

    /// The window, or an error if it is not known.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownModel`] if it is not known; the message has similar names and the ways
    /// to state the window.
    pub fn known_window(&self) -> Result<u64> {
        self.window.ok_or_else(|| {
            let why = self.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
            let near = if self.like.is_none() && self.source.is_none() { self.near() } else { Vec::new() };
            let near = if near.is_empty() { String::new() } else { format!("; similar names: {}", near.join(", ")) };
            let way = "set how many tokens may be sent (`TokenBudget::limit`), or describe the model (`Models`)";
            let detail = format!("the window of `{}` is not known{why}{near}", self.name);
            Error::new(ErrorKind::UnknownModel, detail).advise(Some(Advice::new(way, STATE_A_BUDGET)))
        })
    }

    fn near(&self) -> Vec<&'static str> {
        let asked = self.name.rsplit('/').next().unwrap_or(&self.name).to_lowercase();
        nearest(&asked, Models::builtin().iter().map(|model| &*model.name), 3)
    }

    /// Checks the facts for contradictions.
    fn check(&self) -> Result<(), String> {
        if self.name.trim().is_empty() {
            return Err("a model needs a name".to_owned());
        }
        if let Some((what, _)) = self.limits().into_iter().find(|(_, limit)| *limit == Some(0)) {
            return Err(format!("`{what}` is 0; leave out a limit that is not known"));
        }
        let Some(window) = self.window else { return Ok(()) };
        match self.limits().into_iter().find(|(_, limit)| limit.is_some_and(|limit| limit > window)) {
            Some((what, Some(limit))) => Err(format!("`{what}` is {limit}, more than the window of {window}")),
            _ => Ok(()),
        }
    }

    fn limits(&self) -> [(&'static str, Option<u64>); 3] {
        [("window", self.window), ("max_input", self.max_input), ("max_output", self.max_output)]
    }
}

/// The names most similar to `asked`, best first, without those that are not similar.
pub(crate) fn nearest<'a>(asked: &str, names: impl Iterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let mut alike: Vec<(f64, &str)> =
        names.map(|name| (strsim::jaro_winkler(asked, name), name)).filter(|(score, _)| *score > 0.8).collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    alike.into_iter().take(most).map(|(_, name)| name).collect()
}

#[cfg(test)]
#[path = "models_tests.rs"]
mod tests;
