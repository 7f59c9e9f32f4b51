//! What the engines have in common: a conversation is a row with its place, and the rows of its changes.

use std::borrow::Cow;

use turnwise::conversation::Timestamp;
use turnwise::store::Revision;
use turnwise::{Error, ErrorKind, Result};

use crate::seal::{Place, Seal};

/// A conversation's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) tenant: Box<str>,
    pub(crate) id: Box<str>,
}

/// What a conversation was at one time. Logs are never used again and only grow, so no two states
/// have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) log: i64,
    pub(crate) last: i64,
}

impl At {
    pub(crate) fn revision(self) -> Revision {
        Revision::new(format!("{:x}.{}", self.log, self.last))
    }

    /// `None` for a revision that no database has made.
    pub(crate) fn of(revision: &Revision) -> Option<Self> {
        let (log, last) = revision.as_str().split_once('.')?;
        Some(Self { log: i64::from_str_radix(log, 16).ok()?, last: last.parse().ok()? })
    }
}

/// The row of a conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) at: At,
    pub(crate) bytes: i64,
    pub(crate) created_at: i64,
}

/// Changes as they are written.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    changes: Vec<String>,
    /// Of the changes, before they are sealed.
    pub(crate) bytes: i64,
    seal: Seal,
}

impl Lines {
    pub(crate) fn of(changes: &[turnwise::store::Change], seal: &Seal) -> Result<Self> {
        let mut lines = Self { seal: seal.clone(), ..Self::default() };
        for change in changes {
            let line =
                serde_json::to_string(change).map_err(|e| turnwise::store::failed("writing a change as JSON", e))?;
            lines.bytes += i64::try_from(line.len()).unwrap_or(i64::MAX);
            lines.changes.push(line);
        }
        Ok(lines)
    }

    pub(crate) fn len(&self) -> i64 {
        i64::try_from(self.changes.len()).unwrap_or(i64::MAX)
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Their rows after a position of a log, with their positions.
    pub(crate) fn rows<'a>(&'a self, tenant: &'a str, at: At) -> impl Iterator<Item = Result<(i64, Cow<'a, str>)>> {
        (at.last + 1..).zip(&self.changes).map(move |(position, line)| {
            let row = self.seal.close(Place { tenant, log: at.log, position }, line)?;
            Ok((position, row))
        })
    }
}

pub(crate) fn now() -> i64 {
    Timestamp::now().as_millis()
}

/// The error of a conversation whose rows do not fit together.
pub(crate) fn damaged(key: &Key, found: &str) -> Error {
    let detail = format!(
        "the conversation `{}` is damaged in the database: {found}; restore the database from a copy",
        key.id.escape_debug()
    );
    Error::new(ErrorKind::Damaged, detail)
}
