//! Conversations that are sealed at rest: a store that is opened with [`Keys`] (`open_sealed`) writes
//! nothing of what was said to its files in plain text.
//!
//! **What is sealed**: every change, that is messages, heads, summaries, metadata and sums of usage, with
//! XChaCha20-Poly1305 under a random nonce. A row opens only with its key, and only in its place: tenant,
//! log and position are sealed with it, so a row that somebody has changed, or put elsewhere, is refused
//! (`Damaged`). A row that is not sealed is refused too.
//!
//! **What is not**: ids of conversations, names of tenants, times, the number, the kinds and the sizes of
//! changes, and which conversation is a fork of which. Whoever can write to the database can remove the
//! newest rows of a conversation, put an older state of it back, or give one conversation the log of
//! another one of the same tenant: rows are sealed, tables are not. Memory is not protected, and an
//! [`export`](crate::export) is plain text.
//!
//! **What is not to be had**: an index for search, and lists by time and metadata. It would hold their words
//! in plain text, so `enable_search`, `search` and `list_by` are refused;
//! [`search::scan`](crate::search::scan) reads everything.
//!
//! A key that is missing is an error (`Auth`) that names its id. To seal what was written before, and to
//! change the key, there is `rekey`.
//!
//! # Examples
//! ```
//! use turnwise::store::Store;
//! use turnwise_store::SqliteStore;
//! use turnwise_store::encryption::Keys;
//!
//! # #[cfg(feature = "sqlite")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::TempDir::new()?;
//! # let file = folder.path().join("chats.db");
//! # futures_lite::future::block_on(async {
//! # let (old, new) = ("ab".repeat(32), "cd".repeat(32));
//! let store = SqliteStore::open_sealed(&file, old.parse::<Keys>()?)?;
//! store.save("ann", &turnwise::Transcript::default(), None).await?;
//! drop(store);
//!
//! let store = SqliteStore::open_sealed(&file, format!("{new} {old}").parse::<Keys>()?)?;
//! store.rekey().await?;
//! let store = SqliteStore::open_sealed(&file, new.parse::<Keys>()?)?;
//! store.load("ann").await?;
//! # Ok::<(), turnwise::Error>(())
//! # })?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! ```

pub use crate::seal::keys::Keys;
