//! An exchange that failed: what was sent, and what came back.

use std::fmt;
use std::sync::Arc;

use super::reply::Reply;
use crate::backend::{Attempt, BackendError, ChatReply};
use crate::error::{Error, ErrorKind};
use crate::message::Message;
use crate::request::ChatRequest;

/// An exchange that failed after it was sent. It is the cause of the [`Error`]; the record is as it was.
#[non_exhaustive]
pub struct FailedExchange {
    /// What was sent.
    pub request: ChatRequest,
    /// The messages that were sent for the first time with it, and are not in the record: to be sent again.
    pub staged: Vec<Message>,
    /// What had come of a reply that broke off, or that ends in the middle of a call.
    pub partial: Option<Message>,
    /// What the backend said.
    pub error: Option<BackendError>,
    /// What came back and could not be used.
    pub reply: Option<ChatReply>,
}

impl FailedExchange {
    pub(super) fn new(request: ChatRequest, staged: Vec<Message>) -> Self {
        Self { request, staged, partial: None, error: None, reply: None }
    }

    /// The error of a backend.
    pub(super) fn refused(self, error: BackendError) -> Error {
        let told = Error::new(error.kind(), error.detail()).logged_as(error.logged()).advise(error.advice());
        told.because(Self { error: Some(error), ..self })
    }

    /// A reply that cannot be used.
    pub(super) fn unusable(self, reply: ChatReply, kind: ErrorKind, why: &str) -> Error {
        let partial = (kind == ErrorKind::CutCall).then(|| reply.message.clone());
        Error::new(kind, why).because(Self { partial, reply: Some(reply), ..self })
    }

    /// A reply that could not be recorded.
    pub(super) fn unrecorded(self, reply: ChatReply, why: &Error) -> Error {
        Error::new(why.kind(), why.detail()).because(Self { reply: Some(reply), ..self })
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

/// An exchange that was paid for and recorded, and could not be saved. It is the cause of an [`Error`] of the kind
/// [`ErrorKind::NotSaved`]. Sending again would pay twice; [`save`](super::ConversationManager::save) is enough, once the
/// cause is mended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UnsavedExchange {
    /// The reply, as it was recorded.
    pub reply: Reply,
    /// Why it could not be saved.
    pub error: Arc<Error>,
}

impl UnsavedExchange {
    pub(super) fn into_error(self) -> Error {
        let detail = format!("the exchange is recorded, and its file could not be written: {}", self.error);
        Error::new(ErrorKind::NotSaved, detail).because(self)
    }
}

impl fmt::Display for UnsavedExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an exchange that is recorded and not saved")
    }
}

impl std::error::Error for UnsavedExchange {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.error)
    }
}

impl Error {
    /// The reply of an exchange that is recorded and could not be saved, and why.
    pub fn unsaved(&self) -> Option<&UnsavedExchange> {
        self.cause()
    }

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
        write!(f, "a failed exchange with {}", crate::text::counted(self.request.messages.len(), "message"))
    }
}

impl std::error::Error for FailedExchange {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The error's own words are those of the `Error` that this is the cause of.
        std::error::Error::source(self.error.as_ref()?)
    }
}
