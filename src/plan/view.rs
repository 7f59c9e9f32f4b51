//! `View`: what a strategy sees. `RequiredGroups`: what is sent whatever the strategy says.

use std::ops::Range;

use super::applied::{Applied, Smaller};
use super::draft::{Draft, Reason};
use super::shrink::{Shrink, Shrinker};
use super::summary::{self, SummaryUse};
use crate::bisect::first_where;
use crate::budget::ResolvedBudget;
use crate::conversation::{Conversation, Group, GroupState, Path, Summary, SummaryId};
use crate::ledger::Sums;
use crate::message::Role;
use crate::tokens::ChatCost;
use crate::vectors::Vectors;

/// Why a group is sent whatever the strategy drafts.
///
/// # Examples
/// ```
/// use turnwise::View;
/// use turnwise::plan::Required;
///
/// fn pins(view: &View<'_>) -> usize {
///     (0..view.path().group_count()).filter(|&group| view.required(group) == Some(Required::Pin)).count()
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Required {
    /// It contains a pinned item.
    Pin,
    /// The next request must answer it, or it is the user message of the turn that the request
    /// continues.
    Pending,
    /// It is the user message that the request must begin with, before the first group that is
    /// required for another reason; see [`Planner::start_on_user`](super::Planner::start_on_user).
    Leads,
}

/// The required groups, oldest first, with sums of their tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct RequiredGroups(Vec<RequiredGroup>);

#[derive(Clone, Copy, Debug)]
pub(super) struct RequiredGroup {
    pub(super) group: usize,
    pub(super) why: Required,
    /// The tokens of the required groups up to and including this one.
    sum: u64,
}

impl RequiredGroups {
    /// Pins and pending groups; if the request must start with a user message, also that of the
    /// first group's turn. A group that cannot be sent is never required.
    pub(super) fn of(conversation: &Conversation, sums: &Sums, starts_on_user: bool) -> Self {
        let path = conversation.path();
        let pins = conversation.pins().filter_map(|pin| path.position(pin)).map(|position| path.group_at(position));
        let pins =
            pins.filter(|&group| path.group(group).state() == GroupState::Ready).map(|group| (group, Required::Pin));
        let pending = pending(path).into_iter().map(|group| (group, Required::Pending));
        let mut groups: Vec<(usize, Required)> = pending.chain(pins).collect();
        groups.sort_unstable_by_key(|(group, why)| (*group, *why == Required::Pin));
        groups.dedup_by_key(|(group, _)| *group);
        let first = groups.first().map(|(first, _)| *first).filter(|_| starts_on_user);
        let leads = first.and_then(|first| asked(path, first)).filter(|&leads| Some(leads) != first);
        groups.splice(0..0, leads.map(|leads| (leads, Required::Leads)));
        let mut sum = 0;
        let with_sum = |(group, why)| {
            sum = u64::saturating_add(sum, sums.group(group).tokens);
            RequiredGroup { group, why, sum }
        };
        Self(groups.into_iter().map(with_sum).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = RequiredGroup> {
        self.0.iter().copied()
    }

    /// The groups that are required for this reason.
    pub(super) fn of_reason(&self, why: Required) -> impl Iterator<Item = usize> {
        self.0.iter().filter(move |required| required.why == why).map(|required| required.group)
    }

    /// The groups that may be shortened if they are too long: all except pins.
    pub(super) fn not_pinned(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter(|required| required.why != Required::Pin).map(|required| required.group)
    }

    pub(super) fn tokens(&self, groups: Range<usize>) -> u64 {
        let up_to = |group| match self.0.partition_point(|required| required.group < group) {
            0 => 0,
            known => self.0[known - 1].sum,
        };
        up_to(groups.end).saturating_sub(up_to(groups.start))
    }

    fn why(&self, group: usize) -> Option<Required> {
        let index = self.0.binary_search_by_key(&group, |required| required.group).ok()?;
        Some(self.0[index].why)
    }
}

/// The groups that the next request must answer: the newest sendable group and, if that is calls
/// with results (in a tool loop) or an instruction, the user message of its turn. Earlier user
/// messages are history: a send adds one message, and a log of a hundred questions is trimmed, not
/// refused.
///
/// If the path ends in a late result, the request must answer both: the calls with their results,
/// and the user message in between.
fn pending(path: Path<'_>) -> Vec<usize> {
    let Some(newest) = newest_ready(path) else { return Vec::new() };
    let last = path.len().checked_sub(1).map(|last| path.group_at(last));
    let answered = last.filter(|&last| last < newest && path.group(last).state() == GroupState::Ready);
    let mut pending: Vec<usize> = answered.into_iter().chain([newest]).collect();
    let asked =
        pending.iter().filter(|&&group| is_answer_to_a_user(path, group)).filter_map(|&group| asked(path, group));
    pending.extend(asked.collect::<Vec<_>>());
    pending.sort_unstable();
    pending.dedup();
    pending
}

/// Whether a group needs a user message before it: calls with results continue the answer to one,
/// and so does an instruction.
fn is_answer_to_a_user(path: Path<'_>, group: usize) -> bool {
    let group = path.group(group);
    let is_said = group.first().is_some_and(|first| matches!(first.role(), Role::User | Role::Assistant));
    !is_said || group.has_calls()
}

/// The user message of a group's turn, if it can be sent.
fn asked(path: Path<'_>, group: usize) -> Option<usize> {
    let asked = path.turn_of(group).map(|turn| path.turn(turn).start);
    asked.filter(|&asked| path.group(asked).state() == GroupState::Ready)
}

fn newest_ready(path: Path<'_>) -> Option<usize> {
    path.groups().rfind(|group| group.state() == GroupState::Ready).map(Group::index)
}

/// What a strategy knows about a conversation: the path in groups, their costs, and the available
/// room. Copies are cheap. For an example see [`Strategy`](super::Strategy).
///
/// # Examples
/// A strategy that leaves out every group of more than 500 tokens:
/// ```
/// use std::borrow::Cow;
/// use turnwise::{Draft, Reason, Result, Strategy, StrategyCache, View};
///
/// #[derive(Debug)]
/// struct Short;
///
/// impl Strategy for Short {
///     fn spec(&self) -> Cow<'static, str> {
///         "short".into()
///     }
///
///     fn draft(&self, view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
///         let is_long = |group: &usize| view.tokens(*group..*group + 1) > 500;
///         let long = (0..view.path().group_count()).filter(is_long);
///         Ok(long.fold(Draft::keep_all(), |draft, group| draft.evict(group..group + 1, Reason::Other("long".into()))))
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(super) conversation: &'a Conversation,
    pub(super) budget: &'a ResolvedBudget,
    pub(super) sums: &'a Sums,
    pub(super) required: &'a RequiredGroups,
    pub(super) cost: &'a ChatCost,
    pub(super) vectors: &'a Vectors,
    pub(super) shrinker: &'a Shrinker,
    /// The tokens of head, tools, priming and all required groups.
    pub(super) fixed: u64,
    pub(super) spec: &'a str,
    /// The prefix of the names of marks, for a step of a ladder.
    pub(super) prefix: &'a str,
    /// The effect of earlier steps.
    pub(super) applied: &'a Applied,
    pub(super) is_holding: bool,
    pub(super) starts_on_user: bool,
}

impl<'a> View<'a> {
    /// The path, in groups and turns.
    pub fn path(&self) -> Path<'a> {
        self.conversation.path()
    }

    /// The budget in integers.
    pub fn budget(&self) -> &'a ResolvedBudget {
        self.budget
    }

    /// How many tokens are left for optional groups if the request is trimmed down to the low mark.
    pub fn room(&self) -> u64 {
        self.budget.low.saturating_sub(self.fixed)
    }

    /// Tokens of the request that sends only what must be sent: head, tools, context and the
    /// required groups. A strategy whose requests have other messages every time fills them up to
    /// the high mark instead of the low one: it has `view.budget().high` less these tokens.
    pub fn required_tokens(&self) -> u64 {
        self.fixed
    }

    /// Whether a request that keeps `optional` tokens of optional groups exceeds the high mark.
    pub fn is_over(&self, optional: u64) -> bool {
        self.fixed.saturating_add(optional) > self.budget.high
    }

    /// Whether the request passes the high mark when it sends all that earlier steps left. Where it
    /// does not, a strategy has nothing to do but keep everything, or what its marks say while
    /// [`is_holding`](Self::is_holding).
    pub fn needs_trim(&self) -> bool {
        self.request() > self.budget.high
    }

    /// The tokens of the groups in a range, without required ones, those that cannot be sent, and
    /// what earlier steps of a ladder took away.
    pub fn tokens(&self, groups: Range<usize>) -> u64 {
        self.whole(groups.clone()).saturating_sub(self.applied.tokens(groups, |part| self.whole(part)))
    }

    /// The tokens of the request that sends everything that earlier steps have left.
    pub(crate) fn request(&self) -> u64 {
        self.fixed.saturating_add(self.tokens(0..self.path().group_count()))
    }

    /// As [`tokens`](Self::tokens), including what earlier steps took away.
    pub(super) fn whole(&self, groups: Range<usize>) -> u64 {
        self.sums.tokens(groups.clone()).saturating_sub(self.required.tokens(groups))
    }

    /// The tokens of a group if it is shortened, in addition to the effect of earlier steps.
    pub fn shrunk(&self, group: usize, how: &Shrink) -> u64 {
        let ways: Vec<Shrink> = self.applied.ways(group).iter().chain([how]).cloned().collect();
        self.shrinker.shrink(self.path().group(group), &ways, self.cost).count.tokens
    }

    /// The summaries that stand for groups of this path, with those groups, in the order in which
    /// they were made.
    pub fn summaries(&self) -> impl Iterator<Item = (&'a Summary, Range<usize>)> {
        let conversation = self.conversation;
        conversation.summaries().filter_map(move |one| Some((one, summary::groups_of(one, conversation)?)))
    }

    /// The cost of sending a summary as a message of this role; `None` if it stands for no groups
    /// of this path.
    pub fn summary_use(&self, id: SummaryId, role: &Role) -> Option<SummaryUse> {
        let (found, groups) = self.summaries().find(|(one, _)| one.id == id)?;
        let message = summary::message(found, role, self.conversation);
        Some(SummaryUse { id, groups, tokens: self.shrinker.count(&message, self.cost).tokens })
    }

    /// The effect of a draft on the whole path.
    pub(crate) fn apply(&self, draft: &Draft) -> Applied {
        let summary = draft.summary.as_ref().and_then(|(id, role)| self.summary_use(*id, role));
        let applied = Applied::evicting(draft, summary, |groups| self.whole(groups));
        let shrunk = View { applied: &applied, ..*self }.smaller(draft);
        applied.with_shrunk(shrunk)
    }

    /// The groups that a draft shortens, if that saves tokens.
    fn smaller(&self, draft: &Draft) -> Vec<Smaller> {
        let mut named: Vec<&(usize, Shrink, Reason)> = draft.shrinks.iter().collect();
        named.sort_by_key(|(group, ..)| *group);
        let mut sum = 0_u64;
        let groups = named.chunk_by(|a, b| a.0 == b.0).filter(|same| self.is_optional(same[0].0));
        let smaller = groups.filter_map(|same| {
            let group = same[0].0;
            let ways: Vec<Shrink> = same.iter().map(|(_, how, _)| how.clone()).collect();
            let tokens = self.shrinker.shrink(self.path().group(group), &ways, self.cost).count.tokens;
            let saved = self.whole(group..group + 1).checked_sub(tokens).filter(|saved| *saved > 0)?;
            sum = sum.saturating_add(saved);
            Some(Smaller { group, ways, reason: same[0].2.clone(), tokens, sum })
        });
        smaller.collect()
    }

    /// The same view after the effect of `applied`.
    pub(crate) fn behind<'b>(self, applied: &'b Applied) -> View<'b>
    where
        'a: 'b,
    {
        let summary = |applied: &Applied| applied.summary().map_or(0, |summary| summary.tokens);
        let fixed = self.fixed.saturating_sub(summary(self.applied)).saturating_add(summary(applied));
        View { fixed, applied, ..self }
    }

    /// Identifies the cost rules: what was computed under one id is not valid under another.
    pub fn cost_id(&self) -> &'a str {
        self.cost.id()
    }

    /// Whether an earlier step of a ladder shortened a group.
    pub fn is_shrunk(&self, group: usize) -> bool {
        !self.applied.ways(group).is_empty()
    }

    /// The same view for the next step of a ladder: after the effect of `applied`, with `prefix`
    /// before the names of its marks.
    pub(crate) fn for_step<'b>(self, applied: &'b Applied, prefix: &'b str, is_holding: bool) -> View<'b>
    where
        'a: 'b,
    {
        View { prefix, is_holding, ..self.behind(applied) }
    }

    /// Everything drafted so far by the ladder of which this strategy is a step.
    pub(crate) fn drafted(&self) -> &'a Draft {
        self.applied.draft()
    }

    /// The prefix of the names of this strategy's marks.
    pub(crate) fn prefix(&self) -> &'a str {
        self.prefix
    }

    /// The tokens of a text on its own, such as a part of an excerpt.
    pub fn count(&self, text: &str) -> u64 {
        self.cost.text(text).tokens
    }

    /// The first required group, if there is one.
    pub fn first_required(&self) -> Option<usize> {
        self.required.iter().next().map(|required| required.group)
    }

    /// Why a group is required, if it is.
    pub fn required(&self, group: usize) -> Option<Required> {
        self.required.why(group)
    }

    /// Whether the strategy decides about a group: it can be sent, is not required, and was not
    /// left out by an earlier step of a ladder.
    pub fn is_optional(&self, group: usize) -> bool {
        let is_free = self.path().group(group).state() == GroupState::Ready && self.required(group).is_none();
        is_free && !self.applied.is_evicted(group)
    }

    /// Whether the strategy should only repeat its earlier decisions: one with marks follows them,
    /// however much that keeps, and one without keeps everything. A ladder asks this first, and
    /// asks again normally if that is too much.
    pub fn is_holding(&self) -> bool {
        self.is_holding
    }

    /// Whether the planner leaves out messages before the first user message that is sent; see
    /// [`Planner::start_on_user`](super::Planner::start_on_user).
    pub fn starts_on_user(&self) -> bool {
        self.starts_on_user
    }

    /// The first group, not before `from`, such that all optional groups from it on fit into `room`
    /// tokens.
    pub fn tail(&self, from: usize, room: u64) -> usize {
        let groups = self.path().group_count();
        first_where(from..groups, |start| self.tokens(start..groups) <= room)
    }

    /// The newest pending group; `None` if the path has nothing that can be sent.
    pub fn newest(&self) -> Option<usize> {
        self.required.of_reason(Required::Pending).last()
    }

    /// The text of the user message that the next request must answer; empty if there is none.
    pub fn query(&self) -> std::borrow::Cow<'a, str> {
        let turn = self.newest().and_then(|newest| self.path().turn_of(newest));
        let asked = turn.and_then(|turn| self.path().group(self.path().turn(turn).start).first());
        asked.filter(|message| *message.role() == Role::User).map_or("".into(), |message| message.text())
    }

    /// The vectors of messages that are known; see [`Extras::vectors`](super::Extras::vectors).
    pub fn vectors(&self) -> &'a Vectors {
        self.vectors
    }

    /// The group that a mark of this strategy points to, if the mark is valid on this path.
    pub fn mark(&self, name: &str) -> Option<usize> {
        let item = match self.prefix {
            "" => self.conversation.mark(self.spec, name)?,
            prefix => self.conversation.mark(self.spec, &format!("{prefix}{name}"))?,
        };
        self.path().position(item).map(|position| self.path().group_at(position))
    }
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod pending_tests;
