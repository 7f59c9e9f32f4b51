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
use std::thread;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::builder::Builder;
use super::conflicts::OnConflict;
use super::kept::Kept;
use super::queue::SendPermit;
use super::reload::{Reload, reload};
use super::start::Missing;
use super::{ConversationManager, Shared};
use crate::conversation::new_id;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Home, check_id, not_found, on_thread, wait};

/// The conversations of a server, by their ids, in the files of a folder or in any
/// [`Store`](crate::store::Store). It is a handle: a clone has the same conversations.
///
/// [`open`](Self::open) returns the manager of an id. As long as somebody holds it, or a reply of
/// it is being received or saved, every other request for that id gets the same manager: their
/// sends queue, and none overwrites another. While no send is in progress, it reads what other
/// processes have written before it is handed out. When the last handle is dropped, the conversation is
/// only in its file or store, and is read from there when it is opened again. Keep a manager to save
/// that reading, or let [`keep_open`](Self::keep_open) do it; drop it to free its memory.
///
/// An id is any text of 1 to 64 bytes, and ids that differ in one byte are different conversations
/// on every file system. It may come from a URL: none leads out of the folder. That is not a
/// permission, so check whose conversation it is before you open it.
///
/// Make it with [`Builder::sessions`] or [`Builder::sessions_over`], once for each folder or store of
/// a process, and share its clones. Two for the same folder, in one process or two, notice each
/// other when they save: the save of the second one is refused as a conflict, and
/// [`ConversationManager::reload`] reads what the first has written. [`send`](Self::send) does both,
/// as [`on_conflict`](Self::on_conflict) says. What one of them has deleted is not written again by
/// another that holds it still. Files of the folder are named as by
/// [`FileStore`](crate::store::FileStore), which also reads them without a manager.
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
/// sessions.open("ann").await?; // begins it
/// sessions.send("ann", "Hi, I am Ann.").await?;
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
    pub(super) home: Home,
    slots: Mutex<Slots>,
    options: Mutex<Options>,
}

/// What holds for all clones.
#[derive(Default)]
pub(super) struct Options {
    pub(super) on_conflict: OnConflict,
    kept: Kept,
}

type Slots = HashMap<Box<str>, Arc<Slot>>;

/// The manager of one conversation, if there is one.
type Slot = tokio::sync::Mutex<Weak<Shared>>;

impl Sessions {
    pub(super) fn new(template: Builder, home: Home) -> Self {
        let inner = Inner { template, home, slots: Mutex::default(), options: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The conversation with this id, which is begun if there is none. It is saved at once if it is
    /// new, after every exchange and with every change, as [`Builder::resume`] describes.
    ///
    /// The file is read on a thread of its own. If the future is dropped meanwhile, the
    /// conversation is opened all the same, and closed again.
    ///
    /// One that another process has deleted is begun anew. A manager of the old one that somebody
    /// holds still can save nothing more.
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
        let kept = self.inner.options().kept.take(id);
        drop(kept);
        if claim.is_in_use() {
            let detail = format!(
                "the conversation `{}` is in use; drop its managers and replies, and delete it then",
                id.escape_debug()
            );
            return Err(Error::new(ErrorKind::Busy, detail));
        }
        on_thread(move || wait(claim.inner.home.store().delete(&claim.id))).await
    }

    /// The ids of at most `limit` conversations in the order of their bytes, from the first one
    /// after `after`. To read all, pass the last id of each page as `after` of the next. Each page
    /// reads the whole folder.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the folder cannot be read.
    pub async fn ids(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.inner.home.store().list(after, limit).await
    }

    /// Keeps the managers that were used last in memory, at most `most` of them, each for `idle`
    /// after it was opened last, so that the next request for it reads it only if another process has
    /// written it. It holds for all clones. Default: none; a manager is dropped with its last handle.
    ///
    /// A thread drops those whose time is over, within a minute after that. A manager that is kept is
    /// no hindrance to [`delete`](Self::delete).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use turnwise::ConversationManager;
    /// use turnwise::store::MemoryStore;
    ///
    /// let sessions = ConversationManager::builder("gpt-4o-mini").sessions_over(MemoryStore::new())?;
    /// sessions.keep_open(1_000, Duration::from_secs(600));
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn keep_open(&self, most: usize, idle: Duration) {
        let closed = self.inner.options().kept.limit(most, idle);
        drop(closed);
    }

    /// Begins a new conversation with a new id as a copy of the one with this id, and returns its
    /// manager. In a database that can share what both have, that takes as long in a long
    /// conversation as in a short one, apart from opening it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none, and the errors of [`open`](Self::open).
    pub async fn fork(&self, id: &str) -> Result<ConversationManager> {
        check_id(id).map_err(|_| not_found(id))?;
        let fork = new_id();
        self.inner.home.store().fork(id, &fork).await?;
        self.open_existing(&fork).await
    }

    /// The manager of a conversation, which has what other processes have written before.
    async fn manager(&self, id: &str, missing: Missing) -> Result<ConversationManager> {
        let claim = Claim::wait(&self.inner, id).await?;
        if let Some(chat) = claim.manager()
            && chat.reads_what_is_new().await?
        {
            return Ok(self.keep(chat));
        }
        // Whoever holds the manager of a conversation that was deleted can save nothing with it.
        Ok(self.keep(on_thread(move || claim.open(missing)).await?))
    }

    /// The manager of a conversation that was begun, as it is in memory if it is there.
    pub(super) async fn manager_as_it_is(&self, id: &str) -> Result<ConversationManager> {
        check_id(id).map_err(|_| not_found(id))?;
        let claim = Claim::wait(&self.inner, id).await?;
        Ok(self.keep(match claim.manager() {
            Some(chat) => chat,
            None => on_thread(move || claim.open(Missing::Refuse)).await?,
        }))
    }

    /// Keeps a manager that is used now.
    fn keep(&self, chat: ConversationManager) -> ConversationManager {
        // Managers are dropped outside the lock.
        let closed = self.inner.options().kept.keep(&chat);
        drop(closed);
        self.inner.close_when_idle();
        chat
    }
}

impl ConversationManager {
    /// Reads what another process has written, unless a send is in progress here. Returns `false` if
    /// the conversation was deleted.
    async fn reads_what_is_new(&self) -> Result<bool> {
        let Some(permit) = SendPermit::if_idle(&self.shared) else { return Ok(true) };
        match reload(&permit, Reload::IfChanged).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            read => read.map(|_| true),
        }
    }
}

impl Inner {
    pub(super) fn options(&self) -> MutexGuard<'_, Options> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread that closes managers that are kept and idle, unless there is one already. It
    /// ends when none is kept.
    fn close_when_idle(self: &Arc<Self>) {
        let Some(mut pause) = self.options().kept.begin_to_watch() else { return };
        let inner = Arc::downgrade(self);
        let watch = move || loop {
            thread::sleep(pause);
            let Some(inner) = inner.upgrade() else { return };
            let (closed, next) = inner.options().kept.close_idle();
            drop(closed);
            match next {
                Some(next) => pause = next,
                None => return,
            }
        };
        // Without it, time is looked at when the next conversation is opened.
        if thread::Builder::new().name("turnwise-idle".to_owned()).spawn(watch).is_err() {
            self.options().kept.end_watch();
        }
    }

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
        let keeper = self.inner.home.keeper(&self.id)?;
        let mut template = self.inner.template.clone().id(&*self.id);
        template.lease = Some(Arc::new(Lease { inner: Arc::downgrade(&self.inner), id: self.id.clone() }));
        let chat = template.continue_at(&keeper, missing)?;
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

impl Lease {
    /// Keeps the manager no longer: its conversation was deleted by another process.
    pub(super) fn let_go(&self) {
        if let Some(inner) = self.inner.upgrade() {
            let kept = inner.options().kept.take(&self.id);
            drop(kept);
        }
    }
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
            .field("in_use", &self.inner.slots().len())
            .finish()
    }
}
