//! `Counted`: the counts made since an earlier state, for a journal of changes.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Column, Fingerprint, Head, Ledger, Packed};
use crate::conversation::{Conversation, ItemId};
use crate::log::Log;

/// Counts that were made in one way: of groups, by the item that each ends with, and of head and
/// tools. What is in it is this crate's own, and derived: it saves the counting.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// How it was counted: [`ChatCost::id`](crate::ChatCost::id).
    by: String,
    /// The first item of those below.
    first: ItemId,
    /// Tokens of the group that ends with each item; below zero an estimate, null where none is
    /// known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tokens: Vec<Packed>,
    /// Print of head and tools, tokens of the head, tokens of the tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head: Option<(Fingerprint, Packed, Packed)>,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counted({}, {} groups from {})", self.by, self.tokens.len(), self.first)
    }
}

/// A ledger with the conversation that it is of.
#[derive(Clone, Copy)]
struct Of<'a>(&'a Ledger, &'a Conversation);

impl Of<'_> {
    /// The cost of the group that ends with an item, as a file has it.
    fn cost(self, column: &Column, id: usize) -> Packed {
        let item = self.1.get(ItemId::from_index(id));
        let is_known = item.is_some_and(|item| self.0.stamps.get(id) == Some(&item.stamp()));
        column.costs.get(id).copied().filter(|_| is_known).unwrap_or(Packed::UNKNOWN)
    }
}

impl Head {
    /// As it is written: the print of head, tools and parameters, and their costs.
    pub(super) fn packed(&self) -> (Fingerprint, Packed, Packed) {
        let (print, counts) = match self {
            Self::Loaded(print, counts) => (*print, counts),
            Self::Counted(known) => (Fingerprint::of(&(&*known.head, &*known.tools, &*known.params)), &known.counts),
        };
        let [head, tools] = counts.map(Packed::new);
        (print, head, tools)
    }

    /// Whether it is known to be the same, without looking at the text.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Loaded(one, counts), Self::Loaded(other, others)) => (one, counts) == (other, others),
            (Self::Counted(one), Self::Counted(other)) => {
                Arc::ptr_eq(&one.head, &other.head)
                    && Arc::ptr_eq(&one.tools, &other.tools)
                    && one.params == other.params
                    && one.counts == other.counts
            }
            _ => false,
        }
    }
}

impl Ledger {
    /// What this ledger knows more than an earlier one; `None` where it has forgotten something.
    pub(crate) fn counted_since(
        &self,
        own: &Conversation,
        before: &Ledger,
        its: &Conversation,
    ) -> Option<Vec<Counted>> {
        let is_kept = |old: &Column| self.columns.iter().any(|column| column.cost_id == old.cost_id);
        if !before.columns.iter().all(is_kept) {
            return None;
        }
        let shared = own.shared_items(its).min(self.stamps.shared_len(&before.stamps));
        let mut counted = Vec::new();
        for column in &self.columns {
            let old = before.columns.iter().find(|old| old.cost_id == column.cost_id);
            let shared = old.map_or(0, |old| shared.min(column.costs.shared_len(&old.costs)));
            let cost = |id: usize| Of(self, own).cost(column, id);
            let old_cost = |id: usize| old.map_or(Packed::UNKNOWN, |old| Of(before, its).cost(old, id));
            // A purged item's cost becomes unknown by the purge, without a change of its own.
            let differs = |id: &usize| cost(*id) != old_cost(*id) && own.get(ItemId::from_index(*id)).is_some();
            let first = (shared..own.next_ordinal()).find(differs);
            let last = first.and_then(|first| (first..own.next_ordinal()).rfind(differs));
            let tokens = first.zip(last).map_or_else(Vec::new, |(first, last)| (first..=last).map(cost).collect());
            let head = match (&column.head, old.and_then(|old| old.head.as_ref())) {
                (None, None) => None,
                (None, Some(_)) => return None,
                (Some(head), old) if old.is_some_and(|old| head.is_same(old)) => None,
                (Some(head), old) => Some(head.packed()).filter(|head| old.map(Head::packed) != Some(*head)),
            };
            if old.is_none() || !tokens.is_empty() || head.is_some() {
                let first = ItemId::from_index(first.unwrap_or_default());
                counted.push(Counted { by: column.cost_id.to_string(), first, tokens, head });
            }
        }
        Some(counted)
    }

    /// Takes counts from a journal: of items that the conversation has.
    pub(crate) fn take_counted(&mut self, conversation: &Conversation, counted: Counted) {
        let index = self.column(&counted.by);
        let ids = counted.first.index()..conversation.next_ordinal();
        for (id, tokens) in ids.zip(counted.tokens) {
            let Some(item) = conversation.get(ItemId::from_index(id)) else { continue };
            self.take_stamp(item);
            let column = &mut self.columns[index];
            while column.costs.len() <= id {
                column.costs.push(Packed::UNKNOWN);
            }
            if let Some(cost) = column.costs.get_mut(id) {
                *cost = tokens;
            }
        }
        // They were summed from other counts.
        self.columns[index].sums = Log::default();
        if let Some((print, head, tools)) = counted.head
            && let (Some(head), Some(tools)) = (head.count(), tools.count())
        {
            self.columns[index].head = Some(Head::Loaded(print, [head, tools]));
        }
    }
}
