//! The conversations that were used last: an append checks its changes against what they are added
//! to, and need not read it again.

use turnwise::Transcript;

use crate::rows::{At, Key};

/// What a conversation takes beside its changes.
const OVERHEAD: u64 = 4 * 1024;

pub(crate) type Recent = turnwise::store::Recent<Key, Known>;

/// A conversation as it was when it was last used. It shares what it has learned with the copies
/// that others have.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) at: At,
    /// Of its changes.
    pub(crate) bytes: i64,
    pub(crate) transcript: Transcript,
}

pub(crate) fn put(recent: &Recent, key: Key, known: Known) {
    let bytes = u64::try_from(known.bytes).unwrap_or_default() + OVERHEAD;
    recent.put(key, known, bytes);
}
