//! `RawJson`: JSON kept as text, so that what this crate does not interpret is written back digit
//! for digit.

use std::borrow::Cow;
use std::fmt;
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

    /// Reads a text as one JSON value, if it is one. A long text is copied less often than by
    /// [`new`](Self::new).
    #[cfg_attr(not(feature = "openai"), allow(dead_code, reason = "for whole answers"))]
    pub(crate) fn from_text(text: String) -> Option<Self> {
        let compact = compacted(&text).unwrap_or(text);
        RawValue::from_string(compact).ok().map(|raw| Self(raw.into()))
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
        let member = |(name, value): (&str, Self)| format!("{}:{}", Self::from(name).as_str(), value.as_str());
        let members: Vec<String> = members.into_iter().map(member).collect();
        let object = RawValue::from_string(format!("{{{}}}", members.join(",")));
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
/// remove.
fn compacted(text: &str) -> Option<String> {
    let mut out: Option<String> = None;
    let (mut kept_to, mut in_string, mut escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b' ' | b'\t' | b'\n' | b'\r' if !in_string => {
                out.get_or_insert_with(|| String::with_capacity(text.len())).push_str(&text[kept_to..at]);
                kept_to = at + 1;
            }
            _ => {}
        }
    }
    out.map(|mut out| {
        out.push_str(&text[kept_to..]);
        out
    })
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
