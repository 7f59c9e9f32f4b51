//! `Meaning`: how near groups are to the question by their vectors, and what they are worth by
//! words and vectors together.

use super::View;
use super::query::{ENOUGH, Lender, Query};
use crate::vectors::{Direction, Vector, text_of};

/// Binary digits after the point of a standard score.
const DIGITS: u32 = 12;
/// Binary digits after the point of a deviation.
const SPARE: u32 = 8;
/// Scores by words are far below this, which leaves room for the digits.
const MOST: i64 = 1 << 40;

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
        let similar: Vec<Option<i64>> = (0..groups).map(|group| wanted.nearness(group)).collect();
        Some(Self { words: standard(&words), vectors: standard(&smoothed(&centered(&similar))) })
    }

    /// The groups that are better than the mean, in order, with their scores.
    pub(super) fn scores(&self) -> Vec<(usize, u64)> {
        let sums = self.words.iter().zip(&self.vectors).map(|(words, vectors)| words + vectors);
        let positive = |(group, sum)| Some((group, u64::try_from(sum).ok().filter(|sum| *sum > 0)?));
        sums.enumerate().filter_map(positive).collect()
    }

    /// Whether its vector says more for a group than its words.
    pub(super) fn has_found(&self, group: usize) -> bool {
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
    let asked = query.asked.into_iter().chain(query.lenders.iter().map(|lender| lender.group));
    asked.filter(|_| !view.vectors().is_empty()).filter(is_missing).collect()
}

/// What is asked, as one direction.
struct Wanted<'a> {
    view: &'a View<'a>,
    query: &'a Query,
    direction: Direction,
}

impl<'a> Wanted<'a> {
    /// The question and, if it has few words and borrows others, the messages that lend them. The
    /// fewer words it has, known to the conversation or not, the less its own vector says: half a
    /// weight goes to the lenders together for each word that is missing, divided among them as
    /// their words are.
    fn of(view: &'a View<'a>, query: &'a Query) -> Option<Self> {
        let known = |group: usize| view.vectors().get(view.path().group(group).items().next()?);
        let question = known(query.asked?)?;
        let own = (2 * query.said as u64).min(ENOUGH);
        let lent = |lender: &Lender| Some((known(lender.group)?, lender.says * (ENOUGH - own)));
        let mut vectors: Vec<(&Vector, u64)> = query.lenders.iter().filter_map(lent).collect();
        let all_lent: u64 = vectors.iter().map(|(_, weight)| weight).sum();
        let own = if all_lent == 0 { 1 } else { 2 * own * all_lent / (ENOUGH - own) };
        vectors.push((question, own));
        Some(Self { view, query, direction: Direction::of(&vectors)? })
    }

    /// How near a group is: that of its nearest message. `None` for what is asked, which is no
    /// answer to itself, and where no message has a vector.
    fn nearness(&self, group: usize) -> Option<i64> {
        if self.query.asked == Some(group) || self.query.has_lent(group) {
            return None;
        }
        let vectors = self.view.path().group(group).items().filter_map(|item| self.view.vectors().get(item));
        vectors.map(|vector| self.direction.nearness(vector)).max()
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
