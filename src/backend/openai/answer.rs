//! Reads a server's answer within the limits of time and size.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::beside::{YieldBudget, beside};
use crate::backend::classify::is_error;
use crate::backend::{BackendError, ChatReply, FinishReason, Usage};
use crate::encoding::Encoding;
use crate::halves::mended;
use crate::json::RawJson;
use crate::message::Message;
use crate::text::described;

/// The largest answer that is read, in bytes: about a thousand times the longest reply of a model.
const LARGEST: usize = 64 * 1024 * 1024;

/// How many bytes of an error answer are read; its explanation is short.
const LARGEST_ERROR: usize = 256 * 1024;

/// Why a body could not be read to its end.
pub(super) enum Unread {
    Broken(reqwest::Error),
    Stalled(Duration),
    TooLarge,
}

/// An answer that is being read.
pub(super) struct Answer {
    response: reqwest::Response,
    /// The longest pause, once data has arrived.
    idle: Duration,
    read: usize,
    turn: YieldBudget,
}

impl Answer {
    pub(super) fn new(response: reqwest::Response, idle: Duration) -> Self {
        Self { response, idle, read: 0, turn: YieldBudget::default() }
    }

    /// The next bytes; `None` at the end. The first ones may take as long as the attempt may. Other
    /// tasks and timers get their turn in between, even if there is always more to read.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Unread> {
        let chunk = match self.read {
            0 => self.response.chunk().await,
            _ => timeout(self.idle, self.response.chunk()).await.map_err(|_| Unread::Stalled(self.idle))?,
        };
        let chunk = chunk.map_err(Unread::Broken)?;
        let bytes = chunk.as_ref().map_or(0, Bytes::len);
        self.read = self.read.saturating_add(bytes);
        self.turn.spend(bytes).await;
        if self.read > LARGEST { Err(Unread::TooLarge) } else { Ok(chunk) }
    }

    /// The whole body; `body` is the part that was read already.
    async fn rest(&mut self, mut body: Vec<u8>) -> Result<Vec<u8>, Unread> {
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The reply in the body; `begun` is the part that was read already.
    pub(super) async fn reply(&mut self, begun: Vec<u8>) -> Result<ChatReply, BackendError> {
        let body = self.rest(begun).await?;
        let status = self.response.status().as_u16();
        beside(body.len(), move || read(status, body)).await?
    }

    /// The status of the answer.
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The whole body.
    pub(super) async fn body(&mut self) -> Result<Vec<u8>, BackendError> {
        Ok(self.rest(Vec::new()).await?)
    }

    /// How many bytes have arrived.
    pub(super) fn len(&self) -> usize {
        self.read
    }

    /// Reads the rest if it arrives soon, so that the connection can be used again.
    pub(super) async fn end(mut self) {
        let _ = timeout(Duration::from_secs(1), async { while let Ok(Some(_)) = self.chunk().await {} }).await;
    }

    /// The error that the body describes.
    pub(super) async fn error(mut self) -> BackendError {
        let status = self.response.status().as_u16();
        let mut body = Vec::new();
        while body.len() < LARGEST_ERROR {
            match self.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(unread) => return unread.into(),
            }
        }
        let length = body.len();
        let sort = move || BackendError::status(status, &String::from_utf8_lossy(&body));
        let (Ok(error) | Err(error)) = beside(length, sort).await;
        error
    }
}

impl From<Unread> for BackendError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLarge => Self::malformed(format!("the answer is longer than {} MiB", LARGEST / (1024 * 1024))),
            Unread::Stalled(time) => {
                Self::timeout(format!("no further part of the answer arrived within {} seconds", time.as_secs_f32()))
            }
            // The address may contain a key.
            Unread::Broken(error) => {
                if error.is_timeout() {
                    Self::timeout("no further part of the answer arrived in time").with_source(error.without_url())
                } else {
                    Self::unavailable("the answer broke off").with_source(error.without_url())
                }
            }
        }
    }
}

/// The parts of a completion that are read. Usage and finish reason are parsed separately: servers
/// put anything there, even values nested too deep to be parsed, and that must not lose a reply.
#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    message: Message,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
}

/// The reply in the body of a successful answer, with every field kept.
pub(super) fn read(status: u16, body: Vec<u8>) -> Result<ChatReply, BackendError> {
    let (text, half_characters) = whole_characters(body)?;
    let reply = completed(status, &text)?;
    Ok(ChatReply { raw: RawJson::from_text(text).ok(), half_characters, ..reply })
}

/// The text of a body, and how many half characters were replaced in it. A body without any is not
/// copied.
fn whole_characters(body: Vec<u8>) -> Result<(String, usize), BackendError> {
    let (text, halves) = match String::from_utf8(body) {
        Ok(text) => (text, 0),
        Err(error) => {
            let bytes = error.into_bytes();
            let Ok(decoded) = Encoding::Utf8.decode(&bytes) else {
                let body = String::from_utf8_lossy(&bytes);
                return Err(BackendError::malformed("the answer is not UTF-8").with_body(body));
            };
            (decoded.text.into_owned(), decoded.halves)
        }
    };
    let mended = mended(&text);
    let count = halves + mended.count;
    let changed = match mended.text {
        Cow::Owned(changed) => Some(changed),
        Cow::Borrowed(_) => None,
    };
    Ok((changed.unwrap_or(text), count))
}

fn completed(status: u16, body: &str) -> Result<ChatReply, BackendError> {
    // Some servers report errors with a status of success.
    let failed = |why: String| {
        if is_error(body) { BackendError::status(status, body) } else { BackendError::malformed(why).with_body(body) }
    };
    let completion: Completion<'_> =
        serde_json::from_str(body).map_err(|e| failed(format!("not a chat completion: {}", described(&e))))?;
    let choice = completion.choices.into_iter().next();
    let choice = choice.ok_or_else(|| failed("a chat completion without choices".to_owned()))?;
    let finish: Option<String> = choice.finish_reason.and_then(|reason| serde_json::from_str(reason.get()).ok());
    let finish = finish.as_deref().map_or(FinishReason::Stop, FinishReason::from);
    let usage: Option<Usage> = completion.usage.and_then(|usage| serde_json::from_str(usage.get()).ok());
    Ok(ChatReply { usage, ..ChatReply::new(choice.message).finish(finish) })
}
