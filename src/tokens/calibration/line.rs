//! `Line`: the line that bills follow: so many tokens for each of ours, and so many more in
//! every request.

use serde::{Deserialize, Serialize};

use super::{LARGEST, ONE, scaled};

/// A ratio outside of these bounds is a server's odd way of counting and not a tokenizer: the
/// densest of those recorded, Thai and Chinese on a small English vocabulary, cost 3.4 times our
/// count.
const RATIOS: (i64, i64) = (ONE / 4, 8 * ONE);
/// The weight of the assumed ratio of 1: that of one change by this many tokens. Between 16 and 64
/// the mean error over 43 recorded conversations is the same to 0.03 points.
const PRIOR: i64 = 32;
/// How much of the weight of earlier changes remains at each new one, in parts of 32.
const LEFT: i64 = 31;
/// How much of the weight of earlier first bills remains at each new one, in parts of 8.
const FIRSTS_LEFT: i64 = 7;
/// The weight of a first bill, chosen so that parts of it are whole numbers.
const WEIGHT: i64 = 2_000;
/// The weight of the assumed offset of 0: a four-hundredth of a first bill, so that a small first
/// bill is explained by an offset and one of thousands of tokens by the ratio.
const NO_OFFSET: i64 = WEIGHT / 400;
/// Above this size, the error of a first bill grows with its size, so it weighs less.
const LARGE_FIRST: i64 = 512;
/// The usual distance of a bill from the line, in tokens.
const STRAYS: i64 = 10;

/// Sums over bills, from which the line follows by least squares. Changes between two bills of a
/// conversation give the ratio, whatever else is billed; the first bills of conversations give the
/// offset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    /// Changes of our count times changes of the bill, and times themselves; older ones weigh less.
    products: i64,
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
    /// Of counts times themselves, and of counts times bills.
    squares: i64,
    products: i64,
}

/// The fitted line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drawn {
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
        self.products = scaled(self.products, LEFT, LEFT + 1) + counted * billed;
        self.squares = scaled(self.squares, LEFT, LEFT + 1) + counted * counted;
    }

    /// Learns from the first bill of a conversation. If our count claims to be exact, everything
    /// billed beyond it is the offset.
    pub(super) fn learn_first(&mut self, counted: i64, billed: i64, is_exact: bool) {
        let counted = bounded(counted);
        let billed = bounded(billed);
        let (counted, billed) = if is_exact { (0, billed - counted) } else { (counted, billed) };
        self.firsts.add(counted, billed);
    }

    pub(super) fn drawn(&self) -> Drawn {
        let one = i128::from(ONE);
        let with_prior = |sum: i64| (i128::from(sum) + i128::from(PRIOR * PRIOR)) * i128::from(WEIGHT);
        let firsts = &self.firsts;
        let [counts, bills] = [firsts.counts, firsts.bills].map(i128::from);
        let weight = i128::from(firsts.weight + NO_OFFSET);
        let squares = with_prior(self.squares) + i128::from(firsts.squares);
        let products = with_prior(self.products) + i128::from(firsts.products);
        // Rounding may make a small one 0.
        let determinant = (squares * weight - counts * counts).max(1);
        let without_offset = ratio(products * one / squares);
        let with_offset = ratio((products * weight - bills * counts) * one / determinant);
        let offset = rounded(bills * one - i128::from(with_offset) * counts, weight * one);
        if offset <= 0 {
            let certain_ratio = certain(without_offset, squares);
            return Drawn { ratio: without_offset, offset: 0, doubt: 0, certain_ratio };
        }
        let known = (determinant / weight).max(1);
        // Three standard deviations of the ratio.
        let deviation = 3 * STRAYS * ONE / whole(known / i128::from(WEIGHT)).isqrt().max(1);
        let doubt = (without_offset - with_offset).clamp(0, deviation);
        Drawn { ratio: with_offset, offset, doubt, certain_ratio: certain(with_offset, known) }
    }

    /// The values read from a file, forced into the bounds that learning keeps.
    pub(super) fn checked(mut self) -> Self {
        let most = LARGEST * LARGEST * (LEFT + 1);
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
        let weighted = |number: i128| whole(all * number * i128::from(LARGE_FIRST * LARGE_FIRST) / (size * size));
        let counted = i128::from(counted);
        let billed = i128::from(billed);
        let older = |sum: i64| scaled(sum, FIRSTS_LEFT, FIRSTS_LEFT + 1);
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
            <= i128::from(weight + NO_OFFSET) * (i128::from(squares) + i128::from(PRIOR * PRIOR * WEIGHT));
        if is_possible { Self { weight, counts, bills, squares, products } } else { Self::default() }
    }
}

fn bounded(tokens: i64) -> i64 {
    tokens.clamp(-LARGEST, LARGEST)
}

fn ratio(millionths: i128) -> i64 {
    whole(millionths.clamp(RATIOS.0.into(), RATIOS.1.into()))
}

/// The part of a ratio that is known from this weight, which includes the assumed one.
fn certain(ratio: i64, known: i128) -> i64 {
    let assumed = i128::from(PRIOR * PRIOR) * i128::from(WEIGHT);
    ONE + whole(i128::from(ratio - ONE) * (known - assumed).max(0) / known.max(1))
}

fn rounded(number: i128, by: i128) -> i64 {
    whole((number * 2 + by).div_euclid(by * 2))
}

fn whole(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}
