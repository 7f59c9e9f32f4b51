//! References to blobs: what is in a message where base64 was moved to a file.
//!
//! A reference is a text in the place of the base64:
//!
//! ```text
//! turnwise-blob:sha256/HASH?bytes=18204&size=1024x768&type=image/png
//! ```
//!
//! The hash is that of the decoded bytes, in lowercase hexadecimal, and the name of their file.
//! What follows is what a count needs to know of the data, so that a message costs the same without
//! it, and the type of a `data:` URL, so that the URL comes back as it was. The type is last,
//! because it may hold any character.

use std::borrow::Cow;
use std::fmt;

use crate::error::{Advice, Error, ErrorKind, Result};
use crate::json::scalars;
use crate::message::{Content, Message, Part};

const START: &str = "turnwise-blob:sha256/";
/// Digits of a hash.
pub(crate) const HASH: usize = 64;
/// The members of a part that may hold base64.
const KEYS: &[&str] = &["url", "image_url", "data", "file_data"];

/// What a count needs to know of data that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The length of the decoded data.
    pub(crate) bytes: u64,
    /// Width and height of an image in pixels.
    pub(crate) size: Option<(u64, u64)>,
    /// The pages of a PDF that can be seen.
    pub(crate) pages: Option<u64>,
    /// Whether it begins as a file of sound.
    pub(crate) is_sound: bool,
    /// Bytes of a second of sound.
    pub(crate) rate: Option<u64>,
}

impl Facts {
    /// The length of the data in base64, with padding.
    pub(crate) fn characters(&self) -> u64 {
        self.bytes.div_ceil(3).saturating_mul(4)
    }
}

/// A reference to a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub(crate) hash: Cow<'a, str>,
    pub(crate) facts: Facts,
    /// The type of a `data:` URL; `None` for base64 alone.
    pub(crate) kind: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// Reads a reference; `None` for any other text.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (hash, mut about) = text.strip_prefix(START)?.split_once('?')?;
        let is_hash = hash.len() == HASH && hash.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        let mut facts = Facts::default();
        let mut kind = None;
        let mut has_length = false;
        while !about.is_empty() {
            if let Some(named) = about.strip_prefix("type=") {
                kind = Some(named);
                break;
            }
            let (fact, rest) = about.split_once('&').unwrap_or((about, ""));
            about = rest;
            match fact.split_once('=')? {
                ("bytes", bytes) => {
                    facts.bytes = bytes.parse().ok()?;
                    has_length = true;
                }
                ("size", size) => {
                    let (width, height) = size.split_once('x')?;
                    facts.size = Some((width.parse().ok()?, height.parse().ok()?));
                }
                ("pages", pages) => facts.pages = Some(pages.parse().ok()?),
                ("rate", rate) => facts.rate = Some(rate.parse().ok()?),
                ("sound", "yes") => facts.is_sound = true,
                _ => return None,
            }
        }
        (is_hash && has_length).then_some(Self { hash: hash.into(), facts, kind })
    }

    /// The text that the reference stands for, given the base64.
    #[cfg(feature = "blobs")]
    pub(crate) fn original(&self, base64: &str) -> String {
        match self.kind {
            Some(kind) => format!("data:{kind};base64,{base64}"),
            None => base64.to_owned(),
        }
    }
}

impl fmt::Display for Reference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { bytes, size, pages, is_sound, rate } = self.facts;
        write!(f, "{START}{}?bytes={bytes}", self.hash)?;
        if let Some((width, height)) = size {
            write!(f, "&size={width}x{height}")?;
        }
        if let Some(pages) = pages {
            write!(f, "&pages={pages}")?;
        }
        if is_sound {
            f.write_str("&sound=yes")?;
        }
        if let Some(rate) = rate {
            write!(f, "&rate={rate}")?;
        }
        match self.kind {
            Some(kind) => write!(f, "&type={kind}"),
            None => Ok(()),
        }
    }
}

/// The type and the base64 of a `data:` URL.
pub(crate) fn split_url(url: &str) -> Option<(&str, &str)> {
    /// How many bytes of a URL are searched for the comma.
    const LONGEST_KIND: usize = 256;
    let url = url.strip_prefix("data:")?;
    let (kind, data) = url.split_at(url.bytes().take(LONGEST_KIND).position(|byte| byte == b',')?);
    Some((kind.strip_suffix(";base64")?, data.get(1..)?))
}

/// A JSON text with other texts in the members that may hold base64; `None` if all stay. Texts that
/// are written with escapes are not looked at: base64 and references have none.
#[cfg(any(feature = "blobs", test))]
pub(crate) fn replaced(json: &str, mut replace: impl FnMut(&str) -> Result<Option<String>>) -> Result<Option<String>> {
    let mut changed = String::new();
    let mut copied = 0;
    for (start, text) in candidates(json) {
        if let Some(other) = replace(text)? {
            changed.push_str(&json[copied..start]);
            changed.push_str(&other);
            copied = start + text.len();
        }
    }
    Ok((copied > 0).then(|| changed + &json[copied..]))
}

/// The texts of members that may hold base64, without their quotes, and where they begin.
fn candidates(json: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut key = "";
    scalars(json).filter_map(move |token| {
        let text = json[token.clone()].strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default();
        let of = std::mem::take(&mut key);
        if json[token.end..].trim_start().starts_with(':') {
            key = text;
            return None;
        }
        (KEYS.contains(&of) && !text.contains('\\')).then_some((token.start + 1, text))
    })
}

/// What a planner does with messages whose data was moved to a file and not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum References {
    Refused,
    /// They are planned: the files are read when the request is sent.
    #[cfg(feature = "blobs")]
    Sent,
}

impl References {
    pub(crate) fn check(self, messages: &[Message]) -> Result<()> {
        match self {
            Self::Refused => refuse_unrestored(messages),
            #[cfg(feature = "blobs")]
            Self::Sent => Ok(()),
        }
    }
}

fn refuse_unrestored(messages: &[Message]) -> Result<()> {
    for (index, message) in messages.iter().enumerate() {
        let parts = message.content().map_or(&[][..], Content::parts);
        if let Some(hash) = parts.iter().find_map(first_in) {
            let detail = format!(
                "message {index} of the request holds a blob that was moved to a file and not restored; the file is {hash}"
            );
            return Err(Error::new(ErrorKind::MissingBlob, detail).advise(Some(advice())));
        }
    }
    Ok(())
}

fn first_in(part: &Part) -> Option<String> {
    let values = part.image_json().into_iter().map(|value| ("image_url", value)).chain(part.extra());
    let mut named = values.filter(|(_, value)| value.as_str().contains(START));
    named.find_map(|(key, value)| {
        let json = format!("{{\"{key}\":{}}}", value.as_str());
        candidates(&json).find_map(|(_, text)| Some(Reference::parse(text)?.hash.into_owned()))
    })
}

fn advice() -> Advice {
    Advice::new(
        "call `Transcript::restore_blobs` with its folder before planning, or give the manager the folder (`Builder::blobs`)",
        "put the file into the folder FILE.blobs beside the conversation",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_as_it_was_written_and_nothing_else_is_one() {
        let facts = Facts { bytes: 7, size: Some((3, 4)), pages: Some(2), is_sound: true, rate: Some(9) };
        for kind in [None, Some(""), Some("image/png"), Some("text/plain;charset=a&type=b?c")] {
            for facts in [facts, Facts { bytes: 600, ..Facts::default() }] {
                let reference = Reference { hash: "0a".repeat(32).into(), facts, kind };
                assert_eq!(Reference::parse(&reference.to_string()), Some(reference.clone()));
            }
        }
        let hash = "0a".repeat(32);
        for other in [
            String::new(),
            format!("turnwise-blob:sha256/{hash}"),
            format!("turnwise-blob:sha256/{hash}?size=1x1"),
            format!("turnwise-blob:sha256/{}?bytes=1", hash.to_uppercase()),
            format!("turnwise-blob:sha256/../{}?bytes=1", &hash[3..]),
            format!("turnwise-blob:sha256/{hash}?bytes=1&later=1"),
            format!(" turnwise-blob:sha256/{hash}?bytes=1"),
        ] {
            assert_eq!(Reference::parse(&other), None, "{other}");
        }
    }

    #[test]
    fn only_members_that_may_hold_base64_are_looked_at() {
        let json = r#"{"text":"a","url":"b","x":{"data":"c\n","url":["d","e"]},"data":5,"file_data":"f"}"#;
        let found: Vec<&str> = candidates(json).map(|(_, text)| text).collect();
        assert_eq!(found, ["b", "d", "", "f"]);
        let changed = replaced(json, |text| Ok((text == "b").then(|| "B!".to_owned()))).unwrap();
        assert_eq!(changed, Some(json.replace("\"b\"", "\"B!\"")));
        assert_eq!(replaced(json, |_| Ok(None)).unwrap(), None);
    }
}
