//! Text for people: numbers in sentences, and the message of a `serde_json` error.

use std::borrow::Cow;

/// A number with commas.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// A number of things, in the singular or plural.
pub(crate) fn counted(things: usize, noun: &str) -> String {
    let plural = if things == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(things as u64))
}

/// The most characters of an error's text that are shown: a model or a file may have put a megabyte
/// into it.
const MOST_SHOWN: usize = 400;

/// What an error of `serde_json` says, without its place (which may be one in a part of a text) and
/// without the text of a string that it did not expect.
pub(crate) fn described(error: &serde_json::Error) -> String {
    shortened(&in_full(error), MOST_SHOWN).into_owned()
}

/// The same in the words of JSON instead of Rust's, for a model or for whoever writes the JSON.
pub(crate) fn described_as_json(error: &serde_json::Error) -> String {
    shortened(&in_json_words(&in_full(error)), MOST_SHOWN).into_owned()
}

/// An error of serde, whose type names are Rust's, in the words of JSON.
fn in_json_words(text: &str) -> String {
    let Some((start, expected)) = text.rsplit_once(", expected ") else { return text.to_owned() };
    let Some(("invalid type" | "invalid value", found)) = start.split_once(": ") else {
        // A length, or the names that are allowed.
        return format!("{start}, expected {}", expected_in_json(expected));
    };
    format!("expected {}, found {}", expected_in_json(expected), found_in_json(found))
}

fn found_in_json(found: &str) -> String {
    let is_of = |kind: &str| found.strip_prefix(kind).map(str::trim_start);
    match found {
        "map" | "struct variant" => "an object".to_owned(),
        "sequence" | "tuple variant" => "an array".to_owned(),
        "unit value" | "unit variant" | "Option value" => "null".to_owned(),
        _ => match is_of("boolean ").or_else(|| is_of("integer ")).or_else(|| is_of("floating point ")) {
            Some(value) => value.to_owned(),
            None => found.to_owned(),
        },
    }
}

/// What serde expected, by how it begins. The first that fits counts.
const EXPECTED: &[(&str, &str)] = &[
    ("struct variant ", "an object"),
    ("struct ", "an object"),
    ("a map", "an object"),
    ("internally tagged enum ", "an object"),
    ("adjacently tagged enum ", "an object"),
    ("tuple struct ", "an array"),
    ("tuple variant ", "an array"),
    ("a tuple ", "an array"),
    ("a sequence", "an array"),
    ("an array ", "an array"),
    ("enum ", "a string or an object"),
    ("string or map", "a string or an object"),
    ("unit", "null"),
    ("option", "a value or null"),
    ("u8", "a whole number from 0 to 255"),
    ("u16", "a whole number from 0 to 65535"),
    ("u32", "a whole number from 0 to 4294967295"),
    ("u64", "a whole number from 0"),
    ("u128", "a whole number from 0"),
    ("usize", "a whole number from 0"),
    ("i8", "a whole number from -128 to 127"),
    ("i16", "a whole number from -32768 to 32767"),
    ("i32", "a whole number from -2147483648 to 2147483647"),
    ("i64", "a whole number"),
    ("i128", "a whole number"),
    ("isize", "a whole number"),
    ("a nonzero ", "a whole number other than 0"),
    ("f32", "a number"),
    ("f64", "a number"),
    ("a boolean", "true or false"),
    ("a character", "a string of one character"),
    ("a borrowed string", "a string"),
    ("variant identifier", "a name"),
    ("field identifier", "a name"),
];

fn expected_in_json(expected: &str) -> String {
    let is_compound = ["struct ", "tuple ", "a tuple "].iter().any(|kind| expected.starts_with(kind));
    match expected.split_once(" with ") {
        Some((_, elements)) if is_compound => return format!("an array with {elements}"),
        _ => {}
    }
    let known = EXPECTED.iter().find(|(start, _)| expected.starts_with(start));
    known.map_or(expected, |(_, words)| words).to_owned()
}

/// A text of at most so many characters: of a longer one the beginning and the end.
pub(crate) fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    if text.char_indices().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    let half = most / 2;
    let beginning = text.char_indices().nth(half).map_or(text.len(), |(end, _)| end);
    let end = text.char_indices().rev().take(half).last().map_or(0, |(start, _)| start);
    Cow::Owned(format!("{} … {}", &text[..beginning], &text[end..]))
}

/// What is wrong with a text that goes on after a JSON value.
pub(crate) const MORE_THAN_ONE: &str = "more than one JSON value";

fn in_full(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "the text ends in the middle of a value".to_owned();
    }
    let text = error.to_string();
    if text.starts_with("trailing characters") {
        return MORE_THAN_ONE.to_owned();
    }
    let text = text.rfind(" at line ").map_or(&*text, |place| &text[..place]);
    let unexpected = ["invalid type: string ", "invalid value: string "].iter().any(|start| text.starts_with(start));
    match text.rsplit_once(", expected ") {
        Some((_, expected)) if unexpected => format!("invalid type: a string, expected {expected}"),
        _ => text.to_owned(),
    }
}

/// The same without the name of a variant or a field that is not known, which may be any text.
pub(crate) fn described_for_logs(error: &serde_json::Error) -> String {
    let text = in_full(error);
    for unknown in ["unknown variant ", "unknown field "] {
        if text.starts_with(unknown) {
            let expected = text.rfind("`, expected ").map_or("", |place| &text[place + 1..]);
            return shortened(&format!("{}{expected}", unknown.trim_end()), MOST_SHOWN).into_owned();
        }
    }
    shortened(&text, MOST_SHOWN).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }

    fn told<T: serde::de::DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
        described_as_json(&serde_json::from_str::<T>(json).unwrap_err())
    }

    #[test]
    fn errors_of_serde_are_told_in_words_of_json() {
        #[derive(Debug, serde::Deserialize)]
        struct Order {
            #[allow(dead_code, reason = "only its errors are read")]
            number: u32,
        }
        assert_eq!(told::<Order>("3"), "expected an object, found `3`");
        assert_eq!(told::<Order>("null"), "expected an object, found null");
        assert_eq!(told::<Order>("[]"), "invalid length 0, expected an array with 1 element");
        assert_eq!(told::<Order>("{}"), "missing field `number`");
        let number = "expected a whole number from 0 to 4294967295, found";
        for (given, found) in [("-1", "`-1`"), ("1.5", "`1.5`"), ("\"a secret\"", "a string"), ("true", "`true`")] {
            assert_eq!(told::<Order>(&format!("{{\"number\":{given}}}")), format!("{number} {found}"));
        }
        assert_eq!(told::<()>("{}"), "expected null, found an object");
        assert_eq!(told::<(u8, u8)>("[1]"), "invalid length 1, expected an array");
        assert_eq!(told::<Vec<bool>>("[1]"), "expected true or false, found `1`");
        assert_eq!(told::<String>("[]"), "expected a string, found an array");
        assert_eq!(told::<std::collections::BTreeMap<String, f64>>("{\"a\":{}}"), "expected a number, found an object");
    }

    #[test]
    fn one_thing_is_singular() {
        assert_eq!([0, 1, 2_000].map(|things| counted(things, "turn")), ["0 turns", "1 turn", "2,000 turns"]);
    }
}
