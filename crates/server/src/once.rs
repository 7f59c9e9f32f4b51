//! `Once`: a request that its client may send again, and that is recorded once.
//!
//! A client that sends `Idempotency-Key` gets the recorded turn when it sends the same request
//! again. What is needed for that is written with the turn: the newest keys stay in the file of the
//! conversation, what was answered is in the reply, and a stored response has an id that is made from
//! the key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;
use turnwise::conversation::{ItemId, Timestamp};
use turnwise::message::RawJson;
use turnwise::{Message, Transcript};
use turnwise_conversations::{AddedOnce, ApiError};

use crate::keys::hex;
use crate::routes::ReadBody;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const LONGEST: usize = 255;
/// The member of a file with the requests that were recorded last.
const MEMBER: &str = "turnwise_requests";
/// How many of them stay.
const MOST: usize = 8;
/// How many stay for some time, because many clients may write before one of them asks again.
const MOST_RECENT: usize = 64;
/// Milliseconds of that time.
const RECENT: i64 = 5 * 60 * 1_000;

/// A request that is recorded once.
#[derive(Clone, Debug)]
pub(crate) struct Once {
    /// A hash of the key and the route.
    key: String,
    /// A hash of the body.
    pub(crate) body: String,
}

/// A request that was recorded.
#[derive(Clone, Serialize, Deserialize)]
struct Done {
    key: String,
    body: String,
    /// When it was recorded, in milliseconds since 1970.
    at: i64,
    turn: Turn,
}

/// The member of a reply with what it was answered with. It is there and not with the key because the
/// file states all keys anew with each turn.
const ANSWER: &str = "turnwise_answer";

/// A reply with what it was answered with, but for itself and what its request says.
pub(crate) fn with_answer(reply: Message, answer: RawJson) -> Message {
    let with = reply.clone().with_field(ANSWER, answer);
    with.unwrap_or(reply)
}

/// What a reply was answered with.
pub(crate) fn answer_of(reply: &Message) -> Option<&RawJson> {
    reply.get(ANSWER)
}

/// What of a conversation a recorded request is.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// Which the items are.
    pub(crate) items: RawJson,
    /// The ids of the items of the input, of a response that is also stored by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) input: Vec<String>,
    /// The reply of a response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<ItemId>,
}

impl Turn {
    pub(crate) fn new(items: RawJson) -> Self {
        Self { items, input: Vec::new(), end: None }
    }
}

impl Once {
    /// The key of a request; `None` if it has none.
    pub(crate) fn of(headers: &HeaderMap, route: &str, body: &Bytes) -> Result<Option<Self>, ApiError> {
        let Some(key) = headers.get(HEADER) else { return Ok(None) };
        if !(1..=LONGEST).contains(&key.len()) {
            let message = format!("'Idempotency-Key' has 1 to {LONGEST} characters, not {}.", key.len());
            return Err(ApiError::invalid_request(message));
        }
        let hash = |parts: [&[u8]; 2]| {
            let mut hash = Sha256::new();
            for part in parts {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            hex(&hash.finalize())
        };
        Ok(Some(Self { key: hash([route.as_bytes(), key.as_bytes()]), body: hash([b"", body])[..32].to_owned() }))
    }

    /// The key of a request whose body could be read.
    pub(crate) fn of_sent(headers: &HeaderMap, route: &str, body: &ReadBody) -> Result<Option<Self>, ApiError> {
        body.as_ref().map_or(Ok(None), |body| Self::of(headers, route, body))
    }

    /// Digits that only requests with the same key have.
    pub(crate) fn digits(&self) -> &str {
        &self.key
    }

    /// Refuses another request with the same key.
    pub(crate) fn check(&self, body: &str) -> Result<(), ApiError> {
        if self.body == body {
            return Ok(());
        }
        let message = "The 'Idempotency-Key' of this request was used for another request. Send a new key with it.";
        let mut error = ApiError::invalid_request(message.to_owned());
        (error.kind, error.code) = ("idempotency_error", Some("idempotency_key_in_use"));
        Err(error)
    }

    /// The turn of this request, if it is one of the last of the conversation.
    pub(crate) fn find(&self, file: &Transcript) -> Result<Option<Turn>, ApiError> {
        let found = all(file).into_iter().find(|done| done.key == self.key);
        found.map(|done| self.check(&done.body).map(|()| done.turn)).transpose()
    }

    /// Writes a turn into the conversation that it is recorded in.
    pub(crate) fn put(&self, file: &mut Transcript, turn: Turn) {
        self.put_at(file, turn, Timestamp::now().as_millis());
    }

    fn put_at(&self, file: &mut Transcript, turn: Turn, now: i64) {
        let mut done = all(file);
        done.push(Done { key: self.key.clone(), body: self.body.clone(), at: now, turn });
        let recent = done.iter().rev().take(MOST_RECENT).take_while(|one| now - one.at < RECENT).count();
        done.drain(..done.len().saturating_sub(recent.max(MOST)));
        remove(file);
        let json = serde_json::to_value(done).map(RawJson::from);
        file.extra.extend(json.ok().map(|json| (MEMBER.to_owned(), json)));
    }
}

impl AddedOnce for Once {
    fn find(&self, file: &Transcript) -> Result<Option<Vec<String>>, ApiError> {
        Ok(Self::find(self, file)?.map(|turn| turn.items.parse().unwrap_or_default()))
    }

    fn put(&self, file: &mut Transcript, ids: Vec<String>) {
        let ids: Vec<RawJson> = ids.into_iter().map(RawJson::from).collect();
        Self::put(self, file, Turn::new(ids.into()));
    }
}

fn all(file: &Transcript) -> Vec<Done> {
    let kept = file.extra.iter().find(|(key, _)| key == MEMBER);
    kept.and_then(|(_, kept)| kept.parse().ok()).unwrap_or_default()
}

/// Forgets the requests of a conversation.
pub(crate) fn remove(file: &mut Transcript) {
    file.extra.retain(|(key, _)| key != MEMBER);
}

/// An answer that was recorded before.
pub(crate) fn replayed(mut response: Response) -> Response {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// The requests with a key that run in this process: a second one waits for the first, and is
/// answered with its turn.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>>);

/// While it exists, another request with the same key waits.
pub(crate) type Held = OwnedMutexGuard<()>;

impl Running {
    pub(crate) async fn hold(&self, once: &Once) -> Held {
        let lock = {
            let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            running.retain(|_, lock| lock.strong_count() > 0);
            let known = running.get(&once.key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let new = Arc::default();
                running.insert(once.key.clone(), Arc::downgrade(&new));
                new
            })
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once(key: &str, body: &'static str) -> Once {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(key).unwrap());
        Once::of(&headers, "responses", &Bytes::from_static(body.as_bytes())).unwrap().unwrap()
    }

    #[test]
    fn the_last_requests_of_a_conversation_are_known_by_key_and_body() {
        let mut file = Transcript::default();
        for number in 0..10 {
            let turn = Turn::new(number.into());
            once(&format!("key {number}"), "body").put_at(&mut file, turn, i64::from(number) * RECENT);
        }
        assert!(once("key 1", "body").find(&file).unwrap().is_none());
        assert_eq!(once("key 9", "body").find(&file).unwrap().unwrap().items.as_str(), "9");
        assert_eq!(once("key 9", "other").find(&file).map(drop).unwrap_err().code, Some("idempotency_key_in_use"));
    }

    #[test]
    fn of_requests_that_come_fast_more_are_known() {
        let mut file = Transcript::default();
        for number in 0..100 {
            once(&format!("key {number}"), "body").put_at(&mut file, Turn::new(number.into()), number);
        }
        let is_known = |number| once(&format!("key {number}"), "body").find(&file).unwrap().is_some();
        assert!(!is_known(35) && is_known(36) && is_known(99));
    }

    #[test]
    fn a_key_that_is_empty_or_long_is_refused() {
        for key in [String::new(), "x".repeat(256)] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_str(&key).unwrap());
            assert_eq!(Once::of(&headers, "responses", &Bytes::new()).unwrap_err().status, 400);
        }
    }
}
