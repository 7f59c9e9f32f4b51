//! `Exporter`: writes conversations in a format, one after the other.

use std::io::{Result, Write};

use turnwise::Transcript;

use crate::format::Writer;
use crate::report::Report;

/// Writes conversations. One alone is written as a document, several are written one a line (or
/// one below the other in a page), so the first is held back until there is a second or the end.
///
/// # Examples
/// ```
/// use turnwise::{Conversation, Message, Transcript};
/// use turnwise_formats::{Exporter, format};
///
/// let talk = Transcript::new(Conversation::from_messages([Message::user("Hi"), Message::assistant("Hello!")]));
/// let mut out = Vec::new();
/// let mut exporter = Exporter::new(&mut out, format("sharegpt")?.writer().unwrap());
/// exporter.add(talk)?;
/// exporter.finish()?;
/// assert_eq!(
///     String::from_utf8(out)?,
///     "{\"conversations\":[{\"from\":\"human\",\"value\":\"Hi\"},{\"from\":\"gpt\",\"value\":\"Hello!\"}]}\n",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[allow(missing_debug_implementations, reason = "a writer has nothing to show")]
pub struct Exporter<W> {
    out: W,
    writer: &'static dyn Writer,
    held: Option<Transcript>,
    count: usize,
    report: Report,
}

impl<W: Write> Exporter<W> {
    /// Writes to `out`.
    pub fn new(out: W, writer: &'static dyn Writer) -> Self {
        Self { out, writer, held: None, count: 0, report: Report::default() }
    }

    /// Writes one more conversation.
    ///
    /// # Errors
    /// Those of the output.
    pub fn add(&mut self, transcript: Transcript) -> Result<()> {
        if self.count == 0 && self.held.is_none() {
            self.held = Some(transcript);
            return Ok(());
        }
        if let Some(first) = self.held.take() {
            self.write(&first, true)?;
        }
        self.write(&transcript, true)
    }

    fn write(&mut self, transcript: &Transcript, is_one_of_many: bool) -> Result<()> {
        if self.count == 0 {
            self.out.write_all(self.writer.begin().as_bytes())?;
        }
        self.count += 1;
        let mut report = Report::default();
        self.writer.write(transcript, is_one_of_many && self.writer.is_lines(), &mut self.out, &mut report)?;
        self.report.merge(&report, format_args!("conversation {}", self.count));
        Ok(())
    }

    /// What the format could not say, up to now.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Writes what is left, and returns how many conversations were written.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(&mut self) -> Result<usize> {
        if let Some(only) = self.held.take() {
            self.write(&only, false)?;
        }
        if self.count > 0 {
            self.out.write_all(self.writer.end().as_bytes())?;
        }
        self.out.flush()?;
        Ok(self.count)
    }
}
