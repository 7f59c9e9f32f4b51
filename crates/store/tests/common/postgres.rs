//! The PostgreSQL server that `TURNWISE_TEST_POSTGRES` names.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_postgres::{NoTls, SimpleQueryMessage};

/// The server's URL.
pub(crate) fn server() -> Option<String> {
    let url = std::env::var("TURNWISE_TEST_POSTGRES").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        // Not what tests print, which is not shown where they succeed.
        let skipped = "SKIPPED over PostgreSQL: set TURNWISE_TEST_POSTGRES to the URL of a server where databases \
                       may be made (`.ci/postgres.sh start DIR` prints one)\n";
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
    }
    url
}

/// The URL of a new database on the server.
pub(crate) fn new_database() -> Option<String> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let server = server()?;
    let name =
        format!("turnwise_{}_{:08x}_{}", std::process::id(), fastrand::u32(..), MADE.fetch_add(1, Ordering::Relaxed));
    query(&server, &format!("CREATE DATABASE {name}"));
    let (base, _) = server.rsplit_once('/').unwrap();
    Some(format!("{base}/{name}"))
}

/// The first column of the rows of some statements, as text.
pub(crate) fn query(url: &str, statements: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let found = client.simple_query(statements).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
        let rows = found.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        rows.collect()
    })
}
