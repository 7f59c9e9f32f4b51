//! From text to tokens: counters, what the chat format adds, and what is known about models.

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

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::request::ChatRequest;

pub use approximate::Approximate;
pub use calibration::{Anchor, Calibration, Forecast, LastBill, Learned};
pub(crate) use cost::is_parallel;
pub use cost::{Breakdown, ChatCost};
pub use counter::{CounterFn, TokenCounter};
pub use models::{Dollars, Encoding, Model, Models, Price, Prices};
pub(crate) use models::{STATE_A_BUDGET, nearest};
pub use rules::{Family, ImageRule, ToolRule};
pub use streamed::StreamedCount;
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

/// What each part of a whole request costs, counted for the model that it names; for another one use a [`ChatCost`].
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
