//! Reads what a server answers.

use serde::Deserialize;

use crate::backend::classify::is_error;
use crate::backend::{BackendError, ChatReply, FinishReason, Usage};
use crate::json::{RawJson, described};
use crate::message::Message;

/// The largest answer that is read, in bytes: some thousand times the longest reply of a model.
pub(super) const LARGEST: usize = 64 * 1024 * 1024;

/// A body that could not be read to its end.
pub(super) enum Unread {
    Broken(reqwest::Error),
    TooLarge,
}

/// The whole body of an answer.
pub(super) async fn whole(mut response: reqwest::Response, largest: usize) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
        if body.len() + chunk.len() > largest {
            return Err(Unread::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl From<Unread> for BackendError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLarge => Self::malformed(format!("the answer is longer than {} MiB", LARGEST / (1024 * 1024))),
            // The address may hold a key.
            Unread::Broken(error) => match error.is_timeout() {
                true => Self::timeout("the answer stopped coming").with_source(error.without_url()),
                false => Self::unavailable("the answer broke off").with_source(error.without_url()),
            },
        }
    }
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    #[serde(default)]
    finish_reason: Option<serde_json::Value>,
}

/// The reply in the body of a success, every field kept.
pub(super) fn read(status: u16, body: Vec<u8>) -> Result<ChatReply, BackendError> {
    let body = String::from_utf8(body).map_err(|e| {
        let malformed = BackendError::malformed("the answer is not UTF-8");
        malformed.with_body(String::from_utf8_lossy(e.as_bytes())).with_source(e.utf8_error())
    })?;
    // Some servers report errors with the status of a success.
    let failed = |why: String| match is_error(&body) {
        true => BackendError::status(status, &body),
        false => BackendError::malformed(why).with_body(&*body),
    };
    let completion: Completion =
        serde_json::from_str(&body).map_err(|e| failed(format!("not a chat completion: {}", described(&e))))?;
    let choice = completion.choices.into_iter().next();
    let choice = choice.ok_or_else(|| failed("a chat completion without choices".to_owned()))?;
    let finish = choice.finish_reason.as_ref().and_then(serde_json::Value::as_str);
    let finish = finish.map_or(FinishReason::Stop, FinishReason::from);
    // A bill in another form is no reason to lose a reply.
    let usage: Option<Usage> = completion.usage.and_then(|usage| serde_json::from_value(usage).ok());
    Ok(ChatReply { usage, raw: RawJson::new(&body).ok(), ..ChatReply::new(choice.message).finish(finish) })
}
