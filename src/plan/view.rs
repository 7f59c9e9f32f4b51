//! `View`: what a strategy sees. `RequiredGroups`: what is sent whatever the strategy says.

use std::ops::Range;

use super::applied::{Applied, Smaller};
use super::draft::{Draft, Reason};
use super::shrink::{Shrink, Shrinker};
use super::summary::{self, SummaryUse};
use crate::bisect::first_where;
use crate::budget::ResolvedBudget;
use crate::conversation::{Conversation, GroupState, Path, Summary, SummaryId};
use crate::ledger::Sums;
use crate::message::Role;
use crate::tokens::ChatCost;

/// Why a group is sent whatever the strategy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Required {
    /// It holds a pinned item.
    Pin,
    /// The next request must answer it, or it belongs to the turn that the request goes on with.
    Pending,
    /// It is the user message that the request begins with, before the first group that must be sent for another reason:
    /// see [`Planner::start_on_user`](super::Planner::start_on_user).
    Leads,
}

/// The groups that are always sent, oldest first, with sums of their tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct RequiredGroups(Vec<RequiredGroup>);

#[derive(Clone, Copy, Debug)]
pub(super) struct RequiredGroup {
    pub(super) group: usize,
    pub(super) why: Required,
    /// Tokens of the must-send groups up to and with this one.
    sum: u64,
}

impl RequiredGroups {
    /// Pins, and what the end of the path asks to be answered; where the request is to start with a user message, the one
    /// of the first group's turn too. A group that cannot be sent is never among them.
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

    pub(super) fn iter(&self) -> impl Iterator<Item = RequiredGroup> {
        self.0.iter().copied()
    }

    /// The groups that are sent for one reason.
    pub(super) fn of_reason(&self, why: Required) -> impl Iterator<Item = usize> {
        self.0.iter().filter(move |must| must.why == why).map(|must| must.group)
    }

    /// The groups that may be cut where they are too long: all but pins.
    pub(super) fn not_pinned(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter(|must| must.why != Required::Pin).map(|must| must.group)
    }

    pub(super) fn tokens(&self, groups: Range<usize>) -> u64 {
        let up_to = |group| match self.0.partition_point(|must| must.group < group) {
            0 => 0,
            known => self.0[known - 1].sum,
        };
        up_to(groups.end).saturating_sub(up_to(groups.start))
    }

    fn why(&self, group: usize) -> Option<Required> {
        let index = self.0.binary_search_by_key(&group, |must| must.group).ok()?;
        Some(self.0[index].why)
    }
}

/// The groups that the next request must answer: the newest that can be sent and, where that is calls with results (a
/// tool loop goes on) or an instruction, the user message of its turn. User messages before that are history: a send
/// stages one message, and a log of a hundred questions is trimmed, not refused.
///
/// Where the path ends in a result that a user spoke before, the request must answer both: the calls with their results,
/// and what the user said meanwhile.
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

/// Whether a group asks for nothing by itself: calls with results go on with what the user asked, and so does a note.
fn is_answer_to_a_user(path: Path<'_>, group: usize) -> bool {
    let group = path.group(group);
    let is_said = group.first().is_some_and(|first| matches!(first.role(), Role::User | Role::Assistant));
    !is_said || group.has_calls()
}

/// The user message of a group's turn. One that cannot be sent, as it holds calls without results, is none.
fn asked(path: Path<'_>, group: usize) -> Option<usize> {
    let asked = path.turn_of(group).map(|turn| path.turn(turn).start);
    asked.filter(|&asked| path.group(asked).state() == GroupState::Ready)
}

fn newest_ready(path: Path<'_>) -> Option<usize> {
    (0..path.groups()).rev().find(|&group| path.group(group).state() == GroupState::Ready)
}

/// The conversation as a strategy sees it: the path in groups, what they cost, and how much room there is. Copies are
/// cheap.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(super) conversation: &'a Conversation,
    pub(super) budget: &'a ResolvedBudget,
    pub(super) sums: &'a Sums,
    pub(super) must: &'a RequiredGroups,
    pub(super) cost: &'a ChatCost,
    pub(super) shrinker: &'a Shrinker,
    /// Tokens of head, tools, priming and all groups that must be sent.
    pub(super) fixed: u64,
    pub(super) spec: &'a str,
    /// Stands before the names of marks: a step's of a ladder.
    pub(super) prefix: &'a str,
    /// What earlier steps decided.
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

    /// Tokens left for groups that need not be sent anyway, when the request is trimmed: down to the low mark.
    pub fn room(&self) -> u64 {
        self.budget.low.saturating_sub(self.fixed)
    }

    /// Tokens of the request that sends only what must be sent: head, tools, context and the required groups. A strategy
    /// whose requests have other messages every time fills them up to the high mark instead of the low one: it has
    /// `view.budget().high` less these tokens.
    pub fn required_tokens(&self) -> u64 {
        self.fixed
    }

    /// Whether a request passes the high mark that keeps `optional` tokens of groups that need not be sent anyway.
    pub fn is_over(&self, optional: u64) -> bool {
        self.fixed.saturating_add(optional) > self.budget.high
    }

    /// Whether the request passes the high mark when it sends all that earlier steps left. Where it does not, a strategy
    /// has nothing to do but keep everything, or what its marks say while [`is_holding`](Self::is_holding).
    pub fn needs_trim(&self) -> bool {
        self.request() > self.budget.high
    }

    /// Tokens of the groups in a range, without those that are sent anyway, those that cannot be sent, and what earlier
    /// steps of a ladder took away.
    pub fn tokens(&self, groups: Range<usize>) -> u64 {
        self.whole(groups.clone()).saturating_sub(self.applied.tokens(groups, |part| self.whole(part)))
    }

    /// Tokens of the request that sends all that earlier steps left.
    pub(crate) fn request(&self) -> u64 {
        self.fixed.saturating_add(self.tokens(0..self.path().groups()))
    }

    /// As [`tokens`](Self::tokens), whatever earlier steps took away.
    pub(super) fn whole(&self, groups: Range<usize>) -> u64 {
        self.sums.tokens(groups.clone()).saturating_sub(self.must.tokens(groups))
    }

    /// Tokens of a group when it is made smaller, on top of what earlier steps did with it.
    pub fn shrunk(&self, group: usize, how: &Shrink) -> u64 {
        let ways: Vec<Shrink> = self.applied.ways(group).iter().chain([how]).cloned().collect();
        self.shrinker.shrink(self.path().group(group), &ways, self.cost).count.tokens
    }

    /// The summaries that stand for groups of this path, with those groups, in the order in which they were made.
    pub fn summaries(&self) -> impl Iterator<Item = (&'a Summary, Range<usize>)> {
        let conversation = self.conversation;
        conversation.summaries().filter_map(move |one| Some((one, summary::groups_of(one, conversation)?)))
    }

    /// What it costs to send a summary as a message of this role; `None` when it stands for no groups of this path.
    pub fn summary_use(&self, id: SummaryId, role: &Role) -> Option<SummaryUse> {
        let (found, groups) = self.summaries().find(|(one, _)| one.id == id)?;
        let message = summary::message(found, role, self.conversation);
        Some(SummaryUse { id, groups, tokens: self.shrinker.count(&message, self.cost).tokens })
    }

    /// What a draft does with the whole path.
    pub(crate) fn apply(&self, draft: &Draft) -> Applied {
        let summary = draft.summary.as_ref().and_then(|(id, role)| self.summary_use(*id, role));
        let applied = Applied::evicting(draft, summary, |groups| self.whole(groups));
        let shrunk = View { applied: &applied, ..*self }.smaller(draft);
        applied.with_shrunk(shrunk)
    }

    /// The groups that a draft makes smaller, where that saves tokens.
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

    /// The same view behind what was `applied`.
    pub(crate) fn behind<'b>(self, applied: &'b Applied) -> View<'b>
    where
        'a: 'b,
    {
        let summary = |applied: &Applied| applied.summary().map_or(0, |summary| summary.tokens);
        let fixed = self.fixed.saturating_sub(summary(self.applied)).saturating_add(summary(applied));
        View { fixed, applied, ..self }
    }

    /// Identifies how tokens are counted: what was computed under one id does not hold under another.
    pub fn cost_id(&self) -> &'a str {
        self.cost.id()
    }

    /// Whether an earlier step of a ladder made a group smaller.
    pub fn is_shrunk(&self, group: usize) -> bool {
        !self.applied.ways(group).is_empty()
    }

    /// The same view for the next step of a ladder: after what was `applied`, with `prefix` before the names of its marks.
    pub(crate) fn for_step<'b>(self, applied: &'b Applied, prefix: &'b str, is_holding: bool) -> View<'b>
    where
        'a: 'b,
    {
        View { prefix, is_holding, ..self.behind(applied) }
    }

    /// All that was drafted by a ladder of which this strategy is a step.
    pub(crate) fn drafted(&self) -> &'a Draft {
        self.applied.draft()
    }

    /// What stands before the names of this strategy's marks.
    pub(crate) fn prefix(&self) -> &'a str {
        self.prefix
    }

    /// Tokens of a text on its own, as parts of an excerpt are.
    pub fn count(&self, text: &str) -> u64 {
        self.cost.text(text).tokens
    }

    /// The first group that is sent whatever the strategy says, if there is one.
    pub fn first_required(&self) -> Option<usize> {
        self.must.iter().next().map(|must| must.group)
    }

    /// Why a group is sent whatever the strategy says, if it is.
    pub fn required(&self, group: usize) -> Option<Required> {
        self.must.why(group)
    }

    /// Whether the strategy decides about a group: it can be sent, need not be, and no earlier step of a ladder left it out.
    pub fn is_optional(&self, group: usize) -> bool {
        let is_free = self.path().group(group).state() == GroupState::Ready && self.required(group).is_none();
        is_free && !self.applied.is_evicted(group)
    }

    /// Whether only what was decided before is asked for: a strategy with marks answers as its marks say, however much
    /// that keeps, and one without keeps everything. A ladder asks so first, and asks again where that is too much.
    pub fn is_holding(&self) -> bool {
        self.is_holding
    }

    /// Whether the planner leaves out what stands before the first user message that is sent:
    /// [`Planner::start_on_user`](super::Planner::start_on_user).
    pub fn starts_on_user(&self) -> bool {
        self.starts_on_user
    }

    /// The first group from which on all optional groups fit into `room` tokens; not before `from`.
    pub fn tail(&self, from: usize, room: u64) -> usize {
        let groups = self.path().groups();
        first_where(from..groups, |start| self.tokens(start..groups) <= room)
    }

    /// The newest group that the next request must answer; `None` when the path holds nothing that can be sent.
    pub fn newest(&self) -> Option<usize> {
        self.must.of_reason(Required::Pending).last()
    }

    /// The text of the user message that the next request must answer; empty when there is none.
    pub fn query(&self) -> std::borrow::Cow<'a, str> {
        let turn = self.newest().and_then(|newest| self.path().turn_of(newest));
        let asked = turn.and_then(|turn| self.path().group(self.path().turn(turn).start).first());
        asked.filter(|message| *message.role() == Role::User).map_or("".into(), |message| message.text())
    }

    /// The group that a mark of this strategy points at, if the mark is valid on this path.
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
