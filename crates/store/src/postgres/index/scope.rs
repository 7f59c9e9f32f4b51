//! What is left to be looked at by what a search wants beside words: times, and conversations.

use std::iter;
use std::ops::Range;

use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;

use super::add::{beginning, pair};
use crate::postgres::connections::Values;
use crate::postgres::failure::Failure;
use crate::postgres::tables::stored;
use crate::search::index::ranges;
use crate::search::{Filter, SearchQuery};

/// The most conversations with a value of metadata, and the most changes of theirs, that are few.
const FEW_CONVERSATIONS: i64 = 500;
const FEW_CHANGES: i64 = 10_000;

/// The rows of blocks that may have items of the times that are wanted, the last ones first; all if all times are.
pub(super) async fn rows_of_times(
    tx: &Transaction<'_>,
    tenant: &str,
    filter: &Filter,
) -> Result<Vec<Range<i64>>, Failure> {
    if filter.from.is_none() && filter.until.is_none() {
        return Ok(iter::once(0..i64::MAX).collect());
    }
    let blocks = "SELECT block FROM turnwise.search_times WHERE tenant = $1 AND newest >= $2 AND oldest < $3 \
                  ORDER BY block DESC";
    let (from, until) = filter.times();
    let values: Values<'_> = &[(&tenant, Type::TEXT), (&from, Type::INT8), (&until, Type::INT8)];
    let rows = tx.query_typed(blocks, values).await?;
    Ok(ranges(rows.iter().map(|row| row.get(0))))
}

/// Parts of logs that belong to conversations: each a log and a position up to which.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) logs: Vec<i64>,
    pub(super) lasts: Vec<i64>,
}

/// The logs of the conversations that are wanted, if these have few changes.
pub(super) async fn parts(tx: &Transaction<'_>, tenant: &str, query: &SearchQuery) -> Result<Option<Parts>, Failure> {
    let ids = match &query.conversation {
        Some(id) => vec![stored(id).into_owned()],
        None => match few_with(tx, tenant, &query.filter).await? {
            Some(ids) => ids,
            None => return Ok(None),
        },
    };
    let parts = "WITH RECURSIVE parts (log, last) AS (\
                     SELECT log, last FROM turnwise.conversations WHERE tenant = $1 AND id = ANY ($2) \
                     UNION \
                     SELECT l.parent, l.at FROM parts p \
                     JOIN turnwise.logs l ON l.tenant = $1 AND l.log = p.log AND l.parent IS NOT NULL) \
                 SELECT log, max(last) FROM parts GROUP BY log";
    let rows = tx.query_typed(parts, &[(&tenant, Type::TEXT), (&ids, Type::TEXT_ARRAY)]).await?;
    let (logs, lasts) = rows.iter().map(|row| (row.get::<_, i64>(0), row.get::<_, i64>(1))).unzip();
    let parts = Parts { logs, lasts };
    Ok(Some(parts).filter(|parts| parts.lasts.iter().sum::<i64>() <= FEW_CHANGES))
}

/// The conversations that have all values of metadata that are wanted; `None` if these are not few, or none are
/// wanted.
pub(super) async fn few_with(
    tx: &Transaction<'_>,
    tenant: &str,
    filter: &Filter,
) -> Result<Option<Vec<String>>, Failure> {
    if filter.metadata.is_empty() {
        return Ok(None);
    }
    let pairs: Vec<String> = filter.metadata.iter().map(|(key, value)| pair(key, value)).collect();
    let beginnings: Vec<String> = pairs.iter().map(|pair| beginning(pair)).collect();
    let with = "SELECT id FROM turnwise.search_conversations \
                WHERE tenant = $1 AND beginnings @> $2 AND metadata @> $3 LIMIT $4";
    let limit = FEW_CONVERSATIONS + 1;
    let values: Values<'_> =
        &[(&tenant, Type::TEXT), (&beginnings, Type::TEXT_ARRAY), (&pairs, Type::TEXT_ARRAY), (&limit, Type::INT8)];
    let rows = tx.query_typed(with, values).await?;
    let ids: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok(Some(ids).filter(|ids| i64::try_from(ids.len()).is_ok_and(|ids| ids <= FEW_CONVERSATIONS)))
}
