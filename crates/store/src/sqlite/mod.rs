//! `SqliteStore`: conversations in an SQLite database.

mod access;
mod backup;
mod check;
mod deleted;
mod expire;
mod index;
mod load;
mod schema;
#[cfg(feature = "encryption")]
mod sealed;
mod tables;
mod threads;
mod usage;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::ErrorCode;
use turnwise::{Error, ErrorKind, Result, Transcript};

use tables::{At, Key, Lines, Row};
use threads::Threads;

use crate::deleted::RETENTION;
use crate::engine::{Answer, Engine, check_tenant, store_over_engine};
use crate::recent::Recent;
use crate::seal::Seal;

/// Keeps conversations in an SQLite database: one file, two more beside it while it is open
/// (`-wal`, `-shm`). A clone is another handle on the same threads; other processes of the machine may
/// use the file at the same time. A network's file system is no place for it.
///
/// - **Durable**: when a write is acknowledged, the disk has it (`synchronous=FULL`). Writes that wait
///   at the same time share a commit.
/// - **Removed**: text that was replaced ([`save`](turnwise::store::Store::save) over a conversation, changes that
///   purge) or [purged](Self::purge) is overwritten in the file, and the write-ahead file is emptied.
///   While another process reads what was there before, the second of these cannot be: it is done
///   within a second after it has finished. Where SQLite has moved rows within the file, a copy of such
///   text may be left in unused room of a page; [`scrub`](Self::scrub) removes that too. Forks keep what
///   they share.
/// - **Deleted**: [`delete`](turnwise::store::Store::delete) hides a conversation; [`restore`](Self::restore) brings it
///   back, [`purge`](Self::purge) and [`purge_expired`](Self::purge_expired) remove it.
/// - **Forks** share what both have: [`fork`](turnwise::store::Store::fork) copies nothing.
/// - **Tenants**: each sees its own conversations only, see [`tenant`](Self::tenant).
///
/// A database that this user may only read (its file, or the folder that it is in) is read all the
/// same: conversations, lists, search by an index, totals, exports and backups. Writes are
/// [`ErrorKind::Io`], and nothing is left beside the file. If somebody else begins to write it
/// while something is read, that is [`ErrorKind::Busy`]: try again.
///
/// A database of an older version is migrated when it is opened; a copy is kept beside it, with a name
/// that ends in `.version-1`. It holds what the database held: delete it when it is not needed.
///
/// **Provisional**: it may change before 1.0, but databases can be read on.
///
/// # Examples
/// ```
/// use turnwise::ErrorKind;
/// use turnwise::store::Store;
/// use turnwise_store::SqliteStore;
///
/// # let folder = tempfile::TempDir::new()?;
/// # let file = folder.path().join("chats.db");
/// # futures_lite::future::block_on(async {
/// let store = SqliteStore::open(file)?;
/// let (red, blue) = (store.tenant("red")?, store.tenant("blue")?);
/// red.save("chat", &turnwise::Transcript::default(), None).await?;
/// assert_eq!(blue.load("chat").await.unwrap_err().kind(), ErrorKind::NotFound);
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    tenant: Box<str>,
    retention: Duration,
}

struct Shared {
    path: PathBuf,
    seal: Seal,
    recent: Recent,
    threads: Threads,
}

impl SqliteStore {
    /// Opens a database, which is made where there is none, for the default tenant. The calling
    /// thread waits for the disk. When the last handle is dropped, what was begun is written and the
    /// file is closed.
    ///
    /// # Errors
    /// - [`ErrorKind::NewerFormat`] if a newer version has made or migrated it.
    /// - [`ErrorKind::ForeignFormat`] if it is another program's database.
    /// - [`ErrorKind::Damaged`] if it is no database.
    /// - [`ErrorKind::Io`] if it cannot be opened or made.
    pub fn open(file: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(file.as_ref(), Seal::default())
    }

    fn open_with(file: &Path, seal: Seal) -> Result<Self> {
        // Where the program goes later must not change where its conversations are.
        let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let threads = Threads::start(&path)?;
        let shared = Shared { path, seal, recent: Recent::default(), threads };
        Ok(Self { shared: Arc::new(shared), tenant: Box::default(), retention: RETENTION })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The store of a tenant, in the same database. Each tenant has its own conversations: nothing of
    /// one is seen or changed through another's store, whatever the ids. A program that never calls
    /// this has one, the default tenant, which no name names.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for a name that is empty or longer than [`MAX_ID`](turnwise::store::MAX_ID)
    /// bytes.
    pub fn tenant(&self, name: &str) -> Result<Self> {
        check_tenant(name)?;
        Ok(Self { tenant: name.into(), ..self.clone() })
    }

    /// The same store, with another time for which a deleted conversation can be restored. Default:
    /// 30 days. It is no property of the database: each handle has its own.
    #[must_use]
    pub fn with_retention(self, retention: Duration) -> Self {
        Self { retention, ..self }
    }
}

store_over_engine!(SqliteStore);

impl Engine for SqliteStore {
    fn recent(&self) -> &Recent {
        &self.shared.recent
    }

    fn tenant(&self) -> &str {
        &self.tenant
    }

    fn seal(&self) -> &Seal {
        &self.shared.seal
    }

    fn find(&self, key: Key) -> Answer<Option<Row>> {
        self.shared.threads.read(move |db| tables::find(db, &key))
    }

    fn read(&self, key: Key, known: Option<(At, Transcript)>) -> Answer<Option<(Transcript, Row)>> {
        let seal = self.shared.seal.clone();
        self.shared.threads.read(move |db| load::load(db, &key, &seal, known))
    }

    fn lines(&self, whole: Transcript) -> Answer<Lines> {
        let seal = self.shared.seal.clone();
        self.shared.threads.read(move |_| Lines::of(&whole.changes(), &seal))
    }

    fn write(&self, key: Key, at: Option<At>, lines: Lines) -> Answer<At> {
        self.shared.threads.write(move |db| match at {
            Some(at) => tables::replace(db, &key, at, &lines),
            None => tables::begin(db, &key, &lines),
        })
    }

    fn add(&self, key: Key, at: At, lines: Lines) -> Answer<At> {
        self.shared.threads.write(move |db| tables::append(db, &key, at, &lines))
    }

    fn begin_fork(&self, key: Key, fork: Key) -> Answer<At> {
        self.shared.threads.write(move |db| tables::fork(db, &key, &fork))
    }

    fn ids(&self, after: Option<&str>, limit: usize) -> Answer<Vec<String>> {
        let (tenant, after) = (self.tenant.clone(), after.map(str::to_owned));
        self.shared.threads.read(move |db| tables::list(db, &tenant, after.as_deref(), limit))
    }

    fn hide(&self, key: Key) -> Answer<()> {
        self.shared.threads.write(move |db| deleted::delete(db, &key))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.shared.path)
            .field("tenant", &self.tenant)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

/// The error of a write to a database that may only be read.
fn read_only(doing: &str) -> Error {
    let detail = format!(
        "{doing}: this database may only be read: this user may not write its file or its folder, in which SQLite keeps \
         two more files, or the disk is mounted for reading. What only reads works; give the user the right to write \
         both, or use a copy"
    );
    Error::new(ErrorKind::Io, detail)
}

/// Makes the error of a statement that failed, with what it was for.
fn failed(doing: &str) -> impl Fn(rusqlite::Error) -> Error {
    let doing = doing.to_owned();
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            let detail = format!("{doing}: {error}; restore the database from a copy");
            Error::new(ErrorKind::Damaged, detail).because(error)
        }
        Some(ErrorCode::ReadOnly) => read_only(&doing).because(error),
        Some(ErrorCode::DatabaseBusy) => {
            let detail =
                format!("{doing}: another program has been writing to the database for ten seconds; try again");
            Error::new(ErrorKind::Io, detail).because(error)
        }
        _ => turnwise::store::failed(&doing, error),
    }
}
