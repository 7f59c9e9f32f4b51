//! What the templates show of conversations and items.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;
use turnwise::message::RawJson;
use turnwise::{Role, Transcript};

use crate::listing::UNREADABLE;

/// The longest title in a list, in characters.
const TITLE: usize = 120;

/// A conversation in the list.
#[derive(Serialize)]
pub(super) struct Row {
    id: String,
    url: String,
    title: String,
    messages: usize,
    /// That it cannot be read.
    error: Option<&'static str>,
}

impl Row {
    pub(super) fn of(id: String, file: Option<&Transcript>) -> Self {
        let url = format!("/conversations/{}", in_url(&id));
        let Some(file) = file else {
            return Self { id, url, title: String::new(), messages: 0, error: Some(UNREADABLE) };
        };
        let talk = &file.conversation;
        let path = talk.path();
        let asked =
            path.messages().find(|message| *message.role() == Role::User).map(|message| message.text().into_owned());
        let title = talk.metadata().get("title").map(str::to_owned).or(asked).unwrap_or_default();
        let is_long = title.chars().count() > TITLE;
        let title: String = title.chars().take(TITLE).chain(is_long.then_some('…')).collect();
        Self { id, url, title, messages: path.len(), error: None }
    }
}

/// An item of a conversation.
#[derive(Serialize)]
pub(super) struct Item {
    /// Its role, or its type if it has none.
    who: String,
    text: String,
}

impl Item {
    pub(super) fn of(item: &RawJson) -> Self {
        let item: Value = item.parse().unwrap_or_default();
        let text = |key: &str| item[key].as_str().unwrap_or_default();
        let kind = text("type");
        let said = match kind {
            "message" => content(&item["content"]),
            "function_call" => format!("{}({})", text("name"), text("arguments")),
            "function_call_output" => content(&item["output"]),
            "compaction" => "a summary of what was said before, sealed or coded".to_owned(),
            _ => serde_json::to_string_pretty(&item).unwrap_or_default(),
        };
        let who = item["role"].as_str().filter(|_| kind == "message").unwrap_or(kind);
        Self { who: who.replace('_', " "), text: said }
    }
}

/// Content as text; parts that are none by their types.
fn content(content: &Value) -> String {
    let part = |part: &Value| {
        let text = part["text"].as_str().or(part["refusal"].as_str()).map(str::to_owned);
        text.unwrap_or_else(|| format!("[{}]", part["type"].as_str().unwrap_or("part")))
    };
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(part).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}

/// A text as a part of a URL.
pub(super) fn in_url(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}
