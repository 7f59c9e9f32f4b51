//! A completion that was recorded in a conversation, answered again: whole or in chunks.

use std::sync::Arc;

use axum::response::Response;
use turnwise::message::RawJson;
use turnwise::transcript::formats::Object;
use turnwise::{Message, Transcript};
use turnwise_conversations::ApiError;

use super::bound::Chunks;
use crate::client_stream::ClientStream;
use crate::once::{Once, answer_of};
use crate::request_id;
use crate::responses::{Responses, replaced, sse};

/// The choices of a completion without their message, which is in the conversation.
pub(super) fn without_message(answer: &RawJson) -> RawJson {
    let choices = choices(answer);
    let null = || RawJson::from(serde_json::Value::Null);
    let without: Vec<RawJson> = choices.iter().map(|choice| replaced(choice, &[("message", null())])).collect();
    replaced(answer, &[("choices", without.into())])
}

fn choices(answer: &RawJson) -> Vec<RawJson> {
    let object: Option<Object<'_>> = answer.parse().ok();
    let choices = object.as_ref().and_then(|object| object.get("choices"));
    choices.and_then(|choices| serde_json::from_str(choices.get()).ok()).unwrap_or_default()
}

/// The completion of this request, if it was recorded in its conversation before.
pub(super) fn recorded(file: &Transcript, once: &Once) -> Result<Option<RawJson>, ApiError> {
    let Some(done) = once.find(file)? else { return Ok(None) };
    let place: Option<u64> = done.items.parse().ok();
    let mut items = file.conversation.items().rev();
    let Some(found) = items.find(|item| Some(item.id().index() as u64) == place) else { return Ok(None) };
    let Some(answer) = answer_of(found.message()) else { return Ok(None) };
    let message = told(found.message());
    let choices = choices(answer);
    let choices = choices.iter().map(|choice| replaced(choice, &[("message", message.clone())]));
    Ok(Some(replaced(answer, &[("choices", choices.collect::<Vec<_>>().into())])))
}

/// A message of the model as the API has it, without what only its record has.
pub(super) fn told(message: &Message) -> RawJson {
    let mut message = serde_json::to_value(message).unwrap_or_default();
    if let Some(members) = message.as_object_mut() {
        members.retain(|key, _| !key.starts_with("turnwise_"));
    }
    for key in ["content", "refusal"] {
        if message.get(key).is_none() {
            message[key] = serde_json::Value::Null;
        }
    }
    message.into()
}

/// A completion as chunks.
pub(super) fn chunks(service: &Arc<Responses>, answer: &RawJson, has_usage: bool) -> Response {
    let (stream, events) = ClientStream::new(service.rules().read_time);
    let answer = answer.clone();
    request_id::spawn(async move {
        let object: Object<'_> = answer.parse().ok()?;
        let text = |key: &str| object.text(key).map(std::borrow::Cow::into_owned).unwrap_or_default();
        let created = object.get("created").and_then(|created| created.get().parse().ok()).unwrap_or_default();
        let mut chunks = Chunks::of(stream, text("id"), created, text("model"));
        let choice = choices(&answer).into_iter().next()?;
        let choice: Object<'_> = choice.parse().ok()?;
        let message = RawJson::from(choice.get("message")?);
        let message: Object<'_> = message.parse().ok()?;
        let members = message.iter().filter(|(_, value)| value.get() != "null");
        let members =
            members.map(|(key, value)| (key, if key == "tool_calls" { indexed(&value.into()) } else { value.into() }));
        chunks.delta(members.collect::<Vec<_>>(), None).await?;
        chunks.delta([], choice.get("finish_reason").map(RawJson::from)).await?;
        if let Some(usage) = object.get("usage").filter(|_| has_usage) {
            chunks.chunk(Vec::new(), Some(usage.into())).await?;
        }
        chunks.send("[DONE]").await
    });
    sse(events)
}

/// Calls as a chunk has them.
fn indexed(calls: &RawJson) -> RawJson {
    let calls: Vec<RawJson> = calls.parse().unwrap_or_default();
    let with = |(index, call): (usize, &RawJson)| {
        let object: Option<Object<'_>> = call.parse().ok();
        let members = object.iter().flat_map(Object::iter).map(|(key, value)| (key, RawJson::from(value)));
        RawJson::object([("index", index.into())].into_iter().chain(members))
    };
    calls.iter().enumerate().map(with).collect::<Vec<_>>().into()
}
