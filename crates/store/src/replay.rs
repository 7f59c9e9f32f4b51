//! A conversation out of its changes, whichever engine has read them.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

use turnwise::conversation::Timestamp;
use turnwise::store::Change;
use turnwise::{Error, ErrorKind, Result, Transcript};

use crate::rows::{Key, Row, damaged};
use crate::seal::{Place, Seal, kind};

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
    /// The log and the text of the next row.
    fn next(&mut self) -> Result<Option<(i64, &str)>>;
}

/// The changes of one conversation, while they are made.
pub(crate) struct Replay<'a> {
    key: &'a Key,
    seal: &'a Seal,
    /// The id and the time of a fork.
    begins_as: Option<(String, Timestamp)>,
    /// The last row of each kind of state that was read.
    states: Vec<State>,
    rows: i64,
    /// Why a change could not be read.
    error: Option<Error>,
}

/// A row that states something as a whole.
struct State {
    kind: &'static str,
    log: i64,
    position: i64,
    text: String,
}

impl<'a> Replay<'a> {
    /// From the first row on. A fork begins with its own id and time, and not with those of the
    /// conversation that it was made of.
    pub(crate) fn new(key: &'a Key, seal: &'a Seal, row: &Row, is_fork: bool) -> Self {
        let begins_as = is_fork.then(|| (key.id.to_string(), Timestamp::from_millis(row.created_at)));
        Self { key, seal, begins_as, states: Vec::new(), rows: 0, error: None }
    }

    /// After the rows that a known state has.
    pub(crate) fn after(key: &'a Key, seal: &'a Seal, rows: i64) -> Self {
        Self { key, seal, begins_as: None, states: Vec::new(), rows, error: None }
    }

    /// Reads rows and makes their changes. Of many rows, this thread reads, others parse, and this one
    /// makes the changes in their order.
    pub(crate) fn read(&mut self, rows: &mut impl Source, transcript: &mut Transcript) -> Result<()> {
        let (key, seal) = (self.key, self.seal);
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
                            Parsed::Here(batch.parse(key, seal))
                        } else {
                            Parsed::Elsewhere(scope.spawn(move || batch.parse(key, seal)))
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
                Ok(Some((log, text))) => self.take(log, text, &mut batch),
                Err(error) => batch.failed = Some(error),
            }
        }
        batch
    }

    /// Puts a row into a batch, unless it may be made needless by a newer one of its kind. Positions go on from
    /// one row to the next, also from a log to one that continues it.
    fn take(&mut self, log: i64, text: &str, batch: &mut Batch) {
        self.rows += 1;
        let position = self.rows;
        let Some(kind) = state(text) else { return batch.add(log, position, text) };
        let state = State { kind, log, position, text: text.to_owned() };
        match self.states.iter_mut().find(|known| known.kind == kind) {
            Some(last) => *last = state,
            None => self.states.push(state),
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
        let states = states.iter().map(|row| parse(self.key, self.seal, (row.log, row.position), &row.text));
        let states: Vec<Change> = states.collect::<Result<_>>()?;
        transcript.apply(states).map_err(|error| damaged(self.key, error.detail()))
    }
}

/// Rows that are parsed together, in one text.
#[derive(Default)]
struct Batch {
    text: String,
    /// The log and the position of each row, and where its text ends.
    rows: Vec<((i64, i64), usize)>,
    /// Why the row after them could not be read.
    failed: Option<Error>,
}

impl Batch {
    fn bytes(&self) -> usize {
        self.text.len()
    }

    fn add(&mut self, log: i64, position: i64, text: &str) {
        self.text.push_str(text);
        self.rows.push(((log, position), self.text.len()));
    }

    fn parse(self, key: &Key, seal: &Seal) -> Result<Vec<Change>> {
        let mut begin = 0;
        let mut changes = Vec::with_capacity(self.rows.len());
        for (place, end) in self.rows {
            changes.push(parse(key, seal, place, &self.text[begin..end])?);
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

fn parse(key: &Key, seal: &Seal, (log, position): (i64, i64), text: &str) -> Result<Change> {
    let opened = seal.open(Place { tenant: &key.tenant, log, position }, text).map_err(|error| of(key, &error))?;
    serde_json::from_str(&opened).map_err(|error| {
        let text = error.to_string();
        let found = format!("row {position}: {text}");
        if text.starts_with("unknown variant") {
            let found = format!("{found}; a newer version has written it: update the program");
            return Error::new(ErrorKind::NewerFormat, found);
        }
        damaged(key, &found)
    })
}

/// The error of a row that did not open, with its conversation.
fn of(key: &Key, error: &Error) -> Error {
    match error.kind() {
        ErrorKind::Damaged => damaged(key, error.detail()),
        kind => Error::new(kind, format!("the conversation `{}`: {}", key.id.escape_debug(), error.detail())),
    }
}

/// The kind of a row that states something as a whole.
fn state(text: &str) -> Option<&'static str> {
    let found = kind(text);
    STATES.iter().copied().find(|kind| *kind == found)
}
