//! What the indexes of the engines have in common: their states, what they read of a change, where a
//! list goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use turnwise::conversation::Timestamp;
use turnwise::store::Change;
use turnwise::{Error, ErrorKind, ItemId, Result};

use super::{Filter, Hit, ListQuery, Listed, Terms, searched, wrong_cursor};

/// The version of what an index has of a text. An index of another version is made anew.
pub(crate) const FORMAT: i64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Off,
    BeingMade,
    On,
}

impl State {
    pub(crate) fn of(state: i64, format: i64) -> Self {
        match state {
            _ if format != FORMAT => Self::Off,
            0 => Self::Off,
            1 => Self::BeingMade,
            _ => Self::On,
        }
    }

    pub(crate) fn check_is_on(self) -> Result<()> {
        match self {
            Self::On => Ok(()),
            Self::BeingMade => {
                let detail = "the index for search is being made; try again when that is done, or, if it was \
                              interrupted, call `enable_search` again (`turnwise conversations index`)";
                Err(Error::new(ErrorKind::Busy, detail))
            }
            Self::Off => {
                let detail = "this database has no index for search; make one with `enable_search` (`turnwise \
                              conversations index`), or read everything with `search::scan` (`turnwise conversations search`)";
                Err(Error::new(ErrorKind::NotFound, detail))
            }
        }
    }
}

/// Words as an index takes them: divided by spaces.
pub(crate) fn joined(words: &BTreeSet<String>) -> String {
    let mut joined = String::with_capacity(words.iter().map(|word| word.len() + 1).sum());
    for word in words {
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    joined
}

/// How many items one block of an index has, of which it is known between which times they were recorded.
pub(crate) const BLOCK: i64 = 512;

/// The times of blocks that are being added to, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Times(BTreeMap<i64, (i64, i64)>);

impl Times {
    /// Notes when the item of a row was recorded. The row is what counts within a tenant.
    pub(crate) fn add(&mut self, row: i64, at: i64) {
        let times = self.0.entry(row / BLOCK).or_insert((at, at));
        *times = (times.0.min(at), times.1.max(at));
    }

    /// Each block with the times of its oldest and its newest item.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (i64, i64, i64)> {
        self.0.iter().map(|(block, (oldest, newest))| (*block, *oldest, *newest))
    }
}

/// The rows of blocks, each from its first one to the one before its end, the last one first. Blocks that follow one
/// another are one range.
pub(crate) fn ranges(blocks: impl IntoIterator<Item = i64>) -> Vec<Range<i64>> {
    let mut ranges: Vec<Range<i64>> = Vec::new();
    for block in blocks {
        let (begin, end) = (block * BLOCK, (block + 1) * BLOCK);
        match ranges.last_mut() {
            Some(later) if later.start == end => later.start = begin,
            _ => ranges.push(begin..end),
        }
    }
    ranges
}

/// An item in which a query was found, before it is known in which conversation.
pub(crate) struct Match {
    id: ItemId,
    created_at: Timestamp,
    role: String,
    text: String,
}

impl Match {
    /// `None` if the line is no item, or not one that has all of it.
    pub(crate) fn of(line: &str, terms: &Terms, filter: &Filter) -> Option<Self> {
        if !terms.may_be_in(line) {
            return None;
        }
        let Ok(Change::Item { id, created_at, message, .. }) = serde_json::from_str(line) else { return None };
        let text = searched(&message);
        if !filter.has(created_at) || !terms.are_in(&text) {
            return None;
        }
        Some(Self { id, created_at, role: message.role().as_str().to_owned(), text })
    }

    pub(crate) fn hit(self, terms: &Terms, conversation: String) -> Option<Hit> {
        let Self { id, created_at, role, text } = self;
        terms.find(&text).map(|snippet| Hit { conversation, item: id, created_at, role, snippet })
    }
}

/// The times between which a list by time goes on, and the id that it goes on after at the last of
/// them.
pub(crate) fn times_of_list(query: &ListQuery) -> Result<(i64, i64, &str)> {
    let after = query.after.as_deref().map(|cursor| {
        let (time, id) = cursor.split_once('/').ok_or_else(|| wrong_cursor(cursor))?;
        Ok::<_, Error>((time.parse::<i64>().map_err(|_| wrong_cursor(cursor))?, id))
    });
    let until = query.filter.until.map_or(i64::MAX, Timestamp::as_millis);
    // No id is the empty one, so with it none of that time comes after.
    let (time, id) = after.transpose()?.filter(|(time, _)| *time < until).unwrap_or((until, ""));
    Ok((query.filter.from.map_or(i64::MIN, Timestamp::as_millis), time, id))
}

/// Where a list by time goes on after a page.
pub(crate) fn cursor_of_list(found: &[Listed]) -> Option<String> {
    found.last().map(|last| format!("{}/{}", last.used_at.as_millis(), last.id))
}

/// Where a search goes on.
pub(crate) fn row_of_cursor(after: Option<&str>) -> Result<Option<i64>> {
    after.map(|cursor| cursor.parse::<i64>().map_err(|_| wrong_cursor(cursor))).transpose()
}
