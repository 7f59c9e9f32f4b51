//! The conversations that have a change: that of its log, and forks.

use rusqlite::{Connection, params};
use turnwise::Result;

use crate::sqlite::failed;

/// The ids of the conversations that have the change at a position of a log. The one that the log belongs to is
/// the first, then its forks by their ids. Deleted ones are not among them.
pub(super) fn of(db: &Connection, tenant: &str, log: i64, position: i64) -> Result<Vec<String>> {
    let doing = failed("reading which conversations have an item");
    // Almost always nobody has forked it.
    let is_forked = "SELECT EXISTS (SELECT 1 FROM logs WHERE tenant = ?1 AND parent = ?2 AND at >= ?3)";
    let mut is_forked = db.prepare_cached(is_forked).map_err(&doing)?;
    let holders = if is_forked.query_row(params![tenant, log, position], |row| row.get(0)).map_err(&doing)? {
        "WITH RECURSIVE needing (log) AS ( \
             SELECT ?2 UNION \
             SELECT l.log FROM logs l JOIN needing n ON l.tenant = ?1 AND l.parent = n.log WHERE l.at >= ?3) \
         SELECT c.id FROM needing n JOIN conversations c ON c.tenant = ?1 AND c.log = n.log ORDER BY c.log <> ?2, c.id"
    } else {
        "SELECT id FROM conversations WHERE tenant = ?1 AND log = ?2 AND ?3 = ?3"
    };
    let mut holders = db.prepare_cached(holders).map_err(&doing)?;
    let ids = holders.query_map(params![tenant, log, position], |row| row.get(0)).map_err(&doing)?;
    ids.collect::<rusqlite::Result<_>>().map_err(&doing)
}
