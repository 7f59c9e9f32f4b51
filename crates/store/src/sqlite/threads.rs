//! The threads that use the database: one writes, a few read. Whoever calls waits for them without an
//! executor.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;
use turnwise::store::BoxFuture;
use turnwise::{Error, ErrorKind, Result};

use super::{failed, index, schema, tables};

/// The most writes that one commit holds.
const GROUP: usize = 64;

/// How long after the last attempt the write-ahead file is cleared again that others were reading.
const AGAIN: Duration = Duration::from_secs(1);

/// Reads with a connection, and answers.
type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Writes with a connection, if there is one. Whether it did so, and what answers when that is
/// committed, or was not.
type Write = Box<dyn FnOnce(Option<&Connection>) -> (bool, Answer) + Send>;
type Answer = Box<dyn FnOnce(Result<()>)>;

pub(super) struct Threads {
    /// `None` when the threads are to end.
    queues: Option<(Sender<Write>, Sender<Read>)>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(super) fn start(path: &Path) -> Result<Self> {
        let (write, writes) = channel();
        let (read, reads) = channel();
        let mut threads = Self { queues: Some((write, read)), threads: Vec::new() };
        let of_writes = Writer::new(schema::open(path)?)?;
        threads.spawn("turnwise-write", move || of_writes.run(&writes))?;
        let reads = Arc::new(Mutex::new(reads));
        let readers = thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4));
        for _ in 0..readers {
            let (db, reads) = (schema::open_reader(path)?, Arc::clone(&reads));
            threads.spawn("turnwise-read", move || run_reads(&db, &reads))?;
        }
        Ok(threads)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
        self.threads.push(spawned.map_err(|e| turnwise::store::failed("starting a thread for a database", e))?);
        Ok(())
    }

    /// Reads on a thread.
    pub(super) fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let (done, wait) = oneshot::channel();
        let read: Read = Box::new(move |db| {
            let answer = schema::check_version(db).and_then(|()| work(db));
            drop(done.send(answer));
        });
        if let Some((_, reads)) = &self.queues {
            // If nobody takes it, `done` is dropped, and the answer says so.
            drop(reads.send(read));
        }
        answer(wait)
    }

    /// Writes on the thread that does so, all of it or, where it fails, nothing. The answer comes when
    /// the disk has it.
    pub(super) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let (done, wait) = oneshot::channel();
        let write: Write = Box::new(move |db| {
            let written = db.map(work);
            let is_written = matches!(written, Some(Ok(_)));
            let answer = |committed: Result<()>| drop(done.send(committed.and(written.unwrap_or_else(ended))));
            (is_written, Box::new(answer))
        });
        if let Some((writes, _)) = &self.queues {
            drop(writes.send(write));
        }
        answer(wait)
    }
}

/// Waits until what was begun is written, and the files are closed.
impl Drop for Threads {
    fn drop(&mut self) {
        self.queues = None;
        for thread in self.threads.drain(..) {
            // A thread that answers may drop the last handle itself.
            if thread.thread().id() != thread::current().id() {
                drop(thread.join());
            }
        }
    }
}

fn answer<T: Send + 'static>(wait: oneshot::Receiver<Result<T>>) -> BoxFuture<'static, Result<T>> {
    Box::pin(async move { wait.await.unwrap_or_else(|_| ended()) })
}

fn ended<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Io, "the thread that uses the database ended early"))
}

fn run_reads(db: &Connection, reads: &Mutex<Receiver<Read>>) {
    loop {
        let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(read) = next else { return };
        // A conversation whose reading panics is an error for its reader, and for nobody else.
        drop(catch_unwind(AssertUnwindSafe(|| read(db))));
    }
}

struct Writer {
    db: Connection,
    /// The removals of text that may be in the write-ahead file, if there are any.
    removals: Option<i64>,
    /// When it was last tried to empty that.
    tried: Instant,
}

impl Writer {
    fn new(db: Connection) -> Result<Self> {
        // A process that was killed may have left them.
        let removals = tables::removals(&db)?;
        let mut writer = Self { db, removals, tried: Instant::now() };
        writer.clear_removed(true);
        Ok(writer)
    }

    fn run(mut self, writes: &Receiver<Write>) {
        while let Some(first) = self.next(writes) {
            let group: Vec<Write> = std::iter::once(first).chain(writes.try_iter()).take(GROUP).collect();
            let mut answers = Vec::with_capacity(group.len());
            let before = self.removals;
            let committed = self.commit(group, &mut answers);
            self.clear_removed(self.removals > before);
            for answer in answers {
                answer(committed.as_ref().copied().map_err(|error| Error::new(error.kind(), error.detail())));
            }
        }
    }

    fn next(&mut self, writes: &Receiver<Write>) -> Option<Write> {
        while self.removals.is_some() {
            match writes.recv_timeout(AGAIN) {
                Ok(write) => return Some(write),
                Err(RecvTimeoutError::Timeout) => self.clear_removed(false),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        writes.recv().ok()
    }

    /// Makes writes that were waiting with one commit, each of them whole or not at all.
    fn commit(&mut self, group: Vec<Write>, answers: &mut Vec<Answer>) -> Result<()> {
        let mut made = self.begin();
        for write in group {
            if made.is_ok() {
                made = self.make(write, answers);
            } else {
                answers.push(write(None).1);
            }
        }
        let committed = made.and_then(|()| {
            index::catch_up(&self.db)?;
            self.removals = tables::removals(&self.db)?;
            self.run_statement("COMMIT")
        });
        if committed.is_err() && !self.db.is_autocommit() {
            drop(self.run_statement("ROLLBACK"));
        }
        committed
    }

    fn make(&self, write: Write, answers: &mut Vec<Answer>) -> Result<()> {
        let began = self.run_statement("SAVEPOINT one");
        let (is_written, answer) = write(began.is_ok().then_some(&self.db));
        answers.push(answer);
        began?;
        if !is_written {
            self.run_statement("ROLLBACK TO one")?;
        }
        self.run_statement("RELEASE one")
    }

    fn begin(&self) -> Result<()> {
        self.run_statement("BEGIN IMMEDIATE")?;
        schema::check_version(&self.db)
    }

    fn run_statement(&self, statement: &str) -> Result<()> {
        let ran = self.db.prepare_cached(statement).and_then(|mut statement| statement.execute([]));
        ran.map(drop).map_err(failed("writing to the database"))
    }

    /// Empties the write-ahead file of text that was removed. While another process reads what was
    /// there before, that cannot be: it is waited for shortly where the text was removed just now,
    /// and tried again later, when there are no writes, and when the database is opened.
    fn clear_removed(&mut self, is_new: bool) {
        let Some(removals) = self.removals else { return };
        if !is_new && self.tried.elapsed() < AGAIN {
            return;
        }
        self.tried = Instant::now();
        let cleared = schema::empty_log(&self.db, is_new).and_then(|is_empty| {
            if is_empty {
                tables::note_cleared(&self.db, removals)?;
            }
            Ok(is_empty)
        });
        if matches!(cleared, Ok(true)) {
            self.removals = None;
        }
    }
}
