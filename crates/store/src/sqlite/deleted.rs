//! Deleted conversations: hidden, restored, purged.

use rusqlite::{Connection, OptionalExtension, params};
use turnwise::Result;
use turnwise::conversation::Timestamp;
use turnwise::store::{Revision, not_found};

use super::tables::{self, At, Key};
use super::{SqliteStore, failed};
use crate::catalog::Deleted;
use crate::deleted::{in_use_again, not_deleted, not_to_be_purged, since};
use crate::each::in_steps;
use crate::engine;
use crate::forget::Purged;

impl SqliteStore {
    /// Brings a deleted conversation back as it was. If several had this id, the one that was deleted
    /// last.
    ///
    /// # Errors
    /// - [`ErrorKind::NotFound`](turnwise::ErrorKind::NotFound) if none with this id was deleted within the
    ///   [retention time](Self::with_retention), or it was purged.
    /// - [`ErrorKind::Conflict`](turnwise::ErrorKind::Conflict) if there is a new conversation with this id.
    /// - [`ErrorKind::Limit`](turnwise::ErrorKind::Limit) as for [`load`](turnwise::store::Store::load).
    ///
    /// # Examples
    /// ```
    /// use turnwise::store::Store;
    /// use turnwise_store::SqliteStore;
    ///
    /// # let folder = tempfile::TempDir::new()?;
    /// # let file = folder.path().join("chats.db");
    /// # futures_lite::future::block_on(async {
    /// let store = SqliteStore::open(file)?;
    /// let saved = store.save("chat", &turnwise::Transcript::default(), None).await?;
    /// store.delete("chat").await?;
    /// assert_eq!(store.deleted(None, 10).await?[0].id, "chat");
    /// assert_eq!(store.restore("chat").await?, saved);
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn restore(&self, id: &str) -> Result<Revision> {
        let (key, since) = (engine::key(self, id)?, since(self.retention));
        let at = self.shared.threads.write(move |db| restore(db, &key, since)).await?;
        Ok(at.revision())
    }

    /// The deleted conversations in the order of their ids, at most `limit` of them after `after`. Those
    /// whose retention time is over are listed until they are purged.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    pub async fn deleted(&self, after: Option<&str>, limit: usize) -> Result<Vec<Deleted>> {
        let (tenant, after) = (self.tenant.clone(), after.unwrap_or_default().to_owned());
        self.shared.threads.read(move |db| list(db, &tenant, &after, limit)).await
    }

    /// Removes for good the deleted conversations with this id, however many there were. Their text is
    /// overwritten in the file; forks keep what they share. A conversation that is not deleted stays:
    /// delete it first.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](turnwise::ErrorKind::NotFound) if no deleted conversation has this id; [`ErrorKind::Limit`](turnwise::ErrorKind::Limit) as for
    /// [`load`](turnwise::store::Store::load).
    pub async fn purge(&self, id: &str) -> Result<()> {
        let key = engine::key(self, id)?;
        self.shared.threads.write(move |db| purge(db, &key)).await
    }

    /// Removes for good the deleted conversations of this tenant whose
    /// [retention time](Self::with_retention) is over. Nothing does so on its own. One that cannot
    /// be removed is in [`Purged::failed`], and the others go.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails: two
    /// conversations in a row cannot be removed, each alone. Those that were purged before that stay so.
    pub async fn purge_expired(&self) -> Result<Purged> {
        let (tenant, before) = (self.tenant.clone(), since(self.retention));
        let found = self.shared.threads.read(move |db| deleted_before(db, &tenant, before)).await?;
        let steps = in_steps(
            self,
            &found,
            |(id, _)| id,
            |batch| {
                let tenant = self.tenant.clone();
                self.shared.threads.write(move |db| purge_batch(db, &tenant, &batch))
            },
        );
        let steps = steps.await?;
        Ok(Purged { count: steps.done.len(), failed: steps.failed })
    }
}

pub(super) fn delete(db: &Connection, key: &Key) -> Result<()> {
    let doing = failed("deleting a conversation");
    let keep = "INSERT INTO deleted (tenant, id, log, last, bytes, created_at, changed_at, deleted_at) \
                SELECT tenant, id, log, last, bytes, created_at, changed_at, ?3 FROM conversations \
                WHERE tenant = ?1 AND id = ?2";
    if db.execute(keep, params![key.tenant, key.id, tables::now()]).map_err(&doing)? == 0 {
        return Err(not_found(&key.id));
    }
    let hide = "DELETE FROM conversations WHERE tenant = ?1 AND id = ?2";
    db.execute(hide, params![key.tenant, key.id]).map_err(&doing)?;
    Ok(())
}

fn restore(db: &Connection, key: &Key, since: i64) -> Result<At> {
    let doing = failed("restoring a conversation");
    let newest = "SELECT log, last FROM deleted WHERE tenant = ?1 AND id = ?2 AND deleted_at >= ?3 \
                  ORDER BY deleted_at DESC LIMIT 1";
    let at =
        db.query_row(newest, params![key.tenant, key.id, since], |row| Ok(At { log: row.get(0)?, last: row.get(1)? }));
    let at = at.optional().map_err(&doing)?.ok_or_else(|| not_deleted(key))?;
    if tables::find(db, key)?.is_some() {
        return Err(in_use_again(key));
    }
    let show = "INSERT INTO conversations (tenant, id, log, last, bytes, created_at, changed_at) \
                SELECT tenant, id, log, last, bytes, created_at, changed_at FROM deleted \
                WHERE tenant = ?1 AND id = ?2 AND log = ?3";
    db.execute(show, params![key.tenant, key.id, at.log]).map_err(&doing)?;
    let forget = "DELETE FROM deleted WHERE tenant = ?1 AND id = ?2 AND log = ?3";
    db.execute(forget, params![key.tenant, key.id, at.log]).map_err(&doing)?;
    Ok(at)
}

fn list(db: &Connection, tenant: &str, after: &str, limit: usize) -> Result<Vec<Deleted>> {
    let doing = failed("listing deleted conversations");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let list = "SELECT id, max(deleted_at) FROM deleted WHERE tenant = ?1 AND id > ?2 GROUP BY id ORDER BY id LIMIT ?3";
    let mut list = db.prepare_cached(list).map_err(&doing)?;
    let rows = list.query_map(params![tenant, after, limit], |row| {
        Ok(Deleted { id: row.get(0)?, deleted_at: Timestamp::from_millis(row.get(1)?) })
    });
    rows.map_err(&doing)?.collect::<rusqlite::Result<_>>().map_err(&doing)
}

fn purge(db: &Connection, key: &Key) -> Result<()> {
    let doing = failed("purging a conversation");
    let logs = "SELECT log FROM deleted WHERE tenant = ?1 AND id = ?2";
    let mut logs = db.prepare_cached(logs).map_err(&doing)?;
    let logs = logs.query_map(params![key.tenant, key.id], |row| row.get(0)).map_err(&doing)?;
    let logs: Vec<i64> = logs.collect::<rusqlite::Result<_>>().map_err(&doing)?;
    if logs.is_empty() {
        return Err(not_to_be_purged(key));
    }
    logs.into_iter().try_for_each(|log| purge_one(db, key, log))
}

/// The id and the log of what was deleted before a time.
fn deleted_before(db: &Connection, tenant: &str, before: i64) -> Result<Vec<(String, i64)>> {
    let doing = failed("purging conversations");
    let expired = "SELECT id, log FROM deleted WHERE tenant = ?1 AND deleted_at < ?2 ORDER BY deleted_at";
    let mut expired = db.prepare_cached(expired).map_err(&doing)?;
    let rows = expired.query_map(params![tenant, before], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.map_err(&doing)?.collect::<rusqlite::Result<_>>().map_err(&doing)
}

/// Purges those that are deleted still; an element for each.
fn purge_batch(db: &Connection, tenant: &str, deleted: &[(String, i64)]) -> Result<Vec<()>> {
    let is_deleted = "SELECT EXISTS (SELECT 1 FROM deleted WHERE tenant = ?1 AND id = ?2 AND log = ?3)";
    let mut is_deleted = db.prepare_cached(is_deleted).map_err(failed("purging conversations"))?;
    let mut purged = Vec::new();
    for (id, log) in deleted {
        let found = is_deleted.query_row(params![tenant, id, log], |row| row.get(0));
        if found.map_err(failed("purging conversations"))? {
            purge_one(db, &Key { tenant: tenant.into(), id: id.as_str().into() }, *log)?;
            purged.push(());
        }
    }
    Ok(purged)
}

pub(super) fn purge_one(db: &Connection, key: &Key, log: i64) -> Result<()> {
    let forget = "DELETE FROM deleted WHERE tenant = ?1 AND id = ?2 AND log = ?3";
    db.execute(forget, params![key.tenant, key.id, log]).map_err(failed("purging a conversation"))?;
    tables::give_up(db, &key.tenant, log)
}
