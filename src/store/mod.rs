//! `Store`: keeps many conversations by their ids. The trait that a storage engine implements, and
//! two engines.
//!
//! **Provisional**: the trait and what belongs to it may change before 1.0.
//!
//! [`Sessions`](crate::Sessions) have a manager for each conversation that is in use:
//! [`Builder::sessions`](crate::Builder::sessions) those of a folder,
//! [`Builder::sessions_over`](crate::Builder::sessions_over) those of any store.
//!
//! Writers do not lock. Each write names the [`Revision`] that its writer had read, and is refused
//! with [`ErrorKind::Conflict`] if another one has written since. The writer then loads the
//! conversation, makes its change again, and writes that. [`check()`] tries whether a store keeps
//! to this.

mod check;
mod files;
mod home;
mod keeper;
mod kept;
mod memory;
mod recent;
mod wait;

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
pub(crate) use home::Home;
pub(crate) use keeper::{Keeper, file, file_in_folder, lasting_file};
pub use memory::MemoryStore;
pub use recent::Recent;
pub use wait::wait;

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
/// **No future needs the caller's executor.** A manager saves a change before the method that makes
/// it returns, so it blocks its thread until the store's future is ready, and that thread may be the
/// only one of a runtime. An engine that waits for a disk or a network does so on threads of its
/// own, and wakes the future from there.
///
/// What a write replaces or purges must not be found in the storage afterwards: a program that
/// redacts a conversation relies on that.
///
/// **Provisional**: it may change before 1.0.
///
/// # Examples
/// A whole store, over a table of an engine. [`check()`] tries whether it keeps its promises.
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex, PoisonError};
///
/// use turnwise::store::{self, BoxFuture, Change, Revision, Store};
/// use turnwise::{Result, Transcript};
///
/// #[derive(Clone, Default)]
/// struct MyStore(Arc<Mutex<Table>>);
///
/// /// In the place of a database.
/// #[derive(Default)]
/// struct Table {
///     /// By id: the revision, and the conversation as JSON.
///     rows: BTreeMap<String, (Revision, String)>,
///     /// Counts the writes to all rows, so that no revision is used again, even after a delete.
///     writes: u64,
/// }
///
/// impl MyStore {
///     /// Reads a row and writes what is made of it, as one transaction.
///     fn write(
///         &self,
///         id: &str,
///         expected: Option<&Revision>,
///         make: impl FnOnce(Option<Transcript>) -> Result<Transcript>,
///     ) -> Result<Revision> {
///         store::check_id(id)?;
///         let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
///         let row = table.rows.get(id);
///         if row.map(|(revision, _)| revision) != expected {
///             return Err(store::conflict(id));
///         }
///         let before = row.map(|(_, json)| Transcript::from_json(json)).transpose()?;
///         let json = make(before)?.to_json();
///         table.writes += 1;
///         let revision = Revision::new(table.writes.to_string());
///         table.rows.insert(id.to_owned(), (revision.clone(), json));
///         Ok(revision)
///     }
/// }
///
/// // An engine that waits for a network awaits it in these futures.
/// impl Store for MyStore {
///     fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(Transcript, Revision)>> {
///         Box::pin(async move {
///             store::check_id(id)?;
///             let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
///             let (revision, json) = table.rows.get(id).ok_or_else(|| store::not_found(id))?;
///             Ok((Transcript::from_json(json)?, revision.clone()))
///         })
///     }
///
///     fn save<'a>(
///         &'a self,
///         id: &'a str,
///         transcript: &'a Transcript,
///         expected: Option<&'a Revision>,
///     ) -> BoxFuture<'a, Result<Revision>> {
///         Box::pin(async move { self.write(id, expected, |_| Ok(transcript.clone())) })
///     }
///
///     // An engine that keeps a row for each change adds rows here, and applies them when it loads.
///     fn append<'a>(
///         &'a self,
///         id: &'a str,
///         changes: &'a [Change],
///         expected: &'a Revision,
///     ) -> BoxFuture<'a, Result<Revision>> {
///         Box::pin(async move {
///             self.write(id, Some(expected), |before| {
///                 let mut transcript = before.unwrap_or_default();
///                 transcript.apply(changes.iter().cloned())?;
///                 Ok(transcript)
///             })
///         })
///     }
///
///     fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
///         Box::pin(async move {
///             let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
///             let ids = table.rows.keys().filter(|id| after.is_none_or(|after| id.as_str() > after));
///             Ok(ids.take(limit).cloned().collect())
///         })
///     }
///
///     fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
///         Box::pin(async move {
///             store::check_id(id)?;
///             let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
///             table.rows.remove(id).map(drop).ok_or_else(|| store::not_found(id))
///         })
///     }
/// }
///
/// # futures_lite::future::block_on(async {
/// let store = MyStore::default();
/// store::check(|| store.clone()).await?;
/// # Ok::<(), store::Violation>(())
/// # })?;
/// # Ok::<(), store::Violation>(())
/// ```
///
/// A writer that has not read what another one has written is refused:
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

    /// The revision of a conversation without its content. An engine that can tell it without
    /// reading the conversation should do so.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    fn revision<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Revision>> {
        Box::pin(async move { Ok(self.load(id).await?.1) })
    }

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

    /// Begins the conversation `fork` as a copy of the conversation `id` with its own id and time.
    /// Later changes of one do not change the other. An engine that can share what both have, and so
    /// copy nothing, should do so.
    ///
    /// # Errors
    /// As for [`load`](Self::load), and [`ErrorKind::Conflict`] if there is a conversation with the
    /// id `fork`.
    fn fork<'a>(&'a self, id: &'a str, fork: &'a str) -> BoxFuture<'a, Result<Revision>> {
        Box::pin(async move {
            check_id(fork)?;
            let (mut transcript, _) = self.load(id).await?;
            transcript.begin_fork(fork);
            self.save(fork, &transcript.detached(), None).await
        })
    }

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

            fn revision<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Revision>> {
                (**self).revision(id)
            }

            fn fork<'a>(&'a self, id: &'a str, fork: &'a str) -> BoxFuture<'a, Result<Revision>> {
                (**self).fork(id, fork)
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
    /// A revision, by a store: a number, a hash. Two states of one conversation have two, and none
    /// is used again for another state, even if the conversation is deleted and its id begun again.
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

/// Whether an id is one that a server gives to the responses (`resp_` and 50 hexadecimal digits) and
/// completions (`chatcmpl-` and 44) that it stores beside the conversations. They are records of the
/// server and no conversations: what shows conversations leaves them out.
///
/// # Examples
/// ```
/// use turnwise::store::is_of_server;
///
/// assert!(is_of_server(&format!("resp_{}", "0".repeat(50))));
/// assert!(!is_of_server("conv_0") && !is_of_server("resp_of_ann"));
/// ```
pub fn is_of_server(id: &str) -> bool {
    let forms = [("resp_", 50), ("chatcmpl-", 44)];
    let is = |(prefix, count): (&str, usize)| {
        let digits = id.strip_prefix(prefix).filter(|digits| digits.len() == count);
        digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    forms.into_iter().any(is)
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
         change again (with a manager: `reload` it)",
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
    Error::new(ErrorKind::Io, format!("{doing}: {source}")).quoting(source)
}
