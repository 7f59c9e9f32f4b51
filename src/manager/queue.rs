//! The queue of sends: `SendPermit`, given in the order of asking, and `BusyGuard`, which refuses
//! changes meanwhile.

use std::fmt;
use std::sync::Arc;

use super::Shared;
use crate::error::{Error, ErrorKind, Result};

/// While it lives, its holder alone sends and changes the record.
pub(super) struct SendPermit {
    pub(super) shared: Arc<Shared>,
    _sending: BusyGuard,
}

impl SendPermit {
    /// Waits behind those that asked before.
    pub(super) async fn wait(shared: &Arc<Shared>) -> Arc<Self> {
        let sending = BusyGuard::begin(shared);
        // Closed only when the manager is gone, and this future holds it.
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

/// While it lives, the record cannot be changed by anybody else.
pub(super) struct BusyGuard(Arc<Shared>);

impl BusyGuard {
    /// For a send, which waits for others in the queue.
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
            1 => Err(busy("a send or a change is under way")),
            sends => Err(busy(format_args!("a send is under way, and {} more are queued", sends - 1))),
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
