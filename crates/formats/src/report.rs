//! `Report`: what a conversation lost, or had changed, on its way from one format into another.

use std::fmt;

/// What became of something that the other format cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// It is in the record as a member that is not sent to a model, and comes back when the
    /// conversation is written in the same format again.
    Kept,
    /// Its meaning is there in another form.
    Changed,
    /// It is gone.
    Dropped,
}

impl Fate {
    /// The word for a reader: `kept, not sent`, `changed` or `not carried over`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept, not sent",
            Self::Changed => "changed",
            Self::Dropped => "not carried over",
        }
    }
}

/// One kind of thing that was not carried over as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// What became of it.
    pub fate: Fate,
    /// What it is, in the singular: `thinking block`.
    pub kind: String,
    /// How many there are.
    pub count: usize,
    /// Where the first one is: `message 3`.
    pub first: String,
}

/// What was not carried over as it was, by kind, in the order in which the kinds were met.
///
/// `Display` is one line for each kind.
///
/// # Examples
/// ```
/// use turnwise_formats::{Fate, Report};
///
/// let mut report = Report::default();
/// report.add(Fate::Kept, "thinking block", "message 1");
/// report.add(Fate::Kept, "thinking block", "message 3");
/// assert_eq!(report.to_string(), "kept, not sent: 2 of the kind `thinking block`, the first in message 1");
/// assert!(report.is_faithful());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    entries: Vec<Entry>,
}

impl Report {
    /// Adds one thing.
    pub fn add(&mut self, fate: Fate, kind: &str, place: impl fmt::Display) {
        self.add_many(fate, kind, 1, place);
    }

    /// Adds several things of one kind, of which the first is at `place`.
    pub fn add_many(&mut self, fate: Fate, kind: &str, count: usize, place: impl fmt::Display) {
        if count == 0 {
            return;
        }
        match self.entries.iter_mut().find(|entry| entry.fate == fate && entry.kind == kind) {
            Some(entry) => entry.count += count,
            None => self.entries.push(Entry { fate, kind: kind.to_owned(), count, first: place.to_string() }),
        }
    }

    /// Adds the entries of one conversation to those of a file.
    pub fn merge(&mut self, of_one: &Self, conversation: impl fmt::Display) {
        for entry in &of_one.entries {
            let place = format_args!("{conversation}, {}", entry.first);
            self.add_many(entry.fate, &entry.kind, entry.count, place);
        }
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether everything was carried over as it was.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether nothing was changed or lost: what cannot be sent to a model is at least kept in the
    /// record.
    pub fn is_faithful(&self) -> bool {
        self.entries.iter().all(|entry| entry.fate == Fate::Kept)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            let fate = entry.fate.as_str();
            match entry.count {
                1 => write!(f, "{gap}{fate}: {} in {}", entry.kind, entry.first)?,
                count => {
                    // Some kinds have the quotes of code already.
                    let kind = entry.kind.trim_matches('`');
                    write!(f, "{gap}{fate}: {count} of the kind `{kind}`, the first in {}", entry.first)?;
                }
            }
        }
        Ok(())
    }
}
