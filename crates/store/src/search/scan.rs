//! `scan`: a search that needs no index.

#[cfg(doc)]
use turnwise::ErrorKind;
use turnwise::store::{Store, is_of_server};
use turnwise::{ItemId, Result, Transcript};

use super::{Hit, Page, SearchQuery, Terms, searched, terms, wrong_cursor};
use crate::each::{Each, Failed, read};

/// Searches any store by reading all of it, in the order of the ids of its conversations, each from
/// its first item on. It takes as long as it takes to read the store: for a large one use an engine with an
/// index. An item that forks share is found in each of them.
///
/// A conversation that cannot be read does not end the search: it is in [`Page::failed`], and the
/// others are searched.
///
/// # Errors
/// Those of a store that fails altogether, and of the conversation that the query
/// [names](SearchQuery::in_conversation); [`ErrorKind::InvalidParam`] if the query has nothing to
/// search for or its cursor is wrong.
///
/// # Examples
/// ```
/// use turnwise::store::{MemoryStore, Store};
/// use turnwise::{Conversation, Message, Transcript};
/// use turnwise_store::search::{SearchQuery, scan};
///
/// # futures_lite::future::block_on(async {
/// let store = MemoryStore::new();
/// let talk = Conversation::from_messages([Message::user("Where is my parcel?")]);
/// store.save("ann", &Transcript::new(talk), None).await?;
/// let page = scan(&store, &SearchQuery::new("parcel")).await?;
/// assert_eq!(page.found[0].conversation, "ann");
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
pub async fn scan(store: &dyn Store, query: &SearchQuery) -> Result<Page<Hit>> {
    let mut scan = Scan { terms: terms(&query.text)?, query, page: Page::new(Vec::new(), None) };
    let cursor = query.after.as_deref().map(Cursor::of).transpose()?;
    if let Some(id) = &query.conversation {
        let after = cursor.map(|cursor| cursor.item);
        return match read(store, id).await? {
            Some(Err(failed)) => Err(failed.error),
            read => Ok(scan.take(id, after, read).end()),
        };
    }
    // The conversation of the cursor goes on after its item.
    if let Some(Cursor { item, id }) = &cursor {
        let read = read(store, id).await?;
        scan.take(id, Some(*item), read);
    }
    let mut each = Each::after(store, cursor.map(|cursor| cursor.id));
    while !scan.is_full()
        && let Some(id) = each.next_id().await?
    {
        if !is_of_server(&id) {
            let read = read(store, &id).await?;
            scan.take(&id, None, read);
        }
    }
    Ok(scan.end())
}

struct Cursor {
    item: ItemId,
    id: String,
}

impl Cursor {
    fn of(text: &str) -> Result<Self> {
        let parts = text.split_once('/').and_then(|(item, id)| Some((item.parse().ok()?, id)));
        let (item, id) = parts.ok_or_else(|| wrong_cursor(text))?;
        Ok(Self { item: ItemId::from_index(item), id: id.to_owned() })
    }
}

/// A search, as far as it is.
struct Scan<'a> {
    terms: Terms,
    query: &'a SearchQuery,
    page: Page<Hit>,
}

impl Scan<'_> {
    /// Whether there is more than a page.
    fn is_full(&self) -> bool {
        self.page.found.len() > self.query.limit
    }

    /// Adds what is found in a conversation, until there is more than a page.
    fn take(&mut self, id: &str, after: Option<ItemId>, read: Option<Result<Transcript, Failed>>) -> &mut Self {
        match read {
            Some(Ok(transcript)) => self.find(&transcript, id, after),
            Some(Err(failed)) => self.page.failed.push(failed),
            None => {}
        }
        self
    }

    fn find(&mut self, transcript: &Transcript, id: &str, after: Option<ItemId>) {
        let (talk, filter) = (&transcript.conversation, &self.query.filter);
        if !filter.metadata.iter().all(|(key, value)| talk.metadata().get(key) == Some(value)) {
            return;
        }
        for item in talk.items().filter(|item| after.is_none_or(|after| item.id().index() > after.index())) {
            if self.is_full() {
                return;
            }
            if !filter.has(item.created_at()) {
                continue;
            }
            if let Some(snippet) = self.terms.find(&searched(item.message())) {
                let role = item.message().role().as_str().to_owned();
                let (conversation, created_at) = (id.to_owned(), item.created_at());
                self.page.found.push(Hit { conversation, item: item.id(), created_at, role, snippet });
            }
        }
    }

    fn end(&mut self) -> Page<Hit> {
        let is_more = self.is_full();
        let mut page = std::mem::replace(&mut self.page, Page::new(Vec::new(), None));
        page.found.truncate(self.query.limit);
        let last = page.found.last().filter(|_| is_more);
        page.next = last.map(|hit| format!("{}/{}", hit.item.index(), hit.conversation));
        page
    }
}
