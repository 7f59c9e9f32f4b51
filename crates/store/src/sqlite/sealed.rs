//! Databases whose conversations are sealed.

use std::path::Path;

use rusqlite::{Connection, params};
use turnwise::Result;

use super::{SqliteStore, failed, index, tables};
use crate::encryption::Keys;
use crate::seal::{Place, Seal, not_renewed};

const DOING: &str = "sealing what is in the database";

/// How much of the changes one transaction seals anew: rows, and bytes.
const ROWS: usize = 500;
const BYTES: usize = 4 * 1024 * 1024;

/// The tenant, the log and the position of a row.
type At = (String, i64, i64);

impl SqliteStore {
    /// Opens a database whose conversations are [sealed](crate::encryption), as [`open`](Self::open)
    /// does one whose are not. An index for search is removed: it holds words in plain text.
    ///
    /// What was written before there were keys cannot be read until it is sealed by
    /// [`rekey`](Self::rekey).
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_sealed(file: impl AsRef<Path>, keys: Keys) -> Result<Self> {
        let store = Self::open_with(file.as_ref(), Seal::with(keys))?;
        turnwise::store::wait(store.shared.threads.write(index::end_if_on))?;
        Ok(store)
    }

    /// Seals all rows of all tenants with the newest key that are not: those of older keys, and those that
    /// were written in plain text; returns how many there were. It is done in steps, between which others
    /// write; if it is interrupted, call it again. At the end the database is [scrubbed](Self::scrub).
    ///
    /// Programs that write meanwhile have to have the newest key first of all; what they write otherwise is
    /// sealed when this is called again.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`](turnwise::ErrorKind::Auth) if a row is sealed with a key that was not
    /// given; [`ErrorKind::Damaged`](turnwise::ErrorKind::Damaged) if one was changed: both name
    /// the conversation. Those of [`scrub`](Self::scrub). What was sealed before that stays so.
    pub async fn rekey(&self) -> Result<usize> {
        let mut count = 0;
        let mut after = Some((String::new(), i64::MIN, 0));
        while let Some(at) = after {
            let seal = self.shared.seal.clone();
            let (sealed, next) = self.shared.threads.write(move |db| renew(db, &seal, &at)).await?;
            count += sealed;
            after = next;
        }
        let seal = self.shared.seal.clone();
        count += self.shared.threads.write(move |db| renew_inherited(db, &seal)).await?;
        self.scrub().await?;
        Ok(count)
    }
}

/// Seals some rows anew after one; how many, and the last one that was looked at, if there are more.
fn renew(db: &Connection, seal: &Seal, (tenant, log, position): &At) -> Result<(usize, Option<At>)> {
    let doing = failed(DOING);
    let next = "SELECT tenant, log, position, change FROM changes WHERE (tenant, log, position) > (?1, ?2, ?3) \
                ORDER BY tenant, log, position";
    let mut next = db.prepare_cached(next).map_err(&doing)?;
    let mut rows = next.query(params![tenant, log, position]).map_err(&doing)?;
    let (mut renewed, mut seen, mut bytes, mut last) = (Vec::new(), 0, 0, None);
    while seen < ROWS && bytes < BYTES {
        let Some(row) = rows.next().map_err(&doing)? else {
            last = None;
            break;
        };
        let read = || Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        let (tenant, log, position, text): (String, i64, i64, String) =
            read().map_err(|e: rusqlite::Error| doing(e))?;
        (seen, bytes) = (seen + 1, bytes + text.len());
        let opened = seal.renewed(Place { tenant: &tenant, log, position }, &text);
        if let Some(text) = opened.map_err(|error| not_renewed(&error, &tenant, holder(db, &tenant, log).as_deref()))? {
            renewed.push(((tenant.clone(), log, position), text));
        }
        last = Some((tenant, log, position));
    }
    drop(rows);
    let update = "UPDATE changes SET change = ?4 WHERE tenant = ?1 AND log = ?2 AND position = ?3";
    let mut update = db.prepare_cached(update).map_err(&doing)?;
    for ((tenant, log, position), text) in &renewed {
        update.execute(params![tenant, log, position, text]).map_err(&doing)?;
    }
    if !renewed.is_empty() {
        tables::note_removal(db)?;
    }
    Ok((renewed.len(), last))
}

/// The conversation, deleted or not, that has a log.
fn holder(db: &Connection, tenant: &str, log: i64) -> Option<String> {
    let id = "SELECT id FROM conversations WHERE tenant = ?1 AND log = ?2 \
              UNION ALL SELECT id FROM deleted WHERE tenant = ?1 AND log = ?2";
    db.query_row(id, params![tenant, log], |row| row.get(0)).ok()
}

/// Seals anew what forks have noted of their originals.
fn renew_inherited(db: &Connection, seal: &Seal) -> Result<usize> {
    let doing = failed(DOING);
    let all = "SELECT tenant, log, inherited FROM logs WHERE inherited IS NOT NULL";
    let mut all = db.prepare_cached(all).map_err(&doing)?;
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(&doing)?;
    let rows: Vec<(String, i64, String)> = rows.collect::<rusqlite::Result<_>>().map_err(&doing)?;
    let mut count = 0;
    for (tenant, log, inherited) in rows {
        let Some(text) = seal.renewed(Place { tenant: &tenant, log, position: 0 }, &inherited)? else { continue };
        let update = "UPDATE logs SET inherited = ?3 WHERE tenant = ?1 AND log = ?2";
        db.execute(update, params![tenant, log, text]).map_err(&doing)?;
        count += 1;
    }
    Ok(count)
}
