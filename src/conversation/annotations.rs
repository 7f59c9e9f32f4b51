//! `Summary` and `Mark`: annotations of items. Pins, the simplest annotation, are in `mod.rs`.

use serde::{Deserialize, Serialize};

use super::item::{ItemId, Timestamp};

/// The id of a summary in its conversation: its ordinal, from 0.
///
/// # Examples
/// ```
/// use turnwise::{Conversation, Message};
///
/// let mut talk = Conversation::new();
/// let first = talk.push("Where is order 1234?");
/// let last = talk.push(Message::assistant("It is on its way."));
/// let id = talk.attach(first, last, "Order 1234 is on its way.", None)?;
/// assert_eq!((id.index(), talk.summaries().next().unwrap().id), (0, id));
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SummaryId(pub(crate) u32);

impl SummaryId {
    /// The ordinal.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A text that stands for a range of items, valid on every branch that contains the range. It never
/// changes, and the items stay in the record.
///
/// # Examples
/// ```
/// use turnwise::{Conversation, Message};
///
/// let mut talk = Conversation::new();
/// let first = talk.push("Where is order 1234?");
/// let last = talk.push(Message::assistant("It is on its way."));
/// talk.attach(first, last, "Order 1234 is on its way.", None)?;
/// assert_eq!(talk.summaries().next().unwrap().text, "Order 1234 is on its way.");
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// Its id.
    pub id: SummaryId,
    /// The first item that it stands for.
    pub first: ItemId,
    /// The last item that it stands for; `first` is this item or an ancestor of it.
    pub last: ItemId,
    /// The text that is sent.
    pub text: String,
    /// The line before it in a request, if it is not the default one; `{messages}` stands for the
    /// number of messages.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub introduction: Option<String>,
    /// The model that wrote it, if it was written by a model.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    /// When it was attached.
    pub created_at: Timestamp,
    /// Whether its messages were brought back, so that the summary is no longer sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expanded: bool,
}

impl std::fmt::Debug for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Summary({}..={}, {} bytes)", self.first, self.last, self.text.len())
    }
}

/// A position that a strategy wants to find again, such as the start of a window that moves rarely.
/// It is kept in the record, and written when an exchange is committed, never by a dry run. It is
/// valid on every branch that contains `head`.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, Conversation, Ledger, Message, Planner, SlidingWindow, StrategyCache, TokenBudget};
///
/// let mut talk = Conversation::from_messages((0..50).map(|n| Message::user(format!("Message {n}"))));
/// let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(100))?;
/// let window = SlidingWindow::tokens();
/// let plan = planner.plan(&talk, &mut Ledger::new(), &window, &mut StrategyCache::default())?;
/// assert_eq!(talk.mark("window", "cut"), None);
/// plan.commit_marks(&mut talk)?;
/// assert!(talk.mark("window", "cut").is_some()); // the first message that was sent
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mark {
    /// The strategy that it belongs to with its options, as returned by
    /// [`Strategy::spec`](crate::Strategy::spec).
    pub spec: String,
    /// Its name within the strategy.
    pub name: String,
    /// The item that it points to: the first of a group.
    pub item: ItemId,
    /// The last item of the path when it was set; in JSON `head`.
    #[serde(rename = "head")]
    pub leaf: ItemId,
}

impl Mark {
    /// A mark of a strategy at `item`, set while the path ended with `leaf`.
    pub fn new(spec: &str, name: &str, item: ItemId, leaf: ItemId) -> Self {
        Self { spec: spec.to_owned(), name: name.to_owned(), item, leaf }
    }
}
