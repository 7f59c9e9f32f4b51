//! `Conversation`, the record: every message of a conversation, in a tree whose current branch is
//! the path.
//!
//! It knows no tokens. Trimming never changes it; `undo`, `edit`, `switch`, `clear`, `fork` and
//! `set_system` move or replace what is current and remove nothing (promise 1 of the README). Only
//! [`purge`](Conversation::purge) and [`purge_branches`](Conversation::purge_branches) remove
//! messages.
//!
//! - A [`Conversation`] holds [`Item`]s, each with an [`ItemId`], a [`Timestamp`] and a [`Stamp`];
//!   a [`Branch`] is one way from the root to a leaf, and [`Metadata`] what a program attaches to
//!   the whole.
//! - Its [`Path`] is the current branch, cut into [`Group`]s, with their [`Positions`] and whether
//!   they can be sent ([`GroupState`]).
//! - A [`Mark`] is a position that a strategy wants to find again; a [`Summary`] stands for a range
//!   of items.

mod advance;
mod annotations;
mod branch;
mod head;
mod index;
mod item;
mod metadata;
mod open_calls;
mod path;
mod restore;
mod rounds;
mod summaries;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::log::Log;
use crate::message::Message;
pub(crate) use advance::{Advance, HeadStep};
pub(crate) use head::HeadChange;
use index::PathIndex;
use item::narrow;
pub(crate) use open_calls::{OpenCalls, Unpaired};

pub use annotations::{Mark, Summary, SummaryId};
pub use branch::Branch;
pub use index::{GroupState, Positions};
pub use item::{Item, ItemId, Stamp, Timestamp};
pub use metadata::Metadata;
pub(crate) use path::GroupEnd;
pub use path::{Group, Path};
pub(crate) use restore::{Damage, ReplacedHeads, Restore, RestoreItem};
pub(crate) use rounds::Round;

/// How many marks with the same strategy and name are kept.
const MOST_MARKS: usize = 8;

/// The record of one conversation. A clone costs a few pointers, however long it is, and shares all
/// text.
///
/// # Examples
/// ```
/// use turnwise::{Conversation, Message};
///
/// let mut talk = Conversation::from_messages([
///     Message::system("Be brief."),
///     Message::user("Name a river."),
///     Message::assistant("The Elbe."),
/// ]);
/// assert_eq!((talk.head().len(), talk.path().len(), talk.path().turn_count()), (1, 2, 1));
///
/// let other = talk.edit(talk.path().item(0).unwrap().id(), "Name a lake.")?;
/// assert_eq!(talk.path().len(), 1);
/// assert_eq!(talk.branches().count(), 2);
/// # assert_eq!(talk.leaf(), Some(other));
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone)]
pub struct Conversation {
    /// By ordinal; `None` for a purged item.
    items: Log<Option<Item>>,
    path: PathIndex,
    about: Arc<About>,
}

/// The parts that rarely change.
#[derive(Clone)]
struct About {
    id: Arc<str>,
    created_at: Timestamp,
    metadata: Metadata,
    head: Arc<[Message]>,
    /// How the head was replaced, oldest first.
    head_changes: Log<HeadChange>,
    /// Texts of system messages that stay in the head when it is replaced.
    constraints: Vec<String>,
    pins: BTreeSet<ItemId>,
    summaries: Vec<Arc<Summary>>,
    next_summary: u32,
    marks: Vec<Mark>,
    /// The state of calls whose results are not in the record yet.
    rounds: Vec<Round>,
}

impl Default for Conversation {
    fn default() -> Self {
        Self::new()
    }
}

impl Conversation {
    /// An empty conversation with a new id: `conv_` and 48 hexadecimal digits.
    pub fn new() -> Self {
        let about = About {
            id: new_id().into(),
            created_at: Timestamp::now(),
            metadata: Metadata::default(),
            head: Arc::from([]),
            head_changes: Log::default(),
            constraints: Vec::new(),
            pins: BTreeSet::new(),
            summaries: Vec::new(),
            next_summary: 0,
            marks: Vec::new(),
            rounds: Vec::new(),
        };
        Self { items: Log::default(), path: PathIndex::default(), about: Arc::new(about) }
    }

    /// A conversation of these messages: the leading system and developer messages become the head,
    /// all others become items.
    pub fn from_messages(messages: impl IntoIterator<Item = Message>) -> Self {
        let mut conversation = Self::new();
        let mut messages = messages.into_iter().peekable();
        let mut head = Vec::new();
        while let Some(message) = messages.next_if(|message| message.role().is_instruction()) {
            head.push(message);
        }
        if !head.is_empty() {
            conversation.about_mut().head = head.into();
        }
        let now = conversation.created_at();
        for message in messages {
            conversation.push_at(message, now);
        }
        conversation
    }

    /// The id of the conversation.
    pub fn id(&self) -> &str {
        &self.about.id
    }

    /// The id, shared.
    pub(crate) fn shared_id(&self) -> Arc<str> {
        Arc::clone(&self.about.id)
    }

    /// Gives the conversation another id.
    pub(crate) fn set_id(&mut self, id: &str) {
        if self.id() != id {
            self.about_mut().id = id.into();
        }
    }

    /// When the conversation was created.
    pub fn created_at(&self) -> Timestamp {
        self.about.created_at
    }

    /// The metadata attached to it.
    pub fn metadata(&self) -> &Metadata {
        &self.about.metadata
    }

    /// The metadata attached to it, for changing.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.about_mut().metadata
    }

    /// The current head: the messages that every request begins with.
    pub fn head(&self) -> &[Message] {
        &self.about.head
    }

    /// The current head, as a shared pointer.
    pub(crate) fn shared_head(&self) -> Arc<[Message]> {
        Arc::clone(&self.about.head)
    }

    /// All current messages: the head, then the path.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.head().iter().chain(self.path().messages())
    }

    /// The current path.
    pub fn path(&self) -> Path<'_> {
        Path::new(self)
    }

    /// The last item of the path.
    pub fn leaf(&self) -> Option<ItemId> {
        self.path.leaf()
    }

    /// An item by its id, on any branch; `None` if the id was never used, or the item was purged.
    pub fn get(&self, id: ItemId) -> Option<&Item> {
        self.items.get(id.index())?.as_ref()
    }

    /// All items of all branches, in the order in which they were recorded.
    pub fn items(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.items.iter().flatten()
    }

    /// The number of ids in use, which is the ordinal of the next item.
    pub fn next_ordinal(&self) -> usize {
        self.items.len()
    }

    /// Records a message after the leaf and makes it the leaf.
    pub fn push(&mut self, message: impl Into<Message>) -> ItemId {
        self.push_at(message, Timestamp::now())
    }

    /// [`push`](Self::push) with an explicit timestamp.
    pub fn push_at(&mut self, message: impl Into<Message>, created_at: Timestamp) -> ItemId {
        let id = ItemId::from_index(self.items.len());
        let item = Item::new(id, self.leaf(), narrow(self.path.len()), created_at, message.into());
        self.path.push(&item);
        self.items.push(Some(item));
        id
    }

    /// Makes `leaf` the end of the path: goes back to it, or changes to its branch.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such item.
    pub fn switch(&mut self, leaf: ItemId) -> Result<()> {
        let mut item = self.known(leaf)?;
        let mut ahead = Vec::new();
        while !self.path.holds(item) {
            ahead.push(item.id);
            match item.parent().and_then(|parent| self.get(parent)) {
                Some(parent) => item = parent,
                None => break,
            }
        }
        let kept = if self.path.holds(item) { item.depth as usize + 1 } else { 0 };
        self.path.truncate(kept, &self.items);
        for id in ahead.into_iter().rev() {
            if let Some(Some(item)) = self.items.get(id.index()) {
                self.path.push(item);
            }
        }
        Ok(())
    }

    /// Goes back to before the last turn and returns the item of its user message; without a user
    /// message, goes back to the start. `None` if the path is empty. The undone messages stay as a
    /// branch.
    pub fn undo(&mut self) -> Option<ItemId> {
        let path = self.path();
        let group = path.turn_count().checked_sub(1).map_or(0, |turn| path.turn(turn).start);
        let position = path.positions(group..group).start;
        let undone = path.item(position)?.id;
        self.path.truncate(position, &self.items);
        Some(undone)
    }

    /// Records `message` as an alternative to the item `id`, makes it the leaf and returns its id.
    /// The old item and everything after it stay as a branch.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such item.
    pub fn edit(&mut self, id: ItemId, message: impl Into<Message>) -> Result<ItemId> {
        match self.known(id)?.parent() {
            Some(parent) => self.switch(parent)?,
            None => self.clear(),
        }
        Ok(self.push(message))
    }

    /// A new conversation with this record, whose path ends at `at`. It shares all text.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such item.
    pub fn fork(&self, at: ItemId) -> Result<Self> {
        let mut fork = self.clone();
        fork.switch(at)?;
        fork.begin_again(&new_id());
        Ok(fork)
    }

    /// Makes this the record of another conversation, which begins now: what a store's
    /// [`fork`](crate::store::Store::fork) does.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{Conversation, Message};
    ///
    /// let talk = Conversation::from_messages([Message::user("Hi")]);
    /// let mut other = talk.clone();
    /// other.begin_again("ticket 4712");
    /// assert_eq!((other.id(), other.path().len()), ("ticket 4712", 1));
    /// ```
    pub fn begin_again(&mut self, id: &str) {
        let about = self.about_mut();
        about.id = id.into();
        about.created_at = Timestamp::now();
    }

    /// Starts again with an empty path and the same head. The old messages stay as a branch.
    pub fn clear(&mut self) {
        self.path.truncate(0, &self.items);
    }

    /// Sends an item, together with its group, in every request of every branch that contains it. A
    /// group that no request may contain (an orphan result, or calls without results) is left out
    /// even if it is pinned.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such item.
    pub fn pin(&mut self, id: ItemId) -> Result<()> {
        self.known(id)?;
        self.about_mut().pins.insert(id);
        Ok(())
    }

    /// Removes a pin. Returns whether there was one.
    pub fn unpin(&mut self, id: ItemId) -> bool {
        self.about_mut().pins.remove(&id)
    }

    /// The pinned items of all branches, oldest first.
    pub fn pins(&self) -> impl Iterator<Item = ItemId> {
        self.about.pins.iter().copied()
    }

    /// Sets a mark. The eight newest marks of the same strategy and name are kept, so that after a
    /// short step back the mark that was valid there is found.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if one of its items is not in the record.
    pub fn set_mark(&mut self, mark: Mark) -> Result<()> {
        self.known(mark.item)?;
        self.known(mark.leaf)?;
        put_mark(&mut self.about_mut().marks, mark);
        Ok(())
    }

    /// The item of a strategy's mark: of the newest one that is valid on the current path.
    pub fn mark(&self, spec: &str, name: &str) -> Option<ItemId> {
        let valid = self.about.marks.iter().filter(|mark| mark.spec == spec && mark.name == name);
        let newest = valid.filter_map(|mark| Some((self.path().position(mark.leaf)?, mark.item)));
        newest.max_by_key(|(depth, _)| *depth).map(|(_, item)| item)
    }

    /// Removes an item, all items after it on every branch, and all pins, summaries and marks that
    /// refer to one of them. Their text is gone from this record; copies, forks and plans made
    /// earlier still share it. Ids are not used again. If the path contained the item, the path
    /// ends before it now. Returns the number of removed items.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such item.
    pub fn purge(&mut self, id: ItemId) -> Result<usize> {
        let first = self.known(id)?;
        if self.path.holds(first) {
            let depth = first.depth as usize;
            self.path.truncate(depth, &self.items);
        }
        let mut gone = BTreeSet::from([id]);
        for item in self.items() {
            // A child comes after its parent, so one pass finds the whole subtree.
            if item.parent().is_some_and(|parent| gone.contains(&parent)) {
                gone.insert(item.id);
            }
        }
        Ok(self.remove(&gone))
    }

    /// Removes everything that is not on the current path, and all heads except the current one.
    /// Returns the number of removed items.
    pub fn purge_branches(&mut self) -> usize {
        let gone: BTreeSet<ItemId> = self.items().filter(|item| !self.path.holds(item)).map(Item::id).collect();
        self.about_mut().head_changes = Log::default();
        self.remove(&gone)
    }

    fn remove(&mut self, gone: &BTreeSet<ItemId>) -> usize {
        for id in gone {
            if let Some(item) = self.items.get_mut(id.index()) {
                *item = None;
            }
        }
        let about = self.about_mut();
        about.pins.retain(|id| !gone.contains(id));
        about.summaries.retain(|summary| !gone.contains(&summary.last));
        about.rounds.retain(|round| !gone.contains(&round.item));
        about.marks.retain(|mark| !gone.contains(&mark.item) && !gone.contains(&mark.leaf));
        gone.len()
    }

    /// Checks that some path contains the range of items.
    fn check_range(&self, first: ItemId, last: ItemId) -> Result<()> {
        let start = self.known(first)?;
        let mut item = self.known(last)?;
        while item.depth > start.depth {
            match item.parent().and_then(|parent| self.get(parent)) {
                Some(parent) => item = parent,
                None => break,
            }
        }
        if item.id == first {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::NotFound, format!("no path leads from item {first} to item {last}")))
        }
    }

    /// Whether this is a copy of the other conversation in which nothing was changed.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.about, &other.about) && self.items.is_same(&other.items) && self.leaf() == other.leaf()
    }

    fn about_mut(&mut self) -> &mut About {
        Arc::make_mut(&mut self.about)
    }

    fn known(&self, id: ItemId) -> Result<&Item> {
        self.get(id).ok_or_else(|| {
            let allowed = match self.items.len() {
                0 => "the record is empty".to_owned(),
                len => format!("the ids are #0 to #{}", len - 1),
            };
            Error::new(ErrorKind::NotFound, format!("no item {id} in this conversation: {allowed}"))
        })
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("id", &self.about.id)
            .field("head", &self.head().len())
            .field("path", &self.path.len())
            .field("items", &self.items.len())
            .field("pins", &self.about.pins.len())
            .field("summaries", &self.about.summaries.len())
            .finish_non_exhaustive()
    }
}

/// Adds a mark to a list, in the place of older ones.
fn put_mark(marks: &mut Vec<Mark>, mark: Mark) {
    let is_alike = |old: &Mark| (&old.spec, &old.name) == (&mark.spec, &mark.name);
    marks.retain(|old| !is_alike(old) || old.leaf != mark.leaf);
    if marks.iter().filter(|old| is_alike(old)).count() == MOST_MARKS
        && let Some(oldest) = marks.iter().position(is_alike)
    {
        marks.remove(oldest);
    }
    marks.reserve_exact(1);
    marks.push(mark);
}

pub(crate) fn new_id() -> String {
    format!("conv_{:016x}{:032x}", fastrand::u64(..), fastrand::u128(..))
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
