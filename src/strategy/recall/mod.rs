//! `Recall`: keeps what has to do with the question, by BM25 over the conversation's own groups
//! and, where there are any, by vectors.

mod dates;
mod excerpts;
mod index;
mod meaning;
mod pieces;
mod query;
mod score;
mod terms;

use std::borrow::Cow;
use std::collections::BinaryHeap;

use super::options::{FREE, Listed, Options, Reader, invalid};
use crate::error::{Error, Result};
use crate::plan::{Draft, Reason, Strategy, StrategyCache, View};
use excerpts::{Segments, Selection, Texts};
use index::Index;
use meaning::Meaning;
use query::Query;
use score::Scores;
use terms::Stem;

/// Keeps the groups that share words with the user message to be answered, and the newest groups: a
/// part of the room is always reserved for these, and they get what remains. A question that says
/// little on its own ("And what was it?") is looked up with words of the user messages before it. A
/// question that names a day, month or year (`7 May`, `last Tuesday`) finds what was recorded then.
/// If a question shares no word with the conversation, the newest groups are sent.
///
/// Where messages have [vectors](crate::vectors::Vectors), which a manager with an
/// [embedder](crate::Builder::embedder) makes, groups that are close to the question in meaning are
/// found too, in whatever words. Planning then takes time with the length of the history: below
/// five milliseconds for 10,000 messages of 384 dimensions.
///
/// Of long messages that do not fit, passages are sent: those that are related to the question, and
/// the first one of the newest messages, so that the model sees its own last answer.
///
/// Each request has other messages, so a provider's prompt cache finds little to reuse. The low
/// mark is therefore not used: a trimmed request is filled up to the high mark.
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
    excerpts: u8,
    stem: Stem,
}

/// The percentage of the room reserved for the newest groups: with the question, about a quarter of
/// the budget, within which nothing is lost that a window would send. 15 would find about one point
/// more of what is older (docs/internals/recall.md).
const TAIL: u8 = 26;
/// The percentage for passages of the room left beside the newest groups.
const EXCERPTS: u8 = 10;

/// Messages are short if groups have so many tokens or fewer on average.
const SHORT: u64 = 64;
/// What is added to the tokens of short messages before a score is divided by them.
const BESIDE: u64 = 128;

impl Default for Recall {
    fn default() -> Self {
        Self::new()
    }
}

impl Recall {
    /// The defaults: 26 % of the room for the newest groups, 10 % of the rest for passages of long
    /// messages, and English endings removed.
    pub fn new() -> Self {
        Self { tail: TAIL, excerpts: EXCERPTS, stem: Stem::English }
    }

    /// The percentage of the room reserved for the newest groups. Default 26; above 100 counts as
    /// 100.
    ///
    /// Raise it for conversations that rarely return to old topics; lower it to find more of what
    /// is older.
    pub fn tail(self, percent: u8) -> Self {
        Self { tail: percent.min(100), ..self }
    }

    /// The percentage for passages of messages over 150 tokens, of the room left beside the newest
    /// groups; there are no passages if that is less than 150 tokens. The same percentage of the
    /// whole room may be used for the newest groups if they do not fit in full, with the first
    /// passage of each long one. Default 10; 0 sends only whole messages; above 100 counts as 100.
    pub fn excerpts(self, percent: u8) -> Self {
        Self { excerpts: percent.min(100), ..self }
    }

    /// Compares words as written: `books` does not find `book`. Use it for conversations in other
    /// languages, where removing English endings would make different words equal.
    pub fn without_stemming(self) -> Self {
        Self { stem: Stem::None, ..self }
    }
}

/// The data kept between plans.
#[derive(Debug, Default)]
struct Cache {
    index: Index,
    scores: Scores,
    cuts: Segments,
}

/// A group that may be kept. A higher score for its tokens comes first; of two equal ones, the
/// newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    worth: u64,
    group: usize,
    /// Its cost in addition to what is sent of it already.
    price: u64,
}

/// A score divided by the square root of the tokens: a compromise between the best groups and the
/// most groups.
fn worth(score: u128, tokens: u64) -> u64 {
    let root = (tokens.clamp(1, 1 << 40) << 16).isqrt();
    u64::try_from((score << 16) / u128::from(root)).unwrap_or(u64::MAX)
}

/// A score for the tokens of a message and [`BESIDE`] more. Where messages are short, half a thought
/// of five tokens is not worth four times as much as the thought of a hundred. It is also the price
/// of scores by words and vectors together.
fn worth_of_short(score: u128, tokens: u64) -> u64 {
    u64::try_from((score << 16) / u128::from(tokens.saturating_add(BESIDE))).unwrap_or(u64::MAX)
}

/// Whether a conversation is a chat of short messages.
fn are_short(view: &View<'_>) -> bool {
    let groups = view.path().group_count();
    view.tokens(0..groups) <= SHORT.saturating_mul(groups as u64)
}

pub(super) fn percent(of: u64, percent: u8) -> u64 {
    u64::try_from(u128::from(of) * u128::from(percent) / 100).unwrap_or(of)
}

/// Takes the best candidates that fit, skipping others; returns them sorted.
fn choose(candidates: Vec<Candidate>, room: &mut u64) -> Vec<usize> {
    let least = candidates.iter().map(|candidate| candidate.price).min().unwrap_or(0);
    let mut best = BinaryHeap::from(candidates);
    let mut chosen = Vec::new();
    while *room >= least
        && let Some(candidate) = best.pop()
    {
        if let Some(rest) = room.checked_sub(candidate.price) {
            *room = rest;
            chosen.push(candidate.group);
        }
    }
    chosen.sort_unstable();
    chosen
}

/// If a request must start with a user message: that of the first group's turn, if there is room
/// for it. Without it, the planner would leave that group out.
fn leads(view: &View<'_>, chosen: &[usize], sent: &mut Selection<'_>) -> Option<usize> {
    let path = view.path();
    let tail = (sent.start..path.group_count()).find(|&group| view.is_optional(group));
    let excerpt = sent.excerpts.keys().next().copied();
    let first =
        chosen.first().copied().into_iter().chain(excerpt).chain(tail).min().filter(|_| view.starts_on_user())?;
    let asked = path.turn_of(first).map(|turn| path.turn(turn).start)?;
    let is_first = view.first_required().is_none_or(|required| first < required);
    let price = view.tokens(asked..asked + 1);
    let is_wanted = is_first && asked < first && view.is_optional(asked) && price <= sent.room;
    sent.room -= if is_wanted { price } else { 0 };
    is_wanted.then_some(asked)
}

/// Leaves out everything that was not chosen.
fn draft(chosen: &[usize], leads: Option<usize>, sent: Selection, why: impl Fn(usize) -> Reason) -> Draft {
    let mut draft =
        leads.map_or_else(Draft::keep_all, |leads| Draft::keep_all().because(leads..leads + 1, Reason::Leads));
    let mut from = 0;
    let mut kept: Vec<usize> = chosen.iter().chain(sent.excerpts.keys()).copied().collect();
    kept.sort_unstable();
    for group in kept.into_iter().take_while(|&group| group < sent.start) {
        draft = draft.evict(from..group, Reason::Unrelated);
        if !sent.excerpts.contains_key(&group) {
            draft = draft.because(group..group + 1, why(group));
        }
        from = group + 1;
    }
    draft = draft.evict(from..sent.start, Reason::Unrelated);
    let shrink =
        |draft: Draft, (group, excerpt): (usize, excerpts::Excerpt)| draft.shrink(group, excerpt.how, Reason::Excerpt);
    sent.excerpts.into_iter().fold(draft, shrink)
}

pub(super) const LISTED: Listed = Listed {
    name: "recall",
    takes: "tail=PERCENT, excerpts=PERCENT or no, stem=none",
    about: "the newest messages, and older ones that share words with the question",
    price: FREE,
    read: Reader::Options(|options| Ok(Box::new(Recall::from_options(options)?))),
};

impl Recall {
    fn from_options(options: &mut Options<'_>) -> Result<Self> {
        let mut recall = Self::new();
        if let Some(percent) = options.percent("tail")? {
            recall = recall.tail(percent);
        }
        if options.take_if("excerpts", "no") {
            recall = recall.excerpts(0);
        }
        let or_no = |error: Error| invalid(format!("{}, or `no`", error.detail())).because(error);
        if let Some(percent) = options.percent("excerpts").map_err(or_no)? {
            recall = recall.excerpts(percent);
        }
        match options.take("stem") {
            None | Some("english") => Ok(recall),
            Some("none") => Ok(recall.without_stemming()),
            Some(other) => {
                Err(invalid(format!("`recall` has `stem={other}`; it must be `english` (the default) or `none`")))
            }
        }
    }
}

impl Recall {
    /// What is sent of the groups before `start` in so much room, when all groups from `start` on
    /// are sent.
    pub(super) fn before(self, view: &View<'_>, cache: &mut StrategyCache, start: usize, room: u64) -> Draft {
        self.select(view, cache, |_| Selection::from(view, start, room))
    }

    /// Adds the best candidates to what is sent in any case.
    fn select<'a>(
        self,
        view: &'a View<'a>,
        cache: &mut StrategyCache,
        given: impl FnOnce(&mut Texts<'_>) -> Selection<'a>,
    ) -> Draft {
        let Cache { index, scores, cuts } = cache.get();
        index.update(view.path(), self.stem);
        let turn = view.newest().and_then(|newest| view.path().turn_of(newest));
        let query = Query::of(view.path(), turn, index);
        let scored = scores.of(index, &query);
        let mut texts = cuts.texts(view, index, self.stem);
        let mut sent = given(&mut texts);
        sent.add_passages(&mut texts, &query, &scored, self.excerpts);
        let meaning = Meaning::of(view, &query, &scored);
        let scored = meaning.as_ref().map_or(scored, Meaning::scores);
        // The square root would make standard scores too even.
        let worth = if meaning.is_some() || are_short(view) { worth_of_short } else { worth };
        let candidates = scored.into_iter().filter_map(|(group, score)| {
            let price = sent.price(group).filter(|_| view.is_optional(group))?;
            let worth = worth(u128::from(score), view.tokens(group..group + 1));
            Some(Candidate { worth, group, price })
        });
        let mut chosen = choose(candidates.collect(), &mut sent.room);
        sent.excerpts.retain(|group, _| chosen.binary_search(group).is_err());
        let leads = leads(view, &chosen, &mut sent);
        chosen.splice(0..0, leads);
        sent.lengthen(&chosen);
        let why = |group| match &meaning {
            Some(meaning) if meaning.has_found(group) => Reason::Meaning,
            _ => Reason::Recalled,
        };
        let draft = draft(&chosen, leads, sent, why);
        meaning::missing(view, &query).into_iter().fold(draft, Draft::request_vector)
    }
}

impl Strategy for Recall {
    fn spec(&self) -> Cow<'static, str> {
        let excerpts = match self.excerpts {
            EXCERPTS => String::new(),
            0 => ",excerpts=no".to_owned(),
            percent => format!(",excerpts={percent}"),
        };
        let stem = if self.stem == Stem::None { ",stem=none" } else { "" };
        format!("recall:tail={}{excerpts}{stem}", self.tail).into()
    }

    fn draft(&self, view: &View<'_>, cache: &mut StrategyCache) -> Result<Draft> {
        if view.is_holding() || !view.needs_trim() {
            return Ok(Draft::keep_all());
        }
        Ok(self.select(view, cache, |texts| {
            let room = view.budget().high.saturating_sub(view.required_tokens());
            let mut sent = Selection::tail(view, room, percent(room, self.tail));
            sent.add_heads(texts, percent(room, self.excerpts.min(self.tail)));
            sent
        }))
    }
}

#[cfg(test)]
#[path = "recall_tests.rs"]
mod tests;
