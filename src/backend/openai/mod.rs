//! `OpenAi`: a backend for `OpenAI`'s API and every compatible server, on top of `async-openai`.
//!
//! `async-openai` provides addresses and headers only. The body is our own JSON, and the reply is
//! parsed from the raw answer, so that fields it does not know are not lost. An HTTP service of
//! ours takes the place of its own: it receives the request that `async-openai` has addressed,
//! inserts our body, sends it, and keeps the answer. It also sends a
//! request again after a failure that may pass (`call.rs`).
//!
//! # A program that uses `async-openai` already
//! Messages go through JSON, so any version will do:
//! [`Message::from_serde`](crate::Message::from_serde) takes one of its messages, and
//! [`Plan::messages_as`](crate::Plan::messages_as) gives what is to be sent as a list of them. The
//! order of keys stays. The repository's example `async_openai.rs` does both.
//!
//! A configuration of the version that is used here, 0.43, is taken with the feature
//! `async-openai-043`: `OpenAi::new`, and that crate as a re-export. A later release that uses
//! another version has another feature. ([`OpenAiOptions`] needs none.)
//!
//! The `Client` of the re-exported crate panics in a program that has installed no TLS provider,
//! because this crate does not choose one for the process. Install one first, with the crate
//! `rustls`: `rustls::crypto::ring::default_provider().install_default()`. `OpenAi` needs none.

mod answer;
mod beside;
mod call;
mod embeddings;
mod endpoint;
mod environment;
mod halves;
#[cfg(test)]
#[cfg(unix)]
mod hostile_tests;
mod merge;
mod options;
mod parts;
mod reading;
mod retry;
mod sse;
mod streamed;
mod tls;

use std::fmt;
use std::sync::{Arc, Mutex};

use futures_util::TryStreamExt;
use tokio::time::Instant;

use super::stream::{EventStream, at_once};
use super::{BackendError, BoxFuture, ChatBackend, ChatReply};
use crate::error::{Error, ErrorKind};
use crate::json::RawJson;
use crate::request::ChatRequest;
use call::{Call, Outcome, Read, Route};
use endpoint::{Endpoint, Refusal};
use reading::{Begun, Limits};

#[cfg(feature = "async-openai-043")]
pub use async_openai;
pub use embeddings::OpenAiEmbedder;
pub use options::OpenAiOptions;
pub use reqwest;
pub use retry::Retry;

/// A chat-completions endpoint.
///
/// **Time limits and retries.** An attempt may take 300 seconds, of which at most 60 seconds may
/// pass without data in the middle of an answer ([`Retry::idle_time`]). A server that asks to come
/// back later, a failing server and a broken connection are tried again, at most three times and
/// for at most 600 seconds in all.
///
/// **Streams.** The limits above hold up to the first event; after it nothing is sent again, and a
/// stream that breaks off is an error of the kind [`Interrupted`](crate::ErrorKind::Interrupted).
/// [`Retry::stream_time`] limits a whole stream; by default there is no limit. A stream is complete
/// as soon as the model has said why it stopped, even if the connection breaks then. Dropping the
/// stream closes the connection.
///
/// An answer longer than 64 MiB is an error. Redirects are not followed.
///
/// A streamed reply is put together into the completion that the server would have sent without
/// streaming: [`ChatReply::raw`] is that completion, including unknown members. Text and lists in
/// its deltas are appended; of members outside them the last value is kept.
///
/// A request that cannot be sent (no key for `OpenAI`, no certificates for HTTPS, an invalid base
/// URL, no tokio runtime) is an error of the kind [`NoBackend`](crate::ErrorKind::NoBackend) of
/// each send, never of planning.
///
/// # Panics
/// A send panics in a tokio runtime whose clock is not enabled (`enable_time`).
///
/// # Examples
/// A server of your own, for a model that is not in the table:
/// ```
/// use turnwise::backend::openai::OpenAi;
/// use turnwise::{ConversationManager, TokenBudget};
///
/// let server = OpenAi::at("http://127.0.0.1:8080/v1", "");
/// let chat = ConversationManager::builder("smollm2")
///     .backend(server)
///     .budget(TokenBudget::limit(2_000))
///     .build()?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone)]
pub struct OpenAi {
    endpoint: Result<Endpoint, Refusal>,
    retry: Retry,
    overflow_words: Arc<[String]>,
}

impl OpenAi {
    /// The endpoint that the environment names: `OPENAI_BASE_URL` (default: `OpenAI`'s own) with
    /// the key `OPENAI_API_KEY`, which local servers do not need. `OPENAI_ORG_ID` and
    /// `OPENAI_PROJECT_ID` are sent only to `OpenAI` itself.
    pub fn from_env() -> Self {
        Self::of(Endpoint::of_variables(|name| std::env::var(name)))
    }

    /// The endpoint with this base URL (such as `http://127.0.0.1:8080/v1`) and key, which may be
    /// empty.
    pub fn at(base_url: &str, key: &str) -> Self {
        Self::with_options(OpenAiOptions::new(base_url).key(key))
    }

    /// An endpoint with headers or a query of your own, or Azure's; see [`OpenAiOptions`].
    pub fn with_options(options: OpenAiOptions) -> Self {
        Self::of(options.endpoint())
    }

    /// The same endpoint, reached by an HTTP client of yours, such as one with a proxy, connection
    /// limits or layers (`connector_layer`): [`client_builder`](Self::client_builder) is what the
    /// crate's own client is built from. Times are limited by [`Retry`]; a time limit of the client
    /// holds too.
    ///
    /// # Examples
    /// ```no_run
    /// use turnwise::OpenAi;
    /// use turnwise::backend::openai::reqwest::Proxy;
    ///
    /// # fn client() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = OpenAi::client_builder()?.proxy(Proxy::all("http://127.0.0.1:3128")?).build()?;
    /// let backend = OpenAi::from_env().with_client(client);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_client(mut self, client: reqwest::Client) -> Self {
        self.endpoint = self.endpoint.map(|endpoint| endpoint.with_client(client));
        self
    }

    /// What the crate's own HTTP client is built from: the system's certificates, TLS by `rustls`
    /// over `ring`, and no redirects, since one would take the conversation, and headers with keys,
    /// to another place. The types are those of the re-exported
    /// [`reqwest`](https://docs.rs/reqwest/0.13).
    ///
    /// For certificates of your own build a client from scratch: `reqwest::Client::builder()` needs
    /// a TLS provider, by a feature of `reqwest` in your program or installed for the process.
    ///
    /// # Errors
    /// [`ErrorKind::NoBackend`] where the system has no certificates.
    pub fn client_builder() -> Result<reqwest::ClientBuilder, Error> {
        endpoint::client_builder().map_err(|why| Error::new(ErrorKind::NoBackend, &*why))
    }

    /// Any configuration of `async-openai` 0.43. (`OpenAIConfig::new` reads the environment, also
    /// `OPENAI_ADMIN_KEY`.)
    ///
    /// # Panics
    /// A send panics if the configuration's `headers` do: those of `async-openai` panic on an
    /// organization or project that is not a valid header value.
    #[cfg(feature = "async-openai-043")]
    pub fn new(config: impl async_openai::config::Config + 'static) -> Self {
        Self::of(Ok(Endpoint::new(config)))
    }

    fn of(endpoint: Result<Endpoint, Refusal>) -> Self {
        Self { endpoint, retry: Retry::default(), overflow_words: Arc::default() }
    }

    /// Sets the time limits and retries.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Adds texts in this server's errors that mean "the request is longer than the model's
    /// window". Use it if the server's wording is not recognised. They replace texts that were set
    /// before.
    #[must_use]
    pub fn overflow_words<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.overflow_words = words.into_iter().map(str::to_owned).collect();
        self
    }

    /// Sends a body to the server, which has this model.
    async fn ask<T: Send + 'static>(self, body: Vec<u8>, route: Route, model: String, read: Read<T>) -> Outcome<T> {
        let endpoint = self.endpoint.map_err(|why| BackendError::no_backend(&*why))?;
        endpoint.check_key().map_err(BackendError::no_backend)?;
        let clients = endpoint.clients().map_err(|why| BackendError::no_backend(&*why))?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(BackendError::no_backend("a request over HTTP needs a tokio runtime; send it from inside one"));
        }
        let Self { retry, overflow_words, .. } = self;
        let call = Call { body: body.into(), clients, retry, overflow_words, read, outcome: Mutex::default() };
        call.send(route, model).await
    }

    async fn chat<T: Send + 'static>(self, request: ChatRequest, read: Read<T>) -> Outcome<T> {
        let body = serde_json::to_vec(&request)
            .map_err(|e| BackendError::malformed("the request cannot be written as JSON").with_source(e))?;
        self.ask(body, Route::Chat, request.model.unwrap_or_default(), read).await
    }

    async fn whole(self, request: ChatRequest) -> Result<ChatReply, BackendError> {
        let (reply, attempts) =
            self.chat(request, |mut answer| Box::pin(async move { answer.reply(Vec::new()).await })).await?;
        Ok(ChatReply { attempts, ..reply })
    }

    async fn events(mut self, mut request: ChatRequest) -> Result<EventStream, BackendError> {
        request.params.set("stream", true);
        match request.params.get("stream_options") {
            None => request.params.set("stream_options", RawJson::from(serde_json::json!({ "include_usage": true }))),
            Some(options) if options.as_str() == "null" => request.params.remove("stream_options"),
            Some(_) => {}
        }
        let Retry { attempt_time, total_time, stream_time, .. } = self.retry;
        self.retry.total_time = stream_time.map_or(total_time, |time| time.min(total_time));
        let whole = stream_time.and_then(|time| Some((time, Instant::now().checked_add(time)?)));
        let limits = Limits { event: attempt_time, whole };
        let endpoint = self.endpoint.clone();
        let (begun, attempts) = self.chat(request, |answer| Box::pin(Begun::read(answer))).await?;
        Ok(match begun {
            Begun::Whole(reply) => at_once(ChatReply { attempts, ..*reply }),
            Begun::Events(reading) => told_of(endpoint, reading.events(attempts, limits)),
        })
    }
}

/// A stream whose errors name the server and show no key.
fn told_of(endpoint: Result<Endpoint, Refusal>, events: EventStream) -> EventStream {
    let Ok((shown, clients)) = endpoint.and_then(|endpoint| Ok((endpoint.shown.clone(), endpoint.clients()?))) else {
        return events;
    };
    Box::pin(events.map_err(move |error| error.with_url(&shown).hiding(&clients.secrets)))
}

impl ChatBackend for OpenAi {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        Box::pin(self.clone().whole(request))
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<EventStream, BackendError>> {
        Box::pin(self.clone().events(request))
    }

    fn server(&self) -> &str {
        self.endpoint.as_ref().map_or("", |endpoint| &endpoint.shown)
    }
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi").field("retry", &self.retry).finish_non_exhaustive()
    }
}
