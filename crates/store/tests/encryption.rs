//! Stores whose conversations are sealed.
#![cfg(feature = "encryption")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "common/talks.rs"]
mod talks;

use futures_lite::future::block_on;
#[cfg(feature = "postgres")]
use talks::save;
use talks::{load, say, texts};
use turnwise::backend::Usage;
use turnwise::spending::{Call, Purpose};
use turnwise::store::Store;
use turnwise::{Conversation, Error, ErrorKind, Message, Transcript};
use turnwise_store::encryption::Keys;

fn keys(digits: &[&str]) -> Keys {
    digits.iter().map(|digits| digits.repeat(32)).collect::<Vec<_>>().join("\n").parse().unwrap()
}

/// A conversation with a secret in everything that is text.
fn talk() -> Transcript {
    let mut talk = Conversation::from_messages([Message::system("secret-head"), Message::user("secret-question")]);
    talk.metadata_mut().set("title", "secret-title").unwrap();
    let mut transcript = Transcript::new(talk);
    transcript.model = Some("secret-model".to_owned());
    transcript.spending.add(&Call::new(Purpose::Reply, "secret-model").usage(&Usage::new(100, 1)));
    transcript
}

fn spend(store: &dyn Store, id: &str, tokens: u64) {
    let (mut transcript, revision) = load(store, id);
    let before = transcript.clone();
    transcript.spending.add(&Call::new(Purpose::Reply, "secret-model").usage(&Usage::new(tokens, 1)));
    block_on(store.append(id, &transcript.changes_since(&before), &revision)).unwrap();
}

fn redact(store: &dyn Store, id: &str) {
    let (mut transcript, revision) = load(store, id);
    transcript.redact(|text| text.contains("secret-question").then(|| "secret-answer".to_owned())).unwrap();
    block_on(store.save(id, &transcript, Some(&revision))).unwrap();
}

fn assert_not_searchable(refused: &Error) {
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert!(refused.detail().contains("scan"), "{refused}");
}

/// Everything that writes text.
fn use_all_of(store: &dyn Store) {
    block_on(store.save("a", &talk(), None)).unwrap();
    say(store, "a", "secret-turn");
    block_on(store.fork("a", "fork")).unwrap();
    say(store, "fork", "secret-turn of a fork");
    spend(store, "fork", 10);
    redact(store, "fork");
    block_on(store.save("deleted", &talk(), None)).unwrap();
    block_on(store.delete("deleted")).unwrap();
    let long = Conversation::from_messages(
        (0..3_000).map(|number| Message::user(format!("secret-{number} {}", "long ".repeat(40)))),
    );
    block_on(store.save("long", &Transcript::new(long), None)).unwrap();
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use rusqlite::Connection;
    use tempfile::TempDir;
    use turnwise::store::{self, MemoryStore};
    use turnwise_store::SqliteStore;
    use turnwise_store::export::{Existing, Exporter, import};
    use turnwise_store::search::{ListQuery, SearchQuery, scan};

    use super::*;

    fn folder() -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("chats.db");
        (folder, file)
    }

    fn is_on_disk(folder: &Path) -> bool {
        fs::read_dir(folder).unwrap().any(|entry| {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(7).any(|window| window == b"secret-")
        })
    }

    #[test]
    fn it_keeps_the_promises_of_a_store_and_no_file_has_a_text() {
        let (folder, file) = folder();
        let open = || SqliteStore::open_sealed(&file, keys(&["ab"])).unwrap();
        block_on(store::check(open)).unwrap();
        let store = open();
        use_all_of(&store);
        assert!(!is_on_disk(folder.path()), "while it is open");
        block_on(store.backup(folder.path().join("copy.db"))).unwrap();
        let before = load(&store, "fork").0.to_json();
        drop(store);
        assert!(!is_on_disk(folder.path()));
        for name in ["chats.db", "copy.db"] {
            let fresh = SqliteStore::open_sealed(folder.path().join(name), keys(&["ab"])).unwrap();
            assert_eq!(load(&fresh, "fork").0.to_json(), before);
            assert_eq!(texts(&load(&fresh, "long").0).len(), 3_000);
            block_on(fresh.restore("deleted")).unwrap();
            assert_eq!(texts(&load(&fresh, "deleted").0), ["secret-question"]);
            assert_eq!(block_on(fresh.totals()).unwrap().total().prompt_tokens, 210);
        }
    }

    #[test]
    fn what_was_written_in_plain_text_is_sealed_by_a_rekey_and_then_in_no_file() {
        let (folder, file) = folder();
        let plain = SqliteStore::open(&file).unwrap();
        block_on(plain.enable_search()).unwrap();
        use_all_of(&plain);
        block_on(plain.tenant("ann").unwrap().save("hers", &talk(), None)).unwrap();
        let before = load(&plain, "fork").0.to_json();
        drop(plain);
        assert!(is_on_disk(folder.path()));

        let store = SqliteStore::open_sealed(&file, keys(&["ab"])).unwrap();
        let refused = block_on(store.load("a")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Auth);
        assert!(refused.detail().contains("`a`") && refused.detail().contains("rekey"), "{refused}");
        assert!(block_on(store.rekey()).unwrap() > 3_000);
        assert!(!is_on_disk(folder.path()));
        assert_eq!(load(&store, "fork").0.to_json(), before);
        assert_eq!(texts(&load(&store.tenant("ann").unwrap(), "hers").0), ["secret-question"]);
        assert_eq!(block_on(store.totals()).unwrap().total().prompt_tokens, 110);
        assert_eq!(block_on(store.rekey()).unwrap(), 0);
    }

    #[test]
    fn keys_are_changed_one_after_the_other_and_the_old_one_is_not_needed_any_more() {
        let (_folder, file) = folder();
        use_all_of(&SqliteStore::open_sealed(&file, keys(&["ab"])).unwrap());
        let both = SqliteStore::open_sealed(&file, keys(&["cd", "ab"])).unwrap();
        say(&both, "a", "with the new key");
        let (old, new) = (keys(&["ab"]), keys(&["cd"]));
        for (one, missing) in [(&old, &new), (&new, &old)] {
            let store = SqliteStore::open_sealed(&file, one.clone()).unwrap();
            let refused = block_on(store.load("a")).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Auth);
            assert!(refused.detail().contains(missing.newest()), "{refused}");
        }
        let refused = block_on(SqliteStore::open(&file).unwrap().load("a")).unwrap_err();
        assert!(refused.kind() == ErrorKind::Auth && refused.detail().contains(old.newest()), "{refused}");
        // A rekey that lacks the old key changes nothing.
        let lacks = SqliteStore::open_sealed(&file, new.clone()).unwrap();
        assert_eq!(block_on(lacks.rekey()).unwrap_err().kind(), ErrorKind::Auth);

        assert!(block_on(both.rekey()).unwrap() > 0);
        let fresh = SqliteStore::open_sealed(&file, new).unwrap();
        assert_eq!(load(&fresh, "a").0.to_json(), load(&both, "a").0.to_json());
        assert_eq!(block_on(fresh.totals()).unwrap(), block_on(both.totals()).unwrap());
    }

    #[test]
    fn whether_the_keys_fit_is_told_by_a_conversation_of_each_tenant() {
        let (_folder, file) = folder();
        let sealed = SqliteStore::open_sealed(&file, keys(&["ab"])).unwrap();
        for number in 0..3 {
            let store = sealed.tenant(&format!("t{number}")).unwrap();
            block_on(store.save("a", &talk(), None)).unwrap();
            block_on(store.fork("a", "a fork")).unwrap();
        }
        block_on(sealed.check_keys()).unwrap();
        for other in [SqliteStore::open(&file).unwrap(), SqliteStore::open_sealed(&file, keys(&["cd"])).unwrap()] {
            let refused = block_on(other.check_keys()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Auth);
            assert!(refused.detail().starts_with("the conversation `a` of the tenant `t0`: row 1"), "{refused}");
        }
        // What is written in plain text beside it is told too, whichever tenant has it.
        let plain = SqliteStore::open(&file).unwrap().tenant("t9").unwrap();
        block_on(plain.save("b", &talk(), None)).unwrap();
        let refused = block_on(sealed.check_keys()).unwrap_err();
        assert!(
            refused.detail().contains("`b` of the tenant `t9`") && refused.detail().contains("not sealed"),
            "{refused}"
        );
        // Keys are no reason to refuse a database in which something else is wrong.
        block_on(plain.delete("b")).unwrap();
        let db = Connection::open(&file).unwrap();
        db.execute("UPDATE changes SET change = change || 'x'", []).unwrap();
        block_on(sealed.check_keys()).unwrap();
    }

    #[test]
    fn rows_that_are_swapped_changed_or_put_there_in_plain_text_are_refused() {
        let swaps = [
            // Two rows of one conversation; the rows of two conversations; the tenants of two rows.
            (
                "position",
                "UPDATE changes SET position = -position WHERE position IN (2, 3) AND tenant = ''; \
                          UPDATE changes SET position = 5 + position WHERE position < 0",
            ),
            (
                "log",
                "UPDATE changes SET log = (SELECT log FROM conversations WHERE id = 'b' AND tenant = '') + 0 * log, \
                     position = position + 100 WHERE log = (SELECT log FROM conversations WHERE id = 'a'); \
                     UPDATE changes SET log = (SELECT log FROM conversations WHERE id = 'a') WHERE position < 100 \
                     AND tenant = ''; UPDATE changes SET position = position - 100 WHERE position > 100",
            ),
            (
                "tenant",
                "UPDATE changes SET tenant = 'ann' WHERE tenant = ''; UPDATE logs SET tenant = 'ann' WHERE tenant = ''; \
                        DELETE FROM conversations WHERE tenant = 'ann'; UPDATE conversations SET tenant = 'ann'",
            ),
            ("change", "UPDATE changes SET change = substr(change, 1, length(change) - 1) || 'A'"),
            (
                "plain",
                "UPDATE changes SET change = '{\"item\":{\"id\":0,\"created_at\":0,\"message\":{\"role\":\"user\", \
                       \"content\":\"forged\"}}}' WHERE position = 2",
            ),
        ];
        for (what, swap) in swaps {
            let (_folder, file) = folder();
            let store = SqliteStore::open_sealed(&file, keys(&["ab"])).unwrap();
            for id in ["a", "b"] {
                block_on(store.save(id, &talk(), None)).unwrap();
                block_on(store.tenant("ann").unwrap().save(id, &talk(), None)).unwrap();
            }
            drop(store);
            Connection::open(&file).unwrap().execute_batch(swap).unwrap();
            let store = SqliteStore::open_sealed(&file, keys(&["ab"])).unwrap();
            let store = if what == "tenant" { store.tenant("ann").unwrap() } else { store };
            let refused = block_on(store.load("a")).unwrap_err();
            let kind = if what == "plain" { ErrorKind::Auth } else { ErrorKind::Damaged };
            assert_eq!(refused.kind(), kind, "{what}: {refused}");
            assert!(refused.detail().contains("`a`") && refused.detail().contains("row "), "{what}: {refused}");
        }
    }

    #[test]
    fn search_by_an_index_is_refused_with_and_without_keys_and_reading_everything_finds() {
        let (_folder, file) = folder();
        let store = SqliteStore::open_sealed(&file, keys(&["ab"])).unwrap();
        block_on(store.save("a", &talk(), None)).unwrap();
        let plain = SqliteStore::open(&file).unwrap();
        let refused = [
            block_on(store.enable_search()).unwrap_err(),
            block_on(store.search(&SearchQuery::new("secret"))).unwrap_err(),
            block_on(store.list_by(&ListQuery::new())).unwrap_err(),
            block_on(plain.enable_search()).unwrap_err(),
        ];
        refused.iter().for_each(assert_not_searchable);
        assert!(!block_on(store.is_searchable()).unwrap());
        assert_eq!(block_on(scan(&store, &SearchQuery::new("secret-question"))).unwrap().found.len(), 1);
    }

    #[test]
    fn an_export_is_plain_and_goes_from_key_to_key() {
        let (_folder, file) = folder();
        let (_other, other) = folder();
        let store = SqliteStore::open_sealed(&file, keys(&["ab"])).unwrap();
        use_all_of(&store);
        let export = |store: &dyn Store| {
            let mut out = Exporter::new(Vec::new()).unwrap();
            block_on(out.add(None, store)).unwrap();
            out.finish().unwrap()
        };
        let exported = export(&store);
        assert!(exported.windows(15).any(|window| window == b"secret-question"));
        let next = SqliteStore::open_sealed(&other, keys(&["cd"])).unwrap();
        let plain = MemoryStore::new();
        let stores: [Arc<dyn Store>; 2] = [Arc::new(next), Arc::new(plain)];
        for store in stores {
            block_on(import(&exported[..], |_| Ok(Some(Arc::clone(&store))), Existing::Refuse)).unwrap();
            assert!(export(&*store) == exported);
        }
    }
}

#[cfg(feature = "postgres")]
#[path = "common/postgres.rs"]
mod server;

#[cfg(feature = "postgres")]
mod postgres {
    use turnwise::store;
    use turnwise_store::PostgresStore;
    use turnwise_store::search::{ListQuery, SearchQuery, scan};

    use super::server::{new_database, query};
    use super::*;

    fn count(url: &str, where_: &str) -> usize {
        query(url, &format!("SELECT count(*) FROM turnwise.changes WHERE {where_}"))[0].parse().unwrap()
    }

    #[test]
    fn it_keeps_the_promises_of_a_store_and_no_row_has_a_text() {
        let Some(url) = new_database() else { return };
        let open = || PostgresStore::open_sealed(&url, keys(&["ab"])).unwrap();
        block_on(store::check(open)).unwrap();
        let store = open();
        use_all_of(&store);
        assert!(count(&url, "true") > 3_000);
        assert_eq!(count(&url, "change NOT LIKE 'twr1.%' OR change LIKE '%secret%'"), 0);
        let before = load(&store, "fork").0.to_json();
        drop(store);
        let fresh = open();
        assert_eq!(load(&fresh, "fork").0.to_json(), before);
        assert_eq!(texts(&load(&fresh, "long").0).len(), 3_000);
    }

    #[test]
    fn a_rekey_seals_what_was_plain_or_had_an_older_key_and_swapped_rows_are_refused() {
        let Some(url) = new_database() else { return };
        let plain = PostgresStore::open(&url).unwrap();
        use_all_of(&plain);
        let before = load(&plain, "fork").0.to_json();
        let old = PostgresStore::open_sealed(&url, keys(&["ab"])).unwrap();
        assert_eq!(block_on(old.load("fork")).unwrap_err().kind(), ErrorKind::Auth);
        assert!(block_on(old.rekey()).unwrap() > 3_000);
        assert_eq!(count(&url, "change LIKE '%secret%'"), 0);
        let both = PostgresStore::open_sealed(&url, keys(&["cd", "ab"])).unwrap();
        say(&both, "a", "with the new key");
        assert!(block_on(both.rekey()).unwrap() > 3_000);
        assert_eq!(block_on(both.rekey()).unwrap(), 0);
        let new = PostgresStore::open_sealed(&url, keys(&["cd"])).unwrap();
        assert_eq!(load(&new, "fork").0.to_json(), before);
        let refused = block_on(PostgresStore::open(&url).unwrap().load("a")).unwrap_err();
        assert!(refused.kind() == ErrorKind::Auth && refused.detail().contains(keys(&["cd"]).newest()), "{refused}");

        query(
            &url,
            "UPDATE turnwise.changes SET position = -position WHERE position IN (2, 3); \
                     UPDATE turnwise.changes SET position = 5 + position WHERE position < 0",
        );
        let fresh = PostgresStore::open_sealed(&url, keys(&["cd"])).unwrap();
        assert_eq!(block_on(fresh.load("long")).unwrap_err().kind(), ErrorKind::Damaged);
        let newer = PostgresStore::open_sealed(&url, keys(&["ef", "cd"])).unwrap();
        let refused = block_on(newer.rekey()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Damaged);
        assert!(refused.detail().starts_with("the conversation `"), "{refused}");
    }

    #[test]
    fn whether_the_keys_fit_is_told_by_a_conversation_of_each_tenant() {
        let Some(url) = new_database() else { return };
        let sealed = PostgresStore::open_sealed(&url, keys(&["ab"])).unwrap();
        block_on(sealed.check_keys()).unwrap();
        // More than are looked at with one statement.
        for number in 0..120 {
            let store = sealed.tenant(&format!("t{number:03}")).unwrap();
            block_on(store.save("a", &talk(), None)).unwrap();
            block_on(store.fork("a", "a fork")).unwrap();
        }
        block_on(sealed.check_keys()).unwrap();
        for other in [PostgresStore::open(&url).unwrap(), PostgresStore::open_sealed(&url, keys(&["cd"])).unwrap()] {
            let refused = block_on(other.check_keys()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Auth);
            assert!(refused.detail().starts_with("the conversation `a` of the tenant `t000`: row 1"), "{refused}");
        }
        let plain = PostgresStore::open(&url).unwrap().tenant("t999").unwrap();
        block_on(plain.save("b", &talk(), None)).unwrap();
        let refused = block_on(sealed.check_keys()).unwrap_err();
        assert!(refused.detail().contains("`b` of the tenant `t999`"), "{refused}");
        block_on(plain.delete("b")).unwrap();
        query(&url, "UPDATE turnwise.changes SET change = change || 'x'");
        block_on(sealed.check_keys()).unwrap();
    }

    #[test]
    fn usage_is_added_up_from_sealed_rows_also_after_a_redaction_and_a_rekey() {
        let Some(url) = new_database() else { return };
        let tokens = |store: &PostgresStore| block_on(store.totals()).unwrap().total().prompt_tokens;
        let plain = PostgresStore::open(&url).unwrap();
        use_all_of(&plain);
        spend(&plain, "a", 100);
        block_on(plain.fork("a", "shares")).unwrap();
        spend(&plain, "shares", 10);
        redact(&plain, "shares");
        let before = tokens(&plain);
        assert_eq!(query(&url, "SELECT count(*) FROM turnwise.logs WHERE inherited LIKE '{%'"), ["2"]);
        let sealed = PostgresStore::open_sealed(&url, keys(&["ab"])).unwrap();
        block_on(sealed.rekey()).unwrap();
        assert_eq!(query(&url, "SELECT count(*) FROM turnwise.logs WHERE inherited LIKE '{%'"), ["0"]);
        assert_eq!(tokens(&sealed), before);
        redact(&sealed, "a");
        assert_eq!(tokens(&sealed), before);
        let next = PostgresStore::open_sealed(&url, keys(&["cd", "ab"])).unwrap();
        block_on(next.rekey()).unwrap();
        drop((sealed, next));
        assert_eq!(tokens(&PostgresStore::open_sealed(&url, keys(&["cd"])).unwrap()), before);
    }

    #[test]
    fn an_index_is_removed_when_keys_are_used_and_refused_with_and_without_them() {
        let Some(url) = new_database() else { return };
        let plain = PostgresStore::open(&url).unwrap();
        block_on(plain.enable_search()).unwrap();
        save(&plain, "a", &talk());
        assert_eq!(block_on(plain.search(&SearchQuery::new("secret"))).unwrap().found.len(), 1);
        let store = PostgresStore::open_sealed(&url, keys(&["ab"])).unwrap();
        assert_eq!(query(&url, "SELECT count(*) FROM turnwise.search_items"), ["0"]);
        block_on(store.rekey()).unwrap();
        let refused = [
            block_on(store.enable_search()).unwrap_err(),
            block_on(store.search(&SearchQuery::new("secret"))).unwrap_err(),
            block_on(store.list_by(&ListQuery::new())).unwrap_err(),
            block_on(plain.enable_search()).unwrap_err(),
        ];
        refused.iter().for_each(assert_not_searchable);
        assert_eq!(block_on(scan(&store, &SearchQuery::new("secret-question"))).unwrap().found.len(), 1);
    }
}
