//! `FileStore`: the file of one conversation, and the only place that decides whether a save may
//! replace it.
//!
//! A save takes the lock beside the file, reads what the file holds now, and replaces it only if
//! that is what the caller has read or written ([`Known`]). Both happen under the lock, so one of
//! two programs waits and then sees what the other has written.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::Transcript;
use super::lock::{LOCK, Lock};
use super::replace::{Replacement, TEMPORARY, finish_interrupted, remove, sync_folder};
use crate::error::{Error, ErrorKind, Result};

/// The content of a file at some time, by length and hash. Neither time nor size nor inode number
/// can distinguish two quick saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileRevision {
    /// There was no file, or an empty one.
    Absent,
    /// Length and hash of the content.
    Content(u64, u128),
}

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

/// The place of a file: all links in its path are resolved, and its folder exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    name: OsString,
}

impl Place {
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// A hidden file beside it, under the same name for every program that saves here.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        // File systems allow names of up to 255 bytes.
        const LONGEST: usize = 220;
        let bytes = self.name.as_encoded_bytes();
        let hashed = OsString::from(format!("turnwise-{:016x}", xxh3_64(bytes)));
        let stem: &OsStr = if bytes.len() > LONGEST { &hashed } else { &self.name };
        let mut name = OsString::from(".");
        name.push(stem);
        name.push(suffix);
        self.folder.join(name)
    }
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

impl FileRevision {
    fn written(self) -> Option<String> {
        match self {
            Self::Absent => None,
            Self::Content(len, hash) => Some(format!("{len}-{hash:032x}")),
        }
    }

    fn read_from(revision: &str) -> Option<Self> {
        let (len, hash) = revision.split_once('-')?;
        Some(Self::Content(len.parse().ok()?, u128::from_str_radix(hash, 16).ok()?))
    }

    pub(super) fn of(content: &[u8]) -> Self {
        let mut hash = Xxh3::new();
        hash.update(content);
        Self::new(content.len() as u64, &hash)
    }

    fn read(file: &mut File) -> io::Result<Self> {
        let mut hash = Xxh3::new();
        let mut len = 0;
        let mut block = vec![0; 1 << 16];
        loop {
            match file.read(&mut block) {
                Ok(0) => return Ok(Self::new(len, &hash)),
                Ok(read) => {
                    hash.update(&block[..read]);
                    len += read as u64;
                }
                Err(e) if e.kind() == IoKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn new(len: u64, hash: &Xxh3) -> Self {
        if len == 0 { Self::Absent } else { Self::Content(len, hash.digest128()) }
    }
}

/// Resolves links to the file that they name, whether it exists or not, and finds its folder.
fn place(file: &Path) -> io::Result<Place> {
    const MOST_LINKS: usize = 40;
    let mut file = file.to_path_buf();
    let mut links = 0;
    while let Ok(link) = fs::read_link(&file) {
        links += 1;
        if links > MOST_LINKS {
            return Err(io::Error::other(format!("more than {MOST_LINKS} links in a row")));
        }
        file = file.parent().unwrap_or(Path::new("")).join(link);
    }
    let name = file.file_name().ok_or_else(|| io::Error::other("it does not name a file"))?.to_owned();
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(|e| match e.kind() {
        IoKind::NotFound | IoKind::NotADirectory => io::Error::new(e.kind(), "its folder does not exist"),
        _ => e,
    })?;
    Ok(Place { folder, name })
}
