//! Finds items by the index.

use rusqlite::{Connection, OptionalExtension, Statement, params};
use turnwise::Result;
use turnwise::store::is_of_server;

use super::{check_is_on, holders, rows_of};
use crate::search::index::{Match, row_of_cursor};
use crate::search::{Hit, Page, Piece, SearchQuery, Terms, terms};
use crate::sqlite::failed;

/// The most words with a part that the index is asked for. Where there are more, items with them are so
/// many that it is as well to look at the texts.
const MOST_WORDS: usize = 500;

/// A word is rare if fewer items have it.
const RARE: i64 = 200;

pub(super) const DOING: &str = "searching";

pub(super) fn search(db: &Connection, tenant: &str, query: &SearchQuery) -> Result<Page<Hit>> {
    // All of it at one time, whatever is written meanwhile.
    let _moment = db.unchecked_transaction().map_err(failed(DOING))?;
    let Some(mut candidates) = Candidates::of(db, tenant, &query.text, query.after.as_deref())? else {
        return Ok(Page::new(Vec::new(), None));
    };
    let mut found = Vec::new();
    let mut last = 0;
    while let Some(item) = candidates.next()? {
        let Some(hit) = item.hit(db, tenant, &candidates.terms, query)? else { continue };
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

/// The items that may have what is searched for, the last one first.
pub(super) struct Candidates<'db> {
    db: &'db Connection,
    tenant: String,
    pub(super) terms: Terms,
    /// What the index must have; `None` where it does not help.
    wanted: Option<String>,
    first: i64,
    /// Rows are read in pages, so that nothing is kept open between them.
    before: i64,
    page: std::vec::IntoIter<i64>,
    size: i64,
    is_over: bool,
}

/// How many rows are read at first, and at most.
const FIRST: i64 = 32;
const LARGEST: i64 = 4_096;

impl<'db> Candidates<'db> {
    /// `None` if there can be none.
    pub(super) fn of(db: &'db Connection, tenant: &str, text: &str, after: Option<&str>) -> Result<Option<Self>> {
        check_is_on(db)?;
        let terms = terms(text)?;
        let after = row_of_cursor(after)?;
        let number = "SELECT number FROM search_tenants WHERE tenant = ?1";
        let number =
            db.prepare_cached(number).and_then(|mut number| number.query_row([tenant], |row| row.get(0)).optional());
        let Some(number) = number.map_err(failed(DOING))? else { return Ok(None) };
        let (first, last) = rows_of(number);
        let before = after.map_or(last, |after| first.saturating_add(after).min(last));
        let Some(wanted) = wanted(db, number, &terms)? else { return Ok(None) };
        let wanted = Some(wanted).filter(|wanted| !wanted.is_empty());
        let tenant = tenant.to_owned();
        let page = Vec::new().into_iter();
        Ok(Some(Self { db, tenant, terms, wanted, first, before, page, size: FIRST, is_over: false }))
    }

    pub(super) fn next(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(row) = self.page.next() {
                if let Some(item) = Item::read(self.db, &self.tenant, row)? {
                    return Ok(Some(item));
                }
                continue;
            }
            if self.is_over {
                return Ok(None);
            }
            let rows = self.rows().map_err(failed(DOING))?;
            self.is_over = i64::try_from(rows.len()).unwrap_or(i64::MAX) < self.size;
            self.before = rows.last().copied().unwrap_or(self.first);
            self.size = (self.size * 2).min(LARGEST);
            self.page = rows.into_iter();
        }
    }

    fn rows(&self) -> rusqlite::Result<Vec<i64>> {
        let collect = |mut rows: Statement<'_>, params: &[&dyn rusqlite::ToSql]| -> rusqlite::Result<Vec<i64>> {
            rows.query_map(params, |row| row.get(0))?.collect()
        };
        if let Some(wanted) = &self.wanted {
            let rows = "SELECT rowid FROM search_texts WHERE search_texts MATCH ?1 AND rowid >= ?2 AND rowid < ?3 \
                        ORDER BY rowid DESC LIMIT ?4";
            collect(self.db.prepare(rows)?, &[wanted, &self.first, &self.before, &self.size])
        } else {
            let rows = "SELECT row FROM search_items WHERE row >= ?1 AND row < ?2 ORDER BY row DESC LIMIT ?3";
            collect(self.db.prepare(rows)?, &[&self.first, &self.before, &self.size])
        }
    }
}

/// The query of the index that finds all items with these terms, and others. `None` if there are none,
/// empty if the index does not help.
fn wanted(db: &Connection, number: i64, terms: &Terms) -> Result<Option<String>> {
    let mut all = Vec::new();
    for piece in terms.pieces() {
        match piece {
            Piece::Word(word) => all.push(format!("\"{word}\"")),
            Piece::Part(part) => {
                let words = words_with(db, number, &part)?;
                if words.is_empty() {
                    return Ok(None);
                }
                if words.len() <= MOST_WORDS {
                    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                    all.push(format!("({})", words.join(" OR ")));
                }
            }
        }
    }
    all.sort();
    if all.len() > 1 {
        // Where one of them is rare, its items are read and looked at. The lists of frequent words are long.
        for one in &all {
            if is_rare(db, number, one)? {
                return Ok(Some(one.clone()));
            }
        }
    }
    Ok(Some(all.join(" AND ")))
}

/// Whether a query of the index finds few items of a tenant.
fn is_rare(db: &Connection, number: i64, query: &str) -> Result<bool> {
    let doing = failed(DOING);
    let (first, last) = rows_of(number);
    let count = "SELECT count(*) FROM (SELECT 1 FROM search_texts \
                 WHERE search_texts MATCH ?1 AND rowid BETWEEN ?2 AND ?3 LIMIT ?4)";
    let mut count = db.prepare_cached(count).map_err(&doing)?;
    let count: i64 = count.query_row(params![query, first, last, RARE], |row| row.get(0)).map_err(&doing)?;
    Ok(count < RARE)
}

/// The words of a tenant that have a part; one more than is of use, if there are so many.
fn words_with(db: &Connection, number: i64, part: &str) -> Result<Vec<String>> {
    let doing = failed(DOING);
    let (first, last) = rows_of(number);
    let words = "SELECT w.word FROM search_parts p JOIN search_words w ON w.row = p.rowid \
                 WHERE search_parts MATCH ?1 AND p.rowid BETWEEN ?2 AND ?3 LIMIT ?4";
    let mut words = db.prepare_cached(words).map_err(&doing)?;
    let most = i64::try_from(MOST_WORDS + 1).unwrap_or(i64::MAX);
    let words = words.query_map(params![format!("\"{part}\""), first, last, most], |row| row.get(0));
    words.map_err(&doing)?.collect::<rusqlite::Result<_>>().map_err(&doing)
}

/// An item of the index.
pub(super) struct Item {
    pub(super) row: i64,
    pub(super) log: i64,
    pub(super) position: i64,
    line: String,
}

impl Item {
    pub(super) fn read(db: &Connection, tenant: &str, row: i64) -> Result<Option<Self>> {
        let doing = failed(DOING);
        let place = "SELECT log, position FROM search_items WHERE row = ?1";
        let mut place = db.prepare_cached(place).map_err(&doing)?;
        let place = place.query_row([row], |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(&doing)?;
        let Some((log, position)) = place else { return Ok(None) };
        Ok(line(db, tenant, log, position)?.map(|line| Self { row, log, position, line }))
    }

    /// What was found, if the item has all of it, in a conversation that is wanted.
    pub(super) fn hit(&self, db: &Connection, tenant: &str, terms: &Terms, query: &SearchQuery) -> Result<Option<Hit>> {
        let Some(found) = Match::of(&self.line, terms, &query.filter) else { return Ok(None) };
        let Some(conversation) = self.conversation(db, tenant, query)? else { return Ok(None) };
        Ok(found.hit(terms, conversation))
    }

    /// The first conversation that has the item and is wanted.
    fn conversation(&self, db: &Connection, tenant: &str, query: &SearchQuery) -> Result<Option<String>> {
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
