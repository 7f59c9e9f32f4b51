//! The tables: their versions, and the steps from one to the next.

use deadpool_postgres::{Pool, Transaction};
use tokio_postgres::types::Type;
use turnwise::{Error, ErrorKind, Result};

use super::connections::{Patience, begin as begin_transaction, take};
use super::failure::Failure;

/// A step to the next version.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) statements: &'static str,
    /// The oldest version of a program that can use the tables after it. A step that only adds leaves
    /// this as it was, so that older programs go on while servers are replaced one by one.
    pub(super) needs: i64,
}

/// The steps from an empty database to the newest version: that of a database is how many it has
/// taken.
pub(super) const STEPS: &[Step] = &[
    Step { statements: include_str!("../../migrations/postgres/0001.sql"), needs: 1 },
    Step { statements: include_str!("../../migrations/postgres/0002.sql"), needs: 1 },
    Step { statements: include_str!("../../migrations/postgres/0003.sql"), needs: 1 },
];

/// The version of this program.
#[expect(clippy::cast_possible_wrap, reason = "there are few steps")]
pub(super) const KNOWN: i64 = STEPS.len() as i64;

/// Of several programs that open a database, one migrates it: `turnwise` as a number.
const LOCK: i64 = 0x7475_726e_7769_7365;

const VERSION_TABLE: &str = "CREATE TABLE turnwise.schema_version (
    single  integer PRIMARY KEY CHECK (single = 1),
    version bigint NOT NULL, -- the number of steps that were taken
    needs   bigint NOT NULL  -- the oldest version of a program that can use the tables
)";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    taken: i64,
    needs: i64,
}

/// Takes each step that the database has not taken yet, in a transaction of its own. Other programs
/// wait meanwhile, and find that it was taken.
pub(super) async fn migrate(pool: &Pool, steps: &[Step]) -> Result<()> {
    let doing = "migrating the database";
    let patience = Patience::new();
    loop {
        match take_step(pool, steps).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(failure) if patience.waits(&failure).await => {}
            Err(failure) => return Err(failure.told(doing)),
        }
    }
}

/// Takes the next step; whether there may be another one.
async fn take_step(pool: &Pool, steps: &[Step]) -> Result<bool, Failure> {
    let mut client = take(pool).await?;
    let tx = begin_transaction(&mut client).await?;
    if let Some(found) = version(&tx).await?
        && is_newest(found, steps)?
    {
        return Ok(false);
    }
    tx.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
    // Another program may have been faster.
    let found = match version(&tx).await? {
        Some(found) => found,
        None => begin(&tx).await?,
    };
    if is_newest(found, steps)? {
        return Ok(false);
    }
    let Some(step) = usize::try_from(found.taken).ok().and_then(|taken| steps.get(taken)) else { return Ok(false) };
    if step.needs > found.needs && found.taken > 0 {
        // Every statement of an older program reads this table: those that run are waited for, and
        // later ones see that they are too old.
        tx.batch_execute("LOCK TABLE turnwise.schema_version IN ACCESS EXCLUSIVE MODE").await?;
    }
    tx.batch_execute(step.statements).await?;
    let note = "UPDATE turnwise.schema_version SET version = $1, needs = $2";
    tx.query_typed(note, &[(&(found.taken + 1), Type::INT8), (&step.needs.max(found.needs), Type::INT8)]).await?;
    tx.commit().await?;
    Ok(true)
}

fn is_newest(found: Version, steps: &[Step]) -> Result<bool> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if found.needs > known { Err(newer(found.needs, known)) } else { Ok(found.taken >= known) }
}

/// `None` where there are no tables of ours.
async fn version(tx: &Transaction<'_>) -> Result<Option<Version>, Failure> {
    // `to_regclass` may answer out of a memory that is older than what another program has committed.
    let found = "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = 'turnwise' AND c.relname = 'schema_version')";
    let found = tx.query_typed(found, &[]).await?;
    if !found.first().is_some_and(|row| row.get(0)) {
        return Ok(None);
    }
    let rows = tx.query_typed("SELECT version, needs FROM turnwise.schema_version", &[]).await?;
    Ok(rows.first().map(|row| Version { taken: row.get(0), needs: row.get(1) }))
}

/// Makes the schema, unless another program has one of this name.
async fn begin(tx: &Transaction<'_>) -> Result<Version, Failure> {
    let utf8 = "SELECT current_setting('server_encoding')";
    let encoding: String = tx.query_typed(utf8, &[]).await?.first().map(|row| row.get(0)).unwrap_or_default();
    if encoding != "UTF8" {
        let detail = format!(
            "the database has the encoding {encoding}, which has no place for some texts; make one with \
             CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        );
        return Err(Error::new(ErrorKind::Io, detail).into());
    }
    let theirs = "SELECT count(*) > 0, count(c.oid) > 0 FROM pg_namespace n \
                  LEFT JOIN pg_class c ON c.relnamespace = n.oid WHERE n.nspname = 'turnwise'";
    let rows = tx.query_typed(theirs, &[]).await?;
    let (is_there, is_used) = rows.first().map_or((false, false), |row| (row.get(0), row.get(1)));
    if is_used {
        let detail = "the database has a schema `turnwise` of another program; give the URL of another database";
        return Err(Error::new(ErrorKind::ForeignFormat, detail).into());
    }
    // Whoever may not make schemas can be given an empty one.
    if !is_there {
        tx.batch_execute("CREATE SCHEMA turnwise").await?;
    }
    tx.batch_execute(VERSION_TABLE).await?;
    tx.batch_execute("INSERT INTO turnwise.schema_version (single, version, needs) VALUES (1, 0, 0)").await?;
    Ok(Version { taken: 0, needs: 0 })
}

/// Refuses tables that this program is too old for.
pub(super) fn check(needs: i64) -> Result<()> {
    if needs > KNOWN { Err(newer(needs, KNOWN)) } else { Ok(()) }
}

fn newer(needs: i64, known: i64) -> Error {
    let detail = format!(
        "the database needs a program that knows version {needs} of its tables, and this version of turnwise-store knows \
         up to {known}; update the program"
    );
    Error::new(ErrorKind::NewerFormat, detail)
}
