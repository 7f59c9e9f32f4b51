//! `BackendError`: why a backend could not return a reply.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Attempt;
use super::classify::{Answer, classify};
use super::secrets::{Secrets, address, shown};
use super::{limits, said};
use crate::error::{Advice, ErrorKind};

/// An error of a backend: an [`ErrorKind`] and the server's explanation.
///
/// `Display` is for the person who asked. It prints the kind, the status, the address, the server's
/// code, and the server's [explanation](Self::reason); or the message that was given to a
/// constructor, if there was no answer. A server's explanation may repeat the request, so `Debug`
/// leaves it out.
///
/// A custom backend passes on its server's answer with [`status`](Self::status) or
/// [`with_body`](Self::with_body). The messages given to the other constructors are taken for the
/// backend's own words, and are in `Debug` too.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use turnwise::ErrorKind;
/// use turnwise::backend::BackendError;
///
/// let error = BackendError::rate_limited(Some(Duration::from_secs(2)));
/// assert!(error.is_retryable());
/// let error = BackendError::status(401, r#"{"error":{"message":"invalid key"}}"#);
/// assert_eq!(error.kind(), ErrorKind::Auth);
/// ```
#[derive(Clone)]
pub struct BackendError(Box<Repr>);

#[derive(Clone)]
struct Repr {
    kind: ErrorKind,
    status: Option<u16>,
    code: Option<String>,
    /// The server's words if there is a status, else the backend's own.
    message: String,
    /// The server's words in addition to the backend's own.
    answer: Option<String>,
    limit: Option<u64>,
    failed_generation: Option<String>,
    retry_after: Option<Duration>,
    attempts: Vec<Attempt>,
    body: Option<String>,
    url: Option<String>,
    secrets: Secrets,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl BackendError {
    /// The error for an answer with this status and body. The body decides between overflow, rate
    /// limit, quota and rejection, in the forms of OpenAI and compatible servers. If the status
    /// means success, the code or type in the body decides.
    pub fn status(status: u16, body: &str) -> Self {
        let Answer { kind, code, message, limit, failed_generation } = classify(status, body);
        let mut error = Self::new(kind, message);
        error.0.status = Some(status);
        error.0.code = code;
        error.0.limit = limit;
        error.0.failed_generation = failed_generation;
        error.0.body = Some(body.to_owned());
        error
    }

    /// The request is longer than the model's window, which has `limit` tokens if that is known.
    pub fn overflow(limit: Option<u64>) -> Self {
        let mut error = Self::new(ErrorKind::Overflow, "the request is longer than the model's window");
        error.0.limit = limit;
        error
    }

    /// Rate limit exceeded; `wait` is how long the server asks to wait.
    pub fn rate_limited(wait: Option<Duration>) -> Self {
        Self::new(ErrorKind::RateLimited, "too many requests").with_retry_after(wait)
    }

    /// Quota or credit exhausted.
    pub fn quota(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Quota, message)
    }

    /// The key is missing or wrong, or lacks the permission.
    pub fn auth(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Auth, message)
    }

    /// The server refused the request.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Rejected, message)
    }

    /// The server did not answer in time.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }

    /// The server could not be reached, or failed.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// The reply broke off while it was being received.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Interrupted, message)
    }

    /// The answer is not a chat completion.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, message)
    }

    /// There is no backend, or no key.
    pub fn no_backend(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NoBackend, message)
    }

    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Repr {
            kind,
            status: None,
            code: None,
            message: message.into(),
            answer: None,
            limit: None,
            failed_generation: None,
            retry_after: None,
            attempts: Vec::new(),
            body: None,
            url: None,
            secrets: Secrets::default(),
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

    /// The same error with one request of this duration, if one was made and none is listed.
    pub(crate) fn or_attempt(self, elapsed: Duration) -> Self {
        if self.0.attempts.is_empty() && self.kind() != ErrorKind::NoBackend {
            let attempt = Attempt::new(self.0.status, elapsed);
            self.with_attempts(vec![attempt])
        } else {
            self
        }
    }

    /// The same error with the unchanged body of the answer. The explanation in it is printed,
    /// unless it may be a reply.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<String>) -> Self {
        let body = body.into();
        if self.0.status.is_none() {
            self.0.answer = said::words_beside_a_reply(&body);
        }
        self.0.body = Some(body);
        self
    }

    /// The same error with the address of the request. It is printed without user, query, and path
    /// segments that are long enough to be keys.
    #[must_use]
    pub fn with_url(mut self, url: &str) -> Self {
        self.0.url = Some(address(url));
        self
    }

    /// The same error, which never prints any of these keys.
    #[cfg_attr(not(feature = "openai"), allow(dead_code, reason = "other backends have no keys that are known here"))]
    pub(super) fn hiding(mut self, secrets: &Secrets) -> Self {
        self.0.secrets = secrets.clone();
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into().into());
        self
    }

    /// An overflow, if the server's explanation contains one of these texts.
    #[cfg_attr(not(feature = "openai"), allow(dead_code, reason = "other backends read answers themselves"))]
    pub(crate) fn or_overflow(mut self, words: &[String]) -> Self {
        let said = self.0.body.as_deref().unwrap_or_default();
        if self.0.status.is_some() && words.iter().any(|words| said.contains(&**words)) {
            self.0.limit = self.0.limit.or_else(|| limits::window(said));
            self.0.kind = ErrorKind::Overflow;
        }
        self
    }

    /// The kind of the error.
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

    /// The unchanged body of the answer. It may repeat the request, keys included.
    pub fn body(&self) -> Option<&str> {
        self.0.body.as_deref()
    }

    /// The server's own words, unchanged. They may repeat the request, keys included. To show them
    /// to people, use [`reason`](Self::reason).
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The server's explanation as `Display` prints it: on one line of at most 300 characters,
    /// without control characters, and with keys masked. If the model's tool call could not be
    /// parsed, what the model wrote follows. Other parts of the request may be repeated in it.
    /// `None` if the server gave no explanation.
    pub fn reason(&self) -> Option<String> {
        let words = match self.0.status {
            Some(_) => &self.0.message,
            None => self.0.answer.as_ref()?,
        };
        match &self.0.failed_generation {
            Some(text) => shown(&format!("{words} failed_generation: {text}"), &self.0.secrets),
            None => shown(words, &self.0.secrets),
        }
    }

    /// What would help, if the explanation points to a known difference between servers.
    pub fn advice(&self) -> Option<Advice> {
        use ErrorKind::{Malformed, Rejected, Unavailable};
        let may_differ = matches!(self.kind(), Rejected | Unavailable | Malformed);
        let words = if self.0.status.is_some() { Some(&self.0.message) } else { self.0.answer.as_ref() };
        crate::dialect::advice(words.filter(|_| may_differ)?)
    }

    /// The model's window in tokens, as an overflow states it; or the limit of tokens per minute
    /// that this request alone exceeds.
    pub fn limit(&self) -> Option<u64> {
        self.0.limit
    }

    /// The tokens of a prompt that was too long, if the answer states them.
    pub fn prompt_tokens(&self) -> Option<u64> {
        let answer = self.0.body.as_deref().filter(|_| self.kind() == ErrorKind::Overflow)?;
        limits::prompt_tokens(answer)
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

impl BackendError {
    /// The error without its kind and advice, for the person who asked, with the server's
    /// explanation.
    pub(crate) fn detail(&self) -> String {
        let facts = self.facts();
        match (self.reason(), self.0.status) {
            (Some(reason), Some(_)) => format!("{facts}: {reason}"),
            (Some(reason), None) => format!("{facts}; the answer: {reason}"),
            (None, Some(_)) => format!("{facts}, without a message"),
            (None, None) => facts,
        }
    }

    /// The same for logs: the length of the server's explanation, but not its text.
    pub(crate) fn logged(&self) -> String {
        let facts = self.facts();
        match self.reason() {
            Some(reason) => format!("{facts} (and a message of {} characters)", reason.chars().count()),
            None => facts,
        }
    }

    /// The part that is safe to log: status, address, code and limit, or the backend's own message.
    fn facts(&self) -> String {
        let at = self.0.url.as_ref().map_or_else(String::new, |url| format!(" at {url}"));
        let limit = self.0.limit.map(crate::text::thousands);
        let limit = limit.map_or_else(String::new, |limit| format!(", at most {limit} tokens"));
        let Some(status) = self.0.status else { return format!("{}{at}{limit}", self.0.message) };
        let what = match status {
            200..=299 => format!("the server{at} reported an error in an answer with a status of success"),
            status => format!("status {status}{at}"),
        };
        let is_word =
            |code: &&str| code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c));
        let code = self.code().filter(is_word).filter(|code| *code != status.to_string());
        let code = code.map_or_else(String::new, |code| format!(", code {code}"));
        format!("{what}{code}{limit}")
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, detail: &str) -> fmt::Result {
        write!(f, "{}: {detail}", self.0.kind)?;
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &self.detail())
    }
}

impl fmt::Debug for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackendError(")?;
        self.write(f, &self.logged())?;
        f.write_str(")")
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
