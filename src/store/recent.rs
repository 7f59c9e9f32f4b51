//! `Recent`: the conversations of a folder that were used last. A file whose bytes are still the same
//! is not parsed again, neither for a load nor to check what is added to it.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Revision;
use crate::transcript::{Known, Transcript};

/// How many conversations are kept at most, and how many bytes their files have.
const MOST: usize = 50;
const MOST_BYTES: u64 = 24 * 1024 * 1024;
/// So many are kept whatever their size.
const LEAST: usize = 2;

#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<Kept>>);

/// A conversation as its file had it at a revision. It shares its text with the copies that others
/// have.
struct Kept {
    path: PathBuf,
    revision: Revision,
    bytes: u64,
    transcript: Transcript,
    known: Known,
}

impl Recent {
    /// The conversation of a file, if it is kept as it is at a revision.
    pub(super) fn at(&self, path: &Path, revision: &Revision) -> Option<Transcript> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = recent.iter().find(|kept| kept.path == path && kept.revision == *revision)?;
        Some(found.transcript.detached().with_known(found.known.clone()))
    }

    /// Keeps a conversation that was read from a file or written to it, and what is known of the
    /// file.
    pub(super) fn put(&self, path: &Path, revision: Revision, transcript: &Transcript, known: Known) {
        let bytes = std::fs::metadata(path).map_or(0, |found| found.len());
        let kept = Kept { path: path.to_owned(), revision, bytes, transcript: transcript.detached(), known };
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = take(&mut recent, path);
        recent.push_front(kept);
        let mut bytes = 0;
        let fitting = recent.iter().take(MOST).enumerate().take_while(|(place, kept)| {
            bytes += kept.bytes;
            *place < LEAST || bytes <= MOST_BYTES
        });
        let fitting = fitting.count();
        let dropped = recent.split_off(fitting);
        // Conversations may be large: nobody waits while they are dropped.
        drop(recent);
        drop((before, dropped));
    }

    pub(super) fn remove(&self, path: &Path) {
        let before = take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), path);
        drop(before);
    }
}

fn take(recent: &mut VecDeque<Kept>, path: &Path) -> Option<Kept> {
    let place = recent.iter().position(|kept| kept.path == path)?;
    recent.remove(place)
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Recent").field("count", &count).finish_non_exhaustive()
    }
}
