//! `Transcripts`: reads many conversations from one file, one at a time.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::de::IgnoredAny;

use super::source::{Lines, Source};
use super::{Transcript, journal, log};
use crate::error::{Error, ErrorKind, Result};

/// Reads the conversations of a file one after the other. The file is JSON Lines (one transcript,
/// request body or array of messages per line), or a single such value over any number of lines. A
/// log with one message per line is one conversation, and so is a journal. The encoding is UTF-8, or UTF-16, which is
/// read at once.
///
/// A line that cannot be read is an error with its place in the file, and reading continues after
/// it. A file that does not begin with JSON is a single error, and so is a file of another program
/// or API ([`ErrorKind::ForeignFormat`]). If the last line of a log is incomplete, the error comes
/// after the conversation; any other unreadable line makes the log an error, because the
/// conversation would have a gap.
///
/// # Examples
/// ```
/// use turnwise::transcript::Transcripts;
///
/// let lines = "[{\"role\":\"user\",\"content\":\"a\"}]\n[{\"role\":\"user\",\"content\":\"b\"}]\n";
/// let texts: Result<Vec<_>, _> = Transcripts::new(lines.as_bytes())
///     .map(|file| Ok::<_, turnwise::Error>(file?.conversation.path().item(0).unwrap().message().text().into_owned()))
///     .collect();
/// assert_eq!(texts?, ["a", "b"]);
///
/// let log = "{\"role\":\"user\",\"content\":\"a\"}\n{\"role\":\"assistant\",\"content\":\"b\"}\n";
/// let messages: usize = Transcripts::new(log.as_bytes()).map(|file| file.unwrap().conversation.path().len()).sum();
/// assert_eq!((Transcripts::new(log.as_bytes()).count(), messages), (1, 2));
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Debug)]
pub struct Transcripts<R> {
    source: Source<R>,
    /// Whether nothing has been read yet.
    is_first: bool,
    has_read: bool,
    is_done: bool,
    /// An error to return after the last conversation.
    left: Option<Error>,
}

impl Transcripts<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be opened.
    pub fn open(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref();
        let opened = File::open(file).map_err(|e| Error::io(format_args!("reading {}", file.display()), e))?;
        Ok(Self::new(BufReader::new(opened)))
    }
}

impl<R: BufRead> Transcripts<R> {
    /// Reads from any source.
    pub fn new(reader: R) -> Self {
        Self { source: Source::new(reader), is_first: true, has_read: false, is_done: false, left: None }
    }

    /// The next value: a line; or the whole file if its first line holds no complete value, or is a
    /// message.
    fn next_lines(&mut self) -> Result<Option<Lines>> {
        let Some(mut lines) = self.source.line()? else { return Ok(None) };
        if self.is_first && is_one_conversation(&lines) {
            self.source.add_rest(&mut lines)?;
            self.is_done = true;
        }
        Ok(Some(lines))
    }

    fn read(&mut self, lines: &Lines) -> Result<Transcript> {
        let text = lines.text()?;
        let mut file = if self.is_done && log::is_log(text.as_str()) {
            let (file, torn) = text.read_log()?;
            self.left = torn;
            file
        } else {
            text.read()?
        };
        if file.is_log && !self.is_first {
            let detail = "a message after lines that are whole conversations; a file must have one kind of line";
            return Err(Error::new(ErrorKind::InvalidMessage, detail));
        }
        file.warnings.extend(lines.warning.clone());
        Ok(file)
    }

    /// An error with its place, if it belongs to one line of many.
    fn placed(&self, error: Error, lines: &Lines) -> Error {
        match error.position() {
            None if !self.is_done && error.kind() != ErrorKind::NewerFormat => lines.error(error),
            _ => error,
        }
    }
}

/// Whether a file that begins with this line is one conversation over many lines.
fn is_one_conversation(first: &Lines) -> bool {
    let is_log = || first.text().is_ok_and(|text| log::is_log(text.as_str()));
    journal::is_journal(first.as_bytes()) || is_torn(first.as_bytes()) || is_log()
}

/// Whether a text is the incomplete beginning of a JSON value.
fn is_torn(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_err_and(|error| error.is_eof())
}

impl<R: BufRead> Iterator for Transcripts<R> {
    type Item = Result<Transcript>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return self.left.take().map(Err);
        }
        let lines = match self.next_lines() {
            Ok(Some(lines)) => lines,
            Ok(None) => {
                self.is_done = true;
                return self.is_first.then(|| Err(super::empty()));
            }
            Err(error) => {
                self.is_done = true;
                return Some(Err(error));
            }
        };
        let read = self.read(&lines).map_err(|error| self.placed(error, &lines));
        match &read {
            Ok(_) => self.has_read = true,
            // A file that is not JSON Lines, or is in another format, is one error, and not one per
            // line.
            Err(error) => {
                let is_json = serde_json::from_slice::<IgnoredAny>(lines.as_bytes()).is_ok();
                let is_foreign = error.kind() == ErrorKind::ForeignFormat && !self.has_read;
                self.is_done |= is_foreign || self.is_first && !is_json;
            }
        }
        self.is_first = false;
        Some(read)
    }
}
