//! `SendPermit` and `BusyGuard`: one send after another, and no change of the record while a send
//! is running or waiting.
//!
//! There is one turn, a permit of `Shared::queue`. A send waits for it. A change does not wait: it
//! is refused while anything else is in progress, and otherwise takes the turn, so that a send that
//! begins meanwhile waits for it.

use std::fmt;
use std::sync::Arc;

use super::Shared;
use crate::error::{Error, ErrorKind, Result};

/// A send's turn. While it exists, nobody else sends or changes the record.
pub(super) struct SendPermit {
    pub(super) shared: Arc<Shared>,
    /// Dropped after the turn was given back.
    _busy: BusyGuard,
}

impl SendPermit {
    /// Waits until all sends that were begun earlier are done.
    pub(super) async fn wait(shared: &Arc<Shared>) -> Arc<Self> {
        let busy = BusyGuard::begin_send(shared);
        // An error would mean that the queue is closed. Nothing closes it before the manager is
        // dropped, and `shared` keeps the manager's state alive.
        if let Ok(permit) = shared.queue.acquire().await {
            // `Drop` gives it back.
            permit.forget();
        }
        Arc::new(Self { shared: Arc::clone(shared), _busy: busy })
    }
}

impl Drop for SendPermit {
    fn drop(&mut self) {
        self.shared.queue.add_permits(1);
    }
}

/// While it exists, changes of the record are refused.
pub(super) struct BusyGuard(Arc<Shared>);

impl BusyGuard {
    /// Notes a send that runs or waits. Never refused.
    fn begin_send(shared: &Arc<Shared>) -> Self {
        shared.state(|state| state.in_progress += 1);
        Self(Arc::clone(shared))
    }

    /// Notes a change; refused if a send or another change is in progress. The caller takes the
    /// turn before it changes anything.
    pub(super) fn begin_change(shared: &Arc<Shared>) -> Result<Self> {
        shared.state(|state| match state.in_progress {
            0 => {
                state.in_progress = 1;
                Ok(Self(Arc::clone(shared)))
            }
            1 => Err(busy("a send or a change is in progress")),
            // One of them runs.
            all => Err(busy(format_args!("a send or a change is in progress, and {} more wait", all - 1))),
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
