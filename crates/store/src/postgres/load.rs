//! Reading a conversation.

use std::pin::Pin;
use std::sync::Arc;

use deadpool_postgres::Pool;
use futures_util::TryStreamExt;
use tokio::sync::mpsc;
use tokio_postgres::RowStream;
use tokio_postgres::types::Type;
use turnwise::{Error, ErrorKind, Result, Transcript};

use super::connections::{Patience, Values, take};
use super::failure::Failure;
use super::tables::{find, stored};
use crate::replay::{BATCH, Replay, Source};
use crate::rows::{At, Key, Row};
use crate::seal::Seal;

const DOING: &str = "reading the changes of a conversation";

/// How many pieces of changes are read before they are parsed.
const AHEAD: usize = 4;

/// How often a conversation is looked at again that is written anew while it is read.
const MOST_LOOKS: usize = 20;

/// Of one log after a position.
const NEW_CHANGES: &str = "SELECT change, log FROM turnwise.changes \
                           WHERE tenant = $1 AND log = $2 AND position > $4 AND position <= $3 ORDER BY position";

/// Of a log and those that it continues. Positions go on from one to the next. The second column is the log that a
/// row belongs to.
const ALL_CHANGES: &str = "WITH RECURSIVE parts (log, last) AS (\
                               SELECT $2::bigint, $3::bigint \
                               UNION ALL \
                               SELECT l.parent, l.at FROM parts p \
                               JOIN turnwise.logs l ON l.tenant = $1 AND l.log = p.log AND l.parent IS NOT NULL) \
                           SELECT c.change, p.log FROM parts p CROSS JOIN LATERAL (\
                               SELECT position, change FROM turnwise.changes \
                               WHERE tenant = $1 AND log = p.log AND position <= p.last AND position > $4 \
                               ORDER BY position) c \
                           ORDER BY c.position";

/// Reads a conversation as it is now; `None` if there is none. Of what is known only what came after it
/// is read.
pub(super) async fn load(
    pool: &Pool,
    key: Key,
    seal: &Seal,
    known: Option<(At, Transcript)>,
) -> Result<Option<(Transcript, Row)>> {
    let key = Arc::new(key);
    let Some(mut row) = find(pool, &key).await? else { return Ok(None) };
    let mut looks = 0;
    loop {
        let known = known.clone().filter(|(at, _)| at.log == row.at.log && at.last <= row.at.last);
        let error = match replayed(pool, &key, seal, row, known).await {
            Ok(transcript) => return Ok(Some((transcript, row))),
            Err(error) if error.kind() != ErrorKind::Damaged => return Err(error),
            Err(error) => error,
        };
        // Its changes may have been removed since its row was read.
        let Some(now) = find(pool, &key).await? else { return Ok(None) };
        looks += 1;
        if now.at == row.at || looks == MOST_LOOKS {
            return Err(error);
        }
        row = now;
    }
}

/// Reads the changes of a conversation and makes them.
async fn replayed(
    pool: &Pool,
    key: &Arc<Key>,
    seal: &Seal,
    row: Row,
    known: Option<(At, Transcript)>,
) -> Result<Transcript> {
    let (after, transcript, changes) = match known {
        Some((at, transcript)) if at == row.at => return Ok(transcript),
        Some((at, transcript)) => (at.last, transcript, NEW_CHANGES),
        None => (0, Transcript::default(), ALL_CHANGES),
    };
    let patience = Patience::new();
    loop {
        let target = Target { key: Arc::clone(key), seal: seal.clone(), row, after, transcript: transcript.clone() };
        match read(pool, target, changes).await {
            Err(failure) if patience.waits(&failure).await => {}
            read => return read.map_err(|failure| failure.told(DOING)),
        }
    }
}

/// What changes are made to.
struct Target {
    key: Arc<Key>,
    seal: Seal,
    row: Row,
    after: i64,
    transcript: Transcript,
}

impl Target {
    fn replay(mut self, is_fork: bool, source: &mut impl Source) -> Result<Transcript> {
        let mut replay = match self.after {
            0 => Replay::new(&self.key, &self.seal, &self.row, is_fork),
            after => Replay::after(&self.key, &self.seal, after),
        };
        replay.read(source, &mut self.transcript)?;
        replay.finish(&self.row, &mut self.transcript)?;
        Ok(self.transcript)
    }
}

async fn read(pool: &Pool, target: Target, changes: &str) -> Result<Transcript, Failure> {
    let client = take(pool).await?;
    let tenant = stored(&target.key.tenant).into_owned();
    let Row { at: At { log, last }, .. } = target.row;
    let values: Values<'_> =
        &[(&tenant, Type::TEXT), (&log, Type::INT8), (&last, Type::INT8), (&target.after, Type::INT8)];
    let values = values.iter().map(|(value, of)| (*value, of.clone()));
    let rows = client.query_typed_raw(changes, values).await?;
    let mut pieces = Pieces { rows: Box::pin(rows) };
    let first = pieces.next().await?;
    let is_fork = first.first().is_some_and(|first| first.log != log);
    if is_last(&first) {
        return Ok(target.replay(is_fork, &mut Received::of(first))?);
    }
    // A long one is parsed by other threads, while this one reads.
    let (sender, receiver) = mpsc::channel(AHEAD);
    let replay = tokio::task::spawn_blocking(move || {
        target.replay(is_fork, &mut Received { later: Some(receiver), ..Received::of(first) })
    });
    let read = pieces.send_rest(&sender).await;
    drop(sender);
    let replayed = replay.await.map_err(|error| turnwise::store::failed(DOING, error))?;
    read?;
    Ok(replayed?)
}

/// The rows of a conversation, many at a time.
struct Pieces {
    rows: Pin<Box<RowStream>>,
}

/// A row of changes.
struct Line {
    log: i64,
    text: String,
}

impl Pieces {
    /// Fewer bytes than a batch are the last ones.
    async fn next(&mut self) -> Result<Vec<Line>, Failure> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH
            && let Some(row) = self.rows.try_next().await?
        {
            let line = Line { text: row.get(0), log: row.get(1) };
            bytes += line.text.len();
            lines.push(line);
        }
        Ok(lines)
    }

    async fn send_rest(&mut self, sender: &mpsc::Sender<Vec<Line>>) -> Result<(), Failure> {
        loop {
            let lines = self.next().await?;
            let is_last = is_last(&lines);
            // Whoever does not read on has failed, and says why.
            if sender.send(lines).await.is_err() || is_last {
                return Ok(());
            }
        }
    }
}

/// A piece with less than a batch is the last one.
fn is_last(lines: &[Line]) -> bool {
    lines.iter().map(|line| line.text.len()).sum::<usize>() < BATCH
}

/// Lines that were read, and those that will be.
struct Received {
    lines: std::vec::IntoIter<Line>,
    line: Line,
    later: Option<mpsc::Receiver<Vec<Line>>>,
}

impl Received {
    fn of(lines: Vec<Line>) -> Self {
        Self { lines: lines.into_iter(), line: Line { log: 0, text: String::new() }, later: None }
    }
}

impl Source for Received {
    fn next(&mut self) -> Result<Option<(i64, &str)>, Error> {
        loop {
            if let Some(line) = self.lines.next() {
                self.line = line;
                return Ok(Some((self.line.log, &self.line.text)));
            }
            match self.later.as_mut().and_then(mpsc::Receiver::blocking_recv) {
                Some(lines) => self.lines = lines.into_iter(),
                None => return Ok(None),
            }
        }
    }
}
