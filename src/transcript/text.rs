//! `Text`: the text of a file or of a line, which knows its place in the file's bytes.

use std::borrow::Cow;

use super::{Transcript, Warning, damage, journal, log};
use crate::encoding::{Decoded, Encoding};
use crate::error::{Error, ErrorKind, Position, Result};
use crate::halves::mended;

/// A text, or a line of one.
#[derive(Debug)]
pub(super) struct Text<'a> {
    encoding: Encoding,
    decoded: Decoded<'a>,
    /// Lines and bytes of the file before it.
    lines: usize,
    bytes: usize,
}

impl<'a> Text<'a> {
    /// A text that is not from a file.
    pub(super) fn plain(text: &'a str) -> Self {
        let decoded = Decoded { text: Cow::Borrowed(text), halves: 0, first_half: None, joined: Vec::new() };
        Self { encoding: Encoding::Utf8, decoded, lines: 0, bytes: 0 }
    }

    /// The text of all bytes of a file.
    pub(super) fn of_file(bytes: &'a [u8]) -> Result<Self> {
        let (encoding, mark) = Encoding::of(bytes).map_err(no_text)?;
        match encoding.decode(&bytes[mark..]) {
            Ok(decoded) => Ok(Self { encoding, decoded, lines: 0, bytes: mark }),
            Err(valid) => Err(undecoded(encoding, &bytes[mark..], valid, (0, mark))),
        }
    }

    /// The text of some lines of a file in this encoding, after this many lines and bytes; the
    /// lines are UTF-8 already.
    pub(super) fn of_line(encoding: Encoding, text: &'a [u8], lines: usize, bytes: usize) -> Result<Self> {
        match Encoding::Utf8.decode(text) {
            Ok(decoded) => Ok(Self { encoding, decoded, lines, bytes }),
            Err(valid) => Err(undecoded(Encoding::Utf8, text, valid, (lines, bytes))),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.decoded.text
    }

    /// How many half characters decoding has replaced.
    pub(super) fn half_characters(&self) -> usize {
        self.decoded.halves
    }

    pub(super) fn into_text(self) -> Cow<'a, str> {
        self.decoded.text
    }

    /// The warning about half characters: those in the bytes, and `escaped` more, of which the
    /// first is at `first`.
    pub(super) fn warning(&self, escaped: usize, first: Option<usize>) -> Option<Warning> {
        let count = self.decoded.halves + escaped;
        let first = self.decoded.first_half.into_iter().chain(first).min().map(|byte| self.place(byte));
        (count > 0).then_some(Warning::HalfCharacters { count, first })
    }

    /// The conversation that the text holds.
    pub(super) fn read(&self) -> Result<Transcript> {
        if journal::is_journal(self.as_str().as_bytes()) {
            let journal = journal::read(self.as_str().as_bytes());
            return journal.map(|journal| journal.file).map_err(|error| self.placed(error));
        }
        self.read_with(super::parse)
    }

    /// A conversation with one message per line, up to an incomplete line, and the error for that
    /// line.
    pub(super) fn read_log(&self) -> Result<(Transcript, Option<Error>)> {
        let mut torn = None;
        let file = self.read_with(|text| {
            let log = log::read(text)?;
            torn = log.torn;
            Ok(log.file)
        })?;
        Ok((file, torn.map(|error| self.placed(error))))
    }

    fn read_with(&self, parse: impl FnOnce(&str) -> Result<Transcript>) -> Result<Transcript> {
        if self.as_str().trim().is_empty() {
            return Err(super::empty());
        }
        damage::refuse_zeros(self.as_str()).map_err(|error| self.placed(error))?;
        let mended = mended(self.as_str());
        let mut file = parse(&mended.text).map_err(|error| self.placed(error))?;
        let nested = if mended.may_be_nested { super::halves_in_arguments(&mended.text) } else { 0 };
        file.warnings.extend(self.warning(mended.count + nested, mended.first));
        Ok(file)
    }

    /// An error in the text with its place in the file.
    fn placed(&self, error: Error) -> Error {
        match error.position() {
            Some(place) => error.at(self.place(place.byte)),
            None => error,
        }
    }

    /// The place in the file of a byte of the text.
    pub(super) fn place(&self, byte: usize) -> Position {
        let byte = byte.min(self.as_str().len());
        let before = &self.as_str().as_bytes()[..byte];
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        let line = self.lines + before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let on_disk = self.on_disk(byte);
        Position::new(line, on_disk - self.on_disk(line_start) + 1, self.bytes + on_disk)
    }

    /// How many bytes of the file hold this many bytes of the text.
    fn on_disk(&self, byte: usize) -> usize {
        let mut whole = byte;
        while !self.as_str().is_char_boundary(whole) {
            whole -= 1;
        }
        let joined = self.decoded.joined.partition_point(|&joined| joined <= byte);
        self.encoding.len(&self.as_str()[..whole]) + byte - whole + 2 * joined
    }
}

/// The error for bytes that are not text.
pub(super) fn no_text(what: &str) -> Error {
    Error::new(ErrorKind::Damaged, format!("the file is {what}"))
}

/// The error for bytes that stop being valid text.
fn undecoded(encoding: Encoding, bytes: &[u8], valid: usize, (lines, before): (usize, usize)) -> Error {
    let detail = match encoding {
        Encoding::Utf8 => "the file is not UTF-8; convert it, such as with `iconv -f WINDOWS-1252 -t UTF-8`",
        Encoding::Utf16Little | Encoding::Utf16Big => "the file is UTF-16 and ends in the middle of a character",
    };
    let error = Error::new(ErrorKind::Damaged, detail);
    match encoding.decode(&bytes[..valid]) {
        Ok(decoded) => {
            let text = Text { encoding, decoded, lines, bytes: before };
            let end = text.as_str().len();
            error.at(text.place(end))
        }
        Err(_) => error,
    }
}
