//! A store in memory with something that happens around its calls.

use turnwise::backend::BoxFuture;
use turnwise::store::{MemoryStore, Revision, Store};
use turnwise::transcript::Change;
use turnwise::{Result, Transcript};

/// What a store is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Load,
    Save,
    Append,
    Fork,
    List,
    Delete,
}

/// What happens around the calls of a store. It may wait, write something itself, or fail.
pub(crate) trait Hook: Send + Sync {
    /// Before a call about a conversation; a fork is one about the new one, a list about none.
    fn before<'a>(&'a self, _: &'a MemoryStore, _: Call, _: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// After a call that succeeded.
    fn after<'a>(&'a self, _: &'a MemoryStore, _: Call, _: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

#[derive(Clone, Default)]
pub(crate) struct Hooked<H> {
    pub(crate) store: MemoryStore,
    pub(crate) hook: H,
}

impl<H: Hook> Hooked<H> {
    pub(crate) fn new(hook: H) -> Self {
        Self { store: MemoryStore::new(), hook }
    }

    async fn around<T>(&self, call: Call, id: &str, done: impl Future<Output = Result<T>>) -> Result<T> {
        self.hook.before(&self.store, call, id).await?;
        let done = done.await?;
        self.hook.after(&self.store, call, id).await?;
        Ok(done)
    }
}

impl<H: Hook> Store for Hooked<H> {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(Transcript, Revision)>> {
        Box::pin(self.around(Call::Load, id, self.store.load(id)))
    }

    fn save<'a>(
        &'a self,
        id: &'a str,
        transcript: &'a Transcript,
        expected: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<Revision>> {
        Box::pin(self.around(Call::Save, id, self.store.save(id, transcript, expected)))
    }

    fn append<'a>(
        &'a self,
        id: &'a str,
        changes: &'a [Change],
        expected: &'a Revision,
    ) -> BoxFuture<'a, Result<Revision>> {
        Box::pin(self.around(Call::Append, id, self.store.append(id, changes, expected)))
    }

    fn fork<'a>(&'a self, id: &'a str, fork: &'a str) -> BoxFuture<'a, Result<Revision>> {
        Box::pin(self.around(Call::Fork, fork, self.store.fork(id, fork)))
    }

    fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(self.around(Call::List, "", self.store.list(after, limit)))
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.around(Call::Delete, id, self.store.delete(id)))
    }
}
