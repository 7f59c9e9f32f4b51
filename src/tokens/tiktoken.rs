//! `Tiktoken`: the default counter, with protection against texts on which the tokenizer is slow or
//! panics.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::models::Encoding;
use super::split::{Piece, Pieces};
use super::{Count, TokenCounter, vocabulary};
use bpe::Bpe;

/// The longest token of both encodings, in bytes.
const LONGEST_TOKEN: u64 = 128;
/// Added for each inexact cut, so that such counts are too high rather than too low. The parts of a
/// word usually have more tokens than the whole, but byte pair encoding is not optimal: of
/// 4,800,000 cuts in random text of 24 kinds, in both encodings, one in a hundred saved a token,
/// and none more than three.
const FOR_A_TEAR: u64 = 4;
/// How many bytes are counted between two checks of the limit.
const STEP: usize = 8 * 1024;
/// How many bytes are counted with the table of a vocabulary before a tokenizer is loaded: so much
/// takes less time than loading it, and loading it early would cost every short program 0.2 s.
const WORTH_LOADING: usize = 256 * 1024;

/// Counts with the tokenizer of an encoding.
///
/// The first texts are counted with a table that is part of the program and needs no loading. After
/// 256 KiB a thread loads the tokenizer (0.2 s, about 50 MB for `o200k_base`), which is faster; the
/// counts are the same. A word of more than 256 bytes needs the tokenizer at once.
///
/// Counts are exact, except for a text with a stretch of more than 64 KiB without an exact place to
/// cut (such as a megabyte of one letter): it is cut there all the same, which bounds the time, and
/// its count is marked as an estimate.
///
/// With the feature `fast-tokens` it counts the same, faster.
///
/// # Examples
/// ```
/// use turnwise::tokens::{Encoding, Tiktoken, TokenCounter};
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

    fn piece(self, piece: Piece<'_>) -> Count {
        let torn = if piece.is_torn { Count::estimated(FOR_A_TEAR) } else { Count::ZERO };
        Tokenizer::of(self.0).count(piece.text) + torn
    }
}

impl TokenCounter for Tiktoken {
    fn id(&self) -> &str {
        self.0.name()
    }

    fn count(&self, text: &str) -> Count {
        Pieces::new(text).map(|piece| self.piece(piece)).sum()
    }

    fn count_within(&self, text: &str, limit: u64) -> Option<Count> {
        let mut count = Count::ZERO;
        let mut left = text.len();
        let fits = |count: Count, left: usize| count.tokens + (left as u64).div_ceil(LONGEST_TOKEN) <= limit;
        let mut pieces = Pieces::of(STEP, text);
        while fits(count, left) {
            let Some(piece) = pieces.next() else { return Some(count) };
            count += self.piece(piece);
            left -= piece.text.len();
        }
        None
    }

    fn count_settled(&self, text: &str) -> (usize, Count) {
        let mut end = 0;
        let mut settled = Count::ZERO;
        let mut pieces = Pieces::new(text).peekable();
        while let Some(piece) = pieces.next() {
            // More text may move the end of the last piece.
            let piece = if pieces.peek().is_some() { piece } else { piece.up_to_last_cut() };
            end += piece.text.len();
            settled += self.piece(piece);
        }
        (end, settled)
    }
}

static O200K_BASE: Tokenizer = Tokenizer::new(Encoding::O200kBase);
static CL100K_BASE: Tokenizer = Tokenizer::new(Encoding::Cl100kBase);

/// The tokenizer of an encoding, once it is loaded; before that, its vocabulary as a table.
struct Tokenizer {
    encoding: Encoding,
    loaded: OnceLock<Bpe>,
    /// Bytes that were counted with the table.
    counted: AtomicUsize,
}

impl Tokenizer {
    const fn new(encoding: Encoding) -> Self {
        Self { encoding, loaded: OnceLock::new(), counted: AtomicUsize::new(0) }
    }

    fn of(encoding: Encoding) -> &'static Self {
        match encoding {
            Encoding::O200kBase => &O200K_BASE,
            Encoding::Cl100kBase => &CL100K_BASE,
        }
    }

    fn count(&'static self, text: &str) -> Count {
        if let Some(bpe) = self.loaded.get() {
            return bpe.count(text);
        }
        let before = self.counted.fetch_add(text.len(), Ordering::Relaxed);
        if (before..before.saturating_add(text.len())).contains(&WORTH_LOADING) {
            // If there can be no thread, the table counts the same, only slower.
            let _ = thread::Builder::new().spawn(|| self.load());
        }
        let counted = if Bpe::differs(text) { None } else { vocabulary::count(self.encoding, text) };
        counted.map_or_else(|| self.load().count(text), Count::exact)
    }

    fn load(&self) -> &Bpe {
        self.loaded.get_or_init(|| Bpe::load(self.encoding))
    }
}

#[cfg(not(feature = "fast-tokens"))]
mod bpe {
    use super::{Count, Encoding};

    pub(super) struct Bpe(&'static tiktoken_rs::CoreBPE);

    impl Bpe {
        pub(super) fn load(encoding: Encoding) -> Self {
            Self(match encoding {
                Encoding::O200kBase => tiktoken_rs::o200k_base_singleton(),
                Encoding::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
            })
        }

        pub(super) fn count(&self, text: &str) -> Count {
            Count::exact(self.0.count_ordinary(text) as u64)
        }

        /// Whether the count can be another one than that of the table.
        pub(super) fn differs(_text: &str) -> bool {
            false
        }
    }
}

#[cfg(feature = "fast-tokens")]
mod bpe {
    use super::{Count, Encoding};

    /// An apostrophe and a long s: the pattern treats them as a contraction like `'s`, but
    /// `tiktoken` 4.1.2 does not. This is the only kind of difference from `tiktoken-rs` in eight
    /// million random strings: `a'\u{17f}'redon` has six tokens, not five.
    const OTHERWISE_CUT: &str = "'\u{17f}";

    pub(super) struct Bpe(tiktoken::CoreBpe);

    impl Bpe {
        pub(super) fn load(encoding: Encoding) -> Self {
            Self(match encoding {
                Encoding::O200kBase => tiktoken::encoding::o200k_base(),
                Encoding::Cl100kBase => tiktoken::encoding::cl100k_base(),
            })
        }

        pub(super) fn count(&self, text: &str) -> Count {
            Count { tokens: self.0.count(text) as u64, exact: !Self::differs(text) }
        }

        /// Whether the count can be another one than that of the table.
        pub(super) fn differs(text: &str) -> bool {
            text.contains(OTHERWISE_CUT)
        }
    }
}

#[cfg(test)]
#[path = "tiktoken_tests.rs"]
mod tests;
