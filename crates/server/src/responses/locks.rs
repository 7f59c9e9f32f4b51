//! `Locks`: one response at a time runs on a conversation.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use turnwise::store::Revision;

use super::known::Left;

/// The conversations on which a response runs in this process. Between processes, the revision of
/// the conversation decides.
#[derive(Clone, Default)]
pub(super) struct Locks(Arc<Mutex<HashSet<String>>>);

impl Locks {
    /// `None` while another response runs.
    pub(super) fn take(&self, id: &str) -> Option<Lock> {
        let is_free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
        is_free.then(|| Lock { of: self.clone(), id: id.to_owned() })
    }

    pub(super) fn is_taken(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

/// While it exists, no other response runs on the conversation.
pub(crate) struct Lock {
    of: Locks,
    id: String,
}

/// A conversation on which no other response runs, as it was read after that.
pub(crate) struct Locked {
    pub(crate) lock: Lock,
    pub(crate) left: Left,
    pub(crate) revision: Revision,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.of.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
