//! Databases and folders that a user may only read.
#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

#[cfg(feature = "postgres")]
mod common;
#[path = "common/talks.rs"]
mod talks;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use futures_lite::future::block_on;
use talks::{load, save, say, talk};
use tempfile::TempDir;
use turnwise::store::{FileStore, Store};
use turnwise::{Error, ErrorKind};
use turnwise_store::export::Exporter;
use turnwise_store::search::{SearchQuery, scan};
use turnwise_store::usage::totals;

/// What the user is told to read: a folder that the test has made.
const FOLDER: &str = "TURNWISE_TEST_READER";

/// The folder in it that the user may write to: the system's one for temporary files need not be.
const COPIES: &str = "copies";

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn assert_refused(error: &Error, told: &str) {
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.detail().contains(told), "{told}: {error}");
}

/// Runs a test of this file as a user for whom permissions count, if there is one.
fn as_reader(test: &str, folder: &Path) {
    let own = std::env::current_exe().unwrap();
    let copies = folder.join(COPIES);
    fs::create_dir_all(&copies).unwrap();
    set(&copies, 0o777);
    let probe = folder.join("probe");
    fs::write(&probe, "").unwrap();
    set(&probe, 0o444);
    let is_root = fs::File::options().write(true).open(&probe).is_ok();
    fs::remove_file(&probe).unwrap();
    let mut command = if is_root {
        // Nobody may be in the folder that it was built in.
        let copy = folder.join("test");
        fs::copy(own, &copy).unwrap();
        set(&copy, 0o755);
        let reader = || {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            command
        };
        let is_reached = reader().args(["test", "-x"]).arg(&copy).current_dir("/").status();
        if !is_reached.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED what a user may only read: there is no `setpriv`, or {} is not for all", copy.display());
            return;
        }
        let mut command = reader();
        command.arg(copy);
        command
    } else {
        Command::new(own)
    };
    let ran = command.args(["--exact", test, "--nocapture"]).env(FOLDER, folder).current_dir("/").output().unwrap();
    let told = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && told.contains("1 passed"), "{told}");
}

/// The folder that is to be read, where a test runs as [`as_reader`].
fn told() -> Option<std::path::PathBuf> {
    std::env::var_os(FOLDER).map(Into::into)
}

fn reads_all(store: &dyn Store) {
    assert_eq!(block_on(store.list(None, 10)).unwrap(), ["ann", "bob"]);
    assert_eq!(load(store, "ann").0.conversation.path().len(), 2);
    assert_eq!(block_on(scan(store, &SearchQuery::new("apple"))).unwrap().found.len(), 2);
    assert_eq!(block_on(totals(store)).unwrap().conversations, 2);
    let mut out = Exporter::new(Vec::new()).unwrap();
    block_on(out.add(None, store)).unwrap();
    assert_eq!(out.conversations(), 2);
}

fn fill(store: &dyn Store) {
    for id in ["ann", "bob"] {
        save(store, id, &talk(&["apple"]));
        say(store, id, "pear");
    }
}

#[test]
fn a_folder_is_read_by_who_may_not_write_it() {
    if let Some(folder) = told() {
        let store = FileStore::open(folder.join("chats")).unwrap();
        reads_all(&store);
        let told = "permission denied: this user may not write to the folder";
        assert_refused(&block_on(store.fork("ann", "fork")).unwrap_err(), told);
        assert_refused(&block_on(store.delete("ann")).unwrap_err(), "give it the owner and permissions of its target");
        return;
    }
    let folder = TempDir::new().unwrap();
    set(folder.path(), 0o755);
    let chats = folder.path().join("chats");
    let store = FileStore::open(&chats).unwrap();
    fill(&store);
    for name in names(&chats) {
        set(&chats.join(name), 0o444);
    }
    set(&chats, 0o555);
    as_reader("a_folder_is_read_by_who_may_not_write_it", folder.path());
    set(&chats, 0o755);
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use turnwise_store::SqliteStore;
    use turnwise_store::forget::Rules;
    use turnwise_store::search::ListQuery;

    use super::*;

    const WAYS: [(&str, u32, u32); 3] = [("neither", 0o555, 0o444), ("folder", 0o777, 0o444), ("file", 0o555, 0o666)];

    fn reads(file: &Path) -> SqliteStore {
        let store = SqliteStore::open(file).unwrap();
        reads_all(&store);
        assert_eq!(block_on(store.search(&SearchQuery::new("apple"))).unwrap().found.len(), 2);
        assert_eq!(block_on(store.list_by(&ListQuery::new())).unwrap().found.len(), 2);
        assert_eq!(block_on(store.totals()).unwrap().conversations, 2);
        assert_eq!(block_on(store.expiring(&Rules::new().keep_last(1))).unwrap().len(), 1);
        assert!(block_on(store.deleted(None, 10)).unwrap().is_empty());
        let copies = TempDir::new_in(told().unwrap().join(COPIES)).unwrap();
        block_on(store.backup(copies.path().join("copy.db"))).unwrap();
        store
    }

    /// Of connections that close at the same moment, none may be the last one, which removes the write-ahead file.
    fn close(store: SqliteStore) {
        let file = store.path().to_owned();
        drop(store);
        while file.with_extension("db-wal").exists() {
            let db = rusqlite::Connection::open(&file).unwrap();
            db.query_row("PRAGMA user_version", [], |_| Ok(())).unwrap();
        }
    }

    fn refuses_to_write(store: &SqliteStore) {
        let refused = [
            block_on(store.save("cat", &talk(&["apple"]), None)).map(drop).unwrap_err(),
            block_on(store.fork("ann", "fork")).map(drop).unwrap_err(),
            block_on(store.delete("ann")).unwrap_err(),
            block_on(store.expire(&Rules::new().keep_last(0))).map(drop).unwrap_err(),
            block_on(store.disable_search()).unwrap_err(),
            block_on(store.scrub()).unwrap_err(),
        ];
        for error in refused {
            assert_refused(&error, "this database may only be read");
        }
    }

    #[test]
    fn a_database_is_read_by_who_may_not_write_its_file_or_its_folder() {
        if let Some(folder) = told() {
            for (way, ..) in WAYS {
                let folder = folder.join(way);
                let before = names(&folder);
                let store = reads(&folder.join("chats.db"));
                refuses_to_write(&store);
                reads_all(&store);
                drop(store);
                assert_eq!(names(&folder), before, "{way}: nothing is left beside it");
            }
            return;
        }
        let folder = TempDir::new().unwrap();
        set(folder.path(), 0o755);
        for (way, of_folder, of_file) in WAYS {
            let file = folder.path().join(way).join("chats.db");
            fs::create_dir(file.parent().unwrap()).unwrap();
            let store = SqliteStore::open(&file).unwrap();
            block_on(store.enable_search()).unwrap();
            fill(&store);
            close(store);
            set(&file, of_file);
            set(file.parent().unwrap(), of_folder);
        }
        as_reader("sqlite::a_database_is_read_by_who_may_not_write_its_file_or_its_folder", folder.path());
        for (way, ..) in WAYS {
            set(&folder.path().join(way), 0o755);
        }
    }

    /// A copy has no write-ahead file until it is opened by who may write.
    #[test]
    fn a_copy_that_nobody_has_opened_is_read_by_who_may_not_write_its_folder() {
        if let Some(folder) = told() {
            let folder = folder.join("kept");
            let before = names(&folder);
            let store = reads(&folder.join("chats.db"));
            refuses_to_write(&store);
            drop(store);
            assert_eq!(names(&folder), before, "nothing is left beside it");
            return;
        }
        let folder = TempDir::new().unwrap();
        let store = SqliteStore::open(folder.path().join("chats.db")).unwrap();
        block_on(store.enable_search()).unwrap();
        fill(&store);
        let kept = folder.path().join("kept");
        fs::create_dir(&kept).unwrap();
        let copy = kept.join("chats.db");
        block_on(store.backup(&copy)).unwrap();
        close(store);
        set(folder.path(), 0o755);
        set(&copy, 0o666);
        set(&kept, 0o555);
        as_reader("sqlite::a_copy_that_nobody_has_opened_is_read_by_who_may_not_write_its_folder", folder.path());
        set(&kept, 0o755);
    }

    #[test]
    fn half_a_transaction_is_not_read_but_said() {
        if let Some(folder) = told() {
            for (way, ..) in WAYS {
                let error = SqliteStore::open(folder.join(way).join("chats.db")).unwrap_err();
                assert_refused(&error, "a program was ended in the middle of writing it");
            }
            return;
        }
        let folder = TempDir::new().unwrap();
        set(folder.path(), 0o755);
        let file = folder.path().join("chats.db");
        let store = SqliteStore::open(&file).unwrap();
        fill(&store);
        close(store);
        let db = rusqlite::Connection::open(&file).unwrap();
        // More than fits in memory, so that some of it is in the file before it is committed.
        let half = "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 2; BEGIN; CREATE TABLE half (x);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
            INSERT INTO half SELECT hex(randomblob(500)) FROM n";
        db.execute_batch(half).unwrap();
        for (way, of_folder, of_file) in WAYS {
            let own = folder.path().join(way);
            fs::create_dir(&own).unwrap();
            for name in ["chats.db", "chats.db-journal"] {
                fs::copy(folder.path().join(name), own.join(name)).unwrap();
                set(&own.join(name), of_file);
            }
            set(&own, of_folder);
        }
        as_reader("sqlite::half_a_transaction_is_not_read_but_said", folder.path());
        for (way, ..) in WAYS {
            set(&folder.path().join(way), 0o755);
        }
        // Who may write it undoes the half.
        reads_all(&SqliteStore::open(folder.path().join("file/chats.db")).unwrap());
    }

    #[test]
    fn what_others_have_just_written_is_read_by_who_may_not_write() {
        if let Some(folder) = told() {
            refuses_to_write(&reads(&folder.join("chats.db")));
            return;
        }
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("chats.db");
        close(SqliteStore::open(&file).unwrap());
        set(&file, 0o644);
        let store = SqliteStore::open(&file).unwrap();
        block_on(store.enable_search()).unwrap();
        fill(&store);
        set(folder.path(), 0o755);
        assert!(names(folder.path()).contains(&"chats.db-wal".to_owned()));
        as_reader("sqlite::what_others_have_just_written_is_read_by_who_may_not_write", folder.path());
        save(&store, "cat", &talk(&["apple"]));
    }

    #[test]
    fn an_older_database_says_that_it_has_to_be_migrated() {
        if let Some(folder) = told() {
            let error = SqliteStore::open(folder.join("chats.db")).unwrap_err();
            assert_refused(&error, "migrating the database from version 1 to 4: this database may only be read");
            assert!(names(&folder).iter().all(|name| !name.contains("version")));
            return;
        }
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("chats.db");
        fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-1.db"), &file).unwrap();
        set(&file, 0o444);
        set(folder.path(), 0o777);
        as_reader("sqlite::an_older_database_says_that_it_has_to_be_migrated", folder.path());
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use turnwise_store::PostgresStore;
    use turnwise_store::forget::Rules;

    use super::common::postgres::{new_database, query};
    use super::*;

    /// A database with conversations and an index, and the URL of a user who may only read it.
    fn database() -> Option<(String, PostgresStore, String)> {
        let url = new_database()?;
        let store = PostgresStore::open(&url).unwrap();
        fill(&store);
        block_on(store.enable_search()).unwrap();
        let name = format!("reader_{:08x}", fastrand::u32(..));
        query(
            &url,
            &format!(
                "CREATE ROLE {name} LOGIN PASSWORD 'reads'; GRANT USAGE ON SCHEMA turnwise TO {name}; \
                 GRANT SELECT ON ALL TABLES IN SCHEMA turnwise TO {name}"
            ),
        );
        let (_, place) = url.split_once('@').unwrap();
        let reader = format!("postgres://{name}:reads@{place}");
        Some((url, store, reader))
    }

    fn reads_only(store: &PostgresStore, told: &str) {
        reads_all(store);
        assert_eq!(block_on(store.search(&SearchQuery::new("apple"))).unwrap().found.len(), 2);
        assert_eq!(block_on(store.totals()).unwrap().conversations, 2);
        assert_eq!(block_on(store.expiring(&Rules::new().keep_last(1))).unwrap().len(), 1);
        let refused = [
            block_on(store.save("cat", &talk(&["apple"]), None)).map(drop).unwrap_err(),
            block_on(store.fork("ann", "fork")).map(drop).unwrap_err(),
            block_on(store.delete("ann")).unwrap_err(),
            block_on(store.expire(&Rules::new().keep_last(0))).map(drop).unwrap_err(),
        ];
        for error in refused {
            assert_refused(&error, told);
        }
    }

    #[test]
    fn a_user_with_select_and_a_database_that_only_reads_can_do_what_reads() {
        let Some((url, _, reader)) = database() else { return };
        reads_only(&PostgresStore::open(&reader).unwrap(), "SELECT on its tables");
        let only_reads = format!("{url}?options=-c%20default_transaction_read_only%3Don");
        reads_only(&PostgresStore::open(&only_reads).unwrap(), "The database only reads here");
    }

    #[test]
    fn an_index_that_lacks_what_was_written_last_is_none_for_who_may_not_add_it() {
        let Some((_, store, reader)) = database() else { return };
        let reader = PostgresStore::open(&reader).unwrap();
        say(&store, "ann", "a plum");
        let refused = block_on(reader.search(&SearchQuery::new("plum"))).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        assert!(refused.detail().contains("lacks what was written last"), "{refused}");
        assert_eq!(block_on(scan(&reader, &SearchQuery::new("plum"))).unwrap().found.len(), 1);
        block_on(store.search(&SearchQuery::new("plum"))).unwrap();
        assert_eq!(block_on(reader.search(&SearchQuery::new("plum"))).unwrap().found.len(), 1);
    }
}
