//! Reads JSON conversations, a request body or a bare array of messages, and reports where they are
//! wrong.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Position, Result};
use crate::json::RawJson;
use crate::message::{Message, twice};
use crate::text::described;

/// A request body: the members that this crate knows are typed, all others are kept.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) model: Option<String>,
    pub(crate) messages: Option<Vec<Message>>,
    pub(crate) tools: Option<Vec<RawJson>>,
    /// All other members, and typed ones whose value is null.
    pub(crate) extra: Vec<(String, RawJson)>,
    /// All keys in their order.
    pub(crate) keys: Vec<String>,
}

impl Body {
    /// Reads one value: an object, or an array of messages.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let source = Source { text, base: 0, whole: text };
        if text.trim_start().starts_with('[') {
            let messages = source.messages()?;
            return Ok(Self { messages: Some(messages), keys: vec!["messages".to_owned()], ..Self::default() });
        }
        let mut body = Self::default();
        for (key, value) in source.read::<Members<'_>>("a request body or an array of messages")?.0 {
            let value = source.part(value);
            body.keys.push(key.clone());
            match &*key {
                _ if value.text == "null" => body.extra.push((key, value.raw())),
                "model" => body.model = Some(value.read("model")?),
                "messages" => body.messages = Some(value.messages()?),
                "tools" => body.tools = Some(value.tools()?),
                _ => body.extra.push((key, value.raw())),
            }
        }
        Ok(body)
    }

    /// Removes and returns a member that is not typed.
    pub(crate) fn take(&mut self, key: &str) -> Option<RawJson> {
        let index = self.extra.iter().position(|(name, _)| name == key)?;
        self.keys.retain(|name| name != key);
        Some(self.extra.remove(index).1)
    }
}

/// A part of a text, with its place in the whole.
#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
    base: usize,
    whole: &'a str,
}

impl<'a> Source<'a> {
    fn part(self, value: &'a RawValue) -> Self {
        let base = value.get().as_ptr() as usize - self.whole.as_ptr() as usize;
        Self { text: value.get(), base, whole: self.whole }
    }

    fn raw(self) -> RawJson {
        RawJson::from(serde_json::from_str::<&RawValue>(self.text).unwrap_or(RawValue::NULL))
    }

    /// A list of tools, or one as JSON in a string, as many sets of training data have it.
    fn tools(self) -> Result<Vec<RawJson>> {
        let in_string = serde_json::from_str::<String>(self.text).ok();
        let list = in_string.map(|text| if text.trim().is_empty() { "[]".to_owned() } else { text });
        match list.and_then(|list| serde_json::from_str(&list).ok()) {
            Some(tools) => Ok(tools),
            None => self.read("tools"),
        }
    }

    fn messages(self) -> Result<Vec<Message>> {
        let messages = self.read::<Vec<&RawValue>>("an array of messages")?;
        if messages.first().is_some_and(|first| is_body(first)) {
            let detail = "an array of conversations; write one per line, such as with `jq -c '.[]'`";
            return Err(Error::new(ErrorKind::InvalidMessage, detail).at(position(self.whole, self.base)));
        }
        let read = |(index, value)| read_message(self.whole, value, index);
        messages.into_iter().enumerate().map(read).collect()
    }

    fn read<T: Deserialize<'a>>(self, what: &str) -> Result<T> {
        serde_json::from_str(self.text).map_err(|e| self.error(what, &e))
    }

    fn error(self, what: &str, error: &serde_json::Error) -> Error {
        let kind = match error.classify() {
            serde_json::error::Category::Data => ErrorKind::InvalidMessage,
            _ => ErrorKind::Damaged,
        };
        let byte = match kind {
            ErrorKind::InvalidMessage => start_of(self.text, byte_of(self.text, error)),
            _ => byte_of(self.text, error),
        };
        Error::new(kind, format!("{what}: {}", described(error))).at(position(self.whole, self.base + byte))
    }
}

/// Reads the message with this number from its part of the text.
pub(crate) fn read_message(whole: &str, value: &RawValue, index: usize) -> Result<Message> {
    Source { text: whole, base: 0, whole }.part(value).read(&format!("message {index}"))
}

/// The members of an object in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or an array")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, &'de RawValue)> = Vec::new();
                while let Some((key, value)) = map.next_entry()? {
                    members.push((key, value));
                }
                if let Some(key) = twice(members.iter().map(|(key, _)| &**key)) {
                    return Err(serde::de::Error::custom(format_args!("the key `{key}` occurs twice")));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Whether an element of an array of messages is a conversation instead.
fn is_body(element: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Nested {
        #[serde(rename = "messages")]
        _messages: Vec<serde::de::IgnoredAny>,
    }
    element.get().starts_with('{') && serde_json::from_str::<Nested>(element.get()).is_ok()
}

/// The byte that an error of `serde_json` points to.
pub(crate) fn byte_of(text: &str, error: &serde_json::Error) -> usize {
    if error.is_eof() {
        return text.len();
    }
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    let line: usize = lines.map(str::len).sum();
    (line + error.column().saturating_sub(1)).min(text.len())
}

/// The start of the object that ends at this byte; otherwise the byte itself. A missing member is
/// detected at the end of its object, and people look for it at the start.
fn start_of(text: &str, byte: usize) -> usize {
    // For an object that was read to its end, `serde_json` reports one byte further on.
    let is_past = byte > 0 && text.as_bytes().get(byte) != Some(&b'}') && text.as_bytes().get(byte - 1) == Some(&b'}');
    let byte = byte - usize::from(is_past);
    let (mut open, mut in_string, mut escaped) = (Vec::new(), false, false);
    for (at, found) in text.bytes().enumerate().take(byte + 1) {
        match found {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => open.push(at),
            b'}' if !in_string => {
                let start = open.pop();
                if at == byte {
                    return start.unwrap_or(byte);
                }
            }
            _ => {}
        }
    }
    byte
}

/// The place of a byte in a text.
pub(crate) fn position(text: &str, byte: usize) -> Position {
    let before = &text.as_bytes()[..byte.min(text.len())];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    Position::new(line, before.len() - line_start + 1, before.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_in_a_string_are_tools() {
        let tools = |text: &str| Body::parse(text).map(|body| body.tools.unwrap_or_default().len());
        let one = r#"{"tools": "[{\"type\":\"function\",\"function\":{\"name\":\"a\"}}]"}"#;
        assert_eq!((tools(one).unwrap(), tools(r#"{"tools": " "}"#).unwrap()), (1, 0));
        assert!(tools(r#"{"tools": "a"}"#).unwrap_err().to_string().contains("tools: invalid type: "));
    }

    #[test]
    fn an_error_deep_in_a_body_has_its_place_in_the_whole() {
        let text = "{\"model\": \"m\",\n \"messages\": [{\"role\":\"user\",\n\"content\": 5}]}";
        let error = Body::parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidMessage);
        let place = error.position().unwrap();
        assert_eq!((place.line, &text[place.byte..=place.byte]), (3, "5"));
        assert!(error.to_string().contains("message 0: invalid type: integer `5`"), "{error}");
    }

    #[test]
    fn what_an_object_lacks_is_looked_for_at_its_start() {
        for (text, column) in [
            (r#"{"messages": [{"role":"user"}, {"content":"}"}]}"#, 32),
            (r#"[{"content":"x"}]"#, 2),
            (r#"[{"role":"user","content":[{"text":"x"}]}]"#, 28),
            (r#"[{"role":"user","x":{"y":{}},"role":"user"}]"#, 2),
        ] {
            let error = Body::parse(text).unwrap_err();
            assert_eq!(error.position().unwrap().column, column, "{text}: {error}");
        }
    }

    #[test]
    fn a_torn_body_is_damaged_where_it_ends() {
        let text = "{\"messages\": [\n{\"role\":\"us";
        let error = Body::parse(text).unwrap_err();
        assert_eq!((error.kind(), error.position().unwrap().line), (ErrorKind::Damaged, 2));
        assert!(error.position().unwrap().byte + 1 >= text.len(), "{error}");
    }

    #[test]
    fn other_members_are_kept_in_order() {
        let body = Body::parse(r#"{"b": 1.0, "messages": [], "a": null, "tools": null}"#).unwrap();
        assert_eq!(body.keys, ["b", "messages", "a", "tools"]);
        let extra: Vec<_> = body.extra.iter().map(|(key, value)| (&**key, value.as_str())).collect();
        assert_eq!(extra, [("b", "1.0"), ("a", "null"), ("tools", "null")]);
    }
}
