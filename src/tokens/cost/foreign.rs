//! The cost of members that this crate does not know: JSON is counted by its text, as an upper
//! estimate.
//!
//! A server may show such a value to the model unchanged, extract the text from it, or ignore it.
//! The text is the most that it can cost, except for base64 data: as text, a picture of a megabyte
//! would cost 700,000 tokens, which no server bills for a picture. Data is counted by what it is,
//! or by its length.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Add;

use serde_json::value::RawValue;

use super::ChatCost;
use super::data::{pages, rate};
use super::image;
use super::image_size::{Size, data_of_url, size_of_data};
#[cfg(feature = "blobs")]
use crate::blob::Facts;
use crate::blob::Reference;
use crate::json::RawJson;
use crate::tokens::Count;

/// The cost of media of unknown size without a public formula: audio, files, a video given by its
/// address.
pub(super) const MEDIA: u64 = 500;
/// Shorter base64 is counted as text.
const SHORTEST_DATA: usize = 512;
/// Characters of base64 for a token, where it is not known what they are: less than most PDFs have.
const DATA_PER_TOKEN: u64 = 64;

impl ChatCost {
    /// The cost of a value that is not understood.
    pub(super) fn foreign(&self, value: &RawJson) -> Count {
        self.read(value).count
    }

    /// Reads a value that is not understood.
    pub(super) fn read(&self, value: &RawJson) -> Foreign {
        let shown = Shown::of(value.as_str());
        let data: Count = shown.data.iter().map(|data| Count::estimated(self.data(data))).sum();
        let count = (self.text(&shown.text) + data).estimated_if(true);
        if is_nothing(value) { Foreign::default() } else { Foreign { count, has_data: !shown.data.is_empty() } }
    }

    /// Reads a member of a part. The data in `input_audio` and `file` is counted as such, whatever
    /// it looks like.
    pub(super) fn read_member(&self, part: &str, key: &str, value: &RawJson) -> Foreign {
        let (field, about) = match (part, key) {
            ("input_audio", "input_audio") => ("data", "format"),
            ("file", "file") => ("file_data", "filename"),
            _ => return self.read(value),
        };
        let members: BTreeMap<String, &RawValue> = value.parse().unwrap_or_default();
        let member = |key: &str| serde_json::from_str::<String>(members.get(key)?.get()).ok();
        let Some(data) = member(field).filter(|data| !data.is_empty()) else { return self.read(value) };
        let facts = match Reference::parse(&data) {
            Some(reference) => Known::of_reference(&reference),
            None => Known::of_data(data_of_url(&data).unwrap_or(&data)),
        };
        let tokens = match part {
            "file" => self.file(facts.characters, facts.pages.unwrap_or(1)),
            _ => self.sound(facts.characters, facts.rate, member(about).as_deref()),
        };
        let others = members.iter().filter(|(key, _)| *key != field && *key != about);
        let others: Count = others.map(|(key, value)| self.text(key) + self.foreign(&RawJson::from(*value))).sum();
        Foreign { count: Count::estimated(tokens) + others, has_data: true }
    }

    /// The cost of a value that stands for media of some kind, embedded or linked.
    pub(super) fn media(&self, kind: &str, value: Count) -> Count {
        let least = match kind {
            kind if kind.contains("image") => image::cost_of(None, self.images).tokens,
            "file" => self.page().unwrap_or(MEDIA),
            _ => MEDIA,
        };
        Count::estimated(value.tokens.max(least))
    }

    fn data(&self, data: &Data) -> u64 {
        match data {
            Data::Image(size) => image::cost_of(Some(*size), self.images).tokens,
            Data::Sound { characters, rate } => self.sound(*characters, *rate, None),
            Data::Other(length) => MEDIA + length / DATA_PER_TOKEN,
        }
    }
}

/// The cost of values that are not understood, and whether data in them was counted as what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Foreign {
    pub(super) count: Count,
    pub(super) has_data: bool,
}

impl Default for Foreign {
    fn default() -> Self {
        Self { count: Count::ZERO, has_data: false }
    }
}

impl Add for Foreign {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { count: self.count + other.count, has_data: self.has_data || other.has_data }
    }
}

/// Whether a value is empty.
pub(super) fn is_nothing(value: &RawJson) -> bool {
    matches!(value.as_str(), "null" | "[]" | "{}" | "\"\"")
}

/// Whether parts of a kind stand for more than their text.
pub(super) fn is_media(kind: &str) -> bool {
    ["image", "audio", "video", "file", "document", "media"].iter().any(|media| kind.contains(media))
}

/// Base64 in a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    Image(Size),
    Sound {
        characters: u64,
        rate: Option<u64>,
    },
    /// With its length in characters.
    Other(u64),
}

impl Data {
    fn of(text: &str) -> Option<Self> {
        if let Some(reference) = Reference::parse(text) {
            return Some(Self::of_reference(&reference));
        }
        let of_url = data_of_url(text);
        let data = of_url.unwrap_or(text);
        let is_long = of_url.is_some() || data.len() >= SHORTEST_DATA;
        if !is_long || !data.bytes().all(is_base64) {
            return None;
        }
        if let Some(size) = size_of_data(data) {
            return Some(Self::Image(size));
        }
        // The first bytes of WAV, MP3 with and without tags, Ogg and FLAC.
        let is_sound = ["UklGR", "SUQz", "//s", "//v", "T2dnU", "ZkxhQ"].iter().any(|start| data.starts_with(start));
        let length = data.len() as u64;
        if is_sound {
            Some(Self::Sound { characters: length, rate: rate(data) })
        } else {
            (of_url.is_some() || is_mixed(data)).then_some(Self::Other(length))
        }
    }

    fn of_reference(reference: &Reference<'_>) -> Self {
        let facts = &reference.facts;
        match facts.size {
            Some((width, height)) => Self::Image(Size { width, height }),
            None if facts.is_sound => Self::Sound { characters: facts.characters(), rate: facts.rate },
            None => Self::Other(facts.characters()),
        }
    }
}

/// What the cost of a file or of sound depends on.
struct Known {
    characters: u64,
    pages: Option<u64>,
    rate: Option<u64>,
}

impl Known {
    fn of_data(data: &str) -> Self {
        Self { characters: data.len() as u64, pages: pages(data), rate: rate(data) }
    }

    fn of_reference(reference: &Reference<'_>) -> Self {
        let facts = &reference.facts;
        Self { characters: facts.characters(), pages: facts.pages, rate: facts.rate }
    }
}

/// What a count needs to know of base64, or of a `data:` URL, when the data is elsewhere; `None` for
/// a text that is not counted as data.
#[cfg(feature = "blobs")]
pub(crate) fn facts(text: &str, bytes: u64) -> Option<Facts> {
    let data = data_of_url(text).unwrap_or(text);
    let mut facts = Facts { bytes, pages: pages(data), rate: rate(data), ..Facts::default() };
    match Data::of(text)? {
        Data::Image(Size { width, height }) => facts.size = Some((width, height)),
        Data::Sound { .. } => facts.is_sound = true,
        Data::Other(_) => {}
    }
    Some(facts)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=' | b'\n' | b'\r')
}

/// Whether letters and digits are mixed as in base64, unlike in a long word or a number.
fn is_mixed(data: &str) -> bool {
    let part = |is: fn(&u8) -> bool| data.bytes().filter(is).count() * 100 / data.len().max(1);
    part(u8::is_ascii_uppercase) >= 5 && part(u8::is_ascii_lowercase) >= 5 && part(u8::is_ascii_digit) >= 2
}

/// The text of JSON, with the escapes of its strings decoded and without its data.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shown {
    text: String,
    data: Vec<Data>,
}

impl Shown {
    /// Goes from string to string, however deeply they are nested.
    fn of(json: &str) -> Self {
        if let Some((string, "")) = json.strip_prefix('"').and_then(split_string) {
            let mut shown = Self::default();
            shown.add(string);
            return shown;
        }
        let mut shown = Self::default();
        let mut rest = json;
        while let Some((before, string)) = rest.split_once('"') {
            shown.text.push_str(before);
            let Some((string, after)) = split_string(string) else { break };
            shown.text.push('"');
            shown.add(string);
            shown.text.push('"');
            rest = after;
        }
        shown.text.push_str(rest);
        shown
    }

    fn add(&mut self, string: &str) {
        let text = unescaped(string);
        match Data::of(&text) {
            Some(data) => self.data.push(data),
            None => self.text.push_str(&text),
        }
    }
}

/// The content of a string whose opening quote was read, and the text after its closing quote.
fn split_string(text: &str) -> Option<(&str, &str)> {
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })?;
    Some((&text[..end], &text[end + 1..]))
}

fn unescaped(string: &str) -> Cow<'_, str> {
    if !string.contains('\\') {
        return Cow::Borrowed(string);
    }
    let read = serde_json::from_str(&format!("\"{string}\""));
    read.map_or(Cow::Borrowed(string), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> Shown {
        Shown::of(RawJson::new(json).unwrap().as_str())
    }

    #[test]
    fn strings_are_shown_without_their_escapes_at_any_depth() {
        assert_eq!(shown(r#""a\nb""#).text, "a\nb");
        assert_eq!(shown(r#"{"k": ["\u00e9 \"x\"", 1.50, null]}"#).text, "{\"k\":[\"é \"x\"\",1.50,null]}");
        assert_eq!(shown(r#"["\ud83d", ""]"#).text, "[\"\u{fffd}\",\"\"]", "half of a character");
        let deep = format!("{}\"x\"{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(shown(&deep).text, deep);
    }

    #[test]
    fn data_in_base64_is_no_text() {
        let png = "iVBORw0KGgoAAAANSUhEUgAAAIAAAABACAYAAADS1n9/";
        let image = Data::Image(Size { width: 128, height: 64 });
        assert_eq!(shown(&format!(r#"{{"url":"data:image/png;base64,{png}"}}"#)).data, std::slice::from_ref(&image));
        assert_eq!(shown(&format!(r#"{{"data":"{png}{}"}}"#, "aB3/".repeat(128))).data, [image]);
        let bytes = "q0xZ9+/a".repeat(100);
        assert_eq!(
            shown(&format!(r#"{{"a":"{bytes}"}}"#)),
            Shown { text: r#"{"a":""}"#.into(), data: vec![Data::Other(800)] }
        );
        assert_eq!(shown(&format!(r#""UklGRgAA{bytes}""#)).data, [Data::Sound { characters: 808, rate: None }]);
        let words = "The river is wide here. ".repeat(100);
        for text in [&words, &"x".repeat(5_000), &"Größe".repeat(500), &"0123456789".repeat(100), "q0xZ9+/a"] {
            assert_eq!(shown(&format!("\"{text}\"")).text, *text);
        }
    }
}
