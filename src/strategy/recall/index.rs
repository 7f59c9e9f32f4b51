//! `Index`: which group holds which word how often. It grows and shrinks at its end, a group at
//! a time.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::dates::{Day, day_of, days_named};
use super::terms::{Key, Stem, Words};
use crate::conversation::{Item, Path, Stamp};
use crate::message::Message;

/// The words of the groups of a path.
#[derive(Debug)]
pub(super) struct Index {
    stem: Stem,
    words: Words,
    groups: Vec<Indexed>,
    /// The terms of all groups, one group after the other; those of each group are sorted.
    terms_of: Vec<u32>,
    ids: HashMap<Key, u32>,
    terms: Vec<Term>,
    /// The number of words of all groups, counting repetitions.
    length: u64,
    /// A buffer for the terms of the group that is being added.
    found: Vec<u32>,
    /// The days of the first groups: of those that a question with a date has looked at.
    days: Vec<Day>,
    /// The days that their texts name, by group.
    named: Vec<(usize, Range<Day>)>,
    /// What the user messages said that were read last as questions, by group.
    said: BTreeMap<usize, Arc<Said>>,
}

/// What a user message says as a question, without its author's name.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Its words, each once, in the order of the words.
    pub(super) words: Vec<Key>,
    /// The days that it names. What names no year means the last such day before the message.
    pub(super) days: Vec<Range<Day>>,
}

/// So many questions are remembered: more than one that says little borrows words from.
const MOST_SAID: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Indexed {
    /// The newest item of the groups up to and including this one.
    stamp: Stamp,
    /// The end of its terms.
    end: usize,
    /// The number of its words, counting repetitions.
    length: u32,
}

#[derive(Debug)]
struct Term {
    key: Key,
    postings: Vec<Posting>,
}

/// A group that contains a word, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Posting {
    pub(super) group: u32,
    pub(super) count: u32,
}

impl Default for Index {
    fn default() -> Self {
        Self::new(Stem::default())
    }
}

impl Index {
    fn new(stem: Stem) -> Self {
        Self {
            stem,
            words: Words::new(stem),
            groups: Vec::new(),
            terms_of: Vec::new(),
            ids: HashMap::new(),
            terms: Vec::new(),
            length: 0,
            found: Vec::new(),
            days: Vec::new(),
            named: Vec::new(),
            said: BTreeMap::new(),
        }
    }

    /// Updates the index to this path: removes changed groups from the end, and reads new ones.
    pub(super) fn update(&mut self, path: Path<'_>, stem: Stem) {
        if self.stem != stem {
            *self = Self::new(stem);
        }
        while self.groups.len() > path.group_count() || self.groups.last().is_some_and(|last| !self.stands(path, last))
        {
            self.pop();
        }
        for group in self.groups.len()..path.group_count() {
            self.push(path, group);
        }
    }

    /// Whether the last group is on the path unchanged. Items with the same stamp have the same
    /// items before them, so this holds for all groups before it too.
    fn stands(&self, path: Path<'_>, last: &Indexed) -> bool {
        path.newest_item(self.groups.len() - 1).is_some_and(|newest| newest.stamp() == last.stamp)
    }

    fn push(&mut self, path: Path<'_>, group: usize) {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        path.group(group).messages().for_each(|message| self.read(message, &mut found));
        found.sort_unstable();
        for same in found.chunk_by(|one, next| one == next) {
            self.terms[same[0] as usize].postings.push(Posting { group: narrow(group), count: narrow(same.len()) });
            self.terms_of.push(same[0]);
        }
        let length = narrow(found.len());
        self.length += u64::from(length);
        let stamp = path.newest_item(group).map(Item::stamp).unwrap_or_default();
        self.groups.push(Indexed { stamp, end: self.terms_of.len(), length });
        self.found = found;
    }

    /// Collects the terms of a message: its text, its author's name, its calls.
    fn read(&mut self, message: &Message, found: &mut Vec<u32>) {
        let Self { words, ids, terms, .. } = self;
        let mut take = |text: &str| words.each(text, &mut |word: &str| found.push(term(ids, terms, Key::of(word))));
        message.name().into_iter().for_each(&mut take);
        take(&message.text());
        message.refusal().into_iter().for_each(&mut take);
        let calls = message.tool_calls().iter().map(|call| (call.name(), call.arguments()));
        for (name, arguments) in calls.chain(message.function_call().map(|call| (call.name(), call.arguments()))) {
            take(name);
            // Parsed first, because in the raw text an escaped character would join the next word:
            // `\nParis`.
            match serde_json::from_str(&arguments) {
                Ok(arguments) => each_text(&arguments, &mut take),
                Err(_) => take(&arguments),
            }
        }
    }

    fn pop(&mut self) {
        let Some(last) = self.groups.pop() else { return };
        self.days.truncate(self.groups.len());
        self.said.split_off(&self.groups.len());
        self.named.truncate(self.named.partition_point(|(group, _)| *group < self.groups.len()));
        self.length -= u64::from(last.length);
        let start = self.groups.last().map_or(0, |before| before.end);
        // Terms are numbered in the order of appearance, so those that only this group has are the
        // last ones.
        for id in self.terms_of.drain(start..).rev() {
            let term = &mut self.terms[id as usize];
            term.postings.pop();
            if term.postings.is_empty() {
                self.ids.remove(&term.key);
                self.terms.pop();
            }
        }
    }

    /// The groups before `end` that were said on one of these days or name one of them, in order.
    /// None if all were recorded on one day, as in a conversation that was imported without times.
    /// Days are read when a question first asks for them.
    pub(super) fn groups_on(&mut self, path: Path<'_>, end: usize, days: &[Range<Day>]) -> Vec<usize> {
        let day = |group: usize| path.group(group).items().next().map_or(0, |item| day_of(item.created_at()));
        if end == 0 || day(0) == day(end - 1) {
            return Vec::new();
        }
        for group in self.days.len()..end {
            let day = day(group);
            let named = path.group(group).messages().flat_map(|message| days_named(&message.text(), day, day));
            self.named.extend(named.map(|days| (group, days)));
            self.days.push(day);
        }
        let is_asked = |day: &Day| days.iter().any(|days| days.contains(day));
        let said = (0..end).filter(|&group| is_asked(&self.days[group]));
        let overlaps = |named: &Range<Day>| days.iter().any(|days| days.start < named.end && named.start < days.end);
        let named = self.named.iter().filter(|(group, named)| *group < end && overlaps(named)).map(|(group, _)| *group);
        let mut groups: Vec<usize> = said.chain(named).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// The number of groups.
    pub(super) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The number of words of a group, counting repetitions.
    pub(super) fn length(&self, group: usize) -> u64 {
        self.groups.get(group).map_or(0, |group| u64::from(group.length))
    }

    /// The number of words of all groups, counting repetitions.
    pub(super) fn total_length(&self) -> u64 {
        self.length
    }

    /// The groups that contain a word, in order.
    pub(super) fn postings(&self, word: Key) -> &[Posting] {
        self.ids.get(&word).map_or(&[], |&id| &self.terms[id as usize].postings)
    }

    /// Adds the words of a text, with repetitions, in order.
    pub(super) fn read_keys(&mut self, text: &str, into: &mut Vec<Key>) {
        self.words.each(text, &mut |word: &str| into.push(Key::of(word)));
    }

    /// What the user message of an indexed group says. It is read once: the questions after it borrow from it.
    pub(super) fn said(&mut self, path: Path<'_>, group: usize) -> Arc<Said> {
        if let Some(known) = self.said.get(&group) {
            return Arc::clone(known);
        }
        let said = Arc::new(
            path.group(group).items().next().map(|item| self.read_question(path, group, item)).unwrap_or_default(),
        );
        if self.said.len() == MOST_SAID {
            self.said.pop_first();
        }
        self.said.insert(group, Arc::clone(&said));
        said
    }

    fn read_question(&mut self, path: Path<'_>, group: usize, item: &Item) -> Said {
        let text = item.message().text();
        let mut words = Vec::new();
        self.words.each(&text, &mut |word: &str| words.push(word.to_owned()));
        words.sort_unstable();
        words.dedup();
        let written = day_of(item.created_at());
        let newest = path.group(group.saturating_sub(1)).last_item().map_or(written, |item| day_of(item.created_at()));
        Said {
            words: words.iter().map(|word| Key::of(word)).collect(),
            days: days_named(&text, written, newest.min(written)),
        }
    }
}

fn term(ids: &mut HashMap<Key, u32>, terms: &mut Vec<Term>, key: Key) -> u32 {
    *ids.entry(key).or_insert_with(|| {
        terms.push(Term { key, postings: Vec::with_capacity(1) });
        narrow(terms.len() - 1)
    })
}

/// Visits the keys and texts of a JSON value.
fn each_text(value: &Value, take: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => take(text),
        Value::Number(number) => take(&number.to_string()),
        Value::Array(values) => values.iter().for_each(|value| each_text(value, take)),
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            take(key);
            each_text(value, take);
        }),
        Value::Bool(_) | Value::Null => {}
    }
}

/// A count in four bytes; more groups or words do not fit into memory.
pub(super) fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
