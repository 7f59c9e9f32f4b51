//! `Members`: an object whose members are taken out one by one, and of which the rest is kept.

use std::borrow::Cow;

use serde_json::value::RawValue;
use turnwise::message::RawJson;
use turnwise::transcript::formats::Object;

/// An object, and which of its members have been used.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    object: Object<'a>,
    taken: Vec<&'static str>,
}

/// Members of an object that were not used, in their order.
pub(crate) type Rest = Vec<(String, RawJson)>;

impl<'a> Members<'a> {
    pub(crate) fn of(value: &'a RawValue) -> Option<Self> {
        Object::of(value).map(|object| Self { object, taken: Vec::new() })
    }

    /// The object that a text is.
    pub(crate) fn of_text(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok().map(|object| Self { object, taken: Vec::new() })
    }

    /// The object, for a look without taking anything.
    pub(crate) fn peek(&self) -> &Object<'a> {
        &self.object
    }

    fn take<T>(&mut self, key: &'static str, value: Option<T>) -> Option<T> {
        if value.is_some() {
            self.taken.push(key);
        }
        value
    }

    /// Takes a member that is text.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<Cow<'a, str>> {
        let text = self.object.text(key);
        self.take(key, text)
    }

    /// Takes a member that is text and not empty.
    pub(crate) fn filled(&mut self, key: &'static str) -> Option<String> {
        let text = self.object.text(key).filter(|text| !text.is_empty()).map(Cow::into_owned);
        self.take(key, text)
    }

    /// Takes a member of any type, if it is not null.
    pub(crate) fn raw(&mut self, key: &'static str) -> Option<&'a RawValue> {
        let value = self.object.get(key);
        self.take(key, value)
    }

    /// Takes a member that is an object.
    pub(crate) fn object(&mut self, key: &'static str) -> Option<Members<'a>> {
        let object = self.object.get(key).and_then(Self::of);
        self.take(key, object)
    }

    /// Takes a member that is a list.
    pub(crate) fn list(&mut self, key: &'static str) -> Option<Vec<&'a RawValue>> {
        let list = self.object.is_list(key).then(|| self.object.list(key));
        self.take(key, list)
    }

    /// Takes a number.
    pub(crate) fn number(&mut self, key: &'static str) -> Option<f64> {
        let number = self.object.get(key).and_then(|value| serde_json::from_str(value.get()).ok());
        self.take(key, number)
    }

    /// Whether a member is true.
    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.object.get(key).is_some_and(|value| value.get() == "true")
    }

    /// Leaves a member out of the rest.
    pub(crate) fn skip(&mut self, key: &'static str) {
        self.taken.push(key);
    }

    /// The members that were not taken.
    pub(crate) fn rest(&self) -> Rest {
        let is_left = |key: &str| !self.taken.contains(&key);
        let left = self.object.iter().filter(|(key, _)| is_left(key));
        left.map(|(key, value)| (key.to_owned(), RawJson::from(value))).collect()
    }
}

/// An object of some members.
#[allow(clippy::needless_pass_by_value, reason = "members are made to be put together")]
pub(crate) fn object(members: Rest) -> RawJson {
    RawJson::object(members.iter().map(|(key, value)| (&**key, value.clone())))
}

/// The text of a JSON string; `None` for another value.
pub(crate) fn string(value: &RawValue) -> Option<String> {
    if value.get().starts_with('"') { serde_json::from_str(value.get()).ok() } else { None }
}

/// A value as a text that a model can read: a string as it is, anything else as compact JSON.
pub(crate) fn readable(value: &RawValue) -> String {
    string(value).unwrap_or_else(|| RawJson::from(value).as_str().to_owned())
}

/// A JSON object of the members that are there.
pub(crate) fn present<'a>(members: impl IntoIterator<Item = (&'a str, Option<RawJson>)>) -> RawJson {
    RawJson::object(members.into_iter().filter_map(|(key, value)| Some((key, value?))))
}

/// The value in a kept JSON text.
pub(crate) fn raw(json: &RawJson) -> &RawValue {
    json.parse().unwrap_or(RawValue::NULL)
}
