//! `TranscriptFile`: the file of one conversation, and the only place that decides whether a save
//! may replace it.
//!
//! A save takes the lock beside the file, reads what the file holds now, and replaces it only if
//! that is what the caller has read or written ([`Known`]). Both happen under the lock, so one of
//! two programs waits and then sees what the other has written.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, ErrorKind as IoKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::journal::{self, Chain};
use super::known::{Known, Saved, Seen};
use super::lock::{LOCK, Lock};
use super::place::{FileRevision, Place, place};
use super::replace::{Failed, Replacement, TEMPORARY, finish_interrupted, remove, sync_folder};
use super::{Change, Transcript};
use crate::error::{Error, ErrorKind, Result};

/// What a save may replace. A missing or empty file can always be written, except by
/// [`Exactly`](Self::Exactly).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaces {
    /// A file that was read or saved before and is unchanged since.
    Known,
    /// As `Known`, and any file that was neither read nor saved before, if it loads.
    KnownOrUnseen,
    /// What was read or saved before, as long as it is there and has not changed; else nothing.
    Exactly,
    /// Any file that loads.
    Anything,
}

/// A file to load a conversation from, or to save it to.
#[derive(Debug)]
pub(crate) struct TranscriptFile {
    /// Its name as the caller gave it, for messages.
    shown: PathBuf,
    place: Place,
}

impl TranscriptFile {
    /// Resolves links to the file, whether it exists or not.
    pub(crate) fn at(file: &Path) -> Result<Self> {
        let place = place(file).map_err(|e| Error::io(format_args!("saving {}", file.display()), e))?;
        Ok(Self { shown: file.to_owned(), place })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Reads a transcript and remembers what was read; `None` if the file is missing or empty.
    pub(crate) fn load(file: &Path) -> Result<Option<Transcript>> {
        // A pipe has no place that could be resolved, but it can be read.
        let store = Self::at(file).ok();
        let mut attempts = 0..3;
        let mut lock = None;
        loop {
            if let Some(store) = store.as_ref().filter(|_| lock.is_none()) {
                store.finish_interrupted();
            }
            match (Loaded::from(file), &store) {
                // Another program may be writing the last save now. Where there is no lock to wait
                // for, that save is left out.
                (Ok(Some(read)), Some(store)) if read.is_unfinished && lock.is_none() => {
                    lock = Some(Lock::take(&store.place).ok());
                }
                // Another program is writing it in place at the moment.
                (Ok(None) | Err(_), Some(store))
                    if store.place.beside(super::replace::WHOLE).exists() && attempts.next().is_some() => {}
                (Ok(None), _) => return Ok(None),
                (Ok(Some(read)), store) => return Ok(Some(read.remembered(file, store.as_ref()))),
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Writes a conversation completely or not at all, and remembers the file's new content. To a
    /// journal, what is new is added; with `anew`, it is written anew.
    pub(crate) fn save(
        &self,
        transcript: &Transcript,
        known: &mut Known,
        replaces: Replaces,
        anew: bool,
    ) -> Result<()> {
        self.refuse_special()?;
        let lock = Lock::take(&self.place).map_err(|e| self.failed(e))?;
        self.settle(known)?;
        let seen = known.0.get(&self.place);
        let expected = seen.map(|seen| seen.revision);
        let now = self.check(expected, replaces)?;
        let check = || self.check(expected, replaces).map(drop);
        let done = if self.is_journal(now) {
            let saved = seen.filter(|seen| seen.revision == now && !anew).and_then(|seen| seen.journal.as_deref());
            match (now, saved) {
                (FileRevision::Journal(end, chain), Some(saved)) => {
                    self.add_to_journal(transcript, saved, (end, chain), &lock)
                }
                _ => self.begin_journal(transcript, &lock, check),
            }
        } else {
            let text = transcript.to_json();
            let written = Replacement::new(&self.place, text.as_bytes(), lock.is_held());
            written.and_then(|new| new.put(check)).map(|()| FileRevision::of(text.as_bytes()).into())
        };
        // Whatever failed, no other program has written the file meanwhile.
        let holds = match &done {
            Ok(seen) => Some(seen.clone()),
            Err(_) => self.revision().ok().filter(|now| Some(*now) != expected).map(Seen::from),
        };
        if let Some(holds) = holds {
            known.0.insert(self.place.clone(), holds);
        }
        done.map(drop).map_err(|failed| failed.at(|e| self.failed(e)))
    }

    /// Whether the file is saved as a journal: if it is one now, or is a new one with that name.
    fn is_journal(&self, now: FileRevision) -> bool {
        match now {
            FileRevision::Journal(..) => true,
            FileRevision::Content(..) => false,
            FileRevision::Absent => {
                self.shown.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"))
            }
        }
    }

    /// Adds what is new to a journal that ends at `end`. Text that was removed for good must not
    /// stay in it, so the journal is written anew then.
    fn add_to_journal(
        &self,
        transcript: &Transcript,
        saved: &Saved,
        (end, chain): (u64, Chain),
        lock: &Lock,
    ) -> Result<Seen, Failed> {
        let check = |seen: FileRevision| move || self.check(Some(seen), Replaces::Exactly).map(drop);
        let changes = transcript.changes_since(&saved.file);
        if changes.iter().any(Change::removes_text) {
            return self.begin_journal(transcript, lock, check(FileRevision::Journal(end, chain)));
        }
        if lock.is_held() {
            // Of a writer that was killed while it wrote the journal anew.
            remove(&self.place.beside(TEMPORARY))?;
        }
        if changes.is_empty() {
            return Ok(Seen::journal(transcript, (end, chain), saved.waste.clone()));
        }
        let mut lines = journal::Writer::after(chain, saved.waste.clone());
        lines.save(&changes).map_err(Failed::Refused)?;
        let (lines, chain, waste) = lines.finish();
        let len = journal::append(&self.place, end, lines)?;
        let is_wasteful = waste.is_much_of(len);
        let seen = Seen::journal(transcript, (len, chain), waste);
        if !is_wasteful {
            return Ok(seen);
        }
        // The save is done, whatever comes of this.
        Ok(self.begin_journal(transcript, lock, check(seen.revision)).unwrap_or_else(|failed| {
            let error = failed.at(|e| self.failed(e));
            tracing::warn!(file = %self.shown.display(), "the journal was not written anew: {error:?}");
            match self.revision() {
                Ok(now) if now != seen.revision => now.into(),
                _ => seen,
            }
        }))
    }

    /// Writes a journal anew, and keeps a copy of one of an older version.
    fn begin_journal(
        &self,
        transcript: &Transcript,
        lock: &Lock,
        check: impl Fn() -> Result<()>,
    ) -> Result<Seen, Failed> {
        let format = match File::open(self.place.path()) {
            Ok(mut file) => journal::format_of(&mut file)?,
            Err(e) if e.kind() == IoKind::NotFound => None,
            Err(e) => return Err(e.into()),
        };
        if let Some(older) = format.filter(|format| *format < journal::FORMAT) {
            journal::keep_copy(&self.place, older)?;
        }
        let (text, chain, waste) = journal::whole(transcript).map_err(Failed::Refused)?;
        Replacement::new(&self.place, &text, lock.is_held())?.put(check)?;
        Ok(Seen::journal(transcript, (text.len() as u64, chain), waste))
    }

    /// Refuses a file that [`save`](Self::save) would refuse, as far as that can be known in
    /// advance.
    pub(crate) fn try_to_save(&self, known: &mut Known, replaces: Replaces) -> Result<()> {
        self.refuse_special()?;
        let lock = Lock::take(&self.place).map_err(|e| self.failed(e))?;
        self.settle(known)?;
        let expected = known.0.get(&self.place).map(|seen| seen.revision);
        let opened = match self.check(expected, replaces)? {
            FileRevision::Journal(..) => {
                OpenOptions::new().append(true).open(self.place.path()).map(drop).map_err(Failed::from)
            }
            _ => Replacement::new(&self.place, b"", lock.is_held()).map(drop),
        };
        opened.map_err(|failed| failed.at(|e| self.failed(e)))
    }

    /// Removes the file, what a killed writer has left beside it, and its lock; whether the file was
    /// there.
    pub(crate) fn delete(&self) -> Result<bool> {
        self.refuse_special()?;
        let failed = |e| Error::io(format_args!("deleting {}", self.shown.display()), e);
        let _lock = Lock::take(&self.place).map_err(failed)?;
        finish_interrupted(&self.place).map_err(failed)?;
        remove(&self.place.beside(TEMPORARY)).map_err(failed)?;
        remove(&self.place.with_suffix(journal::TORN)).map_err(failed)?;
        let was_there = remove(&self.place.path()).map_err(failed)?;
        // Who waits for the lock notices that its file is gone, and makes another.
        remove(&self.place.beside(LOCK)).map_err(failed)?;
        sync_folder(&self.place.folder).map_err(failed)?;
        Ok(was_there)
    }

    fn refuse_special(&self) -> Result<()> {
        match fs::metadata(self.place.path()) {
            Ok(found) if !found.is_file() => Err(self.failed(io::Error::other("it is not a regular file"))),
            _ => Ok(()),
        }
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io(format_args!("saving {}", self.shown.display()), error)
    }

    /// Completes a save that was killed while it wrote in place, if there was one. This is only an
    /// attempt: a file that cannot be repaired is read as it is.
    fn finish_interrupted(&self) {
        if self.place.beside(super::replace::WHOLE).exists()
            && let Ok(_lock) = Lock::take(&self.place)
        {
            let _ = finish_interrupted(&self.place);
        }
    }

    /// Under the lock of a save, completes what a killed writer began to write in place, and sets
    /// aside what one has left after the last save of a journal.
    fn settle(&self, known: &mut Known) -> Result<()> {
        let mended = finish_interrupted(&self.place).map_err(|e| self.failed(e))?;
        if let Some((before, after)) = mended
            && known.0.get(&self.place).is_some_and(|seen| seen.revision == before)
        {
            known.0.insert(self.place.clone(), after.into());
        }
        journal::set_torn_aside(&self.place).map_err(|e| self.failed(e))
    }

    /// What the file holds now, as [`Known::revision`] has it, without its content being
    /// understood. `None` where there is nothing, or where a killed writer has left a save that is
    /// to be completed.
    pub(crate) fn finished_revision(&self) -> Result<Option<String>> {
        if self.place.beside(super::replace::WHOLE).exists() {
            return Ok(None);
        }
        self.revision().map(FileRevision::written)
    }

    /// The current content of the file.
    fn revision(&self) -> Result<FileRevision> {
        let reading = |e| Error::io(format_args!("reading {} before it is replaced", self.shown.display()), e);
        let mut file = match File::open(self.place.path()) {
            Ok(file) => file,
            Err(e) if e.kind() == IoKind::NotFound => return Ok(FileRevision::Absent),
            Err(e) => return Err(reading(e)),
        };
        FileRevision::read(&mut file).map_err(reading)
    }

    /// Refuses to replace what the caller has not seen, or what may be the only copy of something.
    /// Returns what the file holds now.
    fn check(&self, expected: Option<FileRevision>, replaces: Replaces) -> Result<FileRevision> {
        let now = self.revision()?;
        self.compare(now, expected, replaces).map(|()| now)
    }

    fn compare(&self, now: FileRevision, expected: Option<FileRevision>, replaces: Replaces) -> Result<()> {
        let file = self.shown.display();
        match (now, expected, replaces) {
            (FileRevision::Absent, Some(expected), Replaces::Exactly) if expected != FileRevision::Absent => {
                Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "{file} was deleted since it was read or saved here, and is not written again; save under another name"
                    ),
                ))
            }
            // Replacing a missing file loses nothing.
            (FileRevision::Absent, _, _) => Ok(()),
            (_, Some(expected), Replaces::Known | Replaces::KnownOrUnseen | Replaces::Exactly) if now == expected => {
                Ok(())
            }
            (_, Some(_), Replaces::Known | Replaces::KnownOrUnseen | Replaces::Exactly) => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{file} was modified since it was last read or saved here; \
                     load it again, or save under another name (with a manager: `reload` it)"
                ),
            )),
            (_, None, Replaces::Known | Replaces::Exactly) => match self.refuse_to_lose() {
                Err(error) if error.kind() == ErrorKind::ForeignFormat => Err(error),
                _ => Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "{file} has content that was neither read nor saved here; load it, or save under another name"
                    ),
                )),
            },
            (_, None, Replaces::KnownOrUnseen) | (_, _, Replaces::Anything) => self.refuse_to_lose(),
        }
    }

    /// The error for replacing a log. Although it loads, it is not replaced, because its program
    /// will append to it.
    pub(crate) fn is_never_written(&self) -> Error {
        let detail = format!(
            "{} is a log with one message per line, which is never overwritten; save under another name, or convert it to an \
             array of messages first (`jq -s . LOG > OTHER.json`)",
            self.shown.display()
        );
        Error::new(ErrorKind::ForeignFormat, detail)
    }

    /// Refuses to replace a file that does not load, because it may be the only copy of something.
    fn refuse_to_lose(&self) -> Result<()> {
        let reading = |e| Error::io(format_args!("reading {} before it is replaced", self.shown.display()), e);
        let bytes = fs::read(self.place.path()).map_err(reading)?;
        match Transcript::from_bytes(&bytes) {
            Ok(there) if there.is_log => Err(self.is_never_written()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NewerFormat => Err(error),
            Err(error) => {
                let detail = format!(
                    "{} cannot be loaded as a transcript and was not changed ({}); \
                     move it away or save under another name",
                    self.shown.display(),
                    error.detail()
                );
                Err(Error::new(ErrorKind::Damaged, detail).because(error))
            }
        }
    }
}

/// A transcript with what its file held.
struct Loaded {
    file: Transcript,
    revision: FileRevision,
    /// The journal's waste, if it is a journal of the current version.
    waste: Option<journal::Waste>,
    /// Whether it is a journal whose last save was not finished.
    is_unfinished: bool,
}

impl Loaded {
    /// Reads a file; `None` if it is missing or empty.
    fn from(path: &Path) -> Result<Option<Self>> {
        let failed = |e| Error::io(format_args!("reading {}", path.display()), e);
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let mut bytes = Vec::new();
        file.by_ref().take(journal::HEAD).read_to_end(&mut bytes).map_err(failed)?;
        if journal::is_journal(&bytes) {
            let source = BufReader::with_capacity(1 << 16, bytes.chain(file));
            return journal::read(source).map(|journal| Some(Self::journal(journal)));
        }
        file.read_to_end(&mut bytes).map_err(failed)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let file = Transcript::from_bytes(&bytes)?;
        Ok(Some(Self { file, revision: FileRevision::of(&bytes), waste: None, is_unfinished: false }))
    }

    fn journal(journal: journal::Journal) -> Self {
        let revision = FileRevision::Journal(journal.end, journal.chain);
        let waste = Some(journal.waste).filter(|_| journal.is_current);
        Self { file: journal.file, revision, waste, is_unfinished: journal.is_unfinished }
    }

    /// The transcript, which knows the file now, with its warnings in the log.
    fn remembered(self, path: &Path, store: Option<&TranscriptFile>) -> Transcript {
        for warning in self.file.warnings() {
            tracing::warn!(file = %path.display(), "{warning}");
        }
        let Some(store) = store.filter(|_| !self.file.is_log) else { return self.file };
        let saved = self.waste.map(|waste| Arc::new(Saved { file: self.file.detached(), waste }));
        let seen = Seen { revision: self.revision, journal: saved };
        let known = BTreeMap::from([(store.place.clone(), seen)]);
        self.file.with_known(Known(known))
    }
}
