//! What a strategy answers.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::{Serialize, Serializer};

/// What a strategy wants: which groups to leave out, and which positions to find again. Everything not named is kept,
/// and what must be sent is kept though it is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Draft {
    pub(super) evictions: Vec<(Range<usize>, Reason)>,
    pub(super) reasons: Vec<(Range<usize>, Reason)>,
    pub(super) marks: Vec<(Cow<'static, str>, usize)>,
}

impl Draft {
    /// Keeps every group.
    pub fn keep_all() -> Self {
        Self::default()
    }

    /// Leaves out a range of groups. Where ranges overlap, the one named first gives the reason.
    pub fn evict(mut self, groups: Range<usize>, why: Reason) -> Self {
        if !groups.is_empty() {
            self.evictions.push((groups, why));
        }
        self
    }

    /// Says why a range of groups is kept: [`Reason::Fits`] where nothing is said. Where ranges overlap, the one named
    /// first gives the reason.
    pub fn because(mut self, groups: Range<usize>, why: Reason) -> Self {
        if !groups.is_empty() {
            self.reasons.push((groups, why));
        }
        self
    }

    /// Asks to find a group again: [`View::mark`](super::View::mark) of a later plan points at it, once this plan was
    /// committed.
    pub fn mark(mut self, name: impl Into<Cow<'static, str>>, group: usize) -> Self {
        self.marks.push((name.into(), group));
        self
    }
}

/// Why messages are sent, or not. In JSON the name in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It leads the conversation (`head`).
    Head,
    /// It is pinned (`pin`).
    Pin,
    /// The request must answer it (`pending`).
    Pending,
    /// It fits (`fits`).
    Fits,
    /// It has to do with the question (`recalled`).
    Recalled,
    /// It is older than what fits (`budget`).
    Budget,
    /// It is older than the number of messages or turns asked for (`count`).
    Count,
    /// It stands before the first user message that is sent (`start`).
    Start,
    /// It stands between the beginning and the end that are kept (`middle`).
    Middle,
    /// It has less to do with the question than what fits (`unrelated`).
    Unrelated,
    /// A result that answers no call before it (`orphan`).
    Orphan,
    /// Calls of which at least one has no result (`unanswered`).
    Unanswered,
    /// A strategy's own reason, a few words.
    Other(Cow<'static, str>),
}

impl Reason {
    /// The name in JSON.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Head => "head",
            Self::Pin => "pin",
            Self::Pending => "pending",
            Self::Fits => "fits",
            Self::Recalled => "recalled",
            Self::Budget => "budget",
            Self::Count => "count",
            Self::Start => "start",
            Self::Middle => "middle",
            Self::Unrelated => "unrelated",
            Self::Orphan => "orphan",
            Self::Unanswered => "unanswered",
            Self::Other(words) => words,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Head => "always sent first",
            Self::Pin => "pinned",
            Self::Pending => "to be answered",
            Self::Fits => "fits",
            Self::Recalled => "has to do with the question",
            Self::Budget => "older than what fits",
            Self::Count => "beyond the number asked for",
            Self::Start => "before the first user message sent",
            Self::Middle => "between the beginning and the end",
            Self::Unrelated => "less to do with the question than what fits",
            Self::Orphan => "a result that no call waits for",
            Self::Unanswered => "a call without its result",
            Self::Other(words) => words,
        })
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
