//! What a store over PostgreSQL promises beside what every store over a database does.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "common/postgres.rs"]
mod server;
#[path = "common/talks.rs"]
mod talks;

use std::path::Path;

use futures_lite::future::block_on;
use server::{new_database, query};
use talks::{load, save, say, talk, texts};
use turnwise::ErrorKind;
use turnwise::store::{Change, Store};
use turnwise_store::PostgresStore;

fn count(url: &str, of: &str) -> usize {
    query(url, &format!("SELECT count(*) FROM turnwise.{of}"))[0].parse().unwrap()
}

#[test]
fn a_fork_copies_no_row_and_nothing_is_left_of_what_was_purged() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    save(&store, "a", &talk(&["shared"]));
    let rows = count(&url, "changes");
    block_on(store.fork("a", "b")).unwrap();
    block_on(store.fork("b", "c")).unwrap();
    assert_eq!(count(&url, "changes"), rows);
    say(&store, "a", "only a's");
    say(&store, "b", "only b's");
    let has =
        |text: &str| !query(&url, &format!("SELECT 1 FROM turnwise.changes WHERE change LIKE '%{text}%'")).is_empty();
    for (id, gone) in [("a", "only a''s"), ("b", "only b''s"), ("c", "shared")] {
        assert!(has(gone), "{gone}");
        block_on(store.delete(id)).unwrap();
        assert!(has(gone), "{gone} can be restored");
        block_on(store.purge(id)).unwrap();
        assert!(!has(gone), "{gone}");
    }
    for table in ["changes", "logs", "conversations", "deleted"] {
        assert_eq!(count(&url, table), 0, "{table}");
    }
}

#[test]
fn what_is_redacted_or_purged_by_a_change_is_in_no_row_afterwards() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    save(&store, "a", &talk(&["my secret-one", "secret-two"]));
    let has =
        |text: &str| !query(&url, &format!("SELECT 1 FROM turnwise.changes WHERE change LIKE '%{text}%'")).is_empty();
    let (mut redacted, revision) = load(&store, "a");
    redacted.redact(|text| text.contains("secret-one").then(|| "my [number]".to_owned())).unwrap();
    let revision = block_on(store.save("a", &redacted, Some(&revision))).unwrap();
    assert!(!has("secret-one") && has("secret-two"));
    // A purge comes as a change.
    let mut purged = redacted.clone();
    let last = purged.conversation.path().item(1).unwrap().id();
    purged.conversation.purge(last).unwrap();
    let changes = purged.changes_since(&redacted);
    assert!(changes.iter().any(Change::removes_text));
    block_on(store.append("a", &changes, &revision)).unwrap();
    assert!(!has("secret-two"));
    assert_eq!(load(&PostgresStore::open(&url).unwrap(), "a").0.to_json(), purged.to_json());
}

#[test]
fn many_programs_that_open_an_empty_database_at_once_make_its_tables_once() {
    let Some(url) = new_database() else { return };
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| PostgresStore::open(&url).map(drop))).collect();
        for one in opened {
            one.join().unwrap().unwrap();
        }
    });
    assert_eq!(query(&url, "SELECT version FROM turnwise.schema_version"), ["3"]);
}

#[test]
fn the_isolation_that_the_database_has_by_default_makes_no_difference() {
    for isolation in ["repeatable read", "serializable"] {
        let Some(url) = new_database() else { return };
        let (_, name) = url.rsplit_once('/').unwrap();
        query(&url, &format!("ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'"));
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| PostgresStore::open(&url))).collect();
            for (number, one) in opened.into_iter().enumerate() {
                let store = one.join().unwrap().unwrap();
                save(&store, &number.to_string(), &talk(&["one"]));
                say(&store, &number.to_string(), "two");
            }
        });
        assert_eq!(count(&url, "conversations"), 8);
    }
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_not_waited_for_without_end() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let begun = std::time::Instant::now();
    let refused = PostgresStore::open(&format!("postgres://ann:secret@{address}/chats?connect_timeout=1")).unwrap_err();
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    assert_eq!(refused.kind(), ErrorKind::Io);
    assert!(refused.detail().contains("2s") && refused.detail().contains("connect_timeout"), "{refused}");
    assert!(!refused.detail().contains("secret"));
}

#[test]
fn a_statement_that_the_database_cancels_has_changed_nothing_and_is_no_lost_connection() {
    let Some(url) = new_database() else { return };
    let (_, name) = url.rsplit_once('/').unwrap();
    query(&url, &format!("ALTER DATABASE {name} SET statement_timeout = '200ms'"));
    let store = PostgresStore::open(&url).unwrap();
    save(&store, "a", &talk(&["one"]));
    std::thread::scope(|scope| {
        // Whoever holds the row keeps others waiting.
        let (url, store) = (&url, &store);
        let hold = "BEGIN; SET LOCAL statement_timeout = 0; SELECT 1 FROM turnwise.conversations FOR UPDATE; SELECT pg_sleep(2); \
                    COMMIT";
        let holder = scope.spawn(move || query(url, hold));
        std::thread::sleep(std::time::Duration::from_millis(500));
        let (before, revision) = load(store, "a");
        let mut after = before.clone();
        after.conversation.push("two");
        let cancelled = block_on(store.append("a", &after.changes_since(&before), &revision)).unwrap_err();
        assert_eq!(cancelled.kind(), ErrorKind::Io);
        for says in ["57014", "nothing was changed", "statement_timeout"] {
            assert!(cancelled.detail().contains(says), "{cancelled}");
        }
        assert!(!cancelled.detail().contains("lost"), "{cancelled}");
        holder.join().unwrap();
        block_on(store.append("a", &after.changes_since(&before), &revision)).unwrap();
    });
    assert_eq!(texts(&load(&store, "a").0), ["one", "two"]);
}

#[test]
fn an_older_program_goes_on_with_newer_tables_that_it_can_use() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    save(&store, "a", &talk(&["one"]));
    // As a step does that only adds.
    query(
        &url,
        "ALTER TABLE turnwise.changes ADD COLUMN later text; UPDATE turnwise.schema_version SET version = 1000",
    );
    say(&store, "a", "two");
    let other = PostgresStore::open(&url).unwrap();
    say(&other, "a", "three");
    block_on(other.fork("a", "b")).unwrap();
    block_on(store.delete("b")).unwrap();
    block_on(other.restore("b")).unwrap();
    assert_eq!(texts(&load(&store, "b").0), ["one", "two", "three"]);
    assert_eq!(query(&url, "SELECT version FROM turnwise.schema_version"), ["1000"]);
}

#[test]
fn a_newer_database_is_refused_even_while_it_is_open() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    let revision = save(&store, "a", &talk(&["one"]));
    let (whole, _) = load(&store, "a");
    let mut after = whole.clone();
    after.conversation.push("two");
    let changes = after.changes_since(&whole);
    query(&url, "UPDATE turnwise.schema_version SET version = 1000, needs = 999");
    let refused = [
        PostgresStore::open(&url).map(drop).unwrap_err(),
        block_on(store.load("a")).map(drop).unwrap_err(),
        block_on(store.revision("a")).map(drop).unwrap_err(),
        block_on(store.list(None, 10)).map(drop).unwrap_err(),
        block_on(store.save("a", &talk(&["two"]), Some(&revision))).map(drop).unwrap_err(),
        block_on(store.save("b", &talk(&["two"]), None)).map(drop).unwrap_err(),
        block_on(store.append("a", &changes, &revision)).map(drop).unwrap_err(),
        block_on(store.fork("a", "b")).map(drop).unwrap_err(),
        block_on(store.delete("a")).unwrap_err(),
        block_on(store.restore("a")).map(drop).unwrap_err(),
        block_on(store.deleted(None, 10)).map(drop).unwrap_err(),
        block_on(store.purge("a")).unwrap_err(),
        block_on(store.purge_expired()).map(drop).unwrap_err(),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        assert_eq!(refused.kind(), ErrorKind::NewerFormat, "{number}: {refused}");
        assert!(refused.detail().contains("version 999") && refused.detail().contains("update"), "{refused}");
    }
    query(&url, "UPDATE turnwise.schema_version SET version = 3, needs = 1");
    assert_eq!(texts(&load(&store, "a").0), ["one"], "nothing was changed");
}

#[test]
fn a_schema_of_another_program_is_refused_and_left_alone() {
    let Some(url) = new_database() else { return };
    query(&url, "CREATE SCHEMA turnwise; CREATE TABLE turnwise.theirs (x text)");
    let refused = PostgresStore::open(&url).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ForeignFormat, "{refused}");
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'turnwise'::regnamespace AND relkind = 'r'";
    assert_eq!(query(&url, tables), ["1"]);
}

#[test]
fn whoever_may_not_make_schemas_can_be_given_one() {
    let Some(url) = new_database() else { return };
    let role = format!("limited_{:08x}", fastrand::u32(..));
    query(&url, &format!("CREATE ROLE {role} LOGIN PASSWORD 'limited'; CREATE SCHEMA turnwise AUTHORIZATION {role}"));
    let (_, host) = url.split_once('@').unwrap();
    // A pooler does not know the new role.
    if let Ok(store) = PostgresStore::open(&format!("postgres://{role}:limited@{host}")) {
        save(&store, "a", &talk(&["one"]));
    } else {
        assert!(std::env::var_os("TURNWISE_TEST_POSTGRES_POOLED").is_some());
    }
}

#[test]
fn rows_that_are_lost_or_changed_are_damage_and_said_so() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    for id in ["lost", "changed", "unknown"] {
        save(&store, id, &talk(&["one", "two"]));
    }
    let of = |id: &str| format!("log = (SELECT log FROM turnwise.conversations WHERE id = '{id}') AND position = 3");
    query(&url, &format!("DELETE FROM turnwise.changes WHERE {}", of("lost")));
    query(&url, &format!("UPDATE turnwise.changes SET change = '{{\"item\":' WHERE {}", of("changed")));
    query(&url, &format!("UPDATE turnwise.changes SET change = '{{\"sung\":{{}}}}' WHERE {}", of("unknown")));
    let store = PostgresStore::open(&url).unwrap();
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
fn connections_are_encrypted_and_the_server_is_checked_when_it_is_asked_for() {
    let Some(url) = new_database() else { return };
    if std::env::var_os("TURNWISE_TEST_POSTGRES_POOLED").is_some() {
        return;
    }
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/tests/tls");
    let open = |host: &str, query: &str| PostgresStore::open(&format!("{}?{query}", url.replace("127.0.0.1", host)));
    let root = |name: &str| format!("sslmode=verify-full&sslrootcert={}", tls.join(name).display());
    for query in ["", "sslmode=disable", "sslmode=prefer", "sslmode=require"] {
        save(&open("127.0.0.1", query).unwrap(), &format!("of {query}"), &talk(&["one"]));
    }
    save(&open("localhost", &root("localhost.pem")).unwrap(), "checked", &talk(&["one"]));
    for (host, query) in [
        ("127.0.0.1", root("localhost.pem")),
        ("localhost", root("other.pem")),
        ("localhost", "sslmode=verify-full".to_owned()),
        ("localhost", root("none.pem")),
    ] {
        let refused = open(host, &query).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io, "{refused}");
        assert!(refused.detail().contains("ertificate") || refused.detail().contains("none.pem"), "{refused}");
    }
    assert!(rustls::crypto::CryptoProvider::get_default().is_none(), "nothing is set for the whole process");
}

#[test]
fn a_database_that_cannot_be_reached_is_told_at_once_and_without_its_password() {
    let began = std::time::Instant::now();
    let refused = PostgresStore::open("postgres://ann:my-secret@127.0.0.1:1/chats").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Io);
    assert!(refused.detail().contains("postgres://127.0.0.1:1/chats"), "{refused}");
    assert!(!format!("{refused} {refused:?}").contains("my-secret"), "{refused}");
    assert!(began.elapsed().as_secs() < 9);
    let Some(url) = new_database() else { return };
    let (_, host) = url.split_once('@').unwrap();
    let refused = PostgresStore::open(&format!("postgres://turnwise:my-secret@{host}")).unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("my-secret"), "{refused}");
    let store = PostgresStore::open(&url).unwrap();
    let password = url.split_once("turnwise:").unwrap().1.split_once('@').unwrap().0;
    assert!(!format!("{store:?}").contains(password), "{store:?}");
}

/// The last handle may be dropped where nobody may wait.
#[test]
fn a_store_can_be_opened_used_and_dropped_inside_a_runtime() {
    let Some(url) = new_database() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = PostgresStore::open(&url).unwrap();
        store.save("a", &talk(&["one"]), None).await.unwrap();
        assert_eq!(store.list(None, 10).await.unwrap(), ["a"]);
    });
}

/// Two that give up the last forks of a text at the same moment leave nothing of it.
#[test]
fn forks_that_are_purged_at_once_leave_no_text_behind() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    for _ in 0..20 {
        save(&store, "root", &talk(&["shared"]));
        let forks: Vec<String> = (0..6).map(|number| format!("fork {number}")).collect();
        for fork in &forks {
            block_on(store.fork("root", fork)).unwrap();
            say(&store, fork, fork);
        }
        for id in forks.iter().map(String::as_str).chain(["root"]) {
            block_on(store.delete(id)).unwrap();
        }
        std::thread::scope(|scope| {
            for id in forks.iter().map(String::as_str).chain(["root"]) {
                let store = &store;
                scope.spawn(move || block_on(store.purge(id)).unwrap());
            }
        });
        for table in ["changes", "logs", "conversations", "deleted"] {
            assert_eq!(count(&url, table), 0, "{table}");
        }
    }
}

/// A fork that begins while its original is written anew has all of the one or of the other.
#[test]
fn forks_of_what_is_written_anew_meanwhile_are_whole() {
    let Some(url) = new_database() else { return };
    let store = PostgresStore::open(&url).unwrap();
    save(&store, "a", &talk(&["0", "0", "0"]));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 1..80 {
                let text = number.to_string();
                let revision = block_on(store.revision("a")).unwrap();
                block_on(store.save("a", &talk(&[&text, &text, &text]), Some(&revision))).unwrap();
            }
        });
        let mut number = 0;
        while !writer.is_finished() {
            number += 1;
            let fork = format!("fork {number}");
            block_on(store.fork("a", &fork)).unwrap();
            let texts = texts(&load(&store, &fork).0);
            assert!(texts.len() == 3 && texts.iter().all(|text| *text == texts[0]), "{texts:?}");
            block_on(store.delete(&fork)).unwrap();
            block_on(store.purge(&fork)).unwrap();
        }
    });
    assert_eq!(count(&url, "logs"), 1);
    assert_eq!(count(&url, "changes"), 4);
}
