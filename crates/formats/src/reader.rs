//! `Imports`: reads the conversations of a file in any format that is known, one after the other.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Chain, Cursor, Read};
use std::path::Path;

use turnwise::transcript::Transcripts;
use turnwise::transcript::formats::text_of;
use turnwise::{Error, ErrorKind};

use crate::draft::Import;
use crate::format::{Division, Format};
use crate::head::{Head, complete};
use crate::registry::{Choice, NATIVE, choose, find_recognised};
use crate::report::{Fate, Report};
use crate::source::{Piece, Pieces};

/// How much of a file is looked at to recognise it; more, if its first value is longer.
const HEAD: usize = 256 * 1024;

type Joined<R> = Chain<Cursor<Vec<u8>>, R>;

/// The conversations of a file in any known format, one after the other, in the memory of one
/// conversation. The file may be in UTF-8, or in UTF-16, which is read at once.
///
/// A conversation that cannot be read is an error, and reading continues after it.
///
/// # Examples
/// ```
/// use turnwise_formats::Imports;
///
/// let export = r#"[{"uuid": "a", "name": "Rivers", "chat_messages": [
///     {"sender": "human", "text": "Name a river."}, {"sender": "assistant", "text": "The Elbe."}]}]"#;
/// let mut imports = Imports::new(export.as_bytes(), None)?;
/// assert_eq!(imports.format().name(), "claude");
/// let import = imports.next().unwrap()?;
/// assert_eq!(import.transcript.conversation.path().len(), 2);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Debug)]
pub struct Imports<R> {
    format: &'static dyn Format,
    source: Source<R>,
    ready: VecDeque<Result<Import, Error>>,
    /// Conversations up to now, with those that could not be read.
    number: usize,
    count: usize,
    report: Report,
    /// Half characters that decoding the file has replaced.
    halves: usize,
}

#[derive(Debug)]
enum Source<R> {
    Library { transcripts: Transcripts<Joined<R>>, held: Option<Vec<u8>>, is_first: bool },
    Pieces(Pieces<Joined<R>>),
    Whole(Option<Vec<u8>>),
    Done,
}

impl Imports<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read, and those of [`new`](Self::new).
    pub fn open(file: impl AsRef<Path>, from: Option<&'static dyn Format>) -> Result<Self, Error> {
        let file = file.as_ref();
        let opened = File::open(file).map_err(|e| failed(&e).because(e))?;
        Self::new(BufReader::with_capacity(128 * 1024, opened), from)
    }
}

fn failed(error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("reading a file: {error}"))
}

impl<R: BufRead> Imports<R> {
    /// Reads from any source, in the format `from`, or in the one that is recognised.
    ///
    /// # Errors
    /// - [`ErrorKind::Io`] if the start cannot be read.
    /// - [`ErrorKind::Damaged`] if it is not text.
    /// - [`ErrorKind::ForeignFormat`] if the format is not known, with what was tried, or if it is
    ///   known and not read.
    pub fn new(mut reader: R, from: Option<&'static dyn Format>) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        let is_all = read_head(&mut reader, &mut bytes)?;
        let is_native = from.is_none() && starts_native(&bytes);
        // The library's error for bytes that are not text has their place.
        let start = if is_native { &[] } else { whole_characters(&bytes, is_all) };
        let text = text_of(start, true).map_or(Cow::Borrowed(""), |(text, _)| text);
        let text = complete(&text).unwrap_or(Cow::Borrowed(&text)).into_owned();
        let head = Head::of(&text);
        let (format, division) = match from {
            Some(format) if format.is_read() => (format, format.division(&head)),
            Some(format) => {
                let detail = format!("{} files are written and not read", format.title());
                return Err(Error::new(ErrorKind::ForeignFormat, detail));
            }
            None if is_native => (NATIVE, Division::Library),
            None => match choose(&head)? {
                Choice::Format(format) => (format, format.division(&head)),
                Choice::Library(format) if is_list_of_bodies(&head) => (format, Division::Elements),
                Choice::Library(format) => (format, Division::Library),
            },
        };
        let is_one = format.name() != NATIVE.name() && (head.is_array() || !head.is_lines() || is_log(&head));
        let (source, halves) = Self::source(reader, bytes, is_all, division, is_one)?;
        let (ready, report) = (VecDeque::new(), Report::default());
        Ok(Self { format, source, ready, number: 0, count: 0, report, halves })
    }

    fn source(
        mut reader: R,
        mut bytes: Vec<u8>,
        is_all: bool,
        division: Division,
        is_one: bool,
    ) -> Result<(Source<R>, usize), Error> {
        let is_utf_8 = bytes.starts_with(b"\xef\xbb\xbf") || !is_utf_16(&bytes);
        let reads_all = division == Division::Whole || division == Division::Library && is_one || !is_utf_8;
        if reads_all && !is_all {
            reader.read_to_end(&mut bytes).map_err(|e| failed(&e))?;
        }
        if division == Division::Library {
            // Whether one conversation is another program's may show in its last message.
            let held = is_one.then(|| bytes.clone());
            let transcripts = Transcripts::new(Cursor::new(bytes).chain(reader));
            return Ok((Source::Library { transcripts, held, is_first: true }, 0));
        }
        let mut halves = 0;
        if !is_utf_8 {
            let (text, replaced) = text_of(&bytes, false)?;
            halves = replaced;
            bytes = text.into_owned().into_bytes();
        } else if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let source = match division {
            Division::Whole => Source::Whole(Some(bytes)),
            _ => Source::Pieces(Pieces::new(Cursor::new(bytes).chain(reader), division == Division::Elements)),
        };
        Ok((source, halves))
    }

    /// The format of the file.
    pub fn format(&self) -> &'static dyn Format {
        self.format
    }

    /// How many conversations were read up to now.
    pub fn count_read(&self) -> usize {
        self.count
    }

    /// What was not carried over up to now, of all conversations.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Reads more. `false` at the end.
    fn more(&mut self) -> bool {
        match &mut self.source {
            Source::Done => return false,
            Source::Library { transcripts, held, is_first } => {
                let held = if std::mem::take(is_first) { held.take() } else { None };
                match transcripts.next() {
                    None => self.source = Source::Done,
                    Some(Ok(transcript)) => {
                        let id = crate::origin::id(&transcript);
                        self.ready.push_back(Ok(Import { transcript, report: Report::default(), id }));
                    }
                    Some(Err(error)) => self.after_refusal(error, held),
                }
            }
            Source::Pieces(pieces) => match pieces.next() {
                Ok(None) => self.source = Source::Done,
                Ok(Some(piece)) => self.read_piece(&piece),
                Err(error) => self.stop(failed(&error)),
            },
            Source::Whole(bytes) => {
                let bytes = bytes.take().unwrap_or_default();
                self.source = Source::Done;
                self.read_bytes(&bytes, None);
            }
        }
        true
    }

    fn stop(&mut self, error: Error) {
        self.source = Source::Done;
        self.ready.push_back(Err(error));
    }

    /// What the library refuses may be in a format that is read here.
    fn after_refusal(&mut self, error: Error, held: Option<Vec<u8>>) {
        let found = held.filter(|_| error.kind() == ErrorKind::ForeignFormat).and_then(|bytes| {
            let text = text_of(&bytes, true).ok()?.0.into_owned();
            find_recognised(&text).map(|format| (format, bytes))
        });
        let Some((format, bytes)) = found else { return self.ready.push_back(Err(error)) };
        self.format = format;
        self.source = Source::Done;
        let text = text_of(&bytes, true).map(|(text, _)| text.into_owned()).unwrap_or_default();
        match format.division(&Head::of(&text)) {
            Division::Elements => {
                let mut pieces = Pieces::new(text.as_bytes(), true);
                while let Ok(Some(piece)) = pieces.next() {
                    self.read_piece(&piece);
                }
            }
            _ => self.read_bytes(text.as_bytes(), None),
        }
    }

    fn read_piece(&mut self, piece: &Piece) {
        if piece.is_cut {
            let detail = format!("the file is cut off in the conversation that begins at byte {}", piece.byte);
            self.ready.push_back(Err(Error::new(ErrorKind::Damaged, detail)));
            return;
        }
        self.read_bytes(&piece.bytes, Some(piece.byte));
    }

    /// Reads the text of one piece, or of the whole file.
    fn read_bytes(&mut self, bytes: &[u8], at: Option<usize>) {
        let within = |error: Error| {
            let place = at.map_or_else(String::new, |byte| format!(", in the conversation at byte {byte}"));
            Error::new(error.kind(), format!("{}{place}", error.detail()))
        };
        let mut read = Vec::new();
        let done = text_of(bytes, self.format.is_json()).and_then(|(text, halves)| {
            self.format.read(&text, &mut read)?;
            Ok(halves)
        });
        match done {
            Err(error) => self.ready.push_back(Err(within(error))),
            Ok(halves) => {
                if let Some(first) = read.first_mut() {
                    let what = "half character (replaced by U+FFFD)";
                    first.report.add_many(Fate::Changed, what, halves + self.halves, "its texts");
                    self.halves = 0;
                }
                self.ready.extend(read.into_iter().map(Ok));
            }
        }
    }
}

/// Whether the file is a log with one message per line, as far as its start shows.
fn is_log(head: &Head<'_>) -> bool {
    head.first().is_some_and(|first| first.has("role") && !first.has("messages"))
}

/// Whether the file is an array of conversations with `messages`, which are read one at a time.
fn is_list_of_bodies(head: &Head<'_>) -> bool {
    head.is_array() && head.first().is_some_and(|first| first.is_list("messages"))
}

/// Reads the start of a file, with at least one complete value. Returns whether it is all.
fn read_head(reader: &mut impl BufRead, bytes: &mut Vec<u8>) -> Result<bool, Error> {
    let mut limit = HEAD;
    loop {
        let more = limit - bytes.len();
        let read = reader.by_ref().take(more as u64).read_to_end(bytes).map_err(|e| failed(&e))?;
        if read < more {
            return Ok(true);
        }
        let is_enough = is_utf_16(bytes) || starts_native(bytes) || {
            let start = bytes.iter().position(|byte| matches!(byte, b'{' | b'['));
            let mut pieces = Pieces::new(&bytes[start.unwrap_or(0)..], true);
            start.is_none() || matches!(pieces.next(), Ok(Some(piece)) if !piece.is_cut)
        };
        if is_enough {
            return Ok(false);
        }
        limit *= 2;
    }
}

/// Whether a file begins as one of our own does, a document or a journal: nothing more needs to be looked at.
fn starts_native(bytes: &[u8]) -> bool {
    let key = bytes.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    key.is_some_and(|key| key.starts_with(b"\"turnwise"))
}

/// Whether bytes look like UTF-16: a byte order mark, or JSON with zeros between.
fn is_utf_16(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
        || matches!(bytes, [first, second, ..] if (*first == 0) != (*second == 0))
}

/// The bytes without a character at their end that is incomplete.
fn whole_characters(bytes: &[u8], is_all: bool) -> &[u8] {
    if is_all {
        return bytes;
    }
    if is_utf_16(bytes) {
        // A pair of units that is cut would be a half character.
        return &bytes[..(bytes.len() & !1).saturating_sub(2)];
    }
    let back = bytes.iter().rev().take(4).position(|byte| byte & 0xc0 != 0x80).map_or(0, |back| back + 1);
    match bytes.get(bytes.len() - back) {
        Some(byte) if byte & 0x80 != 0 => &bytes[..bytes.len() - back],
        _ => bytes,
    }
}

impl<R: BufRead> Iterator for Imports<R> {
    type Item = Result<Import, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            if !self.more() {
                return None;
            }
        }
        let next = self.ready.pop_front()?;
        self.number += 1;
        if let Ok(import) = &next {
            self.count += 1;
            self.report.merge(&import.report, format_args!("conversation {}", self.number));
        }
        Some(next)
    }
}
