//! Reads a journal save by save, in the memory of one save.

use std::collections::BTreeMap;
use std::io::BufRead;

use serde_json::value::RawValue;

use super::versions::{ReadLine, reader_of};
use super::write::Waste;
use super::{Chain, FORMAT, trimmed};
use crate::error::{Error, ErrorKind, Position, Result};
use crate::text::described;
use crate::transcript::change::Replay;
use crate::transcript::{Change, Transcript, Warning};

/// What a journal holds.
pub(in crate::transcript) struct Journal {
    pub(in crate::transcript) file: Transcript,
    /// The end of the last whole save, in bytes, and its hash.
    pub(in crate::transcript) end: u64,
    pub(in crate::transcript) chain: Chain,
    pub(in crate::transcript) waste: Waste,
    /// Whether it has the version that is written.
    pub(in crate::transcript) is_current: bool,
    /// Whether a save that was not finished follows.
    pub(in crate::transcript) is_torn: bool,
}

/// Reads a journal. A save at its end that was not finished is left out, with a warning.
pub(in crate::transcript) fn read(source: impl BufRead) -> Result<Journal> {
    let mut saves = Saves::begin(source)?;
    let mut replay = Replay::of(Transcript::default());
    let mut waste = Waste::default();
    let mut has_begun = false;
    while saves.next_save()? {
        for line in saves.lines() {
            let change = line.change(&saves)?;
            if !has_begun && !matches!(change, Change::Begun { .. }) {
                let detail = format!("the first change is `{}` and not `begun`", change.kind());
                return Err(line.damaged(&detail));
            }
            has_begun = true;
            waste.add(&change, line.text.len());
            let kind = change.kind();
            replay.make(change).map_err(|error| line.damaged(&format!("`{kind}`: {}", error.detail())))?;
        }
        waste.end();
    }
    if !has_begun {
        let detail = "the journal has no whole save; a journal is begun in one step, so more of it was there before";
        return Err(Error::new(ErrorKind::Damaged, detail).at(saves.at));
    }
    let mut file = replay
        .finish()
        .map_err(|error| Error::new(ErrorKind::Damaged, format!("the journal: {}", error.detail())).at(saves.at))?;
    let torn = saves.torn();
    file.warnings.extend(torn.clone());
    file.warnings.extend(Warning::of_roles(file.conversation.messages()));
    let (end, is_current) = (saves.at.byte as u64, saves.format == FORMAT);
    Ok(Journal { file, end, chain: saves.chain, waste, is_current, is_torn: torn.is_some() })
}

/// The saves of a journal.
struct Saves<R> {
    source: R,
    format: u64,
    read_line: ReadLine,
    /// The lines of the save that was read last, without its end.
    save: Vec<u8>,
    /// Where each of these lines ends.
    ends: Vec<usize>,
    /// Where these lines begin.
    from: Position,
    /// Where the lines after its end begin, and its hash.
    at: Position,
    chain: Chain,
    /// How many bytes there are after the last whole save; known at the end.
    rest: usize,
}

impl<R: BufRead> Saves<R> {
    fn begin(mut source: R) -> Result<Self> {
        let mut header = Vec::new();
        source.read_until(b'\n', &mut header).map_err(failed)?;
        let (format, read_line) = reader_of(&header)?;
        let at = Position::new(2, 1, header.len());
        let chain = Chain::start(&header);
        Ok(Self { source, format, read_line, save: Vec::new(), ends: Vec::new(), from: at, at, chain, rest: 0 })
    }

    /// Reads the next save; whether there was a whole one.
    fn next_save(&mut self) -> Result<bool> {
        self.save.clear();
        self.ends.clear();
        self.from = self.at;
        loop {
            let start = self.save.len();
            self.source.read_until(b'\n', &mut self.save).map_err(failed)?;
            let line = &self.save[start..];
            if line.is_empty() {
                self.rest = self.save.len();
                return Ok(false);
            }
            if let Some(stated) = Chain::of_line(trimmed(line)) {
                let len = self.save.len();
                self.save.truncate(start);
                return if self.chain.then(&self.save) == stated {
                    self.pass(len, stated);
                    Ok(true)
                } else {
                    self.unlike(len)
                };
            }
            self.ends.push(self.save.len());
        }
    }

    /// Goes on after a save of this many bytes, its end included.
    fn pass(&mut self, len: usize, chain: Chain) {
        self.at = Position::new(self.at.line + self.ends.len() + 1, 1, self.at.byte + len);
        self.chain = chain;
    }

    /// A save that is not what its end states: zeros in the last one are what a crash leaves of a
    /// file that had its new length already. Anything else is damage.
    fn unlike(&mut self, len: usize) -> Result<bool> {
        let mut rest = Vec::new();
        self.source.read_to_end(&mut rest).map_err(failed)?;
        let has_more = rest.split(|&byte| byte == b'\n').any(|line| Chain::of_line(line).is_some());
        if self.save.contains(&0) && !has_more {
            self.rest = len + rest.len();
            return Ok(false);
        }
        let end = self.at.line + self.ends.len();
        let detail = format!(
            "the save that ends on line {end} is not what was saved there: it was changed or damaged since, or a line \
             was lost; restore the file from a copy, or keep what was saved before, the first {} bytes",
            self.at.byte
        );
        Err(Error::new(ErrorKind::Damaged, detail).at(self.at))
    }

    /// The warning about a save that was not finished.
    fn torn(&self) -> Option<Warning> {
        (self.rest > 0).then_some(Warning::UnfinishedSave { bytes: self.rest, from: self.at })
    }

    /// The lines of the save that was read last.
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).enumerate().map(|(number, (start, &end))| {
            let at = Position::new(self.from.line + number, 1, self.from.byte + start);
            Line { text: &self.save[start..end], at }
        })
    }
}

/// A line with its place.
struct Line<'a> {
    text: &'a [u8],
    at: Position,
}

impl Line<'_> {
    fn change<R>(&self, of: &Saves<R>) -> Result<Change> {
        (of.read_line)(trimmed(self.text)).map_err(|error| {
            if of.format == FORMAT
                && let Some(kind) = unknown_kind(self.text)
            {
                let detail = format!(
                    "line {} is a change of the kind `{kind}`, which this version does not know; update turnwise",
                    self.at.line
                );
                return Error::new(ErrorKind::NewerFormat, detail);
            }
            let into = error.column().saturating_sub(1).min(self.text.len());
            let at = Position::new(self.at.line, into + 1, self.at.byte + into);
            Error::new(ErrorKind::Damaged, format!("a change: {}", described(&error))).at(at)
        })
    }

    fn damaged(&self, detail: &str) -> Error {
        Error::new(ErrorKind::Damaged, detail).at(self.at)
    }
}

/// The kind of a change that another version has written.
fn unknown_kind(line: &[u8]) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(line).ok()?;
    let kind = members.into_keys().next()?;
    (!Change::KINDS.contains(&&*kind)).then(|| kind.chars().take(40).collect::<String>().escape_debug().to_string())
}

fn failed(error: std::io::Error) -> Error {
    Error::io("reading a journal", error)
}
