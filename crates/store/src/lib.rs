//! Stores of many conversations for [turnwise](turnwise::store), one for each feature: `sqlite` (on by
//! default) has `SqliteStore`, one file for the processes of one machine, and `postgres` has
//! `PostgresStore`, a database for any number of machines. Both keep the same promises, and both have search
//! and lists by an index, rules by which conversations go, and totals. Backups and `scrub` are methods of
//! `SqliteStore` only. [`Catalog`] has what a server offers of both.
//!
//! A turn that was acknowledged is on the disk. A turn adds rows and rewrites none, and a fork copies
//! none. With the feature `encryption`, what is said is sealed before it is written.
//!
//! # Examples
//! ```
//! use turnwise::Transcript;
//! use turnwise::store::Store;
//! use turnwise_store::SqliteStore;
//!
//! # let folder = tempfile::TempDir::new()?;
//! # let file = folder.path().join("chats.db");
//! # futures_lite::future::block_on(async {
//! let store = SqliteStore::open(file)?;
//! let begun = store.save("ann", &Transcript::default(), None).await?;
//!
//! let (mut chat, revision) = store.load("ann").await?;
//! assert_eq!(revision, begun);
//! let before = chat.clone();
//! chat.conversation.push("Hello!");
//! store.append("ann", &chat.changes_since(&before), &revision).await?;
//!
//! store.fork("ann", "ann, what if").await?;
//! assert_eq!(store.list(None, 10).await?, ["ann", "ann, what if"]);
//! # Ok::<(), turnwise::Error>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(unused_macros, reason = "databases use it"))]
mod catalog;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod deleted;
mod each;
#[cfg(all(feature = "encryption", any(feature = "sqlite", feature = "postgres")))]
pub mod encryption;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod engine;
pub mod export;
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    allow(dead_code, unused_imports, reason = "databases use it")
)]
pub mod forget;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod inherited;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod recent;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod replay;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod rows;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod seal;
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    allow(dead_code, unused_imports, reason = "databases use it")
)]
pub mod search;
#[cfg(feature = "sqlite")]
mod sqlite;
pub mod usage;

pub use catalog::{Catalog, Deleted};
pub use each::{Failed, read};
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
