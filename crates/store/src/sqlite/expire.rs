//! Conversations that go by rules.

use rusqlite::{Connection, params};
use turnwise::Result;
use turnwise::conversation::Timestamp;

use super::tables::{At, Key};
use super::{SqliteStore, deleted, failed, tables};
use crate::deleted::since;
use crate::each::in_steps;
use crate::forget::{Expired, Forgotten, Rules};

impl SqliteStore {
    /// Which conversations of this tenant [`expire`](Self::expire) would delete now, the oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    pub async fn expiring(&self, rules: &Rules) -> Result<Vec<Expired>> {
        let (tenant, rules) = (self.tenant.clone(), *rules);
        let found = self.shared.threads.read(move |db| find(db, &tenant, &rules)).await?;
        Ok(found.into_iter().map(|found| found.expired).collect())
    }

    /// Deletes the conversations of this tenant that the rules do not keep, the oldest first. Each
    /// is gone from lists and from search in the moment in which it is deleted. Forks of a
    /// conversation that goes stay, and so does one that is written to meanwhile.
    ///
    /// They are looked for once, beside what is written, and deleted in steps, between which others
    /// write. One that cannot be deleted is in [`Forgotten::failed`], and the others go.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails: two
    /// conversations in a row cannot be deleted, each alone. What went before that is gone.
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
    /// assert_eq!(store.expire(&rules).await?.gone.len(), 1);
    /// assert_eq!(store.list(None, 10).await?.len(), 1);
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn expire(&self, rules: &Rules) -> Result<Forgotten> {
        let (tenant, rules) = (self.tenant.clone(), *rules);
        let found = self.shared.threads.read(move |db| find(db, &tenant, &rules)).await?;
        let steps = in_steps(
            self,
            &found,
            |found| &found.expired.id,
            |batch| {
                let (tenant, for_good) = (self.tenant.clone(), rules.for_good);
                self.shared.threads.write(move |db| remove(db, &tenant, batch, for_good))
            },
        );
        let steps = steps.await?;
        for gone in &steps.done {
            self.shared.recent.remove(&Key { tenant: self.tenant.clone(), id: gone.id.as_str().into() });
        }
        Ok(Forgotten { gone: steps.done, failed: steps.failed })
    }
}

/// A conversation that is to go, as it was when it was found.
#[derive(Clone)]
struct Found {
    expired: Expired,
    at: At,
}

fn find(db: &Connection, tenant: &str, rules: &Rules) -> Result<Vec<Found>> {
    let doing = failed("looking for conversations that are to go");
    // The place of each is counted from the one that was written last.
    let find = "SELECT id, changed_at, log, last FROM ( \
                    SELECT id, changed_at, log, last, row_number() OVER (ORDER BY changed_at DESC, id DESC) AS place \
                    FROM conversations WHERE tenant = ?1) \
                WHERE changed_at < ?2 OR place > ?3 ORDER BY place DESC";
    let mut find = db.prepare_cached(find).map_err(&doing)?;
    let before = rules.unused_for.map_or(i64::MIN, since);
    let keep = rules.keep_last.map_or(i64::MAX, |count| i64::try_from(count).unwrap_or(i64::MAX));
    let rows = find.query_map(params![tenant, before, keep], |row| {
        let expired = Expired { id: row.get(0)?, changed_at: Timestamp::from_millis(row.get(1)?) };
        Ok(Found { expired, at: At { log: row.get(2)?, last: row.get(3)? } })
    });
    rows.map_err(&doing)?.collect::<rusqlite::Result<_>>().map_err(&doing)
}

/// Removes those that are as they were found, and returns them.
fn remove(db: &Connection, tenant: &str, found: Vec<Found>, for_good: bool) -> Result<Vec<Expired>> {
    let mut gone = Vec::with_capacity(found.len());
    for Found { expired, at } in found {
        let key = Key { tenant: tenant.into(), id: expired.id.as_str().into() };
        if tables::find(db, &key)?.is_none_or(|row| row.at != at) {
            continue;
        }
        deleted::delete(db, &key)?;
        if for_good {
            deleted::purge_one(db, &key, at.log)?;
        }
        gone.push(expired);
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use turnwise::store::{Store, wait};
    use turnwise::{Conversation, Message, Transcript};

    use super::*;

    #[test]
    fn what_is_written_to_after_it_was_found_stays() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = SqliteStore::open(folder.path().join("chats.db")).unwrap();
        for id in ["gone", "read", "restarted"] {
            wait(store.save(id, &Transcript::default(), None)).unwrap();
            wait(store.delete(id)).unwrap();
            wait(store.restore(id)).unwrap();
        }
        wait(store.save("written", &Transcript::default(), None)).unwrap();
        let rules = Rules::new().keep_last(0);
        let found = wait(store.shared.threads.read(move |db| find(db, "", &rules))).unwrap();
        assert_eq!(found.len(), 4);
        let (before, revision) = wait(store.load("written")).unwrap();
        let mut after = before.clone();
        after.conversation.push("Hi");
        wait(store.append("written", &after.changes_since(&before), &revision)).unwrap();
        wait(store.delete("restarted")).unwrap();
        let again = Transcript::new(Conversation::from_messages([Message::user("Hi")]));
        wait(store.save("restarted", &again, None)).unwrap();

        let removed = wait(store.shared.threads.write(move |db| remove(db, "", found, true))).unwrap();
        let mut removed: Vec<String> = removed.into_iter().map(|gone| gone.id).collect();
        removed.sort();
        assert_eq!(removed, ["gone", "read"]);
        assert_eq!(wait(store.list(None, 10)).unwrap(), ["restarted", "written"]);
    }
}
