//! What the API does not have: forks of conversations and edits of items.

use std::fmt;

use turnwise::message::RawJson;
use turnwise::store::Revision;
use turnwise::{Conversation, ErrorKind, Transcript};

use crate::choices::MOST_CONFLICTS;
use crate::conversations::{Conversations, check_id};
use crate::error::ApiError;
use crate::input;
use crate::items::{AddedOnce, Items};
use crate::objects::{ConversationObject, ItemList};
use crate::record::{ListedItem, Record};

/// How a conversation is forked.
#[derive(Clone, Copy, Default)]
pub struct Fork<'a> {
    /// The id of the new conversation. Default: a new one.
    pub id: Option<&'a str>,
    /// The id of the item that is its last one. Default: it has all.
    pub last: Option<&'a str>,
    /// What tells that it was begun by the same request before. The ids that it puts are none.
    pub once: Option<&'a dyn AddedOnce>,
}

impl fmt::Debug for Fork<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fork").field("id", &self.id).field("last", &self.last).finish_non_exhaustive()
    }
}

impl Conversations {
    /// Begins a conversation that has the items and metadata of another one, which stays as it is. Its
    /// items have ids of their own. Returns also whether the same request has begun it before.
    ///
    /// # Errors
    /// 404 for an unknown conversation or item; `conversation_locked` if there is a conversation with
    /// the new id.
    ///
    /// # Examples
    /// ```
    /// use turnwise::message::RawJson;
    /// use turnwise::store::MemoryStore;
    /// use turnwise_conversations::{Conversations, Create, Fork, List};
    ///
    /// # futures_lite::future::block_on(async {
    /// let api = Conversations::new(MemoryStore::new());
    /// let items = RawJson::new(r#"[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]"#)?;
    /// let id = api.create(Create { items: Some(items), ..Create::default() }).await?.id;
    /// let first = api.items(&id).list(List::default()).await?.last_id;
    /// let (fork, _) = api.fork(&id, Fork { last: first.as_deref(), ..Fork::default() }).await?;
    /// assert_eq!(api.items(&fork.id).list(List::default()).await?.data.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn fork(&self, id: &str, fork: Fork<'_>) -> Result<(ConversationObject, bool), ApiError> {
        let new = fork.id.map_or_else(|| Conversation::new().id().to_owned(), str::to_owned);
        check_id(&new)?;
        // Who comes second with the same request goes on with what the first has begun.
        let attempts = if fork.once.is_some() { MOST_CONFLICTS } else { 1 };
        for _ in 0..attempts {
            if let Some(done) = self.try_fork(id, &new, fork).await? {
                return Ok(done);
            }
        }
        Err(ApiError::locked())
    }

    /// `None` if another writer came first.
    async fn try_fork(
        &self,
        id: &str,
        new: &str,
        fork: Fork<'_>,
    ) -> Result<Option<(ConversationObject, bool)>, ApiError> {
        let begun = match fork.once {
            Some(_) => self.find(new).await?,
            None => None,
        };
        if let (Some(once), Some((file, _))) = (fork.once, &begun)
            && once.find(file)?.is_some()
        {
            return Ok(Some((ConversationObject::of(new, &file.conversation), true)));
        }
        let (mut source, _) = self.load(id).await?;
        let last = fork.last.map(|last| Record::of(id, &mut source).find(last).ok_or_else(|| ApiError::no_item(last)));
        let last = last.transpose()?;
        let (file, revision) = match begun {
            Some(begun) => begun,
            None if unless_conflict(self.store.fork(id, new).await, id)? => self.load(new).await?,
            None => return Ok(None),
        };
        self.finish(new, file, &revision, last.as_ref(), fork.once).await
    }

    /// Cuts a fork, and notes in it which request it is of.
    async fn finish(
        &self,
        id: &str,
        mut file: Transcript,
        revision: &Revision,
        last: Option<&ListedItem>,
        once: Option<&dyn AddedOnce>,
    ) -> Result<Option<(ConversationObject, bool)>, ApiError> {
        let before = file.clone();
        if let Some(last) = last {
            Record::of(id, &mut file).end_with(last);
        }
        if let Some(once) = once {
            once.put(&mut file, Vec::new());
        }
        let changes = file.changes_since(&before);
        if !changes.is_empty() && !unless_conflict(self.store.append(id, &changes, revision).await, id)? {
            return Ok(None);
        }
        Ok(Some((ConversationObject::of(id, &file.conversation), false)))
    }

    /// A conversation, if there is one.
    async fn find(&self, id: &str) -> Result<Option<(Transcript, Revision)>, ApiError> {
        match self.store.load(id).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ApiError::of_store(&error, id)),
        }
    }
}

/// Whether something was written; false if another writer came first.
fn unless_conflict(written: turnwise::Result<Revision>, id: &str) -> Result<bool, ApiError> {
    match written {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
        Err(error) => Err(ApiError::of_store(&error, id)),
    }
}

impl Items<'_> {
    /// Records items, 1 to 20, in the place of one: what the conversation says goes on after them. The
    /// old item and everything after it stay in the record, on a branch of their own. With `once`, an edit
    /// that it finds is not made again, as for [`create_once`](Self::create_once). Returns the new
    /// items as they are listed, and whether they were there.
    ///
    /// # Errors
    /// 400 for items that the API refuses, and for an item that chat completions do not have (such as
    /// reasoning) and that is in no message: delete it instead. 404 for an unknown conversation or item.
    ///
    /// # Examples
    /// ```
    /// use turnwise::message::RawJson;
    /// use turnwise::store::MemoryStore;
    /// use turnwise_conversations::{Conversations, Create, List};
    ///
    /// # futures_lite::future::block_on(async {
    /// let api = Conversations::new(MemoryStore::new());
    /// let items = RawJson::new(r#"[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]"#)?;
    /// let id = api.create(Create { items: Some(items), ..Create::default() }).await?.id;
    /// let first = api.items(&id).list(List::default()).await?.last_id.unwrap_or_default();
    /// api.items(&id).edit(&first, &RawJson::new(r#"[{"role": "user", "content": "Bye"}]"#)?, None).await?;
    /// assert_eq!(api.items(&id).list(List::default()).await?.data.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn edit(
        &self,
        item: &str,
        items: &RawJson,
        once: Option<&dyn AddedOnce>,
    ) -> Result<(ItemList, bool), ApiError> {
        let items = input::read(items)?;
        if items.is_empty() {
            let message =
                "Invalid 'items': empty array. Expected an array with minimum length 1, but got an empty array.";
            return Err(ApiError::invalid(Some("empty_array"), "items", message.to_owned()));
        }
        let edited = self.change(once, |record| {
            let found = record.find(item).ok_or_else(|| ApiError::no_item(item))?;
            record.edit(&found, &items)
        });
        edited.await
    }
}
