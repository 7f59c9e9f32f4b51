//! Items of the Conversations API: those of a conversation, and whether two are the same.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use turnwise::Transcript;
use turnwise::message::RawJson;
use turnwise_formats::{Exporter, Report};

use crate::failure::{Failure, Result};
use crate::input::format;

/// A conversation as its metadata and items, and what they cannot hold.
pub(super) fn of(file: Transcript) -> Result<(Value, Vec<RawJson>, Report)> {
    let writer = format("--to", "conversations")?.writer();
    let writer = writer.ok_or_else(|| Failure::Failed("items are not written by this program".into()))?;
    let mut text = Vec::new();
    let mut exporter = Exporter::new(&mut text, writer);
    exporter.add(file)?;
    exporter.finish()?;
    let report = exporter.report().clone();
    drop(exporter);
    let (mut metadata, mut items) = (json!({}), Vec::new());
    for line in String::from_utf8_lossy(&text).lines() {
        let create: Create = serde_json::from_str(line).map_err(|error| failed(&error))?;
        if create.metadata.is_object() {
            metadata = create.metadata;
        }
        for item in create.items {
            items.push(without_id(&item).map_err(|error| failed(&error))?);
        }
    }
    Ok((metadata, items, report))
}

/// The body of a create, as the format writes it.
#[derive(Deserialize)]
struct Create {
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    items: Vec<RawJson>,
}

fn failed(error: &serde_json::Error) -> Failure {
    Failure::Failed(format!("writing items: {error}"))
}

/// An item without its own id: the server gives it one. All else stays as it is written, also numbers.
fn without_id(item: &RawJson) -> serde_json::Result<RawJson> {
    let mut members: BTreeMap<String, RawJson> = item.parse()?;
    members.remove("id");
    Ok(RawJson::object(members.iter().map(|(name, value)| (name.as_str(), value.clone()))))
}

/// Whether an item of a server is one that was sent to it. Servers complete what they are sent, so
/// only what carries meaning is compared.
pub(super) fn is_same(sent: &RawJson, listed: &RawJson) -> bool {
    let value = |item: &RawJson| item.parse::<Value>().map(|item| told(&item)).ok();
    value(sent) == value(listed)
}

fn told(item: &Value) -> Value {
    let role = item.get("role").and_then(Value::as_str);
    let kind = item.get("type").and_then(Value::as_str).unwrap_or("message");
    let mut told = Map::new();
    told.insert("type".to_owned(), kind.into());
    for key in ["role", "call_id", "name", "arguments", "input", "encrypted_content", "summary", "action"] {
        if let Some(value) = item.get(key).filter(|value| !value.is_null()) {
            told.insert(key.to_owned(), value.clone());
        }
    }
    for key in ["content", "output"] {
        if let Some(value) = item.get(key).filter(|value| !value.is_null()) {
            told.insert(key.to_owned(), content(value, role));
        }
    }
    Value::Object(told)
}

/// Content by its texts, and its other parts by what they name.
fn content(content: &Value, role: Option<&str>) -> Value {
    // The output of a call stays a text; the content of a message becomes a part.
    match content {
        Value::String(text) if role.is_some() => json!([text]),
        Value::Array(parts) => parts.iter().map(part).collect(),
        other => other.clone(),
    }
}

fn part(part: &Value) -> Value {
    if let Some(text) = part.get("text").or_else(|| part.get("refusal")) {
        return text.clone();
    }
    let named = ["image_url", "file_id", "file_url", "filename", "input_audio"];
    named.iter().filter_map(|key| part.get(*key).filter(|value| !value.is_null()).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_completes_is_the_same_and_what_it_says_otherwise_is_not() {
        let sent = json!({"role": "user", "content": "Hi"});
        let part = json!({"type": "input_text", "text": "Hi"});
        let listed =
            json!({"id": "msg_1", "type": "message", "status": "completed", "role": "user", "content": [part]});
        let is_same = |sent: &Value, listed: &Value| is_same(&sent.clone().into(), &listed.clone().into());
        assert!(is_same(&sent, &listed));
        for (key, value) in [("role", json!("assistant")), ("content", json!("Bye")), ("type", json!("reasoning"))] {
            let mut other = listed.clone();
            other[key] = value;
            assert!(!is_same(&sent, &other), "{key}");
        }
        let call =
            |arguments: &str| json!({"type": "function_call", "call_id": "c", "name": "now", "arguments": arguments});
        assert!(is_same(&call("{}"), &call("{}")) && !is_same(&call("{}"), &call("{\"a\":1}")));
    }
}
