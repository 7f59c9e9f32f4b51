//! What has to do with the question.

mod index;
#[cfg_attr(not(test), expect(dead_code, reason = "not sent yet: see docs/design.md"))]
mod pieces;
mod query;
mod score;
mod words;

use std::borrow::Cow;
use std::collections::BinaryHeap;

use super::{Draft, Memo, Reason, Strategy, View};
use crate::error::Result;
use index::Index;
use query::Query;
use score::Scores;
use words::Stem;

/// Keeps the groups that share words with the user message to be answered, and the newest ones: a part of the room is
/// always theirs, and all that is left. A question that says little by itself ("And what was it?") is looked up with
/// words of the user messages before it; one that shares no word with the conversation gets the newest groups.
///
/// Each request has other messages, so a provider's prompt cache finds little to reuse, and the low mark is not used:
/// what is trimmed is filled up to the high mark.
///
/// # Examples
/// ```
/// use turnwise::{Message, Recall, TokenBudget, trim};
///
/// let mut talk = vec![Message::user("My cat is called Minka."), Message::assistant("A fine name for a cat.")];
/// for n in 1..=40 {
///     talk.push(Message::user(format!("What is {n} times {n}?")));
///     talk.push(Message::assistant(format!("{}.", n * n)));
/// }
/// talk.push(Message::user("What was the name of my cat again?"));
///
/// let plan = trim(&talk, &TokenBudget::limit(100), &Recall::new())?;
/// assert_eq!(plan.messages()[0].text(), "My cat is called Minka.");
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Recall {
    tail: u8,
    stem: Stem,
}

/// Percent of the room that the newest groups always have: with the question a good quarter of the budget, within which
/// nothing is lost that a window would send. 15 would find some one point more of what is older (docs/design.md).
const TAIL: u8 = 26;

impl Default for Recall {
    fn default() -> Self {
        Self::new()
    }
}

impl Recall {
    /// 26 % of the room for the newest groups, and English endings.
    pub fn new() -> Self {
        Self { tail: TAIL, stem: Stem::English }
    }

    /// Percent of the room that the newest groups always have. Default 26; above 100 counts as 100.
    pub fn tail(self, percent: u8) -> Self {
        Self { tail: percent.min(100), ..self }
    }

    /// Compares words as they are written: `books` does not find `book`. For conversations in other languages, where
    /// cutting off English endings makes different words the same.
    pub fn without_stemming(self) -> Self {
        Self { stem: Stem::None, ..self }
    }
}

/// What is kept between plans.
#[derive(Debug, Default)]
struct Cache {
    index: Index,
    scores: Scores,
}

/// A group that may be kept: the more its score is worth for its tokens the sooner, of two alike the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    worth: u64,
    group: usize,
    tokens: u64,
}

impl Candidate {
    /// The score by the square root of the tokens: between the best groups and the most groups.
    fn new(group: usize, score: u64, tokens: u64) -> Self {
        let root = (tokens.clamp(1, 1 << 40) << 16).isqrt();
        Self { worth: (score << 16) / root, group, tokens }
    }
}

/// Takes the best candidates that fit, and no other; sorted, with the room that is left.
fn choose(candidates: Vec<Candidate>, mut room: u64) -> (Vec<usize>, u64) {
    let least = candidates.iter().map(|candidate| candidate.tokens).min().unwrap_or(0);
    let mut best = BinaryHeap::from(candidates);
    let mut chosen = Vec::new();
    while room >= least
        && let Some(candidate) = best.pop()
    {
        if candidate.tokens <= room {
            room -= candidate.tokens;
            chosen.push(candidate.group);
        }
    }
    chosen.sort_unstable();
    (chosen, room)
}

/// Gives what is left of the room to the groups directly before `tail`. Returns where the tail starts now.
fn lengthen(view: &View<'_>, tail: usize, chosen: &[usize], mut room: u64) -> usize {
    let mut start = tail;
    while let Some(group) = start.checked_sub(1) {
        let tokens = if chosen.binary_search(&group).is_ok() { 0 } else { view.tokens(group..start) };
        match room.checked_sub(tokens) {
            Some(rest) => room = rest,
            None => break,
        }
        start = group;
    }
    start
}

/// All before `tail` that was not chosen is left out.
fn draft(chosen: &[usize], tail: usize) -> Draft {
    let mut draft = Draft::keep_all();
    let mut from = 0;
    for &group in chosen.iter().take_while(|&&group| group < tail) {
        draft = draft.evict(from..group, Reason::Unrelated).because(group..group + 1, Reason::Recalled);
        from = group + 1;
    }
    draft.evict(from..tail, Reason::Unrelated)
}

impl Strategy for Recall {
    fn spec(&self) -> Cow<'static, str> {
        match self.stem {
            Stem::English => format!("recall:tail={}", self.tail).into(),
            Stem::None => format!("recall:tail={},stem=none", self.tail).into(),
        }
    }

    fn draft(&self, view: &View<'_>, memo: &mut Memo) -> Result<Draft> {
        let groups = view.path().groups();
        if view.is_holding() || !view.is_over(view.tokens(0..groups)) {
            return Ok(Draft::keep_all());
        }
        let Cache { index, scores } = memo.get();
        index.update(view.path(), self.stem);
        let turn = view.newest().and_then(|newest| view.path().turn_of(newest));
        let query = Query::of(view.path(), turn, index);
        let room = view.whole_room();
        let share = u64::try_from(u128::from(room) * u128::from(self.tail) / 100).unwrap_or(room);
        let tail = view.tail(0, share);
        let candidates = scores.of(index, &query).into_iter();
        let candidates = candidates
            .filter(|&(group, _)| group < tail && view.is_optional(group))
            .map(|(group, score)| Candidate::new(group, score, view.tokens(group..group + 1)));
        let (chosen, left) = choose(candidates.collect(), room.saturating_sub(view.tokens(tail..groups)));
        Ok(draft(&chosen, lengthen(view, tail, &chosen, left)))
    }
}

#[cfg(test)]
#[path = "recall_tests.rs"]
mod tests;
