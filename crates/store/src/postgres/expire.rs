//! Conversations that go by rules.

use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use turnwise::Result;
use turnwise::conversation::Timestamp;

use super::PostgresStore;
use super::connections::{Values, Work};
use super::failure::Failure;
use super::tables::{give_up, read_back, stored};
use crate::deleted::{BATCH, since};
use crate::forget::{Expired, Rules};
use crate::rows::{Key, now};

impl PostgresStore {
    /// Which conversations of this tenant [`expire`](Self::expire) would delete now, the oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    pub async fn expiring(&self, rules: &Rules) -> Result<Vec<Expired>> {
        let work = Find(Going { tenant: self.tenant.clone(), rules: *rules, most: i64::MAX });
        self.shared.connections.write(work).await
    }

    /// Deletes the conversations of this tenant that the rules do not keep, and returns them, the oldest
    /// first. Each is gone from lists and from search in the moment in which it is deleted. Forks of a
    /// conversation that goes stay. Many go in several transactions.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails. What went before that is gone.
    pub async fn expire(&self, rules: &Rules) -> Result<Vec<Expired>> {
        let most = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let mut all = Vec::new();
        loop {
            let going = Going { tenant: self.tenant.clone(), rules: *rules, most };
            let (found, batch) = self.shared.connections.write(Expire(going)).await?;
            for gone in &batch {
                self.shared.recent.remove(&Key { tenant: self.tenant.clone(), id: gone.id.as_str().into() });
            }
            all.extend(batch);
            if found < BATCH {
                return Ok(all);
            }
        }
    }
}

struct Going {
    tenant: Box<str>,
    rules: Rules,
    most: i64,
}

impl Going {
    async fn find(&self, tx: &Transaction<'_>) -> Result<Vec<Expired>, Failure> {
        // The place of each is counted from the one that was written last.
        let find = "SELECT id, changed_at FROM (\
                        SELECT id, changed_at, row_number() OVER (ORDER BY changed_at DESC, id DESC) AS place \
                        FROM turnwise.conversations WHERE tenant = $1) placed \
                    WHERE changed_at < $2 OR place > $3 ORDER BY place DESC LIMIT $4";
        let before = self.rules.unused_for.map_or(i64::MIN, since);
        let keep = self.rules.keep_last.map_or(i64::MAX, |count| i64::try_from(count).unwrap_or(i64::MAX));
        let tenant = stored(&self.tenant);
        let values: Values<'_> =
            &[(&tenant, Type::TEXT), (&before, Type::INT8), (&keep, Type::INT8), (&self.most, Type::INT8)];
        let rows = tx.query_typed(find, values).await?;
        let expired = |id, at| Expired { id: read_back(id), changed_at: Timestamp::from_millis(at) };
        Ok(rows.iter().map(|row| expired(row.get(0), row.get(1))).collect())
    }
}

struct Find(Going);

impl Work for Find {
    type Done = Vec<Expired>;

    const DOING: &str = "looking for conversations that are to go";

    async fn run(&self, tx: &Transaction<'_>) -> Result<Vec<Expired>, Failure> {
        self.0.find(tx).await
    }
}

struct Expire(Going);

impl Work for Expire {
    /// How many were to go, and those that have gone.
    type Done = (usize, Vec<Expired>);

    const DOING: &str = "deleting conversations that are to go";

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Done, Failure> {
        // One at a time of a tenant, so that of two that run at once the second sees what the first has left.
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('turnwise expire ' || $1, 0))";
        tx.query_typed(lock, &[(&stored(&self.0.tenant), Type::TEXT)]).await?;
        let going = self.0.find(tx).await?;
        let (found, mut expired) = (going.len(), Vec::new());
        for gone in going {
            // One that was written to meanwhile stays.
            let take = "DELETE FROM turnwise.conversations WHERE tenant = $1 AND id = $2 AND changed_at = $3 \
                        RETURNING log, last, bytes, created_at";
            let (tenant, id, changed_at) = (stored(&self.0.tenant), stored(&gone.id), gone.changed_at.as_millis());
            let values: Values<'_> = &[(&tenant, Type::TEXT), (&id, Type::TEXT), (&changed_at, Type::INT8)];
            let Some(row) = tx.query_typed_opt(take, values).await? else { continue };
            let (log, last, bytes, created_at): (i64, i64, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
            if self.0.rules.for_good {
                give_up(tx, &self.0.tenant, log).await?;
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
            expired.push(gone);
        }
        Ok((found, expired))
    }
}
