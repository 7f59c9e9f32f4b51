//! The totals of a tenant's usage.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use turnwise::Result;
use turnwise::spending::Spending;

use super::PostgresStore;
use super::connections::{Values, Work};
use super::failure::Failure;
use super::tables::{read_back, stored};
use crate::each::Failed;
use crate::inherited::{Original, spending, unless_damaged};
use crate::rows::At;
use crate::seal::{Place, Seal};
use crate::usage::Totals;

impl PostgresStore {
    /// The totals of this tenant. What a fork shares with its original is counted once; if the
    /// original is gone, once for each of its forks. A conversation whose usage cannot be read is
    /// in [`Totals::failed`].
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    pub async fn totals(&self) -> Result<Totals> {
        let work = Add { tenant: self.tenant.clone(), seal: self.shared.seal.clone() };
        self.shared.connections.write(work).await
    }
}

struct Add {
    tenant: Box<str>,
    seal: Seal,
}

impl Work for Add {
    type Done = Totals;

    const DOING: &str = "adding up the usage";

    async fn run(&self, tx: &Transaction<'_>) -> Result<Totals, Failure> {
        let begin = "SELECT id, 0, log, last FROM turnwise.conversations WHERE tenant = $1";
        let rows = tx.query_typed(&parts_from(begin), &[(&stored(&self.tenant), Type::TEXT)]).await?;
        let mut totals = Totals::default();
        for rows in rows.chunk_by(|one, next| one.get::<_, &str>(0) == next.get::<_, &str>(0)) {
            let id = read_back(rows[0].get(0));
            match parts(&self.seal, &self.tenant, rows) {
                Ok(parts) => {
                    let shared = original(&parts).map(|original| original.inherited).unwrap_or_default();
                    totals.add(&id, &spent(&parts), &shared);
                }
                Err(error) => totals.failed.push(Failed::new(id, error)),
            }
        }
        Ok(totals)
    }
}

/// The statement of the parts of conversations: the log of each, the one that this continues, and
/// so on. `begin` selects the first part of each: the conversation's id, 0, and its log and its
/// last position.
fn parts_from(begin: &str) -> String {
    format!(
        "WITH RECURSIVE parts (conversation, depth, log, last) AS (\
             {begin} \
             UNION ALL \
             SELECT p.conversation, p.depth + 1, l.parent, l.at FROM parts p \
             JOIN turnwise.logs l ON l.tenant = $1 AND l.log = p.log AND l.parent IS NOT NULL), \
         present AS MATERIALIZED (\
             SELECT coalesce(l.line, l.log) AS line FROM turnwise.conversations c \
             JOIN turnwise.logs l ON l.tenant = $1 AND l.log = c.log WHERE c.tenant = $1) \
         SELECT p.conversation, p.log, coalesce(l.line, l.log), \
             coalesce(l.line, l.log) IN (SELECT line FROM present), \
             s.position, s.change, l.origin, l.origin IN (SELECT line FROM present), l.inherited \
         FROM parts p JOIN turnwise.logs l ON l.tenant = $1 AND l.log = p.log \
         LEFT JOIN LATERAL (\
             SELECT position, change FROM turnwise.changes \
             WHERE tenant = $1 AND log = p.log AND position <= p.last \
             AND (starts_with(change, '{{\"spending\"') OR change LIKE 'twr1.%.spending.%') \
             ORDER BY position DESC LIMIT 1) s ON true \
         ORDER BY p.conversation, p.depth"
    )
}

/// One log that a conversation has changes in.
struct Part {
    /// The first log of the conversation that the log belongs to, and whether that is there.
    line: i64,
    is_present: bool,
    /// What was spent, if the log says so.
    stated: Option<Spending>,
    /// What was noted when the log took the place of another one, and whether that original is there.
    noted: Option<Original>,
    is_noted_present: bool,
}

impl Part {
    fn of(seal: &Seal, tenant: &str, row: &Row) -> Result<Self> {
        let log = row.get(1);
        let read = |position, change: Option<&str>| match change {
            Some(change) => spending(seal, Place { tenant, log, position }, change),
            None => Ok(None),
        };
        let inherited = read(0, row.get(8))?;
        Ok(Self {
            line: row.get(2),
            is_present: row.get(3),
            stated: read(row.get::<_, Option<i64>>(4).unwrap_or_default(), row.get(5))?,
            noted: row.get::<_, Option<i64>>(6).zip(inherited).map(|(line, inherited)| Original { line, inherited }),
            is_noted_present: row.get::<_, Option<bool>>(7).unwrap_or_default(),
        })
    }
}

fn parts(seal: &Seal, tenant: &str, rows: &[Row]) -> Result<Vec<Part>> {
    rows.iter().map(|row| Part::of(seal, tenant, row)).collect()
}

/// What was spent up to the end of the first of these parts.
fn spent(parts: &[Part]) -> Spending {
    parts.iter().find_map(|part| part.stated.clone()).unwrap_or_default()
}

/// The conversation that this one was made of, or the one that that was made of, and so on: the first of them
/// that is there.
fn original(parts: &[Part]) -> Option<Original> {
    let continued = (1..parts.len()).map(|depth| &parts[depth..]).find(|parts| parts[0].is_present);
    match continued {
        Some(parts) => Some(Original { line: parts[0].line, inherited: spent(parts) }),
        None => parts.last().filter(|last| last.is_noted_present).and_then(|last| last.noted.clone()),
    }
}

/// As [`original`], also if it is gone: it may be restored.
fn original_or_gone(parts: &[Part]) -> Option<Original> {
    original(parts).or_else(|| match parts.get(1) {
        Some(parent) => Some(Original { line: parent.line, inherited: spent(&parts[1..]) }),
        None => parts.first()?.noted.clone(),
    })
}

/// Notes of a log that takes the place of another one which conversation it belongs to, and what it has of
/// its original: the old log, which says so, may be removed.
pub(super) async fn note_written_anew(
    tx: &Transaction<'_>,
    seal: &Seal,
    tenant: &str,
    old: At,
    new: i64,
) -> Result<(), Failure> {
    let key = stored(tenant);
    let values: Values<'_> = &[(&key, Type::TEXT), (&old.log, Type::INT8), (&old.last, Type::INT8)];
    let rows = tx.query_typed(&parts_from("SELECT ''::text, 0, $2, $3"), values).await?;
    let Some(line) = rows.first().map(|own| own.get::<_, i64>(2)) else { return Ok(()) };
    let original = unless_damaged(parts(seal, tenant, &rows).map(|parts| original_or_gone(&parts)))?;
    let origin = original.as_ref().map(|original| original.line);
    let inherited = original.map_or(Ok(None), |original| original.noted(tenant, new, seal))?;
    let note = "UPDATE turnwise.logs SET line = $3, origin = $4, inherited = $5 WHERE tenant = $1 AND log = $2";
    let values: Values<'_> =
        &[(&key, Type::TEXT), (&new, Type::INT8), (&line, Type::INT8), (&origin, Type::INT8), (&inherited, Type::TEXT)];
    tx.execute_typed(note, values).await?;
    Ok(())
}
