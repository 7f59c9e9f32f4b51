//! The index for search: turned on and off, and its state.

mod add;
mod find;
mod list;
pub(super) mod remove;
mod scope;
mod stretch;

use deadpool_postgres::Transaction;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use turnwise::{Error, ErrorKind, Result};

use super::PostgresStore;
use super::connections::Work;
use super::failure::Failure;
use crate::seal::{SEALED, not_searchable};
use crate::search::index::{FORMAT, State};
use crate::search::{Hit, ListQuery, Listed, Page, SearchQuery};

/// Whoever makes, removes or adds to the index is alone: `search` as a number.
const LOCK: i64 = 0x0073_6561_7263_6801;

/// What notes that something is to be added to the index, while search is on, and removes from it what
/// is removed. In the order in which writers use the tables.
const TRIGGERS: &str = "
    CREATE TRIGGER search_begun AFTER INSERT ON turnwise.conversations REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION turnwise.search_note_conversations();
    CREATE TRIGGER search_written AFTER UPDATE ON turnwise.conversations REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION turnwise.search_note_conversations();
    CREATE TRIGGER search_gone AFTER DELETE ON turnwise.conversations REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION turnwise.search_note_conversations();
    CREATE TRIGGER search_change AFTER INSERT ON turnwise.changes REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION turnwise.search_note_changes();
    CREATE TRIGGER search_removed AFTER DELETE ON turnwise.changes REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION turnwise.search_forget();";

const NOTHING: &str = "
    DROP TRIGGER IF EXISTS search_begun ON turnwise.conversations;
    DROP TRIGGER IF EXISTS search_written ON turnwise.conversations;
    DROP TRIGGER IF EXISTS search_gone ON turnwise.conversations;
    DROP TRIGGER IF EXISTS search_change ON turnwise.changes;
    DROP TRIGGER IF EXISTS search_removed ON turnwise.changes;
    DROP INDEX IF EXISTS turnwise.search_items_by_part;
    TRUNCATE turnwise.search_items, turnwise.search_states, turnwise.search_conversations, turnwise.search_tenants,
        turnwise.search_times, turnwise.search_notes;
    UPDATE turnwise.search SET state = 0, format = 0;";

/// What there was is added in the order in which conversations were written last, so that what was found
/// last is about the newest.
const OLD: &str = "
    INSERT INTO turnwise.search_notes (tenant, log, position)
    SELECT c.tenant, c.log, c.position FROM turnwise.changes c
    LEFT JOIN (
        SELECT tenant, log, changed_at FROM turnwise.conversations
        UNION ALL SELECT tenant, log, changed_at FROM turnwise.deleted
    ) w ON w.tenant = c.tenant AND w.log = c.log
    WHERE starts_with(c.change, '{\"item\"') OR starts_with(c.change, '{\"metadata\"')
    ORDER BY coalesce(w.changed_at, 0), c.tenant, c.log, c.position;
    INSERT INTO turnwise.search_notes (tenant, id) SELECT tenant, id FROM turnwise.conversations;";

impl PostgresStore {
    /// Makes the index for [`search`](Self::search), of all tenants, and keeps it up to date from now on,
    /// whichever process writes: what was written is found as soon as the write was acknowledged.
    /// Conversations that are there are added in steps, between which others write; if that is
    /// interrupted, call this again.
    ///
    /// Writers only note what they have written, and the next search adds it to the index. Where nobody
    /// searches for long, call this now and then: on an index that is there, it adds what was noted.
    ///
    /// Conversations that are sealed (feature `encryption`) have no index, since it would hold their words in
    /// plain text.
    ///
    /// The index needs PostgreSQL's extension `pg_trgm`, which this makes where it may. There is no
    /// index unless somebody calls this, since it makes writing slower and the database larger.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if conversations are sealed; [`ErrorKind::Io`] if the database fails, or has no `pg_trgm` and does not let this user make it: then
    /// somebody who may has to run `CREATE EXTENSION pg_trgm` in this database.
    pub async fn enable_search(&self) -> Result<()> {
        self.shared.seal.check_searchable()?;
        let connections = &self.shared.connections;
        connections.write(Enable).await?;
        while connections.write(add::CatchUp).await? {}
        connections.write(Finish).await
    }

    /// Removes the index for search.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the database fails.
    pub async fn disable_search(&self) -> Result<()> {
        self.shared.connections.write(Disable).await
    }

    /// Whether there is an index for search.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the database fails.
    pub async fn is_searchable(&self) -> Result<bool> {
        Ok(self.shared.connections.write(Look).await?.0 == State::On)
    }

    /// Searches the conversations of this tenant, the item first that was written last. Deleted
    /// conversations are not searched. [`search`](crate::search) says what is found.
    ///
    /// # Errors
    /// - [`ErrorKind::NotFound`] if there is no index: call [`enable_search`](Self::enable_search), or
    ///   read everything with [`scan`](crate::search::scan); also for a user who may only read, while the index lacks
    ///   what was written last.
    /// - [`ErrorKind::Busy`] while the index is being made.
    /// - [`ErrorKind::InvalidParam`] if the query has nothing to search for, or its cursor is wrong.
    pub async fn search(&self, query: &SearchQuery) -> Result<Page<Hit>> {
        self.catch_up().await?;
        self.shared.connections.write(find::Search { tenant: self.tenant.clone(), query: query.clone() }).await
    }

    /// Lists conversations of this tenant by their time, their metadata and what was said in them: the one
    /// first that was used last, or, with a text, the one with the newest item in which it is.
    ///
    /// # Errors
    /// As for [`search`](Self::search).
    pub async fn list_by(&self, query: &ListQuery) -> Result<Page<Listed>> {
        self.catch_up().await?;
        self.shared.connections.write(list::List { tenant: self.tenant.clone(), query: query.clone() }).await
    }

    /// Adds to the index what was written.
    async fn catch_up(&self) -> Result<()> {
        self.shared.seal.check_searchable()?;
        let (state, mut is_more) = self.shared.connections.write(Look).await?;
        state.check_is_on()?;
        while is_more {
            is_more = self.shared.connections.write(CatchUpIfAllowed).await?;
        }
        Ok(())
    }
}

/// As [`add::CatchUp`]; an index to which this user may not add is none.
struct CatchUpIfAllowed;

impl Work for CatchUpIfAllowed {
    type Done = bool;

    const DOING: &str = add::CatchUp::DOING;

    async fn run(&self, tx: &Transaction<'_>) -> Result<bool, Failure> {
        let added = add::CatchUp.run(tx).await;
        added.map_err(|failure| {
            if !failure.is_of_reader() {
                return failure;
            }
            let detail = "the index for search lacks what was written last, and this user may not add it; read everything \
                          with `search::scan` (`turnwise conversations search`), or let a user who may write search first";
            Error::new(ErrorKind::NotFound, detail).into()
        })
    }
}

async fn state(tx: &Transaction<'_>) -> Result<State, Failure> {
    let rows = tx.query_typed("SELECT state::bigint, format::bigint FROM turnwise.search", &[]).await?;
    Ok(rows.first().map_or(State::Off, |row| State::of(row.get(0), row.get(1))))
}

/// Waits until nobody else makes, removes or adds to the index.
async fn alone(tx: &Transaction<'_>) -> Result<(), Failure> {
    tx.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
    Ok(())
}

/// Takes what a search reads in the order in which [`NOTHING`] takes it. In the order of its statements, a search
/// would wait for a table of one that removes the index, and that one for a table of the search.
///
/// The planner knows nothing of what is searched for, so it would also compile what is quickly done.
async fn prepare(tx: &Transaction<'_>) -> Result<(), Failure> {
    let prepare = "LOCK TABLE turnwise.conversations, turnwise.changes, turnwise.search_items, \
                   turnwise.search_conversations IN ACCESS SHARE MODE; SET LOCAL jit = off";
    tx.batch_execute(prepare).await?;
    Ok(())
}

/// Reads the state of the index, and whether something was noted that is to be added.
struct Look;

impl Work for Look {
    type Done = (State, bool);

    const DOING: &str = "reading the state of the index for search";

    async fn run(&self, tx: &Transaction<'_>) -> Result<(State, bool), Failure> {
        let state = state(tx).await?;
        let any = "SELECT EXISTS (SELECT 1 FROM turnwise.search_notes)";
        Ok((state, tx.query_typed_one(any, &[]).await?.get(0)))
    }
}

struct Enable;

impl Work for Enable {
    type Done = ();

    const DOING: &str = "making the index for search";

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Failure> {
        alone(tx).await?;
        if state(tx).await? != State::Off {
            return Ok(());
        }
        check_unsealed(tx).await?;
        let schema = trigrams(tx).await?;
        tx.batch_execute(NOTHING).await?;
        let parts = format!(
            "CREATE INDEX search_items_by_part ON turnwise.search_items USING gin (words \"{}\".gin_trgm_ops)",
            schema.replace('"', "\"\"")
        );
        tx.batch_execute(&parts).await?;
        tx.batch_execute(TRIGGERS).await?;
        tx.batch_execute(OLD).await?;
        set_state(tx, 1).await
    }
}

/// Refuses a database of which a conversation is sealed. Its owner has the keys, and this program has not.
async fn check_unsealed(tx: &Transaction<'_>) -> Result<(), Failure> {
    let sealed = "SELECT EXISTS (SELECT 1 FROM turnwise.logs l JOIN turnwise.changes c ON c.tenant = l.tenant \
                  AND c.log = l.log AND c.position = l.at + 1 WHERE starts_with(c.change, $1))";
    let sealed = tx.query_typed_one(sealed, &[(&SEALED, Type::TEXT)]).await?;
    if sealed.get(0) { Err(not_searchable().into()) } else { Ok(()) }
}

async fn set_state(tx: &Transaction<'_>, state: i64) -> Result<(), Failure> {
    let set = "UPDATE turnwise.search SET state = $1::bigint, format = $2::bigint";
    tx.execute_typed(set, &[(&state, Type::INT8), (&FORMAT, Type::INT8)]).await?;
    Ok(())
}

/// The schema in which the extension for parts of words is. It is made where there is none.
async fn trigrams(tx: &Transaction<'_>) -> Result<String, Failure> {
    tx.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_trgm").await.map_err(without_trigrams)?;
    let place = "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
                 WHERE e.extname = 'pg_trgm'";
    Ok(tx.query_typed_one(place, &[]).await?.get(0))
}

fn without_trigrams(error: tokio_postgres::Error) -> Failure {
    let missing = [SqlState::UNDEFINED_FILE, SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SCHEMA_NAME];
    let why = match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => "this user may not make it",
        Some(code) if missing.contains(code) => "it cannot be made",
        _ => return error.into(),
    };
    let said = error.as_db_error().map(|said| said.message().to_owned()).unwrap_or_default();
    let detail = format!(
        "search needs PostgreSQL's extension pg_trgm, and {why} ({said}); have an administrator run CREATE EXTENSION \
         pg_trgm in this database (it comes with PostgreSQL's contrib modules), then call `enable_search` again"
    );
    Failure::Refused(Error::new(ErrorKind::Io, detail).because(error))
}

/// Everything that was there is in the index.
struct Finish;

impl Work for Finish {
    type Done = ();

    const DOING: &str = "making the index for search";

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Failure> {
        alone(tx).await?;
        if state(tx).await? == State::BeingMade { set_state(tx, 2).await } else { Ok(()) }
    }
}

/// Removes the index, if there is one.
pub(super) struct Disable;

impl Work for Disable {
    type Done = ();

    const DOING: &str = "removing the index for search";

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Failure> {
        if state(tx).await? != State::Off {
            alone(tx).await?;
            tx.batch_execute(NOTHING).await?;
        }
        Ok(())
    }
}
