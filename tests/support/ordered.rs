//! JSON compared as the crate promises to keep it: the same values, the same order of keys, numbers digit for digit.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

#[derive(Debug, PartialEq)]
pub(crate) enum Ordered {
    Object(Vec<(String, Ordered)>),
    Array(Vec<Ordered>),
    Text(String),
    /// A number, `true`, `false` or `null`, as it is written.
    Word(String),
}

pub(crate) fn ordered(text: &str) -> Ordered {
    let text = text.trim();
    match text.as_bytes()[0] {
        b'{' => {
            let members: Members<'_> = serde_json::from_str(text).unwrap();
            Ordered::Object(members.0.into_iter().map(|(key, value)| (key, ordered(value.get()))).collect())
        }
        b'[' => {
            let values: Vec<&RawValue> = serde_json::from_str(text).unwrap();
            Ordered::Array(values.into_iter().map(|value| ordered(value.get())).collect())
        }
        b'"' => Ordered::Text(serde_json::from_str(text).unwrap()),
        _ => Ordered::Word(text.to_owned()),
    }
}

impl Ordered {
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
