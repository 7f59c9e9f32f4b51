//! What counts tokens.

use std::fmt;
use std::sync::Arc;

use super::Count;

/// Counts the tokens of a text.
pub trait TokenCounter: Send + Sync {
    /// The name that costs counted with it are stored under; another way to count needs another name.
    fn id(&self) -> &str;

    /// The tokens of ordinary text: spellings of special tokens count as text. It never panics, whatever the text.
    fn count(&self, text: &str) -> Count;

    /// The count if it is at most `limit` tokens. A counter that can tell earlier does not read the whole text.
    fn count_within(&self, text: &str, limit: u64) -> Option<Count> {
        Some(self.count(text)).filter(|count| count.tokens <= limit)
    }

    /// Counts a beginning of `text` whose count stands however the text goes on: its length in bytes, and its count. For
    /// counting a text that is still arriving ([`StreamedCount`](super::StreamedCount)); the longer the beginning, the
    /// less is counted again. A counter that does not say has none.
    fn count_settled(&self, text: &str) -> (usize, Count) {
        let _ = text;
        (0, Count::ZERO)
    }

    /// Begins to load what the counter needs, so that the first count need not wait. Returns at once.
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

/// A [`TokenCounter`] from a function, for tests and for tokenizers of your own.
///
/// # Examples
/// ```
/// use turnwise::tokens::{CounterFn, TokenCounter};
///
/// let words = CounterFn::new("words", |text| text.split_whitespace().count() as u64);
/// assert_eq!(words.count("two words").tokens, 2);
/// ```
#[derive(Clone)]
pub struct CounterFn<F> {
    id: Box<str>,
    count: F,
}

impl<F: Fn(&str) -> u64 + Send + Sync> CounterFn<F> {
    /// A counter with this name.
    pub fn new(id: &str, count: F) -> Self {
        Self { id: id.into(), count }
    }
}

impl<F: Fn(&str) -> u64 + Send + Sync> TokenCounter for CounterFn<F> {
    fn id(&self) -> &str {
        &self.id
    }

    fn count(&self, text: &str) -> Count {
        Count::exact((self.count)(text))
    }
}

impl<F> fmt::Debug for CounterFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CounterFn({})", self.id)
    }
}
