//! Puts the increments of a streamed object together.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON object as it stands in a text: its members in their order, their values unread.
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A JSON value that grows by what more of it comes: text and lists are appended, objects member by member; of anything
/// else the last one counts that is not null. Of text that names something ([`NAMES`]) the first one counts that is not
/// empty.
///
/// `OpenAI`'s own clients put the members of a `delta` together in this way.
#[derive(Debug)]
pub(super) enum Merged {
    Text(String),
    List(Vec<Box<RawValue>>),
    Object(Members),
    Other(Box<RawValue>),
}

/// The members of an object, in the order in which they first came.
#[derive(Debug, Default)]
pub(super) struct Members(Vec<(String, Merged)>);

/// Members whose text names something, so that more of it is no addition.
const NAMES: &[&str] = &["format", "id", "name", "object", "role", "status", "type"];

impl Merged {
    fn new(value: &RawValue) -> Self {
        let text = value.get();
        let read = match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str(text).map(Self::Text),
            Some(b'[') => serde_json::from_str(text).map(Self::List),
            Some(b'{') => {
                serde_json::from_str(text).map(|object: Object<'_>| Self::Object(Members::of(object.members())))
            }
            _ => Ok(Self::whole(value)),
        };
        // A value that can be read at all can be read as what it begins as.
        read.unwrap_or_else(|_| Self::whole(value))
    }

    /// A value as it is.
    pub(super) fn whole(value: &RawValue) -> Self {
        Self::Other(value.to_owned())
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Other(value) if value.get() == "null")
    }

    fn is_empty(&self) -> bool {
        self.is_null() || matches!(self, Self::Text(text) if text.is_empty())
    }

    fn extend(&mut self, more: Self) {
        match (&mut *self, more) {
            (_, null) if null.is_null() => {}
            (Self::Text(text), Self::Text(more)) => text.push_str(&more),
            (Self::List(list), Self::List(more)) => list.extend(more),
            (Self::Object(members), Self::Object(more)) => {
                members.extend(more.0.into_iter().map(|(key, more)| (Cow::from(key), more)));
            }
            (_, last) => *self = last,
        }
    }
}

impl Members {
    pub(super) fn of<K: AsRef<str>>(members: impl IntoIterator<Item = (K, Merged)>) -> Self {
        let mut object = Self::default();
        object.extend(members);
        object
    }

    /// More of some members.
    pub(super) fn extend<K: AsRef<str>>(&mut self, members: impl IntoIterator<Item = (K, Merged)>) {
        for (key, more) in members {
            let key = key.as_ref();
            match self.get_mut(key) {
                Some(value) if value.is_empty() && !more.is_null() => *value = more,
                Some(_) if NAMES.contains(&key) => {}
                Some(value) => value.extend(more),
                None => self.0.push((key.to_owned(), more)),
            }
        }
    }

    /// More of a member.
    pub(super) fn add(&mut self, key: &str, more: &RawValue) {
        self.extend([(key, Merged::new(more))]);
    }

    /// A member's value in the place of the one so far.
    pub(super) fn set(&mut self, key: &str, value: Merged) {
        match self.get_mut(key) {
            Some(old) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// A member's value in the place of the one so far, where it is not null.
    pub(super) fn renew(&mut self, key: &str, value: &RawValue) {
        match self.get_mut(key) {
            Some(_) if value.get() == "null" => {}
            // Most members of a chunk are those of the one before.
            Some(Merged::Other(old)) if old.get() == value.get() => {}
            Some(old) => *old = Merged::whole(value),
            None => self.0.push((key.to_owned(), Merged::whole(value))),
        }
    }

    /// Whether a member has a value that is not empty.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(known, value)| known == key && !value.is_empty())
    }

    /// Puts these members first, in this order, with the values given where they have none.
    pub(super) fn lead<const N: usize>(&mut self, first: [(&str, Merged); N]) {
        let mut rest = std::mem::take(&mut self.0);
        for (key, default) in first {
            let place = rest.iter().position(|(known, _)| known == key);
            let value = place.map(|place| rest.remove(place).1).filter(|value| !value.is_empty());
            self.0.push((key.to_owned(), value.unwrap_or(default)));
        }
        self.0.append(&mut rest);
    }

    fn get_mut(&mut self, key: &str) -> Option<&mut Merged> {
        self.0.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// A member's text, where it is not empty.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).and_then(|(_, value)| match value {
            Merged::Text(text) if !text.is_empty() => Some(&**text),
            _ => None,
        })
    }

    /// The object that a member is.
    pub(super) fn object(&self, key: &str) -> Option<&Self> {
        self.0.iter().find(|(known, _)| known == key).and_then(|(_, value)| match value {
            Merged::Object(members) => Some(members),
            _ => None,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the object with one member more.
    pub(super) fn serialize_with<S: Serializer>(
        &self,
        (key, value): (&str, &impl Serialize),
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len() + 1))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry(key, value)?;
        map.end()
    }
}

impl From<&str> for Merged {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Serialize for Merged {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => list.serialize(serializer),
            Self::Object(members) => members.serialize(serializer),
            Self::Other(value) => value.serialize(serializer),
        }
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                #[derive(Deserialize)]
                struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut members = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl<'a> Object<'a> {
    /// The object that a value is, if it is one.
    pub(super) fn of(value: &'a RawValue) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (&**key, *value))
    }

    /// Its members, to be put together with more of them.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, Merged)> {
        self.iter().map(|(key, value)| (key, Merged::new(value)))
    }

    /// A member's value, where it is not null.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.iter().find_map(|(known, value)| (known == key && value.get() != "null").then_some(value))
    }

    /// A member's text, where it is not empty.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        text(self.get(key)?)
    }
}

/// The text that a value is, where it is not empty.
pub(super) fn text(value: &RawValue) -> Option<String> {
    if !value.get().starts_with('"') {
        return None;
    }
    serde_json::from_str(value.get()).ok().filter(|text: &String| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(values: &[&str]) -> String {
        let mut members = Members::default();
        for value in values {
            members.add("x", serde_json::from_str(value).unwrap());
        }
        serde_json::to_string(&members).unwrap()
    }

    #[test]
    fn values_grow_by_what_more_of_them_comes() {
        for (values, expected) in [
            (&[r#""a""#, r#""b""#, "null"][..], r#"{"x":"ab"}"#),
            (&["null", r#""a""#], r#"{"x":"a"}"#),
            (&["[1.0]", "[2,3]"], r#"{"x":[1.0,2,3]}"#),
            (&["1", "2.50", "null"], r#"{"x":2.50}"#),
            (&["null", "null"], r#"{"x":null}"#),
            (&[r#"{"a":"x"}"#, r#"{"b":1,"a":"y"}"#], r#"{"x":{"a":"xy","b":1}}"#),
            (&[r#"{"id":"1","a":"x"}"#, r#"{"id":"2","a":"y"}"#], r#"{"x":{"id":"1","a":"xy"}}"#),
            (&[r#"{"type":""}"#, r#"{"type":"t"}"#, r#"{"type":"t"}"#], r#"{"x":{"type":"t"}}"#),
            (&[r#""a""#, "{}"], r#"{"x":{}}"#),
            (&[r#""\ud83d""#], r#"{"x":"\ud83d"}"#),
        ] {
            assert_eq!(merged(values), expected);
        }
    }

    #[test]
    fn what_leads_comes_first() {
        let mut members = Members::default();
        for (key, value) in [("b", "1"), ("content", "\"\""), ("role", "\"r\"")] {
            members.add(key, serde_json::from_str(value).unwrap());
        }
        members.lead([("role", "assistant".into()), ("content", Merged::whole(RawValue::NULL)), ("c", "d".into())]);
        assert_eq!(serde_json::to_string(&members).unwrap(), r#"{"role":"r","content":null,"c":"d","b":1}"#);
    }
}
