//! `Format`: what the registry knows about another program's files.

use std::io::Write;

use turnwise::transcript::formats::Likelihood;
use turnwise::{Error, Transcript};

use crate::draft::Import;
use crate::head::Head;
use crate::report::Report;

/// How a file is divided into conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Division {
    /// Each element of an array, or each value, is a conversation. Read one at a time.
    Elements,
    /// Each value, usually a line, is a conversation. Read one at a time.
    Values,
    /// The whole file is read at once.
    Whole,
    /// The library reads it: it is native, or has chat-completions messages.
    Library,
}

/// That a file is in a format, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// How sure that is.
    pub likelihood: Likelihood,
    /// What shows it: ``a `mapping` of messages``.
    pub reason: String,
}

impl Found {
    /// A format that was found by a sign.
    pub fn new(likelihood: Likelihood, reason: impl Into<String>) -> Self {
        Self { likelihood, reason: reason.into() }
    }
}

/// A format of conversations that can be read, written or both. To add one, write a file under
/// `formats/` and a line in [`FORMATS`](crate::FORMATS).
pub trait Format: Sync {
    /// One word for it, which `--from` and `--to` take: `chatgpt`.
    fn name(&self) -> &'static str;

    /// What a file of it is: `ChatGPT export`.
    fn title(&self) -> &'static str;

    /// The usual endings of its files. Files are recognised by their content only.
    fn extensions(&self) -> &'static [&'static str];

    /// What a file must have to be in it, in the words of an error.
    fn needs(&self) -> &'static str;

    /// Names of members that its files have, to guess what an unknown file might be.
    fn members(&self) -> &'static [&'static str] {
        &[]
    }

    /// The ids of the [recognisers of the library](turnwise::transcript::formats::FORMATS) that
    /// recognise it.
    fn recognised_as(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether the start of a file is in it, and what shows it.
    fn detect(&self, head: &Head<'_>) -> Option<Found> {
        let detected = head.detected().filter(|detected| self.recognised_as().contains(&detected.id()))?;
        Some(Found::new(detected.likelihood(), detected.sign()))
    }

    /// How a file with this start is divided.
    fn division(&self, _head: &Head<'_>) -> Division {
        Division::Elements
    }

    /// Whether it is JSON, in which escapes of half characters are replaced.
    fn is_json(&self) -> bool {
        true
    }

    /// Whether [`read`](Self::read) reads it.
    fn is_read(&self) -> bool {
        true
    }

    /// Reads the conversations in a part of a file: an element, a value, or all of it, as
    /// [`division`](Self::division) says.
    ///
    /// # Errors
    /// [`InvalidMessage`](turnwise::ErrorKind::InvalidMessage) or
    /// [`Damaged`](turnwise::ErrorKind::Damaged) if the text is not in this format.
    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error>;

    /// What writes it, if it can be written.
    fn writer(&self) -> Option<&'static dyn Writer> {
        None
    }
}

impl std::fmt::Debug for dyn Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Writes conversations in a format.
pub trait Writer: Sync {
    /// Writes one conversation, and reports what the format cannot say. If `is_line`, the text must
    /// be one line.
    ///
    /// # Errors
    /// Those of `out`.
    fn write(
        &self,
        transcript: &Transcript,
        is_line: bool,
        out: &mut dyn Write,
        report: &mut Report,
    ) -> std::io::Result<()>;

    /// Whether several conversations are one a line. Otherwise they follow each other between
    /// [`begin`](Self::begin) and [`end`](Self::end).
    fn is_lines(&self) -> bool {
        true
    }

    /// What a file begins with.
    fn begin(&self) -> &'static str {
        ""
    }

    /// What a file ends with.
    fn end(&self) -> &'static str {
        ""
    }
}
