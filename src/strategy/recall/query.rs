//! `Query`: the words that are asked for.

use super::index::{Index, Said};
use super::terms::Key;
use crate::conversation::Path;

/// The weight of a word of the question itself; weights are in eighths.
pub(super) const WHOLE: u64 = 8;
/// A question that says this much needs no help. A word says 2, and a common one 1.
pub(super) const ENOUGH: u64 = 8;
/// A word is common if more of the groups hold it than this percentage, and more than
/// [`FEW`].
const COMMON_PERCENT: usize = 2;
/// In a short conversation no word is common that is in this many groups or fewer.
const FEW: usize = 2;
/// How many earlier user messages lend words to a question that says less.
const MOST_LENDERS: usize = 5;
/// How many words each of them lends.
const MOST_LENT: usize = 12;

/// The words of the user message to be answered and, if it says little on its own (`And what was
/// it?`), words of the user messages before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Each word once, with its weight.
    pub(super) words: Vec<(Key, u64)>,
    /// How many words the question has, known or not.
    pub(super) said: usize,
    /// The group with the question, which is not an answer to itself.
    pub(super) asked: Option<usize>,
    /// The groups whose words were borrowed, which are not answers to them.
    pub(super) lenders: Vec<Lender>,
    /// The groups of the days that are asked for, in order.
    pub(super) when: Vec<usize>,
    /// How much it counts that a group is one of those.
    pub(super) when_weight: u64,
}

/// A group whose words were borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lender {
    pub(super) group: usize,
    /// How much its words say, times their weight.
    pub(super) says: u64,
}

impl Query {
    /// The query for a turn of the indexed path.
    pub(super) fn of(path: Path<'_>, turn: Option<usize>, index: &mut Index) -> Self {
        let asked = turn.map(|turn| path.turn(turn).start);
        let said = asked.map(|asked| index.said(path, asked)).unwrap_or_default();
        let mut query = Self { said: said.words.len(), asked, ..Self::default() };
        for &word in &said.words {
            if query.held_by(index, word) > 0 {
                query.words.push((word, WHOLE));
            }
        }
        if let Some(asked) = asked {
            query.look_for_days(index, path, asked, &said, WHOLE);
        }
        let dated = if query.when.is_empty() { 0 } else { ENOUGH / 2 };
        let mut known = query.words.iter().map(|(word, _)| query.says(index, *word)).sum::<u64>() + dated;
        for turn in (0..turn.unwrap_or(0)).rev().take(MOST_LENDERS) {
            let weight = WHOLE / 2 * ENOUGH.saturating_sub(known) / ENOUGH;
            if weight == 0 {
                break;
            }
            known += query.borrow(index, path, path.turn(turn).start, weight);
        }
        query
    }

    /// Borrows the rarest words of a user message. Returns how much they say.
    fn borrow(&mut self, index: &mut Index, path: Path<'_>, lender: usize, weight: u64) -> u64 {
        let said = index.said(path, lender);
        let mut lent = said.words.clone();
        // Stable: of two words that are as rare, the order of the words decides.
        lent.sort_by_cached_key(|word| self.held_by(index, *word));
        lent.truncate(MOST_LENT);
        let mut says = 0;
        for &word in &lent {
            if !self.words.iter().any(|(known, _)| *known == word) {
                self.words.push((word, weight));
                says += self.says(index, word);
            }
        }
        if self.when.is_empty() {
            self.look_for_days(index, path, lender, &said, weight);
        }
        let topic = self.said_together(index, lender, &lent) * 3 / 2;
        self.lenders.push(Lender { group: lender, says: says * weight });
        says.min(topic)
    }

    /// The most that words of a message say which the conversation had together before it, in one
    /// group or in neighbours; nothing where it had none of them beside another. A question is
    /// about something that was talked of; a line of small talk has rare words too, but no two of
    /// them were said together.
    fn said_together(&self, index: &Index, lender: usize, words: &[Key]) -> u64 {
        let mut places: Vec<(usize, usize, u64)> = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let says = self.says(index, *word);
            let groups = index.postings(*word).iter().map(|posting| posting.group as usize);
            let before = groups.take_while(|group| *group < lender);
            places.extend(before.filter(|group| !self.has_lent(*group)).map(|group| (group, at, says)));
        }
        places.sort_unstable();
        let of_place = |(from, &(group, ..)): (usize, &(usize, usize, u64))| {
            let mut seen: Vec<(usize, u64)> = Vec::new();
            for &(_, at, says) in places[from..].iter().take_while(|(other, ..)| *other <= group + 1) {
                if !seen.iter().any(|(known, _)| *known == at) {
                    seen.push((at, says));
                }
            }
            if seen.len() > 1 { seen.iter().map(|(_, says)| says).sum() } else { 0 }
        };
        places.iter().enumerate().map(of_place).max().unwrap_or(0)
    }

    /// Finds the groups of the days that a user message names. Days that most groups have say
    /// nothing.
    fn look_for_days(&mut self, index: &mut Index, path: Path<'_>, group: usize, said: &Said, weight: u64) {
        if !said.days.is_empty() {
            let groups = index.groups_on(path, group, &said.days);
            if groups.len() <= group / 2 {
                (self.when, self.when_weight) = (groups, weight);
            }
        }
    }

    /// How much a word says: it is common in what was said, or it is not. Without this, a line of
    /// small talk would be as good as a question.
    fn says(&self, index: &Index, word: Key) -> u64 {
        let held_by = self.held_by(index, word);
        let is_common = held_by > FEW && held_by * 100 > index.groups() * COMMON_PERCENT;
        if is_common { 1 } else { 2 }
    }

    /// Whether a word of this weight counts in a group: a group that lent words is not an answer to
    /// them.
    pub(super) fn may_find(&self, group: usize, weight: u64) -> bool {
        weight == WHOLE || !self.has_lent(group)
    }

    /// Whether words of a group were borrowed.
    pub(super) fn has_lent(&self, group: usize) -> bool {
        self.lenders.iter().any(|lender| lender.group == group)
    }

    /// How many groups contain a word, not counting the group with the question.
    pub(super) fn held_by(&self, index: &Index, word: Key) -> usize {
        let postings = index.postings(word);
        let is_asked = |asked: usize| postings.binary_search_by_key(&asked, |posting| posting.group as usize).is_ok();
        postings.len() - usize::from(self.asked.is_some_and(is_asked))
    }
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
