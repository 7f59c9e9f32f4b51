//! The rows that are left by what a search wants beside words: times, and conversations.

use std::ops::Range;

use rusqlite::{Connection, params};
use turnwise::Result;

use super::find::DOING;
use super::rows_of;
use crate::search::index::ranges;
use crate::search::{Filter, SearchQuery};
use crate::sqlite::failed;
use crate::sqlite::tables::{self, Key};

/// The most conversations with a value of metadata, and the most items of theirs, that are few.
const FEW_CONVERSATIONS: i64 = 500;
const FEW_ITEMS: usize = 10_000;

/// The rows of blocks that may have items of the times that are wanted, the last ones first; `None` if all times are.
pub(super) fn rows_of_times(db: &Connection, number: i64, filter: &Filter) -> Result<Option<Vec<Range<i64>>>> {
    if filter.from.is_none() && filter.until.is_none() {
        return Ok(None);
    }
    let doing = failed(DOING);
    let blocks =
        "SELECT block FROM search_times WHERE tenant = ?1 AND newest >= ?2 AND oldest < ?3 ORDER BY block DESC";
    let mut blocks = db.prepare_cached(blocks).map_err(&doing)?;
    let (from, until) = filter.times();
    let blocks = blocks.query_map([number, from, until], |row| row.get(0)).map_err(&doing)?;
    let blocks: Vec<i64> = blocks.collect::<rusqlite::Result<_>>().map_err(&doing)?;
    let (first, _) = rows_of(number);
    Ok(Some(ranges(blocks).into_iter().map(|range| first + range.start..first + range.end).collect()))
}

/// The rows, in order, of the conversations that are wanted; `None` if these are not few.
pub(super) fn rows_of_conversations(db: &Connection, tenant: &str, query: &SearchQuery) -> Result<Option<Vec<i64>>> {
    let doing = failed(DOING);
    let ids = match &query.conversation {
        Some(id) => vec![id.clone()],
        None => match few_with(db, tenant, &query.filter.metadata)? {
            Some(ids) => ids,
            None => return Ok(None),
        },
    };
    let of_log = "SELECT row FROM search_items WHERE log = ?1 AND position <= ?2";
    let mut of_log = db.prepare_cached(of_log).map_err(&doing)?;
    let mut rows = Vec::new();
    for id in ids {
        let key = Key { tenant: tenant.into(), id: id.into() };
        let Some(row) = tables::find(db, &key)? else { continue };
        for part in tables::parts(db, tenant, row.at)? {
            let of_part = of_log.query_map([part.log, part.to], |row| row.get(0)).map_err(&doing)?;
            rows.extend(of_part.collect::<rusqlite::Result<Vec<i64>>>().map_err(&doing)?);
        }
        if rows.len() > FEW_ITEMS && query.conversation.is_none() {
            return Ok(None);
        }
    }
    rows.sort_unstable();
    // Forks share some.
    rows.dedup();
    Ok(Some(rows))
}

/// The conversations that have one of some values of metadata, that which the fewest have; `None` if these are not
/// few, or there are no values.
pub(super) fn few_with(db: &Connection, tenant: &str, metadata: &[(String, String)]) -> Result<Option<Vec<String>>> {
    let doing = failed(DOING);
    let with = "SELECT id FROM search_metadata WHERE tenant = ?1 AND key = ?2 AND value = ?3 LIMIT ?4";
    let mut with = db.prepare_cached(with).map_err(&doing)?;
    let mut fewest: Option<Vec<String>> = None;
    for (key, value) in metadata {
        let ids = with.query_map(params![tenant, key, value, FEW_CONVERSATIONS + 1], |row| row.get(0));
        let ids: Vec<String> = ids.map_err(&doing)?.collect::<rusqlite::Result<_>>().map_err(&doing)?;
        if fewest.as_ref().is_none_or(|fewest| ids.len() < fewest.len()) {
            fewest = Some(ids);
        }
    }
    Ok(fewest.filter(|ids| i64::try_from(ids.len()).is_ok_and(|ids| ids <= FEW_CONVERSATIONS)))
}
