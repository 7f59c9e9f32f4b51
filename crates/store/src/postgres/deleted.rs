//! Deleted conversations: hidden, restored, purged.

use deadpool_postgres::{Pool, Transaction};
use tokio_postgres::types::Type;
use turnwise::Result;
use turnwise::conversation::Timestamp;
use turnwise::store::{Revision, not_found};

use super::PostgresStore;
use super::connections::{self, Work};
use super::failure::Failure;
use super::index::remove;
use super::schema;
use super::tables::{find, give_up, read_back, stored};
use crate::catalog::Deleted;
use crate::deleted::{in_use_again, not_deleted, not_to_be_purged, since};
use crate::each::in_steps;
use crate::engine;
use crate::forget::Purged;
use crate::rows::{At, Key, now};

impl PostgresStore {
    /// Brings a deleted conversation back as it was. If several had this id, the one that was deleted
    /// last.
    ///
    /// # Errors
    /// - [`ErrorKind::NotFound`](turnwise::ErrorKind::NotFound) if none with this id was deleted within
    ///   the [retention time](Self::with_retention), or it was purged.
    /// - [`ErrorKind::Conflict`](turnwise::ErrorKind::Conflict) if there is a new conversation with this
    ///   id.
    /// - [`ErrorKind::Limit`](turnwise::ErrorKind::Limit) as for
    ///   [`load`](turnwise::store::Store::load).
    pub async fn restore(&self, id: &str) -> Result<Revision> {
        let key = engine::key(self, id)?;
        let at = self.shared.connections.write(Restore { key, since: since(self.retention) }).await?;
        Ok(at.revision())
    }

    /// The deleted conversations in the order of their ids, at most `limit` of them after `after`. Those
    /// whose retention time is over are listed until they are purged.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    pub async fn deleted(&self, after: Option<&str>, limit: usize) -> Result<Vec<Deleted>> {
        let (tenant, after) = (self.tenant.clone(), after.unwrap_or_default().to_owned());
        self.shared.connections.run(|pool| async move { list(&pool, &tenant, &after, limit).await }).await
    }

    /// Removes for good the deleted conversations with this id, however many there were; forks keep
    /// what they share. A conversation that is not deleted stays: delete it first. PostgreSQL
    /// overwrites what is removed when it needs the place: see [`PostgresStore`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](turnwise::ErrorKind::NotFound) if no deleted conversation has this id;
    /// [`ErrorKind::Limit`](turnwise::ErrorKind::Limit) as for [`load`](turnwise::store::Store::load).
    pub async fn purge(&self, id: &str) -> Result<()> {
        let key = engine::key(self, id)?;
        self.shared.connections.write(Purge { key }).await
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
        let found = self.shared.connections.write(DeletedBefore { tenant, before }).await?;
        let steps = in_steps(
            self,
            &found,
            |(id, _)| id,
            |batch| self.shared.connections.write(PurgeBatch { tenant: self.tenant.clone(), batch }),
        );
        let steps = steps.await?;
        Ok(Purged { count: steps.done.len(), failed: steps.failed })
    }
}

/// Takes the table of conversations before those that a purge writes, because whoever removes the index for search
/// takes them in this order.
const LOCK: &str = "LOCK TABLE turnwise.conversations IN ACCESS SHARE MODE";

pub(super) async fn hide(pool: &Pool, key: &Key) -> Result<()> {
    let hide = "WITH hidden AS (\
                    DELETE FROM turnwise.conversations WHERE tenant = $1 AND id = $2 \
                    AND (SELECT needs FROM turnwise.schema_version) <= $4 \
                    RETURNING tenant, id, log, last, bytes, created_at, changed_at) \
                INSERT INTO turnwise.deleted (tenant, id, log, last, bytes, created_at, changed_at, deleted_at) \
                SELECT tenant, id, log, last, bytes, created_at, changed_at, $3 FROM hidden";
    let values = (stored(&key.tenant), stored(&key.id), now());
    let values: connections::Values<'_> =
        &[(&values.0, Type::TEXT), (&values.1, Type::TEXT), (&values.2, Type::INT8), (&schema::KNOWN, Type::INT8)];
    if connections::write(pool, "deleting a conversation", hide, values).await? == 0 {
        // Only if the tables are not too new it is not there.
        find(pool, key).await?;
        return Err(not_found(&key.id));
    }
    Ok(())
}

async fn list(pool: &Pool, tenant: &str, after: &str, limit: usize) -> Result<Vec<Deleted>> {
    let list = "SELECT v.needs, d.id, d.deleted_at FROM turnwise.schema_version v LEFT JOIN LATERAL (\
                    SELECT id, max(deleted_at) AS deleted_at FROM turnwise.deleted WHERE tenant = $1 AND id > $2 \
                    GROUP BY id ORDER BY id LIMIT $3) d ON true \
                ORDER BY d.id";
    let values = (stored(tenant), stored(after), i64::try_from(limit).unwrap_or(i64::MAX));
    let values: connections::Values<'_> = &[(&values.0, Type::TEXT), (&values.1, Type::TEXT), (&values.2, Type::INT8)];
    let rows = connections::read(pool, "listing deleted conversations", list, values).await?;
    if let Some(row) = rows.first() {
        schema::check(row.get(0))?;
    }
    let found = rows.iter().filter_map(|row| row.get::<_, Option<String>>(1).map(|id| (id, row.get(2))));
    Ok(found.map(|(id, at)| Deleted { id: read_back(id), deleted_at: Timestamp::from_millis(at) }).collect())
}

struct Restore {
    key: Key,
    since: i64,
}

impl Work for Restore {
    type Done = At;

    const DOING: &str = "restoring a conversation";

    async fn run(&self, tx: &Transaction<'_>) -> Result<At, Failure> {
        let (tenant, id) = (stored(&self.key.tenant), stored(&self.key.id));
        let newest = "SELECT log, last FROM turnwise.deleted WHERE tenant = $1 AND id = $2 AND deleted_at >= $3 \
                      ORDER BY deleted_at DESC LIMIT 1 FOR UPDATE";
        let values: connections::Values<'_> = &[(&tenant, Type::TEXT), (&id, Type::TEXT), (&self.since, Type::INT8)];
        let row = tx.query_typed_opt(newest, values).await?.ok_or_else(|| not_deleted(&self.key))?;
        let at = At { log: row.get(0), last: row.get(1) };
        let values: connections::Values<'_> = &[(&tenant, Type::TEXT), (&id, Type::TEXT), (&at.log, Type::INT8)];
        let show = "INSERT INTO turnwise.conversations (tenant, id, log, last, bytes, created_at, changed_at) \
                    SELECT tenant, id, log, last, bytes, created_at, changed_at FROM turnwise.deleted \
                    WHERE tenant = $1 AND id = $2 AND log = $3 ON CONFLICT DO NOTHING";
        if tx.execute_typed(show, values).await? == 0 {
            return Err(in_use_again(&self.key).into());
        }
        let forget = "DELETE FROM turnwise.deleted WHERE tenant = $1 AND id = $2 AND log = $3";
        tx.execute_typed(forget, values).await?;
        Ok(at)
    }
}

struct Purge {
    key: Key,
}

impl Work for Purge {
    type Done = ();

    const DOING: &str = "purging a conversation";

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Failure> {
        tx.batch_execute(LOCK).await?;
        let forget = "DELETE FROM turnwise.deleted WHERE tenant = $1 AND id = $2 RETURNING log";
        let (tenant, id) = (stored(&self.key.tenant), stored(&self.key.id));
        let logs = tx.query_typed(forget, &[(&tenant, Type::TEXT), (&id, Type::TEXT)]).await?;
        if logs.is_empty() {
            return Err(not_to_be_purged(&self.key).into());
        }
        let logs: Vec<i64> = logs.iter().map(|row| row.get(0)).collect();
        give_up(tx, &self.key.tenant, &logs).await?;
        remove::gone(tx, &tenant, &[&id]).await
    }
}

/// The id and the log of what was deleted before a time.
struct DeletedBefore {
    tenant: Box<str>,
    before: i64,
}

impl Work for DeletedBefore {
    type Done = Vec<(String, i64)>;

    const DOING: &str = "looking for deleted conversations";

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Done, Failure> {
        let find = "SELECT id, log FROM turnwise.deleted WHERE tenant = $1 AND deleted_at < $2 ORDER BY deleted_at";
        let rows = tx.query_typed(find, &[(&stored(&self.tenant), Type::TEXT), (&self.before, Type::INT8)]).await?;
        Ok(rows.iter().map(|row| (read_back(row.get(0)), row.get(1))).collect())
    }
}

/// Purges those that are deleted still; an element for each.
struct PurgeBatch {
    tenant: Box<str>,
    batch: Vec<(String, i64)>,
}

impl Work for PurgeBatch {
    type Done = Vec<()>;

    const DOING: &str = "purging conversations";

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Done, Failure> {
        tx.batch_execute(LOCK).await?;
        // What another one purges or restores at this moment is left to it.
        let forget = "DELETE FROM turnwise.deleted WHERE (tenant, id, log) IN (\
                          SELECT d.tenant, d.id, d.log FROM unnest($2, $3) AS n (id, log) \
                          JOIN turnwise.deleted d ON d.tenant = $1 AND d.id = n.id AND d.log = n.log \
                          FOR UPDATE OF d SKIP LOCKED) \
                      RETURNING id, log";
        let (ids, logs): (Vec<_>, Vec<i64>) = self.batch.iter().map(|(id, log)| (stored(id), *log)).unzip();
        let tenant = stored(&self.tenant);
        let values: connections::Values<'_> =
            &[(&tenant, Type::TEXT), (&ids, Type::TEXT_ARRAY), (&logs, Type::INT8_ARRAY)];
        let purged = tx.query_typed(forget, values).await?;
        let logs: Vec<i64> = purged.iter().map(|row| row.get(1)).collect();
        give_up(tx, &self.tenant, &logs).await?;
        let ids: Vec<&str> = purged.iter().map(|row| row.get(0)).collect();
        remove::gone(tx, &tenant, &ids).await?;
        Ok(vec![(); purged.len()])
    }
}
