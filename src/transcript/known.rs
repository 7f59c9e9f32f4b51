//! `Known`: what the owner of a conversation knows of the files that it was read from or saved to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::Transcript;
use super::file::TranscriptFile;
use super::journal::{Chain, Waste};
use super::place::{FileRevision, Place};

/// The files that the owner of a conversation has read or saved, each with its content at that
/// time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(pub(super) BTreeMap<Place, Seen>);

/// What a file held when it was read or saved.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) revision: FileRevision,
    /// What it holds, if it is a journal: a save adds what is new since. Without it, a save writes
    /// the journal anew.
    pub(super) journal: Option<Arc<Saved>>,
}

/// The conversation that a journal holds. It shares its text with the one that is saved.
pub(super) struct Saved {
    pub(super) file: Transcript,
    pub(super) waste: Waste,
}

impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saved").field("conversation", &self.file.conversation.id()).finish_non_exhaustive()
    }
}

impl Seen {
    /// A journal to which a transcript was saved, by its length and its last hash.
    pub(super) fn journal(transcript: &Transcript, (len, chain): (u64, Chain), waste: Waste) -> Self {
        let saved = Saved { file: transcript.detached(), waste };
        Self { revision: FileRevision::Journal(len, chain), journal: Some(Arc::new(saved)) }
    }
}

impl From<FileRevision> for Seen {
    fn from(revision: FileRevision) -> Self {
        Self { revision, journal: None }
    }
}

impl Known {
    /// A file that held something, as [`revision`](Self::revision) has written it.
    pub(crate) fn at(file: &TranscriptFile, revision: &str) -> Option<Self> {
        let seen = FileRevision::read_from(revision)?.into();
        Some(Self(BTreeMap::from([(file.place().clone(), seen)])))
    }

    /// What a file held when it was read or saved, as text; `None` where there was none.
    pub(crate) fn revision(&self, file: &TranscriptFile) -> Option<String> {
        self.0.get(file.place())?.revision.written()
    }

    /// Lets the next save write each journal anew.
    pub(crate) fn write_anew(&mut self) {
        self.0.values_mut().for_each(|seen| seen.journal = None);
    }

    /// Takes over what another one knows.
    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether a file was read or saved.
    pub(crate) fn has(&self, file: &TranscriptFile) -> bool {
        self.0.contains_key(file.place())
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
