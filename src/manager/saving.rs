//! Saving: to a file on request, and automatically with autosave.

use std::io;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::queue::{BusyGuard, busy};
use super::{ConversationManager, Shared, trace};
use crate::conversation::Conversation;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::StrategyCache;
use crate::store::{self, Keeper};
use crate::transcript::{Known, Transcript};

impl ConversationManager {
    /// Saves the conversation as [`Transcript::save`](crate::Transcript::save) does, but replaces
    /// only a file that is missing or empty, or has the content that was last loaded or saved here.
    /// [`replace`](Self::replace) overwrites any conversation. The calling thread waits for the
    /// disk.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if the file has other content, and those of
    /// [`Transcript::save`](crate::Transcript::save).
    pub fn save(&self, file: impl AsRef<Path>) -> Result<()> {
        self.shared.save(&store::file(file.as_ref()))
    }

    /// Saves the conversation as [`save`](Self::save) does, but writes a journal anew, as
    /// [`Transcript::compact`](crate::Transcript::compact) does.
    ///
    /// # Errors
    /// Those of [`save`](Self::save).
    pub fn compact(&self, file: impl AsRef<Path>) -> Result<()> {
        let mut known = self.shared.saving();
        store::file(file.as_ref()).save_anew(&self.shared.file(), &mut known)
    }

    /// Checks whether [`save`](Self::save) would work now: the file was not modified by others, and
    /// a file can be created in its folder. Call it before paying for a reply that could not be
    /// kept. Nothing is saved, but the lock file is created.
    ///
    /// # Errors
    /// Those of [`save`](Self::save).
    pub fn check_save(&self, file: impl AsRef<Path>) -> Result<()> {
        store::file(file.as_ref()).check(&mut self.shared.saving())
    }

    /// Saves the conversation over any other one, even one that others have saved there meanwhile,
    /// which is lost.
    ///
    /// # Errors
    /// Those of [`Transcript::replace`](crate::Transcript::replace).
    pub fn replace(&self, file: impl AsRef<Path>) -> Result<()> {
        let mut known = self.shared.saving();
        store::file(file.as_ref()).replace(&self.shared.file(), &mut known)
    }

    /// Replaces text everywhere in the conversation, as [`Transcript::redact`] does, and returns how
    /// many texts were replaced. Tools set in the builder are the program's and stay as they are.
    /// With autosave, the file is written anew before this returns. If that fails, nothing is
    /// replaced.
    ///
    /// # Errors
    /// Those of [`Transcript::redact`] and of [`edit_record`](Self::edit_record).
    ///
    /// # Examples
    /// ```
    /// use turnwise::ConversationManager;
    ///
    /// let chat = ConversationManager::builder("gpt-4o-mini").build()?;
    /// chat.push("I am Ann Lee.")?;
    /// chat.redact(|text| text.contains("Ann Lee").then(|| text.replace("Ann Lee", "[name]")))?;
    /// assert_eq!(chat.history()[0].text(), "I am [name].");
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn redact(&self, replace: impl FnMut(&str) -> Option<String>) -> Result<usize> {
        let _alone = BusyGuard::begin_change(&self.shared)?;
        let _turn = self.shared.queue.try_acquire().map_err(|_| busy("a send is in progress"))?;
        let mut redacted = self.shared.file();
        let replaced = redacted.redact(replace)?;
        if replaced > 0 {
            self.shared.put_redacted(redacted)?;
        }
        Ok(replaced)
    }
}

impl Shared {
    /// What was read or saved where. While this is held, nobody else saves.
    pub(super) fn saving(&self) -> MutexGuard<'_, Known> {
        self.saving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, keeper: &dyn Keeper) -> Result<()> {
        let mut known = self.saving();
        keeper.save(&self.file(), &mut known)
    }

    /// Begins the conversation where autosave saves it, or checks that it can be replaced there
    /// later.
    pub(super) fn begin_saving(&self) -> Result<()> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        let mut known = self.saving();
        if keeper.is_known(&known) {
            return keeper.check(&mut known);
        }
        keeper.save(&self.file(), &mut known)
    }

    /// Makes a changed record the current one. With autosave, the change is saved first; if that
    /// fails, it is not made.
    pub(super) fn change(&self, before: &Conversation, changed: Conversation) -> Result<()> {
        let mut known = self.saving();
        if let Some(keeper) = self.keeper.as_ref().filter(|_| !changed.is_same(before)) {
            let mut transcript = self.file();
            transcript.conversation = changed.clone();
            keeper.save(&transcript, &mut known)?;
        }
        // Before the next save begins, which must not write the old record over this one.
        self.state(|state| {
            state.file.vectors.forget_purged(&changed);
            state.file.conversation = changed;
        });
        Ok(())
    }

    /// Makes a redacted transcript the current one, and saves it first.
    pub(super) fn put_redacted(&self, redacted: Transcript) -> Result<()> {
        let mut known = self.saving();
        known.write_anew();
        if let Some(keeper) = &self.keeper {
            keeper.save_anew(&redacted, &mut known)?;
        }
        // A strategy may have kept old text, unless a plan is being made at this moment.
        if let Ok(mut cache) = self.cache.try_lock() {
            *cache = StrategyCache::default();
        }
        self.state(|state| {
            state.file.conversation = redacted.conversation;
            state.file.ledger = redacted.ledger;
            state.file.vectors = redacted.vectors;
            state.file.extra = redacted.extra;
        });
        Ok(())
    }

    /// Saves on a separate thread, so that no executor waits for the disk. Returns the error if it
    /// failed.
    pub(super) async fn autosave(self: &Arc<Self>) -> Option<Error> {
        match self.begin_to_save()? {
            Ok(saved) => saved.wait().await,
            Err(error) => Some(Error::io("starting a thread for saving", error)),
        }
    }

    /// Saves on a separate thread without waiting for it.
    pub(super) fn save_later(self: &Arc<Self>) {
        if let Some(Err(error)) = self.begin_to_save() {
            self.tell_unsaved(&Error::io("starting a thread for saving", error));
        }
    }

    /// Starts a save if there is autosave. An error that nobody waits for is told to the observers.
    pub(super) fn begin_to_save(self: &Arc<Self>) -> Option<io::Result<Saving>> {
        let keeper = self.keeper.clone()?;
        let (done, ended) = oneshot::channel();
        let shared = Arc::clone(self);
        let saves = move || {
            let Err(error) = shared.save(&*keeper) else {
                // Before the receiver continues, so that nobody holds the conversation then.
                drop(shared);
                let _ = done.send(None);
                return;
            };
            // The receiver is gone if the send was dropped; save anyway.
            if let Err(Some(error)) = done.send(Some(error)) {
                shared.tell_unsaved(&error);
            }
        };
        let spawned = thread::Builder::new().name("turnwise-save".to_owned()).spawn(saves);
        Some(spawned.map(|_| Saving { shared: Arc::clone(self), ended }))
    }

    pub(super) fn tell_unsaved(&self, error: &Error) {
        trace::unsaved(error);
        let id = self.state(|state| state.file.conversation.id().to_owned());
        self.setup.observers.tell(|observer| observer.unsaved(&id, error));
    }
}

/// A save that is being made on a thread of its own. If it is dropped, the save goes on.
pub(super) struct Saving {
    shared: Arc<Shared>,
    ended: oneshot::Receiver<Option<Error>>,
}

impl Saving {
    /// Waits for the end, and returns the error if it failed.
    async fn wait(mut self) -> Option<Error> {
        let ended = (&mut self.ended).await;
        ended.unwrap_or_else(|_| Some(Error::new(ErrorKind::Io, "the saving thread ended early")))
    }
}

impl Drop for Saving {
    /// The thread may have sent its error just before nobody waits any more.
    fn drop(&mut self) {
        self.ended.close();
        if let Ok(Some(error)) = self.ended.try_recv() {
            self.shared.tell_unsaved(&error);
        }
    }
}
