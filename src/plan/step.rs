//! What the steps of a strategy did, and their price.

use std::fmt;

use serde::Serialize;

use super::summary::SummaryRequest;
use crate::text::{counted, thousands};

/// What one step of a strategy did with a request, and its price. A [`Ladder`](crate::Ladder) has several, any other
/// strategy one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// The step, as it is written on the command line.
    pub strategy: String,
    /// The tokens that it took off the request; `None` when the steps before it were enough.
    pub saved: Option<u64>,
    /// What it costs beside the request.
    pub price: StepPrice,
}

impl Step {
    pub(crate) fn not_needed(strategy: &str) -> Self {
        Self { strategy: strategy.to_owned(), saved: None, price: StepPrice::default() }
    }

    /// A step that made a request of `before` tokens one of `after`.
    pub(crate) fn taken(strategy: &str, before: u64, after: u64, request: Option<&SummaryRequest>) -> Self {
        let price = request.map_or_else(StepPrice::default, StepPrice::of);
        Self { strategy: strategy.to_owned(), saved: Some(before.saturating_sub(after)), price }
    }
}

/// What a step costs beside the request: nothing, or calls of a model. `Display` says `free` or `1 call of about 900
/// tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StepPrice {
    /// How many calls of a model, roughly; none are made where the request for them is not granted.
    pub calls: u64,
    /// How many tokens they take in together, roughly.
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

/// Down to where a strategy trims a request that passes the high mark; plans say it in words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrimsTo {
    /// The low mark, so that the next requests repeat this one and add to it.
    #[default]
    LowMark,
    /// No further than it must, or wherever its own rule leads.
    HighMark,
    /// It trims nothing, and what is over the limit is refused.
    Nothing,
}
