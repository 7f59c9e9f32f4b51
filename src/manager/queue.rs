//! The queue of sends: a FIFO permit, and a guard that refuses edits while one is held.

use std::fmt;
use std::sync::Arc;

use super::Shared;
use crate::error::{Error, ErrorKind, Result};

/// Permission to send. While it exists, its holder is the only one that sends and changes the
/// record.
pub(super) struct SendPermit {
    pub(super) shared: Arc<Shared>,
    _sending: BusyGuard,
}

impl SendPermit {
    /// Waits in FIFO order.
    pub(super) async fn wait(shared: &Arc<Shared>) -> Arc<Self> {
        let sending = BusyGuard::begin(shared);
        // The queue is closed only when the manager is dropped, and this future keeps it alive.
        if let Ok(permit) = shared.queue.acquire().await {
            permit.forget();
        }
        Arc::new(Self { shared: Arc::clone(shared), _sending: sending })
    }
}

impl Drop for SendPermit {
    fn drop(&mut self) {
        self.shared.queue.add_permits(1);
    }
}

/// While it exists, nobody else can change the record.
pub(super) struct BusyGuard(Arc<Shared>);

impl BusyGuard {
    /// For a send, which then waits in the queue.
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.state(|state| state.sends += 1);
        Self(Arc::clone(shared))
    }

    /// For a change, which does not wait.
    pub(super) fn alone(shared: &Arc<Shared>) -> Result<Self> {
        shared.state(|state| match state.sends {
            0 => {
                state.sends = 1;
                Ok(Self(Arc::clone(shared)))
            }
            1 => Err(busy("a send or a change is in progress")),
            sends => Err(busy(format_args!("a send is in progress, and {} more are waiting", sends - 1))),
        })
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.state(|state| state.sends -= 1);
    }
}

pub(super) fn busy(why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Busy, format!("{why}; try again when it has finished"))
}
