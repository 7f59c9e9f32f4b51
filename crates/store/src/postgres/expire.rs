//! Conversations that go by rules.

use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use turnwise::Result;
use turnwise::conversation::Timestamp;

use super::PostgresStore;
use super::connections::{Values, Work};
use super::failure::Failure;
use super::index::remove;
use super::tables::{give_up, read_back, stored};
use crate::deleted::since;
use crate::each::in_steps;
use crate::forget::{Expired, Forgotten, Rules};
use crate::rows::{Key, now};

impl PostgresStore {
    /// Which conversations of this tenant [`expire`](Self::expire) would delete now, the oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    pub async fn expiring(&self, rules: &Rules) -> Result<Vec<Expired>> {
        self.shared.connections.write(Find { tenant: self.tenant.clone(), rules: *rules }).await
    }

    /// Deletes the conversations of this tenant that the rules do not keep, the oldest first. Each
    /// is gone from lists and from search in the moment in which it is deleted. Forks of a
    /// conversation that goes stay, and so does one that is written to meanwhile. They are looked
    /// for once; many go in several transactions. One that cannot be deleted is in
    /// [`Forgotten::failed`], and the others go.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails: two
    /// conversations in a row cannot be deleted, each alone. What went before that is gone.
    pub async fn expire(&self, rules: &Rules) -> Result<Forgotten> {
        let found = self.expiring(rules).await?;
        let steps = in_steps(
            self,
            &found,
            |found| &found.id,
            |batch| {
                let remove = Remove { tenant: self.tenant.clone(), batch, for_good: rules.for_good };
                self.shared.connections.write(remove)
            },
        );
        let steps = steps.await?;
        for gone in &steps.done {
            self.shared.recent.remove(&Key { tenant: self.tenant.clone(), id: gone.id.as_str().into() });
        }
        Ok(Forgotten { gone: steps.done, failed: steps.failed })
    }
}

struct Find {
    tenant: Box<str>,
    rules: Rules,
}

impl Work for Find {
    type Done = Vec<Expired>;

    const DOING: &str = "looking for conversations that are to go";

    async fn run(&self, tx: &Transaction<'_>) -> Result<Vec<Expired>, Failure> {
        // The place of each is counted from the one that was written last.
        let find = "SELECT id, changed_at FROM (\
                        SELECT id, changed_at, row_number() OVER (ORDER BY changed_at DESC, id DESC) AS place \
                        FROM turnwise.conversations WHERE tenant = $1) placed \
                    WHERE changed_at < $2 OR place > $3 ORDER BY place DESC";
        let before = self.rules.unused_for.map_or(i64::MIN, since);
        let keep = self.rules.keep_last.map_or(i64::MAX, |count| i64::try_from(count).unwrap_or(i64::MAX));
        let values: Values<'_> = &[(&stored(&self.tenant), Type::TEXT), (&before, Type::INT8), (&keep, Type::INT8)];
        let rows = tx.query_typed(find, values).await?;
        let expired = |id, at| Expired { id: read_back(id), changed_at: Timestamp::from_millis(at) };
        Ok(rows.iter().map(|row| expired(row.get(0), row.get(1))).collect())
    }
}

/// Removes those that are as they were found.
struct Remove {
    tenant: Box<str>,
    batch: Vec<Expired>,
    for_good: bool,
}

impl Work for Remove {
    type Done = Vec<Expired>;

    const DOING: &str = "deleting conversations that are to go";

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Done, Failure> {
        let tenant = stored(&self.tenant);
        let (mut expired, mut logs) = (Vec::new(), Vec::new());
        for gone in &self.batch {
            // One that was written to meanwhile stays.
            let take = "DELETE FROM turnwise.conversations WHERE tenant = $1 AND id = $2 AND changed_at = $3 \
                        RETURNING log, last, bytes, created_at";
            let (id, changed_at) = (stored(&gone.id), gone.changed_at.as_millis());
            let values: Values<'_> = &[(&tenant, Type::TEXT), (&id, Type::TEXT), (&changed_at, Type::INT8)];
            let Some(row) = tx.query_typed_opt(take, values).await? else { continue };
            let (log, last, bytes, created_at): (i64, i64, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
            if self.for_good {
                logs.push(log);
            } else {
                let keep = "INSERT INTO turnwise.deleted \
                            (tenant, id, log, last, bytes, created_at, changed_at, deleted_at) \
                            VALUES ($1, $2, $4, $5, $6, $7, $3, $8)";
                let values: Values<'_> = &[
                    (&tenant, Type::TEXT),
                    (&id, Type::TEXT),
                    (&changed_at, Type::INT8),
                    (&log, Type::INT8),
                    (&last, Type::INT8),
                    (&bytes, Type::INT8),
                    (&created_at, Type::INT8),
                    (&now(), Type::INT8),
                ];
                tx.execute_typed(keep, values).await?;
            }
            expired.push(gone.clone());
        }
        if self.for_good {
            give_up(tx, &self.tenant, &logs).await?;
            let ids: Vec<_> = expired.iter().map(|gone| stored(&gone.id)).collect();
            remove::gone(tx, &tenant, &ids.iter().map(|id| &**id).collect::<Vec<_>>()).await?;
        }
        Ok(expired)
    }
}
