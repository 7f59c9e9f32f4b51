//! `Known`: conversations as the responses that were recorded last have left them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use turnwise::Transcript;
use turnwise::store::Revision;

use super::window::Scanned;

/// How many conversations are known at most.
const MOST: usize = 50;

/// What this process has recorded, with what was found out about it: the sums of tokens that planning has
/// made, and its sealed items. To look through a long conversation anew for each turn would make turns
/// dearer with its length.
#[derive(Default)]
pub(super) struct Known(Mutex<VecDeque<(String, Revision, Left)>>);

/// A conversation as a turn has left it.
#[derive(Clone)]
pub(crate) struct Left {
    pub(crate) file: Transcript,
    pub(crate) scanned: Scanned,
}

impl Known {
    /// The conversation, if it is known as it is at a revision.
    pub(super) fn at(&self, id: &str, revision: &Revision) -> Option<Left> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|(known, at, _)| known == id && at == revision);
        found.map(|(_, _, left)| left.clone())
    }

    pub(super) fn put(&self, id: &str, revision: Revision, left: Left) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(known, ..)| known != id);
        known.truncate(MOST - 1);
        known.push_front((id.to_owned(), revision, left));
    }
}
