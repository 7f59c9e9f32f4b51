//! The totals of a tenant's usage.

use rusqlite::{Connection, OptionalExtension, params};
use turnwise::Result;
use turnwise::spending::Spending;
use turnwise::store::Change;

use super::{SqliteStore, failed, tables};
use crate::usage::Totals;

impl SqliteStore {
    /// The totals of this tenant. What a fork shares with its original is counted once;
    /// if the original is gone, once for each of its forks.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    pub async fn totals(&self) -> Result<Totals> {
        let tenant = self.tenant.clone();
        self.shared.threads.read(move |db| totals(db, &tenant)).await
    }
}

fn totals(db: &Connection, tenant: &str) -> Result<Totals> {
    let doing = failed("adding up the usage");
    let _moment = db.unchecked_transaction().map_err(&doing)?;
    let all = "SELECT log, last FROM conversations WHERE tenant = ?1";
    let mut all = db.prepare_cached(all).map_err(&doing)?;
    let rows = all.query_map([tenant], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&doing)?;
    let mut totals = Totals::default();
    for row in rows {
        let (log, last) = row.map_err(&doing)?;
        let shared = match original(db, tenant, log)? {
            Some((original, at)) => spent(db, tenant, original, at)?,
            None => Spending::default(),
        };
        totals.add(&spent(db, tenant, log, last)?, &shared);
    }
    Ok(totals)
}

/// The log of a conversation that is there, and a position, up to which a fork has what that conversation
/// has.
fn original(db: &Connection, tenant: &str, log: i64) -> Result<Option<(i64, i64)>> {
    let doing = failed("adding up the usage");
    let is_there = "SELECT EXISTS (SELECT 1 FROM conversations WHERE tenant = ?1 AND log = ?2)";
    let mut is_there = db.prepare_cached(is_there).map_err(&doing)?;
    let mut next = tables::parent(db, tenant, log)?;
    while let Some((log, _)) = next {
        if is_there.query_row(params![tenant, log], |row| row.get(0)).map_err(&doing)? {
            break;
        }
        next = tables::parent(db, tenant, log)?;
    }
    Ok(next)
}

/// What was spent up to a position of a log.
fn spent(db: &Connection, tenant: &str, log: i64, to: i64) -> Result<Spending> {
    let doing = failed("adding up the usage");
    let last = "SELECT change FROM changes WHERE tenant = ?1 AND log = ?2 AND position <= ?3 \
                AND change GLOB '{\"spending\"*' ORDER BY position DESC LIMIT 1";
    let mut last = db.prepare_cached(last).map_err(&doing)?;
    let mut next = Some((log, to));
    while let Some((log, to)) = next {
        let line: Option<String> =
            last.query_row(params![tenant, log, to], |row| row.get(0)).optional().map_err(&doing)?;
        if let Some(Ok(Change::Spending(spending))) = line.map(|line| serde_json::from_str(&line)) {
            return Ok(spending);
        }
        next = tables::parent(db, tenant, log)?;
    }
    Ok(Spending::default())
}
