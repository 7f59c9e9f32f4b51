//! `RawJson`: JSON kept as text, so that what this crate does not interpret is written back digit
//! for digit.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::halves::mended;
use crate::text::described;

/// Any JSON value as compact text: the order of keys, the digits of numbers and escapes stay as
/// they were written; white space between tokens is removed. Half a character, such as the escape
/// `\ud83d` without its other half, becomes `\ufffd`, because strict servers refuse the half and
/// accept the replacement.
///
/// Two values are equal if their texts are. `Debug` prints the length only. A clone shares the
/// text.
///
/// It converts from numbers, booleans, text (as a JSON string; text that is JSON is read by
/// [`new`](Self::new)), lists of these, and a [`serde_json::Value`], whose keys `serde_json` sorts.
/// A number that JSON cannot represent becomes null.
///
/// It is deserialized by `serde_json` only, from text or from a [`serde_json::Value`].
///
/// # Examples
/// ```
/// let json: turnwise::message::RawJson = serde_json::from_str(r#"{"b": 1.50, "a": [1, 2]}"#)?;
/// assert_eq!(json.as_str(), r#"{"b":1.50,"a":[1,2]}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct RawJson(Arc<RawValue>);

impl RawJson {
    /// Reads one JSON value from text.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidMessage`] if the text is not exactly one JSON value.
    pub fn new(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|e| Error::new(ErrorKind::InvalidMessage, format!("not a JSON value: {}", described(&e))))
    }

    /// Reads one JSON value from text that is not needed any more: a long text is copied less
    /// often than by [`new`](Self::new).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidMessage`] if the text is not exactly one JSON value.
    ///
    /// # Examples
    /// ```
    /// use turnwise::message::RawJson;
    ///
    /// assert_eq!(RawJson::from_text("{ \"b\": 1.50 }".to_owned())?.as_str(), r#"{"b":1.50}"#);
    /// assert!(RawJson::from_text("{".to_owned()).is_err());
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn from_text(text: String) -> Result<Self> {
        let compact = compacted(&text).unwrap_or(text);
        let changed = match mended(&compact).text {
            Cow::Owned(text) => Some(text),
            Cow::Borrowed(_) => None,
        };
        RawValue::from_string(changed.unwrap_or(compact))
            .map(|raw| Self(raw.into()))
            .map_err(|e| Error::new(ErrorKind::InvalidMessage, format!("not a JSON value: {}", described(&e))))
    }

    /// A value as JSON.
    pub(crate) fn from_serde(value: &impl serde::Serialize) -> Result<Self> {
        let text = serde_json::to_string(value).map_err(|e| {
            Error::new(ErrorKind::InvalidMessage, format!("it cannot be written as JSON: {}", described(&e)))
        })?;
        Self::new(&text)
    }

    /// An object with these members in this order.
    ///
    /// # Examples
    /// ```
    /// use turnwise::message::RawJson;
    ///
    /// let object = RawJson::object([("b", 1.into()), ("a", "x".into())]);
    /// assert_eq!(object.as_str(), r#"{"b":1,"a":"x"}"#);
    /// ```
    pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let mut text = String::from("{");
        for (name, value) in members {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(name).to_string());
            text.push(':');
            text.push_str(value.as_str());
        }
        text.push('}');
        let object = RawValue::from_string(text);
        // Members in braces are always one JSON value, so the fallback is never taken.
        Self(object.unwrap_or_else(|_| RawValue::NULL.to_owned()).into())
    }

    /// The compact text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Deserializes the text as `T`, which may borrow from it.
    ///
    /// # Errors
    /// The error of `serde_json` if the value has another shape.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(self.as_str())
    }
}

impl From<&RawValue> for RawJson {
    fn from(raw: &RawValue) -> Self {
        let compact = compacted(raw.get());
        let mended = mended(compact.as_deref().unwrap_or(raw.get())).text;
        let changed = match mended {
            Cow::Owned(text) => Some(text),
            Cow::Borrowed(_) => compact,
        };
        let changed = changed.and_then(|text| RawValue::from_string(text).ok());
        Self(changed.unwrap_or_else(|| raw.to_owned()).into())
    }
}

impl From<serde_json::Value> for RawJson {
    fn from(value: serde_json::Value) -> Self {
        let text = value.to_string();
        // A printed `Value` is always one JSON value, so the fallback is never used.
        Self(RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned()).into())
    }
}

macro_rules! from_values {
    ($($type:ty),*) => {
        $(impl From<$type> for RawJson {
            fn from(value: $type) -> Self {
                serde_json::Value::from(value).into()
            }
        })*
    };
}

from_values!(bool, i32, i64, u32, u64, usize, f64, &str, String);

impl From<&String> for RawJson {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl<T: Into<Self>> From<Vec<T>> for RawJson {
    fn from(values: Vec<T>) -> Self {
        let texts: Vec<String> = values.into_iter().map(|value| value.into().as_str().to_owned()).collect();
        let list = RawValue::from_string(format!("[{}]", texts.join(",")));
        // Values in brackets are always one JSON value, so the fallback is never used.
        Self(list.unwrap_or_else(|_| RawValue::NULL.to_owned()).into())
    }
}

impl<T: Into<Self>, const N: usize> From<[T; N]> for RawJson {
    fn from(values: [T; N]) -> Self {
        Vec::from(values).into()
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for RawJson {}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawJson({} bytes)", self.as_str().len())
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self::from(&*raw))
    }
}

/// The text of a valid JSON value without white space between tokens; `None` if there is none to
/// remove. Text that is not valid JSON does not become valid: `1 2` stays two values.
fn compacted(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out: Option<String> = None;
    let (mut kept_to, mut at) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at + 1),
            b' ' | b'\t' | b'\n' | b'\r' => {
                let end = bytes[at..].iter().position(|byte| !is_space(*byte)).map_or(bytes.len(), |run| at + run);
                let is_between_values =
                    at > 0 && is_scalar(bytes[at - 1]) && bytes.get(end).is_some_and(|b| is_scalar(*b));
                if !is_between_values {
                    out.get_or_insert_with(|| String::with_capacity(text.len())).push_str(&text[kept_to..at]);
                    kept_to = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    out.map(|mut out| {
        out.push_str(&text[kept_to..]);
        out
    })
}

/// The places of the texts and numbers in a JSON text, in their order; those of texts with their
/// quotes.
pub(crate) fn scalars(json: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = json.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let start = at;
            match bytes[at] {
                b'"' => {
                    at = end_of_string(bytes, at + 1);
                    return Some(start..at);
                }
                b'-' | b'0'..=b'9' => {
                    while at < bytes.len() && matches!(bytes[at], b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') {
                        at += 1;
                    }
                    return Some(start..at);
                }
                _ => at += 1,
            }
        }
        None
    })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether a byte is part of a number, or of `true`, `false` or `null`.
fn is_scalar(byte: u8) -> bool {
    !matches!(byte, b'{' | b'}' | b'[' | b']' | b':' | b',' | b'"') && !is_space(byte)
}

/// The place after the quote that closes a JSON string; the end of the text if none does.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        // A backslash escapes the byte after it.
        at += 2;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_and_strings_stay() {
        let json = RawJson::new("{ \"a\\\" b\" : [ 1.0 ,\n 2e5, \"x \\\\\" ] }").unwrap();
        assert_eq!(json.as_str(), r#"{"a\" b":[1.0,2e5,"x \\"]}"#);
    }

    #[test]
    fn text_that_is_not_one_value_does_not_become_one() {
        for text in ["1 2", "tru e", "- 1", "{\"a\":1 2}", "[1 2]", "\"a\\", "\"", "", " ", "\\\" 1", "\"é\\é\" x"] {
            assert!(RawJson::from_text(text.to_owned()).is_err(), "{text}");
            assert!(RawJson::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn text_is_read_the_same_with_and_without_a_copy() {
        for text in [" 1 ", "{ \"\\ud83d\" : [ \"a \\\" b\", null ,1e5 ] }\n", "\"\\\\\"", "[true , false]"] {
            assert_eq!(RawJson::from_text(text.to_owned()).unwrap(), RawJson::new(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn half_a_character_is_replaced_and_its_spelling_as_text_stays() {
        let json = RawJson::new(r#"{ "\ud83d": ["\uDE00", "\\ud83d", "\ud83d\ude00"] }"#).unwrap();
        assert_eq!(json.as_str(), r#"{"\ufffd":["\ufffd","\\ud83d","\ud83d\ude00"]}"#);
        assert!(json.parse::<serde_json::Value>().is_ok());
    }

    #[test]
    fn plain_values_become_json() {
        let texts = [RawJson::from(0.5), 7.into(), true.into(), "a \"b\"".into(), f64::NAN.into(), ["x", "y"].into()];
        let texts: Vec<_> = texts.iter().map(RawJson::as_str).collect();
        assert_eq!(texts, ["0.5", "7", "true", r#""a \"b\"""#, "null", r#"["x","y"]"#]);
    }

    #[test]
    fn a_value_with_nothing_to_strip_is_not_copied() {
        assert_eq!(compacted(r#"{"a b":1}"#), None);
    }
}
