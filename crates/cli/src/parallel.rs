//! Work on several threads, with results in the order of what they were made from.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::failure::{Failure, Result};

/// How many items are read ahead for each thread. It bounds the memory, also while the results of
/// later items wait for that of an earlier one.
const AHEAD: usize = 8;

/// More threads than this are refused: each takes memory, and no machine works faster with them.
const MOST: usize = 512;

/// The value of `--threads`.
///
/// # Errors
/// If it is no number from 1 to 512.
pub(crate) fn count_of_threads(text: &str) -> std::result::Result<NonZero<usize>, String> {
    let count = text.parse::<NonZero<usize>>().ok().filter(|count| count.get() <= MOST);
    count.ok_or_else(|| format!("write a number from 1 to {MOST}"))
}

/// The number of threads that was asked for, or else one for each processor.
pub(crate) fn threads(asked: Option<NonZero<usize>>) -> usize {
    asked.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get)
}

/// Does `work` with each item on so many threads, and hands the results to `take` in the order of
/// the items. Items are read, and results taken, on the thread of the caller.
///
/// # Errors
/// The first one of `take`; no more items are read then.
pub(crate) fn in_order<T: Send, R: Send>(
    threads: usize,
    mut items: impl Iterator<Item = T>,
    work: impl Fn(T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    if threads < 2 {
        return items.try_for_each(|item| take(work(item)));
    }
    let (jobs, queue) = channel();
    let (queue, work) = (&Mutex::new(queue), &work);
    thread::scope(|scope| {
        // Both ends belong to this closure: if it returns early, the threads see that and end.
        let jobs = jobs;
        let (done, results) = channel();
        let mut running = 0;
        for _ in 0..threads {
            let done = done.clone();
            let started = thread::Builder::new().spawn_scoped(scope, move || work_off(queue, &done, work));
            match started {
                Ok(_) => running += 1,
                Err(error) if running == 0 => {
                    return Err(Failure::Failed(format!("the system starts no thread: {error}; try --threads 1")));
                }
                // Those that run do all of the work.
                Err(_) => break,
            }
        }
        let mut waiting = BTreeMap::new();
        let (mut given, mut taken) = (0, 0);
        loop {
            while given - taken < AHEAD * threads {
                let Some(item) = items.next() else { break };
                // The threads receive until this end is gone.
                let _ = jobs.send((given, item));
                given += 1;
                waiting.extend(results.try_iter());
                take_ready(&mut waiting, &mut taken, &mut take)?;
            }
            if given == taken {
                return Ok(());
            }
            waiting.extend(results.recv());
            take_ready(&mut waiting, &mut taken, &mut take)?;
        }
    })
}

type Done<R> = (usize, thread::Result<R>);

fn work_off<T, R>(queue: &Mutex<Receiver<(usize, T)>>, done: &Sender<Done<R>>, work: impl Fn(T) -> R) {
    loop {
        // The lock is held only until a job is there.
        let job = queue.lock().ok().and_then(|queue| queue.recv().ok());
        let Some((index, item)) = job else { return };
        let result = catch_unwind(AssertUnwindSafe(|| work(item)));
        if done.send((index, result)).is_err() {
            return;
        }
    }
}

/// Hands over the results that are next in order.
fn take_ready<R>(
    waiting: &mut BTreeMap<usize, thread::Result<R>>,
    taken: &mut usize,
    take: &mut impl FnMut(R) -> Result<()>,
) -> Result<()> {
    while let Some(result) = waiting.remove(taken) {
        *taken += 1;
        take(result.unwrap_or_else(|panic| resume_unwind(panic)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for threads in [1, 4] {
            let mut taken = Vec::new();
            let work = |item: u64| {
                thread::sleep(Duration::from_micros(item * 7 % 50));
                item * 2
            };
            let done = in_order(threads, 0..200, work, |result| {
                taken.push(result);
                Ok(())
            });
            assert!(done.is_ok());
            assert_eq!(taken, (0..200).map(|item| item * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn few_items_are_read_ahead() {
        let read = AtomicUsize::new(0);
        let items = (0..1_000).inspect(|_| {
            read.fetch_add(1, Ordering::Relaxed);
        });
        let mut taken = 0;
        let done = in_order(
            2,
            items,
            |item| item,
            |_| {
                taken += 1;
                assert!(read.load(Ordering::Relaxed) <= taken + 2 * AHEAD);
                Ok(())
            },
        );
        assert!(done.is_ok() && taken == 1_000);
    }

    #[test]
    fn a_failure_ends_the_work() {
        let done = in_order(
            2,
            0..,
            |item| item,
            |item| {
                if item == 5 { Err(Failure::usage("enough")) } else { Ok(()) }
            },
        );
        assert!(matches!(done, Err(Failure::Usage(_))));
    }

    #[test]
    #[should_panic(expected = "a fault of the work")]
    fn a_panic_of_the_work_is_not_waited_for() {
        let work = |item: usize| assert!(item != 3, "a fault of the work");
        let _ = in_order(2, 0..100, work, |()| Ok(()));
    }
}
