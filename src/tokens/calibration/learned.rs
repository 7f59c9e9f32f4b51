//! `Learned`: what is known of one model at one server. `Forecast`: what its next bill will be.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::line::Line;
use super::misses::Misses;
use super::{LARGEST, ONE, scaled};
use crate::bisect::first_where;
use crate::text::{counted, thousands};
use crate::tokens::Count;

/// Before bills are known a forecast may fall short by a tenth; what is left of it fades over this many bills.
const FADES_OVER: u64 = 8;
const AT_FIRST: i64 = ONE / 10;
/// What a message can cost more than we think whatever its size.
const FRAMING: u64 = 4;
/// Of requests that are more than so many times as large as any that was billed, errors of forecasts say nothing.
const REACH: u64 = 8;

/// What was learned from the bills of one model at one server. `Display` says it in a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    bills: u64,
    #[serde(flatten)]
    line: Line,
    /// What the bill was more than each forecast that started from an earlier one, and than those of first requests.
    #[serde(skip_serializing_if = "Misses::is_empty")]
    misses: Misses,
    #[serde(skip_serializing_if = "Misses::is_empty")]
    first_misses: Misses,
    /// Our count of the largest request that was billed.
    largest: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// What an older version kept instead of `misses`; taken over when it is read.
    #[serde(skip_serializing)]
    errors: VecDeque<i64>,
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
        let tokens = self.expected(estimated.tokens, anchor);
        let change = signed(estimated.tokens) - anchor.map_or(0, |anchor| signed(anchor.estimated));
        let doubt = scaled(change.max(0), self.line.drawn().doubt, ONE).unsigned_abs();
        let margin = self.margin(estimated, anchor.is_some()).saturating_add(doubt);
        Forecast { estimated, tokens, margin, anchored: anchor.is_some() }
    }

    /// The bill of a request of `tokens` by our count.
    fn expected(&self, tokens: u64, anchor: Option<&Anchor>) -> u64 {
        let line = self.line.drawn();
        let start = Anchor { estimated: 0, billed: line.offset.unsigned_abs() };
        let from = anchor.copied().unwrap_or(start);
        let change = i128::from(tokens) - i128::from(from.estimated);
        let expected = i128::from(from.billed) + change * i128::from(line.ratio) / i128::from(ONE);
        u64::try_from(expected.max(0)).unwrap_or(u64::MAX)
    }

    /// What the bill may be more than expected.
    fn margin(&self, estimated: Count, is_anchored: bool) -> u64 {
        let is_off = !self.misses.is_empty() && self.mean_error() > 0
            || self.worst(estimated.tokens, is_anchored) > 0
            || self.ratio() != ONE.unsigned_abs()
            || self.offset() > 0;
        if estimated.exact && !is_off {
            return 0;
        }
        self.error_bar(estimated.tokens, is_anchored).saturating_add(FRAMING)
    }

    /// What a token of our count costs, in millionths of a billed one.
    pub fn ratio(&self) -> u64 {
        self.line.drawn().ratio.unsigned_abs()
    }

    /// The tokens in every request that we do not count, such as a prompt that the server adds to ours.
    pub fn offset(&self) -> u64 {
        self.line.drawn().offset.unsigned_abs()
    }

    /// How many bills it was learned from.
    pub fn bills(&self) -> u64 {
        self.bills
    }

    /// How far the last forecasts with an anchor were off, up or down, on average: in millionths of our count.
    pub fn mean_error(&self) -> u64 {
        self.misses.mean_part()
    }

    /// What the bill of a request of `tokens` by our count may be more than its forecast, in tokens; with an anchor or
    /// without.
    pub fn error_bar(&self, tokens: u64, is_anchored: bool) -> u64 {
        let fading = AT_FIRST.unsigned_abs() * FADES_OVER.saturating_sub(self.bills) / FADES_OVER;
        let fading = u128::from(tokens) * u128::from(fading) / u128::from(ONE.unsigned_abs());
        let worst = self.worst(tokens, is_anchored);
        worst.saturating_add(worst / 2).max(u64::try_from(fading).unwrap_or(u64::MAX))
    }

    fn worst(&self, tokens: u64, is_anchored: bool) -> u64 {
        let anchored = self.misses.worst(tokens);
        if is_anchored { anchored } else { anchored.max(self.first_misses.worst(tokens)) }
    }

    /// The tokens that a request may have, as the server said when one had more: most servers mean prompt and reply.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// The largest request by our count whose bill stays within `room` tokens, margin included; at most `room`. No margin
    /// is taken for what is more than eight times as large as any request that was billed, and the ratio counts there as far
    /// as bills have shown it: a few small bills say nothing about a request that fills a window.
    pub fn fitting(&self, room: u64, exact: bool, anchor: Option<&Anchor>) -> u64 {
        let is_too_large = |tokens: u64| self.most(Count { tokens, exact }, anchor) > room;
        if is_too_large(room) { first_where(1..room, is_too_large).saturating_sub(1) } else { room }
    }

    /// The most that a request is taken to cost when it must fit.
    pub(super) fn most(&self, estimated: Count, anchor: Option<&Anchor>) -> u64 {
        let within_reach = estimated.tokens.min(self.largest.saturating_mul(REACH));
        let expected = self.expected(within_reach, anchor);
        let margin = self.margin(Count { tokens: within_reach, ..estimated }, anchor.is_some());
        let ratio = u128::from(self.line.drawn().certain_ratio.unsigned_abs());
        let beyond = u128::from(estimated.tokens - within_reach) * ratio / u128::from(ONE.unsigned_abs());
        expected.saturating_add(margin).saturating_add(u64::try_from(beyond).unwrap_or(u64::MAX))
    }

    pub(super) fn learn(&mut self, forecast: &Forecast, billed: u64, anchor: Option<&Anchor>) {
        let estimated = forecast.estimated;
        let counted = signed(estimated.tokens);
        let bill = signed(billed);
        match anchor {
            Some(anchor) => self.line.learn_change(counted - signed(anchor.estimated), bill - signed(anchor.billed)),
            None => self.line.learn_first(counted, bill, estimated.exact),
        }
        let missed = bill - signed(forecast.tokens);
        if forecast.anchored {
            self.misses.push(missed, estimated.tokens);
        } else if self.bills > 0 {
            // The very first bill is what the line is drawn from: no forecast was made.
            self.first_misses.push(missed, estimated.tokens);
        }
        self.bills = self.bills.saturating_add(1);
        self.largest = self.largest.max(estimated.tokens);
        // A longer one was answered.
        self.limit = self.limit.filter(|limit| *limit >= billed);
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
    pub(super) fn checked(self) -> Self {
        let limit = self.limit.filter(|limit| *limit > 0);
        if self.largest > 0 || self.bills == 0 {
            let misses = self.misses.checked();
            let first_misses = self.first_misses.checked();
            return Self { line: self.line.checked(), misses, first_misses, limit, errors: VecDeque::new(), ..self };
        }
        // An older version took what the first bills had beside the messages for a ratio. A few bills later that is
        // forgotten; before that it is better to start afresh.
        if self.bills <= FADES_OVER {
            return Self { limit, ..Self::default() };
        }
        let misses = Misses::from_parts(self.errors);
        let line = self.line.checked();
        let largest = LARGEST.unsigned_abs();
        Self { bills: self.bills, line, misses, largest, limit, ..Self::default() }
    }
}

/// Tokens as a signed number that can be added and subtracted without care.
fn signed(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

impl fmt::Display for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bills = usize::try_from(self.bills).unwrap_or(usize::MAX);
        let ratio = self.ratio() / 1_000;
        let error = self.mean_error() / 1_000;
        let bar = self.error_bar(self.largest, true).saturating_mul(1_000) / self.largest.max(1);
        write!(f, "{}.{:03} tokens billed for each of ours", ratio / 1_000, ratio % 1_000)?;
        if self.offset() > 0 {
            write!(f, " and {} more in each request", thousands(self.offset()))?;
        }
        write!(f, " ({}), forecasts off by {}.{} %", counted(bills, "bill"), error / 10, error % 10)?;
        write!(f, " on average and short by at most {}.{} %", bar / 10, bar % 10)?;
        self.limit.map_or(Ok(()), |limit| write!(f, ", at most {} tokens", thousands(limit)))
    }
}
