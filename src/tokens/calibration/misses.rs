//! `Misses`: what forecasts fell short by.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{ONE, scaled};

/// How many misses are remembered.
const REMEMBERED: usize = 64;
/// The largest size or miss, chosen so that the square of one times the other does not overflow.
const LARGEST_SIZE: u64 = 1 << 40;
/// A bill exceeds its forecast by at most this many times our count.
const LARGEST_PART: i64 = 8;
/// The fields of an older version, parts of a request without its size, are treated as misses of
/// requests of this size.
const OLDER_SIZE: u64 = 1_000;

/// The last misses, newest last: by how much the bill exceeded the forecast, and our count of the
/// request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Misses(VecDeque<(i64, u64)>);

impl Misses {
    pub(super) fn push(&mut self, missed: i64, size: u64) {
        self.0.push_back(within_bounds((missed, size)));
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Converts the fields of an older version: parts of the request in millionths.
    pub(super) fn from_parts(parts: impl IntoIterator<Item = i64>) -> Self {
        let miss = |part: i64| (scaled(part, OLDER_SIZE.cast_signed(), ONE), OLDER_SIZE);
        Self(parts.into_iter().map(miss).collect()).checked()
    }

    /// The values read from a file, forced into the bounds that learning keeps.
    pub(super) fn checked(mut self) -> Self {
        self.0.truncate(REMEMBERED);
        Self(self.0.into_iter().map(within_bounds).collect())
    }

    /// The mean error of forecasts, too high or too low, in millionths of our count.
    pub(super) fn mean_part(&self) -> u64 {
        let part = |(missed, size): &(i64, u64)| scaled(missed.abs(), ONE, size.cast_signed()).unsigned_abs();
        self.0.iter().map(part).sum::<u64>().checked_div(self.0.len() as u64).unwrap_or(0)
    }

    /// The shortfall of a forecast for a request of `size` tokens, if it missed as badly as the
    /// worst of these. A miss grows with the square root of the size, as a sum of independent
    /// errors does, so that a miss of a few tokens does not become a share of a whole window.
    pub(super) fn worst(&self, size: u64) -> u64 {
        let weighs = |&(missed, size): &(i64, u64)| (squared(missed), u128::from(size));
        let short = self.0.iter().filter(|(missed, _)| *missed > 0).map(weighs);
        let worst = short.reduce(|one, other| if other.0 * one.1 > one.0 * other.1 { other } else { one });
        let Some((squared, own_size)) = worst else { return 0 };
        let root = (squared * u128::from(size.min(LARGEST_SIZE)) / own_size).isqrt();
        u64::try_from(root).unwrap_or(u64::MAX)
    }
}

fn within_bounds((missed, size): (i64, u64)) -> (i64, u64) {
    let size = size.clamp(1, LARGEST_SIZE);
    let most = LARGEST_PART.saturating_mul(size.cast_signed());
    (missed.clamp(-most, most), size)
}

fn squared(missed: i64) -> u128 {
    let missed = u128::from(missed.unsigned_abs().min(LARGEST_SIZE));
    missed * missed
}
