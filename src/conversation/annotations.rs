//! What stands beside the items and points at them: summaries and marks.

use serde::{Deserialize, Serialize};

use super::item::{ItemId, Timestamp};

/// The name of a summary in its conversation: its ordinal, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SummaryId(pub(crate) u32);

impl SummaryId {
    /// The ordinal.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Text that stands for a range of items, valid on every branch that holds the range. It never changes, and the items
/// stay in the record.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// Its name.
    pub id: SummaryId,
    /// The first item it stands for.
    pub first: ItemId,
    /// The last item it stands for; `first` is this item or an ancestor of it.
    pub last: ItemId,
    /// What it says.
    pub text: String,
    /// The line that it is sent with, where that is not the one of this crate; `{messages}` stands for the number of
    /// messages.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub introduction: Option<String>,
    /// The model that wrote it, if one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    /// When it was attached.
    pub created_at: Timestamp,
    /// Whether what it stands for was brought back, so that it is no longer sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expanded: bool,
}

impl std::fmt::Debug for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Summary({}..={}, {} bytes)", self.first, self.last, self.text.len())
    }
}

/// A position that a strategy wants to find again, such as the cut of a sticky window; kept in the record and written
/// by a commit, never by a dry run. It is valid on every branch that holds `head`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mark {
    /// The strategy and options it belongs to, as [`Strategy::spec`](crate::Strategy::spec) says them.
    pub spec: String,
    /// Its name within the strategy.
    pub name: String,
    /// The item it points at: the first of a group.
    pub item: ItemId,
    /// The last item of the path on which it was set.
    pub head: ItemId,
}

impl Mark {
    /// A mark of a strategy at `item`, set while the path ended with `head`.
    pub fn new(spec: &str, name: &str, item: ItemId, head: ItemId) -> Self {
        Self { spec: spec.to_owned(), name: name.to_owned(), item, head }
    }
}
