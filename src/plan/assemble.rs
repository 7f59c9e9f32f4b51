//! `Assembly`: the messages of a request, in order, and what its parts cost.

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
}

impl Assembly {
    pub(super) fn new(head: &[Message], cost: Count) -> Self {
        let mut request = Self { messages: Vec::new(), parts: Vec::new(), is_exact: true };
        request.add(head, cost);
        request
    }

    pub(super) fn add<'a>(&mut self, messages: impl IntoIterator<Item = &'a Message>, cost: Count) {
        let before = self.messages.len();
        self.messages.extend(messages.into_iter().cloned());
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
        for group in runs.iter().filter(|run| run.fate.is_sent()).flat_map(|run| run.groups.clone()) {
            while let Some(insert) = inserts.next_if(|insert| insert.before <= group) {
                request.add(&insert.messages, insert.cost);
            }
            match self.smaller.binary_search_by_key(&group, |(group, _)| *group) {
                Ok(index) => {
                    let ways = &self.smaller[index].1;
                    let shrunk = self.shrinker.shrink(self.path.group(group), ways, self.cost);
                    request.add(&*shrunk.messages, shrunk.count);
                }
                Err(_) => request.add(self.path.group(group).messages(), self.sums.group(group)),
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
