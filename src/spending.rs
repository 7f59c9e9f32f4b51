//! `Spending`: what calls have cost, in tokens and money, by purpose and model.
//!
//! A [`Call`] of a model is added to [`Spending`], which keeps a [`Tally`] for each [`Purpose`] and
//! model: an [`Entry`].

use std::fmt;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use crate::backend::Usage;
use crate::text::{counted, thousands};
use crate::tokens::{Dollars, Price};

/// Why a model was called. In JSON its name, such as `"reply"`.
///
/// # Examples
/// ```
/// use turnwise::spending::{Call, Purpose, Spending};
///
/// let mut spending = Spending::default();
/// spending.add(&Call::new(Purpose::Other("title".to_owned()), "gpt-4.1-nano")); // a call of your own
/// assert_eq!(spending.entries()[0].purpose.to_string(), "title");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum Purpose {
    /// To answer a message.
    Reply,
    /// To summarize old messages.
    Summary,
    /// To make vectors of messages.
    Embedding,
    /// Another purpose, such as a title.
    Other(String),
}

impl From<String> for Purpose {
    fn from(name: String) -> Self {
        match &*name {
            "reply" => Self::Reply,
            "summary" => Self::Summary,
            "embedding" => Self::Embedding,
            _ => Self::Other(name),
        }
    }
}

impl From<Purpose> for String {
    fn from(purpose: Purpose) -> Self {
        purpose.to_string()
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reply => "reply",
            Self::Summary => "summary",
            Self::Embedding => "embedding",
            Self::Other(name) => name,
        })
    }
}

/// One call of a model, to be [added](Spending::add) to the spending. One reply is one call,
/// however many attempts it took.
///
/// # Examples
/// ```
/// use turnwise::backend::Usage;
/// use turnwise::spending::{Call, Purpose};
/// use turnwise::tokens::Prices;
/// use turnwise::Model;
///
/// let model = Model::find("gpt-4o-mini");
/// let call = Call::new(Purpose::Reply, &model.name).usage(&Usage::new(10_000, 500)).price(Prices::default().of(&model));
/// assert_eq!(call.cost().ok_or("not known")?.to_string(), "$0.0018");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Call {
    purpose: Purpose,
    model: String,
    attempts: u64,
    failed: bool,
    usage: Option<Usage>,
    price: Option<Price>,
}

impl Call {
    /// A call that succeeded at the first attempt, without usage and price.
    pub fn new(purpose: Purpose, model: impl Into<String>) -> Self {
        Self { purpose, model: model.into(), attempts: 1, failed: false, usage: None, price: None }
    }

    /// Sets the number of requests that were made for it. Default 1.
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts as u64;
        self
    }

    /// Marks a call without a usable reply. It may have been billed all the same.
    pub fn failed(mut self) -> Self {
        self.failed = true;
        self
    }

    /// Sets what the server billed, if it reported that.
    pub fn usage<'a>(mut self, usage: impl Into<Option<&'a Usage>>) -> Self {
        self.usage = usage.into().cloned();
        self
    }

    /// Sets the price of the model's tokens, if it is known.
    pub fn price(mut self, price: impl Into<Option<Price>>) -> Self {
        self.price = price.into();
        self
    }

    /// The cost of the call; `None` without usage or a price.
    pub fn cost(&self) -> Option<Dollars> {
        let usage = self.usage.as_ref()?;
        let price = self.price?;
        Some(price.of(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens))
    }

    fn tally(&self) -> Tally {
        let usage = self.usage.as_ref();
        let billed = |part: fn(&Usage) -> u64| usage.map_or(0, part);
        Tally {
            calls: 1,
            failed: self.failed.into(),
            attempts: self.attempts,
            unreported: (usage.is_none() && !self.failed).into(),
            prompt_tokens: billed(|usage| usage.prompt_tokens),
            cached_tokens: billed(|usage| usage.cached_tokens),
            completion_tokens: billed(|usage| usage.completion_tokens),
            reasoning_tokens: billed(|usage| usage.reasoning_tokens),
            unpriced: (usage.is_some() && self.price.is_none()).into(),
            priced: self.cost().is_some().into(),
            cost: self.cost().unwrap_or_default(),
        }
    }
}

/// The sum of several calls. Figures saturate instead of overflowing.
///
/// # Examples
/// ```
/// use turnwise::backend::Usage;
/// use turnwise::spending::{Call, Purpose, Spending};
///
/// let mut spending = Spending::default();
/// spending.add(&Call::new(Purpose::Reply, "my-model").usage(&Usage::new(900, 40)));
/// spending.add(&Call::new(Purpose::Reply, "my-model").usage(&Usage::new(1_000, 60)));
/// let tally = spending.of(&Purpose::Reply);
/// assert_eq!((tally.calls, tally.prompt_tokens, tally.completion_tokens), (2, 1_900, 100));
/// assert_eq!(tally.cost(), None); // the price of the model is not known
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Tally {
    /// Calls, including failed ones.
    pub calls: u64,
    /// Calls without a usable reply.
    pub failed: u64,
    /// Requests that were made for the calls.
    pub attempts: u64,
    /// Calls that succeeded without reported usage: their tokens are not in the figures below.
    pub unreported: u64,
    /// Tokens of the prompts, including cached ones.
    pub prompt_tokens: u64,
    /// Tokens of the prompts that came from the server's cache.
    pub cached_tokens: u64,
    /// Tokens of the replies, including reasoning.
    pub completion_tokens: u64,
    /// Tokens of the replies that are reasoning.
    pub reasoning_tokens: u64,
    /// Calls with usage but without a price: their tokens are in the figures above, but not in the
    /// cost.
    pub unpriced: u64,
    /// Calls with usage and a price.
    pub priced: u64,
    cost: Dollars,
}

impl Tally {
    /// The cost of the calls with usage and a price; `None` if there were calls, but none of that
    /// kind.
    pub fn cost(&self) -> Option<Dollars> {
        (self.priced > 0 || !self.is_partial()).then_some(self.cost)
    }

    /// What was added since an earlier sum.
    ///
    /// # Examples
    /// ```
    /// use turnwise::backend::Usage;
    /// use turnwise::spending::{Call, Purpose, Spending};
    ///
    /// let mut spending = Spending::default();
    /// spending.add(&Call::new(Purpose::Reply, "my-model").usage(&Usage::new(900, 40)));
    /// let before = spending.total();
    /// spending.add(&Call::new(Purpose::Reply, "my-model").usage(&Usage::new(1_000, 60)));
    /// assert_eq!(spending.total().since(&before).prompt_tokens, 1_000);
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(earlier.calls),
            failed: self.failed.saturating_sub(earlier.failed),
            attempts: self.attempts.saturating_sub(earlier.attempts),
            unreported: self.unreported.saturating_sub(earlier.unreported),
            prompt_tokens: self.prompt_tokens.saturating_sub(earlier.prompt_tokens),
            cached_tokens: self.cached_tokens.saturating_sub(earlier.cached_tokens),
            completion_tokens: self.completion_tokens.saturating_sub(earlier.completion_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_sub(earlier.reasoning_tokens),
            unpriced: self.unpriced.saturating_sub(earlier.unpriced),
            priced: self.priced.saturating_sub(earlier.priced),
            cost: self.cost.less(earlier.cost),
        }
    }

    /// Whether the cost of some call is missing from [`cost`](Self::cost).
    pub fn is_partial(&self) -> bool {
        self.unreported > 0 || self.unpriced > 0
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            failed: self.failed.saturating_add(other.failed),
            attempts: self.attempts.saturating_add(other.attempts),
            unreported: self.unreported.saturating_add(other.unreported),
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            unpriced: self.unpriced.saturating_add(other.unpriced),
            priced: self.priced.saturating_add(other.priced),
            cost: self.cost + other.cost,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things = |number: u64, noun: &str| counted(usize::try_from(number).unwrap_or(usize::MAX), noun);
        f.write_str(&things(self.calls, "call"))?;
        let retries = self.attempts.saturating_sub(self.calls);
        let notes = [
            (self.failed, format!("{} failed", thousands(self.failed))),
            (retries, format!("{} retried", thousands(retries))),
            (self.unreported, format!("{} without a bill", thousands(self.unreported))),
        ];
        in_brackets(f, &notes)?;
        write!(f, ", {} of prompts", things(self.prompt_tokens, "token"))?;
        in_brackets(f, &[(self.cached_tokens, format!("{} cached", thousands(self.cached_tokens)))])?;
        write!(f, " and {} of replies", thousands(self.completion_tokens))?;
        in_brackets(f, &[(self.reasoning_tokens, format!("{} reasoning", thousands(self.reasoning_tokens)))])?;
        match (self.cost(), self.is_partial()) {
            (None, _) => f.write_str(", cost not known"),
            (Some(cost), false) => write!(f, ", {cost}"),
            (Some(cost), true) => write!(f, ", {cost} and what is not known"),
        }
    }
}

fn in_brackets(f: &mut fmt::Formatter<'_>, notes: &[(u64, String)]) -> fmt::Result {
    let notes: Vec<&str> = notes.iter().filter(|(number, _)| *number > 0).map(|(_, note)| &**note).collect();
    if notes.is_empty() { Ok(()) } else { write!(f, " ({})", notes.join(", ")) }
}

/// The calls of a conversation and their cost, by purpose and model. `Display` prints a line for
/// each purpose and model.
///
/// # Examples
/// ```
/// use turnwise::backend::Usage;
/// use turnwise::spending::{Call, Purpose, Spending};
/// use turnwise::tokens::Prices;
/// use turnwise::Model;
///
/// let prices = Prices::default();
/// let model = Model::find("gpt-4o-mini");
/// let mut spending = Spending::default();
/// spending.add(&Call::new(Purpose::Reply, "gpt-4o-mini").usage(&Usage::new(10_000, 500)).price(prices.of(&model)));
/// spending.add(&Call::new(Purpose::Summary, "smollm2").usage(&Usage::new(2_000, 80)).attempts(2));
/// assert_eq!(spending.of(&Purpose::Summary).completion_tokens, 80);
/// assert!(spending.total().is_partial());
/// println!("{spending}");
/// // reply, gpt-4o-mini: 1 call, 10,000 tokens of prompts and 500 of replies, $0.0018
/// // summary, smollm2: 1 call (1 retried), 2,000 tokens of prompts and 80 of replies, cost not known
/// // in all: 2 calls (1 retried), 12,000 tokens of prompts and 580 of replies, $0.0018 and what is not known
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spending {
    entries: Vec<Entry>,
}

/// The spending on one model for one purpose. [`Spending`] has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The purpose.
    pub purpose: Purpose,
    /// The model, by the name that was asked for.
    pub model: String,
    /// The sum of its calls.
    #[serde(flatten)]
    pub tally: Tally,
}

impl Spending {
    /// Adds a call.
    pub fn add(&mut self, call: &Call) {
        let known = self.entries.iter_mut().find(|entry| entry.purpose == call.purpose && entry.model == call.model);
        if let Some(entry) = known {
            entry.tally += call.tally();
            return;
        }
        // Most conversations have one or two entries.
        self.entries.reserve_exact(1);
        self.entries.push(Entry { purpose: call.purpose.clone(), model: call.model.clone(), tally: call.tally() });
    }

    /// The sum of all calls for a purpose.
    pub fn of(&self, purpose: &Purpose) -> Tally {
        self.sum(|entry| entry.purpose == *purpose)
    }

    /// The sum of all calls.
    pub fn total(&self) -> Tally {
        self.sum(|_| true)
    }

    /// The sums by purpose and model, in the order of the first calls.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether there was no call.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn sum(&self, is_wanted: impl Fn(&Entry) -> bool) -> Tally {
        let wanted = self.entries.iter().filter(|entry| is_wanted(entry));
        wanted.fold(Tally::default(), |sum, entry| sum + entry.tally)
    }
}

impl fmt::Display for Spending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Entry { purpose, model, tally } in &self.entries {
            writeln!(f, "{purpose}, {model}: {tally}")?;
        }
        write!(f, "in all: {}", self.total())
    }
}

#[cfg(test)]
#[path = "spending_tests.rs"]
mod tests;
