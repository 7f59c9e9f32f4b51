//! Removes titles and metadata from the index in the transaction that removes them from conversations. Words of items
//! leave it by a trigger.
//!
//! Both are called when the logs of the conversations are given up: whoever adds to the index holds these until it is
//! done, and so cannot put back what it has read before.

use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;

use crate::postgres::connections::Values;
use crate::postgres::failure::Failure;

/// Of conversations that are gone for good. An id that is in use again stays. The names are as the database has them.
pub(in crate::postgres) async fn gone(tx: &Transaction<'_>, tenant: &str, ids: &[&str]) -> Result<(), Failure> {
    // In the order of their ids: who adds to the index takes what it knows of conversations in this order.
    let gone = "DELETE FROM turnwise.search_conversations WHERE tenant = $1 AND id IN (\
                    SELECT s.id FROM turnwise.search_conversations s WHERE s.tenant = $1 AND s.id = ANY ($2) \
                    AND NOT EXISTS (SELECT 1 FROM turnwise.conversations c WHERE c.tenant = s.tenant AND c.id = s.id) \
                    ORDER BY s.id FOR UPDATE)";
    let values: Values<'_> = &[(&tenant, Type::TEXT), (&ids, Type::TEXT_ARRAY)];
    tx.execute_typed(gone, values).await?;
    Ok(())
}

/// Of a conversation that was written anew. It is still found and listed; the next search adds what it has now.
pub(in crate::postgres) async fn replaced(tx: &Transaction<'_>, tenant: &str, id: &str) -> Result<(), Failure> {
    let replaced = "UPDATE turnwise.search_conversations SET title = NULL, metadata = '{}', beginnings = '{}' \
                    WHERE tenant = $1 AND id = $2";
    tx.execute_typed(replaced, &[(&tenant, Type::TEXT), (&id, Type::TEXT)]).await?;
    Ok(())
}
