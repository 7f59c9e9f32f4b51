//! `Head`: the start of a file, by which its format is recognised.

use std::borrow::Cow;

use serde_json::value::RawValue;
use turnwise::transcript::formats::{Detected, Object, detect, detect_log, values};

use crate::source::Pieces;

/// The start of a file: its first values that are complete.
#[derive(Debug)]
pub struct Head<'a> {
    text: &'a str,
    is_array: bool,
    /// Whether a complete first value is followed by another one.
    is_lines: bool,
    /// The first object: the file's, or the first element's of an array.
    first: Option<&'a RawValue>,
    detected: Option<Detected>,
}

/// The complete values at the start of a text, closed if they are elements of an array.
pub(crate) fn complete(text: &str) -> Option<Cow<'_, str>> {
    let mut pieces = Pieces::new(text.as_bytes(), true);
    let mut end = None;
    let mut in_array = false;
    while let Ok(Some(piece)) = pieces.next() {
        if piece.is_cut {
            break;
        }
        in_array = pieces.is_in_array();
        end = Some(pieces.byte());
    }
    let end = end?;
    // An array that is whole, or empty.
    if !in_array || !pieces.is_in_array() {
        return Some(Cow::Borrowed(text));
    }
    Some(Cow::Owned(format!("{}]", &text[..end])))
}

impl<'a> Head<'a> {
    /// The start of a file, as text that ends with a complete value.
    pub(crate) fn of(text: &'a str) -> Self {
        let mut all = values(text);
        let whole = all.next();
        let is_array = whole.is_some_and(|value| value.get().starts_with('['));
        let is_lines = all.next().is_some();
        let first = if is_array {
            whole.and_then(|list| turnwise::transcript::formats::elements(list).first().copied())
        } else {
            whole
        };
        let is_log = is_lines && !is_array;
        let detected = detect(text).or_else(|| is_log.then(|| detect_log(text)).flatten());
        Self { text, is_array, is_lines, first, detected }
    }

    /// The text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Whether the file begins with an array.
    pub fn is_array(&self) -> bool {
        self.is_array
    }

    /// Whether the file has several values, usually one a line.
    pub fn is_lines(&self) -> bool {
        self.is_lines
    }

    /// The first object: the file's, or the first element's of an array.
    pub fn first(&self) -> Option<Object<'a>> {
        self.first.and_then(Object::of)
    }

    /// What the library's recognisers say about the start.
    pub fn detected(&self) -> Option<&Detected> {
        self.detected.as_ref()
    }
}
