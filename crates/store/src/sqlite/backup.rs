//! A copy of a database that is in use, and which tenants it has.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};
use turnwise::{Error, ErrorKind, Result};

use super::{SqliteStore, failed, schema};

impl SqliteStore {
    /// Writes a copy of the whole database, with all tenants and deleted conversations, as it is at one
    /// moment. Others go on writing meanwhile; the write-ahead file grows until the copy is done. The
    /// copy is smaller than the database where text was removed, and is opened as any database.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if the file exists; [`ErrorKind::Io`] if it cannot be written.
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
        self.shared.threads.read(move |_| copy(&path, &file)).await
    }

    /// The names of the tenants that have conversations, at most `limit` of them after `after`, in the
    /// order of their bytes. The default tenant is not listed: it has no name.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the database fails.
    pub async fn tenants(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let after = after.unwrap_or_default().to_owned();
        self.shared.threads.read(move |db| tenants(db, after, limit)).await
    }
}

/// The whole copy gets its name when the disk has it.
fn copy(path: &Path, file: &Path) -> Result<()> {
    let doing = format!("writing a copy of the database to {}", file.display());
    let io = |error| turnwise::store::failed(&doing, error);
    if file.exists() {
        let detail = format!("{doing}: it exists; give another name, or remove it first");
        return Err(Error::new(ErrorKind::Conflict, detail));
    }
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    // That of a backup that was killed.
    if part.exists() {
        fs::remove_file(&part).map_err(io)?;
    }
    schema::copy_into(path, &part, &doing)?;
    fs::rename(&part, file).map_err(io)?;
    if cfg!(unix) {
        let folder = file.parent().unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    }
    Ok(())
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
