//! Lists conversations by time, metadata and text.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};
use turnwise::Result;
use turnwise::conversation::Timestamp;
use turnwise::store::is_of_server;

use super::candidates::Candidates;
use super::check_is_on;
use super::find::{DOING, Item, cursor_of, has_metadata};
use super::scope::few_with;
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
    let (from, time, after) = times_of_list(query)?;
    let mut list;
    let rows: Box<dyn Iterator<Item = rusqlite::Result<(i64, String)>> + '_> =
        if let Some(ids) = few_with(db, tenant, &query.filter.metadata)? {
            let mut few = Vec::new();
            for id in ids {
                few.extend(used_at(db, tenant, &id)?.map(|used_at| (used_at, id)));
            }
            few.retain(|(used_at, id)| *used_at >= from && (*used_at, id.as_str()) < (time, after));
            few.sort_unstable_by(|one, other| other.cmp(one));
            Box::new(few.into_iter().map(Ok))
        } else {
            let all = "SELECT used_at, id FROM search_conversations \
                       WHERE tenant = ?1 AND used_at >= ?2 AND (used_at, id) < (?3, ?4) \
                       ORDER BY used_at DESC, id DESC";
            list = db.prepare_cached(all).map_err(&doing)?;
            let rows = list.query_map(params![tenant, from, time, after], |row| Ok((row.get(0)?, row.get(1)?)));
            Box::new(rows.map_err(&doing)?)
        };
    let mut found: Vec<Listed> = Vec::new();
    for row in rows {
        let (used_at, id) = row.map_err(&doing)?;
        if is_of_server(&id) || !has_metadata(db, tenant, &id, &query.filter.metadata)? {
            continue;
        }
        if found.len() == query.limit {
            let next = cursor_of_list(&found);
            return Ok(Page::new(found, next));
        }
        let used_at = Timestamp::from_millis(used_at);
        found.push(Listed { title: title(db, tenant, &id)?, id, used_at, hit: None });
    }
    Ok(Page::new(found, None))
}

fn by_text(db: &Connection, tenant: &str, query: &ListQuery, text: &str) -> Result<Page<Listed>> {
    // The times of a list are those of conversations, not of items.
    let mut hits = SearchQuery::new(text);
    hits.filter.metadata.clone_from(&query.filter.metadata);
    hits.after.clone_from(&query.after);
    let Some(mut candidates) = Candidates::of(db, tenant, &hits)? else {
        return Ok(Page::new(Vec::new(), None));
    };
    let (mut found, mut last, mut seen) = (Vec::new(), 0, HashSet::new());
    while let Some((item, matched)) = candidates.next()? {
        let Some(conversation) = item.conversation(db, tenant, &hits)? else { continue };
        if !seen.insert(conversation.clone()) {
            continue;
        }
        let Some(hit) = matched.hit(&candidates.terms, conversation) else { continue };
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
            let row = row.map_err(&doing)?;
            let Some((other, _)) = Item::find(db, tenant, row, terms, &query.filter)? else { continue };
            if other.conversation(db, tenant, query)?.is_some_and(|other| other == hit.conversation) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn listed(db: &Connection, tenant: &str, hit: Hit, filter: &Filter) -> Result<Option<Listed>> {
    let used_at = used_at(db, tenant, &hit.conversation)?.map(Timestamp::from_millis);
    let Some(used_at) = used_at.filter(|used_at| filter.has(*used_at)) else { return Ok(None) };
    let title = title(db, tenant, &hit.conversation)?;
    Ok(Some(Listed { id: hit.conversation.clone(), used_at, title, hit: Some(hit) }))
}

fn used_at(db: &Connection, tenant: &str, id: &str) -> Result<Option<i64>> {
    let doing = failed(DOING);
    let used = "SELECT used_at FROM search_conversations WHERE tenant = ?1 AND id = ?2";
    let mut used = db.prepare_cached(used).map_err(&doing)?;
    used.query_row([tenant, id], |row| row.get(0)).optional().map_err(&doing)
}

fn title(db: &Connection, tenant: &str, id: &str) -> Result<Option<String>> {
    let doing = failed(DOING);
    let title = "SELECT value FROM search_metadata WHERE tenant = ?1 AND id = ?2 AND key = 'title'";
    let mut title = db.prepare_cached(title).map_err(&doing)?;
    title.query_row([tenant, id], |row| row.get(0)).optional().map_err(&doing)
}
