//! `Terms`: whether a text has what a query asks for.

use std::collections::HashSet;
use std::ops::Range;

use super::fold::{Folded, fold, folded};
use super::snippet::Snippet;
use super::words::{Piece, is_letter, pieces, runs};

/// The terms of a query.
///
/// # Examples
/// ```
/// use turnwise_store::search::Terms;
///
/// let terms = Terms::new("\"late parcel\" go");
/// assert!(terms.find("Go: a LATE  parcel.").is_some());
/// assert!(terms.find("A late parcel from Google.").is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Terms {
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    /// Folded.
    text: String,
    /// Whether a word must begin or end where it does.
    begins_word: bool,
    ends_word: bool,
    pieces: Vec<Piece>,
}

impl Terms {
    /// The terms of a text: words, or several words in quotes.
    pub fn new(query: &str) -> Self {
        let mut terms = Vec::new();
        for (number, part) in query.split('"').enumerate() {
            let part = fold(part);
            // Every second part was in quotes.
            if number % 2 == 1 {
                terms.extend(Term::of(part.trim()));
            } else {
                terms.extend(part.split(' ').filter_map(Term::of));
            }
        }
        Self { terms }
    }

    /// Whether there is nothing to search for.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// What an index must have.
    pub(crate) fn pieces(&self) -> HashSet<Piece> {
        self.terms.iter().flat_map(|term| term.pieces.iter().cloned()).collect()
    }

    /// The first part of a text in which a term is, if the text has all of them.
    pub fn find(&self, text: &str) -> Option<Snippet> {
        let folded = folded(text);
        let mut first = usize::MAX;
        for term in &self.terms {
            first = first.min(term.find(&folded.text, 0)?.start);
        }
        let places = |within: Range<usize>| self.places(&folded, within);
        Some(Snippet::around(text, folded.origin(first), places))
    }

    /// Whether the line of a change may have all terms, told without parsing it: a piece of ASCII letters is in the
    /// line as it is, unless the line has other letters (some of which are folded to these) or has letters as escapes.
    pub(crate) fn may_be_in(&self, line: &str) -> bool {
        if !line.is_ascii() || line.contains("\\u") {
            return true;
        }
        let line = line.to_ascii_lowercase();
        self.terms.iter().flat_map(|term| &term.pieces).all(|piece| line.contains(piece.text()))
    }

    /// Whether a text has all terms.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        let text = fold(text);
        self.terms.iter().all(|term| term.find(&text, 0).is_some())
    }

    /// Where terms are in a part of the original text, in order and apart.
    fn places(&self, folded: &Folded, within: Range<usize>) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        for term in &self.terms {
            let mut from = 0;
            while let Some(found) = term.find(&folded.text, from) {
                from = found.end;
                let place = folded.origin(found.start)..folded.end(found.end);
                if place.start >= within.end {
                    break;
                }
                if place.start >= within.start && place.end <= within.end {
                    places.push(place);
                }
            }
        }
        places.sort_by_key(|place| (place.start, place.end));
        places.dedup_by(|next, before| {
            let is_within = next.start < before.end;
            if is_within {
                before.end = before.end.max(next.end);
            }
            is_within
        });
        places
    }
}

impl Term {
    /// `None` for what has nothing that an index has.
    fn of(text: &str) -> Option<Self> {
        let pieces = pieces(text);
        let runs: Vec<_> = runs(text).collect();
        let (first, last) = (runs.first()?, runs.last()?);
        let is_short = |text: &str| text.chars().nth(2).is_none();
        let begins_word = first.begin == 0 && !first.is_unspaced && is_short(first.text);
        let ends_word = last.end() == text.len() && !last.is_unspaced && is_short(last.text);
        Some(Self { text: text.to_owned(), begins_word, ends_word, pieces })
    }

    fn find(&self, text: &str, from: usize) -> Option<Range<usize>> {
        let mut from = from;
        while let Some(found) = text[from..].find(&self.text) {
            let (begin, end) = (from + found, from + found + self.text.len());
            let is_begin = !self.begins_word || !text[..begin].chars().next_back().is_some_and(is_letter);
            let is_end = !self.ends_word || !text[end..].chars().next().is_some_and(is_letter);
            if is_begin && is_end {
                return Some(begin..end);
            }
            from = begin + text[begin..].chars().next().map_or(1, char::len_utf8);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_may_have_all_terms_is_not_passed_over() {
        let terms = Terms::new("\"the parcel\" go");
        for line in ["Go:\\nTHE\\nParcel", "the parcel gone", "ﬁve", "\\u0067o", "go parcel the"] {
            assert!(terms.may_be_in(line), "{line}");
        }
        for line in ["the parcel", "go, parcel", ""] {
            assert!(!terms.may_be_in(line), "{line}");
        }
    }
}
