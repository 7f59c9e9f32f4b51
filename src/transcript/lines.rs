//! Many conversations in one file, one at a time.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::de::IgnoredAny;

use super::{Transcript, utf8, without_mark};
use crate::error::{Error, ErrorKind, Position, Result};

/// Reads the conversations of a file one after the other: JSON Lines (a transcript, a request's body or an array of
/// messages a line), or one such value over as many lines as it likes.
///
/// A line that cannot be read is an error with its place in the file, and reading goes on behind it; a file that does not
/// begin with JSON is one error.
///
/// # Examples
/// ```
/// use turnwise::Transcripts;
///
/// let lines = "[{\"role\":\"user\",\"content\":\"a\"}]\n[{\"role\":\"user\",\"content\":\"b\"}]\n";
/// let texts: Result<Vec<_>, _> = Transcripts::new(lines.as_bytes())
///     .map(|file| Ok::<_, turnwise::Error>(file?.conversation.path().item(0).unwrap().message().text().into_owned()))
///     .collect();
/// assert_eq!(texts?, ["a", "b"]);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Debug)]
pub struct Transcripts<R> {
    reader: R,
    /// Lines and bytes read before the next line.
    lines: usize,
    bytes: usize,
    is_first: bool,
    is_done: bool,
}

impl Transcripts<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when it cannot be opened.
    pub fn open(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref();
        let opened = File::open(file).map_err(|e| Error::io(format_args!("reading {}", file.display()), e))?;
        Ok(Self::new(BufReader::new(opened)))
    }
}

impl<R: BufRead> Transcripts<R> {
    /// Reads from any source.
    pub fn new(reader: R) -> Self {
        Self { reader, lines: 0, bytes: 0, is_first: true, is_done: false }
    }

    /// The next value: a line, or everything when the first line does not hold a whole one. `None` at the end.
    fn next_text(&mut self) -> Result<Option<Vec<u8>>> {
        let failed = |e| Error::io("reading a transcript", e);
        let mut text = Vec::new();
        while text.trim_ascii().is_empty() {
            self.lines += text.iter().filter(|&&byte| byte == b'\n').count();
            self.bytes += text.len();
            text.clear();
            if self.reader.read_until(b'\n', &mut text).map_err(failed)? == 0 {
                return Ok(None);
            }
        }
        if self.is_first && is_torn(&text) {
            self.reader.read_to_end(&mut text).map_err(failed)?;
            self.is_done = true;
        }
        self.is_first = false;
        Ok(Some(text))
    }

    fn moved(&self, error: Error) -> Error {
        match error.position() {
            Some(Position { line, column, byte }) => {
                error.at(Position::new(line + self.lines, column, byte + self.bytes))
            }
            None if self.is_done || error.kind() == ErrorKind::NewerFormat => error,
            None => error.at(Position::new(self.lines + 1, 1, self.bytes)),
        }
    }
}

/// Whether a text is the beginning of a JSON value and not all of it.
fn is_torn(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(without_mark(text)).is_err_and(|error| error.is_eof())
}

impl<R: BufRead> Iterator for Transcripts<R> {
    type Item = Result<Transcript>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let was_first = self.is_first;
        let text = match self.next_text() {
            Ok(Some(text)) => text,
            Ok(None) => {
                self.is_done = true;
                return was_first.then(|| Err(super::empty()));
            }
            Err(error) => {
                self.is_done = true;
                return Some(Err(error));
            }
        };
        let read = utf8(text.trim_ascii_end()).and_then(Transcript::from_json).map_err(|error| self.moved(error));
        // A file that does not begin with JSON is not JSON Lines: one error for it, not one for each line.
        self.is_done |=
            was_first && read.is_err() && serde_json::from_slice::<IgnoredAny>(without_mark(&text)).is_err();
        self.lines += text.iter().filter(|&&byte| byte == b'\n').count();
        self.bytes += text.len();
        Some(read)
    }
}
