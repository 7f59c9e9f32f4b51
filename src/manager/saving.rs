//! Saving: to a file on request, and by itself where the builder was told so.

use std::io;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::{ConversationManager, Shared, trace};
use crate::conversation::Conversation;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{self, Keeper};
use crate::transcript::{Known, Replaces};

impl ConversationManager {
    /// Saves the conversation as [`Transcript::save`](crate::Transcript::save) does, and replaces
    /// nothing that this manager does not know: a file is missing or empty, or it holds what was
    /// last loaded or saved here. [`replace`](Self::replace) overwrites any conversation. The
    /// calling thread waits for the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the file holds something else, and as
    /// [`Transcript::save`](crate::Transcript::save).
    pub fn save(&self, file: impl AsRef<Path>) -> Result<()> {
        self.shared.save(&store::file(file.as_ref()), Replaces::Known)
    }

    /// Whether [`save`](Self::save) would work now: nobody else has saved there, and a file can be
    /// made in that folder. Asked before a reply is paid for that could not be kept. Nothing is
    /// saved; the lock file is made.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn check_save(&self, file: impl AsRef<Path>) -> Result<()> {
        store::file(file.as_ref()).check(&mut self.shared.saving())
    }

    /// Saves the conversation in the place of any other one, also of what somebody else has saved
    /// there meanwhile: that is gone.
    ///
    /// # Errors
    /// As [`Transcript::replace`](crate::Transcript::replace).
    pub fn replace(&self, file: impl AsRef<Path>) -> Result<()> {
        self.shared.save(&store::file(file.as_ref()), Replaces::Anything)
    }
}

impl Shared {
    /// What was read or saved where, while nobody else saves.
    pub(super) fn saving(&self) -> MutexGuard<'_, Known> {
        self.saving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, keeper: &dyn Keeper, replaces: Replaces) -> Result<()> {
        let mut known = self.saving();
        keeper.save(&self.file(), &mut known, replaces)
    }

    /// Begins the conversation where the manager saves by itself, or makes sure that it can be
    /// saved there later.
    pub(super) fn begin_saving(&self) -> Result<()> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        let mut known = self.saving();
        if keeper.is_known(&known) {
            return keeper.check(&mut known);
        }
        keeper.save(&self.file(), &mut known, Replaces::Known)
    }

    /// Makes a changed record the current one. Where the manager saves by itself, the change is
    /// saved first, or it is not made.
    pub(super) fn change(&self, before: &Conversation, changed: Conversation) -> Result<()> {
        let mut known = self.saving();
        if let Some(keeper) = self.keeper.as_ref().filter(|_| !changed.is_same(before)) {
            let mut transcript = self.file();
            transcript.conversation = changed.clone();
            keeper.save(&transcript, &mut known, Replaces::Known)?;
        }
        // Before the next save begins: it must not put the old record over this one.
        self.state(|state| state.file.conversation = changed);
        Ok(())
    }

    /// Saves on a thread of its own, so that no executor waits for the disk; why it failed, if it
    /// did.
    pub(super) async fn autosave(self: &Arc<Self>) -> Option<Error> {
        let ended = |_| Some(Error::new(ErrorKind::Io, "the thread that saves ended early"));
        match self.begin_to_save()? {
            Ok(saved) => saved.await.unwrap_or_else(ended),
            Err(error) => Some(Error::io("starting a thread to save on", error)),
        }
    }

    /// Saves on a thread of its own; nobody waits for it.
    pub(super) fn save_later(self: &Arc<Self>) {
        if let Some(Err(error)) = self.begin_to_save() {
            self.tell_unsaved(&Error::io("starting a thread to save on", error));
        }
    }

    /// Begins to save, where the manager saves by itself.
    pub(super) fn begin_to_save(self: &Arc<Self>) -> Option<io::Result<oneshot::Receiver<Option<Error>>>> {
        let keeper = self.keeper.clone()?;
        let (done, wait) = oneshot::channel();
        let shared = Arc::clone(self);
        let saves = move || {
            let failed = shared.save(&*keeper, Replaces::Known).err();
            // Nobody waits any more when the send was dropped; the conversation is saved all the
            // same.
            if let Err(Some(error)) = done.send(failed) {
                shared.tell_unsaved(&error);
            }
        };
        Some(thread::Builder::new().name("turnwise-save".to_owned()).spawn(saves).map(|_| wait))
    }

    pub(super) fn tell_unsaved(&self, error: &Error) {
        trace::unsaved(error);
        let id = self.state(|state| state.file.conversation.id().to_owned());
        self.setup.observers.tell(|observer| observer.unsaved(&id, error));
    }
}
