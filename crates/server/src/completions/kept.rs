//! Answers of the server behind that are stored on their way to the client.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
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

/// The longest answer that is stored.
const MOST: usize = 64 << 20;

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
    let bytes = to_bytes(answer.into_body(), MOST).await.map_err(|_| broken())?;
    let completion = std::str::from_utf8(&bytes).ok().and_then(|text| RawJson::new(text).ok()).ok_or_else(broken)?;
    let completion = stored::renamed(&completion, &stored::new_id());
    stored::save(&service, &request, &completion).await?;
    Ok(json(&completion))
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
    whole: Whole,
}

fn tee(service: Arc<Responses>, request: Request, body: Body) -> Body {
    let tee = Tee { service, request, id: stored::new_id(), rest: Vec::new(), whole: Whole::default() };
    let lines = stream::unfold((tee, body.into_data_stream()), async |(mut tee, mut body)| {
        let piece = body.next().await?;
        let piece = match piece {
            Ok(piece) => Ok(tee.pass(&piece).await),
            Err(error) => Err(error),
        };
        Some((piece, (tee, body)))
    });
    Body::from_stream(lines)
}

impl Tee {
    /// The lines that are complete, with the id of the completion in the place of the server's.
    async fn pass(&mut self, piece: &[u8]) -> Bytes {
        self.rest.extend_from_slice(piece);
        let mut out = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            match line.strip_prefix("data:").map(str::trim) {
                Some("[DONE]") => {
                    if let Err(error) = self.store().await {
                        let error = serde_json::to_string(&request_id::shown(error)).unwrap_or_default();
                        out.extend_from_slice(format!("data: {error}\n\n").as_bytes());
                    }
                    out.extend_from_slice(line.as_bytes());
                }
                Some(chunk) => out.extend_from_slice(self.chunk(chunk).as_bytes()),
                None => out.extend_from_slice(line.as_bytes()),
            }
        }
        out.into()
    }

    fn chunk(&mut self, chunk: &str) -> String {
        if let Ok(value) = serde_json::from_str(chunk) {
            self.whole.add(value);
        }
        let renamed = RawJson::new(chunk).map(|chunk| stored::renamed(&chunk, &self.id));
        format!("data: {}\n", renamed.as_ref().map_or(chunk, RawJson::as_str))
    }

    async fn store(&mut self) -> Result<(), ApiError> {
        let completion = std::mem::take(&mut self.whole).completion(&self.id);
        stored::save(&self.service, &self.request, &completion).await
    }
}

/// A completion that is put together from its chunks.
#[derive(Default)]
struct Whole {
    members: Map<String, Value>,
    choices: Vec<Value>,
}

impl Whole {
    fn add(&mut self, chunk: Value) {
        let Value::Object(members) = chunk else { return };
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
