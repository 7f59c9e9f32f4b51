//! Finds items by the index.

use std::borrow::Cow;

use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use turnwise::Result;

use super::add::pair;
use super::{state, take_in_order};
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
        take_in_order(tx).await?;
        state(tx).await?.check_is_on()?;
        let query = &self.query;
        let mut candidates = Candidates::of(&self.tenant, &query.text, query.after.as_deref())?;
        let holders = Holders::new(&self.tenant, query);
        let mut found = Vec::new();
        let mut last = 0;
        while let Some(page) = candidates.page(tx).await? {
            for (item, matched, holder) in holders.of(tx, page, &candidates.terms, &query.filter).await? {
                let Some(hit) = matched.hit(&candidates.terms, holder.id) else { continue };
                if found.len() == query.limit {
                    return Ok(Page::new(found, Some(last.to_string())));
                }
                last = item.row;
                found.push(hit);
            }
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

/// The items that may have what is searched for, the last one first.
pub(super) struct Candidates {
    pub(super) terms: Terms,
    tenant: String,
    conditions: Conditions,
    before: i64,
    size: i64,
    /// Whether the newest are looked at still, without the index.
    newest: bool,
    is_over: bool,
}

impl Candidates {
    pub(super) fn of(tenant: &str, text: &str, after: Option<&str>) -> Result<Self> {
        let terms = terms(text)?;
        let before = row_of_cursor(after)?.unwrap_or(i64::MAX);
        let (conditions, tenant) = (Conditions::of(&terms), stored(tenant).into_owned());
        Ok(Self { terms, tenant, conditions, before, size: FIRST, newest: true, is_over: false })
    }

    /// The next of them; `None` after the last.
    pub(super) async fn page(&mut self, tx: &Transaction<'_>) -> Result<Option<Vec<Item>>, Failure> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.read(tx).await?;
        let is_full = i64::try_from(page.len()).is_ok_and(|read| read >= self.size);
        self.before = page.last().map_or(self.before, |item| item.row);
        if !is_full {
            self.is_over = !self.newest;
            self.newest = false;
        }
        self.size = (self.size * 2).min(LARGEST);
        Ok(Some(page))
    }

    async fn read(&self, tx: &Transaction<'_>) -> Result<Vec<Item>, Failure> {
        let (among, conditions) = (self.conditions.sql("i", 4), self.conditions.sql("s", 4));
        // Each of the two is done before anything else, because the planner knows nothing of these words.
        let found = if self.newest {
            format!(
                "newest AS MATERIALIZED (SELECT row, log, position, words, lexemes FROM turnwise.search_items \
                 WHERE tenant = $1 AND row < $2 ORDER BY row DESC LIMIT {NEWEST}), \
                 found AS (SELECT i.row, i.log, i.position FROM newest i WHERE true{among} ORDER BY i.row DESC LIMIT $3)"
            )
        } else {
            format!(
                "every AS MATERIALIZED (SELECT s.row, s.log, s.position FROM turnwise.search_items s \
                 WHERE s.tenant = $1 AND s.row < $2{conditions}), \
                 found AS (SELECT row, log, position FROM every ORDER BY row DESC LIMIT $3)"
            )
        };
        let read = format!(
            "WITH {found} SELECT f.row, f.log, f.position, c.change FROM found f JOIN turnwise.changes c \
             ON c.tenant = $1 AND c.log = f.log AND c.position = f.position ORDER BY f.row DESC"
        );
        let mut values = vec![
            (&self.tenant as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT),
            (&self.before, Type::INT8),
            (&self.size, Type::INT8),
        ];
        values.extend(self.conditions.values());
        let rows = tx.query_typed(&read, &values).await?;
        Ok(rows.iter().map(Item::of).collect())
    }

    /// The items of a conversation after a row that may have it.
    pub(super) async fn later(&self, tx: &Transaction<'_>, id: &str, row: i64) -> Result<Vec<Item>, Failure> {
        let conditions = self.conditions.sql("i", 4);
        let later = format!(
            "WITH RECURSIVE parts (log, last) AS (\
                 SELECT log, last FROM turnwise.conversations WHERE tenant = $1 AND id = $3 \
                 UNION ALL \
                 SELECT l.parent, l.at FROM parts p \
                 JOIN turnwise.logs l ON l.tenant = $1 AND l.log = p.log AND l.parent IS NOT NULL) \
             SELECT i.row, i.log, i.position, c.change FROM parts p \
             JOIN turnwise.search_items i ON i.tenant = $1 AND i.log = p.log AND i.position <= p.last AND i.row > $2 \
             JOIN turnwise.changes c ON c.tenant = $1 AND c.log = i.log AND c.position = i.position \
             WHERE true{conditions} ORDER BY i.row"
        );
        let id = stored(id);
        let mut values = vec![
            (&self.tenant as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT),
            (&row, Type::INT8),
            (&id, Type::TEXT),
        ];
        values.extend(self.conditions.values());
        let rows = tx.query_typed(&later, &values).await?;
        Ok(rows.iter().map(Item::of).collect())
    }
}

/// What the index must have of an item.
struct Conditions {
    /// A `tsquery` of whole words, if there are any.
    words: Option<String>,
    /// Patterns of parts of words.
    parts: Vec<String>,
}

impl Conditions {
    fn of(terms: &Terms) -> Self {
        let (mut words, mut parts) = (Vec::new(), Vec::new());
        for piece in terms.pieces() {
            // Words have no ASCII punctuation, so nothing in them is a sign of either.
            match piece {
                Piece::Word(word) => words.push(format!("'{word}'")),
                Piece::Part(part) => parts.push(format!("%{part}%")),
            }
        }
        let words = (!words.is_empty()).then(|| format!("({}) | '*'", words.join(" & ")));
        Self { words, parts }
    }

    /// As conditions on a table, with parameters from a number on.
    fn sql(&self, table: &str, first: usize) -> String {
        let words = self.words.iter().map(|_| "lexemes @@");
        let parts = self.parts.iter().map(|_| "words LIKE");
        let conditions = words.chain(parts).enumerate().map(|(place, condition)| {
            let cast = if condition.ends_with("@@") { "::text::tsquery" } else { "" };
            format!(" AND {table}.{condition} ${}{cast}", first + place)
        });
        conditions.collect()
    }

    fn values(&self) -> impl Iterator<Item = (&(dyn tokio_postgres::types::ToSql + Sync), Type)> {
        let all = self.words.iter().chain(&self.parts);
        all.map(|text| (text as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT))
    }
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
}

impl<'a> Holders<'a> {
    pub(super) fn new(tenant: &'a str, query: &'a SearchQuery) -> Self {
        let metadata = query.filter.metadata.iter().map(|(key, value)| pair(key, value)).collect();
        Self { tenant: stored(tenant), conversation: query.conversation.as_deref().map(stored), metadata }
    }

    /// The items that have what is searched for, each with the first conversation that has it and is wanted:
    /// the one that the item's log belongs to, then its forks by their ids. Deleted ones are not among them.
    pub(super) async fn of(
        &self,
        tx: &Transaction<'_>,
        items: Vec<Item>,
        terms: &Terms,
        filter: &Filter,
    ) -> Result<Vec<(Item, Match, Holder)>, Failure> {
        // One question for all of them: it is asked for each of the items that a frequent word has.
        const FIRST: &str = "SELECT i.number, h.id, h.used_at, h.title \
            FROM unnest($2, $3) WITH ORDINALITY AS i (log, position, number) CROSS JOIN LATERAL (\
                WITH RECURSIVE needing (log) AS (\
                    SELECT i.log UNION \
                    SELECT l.log FROM turnwise.logs l JOIN needing n ON l.tenant = $1 AND l.parent = n.log \
                    WHERE l.at >= i.position) \
                SELECT c.id, s.used_at, s.title FROM needing n \
                JOIN turnwise.conversations c ON c.tenant = $1 AND c.log = n.log \
                JOIN turnwise.search_conversations s ON s.tenant = $1 AND s.id = c.id \
                WHERE (c.id = $4 OR $4 IS NULL AND NOT s.of_server) AND s.metadata @> $5 \
                ORDER BY c.log <> i.log, c.id LIMIT 1) h ORDER BY i.number";
        let matched = items.into_iter().filter_map(|item| Some((Match::of(&item.line, terms, filter)?, item)));
        let mut matched: Vec<Option<(Match, Item)>> = matched.map(Some).collect();
        if matched.is_empty() {
            return Ok(Vec::new());
        }
        let items = || matched.iter().flatten().map(|(_, item)| item);
        let (logs, positions): (Vec<i64>, Vec<i64>) = items().map(|item| (item.log, item.position)).unzip();
        let values: Values<'_> = &[
            (&self.tenant, Type::TEXT),
            (&logs, Type::INT8_ARRAY),
            (&positions, Type::INT8_ARRAY),
            (&self.conversation, Type::TEXT),
            (&self.metadata, Type::TEXT_ARRAY),
        ];
        let rows = tx.query_typed(FIRST, values).await?;
        let held = rows.iter().filter_map(|row| {
            let place = usize::try_from(row.get::<_, i64>(0) - 1).ok()?;
            let (matched, item) = matched.get_mut(place)?.take()?;
            let title = row.get::<_, Option<String>>(3).map(read_back);
            Some((item, matched, Holder { id: read_back(row.get(1)), used_at: row.get(2), title }))
        });
        Ok(held.collect())
    }
}
