//! A journal, byte by byte.

use crate::transcript::Change;

/// A version that never was: its items are called `said`.
pub(super) fn read_version_0(line: &[u8]) -> serde_json::Result<Change> {
    let line = String::from_utf8_lossy(line).replacen("{\"said\":", "{\"item\":", 1);
    serde_json::from_str(&line)
}
