//! `Keeper`: the place where one manager saves its conversation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::transcript::{Known, Replaces, Transcript, TranscriptFile};

/// A place for one conversation. Its methods block the calling thread, because a change of the
/// record is saved before the method that makes it returns; that is why this is not the
/// asynchronous [`Store`](super::Store). Whether a save may replace what is there is decided by the
/// implementation; callers pass what they know of it and what they are willing to replace.
pub(crate) trait Keeper: Send + Sync {
    /// The conversation that is there; `None` where there is none yet.
    fn load(&self) -> Result<Option<Transcript>>;

    /// Whether a conversation was loaded from here, or saved to here.
    fn is_known(&self, known: &Known) -> bool;

    /// Writes a conversation, all of it or nothing, and notes that it is known here.
    fn save(&self, transcript: &Transcript, known: &mut Known, replaces: Replaces) -> Result<()>;

    /// As [`save`](Self::save) of what is known, but a journal is written anew.
    fn compact(&self, transcript: &Transcript, known: &mut Known) -> Result<()>;

    /// Refuses what [`save`](Self::save) would refuse to replace what is known, as far as it can be
    /// told before.
    fn check(&self, known: &mut Known) -> Result<()>;

    /// Why a new conversation is not begun where there is one.
    fn occupied(&self) -> Error;
}

/// The file with a path, for now.
pub(crate) fn file(path: &Path) -> impl Keeper + use<> {
    File(path.to_owned())
}

/// The file with a path, for as long as a manager lives: where the program goes later does not
/// change where its conversation is.
pub(crate) fn lasting_file(path: &Path) -> Arc<dyn Keeper> {
    Arc::new(File(std::path::absolute(path).unwrap_or_else(|_| path.to_owned())))
}

struct File(PathBuf);

impl Keeper for File {
    fn load(&self) -> Result<Option<Transcript>> {
        TranscriptFile::load(&self.0)
    }

    fn is_known(&self, known: &Known) -> bool {
        TranscriptFile::at(&self.0).is_ok_and(|file| known.has(&file))
    }

    fn save(&self, transcript: &Transcript, known: &mut Known, replaces: Replaces) -> Result<()> {
        transcript.save_to(&TranscriptFile::at(&self.0)?, known, replaces)
    }

    fn compact(&self, transcript: &Transcript, known: &mut Known) -> Result<()> {
        TranscriptFile::at(&self.0)?.save(transcript, known, Replaces::Known, true)
    }

    fn check(&self, known: &mut Known) -> Result<()> {
        TranscriptFile::at(&self.0)?.try_to_save(known)
    }

    fn occupied(&self) -> Error {
        let there = std::io::Error::new(
            std::io::ErrorKind::AlreadyExists,
            "the file is not empty; continue its conversation with `load` or `resume`, or choose another name",
        );
        Error::io(format_args!("saving a conversation to {}", self.0.display()), there)
    }
}
