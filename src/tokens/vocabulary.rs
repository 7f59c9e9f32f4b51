//! `Vocabulary`: the tokens of an encoding as a sorted table, which is ready without loading.
//!
//! `tiktoken-rs` builds hash maps of 200,000 tokens before it counts the first word, which takes
//! 0.2 s, and 1.2 s in a debug build. A few texts do not need them: a word is cut into tokens by
//! joining neighbours whose union is a token, so only tokens that occur in the word itself matter.
//! They are looked up in a table that is part of the program, and `tiktoken-rs` joins them
//! (`byte_pair_split`). The counts are the same; from some amount of text on the maps are faster.
//!
//! The form of a table, in little-endian bytes: the number of its tokens (4); for each token, in
//! the order of their bytes, where it is among the bytes (3), its length (1) and its rank (3); then
//! the bytes. A token that begins the next one shares its bytes.

use std::sync::LazyLock;

use fancy_regex::Regex;
use rustc_hash::FxHashMap;
use tiktoken_rs::{O200K_BASE_PAT_STR, Rank, byte_pair_split};

use super::models::Encoding;

/// `tiktoken-rs` has no name for it.
const CL100K_BASE_PATTERN: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";
/// In bytes. The time for a word grows with the square of its length.
const LONGEST_WORD: usize = 256;

static O200K_BASE: LazyLock<Option<Vocabulary>> =
    LazyLock::new(|| Vocabulary::new(include_bytes!("vocabulary/o200k_base.bin"), O200K_BASE_PAT_STR));
static CL100K_BASE: LazyLock<Option<Vocabulary>> =
    LazyLock::new(|| Vocabulary::new(include_bytes!("vocabulary/cl100k_base.bin"), CL100K_BASE_PATTERN));

/// Counts the tokens of short words without loading a tokenizer, or `None` if the text needs one.
pub(super) fn count(encoding: Encoding, text: &str) -> Option<u64> {
    let vocabulary = match encoding {
        Encoding::O200kBase => &O200K_BASE,
        Encoding::Cl100kBase => &CL100K_BASE,
    };
    vocabulary.as_ref()?.count(text)
}

/// Where a token is, and its rank.
type Entry = [u8; 7];

struct Vocabulary {
    entries: &'static [Entry],
    bytes: &'static [u8],
    words: Regex,
}

impl Vocabulary {
    fn new(table: &'static [u8], pattern: &str) -> Option<Self> {
        let (tokens, rest) = table.split_first_chunk()?;
        let (entries, bytes) = rest.split_at_checked(u32::from_le_bytes(*tokens) as usize * size_of::<Entry>())?;
        Some(Self { entries: entries.as_chunks().0, bytes, words: Regex::new(pattern).ok()? })
    }

    fn count(&self, text: &str) -> Option<u64> {
        let mut tokens = 0;
        for word in self.words.find_iter(text) {
            tokens += self.count_word(word.ok()?.as_str().as_bytes())?;
        }
        Some(tokens)
    }

    fn count_word(&self, word: &[u8]) -> Option<u64> {
        if word.len() > LONGEST_WORD {
            return None;
        }
        if self.from(self.entries, word).first().is_some_and(|&entry| self.token(entry) == word) {
            return Some(1);
        }
        let mut ranks = FxHashMap::default();
        for start in 0..word.len() {
            self.collect_beginnings(&word[start..], &mut ranks);
        }
        Some(byte_pair_split(word, &ranks).len() as u64)
    }

    /// Adds each token that the text begins with.
    fn collect_beginnings(&self, text: &[u8], ranks: &mut FxHashMap<Vec<u8>, Rank>) {
        let mut entries = self.entries;
        for end in 1..=text.len() {
            let beginning = &text[..end];
            entries = self.from(entries, beginning);
            let Some(&entry) = entries.first().filter(|entry| self.token(**entry).starts_with(beginning)) else {
                return;
            };
            if self.token(entry) == beginning {
                ranks.insert(beginning.to_vec(), rank(entry));
            }
        }
    }

    /// The entries from the first whose token is not before `text` on.
    fn from(&self, entries: &'static [Entry], text: &[u8]) -> &'static [Entry] {
        &entries[entries.partition_point(|&entry| self.token(entry) < text)..]
    }

    fn token(&self, [a, b, c, length, ..]: Entry) -> &'static [u8] {
        let start = u32::from_le_bytes([a, b, c, 0]) as usize;
        &self.bytes[start..start + usize::from(length)]
    }
}

fn rank([.., a, b, c]: Entry) -> Rank {
    Rank::from_le_bytes([a, b, c, 0])
}

#[cfg(test)]
#[path = "vocabulary_tests.rs"]
mod tests;
