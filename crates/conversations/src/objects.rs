//! The objects of the API, as they are answered.

use std::collections::BTreeMap;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use turnwise::Conversation;
use turnwise::message::RawJson;

/// A conversation without its items.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConversationObject {
    /// Its id.
    pub id: String,
    /// When it was created: seconds since 1970-01-01 00:00 UTC.
    pub created_at: i64,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
}

impl ConversationObject {
    /// The object of a conversation that is stored under an id.
    pub(crate) fn of(id: &str, conversation: &Conversation) -> Self {
        let pairs = conversation.metadata().iter();
        Self {
            id: id.to_owned(),
            created_at: conversation.created_at().as_millis().div_euclid(1_000),
            metadata: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        }
    }
}

impl Serialize for ConversationObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("ConversationObject", 4)?;
        object.serialize_field("id", &self.id)?;
        object.serialize_field("object", "conversation")?;
        object.serialize_field("created_at", &self.created_at)?;
        object.serialize_field("metadata", &self.metadata)?;
        object.end()
    }
}

/// That a conversation was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// The id that it had.
    pub id: String,
}

impl Serialize for Deleted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Deleted", 3)?;
        object.serialize_field("id", &self.id)?;
        object.serialize_field("object", "conversation.deleted")?;
        object.serialize_field("deleted", &true)?;
        object.end()
    }
}

/// A page of items. As JSON the ids of an empty one are empty texts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ItemList {
    /// The items.
    pub data: Vec<RawJson>,
    /// The id of the first one.
    pub first_id: Option<String>,
    /// The id of the last one, for `after` of the next page.
    pub last_id: Option<String>,
    /// Whether there are more after it.
    pub has_more: bool,
}

impl Serialize for ItemList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("ItemList", 5)?;
        object.serialize_field("object", "list")?;
        object.serialize_field("data", &self.data)?;
        object.serialize_field("first_id", self.first_id.as_deref().unwrap_or_default())?;
        object.serialize_field("last_id", self.last_id.as_deref().unwrap_or_default())?;
        object.serialize_field("has_more", &self.has_more)?;
        object.end()
    }
}
