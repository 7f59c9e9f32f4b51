//! `Meaning`: how near groups are to the question by their vectors, and what they are worth by
//! words and vectors together.

use super::View;
use super::query::{ENOUGH, Query};
use crate::vectors::{Vector, text_of};

/// Binary digits after the point of a standard score.
const DIGITS: u32 = 12;
/// Binary digits after the point of a deviation.
const SPARE: u32 = 8;
/// Scores by words are far below this, which leaves room for the digits.
const MOST: i64 = 1 << 40;
/// A group is worth its score for its tokens and so many more, which is what the messages around it
/// may cost. Of two with equal scores, the shorter is not much better if both are short.
const PRICE: u64 = 128;

/// The scores of all groups for a question that has a vector.
///
/// Words and vectors have scales of their own, so each score is taken as a standard score: by how
/// many standard deviations it is above the mean of all groups. Both have the same weight. As the
/// scores of words are mostly zero and seldom high, a group that has the question's rare words is
/// still the best; vectors decide where words say little.
pub(super) struct Meaning {
    /// By group.
    words: Vec<i64>,
    vectors: Vec<i64>,
}

impl Meaning {
    /// `None` if the question has no vector. `scored` are the scores by words.
    pub(super) fn of(view: &View<'_>, query: &Query, scored: &[(usize, u64)]) -> Option<Self> {
        let wanted = Wanted::of(view, query)?;
        let groups = view.path().group_count();
        let mut words = vec![0; groups];
        for &(group, score) in scored {
            words[group] = i64::try_from(score).unwrap_or(MOST).min(MOST);
        }
        let similar: Vec<Option<i64>> = (0..groups).map(|group| wanted.similarity(group)).collect();
        Some(Self { words: standard(&words), vectors: standard(&smoothed(&centered(&similar))) })
    }

    /// What a group with so many tokens is worth; `None` if it is no better than the mean.
    pub(super) fn worth(&self, group: usize, tokens: u64) -> Option<u64> {
        let score = u64::try_from(self.words[group] + self.vectors[group]).ok().filter(|score| *score > 0)?;
        Some((score << 24) / tokens.saturating_add(PRICE))
    }

    /// Whether its vector says more for a group than its words.
    pub(super) fn found(&self, group: usize) -> bool {
        self.vectors[group] > self.words[group]
    }
}

/// The groups whose vectors are missing to compare meanings: those of the question and of messages
/// that lend it words. None where no message has a vector.
pub(super) fn missing(view: &View<'_>, query: &Query) -> Vec<usize> {
    let is_missing = |group: &usize| {
        let asked = view.path().group(*group).items().next();
        asked.is_some_and(|item| view.vectors().get(item).is_none() && !text_of(item.message(), 1).is_empty())
    };
    let asked = query.asked.into_iter().chain(query.lenders.iter().copied());
    asked.filter(|_| !view.vectors().is_empty()).filter(is_missing).collect()
}

/// What is asked, as vectors with weights.
struct Wanted<'a> {
    view: &'a View<'a>,
    query: &'a Query,
    vectors: Vec<(&'a Vector, i64)>,
}

impl<'a> Wanted<'a> {
    /// The question and, if it has few words and borrows others, the messages that lend them. The
    /// fewer words it has, known to the conversation or not, the less its own vector says: half a
    /// weight goes to the lenders together for each word that is missing.
    fn of(view: &'a View<'a>, query: &'a Query) -> Option<Self> {
        let known = |group: usize| view.vectors().get(view.path().group(group).items().next()?);
        let question = known(query.asked?)?;
        let own = i64::try_from(query.said.min(ENOUGH)).unwrap_or_default();
        let lent = i64::try_from(ENOUGH).unwrap_or_default() - own;
        let lenders = query.lenders.iter().filter(|_| lent > 0).filter_map(|&lender| known(lender));
        let mut vectors: Vec<(&Vector, i64)> = lenders.map(|vector| (vector, lent)).collect();
        let question_weight = match i64::try_from(vectors.len()).unwrap_or_default() {
            0 => 1,
            lenders => 2 * own * lenders,
        };
        vectors.push((question, question_weight));
        Some(Self { view, query, vectors })
    }

    /// The similarity of a group: that of its nearest message. `None` for what is asked, which is no
    /// answer to itself, and where no message has a vector.
    fn similarity(&self, group: usize) -> Option<i64> {
        if self.query.asked == Some(group) || self.query.lenders.contains(&group) {
            return None;
        }
        let of_vector = |vector: &Vector| -> i64 {
            self.vectors.iter().map(|(wanted, weight)| weight * wanted.similarity(vector)).sum()
        };
        self.view.path().group(group).items().filter_map(|item| self.view.vectors().get(item)).map(of_vector).max()
    }
}

/// The values less their mean; 0 where there is none.
fn centered(values: &[Option<i64>]) -> Vec<i64> {
    let mean = mean(values.iter().flatten().copied());
    values.iter().map(|value| value.map_or(0, |value| value - mean)).collect()
}

/// The values with half of their neighbours' and a quarter of those one further, as the scores of
/// words have them; multiplied by four to stay whole.
fn smoothed(values: &[i64]) -> Vec<i64> {
    let at = |place: Option<usize>| place.and_then(|place| values.get(place)).map_or(0, |value| *value);
    let beside = |place: usize, by: usize| at(place.checked_sub(by)) + at(place.checked_add(by));
    values.iter().enumerate().map(|(place, value)| 4 * value + 2 * beside(place, 1) + beside(place, 2)).collect()
}

/// The values as standard scores, with [`DIGITS`] digits after the point.
fn standard(values: &[i64]) -> Vec<i64> {
    let mean = mean(values.iter().copied());
    let squares: u128 = values.iter().map(|value| u128::from((value - mean).unsigned_abs()).pow(2)).sum();
    let deviation = ((squares << (2 * SPARE)) / values.len().max(1) as u128).isqrt();
    let deviation = i64::try_from(deviation).unwrap_or(i64::MAX).max(1);
    values.iter().map(|value| ((value - mean) << (DIGITS + SPARE)) / deviation).collect()
}

fn mean(values: impl Iterator<Item = i64>) -> i64 {
    let (count, sum) = values.fold((0_i64, 0_i64), |(count, sum), value| (count + 1, sum.saturating_add(value)));
    sum / count.max(1)
}

#[cfg(test)]
#[path = "meaning_tests.rs"]
mod tests;
