//! Conversations in the order of their ids, in pages of which each reads a bounded part of the store.

use turnwise::conversation::Timestamp;
use turnwise::store::{Store, is_of_server};
use turnwise::{ErrorKind, Transcript};
use turnwise_conversations::ApiError;
use turnwise_store::Catalog;

use crate::request_id;

/// How many ids are read at a time.
const IDS: usize = 100;
/// How many times ids are read for a page. A store may have very many responses and completions between
/// two conversations: a page then ends before it is full.
const MOST_READS: usize = 20;

/// What a person is told of a conversation that cannot be read.
pub(crate) const UNREADABLE: &str = "This conversation cannot be read. The server's log says why.";

/// A page of a list.
pub(crate) struct Page<T> {
    pub(crate) rows: Vec<T>,
    /// The id after which the next page begins; `None` if this is the last one.
    pub(crate) next: Option<String>,
}

/// A deleted conversation of a page.
pub(crate) struct Gone {
    pub(crate) id: String,
    pub(crate) deleted_at: Timestamp,
}

/// The conversations after an id, at most so many, as what `row` makes of each: it gets its id, and its
/// transcript unless that cannot be read; then the log says why.
pub(crate) async fn conversations<T>(
    store: &dyn Store,
    after: Option<String>,
    limit: usize,
    row: impl Fn(String, Option<&Transcript>) -> T,
) -> Result<Page<T>, ApiError> {
    let mut walk = Walk::new(after, limit);
    while walk.goes_on() {
        let ids = store.list(walk.after.as_deref(), IDS).await.map_err(|error| ApiError::of_store(&error, ""))?;
        walk.take(ids, |id| id);
    }
    let (ids, next) = walk.end();
    let mut rows = Vec::new();
    for id in ids {
        match store.load(&id).await {
            Ok((file, _)) => rows.push(row(id, Some(&file))),
            // It was deleted meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                request_id::log(&ApiError::of_store(&error, &id), "a conversation of a list cannot be read");
                rows.push(row(id, None));
            }
        }
    }
    Ok(Page { rows, next })
}

/// The deleted conversations after an id, at most so many.
pub(crate) async fn deleted(
    catalog: &dyn Catalog,
    after: Option<String>,
    limit: usize,
) -> Result<Page<Gone>, ApiError> {
    let mut walk = Walk::new(after, limit);
    while walk.goes_on() {
        let deleted = catalog.deleted(walk.after.as_deref(), IDS).await;
        let deleted = deleted.map_err(|error| ApiError::of_store(&error, ""))?.into_iter();
        walk.take(deleted.map(|one| Gone { id: one.id, deleted_at: one.deleted_at }).collect(), |one| &one.id);
    }
    let (rows, next) = walk.end();
    Ok(Page { rows, next })
}

/// A walk through what has ids, in their order, past what the server has stored beside conversations.
struct Walk<T> {
    found: Vec<T>,
    after: Option<String>,
    limit: usize,
    reads: usize,
    is_full: bool,
    is_over: bool,
}

impl<T> Walk<T> {
    fn new(after: Option<String>, limit: usize) -> Self {
        Self { found: Vec::new(), after, limit, reads: 0, is_full: false, is_over: false }
    }

    /// Whether more is to be read for the page.
    fn goes_on(&self) -> bool {
        !self.is_full && !self.is_over && self.reads < MOST_READS
    }

    fn take(&mut self, read: Vec<T>, id: impl Fn(&T) -> &String) {
        self.reads += 1;
        self.is_over = read.len() < IDS;
        for one in read {
            let name = id(&one).clone();
            if !is_of_server(&name) {
                self.is_full = self.found.len() == self.limit;
                if self.is_full {
                    return;
                }
                self.found.push(one);
            }
            self.after = Some(name);
        }
    }

    fn end(self) -> (Vec<T>, Option<String>) {
        let next = self.after.filter(|_| self.is_full || !self.is_over);
        (self.found, next)
    }
}
