//! Removes from the index what is removed from the database.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use turnwise::Result;
use turnwise::store::Change;

use super::{forget_other_format, row_of_texts, rows_of};
use crate::search::index::joined;
use crate::search::{has_parts, searched, words};
use crate::sqlite::failed;

const DOING: &str = "removing from the index for search";

/// Removes the changes of a log behind a position, which are still there.
pub(in crate::sqlite) fn forget(db: &Connection, tenant: &str, log: i64, after: i64) -> Result<()> {
    if forget_other_format(db)? {
        return Ok(());
    }
    let doing = failed(DOING);
    let number = "SELECT number FROM search_tenants WHERE tenant = ?1";
    let number =
        db.prepare_cached(number).and_then(|mut number| number.query_row([tenant], |row| row.get(0)).optional());
    let Some(number) = number.map_err(&doing)? else { return Ok(()) };
    let mut gone = BTreeSet::new();
    // FTS5 takes rows in their order, and begins anew at each that comes before another.
    let items = "SELECT i.row, c.change FROM search_items i \
                 JOIN changes c ON c.tenant = ?1 AND c.log = i.log AND c.position = i.position \
                 WHERE i.log = ?2 AND i.position > ?3 ORDER BY i.row DESC";
    let mut items = db.prepare_cached(items).map_err(&doing)?;
    let rows = items.query_map(params![tenant, log, after], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)));
    let rows: Vec<(i64, String)> = rows.map_err(&doing)?.collect::<rusqlite::Result<_>>().map_err(&doing)?;
    for (row, line) in rows {
        if let Ok(Change::Item { message, .. }) = serde_json::from_str(&line) {
            let words = words(&searched(&message));
            let delete = "INSERT INTO search_texts (search_texts, rowid, words) VALUES ('delete', ?1, ?2)";
            let mut delete = db.prepare_cached(delete).map_err(&doing)?;
            delete.execute(params![row_of_texts(row), joined(&words)]).map_err(&doing)?;
            gone.extend(words.into_iter().filter(|word| has_parts(word)));
        }
    }
    for forget in [
        "DELETE FROM search_items WHERE log = ?1 AND position > ?2",
        "DELETE FROM search_states WHERE log = ?1 AND position > ?2",
    ] {
        db.prepare_cached(forget).and_then(|mut forget| forget.execute([log, after])).map_err(&doing)?;
    }
    gone.iter().try_for_each(|word| forget_word(db, number, word))
}

/// Removes a word that no item of the tenant has any more.
fn forget_word(db: &Connection, number: i64, word: &str) -> Result<()> {
    let doing = failed(DOING);
    let (first, last) = rows_of(number);
    let needed = "SELECT EXISTS (SELECT 1 FROM search_texts WHERE search_texts MATCH ?1 AND rowid BETWEEN ?2 AND ?3)";
    let mut needed = db.prepare_cached(needed).map_err(&doing)?;
    if needed.query_row(params![format!("\"{word}\""), first, last], |row| row.get(0)).map_err(&doing)? {
        return Ok(());
    }
    let row = "SELECT row FROM search_words WHERE tenant = ?1 AND word = ?2";
    let mut row = db.prepare_cached(row).map_err(&doing)?;
    let row: Option<i64> = row.query_row(params![number, word], |row| row.get(0)).optional().map_err(&doing)?;
    let Some(row) = row else { return Ok(()) };
    let delete = "INSERT INTO search_parts (search_parts, rowid, word) VALUES ('delete', ?1, ?2)";
    db.prepare_cached(delete).and_then(|mut delete| delete.execute(params![row, word])).map_err(&doing)?;
    let delete = "DELETE FROM search_words WHERE row = ?1";
    db.prepare_cached(delete).and_then(|mut delete| delete.execute([row])).map(drop).map_err(&doing)
}
