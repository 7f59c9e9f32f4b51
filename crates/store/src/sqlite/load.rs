//! Reading a conversation.

use rusqlite::{Connection, Rows, params};
use turnwise::{Result, Transcript};

use super::failed;
use super::tables::{self, At, Key, Part, Row};
use crate::replay::{Replay, Source};
use crate::seal::Seal;

/// Reads a conversation as it is now; `None` if there is none. Of what is known only what came after it
/// is read.
pub(super) fn load(
    db: &Connection,
    key: &Key,
    seal: &Seal,
    known: Option<(At, Transcript)>,
) -> Result<Option<(Transcript, Row)>> {
    // All of it at one time, whatever is written meanwhile.
    let _moment = db.unchecked_transaction().map_err(failed("reading a conversation"))?;
    let Some(row) = tables::find(db, key)? else { return Ok(None) };
    if let Some((at, mut transcript)) = known.filter(|(at, _)| at.log == row.at.log && at.last <= row.at.last) {
        let mut replay = Replay::after(key, seal, at.last);
        read(db, key, Part { log: at.log, after: at.last, to: row.at.last }, &mut replay, &mut transcript)?;
        replay.finish(&row, &mut transcript)?;
        return Ok(Some((transcript, row)));
    }
    let parts = tables::parts(db, &key.tenant, row.at)?;
    let mut replay = Replay::new(key, seal, &row, parts.len() > 1);
    let mut transcript = Transcript::default();
    for part in parts {
        read(db, key, part, &mut replay, &mut transcript)?;
    }
    replay.finish(&row, &mut transcript)?;
    Ok(Some((transcript, row)))
}

/// Reads the rows of a part and makes their changes.
fn read(db: &Connection, key: &Key, part: Part, replay: &mut Replay<'_>, transcript: &mut Transcript) -> Result<()> {
    let doing = reading();
    let read = "SELECT change FROM changes WHERE tenant = ?1 AND log = ?2 AND position > ?3 AND position <= ?4 \
                ORDER BY position";
    let mut read = db.prepare_cached(read).map_err(&doing)?;
    let rows = read.query(params![key.tenant, part.log, part.after, part.to]).map_err(&doing)?;
    replay.read(&mut Lines { rows, log: part.log }, transcript)
}

struct Lines<'a> {
    rows: Rows<'a>,
    log: i64,
}

impl Source for Lines<'_> {
    fn next(&mut self) -> Result<Option<(i64, &str)>> {
        let Some(row) = self.rows.next().map_err(reading())? else { return Ok(None) };
        let text = row.get_ref(0).and_then(|text| Ok(text.as_str()?));
        text.map(|text| Some((self.log, text))).map_err(reading())
    }
}

fn reading() -> impl Fn(rusqlite::Error) -> turnwise::Error {
    failed("reading the changes of a conversation")
}
