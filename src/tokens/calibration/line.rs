//! `Line`: a linear fit of what a server bills: `billed = ratio * counted + offset`.
//!
//! `counted` is our count of a request, and `offset` what the server adds to every request. They are
//! found by weighted least squares. With `W` the sum of the weights of all first bills, and `Sx`, `Sy`,
//! `Sxx` and `Sxy` the weighted sums of counts, bills, squared counts and counts times bills:
//!
//! ```text
//! ratio  = (W * Sxy - Sx * Sy) / (W * Sxx - Sx * Sx)
//! offset = (Sy - ratio * Sx) / W
//! ```
//!
//! A change between two bills of a conversation has no offset, so it adds to `Sxx` and `Sxy` only. So
//! does the assumption that the ratio is 1; the assumption that the offset is 0 adds to `W` only. If
//! the offset would be 0 or less, the line goes through zero: `ratio = Sxy / Sxx`.

use serde::{Deserialize, Serialize};

use super::{LARGEST, ONE, scaled};

/// A ratio outside of these bounds is a server's odd way of counting and not a tokenizer: the
/// densest of those recorded, Thai and Chinese on a small English vocabulary, cost 3.4 times our
/// count.
const RATIOS: (i64, i64) = (ONE / 4, 8 * ONE);
/// The weight of the assumed ratio of 1: that of one change by 32 tokens, which counts with its
/// square. Between 16 and 64 tokens the mean error over 43 recorded conversations is the same to 0.03
/// points.
const RATIO_PRIOR: i64 = 32 * 32;
/// How the weight of earlier changes decays with each new one: to 31 of 32 parts.
const CHANGES_DECAY: i64 = 31;
/// How the weight of earlier first bills decays with each new one: to 7 of 8 parts.
const FIRSTS_DECAY: i64 = 7;
/// The weight of a first bill, chosen so that parts of it are whole numbers. A change has the same
/// weight, but it is multiplied only when the line is fitted.
const WEIGHT: i64 = 2_000;
/// The weight of the assumed offset of 0: a four-hundredth of a first bill, so that a small first
/// bill is explained by an offset and one of thousands of tokens by the ratio.
const OFFSET_PRIOR: i64 = WEIGHT / 400;
/// Above this size, the error of a first bill grows with its size, so it weighs less.
const LARGE_FIRST: i64 = 512;
/// The standard deviation of bills from the line, in tokens.
const DEVIATION: i64 = 10;

/// Sums over bills, from which the line follows by least squares. Changes between two bills of a
/// conversation give the ratio, whatever else is billed; the first bills of conversations give the
/// offset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    /// The sum of changes of our count times changes of the bill. Older ones weigh less.
    products: i64,
    /// The sum of the squares of changes of our count. Older ones weigh less.
    squares: i64,
    #[serde(skip_serializing_if = "Firsts::is_empty")]
    firsts: Firsts,
}

/// Weighted sums over the first bills of conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Firsts {
    weight: i64,
    counts: i64,
    bills: i64,
    /// Of the squares of counts.
    squares: i64,
    /// Of counts times bills.
    products: i64,
}

/// The fitted line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    /// What a token of our count costs, in millionths of a billed token.
    pub(super) ratio: i64,
    /// The tokens of every request that we do not count.
    pub(super) offset: i64,
    /// By how many millionths the ratio may be higher, as long as too few bills separate it from
    /// the offset.
    pub(super) doubt: i64,
    /// The ratio as far as bills confirm it: 1 if they say nothing about it.
    pub(super) certain_ratio: i64,
}

impl Line {
    /// Learns from a change of our count and of the bill.
    pub(super) fn learn_change(&mut self, counted: i64, billed: i64) {
        let counted = bounded(counted);
        let billed = bounded(billed);
        self.products = scaled(self.products, CHANGES_DECAY, CHANGES_DECAY + 1) + counted * billed;
        self.squares = scaled(self.squares, CHANGES_DECAY, CHANGES_DECAY + 1) + counted * counted;
    }

    /// Learns from the first bill of a conversation. If our count claims to be exact, everything
    /// billed beyond it is the offset.
    pub(super) fn learn_first(&mut self, counted: i64, billed: i64, is_exact: bool) {
        let counted = bounded(counted);
        let billed = bounded(billed);
        let (counted, billed) = if is_exact { (0, billed - counted) } else { (counted, billed) };
        self.firsts.add(counted, billed);
    }

    /// The line through what was learned.
    pub(super) fn fit(&self) -> Fit {
        let one = i128::from(ONE);
        // The prior is a change of both by the same number. First bills have their weight already.
        let weighted_with_prior = |sum: i64| (i128::from(sum) + i128::from(RATIO_PRIOR)) * i128::from(WEIGHT);
        let firsts = &self.firsts;
        let [counts, bills] = [firsts.counts, firsts.bills].map(i128::from);
        let weight = i128::from(firsts.weight + OFFSET_PRIOR);
        let squares = weighted_with_prior(self.squares) + i128::from(firsts.squares);
        let products = weighted_with_prior(self.products) + i128::from(firsts.products);
        // It is positive, but the sums are rounded, so the result may be 0 if it is small.
        let determinant = (squares * weight - counts * counts).max(1);
        let without_offset = ratio(products * one / squares);
        let with_offset = ratio((products * weight - bills * counts) * one / determinant);
        let offset = rounded(bills * one - i128::from(with_offset) * counts, weight * one);
        if offset <= 0 {
            let certain_ratio = certain(without_offset, squares);
            return Fit { ratio: without_offset, offset: 0, doubt: 0, certain_ratio };
        }
        // How well the ratio is known: the weighted sum of squares around the mean count.
        let known = (determinant / weight).max(1);
        // Three standard deviations of the ratio.
        let most_doubt = 3 * DEVIATION * ONE / saturated(known / i128::from(WEIGHT)).isqrt().max(1);
        let doubt = (without_offset - with_offset).clamp(0, most_doubt);
        Fit { ratio: with_offset, offset, doubt, certain_ratio: certain(with_offset, known) }
    }

    /// The values read from a file, forced into the bounds that learning keeps.
    pub(super) fn checked(mut self) -> Self {
        let most = LARGEST * LARGEST * (CHANGES_DECAY + 1);
        self.products = self.products.clamp(-most, most);
        self.squares = self.squares.clamp(0, most);
        self.firsts = self.firsts.checked();
        self
    }
}

impl Firsts {
    fn add(&mut self, counted: i64, billed: i64) {
        let all = i128::from(WEIGHT);
        let size = i128::from(counted.max(LARGE_FIRST));
        let weighted = |number: i128| saturated(all * number * i128::from(LARGE_FIRST * LARGE_FIRST) / (size * size));
        let counted = i128::from(counted);
        let billed = i128::from(billed);
        let older = |sum: i64| scaled(sum, FIRSTS_DECAY, FIRSTS_DECAY + 1);
        self.weight = older(self.weight) + weighted(1);
        self.counts = older(self.counts) + weighted(counted);
        self.bills = older(self.bills) + weighted(billed);
        self.squares = older(self.squares) + weighted(counted * counted);
        self.products = older(self.products) + weighted(counted * billed);
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Makes the sums consistent: only bills may be negative, and the square of a sum is at most
    /// the sum of the squares.
    fn checked(self) -> Self {
        let most = LARGEST * LARGE_FIRST * WEIGHT * 8;
        let positive = |sum: i64| sum.clamp(0, most);
        let [weight, counts, squares] = [self.weight, self.counts, self.squares].map(positive);
        let [bills, products] = [self.bills, self.products].map(|sum| sum.clamp(-most, most));
        let is_possible = i128::from(counts) * i128::from(counts)
            <= i128::from(weight + OFFSET_PRIOR) * (i128::from(squares) + i128::from(RATIO_PRIOR * WEIGHT));
        if is_possible { Self { weight, counts, bills, squares, products } } else { Self::default() }
    }
}

fn bounded(tokens: i64) -> i64 {
    tokens.clamp(-LARGEST, LARGEST)
}

fn ratio(millionths: i128) -> i64 {
    saturated(millionths.clamp(RATIOS.0.into(), RATIOS.1.into()))
}

/// The ratio as far as bills confirm it. `known` is how well it is known, with the assumption that
/// it is 1; the part of that assumption keeps the ratio near 1.
fn certain(ratio: i64, known: i128) -> i64 {
    let assumed = i128::from(RATIO_PRIOR) * i128::from(WEIGHT);
    ONE + saturated(i128::from(ratio - ONE) * (known - assumed).max(0) / known.max(1))
}

/// The quotient, rounded to the nearest whole number.
fn rounded(number: i128, by: i128) -> i64 {
    saturated((number * 2 + by).div_euclid(by * 2))
}

/// The number, or the nearest one that an `i64` can hold.
fn saturated(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}
