//! `scan`: a search that needs no index.

use turnwise::store::{Store, is_of_server};
use turnwise::{ErrorKind, ItemId, Result, Transcript};

use super::{Hit, Page, SearchQuery, searched, terms, wrong_cursor};

/// How many ids are listed at a time.
const PAGE: usize = 100;

/// Searches any store by reading all of it, in the order of the ids of its conversations, each from
/// its first item on. It takes as long as it takes to read the store: for a large one use an engine with an
/// index. An item that forks share is found in each of them.
///
/// # Errors
/// Those of the store; [`ErrorKind::InvalidParam`] if the query has nothing to search for or its cursor
/// is wrong.
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
    let terms = terms(&query.text)?;
    let mut found = Vec::new();
    let mut cursor = query.after.as_deref().map(Cursor::of).transpose()?;
    // The conversation of the cursor goes on after its item.
    if let Some(Cursor { item, id }) = &cursor {
        match store.load(id).await {
            Ok((transcript, _)) => take(&transcript, id, Some(*item), &terms, query, &mut found),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let mut after = cursor.take().map(|cursor| cursor.id);
    while found.len() <= query.limit {
        let ids = store.list(after.as_deref(), PAGE).await?;
        for id in &ids {
            let transcript = match store.load(id).await {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                loaded => loaded?.0,
            };
            take(&transcript, id, None, &terms, query, &mut found);
            if found.len() > query.limit {
                break;
            }
        }
        if ids.len() < PAGE {
            break;
        }
        after = ids.last().cloned();
    }
    let is_more = found.len() > query.limit;
    found.truncate(query.limit);
    let next = found.last().filter(|_| is_more).map(|hit: &Hit| format!("{}/{}", hit.item.index(), hit.conversation));
    Ok(Page::new(found, next))
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

/// Adds what is found in a conversation, until there is more than a page.
fn take(
    transcript: &Transcript,
    id: &str,
    after: Option<ItemId>,
    terms: &super::Terms,
    query: &SearchQuery,
    found: &mut Vec<Hit>,
) {
    let talk = &transcript.conversation;
    let is_other = query.conversation.as_deref().map_or_else(|| is_of_server(id), |wanted| wanted != id);
    let mut metadata = query.filter.metadata.iter();
    if is_other || !metadata.all(|(key, value)| talk.metadata().get(key) == Some(value)) {
        return;
    }
    for item in talk.items().filter(|item| after.is_none_or(|after| item.id().index() > after.index())) {
        if found.len() > query.limit {
            return;
        }
        if !query.filter.has(item.created_at()) {
            continue;
        }
        if let Some(snippet) = terms.find(&searched(item.message())) {
            let role = item.message().role().as_str().to_owned();
            let (conversation, created_at) = (id.to_owned(), item.created_at());
            found.push(Hit { conversation, item: item.id(), created_at, role, snippet });
        }
    }
}
