//! What a store over SQLite promises beside what every store over a database does.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "common/talks.rs"]
mod talks;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_lite::future::block_on;
use futures_util::future::join_all;
use rusqlite::Connection;
use talks::{load, save, say, talk, texts};
use tempfile::TempDir;
use turnwise::ErrorKind;
use turnwise::store::Store;
use turnwise_store::SqliteStore;

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chats.db");
    (folder, file)
}

/// Whether a text is in a file of the folder.
fn is_on_disk(folder: &Path, text: &str) -> bool {
    let holds = |path: PathBuf| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    fs::read_dir(folder).unwrap().any(|entry| holds(entry.unwrap().path()))
}

fn count(file: &Path, of: &str) -> i64 {
    let db = Connection::open(file).unwrap();
    db.query_row(&format!("SELECT count(*) FROM {of}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn a_fork_copies_no_row_and_both_go_on_alone() {
    let (_folder, file) = folder();
    let store = SqliteStore::open(&file).unwrap();
    save(&store, "a", &talk(&["one", "two"]));
    let rows = count(&file, "changes");
    let revision = block_on(store.fork("a", "b")).unwrap();
    let third = block_on(store.fork("b", "c")).unwrap();
    assert_eq!(count(&file, "changes"), rows);
    say(&store, "a", "three a");
    say(&store, "b", "three b");
    block_on(store.fork("b", "d")).unwrap();
    say(&store, "b", "four b");
    let fresh = SqliteStore::open(&file).unwrap();
    for store in [&store, &fresh] {
        assert_eq!(texts(&load(store, "a").0), ["one", "two", "three a"]);
        assert_eq!(texts(&load(store, "b").0), ["one", "two", "three b", "four b"]);
        let (fork, now) = load(store, "c");
        assert_eq!((texts(&fork), &now), (vec!["one".to_owned(), "two".to_owned()], &third));
        assert_eq!(texts(&load(store, "d").0), ["one", "two", "three b"]);
        for id in ["b", "c", "d"] {
            assert_eq!(load(store, id).0.conversation.id(), id);
        }
    }
    assert_ne!(revision, third);
    let conflict = block_on(store.fork("a", "b")).unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::Conflict);
    assert_eq!(block_on(store.fork("none", "e")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(block_on(store.fork("a", "")).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn a_fork_outlives_the_conversation_that_it_was_made_of() {
    let (_folder, file) = folder();
    let store = SqliteStore::open(&file).unwrap();
    save(&store, "a", &talk(&["shared"]));
    block_on(store.fork("a", "b")).unwrap();
    say(&store, "a", "only a's");
    say(&store, "b", "only b's");
    block_on(store.delete("a")).unwrap();
    block_on(store.purge("a")).unwrap();
    let fresh = SqliteStore::open(&file).unwrap();
    assert_eq!(texts(&load(&fresh, "b").0), ["shared", "only b's"]);
    // What only the first had is gone, and with the last of them all of it.
    assert!(is_on_disk(file.parent().unwrap(), "shared"));
    assert!(!is_on_disk(file.parent().unwrap(), "only a's"));
    block_on(store.delete("b")).unwrap();
    block_on(store.purge("b")).unwrap();
    assert!(!is_on_disk(file.parent().unwrap(), "shared"));
    assert_eq!((count(&file, "changes"), count(&file, "logs")), (0, 0));
}

#[test]
fn what_is_replaced_redacted_or_purged_is_in_no_file_after_a_scrub() {
    let (folder, file) = folder();
    let store = SqliteStore::open(&file).unwrap();
    // Neighbours, so that pages are shared and divided.
    for number in 0..30 {
        save(&store, &format!("other {number}"), &talk(&[&"filler ".repeat(number * 20)]));
    }
    let long = "long-secret ".repeat(4_000);
    save(&store, "a", &talk(&["my secret-one", "secret-two", &long]));
    for number in 0..50 {
        say(&store, "a", &format!("secret-three {number}"));
        say(&store, &format!("other {}", number % 30), &"more ".repeat(number));
    }

    let (mut redacted, revision) = load(&store, "a");
    redacted.redact(|text| text.contains("secret-one").then(|| "my [number]".to_owned())).unwrap();
    let revision = block_on(store.save("a", &redacted, Some(&revision))).unwrap();
    // Rows that were moved when pages were divided may have left copies until then.
    block_on(store.scrub()).unwrap();
    assert!(!is_on_disk(folder.path(), "secret-one"));
    assert!(is_on_disk(folder.path(), "secret-two"));

    // A purge comes as a change.
    let mut purged = redacted.clone();
    let last = purged.conversation.path().item(1).unwrap().id();
    purged.conversation.purge(last).unwrap();
    block_on(store.append("a", &purged.changes_since(&redacted), &revision)).unwrap();
    block_on(store.scrub()).unwrap();
    for gone in ["secret-two", "long-secret", "secret-three"] {
        assert!(!is_on_disk(folder.path(), gone), "{gone}");
    }
    assert_eq!(texts(&load(&store, "a").0), ["my [number]"]);
    assert_eq!(load(&SqliteStore::open(&file).unwrap(), "a").0.to_json(), purged.to_json());

    block_on(store.delete("a")).unwrap();
    assert!(is_on_disk(folder.path(), "my [number]"), "it can be restored");
    block_on(store.purge("a")).unwrap();
    block_on(store.scrub()).unwrap();
    assert!(!is_on_disk(folder.path(), "my [number]"));
    assert_eq!(texts(&load(&store, "other 3").0).len(), 3);
}

/// The numbers of the texts `secret-NUMBER ` that are in a file of the folder.
fn secrets_on_disk(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()).into_owned();
        let numbers = text.split("secret-").skip(1).filter_map(|rest| rest.split_once(' '));
        found.extend(numbers.map(|(number, _)| number.to_owned()));
    }
    found
}

#[test]
fn a_scrub_removes_what_was_left_where_rows_were_moved() {
    let (folder, file) = folder();
    let store = SqliteStore::open(&file).unwrap();
    // Of many logs that grow in turn, rows are moved when pages are divided. Copies of some are left.
    for round in 0..8 {
        let saves = (0..160).map(|number| {
            let store = &store;
            async move {
                let (id, text) = (number.to_string(), format!("secret-{number} {}", "s".repeat(number * 37 % 900)));
                if round == 0 {
                    return drop(store.save(&id, &talk(&[&text]), None).await.unwrap());
                }
                let (before, revision) = store.load(&id).await.unwrap();
                let mut after = before.clone();
                after.conversation.push(text);
                store.append(&id, &after.changes_since(&before), &revision).await.unwrap();
            }
        });
        block_on(join_all(saves));
    }
    let gone = (0..160).step_by(2).map(|number| number.to_string());
    for id in gone.clone() {
        block_on(store.delete(&id)).unwrap();
        block_on(store.purge(&id)).unwrap();
    }
    let left = || gone.clone().filter(|id| secrets_on_disk(folder.path()).contains(id)).count();
    println!("texts of {} conversations are left", left());
    block_on(store.scrub()).unwrap();
    assert_eq!(left(), 0);
    assert_eq!(secrets_on_disk(folder.path()).len(), 80);
    say(&store, "1", "It goes on.");
    assert_eq!(texts(&load(&SqliteStore::open(&file).unwrap(), "1").0).last().unwrap(), "It goes on.");

    let reader = Connection::open(&file).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row("SELECT count(*) FROM changes", [], |row| row.get::<_, i64>(0)).unwrap();
    say(&store, "1", "The reader does not see this.");
    let busy = block_on(store.scrub()).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy, "{busy}");
}

#[test]
fn removed_text_that_another_process_still_reads_is_cleared_when_it_has_finished() {
    let (folder, file) = folder();
    let store = SqliteStore::open(&file).unwrap();
    let revision = save(&store, "a", &talk(&["a secret"]));
    let reader = Connection::open(&file).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row("SELECT count(*) FROM changes", [], |row| row.get::<_, i64>(0)).unwrap();
    block_on(store.save("a", &talk(&["nothing"]), Some(&revision))).unwrap();
    assert!(is_on_disk(folder.path(), "a secret"), "the reader can see it");
    say(&store, "a", "others are not kept waiting");
    reader.execute_batch("COMMIT").unwrap();
    // On its own, without another write.
    let is_cleared = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        !is_on_disk(folder.path(), "a secret")
    });
    assert!(is_cleared);
}

#[test]
fn changes_that_hold_a_whole_conversation_replace_what_was_there() {
    let (folder, file) = folder();
    let store = SqliteStore::open(&file).unwrap();
    let revision = save(&store, "a", &talk(&["of the first"]));
    let other = talk(&["of another"]);
    block_on(store.append("a", &other.changes(), &revision)).unwrap();
    assert_eq!(load(&store, "a").0.to_json(), other.to_json());
    assert!(!is_on_disk(folder.path(), "of the first"));
}

#[test]
fn a_database_of_every_older_version_opens() {
    for version in [1, 2] {
        opens_a_database_of(version);
    }
}

fn fixture(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/version-{version}.db"))
}

fn opens_a_database_of(version: u32) {
    let (_folder, file) = folder();
    fs::copy(fixture(version), &file).unwrap();
    let store = SqliteStore::open(&file).unwrap();
    assert_eq!(block_on(store.list(None, 10)).unwrap(), ["fork", "talk"]);
    let (talk, _) = load(&store, "talk");
    assert_eq!(texts(&talk), ["Name a river.", "The Elbe.", "Another one."]);
    assert_eq!(texts(&load(&store, "fork").0), ["Name a river.", "The Elbe.", "A lake, then."]);
    assert_eq!(texts(&load(&store.tenant("ann").unwrap(), "talk").0), ["of Ann"]);
    block_on(store.restore("deleted")).unwrap();
    assert_eq!(texts(&load(&store, "deleted").0), ["restored"]);
    say(&store, "talk", "It goes on.");
}

/// Makes the newest fixture of [`a_database_of_every_older_version_opens`]; only for a new version, before it is
/// written.
#[test]
#[ignore = "writes a fixture"]
fn make_the_fixture() {
    let (_folder, file) = folder();
    let store = SqliteStore::open(&file).unwrap();
    save(&store, "talk", &talk(&["Name a river."]));
    say(&store, "talk", "The Elbe.");
    block_on(store.fork("talk", "fork")).unwrap();
    say(&store, "talk", "Another one.");
    say(&store, "fork", "A lake, then.");
    save(&store, "deleted", &talk(&["restored"]));
    block_on(store.delete("deleted")).unwrap();
    save(&store.tenant("ann").unwrap(), "talk", &talk(&["of Ann"]));
    drop(store);
    // Deleted conversations of a fixture never expire.
    Connection::open(&file).unwrap().execute("UPDATE deleted SET deleted_at = 7258118400000", []).unwrap();
    fs::copy(&file, fixture(2)).unwrap();
}

#[test]
fn a_newer_database_is_refused_even_while_it_is_open() {
    let (_folder, file) = folder();
    let store = SqliteStore::open(&file).unwrap();
    let revision = save(&store, "a", &talk(&["one"]));
    let newer = Connection::open(&file).unwrap();
    newer.pragma_update(None, "user_version", 1_000).unwrap();
    let refused = [
        SqliteStore::open(&file).map(drop).unwrap_err(),
        block_on(store.load("a")).map(drop).unwrap_err(),
        block_on(store.save("a", &talk(&["two"]), Some(&revision))).unwrap_err(),
    ];
    for refused in refused {
        assert_eq!(refused.kind(), ErrorKind::NewerFormat, "{refused}");
        assert!(refused.detail().contains("version 1000") && refused.detail().contains("update"), "{refused}");
    }
}

#[test]
fn a_file_that_is_no_database_or_has_lost_rows_is_damaged_and_says_so() {
    let (folder, file) = folder();
    fs::write(&file, "this is no database, whatever its name says. ".repeat(40)).unwrap();
    let refused = SqliteStore::open(&file).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged, "{refused}");

    let file = folder.path().join("other.db");
    let store = SqliteStore::open(&file).unwrap();
    let mut revisions = Vec::new();
    for id in ["lost", "changed", "unknown"] {
        revisions.push(save(&store, id, &talk(&["one", "two"])));
    }
    drop(store);
    let db = Connection::open(&file).unwrap();
    let of = |id: &str| format!("log = (SELECT log FROM conversations WHERE id = '{id}') AND position = 3");
    db.execute_batch(&format!("DELETE FROM changes WHERE {}", of("lost"))).unwrap();
    db.execute_batch(&format!("UPDATE changes SET change = '{{\"item\":' WHERE {}", of("changed"))).unwrap();
    db.execute_batch(&format!("UPDATE changes SET change = '{{\"sung\":{{}}}}' WHERE {}", of("unknown"))).unwrap();
    let store = SqliteStore::open(&file).unwrap();
    for (id, kind, says) in [
        ("lost", ErrorKind::Damaged, "2 of 3 rows"),
        ("changed", ErrorKind::Damaged, "row 3"),
        ("unknown", ErrorKind::NewerFormat, "sung"),
    ] {
        let refused = block_on(store.load(id)).unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
        assert!(refused.detail().contains(says), "{refused}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_an_error_that_names_it() {
    let (folder, _) = folder();
    let refused = SqliteStore::open(folder.path().join("none").join("chats.db")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Io);
    assert!(refused.detail().contains("none"), "{refused}");
}
