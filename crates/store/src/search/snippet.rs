//! `Snippet`: the part of a text in which something was found.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// How many characters of a snippet are before what was found, and how many it has at most.
const BEFORE: usize = 60;
const LONGEST: usize = 200;

/// The part of a text in which something was found, with `…` where it goes on. Spaces and line ends
/// are as in the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snippet {
    /// The part.
    pub text: String,
    /// The bytes of `text` that were found.
    pub matches: Vec<Range<usize>>,
}

impl Snippet {
    /// The part around a place; `places` says what else was found in a part.
    pub(super) fn around(text: &str, place: usize, places: impl FnOnce(Range<usize>) -> Vec<Range<usize>>) -> Self {
        let before = text[..place].char_indices().rev().take(BEFORE).last().map_or(place, |(at, _)| at);
        let mut begin = before;
        if begin > 0 {
            // At a word, if there is one.
            let word = text[begin..place].find(char::is_whitespace);
            begin += word.map_or(0, |space| space + text[begin + space..].chars().next().map_or(0, char::len_utf8));
        }
        let end = text[begin..].char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| begin + at);
        let ellipsis = if begin > 0 { "…" } else { "" };
        let places = places(begin..end).into_iter();
        let matches = places.map(|place| place.start - begin + ellipsis.len()..place.end - begin + ellipsis.len());
        let goes_on = if end < text.len() { "…" } else { "" };
        Self { matches: matches.collect(), text: format!("{ellipsis}{}{goes_on}", &text[begin..end]) }
    }
}
