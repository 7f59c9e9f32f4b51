//! Recognises files of other programs and APIs by their shape, and refuses them by name.
//!
//! Many of them have `messages` with roles, or lines of JSON, and would be misread: a system prompt
//! would not be sent, a result would lose its call. Each format is recognised by members that no
//! chat-completions message or body has, never by the content of a text. This is the beginning of
//! the registry of formats; it has no readers yet.

mod conversations;
mod messages;

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::shape::{Object, elements, values};
use crate::body::{Body, position};
use crate::error::{Error, ErrorKind};
use crate::message::{Content, Message, Part, Role};

/// Another program's way to write conversations.
#[derive(Debug)]
struct Format {
    /// What a file in this format is called, with its article.
    name: &'static str,
    /// How to use it here.
    way_out: &'static str,
}

/// A recognised format, and the sign it was recognised by.
#[derive(Debug)]
pub(super) struct Found<'a> {
    name: &'static str,
    way_out: Cow<'static, str>,
    /// The sign that identifies it.
    sign: Cow<'static, str>,
    /// The index of the message that has the sign, if it is in a list of messages.
    message: Option<usize>,
    at: &'a RawValue,
}

impl<'a> Found<'a> {
    fn new(format: &Format, sign: impl Into<Cow<'static, str>>, at: &'a RawValue) -> Self {
        let way_out = Cow::Borrowed(format.way_out);
        Self { name: format.name, way_out, sign: sign.into(), message: None, at }
    }

    /// The error for a text in which this was found.
    pub(super) fn error(&self, text: &str) -> Error {
        let byte = self.at.get().as_ptr() as usize - text.as_ptr() as usize;
        let sign = match self.message {
            Some(index) => format!("message {index} has {}", self.sign),
            None => format!("it has {}", self.sign),
        };
        let detail =
            format!("this is {} ({sign}), and chat-completions messages are needed; {}", self.name, self.way_out);
        Error::new(ErrorKind::ForeignFormat, detail).at(position(text, byte))
    }
}

/// What a text is, if it is JSON but not a conversation of chat completions.
pub(super) fn in_text(text: &str) -> Option<Found<'_>> {
    let first = values(text).next()?;
    let Some(object) = Object::of(first) else {
        let list = elements(first);
        let of_first = list.first().and_then(|element| conversations::find(&Object::of(element)?, element, true));
        return of_first.or_else(|| in_messages(&list));
    };
    in_messages(&object.list("messages"))
        .or_else(|| conversations::in_body(&object, first))
        .or_else(|| conversations::find(&object, first, false))
        .or_else(|| messages::find(first))
}

/// The first message that only another API has.
pub(super) fn in_messages<'a>(list: &[&'a RawValue]) -> Option<Found<'a>> {
    let found = list.iter().enumerate().find_map(|(index, message)| {
        let found = messages::find(message)?;
        Some(Found { message: Some(index), ..found })
    });
    found.or_else(|| messages::by_roles(list))
}

/// The error for a text that is not JSON.
pub(super) fn not_json(text: &str) -> Option<Error> {
    let (name, way_out) = match text.trim_start() {
        text if text.starts_with("# aider chat started") => {
            ("a chat history of aider in Markdown", "it does not say reliably who wrote what, so it is not supported")
        }
        text => return no_json_at_all(text),
    };
    let detail = format!("this is {name}, and JSON with chat-completions messages is needed; {way_out}");
    Some(Error::new(ErrorKind::ForeignFormat, detail).at(position(text, 0)))
}

/// The error for a text that begins no object and no list, and is not other JSON either: YAML, CSV,
/// Markdown.
fn no_json_at_all(text: &str) -> Option<Error> {
    let first = text.chars().next().filter(|first| !matches!(first, '{' | '['))?;
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return None;
    }
    let detail = format!(
        "the file is not JSON: it begins with `{}`; expected JSON with chat-completions messages: a transcript, a \
         request body, an array of messages, or one of these or one message per line",
        first.escape_debug()
    );
    Some(Error::new(ErrorKind::Damaged, detail))
}

/// Whether a body has a member that a plain one does not have, so that a closer look is worth the
/// time.
pub(super) fn is_odd_body(body: &Body, messages: &[Message]) -> bool {
    let is_odd_tool = |tool: &crate::json::RawJson| {
        let text = tool.as_str();
        text.contains("\"input_schema\"") || text.contains("eclarations\"")
    };
    messages.iter().any(is_odd)
        || body.extra.iter().any(|(key, _)| matches!(&**key, "system" | "options" | "keep_alive"))
        || body.tools.iter().flatten().any(is_odd_tool)
}

/// Whether a message has a member that a plain one does not have.
pub(super) fn is_odd(message: &Message) -> bool {
    const PLAIN: &[&str] = &["text", "image_url", "input_audio", "file", "refusal"];
    const TELLING: &[&str] =
        &["type", "object", "parts", "toolInvocations", "lc", "mes", "messageId", "images", "kind"];
    let parts = message.content().map_or(&[][..], Content::parts);
    let says_something =
        message.content().is_some() || message.has_calls() || message.refusal().is_some() || message.audio().is_some();
    !says_something
        || matches!(message.role(), Role::Other(_))
        || parts.iter().map(Part::kind).any(|kind| !PLAIN.contains(&kind))
        || message.extra().any(|(key, _)| TELLING.contains(&key))
}

#[cfg(test)]
mod tests;
