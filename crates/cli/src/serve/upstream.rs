//! `Forwarder`: passes chat completions on to the server behind, and its answers back.

use std::time::Duration;

use futures_util::stream;
use turnwise::backend::BoxFuture;
use turnwise::backend::openai::{OpenAi, reqwest};
use turnwise_server::Upstream;
use turnwise_server::axum::body::{Body, Bytes};
use turnwise_server::axum::http::HeaderName;
use turnwise_server::axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use turnwise_server::axum::response::Response;

use crate::doctor::causes;
use crate::failure::{Failure, Result};

const OPENAI: &str = "https://api.openai.com/v1";
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long the server behind may be silent.
const READ_TIME: Duration = Duration::from_secs(300);

/// What OpenAI's clients heed beside `retry-after`.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

pub(super) struct Forwarder {
    client: reqwest::Client,
    base: String,
    key: String,
}

impl Forwarder {
    /// To the endpoint with this base URL, or to `OpenAI`'s.
    pub(super) fn new(base: Option<&str>, key: &str) -> Result<Self> {
        let client = OpenAi::client_builder()?.connect_timeout(CONNECT_TIME).read_timeout(READ_TIME).build();
        let client = client.map_err(|error| Failure::Failed(format!("making the HTTP client: {error}")))?;
        let base = base.unwrap_or(OPENAI).trim_end_matches('/').to_owned();
        Ok(Self { client, base, key: key.to_owned() })
    }
}

impl Upstream for Forwarder {
    fn send(&self, path: &str, body: Option<Bytes>) -> BoxFuture<'static, std::result::Result<Response, String>> {
        let url = format!("{}{path}", self.base);
        let request = match body {
            Some(body) => self.client.post(url).header(CONTENT_TYPE, "application/json").body(body),
            None => self.client.get(url),
        };
        let request = if self.key.is_empty() { request } else { request.bearer_auth(&self.key) };
        Box::pin(async move {
            let answered = request
                .send()
                .await
                .map_err(|error| format!("The server behind did not answer: {}", causes(&error.without_url())))?;
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = answered.status();
            for name in [CONTENT_TYPE, RETRY_AFTER, RETRY_AFTER_MS, SHOULD_RETRY] {
                if let Some(value) = answered.headers().get(&name) {
                    answer.headers_mut().insert(name, value.clone());
                }
            }
            let chunks = stream::unfold(answered, async |mut answered| {
                let chunk = answered.chunk().await.transpose()?;
                Some((chunk, answered))
            });
            Ok(answer.map(|_| Body::from_stream(chunks)))
        })
    }
}
