//! `Json`: JSON with the original order of keys and digits of numbers, and the styles in which
//! servers write it again.

use std::fmt::Write;

use crate::json::RawJson;

/// The deepest value that is parsed; `serde_json` has the same limit for its own values.
const DEEPEST: usize = 128;

/// One JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json {
    /// A number, `true`, `false` or `null`, as it was written.
    Plain(Box<str>),
    String(Box<str>),
    Array(Vec<Json>),
    Object(Vec<(Box<str>, Json)>),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// No space between tokens, text unchanged.
    Compact,
    /// No space between tokens, and escapes for everything outside ASCII.
    CompactAscii,
    /// A space after commas and colons, and escapes for everything outside ASCII: Python's default.
    SpacedAscii,
    /// A space after commas and colons, text unchanged.
    Spaced,
}

impl Json {
    /// Parses a text; `None` if it is not one JSON value or is nested too deep.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::of(&RawJson::new(text).ok()?)
    }

    /// The value of a text that is known to be JSON.
    pub(super) fn of(raw: &RawJson) -> Option<Self> {
        let mut reader = Reader { text: raw.as_str(), at: 0 };
        reader.value(DEEPEST)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.members().iter().find_map(|(name, value)| (**name == *key).then_some(value))
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The members of an object; empty for anything else.
    pub(super) fn members(&self) -> &[(Box<str>, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// The items of an array; empty for anything else.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    pub(super) fn is_bool(&self) -> bool {
        matches!(self, Self::Plain(word) if matches!(&**word, "true" | "false"))
    }

    pub(super) fn written(&self, style: Style) -> String {
        let mut out = String::new();
        self.write(style, &mut out);
        out
    }

    pub(super) fn write(&self, style: Style, out: &mut String) {
        match self {
            Self::Plain(word) => out.push_str(word),
            Self::String(text) => write_string(text, style, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { style.comma() } else { "" });
                    item.write(style, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { style.comma() } else { "" });
                    write_string(key, style, out);
                    out.push_str(style.colon());
                    value.write(style, out);
                }
                out.push('}');
            }
        }
    }
}

impl Style {
    fn is_spaced(self) -> bool {
        matches!(self, Self::SpacedAscii | Self::Spaced)
    }

    pub(super) fn comma(self) -> &'static str {
        if self.is_spaced() { ", " } else { "," }
    }

    fn colon(self) -> &'static str {
        if self.is_spaced() { ": " } else { ":" }
    }
}

fn write_string(text: &str, style: Style, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            '\0'..' ' => write_escapes(character, out),
            _ if matches!(style, Style::Compact | Style::Spaced) => out.push(character),
            _ => write_escapes(character, out),
        }
    }
    out.push('"');
}

fn write_escapes(character: char, out: &mut String) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

/// Parses compact, valid JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<Json> {
        let deeper = depth.checked_sub(1)?;
        match self.text.as_bytes().get(self.at)? {
            b'"' => self.string().map(Json::String),
            b'[' => self.list(|reader| reader.value(deeper)).map(Json::Array),
            b'{' => {
                let members = self.list(|reader| {
                    let key = reader.string()?;
                    reader.at += 1;
                    Some((key, reader.value(deeper)?))
                });
                members.map(Json::Object)
            }
            _ => Some(Json::Plain(self.up_to(|byte| matches!(byte, b',' | b']' | b'}')).into())),
        }
    }

    /// The items between two brackets.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        self.at += 1;
        while !matches!(self.text.as_bytes().get(self.at)?, b']' | b'}') {
            items.push(item(self)?);
            if self.text.as_bytes().get(self.at) == Some(&b',') {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(items)
    }

    fn string(&mut self) -> Option<Box<str>> {
        let start = self.at;
        let mut is_escaped = true;
        let quoted = self.up_to(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        });
        self.at += 1;
        if quoted.contains('\\') {
            serde_json::from_str(self.text.get(start..self.at)?).ok()
        } else {
            Some(quoted.get(1..)?.into())
        }
    }

    fn up_to(&mut self, mut is_end: impl FnMut(u8) -> bool) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or("");
        let end = rest.bytes().position(&mut is_end).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_numbers_their_digits() {
        let text = r#"{"b":[1.50,{"a":null},[],-2e5],"a":{"x":"\"\\"},"c":{}}"#;
        assert_eq!(Json::parse(text).unwrap().written(Style::Compact), text);
    }

    #[test]
    fn the_styles_differ_in_spaces_and_escapes() {
        let value = Json::parse(r#"{ "é": ["😀", "\u00e9\n\/", 1] }"#).unwrap();
        assert_eq!(value.written(Style::Compact), r#"{"é":["😀","é\n/",1]}"#);
        assert_eq!(value.written(Style::CompactAscii), r#"{"\u00e9":["\ud83d\ude00","\u00e9\n/",1]}"#);
        assert_eq!(value.written(Style::SpacedAscii), r#"{"\u00e9": ["\ud83d\ude00", "\u00e9\n/", 1]}"#);
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(&deep(DEEPEST)).is_some());
        for text in ["", "{", "nope", "1 2", &deep(DEEPEST + 1), &deep(1_000_000)] {
            assert_eq!(Json::parse(text), None, "{}", &text[..text.len().min(20)]);
        }
    }
}
