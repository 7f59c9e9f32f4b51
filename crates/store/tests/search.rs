//! Search, lists and forgetting.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "common/talks.rs"]
mod talks;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use futures_lite::future::block_on;
use rusqlite::Connection;
use talks::{say, talk};
use tempfile::TempDir;
use turnwise::ErrorKind;
use turnwise::store::Store;
use turnwise_store::SqliteStore;
use turnwise_store::search::{Hit, ListQuery, SearchQuery, Terms};

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chats.db");
    (folder, file)
}

/// A database with an index.
fn indexed() -> (TempDir, SqliteStore) {
    let (folder, file) = folder();
    let store = SqliteStore::open(file).unwrap();
    block_on(store.enable_search()).unwrap();
    (folder, store)
}

fn save(store: &dyn Store, id: &str, texts: &[&str]) {
    block_on(store.save(id, &talk(texts), None)).unwrap();
}

fn search(store: &SqliteStore, query: &SearchQuery) -> Vec<Hit> {
    block_on(store.search(query)).unwrap().found
}

/// The conversations in which a text is found, and the items.
fn places(store: &SqliteStore, text: &str) -> Vec<(String, usize)> {
    let hits = search(store, &SearchQuery::new(text).limit(1_000));
    hits.into_iter().map(|hit| (hit.conversation, hit.item.index())).collect()
}

fn place(conversation: &str, item: usize) -> (String, usize) {
    (conversation.to_owned(), item)
}

/// All pages of a list, as ids.
fn listed(store: &SqliteStore, query: &ListQuery) -> Vec<String> {
    let (mut ids, mut query) = (Vec::new(), query.clone().limit(2));
    loop {
        let page = block_on(store.list_by(&query)).unwrap();
        ids.extend(page.found.into_iter().map(|listed| listed.id));
        let Some(next) = page.next else { return ids };
        query = query.after(next);
    }
}

fn count(file: &Path, of: &str) -> i64 {
    let db = Connection::open(file).unwrap();
    db.query_row(&format!("SELECT count(*) FROM {of}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn a_snippet_shows_what_was_found_and_where() {
    let text = format!("{}the Árvíztűrő\n tükör, here {}", "before ".repeat(50), "after ".repeat(50));
    let snippet = Terms::new("arvizturo \"tukor, HERE\"").find(&text).unwrap();
    assert!(snippet.text.starts_with("…before") && snippet.text.ends_with('…'), "{}", snippet.text);
    assert!(snippet.text.chars().count() <= 202);
    let found: Vec<&str> = snippet.matches.iter().map(|at| &snippet.text[at.clone()]).collect();
    assert_eq!(found, ["Árvíztűrő", "tükör, here"]);
    let whole = Terms::new("京").find("東京").unwrap();
    assert_eq!((whole.text.as_str(), &whole.matches[0]), ("東京", &(3..6)));
}

#[test]
fn an_index_that_is_made_later_has_what_was_there_and_what_is_written_meanwhile() {
    let (_folder, file) = folder();
    let store = SqliteStore::open(&file).unwrap();
    save(&store, "a", &["apple", "pear"]);
    block_on(store.fork("a", "b")).unwrap();
    say(&store, "b", "apple of b");
    save(&store, "deleted", &["apple of a deleted one"]);
    block_on(store.delete("deleted")).unwrap();
    save(&store.tenant("ann").unwrap(), "a", &["apple of Ann"]);
    for number in 0..200 {
        save(&store, &format!("filler {number}"), &["filler ".repeat(3_000).as_str(), "apple"]);
    }
    let refused = block_on(store.search(&SearchQuery::new("apple"))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert!(refused.detail().contains("enable_search"), "{refused}");
    std::thread::scope(|scope| {
        scope.spawn(|| block_on(store.enable_search()).unwrap());
        for number in 0..50 {
            save(&store, &format!("meanwhile {number}"), &["apple"]);
            say(&store, "b", "apple again");
        }
    });
    let all: BTreeSet<_> = places(&store, "apple").into_iter().collect();
    assert_eq!((all.len(), places(&store, "apple").len()), (302, 302));
    assert!(all.contains(&place("a", 0)) && all.contains(&place("b", 2)));
    assert_eq!(places(&store.tenant("ann").unwrap(), "apple"), [place("a", 0)]);
    block_on(store.restore("deleted")).unwrap();
    assert_eq!(places(&store, "\"deleted one\""), [place("deleted", 0)]);
    let expected = block_on(store.list(None, 1_000)).unwrap();
    assert_eq!(listed(&store, &ListQuery::new()).into_iter().collect::<BTreeSet<_>>(), expected.into_iter().collect());

    block_on(store.disable_search()).unwrap();
    assert!(!block_on(store.is_searchable()).unwrap());
    for table in ["search_items", "search_words", "search_conversations", "search_new", "search_new_changes"] {
        assert_eq!(count(&file, table), 0);
    }
    say(&store, "a", "apple");
    assert_eq!(count(&file, "search_new_changes"), 0);
    block_on(store.enable_search()).unwrap();
    assert!(places(&store, "apple").len() > 302);
}

#[test]
fn an_index_whose_making_was_interrupted_is_finished() {
    let (_folder, file) = folder();
    let store = SqliteStore::open(&file).unwrap();
    for number in 0..20 {
        save(&store, &number.to_string(), &["apple"]);
    }
    block_on(store.enable_search()).unwrap();
    drop(store);
    // As it is after some of the steps.
    let db = Connection::open(&file).unwrap();
    db.execute_batch(
        "UPDATE search SET state = 1; INSERT INTO search_old_logs (tenant, log) SELECT tenant, log FROM logs",
    )
    .unwrap();
    let store = SqliteStore::open(&file).unwrap();
    let busy = block_on(store.search(&SearchQuery::new("apple"))).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    save(&store, "new", &["apple"]);
    block_on(store.enable_search()).unwrap();
    assert_eq!(places(&store, "apple").len(), 21);
    // An index of other words is none.
    db.execute("UPDATE search SET format = 0", []).unwrap();
    assert!(!block_on(store.is_searchable()).unwrap());
    block_on(store.enable_search()).unwrap();
    assert_eq!(places(&store, "apple").len(), 21);
}

#[test]
fn an_index_of_another_version_is_removed_with_the_words_of_old_texts() {
    let (folder, store) = indexed();
    save(&store, "a", &["zyxapple"]);
    let file = store.path().to_owned();
    let other_version = || {
        let db = Connection::open(&file).unwrap();
        db.execute("UPDATE search SET format = 77", []).unwrap();
    };
    let is_word_there = || {
        let in_file = |entry: std::io::Result<fs::DirEntry>| fs::read(entry.unwrap().path()).unwrap();
        let mut files = fs::read_dir(folder.path()).unwrap().map(in_file);
        files.any(|bytes| bytes.windows(8).any(|window| window == b"zyxapple"))
    };
    // While it is open, and what removes text is the first to meet the index.
    other_version();
    block_on(store.delete("a")).unwrap();
    block_on(store.purge("a")).unwrap();
    assert!(!is_word_there());
    assert!(!block_on(store.is_searchable()).unwrap());

    block_on(store.enable_search()).unwrap();
    save(&store, "a", &["zyxapple"]);
    assert_eq!(places(&store, "zyxapple").len(), 1);
    other_version();
    drop(store);
    let store = SqliteStore::open(&file).unwrap();
    assert_eq!(count(&file, "search_words"), 0);
    block_on(store.enable_search()).unwrap();
    assert_eq!(places(&store, "zyxapple").len(), 1);
}

#[test]
fn what_is_redacted_or_purged_is_in_no_file_and_not_in_the_index() {
    let (folder, store) = indexed();
    for number in 0..30 {
        save(&store, &format!("other {number}"), &[&"filler words ".repeat(number * 20)]);
    }
    save(&store, "a", &["my zyxsecretone", "zyxsecrettwo 秘密"]);
    block_on(store.fork("a", "fork")).unwrap();
    for number in 0..50 {
        say(&store, "a", &format!("zyxsecretthree{number}"));
        say(&store, &format!("other {}", number % 30), &"more ".repeat(number));
    }
    let words = |of: &str| count(store.path(), &format!("search_words WHERE word LIKE '%{of}%'"));
    let tokens = |of: &str| {
        let db = Connection::open(store.path()).unwrap();
        let all = "CREATE VIRTUAL TABLE temp.v USING fts5vocab (main, 'search_texts', 'row'); \
                   CREATE VIRTUAL TABLE temp.p USING fts5vocab (main, 'search_parts', 'row')";
        db.execute_batch(all).unwrap();
        let count = |table: &str, term: &str| -> i64 {
            let count = format!("SELECT count(*) FROM temp.{table} WHERE term LIKE '{term}%'");
            db.query_row(&count, [], |row| row.get(0)).unwrap()
        };
        (count("v", of), count("p", &of[..3]))
    };
    assert!(words("zyxsecretthree") == 50 && tokens("zyxsecretthree") == (50, 1));
    // What forks share stays until they are redacted.
    for id in ["a", "fork"] {
        assert!(is_on_disk(folder.path(), "zyxsecretone"));
        let (mut redacted, revision) = block_on(store.load(id)).unwrap();
        redacted.redact(|text| text.contains("zyx").then(|| "[gone]".to_owned())).unwrap();
        block_on(store.save(id, &redacted, Some(&revision))).unwrap();
    }
    assert_eq!((words("zyx"), tokens("zyx")), (0, (0, 0)));
    assert_eq!(tokens("秘密").0, 0);
    assert!(places(&store, "zyxsecretone").is_empty() && places(&store, "zyx").is_empty());
    assert!(!is_on_disk(folder.path(), "zyx"), "0 hits over every file");
    assert_eq!(places(&store, "gone").len(), 54);
    block_on(store.delete("a")).unwrap();
    block_on(store.purge("a")).unwrap();
    assert_eq!(places(&store, "gone").len(), 2);
    let db = Connection::open(store.path()).unwrap();
    db.execute_batch("INSERT INTO search_parts (search_parts, rank) VALUES ('integrity-check', 1)").unwrap();
}

/// Whether a text is in a file of the folder.
fn is_on_disk(folder: &Path, text: &str) -> bool {
    let holds = |path: PathBuf| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    fs::read_dir(folder).unwrap().any(|entry| holds(entry.unwrap().path()))
}

#[test]
fn a_database_of_the_first_version_is_searched_after_its_index_was_made() {
    let (folder, file) = folder();
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-1.db"), &file).unwrap();
    let store = SqliteStore::open(&file).unwrap();
    assert!(folder.path().join("chats.db.version-1").exists());
    block_on(store.enable_search()).unwrap();
    assert_eq!(places(&store, "elbe"), [place("talk", 1)]);
    assert_eq!(places(&store, "lake"), [place("fork", 2)]);
    assert_eq!(places(&store.tenant("ann").unwrap(), "ann"), [place("talk", 0)]);
}
