//! Replaces lone surrogates in JSON.
//!
//! UTF-16 writes characters such as emoji as two units, a high and a low surrogate, and JSON as two
//! escapes: `\ud83d\ude00`. Programs that cut text between UTF-16 units leave one without the other,
//! a lone surrogate, which means nothing. No Rust string can hold one, and strict servers refuse
//! them, so each is replaced by U+FFFD wherever JSON is read. Messages to users, and names such as
//! [`Half`], call it half a character.

use std::borrow::Cow;

/// The length of an escape such as `\ud83d`. Its replacement, `\ufffd`, has the same length, so
/// that byte positions in a text do not change.
const ESCAPE: usize = 6;

/// A JSON text in which lone surrogates were replaced.
#[derive(Debug)]
pub(crate) struct Mended<'a> {
    /// The text itself if there was nothing to replace.
    pub(crate) text: Cow<'a, str>,
    /// How many lone surrogates were replaced.
    pub(crate) count: usize,
    /// The byte at which the first one was.
    pub(crate) first: Option<usize>,
    /// Whether strings of the text may contain JSON, such as arguments, with lone surrogates of its
    /// own.
    pub(crate) may_be_nested: bool,
}

/// Replaces the lone surrogates of a JSON text. `\\ud83d`, an escaped backslash followed by letters,
/// is left alone.
pub(crate) fn mended(text: &str) -> Mended<'_> {
    let mut halves = Halves::of(text);
    let Some(first) = halves.next() else {
        return Mended { text: Cow::Borrowed(text), count: 0, first: None, may_be_nested: halves.may_be_nested };
    };
    let mut out = String::with_capacity(text.len());
    let mut copied_to = 0;
    let mut count = 0;
    for half in std::iter::once(first).chain(&mut halves) {
        out.push_str(&text[copied_to..half.at]);
        out.push_str("\\ufffd");
        copied_to = half.at + ESCAPE;
        count += 1;
    }
    out.push_str(&text[copied_to..]);
    Mended { text: Cow::Owned(out), count, first: Some(first.at), may_be_nested: halves.may_be_nested }
}

/// A lone surrogate in a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Half {
    /// The byte at which its escape starts.
    pub(crate) at: usize,
    /// The UTF-16 unit.
    pub(crate) unit: u16,
}

/// The lone surrogates of a JSON text, in one pass over its backslashes.
#[derive(Debug)]
pub(crate) struct Halves<'a> {
    text: &'a str,
    /// The byte from which on the text is searched.
    at: usize,
    /// As in [`Mended`], for the text up to `at`.
    may_be_nested: bool,
}

impl<'a> Halves<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, at: 0, may_be_nested: false }
    }
}

impl Iterator for Halves<'_> {
    type Item = Half;

    fn next(&mut self) -> Option<Half> {
        loop {
            let at = self.at + self.text.get(self.at..)?.find('\\')?;
            let Some(unit) = unit_at(self.text, at) else {
                let escaped = self.text.as_bytes().get(at + 1);
                self.may_be_nested |= escaped == Some(&b'\\') && unit_at(self.text, at + 1).is_some_and(is_half);
                // A backslash escapes the next character; in text that is not JSON it may be half
                // of a character's bytes.
                self.at = at + 1 + usize::from(escaped.is_some_and(u8::is_ascii));
                continue;
            };
            self.at = at + ESCAPE;
            if is_first_half(unit) && unit_at(self.text, self.at).is_some_and(is_second_half) {
                self.at += ESCAPE;
            } else if is_half(unit) {
                return Some(Half { at, unit });
            }
        }
    }
}

/// The UTF-16 unit of the escape at this byte.
fn unit_at(text: &str, at: usize) -> Option<u16> {
    let [b'\\', b'u', digits @ ..] = text.as_bytes().get(at..at + ESCAPE)? else { return None };
    let mut unit = 0;
    for &digit in digits {
        let value = u16::try_from(char::from(digit).to_digit(16)?).ok()?;
        unit = unit << 4 | value;
    }
    Some(unit)
}

fn is_half(unit: u16) -> bool {
    matches!(unit, 0xd800..=0xdfff)
}

fn is_first_half(unit: u16) -> bool {
    matches!(unit, 0xd800..=0xdbff)
}

fn is_second_half(unit: u16) -> bool {
    matches!(unit, 0xdc00..=0xdfff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn halves_are_replaced_and_whole_characters_stay() {
        for (text, expected, count) in [
            (r#""\ud83d""#, r#""\ufffd""#, 1),
            (r#""\uDE00""#, r#""\ufffd""#, 1),
            (r#""\uD83d x \uDe00""#, r#""\ufffd x \ufffd""#, 2),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#, 2),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#, 1),
            (r#""\ud83d\ude00\ude00""#, r#""\ud83d\ude00\ufffd""#, 1),
            (r#"{"\ud83d":{"a":["\udfff\n"]}}"#, r#"{"\ufffd":{"a":["\ufffd\n"]}}"#, 2),
            (r#""\ud83d\n\ude00""#, r#""\ufffd\n\ufffd""#, 2),
            (r#""é\ud83dé""#, r#""é\ufffdé""#, 1),
            (r#""\\\ud83d""#, r#""\\\ufffd""#, 1),
        ] {
            let mended = mended(text);
            assert_eq!((&*mended.text, mended.count), (expected, count), "{text}");
            assert_eq!(mended.text.len(), text.len());
            serde_json::from_str::<serde_json::Value>(&mended.text).unwrap();
        }
    }

    #[test]
    fn a_text_without_halves_is_not_copied() {
        for text in
            [r#""\ud83d\ude00 \\ud83d \u00e9 \\\\ude00""#, "", "\\", "\\u", "\\ud83", "\\é", "\\ud8é", "\\u+d83d"]
        {
            assert!(matches!(mended(text).text, Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn json_in_a_string_is_noticed() {
        assert!(mended(r#"{"arguments":"{\"a\":\"\\ud83d\"}"}"#).may_be_nested);
        assert!(!mended(r#"{"arguments":"{\"a\":\"\\u00e9\\\\\"}"}"#).may_be_nested);
    }

    proptest! {
        #[test]
        fn what_is_mended_is_read_by_strict_readers(
            pieces in proptest::collection::vec(prop_oneof![
                Just("\\ud83d"), Just("\\uDE00"), Just("\\\\"), Just("\\u00e9"), Just("u"), Just("ud83d"), Just("é"), Just("\\n"),
            ], 0..12),
        ) {
            let text = format!("\"{}\"", pieces.concat());
            prop_assert!(serde_json::from_str::<serde_json::Value>(&mended(&text).text).is_ok(), "{}", text);
        }
    }
}
