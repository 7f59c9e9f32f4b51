//! `Draft`: what a strategy answers. `Fate` and `Reason`: what happens to a message, and why.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::{Serialize, Serializer};

use super::shrink::Shrink;
use super::step::Step;
use super::summary::SummaryRequest;
use crate::conversation::SummaryId;
use crate::message::Role;

/// What a strategy wants: which groups to leave out, which to make smaller, and which positions to find again. Everything
/// not named is kept, and what must be sent is kept whole though it is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Draft {
    pub(super) evictions: Vec<(Range<usize>, Reason)>,
    pub(super) reasons: Vec<(Range<usize>, Reason)>,
    pub(super) shrinks: Vec<(usize, Shrink, Reason)>,
    pub(super) marks: Vec<(Cow<'static, str>, usize)>,
    pub(super) summary: Option<(SummaryId, Role)>,
    pub(crate) summary_request: Option<SummaryRequest>,
    /// What the steps of a ladder did; empty for any other strategy.
    pub(crate) steps: Vec<Step>,
}

impl Draft {
    pub(super) const NOTHING: Self = Self {
        evictions: Vec::new(),
        reasons: Vec::new(),
        shrinks: Vec::new(),
        marks: Vec::new(),
        summary: None,
        summary_request: None,
        steps: Vec::new(),
    };

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

    /// Makes a group smaller; where one is named more than once, in one way after the other. A group that is left out too
    /// is left out, and one that would not become smaller is kept as it is.
    pub fn shrink(mut self, group: usize, how: Shrink, why: Reason) -> Self {
        self.shrinks.push((group, how, why));
        self
    }

    /// Sends a summary in the place of the groups that it stands for, as a message of this role behind those of them that
    /// must be sent. One summary at most: of two the first is taken.
    pub fn summarized(mut self, by: SummaryId, role: Role) -> Self {
        self.summary = self.summary.or(Some((by, role)));
        self
    }

    /// Says that a summary would be worth making. The plan is sent as it is when it is not made.
    pub fn request_summary(mut self, request: SummaryRequest) -> Self {
        self.summary_request = Some(request);
        self
    }

    /// The tokens of messages that it asks a model to summarize.
    pub(crate) fn price(&self) -> u64 {
        self.summary_request.as_ref().map_or(0, |request| request.tokens)
    }

    /// The same draft with what the steps of a ladder did.
    pub(crate) fn with_steps(self, steps: Vec<Step>) -> Self {
        Self { steps, ..self }
    }

    /// Both drafts as one, with the steps of the first; the second one's marks get a prefix. Of two evictions of a group the
    /// first gives the reason.
    pub(crate) fn and(mut self, other: Self, prefix: &str) -> Self {
        self.evictions.extend(other.evictions);
        self.reasons.extend(other.reasons);
        self.shrinks.extend(other.shrinks);
        self.summary = self.summary.or(other.summary);
        self.summary_request = self.summary_request.or(other.summary_request);
        self.marks.extend(other.marks.into_iter().map(|(name, group)| (format!("{prefix}{name}").into(), group)));
        self
    }

    /// Asks to find a group again: [`View::mark`](super::View::mark) of a later plan points at it, once this plan was
    /// committed.
    pub fn mark(mut self, name: impl Into<Cow<'static, str>>, group: usize) -> Self {
        self.marks.push((name.into(), group));
        self
    }
}

/// What happens to a message in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Fate {
    /// It is sent as it stands.
    Kept,
    /// It is sent smaller than it is.
    Shrunk,
    /// A summary is sent in its place.
    Summarized,
    /// It is not sent.
    Evicted,
}

impl Fate {
    /// Whether something of its own words is sent.
    pub fn is_sent(self) -> bool {
        matches!(self, Self::Kept | Self::Shrunk)
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
    /// The request begins with this user message, as was asked for (`leads`).
    Leads,
    /// It stands between the beginning and the end that are kept (`middle`).
    Middle,
    /// It has less to do with the question than what fits (`unrelated`).
    Unrelated,
    /// Results of calls that are done with (`cleared`).
    Cleared,
    /// What the model thought before it answered (`reasoning`).
    Reasoning,
    /// Parts of it are kept (`excerpt`).
    Excerpt,
    /// A summary stands for it (`summary`).
    Summary,
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
            Self::Leads => "leads",
            Self::Middle => "middle",
            Self::Unrelated => "unrelated",
            Self::Cleared => "cleared",
            Self::Reasoning => "reasoning",
            Self::Excerpt => "excerpt",
            Self::Summary => "summary",
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
            Self::Leads => "the user message to begin with",
            Self::Middle => "between the beginning and the end",
            Self::Unrelated => "less to do with the question than what fits",
            Self::Cleared => "results of calls that are done with",
            Self::Reasoning => "without what the model thought",
            Self::Excerpt => "parts of it",
            Self::Summary => "a summary stands for it",
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
