//! The store over SQLite: conversations of 100 to 100,000 items, stores of 100 to 10,000 conversations,
//! turns a second beside the same inserts by the shell of SQLite (`sqlite3`, where it is installed), and
//! the memory of sessions: `cargo bench -p turnwise-store`, or one of these:
//! `cargo bench -p turnwise-store -- lengths` (`sizes`, `shell`, `memory`, `search`,
//! `transfer`).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "parts/adding.rs"]
mod adding;
#[path = "../../../benches/common/mod.rs"]
mod common;
#[path = "../tests/common/mod.rs"]
mod databases;
#[path = "parts/memory.rs"]
mod memory;
#[path = "parts/search.rs"]
mod search;
#[path = "parts/transfer.rs"]
mod transfer;

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use adding::{Adds, add, begin, load, plan, seconds_to_add};
use common::{MESSAGE, Table, Writer, float, median, micros, micros_after, samples, sized, stored_cost};
use futures_lite::future::block_on;
use tempfile::TempDir;
use turnwise::backend::Scripted;
use turnwise::store::{Change, Store};
use turnwise::{Conversation, ConversationManager, Message, TokenBudget, Transcript};
use turnwise_store::SqliteStore;

/// How much more something may take in a long conversation than in a short one.
const MOST_GROWTH: f64 = 3.0;
/// How much more something may take in a large store than in a small one.
const MOST_WITH_SIZE: f64 = 1.5;
/// Items and turns a second, beside the inserts of SQLite's shell.
const LEAST_ITEMS: f64 = 0.8;
const LEAST_TURNS: f64 = 0.5;
/// Items of each conversation of a large store.
const ITEMS: usize = 100;
/// Calls that wait at the same time.
const AT_ONCE: usize = 16;
/// The changes that each conversation begins with that is added to.
const BEGUN: usize = 2;

fn transcript(items: usize, writer: &mut Writer) -> Transcript {
    let mut transcript = Transcript::new(Conversation::from_messages((0..items).map(|number| writer.talk(number))));
    transcript.ledger.total(&transcript.conversation, &stored_cost());
    transcript
}

fn turn(writer: &mut Writer) -> [Message; 2] {
    [Message::user(writer.text(MESSAGE)), Message::assistant(writer.text(MESSAGE))]
}

/// Microseconds with a conversation of some length: to read it first, to read it again, to add a turn, to
/// fork it, to send a message with the manager that is in use.
fn with_length(folder: &Path, items: usize) -> [f64; 5] {
    let mut writer = Writer::new(3);
    let file = folder.join(format!("{items}.db"));
    let store = SqliteStore::open(&file).unwrap();
    block_on(store.save("talk", &transcript(items, &mut writer), None)).unwrap();
    let first = median(&samples(sized(5, 1), || {
        micros_after(|| SqliteStore::open(&file).unwrap(), |store| load(store, "talk"))
    }));
    let again = median(&samples(sized(51, 1), || micros(|| load(&store, "talk"))));
    let turns = median(&samples(sized(101, 2), || {
        let turn = turn(&mut writer);
        micros(|| add(&store, "talk", &turn))
    }));
    let mut number = 0;
    let forks = median(&samples(sized(51, 2), || {
        number += 1;
        micros(|| block_on(store.fork("talk", &format!("fork {number}"))).unwrap())
    }));
    [first, again, turns, forks, sends(&store, &mut writer)]
}

/// Microseconds for a turn through sessions whose manager is open. The model answers at once.
fn sends(store: &SqliteStore, writer: &mut Writer) -> f64 {
    let runs = sized(101, 2);
    let answers: Vec<String> = (0..=runs).map(|_| writer.text(MESSAGE)).collect();
    let builder = ConversationManager::builder("gpt-4o-mini").backend(Scripted::new(answers)).require_saved();
    let sessions = builder.budget(TokenBudget::limit(4_000)).sessions_over(store.clone()).unwrap();
    let _in_use = block_on(sessions.open_existing("talk")).unwrap();
    block_on(sessions.send("talk", "The first turn counts and plans everything.")).unwrap();
    median(&samples(runs, || {
        let text = writer.text(MESSAGE);
        micros(|| block_on(sessions.send("talk", text)).unwrap())
    }))
}

fn table_of_lengths() {
    let folder = TempDir::new().unwrap();
    let lengths = [100, sized(10_000, 200), sized(100_000, 300)];
    let took = lengths.map(|items| with_length(folder.path(), items));
    let title = "A conversation of so many items, median";
    let mut table = Table::with_columns(title, &["100", "10,000", "100,000"]);
    for (place, name) in
        ["read it, first", "read it again", "add a turn", "fork it", "send through sessions"].into_iter().enumerate()
    {
        table.row(name, took.iter().map(|took| took[place]).collect(), "us", String::new(), None);
        if place >= 2 {
            let growth = took[2][place] / took[0][place];
            let figures = took.iter().map(|one| one[place] / took[0][place]).collect();
            table.row("    beside 100", figures, "times", format!("< {MOST_GROWTH}"), Some(growth < MOST_GROWTH));
        }
    }
    table.print();
}

/// Saves conversations up to a number, many at once.
fn fill(store: &SqliteStore, from: usize, to: usize) {
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let store = &store;
            scope.spawn(move || {
                let mut writer = Writer::new(worker as u64);
                for number in (from..to).filter(|number| number % AT_ONCE == worker) {
                    block_on(store.save(&id(number), &transcript(ITEMS, &mut writer), None)).unwrap();
                }
            });
        }
    });
}

fn id(number: usize) -> String {
    // In no order, as ids of conversations are.
    format!("conv_{:016x}", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Microseconds in a store of so many conversations: to open one and plan, to add a turn, to list a page.
/// Each is opened once by this handle, so that no size has more of them in memory.
fn with_size(file: &Path, conversations: usize) -> [f64; 3] {
    let store = SqliteStore::open(file).unwrap();
    let mut writer = Writer::new(9);
    let runs = sized(99, 3);
    let mut number = 0;
    let mut any = || {
        number += 1;
        id(number % runs * (conversations / runs))
    };
    let plans = median(&samples(runs, || {
        let id = any();
        micros(|| plan(&store, &id))
    }));
    let turns = median(&samples(runs, || {
        let (id, turn) = (any(), turn(&mut writer));
        micros(|| add(&store, &id, &turn))
    }));
    let pages = median(&samples(runs, || {
        let id = any();
        micros(|| block_on(store.list(Some(&id), 20)).unwrap())
    }));
    [plans, turns, pages]
}

fn table_of_sizes() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chats.db");
    let mut filled = 0;
    let took = [sized(100, 3), sized(1_000, 6), sized(10_000, 9)].map(|conversations| {
        fill(&SqliteStore::open(&file).unwrap(), filled, conversations);
        filled = conversations;
        with_size(&file, conversations)
    });
    let title = format!("Conversations of {ITEMS} items in one store, so many: median");
    let mut table = Table::with_columns(&title, &["100", "1,000", "10,000"]);
    for (place, name) in ["open one and plan", "add a turn", "list a page"].into_iter().enumerate() {
        table.row(name, took.iter().map(|took| took[place]).collect(), "us", String::new(), None);
        let growth = took[2][place] / took[0][place];
        let figures = took.iter().map(|one| one[place] / took[0][place]).collect();
        table.row("    beside 100", figures, "times", format!("< {MOST_WITH_SIZE}"), Some(growth < MOST_WITH_SIZE));
    }
    let size = std::fs::metadata(&file).unwrap().len();
    table.show("the file, bytes for each item", float(usize::try_from(size).unwrap()) / float(filled * ITEMS), "bytes");
    table.print();
}

/// Seconds for SQLite's shell to write the same rows, each turn in a transaction of its own; `None` where there is
/// no shell.
fn seconds_of_shell(folder: &Path, turns: &[Vec<Message>], conversations: usize) -> Option<f64> {
    let file = folder.join("shell.db");
    begin(&SqliteStore::open(&file).unwrap(), conversations);
    let mut statements = String::from("PRAGMA synchronous = FULL;\n");
    for (number, messages) in turns.iter().enumerate() {
        let id = number % conversations;
        let log = format!("(SELECT log FROM conversations WHERE tenant = '' AND id = '{id}')");
        let last = BEGUN + number / conversations * messages.len();
        writeln!(
            statements,
            "BEGIN IMMEDIATE; UPDATE conversations SET last = last + {}, bytes = bytes + 999, changed_at = {number} \
             WHERE tenant = '' AND id = '{id}' AND last = {last};",
            messages.len()
        )
        .unwrap();
        let mut transcript = Transcript::default();
        for message in messages {
            transcript.conversation.push(message.clone());
        }
        let items = transcript.changes().into_iter().filter(|change| matches!(change, Change::Item { .. }));
        for (place, change) in items.enumerate() {
            let line = serde_json::to_string(&change).unwrap().replace('\'', "''");
            let position = last + 1 + place;
            writeln!(statements, "INSERT INTO changes VALUES ('', {log}, {position}, '{line}');").unwrap();
        }
        statements.push_str("COMMIT;\n");
    }
    let script = folder.join("inserts.sql");
    std::fs::write(&script, statements).unwrap();
    let mut shell = Command::new("sqlite3");
    shell.arg("-bail").arg(&file).stdin(File::open(&script).unwrap()).stdout(Stdio::null());
    let mut status = None;
    let took = micros(|| status = shell.status().ok());
    std::fs::remove_file(file).unwrap();
    status.map(|status| {
        assert!(status.success());
        took / 1e6
    })
}

/// Seconds for the store, with so many callers at once.
fn seconds(folder: &Path, turns: &[Vec<Message>], conversations: usize, callers: usize, adds: Adds) -> f64 {
    let file = folder.join("store.db");
    let store = SqliteStore::open(&file).unwrap();
    if adds == Adds::Indexed {
        block_on(store.enable_search()).unwrap();
    }
    begin(&store, conversations);
    let took = seconds_to_add(&store, turns, conversations, callers, adds);
    drop(store);
    std::fs::remove_file(file).unwrap();
    took
}

fn table_beside_the_shell() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let mut writer = Writer::new(11);
    let conversations = 2 * AT_ONCE;
    let count = sized(2_000, 64);
    let mut table = Table::with_columns("Beside the shell of SQLite", &["a second", "of shell's"]);
    for (name, items, adds, least) in [
        ("items", 1, Adds::Items, LEAST_ITEMS),
        ("items, each read before", 1, Adds::ItemsRead, LEAST_ITEMS),
        ("items, with an index for search", 1, Adds::Indexed, LEAST_ITEMS),
        ("turns with their plan", 2, Adds::Turns, LEAST_TURNS),
    ] {
        let turns: Vec<Vec<Message>> =
            (0..count).map(|_| (0..items).map(|number| writer.talk(number)).collect()).collect();
        let Some(shell) = seconds_of_shell(folder, &turns, conversations) else {
            println!("sqlite3 is not installed: nothing to compare with");
            return;
        };
        table.row(&format!("{name}: the shell"), vec![float(count) / shell, 1.0], "", String::new(), None);
        for callers in [1, AT_ONCE] {
            let took = seconds(folder, &turns, conversations, callers, adds);
            let (ratio, name) = (shell / took, format!("{name}: {callers} at once"));
            let is_met = Some(ratio >= least);
            table.row(&name, vec![float(count) / took, ratio], "", format!(">= {least}"), is_met);
        }
    }
    table.print();
}

fn table_of_search() {
    search::table("SQLite", &|name| Arc::new(SqliteStore::open(name.with_extension("db")).unwrap()));
}

fn main() {
    if memory::is_measured() || transfer::is_measured() {
        return;
    }
    let tables: [(&str, fn()); 6] = [
        ("lengths", table_of_lengths),
        ("sizes", table_of_sizes),
        ("shell", table_beside_the_shell),
        ("memory", memory::table),
        ("search", table_of_search),
        ("transfer", transfer::table),
    ];
    let is_asked = |name: &str| std::env::args().skip(1).any(|argument| argument == name);
    let is_any_asked = tables.iter().any(|(name, _)| is_asked(name));
    for (name, print) in tables {
        if !is_any_asked || is_asked(name) {
            print();
        }
    }
}
