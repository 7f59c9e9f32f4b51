//! Decodes a file's bytes: UTF-8, and UTF-16 as PowerShell 5 writes it.

use std::borrow::Cow;

/// The encoding of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8,
    Utf16Little,
    Utf16Big,
}

/// A decoded text, and how it differs from its bytes.
#[derive(Debug)]
pub(crate) struct Decoded<'a> {
    pub(crate) text: Cow<'a, str>,
    /// How many half characters (lone surrogates) were replaced by U+FFFD.
    pub(crate) halves: usize,
    /// The byte of the text at which the first one was replaced.
    pub(crate) first_half: Option<usize>,
    /// The bytes of the text at which two halves were joined: the file has two bytes more there.
    pub(crate) joined: Vec<usize>,
}

/// The first bytes of files that are not text, with what they are and what to do about it.
const NO_TEXT: &[(&[u8], &str)] = &[
    (b"\xff\xfe\0\0", "UTF-32, which is not supported; save it as UTF-8"),
    (b"\0\0\xfe\xff", "UTF-32, which is not supported; save it as UTF-8"),
    (b"PK\x03\x04", "a zip archive; unpack it first (an export of ChatGPT or Claude has `conversations.json` in it)"),
    (b"\x1f\x8b", "compressed by gzip; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it first"),
    (
        b"SQLite format 3\0",
        "an SQLite database, which is not read; export the conversations as JSON (that of `llm` with `llm logs --json -n 0`)",
    ),
];

/// How many bytes are needed to detect an encoding.
pub(crate) const HEAD: usize = 16;

impl Encoding {
    /// Detects the encoding by a file's first bytes ([`HEAD`] of them, or all of a shorter file),
    /// and returns it with the length of the byte order mark. An error says what the file is
    /// instead of text.
    pub(crate) fn of(head: &[u8]) -> Result<(Self, usize), &'static str> {
        if let Some((_, what)) = NO_TEXT.iter().find(|(start, _)| head.starts_with(start)) {
            return Err(what);
        }
        match head {
            [0xef, 0xbb, 0xbf, ..] => Ok((Self::Utf8, 3)),
            [0xff, 0xfe, ..] => Ok((Self::Utf16Little, 2)),
            [0xfe, 0xff, ..] => Ok((Self::Utf16Big, 2)),
            // JSON begins with two ASCII characters.
            [(1..), 0, 0, 0, ..] | [0, 0, 0, (1..), ..] => Err("UTF-32, which is not supported; save it as UTF-8"),
            [(1..), 0, (1..), 0, ..] => Ok((Self::Utf16Little, 0)),
            [0, (1..), 0, (1..), ..] => Ok((Self::Utf16Big, 0)),
            _ => Ok((Self::Utf8, 0)),
        }
    }

    /// Decodes bytes after the byte order mark. An error is the number of valid bytes before the
    /// first invalid one.
    pub(crate) fn decode(self, bytes: &[u8]) -> Result<Decoded<'_>, usize> {
        match self {
            Self::Utf8 => from_utf8(bytes),
            Self::Utf16Little => from_utf16(bytes, u16::from_le_bytes),
            Self::Utf16Big => from_utf16(bytes, u16::from_be_bytes),
        }
    }

    /// How many bytes a text takes in the file, not counting the extra bytes of joined halves.
    pub(crate) fn len(self, text: &str) -> usize {
        match self {
            Self::Utf8 => text.len(),
            Self::Utf16Little | Self::Utf16Big => 2 * text.encode_utf16().count(),
        }
    }
}

/// Some programs write the two halves of a character into UTF-8, each as three bytes, which is as
/// long as U+FFFD.
fn from_utf8(bytes: &[u8]) -> Result<Decoded<'_>, usize> {
    let mut decoded = Decoded { text: Cow::Borrowed(""), halves: 0, first_half: None, joined: Vec::new() };
    let mut valid = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(Decoded { text: Cow::Borrowed(text), ..decoded }),
        Err(error) => error.valid_up_to(),
    };
    let mut text = String::with_capacity(bytes.len());
    let mut read = 0;
    loop {
        text.push_str(std::str::from_utf8(&bytes[read..read + valid]).unwrap_or_default());
        read += valid;
        if read == bytes.len() {
            decoded.text = Cow::Owned(text);
            return Ok(decoded);
        }
        let half = half(&bytes[read..]).ok_or(read)?;
        read += 3;
        if let Some(whole) = half_pair(half, self::half(&bytes[read..])) {
            read += 3;
            text.push(whole);
            decoded.joined.push(text.len());
        } else {
            decoded.halves += 1;
            decoded.first_half.get_or_insert(text.len());
            text.push(char::REPLACEMENT_CHARACTER);
        }
        valid = match std::str::from_utf8(&bytes[read..]) {
            Ok(rest) => rest.len(),
            Err(error) => error.valid_up_to(),
        };
    }
}

/// The half character at the start of these bytes.
fn half(bytes: &[u8]) -> Option<u16> {
    match *bytes {
        [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, ..] => {
            Some(0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f))
        }
        _ => None,
    }
}

fn half_pair(first: u16, second: Option<u16>) -> Option<char> {
    char::decode_utf16([first, second?]).next()?.ok()
}

fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Decoded<'static>, usize> {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let mut text = String::with_capacity(bytes.len());
    let (mut halves, mut first_half) = (0, None);
    for read in char::decode_utf16(units) {
        if read.is_err() {
            halves += 1;
            first_half.get_or_insert(text.len());
        }
        text.push(read.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    // An odd last byte is half of a unit.
    if bytes.len() % 2 == 1 {
        return Err(bytes.len() - 1);
    }
    Ok(Decoded { text: Cow::Owned(text), halves, first_half, joined: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<(String, usize), usize> {
        let (encoding, mark) = Encoding::of(bytes).unwrap();
        encoding.decode(&bytes[mark..]).map(|decoded| (decoded.text.into_owned(), decoded.halves))
    }

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn text_is_read_with_a_mark_and_without() {
        let text = "[\"aé漢🙂\"]";
        for mark in ["", "\u{feff}"] {
            let marked = format!("{mark}{text}");
            assert_eq!(decoded(marked.as_bytes()), Ok((text.to_owned(), 0)));
            assert_eq!(decoded(&utf16(&marked, u16::to_le_bytes)), Ok((text.to_owned(), 0)));
            assert_eq!(decoded(&utf16(&marked, u16::to_be_bytes)), Ok((text.to_owned(), 0)));
        }
    }

    #[test]
    fn halves_become_the_sign_for_a_character_that_is_missing() {
        assert_eq!(decoded(b"[\"\xed\xa0\xbd\"]"), Ok(("[\"\u{fffd}\"]".to_owned(), 1)));
        assert_eq!(decoded(b"\xff\xfe[\0\x3d\xd8]\0"), Ok(("[\u{fffd}]".to_owned(), 1)));
        // The two halves of one character.
        assert_eq!(decoded(b"\"\xed\xa0\xbd\xed\xb8\x80\""), Ok(("\"😀\"".to_owned(), 0)));
    }

    #[test]
    fn bytes_that_are_no_text_are_told_by_their_place() {
        assert_eq!(decoded(b"ab\xe9cd"), Err(2));
        assert_eq!(decoded(b"ab\xed\xa0\xbd\xe9"), Err(5));
        assert_eq!(decoded(b"\xff\xfe[\0]"), Err(2));
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (bytes, name) in [
            (&b"\xff\xfe\0\0[\0\0\0"[..], "UTF-32"),
            (b"[\0\0\0]\0\0\0", "UTF-32"),
            (b"PK\x03\x04\x14", "zip archive"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"SQLite format 3\0", "SQLite"),
        ] {
            assert!(Encoding::of(bytes).unwrap_err().contains(name), "{name}");
        }
    }
}
