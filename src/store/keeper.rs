//! `Keeper`: the place where one manager saves its conversation.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Revision, Store, conflict, wait};
use crate::error::{Error, ErrorKind, Result};
use crate::transcript::{Change, Known, Replaces, Transcript, TranscriptFile};

/// A place for one conversation: a file, or a conversation of a [`Store`]. Its methods block the
/// calling thread, because a change of the record is saved before the method that makes it returns.
/// A save replaces only what was read or saved here; callers pass what they know of files, and a
/// place in a store knows that itself.
pub(crate) trait Keeper: Send + Sync {
    /// The conversation that is there; `None` where there is none yet.
    fn load(&self) -> Result<Option<Transcript>>;

    /// As [`load`](Self::load), for a conversation that is known here. If it is gone, it stays
    /// known, so that a save is refused and does not begin it again.
    fn load_again(&self) -> Result<Option<Transcript>>;

    /// Whether a conversation was loaded from here, or saved to here.
    fn is_known(&self, known: &Known) -> bool;

    /// Writes a conversation, all of it or nothing, and notes that it is known here.
    fn save(&self, transcript: &Transcript, known: &mut Known) -> Result<()>;

    /// As [`save`](Self::save), but everything is written anew, so that nothing of an older state
    /// is left.
    fn save_anew(&self, transcript: &Transcript, known: &mut Known) -> Result<()>;

    /// Refuses what [`save`](Self::save) would refuse to replace what is known, as far as it can be
    /// told before.
    fn check(&self, known: &mut Known) -> Result<()>;

    /// Why a new conversation is not begun where there is one.
    fn occupied(&self) -> Error;

    /// Its name, for messages.
    fn shown(&self) -> String;
}

/// The file with a path, for now.
pub(crate) fn file(path: &Path) -> File {
    File { path: path.to_owned(), replaces: Replaces::Known }
}

/// The file with a path, for as long as a manager lives: where the program goes later does not
/// change where its conversation is.
pub(crate) fn lasting_file(path: &Path) -> Arc<dyn Keeper> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Arc::new(File { path, replaces: Replaces::Known })
}

/// The file of a conversation in the folder of a [`FileStore`](super::FileStore): if another process
/// deletes the conversation, it is not written again.
pub(crate) fn file_in_folder(path: PathBuf) -> Arc<dyn Keeper> {
    Arc::new(File { path, replaces: Replaces::Exactly })
}

/// A file of one conversation.
pub(crate) struct File {
    path: PathBuf,
    replaces: Replaces,
}

impl File {
    /// As [`save`](Keeper::save), over whatever is there.
    pub(crate) fn replace(&self, transcript: &Transcript, known: &mut Known) -> Result<()> {
        transcript.save_to(&TranscriptFile::at(&self.path)?, known, Replaces::Anything)
    }
}

impl Keeper for File {
    fn load(&self) -> Result<Option<Transcript>> {
        TranscriptFile::load(&self.path)
    }

    fn load_again(&self) -> Result<Option<Transcript>> {
        self.load()
    }

    fn is_known(&self, known: &Known) -> bool {
        TranscriptFile::at(&self.path).is_ok_and(|file| known.has(&file))
    }

    fn save(&self, transcript: &Transcript, known: &mut Known) -> Result<()> {
        transcript.save_to(&TranscriptFile::at(&self.path)?, known, self.replaces)
    }

    fn save_anew(&self, transcript: &Transcript, known: &mut Known) -> Result<()> {
        TranscriptFile::at(&self.path)?.save(transcript, known, self.replaces, true)
    }

    fn check(&self, known: &mut Known) -> Result<()> {
        TranscriptFile::at(&self.path)?.try_to_save(known, self.replaces)
    }

    fn occupied(&self) -> Error {
        let there = std::io::Error::new(
            std::io::ErrorKind::AlreadyExists,
            "the file is not empty; continue its conversation with `load` or `resume`, or choose another name",
        );
        Error::io(format_args!("saving a conversation to {}", self.path.display()), there)
    }

    fn shown(&self) -> String {
        format!("the file {}", self.path.display())
    }
}

/// One conversation of a store.
pub(super) struct InStore {
    store: Arc<dyn Store>,
    id: Box<str>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// What the store had when the conversation was last read or written here.
    there: Option<There>,
    /// What a write that failed was to put there. The engine may have done it all the same.
    doubtful: Option<Transcript>,
}

struct There {
    revision: Revision,
    /// It shares its text with the conversation that is saved.
    transcript: Transcript,
}

impl InStore {
    pub(super) fn new(store: &Arc<dyn Store>, id: &str) -> Self {
        Self { store: Arc::clone(store), id: id.into(), seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn revision(&self) -> Result<Option<Revision>> {
        if_found(wait(self.store.revision(&self.id)))
    }

    fn write(&self, transcript: &Transcript, anew: bool) -> Result<()> {
        let mut seen = self.seen();
        self.settle(&mut seen)?;
        // What is written must not change meanwhile, so that it can be recognized.
        let transcript = transcript.detached();
        match self.put(seen.there.as_ref(), &transcript, anew) {
            Ok(Some(revision)) => {
                seen.there = Some(There { revision, transcript });
                Ok(())
            }
            Ok(None) => Ok(()),
            // A store that refuses has not written.
            Err(error) if error.kind() == ErrorKind::Conflict => Err(error),
            Err(error) => {
                seen.doubtful = Some(transcript);
                if self.settle(&mut seen).is_ok_and(|was_written| was_written) { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Writes in the place of what is there, and returns the new revision; `None` if there was
    /// nothing to write.
    fn put(&self, there: Option<&There>, transcript: &Transcript, anew: bool) -> Result<Option<Revision>> {
        let Some(there) = there else { return wait(self.store.save(&self.id, transcript, None)).map(Some) };
        let changes = transcript.changes_since(&there.transcript);
        if anew || changes.iter().any(Change::removes_text) {
            wait(self.store.save(&self.id, transcript, Some(&there.revision))).map(Some)
        } else if changes.is_empty() {
            Ok(None)
        } else {
            wait(self.store.append(&self.id, &changes, &there.revision)).map(Some)
        }
    }

    /// Finds out what became of a write that failed; whether it was done all the same. If it was
    /// not, or somebody has written since, `there` is as before, and the store judges the next
    /// write.
    fn settle(&self, seen: &mut Seen) -> Result<bool> {
        let Some(written) = &seen.doubtful else { return Ok(false) };
        let found = self.revision()?;
        let mut was_written = false;
        if found.as_ref() != seen.there.as_ref().map(|there| &there.revision)
            && let Some((transcript, revision)) = if_found(wait(self.store.load(&self.id)))?
            && transcript.to_json() == written.to_json()
        {
            seen.there = Some(There { revision, transcript: written.clone() });
            was_written = true;
        }
        seen.doubtful = None;
        Ok(was_written)
    }
}

fn if_found<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Keeper for InStore {
    fn load(&self) -> Result<Option<Transcript>> {
        let found = self.load_again()?;
        if found.is_none() {
            *self.seen() = Seen::default();
        }
        Ok(found)
    }

    fn load_again(&self) -> Result<Option<Transcript>> {
        let mut seen = self.seen();
        let Some((transcript, revision)) = if_found(wait(self.store.load(&self.id)))? else { return Ok(None) };
        let there = There { revision, transcript: transcript.detached() };
        *seen = Seen { there: Some(there), doubtful: None };
        Ok(Some(transcript))
    }

    fn is_known(&self, _known: &Known) -> bool {
        self.seen().there.is_some()
    }

    fn save(&self, transcript: &Transcript, _known: &mut Known) -> Result<()> {
        self.write(transcript, false)
    }

    fn save_anew(&self, transcript: &Transcript, _known: &mut Known) -> Result<()> {
        self.write(transcript, true)
    }

    fn check(&self, _known: &mut Known) -> Result<()> {
        let mut seen = self.seen();
        self.settle(&mut seen)?;
        let expected = seen.there.as_ref().map(|there| &there.revision);
        if self.revision()?.as_ref() == expected { Ok(()) } else { Err(self.occupied()) }
    }

    fn occupied(&self) -> Error {
        conflict(&self.id)
    }

    fn shown(&self) -> String {
        format!("the store's conversation `{}`", self.id.escape_debug())
    }
}
