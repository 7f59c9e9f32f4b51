//! What is known of one model at one server, and what follows from it.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::tokens::Count;
use crate::words::{counted, thousands};

/// One, in millionths.
const ONE: i64 = 1_000_000;
/// A ratio outside of these is a server's odd way to count rather than a tokenizer: the densest of those recorded, Thai and
/// Chinese on a small English vocabulary, cost 3.4 times our count.
const RATIOS: (i64, i64) = (ONE / 4, 8 * ONE);
/// What a ratio of 1 weighs before anything is known: as much as one change by so many tokens. Between 16 and 64 the mean
/// error over 43 recorded conversations is the same to 0.03 points.
const PRIOR: i64 = 32;
/// Of the weight of earlier bills so much is left at each new one, in parts of 32.
const LEFT: i64 = 31;
/// A change counts as at most this; more than any window, and its square times 32 is below 2^53.
const LARGEST_CHANGE: i64 = 10_000_000;
/// The first bill of a conversation counts as a change from nothing by at most this, so that what it has beside the messages
/// (tools, a prompt of the server's) does not set the ratio for long.
const LARGEST_FIRST: i64 = 512;
/// So many errors are remembered.
const REMEMBERED: usize = 64;
/// Before bills are known a forecast may fall short by a tenth; what is left of it fades over this many bills.
const FADES_OVER: u64 = 8;
const AT_FIRST: i64 = ONE / 10;
/// What a message can cost more than we think whatever its size.
const FRAMING: u64 = 4;

/// What was learned from the bills of one model at one server. `Display` says it in a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    bills: u64,
    /// Changes of our count times changes of the bill, and times themselves, older ones weighing less.
    products: i64,
    squares: i64,
    /// Of each forecast what the bill was more than it, in millionths of our count, newest last.
    errors: VecDeque<i64>,
    /// The same of forecasts without an anchor.
    first_errors: VecDeque<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
}

/// A request of a conversation with its bill: what forecasts start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Anchor {
    /// What we counted, in tokens.
    pub estimated: u64,
    /// The tokens of the prompt that were billed.
    pub billed: u64,
}

/// What a bill will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Forecast {
    /// What we count.
    pub estimated: Count,
    /// The tokens of the prompt that will be billed.
    pub tokens: u64,
    /// What the bill may be more than that: at most one of a hundred is more still.
    pub margin: u64,
    /// Whether it starts from an earlier bill of the conversation.
    pub anchored: bool,
}

impl Forecast {
    /// The forecast and its margin.
    pub fn most(&self) -> u64 {
        self.tokens.saturating_add(self.margin)
    }
}

impl Learned {
    /// What the bill of a request will be that we count as `estimated`; the anchor is the conversation's last bill.
    pub fn forecast(&self, estimated: Count, anchor: Option<&Anchor>) -> Forecast {
        let from = anchor.copied().unwrap_or(Anchor { estimated: 0, billed: 0 });
        let change = i128::from(estimated.tokens) - i128::from(from.estimated);
        let tokens = i128::from(from.billed) + change * i128::from(self.ratio()) / i128::from(ONE);
        let tokens = u64::try_from(tokens.max(0)).unwrap_or(u64::MAX);
        let margin = self.margin(estimated, anchor.is_some());
        Forecast { estimated, tokens, margin, anchored: anchor.is_some() }
    }

    fn margin(&self, estimated: Count, is_anchored: bool) -> u64 {
        let was_off = self.worst(is_anchored) > 0 || self.mean_error() > 0 || self.ratio() != ONE.unsigned_abs();
        if estimated.exact && !was_off {
            return 0;
        }
        let part = u128::from(estimated.tokens) * u128::from(self.error_bar(is_anchored));
        u64::try_from(part / u128::from(ONE.unsigned_abs())).unwrap_or(u64::MAX).saturating_add(FRAMING)
    }

    /// What a token of our count costs, in millionths of a billed one.
    pub fn ratio(&self) -> u64 {
        let (products, squares) = (i128::from(self.products), i128::from(self.squares));
        let prior = i128::from(PRIOR * PRIOR);
        let slope = (products + prior) * i128::from(ONE) / (squares + prior);
        u64::try_from(slope.clamp(RATIOS.0.into(), RATIOS.1.into())).unwrap_or(ONE.unsigned_abs())
    }

    /// How many bills it was learned from.
    pub fn bills(&self) -> u64 {
        self.bills
    }

    /// How far the last forecasts with an anchor were off, up or down, on average: in millionths of our count.
    pub fn mean_error(&self) -> u64 {
        let sum: u64 = self.errors.iter().map(|error| error.unsigned_abs()).sum();
        sum.checked_div(self.errors.len() as u64).unwrap_or(0)
    }

    /// What a bill may be more than its forecast, in millionths of our count; with an anchor or without.
    pub fn error_bar(&self, is_anchored: bool) -> u64 {
        let fading = AT_FIRST.unsigned_abs() * FADES_OVER.saturating_sub(self.bills) / FADES_OVER;
        (self.worst(is_anchored) * 3 / 2).max(fading)
    }

    fn worst(&self, is_anchored: bool) -> u64 {
        let worst = |errors: &VecDeque<i64>| errors.iter().copied().max().unwrap_or(0).max(0).unsigned_abs();
        if is_anchored { worst(&self.errors) } else { worst(&self.errors).max(worst(&self.first_errors)) }
    }

    /// The tokens that a request may have, as the server said when one had more: most servers mean prompt and reply.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// The largest request by our count whose bill stays within `room` tokens, margin included; at most `room`.
    pub fn fitting(&self, room: u64, exact: bool, anchor: Option<&Anchor>) -> u64 {
        let fits = |tokens: u64| self.forecast(Count { tokens, exact }, anchor).most() <= room;
        if fits(room) {
            return room;
        }
        let (mut fitting, mut too_large) = (0, room);
        while too_large - fitting > 1 {
            let middle = fitting + (too_large - fitting) / 2;
            if fits(middle) { fitting = middle } else { too_large = middle }
        }
        fitting
    }

    pub(super) fn learn(&mut self, forecast: &Forecast, billed: u64, anchor: Option<&Anchor>) {
        let (estimated, billed) = (signed(forecast.estimated.tokens), signed(billed));
        let (change, billed_change) = match anchor {
            Some(anchor) => (estimated - signed(anchor.estimated), billed - signed(anchor.billed)),
            None if estimated > LARGEST_FIRST => (LARGEST_FIRST, scaled(billed, LARGEST_FIRST, estimated)),
            None => (estimated, billed),
        };
        let bounded = |change: i64| change.clamp(-LARGEST_CHANGE, LARGEST_CHANGE);
        let (change, billed_change) = (bounded(change), bounded(billed_change));
        self.products = scaled(self.products, LEFT, LEFT + 1) + change * billed_change;
        self.squares = scaled(self.squares, LEFT, LEFT + 1) + change * change;
        let error = scaled(billed - signed(forecast.tokens), ONE, estimated.max(1)).clamp(-RATIOS.1, RATIOS.1);
        let errors = if forecast.anchored { &mut self.errors } else { &mut self.first_errors };
        errors.push_back(error);
        if errors.len() > REMEMBERED {
            errors.pop_front();
        }
        self.bills = self.bills.saturating_add(1);
        // A longer one was answered.
        self.limit = self.limit.filter(|limit| signed(*limit) >= billed);
    }

    pub(super) fn learn_limit(&mut self, tokens: u64) {
        self.limit = Some(tokens);
    }

    pub(super) fn merge(&mut self, other: Self) {
        let limit = self.limit.or(other.limit);
        if other.bills > self.bills {
            *self = other;
        }
        self.limit = limit;
    }

    /// What was read from a file, within the bounds that learning keeps.
    pub(super) fn checked(mut self) -> Self {
        let most = LARGEST_CHANGE * LARGEST_CHANGE * (LEFT + 1);
        self.products = self.products.clamp(-most, most);
        self.squares = self.squares.clamp(0, most);
        for errors in [&mut self.errors, &mut self.first_errors] {
            errors.truncate(REMEMBERED);
            for error in errors {
                *error = (*error).clamp(-RATIOS.1, RATIOS.1);
            }
        }
        self.limit = self.limit.filter(|limit| *limit > 0);
        self
    }
}

/// Tokens as a signed number that can be added and subtracted without care.
fn signed(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

fn scaled(number: i64, by: i64, of: i64) -> i64 {
    let exact = i128::from(number) * i128::from(by) / i128::from(of);
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

impl fmt::Display for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bills = usize::try_from(self.bills).unwrap_or(usize::MAX);
        let (ratio, error, bar) = (self.ratio() / 1_000, self.mean_error() / 1_000, self.error_bar(true) / 1_000);
        write!(f, "{}.{:03} tokens billed for each of ours", ratio / 1_000, ratio % 1_000)?;
        write!(f, " ({}), forecasts off by {}.{} %", counted(bills, "bill"), error / 10, error % 10)?;
        write!(f, " on average and short by at most {}.{} %", bar / 10, bar % 10)?;
        self.limit.map_or(Ok(()), |limit| write!(f, ", at most {} tokens", thousands(limit)))
    }
}
