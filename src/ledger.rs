//! `Ledger`: the cost of every message, counted once for each way to count and summed along the
//! path.

mod changes;
mod fingerprint;
mod known;

use std::ops::Range;
use std::sync::Arc;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::bisect::first_where;
use crate::conversation::{Conversation, GroupEnd, GroupState, Item, ItemId, Path, Stamp};
use crate::json::RawJson;
use crate::log::Log;
use crate::message::Message;
use crate::request::Tool;
use crate::tokens::{ChatCost, Count, is_parallel};

pub use changes::Counted;
pub(crate) use fingerprint::Fingerprint;

/// The counts of one conversation: a column for each [`ChatCost`], with prefix sums over the path.
///
/// It is derived data: an empty ledger works, but everything is counted again. If it is used with
/// another conversation, or with a copy that has diverged, it notices and counts only what differs.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, Conversation, Ledger, Message};
///
/// let mut talk = Conversation::from_messages([Message::user("Name a river.")]);
/// let (mut ledger, cost) = (Ledger::new(), ChatCost::for_model("gpt-4o"));
/// let before = ledger.total(&talk, &cost);
/// talk.push(Message::assistant("The Elbe."));
/// assert!(ledger.total(&talk, &cost) > before); // only the new message was counted
/// ```
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The item that each ordinal stood for when it was counted.
    stamps: Log<Stamp>,
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    cost_id: Arc<str>,
    /// By ordinal: the cost of the group that ends with this item, on every path on which a group
    /// ends there.
    costs: Log<Packed>,
    /// For each group of the path that was summed.
    sums: Log<Sum>,
    head: Option<Head>,
}

#[derive(Clone, Debug)]
struct Sum {
    /// The tokens of all sendable groups up to and including this one.
    tokens: u64,
    /// The newest item of the groups up to and including this one.
    stamp: Stamp,
    /// The tokens of the group, whether or not it can be sent.
    own: Packed,
    state: GroupState,
}

/// The cost of head and tools, as counted or as read from a file.
#[derive(Clone, Debug)]
enum Head {
    Counted(HeadCost),
    Loaded(Fingerprint, [Count; 2]),
}

#[derive(Clone, Debug)]
struct HeadCost {
    head: Arc<[Message]>,
    tools: Arc<[Tool]>,
    params: Arc<[(String, RawJson)]>,
    counts: [Count; 2],
}

/// A count in four bytes. The highest bit marks an estimate, and a count that does not fit is one.
///
/// In a file: a number of tokens, negative for an estimate, null if it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<i64>", into = "Option<i64>")]
pub(crate) struct Packed(u32);

impl Packed {
    const UNKNOWN: Self = Self(u32::MAX);
    const ESTIMATED: u32 = 1 << 31;
    const MOST: u32 = Self::ESTIMATED - 2;

    fn new(count: Count) -> Self {
        let fitting = u32::try_from(count.tokens).ok().filter(|&tokens| tokens <= Self::MOST);
        let tokens = fitting.unwrap_or(Self::MOST);
        let is_exact = count.exact && fitting.is_some();
        Self(if is_exact { tokens } else { tokens | Self::ESTIMATED })
    }

    fn count(self) -> Option<Count> {
        (self != Self::UNKNOWN)
            .then_some(Count { tokens: u64::from(self.0 & !Self::ESTIMATED), exact: self.0 & Self::ESTIMATED == 0 })
    }
}

impl From<Packed> for Option<i64> {
    fn from(packed: Packed) -> Self {
        let Count { tokens, exact } = packed.count()?;
        let tokens = i64::try_from(tokens).ok()?;
        Some(if exact { tokens } else { -tokens })
    }
}

impl From<Option<i64>> for Packed {
    fn from(tokens: Option<i64>) -> Self {
        tokens.map_or(Self::UNKNOWN, |tokens| Self::new(Count { tokens: tokens.unsigned_abs(), exact: tokens >= 0 }))
    }
}

/// Texts with a total length below this are counted on the calling thread.
const WORTH_A_THREAD: usize = 256 * 1024;

impl Ledger {
    /// A ledger without costs.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cost of all groups of the path that can be sent, without head and priming. Counts what
    /// is missing.
    pub fn total(&mut self, conversation: &Conversation, cost: &ChatCost) -> u64 {
        let groups = conversation.path().group_count();
        self.sums(conversation, cost).tokens(0..groups)
    }

    /// The ids of the costs that it has columns for.
    pub fn cost_ids(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| &*column.cost_id)
    }

    /// The sums along the current path, after counting what is missing.
    pub(crate) fn sums(&mut self, conversation: &Conversation, cost: &ChatCost) -> Sums {
        let path = conversation.path();
        let index = self.column(cost.id());
        self.columns[index].drop_what_changed(path);
        self.extend(index, path, cost);
        Sums(self.columns[index].sums.clone())
    }

    /// What the head's messages cost, and what tools and schema add to them, counted once for each
    /// head. A schema for the reply costs some tokens more for each earlier reply that is sent,
    /// which is not known here: an estimate, if there is any history.
    pub(crate) fn head(
        &mut self,
        conversation: &Conversation,
        tools: &Arc<[Tool]>,
        params: &[(String, RawJson)],
        cost: &ChatCost,
    ) -> [Count; 2] {
        let [head, added] = self.head_alone(conversation, tools, params, cost);
        let is_estimate = conversation.path().group_count() > 1 && ChatCost::is_paid_for_each_reply(params);
        [head, Count { exact: added.exact && !is_estimate, ..added }]
    }

    fn head_alone(
        &mut self,
        conversation: &Conversation,
        tools: &Arc<[Tool]>,
        params: &[(String, RawJson)],
        cost: &ChatCost,
    ) -> [Count; 2] {
        let index = self.column(cost.id());
        let head = conversation.shared_head();
        let params = costly(params);
        let known = &mut self.columns[index].head;
        let found = known.as_ref().and_then(|known| known.counts(&head, tools, &params));
        if let (Some(counts), Some(Head::Counted(_))) = (found, &known) {
            return counts;
        }
        let counts = found.unwrap_or_else(|| cost.head_and_sections(&head, tools, &params));
        *known = Some(Head::Counted(HeadCost { head, tools: Arc::clone(tools), params: params.into(), counts }));
        counts
    }

    fn column(&mut self, cost_id: &str) -> usize {
        if let Some(index) = self.columns.iter().position(|column| &*column.cost_id == cost_id) {
            return index;
        }
        // Most conversations are counted by one rule.
        self.columns.reserve_exact(1);
        self.columns.push(Column::new(cost_id));
        self.columns.len() - 1
    }

    fn extend(&mut self, index: usize, path: Path<'_>, cost: &ChatCost) {
        let first = self.columns[index].sums.len();
        let groups = path.group_count();
        if first == groups {
            return;
        }
        for item in path.range(path.positions(first..groups)) {
            self.take_stamp(item);
        }
        let column = &mut self.columns[index];
        let ends = path.group_ends(first..groups).zip(first..);
        let uncounted: Vec<usize> =
            ends.filter(|(end, _)| column.cost_at(end.last_item).is_none()).map(|(_, group)| group).collect();
        let counts = count_all(&uncounted, |group| column.count(path, group, cost), |group| bytes(path, group));
        for (group, count) in uncounted.iter().zip(counts) {
            column.set_cost(path, *group, count);
        }
        for end in path.group_ends(first..groups) {
            column.push_sum(&end);
        }
    }

    /// Records which item has an ordinal, and forgets the cost of an earlier item with that
    /// ordinal.
    fn take_stamp(&mut self, item: &Item) {
        let id = item.id().index();
        while self.stamps.len() <= id {
            self.stamps.push(Stamp::default());
        }
        if self.stamps.get(id) == Some(&item.stamp()) {
            return;
        }
        if let Some(stamp) = self.stamps.get_mut(id) {
            *stamp = item.stamp();
        }
        for column in &mut self.columns {
            if let Some(cost) = column.costs.get_mut(id) {
                *cost = Packed::UNKNOWN;
            }
        }
    }

    /// The costs by cost id, each by ordinal, for a file. Only the conversation's own items are
    /// included, because a copy that has diverged may have used this ledger too.
    pub(crate) fn columns(&self, conversation: &Conversation) -> impl Iterator<Item = (&str, Vec<Packed>)> {
        let known = |id: usize| {
            let item = conversation.get(ItemId::from_index(id))?;
            (self.stamps.get(id) == Some(&item.stamp())).then_some(id)
        };
        let own: Vec<Option<usize>> = (0..conversation.next_ordinal()).map(known).collect();
        self.columns.iter().map(move |column| {
            let cost = |id: &Option<usize>| id.and_then(|id| column.costs.get(id)).copied().unwrap_or(Packed::UNKNOWN);
            (&*column.cost_id, own.iter().map(cost).collect())
        })
    }

    /// The costs of the last head and tools by cost id, with the fingerprint that they belong to,
    /// for a file.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (String, (Fingerprint, Packed, Packed))> {
        self.columns.iter().filter_map(|column| Some((column.cost_id.to_string(), column.head.as_ref()?.packed())))
    }

    /// Restores costs of heads from a file. Each is used if its fingerprint matches the head, tools
    /// and parameters that are asked for.
    pub(crate) fn restore_heads(&mut self, heads: impl IntoIterator<Item = (String, (Fingerprint, Packed, Packed))>) {
        for (cost_id, (print, head, tools)) in heads {
            if let (Some(head), Some(tools)) = (head.count(), tools.count()) {
                let index = self.column(&cost_id);
                self.columns[index].head = Some(Head::Loaded(print, [head, tools]));
            }
        }
    }

    /// A ledger from the columns of a file, with the costs of items that are unchanged by hash and
    /// length.
    pub(crate) fn restore(
        conversation: &Conversation,
        prints: &[Option<Fingerprint>],
        columns: impl IntoIterator<Item = (String, Vec<Packed>)>,
    ) -> Self {
        let is_same = |item: &&Item| prints.get(item.id().index()) == Some(&Some(Fingerprint::of(item.message())));
        let mut stamps = vec![Stamp::default(); conversation.next_ordinal()];
        // The cost of a group covers all its messages, so a changed message also invalidates the
        // stamps of its results. Late results are always counted again: they are few, and older
        // versions took them for orphans.
        for item in conversation.items().filter(is_same) {
            let parent = item.parent().and_then(|parent| conversation.get(parent));
            let follows_its_calls = parent.is_some_and(|parent| {
                let holds = stamps[parent.id().index()] != Stamp::default();
                holds && (parent.message().has_calls() || parent.message().is_result())
            });
            if follows_its_calls || !item.message().is_result() {
                stamps[item.id().index()] = item.stamp();
            }
        }
        let columns = columns.into_iter().map(|(cost_id, costs)| {
            let costs = costs.into_iter().take(stamps.len()).collect();
            Column { costs, ..Column::new(&cost_id) }
        });
        Self { columns: columns.collect(), stamps: stamps.into_iter().collect() }
    }
}

impl Head {
    /// The counts, if they belong to this head, these tools and these parameters.
    fn counts(&self, head: &Arc<[Message]>, tools: &[Tool], params: &[(String, RawJson)]) -> Option<[Count; 2]> {
        match self {
            Self::Loaded(print, counts) => (*print == Fingerprint::of(&(&**head, tools, params))).then_some(*counts),
            Self::Counted(known) => {
                let is_head = Arc::ptr_eq(&known.head, head) || known.head == *head;
                let is_tools = std::ptr::eq(known.tools.as_ref(), tools) || *known.tools == *tools;
                (is_head && is_tools && *known.params == *params).then_some(known.counts)
            }
        }
    }
}

/// The parameters of a request that cost tokens.
fn costly(params: &[(String, RawJson)]) -> Vec<(String, RawJson)> {
    params.iter().filter(|(name, _)| ChatCost::is_costly(name)).cloned().collect()
}

impl Column {
    fn new(cost_id: &str) -> Self {
        Self { cost_id: cost_id.into(), costs: Log::default(), sums: Log::default(), head: None }
    }

    /// Keeps the sums of the groups that are still on the path unchanged. An item with the same
    /// stamp has the same items before it, so where the newest item of a group and of those before
    /// it is the same, all sums up to there are right. Mostly all of them are.
    fn drop_what_changed(&mut self, path: Path<'_>) {
        let known = self.sums.len();
        if known > 0 && !self.stands(path, known - 1) {
            self.sums.truncate(first_where(0..known - 1, |group| !self.stands(path, group)));
        }
    }

    fn stands(&self, path: Path<'_>, group: usize) -> bool {
        match (self.sums.get(group), path.newest_item(group)) {
            (Some(sum), Some(newest)) => sum.stamp == newest.stamp() && sum.state == path.group(group).state(),
            _ => false,
        }
    }

    fn cost_at(&self, last_item: &Item) -> Option<Count> {
        self.costs.get(last_item.id().index())?.count()
    }

    fn cost_of(&self, path: Path<'_>, group: usize) -> Option<Count> {
        self.cost_at(path.group(group).last_item()?)
    }

    /// Counts a group. Results recorded since it was last counted are added to its cost; parallel
    /// calls are one unit with their results, which is counted again.
    fn count(&self, path: Path<'_>, group: usize, cost: &ChatCost) -> Count {
        let group = path.group(group);
        let first = group.first();
        if first.is_some_and(is_parallel) {
            return cost.group(group.messages());
        }
        let items = group.positions().len();
        let counted =
            (1..items).rev().zip(group.items().rev().skip(1)).find_map(|(end, item)| Some((end, self.cost_at(item)?)));
        let (from, base) = counted.unwrap_or((0, Count::ZERO));
        base + cost.added(first, group.messages().skip(from))
    }

    fn set_cost(&mut self, path: Path<'_>, group: usize, count: Count) {
        let Some(end) = path.group(group).last_item() else { return };
        while self.costs.len() <= end.id().index() {
            self.costs.push(Packed::UNKNOWN);
        }
        if let Some(cost) = self.costs.get_mut(end.id().index()) {
            *cost = Packed::new(count);
        }
    }

    fn push_sum(&mut self, end: &GroupEnd<'_>) {
        let before = self.sums.last().map_or(0, |sum| sum.tokens);
        let own = self.cost_at(end.last_item).unwrap_or(Count::ZERO);
        let sent = match end.state {
            GroupState::Ready => own.tokens,
            GroupState::Open | GroupState::Orphan => 0,
        };
        self.sums.push(Sum {
            tokens: before.saturating_add(sent),
            stamp: end.newest_item.stamp(),
            own: Packed::new(own),
            state: end.state,
        });
    }
}

fn bytes(path: Path<'_>, group: usize) -> usize {
    path.group(group).messages().map(|message| message.text().len()).sum()
}

/// Counts groups, on all cores if there is enough to count.
fn count_all(
    groups: &[usize],
    count_one: impl Fn(usize) -> Count + Sync,
    bytes: impl Fn(usize) -> usize,
) -> Vec<Count> {
    let count = |groups: &[usize]| -> Vec<Count> { groups.iter().map(|&group| count_one(group)).collect() };
    // The first group is counted on this thread, so that a vocabulary is loaded once, and by this
    // thread.
    let Some((&first, rest)) = groups.split_first() else { return Vec::new() };
    let first = count_one(first);
    let is_worth_it = rest.len() > 1 && rest.iter().map(|&group| bytes(group)).sum::<usize>() >= WORTH_A_THREAD;
    let cores = if is_worth_it { thread::available_parallelism().map_or(1, usize::from) } else { 1 };
    let rest = if cores == 1 { count(rest) } else { count_on(cores, rest, &count) };
    std::iter::once(first).chain(rest).collect()
}

/// Deals small shares to the cores in turn, so that one share of long messages does not delay the
/// others.
fn count_on(cores: usize, groups: &[usize], count: &(impl Fn(&[usize]) -> Vec<Count> + Sync)) -> Vec<Count> {
    let shares: Vec<&[usize]> = groups.chunks(groups.len().div_ceil(cores * 8).max(1)).collect();
    let mut counted: Vec<Vec<Count>> = vec![Vec::new(); shares.len()];
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|core| {
                let mine = shares.iter().enumerate().skip(core).step_by(cores);
                scope.spawn(move || mine.map(|(index, share)| (index, count(share))).collect::<Vec<_>>())
            })
            .collect();
        for (index, counts) in workers.into_iter().filter_map(|worker| worker.join().ok()).flatten() {
            counted[index] = counts;
        }
    });
    // A share whose worker panicked is counted here, so that a panic of the counter reaches the
    // caller.
    for (counts, share) in counted.iter_mut().zip(&shares) {
        if counts.is_empty() {
            *counts = count(share);
        }
    }
    counted.concat()
}

/// The sums along one path at one time: a copy that shares its blocks with the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Sums(Log<Sum>);

impl Sums {
    /// The tokens of the groups in a range that can be sent.
    pub(crate) fn tokens(&self, groups: Range<usize>) -> u64 {
        let up_to = |group: usize| match group.checked_sub(1) {
            Some(last) => self.0.get(last).map_or(0, |sum| sum.tokens),
            None => 0,
        };
        up_to(groups.end).saturating_sub(up_to(groups.start))
    }

    /// Each of these groups, whether or not it can be sent.
    pub(crate) fn groups(&self, groups: Range<usize>) -> impl Iterator<Item = Count> {
        self.0.range(groups).map(|sum| sum.own.count().unwrap_or(Count::ZERO))
    }

    /// One group, whether or not it can be sent.
    pub(crate) fn group(&self, group: usize) -> Count {
        self.0.get(group).and_then(|sum| sum.own.count()).unwrap_or(Count::ZERO)
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
