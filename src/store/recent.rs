//! `Recent`: the conversations of a folder that were used last. A file that has not changed since
//! is not parsed again, neither for a load nor to check what is added to it.

use std::collections::VecDeque;
use std::fmt;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::Revision;
use crate::transcript::{Known, Transcript, TranscriptFile};

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
    stamp: Stamp,
    transcript: Transcript,
    known: Known,
}

/// What the system says of a file. The revision of a journal is that of its end; this tells that
/// something before it may have changed, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    /// Which file it is, whatever its name: the number of its disk, and its own. Zero where a system
    /// does not say it.
    number: (u64, u64),
}

impl Stamp {
    /// That of the file that is there now.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self { bytes: found.len(), modified: found.modified().ok(), number: number(&found) })
    }
}

#[cfg(unix)]
fn number(found: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (found.dev(), found.ino())
}

#[cfg(not(unix))]
fn number(_found: &Metadata) -> (u64, u64) {
    (0, 0)
}

impl Recent {
    /// The conversation of a file, if it is kept as it is at a revision.
    pub(super) fn at(
        &self,
        file: &TranscriptFile,
        path: &Path,
        stamp: &Stamp,
        revision: &Revision,
    ) -> Option<Transcript> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = recent.iter().find(|kept| kept.path == path && kept.revision == *revision)?;
        // A link may lead to the same file by another way: what is known would not be of that.
        let is_same = found.stamp == *stamp && found.known.has(file);
        is_same.then(|| found.transcript.detached().with_known(found.known.clone()))
    }

    /// Keeps a conversation that was read from a file or written to it, and what is known of the
    /// file.
    pub(super) fn put(&self, path: &Path, stamp: Stamp, revision: Revision, transcript: &Transcript, known: Known) {
        let kept = Kept { path: path.to_owned(), revision, stamp, transcript: transcript.detached(), known };
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = take(&mut recent, path);
        recent.push_front(kept);
        let mut bytes = 0;
        let fitting = recent.iter().take(MOST).enumerate().take_while(|(place, kept)| {
            bytes += kept.stamp.bytes;
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
