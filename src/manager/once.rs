//! `OnceReply`: an exchange with a key, which is recorded once however often it is sent.

use std::borrow::Cow;
use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

use super::exchange::Exchange;
use super::queue::SendPermit;
use super::reply::Reply;
use super::staged::Ask;
use crate::conversation::{Conversation, Item, ItemId};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Message, Role};

/// The member of a user's message that holds its key. It is kept in the record and never sent.
const KEY: &str = "idempotency_key";

/// How many of the newest items are searched for a key.
const SEARCHED: usize = 1_000;

/// The longest key, in bytes.
const MAX_KEY: usize = 255;

/// The reply to a message that was sent with a key: see [`Exchange::once`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OnceReply {
    /// The id of the conversation that has it: with [`OnConflict::Fork`](super::OnConflict::Fork)
    /// not always the one that was sent to.
    pub conversation: String,
    /// The reply's item in the record.
    pub item_id: ItemId,
    /// The item of the message that it answers.
    pub asked: ItemId,
    /// The message as recorded.
    pub message: Message,
    /// The reply with its report, if it was made now; `None` if it was recorded before.
    pub reply: Option<Box<Reply>>,
}

impl OnceReply {
    /// The text of the reply.
    pub fn text(&self) -> Cow<'_, str> {
        self.message.text()
    }

    /// Whether the exchange was recorded before, so that nothing was sent now.
    pub fn is_repeated(&self) -> bool {
        self.reply.is_none()
    }
}

impl From<Reply> for OnceReply {
    fn from(reply: Reply) -> Self {
        let Reply { conversation, item_id, asked, message, .. } = reply.clone();
        Self { conversation, item_id, asked, message, reply: Some(Box::new(reply)) }
    }
}

impl Exchange {
    /// Sends the message once for each key, such as the id of a request that a client repeats after
    /// a lost connection: if the exchange with this key is in the record, its reply is returned and
    /// nothing is sent. The key is recorded with the message, and never sent.
    ///
    /// The 1,000 newest items are searched, on all branches. A key further back is not found: its
    /// message is sent and recorded again. An exchange that failed was not
    /// recorded, and is sent again. With the same key at once, one waits for the other.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParam`] for a key that is empty or longer than 255 bytes, that was used
    /// for another message, or for an exchange that sends no message of its own; the errors of the
    /// exchange; with autosave, those of saving a turn that could not be saved before.
    ///
    /// # Examples
    /// ```
    /// # use turnwise::{ConversationManager, backend::Scripted};
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["Hello!"]);
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let first = chat.send("Hi").once("request 17").await?;
    /// let again = chat.send("Hi").once("request 17").await?;
    /// assert!(again.is_repeated());
    /// assert_eq!((again.text(), again.item_id, chat.turn_count()), ("Hello!".into(), first.item_id, 1));
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub async fn once(self, key: &str) -> Result<OnceReply> {
        let keyed = Keyed::new(key, self.ask())?;
        let permit = SendPermit::wait(self.shared()).await;
        self.once_in(&keyed, permit).await
    }

    pub(super) async fn once_in(self, keyed: &Keyed, permit: Arc<SendPermit>) -> Result<OnceReply> {
        if let Some(recorded) = keyed.find(&permit.shared.record())? {
            // It may be here only, because it could not be saved before.
            return permit.shared.autosave().await.map_or(Ok(recorded), Err);
        }
        let reply = self.asking(Ask::Message(keyed.message.clone())).run_in(Some(permit)).await?;
        Ok(reply.into())
    }
}

/// A message with its key.
#[derive(Clone)]
pub(super) struct Keyed {
    key: Box<str>,
    message: Message,
}

impl Keyed {
    pub(super) fn new(key: &str, ask: &Ask) -> Result<Self> {
        if key.is_empty() || key.len() > MAX_KEY {
            let detail = format!("a key of {} bytes; 1 to {MAX_KEY} are allowed", key.len());
            return Err(Error::new(ErrorKind::InvalidParam, detail));
        }
        let Ask::Message(message) = ask else {
            let detail = "a key belongs to a message that is sent; this exchange sends none";
            return Err(Error::new(ErrorKind::InvalidParam, detail));
        };
        let message = message.clone().with_field(KEY, serde_json::Value::from(key))?;
        Ok(Self { key: key.into(), message })
    }

    /// The message, with its key.
    pub(super) fn message(&self) -> &Message {
        &self.message
    }

    /// The id of the fork in which the exchange goes on if it cannot be saved in a conversation:
    /// always the same one, so that who repeats the message finds it.
    pub(super) fn fork_id(&self, conversation: &str) -> String {
        // The length says where the id ends, which may hold any text.
        let text = format!("{}/{conversation}/{}", conversation.len(), self.key);
        format!("conv_{:032x}{:016x}", xxh3_128(text.as_bytes()), xxh3_64_with_seed(text.as_bytes(), 1))
    }

    /// The exchange with this key, if it is in the record.
    pub(super) fn find(&self, record: &Conversation) -> Result<Option<OnceReply>> {
        let quoted = serde_json::Value::from(&*self.key).to_string();
        let has_key = |item: &&Item| item.message().get(KEY).is_some_and(|found| found.as_str() == quoted);
        let newest = || record.items().rev().take(SEARCHED);
        let Some(asked) = newest().find(has_key) else { return Ok(None) };
        if *asked.message() != self.message {
            let detail = format!("the key `{}` was used for another message; take a new one", self.key.escape_debug());
            return Err(Error::new(ErrorKind::InvalidParam, detail));
        }
        let is_reply = |item: &&Item| item.parent() == Some(asked.id()) && *item.message().role() == Role::Assistant;
        Ok(newest().find(is_reply).map(|reply| OnceReply {
            conversation: record.id().to_owned(),
            item_id: reply.id(),
            asked: asked.id(),
            message: reply.message().clone(),
            reply: None,
        }))
    }
}
