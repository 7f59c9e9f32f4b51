//! Search in the items of a store, and lists of conversations: what is asked and what is found, the
//! same for every engine.
//!
//! **What a query finds.** A query has terms, divided by spaces; `"two words"` in quotes are one term.
//! An item is found if it has all of them, in any order. Case, accents and the width of letters
//! make no difference. A term is found anywhere, also within a word: `graph` in `paragraph`. Only a
//! word of one or two letters has to be a word of its own: `go` is not found in `google`. Scripts
//! that write no spaces between words (Chinese, Japanese, Korean, Thai and others) have no such rule: one
//! character is found anywhere.
//!
//! What is searched is the text of messages, refusals, and the names and arguments of calls, on all
//! branches of a conversation. Its head and its summaries are not searched.
//!
//! An engine finds candidates by an index of [words](words()), reads them, and asks whether the query
//! [matches](Terms::find). So all engines find the same. [`scan()`] needs no index and reads
//! everything.

mod fold;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) mod index;
mod matches;
mod scan;
mod snippet;
mod words;

use serde::{Deserialize, Serialize};
use turnwise::conversation::Timestamp;
use turnwise::{Error, ErrorKind, ItemId, Message, Result};

pub use matches::Terms;
pub use scan::scan;
pub use snippet::Snippet;
pub(crate) use words::Piece;
#[cfg(feature = "sqlite")]
pub(crate) use words::has_parts;
pub use words::words;

use crate::Failed;

/// The most that one page holds.
const MOST: usize = 1_000;

/// What is searched for. By default all conversations of the tenant are searched, and the first 20
/// hits are returned. What a server has stored beside them
/// ([`is_of_server`](turnwise::store::is_of_server)) is searched only if it is named.
///
/// # Examples
/// ```
/// use turnwise_store::search::SearchQuery;
///
/// let query = SearchQuery::new("late parcel").with_metadata("team", "support").limit(5);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SearchQuery {
    pub(crate) text: String,
    pub(crate) filter: Filter,
    pub(crate) conversation: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
}

/// Which times and which metadata are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) from: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) metadata: Vec<(String, String)>,
}

impl Filter {
    /// The milliseconds from which on, and before which, items are wanted.
    pub(crate) fn times(&self) -> (i64, i64) {
        (self.from.map_or(i64::MIN, Timestamp::as_millis), self.until.map_or(i64::MAX, Timestamp::as_millis))
    }

    pub(crate) fn has(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| time >= from) && self.until.is_none_or(|until| time < until)
    }
}

impl SearchQuery {
    /// A search for a text, as the [module](self) says.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), filter: Filter::default(), conversation: None, after: None, limit: 20 }
    }

    /// Only items that were recorded at this time or later.
    pub fn from(mut self, from: Timestamp) -> Self {
        self.filter.from = Some(from);
        self
    }

    /// Only items that were recorded before this time.
    pub fn until(mut self, until: Timestamp) -> Self {
        self.filter.until = Some(until);
        self
    }

    /// Only conversations whose metadata have this value. Of several calls all must hold.
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.filter.metadata.push((key.into(), value.into()));
        self
    }

    /// Only the conversation with this id.
    pub fn in_conversation(mut self, id: impl Into<String>) -> Self {
        self.conversation = Some(id.into());
        self
    }

    /// The page after another one, whose [`Page::next`] this is.
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.after = Some(cursor.into());
        self
    }

    /// At most so many hits, from 1 to 1,000.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, MOST);
        self
    }
}

/// Which conversations are listed. By default all of the tenant, the one that was used last first, 20
/// of them. What a server has stored beside them ([`is_of_server`](turnwise::store::is_of_server)) is
/// not listed.
///
/// # Examples
/// ```
/// use turnwise_store::search::ListQuery;
///
/// let query = ListQuery::new().with_metadata("team", "support").with_text("parcel");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ListQuery {
    pub(crate) text: Option<String>,
    pub(crate) filter: Filter,
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self { text: None, filter: Filter::default(), after: None, limit: 20 }
    }
}

impl ListQuery {
    /// All conversations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those with an item in which this is found, as by [`SearchQuery`]. They are then in the order
    /// of the newest item in which it is.
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Only those that were used at this time or later. A conversation was used when its newest item
    /// was recorded, or when it was begun.
    pub fn from(mut self, from: Timestamp) -> Self {
        self.filter.from = Some(from);
        self
    }

    /// Only those that were used last before this time.
    pub fn until(mut self, until: Timestamp) -> Self {
        self.filter.until = Some(until);
        self
    }

    /// Only those whose metadata have this value. Of several calls all must hold.
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.filter.metadata.push((key.into(), value.into()));
        self
    }

    /// The page after another one, whose [`Page::next`] this is.
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.after = Some(cursor.into());
        self
    }

    /// At most so many conversations, from 1 to 1,000.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, MOST);
        self
    }
}

/// Some of what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Page<T> {
    /// What was found, in its order.
    pub found: Vec<T>,
    /// Where the next page begins: to be given to `after`. `None` after the last page. It stays right
    /// while others write: nothing is found twice, and nothing that was there all the time is left out.
    pub next: Option<String>,
    /// Conversations that could not be searched, of those that [`scan()`] has read for this page.
    /// By an index none is read as a whole, so this is empty then.
    #[serde(skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Failed>,
}

impl<T> Page<T> {
    pub(crate) fn new(found: Vec<T>, next: Option<String>) -> Self {
        Self { found, next, failed: Vec::new() }
    }
}

/// An item in which the text was found. An item that forks share is found once: in the conversation that
/// it was recorded in, or, if that is gone or not wanted, in the first of the forks by their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hit {
    /// The id of the conversation.
    pub conversation: String,
    /// The item.
    pub item: ItemId,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// The role of its message.
    pub role: String,
    /// The part of its text in which the query was found.
    pub snippet: Snippet,
}

/// A conversation of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// When its newest item was recorded, or, without items, when it was begun.
    pub used_at: Timestamp,
    /// The value of its metadata `title`.
    pub title: Option<String>,
    /// The newest item in which the text was found, if there was one to find.
    pub hit: Option<Hit>,
}

/// The text of a message that is searched.
///
/// # Examples
/// ```
/// use turnwise::{Message, ToolCall};
/// use turnwise_store::search::searched;
///
/// let message = Message::calls([ToolCall::function("c1", "read", r#"{"file":"a.txt"}"#)]);
/// assert_eq!(searched(&message), "read {\"file\":\"a.txt\"}");
/// ```
pub fn searched(message: &Message) -> String {
    let mut text = message.text().into_owned();
    let mut add = |more: &str| {
        if !text.is_empty() && !more.is_empty() {
            text.push('\n');
        }
        text.push_str(more);
    };
    if let Some(refusal) = message.refusal() {
        add(refusal);
    }
    for call in message.tool_calls() {
        add(&format!("{} {}", call.name(), call.arguments()));
    }
    if let Some(call) = message.function_call() {
        add(&format!("{} {}", call.name(), call.arguments()));
    }
    text
}

/// The error of a cursor that no page had.
pub(crate) fn wrong_cursor(cursor: &str) -> Error {
    let detail = format!(
        "`{}` is not where a page ends; pass what `next` of a page of the same query was",
        cursor.escape_debug()
    );
    Error::new(ErrorKind::InvalidParam, detail)
}

/// The terms of a query, or why there are none.
pub(crate) fn terms(text: &str) -> Result<Terms> {
    let terms = Terms::new(text);
    if terms.is_empty() {
        let detail = format!("`{}` has no letter, digit or sign that could be searched for", text.escape_debug());
        return Err(Error::new(ErrorKind::InvalidParam, detail));
    }
    Ok(terms)
}
