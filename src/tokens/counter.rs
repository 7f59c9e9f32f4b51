//! `TokenCounter`, the trait of everything that counts tokens; and `CounterFn`, a counter from a
//! function.

use std::fmt;
use std::sync::Arc;

use super::Count;

/// Counts the tokens of a text.
///
/// Implement it for a tokenizer that this crate does not have; [`CounterFn`] makes one from a
/// function.
///
/// # Examples
/// ```
/// use turnwise::tokens::{Count, TokenCounter};
///
/// struct Characters;
///
/// impl TokenCounter for Characters {
///     fn id(&self) -> &str {
///         "characters/1"
///     }
///
///     fn count(&self, text: &str) -> Count {
///         Count::exact(text.chars().count() as u64)
///     }
/// }
/// assert_eq!(Characters.count("Hello").tokens, 5);
/// ```
pub trait TokenCounter: Send + Sync {
    /// The name under which its counts are stored. A counter that counts differently needs another
    /// name.
    fn id(&self) -> &str;

    /// Counts ordinary text: the spellings of special tokens count as text. It must not panic for
    /// any text.
    fn count(&self, text: &str) -> Count;

    /// The count if it is at most `limit` tokens. A counter that can decide earlier need not read
    /// the whole text.
    fn count_within(&self, text: &str, limit: u64) -> Option<Count> {
        Some(self.count(text)).filter(|count| count.tokens <= limit)
    }

    /// Counts a beginning of `text` whose count does not depend on the rest, and returns its length
    /// in bytes and its count. It is used to count a text that is still arriving
    /// ([`StreamedCount`](super::StreamedCount)); the longer the beginning, the less is counted
    /// again. Default: an empty beginning.
    fn count_settled(&self, text: &str) -> (usize, Count) {
        let _ = text;
        (0, Count::ZERO)
    }

    /// Starts to load what the counter needs, so that the first count need not wait. Returns at
    /// once.
    fn warm(&self) {}
}

macro_rules! count_through {
    ($($pointer:ty),*) => {$(
        impl<C: TokenCounter + ?Sized> TokenCounter for $pointer {
            fn id(&self) -> &str {
                (**self).id()
            }

            fn count(&self, text: &str) -> Count {
                (**self).count(text)
            }

            fn count_within(&self, text: &str, limit: u64) -> Option<Count> {
                (**self).count_within(text, limit)
            }

            fn count_settled(&self, text: &str) -> (usize, Count) {
                (**self).count_settled(text)
            }

            fn warm(&self) {
                (**self).warm();
            }
        }
    )*};
}

count_through!(&C, Box<C>, Arc<C>);

/// A [`TokenCounter`] from a function, for tests and for custom tokenizers.
///
/// # Examples
/// ```
/// use turnwise::tokens::{CounterFn, TokenCounter};
///
/// let words = CounterFn::estimating("words", |text| text.split_whitespace().count() as u64);
/// assert_eq!(words.count("two words").tokens, 2);
/// assert!(!words.count("two words").exact);
/// ```
#[derive(Clone)]
pub struct CounterFn<F> {
    id: Box<str>,
    count: F,
    is_exact: bool,
}

impl<F: Fn(&str) -> u64 + Send + Sync> CounterFn<F> {
    /// A counter with this name, of a tokenizer that counts what the server counts.
    pub fn new(id: &str, count: F) -> Self {
        Self { id: id.into(), count, is_exact: true }
    }

    /// A counter with this name that estimates: its counts are marked with `~`.
    pub fn estimating(id: &str, count: F) -> Self {
        Self { is_exact: false, ..Self::new(id, count) }
    }
}

impl<F: Fn(&str) -> u64 + Send + Sync> TokenCounter for CounterFn<F> {
    fn id(&self) -> &str {
        &self.id
    }

    fn count(&self, text: &str) -> Count {
        Count { tokens: (self.count)(text), exact: self.is_exact }
    }
}

impl<F> fmt::Debug for CounterFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CounterFn({})", self.id)
    }
}
