//! `MemoryStore`: conversations in memory, for tests and for programs that need no storage.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BoxFuture, Change, Revision, Store, check_id, conflict, not_found};
use crate::error::Result;
use crate::transcript::Transcript;

/// Keeps conversations in memory until its last clone is dropped: clones share them. It stores copies
/// of the transcripts that it is given, and returns copies.
///
/// **Provisional**: it may change before 1.0.
///
/// # Examples
/// ```
/// use turnwise::store::{MemoryStore, Store};
/// use turnwise::{Conversation, Message, Transcript};
///
/// # futures_lite::future::block_on(async {
/// let store = MemoryStore::new();
/// let talk = Conversation::from_messages([Message::user("Hi")]);
/// store.save("ann", &Transcript::new(talk), None).await?;
/// assert_eq!(store.list(None, 10).await?, ["ann"]);
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    conversations: BTreeMap<String, (Revision, Transcript)>,
    /// The number of writes to all conversations. The next write's revision is one more, so that a
    /// conversation that is deleted and begun again has a new one.
    writes: u64,
}

impl State {
    fn get(&self, id: &str) -> Result<&(Revision, Transcript)> {
        self.conversations.get(id).ok_or_else(|| not_found(id))
    }

    fn write(&mut self, id: &str, transcript: Transcript) -> Revision {
        self.writes += 1;
        let revision = Revision::new(self.writes.to_string());
        self.conversations.insert(id.to_owned(), (revision.clone(), transcript));
        revision
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(Transcript, Revision)>> {
        Box::pin(async move {
            check_id(id)?;
            let state = self.lock();
            let (revision, transcript) = state.get(id)?;
            // Clones of a transcript share the table of what was learned from bills. The caller's copy
            // gets a table of its own.
            Ok((transcript.detached(), revision.clone()))
        })
    }

    fn revision<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Revision>> {
        Box::pin(async move {
            check_id(id)?;
            Ok(self.lock().get(id)?.0.clone())
        })
    }

    fn save<'a>(
        &'a self,
        id: &'a str,
        transcript: &'a Transcript,
        expected: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<Revision>> {
        Box::pin(async move {
            check_id(id)?;
            let mut state = self.lock();
            // This refuses all three conflicts: the conversation exists although none was expected,
            // it was changed since it was read, or it was deleted.
            let current = state.conversations.get(id).map(|(revision, _)| revision);
            if current != expected {
                return Err(conflict(id));
            }
            Ok(state.write(id, transcript.detached()))
        })
    }

    fn append<'a>(
        &'a self,
        id: &'a str,
        changes: &'a [Change],
        expected: &'a Revision,
    ) -> BoxFuture<'a, Result<Revision>> {
        Box::pin(async move {
            check_id(id)?;
            let mut state = self.lock();
            // For a caller that has read it, a deleted conversation is a conflict too.
            let current = state.conversations.get(id).filter(|(revision, _)| revision == expected);
            let mut transcript = current.map(|(_, transcript)| transcript.clone()).ok_or_else(|| conflict(id))?;
            // The changes are made to a copy, so that an error leaves the stored transcript as it was.
            transcript.apply(changes.iter().cloned())?;
            Ok(state.write(id, transcript.detached()))
        })
    }

    fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let state = self.lock();
            let ids = state.conversations.range::<str, _>((from, Bound::Unbounded)).map(|(id, _)| id.clone());
            Ok(ids.take(limit).collect())
        })
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            check_id(id)?;
            self.lock().conversations.remove(id).map(drop).ok_or_else(|| not_found(id))
        })
    }
}
