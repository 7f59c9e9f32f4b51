//! `OpenAiEmbedder`: vectors from `/v1/embeddings` of `OpenAI` and every compatible server.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::OpenAi;
use super::answer::Answer;
use super::beside::beside;
use super::call::Route;
use crate::backend::classify::is_error;
use crate::backend::{BackendError, BoxFuture, Embedder, Embeddings, Usage};
use crate::base64;
use crate::json::RawJson;
use crate::request::Params;
use crate::text::described;

/// An embedding model behind an endpoint, made by [`OpenAi::embedder`]. It has the endpoint's key,
/// headers, client, time limits and retries.
///
/// # Examples
/// ```
/// use turnwise::{ConversationManager, OpenAi, Recall};
///
/// let server = OpenAi::at("http://127.0.0.1:8080/v1", "");
/// let chat = ConversationManager::builder("gpt-4o-mini")
///     .strategy(Recall::new())
///     .embedder(server.embedder("all-minilm-l6-v2"))
///     .build()?;
///
/// let small = OpenAi::from_env().embedder("text-embedding-3-small").dimensions(512);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct OpenAiEmbedder {
    endpoint: OpenAi,
    model: String,
    id: Arc<str>,
    params: Params,
    most_texts: usize,
    longest_text: usize,
}

impl OpenAi {
    /// An embedding model of this endpoint: `text-embedding-3-small`, or a name that the server
    /// knows. Requests go to `/embeddings` after the base URL.
    pub fn embedder(&self, model: &str) -> OpenAiEmbedder {
        OpenAiEmbedder {
            endpoint: self.clone(),
            model: model.to_owned(),
            id: model.into(),
            params: Params::new(),
            most_texts: 64,
            longest_text: 2_000,
        }
    }
}

impl OpenAiEmbedder {
    /// The number of dimensions to ask for, which some models let choose. Fewer need less room in
    /// memory and in the file: a byte each for every message. Default: the model's own number.
    pub fn dimensions(self, dimensions: u32) -> Self {
        let id = format!("{}/{dimensions}", self.model).into();
        Self { id, ..self.param("dimensions", dimensions) }
    }

    /// A parameter of its requests, sent as given, such as `user`. One that changes the vectors
    /// belongs to an [id](Self::with_id) of its own.
    pub fn param(mut self, name: &str, value: impl Into<RawJson>) -> Self {
        self.params.set(name, value);
        self
    }

    /// The id under which vectors are saved. Default: the model's name, and the dimensions if they
    /// are set.
    pub fn with_id(self, id: &str) -> Self {
        Self { id: id.into(), ..self }
    }

    /// How many texts one request may have. Default 64.
    pub fn most_texts(self, texts: usize) -> Self {
        Self { most_texts: texts.max(1), ..self }
    }

    /// How many characters a text may have; of a longer message the beginning is sent. Default
    /// 2,000. Lower it for a server that refuses long texts.
    pub fn longest_text(self, characters: usize) -> Self {
        Self { longest_text: characters.max(1), ..self }
    }

    async fn ask(self, texts: Vec<String>) -> Result<Embeddings, BackendError> {
        let expected = texts.len();
        let request = Request { model: &self.model, input: &texts, params: &self.params };
        let body = serde_json::to_vec(&request)
            .map_err(|e| BackendError::malformed("the request cannot be written as JSON").with_source(e))?;
        let read = |answer| -> BoxFuture<'static, Result<Embeddings, BackendError>> { Box::pin(read(answer)) };
        let (made, _) = self.endpoint.ask(body, Route::Embeddings, self.model, read).await?;
        if made.vectors.len() == expected {
            Ok(made)
        } else {
            let found = made.vectors.len();
            Err(BackendError::malformed(format!("{found} vectors for {expected} texts")))
        }
    }
}

impl Embedder for OpenAiEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn embed(&self, texts: Vec<String>) -> BoxFuture<'static, Result<Embeddings, BackendError>> {
        Box::pin(self.clone().ask(texts))
    }

    fn most_texts(&self) -> usize {
        self.most_texts
    }

    fn longest_text(&self) -> usize {
        self.longest_text
    }
}

impl fmt::Debug for OpenAiEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiEmbedder").field("id", &self.id).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

struct Request<'a> {
    model: &'a str,
    input: &'a [String],
    params: &'a Params,
}

impl Serialize for Request<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", self.model)?;
        map.serialize_entry("input", self.input)?;
        for (name, value) in self.params {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

async fn read(mut answer: Answer) -> Result<Embeddings, BackendError> {
    let status = answer.status();
    let body = answer.body().await?;
    beside(body.len(), move || embeddings(status, &String::from_utf8_lossy(&body))).await?
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    data: Vec<One<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct One<'a> {
    #[serde(default)]
    index: Option<usize>,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

/// The vectors of a successful answer, in the order of the texts.
fn embeddings(status: u16, body: &str) -> Result<Embeddings, BackendError> {
    // Some servers report errors with a status of success.
    let failed = |why: String| {
        if is_error(body) { BackendError::status(status, body) } else { BackendError::malformed(why) }
    };
    let mut found: Found<'_> =
        serde_json::from_str(body).map_err(|e| failed(format!("not a list of embeddings: {}", described(&e))))?;
    if found.data.iter().all(|one| one.index.is_some()) {
        found.data.sort_by_key(|one| one.index);
    }
    let vectors: Option<Vec<Vec<f32>>> = found.data.iter().map(|one| numbers(one.embedding.get())).collect();
    let vectors = vectors.ok_or_else(|| failed("an embedding that is neither numbers nor base64".to_owned()))?;
    let usage: Option<Usage> = found.usage.and_then(|usage| serde_json::from_str(usage.get()).ok());
    Ok(Embeddings { vectors, tokens: usage.map(|usage| usage.prompt_tokens) })
}

/// A vector as a list of numbers, or as the base64 of four bytes for each, the lowest first.
fn numbers(json: &str) -> Option<Vec<f32>> {
    if !json.starts_with('"') {
        return serde_json::from_str(json).ok();
    }
    let bytes = base64::decode(&serde_json::from_str::<String>(json).ok()?)?;
    let four = bytes.chunks_exact(4);
    let is_whole = four.remainder().is_empty();
    is_whole.then(|| four.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn vectors_come_in_the_order_of_the_texts_as_numbers_or_base64() {
        let body = r#"{"object":"list","data":[{"index":1,"embedding":"AACAPwAAAMA="},{"index":0,"embedding":[0.5,1]}],
            "usage":{"prompt_tokens":7,"total_tokens":7}}"#;
        assert_eq!(embeddings(200, body).unwrap(), Embeddings::new(vec![vec![0.5, 1.0], vec![1.0, -2.0]]).tokens(7));
    }

    #[test]
    fn an_answer_without_vectors_is_an_error_that_says_what_it_is() {
        let error = embeddings(200, r#"{"error":{"message":"no such model","code":"model_not_found"}}"#).unwrap_err();
        assert!(error.to_string().contains("no such model"), "{error}");
        for body in [r#"{"data":[{"embedding":"A"}]}"#, r#"{"data":[{"embedding":{}}]}"#, "[]", "<html>"] {
            assert_eq!(embeddings(200, body).unwrap_err().kind(), ErrorKind::Malformed, "{body}");
        }
    }
}
