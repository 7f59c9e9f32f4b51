//! The connections, and the runtime that they live in: whoever calls waits without an executor.

use std::future::Future;
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime as PoolRuntime, TimeoutType, Transaction,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{IsolationLevel, Row};
use turnwise::{Error, ErrorKind, Result};

use super::failure::Failure;
use super::tls::Tls;
use super::url::Place;
use super::{schema, tables};
use crate::engine::Answer;

/// How long a call waits for a connection that is not in use.
const QUEUE: Duration = Duration::from_secs(30);

/// How long a call tries again what the restart of a database has broken, or another transaction.
const PATIENCE: Duration = Duration::from_secs(10);

/// The values of a statement with their types. With them a statement needs neither a name nor a
/// question to the server before it, so any connection of a pooler may run it.
pub(super) type Values<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

pub(super) struct Connections {
    pool: Pool,
    /// `None` when it is ending.
    runtime: Option<Runtime>,
    /// What runs has a copy of the sender.
    running: Option<mpsc::Sender<()>>,
    all_ended: mpsc::Receiver<()>,
}

impl Connections {
    /// Connects, and brings the tables to the newest version. The calling thread waits.
    pub(super) fn start(place: &Place, most: usize) -> Result<Self> {
        let doing = format!("connecting to {}", place.shown);
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(place.config.clone(), Tls::of(place)?, manager);
        let pool = Pool::builder(manager).max_size(most).runtime(PoolRuntime::Tokio1);
        let pool = pool.wait_timeout(Some(QUEUE)).create_timeout(Some(place.most_time()));
        let pool = pool.build().map_err(|error| turnwise::store::failed(&doing, error))?;
        let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4));
        let runtime =
            Builder::new_multi_thread().worker_threads(workers).thread_name("turnwise-postgres").enable_all().build();
        let runtime = runtime.map_err(|e| turnwise::store::failed("starting threads for a database", e))?;
        let (running, all_ended) = mpsc::channel(1);
        let connections = Self { pool, runtime: Some(runtime), running: Some(running), all_ended };
        turnwise::store::wait(connections.run(move |pool| async move {
            // A wrong URL is told at once, and not after a while.
            let client = take(&pool).await.map_err(|failure| failure.told(&doing))?;
            drop(client);
            schema::migrate(&pool, schema::STEPS).await
        }))?;
        Ok(connections)
    }

    /// Runs `work` to its end, even if nobody waits for it any more.
    pub(super) fn run<T, F>(&self, work: impl FnOnce(Pool) -> F) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (Some(runtime), running) = (&self.runtime, self.running.clone()) else {
            return Box::pin(std::future::ready(ended()));
        };
        let work = work(self.pool.clone());
        let task = runtime.spawn(async move {
            let answer = work.await;
            drop(running);
            answer
        });
        Box::pin(async move { task.await.unwrap_or_else(|_| ended()) })
    }

    /// Runs a transaction.
    pub(super) fn write<W: Work>(&self, work: W) -> Answer<W::Done> {
        self.run(|pool| async move { transact(&pool, &work).await })
    }
}

/// Waits until what was begun is done.
impl Drop for Connections {
    fn drop(&mut self) {
        self.running = None;
        let Some(runtime) = self.runtime.take() else { return };
        // A thread that answers may drop the last handle itself.
        if Handle::try_current().is_ok_and(|current| current.id() == runtime.handle().id()) {
            return runtime.shutdown_background();
        }
        turnwise::store::wait(self.all_ended.recv());
        self.pool.close();
        runtime.shutdown_background();
    }
}

fn ended<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Io, "the task that uses the database ended early"))
}

/// A connection that is not in use.
pub(super) async fn take(pool: &Pool) -> Result<Object, Failure> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => Failure::Undone(error),
        PoolError::Timeout(TimeoutType::Create) => Failure::Unmade(pool.timeouts().create.unwrap_or_default()),
        PoolError::Timeout(_) => {
            let most = pool.status().max_size;
            let detail = format!("all {most} connections to the database were in use for {QUEUE:?}; try again");
            Failure::Refused(Error::new(ErrorKind::Io, detail))
        }
        error => Failure::Refused(turnwise::store::failed("taking a connection to the database", error)),
    })
}

/// The rows of a statement that only reads.
pub(super) async fn read(pool: &Pool, doing: &str, statement: &str, values: Values<'_>) -> Result<Vec<Row>> {
    let patience = Patience::new();
    loop {
        let rows = match take(pool).await {
            Ok(client) => client.query_typed(statement, values).await.map_err(Failure::Undone),
            Err(failure) => Err(failure),
        };
        match rows {
            Err(failure) if patience.waits(&failure).await => {}
            rows => return rows.map_err(|failure| failure.told(doing)),
        }
    }
}

/// How many rows a statement writes, alone in its transaction.
pub(super) async fn write(pool: &Pool, doing: &str, statement: &str, values: Values<'_>) -> Result<u64> {
    let patience = Patience::new();
    loop {
        let rows = match take(pool).await {
            Ok(client) => client.execute_typed(statement, values).await.map_err(Failure::of_commit),
            Err(failure) => Err(failure),
        };
        match rows {
            Err(failure) if patience.waits(&failure).await => {}
            rows => return rows.map_err(|failure| failure.told(doing)),
        }
    }
}

/// What is done in one transaction. It may be begun again.
pub(super) trait Work: Send + Sync + 'static {
    type Done: Send + 'static;

    /// What it does, for errors.
    const DOING: &str;

    fn run(&self, tx: &Transaction<'_>) -> impl Future<Output = Result<Self::Done, Failure>> + Send;
}

pub(super) async fn transact<W: Work>(pool: &Pool, work: &W) -> Result<W::Done> {
    let patience = Patience::new();
    loop {
        match attempt(pool, work).await {
            Err(failure) if patience.waits(&failure).await => {}
            done => return done.map_err(|failure| failure.told(W::DOING)),
        }
    }
}

async fn attempt<W: Work>(pool: &Pool, work: &W) -> Result<W::Done, Failure> {
    let mut client = take(pool).await?;
    let tx = begin(&mut client).await?;
    tables::check_version(&tx).await?;
    let done = work.run(&tx).await?;
    tx.commit().await.map_err(Failure::of_commit)?;
    Ok(done)
}

/// Begins a transaction whose statements see what others have committed before them, whatever the database's
/// default is.
pub(super) async fn begin(client: &mut Object) -> Result<Transaction<'_>, Failure> {
    Ok(client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?)
}

/// Waits before something is tried again.
pub(super) struct Patience(Instant);

impl Patience {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    /// Waits for a moment, if trying again may help; whether it may.
    pub(super) async fn waits(&self, failure: &Failure) -> bool {
        if !failure.is_passing() || self.0.elapsed() >= PATIENCE {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(10..100))).await;
        true
    }
}
