//! `MemoryStore`: conversations in memory, for tests.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BoxFuture, Change, Revision, Store, check_id, conflict, not_found};
use crate::error::Result;
use crate::transcript::Transcript;

/// Keeps conversations in memory, as long as one of its handles is there. A clone is another
/// handle.
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
pub struct MemoryStore(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    conversations: BTreeMap<String, (Revision, Transcript)>,
    writes: u64,
}

impl Kept {
    fn write(&mut self, id: &str, transcript: Transcript) -> Revision {
        self.writes += 1;
        let revision = Revision::new(self.writes.to_string());
        self.conversations.insert(id.to_owned(), (revision.clone(), transcript));
        revision
    }
}

impl MemoryStore {
    /// A store that is empty.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(Transcript, Revision)>> {
        Box::pin(async move {
            check_id(id)?;
            let kept = self.kept();
            let (revision, transcript) = kept.conversations.get(id).ok_or_else(|| not_found(id))?;
            Ok((transcript.detached(), revision.clone()))
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
            let mut kept = self.kept();
            let current = kept.conversations.get(id).map(|(revision, _)| revision);
            if current == expected { Ok(kept.write(id, transcript.detached())) } else { Err(conflict(id)) }
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
            let mut kept = self.kept();
            let current = kept.conversations.get(id).filter(|(revision, _)| revision == expected);
            let mut transcript = current.map(|(_, transcript)| transcript.clone()).ok_or_else(|| conflict(id))?;
            transcript.apply(changes.iter().cloned())?;
            Ok(kept.write(id, transcript.detached()))
        })
    }

    fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let kept = self.kept();
            let ids = kept.conversations.range::<str, _>((from, Bound::Unbounded)).map(|(id, _)| id.clone());
            Ok(ids.take(limit).collect())
        })
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            check_id(id)?;
            self.kept().conversations.remove(id).map(drop).ok_or_else(|| not_found(id))
        })
    }
}
