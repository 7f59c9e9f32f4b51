//! `FailedExchange` and `UnsavedExchange`: what was sent and received when a send failed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::reply::Reply;
use crate::backend::{Attempt, BackendError, ChatReply};
use crate::error::{Error, ErrorKind, OverBudget, OverPart};
use crate::message::Message;
use crate::request::ChatRequest;
use crate::text::thousands;

/// An exchange that failed after it was sent. It is the cause of the [`Error`]; the record is
/// unchanged.
///
/// # Examples
/// ```
/// # use turnwise::{ConversationManager, backend::{BackendError, Scripted}};
/// # futures_lite::future::block_on(async {
/// # let backend = Scripted::default().and(BackendError::unavailable("restarting"));
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
/// let error = chat.send("Name a river.").await.unwrap_err();
/// let failed = error.failed_exchange().unwrap();
/// println!("{error}, after {} attempts", failed.attempts().len());
/// assert_eq!(chat.turn_count(), 0); // nothing was recorded
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[non_exhaustive]
pub struct FailedExchange {
    /// The request that was sent.
    pub request: ChatRequest,
    /// The new messages of the request. They are not in the record, so send them again to retry.
    pub staged: Vec<Message>,
    /// The part that arrived of a reply that broke off, or that ends in the middle of a call.
    pub partial: Option<Message>,
    /// The error of the backend.
    pub error: Option<BackendError>,
    /// A reply that could not be used.
    pub reply: Option<ChatReply>,
}

impl FailedExchange {
    pub(super) fn new(request: ChatRequest, staged: Vec<Message>) -> Self {
        Self { request, staged, partial: None, error: None, reply: None }
    }

    /// The error of a backend. One about a request that was too long is told with its `tokens`.
    pub(super) fn refused(self, error: BackendError, tokens: u64) -> Error {
        let (mut detail, mut logged) = (error.detail(), error.logged());
        if error.kind() == ErrorKind::Overflow {
            let length = format!("; the request was about {} tokens", thousands(tokens));
            detail.push_str(&length);
            logged.push_str(&length);
        }
        let mut told = Error::new(error.kind(), detail).logged_as(logged).advise(error.advice());
        if let Some(room) = error.limit().filter(|_| error.kind() == ErrorKind::Overflow) {
            let tokens = error.prompt_tokens().unwrap_or(tokens);
            told = told.over(OverBudget::new(OverPart::Request, tokens, room));
        }
        told.because(Self { error: Some(error), ..self })
    }

    /// The error for a reply that could not be used.
    pub(super) fn unusable(self, reply: ChatReply, kind: ErrorKind, why: &str) -> Error {
        let partial = (kind == ErrorKind::CutCall).then(|| reply.message.clone());
        Error::new(kind, why).because(Self { partial, reply: Some(reply), ..self })
    }

    /// The error for a reply that could not be recorded.
    pub(super) fn unrecorded(self, reply: ChatReply, why: &Error) -> Error {
        Error::new(why.kind(), why.detail()).because(Self { reply: Some(reply), ..self })
    }

    /// The requests that were made, oldest first.
    pub fn attempts(&self) -> &[Attempt] {
        match (&self.error, &self.reply) {
            (Some(error), _) => error.attempts(),
            (None, Some(reply)) => &reply.attempts,
            (None, None) => &[],
        }
    }
}

/// An exchange that was paid for and could not be saved. It is the cause of an [`Error`], whose kind
/// says what became of it:
///
/// - [`ErrorKind::NotSaved`]: its manager has recorded it, and only the file or store has not. The
///   next save of that manager writes it too, so do not send it again, which would pay twice. If
///   [`error`](Self::error) is a conflict, every save there is refused: to keep the exchange, call
///   [`save`](super::ConversationManager::save) with another file before
///   [`reload`](super::ConversationManager::reload) gives it up. What
///   [`Sessions::send`](super::Sessions::send) could not save is gone when nobody holds the
///   conversation's manager; repeat [`Sessions::send_once`](super::Sessions::send_once), which sends
///   only what is gone.
/// - Any other kind, such as [`ErrorKind::Conflict`] and [`ErrorKind::NotFound`] of
///   [`Sessions::send`](super::Sessions::send): it was given up and is recorded nowhere. This is the
///   only copy of the reply.
///
/// # Examples
/// See [`Builder::require_saved`](crate::Builder::require_saved).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UnsavedExchange {
    /// The reply, as its manager recorded it.
    pub reply: Reply,
    /// Why it could not be saved.
    pub error: Arc<Error>,
    /// Where it was to be saved, for a message.
    place: Box<str>,
}

impl UnsavedExchange {
    pub(super) fn new(shared: &Shared, reply: Reply, error: Arc<Error>) -> Self {
        let place = shared.keeper.as_ref().map(|keeper| keeper.shown()).unwrap_or_default();
        Self { reply, error, place: place.into() }
    }

    /// The error of an exchange that its manager has recorded.
    pub(super) fn into_error(self) -> Error {
        let detail = format!("the exchange is recorded, and {} could not be written: {}", self.place, self.error);
        Error::new(ErrorKind::NotSaved, detail).because(self)
    }
}

impl fmt::Display for UnsavedExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an exchange that could not be saved")
    }
}

impl std::error::Error for UnsavedExchange {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.error)
    }
}

impl Error {
    /// The reply of an exchange that could not be saved, and the reason. With
    /// [`ErrorKind::NotSaved`] its manager has recorded it; with any other kind it was given up. See
    /// [`UnsavedExchange`].
    pub fn unsaved(&self) -> Option<&UnsavedExchange> {
        self.cause_as()
    }

    /// The request and the answer, if an exchange failed after it was sent.
    pub fn failed_exchange(&self) -> Option<&FailedExchange> {
        self.cause_as()
    }

    /// How long the server asks to wait before the next try, if it says so.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use turnwise::ConversationManager;
    /// use turnwise::backend::{BackendError, Scripted};
    ///
    /// # futures_lite::future::block_on(async {
    /// let limited = BackendError::rate_limited(Some(Duration::from_secs(7)));
    /// let chat = ConversationManager::builder("gpt-4o").backend(Scripted::default().and(limited)).build()?;
    /// let error = chat.send("Hi").await.unwrap_err();
    /// assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn retry_after(&self) -> Option<Duration> {
        self.failed_exchange()?.error.as_ref()?.retry_after()
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
        // The error's own message is in the `Error` that this is the cause of.
        std::error::Error::source(self.error.as_ref()?)
    }
}
