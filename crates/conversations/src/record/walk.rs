//! `Walk`: the items of a record one after the other, of which only those are written that are
//! asked for.

use std::ops::Range;
use std::vec::IntoIter;

use turnwise::{Item, ItemId};

use super::{ListedItem, Record, Waiting};
use crate::ids::Sought;

/// How far from the position that an id tells its item is looked for: items before it may have been
/// deleted since.
const NEAR: usize = 64;

/// A walk through the items of a record. They are in slots: slot 0 has those that wait before the
/// first message, and each other slot those of a message and those that wait after it.
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

    /// The next item that is sought. Messages that have none are passed over and not written as
    /// items.
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

    /// Goes to the item with an id, which is returned. Where it was recorded is looked at first, so
    /// that this costs the same in a long record. An id that another server has made may be there
    /// twice: the first of them is found.
    pub(super) fn to(&mut self, id: &str) -> Option<ListedItem> {
        let sought = Sought::new(&self.record.tag, [id]);
        if let Some((slot, items)) = self.likely(&sought) {
            self.slots = if self.newest_first { 0..slot } else { slot + 1..self.slots.end };
            self.begin(items);
        }
        self.next_of(&sought)
    }

    /// The slot, with its items, that has an item which is sought, if it is found by its id.
    fn likely(&self, sought: &Sought<'_>) -> Option<(usize, Vec<ListedItem>)> {
        let talk = &self.record.file.conversation;
        let with_items = |slot: usize| {
            self.message_of(slot).filter(|item| sought.may_be_in(item))?;
            let items = self.items_of(slot);
            items.iter().any(|item| sought.has(item)).then_some((slot, items))
        };
        let near = |position: usize| {
            let slots = |distance| [(position + 1).checked_sub(distance), (position + 1).checked_add(distance)];
            (0..NEAR).flat_map(slots).flatten().find_map(with_items)
        };
        let of_added = sought.position().filter(|position| *position < self.slots.end);
        of_added.and_then(near).or_else(|| {
            let place = sought.place(talk.next_ordinal())?;
            // A message that was recorded again is not far from where it was.
            near(talk.path().position(ItemId::from_index(place)).unwrap_or(place))
        })
    }

    fn next_slot(&mut self) -> Option<usize> {
        if self.newest_first { self.slots.next_back() } else { self.slots.next() }
    }

    fn may_have(&self, slot: usize, sought: &Sought<'_>) -> bool {
        let Some(item) = self.message_of(slot) else { return true };
        sought.may_be_in(item) || self.waiting.iter().any(|one| one.after == Some(item.id()))
    }

    fn message_of(&self, slot: usize) -> Option<&'a Item> {
        self.record.file.conversation.path().item(slot.checked_sub(1)?)
    }

    fn open(&mut self, slot: usize) {
        self.begin(self.items_of(slot));
    }

    /// Goes on with the items of a slot, the oldest of which is the first.
    fn begin(&mut self, mut items: Vec<ListedItem>) {
        if self.newest_first {
            items.reverse();
        }
        self.items = items.into_iter();
    }

    fn items_of(&self, slot: usize) -> Vec<ListedItem> {
        let message = self.message_of(slot);
        let mut items = message.map(|item| self.record.of_message(item)).unwrap_or_default();
        items.extend(self.record.of_waiting(&self.waiting, message.map(Item::id)));
        items
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
