//! `Scores`: how much each group has to do with the question. BM25 in whole numbers, so that
//! every machine finds the same.

use super::index::{Index, Posting, narrow};
use super::query::Query;
use super::terms::Key;

/// BM25's constants in twentieths (Robertson and Zaragoza, "The Probabilistic Relevance Framework",
/// 2009: k1 1.2, b 0.75).
const K1: u64 = 24;
const B: u64 = 15;
const ONE: u64 = 20;
/// Binary digits after the point, in logarithms and parts of a length.
const FRACTION: u32 = 12;

/// Scores by group, kept between plans to reuse the memory; only groups that were touched are read.
#[derive(Debug, Default)]
pub(super) struct Scores {
    slots: Vec<Slot>,
    touched: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    score: u64,
    /// The group's length term in the denominator of BM25; 0 if it was not computed yet.
    norm: u64,
}

impl Scores {
    /// The groups that are related to a query, in order, with their scores and parts of their
    /// neighbours' scores: an answer often shares no word with the question, but the messages
    /// around it do.
    pub(super) fn of(&mut self, index: &Index, query: &Query) -> Vec<(usize, u64)> {
        self.slots.resize(index.groups(), Slot::default());
        let rarity_of_days = query.when_weight * rarity(others(index, query), query.when.len() as u64);
        for &group in &query.when {
            self.add(index, query, Posting { group: narrow(group), count: 1 }, rarity_of_days);
        }
        for &(word, weight) in &query.words {
            let rarity = weighed(index, query, word, weight);
            for posting in index.postings(word) {
                let group = posting.group as usize;
                if Some(group) != query.asked && query.may_find(group, weight) {
                    self.add(index, query, *posting, rarity);
                }
            }
        }
        let smoothed = self.smoothed();
        for group in self.touched.drain(..) {
            self.slots[group as usize] = Slot::default();
        }
        smoothed
    }

    fn add(&mut self, index: &Index, query: &Query, posting: Posting, rarity: u64) {
        let slot = &mut self.slots[posting.group as usize];
        if slot.norm == 0 {
            let all = index.total_length() - query.asked.map_or(0, |asked| index.length(asked));
            slot.norm = norm(index.length(posting.group as usize), others(index, query), all);
            self.touched.push(posting.group);
        }
        slot.score += part(rarity, u64::from(posting.count), slot.norm);
    }

    /// The scores with half of those of direct neighbours and a quarter of those one further,
    /// multiplied by four to stay whole; zeros are omitted.
    fn smoothed(&mut self) -> Vec<(usize, u64)> {
        self.touched.sort_unstable();
        let score = |group: Option<usize>| group.and_then(|group| self.slots.get(group)).map_or(0, |slot| slot.score);
        let beside = |group: usize, by: usize| score(group.checked_sub(by)) + score(group.checked_add(by));
        let mut out: Vec<(usize, u64)> = Vec::with_capacity(self.touched.len() * 2);
        for &touched in &self.touched {
            let touched = touched as usize;
            for group in touched.saturating_sub(2)..(touched + 3).min(self.slots.len()) {
                let is_new = out.last().is_none_or(|(last, _)| *last < group);
                let sum = 4 * score(Some(group)) + 2 * beside(group, 1) + beside(group, 2);
                if is_new && sum > 0 {
                    out.push((group, sum));
                }
            }
        }
        out
    }
}

/// The weight of a query's word alone: the rarer it is among the groups, the higher.
pub(super) fn weighed(index: &Index, query: &Query, word: Key, weight: u64) -> u64 {
    weight * rarity(others(index, query), query.held_by(index, word) as u64)
}

/// What a word adds to the score of a text in which it occurs `count` times.
pub(super) fn part(weighed: u64, count: u64, norm: u64) -> u64 {
    // A word that occurs a thousand times says no more than one that occurs a hundred times.
    let count = count.min(1 << 10) << FRACTION;
    weighed * count * (K1 + ONE) / (count * ONE + norm)
}

/// The number of groups that may be answers.
fn others(index: &Index, query: &Query) -> u64 {
    (index.groups() - usize::from(query.asked.is_some())) as u64
}

/// BM25's idf in binary logarithms: ln(1 + (n - df + 0.5) / (df + 0.5)) = ln((n + 1) / (df + 0.5)).
fn rarity(groups: u64, held_by: u64) -> u64 {
    log2(2 * (groups + 1)).saturating_sub(log2(2 * held_by + 1))
}

/// The term k1 (1 - b + b length / mean length), of which no part is negative, for one of `texts`
/// texts with `all` words together; at least 1.
pub(super) fn norm(length: u64, texts: u64, all: u64) -> u64 {
    let relative = ((length * texts) << FRACTION) / all.max(1);
    (K1 * ((ONE - B) << FRACTION) / ONE + K1 * B * relative / ONE).max(1)
}

/// The binary logarithm of a positive number, rounded down to the digits of the fraction.
fn log2(number: u64) -> u64 {
    let whole = number.max(1).ilog2();
    // Between 1 and 2, with 31 digits after the point; each squaring gives a digit of the
    // logarithm.
    let mut mantissa = (number.max(1) << (63 - whole)) >> 32;
    let mut log = u64::from(whole);
    for _ in 0..FRACTION {
        mantissa = (mantissa * mantissa) >> 31;
        let digit = mantissa >> 32;
        mantissa >>= digit;
        log = 2 * log + digit;
    }
    log
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
