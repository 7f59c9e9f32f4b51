//! `OpenAI`'s API, and all that speak it, over `async-openai`.
//!
//! `async-openai` knows where to send and with which keys; what is sent is our own JSON, and the reply is read from the
//! raw body, so that nothing that it does not know is lost. An HTTP service of ours stands in the place of its own: it
//! takes the request that `async-openai` has addressed, puts our body in, sends it, and keeps the answer. It also holds
//! the only retry loop.
//!
//! The re-export of [`async_openai`] is for building a client's configuration with the version used here; it may change
//! in any release.

mod answer;
mod endpoint;
mod retry;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_openai::config::Config;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_openai::types::chat::CreateChatCompletionRequest;

use super::{Attempt, BackendError, BoxFuture, ChatBackend, ChatReply};
use crate::request::ChatRequest;
use answer::{LARGEST, read, whole};
use endpoint::{Endpoint, Refusal, check_base, config};
use retry::retry_after;

pub use async_openai;
pub use retry::Retry;

/// A chat-completions endpoint.
///
/// Each attempt has a time limit of 300 seconds; an answer that says to come back later, a failing server and a broken
/// connection are tried again, at most three times in all and for at most 600 seconds. An answer longer than 64 MiB is an
/// error. Redirects are not followed.
///
/// What keeps requests from being sent (no key for `OpenAI`, no certificates for HTTPS, a base URL that is none, no tokio
/// runtime) is an error of the kind [`NoBackend`](crate::ErrorKind::NoBackend) of each send, and never of planning.
///
/// # Panics
/// A send panics in a tokio runtime whose clock is not enabled (`enable_time`).
#[derive(Clone)]
pub struct OpenAi {
    endpoint: Result<Endpoint, Refusal>,
    retry: Retry,
}

impl OpenAi {
    /// The endpoint that the environment names: `OPENAI_BASE_URL` (default: `OpenAI`'s own) with the key
    /// `OPENAI_API_KEY`, which local servers do not need. `OPENAI_ORG_ID` and `OPENAI_PROJECT_ID` go to `OpenAI`'s own
    /// alone.
    pub fn from_env() -> Self {
        Self::of(Endpoint::of_variables(|name| std::env::var(name)))
    }

    /// An endpoint by its base URL (`http://127.0.0.1:8080/v1`) and key, which may be empty.
    pub fn at(base_url: &str, key: &str) -> Self {
        Self::of(check_base(base_url.trim()).and_then(|()| Endpoint::new(config(base_url, key))))
    }

    /// Any configuration of `async-openai`: Azure, custom headers. (`OpenAIConfig::new` reads the environment, also
    /// `OPENAI_ADMIN_KEY`.)
    ///
    /// # Panics
    /// A send panics where the configuration's `headers` do: those of `async-openai` on an organization or project that
    /// cannot stand in a header.
    pub fn new(config: impl Config + 'static) -> Self {
        Self::of(Endpoint::new(config))
    }

    fn of(endpoint: Result<Endpoint, Refusal>) -> Self {
        Self { endpoint, retry: Retry::default() }
    }

    /// When a request is tried again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    async fn run(self, request: ChatRequest) -> Result<ChatReply, BackendError> {
        let endpoint = self.endpoint.map_err(|why| BackendError::no_backend(&*why))?;
        endpoint.check_key().map_err(BackendError::no_backend)?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(BackendError::no_backend("a request over HTTP needs a tokio runtime around it"));
        }
        let body = serde_json::to_vec(&request)
            .map_err(|e| BackendError::malformed("the request has no JSON").with_source(e))?;
        let client = endpoint.client.clone();
        let call = Call { body: body.into(), endpoint, retry: self.retry, answer: Arc::new(Mutex::new(None)) };
        let answer = Arc::clone(&call.answer);
        let service = tower::service_fn(move |factory: HttpRequestFactory| call.clone().run(factory));
        let addressed = CreateChatCompletionRequest { model: request.model.unwrap_or_default(), ..Default::default() };
        let done = client.with_http_service(service).chat().create(addressed).await;
        let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (answer, done) {
            (Some(answer), _) => answer,
            (None, Err(error)) => {
                Err(BackendError::unavailable("the request could not be made").with_source(without_url(error)))
            }
            (None, Ok(_)) => Err(BackendError::unavailable("no request was made")),
        }
    }
}

impl ChatBackend for OpenAi {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        Box::pin(self.clone().run(request))
    }
}

type Slot = Arc<Mutex<Option<Result<ChatReply, BackendError>>>>;

/// One exchange: our body, and a place for the answer.
#[derive(Clone)]
struct Call {
    body: bytes::Bytes,
    endpoint: Endpoint,
    retry: Retry,
    answer: Slot,
}

impl Call {
    /// Sends until there is an answer, and leaves it in its place. `async-openai` is told that there is nothing to read.
    async fn run(self, factory: HttpRequestFactory) -> Result<reqwest::Response, OpenAIError> {
        let started = Instant::now();
        let mut attempts = Vec::new();
        let outcome = loop {
            let began = Instant::now();
            let left = self.retry.total_time.saturating_sub(started.elapsed());
            let (status, outcome) = self.attempt(&factory, left).await;
            attempts.push(Attempt::new(status, began.elapsed()));
            let number = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
            let Err(error) = &outcome else { break outcome };
            let wait = self.retry.wait(number, error.retry_after());
            let is_late = started.elapsed().saturating_add(wait) >= self.retry.total_time;
            if !error.is_retryable() || number >= self.retry.attempts || is_late {
                break outcome;
            }
            if let Some(last) = attempts.last_mut() {
                last.waited = wait;
            }
            tokio::time::sleep(wait).await;
        };
        let outcome = match outcome {
            Ok(reply) => Ok(ChatReply { attempts, ..reply }),
            Err(error) => Err(error.with_attempts(attempts)),
        };
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        Err(OpenAIError::InvalidArgument("the answer was read by the HTTP service".to_owned()))
    }

    /// One request: the status of the answer, if there was one, and what it says.
    async fn attempt(
        &self,
        factory: &HttpRequestFactory,
        left: Duration,
    ) -> (Option<u16>, Result<ChatReply, BackendError>) {
        let mut request = match factory.build().await {
            Ok(request) => request,
            Err(error) => {
                let unaddressed = BackendError::no_backend("the request could not be addressed");
                return (None, Err(unaddressed.with_source(without_url(error))));
            }
        };
        *request.body_mut() = Some(self.body.clone().into());
        let path = self.endpoint.printable(request.url().path());
        let (time, began) = (self.retry.attempt_time.min(left), Instant::now());
        let late = || BackendError::timeout(format!("no whole answer within {} seconds", time.as_secs_f32()));
        let response = match tokio::time::timeout(time, self.endpoint.http.execute(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return (None, Err(unreachable(error))),
            Err(_) => return (None, Err(late())),
        };
        let (status, wait) = (response.status(), retry_after(response.headers()));
        let left = time.saturating_sub(began.elapsed());
        let outcome = match tokio::time::timeout(left, whole(response, LARGEST)).await {
            Ok(Ok(body)) => judge(status, body, path.as_deref()),
            Ok(Err(unread)) => Err(unread.into()),
            Err(_) => Err(late()),
        };
        (Some(status.as_u16()), outcome.map_err(|error| error.with_retry_after(wait)))
    }
}

fn judge(status: reqwest::StatusCode, body: Vec<u8>, path: Option<&str>) -> Result<ChatReply, BackendError> {
    if status.is_success() {
        return read(status.as_u16(), body);
    }
    let error = BackendError::status(status.as_u16(), &String::from_utf8_lossy(&body));
    Err(match path {
        // Most likely a wrong base URL.
        Some(path) if status.as_u16() == 404 => error.with_path(path),
        _ => error,
    })
}

fn unreachable(error: reqwest::Error) -> BackendError {
    // The address may hold a key.
    let error = error.without_url();
    match error.is_timeout() {
        true => BackendError::timeout("the connection timed out").with_source(error),
        false => BackendError::unavailable("the connection failed").with_source(error),
    }
}

/// The error without an address, which may hold a key.
fn without_url(error: OpenAIError) -> OpenAIError {
    match error {
        OpenAIError::Reqwest(error) => OpenAIError::Reqwest(error.without_url()),
        OpenAIError::Boxed(error) => match error.downcast::<reqwest::Error>() {
            Ok(error) => OpenAIError::Reqwest(error.without_url()),
            Err(other) => OpenAIError::Boxed(other),
        },
        other => other,
    }
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi").field("retry", &self.retry).finish_non_exhaustive()
    }
}
