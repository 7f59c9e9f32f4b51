//! A time limit that works on every executor: a thread of its own waits for the end of it.

use std::future::Future;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::oneshot;

/// What `work` gives; `None` where it takes longer than `limit`. It is dropped then.
///
/// # Errors
/// Where no thread can be started.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T> + Unpin) -> io::Result<Option<T>> {
    let (tell, late) = oneshot::channel();
    // Dropped when the work has ended, which ends the thread.
    let (_working, ended) = mpsc::channel::<()>();
    thread::Builder::new().name("turnwise-limit".to_owned()).spawn(move || {
        if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            let _ = tell.send(());
        }
    })?;
    match select(work, late).await {
        Either::Left((done, _)) => Ok(Some(done)),
        Either::Right(_) => Ok(None),
    }
}
