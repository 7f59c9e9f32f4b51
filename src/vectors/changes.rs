//! Vectors in a file, and as changes of a journal.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Known, Vector, Vectors, is_of};
use crate::base64;
use crate::conversation::{Conversation, Item, ItemId};
use crate::ledger::Fingerprint;
use crate::log::Log;

impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .serialize_str(&base64::encode(&self.parts.iter().map(|part| part.cast_unsigned()).collect::<Vec<u8>>()))
    }
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = base64::decode(&text).map(|bytes| bytes.into_iter().map(u8::cast_signed).collect());
        let vector = parts.and_then(Self::of_parts);
        vector.ok_or_else(|| serde::de::Error::custom("not the base64 of a vector"))
    }
}

/// Vectors as a file holds them, each with the fingerprint of its message.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// The embedding model.
    by: String,
    /// By ordinal.
    messages: Vec<Option<(Fingerprint, Vector)>>,
}

impl Saved {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The vectors of a conversation's own items.
    pub(crate) fn of(vectors: &Vectors, conversation: &Conversation) -> Self {
        if vectors.is_empty() {
            return Self::default();
        }
        let saved = |item: &Item| Some((Fingerprint::of(item.message()), vectors.get(item)?.clone()));
        let of_id = |id| conversation.get(ItemId::from_index(id)).and_then(saved);
        let mut messages: Vec<_> = (0..conversation.next_ordinal()).map(of_id).collect();
        messages.truncate(messages.iter().rposition(Option::is_some).map_or(0, |last| last + 1));
        Self { by: vectors.by.to_string(), messages }
    }

    /// The vectors of those messages that are as they were.
    pub(crate) fn restore(self, conversation: &Conversation) -> Vectors {
        let mut vectors = Vectors::default();
        for (id, saved) in self.messages.into_iter().enumerate() {
            if let (Some(item), Some((print, vector))) = (conversation.get(ItemId::from_index(id)), saved)
                && is_of(print, item)
            {
                vectors.put(&self.by, item, vector);
            }
        }
        vectors
    }
}

/// Vectors that were made of messages. What is in it is this crate's own, and derived.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embedded {
    /// The embedding model. The first vectors of another one replace all.
    by: String,
    /// The first item of those below.
    first: ItemId,
    /// In base64; null where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    vectors: Vec<Option<Vector>>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedded({}, {} messages from {})", self.by, self.vectors.len(), self.first)
    }
}

impl Vectors {
    /// The change that makes these vectors out of earlier ones, if there is any.
    pub(crate) fn since(&self, own: &Conversation, before: &Self, its: &Conversation) -> Option<Embedded> {
        if self.is_empty() && before.is_empty() {
            return None;
        }
        let is_continued = self.by == before.by && self.dimensions == before.dimensions;
        let shared = if is_continued { self.known.shared_len(&before.known).min(own.shared_items(its)) } else { 0 };
        let old = |id| its.get(id).filter(|_| is_continued).and_then(|item| before.get(item));
        // A purged item's vector goes with the purge, without a change of its own.
        let differs = |id: &usize| {
            let item = own.get(ItemId::from_index(*id));
            item.is_some_and(|item| self.get(item) != old(item.id()))
        };
        let first = (shared..own.next_ordinal()).find(differs);
        if first.is_none() && is_continued {
            return None;
        }
        let first = first.unwrap_or_default();
        let last = (first..own.next_ordinal()).rfind(differs).map_or(first, |last| last + 1);
        let vector = |id| own.get(ItemId::from_index(id)).and_then(|item| self.get(item)).cloned();
        let vectors = (first..last).map(vector).collect();
        Some(Embedded { by: self.by.to_string(), first: ItemId::from_index(first), vectors })
    }

    /// The vectors of a conversation for another one with the same items, some of them changed.
    /// Changed items have none.
    pub(crate) fn carried_to(&self, own: &Conversation, other: &Conversation) -> Self {
        Saved::of(self, own).restore(other)
    }

    /// Takes vectors from a journal: of items that the conversation has.
    pub(crate) fn take(&mut self, conversation: &Conversation, embedded: Embedded) {
        let Embedded { by, first, vectors } = embedded;
        let dimensions = vectors.iter().flatten().map(Vector::dimensions).next();
        if *self.by != *by || dimensions.is_some_and(|dimensions| dimensions != self.dimensions) {
            let dimensions = dimensions.unwrap_or_default();
            *self = Self { by: Arc::from(by), dimensions, known: Log::default() };
        }
        let ids = first.index()..conversation.next_ordinal();
        for (id, vector) in ids.zip(vectors) {
            let Some(item) = conversation.get(ItemId::from_index(id)) else { continue };
            let fitting = vector.filter(|vector| vector.dimensions() == self.dimensions);
            let known = fitting.map(|vector| Known { stamp: item.stamp(), vector });
            self.set(item.id(), known);
        }
    }
}
