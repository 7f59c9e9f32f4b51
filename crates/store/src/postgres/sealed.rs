//! Databases whose conversations are sealed.

use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use turnwise::Result;

use super::connections::{Values, Work};
use super::failure::Failure;
use super::tables::{read_back, stored};
use super::{CONNECTIONS, PostgresStore, index};
use crate::encryption::Keys;
use crate::seal::{Place, Seal, not_renewed};

/// How many rows one transaction looks at.
const ROWS: i64 = 200;

impl PostgresStore {
    /// Connects to a database whose conversations are [sealed](crate::encryption), as
    /// [`open`](Self::open) to one whose are not. An index for search is removed: it holds words in plain
    /// text. What was written before there were keys cannot be read until it is sealed by
    /// [`rekey`](Self::rekey).
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_sealed(url: &str, keys: Keys) -> Result<Self> {
        Self::open_sealed_with(url, CONNECTIONS, keys)
    }

    /// As [`open_sealed`](Self::open_sealed), with another number of connections that are kept at most.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_sealed_with(url: &str, connections: usize, keys: Keys) -> Result<Self> {
        let store = Self::open_sealing(url, connections, Seal::with(keys))?;
        turnwise::store::wait(store.shared.connections.write(index::Disable))?;
        Ok(store)
    }

    /// Seals all rows of all tenants with the newest key that are not: those of older keys, and those that
    /// were written in plain text; returns how many there were. It is done in steps, between which others
    /// write; if it is interrupted, call it again.
    ///
    /// Programs that write meanwhile have to have the newest key first of all; what they write otherwise is
    /// sealed when this is called again. The old rows can no longer be read by any statement; their bytes
    /// are in the files until `VACUUM FULL turnwise.changes`, see [`PostgresStore`].
    ///
    /// # Errors
    /// [`ErrorKind::Auth`](turnwise::ErrorKind::Auth) if a row is sealed with a key that was not
    /// given; [`ErrorKind::Damaged`](turnwise::ErrorKind::Damaged) if one was changed: both name
    /// the conversation. What was sealed before that stays so.
    pub async fn rekey(&self) -> Result<usize> {
        let mut count = 0;
        let mut after = Some((String::new(), i64::MIN, 0));
        while let Some(at) = after {
            let work = Renew { seal: self.shared.seal.clone(), after: at };
            let (sealed, next) = self.shared.connections.write(work).await?;
            count += sealed;
            after = next;
        }
        count += self.shared.connections.write(RenewInherited { seal: self.shared.seal.clone() }).await?;
        Ok(count)
    }
}

/// The tenant, the log and the position of a row.
type At = (String, i64, i64);

/// Seals some rows anew after one; how many, and the last one that was looked at, if there are more.
struct Renew {
    seal: Seal,
    after: At,
}

impl Work for Renew {
    type Done = (usize, Option<At>);

    const DOING: &str = "sealing what is in the database";

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Done, Failure> {
        // Until this is committed nobody removes one of them.
        let next = "SELECT tenant, log, position, change FROM turnwise.changes WHERE (tenant, log, position) > ($1, $2, $3) \
                    ORDER BY tenant, log, position LIMIT $4 FOR UPDATE";
        let (tenant, log, position) = &self.after;
        let values: Values<'_> =
            &[(&stored(tenant), Type::TEXT), (log, Type::INT8), (position, Type::INT8), (&ROWS, Type::INT8)];
        let mut last = None;
        let (mut tenants, mut logs, mut positions, mut texts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in tx.query_typed(next, values).await? {
            let (tenant, log, position): At = (read_back(row.get(0)), row.get(1), row.get(2));
            let text = match self.seal.renewed(Place { tenant: &tenant, log, position }, row.get(3)) {
                Ok(text) => text,
                Err(error) => {
                    return Err(not_renewed(&error, &tenant, holder(tx, row.get(0), log).await?.as_deref()).into());
                }
            };
            if let Some(text) = text {
                tenants.push(row.get::<_, String>(0));
                logs.push(log);
                positions.push(position);
                texts.push(text);
            }
            last = Some((tenant, log, position));
        }
        let update = "UPDATE turnwise.changes c SET change = n.change \
                      FROM unnest($1, $2, $3, $4) AS n (tenant, log, position, change) \
                      WHERE c.tenant = n.tenant AND c.log = n.log AND c.position = n.position";
        let values: Values<'_> = &[
            (&tenants, Type::TEXT_ARRAY),
            (&logs, Type::INT8_ARRAY),
            (&positions, Type::INT8_ARRAY),
            (&texts, Type::TEXT_ARRAY),
        ];
        if !texts.is_empty() {
            tx.execute_typed(update, values).await?;
        }
        Ok((texts.len(), last))
    }
}

/// The conversation, deleted or not, that has a log.
async fn holder(tx: &Transaction<'_>, tenant: &str, log: i64) -> Result<Option<String>, Failure> {
    let id = "SELECT id FROM turnwise.conversations WHERE tenant = $1 AND log = $2 \
              UNION ALL SELECT id FROM turnwise.deleted WHERE tenant = $1 AND log = $2";
    let rows = tx.query_typed(id, &[(&tenant, Type::TEXT), (&log, Type::INT8)]).await?;
    Ok(rows.first().map(|row| read_back(row.get(0))))
}

/// Seals anew what forks have noted of their originals.
struct RenewInherited {
    seal: Seal,
}

impl Work for RenewInherited {
    type Done = usize;

    const DOING: &str = "sealing what is in the database";

    async fn run(&self, tx: &Transaction<'_>) -> Result<usize, Failure> {
        let all = "SELECT tenant, log, inherited FROM turnwise.logs WHERE inherited IS NOT NULL \
                   ORDER BY tenant, log FOR UPDATE";
        let mut count = 0;
        for row in tx.query_typed(all, &[]).await? {
            let (tenant, log): (String, i64) = (row.get(0), row.get(1));
            let name = read_back(tenant.clone());
            let place = Place { tenant: &name, log, position: 0 };
            let Some(text) = self.seal.renewed(place, row.get(2))? else { continue };
            let update = "UPDATE turnwise.logs SET inherited = $3 WHERE tenant = $1 AND log = $2";
            let values: Values<'_> = &[(&tenant, Type::TEXT), (&log, Type::INT8), (&text, Type::TEXT)];
            tx.execute_typed(update, values).await?;
            count += 1;
        }
        Ok(count)
    }
}
