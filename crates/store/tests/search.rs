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
use serde::Deserialize;
use talks::{say, talk};
use tempfile::TempDir;
use turnwise::conversation::Timestamp;
use turnwise::store::{FileStore, MemoryStore, Store};
use turnwise::{Conversation, ErrorKind, Transcript};
use turnwise_store::SqliteStore;
use turnwise_store::search::{Hit, ListQuery, SearchQuery, Terms, scan};

/// What every engine has to find: the text of an item, and queries that find it or do not.
#[derive(Deserialize)]
struct Case {
    text: String,
    finds: Vec<String>,
    misses: Vec<String>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("search_cases.json")).unwrap()
}

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

fn change(store: &dyn Store, id: &str, change: impl FnOnce(&mut Transcript)) {
    let (mut transcript, revision) = block_on(store.load(id)).unwrap();
    let before = transcript.clone();
    change(&mut transcript);
    block_on(store.append(id, &transcript.changes_since(&before), &revision)).unwrap();
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
fn the_shared_cases_find_the_same_with_an_index_and_without() {
    let (folder, store) = indexed();
    let files = FileStore::open(folder.path().join("files")).unwrap();
    for (number, case) in cases().iter().enumerate() {
        for store in [&store as &dyn Store, &files] {
            save(store, &number.to_string(), &["Something else.", &case.text]);
        }
    }
    let mut wrong = Vec::new();
    for (number, case) in cases().iter().enumerate() {
        let expected = place(&number.to_string(), 1);
        for (queries, is_found) in [(&case.finds, true), (&case.misses, false)] {
            for text in queries {
                let found = places(&store, text);
                if found.contains(&expected) != is_found {
                    wrong.push(format!("`{text}` in `{}`: {found:?}", case.text));
                }
                let scanned = block_on(scan(&files, &SearchQuery::new(text).limit(1_000))).unwrap().found;
                let scanned: BTreeSet<_> =
                    scanned.into_iter().map(|hit| (hit.conversation, hit.item.index())).collect();
                assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), scanned, "`{text}`");
            }
        }
    }
    assert_eq!(wrong, [] as [String; 0]);
}

#[test]
fn a_list_by_text_has_a_fork_once_whose_original_is_gone() {
    let (_folder, store) = indexed();
    save(&store, "other", &["the parcel"]);
    save(&store, "a", &["the parcel"]);
    block_on(store.fork("a", "fork")).unwrap();
    say(&store, "fork", "the parcel again");
    save(&store, "newest", &["the parcel"]);
    block_on(store.delete("a")).unwrap();
    let mut query = ListQuery::new().with_text("parcel");
    for limit in 1..5 {
        query = query.limit(limit);
        let (mut ids, mut page) = (Vec::new(), query.clone());
        loop {
            let found = block_on(store.list_by(&page)).unwrap();
            ids.extend(found.found.into_iter().map(|listed| listed.id));
            let Some(next) = found.next else { break };
            page = query.clone().after(next);
        }
        assert_eq!(ids, ["newest", "fork", "other"], "pages of {limit}");
    }
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
fn what_was_written_is_found_at_once_and_the_newest_comes_first() {
    let (_folder, store) = indexed();
    save(&store, "a", &["apple one"]);
    save(&store, "b", &["apple two", "pear"]);
    say(&store, "a", "apple three");
    change(&store, "b", |transcript| {
        let first = transcript.conversation.path().item(0).unwrap().id();
        transcript.conversation.edit(first, "apple of a branch").unwrap();
    });
    assert_eq!(places(&store, "apple"), [place("b", 2), place("a", 1), place("b", 0), place("a", 0)]);
    assert_eq!(places(&store, "pear"), [place("b", 1)]);
    // Another handle writes to the index too.
    let other = SqliteStore::open(store.path()).unwrap();
    say(&other, "a", "apple four");
    assert_eq!(places(&store, "apple four"), [place("a", 2)]);
    assert!(block_on(other.is_searchable()).unwrap());
}

#[test]
fn pages_have_everything_once_while_others_write() {
    let (_folder, store) = indexed();
    for number in 0..30 {
        save(&store, &number.to_string(), &["apple", "pear", &format!("apple {number}")]);
    }
    let mut query = SearchQuery::new("apple").limit(7);
    let mut found = Vec::new();
    loop {
        let page = block_on(store.search(&query)).unwrap();
        assert!(page.found.len() == 7 || page.next.is_none());
        found.extend(page.found.into_iter().map(|hit| (hit.conversation, hit.item.index())));
        save(&store, &format!("new {}", found.len()), &["apple"]);
        let Some(next) = page.next else { break };
        query = query.after(next);
    }
    let distinct: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!((found.len(), distinct.len()), (60, 60));
    for wrong in ["x", "1/2"] {
        let refused = block_on(store.search(&SearchQuery::new("apple").after(wrong))).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidParam);
    }
    let refused = block_on(store.search(&SearchQuery::new("-- \"\""))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidParam);
}

#[test]
fn search_and_lists_are_limited_to_times_metadata_and_a_conversation() {
    let (_folder, store) = indexed();
    let hour = 3_600_000;
    for number in 0..6_u32 {
        let mut talk = Conversation::from_messages([]);
        let at = Timestamp::from_millis(i64::from(number) * hour);
        talk.push_at(format!("apple {number}"), at);
        talk.metadata_mut().set("team", ["red", "blue"][number as usize % 2]).unwrap();
        talk.metadata_mut().set("title", format!("Talk {number}")).unwrap();
        block_on(store.save(&number.to_string(), &Transcript::new(talk), None)).unwrap();
    }
    let ids = |query: &SearchQuery| -> Vec<String> {
        search(&store, query).into_iter().map(|hit| hit.conversation).collect()
    };
    let time = |hours: i64| Timestamp::from_millis(hours * hour);
    let apple = || SearchQuery::new("apple");
    assert_eq!(ids(&apple().from(time(2)).until(time(4))), ["3", "2"]);
    assert_eq!(ids(&apple().with_metadata("team", "red")), ["4", "2", "0"]);
    assert_eq!(ids(&apple().with_metadata("team", "red").with_metadata("title", "Talk 2")), ["2"]);
    assert_eq!(ids(&apple().with_metadata("team", "green")), [] as [&str; 0]);
    assert_eq!(ids(&apple().in_conversation("3")), ["3"]);

    let list = ListQuery::new;
    assert_eq!(listed(&store, &list()), ["5", "4", "3", "2", "1", "0"]);
    assert_eq!(listed(&store, &list().from(time(1)).until(time(5))), ["4", "3", "2", "1"]);
    assert_eq!(listed(&store, &list().with_metadata("team", "blue")), ["5", "3", "1"]);
    assert_eq!(listed(&store, &list().with_metadata("team", "blue").with_text("apple").until(time(5))), ["3", "1"]);
    // A change of metadata and a new item count at once.
    change(&store, "0", |transcript| {
        transcript.conversation.metadata_mut().set("team", "blue").unwrap();
        transcript.conversation.push_at("pear", time(9));
    });
    assert_eq!(listed(&store, &list().with_metadata("team", "blue")), ["0", "5", "3", "1"]);
    let first = block_on(store.list_by(&list().limit(1))).unwrap();
    assert_eq!((first.found[0].title.as_deref(), first.found[0].used_at), (Some("Talk 0"), time(9)));
    // One that has the text often is listed once.
    for _ in 0..5 {
        say(&store, "2", "apple again");
        say(&store, "4", "apple again");
    }
    assert_eq!(listed(&store, &list().with_text("apple")), ["4", "2", "5", "3", "1", "0"]);
}

#[test]
fn what_a_server_has_stored_is_no_conversation_and_searched_only_by_name() {
    let (_folder, store) = indexed();
    let (response, completion) = (format!("resp_{}", "0".repeat(50)), format!("chatcmpl-{}", "0".repeat(44)));
    save(&store, "conv", &["apple"]);
    block_on(store.fork("conv", &response)).unwrap();
    say(&store, &response, "apple again");
    save(&store, &completion, &["apple"]);
    assert_eq!(places(&store, "apple"), [place("conv", 0)]);
    assert_eq!(listed(&store, &ListQuery::new()), ["conv"]);
    assert_eq!(listed(&store, &ListQuery::new().with_text("apple")), ["conv"]);
    let scanned = block_on(scan(&store, &SearchQuery::new("apple"))).unwrap();
    assert_eq!((scanned.found.len(), &*scanned.found[0].conversation), (1, "conv"));
    let by_name = SearchQuery::new("apple").in_conversation(&response);
    assert_eq!(search(&store, &by_name).len(), 2);
    assert_eq!(block_on(scan(&store, &by_name)).unwrap().found.len(), 2);
}

#[test]
fn an_item_that_forks_share_is_found_once_where_it_still_is() {
    let (_folder, store) = indexed();
    save(&store, "a", &["apple", "pear"]);
    change(&store, "a", |transcript| transcript.conversation.metadata_mut().set("team", "red").unwrap());
    block_on(store.fork("a", "b")).unwrap();
    block_on(store.fork("b", "c")).unwrap();
    say(&store, "a", "apple of a");
    say(&store, "b", "apple of b");
    block_on(store.fork("b", "d")).unwrap();
    assert_eq!(places(&store, "apple"), [place("b", 2), place("a", 2), place("a", 0)]);
    assert_eq!(search(&store, &SearchQuery::new("apple").in_conversation("d")).len(), 2);
    assert_eq!(search(&store, &SearchQuery::new("apple").in_conversation("c")).len(), 1);
    assert_eq!(listed(&store, &ListQuery::new().with_metadata("team", "red")).len(), 4);
    block_on(store.delete("a")).unwrap();
    assert_eq!(places(&store, "apple"), [place("b", 2), place("b", 0)]);
    block_on(store.purge("a")).unwrap();
    assert_eq!(places(&store, "apple"), [place("b", 2), place("b", 0)]);
    block_on(store.delete("b")).unwrap();
    assert_eq!(places(&store, "apple"), [place("d", 2), place("c", 0)]);
    block_on(store.restore("b")).unwrap();
    assert_eq!(places(&store, "apple"), [place("b", 2), place("b", 0)]);
}

#[test]
fn tenants_find_and_list_nothing_of_each_other() {
    let (_folder, store) = indexed();
    let (red, blue) = (store.tenant("red").unwrap(), store.tenant("blue").unwrap());
    for (store, text) in [(&store, "apple nobody"), (&red, "apple reddish"), (&blue, "apple bluish")] {
        save(store, "talk", &[text]);
    }
    say(&red, "talk", "apple again");
    assert_eq!(places(&blue, "apple"), [place("talk", 0)]);
    assert_eq!(places(&blue, "reddish"), []);
    assert_eq!(places(&blue, "ddi"), []);
    assert_eq!(places(&red, "apple").len(), 2);
    assert_eq!(places(&store, "apple").len(), 1);
    assert_eq!(listed(&blue, &ListQuery::new().with_text("apple")), ["talk"]);
    // A cursor of another tenant leads nowhere else.
    let page = block_on(red.search(&SearchQuery::new("apple").limit(1))).unwrap();
    let stolen = SearchQuery::new("apple").after(page.next.unwrap());
    assert!(search(&blue, &stolen).iter().all(|hit| hit.snippet.text == "apple bluish"));
    assert_eq!(places(&store.tenant("nobody").unwrap(), "apple"), []);
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
fn parts_of_very_many_words_are_found_too() {
    let (_folder, store) = indexed();
    let words: Vec<String> = (0..3_000).map(|number| format!("pre{number}fix")).collect();
    for (number, words) in words.chunks(100).enumerate() {
        save(&store, &number.to_string(), &[&words.join(" "), "other"]);
    }
    assert_eq!(places(&store, "pre").len(), 30);
    assert_eq!(places(&store, "pre other").len(), 0);
    assert_eq!(places(&store, "e2999f"), [place("29", 0)]);
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

/// Many random writes, and what is found compared with reading everything.
#[test]
fn after_random_writes_the_index_finds_what_reading_everything_finds() {
    let (_folder, store) = indexed();
    let model = MemoryStore::new();
    let mut random = fastrand::Rng::with_seed(7);
    let words = ["apple", "pear", "go", "北京", "plum", "東", "grape"];
    for step in 0..400 {
        let id = random.usize(0..8).to_string();
        let text = format!("{} {} {step}", words[random.usize(0..7)], words[random.usize(0..7)]);
        let is_there = block_on(store.revision(&id)).is_ok();
        for store in [&store as &dyn Store, &model] {
            let mut dice = fastrand::Rng::with_seed(step);
            match (is_there, dice.u8(0..10)) {
                (false, _) => save(store, &id, &[&text]),
                (true, 0) => block_on(store.delete(&id)).unwrap(),
                (true, 1) => change(store, &id, |transcript| {
                    let first = transcript.conversation.items().next().map(turnwise::Item::id);
                    first.map(|first| transcript.conversation.purge(first).unwrap());
                }),
                (true, 2) => {
                    let (mut transcript, revision) = block_on(store.load(&id)).unwrap();
                    transcript.redact(|text| text.contains("pear").then(|| text.replace("pear", "plum"))).unwrap();
                    block_on(store.save(&id, &transcript, Some(&revision))).unwrap();
                }
                _ => drop(say(store, &id, &text)),
            }
        }
        if step % 20 == 0 {
            for word in words.iter().chain(&["app", "ear", "\"go apple\""]) {
                let found: BTreeSet<_> = places(&store, word).into_iter().collect();
                let scanned = block_on(scan(&model, &SearchQuery::new(*word).limit(1_000))).unwrap().found;
                let scanned: BTreeSet<_> =
                    scanned.into_iter().map(|hit| (hit.conversation, hit.item.index())).collect();
                assert_eq!(found, scanned, "{word} after {step}");
            }
            if step % 100 == 0 {
                block_on(store.purge_expired()).unwrap();
            }
        }
    }
}
