//! The record taken apart for a file, and put together again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::index::PathIndex;
use super::item::{Item, ItemId, Stamp, Timestamp};
use super::notes::{Mark, Summary};
use super::{About, Conversation, Metadata};
use crate::error::{Error, ErrorKind, Result};
use crate::log::Log;
use crate::message::Message;

/// Purged items leave holes in memory, so a file cannot claim any number of them.
const MOST_PURGED: usize = 1_000_000;

/// Everything that a conversation is made of, with nothing derived.
#[derive(Debug)]
pub(crate) struct Restore {
    pub(crate) id: String,
    pub(crate) created_at: Timestamp,
    pub(crate) metadata: Metadata,
    pub(crate) heads: Vec<Vec<Message>>,
    pub(crate) constraints: Vec<String>,
    /// How many ids belong to items that were purged.
    pub(crate) purged: usize,
    /// In any order.
    pub(crate) items: Vec<RestoreItem>,
    pub(crate) leaf: Option<ItemId>,
    pub(crate) pins: Vec<ItemId>,
    pub(crate) summaries: Vec<Summary>,
    /// How many summaries there ever were.
    pub(crate) next_summary: u32,
    pub(crate) marks: Vec<Mark>,
}

#[derive(Debug)]
pub(crate) struct RestoreItem {
    pub(crate) id: ItemId,
    pub(crate) parent: Option<ItemId>,
    pub(crate) created_at: Timestamp,
    pub(crate) message: Message,
}

impl Restore {
    /// Builds the conversation and checks that every reference holds.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] names the first reference that does not.
    pub(crate) fn build(self) -> Result<Conversation> {
        if self.purged > MOST_PURGED {
            return Err(damaged(format!("{} purged items; at most {MOST_PURGED} are allowed", self.purged)));
        }
        let mut items = vec![None; self.items.len() + self.purged];
        for item in self.items {
            let slot = items.get_mut(item.id.index()).filter(|slot| slot.is_none());
            let slot = slot.ok_or_else(|| damaged(format!("item {} is out of range or there twice", item.id)))?;
            *slot = Some(Item {
                id: item.id,
                parent: item.parent,
                depth: 0,
                created_at: item.created_at,
                stamp: Stamp::next(),
                message: item.message,
            });
        }
        for index in 0..items.len() {
            let Some(parent) = items[index].as_ref().and_then(Item::parent) else { continue };
            let above = items.get(parent.index()).filter(|_| parent.index() < index).and_then(Option::as_ref);
            let depth = above.map(|above| above.depth + 1);
            let depth = depth.ok_or_else(|| damaged(format!("item #{index} has no parent {parent} before it")))?;
            if let Some(item) = &mut items[index] {
                item.depth = depth;
            }
        }
        let about = About {
            id: self.id,
            created_at: self.created_at,
            metadata: self.metadata,
            heads: self.heads.into_iter().map(Arc::from).collect(),
            constraints: self.constraints,
            pins: BTreeSet::new(),
            summaries: Vec::new(),
            next_summary: self.next_summary,
            marks: Vec::new(),
        };
        let items = items.into_iter().collect::<Log<_>>();
        let mut conversation = Conversation { items, path: PathIndex::default(), about: Arc::new(about) };
        let lost = |e: Error| damaged(e.detail());
        if let Some(leaf) = self.leaf {
            conversation.switch(leaf).map_err(lost)?;
        }
        for pin in self.pins {
            conversation.pin(pin).map_err(lost)?;
        }
        for mark in self.marks {
            conversation.set_mark(mark).map_err(lost)?;
        }
        for summary in self.summaries {
            conversation.check_range(summary.first, summary.last).map_err(lost)?;
            let about = conversation.about_mut();
            about.next_summary = about.next_summary.max(summary.id.0.saturating_add(1));
            about.summaries.push(Arc::new(summary));
        }
        Ok(conversation)
    }
}

impl Conversation {
    /// All heads, for a file.
    pub(crate) fn replaced_heads(&self) -> &[Arc<[Message]>] {
        &self.about.heads[..self.about.heads.len().saturating_sub(1)]
    }

    /// How many summaries there ever were.
    pub(crate) fn next_summary(&self) -> u32 {
        self.about.next_summary
    }

    /// All summaries, whatever branch they are valid on.
    pub(crate) fn all_summaries(&self) -> impl Iterator<Item = &Summary> {
        self.about.summaries.iter().map(|summary| &**summary)
    }

    /// Takes out all marks, for a run that must not know of earlier ones.
    pub(crate) fn forget_marks(&mut self) {
        if !self.about.marks.is_empty() {
            self.about_mut().marks.clear();
        }
    }

    /// All marks, whatever branch they are valid on.
    pub(crate) fn all_marks(&self) -> &[Mark] {
        &self.about.marks
    }
}

fn damaged(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Damaged, detail)
}
