//! The ids of items: what they are made from, and `Sought`, which finds those of a long record.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{Display, Write};
use std::ops::RangeInclusive;

use turnwise::Item;
use turnwise::message::RawJson;
use turnwise_formats::ORIGIN;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::choices::kind_of;
use crate::record::ListedItem;

/// The member of a message that says which place in the record it had, from which its items have
/// their seeds, after it was recorded again.
pub(crate) const PLACE: &str = "turnwise_item";

/// How many digits an id has after its tag: those of its key, and two to check them.
const DIGITS: usize = 34;
/// How many of them are those of the key.
const OF_KEY: usize = 32;
/// How many items of a message are tried first.
const FIRST_ITEMS: usize = 4;
/// How many bits of the key of a new item come after the position at which it was recorded.
const RANDOM: u32 = 96;

/// What the ids of a conversation's items and responses begin with: the last 16 digits of an id of
/// the API's form; for another id, as many made from it.
pub fn tag_of(id: &str) -> String {
    let digits = id.strip_prefix("conv_").filter(|digits| digits.len() >= 16);
    let is_hex = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match digits.filter(is_hex) {
        Some(digits) => digits[digits.len() - 16..].to_owned(),
        None => format!("{:016x}", xxh3_64(id.as_bytes())),
    }
}

/// The id of an item of a kind with a seed.
pub(crate) fn id_of(tag: &str, kind: &str, seed: &str) -> String {
    let prefix = kind_of(kind).map_or("item_", |kind| kind.prefix);
    let (key, check) = (key_of(seed), xxh3_64(seed.as_bytes()) & 0xff);
    format!("{prefix}{tag}{key:032x}{check:02x}")
}

/// What of a seed an id has: that of a new item as it is, so that its id tells where to look for
/// it; that of others hashed.
fn key_of(seed: &str) -> u128 {
    let own = seed.strip_prefix('@').and_then(|digits| u128::from_str_radix(digits, 16).ok());
    own.unwrap_or_else(|| xxh3_128(seed.as_bytes()))
}

/// Whether a stored id is a seed, and not the id that an item had elsewhere. Items that were added
/// have a random one: with `@` and the position, or, in files that were written before that,
/// without.
pub(crate) fn is_seed(id: &str) -> bool {
    let digits = id.strip_prefix('@').unwrap_or(id);
    id.starts_with('#') || digits.len() == OF_KEY && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The seed of an item that is added at about this position of the path.
pub(crate) fn new_seed(position: usize) -> String {
    let position = u128::from(u32::try_from(position).unwrap_or(u32::MAX)) << RANDOM;
    format!("@{:032x}", position | fastrand::u128(..) >> (u128::BITS - RANDOM))
}

/// The place from which the items of a message have seeds that were not stored with one.
pub(crate) fn place_of(item: &Item) -> Cow<'_, str> {
    item.message().get(PLACE).map_or_else(|| item.id().index().to_string().into(), |place| place.as_str().into())
}

/// The seed of an item that was not stored with one.
pub(crate) fn seed_at(place: &str, index: usize) -> String {
    format!("#{place}.{index}")
}

/// Ids that are looked for. Of most messages it tells without their items being written that none
/// has one, because to write all items of a long record for a page of them would cost as much as
/// the record.
pub(crate) struct Sought<'a> {
    ids: HashSet<&'a str>,
    /// The lengths that they have.
    lengths: RangeInclusive<usize>,
    /// The keys of those ids that were made with the record's tag, sorted.
    keys: Vec<u128>,
}

impl<'a> Sought<'a> {
    pub(crate) fn new(tag: &str, ids: impl IntoIterator<Item = &'a str>) -> Self {
        let ids: HashSet<&str> = ids.into_iter().collect();
        let lengths = ids.iter().map(|id| id.len());
        let lengths = lengths.clone().min().unwrap_or_default()..=lengths.max().unwrap_or_default();
        let key = |id: &&str| {
            let digits = id.rsplit_once('_')?.1.strip_prefix(tag).filter(|digits| digits.len() == DIGITS)?;
            u128::from_str_radix(digits.get(..OF_KEY)?, 16).ok()
        };
        let mut keys: Vec<u128> = ids.iter().filter_map(key).collect();
        keys.sort_unstable();
        Self { ids, lengths, keys }
    }

    pub(crate) fn has(&self, item: &ListedItem) -> bool {
        self.ids.contains(&*item.id)
    }

    /// Whether an item of a message may have one of the ids. If not, none has.
    pub(crate) fn may_be_in(&self, item: &Item) -> bool {
        #[cfg(test)]
        crate::record::tests::LOOKED.set(crate::record::tests::LOOKED.get() + 1);
        // Items whose own id is no text are listed with an empty one.
        if self.ids.contains("") {
            return true;
        }
        let message = item.message();
        let origin = message.get(ORIGIN).map(RawJson::as_str).unwrap_or_default();
        let is_sought = |text: &str| {
            self.lengths.contains(&text.len()) && self.ids.contains(text) || is_seed(text) && self.has_seed(text)
        };
        if strings(origin).any(|text| is_sought(&text)) {
            return true;
        }
        if self.keys.is_empty() {
            return false;
        }
        // Besides its text and calls, a message has at most as many items as objects were kept with
        // it.
        let most = 1 + message.tool_calls().len() + origin.bytes().filter(|byte| *byte == b'{').count();
        let place = place_of(item);
        let mut seed = String::new();
        (0..most).any(|index| self.has_seed(seed_in(&mut seed, &place, index)))
    }

    fn has_seed(&self, seed: &str) -> bool {
        !self.keys.is_empty() && self.keys.binary_search(&key_of(seed)).is_ok()
    }

    /// About where on the path the first of them was recorded, if it is new and was added as an
    /// item. What an older id says is anything.
    pub(crate) fn position(&self) -> Option<usize> {
        usize::try_from(self.keys.first()? >> RANDOM).ok()
    }

    /// The place of a message that a program has recorded itself, of so many, one of whose first
    /// items has the first of the ids. It is found by trying all places, which needs no look at a
    /// message.
    pub(crate) fn place(&self, places: usize) -> Option<usize> {
        let mut seed = String::new();
        let key = self.keys.first()?;
        let mut tried = (0..FIRST_ITEMS).flat_map(|index| (0..places).map(move |place| (place, index)));
        let found = tried.find(|(place, index)| xxh3_128(seed_in(&mut seed, place, *index).as_bytes()) == *key);
        found.map(|(place, _)| place)
    }
}

/// The seed of an item that was not stored with one, in a text that is used again and again.
fn seed_in(seed: &mut String, place: impl Display, index: usize) -> &str {
    seed.clear();
    let _ = write!(seed, "#{place}.{index}");
    seed
}

/// The texts in a JSON value, and the names of members.
fn strings(json: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut rest = json;
    std::iter::from_fn(move || {
        let begin = rest.find('"')?;
        let after = &rest[begin + 1..];
        let (mut end, mut is_escaped) = (0, false);
        while *after.as_bytes().get(end)? != b'"' {
            let is_escape = after.as_bytes()[end] == b'\\';
            end += if is_escape { 2 } else { 1 };
            is_escaped |= is_escape;
        }
        let quoted = &rest[begin..begin + end + 2];
        rest = &after[end + 1..];
        // What cannot be read here, such as a half character, is in no id.
        let text = || serde_json::from_str::<String>(quoted).unwrap_or_default();
        Some(if is_escaped { text().into() } else { quoted[1..=end].into() })
    })
}

#[cfg(test)]
mod tests {
    use turnwise::{Conversation, Message};

    use super::*;

    #[test]
    fn texts_are_read_as_a_json_reader_reads_them() {
        let json = r#"{"a\"b":["",null,"\u0061\\", 5,{"x":"é"}],"c\\":"d"}"#;
        assert_eq!(strings(json).collect::<Vec<_>>(), ["a\"b", "", "a\\", "x", "é", "c\\", "d"]);
        assert_eq!(strings("").count(), 0);
    }

    /// Programs know them.
    #[test]
    fn ids_never_change() {
        let of_old = id_of("0123456789abcdef", "message", "00112233445566778899aabbccddeeff");
        assert_eq!(of_old, "msg_0123456789abcdefe33b41a13f1589310e9dacb5a1a40441ae");
        assert_eq!(
            id_of("0123456789abcdef", "message", "#7.0"),
            "msg_0123456789abcdef3b6367a32b3714d1357fc73add03687c4d"
        );
        let new = "@0000000700112233445566778899aabb";
        assert_eq!(
            id_of("0123456789abcdef", "function_call", new),
            "fc_0123456789abcdef0000000700112233445566778899aabb13"
        );
    }

    #[test]
    fn a_message_that_was_not_made_of_items_has_the_ids_of_its_place_only() {
        let talk = Conversation::from_messages([Message::user("Hi"), Message::assistant("Hello!")]);
        let id = id_of("00", "message", "#1.0");
        let sought = Sought::new("00", [&*id]);
        let found: Vec<bool> = talk.items().map(|item| sought.may_be_in(item)).collect();
        assert_eq!(found, [false, true]);
        assert!(talk.items().all(|item| !Sought::new("01", [&*id]).may_be_in(item)));
    }
}
