//! `Words`: the words of a text, as they are compared.

use std::borrow::Cow;

use rust_stemmers::{Algorithm, Stemmer};
use rustc_hash::FxHashMap;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use xxhash_rust::xxh3::xxh3_64;

/// What is removed from the end of words, so that `books` finds `book`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stem {
    /// English endings (Snowball's stemmer).
    #[default]
    English,
    /// Nothing is removed.
    None,
}

/// A word in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(u64);

impl Key {
    pub(super) fn of(word: &str) -> Self {
        Self(xxh3_64(word.as_bytes()))
    }
}

/// Longer words (hashes, base64 data) are not stemmed.
const LONGEST_STEMMED: usize = 40;

/// How many words are remembered with their form in the index. With more, all are forgotten, which also bounds what
/// words that were made to have one hash can cost.
const MOST_KNOWN: usize = 1024;

/// Words that say nothing about the topic of a sentence, sorted: those of grammar, the rests after
/// an apostrophe, and the small change of talk (`thanks`, `okay`, `now`).
const STOP_WORDS: [&str; 175] = [
    "a",
    "about",
    "actually",
    "after",
    "again",
    "ah",
    "all",
    "alright",
    "also",
    "am",
    "an",
    "and",
    "any",
    "anything",
    "are",
    "as",
    "at",
    "back",
    "be",
    "because",
    "been",
    "before",
    "being",
    "between",
    "both",
    "but",
    "by",
    "can",
    "could",
    "d",
    "did",
    "do",
    "does",
    "doing",
    "don",
    "down",
    "during",
    "each",
    "else",
    "ever",
    "everything",
    "exactly",
    "few",
    "for",
    "from",
    "further",
    "get",
    "good",
    "got",
    "great",
    "had",
    "haha",
    "has",
    "have",
    "having",
    "he",
    "hello",
    "her",
    "here",
    "hers",
    "hey",
    "hi",
    "him",
    "his",
    "hmm",
    "how",
    "i",
    "if",
    "in",
    "into",
    "is",
    "it",
    "its",
    "just",
    "let",
    "ll",
    "lot",
    "m",
    "may",
    "maybe",
    "me",
    "might",
    "mine",
    "more",
    "most",
    "must",
    "my",
    "no",
    "nope",
    "nor",
    "not",
    "nothing",
    "now",
    "of",
    "off",
    "oh",
    "ok",
    "okay",
    "on",
    "once",
    "only",
    "or",
    "other",
    "our",
    "ours",
    "out",
    "over",
    "own",
    "perhaps",
    "please",
    "re",
    "really",
    "s",
    "same",
    "shall",
    "she",
    "should",
    "so",
    "some",
    "something",
    "sorry",
    "such",
    "sure",
    "t",
    "tell",
    "than",
    "thank",
    "thanks",
    "that",
    "the",
    "their",
    "theirs",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "through",
    "thx",
    "to",
    "today",
    "too",
    "under",
    "until",
    "up",
    "us",
    "ve",
    "very",
    "was",
    "we",
    "welcome",
    "well",
    "were",
    "what",
    "when",
    "where",
    "which",
    "while",
    "who",
    "whom",
    "whose",
    "why",
    "will",
    "with",
    "would",
    "wow",
    "yeah",
    "yep",
    "yes",
    "yet",
    "you",
    "your",
    "yours",
];

/// Finds the words of texts: runs of letters, marks and digits, in lower case, without stop words
/// and endings. In a script without spaces, each pair of characters is a word.
pub(super) struct Words {
    stemmer: Option<Stemmer>,
    lower: String,
    /// Words as they were written, with what is compared of them; nothing of a stop word. A conversation repeats its
    /// words, and finding an ending takes ten times as long as finding a word here.
    known: FxHashMap<Box<str>, Option<Box<str>>>,
}

impl Words {
    pub(super) fn new(stem: Stem) -> Self {
        let stemmer = match stem {
            Stem::English => Some(Stemmer::create(Algorithm::English)),
            Stem::None => None,
        };
        Self { stemmer, lower: String::new(), known: FxHashMap::default() }
    }

    /// Calls `found` with every word of a text, in order.
    pub(super) fn each(&mut self, text: &str, found: &mut impl FnMut(&str)) {
        // Normalizes characters that look the same: composed letters, full-width digits, ligatures.
        let text = if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(text.nfkc().collect::<String>()) };
        for run in text.split(|character| !is_of_word(character)).filter(|run| !run.is_empty()) {
            if run.is_ascii() {
                self.spaced(run, found);
                continue;
            }
            let mut rest = run;
            while let Some(first) = rest.chars().next() {
                let is_spaced = !is_unspaced(first);
                let end = rest.find(|character| is_unspaced(character) == is_spaced).unwrap_or(rest.len());
                let (part, behind) = rest.split_at(end);
                if is_spaced {
                    self.spaced(part, found);
                } else {
                    pairs(part, found);
                }
                rest = behind;
            }
        }
    }

    /// A run between spaces or punctuation; a program's identifier (`userName`) also by its parts.
    fn spaced(&mut self, run: &str, found: &mut impl FnMut(&str)) {
        self.one(run, found);
        let mut start = 0;
        for cut in humps(run) {
            self.one(&run[start..cut], found);
            start = cut;
        }
        if start > 0 {
            self.one(&run[start..], found);
        }
    }

    fn one(&mut self, word: &str, found: &mut impl FnMut(&str)) {
        if let Some(known) = self.known.get(word) {
            return known.as_deref().into_iter().for_each(found);
        }
        self.lower.clear();
        if word.is_ascii() {
            self.lower.extend(word.chars().map(|character| character.to_ascii_lowercase()));
        } else {
            self.lower.push_str(&word.to_lowercase());
        }
        let is_english =
            self.lower.len() <= LONGEST_STEMMED && self.lower.bytes().all(|byte| byte.is_ascii_lowercase());
        let form = match &self.stemmer {
            _ if STOP_WORDS.binary_search(&&*self.lower).is_ok() => None,
            Some(stemmer) if is_english => Some(stemmer.stem(&self.lower)),
            _ => Some(Cow::Borrowed(&*self.lower)),
        };
        form.as_deref().into_iter().for_each(found);
        if is_english {
            if self.known.len() == MOST_KNOWN {
                self.known.clear();
            }
            self.known.insert(word.into(), form.map(|form| form.into()));
        }
    }
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.stemmer.is_some() { "Words(english)" } else { "Words(none)" })
    }
}

fn is_of_word(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric();
    }
    // Vowel signs and accents belong to the letter that they follow.
    character.is_alphanumeric() || is_combining_mark(character)
}

/// Whether a character's script has no spaces between words: Thai, Lao, Burmese, Khmer, kana, Han.
fn is_unspaced(character: char) -> bool {
    matches!(character,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30ff}' | '\u{3100}'..='\u{312f}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// Each pair of adjacent characters; a single character on its own.
fn pairs(run: &str, found: &mut impl FnMut(&str)) {
    let ends = || run.char_indices().map(|(at, character)| at + character.len_utf8());
    let starts = run.char_indices().map(|(at, _)| at);
    if ends().nth(1).is_none() {
        return found(run);
    }
    starts.zip(ends().skip(1)).for_each(|(start, end)| found(&run[start..end]));
}

/// The positions where a lower-case letter precedes a capital (`user|Name`), or a capital precedes
/// one that begins a word (`HTTP|Server`).
fn humps(run: &str) -> impl Iterator<Item = usize> {
    let bytes = run.as_bytes();
    (1..bytes.len()).filter(move |&at| {
        let next_is_small = bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        let before = bytes[at - 1];
        bytes[at].is_ascii_uppercase()
            && (before.is_ascii_lowercase() || (before.is_ascii_uppercase() && next_is_small))
    })
}

#[cfg(test)]
#[path = "terms_tests.rs"]
mod tests;
