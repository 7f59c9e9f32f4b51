//! Reads a journal save by save. Beside the transcript, only one save at a time is in memory.

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
    /// Where the last whole save ends, in bytes from the start of the file.
    pub(in crate::transcript) end: u64,
    /// The hash of the last whole save.
    pub(in crate::transcript) chain: Chain,
    pub(in crate::transcript) waste: Waste,
    /// Whether the journal has the version that this crate writes.
    pub(in crate::transcript) is_current: bool,
    /// Whether a save that was not finished follows the last whole one.
    pub(in crate::transcript) is_unfinished: bool,
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
        let detail = "the journal has no whole save; it is created together with its first save, so a part of it was \
                      lost; restore the file from a copy";
        return Err(Error::new(ErrorKind::Damaged, detail).at(saves.end));
    }
    let mut file = replay
        .finish()
        .map_err(|error| Error::new(ErrorKind::Damaged, format!("the journal: {}", error.detail())).at(saves.end))?;
    let unfinished = saves.unfinished_save();
    let is_unfinished = unfinished.is_some();
    file.warnings.extend(unfinished);
    file.warnings.extend(Warning::of_roles(file.conversation.messages()));
    let end = saves.end.byte as u64;
    let is_current = saves.format == FORMAT;
    Ok(Journal { file, end, chain: saves.chain, waste, is_current, is_unfinished })
}

/// The saves of a journal.
struct Saves<R> {
    source: R,
    format: u64,
    read_line: ReadLine,
    /// The lines of the save that was read last, without the one that ends it.
    save: Vec<u8>,
    /// Where each of these lines ends, in bytes from the start of `save`.
    line_ends: Vec<usize>,
    /// Where these lines begin in the file.
    start: Position,
    /// Where the last whole save ends in the file.
    end: Position,
    /// The hash of the last whole save.
    chain: Chain,
    /// How many bytes of a save that was not finished follow the last whole one. It is known when no
    /// further save can be read.
    unfinished_bytes: usize,
}

impl<R: BufRead> Saves<R> {
    fn begin(mut source: R) -> Result<Self> {
        let mut header = Vec::new();
        source.read_until(b'\n', &mut header).map_err(failed)?;
        let (format, read_line) = reader_of(&header)?;
        let end = Position::new(2, 1, header.len());
        let chain = Chain::start(&header);
        let (save, line_ends) = (Vec::new(), Vec::new());
        Ok(Self { source, format, read_line, save, line_ends, start: end, end, chain, unfinished_bytes: 0 })
    }

    /// Reads the next whole save; `false` if there is none.
    fn next_save(&mut self) -> Result<bool> {
        self.save.clear();
        self.line_ends.clear();
        self.start = self.end;
        loop {
            let start = self.save.len();
            self.source.read_until(b'\n', &mut self.save).map_err(failed)?;
            let line = &self.save[start..];
            if line.is_empty() {
                self.unfinished_bytes = self.save.len();
                return Ok(false);
            }
            // The last line of the file is whole without its line end too, which an editor may have
            // removed. The next save adds it.
            let Some(stated) = Chain::of_line(trimmed(line)) else {
                self.line_ends.push(self.save.len());
                continue;
            };
            let len = self.save.len();
            self.save.truncate(start);
            if self.chain.then(&self.save) != stated {
                self.unfinished_bytes = len + self.rest_after_crash()?;
                return Ok(false);
            }
            self.end = Position::new(self.end.line + self.line_ends.len() + 1, 1, self.end.byte + len);
            self.chain = stated;
            return Ok(true);
        }
    }

    /// How many bytes follow a save that does not have the hash which its end states. If it contains
    /// zeros and no other save follows, a crash interrupted it: the file had its new length already,
    /// but not yet its contents.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] in any other case.
    fn rest_after_crash(&mut self) -> Result<usize> {
        let mut has_more = false;
        let mut rest = 0;
        let mut line = Vec::new();
        while self.source.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            has_more |= Chain::of_line(trimmed(&line)).is_some();
            rest += line.len();
            line.clear();
        }
        if self.save.contains(&0) && !has_more {
            return Ok(rest);
        }
        let end = self.end.line + self.line_ends.len();
        let detail = format!(
            "the save that ends on line {end} is not what was saved there: it was changed or damaged since, or a line \
             was lost; restore the file from a copy, or keep what was saved before, the first {} bytes",
            self.end.byte
        );
        Err(Error::new(ErrorKind::Damaged, detail).at(self.end))
    }

    /// The warning about a save that was not finished, if there is one.
    fn unfinished_save(&self) -> Option<Warning> {
        let bytes = self.unfinished_bytes;
        (bytes > 0).then_some(Warning::UnfinishedSave { bytes, from: self.end })
    }

    /// The lines of the save that was read last.
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let starts = std::iter::once(0).chain(self.line_ends.iter().copied());
        starts.zip(&self.line_ends).enumerate().map(|(number, (start, &end))| {
            let at = Position::new(self.start.line + number, 1, self.start.byte + start);
            Line { text: &self.save[start..end], at }
        })
    }
}

/// A line of a save, with its place in the file.
struct Line<'a> {
    text: &'a [u8],
    at: Position,
}

impl Line<'_> {
    fn change<R>(&self, saves: &Saves<R>) -> Result<Change> {
        (saves.read_line)(trimmed(self.text)).map_err(|error| {
            if saves.format == FORMAT
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

/// The kind of a change that this version does not know: the name of the line's only member.
fn unknown_kind(line: &[u8]) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(line).ok()?;
    let kind = members.into_keys().next()?;
    (!Change::KINDS.contains(&&*kind)).then(|| kind.chars().take(40).collect::<String>().escape_debug().to_string())
}

fn failed(error: std::io::Error) -> Error {
    Error::io("reading a journal", error)
}
