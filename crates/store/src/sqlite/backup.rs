//! A copy of a database that is in use, the database written anew, and which tenants it has.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use turnwise::Result;

use super::{SqliteStore, failed, schema};

impl SqliteStore {
    /// Writes a copy of the whole database, with all tenants and deleted conversations, as it is at one
    /// moment. Others go on reading and writing meanwhile; the write-ahead file grows until the copy is
    /// done. The copy is smaller than the database where text was removed, and is opened as any
    /// database. Several backups of one handle are made one after the other.
    ///
    /// A file that exists is never overwritten, also not if two backups are made to one name at once: one
    /// of them fails. The copy has its name when the disk has all of it. A process that is killed before
    /// leaves a file that ends in `.part`, which may be deleted.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](turnwise::ErrorKind::Conflict) if the file exists;
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if it cannot be written.
    ///
    /// # Examples
    /// ```
    /// use turnwise::store::Store;
    /// use turnwise_store::SqliteStore;
    ///
    /// # let folder = tempfile::TempDir::new()?;
    /// # let (file, copy) = (folder.path().join("chats.db"), folder.path().join("copy.db"));
    /// # futures_lite::future::block_on(async {
    /// let store = SqliteStore::open(file)?;
    /// store.save("chat", &turnwise::Transcript::default(), None).await?;
    /// store.backup(&copy).await?;
    /// assert_eq!(SqliteStore::open(copy)?.list(None, 10).await?, ["chat"]);
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn backup(&self, file: impl AsRef<Path>) -> Result<()> {
        let path = self.shared.path.clone();
        let file = std::path::absolute(file.as_ref()).unwrap_or_else(|_| file.as_ref().to_owned());
        let doing = format!("writing a copy of the database to {}", file.display());
        self.shared.threads.copy(move || schema::copy_whole(&path, &file, &doing)).await
    }

    /// Writes the whole database anew, so that nothing is left in its files of text that was
    /// [purged](Self::purge), redacted or replaced, also not in unused room of a page (see
    /// [`SqliteStore`]), and the file becomes smaller. Who writes meanwhile waits; it needs up to twice
    /// the size of the database as free room on the disk.
    ///
    /// # Errors
    /// - [`ErrorKind::Busy`](turnwise::ErrorKind::Busy) if another program has been reading what was there
    ///   before for three seconds: the old text is there still. Call it again.
    /// - [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails, such as on a full disk. What was
    ///   there is unchanged.
    pub async fn scrub(&self) -> Result<()> {
        self.shared.threads.scrub().await
    }

    /// The names of the tenants that have conversations, at most `limit` of them after `after`, in the
    /// order of their bytes. The default tenant is not listed: it has no name.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    pub async fn tenants(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let after = after.unwrap_or_default().to_owned();
        self.shared.threads.read(move |db| tenants(db, after, limit)).await
    }
}

fn tenants(db: &Connection, mut after: String, limit: usize) -> Result<Vec<String>> {
    let doing = failed("listing tenants");
    // One step through the index for each tenant, however many conversations it has.
    let next = "SELECT tenant FROM conversations WHERE tenant > ?1 ORDER BY tenant LIMIT 1";
    let mut next = db.prepare_cached(next).map_err(&doing)?;
    let mut tenants = Vec::new();
    while tenants.len() < limit {
        let tenant: Option<String> = next.query_row(params![after], |row| row.get(0)).optional().map_err(&doing)?;
        let Some(tenant) = tenant else { break };
        after.clone_from(&tenant);
        tenants.push(tenant);
    }
    Ok(tenants)
}
