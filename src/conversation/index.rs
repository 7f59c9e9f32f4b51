//! The path as numbers: where groups and turns start, which results are late, which calls are open.
//!
//! Positions are in the order in which messages were recorded. Groups are in the order in which
//! they are sent: a result is sent directly after its calls, even if a user message was recorded
//! before it. Calls and results pair within their stretch of the path: from the calls up to the
//! next reply.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::item::{Item, ItemId, narrow};
use super::open_calls::OpenCalls;
use crate::log::Log;
use crate::message::{Message, Role};

/// Whether a group can be sent, and if not, why.
///
/// # Examples
/// ```
/// use turnwise::conversation::GroupState;
/// use turnwise::{Conversation, Message, ToolCall};
///
/// let mut talk = Conversation::from_messages([Message::user("Weather?")]);
/// talk.push(Message::calls([ToolCall::function("c1", "weather", "{}")]));
/// assert_eq!(talk.path().group(1).state(), GroupState::Open);
/// talk.push(Message::tool("c1", "Rain."));
/// assert_eq!(talk.path().group(1).state(), GroupState::Ready);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupState {
    /// A single message, or calls with a result for each: legal in a request.
    Ready,
    /// Calls of which at least one has no result, together with the results of the others.
    Open,
    /// A result without a call before it that it could answer.
    Orphan,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct GroupStart {
    position: u32,
    state: GroupState,
    /// Whether all its messages are [standard](Message::is_standard).
    is_standard: bool,
}

/// A result that does not follow its calls directly, because another message was recorded in
/// between.
#[derive(Clone, Copy, Debug)]
struct LateResult {
    position: u32,
    /// The group of its calls.
    group: u32,
}

/// The path as numbers: which items, and where groups and turns start. It is derived from the tree,
/// and updated by every change of the leaf.
///
/// Groups are numbered in the order in which they are sent. A group is a range of positions, and
/// the late results after that range. At most one group can be answered at any time, so late
/// results are ordered by position and by group alike.
#[derive(Clone, Debug, Default)]
pub(super) struct PathIndex {
    pub(super) items: Log<ItemId>,
    pub(super) groups: Log<GroupStart>,
    late: Log<LateResult>,
    /// The groups that are a user message.
    pub(super) turns: Log<u32>,
    /// The groups that are not [`GroupState::Ready`].
    pub(super) faults: Log<u32>,
    /// The calls that the next result can answer: those since the last reply that are still open.
    pub(super) open: Option<OpenGroup>,
}

/// A group whose calls are not all answered, with those that are open.
#[derive(Clone, Debug)]
pub(super) struct OpenGroup {
    pub(super) group: u32,
    pub(super) calls: Arc<OpenCalls>,
}

impl PathIndex {
    pub(super) fn leaf(&self) -> Option<ItemId> {
        self.items.last().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn holds(&self, item: &Item) -> bool {
        self.items.get(item.depth as usize) == Some(&item.id)
    }

    /// Adds `item`, a child of the leaf, to the group of its calls or to a new group.
    pub(super) fn push(&mut self, item: &Item) {
        let position = narrow(self.items.len());
        self.items.push(item.id);
        let is_result = item.message.is_result();
        let is_standard = item.is_standard;
        if !is_result {
            self.push_group(position, &item.message, is_standard);
        } else if let Some(group) = self.answer(&item.message) {
            if (group as usize) + 1 < self.groups.len() {
                self.late.push(LateResult { position, group });
            }
            self.add_to_group(group, is_standard);
        } else {
            self.faults.push(narrow(self.groups.len()));
            self.groups.push(GroupStart { position, state: GroupState::Orphan, is_standard });
        }
    }

    /// Notes that a group got another message. A group that loses it again stays as it is: a plan
    /// then looks at each message.
    fn add_to_group(&mut self, group: u32, is_standard: bool) {
        if is_standard {
            return;
        }
        if let Some(start) = self.groups.get_mut(group as usize) {
            start.is_standard = false;
        }
    }

    /// Starts a group with a message that is not a result.
    fn push_group(&mut self, position: u32, message: &Message, is_standard: bool) {
        let group = narrow(self.groups.len());
        if ends_stretch(message) {
            self.open = None;
        }
        if *message.role() == Role::User {
            self.turns.push(group);
        }
        let mut state = GroupState::Ready;
        if message.has_calls() {
            state = GroupState::Open;
            self.faults.push(group);
            self.open = Some(OpenGroup { group, calls: Arc::new(OpenCalls::of(message)) });
        }
        self.groups.push(GroupStart { position, state, is_standard });
    }

    /// The group of the open call that `result` answers, if there is one. The last result makes the
    /// group ready.
    fn answer(&mut self, result: &Message) -> Option<u32> {
        let OpenGroup { group, calls } = self.open.as_mut()?;
        let group = *group;
        let calls = Arc::make_mut(calls);
        calls.answer(result).ok()?;
        if calls.is_empty() {
            self.open = None;
            self.set_state(group, GroupState::Ready);
        }
        Some(group)
    }

    fn set_state(&mut self, group: u32, state: GroupState) {
        let Some(start) = self.groups.get_mut(group as usize).filter(|start| start.state != state) else { return };
        start.state = state;
        let before = self.faults.partition_point(|&fault| fault < group);
        let behind: Vec<u32> = self.faults.range(before..self.faults.len()).copied().collect();
        self.faults.truncate(before);
        if state != GroupState::Ready {
            self.faults.push(group);
        }
        behind.into_iter().filter(|&fault| fault != group).for_each(|fault| self.faults.push(fault));
    }

    /// Shortens the path to its first `len` items.
    pub(super) fn truncate(&mut self, len: usize, items: &Log<Option<Item>>) {
        if len >= self.len() {
            return;
        }
        let groups = self.groups.partition_point(|group| (group.position as usize) < len);
        let kept = self.late.partition_point(|late| (late.position as usize) < len);
        let loses_result = self.late.get(kept).map(|late| late.group).filter(|&group| (group as usize) < groups);
        self.items.truncate(len);
        self.groups.truncate(groups);
        self.late.truncate(kept);
        self.turns.truncate(self.turns.partition_point(|&turn| (turn as usize) < groups));
        self.faults.truncate(self.faults.partition_point(|&fault| (fault as usize) < groups));
        self.open = None;
        if let Some(group) = loses_result.or_else(|| self.last_calls(items)) {
            self.open_again(group, items);
        }
    }

    /// The group whose calls may be open after the path is shortened: the last group, or the last
    /// fault without a later reply.
    fn last_calls(&self, items: &Log<Option<Item>>) -> Option<u32> {
        let message = |group: u32| {
            let id = *self.items.get(self.groups.get(group as usize)?.position as usize)?;
            at(items, id).map(Item::message)
        };
        let last = narrow(self.groups.len().checked_sub(1)?);
        if message(last).is_some_and(Message::has_calls) {
            return Some(last);
        }
        let is_open = |fault: u32| self.groups.get(fault as usize).is_some_and(|one| one.state == GroupState::Open);
        let open = self.faults.iter().rev().copied().find(|&fault| is_open(fault))?;
        let is_over = (open + 1..=last).any(|group| message(group).is_some_and(ends_stretch));
        (!is_over).then_some(open)
    }

    /// Reopens the calls of a group that have no result on the path.
    fn open_again(&mut self, group: u32, items: &Log<Option<Item>>) {
        let ids: Vec<ItemId> = self.members(group as usize).filter_map(|at| self.items.get(at)).copied().collect();
        let mut messages = ids.into_iter().filter_map(|id| at(items, id)).map(Item::message);
        let Some(calls) = messages.next().filter(|first| first.has_calls()) else { return };
        let mut calls = OpenCalls::of(calls);
        for result in messages {
            // Every result of a group answers one of its calls.
            let _ = calls.answer(result);
        }
        if calls.is_empty() {
            self.set_state(group, GroupState::Ready);
        } else {
            self.set_state(group, GroupState::Open);
            self.open = Some(OpenGroup { group, calls: Arc::new(calls) });
        }
    }

    pub(super) fn group_at(&self, position: usize) -> usize {
        let late = self.late.partition_point(|late| (late.position as usize) < position);
        match self.late.get(late) {
            Some(late) if late.position as usize == position => late.group as usize,
            _ => self.first_group_after(position).saturating_sub(1),
        }
    }

    /// The first group that starts after a position.
    pub(super) fn first_group_after(&self, position: usize) -> usize {
        self.groups.partition_point(|group| group.position as usize <= position)
    }

    pub(super) fn state(&self, group: usize) -> GroupState {
        self.groups.get(group).map_or(GroupState::Ready, |group| group.state)
    }

    /// Whether all messages of these groups are standard.
    pub(super) fn are_standard(&self, groups: Range<usize>) -> bool {
        self.groups.range(groups).all(|group| group.is_standard)
    }

    /// The last position of all groups up to and including this one.
    pub(super) fn newest_position(&self, group: usize) -> Option<usize> {
        let own = self.members(group).own.next_back()?;
        let late = self.late.partition_point(|late| late.group as usize <= group).checked_sub(1);
        Some(late.and_then(|late| self.late.get(late)).map_or(own, |late| own.max(late.position as usize)))
    }

    /// The first position of a group; the end of the path for an index after the last group.
    pub(super) fn start(&self, group: usize) -> usize {
        self.groups.get(group).map_or(self.len(), |start| start.position as usize)
    }

    pub(super) fn members(&self, group: usize) -> Positions<'_> {
        self.members_of(group..group.saturating_add(1)).next().unwrap_or(Positions {
            index: self,
            own: 0..0,
            late: 0..0,
        })
    }

    /// The members of each of these groups, which are found faster together.
    pub(super) fn members_of(&self, groups: Range<usize>) -> impl Iterator<Item = Positions<'_>> {
        let mut start = self.start(groups.start);
        let mut late = self.late.partition_point(|late| (late.group as usize) < groups.start);
        let mut behind = self.late.partition_point(|late| (late.position as usize) < start);
        groups.map(move |group| {
            let end = self.start(group.saturating_add(1));
            behind = self.next_late(behind, |late| (late.position as usize) < start);
            // Late results of other groups may be between this group and the next.
            let own_end = self.late.get(behind).map_or(end, |late| end.min(late.position as usize));
            let first_late = late;
            late = self.next_late(late, |late| late.group as usize <= group);
            let own = std::mem::replace(&mut start, end)..own_end;
            Positions { index: self, own, late: first_late..late }
        })
    }

    /// The first late result from `index` on for which `is_before` is false.
    fn next_late(&self, index: usize, is_before: impl Fn(&LateResult) -> bool) -> usize {
        let mut index = index;
        while self.late.get(index).is_some_and(&is_before) {
            index += 1;
        }
        index
    }

    pub(super) fn has_late_results(&self) -> bool {
        self.late.len() > 0
    }

    /// The late results of a range of positions and groups, by position.
    pub(super) fn late_in(&self, positions: Range<usize>, groups: Range<usize>) -> impl Iterator<Item = usize> {
        let first = self
            .late
            .partition_point(|late| (late.position as usize) < positions.start || (late.group as usize) < groups.start);
        let end = self
            .late
            .partition_point(|late| (late.position as usize) < positions.end && (late.group as usize) < groups.end);
        self.late.range(first..end.max(first)).map(|late| late.position as usize)
    }
}

fn at(items: &Log<Option<Item>>, id: ItemId) -> Option<&Item> {
    items.get(id.index())?.as_ref()
}

/// Whether a message is a reply, or calls: results after it do not answer calls before it.
fn ends_stretch(message: &Message) -> bool {
    *message.role() == Role::Assistant || message.has_calls()
}

/// The positions of a group's items in the order in which they are sent: calls, then their results,
/// wherever those are on the path.
///
/// # Examples
/// ```
/// use turnwise::{Conversation, Message, ToolCall};
///
/// let talk = Conversation::from_messages([
///     Message::user("Weather?"),
///     Message::calls([ToolCall::function("c1", "weather", "{}")]),
///     Message::user("Hello?"), // before the tool has answered
///     Message::tool("c1", "Rain."),
/// ]);
/// assert_eq!(talk.path().group(1).positions().collect::<Vec<_>>(), [1, 3]);
/// ```
#[derive(Clone)]
pub struct Positions<'a> {
    index: &'a PathIndex,
    pub(super) own: Range<usize>,
    /// Indexes of late results.
    late: Range<usize>,
}

impl<'a> Positions<'a> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that follow each other.
    pub(crate) fn in_place(&self) -> Range<usize> {
        self.own.clone()
    }

    /// Those of late results, which come after them.
    pub(crate) fn late_results(&self) -> impl Iterator<Item = usize> + use<'a> {
        let index = self.index;
        self.late.clone().filter_map(move |at| index.late.get(at)).map(|late| late.position as usize)
    }

    fn late(&self, index: usize) -> Option<usize> {
        self.index.late.get(index).map(|late| late.position as usize)
    }
}

impl Iterator for Positions<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.own.next().or_else(|| self.late.next().and_then(|index| self.late(index)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.own.len() + self.late.len();
        (len, Some(len))
    }
}

impl DoubleEndedIterator for Positions<'_> {
    fn next_back(&mut self) -> Option<usize> {
        match self.late.next_back() {
            Some(index) => self.late(index),
            None => self.own.next_back(),
        }
    }
}

impl ExactSizeIterator for Positions<'_> {}

impl PartialEq for Positions<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.clone().eq(other.clone())
    }
}

impl Eq for Positions<'_> {}

impl fmt::Debug for Positions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
