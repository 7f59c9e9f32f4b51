//! Lists of conversations, of what is found in them, and of deleted ones.

use std::collections::BTreeMap;

use axum::extract::{Extension, RawQuery};
use serde::Serialize;
use turnwise::Transcript;
use turnwise::conversation::Timestamp;
use turnwise_conversations::{ApiError, Record, check_id};
use turnwise_store::search::{Hit, Listed, Snippet};

use super::query::Wanted;
use super::{catalog, not_found_by};
use crate::answer::json;
use crate::listing::{self, Gone, UNREADABLE};
use crate::request_id;
use crate::routes::{Answer, Api};
use crate::server::App;

/// A page of a list. `next` is the `after` of the next one.
#[derive(Serialize)]
struct List<T> {
    object: &'static str,
    data: Vec<T>,
    has_more: bool,
    next: Option<String>,
}

impl<T> List<T> {
    fn new(data: Vec<T>, next: Option<String>) -> Self {
        Self { object: "list", data, has_more: next.is_some(), next }
    }
}

/// A conversation of a list.
#[derive(Serialize)]
struct Entry {
    id: String,
    object: &'static str,
    /// The value of its metadata `title`.
    title: Option<String>,
    /// When its newest item was recorded, or, without items, when it was begun.
    used_at: Option<i64>,
    /// The newest item in which the text was found, if there was one to find.
    hit: Option<Found>,
    /// That it cannot be read.
    error: Option<&'static str>,
}

impl Entry {
    fn of_row(id: String, file: Option<&Transcript>) -> Self {
        let error = file.is_none().then_some(UNREADABLE);
        let talk = file.map(|file| &file.conversation);
        let title = talk.and_then(|talk| talk.metadata().get("title")).map(str::to_owned);
        let used_at = talk.map(|talk| talk.items().next_back().map_or(talk.created_at(), turnwise::Item::created_at));
        Self { id, object: "turnwise.conversation", title, used_at: used_at.map(seconds), hit: None, error }
    }

    fn of_listed(listed: Listed, items: Option<Vec<String>>) -> Self {
        let hit = listed.hit.zip(items).map(|(hit, items)| Found::of(hit, items));
        let used_at = Some(seconds(listed.used_at));
        Self { id: listed.id, object: "turnwise.conversation", title: listed.title, used_at, hit, error: None }
    }
}

/// Where a text was found.
#[derive(Serialize)]
struct Found {
    object: &'static str,
    conversation: String,
    /// The ids of the items of the message; none if it is on a branch that the conversation has left.
    items: Vec<String>,
    role: String,
    created_at: i64,
    snippet: Part,
}

/// A snippet, with the places of what was found in characters (Unicode scalar values).
#[derive(Serialize)]
struct Part {
    text: String,
    matches: Vec<Place>,
}

#[derive(Serialize)]
struct Place {
    start: usize,
    end: usize,
}

impl Found {
    fn of(hit: Hit, items: Vec<String>) -> Self {
        Self {
            object: "turnwise.hit",
            conversation: hit.conversation,
            items,
            role: hit.role,
            created_at: seconds(hit.created_at),
            snippet: Part::of(hit.snippet),
        }
    }
}

impl Part {
    fn of(snippet: Snippet) -> Self {
        let characters = |end: usize| snippet.text.get(..end).map_or(0, |part| part.chars().count());
        let place =
            |place: &std::ops::Range<usize>| Place { start: characters(place.start), end: characters(place.end) };
        Self { matches: snippet.matches.iter().map(place).collect(), text: snippet.text }
    }
}

/// A conversation that was deleted and can be restored for some time.
#[derive(Serialize)]
struct DeletedEntry {
    id: String,
    object: &'static str,
    deleted_at: i64,
}

impl DeletedEntry {
    fn of(Gone { id, deleted_at }: Gone) -> Self {
        Self { id, object: "turnwise.deleted_conversation", deleted_at: seconds(deleted_at) }
    }
}

fn seconds(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(1_000)
}

pub(super) async fn conversations(Extension(app): Api, RawQuery(query): RawQuery) -> Answer {
    let known = ["after", "limit", "order", "text", "since", "until", "metadata[KEY]"];
    let wanted = Wanted::read(query.as_deref(), &known)?;
    if wanted.is_by_id()? {
        let page = listing::conversations(&*app.store, wanted.after, wanted.limit, Entry::of_row).await?;
        return Ok(json(&List::new(page.rows, page.next)));
    }
    let page = catalog(&app)?.list_by(&wanted.list()).await.map_err(|error| not_found_by(&error))?;
    let hits: Vec<&Hit> = page.found.iter().filter_map(|listed| listed.hit.as_ref()).collect();
    let mut items = items_of(&app, &hits).await?.into_iter();
    let entry = |listed: Listed| {
        let items = listed.hit.as_ref().and_then(|_| items.next());
        Entry::of_listed(listed, items)
    };
    Ok(json(&List::new(page.found.into_iter().map(entry).collect(), page.next)))
}

pub(super) async fn search(Extension(app): Api, RawQuery(query): RawQuery) -> Answer {
    let known = ["query", "after", "limit", "conversation", "since", "until", "metadata[KEY]"];
    let wanted = Wanted::read(query.as_deref(), &known)?;
    wanted.conversation.as_deref().map_or(Ok(()), check_id)?;
    let wanted = wanted.search()?;
    let page = catalog(&app)?.search(&wanted).await.map_err(|error| not_found_by(&error))?;
    let items = items_of(&app, &page.found.iter().collect::<Vec<_>>()).await?;
    let found = page.found.into_iter().zip(items).map(|(hit, items)| Found::of(hit, items));
    Ok(json(&List::new(found.collect(), page.next)))
}

/// The ids of the items of each hit. Each conversation is read once.
async fn items_of(app: &App, hits: &[&Hit]) -> Result<Vec<Vec<String>>, ApiError> {
    let mut of_conversation: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, hit) in hits.iter().enumerate() {
        of_conversation.entry(&hit.conversation).or_default().push(place);
    }
    let mut items = vec![Vec::new(); hits.len()];
    for (id, places) in of_conversation {
        match turnwise_store::read(&*app.store, id).await.map_err(|error| ApiError::of_store(&error, ""))? {
            Some(Ok(mut file)) => {
                let record = Record::of(id, &mut file);
                for place in places {
                    let of_message = record.of_message_with(hits[place].item);
                    items[place] = of_message.into_iter().map(|item| item.id).collect();
                }
            }
            Some(Err(unread)) => request_id::log_unread(&unread, "the items of a hit cannot be read"),
            // It was deleted after it was found.
            None => {}
        }
    }
    Ok(items)
}

pub(super) async fn deleted(Extension(app): Api, RawQuery(query): RawQuery) -> Answer {
    let wanted = Wanted::read(query.as_deref(), &["after", "limit"])?;
    let page = listing::deleted(catalog(&app)?, wanted.after, wanted.limit).await?;
    Ok(json(&List::new(page.rows.into_iter().map(DeletedEntry::of).collect(), page.next)))
}
