//! Finds places where a text can be cut so that the counts of its parts add up, for every encoding
//! of this crate.
//!
//! Both encodings first cut a text into words with a regular expression, and count each word alone.
//! A cut is exact if no word can cross it and no word before it looks past it. [`is_exact`]
//! recognises such places by the two characters beside them:
//!
//! - After a newline, before anything but white space and `/`. Words that hold a newline end with
//!   it, or continue with white space or (in `o200k_base`, after punctuation) with `/`.
//! - Before white space that is not a newline, after anything but white space. Such white space can
//!   only begin a word.
//! - Between a letter and a punctuation mark other than the apostrophe: only an apostrophe
//!   continues a word after letters. Scripts without spaces and minified JSON have these.
//!
//! Only runs of white space look ahead (`\s+(?!\S)`, `\s++$`): a run at the first kind of place
//! ends with its last newline whatever follows, and no run ends at the other two.

/// The longest piece that is passed to a tokenizer, in bytes: long enough that a cut at an inexact
/// place is rare, short enough to bound the time for endless words and to stay below the white
/// space that makes `tiktoken-rs` panic (999,999 characters).
pub(super) const LONGEST: usize = 64 * 1024;

/// Whether a cut between two characters is exact.
fn is_exact(before: char, after: char) -> bool {
    if after.is_whitespace() {
        return !is_newline(after) && !before.is_whitespace();
    }
    (is_newline(before) && after != '/') || (is_letter(before) && is_punctuation(after))
}

fn is_newline(character: char) -> bool {
    matches!(character, '\n' | '\r')
}

/// A letter in every Unicode version that the tokenizers' tables may have: Latin, kana, Han,
/// Hangul.
fn is_letter(character: char) -> bool {
    matches!(character, 'a'..='z' | 'A'..='Z' | 'ぁ'..='ゖ' | 'ァ'..='ヺ' | '一'..='龥' | '가'..='힣')
}

/// Punctuation that always begins a new word after a letter, so not the apostrophe.
fn is_punctuation(character: char) -> bool {
    match character {
        '\'' => false,
        '、' | '。' | '「' | '」' | '！' | '，' | '：' | '；' | '？' => true,
        _ => character.is_ascii_punctuation(),
    }
}

/// The last exact cut, in bytes, whatever text follows.
pub(super) fn last(text: &str) -> Option<usize> {
    let mut characters = text.char_indices().rev();
    let (mut at, mut after) = characters.next()?;
    for (start, before) in characters {
        if is_exact(before, after) {
            return Some(at);
        }
        at = start;
        after = before;
    }
    None
}

/// A text in pieces that can be counted alone, cut at exact places as far as possible.
pub(super) struct Pieces<'a> {
    rest: &'a str,
    /// Pieces end at the last exact cut within this many bytes; if there is none, within
    /// [`LONGEST`]; otherwise at that length.
    wanted: usize,
}

/// A part of a text to be counted alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    /// Whether it ends at an inexact place. That depends on the text only, not on the wanted
    /// length.
    pub(super) is_torn: bool,
}

impl Piece<'_> {
    /// The part that is not affected by text that follows.
    pub(super) fn up_to_last_cut(self) -> Self {
        Self { text: &self.text[..last(self.text).unwrap_or(0)], is_torn: false }
    }
}

impl<'a> Pieces<'a> {
    /// As few pieces as possible.
    pub(super) fn new(text: &'a str) -> Self {
        Self::of(LONGEST, text)
    }

    /// Pieces of at most `wanted` bytes, if there are exact cuts.
    pub(super) fn of(wanted: usize, text: &'a str) -> Self {
        Self { rest: text, wanted }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let exact = cut_within(self.rest, self.wanted).or_else(|| cut_within(self.rest, LONGEST));
        let (text, rest) = self.rest.split_at(exact.unwrap_or_else(|| floor(self.rest, LONGEST)));
        self.rest = rest;
        Some(Piece { text, is_torn: exact.is_none() })
    }
}

/// The last exact cut within this many bytes; the end of the text is one.
fn cut_within(text: &str, most: usize) -> Option<usize> {
    if text.len() <= most {
        return Some(text.len());
    }
    let end = floor(text, most);
    let next = text[end..].chars().next().map_or(0, char::len_utf8);
    last(&text[..end + next])
}

/// The last character boundary within this many bytes.
fn floor(text: &str, most: usize) -> usize {
    (0..=most).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
