//! `OpenAI`'s API, and all that speak it, over `async-openai`.
//!
//! `async-openai` knows where to send and with which keys; what is sent is our own JSON, and the reply is read from the
//! raw body, so that nothing that it does not know is lost. An HTTP service of ours stands in the place of its own: it
//! takes the request that `async-openai` has addressed, puts our body in, sends it, and keeps the answer. It also holds
//! the only retry loop.
//!
//! The re-export of [`async_openai`] is for building a client's configuration with the version used here; it may change
//! in any release.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_openai::config::{Config, OpenAIConfig};
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_openai::types::chat::CreateChatCompletionRequest;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::classify::status_within;
use super::{Attempt, BackendError, BoxFuture, ChatBackend, ChatReply, FinishReason, Usage};
use crate::json::{RawJson, described};
use crate::message::Message;
use crate::request::ChatRequest;

pub use async_openai;

/// A chat-completions endpoint.
///
/// Each attempt has a time limit of 300 seconds; an answer that says to come back later, a failing server and a broken
/// connection are tried again, at most three times in all and for at most 600 seconds.
#[derive(Clone)]
pub struct OpenAi {
    client: async_openai::Client<Arc<dyn Config>>,
    http: reqwest::Client,
    retry: Retry,
}

/// When a request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Retry {
    attempts: u32,
    attempt_time: Duration,
    total_time: Duration,
    first_wait: Duration,
    longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            attempt_time: Duration::from_secs(300),
            total_time: Duration::from_secs(600),
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
        }
    }
}

impl Retry {
    /// Tries once.
    pub fn never() -> Self {
        Self::default().attempts(1)
    }

    /// How often a request is made at most; at least once. Default 3.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// How long one attempt may take. Default 300 seconds.
    pub fn attempt_time(mut self, time: Duration) -> Self {
        self.attempt_time = time;
        self
    }

    /// How long all attempts together may take. Default 600 seconds.
    pub fn total_time(mut self, time: Duration) -> Self {
        self.total_time = time;
        self
    }

    /// The first wait; each further one is twice as long. Default 0.5 seconds.
    pub fn first_wait(mut self, wait: Duration) -> Self {
        self.first_wait = wait;
        self
    }

    /// The longest wait, also where the server asks for a longer one. Default 30 seconds.
    pub fn longest_wait(mut self, wait: Duration) -> Self {
        self.longest_wait = wait;
        self
    }

    /// How long to wait after the attempt with this number, from 1; up to a quarter less, so that many clients do not come
    /// back at once.
    fn wait(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first_wait.saturating_mul(1 << (attempt - 1).min(16));
        let wait = asked.map_or(doubled, |asked| asked.max(doubled)).min(self.longest_wait);
        match asked {
            // Not before the time that was asked for, where that is allowed at all.
            Some(asked) if asked < wait => asked.max(wait.mul_f64(0.75 + 0.25 * fastrand::f64())),
            Some(_) => wait,
            None => wait.mul_f64(0.75 + 0.25 * fastrand::f64()),
        }
    }
}

impl OpenAi {
    /// The endpoint that the environment names: `OPENAI_API_KEY`, `OPENAI_BASE_URL` (default: `OpenAI`'s own).
    pub fn from_env() -> Self {
        let config = OpenAIConfig::new();
        let (base, key) =
            (config.api_base().trim_end_matches('/').to_owned(), config.api_key().expose_secret().trim().to_owned());
        Self::new(config.with_api_base(base).with_api_key(key))
    }

    /// An endpoint by its base URL (`http://127.0.0.1:8080/v1`) and key.
    pub fn at(base_url: &str, key: &str) -> Self {
        // Organization and project of the environment are not this server's business.
        let config = OpenAIConfig::new().with_org_id("").with_project_id("");
        Self::new(config.with_api_base(base_url.trim_end_matches('/')).with_api_key(key.trim()))
    }

    /// Any configuration of `async-openai`: Azure, custom headers.
    pub fn new(config: impl Config + 'static) -> Self {
        let config: Arc<dyn Config> = Arc::new(config);
        // A redirect would take the conversation, and headers with keys, to another place.
        let plain = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let http = plain.build().unwrap_or_default();
        Self {
            client: async_openai::Client::with_config(config).with_http_client(http.clone()),
            http,
            retry: Retry::default(),
        }
    }

    /// When a request is tried again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    async fn run(self, request: ChatRequest) -> Result<ChatReply, BackendError> {
        // async-openai panics on a key that cannot stand in a header.
        if reqwest::header::HeaderValue::from_str(self.client.config().api_key().expose_secret()).is_err() {
            return Err(BackendError::no_backend("the key holds characters that cannot be sent"));
        }
        let body =
            serde_json::to_vec(&request).map_err(|e| BackendError::malformed("the request has no JSON").because(e))?;
        let call =
            Call { body: body.into(), http: self.http.clone(), retry: self.retry, answer: Arc::new(Mutex::new(None)) };
        let answer = Arc::clone(&call.answer);
        let service = tower::service_fn(move |factory: HttpRequestFactory| call.clone().run(factory));
        let addressed = CreateChatCompletionRequest { model: request.model.unwrap_or_default(), ..Default::default() };
        let done = self.client.with_http_service(service).chat().create(addressed).await;
        let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (answer, done) {
            (Some(answer), _) => answer,
            (None, Err(error)) => {
                Err(BackendError::unavailable("the request could not be made").because(without_url(error)))
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
    http: reqwest::Client,
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
            let wait = self.retry.wait(number, error.wait());
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
            Err(error) => Err(error.after(attempts)),
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
                return (None, Err(unaddressed.because(without_url(error))));
            }
        };
        *request.body_mut() = Some(self.body.clone().into());
        let time = self.retry.attempt_time.min(left);
        match tokio::time::timeout(time, self.exchange(request)).await {
            Ok(Ok((status, outcome))) => (Some(status), outcome),
            Ok(Err(error)) => (None, Err(unreachable(error))),
            Err(_) => {
                let seconds = time.as_secs_f32();
                (None, Err(BackendError::timeout(format!("no answer within {seconds} seconds"))))
            }
        }
    }

    async fn exchange(&self, request: reqwest::Request) -> reqwest::Result<(u16, Result<ChatReply, BackendError>)> {
        let path = request.url().path().to_owned();
        let response = self.http.execute(request).await?;
        let status = response.status();
        let wait = retry_after(response.headers());
        let body = response.text().await?;
        let outcome = match status.is_success() {
            true => read(&body),
            // Most likely a wrong base URL.
            false if status.as_u16() == 404 => Err(BackendError::status(404, &body).at(&path)),
            false => Err(BackendError::status(status.as_u16(), &body)),
        };
        Ok((status.as_u16(), outcome.map_err(|error| error.retry_after(wait))))
    }
}

fn unreachable(error: reqwest::Error) -> BackendError {
    // The address may hold a key.
    let error = error.without_url();
    match error.is_timeout() {
        true => BackendError::timeout("the connection timed out").because(error),
        false => BackendError::unavailable("the connection failed").because(error),
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

/// How long the server asks to wait, in the forms in use: milliseconds, seconds, or a date.
fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<f64>().ok();
    let until = |date: SystemTime| date.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
    match number("retry-after-ms").map(|millis| millis / 1000.0).or_else(|| number("retry-after")) {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => httpdate::parse_http_date(text("retry-after")?).ok().map(until),
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

/// The reply in a body, every field kept.
fn read(body: &str) -> Result<ChatReply, BackendError> {
    let completion: Completion = serde_json::from_str(body).map_err(|e| match status_within(body) {
        // Some servers report errors with the status of a success.
        Some(status) => BackendError::status(status, body),
        None => BackendError::malformed(format!("not a chat completion: {}", described(&e))).answered(body),
    })?;
    let Some(choice) = completion.choices.into_iter().next() else {
        return Err(BackendError::malformed("a chat completion without choices").answered(body));
    };
    let finish = choice.finish_reason.as_ref().and_then(serde_json::Value::as_str);
    let finish = finish.map_or(FinishReason::Stop, FinishReason::from);
    // A bill in another form is no reason to lose a reply.
    let usage: Option<Usage> = completion.usage.and_then(|usage| serde_json::from_value(usage).ok());
    Ok(ChatReply { usage, raw: RawJson::new(body).ok(), ..ChatReply::new(choice.message).finish(finish) })
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi").field("retry", &self.retry).finish_non_exhaustive()
    }
}
