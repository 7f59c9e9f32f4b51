//! What the stores over databases promise, each of them.
#![cfg(any(feature = "sqlite", feature = "postgres"))]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;
#[path = "common/talks.rs"]
mod talks;

use std::time::Duration;

use common::on_each;
use futures_lite::future::block_on;
use talks::{load, save, say, talk, texts};
use turnwise::store::{self, Store};
use turnwise::{Conversation, ErrorKind, Message, Transcript};

#[test]
fn it_keeps_the_promises_of_a_store_with_one_handle_and_with_two() {
    on_each(|open| {
        let store = open();
        block_on(store::check(|| store.clone())).unwrap();
        block_on(store::check(open)).unwrap();
        block_on(store::check(|| store.of("ann").unwrap())).unwrap();
    });
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    on_each(|open| {
        let store = open();
        save(&store, "a", &talk(&["one"]));
        let written = say(&store, "a", "two");
        let before = load(&store, "a").0.to_json();
        drop(store);
        let store = open();
        let (again, revision) = load(&store, "a");
        assert_eq!((again.to_json(), revision), (before, written.clone()));
        assert_eq!(block_on(store.revision("a")).unwrap(), written);
        // The first append does not need to have read it.
        let mut after = again.clone();
        after.conversation.push("three");
        drop(store);
        let store = open();
        block_on(store.append("a", &after.changes_since(&again), &written)).unwrap();
        assert_eq!(texts(&load(&store, "a").0), ["one", "two", "three"]);
    });
}

#[test]
fn another_handle_sees_at_once_what_was_written_and_both_read_what_is_new() {
    on_each(|open| {
        let stores = [open(), open()];
        save(&stores[0], "a", &talk(&["0"]));
        for number in 1..20 {
            say(&stores[number % 2], "a", &number.to_string());
            let whole = load(&stores[0], "a");
            let other = load(&stores[1], "a");
            assert_eq!((whole.0.to_json(), whole.1), (other.0.to_json(), other.1));
        }
        assert_eq!(load(&open(), "a").0.to_json(), load(&stores[0], "a").0.to_json());
    });
}

#[test]
fn what_one_reader_learns_is_not_another_ones() {
    on_each(|open| {
        let store = open();
        let mut known = talk(&["one"]);
        known.calibration = turnwise::tokens::Calibration::new();
        known.calibration.learn_limit("model", "server", 7);
        save(&store, "a", &known);
        let (first, _) = load(&store, "a");
        first.calibration.learn_limit("model", "server", 5);
        let (second, _) = load(&store, "a");
        assert_eq!(second.calibration.of("model", "server").limit(), known.calibration.of("model", "server").limit());
    });
}

#[test]
fn writers_of_many_conversations_at_once_lose_nothing() {
    on_each(|open| {
        let store = open();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    let id = writer.to_string();
                    save(store, &id, &talk(&["0"]));
                    (1..30).for_each(|number| drop(say(store, &id, &number.to_string())));
                });
            }
        });
        let expected: Vec<String> = (0..30).map(|number| number.to_string()).collect();
        let fresh = open();
        for writer in 0..8 {
            assert_eq!(texts(&load(&fresh, &writer.to_string()).0), expected);
        }
    });
}

#[test]
fn writers_of_one_conversation_come_one_after_the_other() {
    on_each(|open| {
        let store = open();
        save(&store, "a", &talk(&[]));
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let store = open();
                scope.spawn(move || {
                    for number in 0..10 {
                        loop {
                            let (mut talk, revision) = load(&store, "a");
                            let before = talk.clone();
                            talk.conversation.push(format!("question {number} of {writer}"));
                            talk.conversation.push(Message::assistant(format!("answer {number} of {writer}")));
                            match block_on(store.append("a", &talk.changes_since(&before), &revision)) {
                                Ok(_) => break,
                                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                            }
                        }
                    }
                });
            }
        });
        let texts = texts(&load(&open(), "a").0);
        let mut next = [0; 8];
        for turn in texts.chunks(2) {
            let (number, writer) = turn[0].strip_prefix("question ").unwrap().split_once(" of ").unwrap();
            assert_eq!(turn[1], turn[0].replace("question", "answer"), "mixed with another turn");
            let writer: usize = writer.parse().unwrap();
            assert_eq!(number.parse::<usize>().unwrap(), next[writer], "out of order, lost or twice");
            next[writer] += 1;
        }
        assert_eq!(next, [10; 8]);
    });
}

#[test]
fn a_write_whose_future_is_dropped_is_made_whole() {
    on_each(|open| {
        let store = open();
        save(&store, "a", &talk(&["one"]));
        let (before, revision) = load(&store, "a");
        let mut after = before.clone();
        after.conversation.push("two");
        let changes = after.changes_since(&before);
        block_on(async {
            let write = store.append("a", &changes, &revision);
            let mut write = std::pin::pin!(write);
            // Begins it, and drops it.
            assert!(futures_lite::future::poll_once(write.as_mut()).await.is_none());
        });
        drop(store);
        assert_eq!(texts(&load(&open(), "a").0), ["one", "two"]);
    });
}

#[test]
fn tenants_see_nothing_of_each_other() {
    on_each(|open| {
        let store = open();
        let (red, blue) = (store.of("red").unwrap(), store.of("blue").unwrap());
        for (one, text) in [(&store, "default"), (&red, "red"), (&blue, "blue")] {
            save(one, "chat", &talk(&[text]));
        }
        block_on(red.delete("chat")).unwrap();
        assert_eq!(blue.restore("chat").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(blue.purge("chat").unwrap_err().kind(), ErrorKind::NotFound);
        assert!(blue.deleted(None, 10).unwrap().is_empty());
        assert_eq!(texts(&load(&blue, "chat").0), ["blue"]);
        assert_eq!(texts(&load(&store, "chat").0), ["default"]);
        assert!(block_on(red.list(None, 10)).unwrap().is_empty());
        assert_eq!(block_on(blue.list(None, 10)).unwrap(), ["chat"]);
    });
}

#[test]
fn forks_go_on_alone_and_outlive_the_conversation_that_they_were_made_of() {
    on_each(|open| {
        let store = open();
        save(&store, "a", &talk(&["one", "two"]));
        block_on(store.fork("a", "b")).unwrap();
        let third = block_on(store.fork("b", "c")).unwrap();
        say(&store, "a", "three a");
        say(&store, "b", "three b");
        block_on(store.fork("b", "d")).unwrap();
        say(&store, "b", "four b");
        block_on(store.delete("a")).unwrap();
        store.purge("a").unwrap();
        for store in [&store, &open()] {
            assert_eq!(texts(&load(store, "b").0), ["one", "two", "three b", "four b"]);
            let (fork, now) = load(store, "c");
            assert_eq!((texts(&fork), &now), (vec!["one".to_owned(), "two".to_owned()], &third));
            assert_eq!(texts(&load(store, "d").0), ["one", "two", "three b"]);
            for id in ["b", "c", "d"] {
                assert_eq!(load(store, id).0.conversation.id(), id);
            }
        }
        assert_eq!(block_on(store.fork("c", "b")).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(block_on(store.fork("none", "e")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(block_on(store.fork("c", "")).unwrap_err().kind(), ErrorKind::Limit);
    });
}

#[test]
fn a_deleted_conversation_can_be_restored_until_it_is_purged() {
    on_each(|open| {
        let store = open();
        let first = save(&store, "a", &talk(&["first"]));
        block_on(store.delete("a")).unwrap();
        save(&store, "a", &talk(&["second"]));
        // The id is in use.
        let refused = store.restore("a").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.detail().contains("fork it to another id"), "{refused}");
        std::thread::sleep(Duration::from_millis(5));
        block_on(store.delete("a")).unwrap();
        assert_eq!(store.deleted(None, 10).unwrap().len(), 1);

        store.restore("a").unwrap();
        assert_eq!(texts(&load(&store, "a").0), ["second"]);
        block_on(store.fork("a", "kept")).unwrap();
        block_on(store.delete("a")).unwrap();
        store.purge("a").unwrap();
        assert_eq!(store.restore("a").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(store.purge("a").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(block_on(store.append("a", &[], &first)).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(texts(&load(&store, "kept").0), ["second"]);
    });
}

#[test]
fn what_was_deleted_long_ago_is_neither_restored_nor_kept_by_purge_expired() {
    on_each(|open| {
        let store = open();
        for number in 0..250 {
            save(&store, &number.to_string(), &talk(&["old"]));
            block_on(store.delete(&number.to_string())).unwrap();
        }
        assert_eq!(store.purge_expired().unwrap(), 0);
        std::thread::sleep(Duration::from_millis(5));
        let short = store.kept_for(Duration::from_millis(1));
        assert_eq!(short.restore("7").unwrap_err().kind(), ErrorKind::NotFound);
        store.restore("7").unwrap();
        assert_eq!(short.purge_expired().unwrap(), 249);
        assert!(store.deleted(None, 10).unwrap().is_empty());
    });
}

#[test]
fn every_id_is_kept_and_listed_in_the_order_of_its_bytes() {
    on_each(|open| {
        let store = open().of("\u{1}\0 tenant").unwrap();
        let mut ids = ["a", "a\0", "a\0b", "\0", "\u{1}", "\u{1}\u{1}", "\u{1}\u{2}", "A", "ä", "z", "日本", "🙂", "'"];
        for id in ids {
            save(&store, id, &talk(&[id]));
        }
        ids.sort_unstable();
        assert_eq!(block_on(store.list(None, 100)).unwrap(), ids);
        for (place, id) in ids.iter().enumerate() {
            assert_eq!(texts(&load(&store, id).0), [*id]);
            assert_eq!(
                block_on(store.list(Some(id), 2)).unwrap(),
                ids[place + 1..].iter().copied().take(2).collect::<Vec<_>>()
            );
            block_on(store.delete(id)).unwrap();
        }
        assert_eq!(store.deleted(None, 100).unwrap(), ids);
    });
}

/// More than one batch, and more than one statement.
#[test]
fn a_long_conversation_comes_back_to_the_byte() {
    on_each(|open| {
        let store = open();
        let line = "A sentence of a long conversation, with \u{0} and 日本. ".repeat(40);
        let long = Transcript::new(Conversation::from_messages(
            (0..6_000).map(|number| Message::user(format!("{number} {line}"))),
        ));
        save(&store, "long", &long);
        block_on(store.fork("long", "fork")).unwrap();
        let (mut all, revision) = load(&store, "long");
        let before = all.clone();
        for number in 0..6_000 {
            all.conversation.push(format!("{number} {line}"));
        }
        block_on(store.append("long", &all.changes_since(&before), &revision)).unwrap();
        let fresh = open();
        assert_eq!(load(&fresh, "long").0.to_json(), all.to_json());
        assert_eq!(texts(&load(&fresh, "fork").0), texts(&before));
    });
}

/// What a conversation is read from may be taken away at the same moment.
#[test]
fn a_conversation_that_is_written_anew_while_it_is_read_is_one_or_the_other() {
    on_each(|open| {
        let store = open();
        save(&store, "a", &talk(&["0", "0", "0"]));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for number in 1..60 {
                    let text = number.to_string();
                    let revision = block_on(store.revision("a")).unwrap();
                    block_on(store.save("a", &talk(&[&text, &text, &text]), Some(&revision))).unwrap();
                }
            });
            while !writer.is_finished() {
                // A handle that knows nothing yet.
                let texts = texts(&load(&open(), "a").0);
                assert!(texts.len() == 3 && texts.iter().all(|text| *text == texts[0]), "{texts:?}");
            }
        });
    });
}
