//! Lists conversations by time, metadata and text.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};
use turnwise::Result;
use turnwise::conversation::Timestamp;
use turnwise::store::is_of_server;

use super::check_is_on;
use super::find::{Candidates, DOING, Item, cursor_of, has_metadata};
use crate::search::index::{cursor_of_list, times_of_list};
use crate::search::{Filter, Hit, ListQuery, Listed, Page, SearchQuery, Terms};
use crate::sqlite::failed;
use crate::sqlite::tables::{self, Key};

pub(super) fn list(db: &Connection, tenant: &str, query: &ListQuery) -> Result<Page<Listed>> {
    let _moment = db.unchecked_transaction().map_err(failed(DOING))?;
    check_is_on(db)?;
    match &query.text {
        Some(text) => by_text(db, tenant, query, text),
        None => by_time(db, tenant, query),
    }
}

fn by_time(db: &Connection, tenant: &str, query: &ListQuery) -> Result<Page<Listed>> {
    let doing = failed(DOING);
    let (from, time, id) = times_of_list(query)?;
    let list = "SELECT id, used_at FROM search_conversations \
                WHERE tenant = ?1 AND used_at >= ?2 AND (used_at, id) < (?3, ?4) ORDER BY used_at DESC, id DESC";
    let mut list = db.prepare_cached(list).map_err(&doing)?;
    let mut rows = list.query(params![tenant, from, time, id]).map_err(&doing)?;
    let mut found: Vec<Listed> = Vec::new();
    while let Some(row) = rows.next().map_err(&doing)? {
        let id: String = row.get(0).map_err(&doing)?;
        if is_of_server(&id) || !has_metadata(db, tenant, &id, &query.filter.metadata)? {
            continue;
        }
        if found.len() == query.limit {
            let next = cursor_of_list(&found);
            return Ok(Page::new(found, next));
        }
        let used_at = Timestamp::from_millis(row.get(1).map_err(&doing)?);
        found.push(Listed { title: title(db, tenant, &id)?, id, used_at, hit: None });
    }
    Ok(Page::new(found, None))
}

fn by_text(db: &Connection, tenant: &str, query: &ListQuery, text: &str) -> Result<Page<Listed>> {
    let Some(mut candidates) = Candidates::of(db, tenant, text, query.after.as_deref())? else {
        return Ok(Page::new(Vec::new(), None));
    };
    // The times of a list are those of conversations, not of items.
    let mut hits = SearchQuery::new(text);
    hits.filter.metadata.clone_from(&query.filter.metadata);
    let (mut found, mut last, mut seen) = (Vec::new(), 0, HashSet::new());
    while let Some(item) = candidates.next()? {
        let Some(hit) = item.hit(db, tenant, &candidates.terms, &hits)? else { continue };
        if seen.contains(&hit.conversation) {
            continue;
        }
        seen.insert(hit.conversation.clone());
        // It was on a page before.
        let is_again = query.after.is_some() && is_later(db, tenant, &item, &hit, &candidates.terms, &hits)?;
        let Some(listed) = listed(db, tenant, hit, &query.filter)?.filter(|_| !is_again) else { continue };
        if found.len() == query.limit {
            return Ok(Page::new(found, Some(cursor_of(last))));
        }
        last = item.row;
        found.push(listed);
    }
    Ok(Page::new(found, None))
}

/// Whether a later item was found in the same conversation, in any of the logs that it has a part of.
fn is_later(db: &Connection, tenant: &str, item: &Item, hit: &Hit, terms: &Terms, query: &SearchQuery) -> Result<bool> {
    let doing = failed(DOING);
    let key = Key { tenant: tenant.into(), id: hit.conversation.as_str().into() };
    let Some(row) = tables::find(db, &key)? else { return Ok(false) };
    let later = "SELECT row FROM search_items WHERE log = ?1 AND position <= ?2 AND row > ?3 ORDER BY row";
    let mut later = db.prepare_cached(later).map_err(&doing)?;
    for part in tables::parts(db, tenant, row.at)? {
        let rows = later.query_map([part.log, part.to, item.row], |row| row.get(0)).map_err(&doing)?;
        for row in rows {
            let Some(other) = Item::read(db, tenant, row.map_err(&doing)?)? else { continue };
            let other = other.hit(db, tenant, terms, query)?;
            if other.is_some_and(|other| other.conversation == hit.conversation) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn listed(db: &Connection, tenant: &str, hit: Hit, filter: &Filter) -> Result<Option<Listed>> {
    let doing = failed(DOING);
    let used = "SELECT used_at FROM search_conversations WHERE tenant = ?1 AND id = ?2";
    let mut used = db.prepare_cached(used).map_err(&doing)?;
    let used: Option<i64> =
        used.query_row(params![tenant, hit.conversation], |row| row.get(0)).optional().map_err(&doing)?;
    let Some(used_at) = used.map(Timestamp::from_millis).filter(|used_at| filter.has(*used_at)) else {
        return Ok(None);
    };
    let title = title(db, tenant, &hit.conversation)?;
    Ok(Some(Listed { id: hit.conversation.clone(), used_at, title, hit: Some(hit) }))
}

fn title(db: &Connection, tenant: &str, id: &str) -> Result<Option<String>> {
    let doing = failed(DOING);
    let title = "SELECT value FROM search_metadata WHERE tenant = ?1 AND id = ?2 AND key = 'title'";
    let mut title = db.prepare_cached(title).map_err(&doing)?;
    title.query_row([tenant, id], |row| row.get(0)).optional().map_err(&doing)
}
