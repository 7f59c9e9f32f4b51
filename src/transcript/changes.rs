//! `Transcript::changes_since`: the changes between two states of a transcript.

use std::collections::BTreeSet;

use super::{Change, Transcript};
use crate::conversation::{Conversation, Item, ItemId, Mark, Round, Summary};

impl Transcript {
    /// All changes that make this transcript out of an empty one: what a journal begins with.
    pub fn changes(&self) -> Vec<Change> {
        let record = &self.conversation;
        let (id, created_at, head) = (record.id().to_owned(), record.created_at(), record.first_head());
        let begun = Transcript::new(Conversation::begun(id.clone(), created_at, head.clone()));
        let rest = Since { before: &begun, after: self }.changes().unwrap_or_default();
        std::iter::once(Change::Begun { id, created_at, head }).chain(rest).collect()
    }

    /// The changes that make this transcript out of an earlier state of it, oldest first. They begin
    /// with [`Change::Begun`] and hold everything where `before` is no earlier state (another
    /// conversation, items that are not the same), and where a mark went that no change can take
    /// back: it was replaced by a mark whose item was purged since.
    ///
    /// For a copy that was taken before a few changes it takes time with these, not with the length
    /// of the conversation.
    pub fn changes_since(&self, before: &Transcript) -> Vec<Change> {
        Since { before, after: self }.changes().unwrap_or_else(|| self.changes())
    }
}

/// Two states; each part gives its changes, and `None` where one is no continuation of the other.
#[derive(Clone, Copy)]
struct Since<'a> {
    before: &'a Transcript,
    after: &'a Transcript,
}

impl<'a> Since<'a> {
    fn changes(self) -> Option<Vec<Change>> {
        let (before, after) = self.records();
        if before.id() != after.id() || before.created_at() != after.created_at() {
            return None;
        }
        let mut changes = self.items()?;
        if !before.shares_about(after) {
            self.heads(&mut changes);
            self.constraints(&mut changes)?;
            self.pins(&mut changes);
            self.summaries(&mut changes)?;
            self.marks(&mut changes)?;
            self.rounds(&mut changes)?;
            if before.metadata() != after.metadata() {
                changes.push(Change::Metadata(after.metadata().clone()));
            }
        }
        self.of_file(&mut changes)?;
        Some(changes)
    }

    fn records(self) -> (&'a Conversation, &'a Conversation) {
        (&self.before.conversation, &self.after.conversation)
    }

    /// Whether an item was there and is not any more.
    fn is_purged(self, item: ItemId) -> bool {
        let (before, after) = self.records();
        before.get(item).is_some() && after.get(item).is_none()
    }

    fn items(self) -> Option<Vec<Change>> {
        let (before, after) = self.records();
        let (known, all) = (before.next_ordinal(), after.next_ordinal());
        if all < known {
            return None;
        }
        let mut items = Items { changes: Vec::new(), leaf: before.leaf(), is_leaf_known: true };
        for id in (after.shared_items(before)..all).map(ItemId::from_index) {
            match (before.get(id), after.get(id)) {
                (Some(old), Some(item)) if is_same(old, item) => {}
                (None, None) if id.index() < known => {}
                (None, Some(item)) if id.index() >= known => items.add(item),
                (_, None) => items.purge(id),
                (_, Some(_)) => return None,
            }
        }
        if !items.is_leaf_known || items.leaf != after.leaf() {
            items.changes.push(Change::Leaf { item: after.leaf() });
        }
        Some(items.changes)
    }

    fn heads(self, changes: &mut Vec<Change>) {
        let (before, after) = self.records();
        let steps = after.head_steps_since(before).unwrap_or_else(|| {
            let first = after.first_head();
            if before.head() != first {
                changes.push(Conversation::head_step(before.head(), &first).into());
            }
            changes.push(Change::HeadsForgotten);
            after.head_steps(0)
        });
        changes.extend(steps.into_iter().map(Change::from));
    }

    fn constraints(self, changes: &mut Vec<Change>) -> Option<()> {
        let (before, after) = self.records();
        let mut old: Vec<&str> = before.constraints().collect();
        let new: Vec<&str> = after.constraints().collect();
        let (gone, added) = continued(&old, &new, |old, new| old == new);
        for text in gone {
            old.remove(old.iter().position(|old| *old == text)?);
            changes.push(Change::Lifted { text: text.to_owned() });
        }
        old.extend(added);
        changes.extend(added.iter().map(|text| Change::Constrained { text: (*text).to_owned() }));
        (old == new).then_some(())
    }

    fn pins(self, changes: &mut Vec<Change>) {
        let (before, after) = self.records();
        let old: BTreeSet<ItemId> = before.pins().filter(|pin| !self.is_purged(*pin)).collect();
        let new: BTreeSet<ItemId> = after.pins().collect();
        changes.extend(old.difference(&new).map(|&item| Change::Unpinned { item }));
        changes.extend(new.difference(&old).map(|&item| Change::Pinned { item }));
    }

    fn summaries(self, changes: &mut Vec<Change>) -> Option<()> {
        let (before, after) = self.records();
        let mut new = after.all_summaries();
        let mut next = before.next_summary();
        for old in before.all_summaries().filter(|summary| !self.is_purged(summary.last)) {
            let new = new.next()?;
            let expanded = Summary { expanded: new.expanded, ..old.clone() };
            if *new != expanded || (old.expanded && !new.expanded) {
                return None;
            }
            if new.expanded && !old.expanded {
                changes.push(Change::Expanded { summary: new.id });
            }
        }
        for summary in new {
            next = next.max(summary.id.0.saturating_add(1));
            changes.push(Change::Summarized(summary.clone()));
        }
        if next < after.next_summary() {
            changes.push(Change::SummaryIds { next: after.next_summary() });
        }
        (next <= after.next_summary()).then_some(())
    }

    fn marks(self, changes: &mut Vec<Change>) -> Option<()> {
        let (before, after) = self.records();
        let is_kept = |mark: &&Mark| !self.is_purged(mark.item) && !self.is_purged(mark.leaf);
        let old: Vec<Mark> = before.all_marks().iter().filter(is_kept).cloned().collect();
        let new = after.all_marks();
        let (_, set) = continued(&old, new, |old, new| old == new);
        changes.extend(set.iter().cloned().map(Change::Marked));
        (Conversation::marks_after(old.clone(), set) == new).then_some(())
    }

    fn rounds(self, changes: &mut Vec<Change>) -> Option<()> {
        let (before, after) = self.records();
        let old: Vec<&Round> = before.rounds().iter().filter(|round| !self.is_purged(round.item)).collect();
        let new: Vec<&Round> = after.rounds().iter().collect();
        let (gone, _) = continued(&old, &new, |old, new| old.item == new.item);
        changes.extend(gone.iter().map(|round| Change::RoundEnded { item: round.item }));
        for round in new {
            let known = old.iter().find(|old| old.item == round.item && !gone.iter().any(|gone| gone.item == old.item));
            calls(known.copied(), round, changes)?;
        }
        Some(())
    }

    /// What stands beside the record.
    fn of_file(self, changes: &mut Vec<Change>) -> Option<()> {
        let (before, after) = (self.before, self.after);
        if before.model != after.model {
            changes.push(Change::Model(after.model.clone()));
        }
        if before.tools != after.tools {
            changes.push(Change::Tools(after.tools.clone()));
        }
        if (&before.extra, &before.keys) != (&after.extra, &after.keys) {
            changes.push(Change::Members { extra: after.extra.clone(), keys: after.keys.clone() });
        }
        let counted = after.ledger.counted_since(&after.conversation, &before.ledger, &before.conversation)?;
        changes.extend(counted.into_iter().map(Change::Counted));
        let embedded = after.vectors.since(&after.conversation, &before.vectors, &before.conversation);
        changes.extend(embedded.map(Change::Embedded));
        if before.spending != after.spending {
            changes.push(Change::Spending(after.spending.clone()));
        }
        // A table that both share says nothing of what it was before.
        let is_one_table = before.calibration.is_shared_with(&after.calibration);
        let has_learned = if is_one_table {
            !after.calibration.is_empty()
        } else {
            before.calibration.all() != after.calibration.all()
        };
        if has_learned {
            changes.push(Change::Calibration(after.calibration.detached()));
        }
        if before.last_bill != after.last_bill {
            changes.push(Change::LastBill(after.last_bill.clone()));
        }
        if before.origins != after.origins {
            changes.push(Change::Origins(after.origins.clone()));
        }
        Some(())
    }
}

/// The changes of items, in the order of their ids.
struct Items {
    changes: Vec<Change>,
    /// Where the path ends by then.
    leaf: Option<ItemId>,
    /// A purge may have cut the path.
    is_leaf_known: bool,
}

impl Items {
    fn add(&mut self, item: &Item) {
        let (id, parent) = (item.id(), item.parent());
        (self.leaf, self.is_leaf_known) = (Some(id), true);
        self.changes.push(Change::Item { id, parent, created_at: item.created_at(), message: item.message().clone() });
    }

    fn purge(&mut self, id: ItemId) {
        self.is_leaf_known = false;
        match self.changes.last_mut() {
            Some(Change::Purged { first, count }) if first.0 + *count == id.0 => *count += 1,
            _ => self.changes.push(Change::Purged { first: id, count: 1 }),
        }
    }
}

fn is_same(old: &Item, item: &Item) -> bool {
    let said = |item: &Item| (item.parent(), item.created_at());
    old.stamp() == item.stamp() || said(old) == said(item) && old.message() == item.message()
}

/// What is known of the calls of an item now.
fn calls(old: Option<&Round>, new: &Round, changes: &mut Vec<Change>) -> Option<()> {
    let item = new.item;
    for (&call, started) in &new.calls {
        let known = old.and_then(|old| old.calls.get(&call));
        match (known, &started.result) {
            (Some(known), result) if known.result == *result => {}
            (Some(_), None) => return None,
            (None, None) => changes.push(Change::CallStarted { item, call }),
            (_, Some(result)) => changes.push(Change::CallFinished { item, call, result: result.clone() }),
        }
    }
    let gone = old.into_iter().flat_map(|old| old.calls.keys()).filter(|call| !new.calls.contains_key(call));
    changes.extend(gone.map(|&call| Change::CallForgotten { item, call }));
    Some(())
}

/// A list that grows at its end and loses elements anywhere: which it lost, and which came.
fn continued<'a, T: Clone>(old: &[T], new: &'a [T], is_same: impl Fn(&T, &T) -> bool) -> (Vec<T>, &'a [T]) {
    let mut kept = 0;
    let mut gone = Vec::new();
    for one in old {
        if new.get(kept).is_some_and(|new| is_same(one, new)) {
            kept += 1;
        } else {
            gone.push(one.clone());
        }
    }
    (gone, &new[kept..])
}
