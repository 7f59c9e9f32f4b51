//! `TranscriptFile`: the file of one conversation, and the only place that decides whether a save
//! may replace it.
//!
//! A save takes the lock beside the file, reads what the file holds now, and replaces it only if
//! that is what the caller has read or written ([`Known`]). Both happen under the lock, so one of
//! two programs waits and then sees what the other has written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Transcript;
use super::lock::{LOCK, Lock};
use super::place::{FileRevision, Place, place};
use super::replace::{Replacement, TEMPORARY, finish_interrupted, remove, sync_folder};
use crate::error::{Error, ErrorKind, Result};

/// The files that the owner of a conversation has read or saved, each with its content at that
/// time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(BTreeMap<Place, FileRevision>);

impl Known {
    /// A file that held something, as [`revision`](Self::revision) has written it.
    pub(crate) fn at(file: &TranscriptFile, revision: &str) -> Option<Self> {
        Some(Self(BTreeMap::from([(file.place.clone(), FileRevision::read_from(revision)?)])))
    }

    /// What a file held when it was read or saved, as text; `None` where there was none.
    pub(crate) fn revision(&self, file: &TranscriptFile) -> Option<String> {
        self.0.get(&file.place)?.written()
    }

    /// Whether a file was read or saved.
    pub(crate) fn has(&self, file: &TranscriptFile) -> bool {
        self.0.contains_key(&file.place)
    }
}

/// [`Known`] for a value that is saved through a shared reference. A copy keeps its own.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Known>);

impl Memory {
    pub(super) fn of(known: Known) -> Self {
        Self(Mutex::new(known))
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        Self::of(self.with(|known| known.clone()))
    }
}

/// What a save may replace. A missing or empty file can always be written.
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

    /// Reads a transcript and remembers what was read; `None` if the file is missing or empty.
    pub(crate) fn load(file: &Path) -> Result<Option<Transcript>> {
        // A pipe has no place that could be resolved, but it can be read.
        let store = Self::at(file).ok();
        let mut attempts = 0..3;
        loop {
            if let Some(store) = &store {
                store.finish_interrupted();
            }
            let bytes = match fs::read(file) {
                Ok(bytes) if bytes.is_empty() => return Ok(None),
                Ok(bytes) => bytes,
                Err(e) if e.kind() == IoKind::NotFound => return Ok(None),
                Err(e) => return Err(Error::io(format_args!("reading {}", file.display()), e)),
            };
            let read = Transcript::from_bytes(&bytes);
            for warning in read.iter().flat_map(Transcript::warnings) {
                tracing::warn!(file = %file.display(), "{warning}");
            }
            match (read, &store) {
                (Ok(read), _) if read.is_log => return Ok(Some(read)),
                (Ok(read), Some(store)) => {
                    let known = BTreeMap::from([(store.place.clone(), FileRevision::of(&bytes))]);
                    return Ok(Some(Transcript { known: Memory::of(Known(known)), ..read }));
                }
                // Another program is writing it in place at the moment.
                (Err(_), Some(store))
                    if store.place.beside(super::replace::WHOLE).exists() && attempts.next().is_some() => {}
                (read, _) => return read.map(Some),
            }
        }
    }

    /// Replaces the file completely or not at all, and remembers its new content.
    pub(crate) fn save(&self, text: &str, known: &mut Known, replaces: Replaces) -> Result<()> {
        self.refuse_special()?;
        let lock = Lock::take(&self.place).map_err(|e| self.failed(e))?;
        self.settle(known)?;
        let expected = known.0.get(&self.place).copied();
        let check = || self.check(expected, replaces);
        check()?;
        let done = Replacement::new(&self.place, text.as_bytes(), lock.is_held()).and_then(|new| new.put(check));
        // Whatever failed, no other program has written the file meanwhile.
        let holds = match &done {
            Ok(()) => Ok(FileRevision::of(text.as_bytes())),
            Err(_) => self.revision(),
        };
        if let Ok(holds) = holds {
            known.0.insert(self.place.clone(), holds);
        }
        done.map_err(|failed| failed.at(|e| self.failed(e)))
    }

    /// Refuses a file that [`save`](Self::save) would refuse, as far as that can be known in
    /// advance.
    pub(crate) fn try_to_save(&self, known: &mut Known) -> Result<()> {
        self.refuse_special()?;
        let lock = Lock::take(&self.place).map_err(|e| self.failed(e))?;
        self.settle(known)?;
        self.check(known.0.get(&self.place).copied(), Replaces::Known)?;
        Replacement::new(&self.place, b"", lock.is_held()).map(drop).map_err(|failed| failed.at(|e| self.failed(e)))
    }

    /// Removes the file, what a killed writer has left beside it, and its lock; whether the file was
    /// there.
    pub(crate) fn delete(&self) -> Result<bool> {
        self.refuse_special()?;
        let failed = |e| Error::io(format_args!("deleting {}", self.shown.display()), e);
        let _lock = Lock::take(&self.place).map_err(failed)?;
        finish_interrupted(&self.place).map_err(failed)?;
        remove(&self.place.beside(TEMPORARY)).map_err(failed)?;
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

    /// As [`finish_interrupted`](Self::finish_interrupted), under the lock of a save.
    fn settle(&self, known: &mut Known) -> Result<()> {
        let torn = known.0.get(&self.place).copied();
        let mended = finish_interrupted(&self.place).map_err(|e| self.failed(e))?;
        if let Some((before, after)) = mended
            && torn == Some(before)
        {
            known.0.insert(self.place.clone(), after);
        }
        Ok(())
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
    fn check(&self, expected: Option<FileRevision>, replaces: Replaces) -> Result<()> {
        let now = self.revision()?;
        let file = self.shown.display();
        match (now, expected, replaces) {
            (FileRevision::Absent, Some(FileRevision::Content(..)), Replaces::Exactly) => {
                Err(Error::new(ErrorKind::Conflict, format!("{file} is gone since it was read or saved here")))
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
                     load it again, or save under another name"
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
