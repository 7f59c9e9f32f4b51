//! The totals of a tenant's usage.

use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use turnwise::Result;
use turnwise::spending::Spending;
use turnwise::store::Change;

use super::PostgresStore;
use super::connections::Work;
use super::failure::Failure;
use super::tables::stored;
use crate::usage::Totals;

impl PostgresStore {
    /// The totals of this tenant. What a fork shares with its original is counted once;
    /// if the original is gone, once for each of its forks.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](turnwise::ErrorKind::Io) if the database fails.
    pub async fn totals(&self) -> Result<Totals> {
        self.shared.connections.write(Add { tenant: self.tenant.clone() }).await
    }
}

struct Add {
    tenant: Box<str>,
}

/// For each conversation what it has spent, and what the nearest conversation that is there of those
/// that it continues had spent then.
const SPENT: &str = "
    SELECT spent.own, spent.shared FROM turnwise.conversations c CROSS JOIN LATERAL (
        WITH RECURSIVE parts (depth, log, last) AS (
            SELECT 0, c.log, c.last
            UNION ALL
            SELECT p.depth + 1, l.parent, l.at FROM parts p
            JOIN turnwise.logs l ON l.tenant = $1 AND l.log = p.log AND l.parent IS NOT NULL),
        stated AS (
            SELECT p.depth, s.change FROM parts p CROSS JOIN LATERAL (
                SELECT change FROM turnwise.changes WHERE tenant = $1 AND log = p.log AND position <= p.last
                AND starts_with(change, '{\"spending\"') ORDER BY position DESC LIMIT 1) s),
        original AS (
            SELECT min(p.depth) AS depth FROM parts p WHERE p.depth > 0 AND EXISTS (
                SELECT 1 FROM turnwise.conversations o WHERE o.tenant = $1 AND o.log = p.log))
        SELECT (SELECT change FROM stated ORDER BY depth LIMIT 1) AS own,
            (SELECT s.change FROM stated s, original o WHERE s.depth >= o.depth ORDER BY s.depth LIMIT 1) AS shared
    ) spent
    WHERE c.tenant = $1";

impl Work for Add {
    type Done = Totals;

    const DOING: &str = "adding up the usage";

    async fn run(&self, tx: &Transaction<'_>) -> Result<Totals, Failure> {
        let mut totals = Totals::default();
        for row in tx.query_typed(SPENT, &[(&stored(&self.tenant), Type::TEXT)]).await? {
            totals.add(&spending(row.get(0)), &spending(row.get(1)));
        }
        Ok(totals)
    }
}

fn spending(line: Option<&str>) -> Spending {
    match line.map(serde_json::from_str) {
        Some(Ok(Change::Spending(spending))) => spending,
        _ => Spending::default(),
    }
}
