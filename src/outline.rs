//! `Object`: JSON seen by its members and their types, before it is interpreted.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A JSON object: its members in their order, with values that are not interpreted yet.
///
/// Recognising and reading the files of other programs looks at them through this. A member that is
/// null counts as absent, except in [`iter`](Self::iter).
///
/// # Examples
/// ```
/// use turnwise::transcript::formats::Object;
///
/// let object: Object<'_> = serde_json::from_str(r#"{"sender": "human", "content": [{"type": "text"}, 5]}"#)?;
/// assert_eq!(object.text("sender").as_deref(), Some("human"));
/// assert_eq!((object.list("content").len(), object.objects("content").count()), (2, 1));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug)]
pub struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// An object, or `None` for a value of another type.
    pub fn of(value: &'a RawValue) -> Option<Self> {
        if value.get().starts_with('{') { serde_json::from_str(value.get()).ok() } else { None }
    }

    /// A member, if it is not null.
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        let member = self.0.iter().find(|(name, _)| name == key);
        member.map(|(_, value)| *value).filter(|value| value.get() != "null")
    }

    /// Whether there is such a member that is not null.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether all of these members exist.
    pub fn has_all(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| self.has(key))
    }

    /// Whether one of these members exists.
    pub fn has_any(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.has(key))
    }

    /// The first of these members that exists.
    pub(crate) fn first_of<'k>(&self, keys: &[&'k str]) -> Option<&'k str> {
        keys.iter().find(|key| self.has(key)).copied()
    }

    /// A member that is text.
    pub fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let value = self.get(key)?.get();
        if value.starts_with('"') { serde_json::from_str(value).ok().map(|Text(text)| text) } else { None }
    }

    /// The text of a member, if it is not empty.
    #[cfg(feature = "openai")]
    pub(crate) fn filled_text(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.is_empty()).map(Cow::into_owned)
    }

    /// All members in their order, also those that are null.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (&**key, *value))
    }

    /// Whether a member is text.
    pub fn is_text(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.get().starts_with('"'))
    }

    /// Whether a member is one of these texts.
    pub fn is_one_of(&self, key: &str, texts: &[&str]) -> bool {
        self.text(key).is_some_and(|text| texts.contains(&&*text))
    }

    /// A member that is an object.
    pub fn object(&self, key: &str) -> Option<Self> {
        self.get(key).and_then(Self::of)
    }

    /// Whether a member is a list.
    pub fn is_list(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.get().starts_with('['))
    }

    /// The elements of a list; empty if the member is not a list.
    pub fn list(&self, key: &str) -> Vec<&'a RawValue> {
        self.get(key).map(elements).unwrap_or_default()
    }

    /// The elements of a list that are objects.
    pub fn objects(&self, key: &str) -> impl Iterator<Item = Self> + use<'a> {
        self.list(key).into_iter().filter_map(Self::of)
    }
}

/// All members in their order, also those that are null.
impl<'a> IntoIterator for Object<'a> {
    type Item = (Cow<'a, str>, &'a RawValue);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
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
        deserializer.deserialize_map(Members)
    }
}

/// The elements of a list; empty if the value is not a list.
///
/// # Examples
/// ```
/// use serde_json::value::RawValue;
/// use turnwise::transcript::formats::elements;
///
/// let list: Box<RawValue> = serde_json::from_str(r#"[1.50, "x"]"#)?;
/// assert_eq!(elements(&list).iter().map(|one| one.get()).collect::<Vec<_>>(), ["1.50", "\"x\""]);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn elements(list: &RawValue) -> Vec<&RawValue> {
    if list.get().starts_with('[') { serde_json::from_str(list.get()).unwrap_or_default() } else { Vec::new() }
}

/// The JSON values of a text, up to the first incomplete one.
///
/// # Examples
/// ```
/// use turnwise::transcript::formats::values;
///
/// assert_eq!(values("{\"a\":1}\n[2]\n{\"torn").map(|one| one.get()).collect::<Vec<_>>(), ["{\"a\":1}", "[2]"]);
/// ```
pub fn values(text: &str) -> impl Iterator<Item = &RawValue> {
    serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().map_while(Result::ok)
}

/// The values in the place of messages: the elements of an array or of a member `messages`, or the
/// values of a log.
pub(crate) fn messages(text: &str) -> Vec<&RawValue> {
    let mut values = values(text).peekable();
    let Some(first) = values.peek() else { return Vec::new() };
    match Object::of(first) {
        Some(body) if body.has("messages") => body.list("messages"),
        Some(_) => values.collect(),
        None => elements(first),
    }
}
