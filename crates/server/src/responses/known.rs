//! `Known`: conversations as the responses that were recorded last have left them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use turnwise::Transcript;
use turnwise::store::Revision;

use super::window::Scanned;
use crate::once::Once;

/// How many conversations are known at most, and how many bytes of messages they have.
const MOST: usize = 50;
const MOST_BYTES: usize = 24 * 1024 * 1024;
/// So many are known whatever their size.
const LEAST: usize = 2;

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

    /// Whether a request was recorded in the conversation, as far as is known.
    pub(super) fn has_turn(&self, id: &str, once: &Once) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|(known, ..)| known == id);
        // That it is another request with the same key is said when the conversation is read.
        found.is_some_and(|(.., left)| !matches!(once.find(&left.file), Ok(None)))
    }

    pub(super) fn put(&self, id: &str, revision: Revision, left: Left) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = known.iter().position(|(known, ..)| known == id);
        let before = same.and_then(|same| known.remove(same));
        known.push_front((id.to_owned(), revision, left));
        let mut bytes = 0;
        let fitting = known.iter().take(MOST).enumerate().take_while(|(place, (.., left))| {
            bytes += left.scanned.bytes();
            *place < LEAST || bytes <= MOST_BYTES
        });
        let kept = fitting.count();
        let dropped = known.split_off(kept);
        // Conversations may be large: nobody waits while they are dropped.
        drop(known);
        drop((before, dropped));
    }
}

#[cfg(test)]
mod tests {
    use turnwise::store::{MemoryStore, Store, wait};
    use turnwise::{Conversation, Message};

    use super::*;

    #[test]
    fn what_was_recorded_last_is_known_as_far_as_there_is_room() {
        let store = MemoryStore::new();
        let long = "x".repeat(MOST_BYTES / 3);
        let known = Known::default();
        let mut revisions = Vec::new();
        for id in ["a", "b", "c", "d"] {
            let file = Transcript::new(Conversation::from_messages([Message::user(long.as_str())]));
            let revision = wait(store.save(id, &file, None)).unwrap();
            let scanned = Scanned::of(&file);
            known.put(id, revision.clone(), Left { file, scanned });
            revisions.push(revision);
        }
        let is_known = |id: &str, revision: &Revision| known.at(id, revision).is_some();
        assert!(!is_known("a", &revisions[0]) && !is_known("b", &revisions[1]));
        assert!(is_known("c", &revisions[2]) && is_known("d", &revisions[3]));
        let other = wait(store.save("e", &Transcript::default(), None)).unwrap();
        assert_eq!(is_known("d", &other), other == revisions[3]);
    }
}
