//! Takes the record apart for a file, and rebuilds it from one.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use super::annotations::{Mark, Summary};
use super::head::check_head;
use super::index::PathIndex;
use super::item::{Item, ItemId, Timestamp};
use super::{About, Conversation, HeadChange, Metadata, Round};
use crate::error::Error;
use crate::log::Log;
use crate::message::Message;

/// Purged items leave holes in memory, so a file may not state an unlimited number of them.
pub(super) const MOST_PURGED: usize = 1_000_000;

/// Everything that a conversation consists of, without derived data.
#[derive(Debug)]
pub(crate) struct Restore {
    pub(crate) id: String,
    pub(crate) created_at: Timestamp,
    pub(crate) metadata: Metadata,
    pub(crate) head: Vec<Message>,
    pub(crate) replaced_heads: ReplacedHeads,
    pub(crate) constraints: Vec<String>,
    /// How many ids belong to purged items.
    pub(crate) purged: usize,
    /// The items, in any order.
    pub(crate) items: Vec<RestoreItem>,
    /// How many of them, from the first, are the path.
    pub(crate) on_path: usize,
    pub(crate) leaf: Option<ItemId>,
    pub(crate) pins: Vec<ItemId>,
    pub(crate) summaries: Vec<Summary>,
    /// The number of summaries ever attached.
    pub(crate) next_summary: u32,
    pub(crate) marks: Vec<Mark>,
    pub(crate) rounds: Vec<Round>,
}

/// What is wrong with a record, and in which member of a file.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) member: &'static str,
    pub(crate) detail: String,
}

impl Damage {
    pub(crate) fn new(member: &'static str, detail: impl Into<String>) -> Self {
        Self { member, detail: detail.into() }
    }

    fn of(member: &'static str) -> impl Fn(Error) -> Self {
        move |error| Self::new(member, error.detail())
    }
}

/// The heads before the current one, oldest first.
#[derive(Debug)]
pub(crate) enum ReplacedHeads {
    /// Whole heads, as older files have them.
    Whole(Vec<Vec<Message>>),
    Changes(Vec<HeadChange>),
}

impl ReplacedHeads {
    /// How each head was replaced.
    fn into_changes(self, head: &[Message]) -> Result<Vec<HeadChange>, Damage> {
        match self {
            Self::Whole(heads) => {
                heads.iter().try_for_each(|head| check_head(head)).map_err(Damage::of("replaced_heads"))?;
                let after = heads.iter().skip(1).map(|head| &**head).chain([head]);
                Ok(heads.iter().zip(after).map(|(before, after)| HeadChange::between(before, after)).collect())
            }
            Self::Changes(changes) => {
                let mut len = head.len();
                for (index, change) in changes.iter().enumerate().rev() {
                    len = change.len_before(len).ok_or_else(|| {
                        let detail = format!("replaced head {index} does not fit the one after it, of {len} messages");
                        Damage::new("replaced_heads", detail)
                    })?;
                    check_head(&change.before).map_err(Damage::of("replaced_heads"))?;
                }
                Ok(changes)
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct RestoreItem {
    pub(crate) id: ItemId,
    pub(crate) parent: Option<ItemId>,
    pub(crate) created_at: Timestamp,
    pub(crate) message: Message,
}

impl Restore {
    /// Builds the conversation and checks every reference.
    ///
    /// # Errors
    /// The first reference that is invalid.
    pub(crate) fn build(mut self) -> Result<Conversation, Damage> {
        let items = self.take_items()?;
        check_head(&self.head).map_err(Damage::of("head"))?;
        let head_changes = self.replaced_heads.into_changes(&self.head)?.into_iter().collect();
        let about = About {
            id: self.id.into(),
            created_at: self.created_at,
            metadata: self.metadata,
            head: self.head.into(),
            head_changes,
            constraints: self.constraints,
            pins: BTreeSet::new(),
            summaries: Vec::new(),
            next_summary: self.next_summary,
            marks: Vec::new(),
            rounds: Vec::new(),
        };
        let mut conversation = Conversation { items, path: PathIndex::default(), about: Arc::new(about) };
        if let Some(leaf) = self.leaf {
            conversation.switch(leaf).map_err(Damage::of("path"))?;
        }
        for pin in self.pins {
            conversation.pin(pin).map_err(Damage::of("pins"))?;
        }
        for mark in self.marks {
            conversation.set_mark(mark).map_err(Damage::of("marks"))?;
        }
        for round in self.rounds {
            conversation.restore_round(round).map_err(Damage::of("tool_rounds"))?;
        }
        for summary in self.summaries {
            conversation.restore_summary(summary).map_err(Damage::of("summaries"))?;
        }
        Ok(conversation)
    }

    /// The items by their ids, with their depths. A purged item leaves a gap.
    fn take_items(&mut self) -> Result<Log<Option<Item>>, Damage> {
        if self.purged > MOST_PURGED {
            let detail = format!("{} purged items; at most {MOST_PURGED} are allowed", self.purged);
            return Err(Damage::new("purged", detail));
        }
        let mut items = vec![None; self.items.len() + self.purged];
        let mut is_on_path = vec![false; items.len()];
        let without_parent = |is_on_path: bool, item: ItemId, parent: ItemId| {
            let member = if is_on_path { "path" } else { "branches" };
            Damage::new(member, format!("item {item} has no parent {parent} before it"))
        };
        for (position, item) in mem::take(&mut self.items).into_iter().enumerate() {
            if let Some(parent) = item.parent.filter(|parent| *parent >= item.id) {
                return Err(without_parent(position < self.on_path, item.id, parent));
            }
            let slot = items.get_mut(item.id.index()).filter(|slot| slot.is_none()).ok_or_else(|| {
                let member = if position < self.on_path { "path" } else { "branches" };
                Damage::new(member, format!("item {} is out of range or occurs twice", item.id))
            })?;
            is_on_path[item.id.index()] = position < self.on_path;
            *slot = Some(Item::new(item.id, item.parent, 0, item.created_at, item.message));
        }
        for index in 0..items.len() {
            let Some(parent) = items[index].as_ref().and_then(Item::parent) else { continue };
            let above = items.get(parent.index()).and_then(Option::as_ref);
            let depth = above.map(|above| above.depth + 1);
            let lost = || without_parent(is_on_path[index], ItemId::from_index(index), parent);
            let depth = depth.ok_or_else(lost)?;
            if let Some(item) = &mut items[index] {
                item.depth = depth;
            }
        }
        Ok(items.into_iter().collect())
    }
}

impl Conversation {
    /// The number of summaries ever attached.
    pub(crate) fn next_summary(&self) -> u32 {
        self.about.next_summary
    }

    /// All summaries, including those of other branches.
    pub(crate) fn all_summaries(&self) -> impl Iterator<Item = &Summary> {
        self.about.summaries.iter().map(|summary| &**summary)
    }

    /// Removes all marks, for a run that must not know earlier ones.
    pub(crate) fn forget_marks(&mut self) {
        if !self.about.marks.is_empty() {
            self.about_mut().marks.clear();
        }
    }

    /// All marks, including those of other branches.
    pub(crate) fn all_marks(&self) -> &[Mark] {
        &self.about.marks
    }
}
