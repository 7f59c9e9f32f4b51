//! Counting tokens: counters, the cost of the chat format, and the table of models.
//!
//! - [`count()`] and [`count_request`] count at once; a [`ChatCost`] counts for any model, with a
//!   [`Breakdown`] of [`Count`]s.
//! - A [`TokenCounter`] counts text: [`Tiktoken`] in an [`Encoding`], [`Approximate`] without one,
//!   [`CounterFn`] with a function. [`StreamedCount`] counts a text that arrives in parts. A
//!   [`Family`] says what the format adds, an [`ImageRule`] what images cost.
//! - [`Models`] is the table of [`Model`]s; [`Prices`] has the [`Price`] of each, in [`Dollars`].
//! - [`Calibration`] learns from bills: [`Learned`] is what is known of one model at one server, a
//!   [`Forecast`] what the next bill will be, an [`Anchor`] the request that it starts from,
//!   [`LastBill`] that of a conversation.

mod approximate;
mod calibration;
mod cost;
mod counter;
mod models;
mod rules;
#[cfg(test)]
mod samples;
mod split;
mod streamed;
mod tiktoken;
mod vocabulary;

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::request::ChatRequest;

pub use approximate::Approximate;
pub use calibration::{Anchor, Calibration, Forecast, LastBill, Learned};
#[cfg(feature = "blobs")]
pub(crate) use cost::facts;
pub(crate) use cost::is_parallel;
pub use cost::{Breakdown, ChatCost};
pub use counter::{CounterFn, TokenCounter};
pub use models::{Dollars, Encoding, Model, Models, Price, Prices};
pub(crate) use models::{STATE_A_BUDGET, nearest};
pub use rules::{Family, ImageRule, NonAscii, ToolRule};
pub use streamed::StreamedCount;
pub use tiktoken::Tiktoken;

/// A number of tokens, and whether it is known to equal the API's count.
///
/// # Examples
/// ```
/// use turnwise::tokens::Count;
///
/// assert_eq!(Count::exact(12).to_string(), "12");
/// assert_eq!((Count::exact(12) + Count::estimated(3)).to_string(), "~15");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The number of tokens.
    pub tokens: u64,
    /// `false` if the number is an estimate.
    pub exact: bool,
}

impl Count {
    /// No tokens, exactly.
    pub const ZERO: Self = Self::exact(0);

    /// A number that is known to be exact.
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

/// The cost of each part of a request, counted for the model that it names; for another model use a
/// [`ChatCost`].
///
/// # Examples
/// ```
/// use turnwise::{ChatRequest, count_request};
///
/// let body = r#"{"model":"gpt-5","messages":[{"role":"user","content":"Hello!"}],"max_completion_tokens":50}"#;
/// let parts = count_request(&ChatRequest::from_json(body)?);
/// assert_eq!((parts.messages[0].tokens, parts.overhead.tokens), (6, 2));
/// # Ok::<(), turnwise::Error>(())
/// ```
pub fn count_request(request: &ChatRequest) -> Breakdown {
    ChatCost::for_model(request.model.as_deref().unwrap_or_default()).request(request)
}

/// The cost of a list of messages as a request, counted with `o200k_base`. For another model, for
/// tools or for single figures, use a [`ChatCost`].
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
