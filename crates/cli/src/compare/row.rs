//! `Row`: what one strategy does to all conversations, and in one sentence.

use std::cmp::Reverse;
use std::time::Duration;

use serde::{Serialize, Serializer};
use turnwise::plan::Fate;
use turnwise::replay::{Replay, Summaries, Totals};
use turnwise::tokens::{Dollars, Price};
use turnwise::{Conversation, Strategy};

use super::Comparison;
use super::evidence::Kept;
use super::findings::{Finding, Told, first, longest_gap, refused};
use crate::args::SortKey;
use crate::output::preview;
use crate::text::{counted, thousands, tokens};

/// One strategy over all conversations.
pub(crate) struct Row {
    /// Its place among the strategies that were asked for.
    pub(crate) index: usize,
    pub(crate) strategy: String,
    pub(crate) totals: Totals,
    /// The tokens of the same requests without any limit.
    whole: u64,
    cost: Cost,
    pub(crate) longest_gap: usize,
    pub(crate) time: Duration,
    /// Of the questions about the conversations, if any were asked.
    pub(super) evidence: Kept,
    left_out: Found,
    summarized: Found,
    shortened: Found,
    refused: Found,
}

/// What the prompts cost, with what repeats the previous request at the price of cached tokens, and
/// the calls that make summaries.
#[derive(Clone, Copy, Default)]
struct Cost {
    dollars: Dollars,
    whole: Dollars,
    /// Conversations of a model without a known price.
    unpriced: usize,
}

/// In how many conversations something happened, and where first.
#[derive(Default)]
struct Found {
    conversations: usize,
    first: Option<Finding>,
}

impl Row {
    pub(super) fn new(index: usize, strategy: &dyn Strategy) -> Self {
        Self {
            index,
            strategy: strategy.spec().into_owned(),
            totals: Totals::default(),
            whole: 0,
            cost: Cost::default(),
            longest_gap: 0,
            time: Duration::ZERO,
            evidence: Kept::default(),
            left_out: Found::default(),
            summarized: Found::default(),
            shortened: Found::default(),
            refused: Found::default(),
        }
    }

    /// Adds a conversation. `whole` is its replay without any limit.
    pub(super) fn add(
        &mut self,
        name: &str,
        talk: &Conversation,
        replay: &Replay,
        whole: &Totals,
        price: Option<Price>,
        time: Duration,
    ) {
        self.totals.add(&replay.totals);
        self.whole += whole.tokens;
        self.cost.add(&replay.totals, whole, price);
        self.longest_gap = self.longest_gap.max(longest_gap(replay));
        self.time += time;
        self.left_out.add(first(name, talk, replay, Fate::Evicted));
        self.summarized.add(first(name, talk, replay, Fate::Summarized));
        self.shortened.add(first(name, talk, replay, Fate::Shrunk));
        self.refused.add(refused(name, talk, replay));
    }

    /// Adds later conversations under the same strategy.
    pub(super) fn merge(&mut self, later: Self) {
        self.totals.add(&later.totals);
        self.whole += later.whole;
        self.cost.merge(later.cost);
        self.longest_gap = self.longest_gap.max(later.longest_gap);
        self.time += later.time;
        self.evidence.add(later.evidence);
        self.left_out.merge(later.left_out);
        self.summarized.merge(later.summarized);
        self.shortened.merge(later.shortened);
        self.refused.merge(later.refused);
    }

    /// Whether nothing happens to any message.
    pub(super) fn is_whole(&self) -> bool {
        [&self.left_out, &self.summarized, &self.shortened, &self.refused].iter().all(|found| found.conversations == 0)
    }

    /// How much of the evidence is sent; `None` if there were no questions.
    pub(super) fn evidence(&self) -> Option<Kept> {
        Some(self.evidence).filter(|evidence| evidence.of > 0)
    }

    /// The part of the tokens, from 0 to 1, that the strategy saves beside sending everything;
    /// `None` if some requests cannot be sent.
    pub(crate) fn saved(&self) -> Option<f64> {
        (self.totals.refused == 0).then(|| part(self.whole.saturating_sub(self.totals.tokens), self.whole))
    }

    /// The cost of all prompts and summaries; `None` if the price of a model is not known, or if some requests
    /// cannot be sent.
    pub(crate) fn cost(&self) -> Option<Dollars> {
        (self.totals.refused == 0 && self.cost.unpriced == 0).then_some(self.cost.dollars)
    }

    /// The part of the cost that is saved, from 0 to 1; negative if it costs more, because less of
    /// each request can come from the cache.
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    fn saved_cost(&self) -> Option<f64> {
        let whole = self.cost.whole.picodollars() as f64;
        let cost = self.cost()?.picodollars() as f64;
        (whole > 0.0).then(|| 1.0 - cost / whole)
    }

    /// What the strategy does, in plain words.
    pub(crate) fn sentence(&self) -> String {
        let Totals { refused, requests, conversations, .. } = self.totals;
        if let Some(first) = &self.refused.first {
            let place = first.place(conversations);
            let requests = thousands(requests as u64);
            return format!(
                "{} of {requests} requests are over budget and could not be sent, the first {place}.",
                thousands(refused as u64)
            );
        }
        match self.losses(conversations) {
            Some(losses) => format!("{}{}; {losses}.", self.savings(), self.summaries()),
            None => "nothing is left out, and as much is sent as without a budget.".to_owned(),
        }
    }

    fn savings(&self) -> String {
        let tokens = match percent(self.saved().unwrap_or(0.0)) {
            0 => "as many tokens as sending everything".to_owned(),
            saved => format!("{saved} % fewer tokens than sending everything"),
        };
        match self.saved_cost().map(percent) {
            Some(0) => format!("{tokens}, at the same cost"),
            Some(saved) if saved > 0 => format!("{tokens}, {saved} % cheaper"),
            Some(more) if self.totals.summaries.calls > 0 => format!("{tokens}, but {} % dearer", -more),
            Some(more) => format!("{tokens}, but {} % dearer, since a cache can reuse less", -more),
            None => tokens,
        }
    }

    fn summaries(&self) -> String {
        let Summaries { calls, read, .. } = self.totals.summaries;
        let calls = match calls {
            0 => return String::new(),
            1 => "one summary, made by a call that reads".to_owned(),
            _ => format!("{} summaries, made by calls that read", thousands(calls as u64)),
        };
        format!(", with {calls} {} tokens", tokens(read, self.totals.estimated))
    }

    fn losses(&self, conversations: usize) -> Option<String> {
        let what = [(&self.left_out, "left out"), (&self.summarized, "summarized"), (&self.shortened, "shortened")];
        let (found, first, how) = what.iter().find_map(|(found, how)| Some((found, found.first.as_ref()?, how)))?;
        let which = first.message.as_ref().map_or(String::new(), |message| {
            let Told { role, turn, text } = message;
            let place = first.place(conversations);
            format!("the {role} message of turn {turn}, {how} {place}: \"{}\"", preview(text, 44))
        });
        if conversations == 1 {
            return Some(format!("the first to go is {which}"));
        }
        let affected = match found.conversations {
            all if all == conversations => "all".to_owned(),
            some => format!("{} of the", thousands(some as u64)),
        };
        let conversations = counted(conversations, "conversation");
        Some(format!("messages are {how} in {affected} {conversations}, first {which}"))
    }
}

impl Finding {
    fn place(&self, conversations: usize) -> String {
        if conversations == 1 {
            return format!("at turn {}", self.turn);
        }
        format!("at turn {} of {}", self.turn, self.conversation)
    }
}

impl Found {
    fn add(&mut self, finding: Option<Finding>) {
        self.conversations += usize::from(finding.is_some());
        self.first = self.first.take().or(finding);
    }

    fn merge(&mut self, later: Self) {
        self.conversations += later.conversations;
        self.first = self.first.take().or(later.first);
    }
}

impl Cost {
    fn merge(&mut self, later: Self) {
        self.dollars += later.dollars;
        self.whole += later.whole;
        self.unpriced += later.unpriced;
    }

    fn add(&mut self, sent: &Totals, whole: &Totals, price: Option<Price>) {
        let Some(price) = price else {
            self.unpriced += 1;
            return;
        };
        self.dollars += price.of(sent.tokens, sent.prefix, 0);
        self.dollars += price.of(sent.summaries.read, 0, sent.summaries.written);
        self.whole += price.of(whole.tokens, whole.prefix, 0);
    }
}

/// Puts the best strategy of a column first.
pub(super) fn sort(comparison: &mut Comparison, key: SortKey) {
    let rows = &mut comparison.strategies;
    let refused = |row: &Row| row.totals.refused;
    match key {
        SortKey::Tokens => rows.sort_by_key(|row| (refused(row), row.totals.tokens)),
        SortKey::Cost => rows.sort_by_key(|row| (refused(row), row.cost())),
        SortKey::Turns => rows.sort_by_key(|row| (refused(row), Reverse(row.totals.turns.kept))),
        SortKey::Results => rows.sort_by_key(|row| (refused(row), Reverse(row.totals.results.kept))),
        SortKey::Evidence => rows.sort_by_key(|row| (refused(row), Reverse(row.evidence.kept))),
        SortKey::Repeated => {
            rows.sort_by(|a, b| {
                b.totals.prefix_share().unwrap_or(0.0).total_cmp(&a.totals.prefix_share().unwrap_or(0.0))
            });
            rows.sort_by_key(refused);
        }
    }
}

/// A part of a whole, from 0 to 1.
#[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
fn part(of: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { of as f64 / whole as f64 }
}

/// A part as a whole number of hundredths.
#[allow(clippy::cast_possible_truncation, reason = "a part is near 0 to 1")]
pub(crate) fn percent(part: f64) -> i64 {
    (part * 100.0).round() as i64
}

#[derive(Serialize)]
struct Json<'a> {
    strategy: &'a str,
    #[serde(flatten)]
    totals: &'a Totals,
    prefix_share: Option<f64>,
    compared: Compared,
}

/// What a replay of one strategy alone does not have.
#[derive(Serialize)]
struct Compared {
    saved: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Dollars>,
    longest_gap: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Kept>,
    sentence: String,
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let compared = Compared {
            saved: self.saved(),
            cost: self.cost(),
            longest_gap: self.longest_gap,
            evidence: self.evidence(),
            sentence: self.sentence(),
        };
        let prefix_share = self.totals.prefix_share();
        Json { strategy: &self.strategy, totals: &self.totals, prefix_share, compared }.serialize(serializer)
    }
}
