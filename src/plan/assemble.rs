//! `Assembly`: the messages of a request, in order, and what its parts cost.

use std::ops::Range;

use super::plan::Part;
use super::runs::Run;
use super::shrink::{Shrink, Shrinker};
use crate::conversation::Path;
use crate::ledger::Sums;
use crate::message::Message;
use crate::tokens::{ChatCost, Count};

/// A request being assembled.
pub(super) struct Assembly {
    pub(super) messages: Vec<Message>,
    pub(super) parts: Vec<Part>,
    pub(super) is_exact: bool,
    /// Whether all messages are known to be standard, so that a dialect need not look at them.
    pub(super) are_standard: bool,
}

impl Assembly {
    /// A request that begins with the head, with room for that many messages after it.
    pub(super) fn new(head: &[Message], cost: Count, others: usize) -> Self {
        let messages = Vec::with_capacity(head.len() + others);
        let mut request = Self { messages, parts: Vec::with_capacity(1 + others), is_exact: true, are_standard: true };
        request.add(head, cost);
        request
    }

    /// Adds messages that are not a group of the path.
    fn add(&mut self, messages: &[Message], cost: Count) {
        self.are_standard &= messages.iter().all(Message::is_standard);
        let before = self.messages.len();
        self.messages.extend_from_slice(messages);
        self.end_part(before, cost);
    }

    /// Adds whole groups of the path.
    fn add_groups(&mut self, path: Path<'_>, groups: Range<usize>, sums: &Sums) {
        self.are_standard &= path.are_standard(groups.clone());
        let positions = path.positions(groups.clone());
        let mut position = positions.start;
        let mut items = path.range(positions);
        for (members, cost) in path.members_of(groups.clone()).zip(sums.groups(groups)) {
            let (before, in_place) = (self.messages.len(), members.in_place());
            // Late results of other groups are between this group and the one before it.
            while position < in_place.start {
                items.next();
                position += 1;
            }
            position = in_place.end;
            self.messages.extend(items.by_ref().take(in_place.len()).map(|item| item.message().clone()));
            let late = members.late_results().filter_map(|position| path.item(position));
            self.messages.extend(late.map(|item| item.message().clone()));
            self.end_part(before, cost);
        }
    }

    fn end_part(&mut self, before: usize, cost: Count) {
        let messages = self.messages.len() - before;
        if messages > 0 || self.parts.is_empty() {
            self.parts.push(Part { messages, tokens: cost.tokens });
        }
        self.is_exact &= cost.exact;
    }
}

/// The sources of the messages of groups.
pub(super) struct Sources<'a> {
    pub(super) path: Path<'a>,
    pub(super) sums: &'a Sums,
    pub(super) smaller: &'a [(usize, Vec<Shrink>)],
    pub(super) shrinker: &'a Shrinker,
    pub(super) cost: &'a ChatCost,
}

impl Sources<'_> {
    /// Adds the sent messages of the groups, with `inserts` before the groups that they name.
    pub(super) fn add(&self, runs: &[Run], inserts: impl IntoIterator<Item = Insert>, request: &mut Assembly) {
        let mut inserts: Vec<Insert> = inserts.into_iter().collect();
        inserts.sort_by_key(|insert| insert.before);
        let mut inserts = inserts.into_iter().peekable();
        let mut smaller = self.smaller.iter().peekable();
        for run in runs.iter().filter(|run| run.fate.is_sent()) {
            let mut group = run.groups.start;
            while group < run.groups.end {
                while let Some(insert) = inserts.next_if(|insert| insert.before <= group) {
                    request.add(&insert.messages, insert.cost);
                }
                while smaller.next_if(|(index, _)| *index < group).is_some() {}
                if let Some((_, ways)) = smaller.next_if(|(index, _)| *index == group) {
                    let shrunk = self.shrinker.shrink(self.path.group(group), ways, self.cost);
                    request.add(&shrunk.messages, shrunk.count);
                    group += 1;
                    continue;
                }
                let bounds =
                    inserts.peek().map(|insert| insert.before).into_iter().chain(smaller.peek().map(|one| one.0));
                let end = bounds.fold(run.groups.end, usize::min);
                request.add_groups(self.path, group..end, self.sums);
                group = end;
            }
        }
        for insert in inserts {
            request.add(&insert.messages, insert.cost);
        }
    }
}

/// Messages that do not belong to a group.
pub(super) struct Insert {
    /// The group that they precede.
    pub(super) before: usize,
    pub(super) messages: Vec<Message>,
    pub(super) cost: Count,
}
