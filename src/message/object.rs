//! The mechanism behind every lossless object of this module: a JSON object as the list of its
//! members, in its own order. Known members are typed, all others are raw JSON.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::RawJson;

/// The known members of one kind of object.
pub(crate) trait Known: Sized {
    /// The name of the object in errors.
    const WHAT: &'static str;

    /// Reads the value of `key`; `None`, with the value unread, if the key is not known.
    fn read<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Option<Member<Self>>, A::Error>;

    /// The member's key.
    fn key(&self) -> &'static str;

    /// Writes the member's value.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Checks that required members are present; the text of the error says what is missing.
    fn check(_members: &[Member<Self>]) -> Result<(), &'static str> {
        Ok(())
    }
}

/// One member of an object.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Member<K> {
    Known(K),
    Other(Box<(Box<str>, RawJson)>),
}

impl<K: Known> Member<K> {
    pub(crate) fn other(key: &str, value: RawJson) -> Self {
        Self::Other(Box::new((key.into(), value)))
    }

    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Known(known) => known.key(),
            Self::Other(other) => &other.0,
        }
    }
}

/// An object: its members in their order, shared between clones.
#[derive(PartialEq, Eq)]
pub(crate) struct Object<K>(Arc<[Member<K>]>);

impl<K> Clone for Object<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Known> Object<K> {
    pub(crate) fn new(members: Vec<Member<K>>) -> Self {
        Self(members.into())
    }

    /// The first known member for which `pick` returns a value.
    pub(crate) fn find<'a, T>(&'a self, pick: impl Fn(&'a K) -> Option<T>) -> Option<T> {
        self.known().find_map(pick)
    }

    /// All known members, in their order.
    pub(crate) fn known(&self) -> impl Iterator<Item = &K> {
        self.0.iter().filter_map(|member| match member {
            Member::Known(known) => Some(known),
            Member::Other(_) => None,
        })
    }

    /// The raw value of a member that is not typed.
    pub(crate) fn other(&self, key: &str) -> Option<&RawJson> {
        self.others().find_map(|(name, value)| (name == key).then_some(value))
    }

    /// All members that are not typed, in their order.
    pub(crate) fn others(&self) -> impl Iterator<Item = (&str, &RawJson)> {
        self.0.iter().filter_map(|member| match member {
            Member::Known(_) => None,
            Member::Other(other) => Some((&*other.0, &other.1)),
        })
    }

    /// Whether `holds` is true of every member.
    pub(crate) fn all(&self, holds: impl Fn(&Member<K>) -> bool) -> bool {
        self.0.iter().all(holds)
    }

    /// The same object with the members that `keep` accepts; itself if it accepts all.
    pub(crate) fn filter(&self, keep: impl Fn(&Member<K>) -> bool) -> Self
    where
        K: Clone,
    {
        if self.all(&keep) {
            self.clone()
        } else {
            Self(self.0.iter().filter(|member| keep(member)).cloned().collect())
        }
    }

    /// The same object with `member` replacing the one with its key, or added at the end.
    pub(crate) fn with(&self, member: Member<K>) -> Self
    where
        K: Clone,
    {
        let mut members = self.0.to_vec();
        match members.iter_mut().find(|old| old.key() == member.key()) {
            Some(old) => *old = member,
            None => members.push(member),
        }
        Self::new(members)
    }
}

impl<K: Known> Serialize for Object<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Value<'a, K>(&'a K);
        impl<K: Known> Serialize for Value<'_, K> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.write(serializer)
            }
        }
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for member in &*self.0 {
            match member {
                Member::Known(known) => map.serialize_entry(known.key(), &Value(known))?,
                Member::Other(other) => map.serialize_entry(&*other.0, &other.1)?,
            }
        }
        map.end()
    }
}

impl<'de, K: Known> Deserialize<'de> for Object<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<K>(PhantomData<K>);
        impl<'de, K: Known> Visitor<'de> for Members<K> {
            type Value = Object<K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} (a JSON object)", K::WHAT)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<Member<K>> = Vec::with_capacity(map.size_hint().unwrap_or(4));
                while let Some(Key(key)) = map.next_key()? {
                    let member = match K::read(&key, &mut map)? {
                        Some(member) => member,
                        None => Member::other(&key, map.next_value()?),
                    };
                    members.push(member);
                }
                if let Some(key) = twice(members.iter().map(Member::key)) {
                    return Err(A::Error::custom(format_args!("{} has the key `{key}` twice", K::WHAT)));
                }
                K::check(&members).map_err(|lack| A::Error::custom(format_args!("{} {lack}", K::WHAT)))?;
                Ok(Object::new(members))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// The key of a member, or another short text: not copied where it can be borrowed.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// So many keys are compared with each other, which takes no memory; more are sorted.
const FEW: usize = 8;

/// A key that occurs twice.
pub(crate) fn twice<'a>(mut keys: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    if keys.clone().nth(FEW).is_none() {
        while let Some(key) = keys.next() {
            if keys.clone().any(|later| later == key) {
                return Some(key);
            }
        }
        return None;
    }
    let mut keys: Vec<&str> = keys.collect();
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// Reads a value, which may be null, into the typed member that `make` creates.
pub(crate) fn known<'de, A, K, T>(map: &mut A, make: impl FnOnce(T) -> K) -> Result<Option<Member<K>>, A::Error>
where
    A: MapAccess<'de>,
    T: Deserialize<'de>,
{
    Ok(Some(Member::Known(make(map.next_value()?))))
}

/// Reads a value that the specification says is text: text is typed, anything else is kept as JSON.
pub(crate) fn text_or_raw<'de, A, K: Known>(
    key: &str,
    map: &mut A,
    make: impl FnOnce(Box<str>) -> K,
) -> Result<Option<Member<K>>, A::Error>
where
    A: MapAccess<'de>,
{
    Ok(Some(text_or_other(key, map.next_value()?, make)))
}

/// As [`text_or_raw`], for a value that was read already.
pub(crate) fn text_or_other<K: Known>(key: &str, raw: RawJson, make: impl FnOnce(Box<str>) -> K) -> Member<K> {
    match raw.parse::<Box<str>>() {
        Ok(text) => Member::Known(make(text)),
        Err(_) => Member::other(key, raw),
    }
}
