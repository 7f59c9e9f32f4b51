//! An exchange that failed: what was sent, and what came back.

use std::fmt;

use crate::backend::{Attempt, BackendError, ChatReply};
use crate::error::{Error, ErrorKind};
use crate::request::ChatRequest;

/// An exchange that failed after it was sent. It is the cause of the [`Error`]; the record is as it was.
#[non_exhaustive]
pub struct FailedExchange {
    /// What was sent.
    pub request: ChatRequest,
    /// What the backend said.
    pub error: Option<BackendError>,
    /// What came back and could not be used.
    pub reply: Option<ChatReply>,
}

impl FailedExchange {
    pub(super) fn refused(request: ChatRequest, error: BackendError) -> Error {
        let (kind, text) = (error.kind(), error.to_string());
        let detail = text.strip_prefix(&format!("{kind}: ")).unwrap_or(&text).to_owned();
        Error::new(kind, detail).because(Self { request, error: Some(error), reply: None })
    }

    pub(super) fn unusable(request: ChatRequest, reply: ChatReply, why: &str) -> Error {
        Error::new(ErrorKind::Malformed, why).because(Self { request, error: None, reply: Some(reply) })
    }

    pub(super) fn unrecorded(request: ChatRequest, reply: ChatReply, why: &Error) -> Error {
        Error::new(why.kind(), why.detail()).because(Self { request, error: None, reply: Some(reply) })
    }

    /// The requests that were made, the last one last.
    pub fn attempts(&self) -> &[Attempt] {
        match (&self.error, &self.reply) {
            (Some(error), _) => error.attempts(),
            (None, Some(reply)) => &reply.attempts,
            (None, None) => &[],
        }
    }
}

impl Error {
    /// What was sent and what came back, when an exchange failed after it was sent.
    pub fn attempt(&self) -> Option<&FailedExchange> {
        self.cause()
    }
}

impl fmt::Debug for FailedExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages = self.request.messages.len();
        f.debug_struct("FailedExchange")
            .field("messages", &messages)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for FailedExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a request of {}", crate::words::counted(self.request.messages.len(), "message"))
    }
}

impl std::error::Error for FailedExchange {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The error's own words are those of the `Error` that this is the cause of.
        std::error::Error::source(self.error.as_ref()?)
    }
}
