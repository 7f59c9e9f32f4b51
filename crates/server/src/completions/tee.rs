//! Answers of the server behind that are stored on their way to the client.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::Response;
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value};
use turnwise::message::RawJson;
use turnwise_conversations::ApiError;

use super::stored::{self, Request};
use crate::answer::json;
use crate::request_id;
use crate::responses::Responses;

/// Stores an answer, and passes it on with the id that it is stored under. One that is no success
/// comes back as it is.
pub(super) async fn keep(service: Arc<Responses>, request: Request, answer: Response) -> Result<Response, ApiError> {
    if !answer.status().is_success() {
        return Ok(answer);
    }
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("text/event-stream") {
        return Ok(answer.map(|body| tee(service, request, body)));
    }
    let bytes = whole(answer.into_body(), service.rules().longest_stored).await?;
    let completion = std::str::from_utf8(&bytes).ok().and_then(|text| RawJson::new(text).ok()).ok_or_else(broken)?;
    let completion = stored::renamed(&completion, &stored::new_id());
    stored::save(&service, &request, &completion).await?;
    Ok(json(&completion))
}

/// An answer that is not too long to be stored.
async fn whole(body: Body, most: usize) -> Result<Vec<u8>, ApiError> {
    let (mut all, mut pieces) = (Vec::new(), body.into_data_stream());
    while let Some(piece) = pieces.next().await {
        all.extend_from_slice(&piece.map_err(|_| broken())?);
        if all.len() > most {
            return Err(too_long(most));
        }
    }
    Ok(all)
}

fn broken() -> ApiError {
    let mut error = ApiError::invalid_request("The answer of the server behind broke off.".to_owned());
    (error.status, error.kind) = (502, "server_error");
    error
}

/// A stream that is put together on its way, and stored before its client sees its end.
struct Tee {
    service: Arc<Responses>,
    request: Request,
    id: String,
    /// Of a line that is not complete yet.
    rest: Vec<u8>,
    /// How many bytes have come.
    bytes: usize,
    /// What has come, until it is stored, or cannot be.
    whole: Option<Whole>,
}

fn tee(service: Arc<Responses>, request: Request, body: Body) -> Body {
    let whole = Some(Whole::default());
    let tee = Tee { service, request, id: stored::new_id(), rest: Vec::new(), bytes: 0, whole };
    let lines = stream::unfold((Some(tee), body.into_data_stream()), async |(tee, mut body)| {
        let mut tee = tee?;
        match body.next().await {
            Some(Ok(piece)) => Some((Ok(tee.pass(&piece).await), (Some(tee), body))),
            Some(Err(error)) => Some((Err(error), (None, body))),
            None => {
                let rest = tee.end().await;
                (!rest.is_empty()).then_some((Ok(rest), (None, body)))
            }
        }
    });
    Body::from_stream(lines)
}

impl Tee {
    /// The longest completion that is stored.
    fn most(&self) -> usize {
        self.service.rules().longest_stored
    }

    /// The lines that are complete, with the id of the completion in the place of the server's.
    async fn pass(&mut self, piece: &[u8]) -> Bytes {
        self.bytes += piece.len();
        let most = self.most();
        if self.bytes > most
            && let Some(whole) = &mut self.whole
        {
            *whole = Whole { is_too_long: true, ..Whole::default() };
        }
        let mut out = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(part);
            // A line that is longer than what is stored is passed on in its parts.
            if part.ends_with(b"\n") || self.rest.len() > most {
                self.line(&mut out).await;
            }
        }
        out.into()
    }

    /// The last line, if it has no end. A server that ends its stream without `[DONE]` has ended it too,
    /// if the completion is whole.
    async fn end(&mut self) -> Bytes {
        let mut out = Vec::new();
        if !self.rest.is_empty() {
            self.line(&mut out).await;
        }
        if self.whole.as_ref().is_some_and(Whole::is_finished) {
            self.store(&mut out).await;
        }
        out.into()
    }

    async fn line(&mut self, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.rest);
        let text = String::from_utf8_lossy(&line);
        match text.strip_prefix("data:").map(str::trim) {
            Some("[DONE]") => {
                self.store(out).await;
                out.extend_from_slice(&line);
            }
            Some(chunk) if line.ends_with(b"\n") => out.extend_from_slice(self.chunk(chunk).as_bytes()),
            _ => out.extend_from_slice(&line),
        }
    }

    fn chunk(&mut self, chunk: &str) -> String {
        if let (Some(whole), Ok(value)) = (&mut self.whole, serde_json::from_str(chunk)) {
            whole.add(value);
        }
        let renamed = RawJson::new(chunk).map(|chunk| stored::renamed(&chunk, &self.id));
        format!("data: {}\n", renamed.as_ref().map_or(chunk, RawJson::as_str))
    }

    /// Stores the completion, and tells the client if that fails.
    async fn store(&mut self, out: &mut Vec<u8>) {
        let stored = match self.whole.take() {
            // The client knows of the error, and there is nothing to store.
            None | Some(Whole { has_failed: true, .. }) => return,
            Some(Whole { is_too_long: true, .. }) => Err(too_long(self.most())),
            Some(whole) if whole.choices.is_empty() => Err(stored::not_understood()),
            Some(whole) => stored::save(&self.service, &self.request, &whole.completion(&self.id)).await,
        };
        if let Err(error) = stored {
            let error = serde_json::to_string(&request_id::shown(error)).unwrap_or_default();
            out.extend_from_slice(format!("data: {error}\n\n").as_bytes());
        }
    }
}

fn too_long(most: usize) -> ApiError {
    let mut error =
        ApiError::invalid_request(format!("The completion is longer than {most} bytes, and is not stored."));
    (error.status, error.kind) = (502, "server_error");
    error
}

/// A completion that is put together from its chunks.
#[derive(Default)]
struct Whole {
    members: Map<String, Value>,
    choices: Vec<Value>,
    /// Whether the server behind has ended it with an error.
    has_failed: bool,
    /// Whether it is not put together any more.
    is_too_long: bool,
}

impl Whole {
    fn add(&mut self, chunk: Value) {
        let Value::Object(members) = chunk else { return };
        self.has_failed |= members.get("error").is_some_and(|error| !error.is_null());
        if self.is_too_long {
            return;
        }
        for (key, value) in members {
            match (&*key, value) {
                ("choices", Value::Array(choices)) => choices.into_iter().for_each(|choice| self.add_choice(choice)),
                (_, Value::Null) => {}
                (_, value) => drop(self.members.insert(key, value)),
            }
        }
    }

    fn add_choice(&mut self, mut choice: Value) {
        let index = choice["index"].clone();
        let place = self.choices.iter().position(|known| known["index"] == index);
        let place = place.unwrap_or_else(|| {
            self.choices.push(serde_json::json!({
                "index": index, "message": {"role": "assistant", "content": null, "refusal": null},
                "logprobs": null, "finish_reason": null,
            }));
            self.choices.len() - 1
        });
        let known = &mut self.choices[place];
        if !choice["finish_reason"].is_null() {
            known["finish_reason"] = choice["finish_reason"].take();
        }
        if let Value::Object(delta) = choice["delta"].take() {
            delta.into_iter().for_each(|(key, value)| merge(&mut known["message"], &key, value));
        }
    }

    /// Whether all choices have come to their end.
    fn is_finished(&self) -> bool {
        let is_open = |choice: &Value| choice["finish_reason"].is_null();
        self.is_too_long || !self.choices.is_empty() && !self.choices.iter().any(is_open)
    }

    fn completion(mut self, id: &str) -> RawJson {
        self.members.insert("id".to_owned(), id.into());
        self.members.insert("object".to_owned(), "chat.completion".into());
        for choice in &mut self.choices {
            if let Some(calls) = choice["message"]["tool_calls"].as_array_mut() {
                calls.iter_mut().filter_map(Value::as_object_mut).for_each(|call| drop(call.remove("index")));
            }
        }
        self.members.insert("choices".to_owned(), Value::Array(self.choices));
        Value::Object(self.members).into()
    }
}

/// Adds a member of a delta to what is there: texts are appended, calls by their index.
fn merge(into: &mut Value, key: &str, value: Value) {
    match (&mut into[key], value) {
        (_, Value::Null) => {}
        (Value::String(text), Value::String(more)) if key != "role" && key != "id" && key != "type" => {
            text.push_str(&more);
        }
        (Value::Array(known), Value::Array(more)) => {
            for one in more {
                let found = known.iter().position(|known| !one["index"].is_null() && known["index"] == one["index"]);
                match (found, one) {
                    (Some(place), Value::Object(members)) => {
                        members.into_iter().for_each(|(key, value)| merge(&mut known[place], &key, value));
                    }
                    (_, one) => known.push(one),
                }
            }
        }
        (known @ Value::Object(_), Value::Object(members)) => {
            members.into_iter().for_each(|(key, value)| merge(known, &key, value));
        }
        (known, value) => *known = value,
    }
}
