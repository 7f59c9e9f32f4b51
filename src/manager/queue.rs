//! `SendPermit` and `BusyGuard`: one send after another, and no change of the record while a send
//! is running or waiting.
//!
//! `Shared::queue` has one permit. A send waits for it. A change does not wait: while anything else
//! is in progress, it gets no [`BusyGuard`] but an error. With the guard it takes the permit, which is
//! free then, so that a send that begins in the meantime waits for the change.

use std::fmt;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use crate::error::{Error, ErrorKind, Result};

/// The permit of a send. While it exists, nobody else sends or changes the record.
pub(super) struct SendPermit {
    pub(super) shared: Arc<Shared>,
    _permit: Option<OwnedSemaphorePermit>,
    /// Declared, and so dropped, after the permit: whoever gets a guard finds the permit free.
    _busy: BusyGuard,
}

impl SendPermit {
    /// Waits until all sends that were begun earlier are done. Dropping the future gives up the place
    /// in the queue.
    pub(super) async fn wait(shared: &Arc<Shared>) -> Arc<Self> {
        let busy = BusyGuard::begin_send(shared);
        // Only a closed queue gives no permit, and nothing closes it.
        let permit = Arc::clone(&shared.queue).acquire_owned().await.ok();
        Arc::new(Self { shared: Arc::clone(shared), _permit: permit, _busy: busy })
    }

    /// The permit, if no send and no change is in progress.
    pub(super) fn if_idle(shared: &Arc<Shared>) -> Option<Arc<Self>> {
        let busy = BusyGuard::begin_change(shared).ok()?;
        let permit = Arc::clone(&shared.queue).try_acquire_owned().ok()?;
        Some(Arc::new(Self { shared: Arc::clone(shared), _permit: Some(permit), _busy: busy }))
    }
}

/// While it exists, changes of the record are refused.
pub(super) struct BusyGuard(Arc<Shared>);

impl BusyGuard {
    /// Counts a send as in progress, whether it runs or waits. Never refused.
    fn begin_send(shared: &Arc<Shared>) -> Self {
        shared.state(|state| state.in_progress += 1);
        Self(Arc::clone(shared))
    }

    /// Counts a change as in progress; refused if a send or another change is. The caller must then
    /// take the permit before it changes anything.
    pub(super) fn begin_change(shared: &Arc<Shared>) -> Result<Self> {
        shared.state(|state| match state.in_progress {
            0 => {
                state.in_progress = 1;
                Ok(Self(Arc::clone(shared)))
            }
            1 => Err(busy("a send or a change is in progress")),
            // One of them runs, the others wait.
            in_progress => {
                let waiting = in_progress - 1;
                Err(busy(format_args!("a send or a change is in progress, and {waiting} more wait")))
            }
        })
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.state(|state| state.in_progress -= 1);
    }
}

pub(super) fn busy(why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Busy, format!("{why}; try again when it has finished"))
}
