//! `Sessions`: the conversations of a server by their ids, each with one manager while it is in
//! use.
//!
//! # Concurrency
//! `slots` has a slot for each id that is in use or being opened. A slot is an asynchronous lock
//! around a weak reference to the manager. A [`Claim`] holds the lock while a conversation is
//! opened or deleted, so two requests for one id load it once, and requests for other ids do not
//! wait. The map itself is locked for moments only, never while a slot is waited for.
//!
//! A slot is removed by the last one that needs it: the [`Lease`] of a manager that is dropped, or
//! the last claim on a conversation that was not opened. So the map is as large as the number of
//! conversations in use, however many there have been.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

use super::builder::Builder;
use super::start::Missing;
use super::{ConversationManager, Shared};
use crate::conversation::new_id;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{FileStore, Store, check_id, not_found, on_thread};

/// The conversations of a server, by their ids, each saved in a file of its own in one folder. It
/// is a handle: a clone has the same conversations.
///
/// [`open`](Self::open) returns the manager of an id. As long as somebody holds it, or a reply of
/// it is being received or saved, every other request for that id gets the same manager: their
/// sends queue, and none overwrites another. When the last handle is dropped, the conversation is
/// only in its file, and is read from there when it is opened again. Keep a manager to save that
/// reading; drop it to free its memory.
///
/// An id is any text of 1 to 64 bytes, and ids that differ in one byte are different conversations
/// on every file system. It may come from a URL: none leads out of the folder. That is not a
/// permission, so check whose conversation it is before you open it.
///
/// Make it with [`Builder::sessions`], once for each folder of a process, and share its clones. Two
/// for the same folder, in one process or two, notice each other only when they save: the save of
/// the second one is refused as a conflict. Files of the folder are named as by
/// [`FileStore`], which also reads them without a manager.
///
/// # Examples
/// ```
/// # use turnwise::backend::Scripted;
/// use turnwise::{ConversationManager, ErrorKind};
///
/// # let folder = tempfile::TempDir::new()?;
/// # let folder = folder.path();
/// # futures_lite::future::block_on(async {
/// # let backend = Scripted::new(["Hello Ann!", "Hello again!"]);
/// let sessions = ConversationManager::builder("gpt-4o-mini").backend(backend).sessions(folder)?;
/// sessions.open("ann").await?.send("Hi, I am Ann.").await?;
///
/// let chat = sessions.open("ann").await?;
/// chat.send("Hi again.").await?;
/// assert_eq!((chat.id(), chat.turn_count()), ("ann", 2));
///
/// let unknown = sessions.open_existing("bob").await.unwrap_err();
/// assert_eq!(unknown.kind(), ErrorKind::NotFound);
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Sessions {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    template: Builder,
    store: FileStore,
    slots: Mutex<Slots>,
}

type Slots = HashMap<Box<str>, Arc<Slot>>;

/// The manager of one conversation, if there is one.
type Slot = tokio::sync::Mutex<Weak<Shared>>;

impl Sessions {
    pub(super) fn new(template: Builder, store: FileStore) -> Self {
        Self { inner: Arc::new(Inner { template, store, slots: Mutex::default() }) }
    }

    /// The conversation with this id, which is begun if there is none. It is saved at once if it is
    /// new, after every exchange and with every change, as [`Builder::resume`] describes.
    ///
    /// The file is read on a thread of its own. If the future is dropped meanwhile, the
    /// conversation is opened all the same, and closed again.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for an id that is empty or longer than 64 bytes, and the errors of
    /// [`Builder::resume`].
    pub async fn open(&self, id: &str) -> Result<ConversationManager> {
        self.manager(id, Missing::Begin).await
    }

    /// The conversation with this id, if there is one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none, also for an id that no conversation can have, and the
    /// errors of [`Builder::resume`].
    pub async fn open_existing(&self, id: &str) -> Result<ConversationManager> {
        check_id(id).map_err(|_| not_found(id))?;
        self.manager(id, Missing::Refuse).await
    }

    /// A new conversation with a new [id](ConversationManager::id): `conv_` and 48 hexadecimal
    /// digits. They are random and not meant to be secret.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn create(&self) -> Result<ConversationManager> {
        self.open(&new_id()).await
    }

    /// Removes the conversation with this id, with its file.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] while somebody holds its manager, or a reply of it is being received or
    /// saved: it would be saved again. [`ErrorKind::NotFound`] if there is none, and
    /// [`ErrorKind::Io`] if the file cannot be removed.
    pub async fn delete(&self, id: &str) -> Result<()> {
        check_id(id).map_err(|_| not_found(id))?;
        let claim = Claim::wait(&self.inner, id).await?;
        if claim.is_in_use() {
            let detail = format!(
                "the conversation `{}` is in use; drop its managers and replies, and delete it then",
                id.escape_debug()
            );
            return Err(Error::new(ErrorKind::Busy, detail));
        }
        on_thread(move || claim.inner.store.remove(&claim.id)).await
    }

    /// The ids of at most `limit` conversations in the order of their bytes, from the first one
    /// after `after`. To read all, pass the last id of each page as `after` of the next. Each page
    /// reads the whole folder.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the folder cannot be read.
    pub async fn ids(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.inner.store.list(after, limit).await
    }

    async fn manager(&self, id: &str, missing: Missing) -> Result<ConversationManager> {
        let claim = Claim::wait(&self.inner, id).await?;
        match claim.manager() {
            Some(chat) => Ok(chat),
            None => on_thread(move || claim.open(missing)).await,
        }
    }
}

impl Inner {
    pub(super) fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a slot that nobody needs: no claim has it, and no manager is alive.
fn forget_unused(slots: &mut Slots, id: &str) {
    let slot = slots.get_mut(id).and_then(Arc::get_mut);
    if slot.is_some_and(|slot| slot.get_mut().strong_count() == 0) {
        slots.remove(id);
    }
}

/// While it exists, nobody else opens or deletes the conversation.
pub(super) struct Claim {
    pub(super) inner: Arc<Inner>,
    id: Box<str>,
    /// Keeps the slot while its lock is waited for.
    slot: Option<Arc<Slot>>,
    held: Option<OwnedMutexGuard<Weak<Shared>>>,
}

impl Claim {
    pub(super) async fn wait(inner: &Arc<Inner>, id: &str) -> Result<Self> {
        check_id(id)?;
        let slot = Arc::clone(inner.slots().entry(id.into()).or_default());
        let mut claim = Self { inner: Arc::clone(inner), id: id.into(), slot: Some(Arc::clone(&slot)), held: None };
        claim.held = Some(slot.lock_owned().await);
        Ok(claim)
    }

    fn is_in_use(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.strong_count() > 0)
    }

    fn manager(&self) -> Option<ConversationManager> {
        let shared = self.held.as_ref()?.upgrade()?;
        Some(ConversationManager { shared })
    }

    /// Opens the conversation; the calling thread waits for the disk.
    fn open(mut self, missing: Missing) -> Result<ConversationManager> {
        let file = self.inner.store.path(&self.id)?;
        let mut template = self.inner.template.clone().id(&*self.id);
        template.lease = Some(Arc::new(Lease { inner: Arc::downgrade(&self.inner), id: self.id.clone() }));
        let chat = template.continue_at(&file, missing)?;
        if let Some(held) = &mut self.held {
            **held = Arc::downgrade(&chat.shared);
        }
        Ok(chat)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Outside the lock of the map, because this wakes the next one that waits.
        self.held = None;
        let mut slots = self.inner.slots();
        self.slot = None;
        forget_unused(&mut slots, &self.id);
    }
}

/// A part of each manager, which removes the manager's slot when it is dropped.
pub(super) struct Lease {
    inner: Weak<Inner>,
    id: Box<str>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            forget_unused(&mut inner.slots(), &self.id);
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("template", &self.inner.template)
            .field("store", &self.inner.store)
            .field("in_use", &self.inner.slots().len())
            .finish()
    }
}
