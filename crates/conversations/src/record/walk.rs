//! `Walk`: the items of a record one after the other, of which only those are written that are asked for.

use std::ops::Range;
use std::vec::IntoIter;

use super::{ListedItem, Record, Waiting};
use crate::ids::Sought;

/// A walk through the items of a record. They are in slots: slot 0 has those that wait before the first
/// message, and each other slot those of a message and those that wait after it.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    record: &'a Record<'a>,
    waiting: Vec<Waiting>,
    /// The slots that are left.
    slots: Range<usize>,
    newest_first: bool,
    /// The items of the slot that was opened last.
    items: IntoIter<ListedItem>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(record: &'a Record<'a>, newest_first: bool) -> Self {
        let slots = 0..record.file.conversation.path().len() + 1;
        Self { record, waiting: record.waiting(), slots, newest_first, items: Vec::new().into_iter() }
    }

    /// The next item that is sought. Messages that have none are passed over and not written as items.
    pub(super) fn next_of(&mut self, sought: &Sought<'_>) -> Option<ListedItem> {
        loop {
            if let Some(found) = self.items.find(|item| sought.has(item)) {
                return Some(found);
            }
            let slot = self.next_slot()?;
            if self.may_have(slot, sought) {
                self.open(slot);
            }
        }
    }

    fn next_slot(&mut self) -> Option<usize> {
        if self.newest_first { self.slots.next_back() } else { self.slots.next() }
    }

    fn may_have(&self, slot: usize, sought: &Sought<'_>) -> bool {
        let Some(item) = self.message_of(slot) else { return true };
        sought.may_be_in(item) || self.waiting.iter().any(|one| one.after == Some(item.id()))
    }

    fn message_of(&self, slot: usize) -> Option<&'a turnwise::Item> {
        self.record.file.conversation.path().item(slot.checked_sub(1)?)
    }

    fn open(&mut self, slot: usize) {
        let message = self.message_of(slot);
        let mut items = message.map(|item| self.record.of_message(item)).unwrap_or_default();
        items.extend(self.record.of_waiting(&self.waiting, message.map(turnwise::Item::id)));
        if self.newest_first {
            items.reverse();
        }
        self.items = items.into_iter();
    }
}

impl Iterator for Walk<'_> {
    type Item = ListedItem;

    fn next(&mut self) -> Option<ListedItem> {
        loop {
            if let Some(item) = self.items.next() {
                return Some(item);
            }
            let slot = self.next_slot()?;
            self.open(slot);
        }
    }
}
