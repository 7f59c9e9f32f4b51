//! The statements: what a conversation is in the tables, and how it is written there.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

use deadpool_postgres::{Pool, Transaction};
use tokio_postgres::types::Type;
use turnwise::Result;
use turnwise::store::{conflict, not_found};

use super::connections::{self, Work};
use super::failure::Failure;
use super::index::remove;
use super::{schema, usage};
use crate::rows::{At, Key, Lines, Row, now};
use crate::seal::Seal;

/// The most bytes of changes that one statement writes. A parameter may have 1 GB.
const MOST_AT_ONCE: usize = 8 * 1024 * 1024;

/// A text of a key as the database can hold it, which has no place for U+0000. The order of the bytes
/// stays the same.
pub(super) fn stored(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte < 2) {
        Cow::Owned(text.replace('\u{1}', "\u{1}\u{2}").replace('\0', "\u{1}\u{1}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The other way round.
pub(super) fn read_back(text: String) -> String {
    if text.contains('\u{1}') { text.replace("\u{1}\u{1}", "\0").replace("\u{1}\u{2}", "\u{1}") } else { text }
}

/// Refuses tables of a newer version that this program is too old for.
pub(super) async fn check_version(tx: &Transaction<'_>) -> Result<(), Failure> {
    let rows = tx.query_typed("SELECT needs FROM turnwise.schema_version", &[]).await?;
    Ok(schema::check(rows.first().map_or(0, |row| row.get(0)))?)
}

/// The row of a conversation, if the tables are not too new.
pub(super) async fn find(pool: &Pool, key: &Key) -> Result<Option<Row>> {
    let find = "SELECT v.needs, c.log, c.last, c.bytes, c.created_at FROM turnwise.schema_version v \
                LEFT JOIN turnwise.conversations c ON c.tenant = $1 AND c.id = $2";
    let values = (stored(&key.tenant), stored(&key.id));
    let rows =
        connections::read(pool, "reading a conversation", find, &[(&values.0, Type::TEXT), (&values.1, Type::TEXT)])
            .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    schema::check(row.get(0))?;
    let Some(log) = row.get::<_, Option<i64>>(1) else { return Ok(None) };
    Ok(Some(Row { at: At { log, last: row.get(2) }, bytes: row.get(3), created_at: row.get(4) }))
}

pub(super) async fn list(pool: &Pool, tenant: &str, after: &str, limit: usize) -> Result<Vec<String>> {
    let list = "SELECT v.needs, c.id FROM turnwise.schema_version v LEFT JOIN LATERAL \
                (SELECT id FROM turnwise.conversations WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3) c ON true \
                ORDER BY c.id";
    let values = (stored(tenant), stored(after), i64::try_from(limit).unwrap_or(i64::MAX));
    let values: connections::Values<'_> = &[(&values.0, Type::TEXT), (&values.1, Type::TEXT), (&values.2, Type::INT8)];
    let rows = connections::read(pool, "listing conversations", list, values).await?;
    if let Some(row) = rows.first() {
        schema::check(row.get(0))?;
    }
    Ok(rows.iter().filter_map(|row| row.get::<_, Option<String>>(1)).map(read_back).collect())
}

/// The names of the tenants that have conversations. The default one has none.
pub(super) async fn tenants(pool: &Pool, after: &str, limit: usize) -> Result<Vec<String>> {
    let list = "SELECT v.needs, t.tenant FROM turnwise.schema_version v LEFT JOIN LATERAL \
                (SELECT DISTINCT tenant FROM turnwise.conversations WHERE tenant > $1 ORDER BY tenant LIMIT $2) t ON true \
                ORDER BY t.tenant";
    let values = (stored(after), i64::try_from(limit).unwrap_or(i64::MAX));
    let values: connections::Values<'_> = &[(&values.0, Type::TEXT), (&values.1, Type::INT8)];
    let rows = connections::read(pool, "listing tenants", list, values).await?;
    if let Some(row) = rows.first() {
        schema::check(row.get(0))?;
    }
    Ok(rows.iter().filter_map(|row| row.get::<_, Option<String>>(1)).map(read_back).collect())
}

/// Adds changes to a conversation that is at a revision.
pub(super) async fn append(pool: &Pool, key: Key, at: At, lines: Lines) -> Result<At> {
    // Without changes, how many rows there are now does not tell whether the conversation was at the revision.
    if lines.len() == 0 || usize::try_from(lines.bytes).is_ok_and(|bytes| bytes > MOST_AT_ONCE) {
        return connections::transact(pool, &Append { key, at, lines }).await;
    }
    // One question and one answer, and a transaction of its own.
    let append = "WITH moved AS (\
                      UPDATE turnwise.conversations SET last = $5, bytes = bytes + $6, changed_at = $7 \
                      WHERE tenant = $1 AND id = $2 AND log = $3 AND last = $4 \
                      AND (SELECT needs FROM turnwise.schema_version) <= $9 RETURNING 1) \
                  INSERT INTO turnwise.changes (tenant, log, position, change) \
                  SELECT $1, $3, $4 + line.number, line.change \
                  FROM moved, unnest($8) WITH ORDINALITY AS line (change, number)";
    let texts = texts(&key.tenant, at, &lines)?;
    let values = (stored(&key.tenant), stored(&key.id), at.last + lines.len(), now());
    let values: connections::Values<'_> = &[
        (&values.0, Type::TEXT),
        (&values.1, Type::TEXT),
        (&at.log, Type::INT8),
        (&at.last, Type::INT8),
        (&values.2, Type::INT8),
        (&lines.bytes, Type::INT8),
        (&values.3, Type::INT8),
        (&texts, Type::TEXT_ARRAY),
        (&schema::KNOWN, Type::INT8),
    ];
    if connections::write(pool, Append::DOING, append, values).await? > 0 {
        return Ok(At { last: at.last + lines.len(), ..at });
    }
    // Only if the tables are not too new it is a conflict.
    find(pool, &key).await?;
    Err(conflict(&key.id))
}

struct Append {
    key: Key,
    at: At,
    lines: Lines,
}

impl Work for Append {
    type Done = At;

    const DOING: &str = "writing to a conversation";

    async fn run(&self, tx: &Transaction<'_>) -> Result<At, Failure> {
        let new = At { last: self.at.last + self.lines.len(), ..self.at };
        move_on(tx, &self.key, self.at, new, &self.lines, "bytes + $7").await?;
        insert(tx, &self.key, self.at, &self.lines).await?;
        Ok(new)
    }
}

/// Puts a conversation that is at a revision to a new one.
async fn move_on(tx: &Transaction<'_>, key: &Key, at: At, new: At, lines: &Lines, bytes: &str) -> Result<(), Failure> {
    let moves = format!(
        "UPDATE turnwise.conversations SET log = $5, last = $6, bytes = {bytes}, changed_at = $8 \
         WHERE tenant = $1 AND id = $2 AND log = $3 AND last = $4"
    );
    let values = (stored(&key.tenant), stored(&key.id), now());
    let values: connections::Values<'_> = &[
        (&values.0, Type::TEXT),
        (&values.1, Type::TEXT),
        (&at.log, Type::INT8),
        (&at.last, Type::INT8),
        (&new.log, Type::INT8),
        (&new.last, Type::INT8),
        (&lines.bytes, Type::INT8),
        (&values.2, Type::INT8),
    ];
    if tx.execute_typed(&moves, values).await? == 0 { Err(conflict(&key.id).into()) } else { Ok(()) }
}

/// Begins a conversation where there is none.
pub(super) struct Begin {
    pub(super) key: Key,
    pub(super) lines: Lines,
}

impl Work for Begin {
    type Done = At;

    const DOING: &str = "beginning a conversation";

    async fn run(&self, tx: &Transaction<'_>) -> Result<At, Failure> {
        let at = At { log: drawn(), last: self.lines.len() };
        insert_conversation(tx, &self.key, Row { at, bytes: self.lines.bytes, created_at: now() }).await?;
        insert_log(tx, &self.key, at.log, None).await?;
        insert(tx, &self.key, At { last: 0, ..at }, &self.lines).await?;
        Ok(at)
    }
}

/// Writes a conversation anew that is at a revision. What is not in the new lines is removed, unless
/// forks have it.
pub(super) struct Replace {
    pub(super) seal: Seal,
    pub(super) key: Key,
    pub(super) at: At,
    pub(super) lines: Lines,
}

impl Work for Replace {
    type Done = At;

    const DOING: &str = "writing a conversation anew";

    async fn run(&self, tx: &Transaction<'_>) -> Result<At, Failure> {
        let new = At { log: drawn(), last: self.lines.len() };
        move_on(tx, &self.key, self.at, new, &self.lines, "$7").await?;
        insert_log(tx, &self.key, new.log, None).await?;
        usage::note_written_anew(tx, &self.seal, &self.key.tenant, self.at, new.log).await?;
        insert(tx, &self.key, At { last: 0, ..new }, &self.lines).await?;
        give_up(tx, &self.key.tenant, &[self.at.log]).await?;
        remove::replaced(tx, &stored(&self.key.tenant), &stored(&self.key.id)).await?;
        Ok(new)
    }
}

/// Begins a conversation that has all that another one has now.
pub(super) struct Fork {
    pub(super) key: Key,
    pub(super) fork: Key,
}

impl Work for Fork {
    type Done = At;

    const DOING: &str = "forking a conversation";

    async fn run(&self, tx: &Transaction<'_>) -> Result<At, Failure> {
        // Until this is committed nobody takes away what the fork needs.
        let find = "SELECT log, last, bytes FROM turnwise.conversations WHERE tenant = $1 AND id = $2 FOR SHARE";
        let values = (stored(&self.key.tenant), stored(&self.key.id));
        let row = tx.query_typed_opt(find, &[(&values.0, Type::TEXT), (&values.1, Type::TEXT)]).await?;
        let row = row.ok_or_else(|| not_found(&self.key.id))?;
        let (log, last, bytes) = (row.get(0), row.get(1), row.get(2));
        // A fork that has nothing of its own yet is no step on the way to what it has.
        let parent = match parent(tx, &self.key.tenant, log).await? {
            Some((parent, to)) if to == last => (parent, to),
            _ => (log, last),
        };
        let at = At { log: drawn(), last };
        insert_conversation(tx, &self.fork, Row { at, bytes, created_at: now() }).await?;
        insert_log(tx, &self.fork, at.log, Some(parent)).await?;
        Ok(at)
    }
}

async fn parent(tx: &Transaction<'_>, tenant: &str, log: i64) -> Result<Option<(i64, i64)>, Failure> {
    let parent = "SELECT parent, at FROM turnwise.logs WHERE tenant = $1 AND log = $2 AND parent IS NOT NULL";
    let row = tx.query_typed_opt(parent, &[(&stored(tenant), Type::TEXT), (&log, Type::INT8)]).await?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}

async fn insert_conversation(tx: &Transaction<'_>, key: &Key, row: Row) -> Result<(), Failure> {
    let insert = "INSERT INTO turnwise.conversations (tenant, id, log, last, bytes, created_at, changed_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT DO NOTHING";
    let texts = (stored(&key.tenant), stored(&key.id));
    let values: connections::Values<'_> = &[
        (&texts.0, Type::TEXT),
        (&texts.1, Type::TEXT),
        (&row.at.log, Type::INT8),
        (&row.at.last, Type::INT8),
        (&row.bytes, Type::INT8),
        (&row.created_at, Type::INT8),
    ];
    if tx.execute_typed(insert, values).await? == 0 { Err(conflict(&key.id).into()) } else { Ok(()) }
}

/// A number for a log. 63 bits do not repeat.
fn drawn() -> i64 {
    // Its keys come from the system and differ each time.
    let random = RandomState::new().hash_one(0);
    i64::try_from(random >> 1).unwrap_or_default()
}

async fn insert_log(tx: &Transaction<'_>, key: &Key, log: i64, parent: Option<(i64, i64)>) -> Result<(), Failure> {
    let insert = "INSERT INTO turnwise.logs (tenant, log, parent, at, owned) VALUES ($1, $2, $3, $4, true)";
    let (parent, at) = parent.map_or((None, 0), |(parent, at)| (Some(parent), at));
    let values: connections::Values<'_> =
        &[(&stored(&key.tenant), Type::TEXT), (&log, Type::INT8), (&parent, Type::INT8), (&at, Type::INT8)];
    tx.execute_typed(insert, values).await?;
    Ok(())
}

/// Writes lines after a position.
async fn insert(tx: &Transaction<'_>, key: &Key, at: At, lines: &Lines) -> Result<(), Failure> {
    let insert = "INSERT INTO turnwise.changes (tenant, log, position, change) \
                  SELECT $1, $2, $3 + line.number, line.change \
                  FROM unnest($4) WITH ORDINALITY AS line (change, number)";
    let mut last = at.last;
    let texts = texts(&key.tenant, at, lines)?;
    let mut rest = &texts[..];
    while !rest.is_empty() {
        let (now, later) = rest.split_at(at_once(rest));
        let values: connections::Values<'_> =
            &[(&stored(&key.tenant), Type::TEXT), (&at.log, Type::INT8), (&last, Type::INT8), (&now, Type::TEXT_ARRAY)];
        tx.execute_typed(insert, values).await?;
        last += i64::try_from(now.len()).unwrap_or(i64::MAX);
        rest = later;
    }
    Ok(())
}

/// The rows of lines after a position.
fn texts<'a>(tenant: &'a str, at: At, lines: &'a Lines) -> Result<Vec<Cow<'a, str>>> {
    lines.rows(tenant, at).map(|row| row.map(|(_, text)| text)).collect()
}

/// How many of these lines one statement writes: one at least.
fn at_once(lines: &[Cow<'_, str>]) -> usize {
    let mut bytes = 0;
    let fits = lines.iter().take_while(|line| {
        bytes += line.len();
        bytes <= MOST_AT_ONCE
    });
    fits.count().max(1)
}

/// Takes logs from their conversations. What no fork needs of them is removed, and of the logs before them.
pub(super) async fn give_up(tx: &Transaction<'_>, tenant: &str, logs: &[i64]) -> Result<(), Failure> {
    let tenant = stored(tenant);
    lock_chains(tx, &tenant, logs).await?;
    for log in logs {
        give_up_one(tx, &tenant, *log).await?;
    }
    Ok(())
}

/// Locks logs and those that they continue, all before anything of one is looked at: so of two that give up the last
/// forks of one log the second sees what the first has done. In the order of their numbers, as who adds to the index for
/// search does, so that no two wait for each other.
async fn lock_chains(tx: &Transaction<'_>, tenant: &str, logs: &[i64]) -> Result<(), Failure> {
    let lock = "WITH RECURSIVE chains (log) AS (\
                    SELECT log FROM unnest($2) AS given (log) \
                    UNION \
                    SELECT l.parent FROM chains c JOIN turnwise.logs l ON l.tenant = $1 AND l.log = c.log \
                    WHERE l.parent IS NOT NULL) \
                SELECT 1 FROM turnwise.logs WHERE tenant = $1 AND log IN (SELECT log FROM chains) \
                ORDER BY tenant, log FOR UPDATE";
    tx.query_typed(lock, &[(&tenant, Type::TEXT), (&logs, Type::INT8_ARRAY)]).await?;
    Ok(())
}

async fn give_up_one(tx: &Transaction<'_>, tenant: &str, log: i64) -> Result<(), Failure> {
    let disown = "UPDATE turnwise.logs SET owned = false WHERE tenant = $1 AND log = $2";
    tx.execute_typed(disown, &[(&tenant, Type::TEXT), (&log, Type::INT8)]).await?;
    let mut next = Some(log);
    while let Some(log) = next.take() {
        let values: connections::Values<'_> = &[(&tenant, Type::TEXT), (&log, Type::INT8)];
        let find = "SELECT owned, parent FROM turnwise.logs WHERE tenant = $1 AND log = $2";
        let Some(row) = tx.query_typed_opt(find, values).await?.filter(|row| !row.get::<_, bool>(0)) else { break };
        let parent: Option<i64> = row.get(1);
        let needed = "SELECT max(at) FROM turnwise.logs WHERE tenant = $1 AND parent = $2";
        let needed: Option<i64> = tx.query_typed_one(needed, values).await?.get(0);
        let remove = "DELETE FROM turnwise.changes WHERE tenant = $1 AND log = $2 AND position > $3";
        let after = needed.unwrap_or(0);
        tx.execute_typed(remove, &[(&tenant, Type::TEXT), (&log, Type::INT8), (&after, Type::INT8)]).await?;
        if needed.is_none() {
            tx.execute_typed("DELETE FROM turnwise.logs WHERE tenant = $1 AND log = $2", values).await?;
            next = parent;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_can_be_stored_and_their_order_stays() {
        let mut texts =
            ["", "a", "\0", "\0\0", "\u{1}", "\u{1}\0", "\0\u{1}", "\u{1}\u{1}", "\u{1}\u{2}", "\u{2}", "ü"];
        texts.sort_unstable();
        let kept: Vec<String> = texts.iter().map(|text| stored(text).into_owned()).collect();
        assert!(kept.is_sorted_by(|one, next| one < next), "{kept:?}");
        assert!(kept.iter().all(|text| !text.contains('\0')));
        let back: Vec<String> = kept.into_iter().map(read_back).collect();
        assert_eq!(back, texts);
    }

    #[test]
    fn logs_have_numbers_that_are_not_negative_and_differ() {
        let drawn: std::collections::BTreeSet<i64> = (0..1_000).map(|_| drawn()).collect();
        assert_eq!(drawn.len(), 1_000);
        assert!(drawn.first().is_some_and(|first| *first >= 0));
    }

    #[test]
    fn long_conversations_are_written_in_pieces() {
        let lines = vec![Cow::Owned("x".repeat(MOST_AT_ONCE / 3 + 1)); 5];
        assert_eq!(at_once(&lines), 2);
        assert_eq!(at_once(&["x".repeat(MOST_AT_ONCE * 2).into()]), 1);
    }
}
