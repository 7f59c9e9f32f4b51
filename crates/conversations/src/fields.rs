//! `Fields`: a JSON object whose members are read, replaced and added, in their order.

use std::collections::HashMap;

use serde_json::value::RawValue;
use turnwise::message::RawJson;
use turnwise::transcript::formats::{Object, elements};

#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(String, RawJson)>);

impl Fields {
    /// An object; `None` for another value. A member that is there twice has its last value.
    pub(crate) fn of(json: &RawJson) -> Option<Self> {
        let object = Object::of(raw(json))?;
        let mut fields: Vec<(String, RawJson)> = Vec::new();
        let mut places = HashMap::new();
        for (key, value) in object.iter() {
            let place = *places.entry(key).or_insert(fields.len());
            match fields.get_mut(place) {
                Some((_, old)) => *old = value.into(),
                None => fields.push((key.to_owned(), value.into())),
            }
        }
        Some(Self(fields))
    }

    /// Whether there is such a member, also one that is null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| name == key)
    }

    /// A member that is not null.
    pub(crate) fn get(&self, key: &str) -> Option<&RawJson> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value).filter(|value| value.as_str() != "null")
    }

    /// A member that is text.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(text)
    }

    /// Sets a member, in the place of the one that is there.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<RawJson>) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((key.to_owned(), value.into())),
        }
    }

    /// Sets a member that is not there.
    pub(crate) fn set_missing(&mut self, key: &str, value: impl Into<RawJson>) {
        if self.get(key).is_none() {
            self.set(key, value);
        }
    }

    pub(crate) fn json(&self) -> RawJson {
        RawJson::object(self.0.iter().map(|(key, value)| (&**key, value.clone())))
    }
}

/// The text of a JSON string.
pub(crate) fn text(json: &RawJson) -> Option<String> {
    json.parse().ok()
}

/// The elements of a list; `None` for another value.
pub(crate) fn list(json: &RawJson) -> Option<Vec<RawJson>> {
    json.as_str().starts_with('[').then(|| elements(raw(json)).into_iter().map(RawJson::from).collect())
}

/// What a value is, with its article.
pub(crate) fn type_of(json: &RawJson) -> &'static str {
    match json.as_str().bytes().next() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') | None => "null",
        _ if json.as_str().contains(['.', 'e', 'E']) => "a decimal",
        _ => "an integer",
    }
}

fn raw(json: &RawJson) -> &RawValue {
    json.parse().unwrap_or(RawValue::NULL)
}
