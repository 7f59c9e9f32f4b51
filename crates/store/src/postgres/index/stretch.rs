//! Which letters of a part of a word the index of parts is asked for. It has a list of items for each three letters
//! that follow one another, and reads the lists of all that it is asked for: those of `the` and `her` have most items,
//! so with all of `thermodynamics` it reads far more than `dyn` and its neighbours need.

use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;

use crate::postgres::failure::Failure;

/// How many of the newest items tell how frequent letters are, how many bytes of words one of them has at most, and all.
const ITEMS: i64 = 128;
const BYTES_OF_ITEM: i32 = 4_000;
const BYTES: usize = 64_000;

/// How many letters are asked for, unless items have these and not the part: three lists.
const SHORTEST: usize = 5;

/// Whether the index is asked for some letters of a part only.
pub(super) fn is_long(part: &str) -> bool {
    part.chars().nth(SHORTEST).is_some()
}

/// The words of some of a tenant's newest items.
#[derive(Debug)]
pub(super) struct Sample(Vec<String>);

impl Sample {
    pub(super) async fn read(tx: &Transaction<'_>, tenant: &str) -> Result<Self, Failure> {
        let newest = format!(
            "SELECT words FROM (SELECT words FROM turnwise.search_items WHERE tenant = $1 ORDER BY row DESC \
             LIMIT {ITEMS}) newest WHERE octet_length(words) <= {BYTES_OF_ITEM}"
        );
        let rows = tx.query_typed(&newest, &[(&tenant, Type::TEXT)]).await?;
        let mut bytes = 0;
        let words = rows.iter().map(|row| row.get::<_, String>(0)).take_while(|words| {
            bytes += words.len();
            bytes <= BYTES
        });
        Ok(Self(words.collect()))
    }

    /// The letters of a part with the shortest lists, of those that no item of the sample has without having the part.
    /// Every item with the part has them.
    pub(super) fn stretch<'p>(&self, part: &'p str) -> &'p str {
        let with_part: Vec<bool> = self.0.iter().map(|words| words.contains(part)).collect();
        // An empty sample tells nothing.
        let most = if self.0.is_empty() { 0 } else { part.chars().count() };
        for length in SHORTEST..most {
            let tells_enough =
                |letters: &&str| self.0.iter().zip(&with_part).all(|(words, has)| *has || !words.contains(*letters));
            let stretches = windows(part, length).filter(tells_enough);
            if let Some(rarest) = stretches.min_by_key(|letters| self.lists(letters)) {
                return rarest;
            }
        }
        part
    }

    /// How long the lists of some letters are, in items of the sample.
    fn lists(&self, letters: &str) -> usize {
        windows(letters, 3).map(|three| self.0.iter().filter(|words| words.contains(three)).count()).sum()
    }
}

/// Each so many letters of a text that follow one another.
fn windows(text: &str, length: usize) -> impl Iterator<Item = &str> {
    let ends = text.char_indices().map(|(at, _)| at).skip(length).chain([text.len()]);
    text.char_indices().zip(ends).map(|((begin, _), end)| &text[begin..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(items: &[&str]) -> Sample {
        Sample(items.iter().map(|words| (*words).to_owned()).collect())
    }

    #[test]
    fn the_letters_that_the_fewest_items_have_are_asked_for() {
        let sample = sample(&["the other rhythm", "mode dynamo", "the there", "comics"]);
        assert_eq!(sample.stretch("thermodynamics"), "ermod");
        assert_eq!(sample.stretch("the"), "the");
        assert_eq!(sample.stretch("other"), "other");
    }

    #[test]
    fn letters_that_items_have_without_the_part_are_not_enough() {
        let sample = sample(&["nation station", "stations", "onsite relations"]);
        assert_eq!(sample.stretch("stations"), "tations");
        assert_eq!(sample.stretch("nationality"), "onali");
        assert_eq!(sample.stretch("stationary"), "onary");
    }

    #[test]
    fn letters_are_characters_and_without_items_all_are_asked_for() {
        assert_eq!(sample(&["ёжик"]).stretch("подъёжик"), "подъё");
        assert_eq!(sample(&[]).stretch("thermodynamics"), "thermodynamics");
        assert_eq!(windows("añb", 2).collect::<Vec<_>>(), ["añ", "ñb"]);
    }
}
