//! `Meaning`: the worth of groups by their vectors and their words together.

use super::query::{Query, WHOLE};
use super::{Candidate, View};
use crate::vectors::Vector;

fn env(name: &str, default: i128) -> i128 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Binary digits after the point of a standard score.
const DIGITS: u32 = 12;

/// What groups are worth for a question that has a vector.
pub(super) struct Meaning {
    /// By group: standard scores of words and of vectors.
    words: Vec<i64>,
    vectors: Vec<i64>,
    price: u64,
    floor: i64,
    lambda: i64,
}

impl Meaning {
    /// `None` where the question has no vector.
    pub(super) fn of(view: &View<'_>, query: &Query, scored: &[(usize, u64)]) -> Option<Self> {
        let known = |group: usize| view.path().group(group).items().find_map(|item| view.vectors().get(item));
        let asked = query.asked?;
        let own = query.words.iter().filter(|(_, weight)| *weight == WHOLE).count() as i64;
        let lent = query.words.iter().map(|(_, weight)| *weight).filter(|weight| *weight < WHOLE).max().unwrap_or(4);
        let mut wanted: Vec<(&Vector, i64)> = vec![(known(asked)?, if query.lenders.is_empty() { 8 } else { (2 * own).max(env("F_OWN", 1) as i64) })];
        wanted.extend(query.lenders.iter().filter_map(|&lender| Some((known(lender)?, lent as i64))));
        let groups = view.path().groups();
        let similar = |group: usize| {
            let of_item = |vector: &Vector| wanted.iter().map(|(one, weight)| weight * vector.similarity(one)).sum::<i64>();
            let is_candidate = group != asked && !query.lenders.contains(&group);
            let items = view.path().group(group).items().filter(|_| is_candidate);
            items.filter_map(|item| view.vectors().get(item)).map(of_item).max()
        };
        let similar: Vec<Option<i64>> = (0..groups).map(similar).collect();
        let count = similar.iter().flatten().count() as i64;
        let mean = similar.iter().flatten().sum::<i64>() / count.max(1);
        let centered: Vec<i64> = similar.iter().map(|one| one.map_or(0, |one| one - mean)).collect();
        let (w1, w2) = (env("F_S1", 2) as i64, env("F_S2", 1) as i64);
        let at = |group: Option<usize>| group.and_then(|group| centered.get(group)).copied().unwrap_or(0);
        let smooth = |group: usize| {
            let beside = |by: usize| at(group.checked_sub(by)) + at(Some(group + by));
            4 * centered[group] + w1 * beside(1) + w2 * beside(2)
        };
        let vectors: Vec<i64> = (0..groups).map(smooth).collect();
        let mut words = vec![0; groups];
        for &(group, score) in scored {
            words[group] = score as i64;
        }
        Some(Self {
            words: standard(words),
            vectors: standard(vectors),
            price: env("F_PRICE", 128) as u64,
            floor: env("F_FLOOR", 0) as i64,
            lambda: env("F_L", 2048) as i64,
        })
    }

    fn score(&self, group: usize) -> i64 {
        self.words[group] + ((self.vectors[group] * self.lambda) >> DIGITS)
    }

    /// A candidate for each group.
    pub(super) fn worth(&self, group: usize, tokens: u64) -> Option<u64> {
        let score = u64::try_from(self.score(group) - self.floor).ok().filter(|score| *score > 0)?;
        Some((score << 24) / (tokens + self.price))
    }

    pub(super) fn is_by_meaning(&self, group: usize) -> bool {
        ((self.vectors[group] * self.lambda) >> DIGITS) > self.words[group]
    }
}

fn standard(values: Vec<i64>) -> Vec<i64> {
    let count = values.len().max(1) as i128;
    let mean = values.iter().map(|value| i128::from(*value)).sum::<i128>() / count;
    let squares: i128 = values.iter().map(|value| (i128::from(*value) - mean).pow(2)).sum();
    let deviation = (squares / count).max(1).isqrt();
    values.into_iter().map(|value| i64::try_from(((i128::from(value) - mean) << DIGITS) / deviation).unwrap_or(0)).collect()
}
