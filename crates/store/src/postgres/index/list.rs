//! Lists conversations by time, metadata and text.

use std::collections::{HashMap, HashSet};
use std::iter;

use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use turnwise::Result;
use turnwise::conversation::Timestamp;

use super::add::pair;
use super::find::{Candidates, Holder, Holders, Item};
use super::scope::few_with;
use super::{prepare, state};
use crate::postgres::connections::{Values, Work};
use crate::postgres::failure::Failure;
use crate::postgres::tables::{read_back, stored};
use crate::search::index::{Match, cursor_of_list, times_of_list};
use crate::search::{Filter, ListQuery, Listed, Page, SearchQuery};

pub(super) struct List {
    pub(super) tenant: Box<str>,
    pub(super) query: ListQuery,
}

impl Work for List {
    type Done = Page<Listed>;

    const DOING: &str = "listing conversations";

    async fn run(&self, tx: &Transaction<'_>) -> Result<Page<Listed>, Failure> {
        prepare(tx).await?;
        state(tx).await?.check_is_on()?;
        match &self.query.text {
            Some(text) => self.by_text(tx, text).await,
            None => self.by_time(tx).await,
        }
    }
}

impl List {
    async fn by_time(&self, tx: &Transaction<'_>) -> Result<Page<Listed>, Failure> {
        let query = &self.query;
        let (from, time, id) = times_of_list(query)?;
        let list = "SELECT s.id, s.used_at, s.title FROM turnwise.search_conversations s \
                    WHERE s.tenant = $1 AND s.used_at >= $2 AND (s.used_at, s.id) < ($3, $4) AND s.metadata @> $5 \
                    AND NOT s.of_server \
                    AND EXISTS (SELECT 1 FROM turnwise.conversations c WHERE c.tenant = $1 AND c.id = s.id) \
                    AND ($7::text[] IS NULL OR s.id = ANY ($7)) \
                    ORDER BY s.used_at DESC, s.id DESC LIMIT $6";
        let few = few_with(tx, &stored(&self.tenant), &query.filter).await?;
        let metadata: Vec<String> = query.filter.metadata.iter().map(|(key, value)| pair(key, value)).collect();
        // One more, to know whether there is one.
        let limit = i64::try_from(query.limit + 1).unwrap_or(i64::MAX);
        let values: Values<'_> = &[
            (&stored(&self.tenant), Type::TEXT),
            (&from, Type::INT8),
            (&time, Type::INT8),
            (&stored(id), Type::TEXT),
            (&metadata, Type::TEXT_ARRAY),
            (&limit, Type::INT8),
            (&few, Type::TEXT_ARRAY),
        ];
        let rows = tx.query_typed(list, values).await?;
        let listed = rows.iter().take(query.limit).map(|row| Listed {
            id: read_back(row.get(0)),
            used_at: Timestamp::from_millis(row.get(1)),
            title: row.get::<_, Option<String>>(2).map(read_back),
            hit: None,
        });
        let found: Vec<Listed> = listed.collect();
        let next = if rows.len() > query.limit { cursor_of_list(&found) } else { None };
        Ok(Page::new(found, next))
    }

    async fn by_text(&self, tx: &Transaction<'_>, text: &str) -> Result<Page<Listed>, Failure> {
        let query = &self.query;
        // The times of a list are those of conversations, not of items.
        let mut hits = SearchQuery::new(text);
        hits.filter.metadata.clone_from(&query.filter.metadata);
        hits.after.clone_from(&query.after);
        let mut candidates = Candidates::of(tx, &self.tenant, &hits).await?;
        let holders = Holders::of(&self.tenant, &hits);
        let (mut found, mut last, mut seen, mut seen_logs) = (Vec::new(), 0, HashSet::new(), HashSet::new());
        let mut ready = HashMap::new();
        while let Some(item) = candidates.next(tx).await? {
            if seen_logs.contains(&item.log) {
                ready.remove(&item.row);
                continue;
            }
            let Some(matched) = Match::of(&item.line, &candidates.terms, &hits.filter) else { continue };
            if !ready.contains_key(&item.row) {
                let is_new = |item: &Item| !seen_logs.contains(&item.log) && !ready.contains_key(&item.row);
                let held = held(tx, &candidates, &holders, &item, is_new).await?;
                ready.extend(held);
            }
            let Some(holder) = ready.remove(&item.row).flatten() else { continue };
            if holder.is_owner {
                seen_logs.insert(item.log);
            }
            let used_at = Timestamp::from_millis(holder.used_at);
            if !seen.insert(holder.id.clone()) || !query.filter.has(used_at) {
                continue;
            }
            // It was on a page before.
            if query.after.is_some() && is_later(tx, &candidates, &holders, &holder.id, item.row).await? {
                continue;
            }
            let Some(hit) = matched.hit(&candidates.terms, holder.id.clone()) else { continue };
            if found.len() == query.limit {
                return Ok(Page::new(found, Some(last.to_string())));
            }
            last = item.row;
            found.push(Listed { id: holder.id, used_at, title: holder.title, hit: Some(hit) });
        }
        Ok(Page::new(found, None))
    }
}

/// How many logs are asked for at once.
const LOGS: usize = 32;

/// By their rows, which conversation has an item, and which have the next new ones, each of another log.
async fn held(
    tx: &Transaction<'_>,
    candidates: &Candidates,
    holders: &Holders<'_>,
    item: &Item,
    is_new: impl Fn(&Item) -> bool,
) -> Result<Vec<(i64, Option<Holder>)>, Failure> {
    let mut logs = HashSet::from([item.log]);
    let coming = candidates.coming().iter().filter(|item| {
        let is_wanted = is_new(item)
            && !logs.contains(&item.log)
            && Match::of(&item.line, &candidates.terms, &Filter::default()).is_some();
        is_wanted && logs.insert(item.log)
    });
    let items: Vec<&Item> = iter::once(item).chain(coming).take(LOGS).collect();
    let held = holders.first_of(tx, items.iter().copied()).await?;
    Ok(items.iter().map(|item| item.row).zip(held).collect())
}

/// Whether a later item was found in the same conversation.
async fn is_later(
    tx: &Transaction<'_>,
    candidates: &Candidates,
    holders: &Holders<'_>,
    id: &str,
    row: i64,
) -> Result<bool, Failure> {
    for item in candidates.later(tx, id, row).await? {
        if Match::of(&item.line, &candidates.terms, &Filter::default()).is_some()
            && holders.first(tx, &item).await?.is_some_and(|holder| holder.id == id)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
