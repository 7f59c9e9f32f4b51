//! What goes wrong at a backend, sorted.

use std::fmt;
use std::time::Duration;

use super::Attempt;
use super::classify::{Answer, classify};
use super::stated;
use crate::error::ErrorKind;

/// An error of a backend: sorted into an [`ErrorKind`] with what the server said.
///
/// `Display` gives the kind, the status and the server's code, or the words that an error without an answer was made with.
/// The server's own words, which may repeat what was sent, come only on request ([`message`](Self::message)).
pub struct BackendError(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    status: Option<u16>,
    code: Option<String>,
    message: String,
    limit: Option<u64>,
    retry_after: Option<Duration>,
    attempts: Vec<Attempt>,
    body: Option<String>,
    path: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl BackendError {
    /// An error answer: its body tells overflow, rate limit, quota and refusals apart, in the shapes of OpenAI and of
    /// servers like it. With the status of a success it is what the code or type in the body says.
    pub fn status(status: u16, body: &str) -> Self {
        let Answer { kind, code, message, limit } = classify(status, body);
        let mut error = Self::new(kind, message);
        error.0.status = Some(status);
        error.0.code = code;
        error.0.limit = limit;
        error.with_body(body)
    }

    /// The request is longer than the model's window, whose size is `limit` tokens if it is known.
    pub fn overflow(limit: Option<u64>) -> Self {
        let mut error = Self::new(ErrorKind::Overflow, "the request is longer than the model's window");
        error.0.limit = limit;
        error
    }

    /// Too many requests in a time, and how long the server asks to wait.
    pub fn rate_limited(wait: Option<Duration>) -> Self {
        Self::new(ErrorKind::RateLimited, "too many requests").with_retry_after(wait)
    }

    /// The account has nothing left.
    pub fn quota(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Quota, message)
    }

    /// The key is missing, wrong or not allowed to do this.
    pub fn auth(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Auth, message)
    }

    /// The server refuses the request.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Rejected, message)
    }

    /// No answer came in time.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }

    /// The server could not be reached, or failed.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// The reply broke off while it came.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Interrupted, message)
    }

    /// The answer is not a chat completion.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, message)
    }

    /// No backend was given, or no key.
    pub fn no_backend(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NoBackend, message)
    }

    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Repr {
            kind,
            status: None,
            code: None,
            message: message.into(),
            limit: None,
            retry_after: None,
            attempts: Vec::new(),
            body: None,
            path: None,
            source: None,
        }))
    }

    /// The same error with the time that the server asks to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// The same error with the requests that were made.
    #[must_use]
    pub fn with_attempts(mut self, attempts: Vec<Attempt>) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// The same error with one request that took so long, where none is named and one was made.
    pub(crate) fn or_attempt(self, elapsed: Duration) -> Self {
        match self.0.attempts.is_empty() && self.kind() != ErrorKind::NoBackend {
            true => {
                let attempt = Attempt::new(self.0.status, elapsed);
                self.with_attempts(vec![attempt])
            }
            false => self,
        }
    }

    /// The same error with the answer's body as it came.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<String>) -> Self {
        self.0.body = Some(body.into());
        self
    }

    /// The same error with the path that was asked; it is printed, without a query.
    #[must_use]
    pub fn with_path(mut self, path: &str) -> Self {
        self.0.path = Some(path.split(['?', '#']).next().unwrap_or_default().to_owned());
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// An overflow, where the server says one of these words.
    #[cfg_attr(not(feature = "openai"), allow(dead_code, reason = "other backends read answers themselves"))]
    pub(crate) fn or_overflow(mut self, words: &[String]) -> Self {
        let said = self.0.body.as_deref().unwrap_or_default();
        if self.0.status.is_some() && words.iter().any(|words| said.contains(&**words)) {
            self.0.limit = self.0.limit.or_else(|| stated::window(said));
            self.0.kind = ErrorKind::Overflow;
        }
        self
    }

    /// What it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The status of the answer.
    pub fn status_code(&self) -> Option<u16> {
        self.0.status
    }

    /// The server's code, as text.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The answer's body as it came; it may repeat what was sent.
    pub fn body(&self) -> Option<&str> {
        self.0.body.as_deref()
    }

    /// The server's own words; they may repeat what was sent.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The model's window in tokens, as an overflow states it.
    pub fn limit(&self) -> Option<u64> {
        self.0.limit
    }

    /// The tokens of a prompt that was too long, where the answer states them.
    pub fn prompt_tokens(&self) -> Option<u64> {
        let answer = self.0.body.as_deref().filter(|_| self.kind() == ErrorKind::Overflow)?;
        stated::prompt_tokens(answer)
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The requests that were made.
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.kind)?;
        if let Some(status) = self.0.status {
            write!(f, ": status {status}")?;
        }
        if let Some(path) = &self.0.path {
            write!(f, " at {path}")?;
        }
        let is_word =
            |code: &&String| code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c));
        if let Some(code) = self.0.code.as_ref().filter(is_word) {
            write!(f, ", code {code}")?;
        }
        if let Some(limit) = self.0.limit {
            write!(f, ", at most {} tokens", crate::words::thousands(limit))?;
        }
        if self.0.status.is_none() {
            write!(f, ": {}", self.0.message)?;
        }
        Ok(())
    }
}

impl fmt::Debug for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackendError({self})")
    }
}

impl std::error::Error for BackendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}
