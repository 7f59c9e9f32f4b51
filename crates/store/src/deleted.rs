//! Deleted conversations, whichever engine keeps them.

use std::time::Duration;

use turnwise::{Error, ErrorKind};

use crate::rows::{Key, now};

/// How long a deleted conversation can be restored, unless another time is set.
pub(crate) const RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The most conversations that one commit purges.
pub(crate) const BATCH: usize = 100;

/// The time this long ago.
pub(crate) fn since(retention: Duration) -> i64 {
    now().saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX))
}

pub(crate) fn not_deleted(key: &Key) -> Error {
    let detail = format!(
        "no deleted conversation with the id `{}` can be restored: it was not deleted, was purged, or its retention time \
         is over",
        key.id.escape_debug()
    );
    Error::new(ErrorKind::NotFound, detail)
}

pub(crate) fn not_to_be_purged(key: &Key) -> Error {
    let detail = format!(
        "no deleted conversation has the id `{}`; only a conversation that was deleted is purged",
        key.id.escape_debug()
    );
    Error::new(ErrorKind::NotFound, detail)
}

pub(crate) fn in_use_again(key: &Key) -> Error {
    let detail =
        format!("there is a conversation `{}` again; delete it, or fork it to another id first", key.id.escape_debug());
    Error::new(ErrorKind::Conflict, detail)
}
