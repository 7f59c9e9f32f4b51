//! One exchange with a server, with the only loop that sends an HTTP request again. A request that
//! turned out too long is planned again in `manager/transaction.rs`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_openai::types::chat::CreateChatCompletionRequest;
use async_openai::types::embeddings::CreateEmbeddingRequest;
use bytes::Bytes;

use super::answer::Answer;
use super::endpoint::Clients;
use super::retry::{Retry, retry_after};
use crate::backend::{Attempt, BackendError, BoxFuture};

/// Reads a successful answer. An error that may be temporary leads to another attempt.
pub(super) type Read<T> = fn(Answer) -> BoxFuture<'static, Result<T, BackendError>>;

/// Which path of the server a request goes to.
#[derive(Clone, Copy)]
pub(super) enum Route {
    Chat,
    Embeddings,
}

/// What was read of an answer, and the requests that were needed.
pub(super) type Outcome<T> = Result<(T, Vec<Attempt>), BackendError>;

/// The body of a request, how to read its answer, and where the result is put.
pub(super) struct Call<T> {
    pub(super) body: Bytes,
    pub(super) clients: Clients,
    pub(super) retry: Retry,
    pub(super) overflow_words: Arc<[String]>,
    pub(super) read: Read<T>,
    pub(super) outcome: Mutex<Option<Outcome<T>>>,
}

impl<T: Send + 'static> Call<T> {
    /// Lets `async-openai` address the request, and sends it instead.
    pub(super) async fn send(self, route: Route, model: String) -> Outcome<T> {
        let client = self.clients.addressing.clone();
        let call = Arc::new(self);
        let service = {
            let call = Arc::clone(&call);
            tower::service_fn(move |factory| Arc::clone(&call).run(factory))
        };
        let client = client.with_http_service(service);
        let done = match route {
            Route::Chat => {
                let addressed = CreateChatCompletionRequest { model, ..Default::default() };
                client.chat().create(addressed).await.map(drop)
            }
            Route::Embeddings => {
                let addressed = CreateEmbeddingRequest { model, ..Default::default() };
                client.embeddings().create(addressed).await.map(drop)
            }
        };
        let outcome = call.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (outcome, done) {
            (Some(outcome), _) => outcome,
            (None, Err(error)) => {
                Err(BackendError::unavailable("the request could not be made").with_source(without_url(error)))
            }
            (None, Ok(())) => Err(BackendError::unavailable("no request was made")),
        }
    }

    /// Sends until there is an answer, and stores what was read. `async-openai` receives an error
    /// instead of an answer.
    async fn run(self: Arc<Self>, factory: HttpRequestFactory) -> Result<reqwest::Response, OpenAIError> {
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
            Ok(read) => Ok((read, attempts)),
            Err(error) => Err(error.with_attempts(attempts)),
        };
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        Err(OpenAIError::InvalidArgument("the answer was read by the HTTP service".to_owned()))
    }

    /// Makes one request. Returns the status of the answer, if there was one, and what was read of
    /// it.
    async fn attempt(&self, factory: &HttpRequestFactory, left: Duration) -> (Option<u16>, Result<T, BackendError>) {
        let mut request = match factory.build().await {
            Ok(request) => request,
            Err(error) => {
                let unaddressed = BackendError::no_backend("the request could not be addressed");
                return (None, Err(unaddressed.with_source(without_url(error))));
            }
        };
        *request.body_mut() = Some(self.body.clone().into());
        let url = request.url().to_string();
        let server = server(request.url());
        let time = self.retry.attempt_time.min(left);
        let began = Instant::now();
        let late = || BackendError::timeout(format!("no complete answer within {} seconds", time.as_secs_f32()));
        let response = match tokio::time::timeout(time, self.clients.http.execute(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return (None, Err(unreachable(&server, error))),
            Err(_) => return (None, Err(late())),
        };
        let status = response.status();
        let wait = retry_after(response.headers());
        let answer = Answer::new(response, self.retry.idle_time);
        let reading = async { if status.is_success() { (self.read)(answer).await } else { Err(answer.error().await) } };
        let outcome = tokio::time::timeout(time.saturating_sub(began.elapsed()), reading).await;
        let outcome = outcome.unwrap_or_else(|_| Err(late()));
        let failed = |error: BackendError| {
            error.with_url(&url).with_retry_after(wait).or_overflow(&self.overflow_words).hiding(&self.clients.secrets)
        };
        (Some(status.as_u16()), outcome.map_err(failed))
    }
}

/// Host and port only: other parts of the address may contain a key.
fn server(url: &reqwest::Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or("the server").to_owned(),
    }
}

fn unreachable(server: &str, error: reqwest::Error) -> BackendError {
    let error = error.without_url();
    if error.is_timeout() {
        return BackendError::timeout(format!("the connection to {server} timed out")).with_source(error);
    }
    let why = format!("the connection to {server} failed: {}", first_cause(&error));
    BackendError::unavailable(why).with_source(error)
}

/// The original cause: a refused connection, an unknown name, an invalid certificate.
fn first_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => first_cause(cause),
        None => error.to_string(),
    }
}

/// The error without an address, which may contain a key.
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
