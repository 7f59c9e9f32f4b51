//! The threads that use the database: one writes, a few read, and one makes copies. Whoever calls waits
//! for them without an executor.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;
use turnwise::store::BoxFuture;
use turnwise::{Error, ErrorKind, Result};

use super::access::Opened;
use super::{failed, index, schema, tables};

/// The most writes that one commit holds.
const GROUP: usize = 64;

/// How long after the last attempt the write-ahead file is cleared again that others were reading.
const AGAIN: Duration = Duration::from_secs(1);

/// How often the write-ahead file is emptied while the database is scrubbed and others read, each time for a
/// quarter of a second.
const SCRUBS: usize = 12;

/// Reads with a connection, and answers.
type Read = Box<dyn FnOnce(&mut Reader) + Send>;

/// Writes with a connection, if there is one. Whether it did so, and what answers when that is
/// committed, or was not.
type Write = Box<dyn FnOnce(Option<&Connection>) -> (bool, Answer) + Send>;
type Answer = Box<dyn FnOnce(Result<()>)>;

/// What takes long and reads by a connection of its own.
type Copy = Box<dyn FnOnce() + Send>;

/// What the thread does that writes.
enum Job {
    Write(Write),
    /// Writes the whole database anew, which no transaction can hold.
    Scrub(oneshot::Sender<Result<()>>),
}

pub(super) struct Threads {
    /// `None` when the threads are to end.
    queues: Option<Queues>,
    threads: Vec<JoinHandle<()>>,
}

struct Queues {
    writes: Sender<Job>,
    reads: Sender<Read>,
    copies: Sender<Copy>,
}

impl Threads {
    pub(super) fn start(path: &Path) -> Result<Self> {
        let (writes, to_write) = channel();
        let (reads, to_read) = channel();
        let (copies, to_copy) = channel::<Copy>();
        let mut threads = Self { queues: Some(Queues { writes, reads, copies }), threads: Vec::new() };
        let of_writes = Writer::new(path)?;
        threads.spawn("turnwise-write", move || of_writes.run(&to_write))?;
        let to_read = Arc::new(Mutex::new(to_read));
        let readers = thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4));
        for _ in 0..readers {
            let (reader, to_read) = (Reader::new(path)?, Arc::clone(&to_read));
            threads.spawn("turnwise-read", move || reader.run(&to_read))?;
        }
        threads.spawn("turnwise-copy", move || to_copy.iter().for_each(|copy| copy()))?;
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
        let read: Read = Box::new(move |reader| {
            drop(done.send(guarded(|| reader.read(work))));
        });
        if let Some(queues) = &self.queues {
            // If nobody takes it, `done` is dropped, and the answer says so.
            drop(queues.reads.send(read));
        }
        answer(wait)
    }

    /// Does what takes long and has a connection of its own, so that nobody who reads waits for it. One
    /// after the other.
    pub(super) fn copy<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let (done, wait) = oneshot::channel();
        if let Some(queues) = &self.queues {
            drop(queues.copies.send(Box::new(move || drop(done.send(guarded(work))))));
        }
        answer(wait)
    }

    /// Writes the whole database anew, without what is left of removed text.
    pub(super) fn scrub(&self) -> BoxFuture<'static, Result<()>> {
        let (done, wait) = oneshot::channel();
        if let Some(queues) = &self.queues {
            drop(queues.writes.send(Job::Scrub(done)));
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
            let written = db.map(|db| guarded(|| work(db)));
            let is_written = matches!(written, Some(Ok(_)));
            let answer = |committed: Result<()>| drop(done.send(committed.and(written.unwrap_or_else(ended))));
            (is_written, Box::new(answer))
        });
        if let Some(queues) = &self.queues {
            drop(queues.writes.send(Job::Write(write)));
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

/// Makes a panic an error for whoever asked for this work, and for nobody else. What the panic says may
/// quote a conversation, so the error does not.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let detail = "this panicked in the thread that uses the database, and nothing of it was written; that is a fault of \
                      the program, and its standard error says where: please report it";
        Err(Error::new(ErrorKind::Io, detail))
    })
}

struct Reader {
    path: PathBuf,
    opened: Opened,
}

impl Reader {
    fn new(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), opened: schema::open_reader(path)? })
    }

    fn run(mut self, reads: &Mutex<Receiver<Read>>) {
        loop {
            let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(read) = next else { return };
            read(&mut self);
        }
    }

    fn read<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        if !self.opened.is_unchanged() {
            self.opened = schema::open_reader(&self.path)?;
        }
        let read = schema::check_version(&self.opened.db).and_then(|()| work(&self.opened.db));
        // What was read while somebody wrote may be anything, also an error.
        self.opened.check_unchanged("reading the database")?;
        read
    }
}

struct Writer {
    path: PathBuf,
    db: Connection,
    /// The removals of text that may be in the write-ahead file, if there are any.
    removals: Option<i64>,
    /// When it was last tried to empty that.
    tried: Instant,
}

impl Writer {
    fn new(path: &Path) -> Result<Self> {
        let db = schema::open(path)?;
        // A process that was killed may have left them.
        let mut removals = tables::removals(&db)?;
        if schema::is_read_only(&db)? {
            removals = None;
        } else {
            index::check_at_open(&db)?;
        }
        let mut writer = Self { path: path.to_owned(), db, removals, tried: Instant::now() };
        writer.clear_removed(true);
        Ok(writer)
    }

    fn run(mut self, jobs: &Receiver<Job>) {
        while let Some(first) = self.next(jobs) {
            let mut group = Vec::new();
            let mut next = Some(first);
            let scrub = loop {
                match next {
                    Some(Job::Write(write)) => group.push(write),
                    Some(Job::Scrub(done)) => break Some(done),
                    None => break None,
                }
                next = if group.len() < GROUP { jobs.try_recv().ok() } else { None };
            };
            self.write(group);
            if let Some(done) = scrub {
                drop(done.send(guarded(|| self.scrub())));
            }
        }
    }

    /// Makes writes that were waiting, and answers.
    fn write(&mut self, group: Vec<Write>) {
        if group.is_empty() {
            return;
        }
        let mut answers = Vec::with_capacity(group.len());
        let before = self.removals;
        let committed = guarded(|| Ok(self.commit(group, &mut answers))).unwrap_or_else(|panicked| {
            self.reopen();
            Err(panicked)
        });
        self.clear_removed(self.removals > before);
        for answer in answers {
            answer(committed.as_ref().copied().map_err(|error| Error::new(error.kind(), error.detail())));
        }
    }

    /// Takes a new connection, because a panic may have left the old one within a transaction. If none can be
    /// had, the old one is used on.
    fn reopen(&mut self) {
        drop(self.run_statement("ROLLBACK"));
        if let Ok(db) = schema::open(&self.path) {
            self.db = db;
        }
    }

    /// Writes the database anew, and the write-ahead file into it, over what was there.
    fn scrub(&mut self) -> Result<()> {
        schema::check_version(&self.db)?;
        self.db.execute_batch("VACUUM").map_err(failed("writing the database anew"))?;
        for _ in 0..SCRUBS {
            if schema::empty_log(&self.db, true)? {
                return Ok(());
            }
        }
        let detail = "the database was written anew, but another program still reads what was there before, so that is in \
                      the files: close that program, or call `scrub` again when it has finished";
        Err(Error::new(ErrorKind::Busy, detail))
    }

    fn next(&mut self, jobs: &Receiver<Job>) -> Option<Job> {
        while self.removals.is_some() {
            match jobs.recv_timeout(AGAIN) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Timeout) => self.clear_removed(false),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        jobs.recv().ok()
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

#[cfg(test)]
mod tests {
    use turnwise::store::wait;

    use super::*;

    fn threads() -> (tempfile::TempDir, Threads) {
        let folder = tempfile::TempDir::new().unwrap();
        let threads = Threads::start(&folder.path().join("chats.db")).unwrap();
        (folder, threads)
    }

    fn note(db: &Connection) -> Result<usize> {
        let insert = "INSERT INTO logs (tenant, log, at, owned) VALUES ('', abs(random()), 0, 1)";
        db.execute(insert, []).map_err(failed("writing a test"))
    }

    fn notes(threads: &Threads) -> i64 {
        let count = |db: &Connection| db.query_row("SELECT count(*) FROM logs", [], |row| row.get(0));
        wait(threads.read(move |db| count(db).map_err(failed("reading a test")))).unwrap()
    }

    #[test]
    #[expect(clippy::panic, reason = "it is what is tested")]
    fn a_panic_is_an_error_for_its_caller_and_the_others_go_on() {
        let (_folder, threads) = threads();
        for _ in 0..3 {
            let first = threads.write(note);
            let panics = threads.write(|db| {
                note(db)?;
                panic!("of a test")
            });
            let last = threads.write(note);
            wait(first).unwrap();
            let error: Error = wait::<Result<()>>(panics).unwrap_err();
            assert!(error.detail().contains("panicked") && !error.detail().contains("of a test"), "{error}");
            wait(last).unwrap();
            assert!(wait::<Result<()>>(threads.read(|_| panic!("of a test"))).is_err());
        }
        assert_eq!(notes(&threads), 6, "nothing of what panicked is there");
    }

    #[test]
    fn a_reader_without_locks_refuses_what_it_read_while_others_wrote_and_then_reads_anew() {
        let (folder, threads) = threads();
        let path = folder.path().join("chats.db");
        wait(threads.write(note)).unwrap();
        drop(threads);
        // Of connections that close at the same moment, none may be the last one, which removes this file.
        let (log, begun) = (folder.path().join("chats.db-wal"), Instant::now());
        while log.exists() && begun.elapsed() < Duration::from_secs(10) {
            drop(schema::open(&path).unwrap());
        }
        let mut reader = Reader { opened: Opened::still(&path).unwrap(), path: path.clone() };
        let notes = |db: &Connection| {
            let count = db.query_row("SELECT count(*) FROM logs", [], |row| row.get::<_, i64>(0));
            count.map_err(failed("reading a test"))
        };
        assert_eq!(reader.read(notes).unwrap(), 1);
        let meanwhile = reader.read(|db| {
            let threads = Threads::start(&path)?;
            wait(threads.write(note))?;
            notes(db)
        });
        assert_eq!(meanwhile.unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!(reader.read(notes).unwrap(), 2);
    }

    #[test]
    fn a_writer_that_panicked_while_it_committed_begins_anew() {
        let (folder, threads) = threads();
        let mut writer = Writer::new(&folder.path().join("chats.db")).unwrap();
        writer.begin().unwrap();
        note(&writer.db).unwrap();
        writer.reopen();
        writer.begin().unwrap();
        note(&writer.db).unwrap();
        writer.run_statement("COMMIT").unwrap();
        assert_eq!(notes(&threads), 1);
    }
}
