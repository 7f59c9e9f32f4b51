//! Which conversations a store may forget: [`Rules`]. Without rules nothing is forgotten.

use std::time::Duration;

use turnwise::conversation::Timestamp;

use crate::Failed;

/// When conversations of a tenant are to go. Each rule is off unless it is set. A conversation goes if one
/// of them says so.
///
/// Nothing goes on its own: a program calls `expire` when it wants to. What goes is deleted, as by
/// [`Store::delete`](turnwise::store::Store::delete), and can be restored for the retention time;
/// with [`for_good`](Self::for_good), it is purged at once.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use turnwise_store::forget::Rules;
///
/// let year = Duration::from_secs(365 * 24 * 60 * 60);
/// let rules = Rules::new().unused_for(year).keep_last(1_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Rules {
    pub(crate) unused_for: Option<Duration>,
    pub(crate) keep_last: Option<usize>,
    pub(crate) for_good: bool,
}

impl Rules {
    /// No rules: nothing goes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Conversations go that were not written to for this long. Importing one is writing it.
    pub fn unused_for(self, time: Duration) -> Self {
        Self { unused_for: Some(time), ..self }
    }

    /// Only so many conversations stay: those that were written to last.
    pub fn keep_last(self, count: usize) -> Self {
        Self { keep_last: Some(count), ..self }
    }

    /// What goes cannot be restored; its text is overwritten.
    pub fn for_good(self) -> Self {
        Self { for_good: true, ..self }
    }
}

/// What became of conversations that were to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// Those that are gone, the oldest first.
    pub gone: Vec<Expired>,
    /// Those that could not be removed, and why. They are there as before.
    pub failed: Vec<Failed>,
}

/// What became of deleted conversations that were to be purged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// How many were purged.
    pub count: usize,
    /// Those that could not be, and why. They are there as before.
    pub failed: Vec<Failed>,
}

/// A conversation that goes, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expired {
    /// Its id.
    pub id: String,
    /// When it was written to last.
    pub changed_at: Timestamp,
}
