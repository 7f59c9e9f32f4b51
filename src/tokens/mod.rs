//! From text to tokens: counters, what the chat format adds, and what is known about models.

mod cost;
mod models;
mod rules;
mod tiktoken;

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::message::Message;

pub(crate) use cost::is_parallel;
pub use cost::{Breakdown, ChatCost};
pub(crate) use models::nearest;
pub use models::{Dollars, Encoding, Model, Models, Price};
pub use rules::{Family, ImageRule};
pub use tiktoken::Tiktoken;

/// A number of tokens, and whether it is known to be what the API counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Tokens.
    pub tokens: u64,
    /// False when the number is an estimate.
    pub exact: bool,
}

impl Count {
    /// No tokens, exactly.
    pub const ZERO: Self = Self::exact(0);

    /// A number that is known.
    pub const fn exact(tokens: u64) -> Self {
        Self { tokens, exact: true }
    }

    /// An estimate.
    pub const fn estimated(tokens: u64) -> Self {
        Self { tokens, exact: false }
    }
}

impl Add for Count {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_add(other.tokens), exact: self.exact && other.exact }
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let estimated = if self.exact { "" } else { "~" };
        f.pad(&format!("{estimated}{}", self.tokens))
    }
}

/// Counts the tokens of a text.
pub trait TokenCounter: Send + Sync {
    /// The name that costs counted with it are stored under; another way to count needs another name.
    fn id(&self) -> &str;

    /// The tokens of ordinary text: spellings of special tokens count as text. It never panics, whatever the text.
    fn count(&self, text: &str) -> Count;

    /// Begins to load what the counter needs, so that the first count need not wait. Returns at once.
    fn warm(&self) {}
}

impl<C: TokenCounter + ?Sized> TokenCounter for Box<C> {
    fn id(&self) -> &str {
        (**self).id()
    }

    fn count(&self, text: &str) -> Count {
        (**self).count(text)
    }

    fn warm(&self) {
        (**self).warm();
    }
}

impl<C: TokenCounter + ?Sized> TokenCounter for Arc<C> {
    fn id(&self) -> &str {
        (**self).id()
    }

    fn count(&self, text: &str) -> Count {
        (**self).count(text)
    }

    fn warm(&self) {
        (**self).warm();
    }
}

/// What a list of messages costs as a request, counted with `o200k_base`. For another model, tools or single figures use
/// a [`ChatCost`].
///
/// # Examples
/// ```
/// use turnwise::{Message, count};
///
/// assert_eq!(count(&[Message::system("Be brief."), Message::user("Hello!")]).tokens, 16);
/// ```
pub fn count(messages: &[Message]) -> Count {
    ChatCost::default().messages(messages).total()
}

/// A [`TokenCounter`] from a function, for tests and for tokenizers of your own.
///
/// # Examples
/// ```
/// use turnwise::{CounterFn, TokenCounter};
///
/// let words = CounterFn::new("words", |text| text.split_whitespace().count() as u64);
/// assert_eq!(words.count("two words").tokens, 2);
/// ```
#[derive(Clone)]
pub struct CounterFn<F> {
    id: Box<str>,
    count: F,
}

impl<F: Fn(&str) -> u64 + Send + Sync> CounterFn<F> {
    /// A counter with this name.
    pub fn new(id: &str, count: F) -> Self {
        Self { id: id.into(), count }
    }
}

impl<F: Fn(&str) -> u64 + Send + Sync> TokenCounter for CounterFn<F> {
    fn id(&self) -> &str {
        &self.id
    }

    fn count(&self, text: &str) -> Count {
        Count::exact((self.count)(text))
    }
}

impl<F> fmt::Debug for CounterFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CounterFn({})", self.id)
    }
}
