//! Conversations in the order of their ids, in pages of which each reads a bounded part of the store.

use turnwise::Transcript;
use turnwise::conversation::Timestamp;
use turnwise::store::{Store, is_of_server};
use turnwise_conversations::ApiError;
use turnwise_store::Catalog;

use crate::request_id;

/// How many ids are read at first, and at most at a time: twice as many each time.
const FIRST: usize = 100;
const LARGEST: usize = 12_800;
/// After how many ids a page ends, even if it is not full: a store may have very many responses and
/// completions between two conversations.
const MOST_IDS: usize = 100_000;

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
        let ids = store.list(walk.after.as_deref(), walk.size).await.map_err(|error| ApiError::of_store(&error, ""))?;
        walk.take(ids, |id| id);
    }
    let (ids, next) = walk.end();
    let mut rows = Vec::new();
    for id in ids {
        match turnwise_store::read(store, &id).await.map_err(|error| ApiError::of_store(&error, ""))? {
            Some(Ok(file)) => rows.push(row(id, Some(&file))),
            Some(Err(unread)) => {
                request_id::log_unread(&unread, "a conversation of a list cannot be read");
                rows.push(row(id, None));
            }
            // It was deleted meanwhile.
            None => {}
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
        let deleted = catalog.deleted(walk.after.as_deref(), walk.size).await;
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
    /// How many ids are read next, and how many were read.
    size: usize,
    seen: usize,
    is_full: bool,
    is_over: bool,
}

impl<T> Walk<T> {
    fn new(after: Option<String>, limit: usize) -> Self {
        Self { found: Vec::new(), after, limit, size: FIRST, seen: 0, is_full: false, is_over: false }
    }

    /// Whether more is to be read for the page.
    fn goes_on(&self) -> bool {
        !self.is_full && !self.is_over && self.seen < MOST_IDS
    }

    fn take(&mut self, read: Vec<T>, id: impl Fn(&T) -> &String) {
        self.seen += read.len();
        self.is_over = read.len() < self.size;
        self.size = (self.size * 2).min(LARGEST);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids after one, as a store lists them.
    fn ids_after(all: &[String], after: Option<&str>, limit: usize) -> Vec<String> {
        let first = all.partition_point(|id| after.is_some_and(|after| id.as_str() <= after));
        all[first..].iter().take(limit).cloned().collect()
    }

    #[test]
    fn a_page_reads_a_bounded_part_of_the_store_in_few_reads() {
        let mut all: Vec<String> = (0..150_000).map(|number| format!("chatcmpl-{number:044x}")).collect();
        all.extend((0..3).map(|number| format!("conv_{number}")));
        let (mut found, mut after, mut reads) = (Vec::new(), None, Vec::new());
        loop {
            let (mut walk, mut count) = (Walk::new(after, 2), 0);
            while walk.goes_on() {
                let ids = ids_after(&all, walk.after.as_deref(), walk.size);
                walk.take(ids, |id| id);
                count += 1;
            }
            let (page, next) = walk.end();
            reads.push(count);
            found.push(page);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, [vec![], vec!["conv_0".to_owned(), "conv_1".to_owned()], vec!["conv_2".to_owned()]]);
        assert!(reads.iter().all(|count| *count <= 15), "{reads:?}");
    }
}
