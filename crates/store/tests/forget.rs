//! Rules by which conversations go, and totals.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::time::Duration;

use futures_lite::future::block_on;
use rusqlite::Connection;
use tempfile::TempDir;
use turnwise::backend::Usage;
use turnwise::spending::{Call, Purpose};
use turnwise::store::{MemoryStore, Store};
use turnwise::{Conversation, Message, Transcript};
use turnwise_store::SqliteStore;
use turnwise_store::forget::Rules;
use turnwise_store::search::{ListQuery, SearchQuery};
use turnwise_store::usage::totals;

const HOUR: u64 = 60 * 60;

fn save(store: &dyn Store, id: &str, text: &str) {
    let talk = Transcript::new(Conversation::from_messages([Message::user(text)]));
    block_on(store.save(id, &talk, None)).unwrap();
}

/// A store whose conversation `3` was written three hours ago, and so on.
fn aged(folder: &TempDir, count: u64) -> SqliteStore {
    let store = SqliteStore::open(folder.path().join("chats.db")).unwrap();
    block_on(store.enable_search()).unwrap();
    let red = store.tenant("red").unwrap();
    for hours in 0..count {
        save(&store, &format!("{hours:03}"), &format!("zyxapple {hours}"));
        save(&red, &format!("{hours:03}"), "zyxapple of another tenant");
    }
    let db = Connection::open(store.path()).unwrap();
    db.execute("UPDATE conversations SET changed_at = changed_at - CAST(id AS INTEGER) * 3600000 - 60000", []).unwrap();
    store
}

fn ids(store: &SqliteStore) -> Vec<String> {
    block_on(store.list(None, 1_000)).unwrap()
}

fn found(store: &SqliteStore) -> usize {
    let found = block_on(store.search(&SearchQuery::new("zyxapple").limit(1_000))).unwrap().found.len();
    assert_eq!(block_on(store.list_by(&ListQuery::new().limit(1_000))).unwrap().found.len(), found);
    found
}

#[test]
fn without_rules_nothing_goes() {
    let folder = TempDir::new().unwrap();
    let store = aged(&folder, 5);
    assert!(block_on(store.expire(&Rules::new())).unwrap().is_empty());
    assert!(block_on(store.expire(&Rules::new().for_good())).unwrap().is_empty());
    assert_eq!(ids(&store).len(), 5);
}

#[test]
fn what_goes_is_told_before_and_is_gone_from_lists_and_search_and_can_be_restored() {
    let folder = TempDir::new().unwrap();
    let store = aged(&folder, 10);
    let unused = Rules::new().unused_for(Duration::from_secs(7 * HOUR));
    let told: Vec<String> = block_on(store.expiring(&unused)).unwrap().into_iter().map(|gone| gone.id).collect();
    assert_eq!(told, ["009", "008", "007"]);
    assert_eq!(ids(&store).len(), 10);
    let gone: Vec<String> = block_on(store.expire(&unused)).unwrap().into_iter().map(|gone| gone.id).collect();
    assert_eq!(gone, told);
    assert_eq!((ids(&store).len(), found(&store)), (7, 7));
    block_on(store.restore("008")).unwrap();
    assert_eq!(found(&store), 8);

    let last = Rules::new().keep_last(2).unused_for(Duration::from_secs(100 * HOUR));
    assert_eq!(block_on(store.expiring(&last)).unwrap().len(), 6);
    block_on(store.expire(&last)).unwrap();
    assert_eq!(ids(&store), ["000", "001"]);
    assert_eq!(found(&store.tenant("red").unwrap()), 10, "others keep theirs");
}

#[test]
fn what_goes_for_good_is_in_no_file_and_many_go_in_steps() {
    let folder = TempDir::new().unwrap();
    let store = aged(&folder, 250);
    let red = store.tenant("red").unwrap();
    for store in [&store, &red] {
        assert_eq!(block_on(store.expire(&Rules::new().keep_last(0).for_good())).unwrap().len(), 250);
        assert_eq!((ids(store).len(), found(store)), (0, 0));
        assert!(block_on(store.deleted(None, 10)).unwrap().is_empty());
    }
    assert!(!is_on_disk(folder.path(), "zyxapple"));
}

fn is_on_disk(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

fn spend(store: &dyn Store, id: &str, model: &str, tokens: u64) {
    let (mut transcript, revision) = block_on(store.load(id)).unwrap();
    let before = transcript.clone();
    transcript.conversation.push("Hi");
    transcript.spending.add(&Call::new(Purpose::Reply, model).usage(&Usage::new(tokens, 1)));
    block_on(store.append(id, &transcript.changes_since(&before), &revision)).unwrap();
}

#[test]
fn usage_is_added_up_by_model_and_what_forks_share_once() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path().join("chats.db")).unwrap();
    let red = store.tenant("red").unwrap();
    for id in ["a", "b"] {
        save(&store, id, "Hi");
        spend(&store, id, "small", 10);
    }
    save(&red, "a", "Hi");
    spend(&red, "a", "large", 1_000);
    spend(&store, "a", "large", 100);
    let by_model = |store: &SqliteStore| -> Vec<(String, u64, u64)> {
        let totals = block_on(store.totals()).unwrap();
        totals.models.iter().map(|one| (one.model.clone(), one.tally.calls, one.tally.prompt_tokens)).collect()
    };
    assert_eq!(by_model(&red), [("large".to_owned(), 1, 1_000)]);
    let before = [("large".to_owned(), 1, 100), ("small".to_owned(), 2, 20)];
    assert_eq!(by_model(&store), before);
    let any = block_on(totals(&store)).unwrap();
    assert_eq!((&any, any.total().prompt_tokens), (&block_on(store.totals()).unwrap(), 120));

    block_on(store.fork("a", "fork")).unwrap();
    block_on(store.fork("fork", "fork of it")).unwrap();
    assert_eq!(by_model(&store), before);
    spend(&store, "fork", "small", 5);
    assert_eq!(by_model(&store)[1], ("small".to_owned(), 3, 25));
    assert_eq!(block_on(store.totals()).unwrap().conversations, 4);
    block_on(store.delete("b")).unwrap();
    assert_eq!(by_model(&store)[1], ("small".to_owned(), 2, 15));
    assert_eq!(block_on(totals(&MemoryStore::new())).unwrap().models, []);
}

/// Writes a conversation anew, as a redaction does.
fn redact(store: &dyn Store, id: &str) {
    let (mut transcript, revision) = block_on(store.load(id)).unwrap();
    transcript.redact(|text| Some(text.replace('H', "h"))).unwrap();
    block_on(store.save(id, &transcript, Some(&revision))).unwrap();
}

#[test]
fn usage_that_forks_share_counts_once_also_after_one_was_redacted() {
    for redacted in
        [&["a"][..], &["fork"], &["a", "fork"], &["fork", "a"], &["fork", "fork", "a", "a", "next"], &["next"]]
    {
        let folder = TempDir::new().unwrap();
        let store = SqliteStore::open(folder.path().join("chats.db")).unwrap();
        save(&store, "a", "Hi");
        spend(&store, "a", "small", 100);
        block_on(store.fork("a", "fork")).unwrap();
        spend(&store, "fork", "small", 10);
        block_on(store.fork("fork", "next")).unwrap();
        spend(&store, "next", "small", 1);
        spend(&store, "a", "small", 1_000);
        let tokens = |store: &SqliteStore| block_on(store.totals()).unwrap().total().prompt_tokens;
        assert_eq!(tokens(&store), 1_111);
        for id in redacted {
            redact(&store, id);
            assert_eq!(tokens(&store), 1_111, "{redacted:?}");
        }
        // New forks of what was redacted, and originals that go and come back.
        block_on(store.fork("fork", "last")).unwrap();
        spend(&store, "last", "small", 5);
        redact(&store, "last");
        assert_eq!(tokens(&store), 1_116, "{redacted:?}");
        block_on(store.delete("a")).unwrap();
        redact(&store, "fork");
        block_on(store.restore("a")).unwrap();
        assert_eq!(tokens(&store), 1_116, "{redacted:?}");
    }
}
