//! `Conversations`: create, retrieve, update, delete.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::Mutex;
use turnwise::message::RawJson;
use turnwise::store::{Revision, Store, is_of_server};
use turnwise::transcript::Change;
use turnwise::{Conversation, ErrorKind, Transcript};
use xxhash_rust::xxh3::xxh3_64;

use crate::choices::MOST_CONFLICTS;
use crate::error::ApiError;
use crate::items::Items;
use crate::objects::{ConversationObject, Deleted};
use crate::record::Record;
use crate::{input, metadata};

/// The conversations of a store, as the API has them. It is a handle: a clone has the same
/// conversations.
///
/// # Examples
/// ```
/// use turnwise::store::MemoryStore;
/// use turnwise_conversations::{Conversations, Create};
///
/// # futures_lite::future::block_on(async {
/// let api = Conversations::new(MemoryStore::new());
/// let conversation = api.create(Create::default()).await?;
/// assert!(conversation.id.starts_with("conv_"));
/// assert_eq!(api.retrieve(&conversation.id).await?, conversation);
/// api.delete(&conversation.id).await?;
/// assert_eq!(api.retrieve(&conversation.id).await.unwrap_err().status, 404);
/// # Ok::<(), turnwise_conversations::ApiError>(())
/// # })?;
/// # Ok::<(), turnwise_conversations::ApiError>(())
/// ```
#[derive(Clone)]
pub struct Conversations {
    pub(crate) store: Arc<dyn Store>,
    /// One of them, by the conversation's id, is held by a writer that another one came before. So
    /// many writers at once take turns, and none is refused again and again.
    queues: Arc<[Mutex<()>; QUEUES]>,
}

const QUEUES: usize = 64;

/// What a conversation is created with. It can be read from the body of a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Create {
    /// The metadata: an object of texts, or null.
    pub metadata: Option<RawJson>,
    /// The items: an array of at most 20, or null.
    pub items: Option<RawJson>,
}

impl Conversations {
    /// The conversations of a store.
    pub fn new(store: impl Store + 'static) -> Self {
        Self { store: Arc::new(store), queues: Arc::new([const { Mutex::const_new(()) }; QUEUES]) }
    }

    /// Creates a conversation with a new id.
    ///
    /// # Errors
    /// 400 for metadata or items that the API refuses.
    pub async fn create(&self, body: Create) -> Result<ConversationObject, ApiError> {
        let mut file = Transcript::new(Conversation::new());
        let id = file.conversation.id().to_owned();
        if let Some(pairs) = &body.metadata {
            *file.conversation.metadata_mut() = metadata::read(pairs)?;
        }
        let items = body.items.as_ref().filter(|items| items.as_str() != "null");
        if let Some(items) = items.map(input::read).transpose()? {
            Record::of(&id, &mut file).add(&items)?;
        }
        self.store.save(&id, &file, None).await.map_err(|error| ApiError::of_store(&error, &id))?;
        Ok(ConversationObject::of(&id, &file.conversation))
    }

    /// A conversation.
    ///
    /// # Errors
    /// 404 for an unknown one.
    pub async fn retrieve(&self, id: &str) -> Result<ConversationObject, ApiError> {
        let (file, _) = self.load(id).await?;
        Ok(ConversationObject::of(id, &file.conversation))
    }

    /// Replaces the metadata of a conversation: what is not in `pairs` is gone.
    ///
    /// # Errors
    /// 400 for metadata that the API refuses, 404 for an unknown conversation.
    ///
    /// # Examples
    /// ```
    /// use turnwise::message::RawJson;
    /// use turnwise::store::MemoryStore;
    /// use turnwise_conversations::{Conversations, Create};
    ///
    /// # futures_lite::future::block_on(async {
    /// let api = Conversations::new(MemoryStore::new());
    /// let id = api.create(Create::default()).await?.id;
    /// let changed = api.update(&id, &RawJson::new(r#"{"topic": "rivers"}"#)?).await?;
    /// assert_eq!(changed.metadata["topic"], "rivers");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn update(&self, id: &str, pairs: &RawJson) -> Result<ConversationObject, ApiError> {
        let pairs = metadata::read(pairs)?;
        let changed = self.change(id, |file| {
            *file.conversation.metadata_mut() = pairs.clone();
            Ok(ConversationObject::of(id, &file.conversation))
        });
        changed.await
    }

    /// Deletes a conversation: it and its items answer 404 from now on. Whether it can be restored
    /// is for the store; stored responses are not part of it.
    ///
    /// # Errors
    /// 404 for an unknown one, also for one that was deleted.
    pub async fn delete(&self, id: &str) -> Result<Deleted, ApiError> {
        check_id(id)?;
        self.store.delete(id).await.map_err(|error| ApiError::of_store(&error, id))?;
        Ok(Deleted { id: id.to_owned() })
    }

    /// The items of a conversation.
    pub fn items(&self, id: &str) -> Items<'_> {
        Items::new(self, id)
    }

    pub(crate) async fn load(&self, id: &str) -> Result<(Transcript, Revision), ApiError> {
        check_id(id)?;
        self.store.load(id).await.map_err(|error| ApiError::of_store(&error, id))
    }

    /// Changes a conversation, again each time when another writer has come first.
    pub(crate) async fn change<T>(
        &self,
        id: &str,
        act: impl Fn(&mut Transcript) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut _turn = None;
        for attempt in 0..MOST_CONFLICTS {
            if attempt == 1 {
                _turn = Some(self.queue(id).lock().await);
            }
            let (mut file, revision) = self.load(id).await?;
            let before = file.clone();
            let done = act(&mut file)?;
            let changes = file.changes_since(&before);
            if changes.is_empty() {
                return Ok(done);
            }
            let written = if changes.iter().any(Change::removes_text) {
                self.store.save(id, &file, Some(&revision)).await
            } else {
                self.store.append(id, &changes, &revision).await
            };
            match written {
                Ok(_) => return Ok(done),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(ApiError::of_store(&error, id)),
            }
        }
        Err(ApiError::locked())
    }

    fn queue(&self, id: &str) -> &Mutex<()> {
        let hash = usize::try_from(xxh3_64(id.as_bytes()) % QUEUES as u64).unwrap_or_default();
        &self.queues[hash]
    }
}

/// Refuses the id of a response or a stored completion, which a store keeps beside its conversations.
///
/// # Errors
/// 404, as for an id that there is not.
pub fn check_id(id: &str) -> Result<(), ApiError> {
    if is_of_server(id) { Err(ApiError::no_conversation(id)) } else { Ok(()) }
}

impl fmt::Debug for Conversations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversations").finish_non_exhaustive()
    }
}
