//! Which items may have what is searched for: by the index of words, by the conversations that are wanted, or one
//! after the other, whichever looks at fewer.

use std::iter;
use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, params};
use turnwise::Result;

use super::find::{DOING, Item};
use super::scope::{rows_of_conversations, rows_of_times};
use super::{check_is_on, row_of_texts, rows_of};
use crate::search::index::{Match, row_of_cursor};
use crate::search::{Piece, SearchQuery, Terms, terms};
use crate::sqlite::failed;

/// The most words with a part that the index is asked for at once, and at all.
const MOST_WORDS: usize = 500;
const ALL_WORDS: usize = 20_000;

/// To ask the index for a word costs about as much as to look at so many items.
const ITEMS_FOR_A_WORD: usize = 16;

/// For so many words the index is asked at once.
const FEW_WORDS: usize = 8;

/// A word is rare if fewer items have it.
const RARE: usize = 200;

/// So many items of the times that are wanted are few.
const FEW: i64 = 4_096;

/// How many rows are read at first, and at most.
const FIRST: i64 = 32;
const LARGEST: i64 = 8_192;

/// How many items are looked at without the index at once.
const AT_ONCE: i64 = 128;

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
    /// All items, until it is plain that the index finds the rest sooner; how many were looked at, and found.
    Every { index: Index, looked_at: i64, found: i64 },
}

/// What the index can be asked for.
enum Index {
    /// Nothing, because few items are left to be looked at, or too many words have a part.
    Nothing,
    /// A query, and for how many words.
    Words { query: String, words: usize },
    /// A part that very many words have.
    Part(String),
}

impl Index {
    /// How many items can be looked at as fast as this is asked.
    fn cost(&self) -> i64 {
        let words = match self {
            Self::Nothing => return i64::MAX,
            Self::Words { words, .. } => *words,
            Self::Part(_) => MOST_WORDS,
        };
        i64::try_from(words * ITEMS_FOR_A_WORD).unwrap_or(i64::MAX)
    }
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
        let of_times = rows_of_times(db, number, &query.filter)?;
        let is_of_times = of_times.is_some();
        let mut left = of_times.unwrap_or_else(|| iter::once(first..last).collect());
        left.reverse();
        left.retain_mut(|range| {
            range.end = range.end.min(before);
            !range.is_empty()
        });
        let scope = rows_of_conversations(db, tenant, query)?;
        let few = match &scope {
            Some(scope) => Few::OfConversations(scope.len()),
            None if is_of_times && count(&left) <= FEW => Few::OfTimes(count(&left)),
            None => Few::Not,
        };
        let Some(source) = source(db, number, &terms, few)? else { return Ok(None) };
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
        self.size = (self.size * 4).min(LARGEST);
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

    /// Looks at the last items of a range without the index, until there is a page.
    fn look_at_every(&mut self, range: Range<i64>) -> Result<()> {
        let doing = failed(DOING);
        let items = "SELECT i.row, i.log, i.position, c.change FROM search_items i CROSS JOIN changes c \
                     ON c.tenant = ?1 AND c.log = i.log AND c.position = i.position \
                     WHERE i.row >= ?2 AND i.row < ?3 AND i.at >= ?5 AND i.at < ?6 ORDER BY i.row DESC LIMIT ?4";
        let mut items = self.db.prepare_cached(items).map_err(&doing)?;
        let (from, until) = self.query.filter.times();
        let within = params![self.tenant, range.start, range.end, AT_ONCE, from, until];
        let mut items = items.query(within).map_err(&doing)?;
        let (mut last, mut read, mut all) = (range.start, 0, Vec::new());
        while let Some(row) = items.next().map_err(&doing)? {
            let (item, line) = Item::of(row).map_err(&doing)?;
            (last, read) = (item.row, read + 1);
            all.extend(Match::of(line, &self.terms, &self.query.filter).map(|found| (item, found)));
            if all.len() > self.query.limit {
                break;
            }
        }
        if read == AT_ONCE || all.len() > self.query.limit {
            self.left.push(range.start..last);
        }
        self.ask_index(read, i64::try_from(all.len()).unwrap_or(i64::MAX))?;
        self.found = all.into_iter();
        Ok(())
    }

    /// Asks the index from now on, if so few of the items were found that a page of them is sooner found by it.
    fn ask_index(&mut self, read: i64, new: i64) -> Result<()> {
        let Source::Every { index, looked_at, found } = &mut self.source else { return Ok(()) };
        (*looked_at, *found) = (*looked_at + read, *found + new);
        let (cost, page) = (index.cost(), i64::try_from(self.query.limit + 1).unwrap_or(i64::MAX));
        // A few items say little about the others.
        let is_early = *looked_at < cost / 8 || count(&self.left) <= cost;
        if is_early || found.saturating_mul(cost) >= looked_at.saturating_mul(page) {
            return Ok(());
        }
        let query = match index {
            Index::Nothing => return Ok(()),
            Index::Words { query, .. } => std::mem::take(query),
            Index::Part(part) => {
                let Some(words) = words_with(self.db, self.number, part, ALL_WORDS)? else {
                    *index = Index::Nothing;
                    return Ok(());
                };
                any_of(&words)
            }
        };
        self.source = Source::Words(query);
        Ok(())
    }
}

fn count(rows: &[Range<i64>]) -> i64 {
    rows.iter().map(|range| range.end - range.start).sum()
}

/// How many items are wanted, if these are few.
#[derive(Clone, Copy)]
enum Few {
    Not,
    OfConversations(usize),
    OfTimes(i64),
}

/// Where the fewest rows come from that have all items with these terms, and others. `None` if there are none.
fn source(db: &Connection, number: i64, terms: &Terms, few: Few) -> Result<Option<Source>> {
    let (mut all, mut count, mut of_many) = (Vec::new(), 0, None);
    for piece in terms.pieces() {
        match piece {
            Piece::Word(word) => {
                count += 1;
                all.push(format!("\"{word}\""));
            }
            Piece::Part(part) => match words_with(db, number, &part, MOST_WORDS)? {
                Some(words) if words.is_empty() => return Ok(None),
                Some(words) => {
                    count += words.len();
                    all.push(format!("({})", any_of(&words)));
                }
                None => of_many = Some(part),
            },
        }
    }
    all.sort();
    let than = match few {
        Few::Not => RARE,
        Few::OfConversations(items) => items,
        Few::OfTimes(items) => usize::try_from(items).unwrap_or(RARE).min(RARE),
    };
    // Where one of them is rare, its items are read and looked at. The lists of frequent words are long.
    if all.len() > 1 || !matches!(few, Few::Not) {
        for one in &all {
            if has_fewer(db, number, one, than)? {
                return Ok(Some(Source::Words(one.clone())));
            }
        }
    }
    let index = match (few, of_many) {
        (Few::OfConversations(_), _) => return Ok(Some(Source::Scope)),
        (Few::OfTimes(_), _) => Index::Nothing,
        (Few::Not, Some(part)) if all.is_empty() => Index::Part(part),
        (Few::Not, _) => Index::Words { query: all.join(" AND "), words: count },
    };
    Ok(Some(match index {
        Index::Words { query, words } if words <= FEW_WORDS => Source::Words(query),
        index => Source::Every { index, looked_at: 0, found: 0 },
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
