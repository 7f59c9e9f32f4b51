//! Merges the increments of a streamed JSON object.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::outline::Object;

/// A JSON value that grows as increments arrive: text and lists are appended, objects are merged
/// member by member; of anything else the last value that is not null is kept. Of text that names
/// something ([`NAMES`]) the first value that is not empty is kept.
///
/// `OpenAI`'s own clients merge the members of a `delta` in this way.
///
/// A server decides how deep and how wide its values are, so each byte is examined only a few
/// times: a list is never parsed, and an object inside another one is parsed only when an increment
/// of it arrives, down to [`DEEPEST`].
#[derive(Debug)]
pub(super) enum Merged {
    Text(String),
    /// A list, as the text between its brackets.
    List(String),
    Object(Members),
    /// A list of values that were merged here.
    Items(Vec<Merged>),
    /// An unchanged value.
    Other(Box<RawValue>),
}

/// The members of an object, in the order in which they first arrived.
#[derive(Debug, Default)]
pub(super) struct Members {
    list: Vec<(Arc<str>, Merged)>,
    /// The position of each member in the list; empty while there are at most [`FEW`].
    places: HashMap<Arc<str>, usize>,
}

/// Members whose text names something, so that an increment repeats it instead of extending it.
const NAMES: &[&str] = &["format", "id", "name", "object", "role", "status", "type"];

/// How many levels of objects are merged member by member. Of a deeper object the last value is
/// kept. Servers use three or four; a byte at this depth is examined once for each level.
const DEEPEST: usize = 32;

/// Up to this many members are searched one by one, which is faster than an index.
const FEW: usize = 16;

impl Merged {
    fn new(value: &RawValue) -> Self {
        match Object::of(value) {
            Some(object) => {
                let mut members = Members::default();
                members.extend(object.iter());
                Self::Object(members)
            }
            None => Self::plain(value),
        }
    }

    /// A value whose objects are not parsed.
    fn plain(value: &RawValue) -> Self {
        let text = value.get();
        match text.as_bytes().first() {
            // No Rust string can hold half of a surrogate pair.
            Some(b'"') => serde_json::from_str(text).map_or_else(|_| Self::whole(value), Self::Text),
            Some(b'[') => Self::List(between_brackets(text).to_owned()),
            _ => Self::whole(value),
        }
    }

    /// An unchanged value.
    pub(super) fn whole(value: &RawValue) -> Self {
        Self::Other(value.to_owned())
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Other(value) if value.get() == "null")
    }

    fn is_empty(&self) -> bool {
        self.is_null() || matches!(self, Self::Text(text) if text.is_empty())
    }

    /// Adds an increment that is not null to the value, merging its members down to `depth` levels
    /// below it.
    fn extend(&mut self, more: &RawValue, depth: usize) {
        if let Some(deeper) = depth.checked_sub(1)
            && let Some(object) = Object::of(more)
            && let Some(members) = self.taken_apart()
        {
            object.iter().for_each(|(key, value)| members.grow(key, value, deeper));
            return;
        }
        match (&mut *self, Self::plain(more)) {
            (Self::Text(text), Self::Text(more)) => text.push_str(&more),
            (Self::List(list), Self::List(more)) => {
                if !list.is_empty() && !more.is_empty() {
                    list.push(',');
                }
                list.push_str(&more);
            }
            (_, last) => *self = last,
        }
    }

    /// The members, if the value is an object.
    fn taken_apart(&mut self) -> Option<&mut Members> {
        if let Self::Other(value) = self {
            let mut members = Members::default();
            Object::of(value)?.iter().for_each(|(key, value)| members.grow(key, value, 0));
            *self = Self::Object(members);
        }
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// Writes the value as JSON, freeing it on the way.
    pub(super) fn write(self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Self::Text(text) => {
                // A long text would otherwise make the buffer grow to twice what is needed.
                out.reserve(text.len() + 2);
                serde_json::to_writer(out, &text)
            }
            Self::List(list) => {
                out.push(b'[');
                out.extend_from_slice(list.as_bytes());
                out.push(b']');
                Ok(())
            }
            Self::Object(members) => members.write(out),
            Self::Items(items) => {
                out.push(b'[');
                for (index, item) in items.into_iter().enumerate() {
                    out.extend((index > 0).then_some(b','));
                    item.write(out)?;
                }
                out.push(b']');
                Ok(())
            }
            Self::Other(value) => {
                out.extend_from_slice(value.get().as_bytes());
                Ok(())
            }
        }
    }
}

impl Members {
    pub(super) fn of<const N: usize>(members: [(&str, Merged); N]) -> Self {
        let mut object = Self::default();
        for (key, value) in members {
            object.set(key, value);
        }
        object
    }

    /// Adds increments of several members.
    pub(super) fn extend<'a>(&mut self, members: impl IntoIterator<Item = (&'a str, &'a RawValue)>) {
        members.into_iter().for_each(|(key, more)| self.grow(key, more, DEEPEST));
    }

    /// Adds an increment of a member, whose objects are parsed.
    pub(super) fn add(&mut self, key: &str, more: &RawValue) {
        match self.get_mut(key) {
            Some(value) if value.is_empty() && more.get() != "null" => *value = Merged::new(more),
            Some(_) => self.grow(key, more, DEEPEST),
            None => self.push(key, Merged::new(more)),
        }
    }

    fn grow(&mut self, key: &str, more: &RawValue, depth: usize) {
        match self.get_mut(key) {
            Some(_) if more.get() == "null" => {}
            Some(value) if value.is_empty() => *value = Merged::plain(more),
            Some(_) if NAMES.contains(&key) => {}
            Some(value) => value.extend(more, depth),
            None => self.push(key, Merged::plain(more)),
        }
    }

    /// Adds text to a member.
    pub(super) fn add_text(&mut self, key: &str, more: &str) {
        match self.get_mut(key) {
            Some(Merged::Text(text)) => text.push_str(more),
            _ => self.set(key, more.into()),
        }
    }

    /// Replaces a member's value.
    pub(super) fn set(&mut self, key: &str, value: Merged) {
        match self.get_mut(key) {
            Some(old) => *old = value,
            None => self.push(key, value),
        }
    }

    /// Replaces a member's value, unless the new one is null.
    pub(super) fn renew(&mut self, key: &str, value: &RawValue) {
        match self.get_mut(key) {
            Some(_) if value.get() == "null" => {}
            // Most members of a chunk repeat those of the chunk before.
            Some(Merged::Other(old)) if old.get() == value.get() => {}
            Some(old) => *old = Merged::whole(value),
            None => self.push(key, Merged::whole(value)),
        }
    }

    /// Whether a member has a value that is not empty.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| !value.is_empty())
    }

    /// Moves these members to the front, in this order, and gives missing ones these values.
    pub(super) fn lead<const N: usize>(&mut self, first: [(&str, Merged); N]) {
        let mut rest = std::mem::take(&mut self.list);
        for (key, default) in first {
            let place = rest.iter().position(|(known, _)| **known == *key);
            let value = place.map(|place| rest.remove(place).1).filter(|value| !value.is_empty());
            self.list.push((key.into(), value.unwrap_or(default)));
        }
        self.list.append(&mut rest);
        self.places.clear();
        self.index();
    }

    fn push(&mut self, key: &str, value: Merged) {
        let key: Arc<str> = key.into();
        if !self.places.is_empty() {
            self.places.insert(Arc::clone(&key), self.list.len());
        }
        self.list.push((key, value));
        self.index();
    }

    /// Builds the index once there are enough members for it.
    fn index(&mut self) {
        if self.places.is_empty() && self.list.len() > FEW {
            let places = self.list.iter().enumerate().map(|(place, (key, _))| (Arc::clone(key), place));
            self.places = places.collect();
        }
    }

    fn place(&self, key: &str) -> Option<usize> {
        if self.places.is_empty() {
            self.list.iter().position(|(known, _)| **known == *key)
        } else {
            self.places.get(key).copied()
        }
    }

    fn get(&self, key: &str) -> Option<&Merged> {
        self.place(key).map(|place| &self.list[place].1)
    }

    fn get_mut(&mut self, key: &str) -> Option<&mut Merged> {
        self.place(key).map(|place| &mut self.list[place].1)
    }

    /// A member's text, if it is not empty.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Merged::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// A member, if it is an object.
    pub(super) fn object(&self, key: &str) -> Option<&Self> {
        match self.get(key)? {
            Merged::Object(members) => Some(members),
            _ => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Writes the object as JSON, freeing it on the way.
    pub(super) fn write(self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.push(b'{');
        for (index, (key, value)) in self.list.into_iter().enumerate() {
            out.extend((index > 0).then_some(b','));
            serde_json::to_writer(&mut *out, &*key)?;
            out.push(b':');
            value.write(out)?;
        }
        out.push(b'}');
        Ok(())
    }
}

impl From<&str> for Merged {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The items of a list, as text.
fn between_brackets(list: &str) -> &str {
    list.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or_default().trim()
}

/// The value, if it is a text that is not empty.
pub(super) fn text(value: &RawValue) -> Option<String> {
    if !value.get().starts_with('"') {
        return None;
    }
    serde_json::from_str(value.get()).ok().filter(|text: &String| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(members: Members) -> String {
        let mut out = Vec::new();
        members.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn merged(values: &[&str]) -> String {
        let mut members = Members::default();
        for value in values {
            members.add("x", serde_json::from_str(value).unwrap());
        }
        written(members)
    }

    #[test]
    fn values_grow_by_what_more_of_them_comes() {
        for (values, expected) in [
            (&[r#""a""#, r#""b""#, "null"][..], r#"{"x":"ab"}"#),
            (&["null", r#""a""#], r#"{"x":"a"}"#),
            (&["[1.0]", "[2,3]"], r#"{"x":[1.0,2,3]}"#),
            (&["[]", "[ 1 ]", "[ ]", "[2]"], r#"{"x":[1,2]}"#),
            (&["1", "2.50", "null"], r#"{"x":2.50}"#),
            (&["null", "null"], r#"{"x":null}"#),
            (&[r#"{"a":"x"}"#, r#"{"b":1,"a":"y"}"#], r#"{"x":{"a":"xy","b":1}}"#),
            (
                &[r#"{"a":{"b":{"c":"x"}}}"#, r#"{"a":{"b":{"c":"y","d":[1]}}}"#],
                r#"{"x":{"a":{"b":{"c":"xy","d":[1]}}}}"#,
            ),
            (&[r#"{"a":"x","a":"y"}"#], r#"{"x":{"a":"xy"}}"#),
            (&[r#"{"id":"1","a":"x"}"#, r#"{"id":"2","a":"y"}"#], r#"{"x":{"id":"1","a":"xy"}}"#),
            (&[r#"{"a":{"id":""}}"#, r#"{"a":{"id":"1"}}"#, r#"{"a":{"id":"2"}}"#], r#"{"x":{"a":{"id":"1"}}}"#),
            (&[r#"{"type":""}"#, r#"{"type":"t"}"#, r#"{"type":"t"}"#], r#"{"x":{"type":"t"}}"#),
            (&[r#""a""#, "{}"], r#"{"x":{}}"#),
            (&["{}", r#"{"a":1}"#], r#"{"x":{"a":1}}"#),
            (&[r#"{"a":1}"#, "[]"], r#"{"x":[]}"#),
            (&[r#""\ud83d""#], r#"{"x":"\ud83d"}"#),
        ] {
            assert_eq!(merged(values), expected);
        }
    }

    #[test]
    fn objects_grow_down_to_a_depth_and_below_it_the_last_one_counts() {
        let nested = |depth: usize, text: &str| format!("{}\"{text}\"{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let both = |depth: usize| merged(&[&nested(depth, "x"), &nested(depth, "y")]);
        assert_eq!(both(DEEPEST), format!(r#"{{"x":{}}}"#, nested(DEEPEST, "xy")));
        for depth in [DEEPEST + 1, 100_000] {
            assert_eq!(both(depth), format!(r#"{{"x":{}}}"#, nested(depth, "y")));
        }
    }

    #[test]
    fn many_members_keep_the_order_in_which_they_came() {
        let keys: Vec<String> = (0..1_000).map(|number| format!("k{}", number * 7 % 1_000)).collect();
        let mut members = Members::default();
        for _ in 0..2 {
            for key in &keys {
                members.add(key, serde_json::from_str("[0]").unwrap());
            }
        }
        members.lead([("k500", "".into()), ("new", "x".into())]);
        assert!(members.has("k1") && members.has("new") && !members.has("k2000"));
        let rest: Vec<_> = keys.iter().filter(|key| *key != "k500").map(|key| format!(r#""{key}":[0,0]"#)).collect();
        assert_eq!(written(members), format!(r#"{{"k500":[0,0],"new":"x",{}}}"#, rest.join(",")));
    }

    #[test]
    fn what_leads_comes_first() {
        let mut members = Members::default();
        for (key, value) in [("b", "1"), ("content", "\"\""), ("role", "\"r\"")] {
            members.add(key, serde_json::from_str(value).unwrap());
        }
        members.lead([("role", "assistant".into()), ("content", Merged::whole(RawValue::NULL)), ("c", "d".into())]);
        assert_eq!(written(members), r#"{"role":"r","content":null,"c":"d","b":1}"#);
    }
}
