//! Adds what was noted to the index.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use turnwise::store::{Change, is_of_server};

use super::{State, alone, state};
use crate::postgres::connections::{Values, Work};
use crate::postgres::failure::Failure;
use crate::postgres::tables::{read_back, stored};
use crate::search::index::{Times, joined};
use crate::search::{searched, words};

/// How many notes of changes, and of conversations, one transaction takes.
const CHANGES: usize = 500;
const CONVERSATIONS: usize = 500;

/// Adds some of what was noted; says whether there may be more.
pub(super) struct CatchUp;

impl Work for CatchUp {
    type Done = bool;

    const DOING: &str = "adding to the index for search, which `turnwise conversations index --off` removes";

    async fn run(&self, tx: &Transaction<'_>) -> Result<bool, Failure> {
        // Before any table is used: who removes the index takes the tables after this.
        alone(tx).await?;
        if state(tx).await? == State::Off {
            return Ok(false);
        }
        // The changes of the writes that these are of are noted by now, and are taken first.
        let noted = format!(
            "SELECT number, tenant, id FROM turnwise.search_notes WHERE id IS NOT NULL ORDER BY number \
             LIMIT {CONVERSATIONS}"
        );
        let conversations = tx.query_typed(&noted, &[]).await?;
        let noted =
            format!("SELECT number FROM turnwise.search_notes WHERE id IS NULL ORDER BY number LIMIT {CHANGES}");
        let changes = numbers(&tx.query_typed(&noted, &[]).await?);
        lock_logs(tx, &changes, &numbers(&conversations)).await?;
        add_changes(tx, &changes).await?;
        done(tx, &changes).await?;
        if changes.len() == CHANGES {
            return Ok(true);
        }
        let mut places: Vec<(&str, &str)> = conversations.iter().map(|row| (row.get(1), row.get(2))).collect();
        places.sort_unstable();
        places.dedup();
        for (tenant, id) in places {
            add_conversation(tx, tenant, id).await?;
        }
        done(tx, &numbers(&conversations)).await?;
        Ok(conversations.len() == CONVERSATIONS)
    }
}

fn numbers(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.get(0)).collect()
}

/// Removes notes.
async fn done(tx: &Transaction<'_>, notes: &[i64]) -> Result<(), Failure> {
    let done = "DELETE FROM turnwise.search_notes WHERE number = ANY ($1)";
    tx.execute_typed(done, &[(&notes, Type::INT8_ARRAY)]).await?;
    Ok(())
}

/// The items of a tenant as they are added.
#[derive(Default)]
struct Items {
    logs: Vec<i64>,
    positions: Vec<i64>,
    words: Vec<String>,
    /// When they were recorded.
    times: Vec<i64>,
}

/// Locks the logs of changes and of conversations that were noted, in the order of their numbers. Whoever removes
/// something of logs locks them before, in the same order.
/// What is removed now was removed when this has waited, and what is removed later waits for this, and is then removed
/// from the index too.
async fn lock_logs(tx: &Transaction<'_>, changes: &[i64], conversations: &[i64]) -> Result<(), Failure> {
    let lock = "SELECT 1 FROM turnwise.logs WHERE (tenant, log) IN (\
                    SELECT tenant, log FROM turnwise.search_notes WHERE number = ANY ($1) \
                    UNION \
                    SELECT c.tenant, c.log FROM turnwise.search_notes n \
                    JOIN turnwise.conversations c ON c.tenant = n.tenant AND c.id = n.id WHERE n.number = ANY ($2)) \
                ORDER BY tenant, log FOR SHARE";
    tx.query_typed(lock, &[(&changes, Type::INT8_ARRAY), (&conversations, Type::INT8_ARRAY)]).await?;
    Ok(())
}

async fn add_changes(tx: &Transaction<'_>, notes: &[i64]) -> Result<(), Failure> {
    let read = "SELECT n.tenant, n.log, n.position, c.change FROM turnwise.search_notes n \
                 JOIN turnwise.changes c ON c.tenant = n.tenant AND c.log = n.log AND c.position = n.position \
                 WHERE n.number = ANY ($1) ORDER BY n.number";
    let (mut items, mut states) = (BTreeMap::<String, Items>::new(), BTreeMap::<String, Items>::new());
    for row in tx.query_typed(read, &[(&notes, Type::INT8_ARRAY)]).await? {
        let (of, words, time) = match serde_json::from_str(row.get(3)) {
            Ok(Change::Item { message, created_at, .. }) => {
                (&mut items, joined(&words(&searched(&message))), created_at.as_millis())
            }
            Ok(Change::Metadata(_)) => (&mut states, String::new(), 0),
            // Whoever opens the conversation is told.
            _ => continue,
        };
        let of = of.entry(row.get(0)).or_default();
        of.logs.push(row.get(1));
        of.positions.push(row.get(2));
        of.words.push(words);
        of.times.push(time);
    }
    for (tenant, new) in items {
        add_items(tx, &tenant, &new).await?;
    }
    for (tenant, new) in states {
        let add = "INSERT INTO turnwise.search_states (tenant, log, position) \
                   SELECT $1, s.log, s.position FROM unnest($2, $3) AS s (log, position) ON CONFLICT DO NOTHING";
        let values: Values<'_> =
            &[(&tenant, Type::TEXT), (&new.logs, Type::INT8_ARRAY), (&new.positions, Type::INT8_ARRAY)];
        tx.execute_typed(add, values).await?;
    }
    Ok(())
}

/// Adds items of a tenant, whose names are as the database has them.
async fn add_items(tx: &Transaction<'_>, tenant: &str, new: &Items) -> Result<(), Failure> {
    let count = i64::try_from(new.logs.len()).unwrap_or(i64::MAX);
    let counted = "INSERT INTO turnwise.search_tenants AS t (tenant, items) VALUES ($1, $2) \
                   ON CONFLICT (tenant) DO UPDATE SET items = t.items + $2 RETURNING items - $2";
    let before = tx.query_typed_one(counted, &[(&tenant, Type::TEXT), (&count, Type::INT8)]).await?;
    let before: i64 = before.get(0);
    add_times(tx, tenant, before, new).await?;
    // While the index is made, one that was written since may be there.
    let add = "INSERT INTO turnwise.search_items (tenant, row, log, position, words) \
               SELECT $1, $2 + i.number, i.log, i.position, i.words \
               FROM unnest($3, $4, $5) WITH ORDINALITY AS i (log, position, words, number) ON CONFLICT DO NOTHING";
    let values: Values<'_> = &[
        (&tenant, Type::TEXT),
        (&before, Type::INT8),
        (&new.logs, Type::INT8_ARRAY),
        (&new.positions, Type::INT8_ARRAY),
        (&new.words, Type::TEXT_ARRAY),
    ];
    tx.execute_typed(add, values).await?;
    Ok(())
}

/// Notes between which times the items of blocks were recorded, which count on from a number.
async fn add_times(tx: &Transaction<'_>, tenant: &str, before: i64, new: &Items) -> Result<(), Failure> {
    let mut times = Times::default();
    for (row, time) in (before + 1..).zip(&new.times) {
        times.add(row, *time);
    }
    let put = "INSERT INTO turnwise.search_times AS t (tenant, block, oldest, newest) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (tenant, block) DO UPDATE SET oldest = least(t.oldest, $3), newest = greatest(t.newest, $4)";
    for (block, oldest, newest) in times.blocks() {
        let values: Values<'_> =
            &[(&tenant, Type::TEXT), (&block, Type::INT8), (&oldest, Type::INT8), (&newest, Type::INT8)];
        tx.execute_typed(put, values).await?;
    }
    Ok(())
}

/// The newest item of a conversation, its last metadata, and when it was begun.
const LAST: &str = "
    WITH RECURSIVE parts (log, last) AS (
        SELECT log, last FROM turnwise.conversations WHERE tenant = $1 AND id = $2
        UNION ALL
        SELECT l.parent, l.at FROM parts p
        JOIN turnwise.logs l ON l.tenant = $1 AND l.log = p.log AND l.parent IS NOT NULL),
    items AS (
        SELECT p.log, i.position FROM parts p CROSS JOIN LATERAL (
            SELECT position FROM turnwise.search_items WHERE tenant = $1 AND log = p.log AND position <= p.last
            ORDER BY position DESC LIMIT 1) i
        ORDER BY i.position DESC LIMIT 1),
    states AS (
        SELECT p.log, s.position FROM parts p CROSS JOIN LATERAL (
            SELECT position FROM turnwise.search_states WHERE tenant = $1 AND log = p.log AND position <= p.last
            ORDER BY position DESC LIMIT 1) s
        ORDER BY s.position DESC LIMIT 1)
    SELECT created_at,
        (SELECT c.change FROM turnwise.changes c JOIN items i ON c.log = i.log AND c.position = i.position
         WHERE c.tenant = $1),
        (SELECT c.change FROM turnwise.changes c JOIN states s ON c.log = s.log AND c.position = s.position
         WHERE c.tenant = $1)
    FROM turnwise.conversations WHERE tenant = $1 AND id = $2";

/// Adds a conversation as it is now. Its names are as the database has them.
async fn add_conversation(tx: &Transaction<'_>, tenant: &str, id: &str) -> Result<(), Failure> {
    let values: Values<'_> = &[(&tenant, Type::TEXT), (&id, Type::TEXT)];
    let Some(row) = tx.query_typed_opt(LAST, values).await? else {
        let gone = "DELETE FROM turnwise.search_conversations WHERE tenant = $1 AND id = $2";
        tx.execute_typed(gone, values).await?;
        return Ok(());
    };
    let change = |line: Option<&str>| line.and_then(|line| serde_json::from_str(line).ok());
    let used_at: i64 = match change(row.get(1)) {
        Some(Change::Item { created_at, .. }) => created_at.as_millis(),
        _ => row.get(0),
    };
    let (mut title, mut pairs) = (None, Vec::new());
    if let Some(Change::Metadata(metadata)) = change(row.get(2)) {
        title = metadata.get("title").map(|title| stored(title).into_owned());
        pairs = metadata.iter().map(|(key, value)| pair(key, value)).collect();
    }
    let beginnings: Vec<String> = pairs.iter().map(|pair| beginning(pair)).collect();
    let put = "INSERT INTO turnwise.search_conversations \
               (tenant, id, used_at, title, metadata, of_server, beginnings) VALUES ($1, $2, $3, $4, $5, $6, $7) \
               ON CONFLICT (tenant, id) DO UPDATE SET used_at = $3, title = $4, metadata = $5, beginnings = $7";
    let values: Values<'_> = &[
        (&tenant, Type::TEXT),
        (&id, Type::TEXT),
        (&used_at, Type::INT8),
        (&title, Type::TEXT),
        (&pairs, Type::TEXT_ARRAY),
        (&is_of_server(&read_back(id.to_owned())), Type::BOOL),
        (&beginnings, Type::TEXT_ARRAY),
    ];
    tx.execute_typed(put, values).await?;
    Ok(())
}

/// A pair of metadata as the database has it: JSON, which has U+0000 as an escape.
pub(super) fn pair(key: &str, value: &str) -> String {
    serde_json::json!([key, value]).to_string()
}

/// How a pair begins, of which an index has no room for a long one.
pub(super) fn beginning(pair: &str) -> String {
    pair.chars().take(300).collect()
}
