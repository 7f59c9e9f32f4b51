//! One conversation with which something cannot be done does not keep it from the others, and is
//! named.
#![allow(clippy::unwrap_used, missing_docs)]

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod common;
#[path = "common/talks.rs"]
mod talks;

use std::fs;
use std::sync::Arc;

use futures_lite::future::block_on;
use talks::{load, save, talk};
use tempfile::TempDir;
use turnwise::backend::Usage;
use turnwise::spending::{Call, Purpose};
use turnwise::store::{BoxFuture, Change, FileStore, MemoryStore, Revision, Store};
use turnwise::{Error, ErrorKind, Result, Transcript};
use turnwise_store::Failed;
use turnwise_store::export::{Existing, Exporter, import};
use turnwise_store::search::{SearchQuery, scan};
use turnwise_store::usage::{Totals, totals};

/// A folder with `ann`, `bob`, who is broken, and `cat`.
fn folder() -> (TempDir, FileStore) {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    for id in ["ann", "bob", "cat"] {
        save(&store, id, &talk(&[&format!("apple of {id}")]));
        spend(&store, id, 100);
    }
    fs::write(store.path("bob").unwrap(), "{\"messages\": [").unwrap();
    (folder, store)
}

fn spend(store: &(impl Store + ?Sized), id: &str, tokens: u64) {
    let (mut transcript, revision) = load(store, id);
    let before = transcript.clone();
    transcript.spending.add(&Call::new(Purpose::Reply, "m").usage(&Usage::new(tokens, 0)));
    block_on(store.append(id, &transcript.changes_since(&before), &revision)).unwrap();
}

fn ids(failed: &[Failed]) -> Vec<&str> {
    failed.iter().map(|failed| failed.id.as_str()).collect()
}

/// The conversations and the tokens that were added up, and those that could not be.
fn added(totals: &Totals) -> (usize, u64, Vec<&str>) {
    (totals.conversations, totals.total().prompt_tokens, ids(&totals.failed))
}

fn found(store: &dyn Store, query: &SearchQuery) -> (Vec<String>, Vec<Failed>) {
    let page = block_on(scan(store, query)).unwrap();
    (page.found.into_iter().map(|hit| hit.conversation).collect(), page.failed)
}

#[test]
fn a_search_without_an_index_finds_what_can_be_read() {
    let (_folder, store) = folder();
    let (found, failed) = found(&store, &SearchQuery::new("apple"));
    assert_eq!((found, ids(&failed)), (vec!["ann".to_owned(), "cat".to_owned()], vec!["bob"]));
    assert_eq!(failed[0].error.kind(), ErrorKind::Damaged);
    assert!(serde_json::to_string(&failed).unwrap().starts_with("[{\"id\":\"bob\",\"error\":\""));
}

#[test]
fn a_search_in_one_conversation_reads_no_other_and_fails_with_that_one() {
    let (_folder, store) = folder();
    let of = |id: &str| SearchQuery::new("apple").in_conversation(id);
    assert_eq!(found(&store, &of("cat")), (vec!["cat".to_owned()], vec![]));
    assert_eq!(found(&store, &of("nobody")), (vec![], vec![]));
    assert_eq!(block_on(scan(&store, &of("bob"))).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn totals_of_a_folder_have_what_can_be_read() {
    let (_folder, store) = folder();
    assert_eq!(added(&block_on(totals(&store)).unwrap()), (2, 200, vec!["bob"]));
}

#[test]
fn totals_of_a_folder_have_what_forks_share_once_and_what_a_server_has_stored_apart() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    save(&store, "first", &talk(&["Hi"]));
    let tokens = |store: &FileStore| {
        let totals = block_on(totals(store)).unwrap();
        (totals.conversations, totals.stored, totals.total().prompt_tokens)
    };
    let response = format!("resp_{}", "0".repeat(50));
    for (from, fork) in [("first", "second"), ("second", "third"), ("third", &response)] {
        spend(&store, from, 100);
        block_on(store.fork(from, fork)).unwrap();
    }
    spend(&store, "first", 1);
    assert_eq!(tokens(&store), (3, 1, 301));
    block_on(store.delete("second")).unwrap();
    assert_eq!(tokens(&store), (2, 1, 301), "the fork of a fork has what the first one has");
    // Another conversation with the id of the original is not the original.
    block_on(store.delete("first")).unwrap();
    save(&store, "first", &talk(&["Hi again"]));
    assert_eq!(tokens(&store), (2, 1, 300));
}

fn export(store: &dyn Store) -> (Result<()>, Vec<u8>) {
    let mut out = Exporter::new(Vec::new()).unwrap();
    let added = block_on(out.add(None, store));
    (added, out.finish().unwrap())
}

#[test]
fn an_export_ends_before_what_cannot_be_read_and_says_how_to_go_on() {
    let (_folder, store) = folder();
    let (added, _) = export(&store);
    let error = added.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    for part in ["before the conversation `bob`", "byte", "`--resume`", "`--skip-unreadable`"] {
        assert!(error.detail().contains(part), "{part}: {error}");
    }
}

#[test]
fn an_export_that_leaves_out_what_cannot_be_read_says_so_in_the_file() {
    let (_folder, store) = folder();
    let mut out = Exporter::new(Vec::new()).unwrap().leaving_out_unread();
    block_on(out.add(None, &store)).unwrap();
    assert_eq!((out.conversations(), out.left_out()[0].failed.id.as_str()), (2, "bob"));
    let file = out.finish().unwrap();
    assert!(String::from_utf8_lossy(&file).contains("\n{\"left_out\":{\"id\":\"bob\"}}\n"));

    let other = MemoryStore::new();
    let into = |_: Option<&str>| Ok(Some(Arc::new(other.clone()) as Arc<dyn Store>));
    let imported = block_on(import(&file[..], into, Existing::Refuse)).unwrap();
    assert_eq!((imported.added, imported.left_out), (2, 1));
    assert_eq!(block_on(other.list(None, 10)).unwrap(), ["ann", "cat"]);
}

#[test]
fn an_export_with_something_left_out_is_resumed_after_it() {
    let (folder, store) = folder();
    let mut out = Exporter::new(Vec::new()).unwrap().leaving_out_unread();
    block_on(out.add(None, &store)).unwrap();
    let whole = out.finish().unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    let cut = text.find("{\"left_out\"").unwrap() + "{\"left_out\":{\"id\":\"bob\"}}\n{\"conv".len();
    let name = folder.path().join("part.export");
    fs::write(&name, &whole[..cut]).unwrap();
    let opened = fs::File::options().read(true).write(true).open(&name).unwrap();
    // What was left out is passed over, so that it need not be allowed again; and it is named
    // again.
    let mut out = Exporter::resume(opened).unwrap();
    block_on(out.add(None, &store)).unwrap();
    assert_eq!(out.left_out().len(), 1);
    out.finish().unwrap();
    assert_eq!(fs::read(&name).unwrap(), whole);
    let complete = Exporter::resume(fs::File::options().read(true).write(true).open(&name).unwrap()).unwrap();
    let [missing] = complete.left_out() else { panic!("{:?}", complete.left_out()) };
    assert_eq!((missing.failed.id.as_str(), &missing.tenant), ("bob", &None));
    assert!(missing.failed.error.detail().contains("an earlier run"), "{}", missing.failed.error);
}

/// A store whose reads fail, of one conversation or altogether.
struct Failing {
    store: MemoryStore,
    is_whole: bool,
}

impl Store for Failing {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(Transcript, Revision)>> {
        match id {
            "bob" => Box::pin(async { Err(Error::new(ErrorKind::Io, "the disk fails")) }),
            _ => self.store.load(id),
        }
    }

    fn save<'a>(
        &'a self,
        id: &'a str,
        whole: &'a Transcript,
        read: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<Revision>> {
        self.store.save(id, whole, read)
    }

    fn append<'a>(&'a self, id: &'a str, changes: &'a [Change], read: &'a Revision) -> BoxFuture<'a, Result<Revision>> {
        self.store.append(id, changes, read)
    }

    fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
        // The ids were listed before it failed.
        if self.is_whole && limit == 1 {
            return Box::pin(async { Err(Error::new(ErrorKind::Io, "no answer")) });
        }
        self.store.list(after, limit)
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        self.store.delete(id)
    }
}

#[test]
fn a_store_that_fails_altogether_ends_it() {
    let store = MemoryStore::new();
    for id in ["ann", "bob", "cat"] {
        save(&store, id, &talk(&["apple"]));
    }
    let mut store = Failing { store, is_whole: false };
    let (found, failed) = found(&store, &SearchQuery::new("apple"));
    assert_eq!((found.len(), ids(&failed)), (2, vec!["bob"]));
    store.is_whole = true;
    assert_eq!(block_on(scan(&store, &SearchQuery::new("apple"))).unwrap_err().detail(), "no answer");
    assert_eq!(block_on(totals(&store)).unwrap_err().detail(), "no answer");
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod databases {
    use std::time::Duration;

    use turnwise_store::forget::{Forgotten, Purged, Rules};

    use super::*;

    /// A database, and statements that are run in it beside the store.
    trait Broken: Store {
        fn run(&self, statement: &str);
        fn totals(&self) -> Totals;
        fn expire(&self, rules: &Rules) -> Result<Forgotten>;
        fn purge_all(&self) -> Result<Purged>;
        /// Begins and ends a statement that makes the deletion of `bob` fail.
        const REFUSING: [&'static str; 2];
        /// The table of a statement.
        fn table(name: &str) -> String;
    }

    macro_rules! broken {
        ($store:ty, $refusing:expr, $table:expr, $run:expr) => {
            impl Broken for $store {
                const REFUSING: [&'static str; 2] = $refusing;

                fn run(&self, statement: &str) {
                    $run(self, statement)
                }

                fn totals(&self) -> Totals {
                    block_on(self.totals()).unwrap()
                }

                fn expire(&self, rules: &Rules) -> Result<Forgotten> {
                    block_on(self.expire(rules))
                }

                fn purge_all(&self) -> Result<Purged> {
                    std::thread::sleep(Duration::from_millis(5));
                    block_on(self.clone().with_retention(Duration::ZERO).purge_expired())
                }

                fn table(name: &str) -> String {
                    format!($table, name)
                }
            }
        };
    }

    fn fill<S: Broken>(store: &S, count: usize) {
        for number in 0..count {
            save(store, &format!("{number:03}"), &talk(&["apple"]));
        }
        save(store, "bob", &talk(&["apple"]));
    }

    /// Makes a row of `bob` one that cannot be read.
    fn break_row<S: Broken>(store: &S, like: &str) {
        store.run(&format!(
            "UPDATE {} SET change = '{{\"{like}\":broken' WHERE change LIKE '{{\"{like}\"%' AND log = \
             (SELECT log FROM {} WHERE id = 'bob')",
            S::table("changes"),
            S::table("conversations")
        ));
    }

    fn reads_the_others<S: Broken + Clone>(open: &dyn Fn() -> S) {
        let store = open();
        fill(&store, 2);
        for id in ["000", "001", "bob"] {
            spend(&store, id, 100);
        }
        break_row(&store, "item");
        let store = open();
        let (ids_found, failed) = found(&store, &SearchQuery::new("apple"));
        assert_eq!((ids_found, ids(&failed)), (vec!["000".to_owned(), "001".to_owned()], vec!["bob"]));
        assert_eq!(added(&store.totals()), (3, 300, vec![]), "its usage can be read");
        break_row(&store, "spending");
        let totals = store.totals();
        assert_eq!(added(&totals), (2, 200, vec!["bob"]));
        assert!(totals.failed[0].error.detail().contains("which states what was spent"), "{:?}", totals.failed);
        assert!(export(&store).0.unwrap_err().detail().contains("before the conversation `bob`"));
    }

    fn forgets_the_others<S: Broken>(store: &S) {
        fill(store, 250);
        let refuse = |table: &str, is_on: bool| {
            let statement = S::REFUSING[usize::from(!is_on)].replace("TABLE", table);
            store.run(&statement);
        };
        refuse("conversations", true);
        let rules = Rules::new().keep_last(0);
        let forgotten = store.expire(&rules).unwrap();
        assert_eq!((forgotten.gone.len(), ids(&forgotten.failed)), (250, vec!["bob"]));
        assert!(forgotten.failed[0].error.detail().contains("not bob"), "{:?}", forgotten.failed);
        assert_eq!(block_on(store.list(None, 10)).unwrap(), ["bob"]);
        refuse("conversations", false);
        assert_eq!(store.expire(&rules).unwrap().gone.len(), 1);

        refuse("deleted", true);
        let purged = store.purge_all().unwrap();
        assert_eq!((purged.count, ids(&purged.failed)), (250, vec!["bob"]));
        refuse("deleted", false);
        assert_eq!(store.purge_all().unwrap(), {
            let mut one = Purged::default();
            one.count = 1;
            one
        });
    }

    #[cfg(feature = "sqlite")]
    mod sqlite {
        use rusqlite::Connection;
        use turnwise_store::SqliteStore;

        use super::*;

        broken!(
            SqliteStore,
            [
                "CREATE TRIGGER refuse_TABLE BEFORE DELETE ON TABLE WHEN OLD.id = 'bob' \
                 BEGIN SELECT RAISE(ABORT, 'not bob'); END",
                "DROP TRIGGER refuse_TABLE",
            ],
            "{}",
            |store: &SqliteStore, statement: &str| Connection::open(store.path())
                .unwrap()
                .execute_batch(statement)
                .unwrap()
        );

        #[test]
        fn a_broken_row_of_a_database_keeps_nobody_from_the_others() {
            let folder = TempDir::new().unwrap();
            reads_the_others(&|| SqliteStore::open(folder.path().join("chats.db")).unwrap());
        }

        #[test]
        fn what_cannot_be_removed_stays_and_the_others_go() {
            let folder = TempDir::new().unwrap();
            forgets_the_others(&SqliteStore::open(folder.path().join("chats.db")).unwrap());
        }

        #[test]
        fn where_none_can_be_removed_the_database_fails() {
            let folder = TempDir::new().unwrap();
            let store = SqliteStore::open(folder.path().join("chats.db")).unwrap();
            fill(&store, 3);
            store.run("CREATE TRIGGER refuse BEFORE DELETE ON conversations BEGIN SELECT RAISE(ABORT, 'none'); END");
            let error = Broken::expire(&store, &Rules::new().keep_last(0)).unwrap_err();
            assert!(error.detail().contains("none"), "{error}");
        }

        #[test]
        fn a_damaged_conversation_can_be_written_anew() {
            let folder = TempDir::new().unwrap();
            let file = folder.path().join("chats.db");
            let store = SqliteStore::open(&file).unwrap();
            fill(&store, 0);
            spend(&store, "bob", 100);
            block_on(store.fork("bob", "fork")).unwrap();
            break_row(&store, "spending");
            let store = SqliteStore::open(&file).unwrap();
            let revision = block_on(store.revision("fork")).unwrap();
            block_on(store.save("fork", &talk(&["from a copy"]), Some(&revision))).unwrap();
            assert_eq!(load(&store, "fork").0.conversation.path().len(), 1);
        }

        #[cfg(feature = "encryption")]
        #[test]
        fn a_conversation_whose_key_is_missing_keeps_nobody_from_the_others() {
            let folder = TempDir::new().unwrap();
            let file = folder.path().join("chats.db");
            let key = |digit: &str| digit.repeat(64).parse::<turnwise_store::encryption::Keys>().unwrap();
            for (id, digit) in [("bob", "b"), ("cat", "c")] {
                let store = SqliteStore::open_sealed(&file, key(digit)).unwrap();
                save(&store, id, &talk(&["apple"]));
                spend(&store, id, 100);
            }
            let store = SqliteStore::open_sealed(&file, key("c")).unwrap();
            let (ids_found, failed) = found(&store, &SearchQuery::new("apple"));
            assert_eq!((ids_found, ids(&failed)), (vec!["cat".to_owned()], vec!["bob"]));
            assert_eq!(failed[0].error.kind(), ErrorKind::Auth);
            assert_eq!(added(&block_on(store.totals()).unwrap()), (1, 100, vec!["bob"]));

            let refused = block_on(store.rekey()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Auth);
            assert!(refused.detail().starts_with("the conversation `bob`: row 1 is sealed with the key"), "{refused}");
            block_on(store.delete("bob")).unwrap();
            assert!(block_on(store.rekey()).unwrap_err().detail().contains("`bob`"), "also a deleted one is named");
            block_on(store.purge("bob")).unwrap();
            assert_eq!(block_on(store.rekey()).unwrap(), 0);
        }
    }

    #[cfg(feature = "postgres")]
    mod postgres {
        use turnwise_store::PostgresStore;

        use super::common::postgres::{new_database, query};
        use super::*;

        thread_local! {
            /// Of the database of a test.
            static URL: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
        }

        broken!(
            PostgresStore,
            [
                "CREATE FUNCTION refuse_TABLE() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'not bob'; END $$; \
                 CREATE TRIGGER refuse BEFORE DELETE ON turnwise.TABLE FOR EACH ROW \
                 WHEN (OLD.id = 'bob') EXECUTE FUNCTION refuse_TABLE()",
                "DROP TRIGGER refuse ON turnwise.TABLE",
            ],
            "turnwise.{}",
            |_: &PostgresStore, statement: &str| URL.with_borrow(|url| drop(query(url, statement)))
        );

        fn open() -> Option<impl Fn() -> PostgresStore> {
            let url = new_database()?;
            URL.set(url.clone());
            Some(move || PostgresStore::open(&url).unwrap())
        }

        #[test]
        fn a_broken_row_of_a_database_keeps_nobody_from_the_others() {
            if let Some(open) = open() {
                reads_the_others(&open);
            }
        }

        #[test]
        fn what_cannot_be_removed_stays_and_the_others_go() {
            if let Some(open) = open() {
                forgets_the_others(&open());
            }
        }
    }
}
