//! Rules by which conversations go, and totals.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::time::Duration;

use futures_lite::future::block_on;
use rusqlite::Connection;
use tempfile::TempDir;
use turnwise::store::Store;
use turnwise::{Conversation, Message, Transcript};
use turnwise_store::SqliteStore;
use turnwise_store::forget::Rules;
use turnwise_store::search::{ListQuery, SearchQuery};

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
    assert!(block_on(store.expire(&Rules::new())).unwrap().gone.is_empty());
    assert!(block_on(store.expire(&Rules::new().for_good())).unwrap().gone.is_empty());
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
    let gone: Vec<String> = block_on(store.expire(&unused)).unwrap().gone.into_iter().map(|gone| gone.id).collect();
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
        assert_eq!(block_on(store.expire(&Rules::new().keep_last(0).for_good())).unwrap().gone.len(), 250);
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
