//! The conversations of a folder that were used last. A file that has not changed since is not
//! parsed again, neither for a load nor to check what is added to it.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Recent, Revision};
use crate::transcript::{Known, Transcript, TranscriptFile};

/// At most 50 files are kept: each takes its share at least.
const SHARE: u64 = Recent::<PathBuf, Kept>::MOST / 50;

/// A conversation as its file had it at a revision. It shares its text with the copies that others
/// have.
#[derive(Clone)]
pub(super) struct Kept {
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

impl Recent<PathBuf, Kept> {
    /// The conversation of a file, if it is kept as it is at a revision.
    pub(super) fn at(
        &self,
        file: &TranscriptFile,
        path: &Path,
        stamp: &Stamp,
        revision: &Revision,
    ) -> Option<Transcript> {
        let kept = self.get(path)?;
        // A link may lead to the same file by another way: what is known would not be of that.
        let is_same = kept.revision == *revision && kept.stamp == *stamp && kept.known.has(file);
        if !is_same {
            return None;
        }
        self.used(path, kept.clone());
        Some(kept.transcript.detached().with_known(kept.known))
    }

    /// Keeps a conversation that was read from a file or written to it, and what is known of the
    /// file.
    pub(super) fn keep(&self, path: &Path, stamp: Stamp, revision: Revision, transcript: &Transcript, known: Known) {
        self.used(path, Kept { revision, stamp, transcript: transcript.detached(), known });
    }

    fn used(&self, path: &Path, kept: Kept) {
        let bytes = kept.stamp.bytes.max(SHARE);
        self.put(path.to_owned(), kept, bytes);
    }
}
