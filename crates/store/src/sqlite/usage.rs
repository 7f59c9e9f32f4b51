//! The totals of a tenant's usage.

use rusqlite::{Connection, OptionalExtension, params};
use turnwise::spending::Spending;
use turnwise::{ErrorKind, Result};

use super::{SqliteStore, failed, tables};
use crate::each::Failed;
use crate::inherited::{Original, spending, unless_damaged};
use crate::seal::{Place, Seal};
use crate::usage::Totals;

impl SqliteStore {
    /// The totals of this tenant. What a fork shares with its original is counted once; if the
    /// original is gone, once for each of its forks. A conversation whose usage cannot be read is
    /// in [`Totals::failed`].
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the database fails.
    pub async fn totals(&self) -> Result<Totals> {
        let (tenant, seal) = (self.tenant.clone(), self.shared.seal.clone());
        self.shared.threads.read(move |db| totals(db, &seal, &tenant)).await
    }
}

fn totals(db: &Connection, seal: &Seal, tenant: &str) -> Result<Totals> {
    let doing = failed(DOING);
    let _moment = db.unchecked_transaction().map_err(&doing)?;
    let all = "SELECT id, log, last FROM conversations WHERE tenant = ?1 ORDER BY id";
    let mut all = db.prepare_cached(all).map_err(&doing)?;
    let rows = all.query_map([tenant], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(&doing)?;
    let mut totals = Totals::default();
    for row in rows {
        let (id, log, last): (String, i64, i64) = row.map_err(&doing)?;
        let spent = spent(db, seal, tenant, log, last);
        match spent.and_then(|spent| Ok((spent, shared(db, seal, tenant, log)?))) {
            Ok((spent, shared)) => totals.add(&id, &spent, &shared),
            Err(error) if error.kind() == ErrorKind::Io => return Err(error),
            Err(error) => totals.failed.push(Failed::new(id, error)),
        }
    }
    Ok(totals)
}

const DOING: &str = "adding up the usage";

/// What is counted with the conversation that a fork was made of, or with the one that this was made of, and so
/// on: the first of them that is there.
fn shared(db: &Connection, seal: &Seal, tenant: &str, log: i64) -> Result<Spending> {
    Ok(original(db, seal, tenant, log)?.map(|original| original.inherited).unwrap_or_default())
}

/// What a fork has of the conversation that a log belongs to.
fn original_of(db: &Connection, seal: &Seal, tenant: &str, log: i64, at: i64) -> Result<Original> {
    Ok(Original { line: line(db, tenant, log)?, inherited: spent(db, seal, tenant, log, at)? })
}

fn original(db: &Connection, seal: &Seal, tenant: &str, log: i64) -> Result<Option<Original>> {
    let mut log = log;
    while let Some((parent, at)) = tables::parent(db, tenant, log)? {
        if is_there(db, tenant, line(db, tenant, parent)?)? {
            return original_of(db, seal, tenant, parent, at).map(Some);
        }
        log = parent;
    }
    match noted(db, seal, tenant, log)? {
        Some(original) if is_there(db, tenant, original.line)? => Ok(Some(original)),
        _ => Ok(None),
    }
}

/// Notes of a log that takes the place of another one which conversation it belongs to, and what it has of
/// its original: the old log, which says so, may be removed.
pub(super) fn note_written_anew(db: &Connection, seal: &Seal, tenant: &str, old: i64, new: i64) -> Result<()> {
    let doing = failed("writing a conversation anew");
    let line = line(db, tenant, old)?;
    let original = unless_damaged(original_or_gone(db, seal, tenant, old))?;
    let origin = original.as_ref().map(|original| original.line);
    let inherited = original.map_or(Ok(None), |original| original.noted(tenant, new, seal))?;
    let note = "UPDATE logs SET line = ?3, origin = ?4, inherited = ?5 WHERE tenant = ?1 AND log = ?2";
    let mut note = db.prepare_cached(note).map_err(&doing)?;
    note.execute(params![tenant, new, line, origin, inherited]).map(drop).map_err(&doing)
}

/// The original of a log's conversation, also if it is gone: it may be restored.
fn original_or_gone(db: &Connection, seal: &Seal, tenant: &str, log: i64) -> Result<Option<Original>> {
    if let Some(original) = original(db, seal, tenant, log)? {
        return Ok(Some(original));
    }
    match tables::parent(db, tenant, log)? {
        Some((parent, at)) => original_of(db, seal, tenant, parent, at).map(Some),
        None => noted(db, seal, tenant, log),
    }
}

/// What was noted of a log.
fn noted(db: &Connection, seal: &Seal, tenant: &str, log: i64) -> Result<Option<Original>> {
    let doing = failed(DOING);
    let noted = "SELECT origin, inherited FROM logs WHERE tenant = ?1 AND log = ?2 AND origin IS NOT NULL";
    let mut noted = db.prepare_cached(noted).map_err(&doing)?;
    let noted = noted.query_row(params![tenant, log], |row| Ok((row.get(0)?, row.get(1)?)));
    let noted: Option<(i64, String)> = noted.optional().map_err(&doing)?;
    let Some((line, inherited)) = noted else { return Ok(None) };
    let inherited = spending(seal, Place { tenant, log, position: 0 }, &inherited)?;
    Ok(inherited.map(|inherited| Original { line, inherited }))
}

/// The first log of the conversation that a log belongs to.
fn line(db: &Connection, tenant: &str, log: i64) -> Result<i64> {
    let doing = failed(DOING);
    let line = "SELECT coalesce(line, log) FROM logs WHERE tenant = ?1 AND log = ?2";
    let mut line = db.prepare_cached(line).map_err(&doing)?;
    let line = line.query_row(params![tenant, log], |row| row.get(0)).optional().map_err(&doing)?;
    Ok(line.unwrap_or(log))
}

/// Whether there is a conversation with one of the logs of a line.
fn is_there(db: &Connection, tenant: &str, line: i64) -> Result<bool> {
    let doing = failed(DOING);
    let is_there = "SELECT EXISTS (SELECT 1 FROM conversations WHERE tenant = ?1 AND log = ?2) \
                    OR EXISTS (SELECT 1 FROM logs l JOIN conversations c ON c.tenant = ?1 AND c.log = l.log \
                               WHERE l.tenant = ?1 AND l.line = ?2)";
    let mut is_there = db.prepare_cached(is_there).map_err(&doing)?;
    is_there.query_row(params![tenant, line], |row| row.get(0)).map_err(&doing)
}

/// What was spent up to a position of a log.
fn spent(db: &Connection, seal: &Seal, tenant: &str, log: i64, to: i64) -> Result<Spending> {
    let doing = failed(DOING);
    let last = "SELECT change, position FROM changes WHERE tenant = ?1 AND log = ?2 AND position <= ?3 \
                AND (change GLOB '{\"spending\"*' OR change GLOB 'twr1.*.spending.*') ORDER BY position DESC LIMIT 1";
    let mut last = db.prepare_cached(last).map_err(&doing)?;
    let mut next = Some((log, to));
    while let Some((log, to)) = next {
        let row = last.query_row(params![tenant, log, to], |row| Ok((row.get(0)?, row.get(1)?)));
        let row: Option<(String, i64)> = row.optional().map_err(&doing)?;
        if let Some((row, position)) = row
            && let Some(spending) = spending(seal, Place { tenant, log, position }, &row)?
        {
            return Ok(spending);
        }
        next = tables::parent(db, tenant, log)?;
    }
    Ok(Spending::default())
}
