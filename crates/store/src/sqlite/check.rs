//! Whether the keys that a database was opened with are those of its conversations.

use rusqlite::{Connection, OptionalExtension, params};
use turnwise::Result;

use super::{SqliteStore, failed};
use crate::seal::{Place, Seal};

impl SqliteStore {
    /// Checks that the keys of this handle, or that it has none, fit what is stored: one
    /// conversation of each tenant tells. For a program that is to serve the whole database, which
    /// could read nothing otherwise, and without keys would write in plain text beside what is
    /// sealed.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`](turnwise::ErrorKind::Auth) if a conversation, which it names, is sealed
    /// with a key that was not given, or is not sealed though there are keys;
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    ///
    /// # Examples
    /// ```
    /// use turnwise_store::SqliteStore;
    ///
    /// # let folder = tempfile::TempDir::new()?;
    /// # let file = folder.path().join("chats.db");
    /// # futures_lite::future::block_on(async {
    /// let store = SqliteStore::open(file)?;
    /// store.check_keys().await?;
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn check_keys(&self) -> Result<()> {
        let seal = self.shared.seal.clone();
        self.shared.threads.read(move |db| check(db, &seal)).await
    }
}

fn check(db: &Connection, seal: &Seal) -> Result<()> {
    let doing = failed("looking whether conversations are sealed");
    // Some steps through indexes for each tenant, however many conversations it has. A fork may
    // have no row of its own.
    let next = "SELECT tenant FROM conversations WHERE ?1 IS NULL OR tenant > ?1 ORDER BY tenant LIMIT 1";
    let first = "SELECT c.id, c.log, r.position, r.change FROM conversations c \
                 CROSS JOIN changes r ON r.tenant = c.tenant AND r.log = c.log \
                 WHERE c.tenant = ?1 ORDER BY c.id, r.position LIMIT 1";
    let mut next = db.prepare_cached(next).map_err(&doing)?;
    let mut first = db.prepare_cached(first).map_err(&doing)?;
    let mut after: Option<String> = None;
    loop {
        let tenant: Option<String> = next.query_row(params![after], |row| row.get(0)).optional().map_err(&doing)?;
        let Some(tenant) = tenant else { return Ok(()) };
        let row = first.query_row(params![tenant], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
        let row: Option<(String, i64, i64, String)> = row.optional().map_err(&doing)?;
        if let Some((id, log, position, change)) = row {
            seal.check_key(Place { tenant: &tenant, log, position }, &id, &change)?;
        }
        after = Some(tenant);
    }
}
