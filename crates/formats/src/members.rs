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

impl<'a> From<Object<'a>> for Members<'a> {
    fn from(object: Object<'a>) -> Self {
        Self { object, taken: Vec::new() }
    }
}

impl<'a> Members<'a> {
    pub(crate) fn of(value: &'a RawValue) -> Option<Self> {
        Object::of(value).map(Self::from)
    }

    /// The object that a text is.
    pub(crate) fn of_text(text: &'a str) -> Option<Self> {
        serde_json::from_str::<Object<'_>>(text).ok().map(Self::from)
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

    fn left(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.object.iter().filter(|(key, _)| !self.taken.contains(key))
    }

    /// The members that were not taken.
    pub(crate) fn rest(&self) -> Rest {
        self.left().map(|(key, value)| (key.to_owned(), RawJson::from(value))).collect()
    }

    /// The members that were not taken, as the text of an object.
    pub(crate) fn kept(&self) -> Kept {
        let mut kept = Kept::default();
        for (key, value) in self.left() {
            kept.push(key, value.get());
        }
        kept
    }
}

/// The JSON text of an object that is put together member by member. It is read only once, when it
/// is complete.
#[derive(Debug, Default)]
pub(crate) struct Kept(String);

impl Kept {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a member.
    pub(crate) fn push(&mut self, key: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        push_string(key, &mut self.0);
        self.0.push(':');
        self.0.push_str(value);
    }

    /// Adds a member that is an object of members.
    pub(crate) fn push_object(&mut self, key: &str, value: Self) {
        self.push(key, &value.into_text());
    }

    /// Adds the members of another object after the own ones.
    pub(crate) fn extend(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&other.0[1..]);
    }

    /// The text of the object.
    pub(crate) fn into_text(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

impl From<&Rest> for Kept {
    fn from(rest: &Rest) -> Self {
        let mut kept = Self::default();
        for (key, value) in rest {
            kept.push(key, value.as_str());
        }
        kept
    }
}

/// Writes a text as a JSON string.
fn push_string(text: &str, out: &mut String) {
    let is_plain = |byte: u8| byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    if text.bytes().all(is_plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(RawJson::from(text).as_str());
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
