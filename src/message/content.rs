//! What a message says: text, or a list of parts.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::object::{Known, Member, Object, known, text_or_raw};
use crate::json::RawJson;

/// The content of a message.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// Plain text.
    Text(Box<str>),
    /// Text, images, audio and files in their order.
    Parts(Box<[Part]>),
}

impl Content {
    /// All text, that of parts joined with nothing between, as the API counts it. Parts that are not text give none.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Parts(parts) => {
                let mut texts = parts.iter().filter_map(Part::text);
                match (texts.next(), texts.next()) {
                    (None, _) => Cow::Borrowed(""),
                    (Some(only), None) => Cow::Borrowed(only),
                    (Some(first), Some(second)) => [first, second].into_iter().chain(texts).collect(),
                }
            }
        }
    }

    /// The parts; none when the content is plain text.
    pub fn parts(&self) -> &[Part] {
        match self {
            Self::Text(_) => &[],
            Self::Parts(parts) => parts,
        }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<&String> for Content {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Vec<Part>> for Content {
    fn from(parts: Vec<Part>) -> Self {
        Self::Parts(parts.into())
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Parts(parts) => f.debug_tuple("Parts").field(parts).finish(),
        }
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Parts(parts) => parts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a content: a string, a list of parts or null")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.into()))
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut parts: Vec<Part> = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(Content::Parts(parts.into()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// One part of a content: text, an image, audio, a file, a refusal, or a kind that this crate does not know.
#[derive(Clone, PartialEq, Eq)]
pub struct Part(Object<PartMember>);

#[derive(Clone, PartialEq, Eq)]
enum PartMember {
    Type(Box<str>),
    Text(Box<str>),
    Refusal(Box<str>),
    ImageUrl(RawJson),
}

/// The image of a part, as the API has it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ImageUrl<'a> {
    /// An address, or the image itself as a `data:` URL.
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// `low`, `high` or `auto`.
    #[serde(borrow, default)]
    pub detail: Option<Cow<'a, str>>,
}

impl fmt::Debug for ImageUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageUrl({} bytes, {:?})", self.url.len(), self.detail)
    }
}

impl Part {
    /// A part of text.
    pub fn new_text(text: &str) -> Self {
        Self::of("text", Member::Known(PartMember::Text(text.into())))
    }

    /// An image, by address or as a `data:` URL.
    pub fn new_image_url(url: &str) -> Self {
        let value = serde_json::json!({ "url": url });
        Self::of("image_url", Member::Known(PartMember::ImageUrl(value.into())))
    }

    /// A part of any kind: `{"type": kind, kind: value}`, as `input_audio` and `file` are.
    pub fn new(kind: &str, value: RawJson) -> Self {
        Self::of(kind, Member::other(kind, value))
    }

    /// The same part with another text.
    pub(crate) fn with_text(&self, text: &str) -> Self {
        Self(self.0.with(Member::Known(PartMember::Text(text.into()))))
    }

    fn of(kind: &str, member: Member<PartMember>) -> Self {
        Self(Object::new(vec![Member::Known(PartMember::Type(kind.into())), member]))
    }

    /// The part's `type`.
    pub fn kind(&self) -> &str {
        self.0.find(|member| if let PartMember::Type(kind) = member { Some(&**kind) } else { None }).unwrap_or("")
    }

    /// The text of a `text` part.
    pub fn text(&self) -> Option<&str> {
        self.0.find(|member| if let PartMember::Text(text) = member { Some(&**text) } else { None })
    }

    /// The text of a `refusal` part.
    pub fn refusal(&self) -> Option<&str> {
        self.0.find(|member| if let PartMember::Refusal(text) = member { Some(&**text) } else { None })
    }

    /// The image of an `image_url` part.
    pub fn image_url(&self) -> Option<ImageUrl<'_>> {
        self.0.find(|member| if let PartMember::ImageUrl(raw) = member { raw.parse().ok() } else { None })
    }

    /// Any other member, as it stands in the JSON.
    pub fn get(&self, key: &str) -> Option<&RawJson> {
        self.0.other(key)
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => write!(f, "{}({} bytes)", self.kind(), text.len()),
            None => write!(f, "{}", self.kind()),
        }
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let part = Self(Object::deserialize(deserializer)?);
        match part.kind() {
            "" => Err(D::Error::custom("a content part has no `type`")),
            _ => Ok(part),
        }
    }
}

impl Known for PartMember {
    const WHAT: &'static str = "a content part";

    fn read<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Option<Member<Self>>, A::Error> {
        match key {
            "type" => known(map, Self::Type),
            "text" => text_or_raw(key, map, Self::Text),
            "refusal" => text_or_raw(key, map, Self::Refusal),
            "image_url" => known(map, Self::ImageUrl),
            _ => Ok(None),
        }
    }

    fn key(&self) -> &'static str {
        match self {
            Self::Type(_) => "type",
            Self::Text(_) => "text",
            Self::Refusal(_) => "refusal",
            Self::ImageUrl(_) => "image_url",
        }
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Type(text) | Self::Text(text) | Self::Refusal(text) => serializer.serialize_str(text),
            Self::ImageUrl(raw) => raw.serialize(serializer),
        }
    }
}
