//! `Advance`: a record that is altered step by step, from a journal of changes. It reads no clock,
//! and builds the path once at the end. What follows from a step (a purge removes pins and
//! summaries) happens here and needs no change of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::annotations::{Mark, Summary};
use super::head::{HeadChange, check_head};
use super::item::{Item, ItemId, Timestamp, narrow};
use super::restore::MOST_PURGED;
use super::{Conversation, Log, Round, put_mark};
use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;

/// A new head as the difference to the one before: so many messages at a place go, and others come
/// in.
#[derive(Debug)]
pub(crate) struct HeadStep {
    pub(crate) at: usize,
    pub(crate) removed: usize,
    pub(crate) inserted: Vec<Message>,
}

impl Conversation {
    /// A conversation with this id and head, in which nothing was said yet.
    pub(crate) fn begun(id: String, created_at: Timestamp, head: Vec<Message>) -> Self {
        let mut begun = Self::new();
        let about = begun.about_mut();
        (about.id, about.created_at, about.head) = (id.into(), created_at, head.into());
        begun
    }

    /// Whether everything but the items and the path is shared with a copy.
    pub(crate) fn shares_about(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.about, &other.about)
    }

    /// How many items, from the first one, are shared with a copy.
    pub(crate) fn shared_items(&self, other: &Self) -> usize {
        self.items.shared_len(&other.items)
    }

    /// How the heads since `earlier` became the current one, oldest first; `None` where they do not
    /// follow on its own.
    pub(crate) fn head_steps_since(&self, earlier: &Self) -> Option<Vec<HeadStep>> {
        let (known, all) = (&earlier.about.head_changes, &self.about.head_changes);
        let shared = known.shared_len(all);
        let is_continued = known.len() <= all.len()
            && known.range(shared..known.len()).eq(all.range(shared..known.len()))
            && self.head_before(known.len()) == earlier.head();
        is_continued.then(|| self.head_steps(known.len()))
    }

    /// The head as it was when so many changes of it had been made.
    fn head_before(&self, changes: usize) -> Vec<Message> {
        let all = &self.about.head_changes;
        let later = all.range(changes..all.len()).rev();
        later.fold(self.head().to_vec(), |head, change| change.undo(&head))
    }

    /// The first head that is known.
    pub(crate) fn first_head(&self) -> Vec<Message> {
        self.head_before(0)
    }

    /// How the heads became the current one after so many changes, oldest first.
    pub(crate) fn head_steps(&self, from: usize) -> Vec<HeadStep> {
        let all = &self.about.head_changes;
        let mut head = self.head().to_vec();
        let mut steps: Vec<HeadStep> = Vec::new();
        for change in all.range(from..all.len()).rev() {
            let inserted = head.iter().skip(change.at).take(change.after).cloned().collect();
            steps.push(HeadStep { at: change.at, removed: change.before.len(), inserted });
            head = change.undo(&head);
        }
        steps.reverse();
        steps
    }

    /// The step from one head to another.
    pub(crate) fn head_step(before: &[Message], after: &[Message]) -> HeadStep {
        let change = HeadChange::between(before, after);
        let inserted = after[change.at..change.at + change.after].to_vec();
        HeadStep { at: change.at, removed: change.before.len(), inserted }
    }

    /// `marks` with those in `set` added, each in the place of an earlier one that it replaces.
    pub(crate) fn marks_after(mut marks: Vec<Mark>, set: &[Mark]) -> Vec<Mark> {
        for mark in set {
            put_mark(&mut marks, mark.clone());
        }
        marks
    }
}

/// A conversation while changes are made: the path follows at the end, so that items of many
/// branches can be added without walking from one to the other.
pub(crate) struct Advance {
    record: Conversation,
    /// Where the path will end.
    leaf: Option<ItemId>,
    /// How many ids are those of purged items; not counted before the first purge.
    purged: Option<usize>,
}

impl Advance {
    pub(crate) fn of(record: Conversation) -> Self {
        Self { leaf: record.leaf(), record, purged: None }
    }

    /// A conversation with this id and head, in which nothing was said yet.
    pub(crate) fn begun(id: String, created_at: Timestamp, head: Vec<Message>) -> Result<Self> {
        check_head(&head)?;
        Ok(Self::of(Conversation::begun(id, created_at, head)))
    }

    /// The record, to change where neither items nor the path are meant.
    pub(crate) fn record(&mut self) -> &mut Conversation {
        &mut self.record
    }

    pub(crate) fn add(
        &mut self,
        id: ItemId,
        parent: Option<ItemId>,
        created_at: Timestamp,
        message: Message,
    ) -> Result<()> {
        let next = self.record.next_ordinal();
        if id.index() != next {
            return Err(unfit(format!("item {id} is recorded where #{next} is the next one")));
        }
        let depth = parent.map(|parent| self.record.known(parent).map(|parent| parent.depth + 1)).transpose()?;
        let depth = depth.unwrap_or_default();
        self.record.items.push(Some(Item::new(id, parent, depth, created_at, message)));
        self.leaf = Some(id);
        Ok(())
    }

    pub(crate) fn set_leaf(&mut self, leaf: Option<ItemId>) -> Result<()> {
        leaf.map(|leaf| self.record.known(leaf).map(drop)).transpose()?;
        self.leaf = leaf;
        Ok(())
    }

    /// Removes items. Ids in the range that lie beyond the newest item are skipped: no item will
    /// have them.
    pub(crate) fn purge(&mut self, first: ItemId, count: u32) -> Result<()> {
        self.build_path()?;
        let (next, end) = (narrow(self.record.next_ordinal()), first.0.saturating_add(count));
        if first.0 > next {
            return Err(unfit(format!("{count} items from {first} on are purged where #{next} is the next one")));
        }
        let gone: BTreeSet<ItemId> =
            (first.0..end.min(next)).map(ItemId).filter(|id| self.record.get(*id).is_some()).collect();
        let before = self.purged.unwrap_or_else(|| next as usize - self.record.items().count());
        let purged = before + gone.len() + end.saturating_sub(next) as usize;
        if purged > MOST_PURGED {
            return Err(unfit(format!("{purged} purged items; at most {MOST_PURGED} are allowed")));
        }
        let on_path = gone.iter().filter_map(|id| self.record.path().position(*id)).min();
        if let Some(position) = on_path {
            self.record.path.truncate(position, &self.record.items);
        }
        self.record.remove(&gone);
        (next..end).for_each(|_| self.record.items.push(None));
        (self.leaf, self.purged) = (self.record.leaf(), Some(purged));
        Ok(())
    }

    pub(crate) fn put_head(&mut self, step: &HeadStep) -> Result<()> {
        check_head(&step.inserted)?;
        let head = self.record.head();
        let end = step.at.checked_add(step.removed).filter(|end| *end <= head.len()).ok_or_else(|| {
            unfit(format!("{} messages from {} on are replaced in a head of {}", step.removed, step.at, head.len()))
        })?;
        let change = HeadChange { at: step.at, after: step.inserted.len(), before: head[step.at..end].to_vec() };
        let after = [&head[..step.at], &step.inserted, &head[end..]].concat();
        let about = self.record.about_mut();
        about.head_changes.push(change);
        about.head = after.into();
        Ok(())
    }

    pub(crate) fn forget_heads(&mut self) {
        self.record.about_mut().head_changes = Log::default();
    }

    /// Notes a constraint. The head that states it is a change of its own
    /// ([`put_head`](Self::put_head)).
    pub(crate) fn constrain(&mut self, text: String) {
        self.record.about_mut().constraints.push(text);
    }

    pub(crate) fn lift(&mut self, text: &str) -> Result<()> {
        let found = self.record.constraints().position(|known| known == text);
        let found = found.ok_or_else(|| unfit("a constraint is lifted that was not stated"))?;
        self.record.about_mut().constraints.remove(found);
        Ok(())
    }

    pub(crate) fn attach(&mut self, summary: Summary) -> Result<()> {
        self.record.restore_summary(summary)
    }

    /// Makes `next` the smallest id that a later summary can have.
    pub(crate) fn count_summaries(&mut self, next: u32) {
        self.record.count_summaries(next);
    }

    /// Notes what is known of a call: that it was started, or what came of it.
    pub(crate) fn note_call(&mut self, item: ItemId, call: usize, result: Option<Message>) -> Result<()> {
        self.record.check_call(item, call, result.as_ref())?;
        match result {
            Some(result) => self.record.note_result(item, call, result),
            None => self.record.note_start(item, call),
        }
        Ok(())
    }

    pub(crate) fn end_round(&mut self, item: ItemId) {
        self.record.about_mut().rounds.retain(|round: &Round| round.item != item);
    }

    /// The record with its path.
    pub(crate) fn finish(mut self) -> Result<Conversation> {
        self.build_path()?;
        let is_lost = |item: &Item| item.parent().is_some_and(|parent| self.record.get(parent).is_none());
        if self.purged.is_some()
            && let Some(lost) = self.record.items().find(|item| is_lost(item))
        {
            return Err(unfit(format!("item {} stays and the item before it is purged", lost.id)));
        }
        Ok(self.record)
    }

    fn build_path(&mut self) -> Result<()> {
        if self.leaf != self.record.leaf() {
            match self.leaf {
                Some(leaf) => self.record.switch(leaf)?,
                None => self.record.clear(),
            }
        }
        Ok(())
    }
}

fn unfit(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Damaged, detail)
}
