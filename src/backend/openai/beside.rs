//! Keeps a large answer from blocking the other tasks and timers of its executor.

use crate::backend::BackendError;

/// Work on at least this many bytes takes noticeable time, and is done on a thread for blocking
/// work.
const LARGE: usize = 256 * 1024;

/// After this many bytes, other tasks get their turn.
const TURN: usize = 64 * 1024;

/// The cost of a read in addition to its bytes.
const READ: usize = 64;

/// Does work whose time is proportional to a number of bytes: here if there are few, otherwise on a
/// thread for blocking work. A time limit around it then ends the wait without delaying other
/// tasks.
pub(super) async fn beside<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BackendError> {
    if bytes < LARGE {
        return Ok(work());
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => {
                Err(BackendError::interrupted("the runtime ended while the answer was read").with_source(cancelled))
            }
        },
    }
}

/// How many bytes were read since other tasks got their turn.
#[derive(Debug, Default)]
pub(super) struct YieldBudget(usize);

impl YieldBudget {
    /// Lets other tasks run if enough was read.
    pub(super) async fn spend(&mut self, bytes: usize) {
        self.0 += bytes + READ;
        if self.0 >= TURN {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}
