//! The managers of a server by their ids: one for each, as long as somebody holds it.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use futures_lite::future::{block_on, zip};
use tempfile::TempDir;

use super::sessions::Claim;
use super::*;
use crate::backend::{ChatEvent, Scripted};
use crate::budget::TokenBudget;
use crate::error::{ErrorKind, Result};
use crate::message::Message;
use crate::store::{FileStore, Store};
use crate::tokens::CounterFn;

fn template(answers: usize) -> Builder {
    ConversationManager::builder("test-model")
        .backend(Scripted::new(vec!["Yes."; answers]))
        .budget(TokenBudget::limit(100_000))
        .counter(CounterFn::new("bytes", |text| text.len() as u64))
        .require_saved()
}

fn sessions(folder: &TempDir) -> Sessions {
    template(1_000).sessions(folder.path().join("chats")).unwrap()
}

fn kind<T>(opened: Result<T>) -> ErrorKind {
    opened.err().unwrap().kind()
}

fn is_one(a: &ConversationManager, b: &ConversationManager) -> bool {
    Arc::ptr_eq(&a.shared, &b.shared)
}

fn say(chat: &ConversationManager, text: &str) {
    block_on(async { chat.send(text).await }).unwrap();
}

fn in_use(sessions: &Sessions) -> bool {
    !format!("{sessions:?}").contains("in_use: 0")
}

/// Polls a future once, and drops it.
fn poll_once_and_drop<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    assert!(matches!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
}

/// Every file under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn requests_for_one_id_at_once_get_one_manager() {
    let folder = TempDir::new().unwrap();
    let sessions = sessions(&folder);
    let chats: Vec<ConversationManager> = thread::scope(|scope| {
        let opens = [(); 8].map(|()| scope.spawn(|| block_on(sessions.open("ann")).unwrap()));
        opens.into_iter().map(|open| open.join().unwrap()).collect()
    });
    assert!(chats.iter().all(|chat| is_one(chat, &chats[0])));
    assert!(is_one(&block_on(sessions.open_existing("ann")).unwrap(), &chats[0]));
    assert!(!is_one(&block_on(sessions.open("bob")).unwrap(), &chats[0]));
}

#[test]
fn two_sends_at_once_are_both_recorded_and_saved() {
    let folder = TempDir::new().unwrap();
    let sessions = sessions(&folder);
    let send = async |text: &str| sessions.open("ann").await?.send(text).await.map(drop);
    let (first, second) = block_on(zip(send("one"), send("two")));
    first.unwrap();
    second.unwrap();
    assert!(!in_use(&sessions));
    assert_eq!(block_on(sessions.open("ann")).unwrap().turn_count(), 2);
}

#[test]
fn a_conversation_goes_on_after_a_restart_and_is_listed() {
    let folder = TempDir::new().unwrap();
    let created = block_on(async {
        let sessions = sessions(&folder);
        sessions.open("ann").await.unwrap().send("Hi").await.unwrap();
        sessions.create().await.unwrap().id().to_owned()
    });
    block_on(async {
        let sessions = sessions(&folder);
        assert_eq!(sessions.open_existing("ann").await.unwrap().turn_count(), 1);
        assert_eq!(sessions.open_existing(&created).await.unwrap().id(), created);
        assert_eq!(sessions.ids(None, 1).await.unwrap(), ["ann"]);
        assert_eq!(sessions.ids(Some("ann"), 10).await.unwrap(), [created]);
    });
}

#[test]
fn an_unknown_id_is_not_found_and_nothing_is_begun() {
    let folder = TempDir::new().unwrap();
    let sessions = sessions(&folder);
    let error = block_on(sessions.open_existing("bob")).unwrap_err();
    assert_eq!(error.to_string(), "not found: no conversation has the id `bob`");
    assert_eq!(block_on(sessions.ids(None, 10)).unwrap(), [""; 0]);
    assert!(!in_use(&sessions));
}

#[test]
fn hostile_ids_are_conversations_of_their_own_inside_the_folder() {
    let folder = TempDir::new().unwrap();
    let sessions = sessions(&folder);
    let longest = "ü".repeat(32);
    let ids = [
        "../x",
        "..",
        ".",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "C:x",
        "CON",
        "con",
        "nul.json",
        "Ann",
        "ann",
        "ann ",
        "a\0b",
        "\n",
        "ü",
        "u\u{308}",
        "名",
        "%61nn",
        "'; --",
        &longest,
    ];
    for (turns, id) in ids.iter().enumerate() {
        let chat = block_on(sessions.open(id)).unwrap();
        assert_eq!((chat.id(), chat.turn_count()), (*id, 0), "{id:?} is new");
        for _ in 0..turns {
            chat.push(Message::user("Hi")).unwrap();
        }
    }
    let mut sorted = ids;
    sorted.sort_unstable();
    assert_eq!(block_on(sessions.ids(None, 100)).unwrap(), sorted);
    for (turns, id) in ids.iter().enumerate() {
        assert_eq!(block_on(sessions.open_existing(id)).unwrap().turn_count(), turns, "{id:?}");
    }
    let inside = files(folder.path()).into_iter().all(|file| file.parent() == Some(&folder.path().join("chats")));
    assert!(inside, "{:?}", files(folder.path()));
    for wrong in ["", &"x".repeat(65), &"x".repeat(70)] {
        assert_eq!(kind(block_on(sessions.open(wrong))), ErrorKind::Limit);
        assert_eq!(kind(block_on(sessions.open_existing(wrong))), ErrorKind::NotFound);
        assert_eq!(kind(block_on(sessions.delete(wrong))), ErrorKind::NotFound);
        assert_eq!(kind(template(0).open_in(folder.path(), wrong)), ErrorKind::Limit);
        assert_eq!(kind(template(0).id(wrong).build()), ErrorKind::Limit);
    }
}

#[test]
fn a_conversation_that_is_being_opened_keeps_no_other_waiting() {
    let folder = TempDir::new().unwrap();
    let sessions = sessions(&folder);
    block_on(async {
        let slow = Claim::wait(&sessions.inner, "slow").await.unwrap();
        assert_eq!(sessions.open("quick").await.unwrap().id(), "quick");
        assert_eq!(sessions.ids(None, 10).await.unwrap(), ["quick"]);
        sessions.delete("quick").await.unwrap();
        drop(slow);
        sessions.open("slow").await.unwrap();
    });
}

#[test]
fn nothing_stays_in_memory_of_conversations_that_nobody_holds() {
    let folder = TempDir::new().unwrap();
    let sessions = sessions(&folder);
    block_on(async {
        let kept = sessions.open("kept").await.unwrap();
        for number in 0..100 {
            drop(sessions.open(&number.to_string()).await.unwrap());
            sessions.open_existing(&format!("no {number}")).await.unwrap_err();
        }
        assert_eq!(sessions.inner.slots().len(), 1);
        fs::write(folder.path().join("chats/bad.json"), "{").unwrap();
        assert_eq!(kind(sessions.open("bad").await), ErrorKind::Damaged);
        let claim = Claim::wait(&sessions.inner, "waits").await.unwrap();
        poll_once_and_drop(sessions.open("waits"));
        drop(claim);
        drop(kept);
    });
    assert!(!in_use(&sessions), "{sessions:?}");
}

#[test]
fn an_open_that_is_dropped_is_finished_and_closed() {
    let folder = TempDir::new().unwrap();
    let sessions = sessions(&folder);
    poll_once_and_drop(sessions.open("ann"));
    // Waits for the thread that opens it.
    let chat = block_on(sessions.open("ann")).unwrap();
    assert_eq!(chat.turn_count(), 0);
    drop(chat);
    // The thread drops what it has opened, which nobody waits for.
    while in_use(&sessions) {
        thread::yield_now();
    }
}

#[test]
fn a_reply_that_is_being_received_keeps_the_manager() {
    let folder = TempDir::new().unwrap();
    let sessions = sessions(&folder);
    block_on(async {
        let chat = sessions.open("ann").await.unwrap();
        let mut reply = chat.send("Hi").stream().await.unwrap();
        let first = chat.clone();
        drop(chat);
        let weak = Arc::downgrade(&first.shared);
        drop(first);
        let again = sessions.open("ann").await.unwrap();
        assert!(std::ptr::eq(weak.as_ptr(), Arc::as_ptr(&again.shared)));
        assert_eq!(kind(sessions.delete("ann").await), ErrorKind::Busy);
        while let Some(part) = futures_lite::StreamExt::next(&mut reply).await {
            let is_part = matches!(part.unwrap(), ChatEvent::Text(_) | ChatEvent::Finished(_));
            assert!(is_part);
        }
        assert_eq!(again.turn_count(), 1);
    });
}

#[test]
fn deleting_waits_for_nobody_and_says_who_is_in_the_way() {
    let folder = TempDir::new().unwrap();
    let sessions = sessions(&folder);
    block_on(async {
        let chat = sessions.open("ann").await.unwrap();
        let error = sessions.delete("ann").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "busy: the conversation `ann` is in use; drop its managers and replies, and delete it then"
        );
        chat.send("Hi").await.unwrap();
        drop(chat);
        // The thread that has saved the reply holds it no more.
        sessions.delete("ann").await.unwrap();
        assert_eq!(kind(sessions.delete("ann").await), ErrorKind::NotFound);
        assert_eq!(kind(sessions.open_existing("ann").await), ErrorKind::NotFound);
        assert_eq!(sessions.open("ann").await.unwrap().turn_count(), 0);
    });
    let left = fs::read_dir(folder.path().join("chats")).unwrap().count();
    assert!(left <= 2, "the file and its lock");
}

#[test]
fn settings_that_no_manager_could_have_are_refused_before_the_first_request() {
    let folder = TempDir::new().unwrap();
    let unknown = ConversationManager::builder("no-such-model").sessions(folder.path());
    assert_eq!(kind(unknown), ErrorKind::UnknownModel);
    let param = template(0).param("n", 2).sessions(folder.path());
    assert_eq!(kind(param), ErrorKind::InvalidParam);
}

#[test]
fn a_file_that_was_copied_to_another_id_has_that_id() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let ann = template(1).open_in(folder.path(), "ann").unwrap();
    say(&ann, "Hi");
    fs::copy(store.path("ann").unwrap(), store.path("bob").unwrap()).unwrap();
    fs::write(store.path("list").unwrap(), r#"[{"role":"user","content":"Hi"}]"#).unwrap();
    for id in ["bob", "list"] {
        let chat = template(1).open_in(folder.path(), id).unwrap();
        assert_eq!((chat.id(), chat.turn_count()), (id, 1));
        say(&chat, "And now?");
        assert_eq!(block_on(store.load(id)).unwrap().0.conversation.id(), id);
    }
    assert_eq!(block_on(store.load("ann")).unwrap().0.conversation.path().len(), 2);
}

#[test]
fn a_new_conversation_saved_in_a_folder_is_found_by_its_id() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("new");
    let chat = template(1).save_in(&folder).build().unwrap();
    say(&chat, "Hi");
    let id = chat.id().to_owned();
    drop(chat);
    assert_eq!(template(0).open_in(&folder, &id).unwrap().turn_count(), 1);
    // A second conversation of the same id does not replace it.
    assert_eq!(kind(template(0).id(id).save_in(&folder).build()), ErrorKind::Io);
}

#[test]
fn the_id_stays_when_the_whole_record_is_replaced_and_a_fork_has_its_own() {
    let chat = template(0).id("ann").build().unwrap();
    let replace = |record: &mut Conversation| {
        *record = Conversation::from_messages([Message::user("Hi")]);
        Ok(())
    };
    chat.edit_record(replace).unwrap();
    assert_eq!((chat.id(), chat.snapshot().id(), chat.turn_count()), ("ann", "ann", 1));
    let fork = chat.fork(chat.snapshot().leaf().unwrap()).unwrap();
    assert_ne!(fork.id(), "ann");
    assert_eq!(fork.id(), fork.snapshot().id());
}

/// Four threads open, send, drop and delete three conversations in a random order.
#[test]
fn no_acknowledged_message_is_lost_whoever_opens_and_drops_when() {
    for seed in 0..5 {
        let folder = TempDir::new().unwrap();
        let sessions = sessions(&folder);
        let sessions = &sessions;
        let work = |thread: u64| {
            let mut rng = fastrand::Rng::with_seed(seed * 10 + thread);
            let mut sent = [0; 3];
            let mut kept: Vec<ConversationManager> = Vec::new();
            for _ in 0..12 {
                let id = rng.usize(0..3);
                let chat = block_on(sessions.open(&format!("chat {id}"))).unwrap();
                say(&chat, "Hi");
                sent[id] += 1;
                kept.extend(rng.bool().then_some(chat));
                kept.truncate(rng.usize(0..3));
                poll_and_drop(sessions.open("chat 0"), rng.usize(0..3));
            }
            sent
        };
        let sent: Vec<[usize; 3]> = thread::scope(|scope| {
            let threads = [0, 1, 2, 3].map(|thread| scope.spawn(move || work(thread)));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for id in 0..3 {
            let expected: usize = sent.iter().map(|sent| sent[id]).sum();
            let chat = block_on(sessions.open(&format!("chat {id}"))).unwrap();
            assert_eq!(chat.turn_count(), expected, "seed {seed}, chat {id}");
        }
        // An open that was dropped is finished, and closed, on a thread of its own.
        let begun = std::time::Instant::now();
        while in_use(sessions) && begun.elapsed().as_secs() < 10 {
            thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(!in_use(sessions), "seed {seed}: {sessions:?}");
    }
}

/// Polls a future at most so often, and drops it.
fn poll_and_drop<T>(future: impl Future<Output = T>, times: usize) {
    let mut future = pin!(future);
    for _ in 0..times {
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
    }
}

#[test]
fn an_idle_manager_leaves_memory_though_nothing_else_is_opened() {
    let folder = TempDir::new().unwrap();
    let sessions = sessions(&folder);
    sessions.keep_open(10, std::time::Duration::from_millis(20));
    for id in ["ann", "bob"] {
        block_on(sessions.open(id)).unwrap();
    }
    while in_use(&sessions) {
        thread::yield_now();
    }
    // The thread that closes them is begun again.
    block_on(sessions.open("ann")).unwrap();
    while in_use(&sessions) {
        thread::yield_now();
    }
}
