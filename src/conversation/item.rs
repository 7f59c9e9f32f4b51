//! `Item`, `ItemId` and `Timestamp`: the elements of the record.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;

/// The id of an item in its conversation: its ordinal, from 0. It never changes and is never used
/// again.
///
/// # Examples
/// ```
/// use turnwise::{Conversation, ItemId};
///
/// let mut talk = Conversation::new();
/// let id = talk.push("Name a river.");
/// assert_eq!((id.index(), id.to_string(), "#0".parse::<ItemId>()?), (0, "#0".to_owned(), id));
/// assert_eq!(talk.get(id).unwrap().message().text(), "Name a river.");
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemId(pub(crate) u32);

impl ItemId {
    /// The ordinal.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The id with this ordinal, whether or not a conversation has such an item.
    pub fn from_index(index: usize) -> Self {
        Self(narrow(index))
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl FromStr for ItemId {
    type Err = Error;

    /// Reads `#7`, as `Display` writes it, or `7`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a text that cannot be the id of an item.
    ///
    /// # Examples
    /// ```
    /// use turnwise::ItemId;
    ///
    /// let id: ItemId = "#7".parse()?;
    /// assert_eq!((id.index(), id.to_string()), (7, "#7".to_owned()));
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    fn from_str(text: &str) -> Result<Self> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number).map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(20).collect();
            Error::new(
                ErrorKind::NotFound,
                format!("`{shown}` is not the id of an item; ids are numbers, such as `#7`"),
            )
        })
    }
}

/// An index as the four bytes in which it is stored; a record of four billion items does not fit
/// into memory.
pub(super) fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// A point in time: milliseconds since 1970-01-01 00:00 UTC.
///
/// # Examples
/// ```
/// use turnwise::Conversation;
/// use turnwise::conversation::Timestamp;
///
/// let mut talk = Conversation::new();
/// let id = talk.push_at("Happy new year!", Timestamp::from_millis(1_767_225_600_000));
/// assert_eq!(talk.get(id).unwrap().created_at().as_millis(), 1_767_225_600_000);
/// assert!(Timestamp::now() > Timestamp::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The current time of the system's clock; 0 if the clock is set before 1970.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// From milliseconds since 1970.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }
}

/// Identifies one recording of a message: in one process no two have the same stamp, and a copy of
/// the record keeps it. Items with the same stamp have the same items before them. A strategy's
/// cache knows by it what it has seen: ids are given again on another branch's copy, stamps are
/// not. [`Stamp::default`] is that of no item.
///
/// # Examples
/// ```
/// use turnwise::Conversation;
///
/// let mut talk = Conversation::new();
/// let id = talk.push("Hello!");
/// let copy = talk.clone();
/// let again = talk.push("Hello!");
/// let stamp = |of: &Conversation, id| of.get(id).unwrap().stamp();
/// assert_eq!(stamp(&talk, id), stamp(&copy, id));
/// assert_ne!(stamp(&talk, id), stamp(&talk, again));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp(u64);

impl Stamp {
    pub(super) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// No item has this ordinal: [`narrow`] gives it only to what does not exist.
const NO_PARENT: u32 = u32::MAX;

/// A message in the record, with its place and time.
///
/// # Examples
/// ```
/// use turnwise::Conversation;
///
/// let mut talk = Conversation::new();
/// let id = talk.push("Name a river.");
/// let item = talk.get(id).unwrap();
/// assert_eq!((item.id(), item.parent()), (id, None));
/// assert_eq!(item.message().text(), "Name a river.");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub(super) id: ItemId,
    /// The ordinal of the item before it, or [`NO_PARENT`]: an `Option` would take eight bytes.
    parent: u32,
    /// The number of items before this one on every path that contains it.
    pub(super) depth: u32,
    pub(super) created_at: Timestamp,
    pub(super) stamp: Stamp,
    /// Whether the message is [standard](Message::is_standard), which costs a look at all of it.
    pub(super) is_standard: bool,
    pub(super) message: Message,
}

impl Item {
    pub(super) fn new(id: ItemId, parent: Option<ItemId>, depth: u32, created_at: Timestamp, message: Message) -> Self {
        let is_standard = message.is_standard();
        let parent = parent.map_or(NO_PARENT, |parent| parent.0);
        Self { id, parent, depth, created_at, stamp: Stamp::next(), is_standard, message }
    }

    /// The item's id in its conversation.
    pub fn id(&self) -> ItemId {
        self.id
    }

    /// The item before it; `None` for the first item of a tree.
    pub fn parent(&self) -> Option<ItemId> {
        (self.parent != NO_PARENT).then_some(ItemId(self.parent))
    }

    /// When it was recorded.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Which recording of the message it is.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_printed() {
        for id in [0, 7, u32::MAX] {
            assert_eq!(ItemId(id).to_string().parse::<ItemId>().unwrap(), ItemId(id));
        }
        assert_eq!("12".parse::<ItemId>().unwrap(), ItemId(12));
        for text in ["", "#", "##1", "+1", "-1", "x", "1 ", "4294967296"] {
            assert_eq!(text.parse::<ItemId>().unwrap_err().kind(), ErrorKind::NotFound, "{text}");
        }
    }
}
