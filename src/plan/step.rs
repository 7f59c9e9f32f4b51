//! `Step`: what a step of a strategy did, and its price.

use std::fmt;

use serde::Serialize;

use super::summary::SummaryRequest;
use crate::text::{counted, thousands};

/// What one step of a strategy did with a request, and its price. A [`Ladder`](crate::Ladder) has
/// several steps, any other strategy has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// The step, as written on the command line.
    pub strategy: String,
    /// How many tokens it saved; `None` if the earlier steps were enough.
    pub saved: Option<u64>,
    /// Its price in addition to the request.
    pub price: StepPrice,
}

impl Step {
    pub(crate) fn not_needed(strategy: &str) -> Self {
        Self { strategy: strategy.to_owned(), saved: None, price: StepPrice::default() }
    }

    /// A step that reduced a request from `before` to `after` tokens.
    pub(crate) fn taken(strategy: &str, before: u64, after: u64, request: Option<&SummaryRequest>) -> Self {
        let price = request.map_or_else(StepPrice::default, StepPrice::of);
        Self { strategy: strategy.to_owned(), saved: Some(before.saturating_sub(after)), price }
    }
}

/// The price of a step in addition to the request: nothing, or calls of a model. `Display` prints
/// `free` or `1 call of about 900 tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StepPrice {
    /// The approximate number of calls; none are made if the summary request is not granted.
    pub calls: u64,
    /// The approximate number of prompt tokens of all calls together.
    pub tokens: u64,
}

impl StepPrice {
    pub(crate) fn of(request: &SummaryRequest) -> Self {
        Self { calls: request.calls, tokens: request.tokens }
    }
}

impl fmt::Display for StepPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.calls {
            0 => f.pad("free"),
            calls => {
                let count = counted(usize::try_from(calls).unwrap_or(usize::MAX), "call");
                write!(f, "{count} of about {} tokens", thousands(self.tokens / calls))
            }
        }
    }
}

/// The level to which a strategy trims a request above the high mark; shown in plans only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrimsTo {
    /// The low mark, so that the next requests begin like this one.
    #[default]
    LowMark,
    /// The high mark, or a level of its own.
    HighMark,
    /// It trims nothing; a request over the limit is refused.
    Nothing,
}
