//! Databases for tests: an SQLite file, and a PostgreSQL server that `TURNWISE_TEST_POSTGRES` names.
#![allow(dead_code, reason = "each test uses some of it")]

use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::block_on;
use turnwise::Result;
use turnwise::store::{Revision, Store};
use turnwise_store::forget::{Expired, Rules};
use turnwise_store::search::{Hit, ListQuery, Listed, Page, SearchQuery};
use turnwise_store::usage::Totals;

/// What the stores over databases have beside the trait.
pub(crate) trait Database: Store {
    fn of(&self, tenant: &str) -> Result<Arc<dyn Database>>;
    fn kept_for(&self, retention: Duration) -> Arc<dyn Database>;
    fn restore(&self, id: &str) -> Result<Revision>;
    fn deleted(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>>;
    fn purge(&self, id: &str) -> Result<()>;
    fn purge_expired(&self) -> Result<usize>;
    fn enable_search(&self) -> Result<()>;
    fn disable_search(&self) -> Result<()>;
    fn is_searchable(&self) -> Result<bool>;
    fn search(&self, query: &SearchQuery) -> Result<Page<Hit>>;
    fn list_by(&self, query: &ListQuery) -> Result<Page<Listed>>;
    fn expiring(&self, rules: &Rules) -> Result<Vec<Expired>>;
    fn expire(&self, rules: &Rules) -> Result<Vec<Expired>>;
    fn totals(&self) -> Result<Totals>;
}

macro_rules! database {
    ($store:ty) => {
        impl Database for $store {
            fn of(&self, tenant: &str) -> Result<Arc<dyn Database>> {
                Ok(Arc::new(self.tenant(tenant)?))
            }

            fn kept_for(&self, retention: Duration) -> Arc<dyn Database> {
                Arc::new(self.clone().with_retention(retention))
            }

            fn restore(&self, id: &str) -> Result<Revision> {
                block_on(self.restore(id))
            }

            fn deleted(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
                let deleted = block_on(self.deleted(after, limit))?;
                Ok(deleted.into_iter().map(|one| one.id).collect())
            }

            fn purge(&self, id: &str) -> Result<()> {
                block_on(self.purge(id))
            }

            fn purge_expired(&self) -> Result<usize> {
                let purged = block_on(self.purge_expired())?;
                assert_eq!(purged.failed, []);
                Ok(purged.count)
            }

            fn enable_search(&self) -> Result<()> {
                block_on(self.enable_search())
            }

            fn disable_search(&self) -> Result<()> {
                block_on(self.disable_search())
            }

            fn is_searchable(&self) -> Result<bool> {
                block_on(self.is_searchable())
            }

            fn search(&self, query: &SearchQuery) -> Result<Page<Hit>> {
                block_on(self.search(query))
            }

            fn list_by(&self, query: &ListQuery) -> Result<Page<Listed>> {
                block_on(self.list_by(query))
            }

            fn expiring(&self, rules: &Rules) -> Result<Vec<Expired>> {
                block_on(self.expiring(rules))
            }

            fn expire(&self, rules: &Rules) -> Result<Vec<Expired>> {
                let forgotten = block_on(self.expire(rules))?;
                assert_eq!(forgotten.failed, []);
                Ok(forgotten.gone)
            }

            fn totals(&self) -> Result<Totals> {
                block_on(self.totals())
            }
        }
    };
}

#[cfg(feature = "sqlite")]
database!(turnwise_store::SqliteStore);
#[cfg(feature = "postgres")]
database!(turnwise_store::PostgresStore);

/// Opens one database again and again.
pub(crate) type Open<'a> = &'a dyn Fn() -> Arc<dyn Database>;

/// Runs a test over a new database of each engine.
pub(crate) fn on_each(test: impl Fn(Open<'_>)) {
    #[cfg(feature = "sqlite")]
    {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("chats.db");
        test(&|| Arc::new(turnwise_store::SqliteStore::open(&file).unwrap()));
    }
    #[cfg(feature = "postgres")]
    if let Some(url) = postgres::new_database() {
        test(&|| Arc::new(turnwise_store::PostgresStore::open(&url).unwrap()));
    }
}

#[cfg(feature = "postgres")]
#[path = "postgres.rs"]
pub(crate) mod postgres;
