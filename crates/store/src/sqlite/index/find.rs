//! Finds items by the index.

use rusqlite::{Connection, OptionalExtension, Row, params};
use turnwise::Result;
use turnwise::store::is_of_server;

use super::candidates::Candidates;
use super::holders;
use crate::search::index::Match;
use crate::search::{Filter, Hit, Page, SearchQuery, Terms};
use crate::sqlite::failed;

pub(super) const DOING: &str = "searching";

pub(super) fn search(db: &Connection, tenant: &str, query: &SearchQuery) -> Result<Page<Hit>> {
    // All of it at one time, whatever is written meanwhile.
    let _moment = db.unchecked_transaction().map_err(failed(DOING))?;
    let Some(mut candidates) = Candidates::of(db, tenant, query)? else {
        return Ok(Page::new(Vec::new(), None));
    };
    let mut found = Vec::new();
    let mut last = 0;
    while let Some((item, matched)) = candidates.next()? {
        let Some(conversation) = item.conversation(db, tenant, query)? else { continue };
        let Some(hit) = matched.hit(&candidates.terms, conversation) else { continue };
        if found.len() == query.limit {
            return Ok(Page::new(found, Some(cursor_of(last))));
        }
        last = item.row;
        found.push(hit);
    }
    Ok(Page::new(found, None))
}

pub(super) fn cursor_of(row: i64) -> String {
    // What counts within the tenant only.
    (row & ((1 << super::OF_TENANT) - 1)).to_string()
}

/// An item of the index.
pub(super) struct Item {
    pub(super) row: i64,
    log: i64,
    position: i64,
}

impl Item {
    /// An item out of its row, log, position and change, and the change.
    pub(super) fn of<'row>(row: &'row Row<'_>) -> rusqlite::Result<(Self, &'row str)> {
        let item = Self { row: row.get(0)?, log: row.get(1)?, position: row.get(2)? };
        Ok((item, row.get_ref(3)?.as_str()?))
    }

    /// The item of a row, if it has all terms and is of a time that is wanted.
    pub(super) fn find(
        db: &Connection,
        tenant: &str,
        row: i64,
        terms: &Terms,
        filter: &Filter,
    ) -> Result<Option<(Self, Match)>> {
        let doing = failed(DOING);
        let item = "SELECT i.row, i.log, i.position, c.change FROM search_items i CROSS JOIN changes c \
                    ON c.tenant = ?1 AND c.log = i.log AND c.position = i.position WHERE i.row = ?2 AND i.at >= ?3 AND i.at < ?4";
        let (from, until) = filter.times();
        let mut item = db.prepare_cached(item).map_err(&doing)?;
        let found = item.query_row(params![tenant, row, from, until], |row| {
            let (item, line) = Self::of(row)?;
            Ok(Match::of(line, terms, filter).map(|found| (item, found)))
        });
        Ok(found.optional().map_err(&doing)?.flatten())
    }

    /// The first conversation that has the item and is wanted.
    pub(super) fn conversation(&self, db: &Connection, tenant: &str, query: &SearchQuery) -> Result<Option<String>> {
        for id in holders::of(db, tenant, self.log, self.position)? {
            let is_other = query.conversation.as_deref().map_or_else(|| is_of_server(&id), |wanted| wanted != id);
            if !is_other && has_metadata(db, tenant, &id, &query.filter.metadata)? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

pub(super) fn has_metadata(db: &Connection, tenant: &str, id: &str, wanted: &[(String, String)]) -> Result<bool> {
    let doing = failed(DOING);
    let has = "SELECT EXISTS (SELECT 1 FROM search_metadata WHERE tenant = ?1 AND id = ?2 AND key = ?3 AND value = ?4)";
    let mut has = db.prepare_cached(has).map_err(&doing)?;
    for (key, value) in wanted {
        if !has.query_row([tenant, id, key, value], |row| row.get(0)).map_err(&doing)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A change as it is in the database.
pub(super) fn line(db: &Connection, tenant: &str, log: i64, position: i64) -> Result<Option<String>> {
    let doing = failed(DOING);
    let line = "SELECT change FROM changes WHERE tenant = ?1 AND log = ?2 AND position = ?3";
    let mut line = db.prepare_cached(line).map_err(&doing)?;
    line.query_row(params![tenant, log, position], |row| row.get(0)).optional().map_err(&doing)
}
