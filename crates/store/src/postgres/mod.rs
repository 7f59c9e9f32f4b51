//! `PostgresStore`: conversations in a PostgreSQL database.

mod check;
mod connections;
mod deleted;
mod expire;
mod failure;
mod index;
mod load;
mod schema;
#[cfg(feature = "encryption")]
mod sealed;
mod tables;
mod tls;
mod url;
mod usage;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use turnwise::{Result, Transcript};

use connections::Connections;
use url::Place;

use crate::deleted::RETENTION;
use crate::engine::{Answer, Engine, check_tenant, store_over_engine};
use crate::recent::Recent;
use crate::rows::{At, Key, Lines, Row};
use crate::seal::Seal;

/// The most connections of one store, unless another number is set.
const CONNECTIONS: usize = 16;

/// Keeps conversations in a PostgreSQL database (12 or newer), in a schema of the name `turnwise` that
/// it makes and migrates. Any number of processes on any machines may use one database at the same
/// time. A clone is another handle on the same connections.
///
/// - **Durable**: a write is acknowledged when the database has committed it, so with its settings
///   `fsync` and `synchronous_commit` on, as they are unless somebody has changed them, the disk
///   has it.
/// - **Restarts**: a read, and a write that certainly was not made, is tried again for ten seconds. If a
///   connection is lost while a write is committed, the error says that it may be done or not; a
///   manager then looks itself.
/// - **Failovers**: a revision names a state by a number and a position, so it is the store's word only as long
///   as the database keeps what it has committed. A failover to a replica that had not received the last
///   commits loses acknowledged turns, and what is written next may have the same revision as one of those: a
///   program that goes on over the failover may then take what it has in memory for what is in the database.
///   Use synchronous replication (`synchronous_standby_names`); after a failover that lost commits, restart
///   the programs.
/// - **Poolers**: no prepared statement has a name, nothing is set for a session, and locks belong to
///   transactions, so PgBouncer may stand between in transaction mode.
/// - **Read-only**: a user with USAGE of the schema and SELECT on its tables, and any user of a
///   standby, can do what only reads: load, list, search (see [`search`](Self::search)), totals,
///   exports. The tables must be of the newest version. Writes are
///   [`ErrorKind::Io`](turnwise::ErrorKind::Io).
/// - **Removed**: text that was replaced, redacted or [purged](Self::purge) can no longer be read by
///   any statement. Its bytes stay in the files until PostgreSQL has vacuumed and reused their pages (at
///   once: `VACUUM FULL`), and in write-ahead files, replicas and backups for as
///   long as the operator keeps those.
/// - **Deleted**: [`delete`](turnwise::store::Store::delete) hides a conversation;
///   [`restore`](Self::restore) brings it back, [`purge`](Self::purge) and
///   [`purge_expired`](Self::purge_expired) remove it.
/// - **Forks** share what both have: [`fork`](turnwise::store::Store::fork) copies nothing.
/// - **Tenants**: each sees its own conversations only, see [`tenant`](Self::tenant).
///
/// **Provisional**: it may change before 1.0, but databases can be read on.
///
/// # Examples
/// ```no_run
/// use turnwise::store::Store;
/// use turnwise_store::PostgresStore;
///
/// # futures_lite::future::block_on(async {
/// let store = PostgresStore::open("postgres://chats:secret@db.example/chats?sslmode=verify-full")?;
/// store.save("ann", &turnwise::Transcript::default(), None).await?;
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
    tenant: Box<str>,
    retention: Duration,
}

struct Shared {
    shown: String,
    seal: Seal,
    recent: Recent,
    connections: Connections,
}

impl PostgresStore {
    /// Connects to a database for the default tenant, makes the tables or migrates them to the newest
    /// version, and keeps up to 16 connections. The calling thread waits for that. When the last handle
    /// is dropped, what was begun is done.
    ///
    /// The URL is `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with the parameters that
    /// [tokio-postgres](https://docs.rs/tokio-postgres/latest/tokio_postgres/config/struct.Config.html)
    /// reads. Without a password it is that of the variable `PGPASSWORD`. `sslmode` is as in PostgreSQL's
    /// own programs: `prefer` (the default) and `require` encrypt without asking who the server is,
    /// `verify-full` accepts only a server with a certificate that the system trusts, or one of the file
    /// that `sslrootcert` names. `connect_timeout` (in seconds; 5 by default) is how long reaching a host
    /// may take; a connection with TLS and password may take twice that for each host.
    ///
    /// # Errors
    /// - [`ErrorKind::NewerFormat`](turnwise::ErrorKind::NewerFormat) if a newer version has migrated the
    ///   tables to a form that this one cannot use.
    /// - [`ErrorKind::ForeignFormat`](turnwise::ErrorKind::ForeignFormat) if another program has a schema
    ///   `turnwise` there.
    /// - [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the URL is not valid or the database cannot be
    ///   reached or used.
    pub fn open(url: &str) -> Result<Self> {
        Self::open_with(url, CONNECTIONS)
    }

    /// As [`open`](Self::open), with another number of connections that are kept at most (at least one).
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(url: &str, connections: usize) -> Result<Self> {
        Self::open_sealing(url, connections, Seal::default())
    }

    fn open_sealing(url: &str, connections: usize, seal: Seal) -> Result<Self> {
        let place: Place = url.parse()?;
        let connections = Connections::start(&place, connections.max(1))?;
        let shared = Shared { shown: place.shown, seal, recent: Recent::default(), connections };
        Ok(Self { shared: Arc::new(shared), tenant: Box::default(), retention: RETENTION })
    }

    /// The URL without user, password and parameters, for messages.
    pub fn url(&self) -> &str {
        &self.shared.shown
    }

    /// The store of a tenant, in the same database. Each tenant has its own conversations: nothing of
    /// one is seen or changed through another's store, whatever the ids. A program that never calls
    /// this has one, the default tenant, which no name names.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](turnwise::ErrorKind::Limit) for a name that is empty or longer than
    /// [`MAX_ID`](turnwise::store::MAX_ID) bytes.
    pub fn tenant(&self, name: &str) -> Result<Self> {
        check_tenant(name)?;
        Ok(Self { tenant: name.into(), ..self.clone() })
    }

    /// The names of the tenants that have conversations, at most `limit` of them after `after`, in the
    /// order of their bytes. The default tenant is not listed: it has no name.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    pub async fn tenants(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let after = after.unwrap_or_default().to_owned();
        self.shared.connections.run(move |pool| async move { tables::tenants(&pool, &after, limit).await }).await
    }

    /// The same store, with another time for which a deleted conversation can be restored. Default:
    /// 30 days. It is no property of the database: each handle has its own.
    #[must_use]
    pub fn with_retention(self, retention: Duration) -> Self {
        Self { retention, ..self }
    }
}

store_over_engine!(PostgresStore);

impl Engine for PostgresStore {
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
        self.shared.connections.run(|pool| async move { tables::find(&pool, &key).await })
    }

    fn read(&self, key: Key, known: Option<(At, Transcript)>) -> Answer<Option<(Transcript, Row)>> {
        let seal = self.shared.seal.clone();
        self.shared.connections.run(|pool| async move { load::load(&pool, key, &seal, known).await })
    }

    fn lines(&self, whole: Transcript) -> Answer<Lines> {
        let seal = self.shared.seal.clone();
        self.shared.connections.run(|_| async move {
            let lines = tokio::task::spawn_blocking(move || Lines::of(&whole.changes(), &seal)).await;
            lines.unwrap_or_else(|error| Err(turnwise::store::failed("writing a conversation as JSON", error)))
        })
    }

    fn write(&self, key: Key, at: Option<At>, lines: Lines) -> Answer<At> {
        match at {
            Some(at) => {
                self.shared.connections.write(tables::Replace { seal: self.shared.seal.clone(), key, at, lines })
            }
            None => self.shared.connections.write(tables::Begin { key, lines }),
        }
    }

    fn add(&self, key: Key, at: At, lines: Lines) -> Answer<At> {
        self.shared.connections.run(|pool| async move { tables::append(&pool, key, at, lines).await })
    }

    fn begin_fork(&self, key: Key, fork: Key) -> Answer<At> {
        self.shared.connections.write(tables::Fork { key, fork })
    }

    fn ids(&self, after: Option<&str>, limit: usize) -> Answer<Vec<String>> {
        let (tenant, after) = (self.tenant.clone(), after.unwrap_or_default().to_owned());
        self.shared.connections.run(|pool| async move { tables::list(&pool, &tenant, &after, limit).await })
    }

    fn hide(&self, key: Key) -> Answer<()> {
        self.shared.connections.run(|pool| async move { deleted::hide(&pool, &key).await })
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("url", &self.shared.shown)
            .field("tenant", &self.tenant)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}
