//! The statements: what a conversation is in the tables, and how it is written there.

use rusqlite::{Connection, OptionalExtension, params};
use turnwise::Result;
use turnwise::store::{conflict, not_found};

use super::{failed, index, usage};
pub(super) use crate::rows::{At, Key, Lines, Row, now};

/// A part of a log that belongs to a conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) log: i64,
    /// The last position before it, and its last one.
    pub(super) after: i64,
    pub(super) to: i64,
}

pub(super) fn find(db: &Connection, key: &Key) -> Result<Option<Row>> {
    let doing = failed("reading a conversation");
    let found = "SELECT log, last, bytes, created_at FROM conversations WHERE tenant = ?1 AND id = ?2";
    let mut found = db.prepare_cached(found).map_err(&doing)?;
    let row = found.query_row(params![key.tenant, key.id], |row| {
        Ok(Row { at: At { log: row.get(0)?, last: row.get(1)? }, bytes: row.get(2)?, created_at: row.get(3)? })
    });
    row.optional().map_err(&doing)
}

/// The logs of a conversation, the oldest first.
pub(super) fn parts(db: &Connection, tenant: &str, at: At) -> Result<Vec<Part>> {
    let mut parts = vec![Part { log: at.log, after: 0, to: at.last }];
    let mut log = at.log;
    while let Some((parent, to)) = parent(db, tenant, log)? {
        parts.push(Part { log: parent, after: 0, to });
        log = parent;
    }
    parts.reverse();
    Ok(parts)
}

pub(super) fn parent(db: &Connection, tenant: &str, log: i64) -> Result<Option<(i64, i64)>> {
    let doing = failed("reading a log");
    let parent = "SELECT parent, at FROM logs WHERE tenant = ?1 AND log = ?2 AND parent IS NOT NULL";
    let mut parent = db.prepare_cached(parent).map_err(&doing)?;
    parent.query_row(params![tenant, log], |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(&doing)
}

/// Adds changes to a conversation that is at a revision.
pub(super) fn append(db: &Connection, key: &Key, at: At, lines: &Lines) -> Result<At> {
    let doing = failed("writing to a conversation");
    let last = at.last + lines.len();
    let moves = "UPDATE conversations SET last = ?5, bytes = bytes + ?6, changed_at = ?7 \
                 WHERE tenant = ?1 AND id = ?2 AND log = ?3 AND last = ?4";
    let mut moves = db.prepare_cached(moves).map_err(&doing)?;
    let count = moves.execute(params![key.tenant, key.id, at.log, at.last, last, lines.bytes, now()]);
    if count.map_err(&doing)? == 0 {
        return Err(conflict(&key.id));
    }
    insert(db, &key.tenant, at, lines)?;
    Ok(At { last, ..at })
}

/// Begins a conversation where there is none.
pub(super) fn begin(db: &Connection, key: &Key, lines: &Lines) -> Result<At> {
    let at = At { log: new_log(db, &key.tenant, None)?, last: lines.len() };
    let row = Row { at, bytes: lines.bytes, created_at: now() };
    insert_conversation(db, key, row)?;
    insert(db, &key.tenant, At { last: 0, ..at }, lines)?;
    Ok(at)
}

/// Writes a conversation anew that is at a revision. What is not in the new lines is removed, unless
/// forks have it.
pub(super) fn replace(db: &Connection, key: &Key, at: At, lines: &Lines) -> Result<At> {
    let doing = failed("writing a conversation anew");
    let new = At { log: new_log(db, &key.tenant, None)?, last: lines.len() };
    let moves = "UPDATE conversations SET log = ?5, last = ?6, bytes = ?7, changed_at = ?8 \
                 WHERE tenant = ?1 AND id = ?2 AND log = ?3 AND last = ?4";
    let mut moves = db.prepare_cached(moves).map_err(&doing)?;
    let count = moves.execute(params![key.tenant, key.id, at.log, at.last, new.log, new.last, lines.bytes, now()]);
    if count.map_err(&doing)? == 0 {
        return Err(conflict(&key.id));
    }
    insert(db, &key.tenant, At { last: 0, ..new }, lines)?;
    usage::note_written_anew(db, lines.seal(), &key.tenant, at.log, new.log)?;
    give_up(db, &key.tenant, at.log)?;
    Ok(new)
}

/// Begins a conversation that has all that another one has now.
pub(super) fn fork(db: &Connection, key: &Key, fork: &Key) -> Result<At> {
    let row = find(db, key)?.ok_or_else(|| not_found(&key.id))?;
    let at = row.at;
    // A fork that has nothing of its own yet is no step on the way to what it has.
    let (log, to) = match parent(db, &key.tenant, at.log)? {
        Some((parent, to)) if to == at.last => (parent, to),
        _ => (at.log, at.last),
    };
    let at = At { log: new_log(db, &key.tenant, Some((log, to)))?, last: at.last };
    insert_conversation(db, fork, Row { at, created_at: now(), ..row })?;
    Ok(at)
}

fn insert_conversation(db: &Connection, key: &Key, row: Row) -> Result<()> {
    let doing = failed("beginning a conversation");
    let insert = "INSERT INTO conversations (tenant, id, log, last, bytes, created_at, changed_at) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT DO NOTHING";
    let mut insert = db.prepare_cached(insert).map_err(&doing)?;
    let Row { at, bytes, created_at } = row;
    let inserted = insert.execute(params![key.tenant, key.id, at.log, at.last, bytes, created_at]);
    if inserted.map_err(&doing)? == 0 { Err(conflict(&key.id)) } else { Ok(()) }
}

fn new_log(db: &Connection, tenant: &str, parent: Option<(i64, i64)>) -> Result<i64> {
    let doing = failed("beginning a log");
    // SQLite's numbers are seeded by the system, and 63 bits of them do not repeat.
    let mut draw = db.prepare_cached("SELECT random() & 0x7fffffffffffffff").map_err(&doing)?;
    let log: i64 = draw.query_row([], |row| row.get(0)).map_err(&doing)?;
    let (parent, at) = parent.map_or((None, 0), |(parent, at)| (Some(parent), at));
    let insert = "INSERT INTO logs (tenant, log, parent, at, owned) VALUES (?1, ?2, ?3, ?4, 1)";
    let mut insert = db.prepare_cached(insert).map_err(&doing)?;
    insert.execute(params![tenant, log, parent, at]).map_err(&doing)?;
    Ok(log)
}

/// Writes lines after a position.
fn insert(db: &Connection, tenant: &str, at: At, lines: &Lines) -> Result<()> {
    let doing = failed("writing changes");
    let insert = "INSERT INTO changes (tenant, log, position, change) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = db.prepare_cached(insert).map_err(&doing)?;
    for row in lines.rows(tenant, at) {
        let (position, text) = row?;
        insert.execute(params![tenant, at.log, position, text]).map_err(&doing)?;
    }
    Ok(())
}

/// Takes a log from its conversation. What no fork needs of it is removed, and of the logs before
/// it.
pub(super) fn give_up(db: &Connection, tenant: &str, log: i64) -> Result<()> {
    let doing = failed("removing changes");
    db.execute("UPDATE logs SET owned = 0 WHERE tenant = ?1 AND log = ?2", params![tenant, log]).map_err(&doing)?;
    let mut next = Some(log);
    while let Some(log) = next.take() {
        if is_owned(db, tenant, log).map_err(&doing)? {
            break;
        }
        let needed: Option<i64> = db
            .query_row("SELECT max(at) FROM logs WHERE tenant = ?1 AND parent = ?2", params![tenant, log], |row| {
                row.get(0)
            })
            .map_err(&doing)?;
        index::forget(db, tenant, log, needed.unwrap_or(0))?;
        let removes = "DELETE FROM changes WHERE tenant = ?1 AND log = ?2 AND position > ?3";
        db.execute(removes, params![tenant, log, needed.unwrap_or(0)]).map_err(&doing)?;
        if needed.is_none() {
            next = parent(db, tenant, log)?.map(|(parent, _)| parent);
            db.execute("DELETE FROM logs WHERE tenant = ?1 AND log = ?2", params![tenant, log]).map_err(&doing)?;
        }
    }
    note_removal(db)
}

/// Notes that text was removed, so that the write-ahead file is emptied of it.
pub(super) fn note_removal(db: &Connection) -> Result<()> {
    let noted = db.execute("UPDATE upkeep SET removed = removed + 1", []);
    noted.map(drop).map_err(failed("removing changes"))
}

fn is_owned(db: &Connection, tenant: &str, log: i64) -> rusqlite::Result<bool> {
    db.query_row("SELECT owned FROM logs WHERE tenant = ?1 AND log = ?2", params![tenant, log], |row| row.get(0))
}

/// How often text was removed from the database and may be in its write-ahead file still: the number
/// of removals, if that is so.
pub(super) fn removals(db: &Connection) -> Result<Option<i64>> {
    let doing = failed("reading the database");
    let mut read = db.prepare_cached("SELECT removed FROM upkeep WHERE cleared < removed").map_err(&doing)?;
    read.query_row([], |row| row.get(0)).optional().map_err(&doing)
}

/// Notes that the write-ahead file was emptied after so many removals.
pub(super) fn note_cleared(db: &Connection, removals: i64) -> Result<()> {
    let noted = db.execute("UPDATE upkeep SET cleared = max(cleared, ?1)", [removals]);
    noted.map(drop).map_err(failed("writing to the database"))
}

pub(super) fn list(db: &Connection, tenant: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
    let doing = failed("listing conversations");
    // No id is empty.
    let after = after.unwrap_or_default();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let list = "SELECT id FROM conversations WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    let mut list = db.prepare_cached(list).map_err(&doing)?;
    let ids = list.query_map(params![tenant, after, limit], |row| row.get(0)).map_err(&doing)?;
    ids.collect::<rusqlite::Result<_>>().map_err(&doing)
}
