//! Whether the keys that a database was opened with are those of its conversations.

use deadpool_postgres::Pool;
use tokio_postgres::types::Type;
use turnwise::Result;

use super::PostgresStore;
use super::connections::{Values, read};
use super::tables::read_back;
use crate::seal::{Place, Seal};

/// How many tenants are looked at with one statement.
const TENANTS: usize = 100;

/// The first row of a conversation of each tenant after one, by some steps through indexes for
/// each. A fork may have no row of its own.
const FIRST: &str = "WITH RECURSIVE tenants (tenant) AS (\
                         (SELECT tenant FROM turnwise.conversations WHERE $1::text IS NULL OR tenant > $1 \
                          ORDER BY tenant LIMIT 1) \
                         UNION ALL \
                         SELECT (SELECT c.tenant FROM turnwise.conversations c WHERE c.tenant > t.tenant \
                                 ORDER BY c.tenant LIMIT 1) FROM tenants t WHERE t.tenant IS NOT NULL) \
                     SELECT t.tenant, f.id, f.log, f.position, f.change FROM tenants t CROSS JOIN LATERAL (\
                         SELECT c.id, c.log, r.position, r.change FROM turnwise.conversations c CROSS JOIN LATERAL (\
                             SELECT position, change FROM turnwise.changes r \
                             WHERE r.tenant = c.tenant AND r.log = c.log ORDER BY position LIMIT 1) r \
                         WHERE c.tenant = t.tenant ORDER BY c.id LIMIT 1) f LIMIT $2";

impl PostgresStore {
    /// Checks that the keys of this handle, or that it has none, fit what is stored: one
    /// conversation of each tenant tells. For a program that is to serve the whole database, which
    /// could read nothing otherwise, and without keys would write in plain text beside what is
    /// sealed.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`](turnwise::ErrorKind::Auth) if a conversation, which it names, is sealed
    /// with a key that was not given, or is not sealed though there are keys;
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    pub async fn check_keys(&self) -> Result<()> {
        let seal = self.shared.seal.clone();
        self.shared.connections.run(move |pool| async move { check(&pool, &seal).await }).await
    }
}

async fn check(pool: &Pool, seal: &Seal) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let most = i64::try_from(TENANTS).unwrap_or(i64::MAX);
        let values: Values<'_> = &[(&after, Type::TEXT), (&most, Type::INT8)];
        let rows = read(pool, "looking whether conversations are sealed", FIRST, values).await?;
        for row in &rows {
            let (tenant, id) = (read_back(row.get(0)), read_back(row.get(1)));
            seal.check_key(Place { tenant: &tenant, log: row.get(2), position: row.get(3) }, &id, row.get(4))?;
        }
        let Some(last) = rows.last().filter(|_| rows.len() == TENANTS) else { return Ok(()) };
        after = Some(last.get(0));
    }
}
