//! `wait`: waits for the future of a store on the calling thread, without an executor.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The value of a store's future, in a program without an executor. The calling thread is blocked
/// until it is there.
///
/// # Examples
/// ```
/// use turnwise::store::{MemoryStore, Store, wait};
///
/// let ids = wait(MemoryStore::new().list(None, 10))?;
/// assert!(ids.is_empty());
/// # Ok::<(), turnwise::Error>(())
/// ```
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = poll(future.as_mut()) {
            return value;
        }
        thread::park();
    }
}

/// The future's value, unless it takes longer than `limit`.
pub(super) fn wait_at_most<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let begun = Instant::now();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = poll(future.as_mut()) {
            return Some(value);
        }
        thread::park_timeout(limit.checked_sub(begun.elapsed())?);
    }
}

/// Polls a future, which wakes the calling thread.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    future.poll(&mut Context::from_waker(&waker))
}
