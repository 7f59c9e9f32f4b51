//! `Source`: the lines of a file in any supported encoding.

use std::io::{BufRead, Cursor, Read};

use super::Warning;
use super::text::{Text, no_text};
use crate::encoding::{Encoding, HEAD};
use crate::error::{Error, Position, Result};

/// Returns the lines of a file as UTF-8 bytes, and keeps track of their places in it.
#[derive(Debug)]
pub(super) struct Source<R> {
    /// The bytes read ahead to detect the encoding; for UTF-16, the whole file, decoded.
    ahead: Cursor<Vec<u8>>,
    reader: R,
    /// The encoding, once it is known.
    encoding: Option<Encoding>,
    /// Lines and bytes of the file before the next line.
    lines: usize,
    bytes: usize,
    /// A warning to report with the first line.
    warning: Option<Warning>,
}

/// A line or more, as it was read.
pub(super) struct Lines {
    bytes: Vec<u8>,
    encoding: Encoding,
    /// Lines and bytes of the file before it.
    before: (usize, usize),
    pub(super) warning: Option<Warning>,
}

impl<R: BufRead> Source<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { ahead: Cursor::default(), reader, encoding: None, lines: 0, bytes: 0, warning: None }
    }

    /// The next line that is not blank; `None` at the end.
    pub(super) fn line(&mut self) -> Result<Option<Lines>> {
        let encoding = self.encoding()?;
        loop {
            let before = (self.lines, self.bytes);
            let mut bytes = Vec::new();
            self.ahead.read_until(b'\n', &mut bytes).map_err(failed)?;
            if bytes.last() != Some(&b'\n') {
                self.reader.read_until(b'\n', &mut bytes).map_err(failed)?;
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            self.pass(&bytes);
            if !bytes.trim_ascii().is_empty() {
                return Ok(Some(Lines { bytes, encoding, before, warning: self.warning.take() }));
            }
        }
    }

    /// Adds the rest of the file to some lines.
    pub(super) fn add_rest(&mut self, lines: &mut Lines) -> Result<()> {
        let had = lines.bytes.len();
        self.ahead.read_to_end(&mut lines.bytes).map_err(failed)?;
        self.reader.read_to_end(&mut lines.bytes).map_err(failed)?;
        let added = lines.bytes.split_off(had);
        self.pass(&added);
        lines.bytes.extend(added);
        Ok(())
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.lines += bytes.iter().filter(|&&byte| byte == b'\n').count();
        self.bytes += len(self.encoding.unwrap_or(Encoding::Utf8), bytes);
    }

    /// Detects the encoding from the first bytes, once.
    fn encoding(&mut self) -> Result<Encoding> {
        if let Some(encoding) = self.encoding {
            return Ok(encoding);
        }
        let mut head = Vec::new();
        self.reader.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(failed)?;
        let (encoding, mark) = Encoding::of(&head).map_err(no_text)?;
        if encoding == Encoding::Utf8 {
            head.drain(..mark);
        } else {
            self.reader.read_to_end(&mut head).map_err(failed)?;
            let text = Text::of_file(&head)?;
            self.warning = text.warning(0, None);
            head = text.into_text().into_owned().into_bytes();
        }
        (self.ahead, self.bytes) = (Cursor::new(head), mark);
        Ok(*self.encoding.insert(encoding))
    }
}

impl Lines {
    /// The bytes, most likely UTF-8.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text, with its place in the file.
    pub(super) fn text(&self) -> Result<Text<'_>> {
        let (lines, bytes) = self.before;
        Text::of_line(self.encoding, self.bytes.trim_ascii_end(), lines, bytes)
    }

    /// An error at its start.
    pub(super) fn error(&self, error: Error) -> Error {
        let (lines, bytes) = self.before;
        error.at(Position::new(lines + 1, 1, bytes))
    }
}

/// The length of these UTF-8 bytes in the file's encoding.
fn len(encoding: Encoding, bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(text) => encoding.len(text),
        Err(_) => bytes.len(),
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io("reading a transcript", error)
}
