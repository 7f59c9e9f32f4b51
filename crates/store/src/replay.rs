//! A conversation out of its changes, whichever engine has read them.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

use turnwise::conversation::Timestamp;
use turnwise::store::Change;
use turnwise::{Error, ErrorKind, Result, Transcript};

use crate::rows::{Key, Row, damaged};

/// Kinds of changes that state something as a whole: the last one of a kind holds, and those before
/// it need not be read. A long conversation has thousands of them.
const STATES: &[&str] = &["metadata", "model", "tools", "members", "spending", "calibration", "last_bill"];

/// The bytes of changes that are parsed at a time. A conversation with less of them is parsed by the thread
/// that reads it; for more it pays to begin a thread for each batch.
pub(crate) const BATCH: usize = 256 * 1024;

/// How many batches are parsed at the same time.
const PARSERS: usize = 4;

/// Where the rows of a conversation come from, in their order.
pub(crate) trait Source {
    /// The change of the next row, as JSON.
    fn next(&mut self) -> Result<Option<&str>>;
}

/// The changes of one conversation, while they are made.
pub(crate) struct Replay<'a> {
    key: &'a Key,
    /// The id and the time of a fork.
    begins_as: Option<(String, Timestamp)>,
    /// The last change of each kind of state that was read, as text.
    states: Vec<(&'static str, String)>,
    rows: i64,
    /// Why a change could not be read.
    error: Option<Error>,
}

impl<'a> Replay<'a> {
    /// From the first row on. A fork begins with its own id and time, and not with those of the
    /// conversation that it was made of.
    pub(crate) fn new(key: &'a Key, row: &Row, is_fork: bool) -> Self {
        let begins_as = is_fork.then(|| (key.id.to_string(), Timestamp::from_millis(row.created_at)));
        Self { key, begins_as, states: Vec::new(), rows: 0, error: None }
    }

    /// After the rows that a known state has.
    pub(crate) fn after(key: &'a Key, rows: i64) -> Self {
        Self { key, begins_as: None, states: Vec::new(), rows, error: None }
    }

    /// Reads rows and makes their changes. Of many rows, this thread reads, others parse, and this one
    /// makes the changes in their order.
    pub(crate) fn read(&mut self, rows: &mut impl Source, transcript: &mut Transcript) -> Result<()> {
        let key = self.key;
        let applied = thread::scope(|scope| {
            let mut parsed = VecDeque::new();
            let mut changes = Vec::new().into_iter();
            let mut is_over = false;
            transcript.apply(std::iter::from_fn(|| {
                loop {
                    if let Some(change) = changes.next() {
                        return Some(self.named(change));
                    }
                    while !is_over && parsed.len() < PARSERS {
                        let batch = self.batch(rows);
                        is_over = batch.bytes() < BATCH;
                        parsed.push_back(if is_over && parsed.is_empty() {
                            Parsed::Here(batch.parse(key))
                        } else {
                            Parsed::Elsewhere(scope.spawn(move || batch.parse(key)))
                        });
                    }
                    match parsed.pop_front()?.wait() {
                        Ok(batch) => changes = batch.into_iter(),
                        Err(error) => {
                            self.error = Some(error);
                            return None;
                        }
                    }
                }
            }))
        });
        // What was not read explains what did not fit then.
        match self.error.take() {
            Some(error) => Err(error),
            None => applied.map_err(|error| damaged(self.key, error.detail())),
        }
    }

    /// The next rows to be parsed: fewer bytes than [`BATCH`] are the last ones.
    fn batch(&mut self, rows: &mut impl Source) -> Batch {
        let mut batch = Batch::default();
        while batch.bytes() < BATCH && batch.failed.is_none() {
            match rows.next() {
                Ok(None) => break,
                Ok(Some(line)) => self.take(line, &mut batch),
                Err(error) => batch.failed = Some(error),
            }
        }
        batch
    }

    /// Puts a row into a batch, unless it may be made needless by a newer one of its kind.
    fn take(&mut self, line: &str, batch: &mut Batch) {
        self.rows += 1;
        let Some(kind) = state(line) else { return batch.add(self.rows, line) };
        match self.states.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, last)) => {
                last.clear();
                last.push_str(line);
            }
            None => self.states.push((kind, line.to_owned())),
        }
    }

    /// A change as it is made: a fork begins with its own id and time.
    fn named(&mut self, change: Change) -> Change {
        match change {
            Change::Begun { id, created_at, head } => {
                let (id, created_at) = self.begins_as.take().unwrap_or((id, created_at));
                Change::Begun { id, created_at, head }
            }
            other => other,
        }
    }

    /// Makes what the last rows of each kind have stated; refuses a conversation that has lost rows.
    pub(crate) fn finish(mut self, row: &Row, transcript: &mut Transcript) -> Result<()> {
        if self.rows != row.at.last {
            return Err(damaged(self.key, &format!("it has {} of {} rows", self.rows, row.at.last)));
        }
        let states = std::mem::take(&mut self.states);
        let states = states.iter().map(|(_, line)| parse(self.key, self.rows, line));
        let states: Vec<Change> = states.collect::<Result<_>>()?;
        transcript.apply(states).map_err(|error| damaged(self.key, error.detail()))
    }
}

/// Rows that are parsed together, in one text.
#[derive(Default)]
struct Batch {
    text: String,
    /// The number of each row, and where its text ends.
    rows: Vec<(i64, usize)>,
    /// Why the row after them could not be read.
    failed: Option<Error>,
}

impl Batch {
    fn bytes(&self) -> usize {
        self.text.len()
    }

    fn add(&mut self, row: i64, line: &str) {
        self.text.push_str(line);
        self.rows.push((row, self.text.len()));
    }

    fn parse(self, key: &Key) -> Result<Vec<Change>> {
        let mut begin = 0;
        let mut changes = Vec::with_capacity(self.rows.len());
        for (row, end) in self.rows {
            changes.push(parse(key, row, &self.text[begin..end])?);
            begin = end;
        }
        self.failed.map_or(Ok(changes), Err)
    }
}

/// A batch that was parsed, or is being parsed by another thread.
enum Parsed<'scope> {
    Here(Result<Vec<Change>>),
    Elsewhere(ScopedJoinHandle<'scope, Result<Vec<Change>>>),
}

impl Parsed<'_> {
    fn wait(self) -> Result<Vec<Change>> {
        match self {
            Self::Here(parsed) => parsed,
            Self::Elsewhere(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
        }
    }
}

fn parse(key: &Key, row: i64, line: &str) -> Result<Change> {
    serde_json::from_str(line).map_err(|error| {
        let text = error.to_string();
        let found = format!("row {row}: {text}");
        if text.starts_with("unknown variant") {
            let found = format!("{found}; a newer version has written it: update the program");
            return Error::new(ErrorKind::NewerFormat, found);
        }
        damaged(key, &found)
    })
}

/// The kind of a change that states something as a whole.
fn state(line: &str) -> Option<&'static str> {
    let rest = line.strip_prefix("{\"")?;
    STATES.iter().copied().find(|kind| rest.strip_prefix(kind).is_some_and(|rest| rest.starts_with('"')))
}
