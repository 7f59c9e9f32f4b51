//! Items in the record: which message holds them, and their ids.
//!
//! Items become messages as `turnwise_formats::items` reads them: an item that chat completions do
//! not have is kept with the message after it. While there is none, it waits in the file, with the
//! message that it comes after; if something else than this API records the next message, it stays
//! there. A stored item has
//! a seed as its `id`; the id that callers see is made from it and from the conversation's id, so
//! that a fork has ids of its own.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use turnwise::conversation::{Item, ItemId};
use turnwise::message::RawJson;
use turnwise::{Message, Role, Transcript};
use turnwise_formats::items;
use walk::Walk;

use crate::error::ApiError;
use crate::fields::Fields;
use crate::ids::{PLACE, Sought, id_of, is_seed, new_seed, place_of, seed_at, tag_of};
use crate::input::{self, InputItem};

#[cfg(test)]
pub(crate) mod tests;
mod walk;

/// The member of a file with items that are in no message.
const WAITING: &str = "turnwise_items";

/// Items that are in no message, after one of the record or at its beginning.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Waiting {
    after: Option<ItemId>,
    items: Vec<RawJson>,
}

/// An item as it is listed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListedItem {
    /// Its id.
    pub id: String,
    /// The item.
    pub json: RawJson,
    place: Place,
}

/// Where an item is: in a message of the record, or after one; and which of the items there.
#[derive(Clone, Copy, Debug)]
enum Place {
    Message(ItemId, usize),
    Waiting(Option<ItemId>, usize),
}

/// An item with content that only the server which made it can read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealedItem {
    /// Its type, such as `compaction` or `reasoning`.
    pub kind: String,
    /// The value of `encrypted_content`.
    pub content: String,
    /// How many messages of the conversation come before it.
    pub position: usize,
}

impl SealedItem {
    fn of(item: &RawJson, position: usize) -> Option<Self> {
        let fields = Fields::of(item)?;
        Some(Self { kind: fields.text("type")?, content: fields.text("encrypted_content")?, position })
    }
}

/// A conversation as items: a view of a transcript, for a server that makes responses.
///
/// # Examples
/// ```
/// use turnwise::Transcript;
/// use turnwise::message::RawJson;
/// use turnwise_conversations::{Record, read_items};
///
/// let mut file = Transcript::default();
/// let mut record = Record::of("conv_1", &mut file);
/// let items = read_items(&RawJson::new(r#"[{"role": "user", "content": "Hi"}]"#)?, "input")?;
/// let added = record.add(&items)?;
/// assert_eq!(record.items(false).next().unwrap().id, added[0].id);
/// assert_eq!(file.conversation.path().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Record<'a> {
    file: &'a mut Transcript,
    tag: String,
    /// The tags of ids under which the items were listed before.
    earlier: Vec<String>,
}

impl<'a> Record<'a> {
    /// The items of a conversation that is stored under an id, from which their ids are made.
    pub fn of(id: &str, file: &'a mut Transcript) -> Self {
        Self { file, tag: tag_of(id), earlier: Vec::new() }
    }

    /// Also resolves references to the ids that the items had in these conversations, whose record
    /// this one goes on: a response that continues another one names its items as that has listed them.
    #[must_use]
    pub fn with_earlier(mut self, ids: &[String]) -> Self {
        self.earlier = ids.iter().map(|id| tag_of(id)).collect();
        self
    }

    /// The items, newest first or oldest first. Those that are not asked for cost nothing.
    pub fn items(&self, newest_first: bool) -> impl Iterator<Item = ListedItem> {
        Walk::new(self, newest_first)
    }

    /// The items with some ids, in the record's order or against it. Messages with none of them are
    /// passed over, which costs far less than to write their items.
    pub fn with_ids<'b>(&'b self, ids: &'b [String], newest_first: bool) -> impl Iterator<Item = ListedItem> + 'b {
        let sought = Sought::new(&self.tag, ids.iter().map(String::as_str));
        let mut walk = Walk::new(self, newest_first);
        std::iter::from_fn(move || walk.next_of(&sought)).take(ids.len())
    }

    /// As [`with_ids`](Self::with_ids), of ids that are in the order of the record: what comes
    /// before the first of them is not looked at.
    pub(crate) fn with_ids_in_order<'b>(
        &'b self,
        ids: &'b [String],
        newest_first: bool,
    ) -> impl Iterator<Item = ListedItem> + 'b {
        let sought = Sought::new(&self.tag, ids.iter().map(String::as_str));
        let mut walk = Walk::new(self, newest_first);
        let begin = if newest_first { ids.last() } else { ids.first() };
        let first = begin.and_then(|id| walk.to(id));
        if first.is_none() {
            walk = Walk::new(self, newest_first);
        }
        first.into_iter().chain(std::iter::from_fn(move || walk.next_of(&sought))).take(ids.len())
    }

    /// The items that come after the one with an id; `None` if there is none with it.
    pub(crate) fn after(&self, id: &str, newest_first: bool) -> Option<impl Iterator<Item = ListedItem>> {
        let mut walk = Walk::new(self, newest_first);
        walk.to(id).map(|_| walk)
    }

    /// The items with sealed content that the messages from a position on have, oldest first; not those that
    /// wait for a message. A server that knows those of the messages before need not look for them again.
    pub fn sealed_in_messages(&self, from: usize) -> Vec<SealedItem> {
        const CONTENT: &str = "encrypted_content";
        let path = self.file.conversation.path();
        let of_message = |position: usize| {
            let item = path.item(position)?;
            // Most messages were not made of such items, and are not written as items to find that out.
            let is_made = item.message().extra().any(|(_, value)| value.as_str().contains(CONTENT));
            is_made.then(|| stored(item).into_iter().filter_map(move |item| SealedItem::of(&item, position)))
        };
        (from..path.len()).filter_map(of_message).flatten().collect()
    }

    /// All items with sealed content, oldest first, when those of the messages are known.
    pub fn sealed_with(&self, in_messages: &[SealedItem]) -> Vec<SealedItem> {
        let path = self.file.conversation.path();
        let position = |after: Option<ItemId>| after.map_or(Some(0), |id| path.position(id).map(|before| before + 1));
        let waiting = self.waiting();
        let placed = waiting.iter().filter_map(|one| Some((position(one.after)?, &one.items)));
        let waiting = placed.flat_map(|(at, items)| items.iter().filter_map(move |item| SealedItem::of(item, at)));
        let mut found: Vec<SealedItem> = waiting.chain(in_messages.iter().cloned()).collect();
        found.sort_by_key(|item| item.position);
        found
    }

    /// The item with an id.
    pub(crate) fn find(&self, id: &str) -> Option<ListedItem> {
        Walk::new(self, true).to(id)
    }

    /// The item that a reference means. Ids of the same item differ in their tags only.
    fn referred(&self, id: &str) -> Option<ListedItem> {
        let of_earlier = |id: &str| {
            let (prefix, digits) = id.rsplit_once('_')?;
            let tag = self.earlier.iter().find(|tag| digits.starts_with(tag.as_str()))?;
            self.find(&format!("{prefix}_{}{}", self.tag, &digits[tag.len()..]))
        };
        self.find(id).or_else(|| of_earlier(id))
    }

    /// Whether a reference to an item can be resolved here, and need not be looked for elsewhere.
    pub fn can_refer_to(&self, id: &str) -> bool {
        self.referred(id).is_some()
    }

    /// The items of a message; none if it is not on the conversation's path.
    pub fn of_message_with(&self, id: ItemId) -> Vec<ListedItem> {
        let path = self.file.conversation.path();
        let item = path.position(id).and_then(|position| path.item(position));
        item.map(|item| self.of_message(item)).unwrap_or_default()
    }

    /// The items of the last message.
    pub fn of_last_message(&self) -> Vec<ListedItem> {
        let path = self.file.conversation.path();
        let last = path.len().checked_sub(1).and_then(|last| path.item(last));
        last.map(|item| self.of_message(item)).unwrap_or_default()
    }

    /// The id that an item will have which is the next one to be recorded: of this kind, and at this
    /// place among the items of its message.
    pub fn next_id(&self, kind: &str, index: usize) -> String {
        let next = self.file.conversation.items().next_back().map_or(0, |last| last.id().index() + 1);
        id_of(&self.tag, kind, &seed_at(&next.to_string(), index))
    }

    /// Adds items at the end, and returns them as they are listed. A reference is replaced by a copy
    /// of the item.
    ///
    /// # Errors
    /// 404 for a reference to an unknown item.
    pub fn add(&mut self, items: &[InputItem]) -> Result<Vec<ListedItem>, ApiError> {
        let new = self.resolved(items)?;
        let waiting = self.take_waiting(self.file.conversation.leaf());
        let mut all = self.take_open_calls(new.first());
        all.extend(waiting);
        Ok(self.put_new(all, new))
    }

    /// Records other items in the place of one, on a new branch: it and what comes after it stay on the
    /// old one. Returns the new items as they are listed.
    pub(crate) fn edit(&mut self, item: &ListedItem, items: &[InputItem]) -> Result<Vec<ListedItem>, ApiError> {
        let Place::Message(id, index) = item.place else { return Err(ApiError::not_in_a_message(&item.id)) };
        let new = self.resolved(items)?;
        let before = self.back_to(id, index);
        Ok(self.put_new(before, new))
    }

    /// Makes an item the last one: what comes after it is on another branch, or, of the items that are in
    /// no message, gone.
    pub(crate) fn end_with(&mut self, item: &ListedItem) {
        match item.place {
            Place::Waiting(after, index) => {
                self.go_to(after);
                let mut items = self.take_waiting(after);
                items.truncate(index + 1);
                self.put_waiting(after, items);
            }
            Place::Message(id, index) => {
                let message = self.file.conversation.get(id).cloned();
                if message.as_ref().is_none_or(|message| stored(message).len() == index + 1) {
                    self.go_to(Some(id));
                    self.take_waiting(Some(id));
                } else {
                    let kept = self.back_to(id, index + 1);
                    self.put_new(kept, Vec::new());
                }
            }
        }
    }

    /// Goes back to before a message, and returns its first items, which are to be recorded again.
    fn back_to(&mut self, message: ItemId, count: usize) -> Vec<RawJson> {
        let Some(message) = self.file.conversation.get(message).cloned() else { return Vec::new() };
        self.go_to(message.parent());
        let mut items = stored(&message);
        items.truncate(count);
        items
    }

    /// Items with copies in the place of references.
    fn resolved(&self, items: &[InputItem]) -> Result<Vec<Fields>, ApiError> {
        let resolved = items.iter().map(|InputItem(item)| match input::reference(item) {
            None => Ok(item.clone()),
            Some(id) => {
                self.referred(&id).and_then(|found| Fields::of(&found.json)).ok_or_else(|| ApiError::no_item(&id))
            }
        });
        resolved.collect()
    }

    /// Records items at the end, after some that are recorded again. Returns the new ones.
    fn put_new(&mut self, mut all: Vec<RawJson>, new: Vec<Fields>) -> Vec<ListedItem> {
        let count = new.len();
        let positions = positions(&new, self.file.conversation.path().len());
        all.extend(new.into_iter().zip(positions).map(|(mut item, position)| {
            item.set("id", new_seed(position));
            item.json()
        }));
        let read = items::read(&all);
        for message in read.messages {
            self.file.conversation.push(message);
        }
        self.put_waiting(self.file.conversation.leaf(), read.after);
        let mut added: Vec<ListedItem> = self.items(true).take(count).collect();
        added.reverse();
        added
    }

    /// Takes an item out: what comes after it is recorded again on a new branch without it.
    pub(crate) fn remove(&mut self, item: &ListedItem) {
        match item.place {
            Place::Waiting(after, index) => {
                let mut items = self.take_waiting(after);
                items.remove(index);
                self.put_waiting(after, items);
            }
            Place::Message(id, index) => self.remove_from_message(id, index),
        }
    }

    fn remove_from_message(&mut self, id: ItemId, index: usize) {
        let path = self.file.conversation.path();
        let Some(position) = path.position(id) else { return };
        let rest: Vec<Item> = (position..path.len()).filter_map(|position| path.item(position).cloned()).collect();
        let before = position.checked_sub(1).and_then(|position| path.item(position)).map(Item::id);
        let Some((changed, rest)) = rest.split_first() else { return };
        let mut left = stored(changed);
        left.remove(index);
        let left = items::read(&left);
        let pins: HashSet<ItemId> = self.file.conversation.pins().collect();
        self.go_to(before);
        for message in left.messages {
            self.put_again(message, changed, &pins);
        }
        let now = self.file.conversation.leaf();
        let mut kept = left.after;
        kept.extend(self.take_waiting(Some(id)));
        // Items of the changed message that are in none now come after those that waited before it.
        let mut of_before = if now == before { self.take_waiting(before) } else { Vec::new() };
        of_before.extend(kept);
        self.put_waiting(now, of_before);
        for item in rest {
            let waiting = self.take_waiting(Some(item.id()));
            let again = self.put_again(with_place(item), item, &pins);
            self.put_waiting(Some(again), waiting);
        }
    }

    /// Records what is left of an item at the end, with the item's time and pin.
    fn put_again(&mut self, message: Message, item: &Item, pins: &HashSet<ItemId>) -> ItemId {
        let again = self.file.conversation.push_at(message, item.created_at());
        if pins.contains(&item.id()) {
            // The id is one of this conversation.
            let _ = self.file.conversation.pin(again);
        }
        again
    }

    /// If calls follow a message of the model whose calls are still open at the end, all of them are
    /// one message: takes that message's items back, to be read again with what follows.
    fn take_open_calls(&mut self, next: Option<&Fields>) -> Vec<RawJson> {
        let is_call = next.is_some_and(is_call);
        let path = self.file.conversation.path();
        let last = path.len().checked_sub(1).and_then(|last| path.item(last));
        let Some(last) =
            last.filter(|last| is_call && *last.message().role() == Role::Assistant && last.message().has_calls())
        else {
            return Vec::new();
        };
        let (items, before) = (stored(last), last.parent());
        self.go_to(before);
        items
    }

    fn go_to(&mut self, end: Option<ItemId>) {
        match end {
            // The id is one of this conversation.
            Some(end) => drop(self.file.conversation.switch(end)),
            None => self.file.conversation.clear(),
        }
    }

    fn of_message(&self, item: &Item) -> Vec<ListedItem> {
        let items = stored(item).into_iter().enumerate();
        items.filter_map(|(index, json)| self.listed(&json, Place::Message(item.id(), index))).collect()
    }

    fn of_waiting(&self, waiting: &[Waiting], after: Option<ItemId>) -> Vec<ListedItem> {
        let items = waiting.iter().filter(|one| one.after == after).flat_map(|one| &one.items).enumerate();
        items.filter_map(|(index, json)| self.listed(json, Place::Waiting(after, index))).collect()
    }

    fn listed(&self, stored: &RawJson, place: Place) -> Option<ListedItem> {
        let mut item = Fields::of(stored)?;
        input::complete(&mut item);
        let seed = item.text("id").unwrap_or_default();
        if !is_seed(&seed) {
            // Of another server: an imported conversation keeps the ids that programs know.
            return Some(ListedItem { id: seed, json: item.json(), place });
        }
        let id = id_of(&self.tag, &item.text("type").unwrap_or_default(), &seed);
        item.set("id", &*id);
        Some(ListedItem { id, json: item.json(), place })
    }

    fn waiting(&self) -> Vec<Waiting> {
        let kept = self.file.extra.iter().find(|(key, _)| key == WAITING);
        kept.and_then(|(_, kept)| kept.parse().ok()).unwrap_or_default()
    }

    /// Takes the items that wait after a message out of the file.
    fn take_waiting(&mut self, after: Option<ItemId>) -> Vec<RawJson> {
        let (taken, left): (Vec<Waiting>, Vec<Waiting>) =
            self.waiting().into_iter().partition(|one| one.after == after);
        if !taken.is_empty() {
            self.set_waiting(&left);
        }
        taken.into_iter().flat_map(|one| one.items).collect()
    }

    fn put_waiting(&mut self, after: Option<ItemId>, items: Vec<RawJson>) {
        if !items.is_empty() {
            let mut waiting = self.waiting();
            waiting.push(Waiting { after, items });
            self.set_waiting(&waiting);
        }
    }

    fn set_waiting(&mut self, waiting: &[Waiting]) {
        self.file.extra.retain(|(key, _)| key != WAITING);
        let json = serde_json::to_string(waiting).ok().and_then(|text| RawJson::new(&text).ok());
        self.file.extra.extend(json.filter(|_| !waiting.is_empty()).map(|json| (WAITING.to_owned(), json)));
    }
}

fn is_call(item: &Fields) -> bool {
    item.text("type").is_some_and(|kind| kind.ends_with("tool_call") || kind == "function_call")
}

/// About which positions the messages of new items will have, the first of which comes at `next`.
fn positions(items: &[Fields], mut next: usize) -> Vec<usize> {
    let mut is_of_model = false;
    let position = |item: &Fields| {
        let kind = item.text("type").unwrap_or_default();
        let is_call = is_call(item);
        if is_call && is_of_model {
            return next - 1;
        }
        let position = next;
        if is_call || matches!(&*kind, "message" | "function_call_output" | "custom_tool_call_output") {
            next += 1;
        }
        is_of_model = is_call || item.text("role").is_some_and(|role| role == "assistant");
        position
    };
    items.iter().map(position).collect()
}

/// The items of a message, each with its seed. A message that was not made of items, such as one
/// that a manager recorded, has seeds from its place in the record.
fn stored(item: &Item) -> Vec<RawJson> {
    #[cfg(test)]
    tests::WRITTEN.set(tests::WRITTEN.get() + 1);
    let is_cut = item.message().is_incomplete();
    let place = place_of(item);
    let written = items::write(item.message()).into_iter().enumerate();
    let seeded = written.filter_map(|(index, json)| {
        let mut fields = Fields::of(&json)?;
        fields.set_missing("id", seed_at(&place, index));
        if is_cut {
            fields.set_missing("status", "incomplete");
        }
        Some(fields.json())
    });
    seeded.collect()
}

/// A message that is recorded again: the same, and its items keep their seeds.
fn with_place(item: &Item) -> Message {
    let message = item.message();
    let has_id = |json: &RawJson| Fields::of(json).is_some_and(|fields| fields.get("id").is_some());
    if message.get(PLACE).is_some() || items::write(message).iter().all(has_id) {
        return message.clone();
    }
    let place = Value::from(item.id().index());
    message.clone().with_field(PLACE, place).unwrap_or_else(|_| message.clone())
}
