//! Stored completions (`store: true`): listed, retrieved, changed and deleted by their ids.
//!
//! A completion is stored as a conversation of its request's messages and its reply, under an id
//! that begins with its time, so that the order of the ids is that in which they were made.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Path, RawQuery};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use turnwise::conversation::Timestamp;
use turnwise::message::{Content, RawJson};
use turnwise::store::Revision;
use turnwise::transcript::formats::Object;
use turnwise::{Conversation, ErrorKind, Message, Transcript};
use turnwise_conversations::{ApiError, List, Order, check_limit};

use super::forward;
use crate::answer::json;
use crate::body::Body;
use crate::deleted;
use crate::once::Once;
use crate::query;
use crate::request_id;
use crate::responses::{Responses, replaced, service};
use crate::routes::{Answer, Api, ReadBody};

const PREFIX: &str = "chatcmpl-";
/// The member of a file with what is kept of the completion.
const MEMBER: &str = "turnwise_completion";
const PAGE: usize = 100;

/// What is kept of a completion beside its messages.
#[derive(Serialize, Deserialize)]
struct StoredCompletion {
    /// The object that was answered, with its metadata.
    completion: RawJson,
    /// How many messages are those of the request.
    asked: usize,
    /// What the body was, of a request with a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    once: Option<String>,
}

impl StoredCompletion {
    fn of(file: &Transcript) -> Option<Self> {
        file.extra.iter().find(|(key, _)| key == MEMBER)?.1.parse().ok()
    }
}

/// What of a request is stored with its completion.
#[derive(Clone)]
pub(super) struct Request {
    messages: Vec<RawJson>,
    metadata: RawJson,
    /// What the body was, of a request with a key.
    once: Option<String>,
}

impl Request {
    /// What is to be stored of a request; `None` if it does not ask for that.
    pub(super) fn read(body: &Body, once: Option<&Once>) -> Result<Option<Self>, ApiError> {
        if !body.is_true("store")? {
            return Ok(None);
        }
        let metadata = body.get("metadata").unwrap_or_else(|| RawJson::object([]));
        turnwise_conversations::check_metadata(&metadata)?;
        let messages = forward::messages(body)?;
        // What cannot be stored is refused before the model is asked.
        forward::read(&messages)?;
        Ok(Some(Self { messages, metadata, once: once.map(|once| once.body.clone()) }))
    }
}

/// A new id.
pub(super) fn new_id() -> String {
    format!("{PREFIX}{:012x}{:032x}", Timestamp::now().as_millis(), fastrand::u128(..))
}

/// Stores a completion, which has its id.
pub(super) async fn save(service: &Responses, request: &Request, completion: &RawJson) -> Result<(), ApiError> {
    let (id, file) = kept(request, completion)?;
    service.save(&id, &file).await
}

/// A completion as it is stored, and its id.
fn kept(request: &Request, completion: &RawJson) -> Result<(String, Transcript), ApiError> {
    let object: Object<'_> = completion.parse().map_err(|_| not_understood())?;
    let id = object.text("id").ok_or_else(not_understood)?.into_owned();
    let mut file = Transcript::new(Conversation::new());
    file.conversation.begin_again(&id);
    let choice = object.objects("choices").next();
    let reply = choice.as_ref().and_then(|choice| choice.get("message")).map(RawJson::from);
    for message in request.messages.iter().chain(&reply) {
        let read = Message::from_json(message.as_str());
        file.conversation.push(read.map_err(|error| ApiError::invalid_request(error.to_string()))?);
    }
    let completion = with_metadata(completion, &request.metadata);
    let (asked, once) = (request.messages.len(), request.once.clone());
    put(&mut file, &StoredCompletion { completion, asked, once });
    Ok((id, file))
}

/// Stores the completion of a request that is sent again, if that failed when it was made. One that
/// was deleted stays so.
pub(super) async fn save_missing(service: &Responses, request: &Request, completion: &RawJson) -> Result<(), ApiError> {
    let (id, file) = kept(request, completion)?;
    match service.store().save(&id, &file, None).await {
        Err(error) if error.kind() != ErrorKind::Conflict => Err(ApiError::of_store(&error, &id)),
        _ => Ok(()),
    }
}

pub(super) fn not_understood() -> ApiError {
    let mut error = ApiError::invalid_request("The server behind answered with no completion to store.".to_owned());
    (error.status, error.kind) = (502, "server_error");
    error
}

fn with_metadata(completion: &RawJson, metadata: &RawJson) -> RawJson {
    let object: Option<Object<'_>> = completion.parse().ok();
    let members = object.iter().flat_map(Object::iter).filter(|(key, _)| *key != "metadata");
    let members = members.map(|(key, value)| (key, RawJson::from(value)));
    RawJson::object(members.chain([("metadata", metadata.clone())]))
}

fn put(file: &mut Transcript, kept: &StoredCompletion) {
    file.extra.retain(|(key, _)| key != MEMBER);
    let value = serde_json::to_value(kept).map(RawJson::from);
    file.extra.extend(value.ok().map(|value| (MEMBER.to_owned(), value)));
}

async fn load(service: &Responses, id: &str) -> Result<(Transcript, Revision, StoredCompletion), ApiError> {
    let unknown = || {
        let mut error = ApiError::invalid_request(format!("Chat completion with id '{id}' not found."));
        error.status = 404;
        error
    };
    match service.store().load(id).await {
        Ok((file, revision)) => StoredCompletion::of(&file).map(|kept| (file, revision, kept)).ok_or_else(unknown),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Limit) => Err(unknown()),
        Err(error) => Err(ApiError::of_store(&error, id)),
    }
}

/// The routes beside that which makes completions.
pub(super) fn routes() -> Router {
    Router::new()
        .route("/v1/chat/completions/{id}", get(retrieve).post(update).delete(delete))
        .route("/v1/chat/completions/{id}/messages", get(messages))
}

async fn retrieve(Extension(app): Api, Path(id): Path<String>) -> Answer {
    Ok(json(&load(&*service(app)?, &id).await?.2.completion))
}

async fn update(Extension(app): Api, Path(id): Path<String>, body: ReadBody) -> Answer {
    let service = service(app)?;
    let metadata = Body::read(body, &["metadata"])?.need("metadata")?;
    turnwise_conversations::check_metadata(&metadata)?;
    let (mut file, revision, mut kept) = load(&service, &id).await?;
    let before = file.clone();
    kept.completion = with_metadata(&kept.completion, &metadata);
    put(&mut file, &kept);
    let appended = service.store().append(&id, &file.changes_since(&before), &revision).await;
    appended.map_err(|error| ApiError::of_store(&error, &id))?;
    Ok(json(&kept.completion))
}

async fn delete(Extension(app): Api, Path(id): Path<String>) -> Answer {
    let service = service(app)?;
    let (_, _, kept) = load(&service, &id).await?;
    deleted::delete(service.store(), &id, kept.once.as_deref()).await?;
    let deleted = [("object", "chat.completion.deleted".into()), ("id", id.into()), ("deleted", true.into())];
    Ok(json(&RawJson::object(deleted)))
}

/// The messages of the request, each with an id.
async fn messages(Extension(app): Api, Path(id): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let list = in_order(query.as_deref())?;
    let limit = check_limit(list.limit, 0)?;
    let (file, _, kept) = load(&*service(app)?, &id).await?;
    let path = file.conversation.path();
    let mut left = 0..kept.asked.min(path.len());
    if let Some(after) = &list.after {
        let place = place_of(&id, after).filter(|place| left.contains(place)).ok_or_else(|| {
            let mut error = ApiError::invalid_request(format!("Message with id '{after}' not found."));
            (error.status, error.param) = (404, Some("after".to_owned()));
            error
        })?;
        left = if list.order == Order::Desc { 0..place } else { place + 1..left.end };
    }
    let wanted: Vec<usize> = match list.order {
        Order::Asc => left.take(limit + 1).collect(),
        Order::Desc => left.rev().take(limit + 1).collect(),
    };
    let of_page = wanted.into_iter().filter_map(|place| {
        let of_message = format!("{id}-{place}");
        let message = path.item(place)?.message();
        Some((of_message.clone(), told(message, &of_message)))
    });
    Ok(json(&page(of_page.collect(), limit)))
}

/// The place of a message with an id among those of a completion.
fn place_of(completion: &str, message: &str) -> Option<usize> {
    let place = message.strip_prefix(completion)?.strip_prefix('-')?.parse().ok()?;
    (format!("{completion}-{place}") == message).then_some(place)
}

/// A message as the list has it: its text, and its parts if it has any.
fn told(message: &Message, id: &str) -> RawJson {
    let null = || RawJson::from(serde_json::Value::Null);
    let mut value = serde_json::to_value(message).unwrap_or_default();
    let parts = message.content().is_some_and(|content| !Content::parts(content).is_empty());
    let parts = if parts { value["content"].take().into() } else { null() };
    let content = message.content().map_or_else(null, |content| content.text().as_ref().into());
    let of_message = RawJson::from(value);
    let object: Option<Object<'_>> = of_message.parse().ok();
    let rest = object.iter().flat_map(Object::iter).filter(|(key, _)| !["content", "refusal", "id"].contains(key));
    let own = [
        ("id", RawJson::from(id)),
        ("content", content),
        ("refusal", message.refusal().map_or_else(null, RawJson::from)),
        ("content_parts", parts),
    ];
    RawJson::object(own.into_iter().chain(rest.map(|(key, value)| (key, RawJson::from(value)))))
}

/// A query of completions, of which the oldest come first if it does not say.
fn in_order(query: Option<&str>) -> Result<List, ApiError> {
    let mut list = query::read(query)?;
    if !query::has(query, "order") {
        list.order = Order::Asc;
    }
    Ok(list)
}

fn page(mut found: Vec<(String, RawJson)>, limit: usize) -> RawJson {
    let has_more = found.len() > limit;
    found.truncate(limit);
    let id = |one: Option<&(String, RawJson)>| one.map(|(id, _)| id.clone()).unwrap_or_default();
    let (first, last) = (id(found.first()), id(found.last()));
    RawJson::object([
        ("object", "list".into()),
        ("data", found.into_iter().map(|(_, one)| one).collect::<Vec<_>>().into()),
        ("first_id", first.into()),
        ("last_id", last.into()),
        ("has_more", has_more.into()),
    ])
}

/// The stored completions, also by model and metadata.
pub(super) async fn list(Extension(app): Api, RawQuery(query): RawQuery) -> Answer {
    let service = service(app)?;
    let list = in_order(query.as_deref())?;
    let limit = check_limit(list.limit, 0)?;
    let wanted = query::Filter::read(query.as_deref());
    let mut found = Vec::new();
    let mut ids = Ids::new(&service, &list).await?;
    while found.len() <= limit
        && let Some(id) = ids.next().await?
    {
        let read = turnwise_store::read(service.store(), &id).await.map_err(|error| ApiError::of_store(&error, ""))?;
        match read {
            Some(Ok(file)) => {
                let kept = StoredCompletion::of(&file).filter(|kept| wanted.is_met(&kept.completion));
                found.extend(kept.map(|kept| (id, kept.completion)));
            }
            Some(Err(unread)) => {
                request_id::log_unread(&unread, "a stored completion cannot be read and is left out of the list");
            }
            // It was deleted meanwhile.
            None => {}
        }
    }
    Ok(json(&page(found, limit)))
}

/// The ids of completions, in pages.
struct Ids {
    service: Arc<Responses>,
    /// The next ones, the last of them first.
    waiting: Vec<String>,
    after: String,
    is_over: bool,
}

impl Ids {
    async fn new(service: &Arc<Responses>, list: &List) -> Result<Self, ApiError> {
        let mut ids =
            Self { service: Arc::clone(service), waiting: Vec::new(), after: PREFIX.to_owned(), is_over: false };
        match list.order {
            Order::Asc => ids.after = list.after.clone().unwrap_or_else(|| PREFIX.to_owned()),
            Order::Desc => {
                let mut all = Vec::new();
                while let Some(id) = ids.next().await? {
                    all.push(id);
                }
                all.retain(|id| list.after.as_ref().is_none_or(|after| id < after));
                ids.waiting = all;
            }
        }
        Ok(ids)
    }

    async fn next(&mut self) -> Result<Option<String>, ApiError> {
        if self.waiting.is_empty() && !self.is_over {
            let listed = self.service.store().list(Some(&self.after), PAGE).await;
            let mut page = listed.map_err(|error| ApiError::of_store(&error, ""))?;
            self.is_over = page.len() < PAGE || page.iter().any(|id| !id.starts_with(PREFIX));
            page.retain(|id| id.starts_with(PREFIX));
            self.after = page.last().cloned().unwrap_or_default();
            page.reverse();
            self.waiting = page;
        }
        Ok(self.waiting.pop())
    }
}

/// The completion of an answer, with an id of ours.
pub(super) fn renamed(completion: &RawJson, id: &str) -> RawJson {
    replaced(completion, &[("id", id.into())])
}
