//! Conversations that go by rules.

use rusqlite::{Connection, params};
use turnwise::Result;
use turnwise::conversation::Timestamp;

use super::tables::Key;
use super::{SqliteStore, deleted, failed, tables};
use crate::deleted::{BATCH, since};
use crate::forget::{Expired, Rules};

impl SqliteStore {
    /// Which conversations of this tenant [`expire`](Self::expire) would delete now, the oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    pub async fn expiring(&self, rules: &Rules) -> Result<Vec<Expired>> {
        let (tenant, rules) = (self.tenant.clone(), *rules);
        self.shared.threads.read(move |db| find(db, &tenant, &rules, usize::MAX)).await
    }

    /// Deletes the conversations of this tenant that the rules do not keep, and returns them, the oldest
    /// first. Each is gone from lists and from search in the moment in which it is deleted. Forks of a
    /// conversation that goes stay.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails. What went before that is gone.
    ///
    /// # Examples
    /// ```
    /// use turnwise::store::Store;
    /// use turnwise_store::SqliteStore;
    /// use turnwise_store::forget::Rules;
    ///
    /// # let folder = tempfile::TempDir::new()?;
    /// # let file = folder.path().join("chats.db");
    /// # futures_lite::future::block_on(async {
    /// let store = SqliteStore::open(file)?;
    /// for id in ["first", "second"] {
    ///     store.save(id, &turnwise::Transcript::default(), None).await?;
    /// }
    /// let rules = Rules::new().keep_last(1);
    /// assert_eq!(store.expiring(&rules).await?.len(), 1); // says what would go
    /// store.expire(&rules).await?;
    /// assert_eq!(store.list(None, 10).await?.len(), 1);
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn expire(&self, rules: &Rules) -> Result<Vec<Expired>> {
        let mut all = Vec::new();
        loop {
            let (tenant, rules) = (self.tenant.clone(), *rules);
            let batch = self.shared.threads.write(move |db| expire(db, &tenant, &rules)).await?;
            for gone in &batch {
                self.shared.recent.remove(&Key { tenant: self.tenant.clone(), id: gone.id.as_str().into() });
            }
            let is_last = batch.len() < BATCH;
            all.extend(batch);
            if is_last {
                return Ok(all);
            }
        }
    }
}

fn find(db: &Connection, tenant: &str, rules: &Rules, most: usize) -> Result<Vec<Expired>> {
    let doing = failed("looking for conversations that are to go");
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    // The place of each is counted from the one that was written last.
    let find = "SELECT id, changed_at FROM ( \
                    SELECT id, changed_at, row_number() OVER (ORDER BY changed_at DESC, id DESC) AS place \
                    FROM conversations WHERE tenant = ?1) \
                WHERE changed_at < ?2 OR place > ?3 ORDER BY place DESC LIMIT ?4";
    let mut find = db.prepare_cached(find).map_err(&doing)?;
    let before = rules.unused_for.map_or(i64::MIN, since);
    let keep = rules.keep_last.map_or(i64::MAX, number);
    let rows = find.query_map(params![tenant, before, keep, number(most)], |row| {
        Ok(Expired { id: row.get(0)?, changed_at: Timestamp::from_millis(row.get(1)?) })
    });
    rows.map_err(&doing)?.collect::<rusqlite::Result<_>>().map_err(&doing)
}

fn expire(db: &Connection, tenant: &str, rules: &Rules) -> Result<Vec<Expired>> {
    let expired = find(db, tenant, rules, BATCH)?;
    for gone in &expired {
        let key = Key { tenant: tenant.into(), id: gone.id.as_str().into() };
        let log = tables::find(db, &key)?.map(|row| row.at.log);
        deleted::delete(db, &key)?;
        if let Some(log) = log.filter(|_| rules.for_good) {
            deleted::purge_one(db, &key, log)?;
        }
    }
    Ok(expired)
}
