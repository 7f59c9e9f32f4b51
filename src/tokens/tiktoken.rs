//! The default counter, over `tiktoken-rs`, with a guard against the one input that makes it panic.

use std::thread;

use tiktoken_rs::CoreBPE;

use super::models::Encoding;
use super::{Count, TokenCounter};

/// White space without a newline that is longer than this, in characters, is cut before it reaches the tokenizer.
///
/// `tiktoken-rs` 0.12 panics on 999,999 such characters in a row (its regular expression runs out of stack) and counts
/// 999,998; half of that leaves room.
const LONGEST_BLANK: usize = 500_000;

/// Counts with the tokenizer of an encoding. The vocabulary (about 50 MB for `o200k_base`, 0.2 s to load) is loaded at
/// the first count, once for the whole process, and never when every count is already known.
///
/// # Examples
/// ```
/// use turnwise::{Encoding, Tiktoken, TokenCounter};
///
/// let counter = Tiktoken::new(Encoding::O200kBase);
/// assert_eq!(counter.count("Hello, world").tokens, 3);
/// assert_eq!(counter.count("<|endoftext|>").tokens, 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiktoken(Encoding);

impl Tiktoken {
    /// The counter of an encoding.
    pub fn new(encoding: Encoding) -> Self {
        Self(encoding)
    }

    fn bpe(self) -> &'static CoreBPE {
        match self.0 {
            Encoding::O200kBase => tiktoken_rs::o200k_base_singleton(),
            Encoding::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
        }
    }
}

impl TokenCounter for Tiktoken {
    fn id(&self) -> &str {
        self.0.name()
    }

    fn count(&self, text: &str) -> Count {
        let mut pieces = Pieces(text);
        match (pieces.next(), pieces.next()) {
            (None, _) => Count::ZERO,
            (Some(whole), None) => Count::exact(self.bpe().count_ordinary(whole) as u64),
            // A cut inside white space can add a token: an upper bound.
            _ => Count::estimated(Pieces(text).map(|piece| self.bpe().count_ordinary(piece) as u64).sum()),
        }
    }

    fn warm(&self) {
        let counter = *self;
        thread::spawn(move || counter.bpe());
    }
}

/// The text in pieces none of which holds a longer run of white space than is safe; nearly always one.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let (piece, rest) = self.0.split_at(first_cut(self.0));
        self.0 = rest;
        Some(piece)
    }
}

/// Where the first piece ends, in bytes.
fn first_cut(text: &str) -> usize {
    if text.len() <= LONGEST_BLANK {
        return text.len();
    }
    let mut run = 0;
    for (at, character) in text.char_indices() {
        let is_blank = character.is_whitespace() && character != '\n' && character != '\r';
        run = if is_blank { run + 1 } else { 0 };
        if run > LONGEST_BLANK {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_run_of_blanks_is_counted_and_marked() {
        for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
            let counter = Tiktoken::new(encoding);
            for blank in [" ", "\t", "\u{a0}", "\u{3000}"] {
                let count = counter.count(&format!("{}x", blank.repeat(1_100_000)));
                assert!(!count.exact && count.tokens > 1, "{blank:?}: {count}");
            }
            assert!(counter.count(&format!("{}x", "\n".repeat(1_100_000))).exact);
        }
    }

    #[test]
    fn pieces_are_the_text() {
        let text = format!("a{}b\n{}", " ".repeat(LONGEST_BLANK * 2 + 7), "\t".repeat(LONGEST_BLANK + 1));
        let pieces: Vec<&str> = Pieces(&text).collect();
        assert_eq!(pieces.concat(), text);
        assert_eq!(pieces.len(), 4);
        assert_eq!(Pieces("").count(), 0);
    }
}
