//! `Selection`: what is sent so far, with passages of long messages that do not fit whole.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use super::index::Index;
use super::pieces::{self, Offer, Piece};
use super::query::Query;
use super::terms::{Key, Stem};
use super::{View, percent, score, worth};
use crate::conversation::Stamp;
use crate::message::{Content, Message};
use crate::plan::Shrink;

/// Messages with more tokens are long.
const LONG: u64 = 150;
/// With less room for passages, there are none.
const LEAST_ROOM: u64 = 150;
/// Passages are taken from this many of the best long messages, and from more while these have
/// fewer than [`PLENTY`] times the tokens that passages may have.
const TEXTS: usize = 8;
const PLENTY: u64 = 4;
/// The mark for a gap, with the end of its line.
const GAP: &str = "[…]\n";

/// A long message in pieces, with their words.
#[derive(Debug)]
struct Segmented {
    stamp: Stamp,
    pieces: Vec<Piece>,
    /// The words of all pieces, one piece after the other; those of each piece are sorted.
    words: Vec<Key>,
    /// Where each piece's words are.
    words_of: Vec<Range<usize>>,
    /// The cost of an excerpt in addition to pieces and marks.
    wrapper: u64,
}

/// The long messages that were divided, by group, so that none is tokenized again.
#[derive(Debug, Default)]
pub(super) struct Segments {
    cost_id: String,
    stem: Stem,
    known: BTreeMap<usize, Segmented>,
}

impl Segments {
    /// The segments for this path, under the current cost rules.
    pub(super) fn texts<'a>(&'a mut self, view: &'a View<'a>, index: &'a mut Index, stem: Stem) -> Texts<'a> {
        if self.cost_id != view.cost_id() || self.stem != stem {
            *self = Self { cost_id: view.cost_id().to_owned(), stem, known: BTreeMap::new() };
        }
        self.known.split_off(&view.path().group_count());
        Texts { view, index, known: &mut self.known }
    }
}

/// The long messages of a view.
pub(super) struct Texts<'a> {
    view: &'a View<'a>,
    index: &'a mut Index,
    known: &'a mut BTreeMap<usize, Segmented>,
}

impl Texts<'_> {
    /// Whether a group is a long message that may be sent in part: a single message of plain text,
    /// neither a call nor a result, and not shortened already.
    fn is_long(&self, group: usize) -> bool {
        let view = self.view;
        view.tokens(group..group + 1) > LONG
            && view.is_optional(group)
            && !view.is_shrunk(group)
            && view.path().group(group).positions().len() == 1
            && view.path().group(group).first().is_some_and(is_plain)
    }

    /// Divides a long message, once.
    fn cut(&mut self, group: usize) -> Option<&Segmented> {
        let item = self.view.path().group(group).last_item().filter(|_| self.is_long(group))?;
        if self.known.get(&group).is_none_or(|cut| cut.stamp != item.stamp()) {
            let text = item.message().text();
            let pieces = pieces::cut(&text, |part| self.view.count(part));
            let mut words = Vec::new();
            let mut words_of = Vec::with_capacity(pieces.len());
            for piece in &pieces {
                let start = words.len();
                self.index.read_keys(&text[piece.range.clone()], &mut words);
                words[start..].sort_unstable();
                words_of.push(start..words.len());
            }
            let wrapper = self.view.shrunk(group, &excerpt(Vec::new()));
            self.known.insert(group, Segmented { stamp: item.stamp(), pieces, words, words_of, wrapper });
        }
        self.known.get(&group)
    }

    /// An excerpt with these pieces of a long message, unless it costs as much as the whole
    /// message.
    fn excerpt(&mut self, group: usize, pieces: impl IntoIterator<Item = usize>) -> Option<Excerpt> {
        let how = excerpt(pieces::ranges(&self.cut(group)?.pieces, pieces));
        let tokens = self.view.shrunk(group, &how);
        (tokens < self.view.tokens(group..group + 1)).then_some(Excerpt { how, tokens })
    }

    /// The pieces of long messages that are related to a query. The value of a piece is its own
    /// score times its message's.
    fn offers(&mut self, query: &Query, scored: &[(usize, u64)]) -> Vec<Offer> {
        for (group, _) in scored {
            self.cut(*group);
        }
        let cuts = || scored.iter().filter_map(|(group, score)| Some((*group, *score, self.known.get(group)?)));
        let texts = cuts().map(|(.., cut)| cut.pieces.len() as u64).sum();
        let all = cuts().map(|(.., cut)| cut.words.len() as u64).sum();
        let weighed = |&(word, weight)| (word, weight, score::weighed(self.index, query, word, weight));
        let wanted: Vec<(Key, u64, u64)> = query.words.iter().map(weighed).collect();
        let mut offers = Vec::new();
        for (group, whole, cut) in cuts() {
            let wanted = wanted.iter().filter(|(_, weight, _)| query.may_find(group, *weight));
            for (number, (piece, words)) in cut.pieces.iter().zip(&cut.words_of).enumerate() {
                let words = &cut.words[words.clone()];
                let norm = score::norm(words.len() as u64, texts, all);
                let parts = wanted.clone().map(|(word, _, weighed)| score::part(*weighed, count(words, *word), norm));
                // Both scores have spare binary digits.
                let score = (u128::from(whole) * u128::from(parts.sum::<u64>())) >> 8;
                offers.push(Offer {
                    text: group,
                    piece: number,
                    worth: worth(score, piece.tokens),
                    tokens: piece.tokens,
                });
            }
        }
        offers
    }
}

fn is_plain(message: &Message) -> bool {
    let is_text = matches!(message.content(), Some(Content::Text(_)));
    is_text && !message.has_calls() && !message.is_result()
}

fn excerpt(ranges: Vec<Range<usize>>) -> Shrink {
    Shrink::Excerpt { ranges: ranges.into() }
}

/// How often a word occurs among sorted ones.
fn count(words: &[Key], word: Key) -> u64 {
    let start = words.partition_point(|other| *other < word);
    words[start..].partition_point(|other| *other == word) as u64
}

/// Parts of a message.
#[derive(Debug)]
pub(super) struct Excerpt {
    pub(super) how: Shrink,
    pub(super) tokens: u64,
}

/// The selection so far, without the required groups.
pub(super) struct Selection<'a> {
    view: &'a View<'a>,
    /// All groups from here on are sent; those with an excerpt in part.
    pub(super) start: usize,
    pub(super) excerpts: BTreeMap<usize, Excerpt>,
    /// The remaining tokens.
    pub(super) room: u64,
}

impl<'a> Selection<'a> {
    /// The newest groups that fit into `share` of the room.
    pub(super) fn tail(view: &'a View<'a>, room: u64, share: u64) -> Self {
        let start = view.tail(0, share);
        let room = room.saturating_sub(view.tokens(start..view.path().group_count()));
        Self { view, start, excerpts: BTreeMap::new(), room }
    }

    /// All groups from `start` on, and so much room for others.
    pub(super) fn from(view: &'a View<'a>, start: usize, room: u64) -> Self {
        Self { view, start, excerpts: BTreeMap::new(), room }
    }

    /// Adds the first piece of each long message before the newest groups, while these have at most
    /// `share` tokens.
    pub(super) fn add_heads(&mut self, texts: &mut Texts<'_>, share: u64) {
        let mut left = share.saturating_sub(self.view.tokens(self.start..self.view.path().group_count()));
        while let Some(group) = self.start.checked_sub(1).filter(|_| left >= pieces::SMALL) {
            let head = texts.excerpt(group, [0]);
            let tokens = head.as_ref().map_or_else(|| self.view.tokens(group..self.start), |head| head.tokens);
            let (Some(rest), Some(room)) = (left.checked_sub(tokens), self.room.checked_sub(tokens)) else { break };
            left = rest;
            self.room = room;
            self.start = group;
            self.excerpts.extend(head.map(|head| (group, head)));
        }
    }

    /// Adds the best passages of long messages, in this percentage of the remaining room.
    pub(super) fn add_passages(&mut self, texts: &mut Texts<'_>, query: &Query, scored: &[(usize, u64)], part: u8) {
        let room = percent(self.room, part);
        if room < LEAST_ROOM {
            return;
        }
        let mut best: Vec<(usize, u64)> =
            scored.iter().copied().filter(|&(group, _)| self.price(group).is_some() && texts.is_long(group)).collect();
        best.sort_unstable_by_key(|&(group, score)| Reverse((score, group)));
        let mut tokens = 0;
        let is_enough = |(number, &(group, _)): (usize, &(usize, u64))| {
            let is_enough = number >= TEXTS && tokens >= room.saturating_mul(PLENTY);
            tokens += self.view.tokens(group..group + 1);
            is_enough
        };
        let enough = best.iter().enumerate().position(is_enough).unwrap_or(best.len());
        let mut offers = texts.offers(query, &best[..enough]);
        offers.retain(|offer| offer.piece > 0 || !self.excerpts.contains_key(&offer.text));
        let wrapper = |group: usize| {
            if self.excerpts.contains_key(&group) { 0 } else { texts.known.get(&group).map_or(0, |cut| cut.wrapper) }
        };
        let chosen = pieces::choose(offers, room, wrapper, self.view.count(GAP));
        for of_text in chosen.chunk_by(|one, next| one.text == next.text) {
            self.add(texts, of_text[0].text, of_text.iter().map(|offer| offer.piece));
        }
    }

    /// Adds pieces of a message, if they fit.
    fn add(&mut self, texts: &mut Texts<'_>, group: usize, pieces: impl Iterator<Item = usize>) {
        let known = self.excerpts.get(&group);
        let before = known.map_or(0, |known| known.tokens);
        let Some(excerpt) = texts.excerpt(group, known.map(|_| 0).into_iter().chain(pieces)) else { return };
        if let Some(room) = self.room.saturating_add(before).checked_sub(excerpt.tokens) {
            self.room = room;
            self.excerpts.insert(group, excerpt);
        }
    }

    /// The cost of sending a group in full, in addition to its excerpt; `None` if it is sent in
    /// full already.
    pub(super) fn price(&self, group: usize) -> Option<u64> {
        let whole = self.view.tokens(group..group + 1);
        match self.excerpts.get(&group) {
            Some(excerpt) => Some(whole.saturating_sub(excerpt.tokens)),
            None => (group < self.start).then_some(whole),
        }
    }

    /// Gives the remaining room to the newest groups that are not sent in full, and those directly
    /// before them. An excerpt that cannot be completed does not end them.
    pub(super) fn lengthen(&mut self, chosen: &[usize]) {
        for group in (0..self.view.path().group_count()).rev() {
            let is_chosen = chosen.binary_search(&group).is_ok();
            let price = self.price(group).filter(|_| !is_chosen).unwrap_or(0);
            match self.room.checked_sub(price) {
                Some(rest) => {
                    self.room = rest;
                    self.excerpts.remove(&group);
                }
                None if self.excerpts.contains_key(&group) => {}
                None => break,
            }
            self.start = self.start.min(group);
        }
    }
}

#[cfg(test)]
#[path = "excerpts_tests.rs"]
mod tests;
