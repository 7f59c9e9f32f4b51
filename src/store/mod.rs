//! `Store`: keeps many conversations by their ids. The trait that a storage engine implements, and
//! two engines.
//!
//! **Provisional**: the trait and what belongs to it may change before 1.0. A manager does not take
//! any store yet, only the files of a [`FileStore`]: [`Sessions`](crate::Sessions) have the managers
//! of a folder by their ids, [`Builder::open_in`](crate::Builder::open_in) makes one of them.
//!
//! Writers do not lock. Each write names the [`Revision`] that its writer had read, and is refused
//! with [`ErrorKind::Conflict`] if another one has written since. The writer then loads the
//! conversation, makes its change again, and writes that. [`check()`] tries whether a store keeps
//! to this.

mod check;
mod files;
mod keeper;
mod memory;

use std::fmt;
use std::sync::Arc;

pub use crate::backend::BoxFuture;
use crate::error::{Error, ErrorKind, Result};
pub use crate::transcript::Change;
use crate::transcript::Transcript;

pub use crate::violation::Violation;
pub use check::check;
pub use files::FileStore;
pub(crate) use files::on_thread;
pub(crate) use keeper::{Keeper, file, lasting_file};
pub use memory::MemoryStore;

/// The longest id of a conversation in a store, in bytes of UTF-8. See [`check_id`].
pub const MAX_ID: usize = 64;

/// Keeps conversations by their ids. A program holds it as `Arc<dyn Store>`.
///
/// An id is any text of 1 to [`MAX_ID`] bytes, such as
/// [`Conversation::id`](crate::Conversation::id); two that differ in one byte are two
/// conversations. Each call is done whole or not at all, and what it has written is there for the
/// next one, from whatever handle, process or machine. A write that was begun may be done after its
/// future was dropped.
///
/// **Provisional**: it may change before 1.0.
///
/// # Examples
/// ```
/// use turnwise::store::{MemoryStore, Store};
/// use turnwise::{ErrorKind, Transcript};
///
/// # futures_lite::future::block_on(async {
/// let store = MemoryStore::new();
/// let first = store.save("chat", &Transcript::default(), None).await?;
///
/// let (mut chat, revision) = store.load("chat").await?;
/// let before = chat.clone();
/// chat.conversation.push("Hello!");
/// store.append("chat", &chat.changes_since(&before), &revision).await?;
///
/// // A writer that has read the first revision is refused, and loads again.
/// let refused = store.save("chat", &before, Some(&first)).await.unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::Conflict);
/// assert_eq!(store.load("chat").await?.0.conversation.path().len(), 1);
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
pub trait Store: Send + Sync {
    /// A conversation, and the revision to name when it is written.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none with this id ([`not_found`]);
    /// [`ErrorKind::Limit`] for an id that is empty or too long ([`check_id`]); here and below
    /// [`ErrorKind::Io`] if the engine fails ([`failed`]).
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(Transcript, Revision)>>;

    /// Writes a whole conversation: in the place of the one that was read at a revision, or a new
    /// one.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] ([`conflict`]) if the conversation has another revision than
    /// `expected` now, or is gone; without `expected`, when there is one. [`ErrorKind::Limit`] as
    /// for [`load`](Self::load).
    fn save<'a>(
        &'a self,
        id: &'a str,
        transcript: &'a Transcript,
        expected: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<Revision>>;

    /// Writes what has changed since a revision.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] ([`conflict`]) if the conversation has another revision now, or is
    /// gone; [`ErrorKind::Damaged`] if the changes do not fit it, as [`Transcript::apply`] says.
    fn append<'a>(
        &'a self,
        id: &'a str,
        changes: &'a [Change],
        expected: &'a Revision,
    ) -> BoxFuture<'a, Result<Revision>>;

    /// The ids of at most `limit` conversations in the order of their bytes, from the first one
    /// after `after`. To read all of them, pass the last id of each page as `after` of the next.
    /// Every conversation that exists during the whole listing is then returned exactly once, even
    /// if others are begun or deleted meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the engine fails.
    fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<String>>>;

    /// Removes a conversation, at whatever revision it is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and [`ErrorKind::Limit`] as for [`load`](Self::load).
    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>>;
}

macro_rules! store_through {
    ($($pointer:ty),*) => {$(
        impl<S: Store + ?Sized> Store for $pointer {
            fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(Transcript, Revision)>> {
                (**self).load(id)
            }

            fn save<'a>(
                &'a self,
                id: &'a str,
                transcript: &'a Transcript,
                expected: Option<&'a Revision>,
            ) -> BoxFuture<'a, Result<Revision>> {
                (**self).save(id, transcript, expected)
            }

            fn append<'a>(
                &'a self,
                id: &'a str,
                changes: &'a [Change],
                expected: &'a Revision,
            ) -> BoxFuture<'a, Result<Revision>> {
                (**self).append(id, changes, expected)
            }

            fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
                (**self).list(after, limit)
            }

            fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
                (**self).delete(id)
            }
        }
    )*};
}

store_through!(Box<S>, Arc<S>, &S);

/// What a conversation was when somebody read or wrote it. Only its store knows what it says;
/// others compare it, and hand it back.
///
/// # Examples
/// ```
/// use turnwise::Transcript;
/// use turnwise::store::{MemoryStore, Store};
///
/// # futures_lite::future::block_on(async {
/// let store = MemoryStore::new();
/// let written = store.save("chat", &Transcript::default(), None).await?;
/// let (_chat, read) = store.load("chat").await?;
/// assert_eq!(written, read);
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision(Box<str>);

impl Revision {
    /// A revision, by a store: a number, a hash. Two states of one conversation have two.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The text that the store has made.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Refuses an id that no store takes.
///
/// # Errors
/// [`ErrorKind::Limit`] for one that is empty or has more than [`MAX_ID`] bytes.
///
/// # Examples
/// ```
/// use turnwise::store::check_id;
///
/// assert!(check_id("user/4711").is_ok());
/// assert!(check_id("").is_err());
/// ```
pub fn check_id(id: &str) -> Result<()> {
    match id.len() {
        1..=MAX_ID => Ok(()),
        len => {
            let detail = format!("an id of {len} bytes; 1 to {MAX_ID} are allowed");
            Err(Error::new(ErrorKind::Limit, detail))
        }
    }
}

/// The error of a store that has no conversation with this id.
///
/// # Examples
/// ```
/// use turnwise::ErrorKind;
/// use turnwise::store;
///
/// let error = store::not_found("ticket 4711");
/// assert_eq!((error.kind(), error.detail()), (ErrorKind::NotFound, "no conversation has the id `ticket 4711`"));
/// ```
pub fn not_found(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("no conversation has the id `{}`", id.escape_debug()))
}

/// The error of a store that refuses a write: the conversation is not what its writer has read.
///
/// # Examples
/// ```
/// use turnwise::ErrorKind;
/// use turnwise::store;
///
/// let error = store::conflict("ticket 4711");
/// assert_eq!(error.kind(), ErrorKind::Conflict);
/// assert!(error.detail().contains("load it and make the change again"));
/// ```
pub fn conflict(id: &str) -> Error {
    let detail = format!(
        "another writer has changed, begun or deleted the conversation `{}` since it was read here; load it and make the \
         change again",
        id.escape_debug()
    );
    Error::new(ErrorKind::Conflict, detail)
}

/// The error of a store whose engine fails, with what it was doing.
///
/// # Examples
/// ```
/// use turnwise::ErrorKind;
/// use turnwise::store;
///
/// let error = store::failed("writing to the table `items`", std::io::Error::other("the disk is full"));
/// assert_eq!((error.kind(), error.detail()), (ErrorKind::Io, "writing to the table `items`: the disk is full"));
/// ```
pub fn failed(doing: &str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, format!("{doing}: {source}")).because(source)
}
