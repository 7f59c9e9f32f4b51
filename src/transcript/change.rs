//! `Change`: one recorded alteration of a transcript, as a line of a journal or a row of a
//! database.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Origin, Transcript};
use crate::conversation::{Advance, HeadStep, ItemId, Mark, Metadata, Summary, SummaryId, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::ledger::Counted;
use crate::message::Message;
use crate::request::Tool;
use crate::spending::Spending;
use crate::tokens::{Calibration, LastBill};
use crate::vectors::Embedded;

/// One recorded alteration of a transcript. All of them in their order, applied to an empty
/// transcript, give the same transcript to the byte: [`Transcript::changes`],
/// [`Transcript::changes_since`], [`Transcript::apply`].
///
/// In JSON an object with one member, the kind of the change: `{"item":{"id":0,…}}`. `Debug` prints
/// the kind and no text.
///
/// **Provisional**: what a change holds may change before 1.0.
///
/// # Examples
/// ```
/// use turnwise::transcript::Change;
/// use turnwise::{Message, Transcript};
///
/// let mut file = Transcript::default();
/// let mut journal = file.changes();
/// let before = file.clone();
/// file.conversation.push("Name a river.");
/// file.conversation.push(Message::assistant("The Elbe."));
/// journal.extend(file.changes_since(&before));
/// assert!(matches!(journal[..], [Change::Begun { .. }, Change::Item { .. }, Change::Item { .. }]));
///
/// let mut copy = Transcript::default();
/// copy.apply(journal)?;
/// assert_eq!(copy.to_json(), file.to_json());
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// A conversation begins. What there was before is no part of it.
    Begun {
        /// The conversation's id.
        id: String,
        /// When it was begun.
        created_at: Timestamp,
        /// Its first head.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        head: Vec<Message>,
    },
    /// An item was recorded; the path ends with it then.
    Item {
        /// Its id: the next ordinal.
        id: ItemId,
        /// The item before it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<ItemId>,
        /// When it was recorded.
        created_at: Timestamp,
        /// What was said.
        message: Message,
    },
    /// The path ends elsewhere: an undo, a switch, a clear.
    Leaf {
        /// Its last item; null for an empty path.
        item: Option<ItemId>,
    },
    /// Items were removed, with the pins, summaries, marks and calls that point at them. Ids of
    /// items that never were in this journal are skipped.
    Purged {
        /// The first of them.
        first: ItemId,
        /// How many.
        count: u32,
    },
    /// The head was replaced.
    Head {
        /// How many messages at its beginning stay.
        at: usize,
        /// How many go after these.
        #[serde(default, skip_serializing_if = "is_zero")]
        removed: usize,
        /// What comes in their place.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        inserted: Vec<Message>,
    },
    /// The heads before the current one were removed.
    HeadsForgotten,
    /// A constraint was stated. The head that holds it is a change of its own.
    Constrained {
        /// What holds.
        text: String,
    },
    /// A constraint was taken back.
    Lifted {
        /// What held.
        text: String,
    },
    /// An item was pinned.
    Pinned {
        /// The pinned item.
        item: ItemId,
    },
    /// A pin was taken out.
    Unpinned {
        /// The item that was pinned.
        item: ItemId,
    },
    /// A summary was attached.
    Summarized(Summary),
    /// What a summary stands for was brought back.
    Expanded {
        /// The summary.
        summary: SummaryId,
    },
    /// Ids of summaries before this one are not used again: what they named is no part of this
    /// journal.
    SummaryIds {
        /// The next summary's ordinal.
        next: u32,
    },
    /// A strategy's mark was set.
    Marked(Mark),
    /// A tool call was started.
    CallStarted {
        /// The item that makes the call.
        item: ItemId,
        /// The call's place among its calls, from 0.
        call: usize,
    },
    /// A tool call has a result that is not among the items yet.
    CallFinished {
        /// The item that makes the call.
        item: ItemId,
        /// The call's place among its calls, from 0.
        call: usize,
        /// The result, as it will be recorded.
        result: Message,
    },
    /// That a tool call was started is taken back.
    CallForgotten {
        /// The item that makes the call.
        item: ItemId,
        /// The call's place among its calls, from 0.
        call: usize,
    },
    /// The results of an item's calls are items now.
    RoundEnded {
        /// The item that makes the calls.
        item: ItemId,
    },
    /// The pairs attached to the conversation are these.
    Metadata(Metadata),
    /// The model is this one, or none.
    Model(Option<String>),
    /// The tool definitions are these.
    Tools(Vec<Tool>),
    /// The other members of the file are these.
    Members {
        /// With their values.
        extra: Vec<(String, RawJson)>,
        /// The order of all members.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keys: Vec<String>,
    },
    /// Costs were counted.
    Counted(Counted),
    /// Vectors of messages were made.
    Embedded(Embedded),
    /// This much was spent in all.
    Spending(Spending),
    /// This is what bills have taught.
    Calibration(Calibration),
    /// The last bill is this one, or none.
    LastBill(Option<Box<LastBill>>),
    /// It was made of these conversations, the nearest first.
    Origins(Vec<Origin>),
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Change {
    /// Whether something was removed for good. A journal or a store must not keep its text in
    /// earlier changes, so it writes the conversation anew.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{Conversation, Message, Transcript};
    /// use turnwise::transcript::Change;
    ///
    /// let mut file = Transcript::new(Conversation::from_messages([Message::user("My PIN is 1234.")]));
    /// let before = file.clone();
    /// let id = file.conversation.path().item(0).unwrap().id();
    /// file.conversation.purge(id)?;
    /// assert!(file.changes_since(&before).iter().any(Change::removes_text));
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn removes_text(&self) -> bool {
        matches!(self, Self::Begun { .. } | Self::Purged { .. } | Self::HeadsForgotten)
    }

    /// All kinds, by the names that they have in JSON.
    pub(crate) const KINDS: &'static [&'static str] = &[
        "begun",
        "item",
        "leaf",
        "purged",
        "head",
        "heads_forgotten",
        "constrained",
        "lifted",
        "pinned",
        "unpinned",
        "summarized",
        "expanded",
        "summary_ids",
        "marked",
        "call_started",
        "call_finished",
        "call_forgotten",
        "round_ended",
        "metadata",
        "model",
        "tools",
        "members",
        "counted",
        "embedded",
        "spending",
        "calibration",
        "last_bill",
        "origins",
    ];

    /// Whether it states something as a whole, so that it makes an earlier one of its kind needless.
    pub(crate) fn is_state(&self) -> bool {
        matches!(
            self,
            Self::Metadata(_)
                | Self::Model(_)
                | Self::Tools(_)
                | Self::Members { .. }
                | Self::Spending(_)
                | Self::Calibration(_)
                | Self::LastBill(_)
                | Self::Origins(_)
        )
    }

    /// The kind, by the name that it has in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Begun { .. } => "begun",
            Self::Item { .. } => "item",
            Self::Leaf { .. } => "leaf",
            Self::Purged { .. } => "purged",
            Self::Head { .. } => "head",
            Self::HeadsForgotten => "heads_forgotten",
            Self::Constrained { .. } => "constrained",
            Self::Lifted { .. } => "lifted",
            Self::Pinned { .. } => "pinned",
            Self::Unpinned { .. } => "unpinned",
            Self::Summarized(_) => "summarized",
            Self::Expanded { .. } => "expanded",
            Self::SummaryIds { .. } => "summary_ids",
            Self::Marked(_) => "marked",
            Self::CallStarted { .. } => "call_started",
            Self::CallFinished { .. } => "call_finished",
            Self::CallForgotten { .. } => "call_forgotten",
            Self::RoundEnded { .. } => "round_ended",
            Self::Metadata(_) => "metadata",
            Self::Model(_) => "model",
            Self::Tools(_) => "tools",
            Self::Members { .. } => "members",
            Self::Counted(_) => "counted",
            Self::Embedded(_) => "embedded",
            Self::Spending(_) => "spending",
            Self::Calibration(_) => "calibration",
            Self::LastBill(_) => "last_bill",
            Self::Origins(_) => "origins",
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Change({})", self.kind())
    }
}

impl From<HeadStep> for Change {
    fn from(HeadStep { at, removed, inserted }: HeadStep) -> Self {
        Self::Head { at, removed, inserted }
    }
}

impl Transcript {
    /// Makes changes, in their order: all of them, or none where one does not fit.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] with the number of a change that names
    /// what this transcript does not have: one was left out, or they belong to another
    /// conversation.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Result<()> {
        let mut replay = Replay::of(self.clone());
        for (number, change) in changes.into_iter().enumerate() {
            let kind = change.kind();
            replay.make(change).map_err(|error| unfit(&format!("change {number}, `{kind}`"), &error))?;
        }
        *self = replay.finish().map_err(|error| unfit("the changes", &error))?;
        Ok(())
    }
}

fn unfit(what: &str, error: &Error) -> Error {
    Error::new(ErrorKind::Damaged, format!("{what}: {}", error.detail()))
}

/// A transcript to which changes are made.
pub(super) struct Replay {
    /// All but its record.
    file: Transcript,
    record: Advance,
}

impl Replay {
    pub(super) fn of(mut file: Transcript) -> Self {
        let record = Advance::of(std::mem::take(&mut file.conversation));
        Self { file, record }
    }

    pub(super) fn finish(mut self) -> Result<Transcript> {
        let conversation = self.record.finish()?;
        self.file.vectors.forget_purged(&conversation);
        Ok(Transcript { conversation, ..self.file })
    }

    pub(super) fn make(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Begun { id, created_at, head } => {
                self.record = Advance::begun(id, created_at, head)?;
                let known = std::mem::take(&mut self.file.known);
                self.file = Transcript { known, ..Transcript::default() };
            }
            Change::Item { id, parent, created_at, message } => self.record.add(id, parent, created_at, message)?,
            Change::Leaf { item } => self.record.set_leaf(item)?,
            Change::Purged { first, count } => self.record.purge(first, count)?,
            Change::Head { at, removed, inserted } => self.record.put_head(&HeadStep { at, removed, inserted })?,
            Change::HeadsForgotten => self.record.forget_heads(),
            Change::Constrained { text } => self.record.constrain(text),
            Change::Lifted { text } => self.record.lift(&text)?,
            Change::Pinned { item } => self.record.record().pin(item)?,
            Change::Unpinned { item } => drop(self.record.record().unpin(item)),
            Change::Summarized(summary) => self.record.attach(summary)?,
            Change::Expanded { summary } => self.record.record().expand(summary)?,
            Change::SummaryIds { next } => self.record.count_summaries(next),
            Change::Marked(mark) => self.record.record().set_mark(mark)?,
            Change::CallStarted { item, call } => self.record.note_call(item, call, None)?,
            Change::CallFinished { item, call, result } => self.record.note_call(item, call, Some(result))?,
            Change::CallForgotten { item, call } => self.record.record().forget_start(item, call),
            Change::RoundEnded { item } => self.record.end_round(item),
            Change::Metadata(metadata) => *self.record.record().metadata_mut() = metadata,
            Change::Model(model) => self.file.model = model,
            Change::Tools(tools) => self.file.tools = tools,
            Change::Members { extra, keys } => (self.file.extra, self.file.keys) = (extra, keys),
            Change::Counted(counted) => self.file.ledger.take_counted(self.record.record(), counted),
            Change::Embedded(embedded) => self.file.vectors.take(self.record.record(), embedded),
            Change::Spending(spending) => self.file.spending = spending,
            Change::Calibration(calibration) => self.file.calibration = calibration,
            Change::LastBill(bill) => self.file.last_bill = bill,
            Change::Origins(origins) => self.file.origins = origins,
        }
        Ok(())
    }
}
