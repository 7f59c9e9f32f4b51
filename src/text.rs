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

fn in_full(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "the text ends in the middle of a value".to_owned();
    }
    let text = error.to_string();
    if text.starts_with("trailing characters") {
        return "more than one JSON value; read JSON Lines with `Transcripts`".to_owned();
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

    #[test]
    fn one_thing_is_singular() {
        assert_eq!([0, 1, 2_000].map(|things| counted(things, "turn")), ["0 turns", "1 turn", "2,000 turns"]);
    }
}
