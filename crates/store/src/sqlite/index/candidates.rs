//! Which items may have what is searched for: by the index of words, by the conversations that are wanted, or one
//! after the other, whichever looks at fewer.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, params};
use turnwise::Result;

use super::find::{DOING, Item};
use super::scope::{rows_of_conversations, rows_of_times};
use super::{check_is_on, row_of_texts, rows_of};
use crate::search::index::{Match, row_of_cursor};
use crate::search::{Piece, SearchQuery, Terms, terms};
use crate::sqlite::failed;

/// The most words with a part that the index is asked for at once. Each costs about as much as it does to look at
/// ten items.
const MOST_WORDS: usize = 500;

/// The most words with a part that the index is asked for at all.
const ALL_WORDS: usize = 20_000;

/// A word is rare if fewer items have it.
const RARE: usize = 200;

/// How many rows are read at first, and at most.
const FIRST: i64 = 32;
const LARGEST: i64 = 4_096;

/// How many items are looked at without the index before it is asked, if fewer than one in so many was found.
const LOOKED_AT: i64 = 512;

/// The items that have what is searched for, the last one first.
pub(super) struct Candidates<'db> {
    db: &'db Connection,
    tenant: String,
    number: i64,
    query: &'db SearchQuery,
    pub(super) terms: Terms,
    source: Source,
    /// The rows of the conversations that are wanted, in order, if these are few.
    scope: Option<Vec<i64>>,
    /// The rows that are left to be looked at, the last ones first. They are read in pages, so that nothing is kept
    /// open between them.
    left: Vec<Range<i64>>,
    size: i64,
    rows: std::vec::IntoIter<i64>,
    found: std::vec::IntoIter<(Item, Match)>,
}

/// Where rows come from.
enum Source {
    /// A query of the index of words.
    Words(String),
    /// The rows of the conversations that are wanted.
    Scope,
    /// All items, because very many words have this part; how many were looked at, and found.
    Every { part: String, looked_at: i64, found: i64 },
}

impl<'db> Candidates<'db> {
    /// `None` if there can be none.
    pub(super) fn of(db: &'db Connection, tenant: &str, query: &'db SearchQuery) -> Result<Option<Self>> {
        check_is_on(db)?;
        let terms = terms(&query.text)?;
        let after = row_of_cursor(query.after.as_deref())?;
        let number = "SELECT number FROM search_tenants WHERE tenant = ?1";
        let number =
            db.prepare_cached(number).and_then(|mut number| number.query_row([tenant], |row| row.get(0)).optional());
        let Some(number) = number.map_err(failed(DOING))? else { return Ok(None) };
        let (first, last) = rows_of(number);
        let before = after.map_or(last, |after| first.saturating_add(after).min(last));
        let mut left = rows_of_times(db, number, &query.filter)?.unwrap_or_else(|| vec![first..last]);
        left.reverse();
        left.retain_mut(|range| {
            range.end = range.end.min(before);
            !range.is_empty()
        });
        let scope = rows_of_conversations(db, tenant, query)?;
        let Some(source) = source(db, number, &terms, scope.as_ref().map(Vec::len))? else { return Ok(None) };
        let tenant = tenant.to_owned();
        let (rows, found) = (Vec::new().into_iter(), Vec::new().into_iter());
        Ok(Some(Self { db, tenant, number, query, terms, source, scope, left, size: FIRST, rows, found }))
    }

    pub(super) fn next(&mut self) -> Result<Option<(Item, Match)>> {
        loop {
            if let Some(found) = self.found.next() {
                return Ok(Some(found));
            }
            if let Some(row) = self.rows.next() {
                let is_wanted = self.scope.as_ref().is_none_or(|scope| scope.binary_search(&row).is_ok());
                if is_wanted && let Some(found) = self.look_at(row)? {
                    return Ok(Some(found));
                }
                continue;
            }
            let Some(range) = self.left.pop() else { return Ok(None) };
            self.read(range)?;
        }
    }

    fn look_at(&self, row: i64) -> Result<Option<(Item, Match)>> {
        Item::find(self.db, &self.tenant, row, &self.terms, &self.query.filter)
    }

    /// Reads the last rows of a range, and leaves the others for later.
    fn read(&mut self, range: Range<i64>) -> Result<()> {
        let rows = match &self.source {
            Source::Words(words) => self.with_words(words, &range)?,
            Source::Scope => self.of_scope(&range),
            Source::Every { .. } => return self.look_at_every(range),
        };
        if i64::try_from(rows.len()).is_ok_and(|read| read == self.size)
            && let Some(&last) = rows.last()
        {
            self.left.push(range.start..last);
        }
        self.size = (self.size * 2).min(LARGEST);
        self.rows = rows.into_iter();
        Ok(())
    }

    fn with_words(&self, words: &str, range: &Range<i64>) -> Result<Vec<i64>> {
        let rows = "SELECT rowid FROM search_texts WHERE search_texts MATCH ?1 AND rowid > ?2 AND rowid <= ?3 \
                    ORDER BY rowid LIMIT ?4";
        let mut rows = self.db.prepare_cached(rows).map_err(failed(DOING))?;
        let within = params![words, row_of_texts(range.end), row_of_texts(range.start), self.size];
        let rows = rows.query_map(within, |row| Ok(row_of_texts(row.get(0)?)));
        rows.map_err(failed(DOING))?.collect::<rusqlite::Result<_>>().map_err(failed(DOING))
    }

    fn of_scope(&self, range: &Range<i64>) -> Vec<i64> {
        let rows = self.scope.as_deref().unwrap_or_default();
        let below = rows.partition_point(|row| *row < range.end);
        let rows = rows[..below].iter().rev().take_while(|row| range.contains(row));
        rows.take(usize::try_from(self.size).unwrap_or(usize::MAX)).copied().collect()
    }

    /// Looks at the last items of a range without the index. If few are found, the index is asked from now on.
    fn look_at_every(&mut self, range: Range<i64>) -> Result<()> {
        let doing = failed(DOING);
        let items = "SELECT i.row, i.log, i.position, c.change FROM search_items i CROSS JOIN changes c \
                     ON c.tenant = ?1 AND c.log = i.log AND c.position = i.position \
                     WHERE i.row >= ?2 AND i.row < ?3 ORDER BY i.row DESC LIMIT ?4";
        let mut items = self.db.prepare_cached(items).map_err(&doing)?;
        let mut items = items.query(params![self.tenant, range.start, range.end, LOOKED_AT]).map_err(&doing)?;
        let (mut last, mut read, mut all) = (range.end, 0, Vec::new());
        while let Some(row) = items.next().map_err(&doing)? {
            let (item, line) = Item::of(row).map_err(&doing)?;
            (last, read) = (item.row, read + 1);
            all.extend(Match::of(line, &self.terms, &self.query.filter).map(|found| (item, found)));
        }
        if read == LOOKED_AT {
            self.left.push(range.start..last);
        }
        if let Source::Every { part, looked_at, found } = &mut self.source {
            *looked_at += read;
            *found += i64::try_from(all.len()).unwrap_or(i64::MAX);
            if *found * LOOKED_AT < *looked_at
                && let Some(words) = words_with(self.db, self.number, part, ALL_WORDS)?
            {
                self.source = Source::Words(any_of(&words));
            }
        }
        self.found = all.into_iter();
        Ok(())
    }
}

/// Where the fewest rows come from that have all items with these terms, and others. `None` if there are none. The
/// rows of the conversations that are wanted are so many, if these are few.
fn source(db: &Connection, number: i64, terms: &Terms, scope: Option<usize>) -> Result<Option<Source>> {
    let (mut all, mut of_many) = (Vec::new(), None);
    for piece in terms.pieces() {
        match piece {
            Piece::Word(word) => all.push(format!("\"{word}\"")),
            Piece::Part(part) => match words_with(db, number, &part, MOST_WORDS)? {
                Some(words) if words.is_empty() => return Ok(None),
                Some(words) => all.push(format!("({})", any_of(&words))),
                None => of_many = Some(part),
            },
        }
    }
    all.sort();
    // Where one of them is rare, its items are read and looked at. The lists of frequent words are long.
    if all.len() > 1 || scope.is_some() {
        for one in &all {
            if has_fewer(db, number, one, scope.unwrap_or(RARE))? {
                return Ok(Some(Source::Words(one.clone())));
            }
        }
    }
    Ok(Some(match of_many {
        _ if scope.is_some() => Source::Scope,
        Some(part) if all.is_empty() => Source::Every { part, looked_at: 0, found: 0 },
        _ => Source::Words(all.join(" AND ")),
    }))
}

fn any_of(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    words.join(" OR ")
}

/// Whether a query of the index finds fewer items of a tenant.
fn has_fewer(db: &Connection, number: i64, query: &str, than: usize) -> Result<bool> {
    let doing = failed(DOING);
    let (first, last) = rows_of(number);
    let than = i64::try_from(than).unwrap_or(i64::MAX);
    let count = "SELECT count(*) FROM (SELECT 1 FROM search_texts \
                 WHERE search_texts MATCH ?1 AND rowid BETWEEN ?2 AND ?3 LIMIT ?4)";
    let mut count = db.prepare_cached(count).map_err(&doing)?;
    let count: i64 = count.query_row(params![query, first, last, than], |row| row.get(0)).map_err(&doing)?;
    Ok(count < than)
}

/// The words of a tenant that have a part; `None` if there are more than so many.
fn words_with(db: &Connection, number: i64, part: &str, most: usize) -> Result<Option<Vec<String>>> {
    let doing = failed(DOING);
    let (first, last) = rows_of(number);
    let words = "SELECT w.word FROM search_parts p JOIN search_words w ON w.row = p.rowid \
                 WHERE search_parts MATCH ?1 AND p.rowid BETWEEN ?2 AND ?3 LIMIT ?4";
    let mut words = db.prepare_cached(words).map_err(&doing)?;
    let limit = i64::try_from(most + 1).unwrap_or(i64::MAX);
    let words = words.query_map(params![format!("\"{part}\""), first, last, limit], |row| row.get(0));
    let words: Vec<String> = words.map_err(&doing)?.collect::<rusqlite::Result<_>>().map_err(&doing)?;
    Ok(Some(words).filter(|words| words.len() <= most))
}
