//! What keeps a large answer from holding up the tasks and timers of its executor.

use crate::backend::BackendError;

/// From this many bytes on, work is done on a thread for blocking work: the time it takes can be noticed.
const LARGE: usize = 256 * 1024;

/// After this many bytes other tasks have their turn.
const TURN: usize = 64 * 1024;

/// What a read costs beside its bytes.
const READ: usize = 64;

/// Does work that takes time in proportion to a number of bytes: here where they are few, otherwise on a thread for
/// blocking work. A time limit around it then ends the wait, and nobody else waits.
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

/// How much was read since other tasks had their turn.
#[derive(Debug, Default)]
pub(super) struct YieldBudget(usize);

impl YieldBudget {
    /// Lets others have their turn, where enough was read.
    pub(super) async fn spend(&mut self, bytes: usize) {
        self.0 += bytes + READ;
        if self.0 >= TURN {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}
