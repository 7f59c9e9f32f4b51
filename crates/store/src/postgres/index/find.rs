//! Finds items by the index.

use std::borrow::Cow;
use std::iter;
use std::ops::Range;

use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};
use turnwise::Result;

use super::add::pair;
use super::scope::{Parts, parts, rows_of_times};
use super::stretch::{Sample, is_long};
use super::{prepare, state};
use crate::postgres::connections::{Values, Work};
use crate::postgres::failure::Failure;
use crate::postgres::tables::{read_back, stored};
use crate::search::index::{Match, row_of_cursor};
use crate::search::{Filter, Hit, Page, Piece, SearchQuery, Terms, terms};

pub(super) struct Search {
    pub(super) tenant: Box<str>,
    pub(super) query: SearchQuery,
}

impl Work for Search {
    type Done = Page<Hit>;

    const DOING: &str = "searching";

    async fn run(&self, tx: &Transaction<'_>) -> Result<Page<Hit>, Failure> {
        prepare(tx).await?;
        state(tx).await?.check_is_on()?;
        let query = &self.query;
        let mut candidates = Candidates::of(tx, &self.tenant, query).await?;
        let holders = Holders::of(&self.tenant, query);
        let (mut found, mut last, mut at_once) = (Vec::new(), 0, query.limit.saturating_add(1));
        while let Some(matched) = candidates.matched(tx, &query.filter, at_once).await? {
            let items = matched.iter().map(|(item, _)| item);
            let held = holders.first_of(tx, items).await?;
            for ((item, matched), holder) in matched.into_iter().zip(held) {
                let Some(hit) = holder.and_then(|holder| matched.hit(&candidates.terms, holder.id)) else { continue };
                if found.len() == query.limit {
                    return Ok(Page::new(found, Some(last.to_string())));
                }
                last = item.row;
                found.push(hit);
            }
            // Conversations that are not wanted have most of them.
            at_once = at_once.saturating_mul(2);
        }
        Ok(Page::new(found, None))
    }
}

/// How many items are read at first, and at most.
const FIRST: i64 = 32;
const LARGEST: i64 = 512;

/// How many of the newest items are looked at before the index is asked. What most items have is found among
/// them; what is not is so rare that the index finds few.
const NEWEST: i64 = 2_000;

/// If so many are found among them, as many items before them are looked at too: the index would find all there are.
const ENOUGH: usize = 4;

/// The items that may have what is searched for, the last one first.
pub(super) struct Candidates {
    pub(super) terms: Terms,
    tenant: String,
    conditions: Conditions,
    /// The logs of the conversations that are wanted, if these are few.
    parts: Option<Parts>,
    /// The rows that are left to be looked at, the last ones first.
    left: Vec<Range<i64>>,
    size: i64,
    /// Whether the newest of these are looked at still, without the index.
    newest: bool,
    page: std::vec::IntoIter<Item>,
}

impl Candidates {
    pub(super) async fn of(tx: &Transaction<'_>, tenant: &str, query: &SearchQuery) -> Result<Self, Failure> {
        let terms = terms(&query.text)?;
        let before = row_of_cursor(query.after.as_deref())?.unwrap_or(i64::MAX);
        let (conditions, tenant) = (Conditions::of(&terms), stored(tenant).into_owned());
        let mut left = rows_of_times(tx, &tenant, &query.filter).await?;
        left.reverse();
        left.retain_mut(|range| {
            range.end = range.end.min(before);
            !range.is_empty()
        });
        let parts = parts(tx, &tenant, query).await?;
        let page = Vec::new().into_iter();
        Ok(Self { terms, tenant, conditions, parts, left, size: FIRST, newest: true, page })
    }

    pub(super) async fn next(&mut self, tx: &Transaction<'_>) -> Result<Option<Item>, Failure> {
        loop {
            if let Some(item) = self.page.next() {
                return Ok(Some(item));
            }
            let Some(range) = self.left.pop() else { return Ok(None) };
            if self.asks_index() {
                self.conditions.prepare_index(tx, &self.tenant).await?;
            }
            let (page, looked_at) = self.read(tx, &range).await?;
            let is_full = i64::try_from(page.len()).is_ok_and(|read| read >= self.size);
            let last = page.last().map_or(range.end, |item| item.row);
            let end = if is_full { last } else { looked_at.unwrap_or(last) };
            // Without the index, all of a few rows are looked at.
            let is_small = self.parts.is_some() || range.end.saturating_sub(range.start) <= NEWEST;
            let is_over = !is_full && (is_small || !self.newest);
            if !is_over {
                self.left.push(range.start..end);
            }
            // What the newest of a range do not have is looked for by the index, in that range.
            self.newest = is_over || (self.newest && (is_full || page.len() >= ENOUGH));
            self.size = (self.size * 2).min(LARGEST);
            self.page = page.into_iter();
        }
    }

    /// Some of the next items that have what is searched for, at most so many.
    async fn matched(
        &mut self,
        tx: &Transaction<'_>,
        filter: &Filter,
        most: usize,
    ) -> Result<Option<Vec<(Item, Match)>>, Failure> {
        while let Some(first) = self.next(tx).await? {
            let items = iter::once(first).chain(&mut self.page);
            let matched =
                items.filter_map(|item| Match::of(&item.line, &self.terms, filter).map(|found| (item, found)));
            let matched: Vec<_> = matched.take(most).collect();
            if !matched.is_empty() {
                return Ok(Some(matched));
            }
        }
        Ok(None)
    }

    /// What was read and not taken yet.
    pub(super) fn coming(&self) -> &[Item] {
        self.page.as_slice()
    }

    fn asks_index(&self) -> bool {
        self.parts.is_none() && !self.newest
    }

    /// The last items of a range; and the row from which on, without the index, all were looked at.
    async fn read(&self, tx: &Transaction<'_>, range: &Range<i64>) -> Result<(Vec<Item>, Option<i64>), Failure> {
        let first = if self.parts.is_some() { 7 } else { 5 };
        let conditions = if self.asks_index() { self.conditions.of_index() } else { self.conditions.of_item() };
        let among = sql(&conditions, first);
        let columns = "row, log, position, words, lexemes";
        // Each of these is done before anything else, because the planner knows nothing of these words.
        let found = if self.parts.is_some() {
            format!(
                "wanted AS MATERIALIZED (SELECT w.* FROM unnest($5, $6) AS p (log, last) CROSS JOIN LATERAL (\
                 SELECT {columns} FROM turnwise.search_items WHERE tenant = $1 AND log = p.log AND position <= p.last \
                 AND row >= $4 AND row < $2 OFFSET 0) w), \
                 found AS (SELECT i.row, i.log, i.position FROM wanted i WHERE true{among} ORDER BY i.row DESC LIMIT $3)"
            )
        } else if self.newest {
            format!(
                "newest AS MATERIALIZED (SELECT {columns} FROM turnwise.search_items \
                 WHERE tenant = $1 AND row >= $4 AND row < $2 ORDER BY row DESC LIMIT {NEWEST}), \
                 found AS (SELECT i.row, i.log, i.position FROM newest i WHERE true{among} ORDER BY i.row DESC LIMIT $3)"
            )
        } else {
            format!(
                "every AS MATERIALIZED (SELECT i.row, i.log, i.position FROM turnwise.search_items i \
                 WHERE i.tenant = $1 AND i.row >= $4 AND i.row < $2{among}), \
                 found AS (SELECT row, log, position FROM every ORDER BY row DESC LIMIT $3)"
            )
        };
        let is_newest = self.newest && self.parts.is_none();
        let looked_at = if is_newest { "(SELECT min(row) FROM newest)" } else { "NULL::bigint" };
        if is_newest {
            // As long as it has no statistics of the table, the planner would sort all rows to find the newest.
            tx.query_typed("SELECT set_config('enable_sort', 'off', true)", &[]).await?;
        }
        let read = format!(
            "WITH {found} SELECT f.row, f.log, f.position, c.change, {looked_at} FROM found f JOIN turnwise.changes c \
             ON c.tenant = $1 AND c.log = f.log AND c.position = f.position ORDER BY f.row DESC"
        );
        let mut values: Vec<Value<'_>> = vec![
            (&self.tenant, Type::TEXT),
            (&range.end, Type::INT8),
            (&self.size, Type::INT8),
            (&range.start, Type::INT8),
        ];
        if let Some(parts) = &self.parts {
            values.extend([(&parts.logs as _, Type::INT8_ARRAY), (&parts.lasts as _, Type::INT8_ARRAY)]);
        }
        values.extend(values_of(&conditions));
        let rows = tx.query_typed(&read, &values).await?;
        Ok((rows.iter().map(Item::of).collect(), rows.first().and_then(|row| row.get(4))))
    }

    /// The items of a conversation after a row that may have it.
    pub(super) async fn later(&self, tx: &Transaction<'_>, id: &str, row: i64) -> Result<Vec<Item>, Failure> {
        let conditions = self.conditions.of_item();
        let wanted = sql(&conditions, 4);
        let later = format!(
            "WITH RECURSIVE parts (log, last) AS (\
                 SELECT log, last FROM turnwise.conversations WHERE tenant = $1 AND id = $3 \
                 UNION ALL \
                 SELECT l.parent, l.at FROM parts p \
                 JOIN turnwise.logs l ON l.tenant = $1 AND l.log = p.log AND l.parent IS NOT NULL) \
             SELECT i.row, i.log, i.position, c.change FROM parts p \
             JOIN turnwise.search_items i ON i.tenant = $1 AND i.log = p.log AND i.position <= p.last AND i.row > $2 \
             JOIN turnwise.changes c ON c.tenant = $1 AND c.log = i.log AND c.position = i.position \
             WHERE true{wanted} ORDER BY i.row"
        );
        let id = stored(id);
        let mut values: Vec<Value<'_>> = vec![(&self.tenant, Type::TEXT), (&row, Type::INT8), (&id, Type::TEXT)];
        values.extend(values_of(&conditions));
        let rows = tx.query_typed(&later, &values).await?;
        Ok(rows.iter().map(Item::of).collect())
    }
}

/// Of how many parts the index is asked at most; the others are compared with what it finds.
const PARTS: usize = 16;

/// Conditions on an item `i`, each with one value: its words; a part of one of them; and that, but not asked of the index.
const WORDS: &str = "i.lexemes @@ #::text::tsquery";
const PART: &str = "i.words LIKE '%' || # || '%'";
const PART_OF_FOUND: &str = "i.words || '' LIKE '%' || # || '%'";

/// What the index must have of an item.
struct Conditions {
    /// A `tsquery` of whole words, if there are any.
    words: Option<String>,
    /// Parts of words.
    parts: Vec<String>,
    /// The letters of parts that the index is asked for; `None` as long as it is not asked, or if it is asked for all.
    stretches: Option<Vec<String>>,
}

impl Conditions {
    fn of(terms: &Terms) -> Self {
        let (mut words, mut parts) = (Vec::new(), Vec::new());
        for piece in terms.pieces() {
            // Words have no ASCII punctuation, so nothing in them is a sign of a query or a pattern.
            match piece {
                Piece::Word(word) => words.push(format!("'{word}'")),
                Piece::Part(part) => parts.push(part),
            }
        }
        let words = (!words.is_empty()).then(|| format!("({}) | '*'", words.join(" & ")));
        Self { words, parts, stretches: None }
    }

    /// Looks for the letters that the index is asked for, if it is not asked for all.
    async fn prepare_index(&mut self, tx: &Transaction<'_>, tenant: &str) -> Result<(), Failure> {
        if self.stretches.is_none() && self.parts.iter().any(|part| is_long(part)) {
            let sample = Sample::read(tx, tenant).await?;
            self.stretches = Some(self.parts.iter().take(PARTS).map(|part| sample.stretch(part).to_owned()).collect());
        }
        Ok(())
    }

    /// Each condition with its value.
    fn of_item(&self) -> Vec<(&'static str, &String)> {
        self.words.iter().map(|words| (WORDS, words)).chain(self.parts.iter().map(|part| (PART, part))).collect()
    }

    /// The same for the index.
    fn of_index(&self) -> Vec<(&'static str, &String)> {
        let parts = self.parts.iter().map(|part| (PART_OF_FOUND, part));
        let Some(stretches) = &self.stretches else { return self.of_item() };
        let stretches = stretches.iter().map(|stretch| (PART, stretch));
        self.words.iter().map(|words| (WORDS, words)).chain(parts).chain(stretches).collect()
    }
}

/// Conditions as SQL, with parameters from a number on.
fn sql(conditions: &[(&str, &String)], first: usize) -> String {
    let mut sql = String::new();
    for (place, (condition, _)) in conditions.iter().enumerate() {
        sql.push_str(" AND ");
        sql.push_str(&condition.replace('#', &format!("${}", first + place)));
    }
    sql
}

type Value<'a> = (&'a (dyn ToSql + Sync), Type);

fn values_of<'a>(conditions: &[(&str, &'a String)]) -> impl Iterator<Item = Value<'a>> {
    conditions.iter().map(|(_, text)| (*text as &(dyn ToSql + Sync), Type::TEXT))
}

/// An item of the index.
pub(super) struct Item {
    pub(super) row: i64,
    pub(super) log: i64,
    pub(super) position: i64,
    pub(super) line: String,
}

impl Item {
    fn of(row: &tokio_postgres::Row) -> Self {
        Self { row: row.get(0), log: row.get(1), position: row.get(2), line: row.get(3) }
    }
}

/// Which conversations are wanted of those that have an item.
pub(super) struct Holders<'a> {
    tenant: Cow<'a, str>,
    conversation: Option<Cow<'a, str>>,
    metadata: Vec<String>,
}

pub(super) struct Holder {
    pub(super) id: String,
    pub(super) used_at: i64,
    pub(super) title: Option<String>,
    /// Whether the log is its own, so that it has all changes of the log.
    pub(super) is_owner: bool,
}

impl<'a> Holders<'a> {
    pub(super) fn of(tenant: &'a str, query: &'a SearchQuery) -> Self {
        let metadata = query.filter.metadata.iter().map(|(key, value)| pair(key, value)).collect();
        Self { tenant: stored(tenant), conversation: query.conversation.as_deref().map(stored), metadata }
    }

    /// Of each item the first conversation that has it and is wanted: the one that the item's log belongs to, then its
    /// forks by their ids. Deleted ones are not among them. This is one question for all of them.
    pub(super) async fn first_of<'i>(
        &self,
        tx: &Transaction<'_>,
        items: impl Iterator<Item = &'i Item>,
    ) -> Result<Vec<Option<Holder>>, Failure> {
        let first = "SELECT h.id, h.used_at, h.title, h.is_owner \
                     FROM unnest($2, $3) WITH ORDINALITY AS i (log, position, number) LEFT JOIN LATERAL (\
                         WITH RECURSIVE needing (log) AS (\
                             SELECT i.log UNION \
                             SELECT l.log FROM turnwise.logs l JOIN needing n ON l.tenant = $1 AND l.parent = n.log \
                             WHERE l.at >= i.position) \
                         SELECT c.id, s.used_at, s.title, c.log = i.log AS is_owner FROM needing n \
                         JOIN turnwise.conversations c ON c.tenant = $1 AND c.log = n.log \
                         JOIN turnwise.search_conversations s ON s.tenant = $1 AND s.id = c.id \
                         WHERE (c.id = $4 OR $4 IS NULL AND NOT s.of_server) AND s.metadata @> $5 \
                         ORDER BY c.log <> i.log, c.id LIMIT 1) h ON true ORDER BY i.number";
        let (logs, positions): (Vec<i64>, Vec<i64>) = items.map(|item| (item.log, item.position)).unzip();
        let values: Values<'_> = &[
            (&self.tenant, Type::TEXT),
            (&logs, Type::INT8_ARRAY),
            (&positions, Type::INT8_ARRAY),
            (&self.conversation, Type::TEXT),
            (&self.metadata, Type::TEXT_ARRAY),
        ];
        let rows = tx.query_typed(first, values).await?;
        let holders = rows.iter().map(|row| {
            row.get::<_, Option<String>>(0).map(|id| Holder {
                id: read_back(id),
                used_at: row.get(1),
                title: row.get::<_, Option<String>>(2).map(read_back),
                is_owner: row.get(3),
            })
        });
        Ok(holders.collect())
    }

    /// The first conversation that has an item and is wanted.
    pub(super) async fn first(&self, tx: &Transaction<'_>, item: &Item) -> Result<Option<Holder>, Failure> {
        Ok(self.first_of(tx, iter::once(item)).await?.pop().flatten())
    }
}
