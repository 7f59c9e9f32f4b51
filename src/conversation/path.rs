//! `Path`: the items from the root to the current leaf, divided into groups and turns.

use std::ops::Range;

use super::Conversation;
use super::index::{GroupState, PathIndex, Positions};
use super::item::{Item, ItemId};
use super::open_calls::OpenCalls;
use crate::message::Message;

/// The current branch: the items from the root to the current leaf, without the head. Positions,
/// groups and turns are numbered from 0. Positions follow the order of the record. Groups follow the
/// order of sending: a late result, which does not directly follow its calls, is sent with them:
///
/// | position | message | group |
/// | --- | --- | --- |
/// | 0 | assistant, with calls | 0 |
/// | 1 | user | 1 |
/// | 2 | tool: the late result of the calls | 0 |
///
/// # Examples
/// ```
/// use turnwise::{Conversation, Message};
///
/// let talk = Conversation::from_messages([
///     Message::system("Be brief."),
///     Message::user("Name a river."),
///     Message::assistant("The Elbe."),
///     Message::user("Where does it end?"),
/// ]);
/// let path = talk.path();
/// assert_eq!((path.len(), path.group_count(), path.turn_count()), (3, 3, 2)); // without the head
/// for turn in path.turns() {
///     let groups = turn.map(|group| path.group(group));
///     println!("{}", groups.flat_map(|group| group.messages()).map(Message::text).collect::<Vec<_>>().join(" "));
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    conversation: &'a Conversation,
}

impl<'a> Path<'a> {
    pub(super) fn new(conversation: &'a Conversation) -> Self {
        Self { conversation }
    }

    fn index(self) -> &'a PathIndex {
        &self.conversation.path
    }

    /// The leading system and developer messages, sent before everything else.
    pub fn head(self) -> &'a [Message] {
        self.conversation.head()
    }

    /// The number of items.
    pub fn len(self) -> usize {
        self.index().len()
    }

    /// Whether there are no items.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The item at a position.
    pub fn item(self, position: usize) -> Option<&'a Item> {
        self.conversation.get(*self.index().items.get(position)?)
    }

    /// The items at a range of positions, limited to the path.
    pub fn range(self, positions: Range<usize>) -> impl DoubleEndedIterator<Item = &'a Item> {
        self.index().items.range(positions).filter_map(move |&id| self.conversation.get(id))
    }

    /// All items, oldest first.
    pub fn items(self) -> impl DoubleEndedIterator<Item = &'a Item> {
        self.range(0..self.len())
    }

    /// All messages without the head, oldest first.
    pub fn messages(self) -> impl DoubleEndedIterator<Item = &'a Message> {
        self.items().map(Item::message)
    }

    /// Whether the item is on this path, in constant time.
    pub fn contains(self, id: ItemId) -> bool {
        self.conversation.get(id).is_some_and(|item| self.index().holds(item))
    }

    /// The position of an item, if it is on this path, in constant time.
    pub fn position(self, id: ItemId) -> Option<usize> {
        let item = self.conversation.get(id)?;
        self.index().holds(item).then_some(item.depth as usize)
    }

    /// The groups, in the order in which they are sent.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{Conversation, Message, ToolCall};
    ///
    /// let talk = Conversation::from_messages([
    ///     Message::user("How is the weather in Oslo?"),
    ///     Message::calls([ToolCall::function("c1", "weather", r#"{"city":"Oslo"}"#)]),
    ///     Message::tool("c1", "rain"),
    ///     Message::assistant("It rains."),
    /// ]);
    /// let with_calls: Vec<usize> =
    ///     talk.path().groups().filter(|group| group.has_calls()).map(|group| group.index()).collect();
    /// assert_eq!(with_calls, [1]);
    /// assert_eq!(talk.path().groups().len(), 3);
    /// ```
    pub fn groups(self) -> impl DoubleEndedIterator<Item = Group<'a>> + ExactSizeIterator {
        (0..self.group_count()).map(move |index| self.group(index))
    }

    /// The number of groups.
    pub fn group_count(self) -> usize {
        self.index().groups.len()
    }

    /// The group with this index; an empty group if there is none.
    pub fn group(self, index: usize) -> Group<'a> {
        Group { path: self, index }
    }

    /// The positions of the items of each of these groups.
    pub(crate) fn members_of(self, groups: Range<usize>) -> impl Iterator<Item = Positions<'a>> {
        self.index().members_of(groups)
    }

    /// The end of each of these groups.
    pub(crate) fn group_ends(self, groups: Range<usize>) -> impl Iterator<Item = GroupEnd<'a>> {
        // The newest position of all groups up to and including each one.
        let mut newest = groups.start.checked_sub(1).and_then(|before| self.index().newest_position(before));
        self.members_of(groups.clone()).zip(groups).filter_map(move |(mut members, group)| {
            let last = members.next_back();
            // `None`, before the first group, is less than any position.
            newest = newest.max(last);
            let (last_item, newest_item) = (self.item(last?)?, self.item(newest?)?);
            Some(GroupEnd { last_item, newest_item, state: self.index().state(group) })
        })
    }

    /// Whether all messages of these groups are [standard](Message::is_standard).
    pub(crate) fn are_standard(self, groups: Range<usize>) -> bool {
        self.index().are_standard(groups)
    }

    /// The index of the group that holds a position.
    pub fn group_at(self, position: usize) -> usize {
        self.index().group_at(position)
    }

    /// The first group that starts after a position.
    pub(crate) fn first_group_after(self, position: usize) -> usize {
        self.index().first_group_after(position)
    }

    /// The positions from the start of the first of these groups to the start of the group after
    /// them. If [`is_split`](Self::is_split) is true at either end, it may include late results of
    /// other groups, or lack those of these groups.
    pub fn positions(self, groups: Range<usize>) -> Range<usize> {
        self.index().start(groups.start)..self.index().start(groups.end)
    }

    /// Whether the start of this group separates calls from a late result: the calls are in an
    /// earlier group, and the result is at or after the start of this one.
    pub fn is_split(self, group: usize) -> bool {
        let from_start = self.index().start(group)..self.len();
        self.late_of_earlier(group, from_start).next().is_some()
    }

    /// Whether any result does not follow its calls directly.
    pub(crate) fn has_late_results(self) -> bool {
        self.index().has_late_results()
    }

    /// The positions of a group's items up to the first message of another group.
    pub(crate) fn in_place(self, group: usize) -> Range<usize> {
        self.index().members(group).own
    }

    /// The positions of late results whose calls are in a group before `group`: those within
    /// `positions`.
    pub(crate) fn late_of_earlier(self, group: usize, positions: Range<usize>) -> impl Iterator<Item = usize> {
        self.index().late_in(positions, 0..group)
    }

    /// The positions of the late results of these groups, from position `from` on.
    pub(crate) fn late_of(self, groups: Range<usize>, from: usize) -> impl Iterator<Item = usize> {
        self.index().late_in(from..self.len(), groups)
    }

    /// The newest item of all groups up to and including this one. While it is the same
    /// item, these groups are unchanged.
    pub fn newest_item(self, group: usize) -> Option<&'a Item> {
        self.item(self.index().newest_position(group)?)
    }

    /// The calls that the next result can answer, and their group, if there are any: those since
    /// the last reply.
    pub(crate) fn open_calls(self) -> Option<(Group<'a>, &'a OpenCalls)> {
        self.index().open.as_ref().map(|open| (self.group(open.group as usize), &*open.calls))
    }

    /// The groups that cannot be sent, oldest first, starting with the group `from`: results without
    /// a call, and calls of which at least one has no result.
    pub fn faults(self, from: usize) -> impl Iterator<Item = Group<'a>> {
        let faults = &self.index().faults;
        let first = faults.partition_point(|&fault| (fault as usize) < from);
        faults.range(first..faults.len()).map(move |&fault| self.group(fault as usize))
    }

    /// The number of groups that cannot be sent.
    pub(crate) fn faults_len(self) -> usize {
        self.index().faults.len()
    }

    /// The turns, oldest first, each as its range of groups. Groups before the first user message
    /// belong to no turn.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{Conversation, Message};
    ///
    /// let talk = Conversation::from_messages([
    ///     Message::assistant("Welcome!"),
    ///     Message::user("Name a river."),
    ///     Message::assistant("The Elbe."),
    ///     Message::user("And a lake."),
    /// ]);
    /// assert_eq!(talk.path().turns().collect::<Vec<_>>(), [1..3, 3..4]);
    /// ```
    pub fn turns(self) -> impl DoubleEndedIterator<Item = Range<usize>> + ExactSizeIterator {
        (0..self.turn_count()).map(move |turn| self.turn(turn))
    }

    /// The number of turns, that is, of user messages.
    pub fn turn_count(self) -> usize {
        self.index().turns.len()
    }

    /// The groups of a turn: its user message and everything up to the next one; empty if there is
    /// no such turn.
    pub fn turn(self, turn: usize) -> Range<usize> {
        let start = |turn| self.index().turns.get(turn).map_or(self.group_count(), |&group| group as usize);
        start(turn)..start(turn.saturating_add(1))
    }

    /// The turn that holds a group; `None` before the first user message.
    pub fn turn_of(self, group: usize) -> Option<usize> {
        self.index().turns.partition_point(|&start| start as usize <= group).checked_sub(1)
    }

    /// The first group at or after `group` that is a user message; the number of groups if there is
    /// none.
    pub fn next_turn(self, group: usize) -> usize {
        let turn = self.index().turns.partition_point(|&start| (start as usize) < group);
        self.turn(turn).start
    }
}

/// The smallest unit that is trimmed: a single message, or an assistant message with its tool calls
/// and their results. A result may come at any point before the next reply; a user message in
/// between is a group of its own, after that of the calls.
///
/// # Examples
/// ```
/// use turnwise::{Conversation, Message, ToolCall};
///
/// let talk = Conversation::from_messages([
///     Message::user("How is the weather in Oslo?"),
///     Message::calls([ToolCall::function("c1", "weather", r#"{"city":"Oslo"}"#)]),
///     Message::tool("c1", "rain"),
/// ]);
/// let calls = talk.path().group(1);
/// assert!(calls.has_calls());
/// assert_eq!(calls.messages().count(), 2);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    path: Path<'a>,
    index: usize,
}

/// Where a group ends. Two paths with the same newest item there have the same groups up to it.
pub(crate) struct GroupEnd<'a> {
    /// As [`Group::last_item`].
    pub(crate) last_item: &'a Item,
    /// As [`Path::newest_item`].
    pub(crate) newest_item: &'a Item,
    pub(crate) state: GroupState,
}

impl<'a> Group<'a> {
    /// The group's index on the path.
    pub fn index(self) -> usize {
        self.index
    }

    /// The positions of the group's items, in the order in which they are sent.
    pub fn positions(self) -> Positions<'a> {
        self.path.index().members(self.index)
    }

    /// Whether the group can be sent, and if not, why.
    pub fn state(self) -> GroupState {
        self.path.index().state(self.index)
    }

    /// The group's messages, in the order in which they are sent.
    pub fn messages(self) -> impl DoubleEndedIterator<Item = &'a Message> {
        self.items().map(Item::message)
    }

    /// The group's items, in the order in which they are sent.
    pub fn items(self) -> impl DoubleEndedIterator<Item = &'a Item> {
        self.positions().filter_map(move |position| self.path.item(position))
    }

    /// The group's first message.
    pub fn first(self) -> Option<&'a Message> {
        self.messages().next()
    }

    /// The group's last item: for calls, the newest result.
    pub fn last_item(self) -> Option<&'a Item> {
        self.items().next_back()
    }

    /// Whether the group consists of calls with their results.
    pub fn has_calls(self) -> bool {
        self.first().is_some_and(Message::has_calls)
    }
}
