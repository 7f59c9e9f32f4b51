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

/// Before any bill, a forecast may fall short by a tenth; this allowance fades over this many
/// bills.
const FADES_OVER: u64 = 8;
const AT_FIRST: i64 = ONE / 10;
/// How many tokens a message may cost beyond our count, whatever its size.
const FRAMING: u64 = 4;
/// For requests more than this many times as large as any that was billed, the errors of forecasts
/// say nothing.
const REACH: u64 = 8;

/// What was learned from the bills of one model at one server. `Display` prints it in one line.
///
/// # Examples
/// ```
/// use turnwise::tokens::{Calibration, Count};
///
/// let (model, server) = ("smollm2", "http://127.0.0.1:8080/v1");
/// let calibration = Calibration::new();
/// let first = calibration.of(model, server).forecast(Count::estimated(200), None);
/// let _anchor = calibration.learn(model, server, &first, 230, None); // the bill
/// let learned = calibration.of(model, server);
/// println!("{learned}");
/// assert_eq!(learned.bills(), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    bills: u64,
    #[serde(flatten)]
    line: Line,
    /// By how much bills exceeded the forecasts that had an anchor, and those of first requests.
    #[serde(skip_serializing_if = "Misses::is_empty")]
    misses: Misses,
    #[serde(skip_serializing_if = "Misses::is_empty")]
    first_misses: Misses,
    /// Our count of the largest request that was billed.
    largest: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// The field that an older version had instead of `misses`; converted when it is read.
    #[serde(skip_serializing)]
    errors: VecDeque<i64>,
}

/// Our count of a request and its bill, which the conversation's next forecast starts from.
///
/// # Examples
/// ```
/// use turnwise::tokens::{Calibration, Count};
///
/// let (model, server) = ("smollm2", "http://127.0.0.1:8080/v1");
/// let calibration = Calibration::new();
/// let first = calibration.of(model, server).forecast(Count::estimated(200), None);
/// let anchor = calibration.learn(model, server, &first, 230, None); // the bill
/// let anchor = anchor.unwrap();
/// assert_eq!((anchor.estimated, anchor.billed), (200, 230));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Anchor {
    /// Our count, in tokens.
    pub estimated: u64,
    /// The tokens of the prompt that were billed.
    pub billed: u64,
}

/// The expected bill of a request.
///
/// # Examples
/// ```
/// use turnwise::tokens::{Calibration, Count};
///
/// let (model, server) = ("smollm2", "http://127.0.0.1:8080/v1");
/// let calibration = Calibration::new();
/// let first = calibration.of(model, server).forecast(Count::estimated(200), None);
/// let anchor = calibration.learn(model, server, &first, 230, None); // the bill
/// let next = calibration.of(model, server).forecast(Count::estimated(250), anchor.as_ref());
/// println!("about {} tokens, and at most {}", next.tokens, next.most());
/// assert!(next.anchored && next.tokens > 250 && next.most() == next.tokens + next.margin);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Forecast {
    /// Our count.
    pub estimated: Count,
    /// The tokens of the prompt that are expected to be billed.
    pub tokens: u64,
    /// How much higher the bill may be: at most one bill in a hundred exceeds it.
    pub margin: u64,
    /// Whether it starts from an earlier bill of the conversation.
    pub anchored: bool,
}

impl Forecast {
    /// The forecast plus its margin.
    pub fn most(&self) -> u64 {
        self.tokens.saturating_add(self.margin)
    }
}

impl Learned {
    /// The expected bill of a request that we count as `estimated`; the anchor is the
    /// conversation's last bill.
    pub fn forecast(&self, estimated: Count, anchor: Option<&Anchor>) -> Forecast {
        let tokens = self.expected(estimated.tokens, anchor);
        let change = signed(estimated.tokens) - anchor.map_or(0, |anchor| signed(anchor.estimated));
        let doubt = scaled(change.max(0), self.line.fit().doubt, ONE).unsigned_abs();
        let margin = self.margin(estimated, anchor.is_some()).saturating_add(doubt);
        Forecast { estimated, tokens, margin, anchored: anchor.is_some() }
    }

    /// The expected bill of a request of `tokens` by our count.
    fn expected(&self, tokens: u64, anchor: Option<&Anchor>) -> u64 {
        let line = self.line.fit();
        let start = Anchor { estimated: 0, billed: line.offset.unsigned_abs() };
        let from = anchor.copied().unwrap_or(start);
        let change = i128::from(tokens) - i128::from(from.estimated);
        let expected = i128::from(from.billed) + change * i128::from(line.ratio) / i128::from(ONE);
        u64::try_from(expected.max(0)).unwrap_or(u64::MAX)
    }

    /// How much higher than expected the bill may be.
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

    /// What a token of our count costs, in millionths of a billed token.
    pub fn ratio(&self) -> u64 {
        self.line.fit().ratio.unsigned_abs()
    }

    /// The tokens of every request that we do not count, such as a prompt that the server adds.
    pub fn offset(&self) -> u64 {
        self.line.fit().offset.unsigned_abs()
    }

    /// The number of bills that it was learned from.
    pub fn bills(&self) -> u64 {
        self.bills
    }

    /// The mean error of the recent forecasts with an anchor, too high or too low, in millionths of
    /// our count.
    pub fn mean_error(&self) -> u64 {
        self.misses.mean_part()
    }

    /// By how many tokens the bill of a request of `tokens` by our count may exceed its forecast,
    /// with or without an anchor.
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

    /// The largest size of a request, as the server reported when a request exceeded it. Most
    /// servers mean prompt and reply together.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// The largest request by our count whose bill stays within `room` tokens, margin included; at
    /// most `room`. For requests more than eight times as large as any that was billed, no margin
    /// is applied, and the ratio only as far as bills have confirmed it: a few small bills say
    /// nothing about a request that fills a window.
    pub fn fitting(&self, room: u64, exact: bool, anchor: Option<&Anchor>) -> u64 {
        let is_too_large = |tokens: u64| self.most(Count { tokens, exact }, anchor) > room;
        if is_too_large(room) { first_where(1..room, is_too_large).saturating_sub(1) } else { room }
    }

    /// The highest bill to assume for a request that must fit.
    pub(super) fn most(&self, estimated: Count, anchor: Option<&Anchor>) -> u64 {
        let within_reach = estimated.tokens.min(self.largest.saturating_mul(REACH));
        let expected = self.expected(within_reach, anchor);
        let margin = self.margin(Count { tokens: within_reach, ..estimated }, anchor.is_some());
        let ratio = u128::from(self.line.fit().certain_ratio.unsigned_abs());
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
            // The very first bill defines the line; there was no forecast.
            self.first_misses.push(missed, estimated.tokens);
        }
        self.bills = self.bills.saturating_add(1);
        self.largest = self.largest.max(estimated.tokens);
        // The limit is wrong if a longer request was answered.
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

    /// The values read from a file, forced into the bounds that learning keeps.
    pub(super) fn checked(self) -> Self {
        let limit = self.limit.filter(|limit| *limit > 0);
        if self.largest > 0 || self.bills == 0 {
            let misses = self.misses.checked();
            let first_misses = self.first_misses.checked();
            return Self { line: self.line.checked(), misses, first_misses, limit, errors: VecDeque::new(), ..self };
        }
        // An older version counted what first bills have in addition to the messages towards the
        // ratio. After a few more bills that no longer matters; before that, it is better to start
        // again.
        if self.bills <= FADES_OVER {
            return Self { limit, ..Self::default() };
        }
        let misses = Misses::from_parts(self.errors);
        let line = self.line.checked();
        let largest = LARGEST.unsigned_abs();
        Self { bills: self.bills, line, misses, largest, limit, ..Self::default() }
    }
}

/// Tokens as a signed number, small enough to add and subtract without overflow.
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
