//! `cut_to_fit`: shortens what must be answered when it is longer than the room for it.

use super::runs::Shortened;
use super::shrink::{Shrink, Shrinker};
use crate::bisect::first_where;
use crate::conversation::{Group, Path};
use crate::ledger::Sums;
use crate::message::Message;
use crate::tokens::{ChatCost, is_parallel};

/// No text is cut to fewer tokens than this, because the rest would be meaningless. The results of
/// parallel calls share this minimum, which the result of a single call has alone.
const LEAST: u64 = 64;
/// No result of parallel calls is cut to fewer tokens than this.
const LEAST_OF_MANY: u64 = 8;
/// How many lengths are tried between the minimum and one that was too long.
const MOST_TRIES: usize = 4;

/// Groups that may be cut, and the room for them.
pub(super) struct CutInput<'a> {
    pub(super) path: Path<'a>,
    pub(super) groups: &'a [usize],
    pub(super) room: u64,
    pub(super) sums: &'a Sums,
    pub(super) cost: &'a ChatCost,
    pub(super) shrinker: &'a Shrinker,
}

/// A text of one of the groups.
#[derive(Clone, Copy)]
struct Text {
    tokens: u64,
    least: u64,
}

impl Text {
    /// What remains of it if texts are cut to `length`.
    fn cut_to(self, length: u64) -> u64 {
        self.tokens.min(length.max(self.least))
    }
}

/// Cuts the longest texts of groups to one common length, so that together they fit into the room;
/// `None` if they cannot fit.
pub(super) fn cut_to_fit(input: &CutInput<'_>) -> Option<Vec<Shortened>> {
    let texts = input.texts();
    let whole: u64 = input.groups.iter().map(|&group| input.sums.group(group).tokens).sum();
    let around = whole.saturating_sub(texts.iter().map(|text| text.tokens).sum());
    // Nearly always, a token less in a text is a token less in the request.
    let guess = input.room.checked_sub(around).and_then(|room| common_length(&texts, room));
    if let Some(cuts) = guess.and_then(|length| input.at_most(&texts, length)) {
        return Some(cuts);
    }
    input.between(&texts, whole)
}

/// The fewest tokens that groups can be cut to, a group that is shorter as it is included.
pub(super) fn shortest(input: &CutInput<'_>) -> u64 {
    let (cuts, _) = input.at(LEAST_OF_MANY);
    cuts.iter().map(|cut| cut.tokens.min(input.sums.group(cut.group).tokens)).sum()
}

impl CutInput<'_> {
    fn texts(&self) -> Vec<Text> {
        let mut texts = Vec::new();
        for group in self.groups.iter().map(|&group| self.path.group(group)) {
            let least = least(group);
            for message in group.messages() {
                each_text(message, |text| texts.push(Text { tokens: self.cost.text(text).tokens, least }));
            }
        }
        texts
    }

    /// The groups with no text longer than `length`, and their total cost.
    fn at(&self, length: u64) -> (Vec<Shortened>, u64) {
        let cut = |&group: &usize| {
            let how = Shrink::Ends { tokens: length.max(least(self.path.group(group))) };
            let ways = std::slice::from_ref(&how);
            let tokens = self.shrinker.shrink(self.path.group(group), ways, self.cost).count.tokens;
            Shortened { group, how, tokens }
        };
        let cuts: Vec<Shortened> = self.groups.iter().map(cut).collect();
        let tokens = cuts.iter().map(|cut| cut.tokens).sum();
        (cuts, tokens)
    }

    fn fits(&self, (cuts, tokens): (Vec<Shortened>, u64)) -> Option<Vec<Shortened>> {
        let is_cut = |cut: &Shortened| self.sums.group(cut.group).tokens > cut.tokens;
        (tokens <= self.room).then(|| cuts.into_iter().filter(is_cut).collect())
    }

    /// Texts of `length` or slightly less, because texts counted in parts may cost a little more
    /// together.
    fn at_most(&self, texts: &[Text], mut length: u64) -> Option<Vec<Shortened>> {
        loop {
            let (cuts, tokens) = self.at(length);
            if let Some(cuts) = self.fits((cuts, tokens)) {
                return Some(cuts);
            }
            let longer = texts.iter().filter(|text| text.tokens > length.max(text.least)).count() as u64;
            let less = (tokens - self.room).div_ceil(longer.max(1));
            length = length.checked_sub(less).filter(|&length| length >= LEAST)?;
        }
    }

    /// The greatest fitting length found between the minimum, if that fits, and one that is too
    /// long. A token of a text may cost more than one token: in parallel results everything outside
    /// ASCII is escaped.
    fn between(&self, texts: &[Text], whole: u64) -> Option<Vec<Shortened>> {
        let sum = |length: u64| texts.iter().map(|text| text.cut_to(length)).sum::<u64>();
        let (cuts, mut tokens) = self.at(LEAST_OF_MANY);
        let mut best = self.fits((cuts, tokens))?;
        let mut enough = sum(LEAST_OF_MANY);
        // A length of all texts that is too much, and what the groups cost then.
        let mut too_much = sum(u64::MAX);
        let mut too_dear = whole;
        for _ in 0..MOST_TRIES {
            let more = too_much.saturating_sub(enough);
            let costs = too_dear.saturating_sub(tokens);
            let part = u128::from(more) * u128::from(self.room - tokens) / u128::from(costs.max(1));
            let Some(length) = common_length(texts, enough + u64::try_from(part).unwrap_or(more)) else { break };
            if sum(length) <= enough {
                break;
            }
            let (cuts, found) = self.at(length);
            if let Some(cuts) = self.fits((cuts, found)) {
                best = cuts;
                tokens = found;
                enough = sum(length);
            } else {
                too_much = sum(length);
                too_dear = found;
            }
        }
        Some(best)
    }
}

/// The minimum length for a text of a group.
fn least(group: Group<'_>) -> u64 {
    match group.first().filter(|first| is_parallel(first)) {
        Some(_) => (LEAST / (group.positions().len() as u64).saturating_sub(1).max(1)).max(LEAST_OF_MANY),
        None => LEAST,
    }
}

fn each_text(message: &Message, mut take: impl FnMut(&str)) {
    message.map_texts(|text| {
        take(text);
        None
    });
}

/// The greatest length to which all texts can be cut so that together they have at most `room`
/// tokens.
fn common_length(texts: &[Text], room: u64) -> Option<u64> {
    let fits = |length: u64| texts.iter().map(|text| text.cut_to(length)).sum::<u64>() <= room;
    let longest = texts.iter().map(|text| text.tokens.max(text.least)).max().unwrap_or(LEAST);
    let too_long = first_where(LEAST_OF_MANY..longest + 1, |length| !fits(length));
    (too_long > LEAST_OF_MANY).then(|| too_long - 1)
}
