//! `Catalog`: what a database can do with many conversations, beside the trait `Store`.

use turnwise::Result;
use turnwise::conversation::Timestamp;
use turnwise::store::{BoxFuture, Revision};

use crate::search::{Hit, ListQuery, Listed, Page, SearchQuery};

/// Search, lists and deleted conversations, whichever database has them: what a server offers beside the
/// routes of `OpenAI`'s contract. `SqliteStore` and `PostgresStore` have it.
///
/// **Provisional**: it may change before 1.0.
///
/// # Examples
/// ```
/// # #[cfg(feature = "sqlite")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use turnwise::store::Store;
/// use turnwise_store::{Catalog, SqliteStore};
///
/// # let folder = tempfile::TempDir::new()?;
/// # let file = folder.path().join("chats.db");
/// # futures_lite::future::block_on(async {
/// let store = SqliteStore::open(file)?;
/// let catalog: Arc<dyn Catalog> = Arc::new(store.clone());
/// store.save("chat", &turnwise::Transcript::default(), None).await?;
/// store.delete("chat").await?;
/// assert_eq!(catalog.deleted(None, 10).await?[0].id, "chat");
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
/// ```
pub trait Catalog: Send + Sync {
    /// The items in which a text is found, the one first that was written last.
    ///
    /// # Errors
    /// - [`ErrorKind::NotFound`](turnwise::ErrorKind::NotFound) if there is no index, or there can be none
    ///   because conversations are sealed.
    /// - [`ErrorKind::Busy`](turnwise::ErrorKind::Busy) while the index is being made.
    /// - [`ErrorKind::InvalidParam`](turnwise::ErrorKind::InvalidParam) if the query has nothing to search for, or
    ///   its cursor is wrong.
    fn search<'a>(&'a self, query: &'a SearchQuery) -> BoxFuture<'a, Result<Page<Hit>>>;

    /// The conversations by their time, their metadata and what was said in them.
    ///
    /// # Errors
    /// As for [`search`](Self::search).
    fn list_by<'a>(&'a self, query: &'a ListQuery) -> BoxFuture<'a, Result<Page<Listed>>>;

    /// The deleted conversations in the order of their ids, at most `limit` of them after `after`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    fn deleted<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<Deleted>>>;

    /// Brings a deleted conversation back as it was.
    ///
    /// # Errors
    /// - [`ErrorKind::NotFound`](turnwise::ErrorKind::NotFound) if no deleted conversation with this id can be
    ///   restored.
    /// - [`ErrorKind::Conflict`](turnwise::ErrorKind::Conflict) if there is a new conversation with this id.
    /// - [`ErrorKind::Limit`](turnwise::ErrorKind::Limit) for an id that no store takes.
    fn restore<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Revision>>;
}

/// A conversation that was deleted and not purged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// Its id. There may be a new conversation with the same one.
    pub id: String,
    /// When it was deleted; the last time, if several had this id.
    pub deleted_at: Timestamp,
}

macro_rules! catalog {
    ($store:ty) => {
        impl Catalog for $store {
            fn search<'a>(&'a self, query: &'a SearchQuery) -> BoxFuture<'a, Result<Page<Hit>>> {
                Box::pin(self.search(query))
            }

            fn list_by<'a>(&'a self, query: &'a ListQuery) -> BoxFuture<'a, Result<Page<Listed>>> {
                Box::pin(self.list_by(query))
            }

            fn deleted<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<Deleted>>> {
                Box::pin(self.deleted(after, limit))
            }

            fn restore<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Revision>> {
                Box::pin(self.restore(id))
            }
        }
    };
}

#[cfg(feature = "postgres")]
catalog!(crate::PostgresStore);
#[cfg(feature = "sqlite")]
catalog!(crate::SqliteStore);
