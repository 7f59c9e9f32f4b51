//! `Query`: the words that are asked for.

use super::index::Index;
use super::terms::Key;
use crate::conversation::Path;
use crate::message::Message;

/// The weight of a word of the question itself; weights are in eighths.
pub(super) const WHOLE: u64 = 8;
/// A question with this many words known to the conversation needs no help.
pub(super) const ENOUGH: usize = 4;
/// How many earlier user messages lend words to a question that has fewer.
const MOST_LENDERS: usize = 3;
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
    pub(super) lenders: Vec<usize>,
}

impl Query {
    /// The query for a turn of the indexed path.
    pub(super) fn of(path: Path<'_>, turn: Option<usize>, index: &mut Index) -> Self {
        let asked = turn.map(|turn| path.turn(turn).start);
        let words = asked.map(|asked| said(path, asked, index)).unwrap_or_default();
        let mut query = Self { said: words.len(), asked, ..Self::default() };
        for word in words {
            if query.held_by(index, Key::of(&word)) > 0 {
                query.words.push((Key::of(&word), WHOLE));
            }
        }
        for turn in (0..turn.unwrap_or(0)).rev().take(MOST_LENDERS) {
            if query.words.len() >= ENOUGH {
                break;
            }
            query.borrow(index, path, path.turn(turn).start);
        }
        query
    }

    /// Borrows the rarest words of a user message. The fewer words are known already, the more they
    /// weigh.
    fn borrow(&mut self, index: &mut Index, path: Path<'_>, lender: usize) {
        let weight = WHOLE / 2 * (ENOUGH - self.words.len()) as u64 / ENOUGH as u64;
        let mut words: Vec<(usize, String)> =
            said(path, lender, index).into_iter().map(|word| (self.held_by(index, Key::of(&word)), word)).collect();
        words.sort_unstable();
        for (_, word) in words.into_iter().take(MOST_LENT) {
            let key = Key::of(&word);
            if !self.words.iter().any(|(known, _)| *known == key) {
                self.words.push((key, weight));
            }
        }
        self.lenders.push(lender);
    }

    /// Whether a word of this weight counts in a group: a group that lent words is not an answer to
    /// them.
    pub(super) fn may_find(&self, group: usize, weight: u64) -> bool {
        weight == WHOLE || !self.lenders.contains(&group)
    }

    /// How many groups contain a word, not counting the group with the question.
    pub(super) fn held_by(&self, index: &Index, word: Key) -> usize {
        let postings = index.postings(word);
        let is_asked = |asked: usize| postings.binary_search_by_key(&asked, |posting| posting.group as usize).is_ok();
        postings.len() - usize::from(self.asked.is_some_and(is_asked))
    }
}

/// The words of a user message, without its author's name.
fn said(path: Path<'_>, group: usize, index: &mut Index) -> Vec<String> {
    index.words_of(&path.group(group).first().map(Message::text).unwrap_or_default())
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
