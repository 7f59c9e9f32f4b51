//! Reloading: a manager takes over what another process has written.

use std::sync::Arc;

use super::queue::SendPermit;
use super::start::{put_head, take_what_is_set};
use super::{ConversationManager, Shared};
use crate::error::{ErrorKind, Result};
use crate::plan::StrategyCache;
use crate::store::{not_found, on_thread};
use crate::transcript::Transcript;

impl ConversationManager {
    /// Reads the conversation again if another writer has changed it in the file or store where this
    /// manager saves it, and returns whether that was so. What could not be saved here because of
    /// that is given up: a manager whose save was refused as a conflict goes on with what the other
    /// one has written. The system prompt and the tools set in the builder stay.
    ///
    /// It waits for the sends that were begun before it. Without autosave or
    /// [`Sessions`](crate::Sessions), nothing happens.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the conversation was deleted, and the errors of
    /// [`Transcript::load`]. The manager of a deleted conversation of a folder or a store does not
    /// begin it again: its saves are refused as conflicts. Drop it, and open the id.
    ///
    /// # Examples
    /// ```
    /// # use turnwise::backend::Scripted;
    /// use turnwise::ConversationManager;
    ///
    /// # let folder = tempfile::TempDir::new()?;
    /// # let folder = folder.path();
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["Hello!"]);
    /// let template = ConversationManager::builder("gpt-4o-mini").backend(backend);
    /// let one = template.clone().open_in(folder, "ann")?;
    /// let other = template.open_in(folder, "ann")?; // as in another process
    /// one.send("Hi").await?;
    /// assert!(other.reload().await?);
    /// assert_eq!(other.turn_count(), 1);
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn reload(&self) -> Result<bool> {
        reload(&SendPermit::wait(&self.shared).await, Reload::IfChanged).await
    }
}

/// When a conversation is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reload {
    /// If it is not what was read or saved here last.
    IfChanged,
    /// Always. What could not be saved here is given up.
    Always,
}

/// Reads the conversation again, and returns whether that was done.
pub(super) async fn reload(permit: &Arc<SendPermit>, when: Reload) -> Result<bool> {
    let permit = Arc::clone(permit);
    on_thread(move || permit.shared.reload(when)).await
}

impl Shared {
    /// The caller holds the send permit.
    fn reload(&self, when: Reload) -> Result<bool> {
        let Some(keeper) = &self.keeper else { return Ok(false) };
        let mut known = self.saving();
        if when == Reload::IfChanged {
            match keeper.check(&mut known) {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                checked => return checked.map(|()| false),
            }
        }
        let Some(mut file) = keeper.load_again()? else {
            if let Some(lease) = &self.lease {
                lease.let_go();
            }
            return Err(not_found(&self.id));
        };
        known.merge(file.take_known());
        self.take_over(file)?;
        Ok(true)
    }

    /// Makes a transcript that was read the current one.
    fn take_over(&self, mut file: Transcript) -> Result<()> {
        file.conversation.set_id(&self.id);
        put_head(&self.setup, &mut file.conversation)?;
        let _ = take_what_is_set(&mut file);
        let calibration = &self.setup.calibration;
        calibration.merge(&std::mem::replace(&mut file.calibration, calibration.clone()));
        // Unless a plan is being made at this moment; a strategy tells items apart by their stamps.
        if let Ok(mut cache) = self.cache.try_lock() {
            *cache = StrategyCache::default();
        }
        self.state(|state| {
            state.file = file;
            state.last = None;
            state.sent.clear();
        });
        Ok(())
    }
}
