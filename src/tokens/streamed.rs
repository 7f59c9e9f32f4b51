//! `StreamedCount`: counts a text while it arrives.

use std::fmt;

use super::{Count, TokenCounter};

/// Up to this many unsettled bytes are counted again each time.
const SHORT: usize = 1024;

/// The count of a text that arrives in parts, available at any time without counting all of it
/// again.
///
/// The part that no further text can change is counted once; only the rest is counted again, with
/// [`Tiktoken`] a few bytes. The result equals the count of the whole text, with one exception: in
/// a run of more than 1 KiB without an exact place to cut it is an estimate, marked as one, which
/// is corrected each time the run has grown by a quarter, and at the end.
///
/// [`Tiktoken`]: super::Tiktoken
///
/// # Examples
/// ```
/// use turnwise::tokens::{Encoding, StreamedCount, Tiktoken};
///
/// let mut reply = StreamedCount::new(Tiktoken::new(Encoding::O200kBase));
/// reply.push("Hel");
/// reply.push("lo, wor");
/// assert_eq!(reply.count().tokens, 3);
/// reply.push("ld");
/// assert_eq!(reply.finish().tokens, 3);
/// ```
#[derive(Clone)]
pub struct StreamedCount<C> {
    counter: C,
    settled: Count,
    /// The text whose count may still change.
    tail: String,
    /// How many bytes of the tail `tail_count` covers.
    counted: usize,
    tail_count: Count,
    /// The length of the tail when it was last counted completely.
    whole: usize,
}

impl<C: TokenCounter> StreamedCount<C> {
    /// The count of an empty text.
    pub fn new(counter: C) -> Self {
        Self { counter, settled: Count::ZERO, tail: String::new(), counted: 0, tail_count: Count::ZERO, whole: 0 }
    }

    /// Adds text.
    pub fn push(&mut self, text: &str) {
        self.tail.push_str(text);
        if self.tail.len() > 16 * SHORT + 2 * self.whole {
            self.settle();
        }
    }

    /// The count of the text so far.
    pub fn count(&mut self) -> Count {
        let len = self.tail.len();
        if len > self.counted {
            if len <= SHORT || len >= self.whole + self.whole / 4 {
                self.settle();
            } else {
                self.tail_count += self.counter.count(&self.tail[self.counted..]);
                self.tail_count.exact = false;
                self.counted = len;
            }
        }
        self.settled + self.tail_count
    }

    /// The count of the whole text.
    pub fn finish(mut self) -> Count {
        self.settle();
        self.settled + self.tail_count
    }

    fn settle(&mut self) {
        let (end, count) = self.counter.count_settled(&self.tail);
        self.settled += count;
        self.tail.drain(..end);
        self.tail_count = self.counter.count(&self.tail);
        self.counted = self.tail.len();
        self.whole = self.tail.len();
    }
}

impl<C: TokenCounter> fmt::Debug for StreamedCount<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamedCount({}, {} + {} bytes)", self.counter.id(), self.settled, self.tail.len())
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::super::{CounterFn, Encoding, Tiktoken, samples};
    use super::*;

    /// The text in deltas of at most so many bytes.
    fn deltas<'a>(mut text: &'a str, chance: &mut Rng, most: usize) -> Vec<&'a str> {
        let mut deltas = Vec::new();
        while !text.is_empty() {
            let wanted = chance.usize(1..=most).min(text.len());
            let end = (wanted..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
            let (delta, rest) = text.split_at(end);
            deltas.push(delta);
            text = rest;
        }
        deltas
    }

    #[test]
    fn the_count_is_that_of_the_whole_text_at_any_time() {
        let chance = &mut Rng::with_seed(21);
        for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
            let counter = Tiktoken::new(encoding);
            for round in 0..300 {
                let text =
                    if round % 3 == 0 { samples::real(chance, 900).to_owned() } else { samples::mixed(chance, 60) };
                let mut streamed = StreamedCount::new(counter);
                let mut end = 0;
                for delta in deltas(&text, chance, 12) {
                    streamed.push(delta);
                    end += delta.len();
                    if chance.bool() {
                        assert_eq!(streamed.count(), counter.count(&text[..end]), "{encoding} {:?}", &text[..end]);
                    }
                }
                assert_eq!(streamed.finish(), counter.count(&text), "{encoding} {text:?}");
            }
        }
    }

    #[test]
    fn a_long_text_ends_with_the_count_of_the_whole() {
        let chance = &mut Rng::with_seed(22);
        let counter = Tiktoken::new(Encoding::O200kBase);
        let torn = format!("x{}y z{}", "=".repeat(100_000), " ".repeat(150_000));
        for text in [samples::REAL.as_str(), &torn, &samples::mixed(chance, 50_000)] {
            for (most, asks) in [(1_000, true), (100_000, true), (1_000, false), (text.len(), false)] {
                let mut streamed = StreamedCount::new(counter);
                for delta in deltas(text, chance, most) {
                    streamed.push(delta);
                    if asks {
                        streamed.count();
                    }
                }
                assert_eq!(streamed.finish(), counter.count(text), "{most} {asks}");
            }
        }
    }

    #[test]
    fn little_is_counted_twice_even_without_a_place_to_cut() {
        let bytes = std::sync::atomic::AtomicU64::new(0);
        let counter = CounterFn::new("watched", |text| {
            bytes.fetch_add(text.len() as u64, std::sync::atomic::Ordering::Relaxed);
            text.len() as u64
        });
        let mut streamed = StreamedCount::new(&counter);
        for length in 1..=50_000 {
            streamed.push("word ");
            let count = streamed.count();
            assert_eq!(count.tokens, 5 * length);
        }
        assert_eq!(streamed.finish(), Count::exact(250_000));
        let counts = bytes.into_inner();
        assert!(counts < 10 * 250_000, "{counts}");
    }
}
