//! What a store does, whichever engine keeps its rows.

use turnwise::store::{BoxFuture, Change, Revision, check_id, conflict, not_found};
use turnwise::tokens::Calibration;
use turnwise::{Error, ErrorKind, Result, Transcript};

use crate::recent::{self, Known, Recent};
use crate::rows::{At, Key, Lines, Row};
use crate::seal::Seal;

/// An answer that needs no executor of its caller.
pub(crate) type Answer<T> = BoxFuture<'static, Result<T>>;

/// Reads and writes the rows of conversations. What is written is written whole or not at all, even
/// if the future is dropped.
pub(crate) trait Engine: Sync {
    /// The conversations that were used last.
    fn recent(&self) -> &Recent;

    /// Whose conversations these are.
    fn tenant(&self) -> &str;

    /// What is between changes and their rows.
    fn seal(&self) -> &Seal;

    fn find(&self, key: Key) -> Answer<Option<Row>>;

    /// A conversation as it is now. Of what is known only what came after it is read.
    fn read(&self, key: Key, known: Option<(At, Transcript)>) -> Answer<Option<(Transcript, Row)>>;

    /// A conversation as lines. A long one takes its time, which is no work for the caller's thread.
    fn lines(&self, whole: Transcript) -> Answer<Lines>;

    /// Writes a whole conversation in the place of the one that is at a revision, or a new one.
    fn write(&self, key: Key, at: Option<At>, lines: Lines) -> Answer<At>;

    /// Adds lines to the conversation that is at a revision.
    fn add(&self, key: Key, at: At, lines: Lines) -> Answer<At>;

    /// Begins a conversation that has all that another one has now.
    fn begin_fork(&self, key: Key, fork: Key) -> Answer<At>;

    fn ids(&self, after: Option<&str>, limit: usize) -> Answer<Vec<String>>;

    fn hide(&self, key: Key) -> Answer<()>;
}

pub(crate) fn key(engine: &impl Engine, id: &str) -> Result<Key> {
    check_id(id)?;
    Ok(Key { tenant: engine.tenant().into(), id: id.into() })
}

pub(crate) async fn load(engine: &impl Engine, id: &str) -> Result<(Transcript, Revision)> {
    let mut known = read(engine, &key(engine, id)?).await?.ok_or_else(|| not_found(id))?;
    known.transcript.calibration = copied(&known.transcript.calibration)?;
    Ok((known.transcript, known.at.revision()))
}

pub(crate) async fn save(
    engine: &impl Engine,
    id: &str,
    transcript: &Transcript,
    expected: Option<&Revision>,
) -> Result<Revision> {
    let key = key(engine, id)?;
    let at = expected.map(|revision| At::of(revision).ok_or_else(|| conflict(id))).transpose()?;
    write_whole(engine, key, transcript.clone(), at).await
}

pub(crate) async fn append(
    engine: &impl Engine,
    id: &str,
    changes: &[Change],
    expected: &Revision,
) -> Result<Revision> {
    let key = key(engine, id)?;
    let at = At::of(expected).ok_or_else(|| conflict(id))?;
    if changes.is_empty() {
        let now = revision(engine, id).await.map_err(|error| gone(id, error))?;
        return if now == *expected { Ok(now) } else { Err(conflict(id)) };
    }
    let Known { mut transcript, bytes, .. } = read_at(engine, &key, at).await?;
    transcript.apply(changes.iter().cloned())?;
    if changes.iter().any(Change::removes_text) {
        return write_whole(engine, key, transcript, Some(at)).await;
    }
    let lines = Lines::of(changes, engine.seal())?;
    let bytes = bytes + lines.bytes;
    let at = engine.add(key.clone(), at, lines).await?;
    recent::put(engine.recent(), key, Known { at, bytes, transcript });
    Ok(at.revision())
}

pub(crate) async fn revision(engine: &impl Engine, id: &str) -> Result<Revision> {
    let row = engine.find(key(engine, id)?).await?;
    Ok(row.ok_or_else(|| not_found(id))?.at.revision())
}

pub(crate) async fn fork(engine: &impl Engine, id: &str, fork: &str) -> Result<Revision> {
    let at = engine.begin_fork(key(engine, id)?, key(engine, fork)?).await?;
    Ok(at.revision())
}

pub(crate) async fn delete(engine: &impl Engine, id: &str) -> Result<()> {
    let key = key(engine, id)?;
    engine.recent().remove(&key);
    engine.hide(key).await
}

/// A conversation as it is now.
async fn read(engine: &impl Engine, key: &Key) -> Result<Option<Known>> {
    let known = engine.recent().get(key).map(|known| (known.at, known.transcript));
    let found = engine.read(key.clone(), known).await?;
    let read = found.map(|(transcript, row)| Known { at: row.at, bytes: row.bytes, transcript });
    if let Some(known) = &read {
        keep(engine, key.clone(), known.clone());
    }
    Ok(read)
}

/// A conversation as it is at a revision, which is the newest.
async fn read_at(engine: &impl Engine, key: &Key, at: At) -> Result<Known> {
    if let Some(known) = engine.recent().get(key).filter(|known| known.at == at) {
        return Ok(known);
    }
    read(engine, key).await?.filter(|known| known.at == at).ok_or_else(|| conflict(&key.id))
}

/// Writes a whole conversation, in the place of one that is at a revision.
async fn write_whole(engine: &impl Engine, key: Key, transcript: Transcript, at: Option<At>) -> Result<Revision> {
    let lines = engine.lines(transcript.clone()).await?;
    let bytes = lines.bytes;
    let at = engine.write(key.clone(), at, lines).await?;
    keep(engine, key, Known { at, bytes, transcript });
    Ok(at.revision())
}

/// Keeps a conversation with a table of its own of what was learned: clones share it, and the caller's
/// will go on.
fn keep(engine: &impl Engine, key: Key, mut known: Known) {
    if let Ok(calibration) = copied(&known.transcript.calibration) {
        known.transcript.calibration = calibration;
        recent::put(engine.recent(), key, known);
    }
}

/// A copy of what was learned that shares nothing.
fn copied(calibration: &Calibration) -> Result<Calibration> {
    if calibration.is_empty() {
        return Ok(Calibration::new());
    }
    let copy = serde_json::to_value(calibration).and_then(serde_json::from_value);
    copy.map_err(|e| turnwise::store::failed("copying what was learned", e))
}

/// For a writer that has read it, a conversation that is gone is a conflict.
fn gone(id: &str, error: Error) -> Error {
    if error.kind() == ErrorKind::NotFound { conflict(id) } else { error }
}

/// Checks the name of a tenant.
pub(crate) fn check_tenant(name: &str) -> Result<()> {
    if check_id(name).is_ok() {
        return Ok(());
    }
    let allowed = turnwise::store::MAX_ID;
    let detail = format!("a tenant's name of {} bytes; 1 to {allowed} are allowed", name.len());
    Err(Error::new(ErrorKind::Limit, detail))
}

/// Implements the trait `Store` for an [`Engine`].
macro_rules! store_over_engine {
    ($store:ty) => {
        impl turnwise::store::Store for $store {
            fn load<'a>(
                &'a self,
                id: &'a str,
            ) -> turnwise::store::BoxFuture<'a, turnwise::Result<(turnwise::Transcript, turnwise::store::Revision)>>
            {
                Box::pin($crate::engine::load(self, id))
            }

            fn save<'a>(
                &'a self,
                id: &'a str,
                transcript: &'a turnwise::Transcript,
                expected: Option<&'a turnwise::store::Revision>,
            ) -> turnwise::store::BoxFuture<'a, turnwise::Result<turnwise::store::Revision>> {
                Box::pin($crate::engine::save(self, id, transcript, expected))
            }

            fn append<'a>(
                &'a self,
                id: &'a str,
                changes: &'a [turnwise::store::Change],
                expected: &'a turnwise::store::Revision,
            ) -> turnwise::store::BoxFuture<'a, turnwise::Result<turnwise::store::Revision>> {
                Box::pin($crate::engine::append(self, id, changes, expected))
            }

            fn revision<'a>(
                &'a self,
                id: &'a str,
            ) -> turnwise::store::BoxFuture<'a, turnwise::Result<turnwise::store::Revision>> {
                Box::pin($crate::engine::revision(self, id))
            }

            /// Nothing is copied: what both have is kept once.
            fn fork<'a>(
                &'a self,
                id: &'a str,
                fork: &'a str,
            ) -> turnwise::store::BoxFuture<'a, turnwise::Result<turnwise::store::Revision>> {
                Box::pin($crate::engine::fork(self, id, fork))
            }

            fn list<'a>(
                &'a self,
                after: Option<&'a str>,
                limit: usize,
            ) -> turnwise::store::BoxFuture<'a, turnwise::Result<Vec<String>>> {
                $crate::engine::Engine::ids(self, after, limit)
            }

            fn delete<'a>(&'a self, id: &'a str) -> turnwise::store::BoxFuture<'a, turnwise::Result<()>> {
                Box::pin($crate::engine::delete(self, id))
            }
        }
    };
}

pub(crate) use store_over_engine;
