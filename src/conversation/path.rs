//! The path: the items from the root to the current leaf, cut into groups and turns.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::Conversation;
use super::item::{Item, ItemId, narrow};
use crate::log::Log;
use crate::message::{Message, Role};

/// Whether a group can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// A lone message, or calls with a result for each: legal in a request.
    Ready,
    /// Calls of which at least one has no result.
    Open,
    /// A result that answers no call before it.
    Orphan,
}

#[derive(Clone, Copy, Debug)]
struct GroupStart {
    position: u32,
    state: GroupState,
}

/// The path as numbers: which items, where groups and turns start. Derived from the tree, kept up to date by every
/// change of the leaf.
#[derive(Clone, Debug, Default)]
pub(super) struct PathIndex {
    items: Log<ItemId>,
    groups: Log<GroupStart>,
    /// The groups that are a user message.
    turns: Log<u32>,
    /// The groups that are not [`GroupState::Ready`].
    faults: Log<u32>,
    /// The open calls of the last group, if it has any.
    open: Option<Arc<OpenCalls>>,
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

    /// Adds `item`, a child of the leaf, to the last group or to a new one.
    pub(super) fn push(&mut self, item: &Item) {
        let role = item.message.role();
        let is_result = matches!(role, Role::Tool | Role::Function);
        let answered = if is_result { self.answer(&item.message) } else { None };
        self.items.push(item.id);
        match answered {
            Some(0) => self.close_last(),
            Some(_) => {}
            None => {
                let state = match (is_result, item.message.has_calls()) {
                    (true, _) => GroupState::Orphan,
                    (false, true) => GroupState::Open,
                    (false, false) => GroupState::Ready,
                };
                if state == GroupState::Open {
                    self.open = Some(Arc::new(OpenCalls::of(&item.message)));
                }
                if *role == Role::User {
                    self.turns.push(narrow(self.groups.len()));
                }
                if state != GroupState::Ready {
                    self.faults.push(narrow(self.groups.len()));
                }
                self.groups.push(GroupStart { position: narrow(self.items.len() - 1), state });
            }
        }
    }

    /// If `result` answers a call of the last group: how many calls are open behind it.
    fn answer(&mut self, result: &Message) -> Option<usize> {
        self.groups.last().filter(|group| group.state == GroupState::Open)?;
        Arc::make_mut(self.open.as_mut()?).answer(result)
    }

    fn close_last(&mut self) {
        let last = self.groups.len() - 1;
        if let Some(group) = self.groups.get_mut(last) {
            group.state = GroupState::Ready;
        }
        self.open = None;
        // The last group was open, so it is the last of the faults.
        self.faults.truncate(self.faults.len() - 1);
    }

    /// Cuts the path to its first `len` items.
    pub(super) fn truncate(&mut self, len: usize, items: &Log<Option<Item>>) {
        if len >= self.len() {
            return;
        }
        let mut group = match len {
            0 => 0,
            _ => self.group_at(len - 1),
        };
        // Open calls are taken up again from their message: those that the last group left open.
        while group > 0 && self.groups.get(group - 1).is_some_and(|before| before.state == GroupState::Open) {
            group -= 1;
        }
        let start = self.groups.get(group).map_or(0, |group| group.position as usize);
        let again: Vec<ItemId> = self.items.range(start..len).copied().collect();
        self.items.truncate(start);
        self.groups.truncate(group);
        self.turns.truncate(self.turns.partition_point(|&turn| (turn as usize) < group));
        self.faults.truncate(self.faults.partition_point(|&fault| (fault as usize) < group));
        for item in again.into_iter().filter_map(|id| at(items, id)) {
            self.push(item);
        }
    }

    fn group_at(&self, position: usize) -> usize {
        self.groups.partition_point(|group| group.position as usize <= position).saturating_sub(1)
    }

    fn span(&self, group: usize) -> Range<usize> {
        let start = |group| self.groups.get(group).map_or(self.len(), |start: &GroupStart| start.position as usize);
        start(group)..start(group.saturating_add(1))
    }
}

fn at(items: &Log<Option<Item>>, id: ItemId) -> Option<&Item> {
    items.get(id.index())?.as_ref()
}

/// The calls of one message that have no result yet, counted by id. They pair by position within their group: an id may
/// repeat, here and elsewhere in the conversation.
#[derive(Clone, Debug, Default)]
struct OpenCalls(HashMap<Call, usize>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Call {
    Tool(Option<Box<str>>),
    Function(Box<str>),
}

impl OpenCalls {
    fn of(message: &Message) -> Self {
        let tools = message.tool_calls().iter().map(|call| Call::Tool(named(call.id())));
        let function = message.function_call().map(|call| Call::Function(call.name().into()));
        let mut open = Self::default();
        for call in tools.chain(function) {
            *open.0.entry(call).or_default() += 1;
        }
        open
    }

    /// Takes out a call that `result` answers; how many calls, by id, are left open then.
    fn answer(&mut self, result: &Message) -> Option<usize> {
        let call = match result.role() {
            Role::Function => Call::Function(result.name().unwrap_or("").into()),
            _ => Call::Tool(named(result.tool_call_id())),
        };
        let left = self.0.get_mut(&call)?;
        *left -= 1;
        if *left == 0 {
            self.0.remove(&call);
        }
        Some(self.0.len())
    }
}

/// Some servers give calls no id, or an empty one: a result without one answers either.
fn named(id: Option<&str>) -> Option<Box<str>> {
    id.filter(|id| !id.is_empty()).map(Box::from)
}

/// The history as the user sees it: the items from the root to the current leaf. Positions count items from 0, groups
/// and turns likewise; the head is not among them.
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

    /// The items at a range of positions, which is cut to the path.
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

    /// Whether the item is on this path. Takes the same time for every length.
    pub fn contains(self, id: ItemId) -> bool {
        self.conversation.get(id).is_some_and(|item| self.index().holds(item))
    }

    /// The position of an item, if it is on this path. Takes the same time for every length.
    pub fn position(self, id: ItemId) -> Option<usize> {
        let item = self.conversation.get(id)?;
        self.index().holds(item).then_some(item.depth as usize)
    }

    /// The number of groups.
    pub fn groups(self) -> usize {
        self.index().groups.len()
    }

    /// The group with this index; an empty one behind the last when there is none.
    pub fn group(self, index: usize) -> Group<'a> {
        Group { path: self, index }
    }

    /// The index of the group that holds a position.
    pub fn group_at(self, position: usize) -> usize {
        self.index().group_at(position)
    }

    /// The positions of a range of groups.
    pub fn positions(self, groups: Range<usize>) -> Range<usize> {
        self.index().span(groups.start).start..self.index().span(groups.end).start
    }

    /// The groups that cannot be sent, oldest first, from `group` on: orphan results and unanswered calls.
    pub fn faults(self, from: usize) -> impl Iterator<Item = Group<'a>> {
        let faults = &self.index().faults;
        let first = faults.partition_point(|&fault| (fault as usize) < from);
        faults.range(first..faults.len()).map(move |&fault| self.group(fault as usize))
    }

    /// The number of turns: of user messages.
    pub fn turns(self) -> usize {
        self.index().turns.len()
    }

    /// The groups of a turn: its user message and all that follows up to the next one; empty when there is no such turn.
    pub fn turn(self, turn: usize) -> Range<usize> {
        let start = |turn| self.index().turns.get(turn).map_or(self.groups(), |&group| group as usize);
        start(turn)..start(turn.saturating_add(1))
    }

    /// The turn that holds a group; `None` before the first user message.
    pub fn turn_of(self, group: usize) -> Option<usize> {
        self.index().turns.partition_point(|&start| start as usize <= group).checked_sub(1)
    }

    /// The first group at or behind `group` that is a user message; the number of groups when there is none.
    pub fn next_turn(self, group: usize) -> usize {
        let turn = self.index().turns.partition_point(|&start| (start as usize) < group);
        self.turn(turn).start
    }
}

/// The atom of trimming: a lone message, or an assistant message with its calls and their results.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    path: Path<'a>,
    index: usize,
}

impl<'a> Group<'a> {
    /// Its index on the path.
    pub fn index(self) -> usize {
        self.index
    }

    /// The positions of its items.
    pub fn positions(self) -> Range<usize> {
        self.path.index().span(self.index)
    }

    /// Whether it can be sent.
    pub fn state(self) -> GroupState {
        self.path.index().groups.get(self.index).map_or(GroupState::Ready, |group| group.state)
    }

    /// Its messages.
    pub fn messages(self) -> impl DoubleEndedIterator<Item = &'a Message> {
        self.path.range(self.positions()).map(Item::message)
    }

    /// Its first message.
    pub fn first(self) -> Option<&'a Message> {
        self.messages().next()
    }

    pub(crate) fn last_item(self) -> Option<&'a Item> {
        self.path.range(self.positions()).next_back()
    }

    /// Whether it is calls with their results.
    pub fn has_calls(self) -> bool {
        self.first().is_some_and(Message::has_calls)
    }
}
