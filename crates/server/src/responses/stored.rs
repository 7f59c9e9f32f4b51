//! Stored responses: conversations that know which response they are.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use turnwise::message::RawJson;
use turnwise::store::Store;
use turnwise::transcript::Change;
use turnwise::transcript::formats::Object;
use turnwise::{ErrorKind, Transcript};
use turnwise_conversations::{ApiError, ItemList, List, Record};

use super::Responses;
use super::request::Base;
use super::sent::SentPlan;
use crate::deleted;
use crate::once;
#[cfg(feature = "pages")]
use crate::request_id;

/// The member of a file with what is kept of the response.
const MEMBER: &str = "turnwise_response";

/// What the ids of responses begin with.
pub(super) const PREFIX: &str = "resp_";
/// How many digits the ids of responses and of their items have in common.
pub(super) const TAG: usize = 16;

/// What is kept of a response beside its items.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredResponse {
    /// The object that was answered.
    pub(super) response: RawJson,
    /// The ids of the items of its input.
    pub(super) input: Vec<String>,
    /// The id from which the ids of items are made: that of the conversation, or its own.
    pub(super) of: String,
    /// What its request held and why, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sent: Option<SentPlan>,
    /// What the body was, of a request with a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) once: Option<String>,
}

impl StoredResponse {
    /// What the file under an id keeps. A fork has what its original keeps until its own response is added.
    fn read(file: &Transcript, id: &str) -> Option<Self> {
        let kept: Self = file.extra.iter().find(|(key, _)| key == MEMBER)?.1.parse().ok()?;
        let response: Object<'_> = kept.response.parse().ok()?;
        let is_own = response.text("id").is_some_and(|known| known == id);
        is_own.then_some(kept)
    }

    fn put(&self, file: &mut Transcript) {
        remove(file);
        let value = serde_json::to_value(self).map(RawJson::from);
        file.extra.extend(value.ok().map(|value| (MEMBER.to_owned(), value)));
    }

    /// Stores a response with what it was made from. `done` is the transcript with its output.
    pub(super) async fn save(
        &self,
        store: &dyn Store,
        id: &str,
        base: &Base,
        before: &Transcript,
        done: Transcript,
    ) -> Result<(), ApiError> {
        let failed = |error| ApiError::of_store(&error, id);
        let mut with = done.clone();
        self.put(&mut with);
        once::remove(&mut with);
        // A fork shares what was there before, and gets only what is new.
        let (from, mut changes) = match base {
            // It ends with this response, whatever another process has added to the conversation since.
            Base::Conversation(from) => (from, vec![Change::Leaf { item: done.conversation.leaf() }]),
            Base::Previous(from) => (from, Vec::new()),
            Base::Nothing => {
                with.conversation.begin_again(id);
                return store.save(id, &with, None).await.map(drop).map_err(failed);
            }
        };
        let is_of_conversation = !changes.is_empty();
        // What it continues was deleted meanwhile, or never stored: it is known to its connection only.
        if !is_of_conversation && kept(store, from).await?.is_none() {
            with.conversation.begin_again(id);
            return store.save(id, &with, None).await.map(drop).map_err(failed);
        }
        changes.extend(with.changes_since(if is_of_conversation { &done } else { before }));
        let revision = match store.fork(from, id).await {
            Ok(revision) => revision,
            Err(error) if error.kind() == ErrorKind::Conflict => match store.load(id).await.map_err(failed)? {
                (file, _) if Self::read(&file, id).is_some() && is_of_conversation => return Ok(()),
                // Another process has answered the same request, and its answer is told when it is sent again.
                (file, _) if Self::read(&file, id).is_some() => return Err(ApiError::conversation_locked()),
                (file, _) if deleted::mark(&file, id).is_some() => return Err(deleted::gone()),
                // Whoever began to store it was stopped.
                (_, revision) => revision,
            },
            Err(error) => return Err(failed(error)),
        };
        store.append(id, &changes, &revision).await.map(drop).map_err(failed)
    }
}

fn remove(file: &mut Transcript) {
    file.extra.retain(|(key, _)| key != MEMBER);
}

/// A stored response with its transcript; `None` if there is none with this id.
pub(super) async fn find(store: &dyn Store, id: &str) -> Result<Option<(Transcript, StoredResponse)>, ApiError> {
    let file = load(store, id).await?;
    Ok(file.and_then(|file| StoredResponse::read(&file, id).map(|kept| (file, kept))))
}

/// What is under an id; `None` if there is nothing.
async fn load(store: &dyn Store, id: &str) -> Result<Option<Transcript>, ApiError> {
    match store.load(id).await {
        Ok((file, _)) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Limit) => Ok(None),
        Err(error) => Err(ApiError::of_store(&error, id)),
    }
}

/// What is known of a request with a key, under the id that its response has.
pub(super) enum Recorded {
    Stored(StoredResponse),
    /// Its response was deleted. What the body was.
    Deleted(String),
}

impl Recorded {
    /// The hash of the body that it answered.
    pub(super) fn body(&self) -> &str {
        match self {
            Self::Stored(kept) => kept.once.as_deref().unwrap_or_default(),
            Self::Deleted(body) => body,
        }
    }

    pub(super) async fn find(store: &dyn Store, id: &str) -> Result<Option<Self>, ApiError> {
        let Some(file) = load(store, id).await? else { return Ok(None) };
        let deleted = || deleted::mark(&file, id).map(Self::Deleted);
        Ok(StoredResponse::read(&file, id).map(Self::Stored).or_else(deleted))
    }
}

/// What the ids of a response's items are made from if it is not made on a conversation. They begin as its own
/// id does, so that the response of an item can be found.
pub(super) fn owner_of(response: &str) -> String {
    let digits = response.strip_prefix(PREFIX).unwrap_or(response);
    format!("conv_{}", digits.get(..TAG).unwrap_or(digits))
}

/// The ids from which a response and those before it have made the ids of their items.
pub(super) async fn owners(store: &dyn Store, id: &str) -> Result<Vec<String>, ApiError> {
    let (mut owners, mut next) = (Vec::new(), Some(id.to_owned()));
    let mut seen = HashSet::new();
    while let Some(id) = next.filter(|id| seen.insert(id.clone())) {
        let found = kept(store, &id).await?;
        next = found.as_ref().and_then(|kept| {
            let response: Object<'_> = kept.response.parse().ok()?;
            response.text("previous_response_id").map(std::borrow::Cow::into_owned)
        });
        owners.push(found.map_or_else(|| owner_of(&id), |kept| kept.of));
    }
    Ok(owners)
}

/// What is kept of a stored response.
pub(super) async fn kept(store: &dyn Store, id: &str) -> Result<Option<StoredResponse>, ApiError> {
    Ok(find(store, id).await?.map(|(_, kept)| kept))
}

/// The transcript of the response that another one continues.
pub(super) async fn previous(store: &dyn Store, id: &str) -> Result<Transcript, ApiError> {
    let found = find(store, id).await?;
    found.map(|(file, _)| file).ok_or_else(|| {
        let mut error = ApiError::invalid_request(format!("Previous response with id '{id}' not found."));
        (error.code, error.param) = (Some("previous_response_not_found"), Some("previous_response_id".to_owned()));
        error
    })
}

/// A response as a page shows it, or a turn whose answer is not stored by itself.
#[cfg(feature = "pages")]
#[derive(Serialize)]
pub(crate) struct ShownResponse {
    response: serde_json::Value,
    sent: Option<SentPlan>,
}

/// The turns of a conversation of which it is recorded what their requests held, the newest first, and
/// whether there are more than `most`.
#[cfg(feature = "pages")]
pub(crate) async fn of_conversation(
    store: &dyn Store,
    conversation: &str,
    most: usize,
) -> Result<(Vec<ShownResponse>, bool), ApiError> {
    let prefix = format!("resp_{}", turnwise_conversations::tag_of(conversation));
    let failed = |error| ApiError::of_store(&error, conversation);
    let mut ids = store.list(Some(&prefix), most + 1).await.map_err(failed)?;
    ids.retain(|id| id.starts_with(&prefix));
    let (mut file, _) = store.load(conversation).await.map_err(failed)?;
    let mut shown = of_replies(conversation, &mut file, most + 1);
    let is_more = ids.len().max(shown.len()) > most;
    for id in ids.iter().take(most) {
        match turnwise_store::read(store, id).await.map_err(failed)? {
            None => {}
            Some(Ok(file)) => {
                let kept = StoredResponse::read(&file, id).filter(|kept| kept.of == conversation);
                let shown_of = |StoredResponse { response, sent, .. }| ShownResponse {
                    response: response.parse().unwrap_or_default(),
                    sent,
                };
                shown.extend(kept.map(shown_of));
            }
            Some(Err(unread)) => {
                request_id::log_unread(&unread, "a response of a page cannot be read");
                let status = "This response cannot be read. The server's log says why.";
                shown.push(ShownResponse { response: serde_json::json!({"id": id, "status": status}), sent: None });
            }
        }
    }
    shown.sort_by_key(|shown| std::cmp::Reverse(shown.response["created_at"].as_i64()));
    let is_more = is_more || shown.len() > most;
    shown.truncate(most);
    Ok((shown, is_more))
}

/// The turns whose answers are not stored by themselves, the newest first.
#[cfg(feature = "pages")]
fn of_replies(conversation: &str, file: &mut Transcript, most: usize) -> Vec<ShownResponse> {
    let path = file.conversation.path();
    let items = (0..path.len()).rev().filter_map(|position| path.item(position));
    let replies = items.filter_map(|item| {
        let kept = super::sent::OfReply::read(item.message())?;
        let status = if item.message().is_incomplete() { "incomplete" } else { "completed" };
        let response = serde_json::json!({
            "model": kept.model, "status": status, "usage": kept.billed,
            "created_at": item.created_at().as_millis().div_euclid(1_000),
        });
        Some((item.id(), ShownResponse { response, sent: Some(kept.sent) }))
    });
    let found: Vec<_> = replies.take(most).collect();
    let record = Record::of(conversation, file);
    let with_id = |(item, mut shown): (_, ShownResponse)| {
        let last = record.of_message_with(item).pop();
        shown.response["id"] = last.map(|item| item.id).into();
        shown
    };
    found.into_iter().map(with_id).collect()
}

impl Responses {
    async fn kept(&self, id: &str) -> Result<(Transcript, StoredResponse), ApiError> {
        find(&*self.store, id).await?.ok_or_else(|| ApiError::no_response(id))
    }

    /// A stored response.
    pub(crate) async fn retrieve(&self, id: &str) -> Result<RawJson, ApiError> {
        Ok(self.kept(id).await?.1.response)
    }

    /// Deletes a stored response. Conversations and other responses stay. Its request, if it has a
    /// key and is sent again, does not store it again.
    pub(crate) async fn delete(&self, id: &str) -> Result<RawJson, ApiError> {
        let (_, kept) = self.kept(id).await?;
        deleted::delete(&*self.store, id, kept.once.as_deref()).await?;
        Ok(RawJson::object([("id", id.into()), ("object", "response".into()), ("deleted", true.into())]))
    }

    /// Refuses to cancel: no response goes on without its client.
    pub(crate) async fn cancel(self: &Arc<Self>, id: &str) -> Result<RawJson, ApiError> {
        self.kept(id).await?;
        Err(ApiError::invalid_request("Cannot cancel a synchronous response.".to_owned()))
    }

    /// A page of the items of a response's input.
    pub(crate) async fn input_items(&self, id: &str, list: &List) -> Result<ItemList, ApiError> {
        let (mut file, kept) = self.kept(id).await?;
        let record = Record::of(&kept.of, &mut file);
        list.page_with_ids(&record, &kept.input)
    }
}
