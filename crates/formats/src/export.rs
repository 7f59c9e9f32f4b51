//! `Exporter`: writes conversations in a format, one after the other.

use std::io::{self, Write};

use turnwise::Transcript;

use crate::format::Writer;
use crate::report::Report;

/// Writes conversations. Most formats write a single conversation as a document over many lines, and
/// several as one line each. Which of the two it is depends on whether there is a second one, so the
/// first is written only with the second, or by [`finish`](Self::finish).
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
    /// The first conversation, until there is a second one or the end.
    held: Option<Transcript>,
    /// How many conversations were written.
    count: usize,
    /// How much of what surrounds the conversations was written.
    frame: Frame,
    report: Report,
}

/// What was written of a format's text before the first conversation and after the last one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    Nothing,
    Begin,
    BeginAndEnd,
}

impl<W: Write> Exporter<W> {
    /// Writes to `out`.
    pub fn new(out: W, writer: &'static dyn Writer) -> Self {
        Self { out, writer, held: None, count: 0, frame: Frame::Nothing, report: Report::default() }
    }

    /// Writes one more conversation.
    ///
    /// # Errors
    /// Those of the output, which may then end in the middle of a conversation. An error of the kind
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) after [`finish`](Self::finish).
    pub fn add(&mut self, transcript: Transcript) -> io::Result<()> {
        if self.frame == Frame::BeginAndEnd {
            let detail = "the exporter is finished and takes no more conversations; use a new one";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, detail));
        }
        if self.count == 0 && self.held.is_none() {
            self.held = Some(transcript);
            return Ok(());
        }
        self.write_held(true)?;
        self.write(&transcript, true)
    }

    /// Writes the first conversation if it is held back. It stays held if that fails.
    fn write_held(&mut self, is_one_of_many: bool) -> io::Result<()> {
        let Some(first) = self.held.take() else { return Ok(()) };
        let written = self.write(&first, is_one_of_many);
        if written.is_err() {
            self.held = Some(first);
        }
        written
    }

    fn write(&mut self, transcript: &Transcript, is_one_of_many: bool) -> io::Result<()> {
        if self.frame == Frame::Nothing {
            self.out.write_all(self.writer.begin().as_bytes())?;
            self.frame = Frame::Begin;
        }
        let mut report = Report::default();
        self.writer.write(transcript, is_one_of_many && self.writer.is_lines(), &mut self.out, &mut report)?;
        self.count += 1;
        self.report.merge(&report, format_args!("conversation {}", self.count));
        Ok(())
    }

    /// What was changed or left out of the conversations written so far, because the format has no place
    /// for it.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Writes what was held back and the end of the format, and returns how many conversations were
    /// written. Does nothing more if called again; after an error it goes on with what is missing.
    ///
    /// # Errors
    /// Those of the output, which may then end in the middle of a conversation.
    pub fn finish(&mut self) -> io::Result<usize> {
        self.write_held(false)?;
        if self.frame == Frame::Begin {
            self.out.write_all(self.writer.end().as_bytes())?;
            self.frame = Frame::BeginAndEnd;
        }
        self.out.flush()?;
        Ok(self.count)
    }
}

#[cfg(test)]
mod tests {
    use turnwise::{Conversation, Message};

    use super::*;
    use crate::format;

    /// An output that fails once, at the first write.
    #[derive(Default)]
    struct FailsOnce {
        has_failed: bool,
        text: Vec<u8>,
    }

    impl Write for FailsOnce {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.has_failed {
                return self.text.write(bytes);
            }
            self.has_failed = true;
            Err(io::Error::other("the disk is full"))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn talk() -> Transcript {
        Transcript::new(Conversation::from_messages([Message::user("Hi")]))
    }

    fn writer(name: &str) -> &'static dyn Writer {
        format(name).unwrap().writer().unwrap()
    }

    #[test]
    fn the_end_is_written_once_and_nothing_follows_it() {
        let writer = writer("html");
        assert!(!writer.end().is_empty());
        let mut out = Vec::new();
        let mut exporter = Exporter::new(&mut out, writer);
        exporter.add(talk()).unwrap();
        assert_eq!((exporter.finish().unwrap(), exporter.finish().unwrap()), (1, 1));
        assert_eq!(exporter.add(talk()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches(writer.end()).count(), 1);
    }

    #[test]
    fn a_held_conversation_that_could_not_be_written_is_not_lost() {
        let mut exporter = Exporter::new(FailsOnce::default(), writer("sharegpt"));
        exporter.add(talk()).unwrap();
        exporter.finish().unwrap_err();
        assert_eq!(exporter.finish().unwrap(), 1);
        assert!(String::from_utf8_lossy(&exporter.out.text).contains("Hi"));
    }
}
