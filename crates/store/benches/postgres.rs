//! The store over PostgreSQL: items and turns a second beside the same inserts by `pgbench`, in the server that
//! `TURNWISE_TEST_POSTGRES` names: `cargo bench -p turnwise-store --features postgres --bench postgres -- adding`; and
//! search in stores of three sizes: `-- search`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "parts/adding.rs"]
mod adding;
#[path = "../../../benches/common/mod.rs"]
mod common;
#[path = "../tests/common/mod.rs"]
mod databases;
#[path = "parts/search.rs"]
mod search;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use adding::{Adds, begin, seconds_to_add};
use common::{Table, Writer, float, sized};
use databases::postgres::{new_database, server};
use turnwise::store::Change;
use turnwise::{Message, Transcript};
use turnwise_store::PostgresStore;

/// Items and turns a second, beside the inserts of `pgbench`.
const LEAST_ITEMS: f64 = 0.8;
const LEAST_TURNS: f64 = 0.5;
/// Calls that wait at the same time.
const AT_ONCE: usize = 16;

/// The newest `pgbench` that is installed.
fn pgbench() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin/pgbench")).filter(|program| program.exists());
    programs.max().unwrap_or_else(|| "pgbench".into())
}

/// The rows of a turn, as the store writes them.
fn lines(messages: &[Message]) -> Vec<String> {
    let mut transcript = Transcript::default();
    for message in messages {
        transcript.conversation.push(message.clone());
    }
    let items = transcript.changes().into_iter().filter(|change| matches!(change, Change::Item { .. }));
    items.map(|item| serde_json::to_string(&item).unwrap()).collect()
}

/// Turns a second of `pgbench`: each in a transaction of its own, in a conversation of its own.
fn by_pgbench(folder: &Path, turns: &[Vec<Message>], conversations: usize, callers: usize) -> f64 {
    let url = new_database().unwrap();
    begin(&PostgresStore::open(&url).unwrap(), conversations);
    let rows = lines(&turns[0]);
    let mut script = format!("\\set id :client_id * {each} + random(0, {each} - 1)\n", each = conversations / callers);
    writeln!(
        script,
        "BEGIN;\nUPDATE turnwise.conversations SET last = last + {}, bytes = bytes + 999, changed_at = 1795813235000 \
         WHERE tenant = '' AND id = ':id' RETURNING log, last \\gset",
        rows.len()
    )
    .unwrap();
    for (place, row) in rows.iter().enumerate() {
        // As long as the row is; what pgbench takes for a variable of its own is left out.
        let text = row.replace([':', '\''], " ");
        writeln!(script, "INSERT INTO turnwise.changes VALUES ('', :log, :last - {place}, '{text}');").unwrap();
    }
    script.push_str("COMMIT;\n");
    let file = folder.join("turn.sql");
    std::fs::write(&file, script).unwrap();
    let mut program = Command::new(pgbench());
    program.args(["--no-vacuum", "--client", &callers.to_string(), "--jobs", &callers.min(2).to_string()]);
    program.args(["--transactions", &(turns.len() / callers).to_string(), "--file"]).arg(&file).arg(&url);
    let done = program.output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{told}{}", String::from_utf8_lossy(&done.stderr));
    let rate = told.lines().find_map(|line| line.strip_prefix("tps = ")).unwrap();
    rate.split(' ').next().unwrap().parse().unwrap()
}

fn by_store(turns: &[Vec<Message>], conversations: usize, callers: usize, adds: Adds) -> f64 {
    let url = new_database().unwrap();
    let store = PostgresStore::open(&url).unwrap();
    begin(&store, conversations);
    float(turns.len()) / seconds_to_add(&store, turns, conversations, callers, adds)
}

/// The database whose URL is in a file, or a new one.
fn database_of(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|_| {
        let url = new_database().unwrap();
        std::fs::write(file, &url).unwrap();
        url
    })
}

fn main() {
    if server().is_none() {
        return;
    }
    let is_asked = |name: &str| std::env::args().skip(1).any(|argument| argument == name);
    if !is_asked("search") {
        table_of_adding();
    }
    if !is_asked("adding") {
        search::table("PostgreSQL", &|name| {
            Arc::new(PostgresStore::open(&database_of(&name.with_extension("url"))).unwrap())
        });
    }
}

fn table_of_adding() {
    common::load_tokenizer();
    let folder = tempfile::TempDir::new().unwrap();
    let mut writer = Writer::new(11);
    let conversations = 2 * AT_ONCE;
    let count = sized(4_000, 64);
    let mut table = Table::with_columns("Beside pgbench", &["a second", "of pgbench's"]);
    for (name, items, adds, least) in [
        ("items", 1, Adds::Items, LEAST_ITEMS),
        ("items, each read before", 1, Adds::ItemsRead, LEAST_ITEMS),
        ("turns with their plan", 2, Adds::Turns, LEAST_TURNS),
    ] {
        let turns: Vec<Vec<Message>> =
            (0..count).map(|_| (0..items).map(|number| writer.talk(number)).collect()).collect();
        for callers in [1, AT_ONCE] {
            // One before and one after, because a disk is not as fast at every time.
            let before = by_pgbench(folder.path(), &turns, conversations, callers);
            let own = by_store(&turns, conversations, callers, adds);
            let after = by_pgbench(folder.path(), &turns, conversations, callers);
            let theirs = f64::midpoint(before, after);
            table.row(&format!("{name}: pgbench, {callers} at once"), vec![theirs, 1.0], "", String::new(), None);
            let (ratio, name) = (own / theirs, format!("{name}: {callers} at once"));
            table.row(&name, vec![own, ratio], "", format!(">= {least}"), Some(ratio >= least));
        }
    }
    table.print();
}
