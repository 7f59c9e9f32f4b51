//! `Content` and `Part`: the text, images and other parts of a message.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::object::{Known, Member, Object, known, text_or_other};
use crate::json::RawJson;

/// The content of a message.
///
/// # Examples
/// ```
/// use turnwise::{Content, Message};
///
/// let message = Message::user("What is this?").image_url("https://example.com/cat.png");
/// assert!(matches!(message.content(), Some(Content::Parts(parts)) if parts.len() == 2));
/// assert_eq!(message.content().unwrap().text(), "What is this?");
/// assert_eq!(Content::from("plain text").text(), "plain text");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// Plain text.
    Text(Box<str>),
    /// Text, images, audio and files in their order.
    Parts(Box<[Part]>),
}

impl Content {
    /// All text of the content; the texts of parts are joined without a separator, as the API
    /// counts them. Parts that are not text are skipped.
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

    /// The parts; empty if the content is plain text.
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

/// One part of a content: text, image, audio, file, refusal, or a kind that this crate does not
/// know.
///
/// # Examples
/// ```
/// use turnwise::Message;
/// use turnwise::message::Part;
///
/// let asked = Message::user(vec![Part::from_text("What is this?"), Part::image("https://example.com/cat.png")]);
/// let kinds: Vec<&str> = asked.content().unwrap().parts().iter().map(Part::kind).collect();
/// assert_eq!(kinds, ["text", "image_url"]);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Part(Object<PartMember>);

/// The member that holds the size of an image. It is kept in the record and never sent.
pub(crate) const SIZE: &str = "image_size";

#[derive(Clone, PartialEq, Eq)]
enum PartMember {
    Type(Box<str>),
    Text(Box<str>),
    Refusal(Box<str>),
    ImageUrl(RawJson),
}

/// How closely a model looks at an image. It decides what the image costs.
///
/// # Examples
/// ```
/// use turnwise::Message;
/// use turnwise::message::ImageDetail;
///
/// let message = Message::user("What is this?").image_with_detail("https://example.com/cat.png", ImageDetail::Low);
/// assert!(serde_json::to_string(&message).unwrap().contains(r#""detail":"low""#));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageDetail {
    /// The model decides. This is the API's default.
    #[default]
    Auto,
    /// A small version of the image, for few tokens: enough to tell what it shows.
    Low,
    /// The image in its full size, up to the model's limit: needed to read text in it.
    High,
}

impl ImageDetail {
    /// The API's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Low => "low",
            Self::High => "high",
        }
    }
}

/// The image of a part, as the API has it.
///
/// # Examples
/// ```
/// use turnwise::Message;
///
/// let asked = Message::user("What is this?").image_url("https://example.com/cat.png");
/// let parts = asked.content().unwrap().parts();
/// assert_eq!(parts[1].image_url().unwrap().url, "https://example.com/cat.png");
/// ```
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
    pub fn from_text(text: &str) -> Self {
        Self::of("text", Member::Known(PartMember::Text(text.into())))
    }

    /// An image, given by its address or as a `data:` URL.
    pub fn image(url: &str) -> Self {
        Self::of_image(serde_json::json!({ "url": url }))
    }

    /// An image, given by its address or as a `data:` URL, which the model looks at as closely as
    /// `detail` says.
    ///
    /// # Examples
    /// ```
    /// use turnwise::message::{ImageDetail, Part};
    /// use turnwise::{ChatCost, Message};
    ///
    /// let image = Part::image_with_detail("https://example.com/cat.png", ImageDetail::Low);
    /// let message = Message::user(vec![Part::from_text("What is this?"), image]);
    /// assert_eq!(ChatCost::for_model("gpt-4o").messages(&[message]).total().tokens, 96);
    /// ```
    pub fn image_with_detail(url: &str, detail: ImageDetail) -> Self {
        Self::of_image(serde_json::json!({ "url": url, "detail": detail.as_str() }))
    }

    /// A part of any kind: `{"type": kind, kind: value}`, the form of `input_audio` and `file`. It
    /// equals the part that is read from this JSON; the kinds `text`, `refusal` and `image_url` are
    /// typed. A part of the kind `type` has no value, because an object has each key once.
    ///
    /// # Examples
    /// ```
    /// use turnwise::message::{Part, RawJson};
    ///
    /// assert_eq!(Part::new("text", "Hello!".into()), Part::from_text("Hello!"));
    /// let file = Part::new("file", RawJson::new(r#"{"file_id": "file-1"}"#)?);
    /// assert_eq!(serde_json::to_string(&file).unwrap(), r#"{"type":"file","file":{"file_id":"file-1"}}"#);
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn new(kind: &str, value: RawJson) -> Self {
        if kind == "type" {
            return Self(Object::new(vec![Member::Known(PartMember::Type(kind.into()))]));
        }
        Self::of(kind, PartMember::from_value(kind, value))
    }

    /// The same image with its size in pixels, for counting: see
    /// [`Message::size`](super::Message::size).
    ///
    /// # Examples
    /// ```
    /// use turnwise::{ChatCost, Message};
    /// use turnwise::message::Part;
    ///
    /// let image = Part::image("https://example.com/cat.png").with_size(640, 480);
    /// assert_eq!(image.size(), Some((640, 480)));
    /// let total = ChatCost::for_model("gpt-4o").messages(&[Message::user(vec![image])]).total();
    /// assert_eq!((total.tokens, total.exact), (432, true));
    /// ```
    #[must_use]
    pub fn with_size(&self, width: u32, height: u32) -> Self {
        let size = serde_json::json!({ "width": width, "height": height });
        Self(self.0.with(Member::other(SIZE, size.into())))
    }

    /// The size that was stated for the image, in pixels: width and height.
    pub fn size(&self) -> Option<(u32, u32)> {
        #[derive(Deserialize)]
        struct Size {
            width: u32,
            height: u32,
        }
        let Size { width, height } = self.get(SIZE)?.parse().ok()?;
        (width > 0 && height > 0).then_some((width, height))
    }

    /// The part without the size that was stated for it, which is not sent.
    pub(crate) fn without_size(&self) -> Self {
        Self(self.0.filter(|member| !matches!(member, Member::Other(other) if &*other.0 == SIZE)))
    }

    /// The same part with another text.
    pub(crate) fn with_text(&self, text: &str) -> Self {
        Self(self.0.with(Member::Known(PartMember::Text(text.into()))))
    }

    fn of_image(value: serde_json::Value) -> Self {
        Self::of("image_url", Member::Known(PartMember::ImageUrl(value.into())))
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
        self.image_json().and_then(|raw| raw.parse().ok())
    }

    /// The value of `image_url`, even if it is not an image as the API has it.
    pub(crate) fn image_json(&self) -> Option<&RawJson> {
        self.0.find(|member| if let PartMember::ImageUrl(raw) = member { Some(raw) } else { None })
    }

    /// All other members, in their order.
    pub(crate) fn extra(&self) -> impl Iterator<Item = (&str, &RawJson)> {
        self.0.others()
    }

    /// Any other member, as JSON.
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
        Object::deserialize(deserializer).map(Self)
    }
}

impl PartMember {
    /// The member `key`, read from its value.
    fn from_value(key: &str, value: RawJson) -> Member<Self> {
        match key {
            "text" => text_or_other(key, value, Self::Text),
            "refusal" => text_or_other(key, value, Self::Refusal),
            "image_url" => Member::Known(Self::ImageUrl(value)),
            _ => Member::other(key, value),
        }
    }
}

impl Known for PartMember {
    const WHAT: &'static str = "a content part";

    fn read<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Option<Member<Self>>, A::Error> {
        match key {
            "type" => known(map, Self::Type),
            "text" | "refusal" | "image_url" => Ok(Some(Self::from_value(key, map.next_value()?))),
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

    fn check(members: &[Member<Self>]) -> Result<(), &'static str> {
        if members.iter().any(|member| matches!(member, Member::Known(Self::Type(_)))) {
            Ok(())
        } else {
            Err("has no `type`")
        }
    }
}
