//! Files of other programs and APIs, recognised by their shape and refused by name.
//!
//! Many of them have `messages` with roles, or lines of JSON, and would be misread: a system prompt that is not sent, a
//! result without its call. Each is recognised by members that no chat-completions message or body has, never by what
//! a text says. This is the beginning of the registry of formats; it has no readers yet.

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
    /// What a file in it is, with its article.
    name: &'static str,
    /// What can be done to use it here.
    way_out: &'static str,
}

/// A format that was recognised, and by what.
#[derive(Debug)]
pub(super) struct Found<'a> {
    name: &'static str,
    way_out: Cow<'static, str>,
    /// What gave it away.
    sign: Cow<'static, str>,
    /// The message that shows it, where it is one of many.
    message: Option<usize>,
    at: &'a RawValue,
}

impl<'a> Found<'a> {
    fn new(format: &Format, sign: impl Into<Cow<'static, str>>, at: &'a RawValue) -> Self {
        let way_out = Cow::Borrowed(format.way_out);
        Self { name: format.name, way_out, sign: sign.into(), message: None, at }
    }

    /// The refusal of a text in which this was found.
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

/// What a text is instead of a conversation of chat completions: JSON of another shape.
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

/// The name of a text that is not JSON.
pub(super) fn not_json(text: &str) -> Option<Error> {
    let (name, way_out) = match text.trim_start() {
        text if text.starts_with("# aider chat started") => {
            ("a chat history of aider in Markdown", "it does not tell for certain who said what, and is not read")
        }
        text => return no_json_at_all(text),
    };
    let detail = format!("this is {name}, and JSON with chat-completions messages is needed; {way_out}");
    Some(Error::new(ErrorKind::ForeignFormat, detail).at(position(text, 0)))
}

/// A text that begins no object and no list, and is no other JSON either: YAML, CSV, Markdown.
fn no_json_at_all(text: &str) -> Option<Error> {
    let first = text.chars().next().filter(|first| !matches!(first, '{' | '['))?;
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return None;
    }
    let detail = format!(
        "the file is not JSON: it begins with `{}`; what is read is JSON with chat-completions messages: a transcript, a \
         request's body, an array of messages, or one of these or a message a line",
        first.escape_debug()
    );
    Some(Error::new(ErrorKind::Damaged, detail))
}

/// Whether a body has anything that a plain one has not, so that a closer look is worth its time.
pub(super) fn is_odd_body(body: &Body, messages: &[Message]) -> bool {
    let is_odd_tool = |tool: &crate::json::RawJson| {
        let text = tool.as_str();
        text.contains("\"input_schema\"") || text.contains("eclarations\"")
    };
    messages.iter().any(is_odd)
        || body.extra.iter().any(|(key, _)| matches!(&**key, "system" | "options" | "keep_alive"))
        || body.tools.iter().flatten().any(is_odd_tool)
}

/// Whether a message has anything that a plain one has not.
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
