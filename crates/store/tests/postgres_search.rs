//! Search, rules and totals over PostgreSQL: what its tables, its files and older programs have to do with them.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "common/postgres.rs"]
mod server;
#[path = "common/talks.rs"]
mod talks;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use server::{new_database, query};
use talks::{load, save, say, talk};
use turnwise::ErrorKind;
use turnwise::store::Store;
use turnwise_store::PostgresStore;
use turnwise_store::forget::Rules;
use turnwise_store::search::{ListQuery, SearchQuery};

/// The folder of the server's files (`.ci/postgres.sh data DIR PORT` prints it).
const DATA: &str = "TURNWISE_TEST_POSTGRES_DATA";

fn count(url: &str, of: &str) -> usize {
    query(url, &format!("SELECT count(*) FROM turnwise.{of}"))[0].parse().unwrap()
}

fn found(store: &PostgresStore, text: &str) -> usize {
    block_on(store.search(&SearchQuery::new(text).limit(1_000))).unwrap().found.len()
}

#[test]
fn an_index_that_is_made_later_has_what_was_there_and_what_is_written_meanwhile() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    save(&store, "a", &talk(&["apple", "pear"]));
    block_on(store.fork("a", "b")).unwrap();
    say(&store, "b", "apple of b");
    save(&store, "deleted", &talk(&["apple of a deleted one"]));
    block_on(store.delete("deleted")).unwrap();
    for number in 0..1_100 {
        save(&store, &format!("filler {number}"), &talk(&["apple"]));
    }
    for refused in [
        block_on(store.search(&SearchQuery::new("apple"))).map(drop).unwrap_err(),
        block_on(store.list_by(&ListQuery::new())).map(drop).unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        assert!(refused.detail().contains("enable_search"), "{refused}");
    }
    assert_eq!(count(&url, "search_notes"), 0, "nothing is noted while search is off");
    std::thread::scope(|scope| {
        scope.spawn(|| block_on(store.enable_search()).unwrap());
        for number in 0..30 {
            save(&store, &format!("meanwhile {number}"), &talk(&["apple"]));
            say(&store, "b", "apple again");
        }
    });
    let mut all = 0;
    let mut query = SearchQuery::new("apple").limit(700);
    loop {
        let page = block_on(store.search(&query)).unwrap();
        all += page.found.len();
        let Some(next) = page.next else { break };
        query = query.after(next);
    }
    assert_eq!(all, 1_162);
    block_on(store.restore("deleted")).unwrap();
    assert_eq!(found(&store, "\"deleted one\""), 1);
    block_on(store.disable_search()).unwrap();
    for table in ["search_items", "search_states", "search_conversations", "search_notes", "search_tenants"] {
        assert_eq!(count(&url, table), 0, "{table}");
    }
    say(&store, "a", "apple");
    assert_eq!(count(&url, "search_notes"), 0);
    assert!(!block_on(store.is_searchable()).unwrap());
}

/// As after an interruption.
#[test]
fn an_index_whose_making_was_interrupted_is_finished() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    block_on(store.enable_search()).unwrap();
    save(&store, "a", &talk(&["apple"]));
    query(&url, "UPDATE turnwise.search SET state = 1");
    let busy = block_on(store.search(&SearchQuery::new("apple"))).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    block_on(store.enable_search()).unwrap();
    assert_eq!(found(&store, "apple"), 1);
    query(&url, "UPDATE turnwise.search SET format = 0");
    assert!(!block_on(store.is_searchable()).unwrap());
    block_on(store.enable_search()).unwrap();
    assert_eq!(found(&store, "apple"), 1);
}

#[test]
fn whoever_may_not_make_the_extension_is_told_what_to_do() {
    let Some(url) = new_database() else { return };
    if std::env::var_os("TURNWISE_TEST_POSTGRES_POOLED").is_some() {
        return;
    }
    let role = format!("limited_{:08x}", fastrand::u32(..));
    query(&url, &format!("CREATE ROLE {role} LOGIN PASSWORD 'limited'; CREATE SCHEMA turnwise AUTHORIZATION {role}"));
    let (_, host) = url.split_once('@').unwrap();
    let store = PostgresStore::open(&format!("postgres://{role}:limited@{host}")).unwrap();
    let refused = block_on(store.enable_search()).unwrap_err();
    assert!(refused.detail().contains("CREATE EXTENSION pg_trgm"), "{refused}");
    save(&store, "a", &talk(&["apple"]));
    query(&url, "CREATE EXTENSION pg_trgm");
    block_on(store.enable_search()).unwrap();
    assert_eq!(found(&store, "ppl"), 1);
}

#[test]
fn an_item_of_very_many_words_is_found_by_each_of_them() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    block_on(store.enable_search()).unwrap();
    let words: Vec<String> = (0..150_000).map(|number| format!("pre{number}fix")).collect();
    save(&store, "a", &talk(&[&words.join(" "), "other"]));
    for (text, hits) in [("e149999f", 1), ("\"pre7fix pre8fix pre9fix\"", 1), ("xy", 0), ("other", 1)] {
        assert_eq!(found(&store, text), hits, "{text}");
    }
}

/// What most items do not have is looked for by the index, after the newest.
#[test]
fn what_is_older_than_the_newest_items_is_found() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    block_on(store.enable_search()).unwrap();
    save(&store, "old", &talk(&["a quokka 北京 go"]));
    let many: Vec<String> = (0..2_500).map(|number| format!("filler {number}")).collect();
    save(&store, "new", &talk(&many.iter().map(String::as_str).collect::<Vec<_>>()));
    save(&store, "newest", &talk(&["a quokka"]));
    for (text, hits) in [("quokka", 2), ("okk", 2), ("北京", 1), ("go", 1), ("\"a quokka 北\"", 1), ("xylophone", 0)]
    {
        assert_eq!(found(&store, text), hits, "{text}");
    }
}

/// Items with the letters of words, and without these words.
fn save_fillers(store: &PostgresStore) {
    let fillers: Vec<String> = (0..2_500).map(|number| format!("the other method is dynamic {number}")).collect();
    save(store, "fillers", &talk(&fillers.iter().map(String::as_str).collect::<Vec<_>>()));
}

/// Of long words the index is asked for some letters, and what it finds is compared with the words.
#[test]
fn long_words_are_found_by_some_of_their_letters() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    block_on(store.enable_search()).unwrap();
    let many: Vec<String> = (0..20).map(|number| format!("manifold{number:02}x{}", number * number)).collect();
    let (all, other) = (many.join(" "), many.join(" ").replace("manifold19", "manifest19"));
    save(&store, "old", &talk(&["thermodynamics idempotent", "ermod dempo", "thermal dynamics", &all, &other]));
    save_fillers(&store);
    for (text, hits) in [
        ("thermodynamics", 1),
        ("thermodynamics idempotent", 1),
        ("hermodynam dempot", 1),
        ("thermodynamical", 0),
        ("thermal dynamics", 1),
        (&all, 1),
        (&other, 1),
        (&all.replace("manifold19", "manicure19"), 0),
    ] {
        assert_eq!(found(&store, text), hits, "{text}");
    }
}

#[test]
fn of_a_long_word_a_few_lists_of_the_index_are_read() {
    let Some(url) = new_database() else { return };
    // Connections that are kept have older settings, and tell late what they have read.
    if std::env::var_os("TURNWISE_TEST_POSTGRES_POOLED").is_some() {
        return;
    }
    let store = PostgresStore::open(&url).unwrap();
    block_on(store.enable_search()).unwrap();
    save(&store, "old", &talk(&["thermodynamics"]));
    save_fillers(&store);
    assert_eq!(found(&store, "thermodynamics"), 1);
    drop(store);
    // What was added last is not in the lists yet; and without the index so few items are read sooner.
    query(&url, "VACUUM turnwise.search_items");
    let (_, name) = url.rsplit_once('/').unwrap();
    for setting in ["enable_seqscan = off", "random_page_cost = 0.01"] {
        query(&url, &format!("ALTER DATABASE {name} SET {setting}"));
    }
    let read = |text| {
        let pages = || {
            // Each connection tells what it has read when it ends.
            std::thread::sleep(Duration::from_millis(500));
            let pages = "SELECT idx_blks_read + idx_blks_hit FROM pg_statio_user_indexes \
                         WHERE indexrelname = 'search_items_by_part'";
            query(&url, pages)[0].parse::<i64>().unwrap()
        };
        let before = pages();
        let store = PostgresStore::open(&url).unwrap();
        assert_eq!(found(&store, text), 1);
        drop(store);
        pages() - before
    };
    let (of_five_letters, of_word) = (read("ermod"), read("thermodynamics"));
    assert!(of_five_letters > 0 && of_word <= of_five_letters, "{of_word} pages for the word, {of_five_letters}");
}

#[test]
fn what_goes_by_rules_is_told_before_and_is_gone_from_lists_and_search() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    block_on(store.enable_search()).unwrap();
    let red = store.tenant("red").unwrap();
    for hours in 0..150 {
        save(&store, &format!("{hours:03}"), &talk(&["apple"]));
    }
    save(&red, "000", &talk(&["apple"]));
    query(
        &url,
        "UPDATE turnwise.conversations SET changed_at = changed_at - id::bigint * 3600000 - 60000 WHERE tenant = ''",
    );
    assert!(block_on(store.expire(&Rules::new())).unwrap().gone.is_empty(), "without rules nothing goes");
    let rules = Rules::new().unused_for(Duration::from_secs(147 * 3_600));
    let told: Vec<String> = block_on(store.expiring(&rules)).unwrap().into_iter().map(|gone| gone.id).collect();
    assert_eq!(told, ["149", "148", "147"]);
    let gone: Vec<String> = block_on(store.expire(&rules)).unwrap().gone.into_iter().map(|gone| gone.id).collect();
    assert_eq!((gone, found(&store, "apple")), (told, 147));
    assert_eq!(block_on(store.list_by(&ListQuery::new().limit(1_000))).unwrap().found.len(), 147);
    block_on(store.restore("148")).unwrap();
    assert_eq!(block_on(store.expire(&Rules::new().keep_last(2).for_good())).unwrap().gone.len(), 146);
    assert_eq!(block_on(store.list(None, 10)).unwrap(), ["000", "001"]);
    // Two stay, two can be restored, and one is of another tenant.
    assert_eq!((count(&url, "search_items"), found(&store, "apple"), found(&red, "apple")), (5, 2, 1));
}

/// Nobody has to search for that: the transaction that removes a text removes it from the index too.
#[test]
fn titles_and_metadata_leave_the_index_with_what_is_purged_or_redacted() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    block_on(store.enable_search()).unwrap();
    let set_title = |id: &str, title: &str| {
        let (before, revision) = load(&store, id);
        let mut after = before.clone();
        after.conversation.metadata_mut().set("title", title).unwrap();
        block_on(store.append(id, &after.changes_since(&before), &revision)).unwrap();
    };
    for id in ["purged", "redacted", "kept"] {
        save(&store, id, &talk(&["apple"]));
        set_title(id, &format!("secret of {id}"));
    }
    assert_eq!(found(&store, "apple"), 3);
    let titles =
        || query(&url, "SELECT title FROM turnwise.search_conversations WHERE title IS NOT NULL ORDER BY title");
    assert_eq!(titles(), ["secret of kept", "secret of purged", "secret of redacted"]);
    block_on(store.delete("purged")).unwrap();
    block_on(store.purge("purged")).unwrap();
    assert_eq!(titles(), ["secret of kept", "secret of redacted"]);
    let (mut redacted, revision) = load(&store, "redacted");
    redacted.redact(|text| text.contains("secret").then(|| "[gone]".to_owned())).unwrap();
    block_on(store.save("redacted", &redacted, Some(&revision))).unwrap();
    assert_eq!(titles(), ["secret of kept"]);
    assert_eq!(block_on(store.list_by(&ListQuery::new())).unwrap().found.len(), 2);
    assert_eq!(titles(), ["[gone]", "secret of kept"]);
}

#[test]
fn what_is_redacted_or_purged_is_in_no_file_of_the_database_after_vacuum_full() {
    let Some(url) = new_database() else { return };
    let Some(data) = std::env::var_os(DATA).map(PathBuf::from) else {
        let skipped = format!("SKIPPED what is left in PostgreSQL's files: {DATA} names no folder of a server\n");
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        return;
    };
    let oid = &query(&url, "SELECT oid FROM pg_database WHERE datname = current_database()")[0];
    let folder = data.join("base").join(oid);
    let store = PostgresStore::open(&url).unwrap();
    block_on(store.enable_search()).unwrap();
    for number in 0..40 {
        save(&store, &format!("other {number}"), &talk(&[&format!("zyxsecretone {number}"), "zyxsecrettwo"]));
        let (mut talk, revision) = load(&store, &format!("other {number}"));
        let before = talk.clone();
        talk.conversation.metadata_mut().set("title", "zyxsecretthree").unwrap();
        block_on(store.append(&format!("other {number}"), &talk.changes_since(&before), &revision)).unwrap();
    }
    assert_eq!(found(&store, "zyxsecretone"), 40);
    query(&url, "ANALYZE");
    query(&url, "CHECKPOINT");
    assert!(files_with(&folder, "zyxsecretone") > 0 && files_with(&folder, "zyxsecretthree") > 0);
    for number in 0..40 {
        let id = format!("other {number}");
        if number % 2 == 0 {
            block_on(store.delete(&id)).unwrap();
            block_on(store.purge(&id)).unwrap();
        } else {
            let (mut redacted, revision) = load(&store, &id);
            redacted.redact(|text| text.contains("zyx").then(|| "[gone]".to_owned())).unwrap();
            block_on(store.save(&id, &redacted, Some(&revision))).unwrap();
            let before = redacted.clone();
            redacted.conversation.metadata_mut().set("title", "[gone]").unwrap();
            let (_, revision) = load(&store, &id);
            block_on(store.append(&id, &redacted.changes_since(&before), &revision)).unwrap();
            let (whole, revision) = load(&store, &id);
            block_on(store.save(&id, &whole, Some(&revision))).unwrap();
        }
    }
    assert_eq!((found(&store, "zyx"), found(&store, "gone")), (0, 40));
    // What a transaction that is open may still see stays, and autovacuum has one while it counts rows.
    let (begun, secrets) = (Instant::now(), ["zyxsecretone", "zyxsecrettwo", "zyxsecretthree"]);
    loop {
        query(&url, "VACUUM FULL");
        query(&url, "CHECKPOINT");
        let left = secrets.map(|text| files_with(&folder, text));
        if left == [0; 3] {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{left:?} files have {secrets:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// A deadlock is ended by the database after a second, and what it was is done again; everybody waits that long.
#[test]
fn an_index_that_comes_and_goes_while_others_search_and_write_meets_no_deadlock() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    let end = std::time::Instant::now() + Duration::from_secs(2);
    let goes_on = || std::time::Instant::now() < end;
    std::thread::scope(|scope| {
        for number in 0..2 {
            let (store, id) = (&store, format!("talk {number}"));
            save(store, &id, &talk(&["apple"]));
            scope.spawn(move || {
                while goes_on() {
                    say(store, &id, "another apple");
                }
            });
        }
        for query in [SearchQuery::new("apple"), SearchQuery::new("xylophone")] {
            let store = &store;
            scope.spawn(move || {
                while goes_on() {
                    let found = block_on(store.search(&query)).map(drop);
                    let listed = block_on(store.list_by(&ListQuery::new())).map(drop);
                    for error in [found, listed].into_iter().filter_map(Result::err) {
                        assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Busy), "{error}");
                    }
                }
            });
        }
        while goes_on() {
            block_on(store.enable_search()).unwrap();
            block_on(store.disable_search()).unwrap();
        }
    });
    assert_eq!(deadlocks(&url, store), ["0"]);
}

/// One adds to the index what another one removes: conversations and their forks, whose logs have higher or lower
/// numbers than those that they continue.
#[test]
fn what_is_indexed_and_purged_at_once_meets_no_deadlock() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap().with_retention(Duration::ZERO);
    block_on(store.enable_search()).unwrap();
    let rules = Rules::new().keep_last(0).for_good();
    for round in 0..6 {
        for number in 0..24 {
            let (id, fork) = (format!("talk {number}"), format!("fork {number}"));
            save(&store, &id, &talk(&["apple"]));
            block_on(store.fork(&id, &fork)).unwrap();
            say(&store, &fork, "another apple");
            if round % 2 == 0 {
                block_on(store.delete(&id)).unwrap();
                block_on(store.delete(&fork)).unwrap();
            }
        }
        std::thread::scope(|scope| {
            scope.spawn(|| found(&store, "apple"));
            if round % 2 == 0 {
                // What was deleted in this millisecond is not older than that.
                std::thread::sleep(Duration::from_millis(2));
                assert_eq!(block_on(store.purge_expired()).unwrap().failed.len(), 0);
            } else {
                block_on(store.expire(&rules)).unwrap();
            }
        });
    }
    assert_eq!((count(&url, "logs"), count(&url, "changes"), found(&store, "apple")), (0, 0, 0));
    assert_eq!(deadlocks(&url, store), ["0"]);
}

/// How many deadlocks the database has met.
fn deadlocks(url: &str, store: PostgresStore) -> Vec<String> {
    // A connection tells the statistics when it ends, at the latest.
    drop(store);
    std::thread::sleep(Duration::from_secs(1));
    query(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
}

/// How many files of a folder have a text.
fn files_with(folder: &Path, text: &str) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.filter(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes())).count()
}
