//! Classifies the arguments of a function call. No other module judges them.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::Value;

/// The member that carries arguments which are not a JSON object, as text, to a server.
pub(crate) const INVALID: &str = "invalid_arguments";

/// The deepest nesting that needs no second check: `serde_json` itself reads values of up to 128
/// levels.
const CERTAINLY_READ: usize = 100;

/// What the arguments of a function call are. The API requires one JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// Empty, white space, or `null`: the call has no arguments.
    Empty,
    /// One JSON object.
    Object,
    /// A text that ends in the middle of a value.
    Cut,
    /// A complete text that is not a JSON object, with the reason.
    Invalid(String),
}

impl Arguments {
    /// Classifies arguments as a model wrote them.
    pub(crate) fn of(text: &str) -> Self {
        let text = text.trim_ascii();
        if text.is_empty() || text == "null" {
            return Self::Empty;
        }
        match check(text) {
            Ok(()) if text.starts_with('{') => Self::Object,
            Ok(()) => Self::Invalid(format!("{} is not an object", kind(text))),
            Err(error) if error.is_eof() || ends_in_a_number(text) => Self::Cut,
            Err(error) => Self::Invalid(error.to_string()),
        }
    }

    /// Why they are not a JSON object; `None` if they are one, or are empty.
    pub(crate) fn fault(self) -> Option<String> {
        match self {
            Self::Empty | Self::Object => None,
            Self::Cut => Some("they end in the middle of a value".to_owned()),
            Self::Invalid(why) => Some(why),
        }
    }
}

/// The arguments as they are sent, always a JSON object: `{}` if there are none; text that is not a
/// JSON object is sent as the value of a single member, so that the model still sees what it wrote.
pub(crate) fn as_sent(text: &str) -> Cow<'_, str> {
    match Arguments::of(text) {
        Arguments::Object => Cow::Borrowed(text),
        Arguments::Empty => Cow::Borrowed("{}"),
        Arguments::Cut | Arguments::Invalid(_) => Cow::Owned(format!("{{\"{INVALID}\":{}}}", Value::from(text))),
    }
}

/// Checks that the text is one JSON value that any reader accepts: no half of a surrogate pair, and
/// not nested too deep.
fn check(text: &str) -> serde_json::Result<()> {
    serde_json::from_str::<IgnoredAny>(text)?;
    let nesting = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if text.contains("\\u") || nesting > CERTAINLY_READ {
        serde_json::from_str::<Value>(text)?;
    }
    Ok(())
}

/// Whether the text ends in an incomplete number, which `serde_json` does not report as an end.
fn ends_in_a_number(text: &str) -> bool {
    text.ends_with(['-', '+', '.', 'e', 'E'])
        && serde_json::from_str::<IgnoredAny>(&format!("{text}0")).is_err_and(|error| error.is_eof())
}

fn kind(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'[') => "a list",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "a truth value",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_judged_by_how_they_end() {
        for empty in ["", " ", "\n\t", "null", " null "] {
            assert_eq!(Arguments::of(empty), Arguments::Empty, "{empty:?}");
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(90), "]".repeat(90));
        for object in ["{}", " {\"a\": 1} ", r#"{"a":"\ud83d\ude00"}"#, &deep] {
            assert_eq!(Arguments::of(object), Arguments::Object, "{object:?}");
        }
        let cut =
            ["{", "{\"a", "{\"a\":", "{\"a\":\"b", "{\"a\":\"b\\", "{\"a\":\"\\u00", "{\"a\":tr", "{\"a\":1", "["];
        for cut in cut.iter().chain(&["{\"a\":-", "{\"a\":1.", "{\"a\":1e", "{\"a\":1e+", "\"x"]) {
            assert_eq!(Arguments::of(cut), Arguments::Cut, "{cut:?}");
        }
        let too_deep = format!("{{\"a\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
        let invalid = [
            "Oslo",
            "{city: 1}",
            "{\"a\":1}}",
            "{}{}",
            "[1]",
            "\"x\"",
            "7",
            "true",
            r#"{"a":"\ud83d"}"#,
            "{\"a\":\"\n\"}",
        ];
        for invalid in invalid.iter().chain(&["-", "{'a':1}", &*too_deep]) {
            assert!(matches!(Arguments::of(invalid), Arguments::Invalid(_)), "{invalid:?}");
        }
    }

    #[test]
    fn what_is_sent_is_always_an_object() {
        assert_eq!(as_sent(" {\"a\": 1}"), " {\"a\": 1}");
        assert_eq!(as_sent("null"), "{}");
        assert_eq!(as_sent("{\"a\":\"b"), r#"{"invalid_arguments":"{\"a\":\"b"}"#);
        assert_eq!(as_sent("[1]"), r#"{"invalid_arguments":"[1]"}"#);
    }
}
