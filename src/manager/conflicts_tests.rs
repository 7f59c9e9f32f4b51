//! Managers of one conversation in several processes: stores, conflicts, keys, what stays open.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_lite::future::{block_on, poll_once, zip};

use super::*;
use crate::backend::{BackendError, BoxFuture, ChatBackend, ChatReply, Scripted};
use crate::budget::TokenBudget;
use crate::error::{ErrorKind, Result};
use crate::request::ChatRequest;
use crate::store::{self, Change, MemoryStore, Revision, Store};
use crate::tokens::CounterFn;

fn template(backend: impl ChatBackend + 'static) -> Builder {
    ConversationManager::builder("test-model")
        .backend(backend)
        .budget(TokenBudget::limit(100_000))
        .counter(CounterFn::new("bytes", |text| text.len() as u64))
}

fn answers() -> Scripted {
    Scripted::new(vec!["Yes."; 100])
}

/// The sessions of a process of its own.
fn process(store: &(impl Store + Clone + 'static)) -> Sessions {
    template(answers()).sessions_over(store.clone()).unwrap()
}

fn texts(chat: &ConversationManager) -> Vec<String> {
    chat.history().iter().map(|message| message.text().into_owned()).collect()
}

/// What is in a store under an id.
fn stored(store: &impl Store, id: &str) -> Vec<String> {
    let (file, _) = block_on(store.load(id)).unwrap();
    file.conversation.path().messages().map(|message| message.text().into_owned()).collect()
}

/// A backend that lets another process say something while it answers, the first few times.
struct Interrupted {
    other: Sessions,
    times: AtomicUsize,
}

impl Interrupted {
    fn times(store: &MemoryStore, times: usize) -> Self {
        Self { other: process(store), times: AtomicUsize::new(times) }
    }
}

impl ChatBackend for Interrupted {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let left = self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let other = self.other.clone();
        Box::pin(async move {
            if left.is_ok() {
                other.open_existing("ann").await.unwrap().push("Meanwhile.").unwrap();
            }
            answers().complete(request).await
        })
    }
}

fn interrupted(times: usize, policy: OnConflict) -> (MemoryStore, Sessions) {
    let store = MemoryStore::new();
    let sessions = template(Interrupted::times(&store, times)).sessions_over(store.clone()).unwrap();
    sessions.on_conflict(policy);
    block_on(sessions.open("ann")).unwrap();
    (store, sessions)
}

#[test]
fn turns_and_changes_are_in_the_store_when_they_return() {
    let store = MemoryStore::new();
    let chat = block_on(process(&store).open("ann")).unwrap();
    assert!(stored(&store, "ann").is_empty());
    block_on(async { chat.send("Hi").await }).unwrap();
    assert_eq!(stored(&store, "ann"), ["Hi", "Yes."]);
    chat.push("One more.").unwrap();
    assert_eq!(stored(&store, "ann"), ["Hi", "Yes.", "One more."]);
    drop(chat);
    let again = block_on(process(&store).open_existing("ann")).unwrap();
    assert_eq!((again.id(), texts(&again)), ("ann", stored(&store, "ann")));
}

/// A store that counts how it is written, and can fail.
#[derive(Clone, Default)]
struct Counted {
    store: MemoryStore,
    saves: Arc<AtomicUsize>,
    changes: Arc<AtomicUsize>,
    fault: Arc<Mutex<Fault>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// Nothing is appended.
    Full,
    /// What is written is reported as failed.
    FailsAfter,
    /// The same, and nothing can be read either.
    Lost,
    RefusesOnce,
    /// No conversation can be begun, this once.
    NoNew,
}

impl Counted {
    fn fault(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    fn read<'a, T: 'a>(&self, read: BoxFuture<'a, Result<T>>) -> BoxFuture<'a, Result<T>> {
        let is_lost = *self.fault.lock().unwrap() == Fault::Lost;
        if is_lost { Box::pin(async { Err(failed()) }) } else { read }
    }

    fn write<'a, T: 'a>(&self, is_new: bool, write: BoxFuture<'a, Result<T>>) -> BoxFuture<'a, Result<T>> {
        let mut fault = self.fault.lock().unwrap();
        match *fault {
            Fault::Full => Box::pin(async { Err(failed()) }),
            Fault::FailsAfter | Fault::Lost => Box::pin(async { write.await.and(Err(failed())) }),
            Fault::RefusesOnce => {
                *fault = Fault::None;
                Box::pin(async { Err(store::conflict("ann")) })
            }
            Fault::NoNew if is_new => {
                *fault = Fault::None;
                Box::pin(async { Err(failed()) })
            }
            Fault::None | Fault::NoNew => write,
        }
    }
}

fn failed() -> crate::Error {
    store::failed("writing", std::io::Error::other("the disk is full"))
}

impl Store for Counted {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(Transcript, Revision)>> {
        self.read(self.store.load(id))
    }

    fn save<'a>(
        &'a self,
        id: &'a str,
        transcript: &'a Transcript,
        expected: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<Revision>> {
        self.saves.fetch_add(1, Ordering::SeqCst);
        self.write(expected.is_none(), self.store.save(id, transcript, expected))
    }

    fn append<'a>(
        &'a self,
        id: &'a str,
        changes: &'a [Change],
        expected: &'a Revision,
    ) -> BoxFuture<'a, Result<Revision>> {
        self.changes.fetch_add(changes.len(), Ordering::SeqCst);
        self.write(false, self.store.append(id, changes, expected))
    }

    fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
        self.store.list(after, limit)
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        self.store.delete(id)
    }
}

#[test]
fn a_turn_appends_what_it_added_and_redaction_writes_anew() {
    let store = Counted::default();
    let chat = block_on(process(&store).open("ann")).unwrap();
    let figures = || (store.saves.load(Ordering::SeqCst), store.changes.swap(0, Ordering::SeqCst));
    assert_eq!(figures(), (1, 0));
    for _ in 0..20 {
        block_on(async { chat.send("My PIN is 1234.").await }).unwrap();
    }
    let (saves, changes) = figures();
    assert!(saves == 1 && changes < 20 * 6, "{saves} saves and {changes} changes");
    assert_eq!(chat.redact(|text| text.contains("1234").then(|| text.replace("1234", "…"))).unwrap(), 20);
    assert_eq!(figures(), (2, 0));
    assert!(stored(&store, "ann").iter().all(|text| !text.contains("1234")));
    chat.edit_record(|record| record.purge(record.path().item(2).unwrap().id())).unwrap();
    assert_eq!(figures(), (3, 0));
}

#[test]
fn a_change_that_the_store_refuses_is_not_made_and_a_reply_is_kept() {
    let store = Counted::default();
    let chat = block_on(process(&store).open("ann")).unwrap();
    store.fault(Fault::Full);
    assert_eq!(chat.push("Lost.").unwrap_err().kind(), ErrorKind::Io);
    assert!(texts(&chat).is_empty());
    let reply = block_on(async { chat.send("Hi").await }).unwrap();
    assert_eq!(reply.report.unsaved.unwrap().kind(), ErrorKind::Io);
    store.fault(Fault::None);
    chat.push("Saved.").unwrap();
    assert_eq!(stored(&store, "ann"), ["Hi", "Yes.", "Saved."]);
}

#[test]
fn a_send_that_meets_another_writer_fails_and_says_so() {
    let (store, sessions) = interrupted(1, OnConflict::Fail);
    let error = block_on(sessions.send("ann", "Hi")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.detail().contains("the reply is not recorded: send the message again"), "{error}");
    assert_eq!(error.unsaved().unwrap().reply.text(), "Yes.");
    assert_eq!(stored(&store, "ann"), ["Meanwhile."]);
    block_on(sessions.send("ann", "Hi")).unwrap();
    assert_eq!(stored(&store, "ann"), ["Meanwhile.", "Hi", "Yes."]);
}

#[test]
fn a_send_that_meets_another_writer_is_repeated_after_it_and_its_cost_is_counted() {
    let (store, sessions) = interrupted(2, OnConflict::Retry { most: 3 });
    block_on(sessions.send("ann", "Hi")).unwrap();
    assert_eq!(stored(&store, "ann"), ["Meanwhile.", "Meanwhile.", "Hi", "Yes."]);
    let chat = block_on(sessions.open("ann")).unwrap();
    assert_eq!(chat.spending().total().calls, 3);
}

#[test]
fn a_send_is_not_repeated_for_ever() {
    let (store, sessions) = interrupted(9, OnConflict::Retry { most: 2 });
    let error = block_on(sessions.send("ann", "Hi")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.detail().contains("sent 2 more times"), "{error}");
    assert_eq!(stored(&store, "ann"), ["Meanwhile."; 3]);
}

#[test]
fn a_send_that_meets_another_writer_goes_on_in_a_fork() {
    let (store, sessions) = interrupted(1, OnConflict::Fork);
    let reply = block_on(sessions.send("ann", "Hi")).unwrap();
    assert_ne!(reply.conversation, "ann");
    assert!(reply.report.unsaved.is_none());
    assert_eq!(stored(&store, &reply.conversation), ["Hi", "Yes."]);
    assert_eq!(stored(&store, "ann"), ["Meanwhile."]);
    assert_eq!(texts(&block_on(sessions.open("ann")).unwrap()), ["Meanwhile."]);
    block_on(sessions.send(&reply.conversation, "More")).unwrap();
    assert_eq!(stored(&store, &reply.conversation), ["Hi", "Yes.", "More", "Yes."]);
}

#[test]
fn a_fork_with_a_lost_exchange_knows_what_the_conversation_had_spent_before_it() {
    let store = MemoryStore::new();
    let first = block_on(process(&store).open("ann")).unwrap();
    block_on(async { first.send("Hi").await }).unwrap();
    drop(first);
    let other = store.clone();
    let sessions = meanwhile(&store, OnConflict::Fork, move || {
        block_on(process(&other).open("ann")).unwrap().push("Meanwhile.").map(drop).unwrap();
    });
    let reply = block_on(sessions.send("ann", "More")).unwrap();
    assert_ne!(reply.conversation, "ann");
    let (fork, _) = block_on(store.load(&reply.conversation)).unwrap();
    assert_eq!((fork.origins()[0].id.as_str(), fork.origins()[0].spending.total().calls), ("ann", 1));
    assert_eq!(fork.spending.total().calls, 2, "the lost exchange is its own");
}

/// Sessions in whose store something happens while the model answers for the first time.
fn meanwhile(
    store: &(impl Store + Clone + 'static),
    policy: OnConflict,
    happens: impl Fn() + Send + 'static,
) -> Sessions {
    let sessions = template(Meanwhile(Mutex::new(Some(Box::new(happens))))).sessions_over(store.clone()).unwrap();
    sessions.on_conflict(policy);
    sessions
}

struct Meanwhile(Mutex<Option<Box<dyn Fn() + Send>>>);

impl ChatBackend for Meanwhile {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        if let Some(happens) = self.0.lock().unwrap().take() {
            happens();
        }
        answers().complete(request)
    }
}

fn ids(store: &impl Store) -> Vec<String> {
    block_on(store.list(None, 100)).unwrap()
}

#[test]
fn a_send_whose_reply_the_store_does_not_take_fails_and_has_it() {
    let store = Counted::default();
    let sessions = process(&store);
    block_on(sessions.open("ann")).unwrap();
    store.fault(Fault::Full);
    let error = block_on(sessions.send("ann", "Hi")).unwrap_err();
    assert_eq!((error.kind(), error.unsaved().unwrap().reply.text()), (ErrorKind::NotSaved, "Yes.".into()));
    assert!(error.detail().contains("and the store's conversation `ann` could not be written: "), "{error}");
    assert!(stored(&store, "ann").is_empty());
}

#[test]
fn a_turn_that_is_in_memory_only_is_saved_and_not_sent_again_with_its_key() {
    let store = Counted::default();
    let sessions = process(&store);
    let held = block_on(sessions.open("ann")).unwrap();
    store.fault(Fault::Full);
    assert_eq!(block_on(sessions.send_once("ann", "k1", "Hi")).unwrap_err().kind(), ErrorKind::NotSaved);
    store.fault(Fault::None);
    assert!(block_on(sessions.send_once("ann", "k1", "Hi")).unwrap().is_repeated());
    assert_eq!(stored(&store, "ann"), ["Hi", "Yes."]);
    assert_eq!(held.spending().total().calls, 1);
}

#[test]
fn a_write_that_was_done_and_reported_as_failed_is_recognized() {
    let store = Counted::default();
    store.fault(Fault::FailsAfter);
    let sessions = process(&store);
    let chat = block_on(sessions.open("ann")).unwrap();
    block_on(sessions.send("ann", "Hi")).unwrap();
    chat.push("Pushed.").unwrap();
    assert_eq!(stored(&store, "ann"), ["Hi", "Yes.", "Pushed."]);
    // What it has become is not known at once.
    store.fault(Fault::Lost);
    assert_eq!(chat.push("Not known.").unwrap_err().kind(), ErrorKind::Io);
    let reply = block_on(async { chat.send("More").await }).unwrap();
    assert_eq!(reply.report.unsaved.unwrap().kind(), ErrorKind::Io);
    store.fault(Fault::None);
    block_on(sessions.send("ann", "Last")).unwrap();
    assert_eq!(stored(&store, "ann"), ["Hi", "Yes.", "Pushed.", "More", "Yes.", "Last", "Yes."]);
}

#[test]
fn a_write_that_is_refused_without_a_reason_is_not_recorded_twice() {
    let store = Counted::default();
    let sessions = process(&store);
    sessions.on_conflict(OnConflict::Retry { most: 1 });
    block_on(sessions.open("ann")).unwrap();
    store.fault(Fault::RefusesOnce);
    block_on(sessions.send("ann", "Hi")).unwrap();
    assert_eq!(stored(&store, "ann"), ["Hi", "Yes."]);
}

#[test]
fn a_conversation_that_another_process_has_deleted_is_not_written_again() {
    let store = MemoryStore::new();
    let (one, other) = (process(&store), process(&store));
    one.keep_open(9, Duration::from_secs(3600));
    let held = block_on(one.open("ann")).unwrap();
    block_on(one.send("ann", "Secret")).unwrap();
    block_on(other.delete("ann")).unwrap();
    for _ in 0..2 {
        assert_eq!(block_on(held.reload()).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(held.push("Again").unwrap_err().kind(), ErrorKind::Conflict);
        let reply = block_on(async { held.send("Again").await }).unwrap();
        assert_eq!(reply.report.unsaved.unwrap().kind(), ErrorKind::Conflict);
        assert_eq!(block_on(one.send("ann", "Again")).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(ids(&store).is_empty());
    }
    let anew = block_on(one.open("ann")).unwrap();
    assert_eq!(anew.turn_count(), 0);
    assert_eq!(held.push("Again").unwrap_err().kind(), ErrorKind::Conflict);
    block_on(one.send("ann", "New")).unwrap();
    assert_eq!((stored(&store, "ann").len(), texts(&anew).len()), (2, 2));
    drop(anew);
    // It is found by its id although the old manager lives on, and is forgotten.
    assert_eq!(block_on(one.open_existing("ann")).unwrap().turn_count(), 1);
    drop(held);
    assert_eq!(one.inner.slots().len(), 1);
    one.keep_open(0, Duration::ZERO);
    assert!(one.inner.slots().is_empty());
}

#[test]
fn a_kept_manager_of_a_deleted_conversation_is_let_go() {
    let store = MemoryStore::new();
    let (one, other) = (process(&store), process(&store));
    one.keep_open(9, Duration::from_secs(3600));
    block_on(one.open("ann")).unwrap();
    block_on(other.delete("ann")).unwrap();
    assert_eq!(block_on(one.send("ann", "Again")).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(one.inner.slots().is_empty());
}

#[test]
fn a_file_of_a_folder_that_another_process_has_deleted_is_not_written_again() {
    let folder = tempfile::TempDir::new().unwrap();
    let files = store::FileStore::open(folder.path()).unwrap();
    let sessions = template(answers()).sessions(folder.path()).unwrap();
    let managers = [
        block_on(sessions.open("ann")).unwrap(),
        template(answers()).open_in(folder.path(), "bob").unwrap(),
        template(answers()).id("eve").save_in(folder.path()).build().unwrap(),
    ];
    for held in managers {
        block_on(async { held.send("Secret").await }).unwrap();
        block_on(files.delete(held.id())).unwrap();
        assert_eq!(held.push("Again").unwrap_err().kind(), ErrorKind::Conflict);
        let reply = block_on(async { held.send("Again").await }).unwrap();
        assert_eq!(reply.report.unsaved.unwrap().kind(), ErrorKind::Conflict);
        assert_eq!(block_on(held.reload()).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(held.push("Again").unwrap_err().kind(), ErrorKind::Conflict);
    }
    assert!(ids(&files).is_empty());
}

#[test]
fn an_exchange_is_not_forked_out_of_a_deleted_conversation() {
    for policy in [OnConflict::Fail, OnConflict::Retry { most: 3 }, OnConflict::Fork] {
        let store = MemoryStore::new();
        let other = store.clone();
        let sessions = meanwhile(&store, policy, move || block_on(other.delete("ann")).unwrap());
        block_on(sessions.open("ann")).unwrap().push("Secret").unwrap();
        let error = block_on(sessions.send("ann", "Hi")).unwrap_err();
        assert_eq!((error.kind(), error.unsaved().unwrap().reply.text()), (ErrorKind::NotFound, "Yes.".into()));
        assert!(ids(&store).is_empty(), "{policy:?}");
    }
}

#[test]
fn an_exchange_is_not_forked_with_text_that_was_removed_meanwhile() {
    type Removes = fn(&ConversationManager);
    let redacts: Removes = |chat| {
        chat.redact(|text| text.contains("PIN").then(|| "…".to_owned())).unwrap();
    };
    let purges: Removes = |chat| {
        chat.edit_record(|record| record.purge(record.path().item(0).unwrap().id())).unwrap();
    };
    for removes in [redacts, purges] {
        let store = MemoryStore::new();
        let other = store.clone();
        let sessions = meanwhile(&store, OnConflict::Fork, move || {
            removes(&block_on(process(&other).open("ann")).unwrap());
        });
        block_on(sessions.open("ann")).unwrap().push("My PIN is 1234.").unwrap();
        let error = block_on(sessions.send_once("ann", "k1", "Hi")).unwrap_err();
        assert_eq!((error.kind(), error.unsaved().unwrap().reply.text()), (ErrorKind::Conflict, "Yes.".into()));
        assert!(error.detail().contains("a fork would bring that text back"), "{error}");
        block_on(sessions.send_once("ann", "k1", "Hi")).unwrap();
        assert_eq!(ids(&store), ["ann"]);
        let found = stored(&store, "ann");
        assert!(
            found.ends_with(&["Hi".to_owned(), "Yes.".to_owned()]) && !found.concat().contains("1234"),
            "{found:?}"
        );
    }
}

/// A store whose writes wait until they are let through.
#[derive(Clone, Default)]
struct Gated {
    store: MemoryStore,
    gate: Arc<Mutex<()>>,
}

impl Store for Gated {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(Transcript, Revision)>> {
        self.store.load(id)
    }

    fn save<'a>(
        &'a self,
        id: &'a str,
        transcript: &'a Transcript,
        expected: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<Revision>> {
        Box::pin(async move {
            drop(self.gate.lock().unwrap());
            self.store.save(id, transcript, expected).await
        })
    }

    fn append<'a>(
        &'a self,
        id: &'a str,
        changes: &'a [Change],
        expected: &'a Revision,
    ) -> BoxFuture<'a, Result<Revision>> {
        self.store.append(id, changes, expected)
    }

    fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
        self.store.list(after, limit)
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        self.store.delete(id)
    }
}

fn is_pending<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> bool {
    let polled = block_on(poll_once(future.as_mut()));
    std::thread::sleep(Duration::from_millis(1));
    polled.is_none()
}

#[test]
fn a_fork_whose_future_is_dropped_is_found_by_who_sends_the_message_again() {
    let store = Gated::default();
    let other = store.store.clone();
    let sessions = meanwhile(&store, OnConflict::Fork, move || {
        block_on(process(&other).open("ann")).unwrap().push("Meanwhile.").unwrap();
    });
    let held = block_on(sessions.open("ann")).unwrap();
    let closed = store.gate.lock().unwrap();
    let mut sending = Box::pin(sessions.send_once("ann", "k1", "Hi"));
    // Until it waits for the fork: the conversation was read again.
    let has_read = || held.history().len() == 1 && held.history()[0].text() == "Meanwhile.";
    while !has_read() {
        assert!(is_pending(&mut sending));
    }
    for _ in 0..20 {
        assert!(is_pending(&mut sending));
    }
    drop(sending);
    let mut again = Box::pin(sessions.send_once("ann", "k1", "Hi"));
    for _ in 0..20 {
        assert!(is_pending(&mut again));
    }
    drop(closed);
    assert!(block_on(again).unwrap().is_repeated());
    assert_eq!(stored(&store, "ann"), ["Meanwhile."]);
}

#[test]
fn a_reply_whose_fork_cannot_be_written_is_not_lost() {
    let store = Counted::default();
    let other = store.clone();
    let sessions = meanwhile(&store, OnConflict::Fork, move || {
        block_on(process(&other).open("ann")).unwrap().push("Meanwhile.").unwrap();
        other.fault(Fault::NoNew);
    });
    block_on(sessions.open("ann")).unwrap();
    let error = block_on(sessions.send("ann", "Hi")).unwrap_err();
    assert_eq!((error.kind(), error.unsaved().unwrap().reply.text()), (ErrorKind::Io, "Yes.".into()));
    assert!(error.detail().contains("the fork for it could not be written; the reply is not recorded"), "{error}");
    block_on(sessions.send("ann", "Hi")).unwrap();
    assert_eq!(stored(&store, "ann"), ["Meanwhile.", "Hi", "Yes."]);
}

#[test]
fn nobody_sends_before_what_could_not_be_saved_is_in_a_fork() {
    let (store, sessions) = interrupted(1, OnConflict::Fork);
    // So that neither has to wait for it to be read.
    let _held = block_on(sessions.open("ann")).unwrap();
    let (first, second) = block_on(zip(sessions.send("ann", "One"), sessions.send("ann", "Two")));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(stored(&store, &first.conversation), ["One", "Yes."]);
    assert_eq!(second.conversation, "ann");
    assert_eq!(stored(&store, "ann"), ["Meanwhile.", "Two", "Yes."]);
}

#[test]
fn a_turn_that_another_process_records_with_the_same_key_meanwhile_is_recorded_once() {
    for policy in [OnConflict::Fail, OnConflict::Retry { most: 3 }, OnConflict::Fork] {
        let store = MemoryStore::new();
        let other = process(&store);
        let same = move || drop(block_on(other.send_once("ann", "k1", "Hi")).unwrap());
        let sessions = meanwhile(&store, policy, same);
        block_on(sessions.open("ann")).unwrap();
        let sent = block_on(sessions.send_once("ann", "k1", "Hi")).unwrap();
        assert!(sent.is_repeated() && sent.conversation == "ann", "{policy:?}");
        assert_eq!((ids(&store).len(), stored(&store, "ann").len()), (1, 2), "{policy:?}");
    }
}

#[test]
fn a_turn_with_a_key_that_went_on_in_a_fork_is_found_there() {
    let (store, sessions) = interrupted(1, OnConflict::Fork);
    let first = block_on(sessions.send_once("ann", "k1", "Hi")).unwrap();
    assert_ne!(first.conversation, "ann");
    let elsewhere = process(&store);
    elsewhere.on_conflict(OnConflict::Fork);
    for sessions in [&sessions, &elsewhere] {
        let again = block_on(sessions.send_once("ann", "k1", "Hi")).unwrap();
        assert!(again.is_repeated());
        assert_eq!((again.conversation, again.item_id), (first.conversation.clone(), first.item_id));
    }
    assert_eq!(stored(&store, &first.conversation), ["Hi", "Yes."]);
    assert_eq!(stored(&store, "ann"), ["Meanwhile."]);
    assert!(!block_on(sessions.send_once("ann", "k2", "Hi")).unwrap().is_repeated());
}

#[test]
fn a_manager_that_is_handed_out_has_what_others_have_written() {
    let store = MemoryStore::new();
    let (one, other) = (process(&store), process(&store));
    one.keep_open(9, Duration::from_secs(3600));
    block_on(one.open("ann")).unwrap();
    block_on(other.send("ann", "First")).unwrap();
    block_on(async {
        let chat = one.open("ann").await.unwrap();
        chat.send("Second").stream().await.unwrap().finish().await.unwrap();
        // While a send is in progress it is handed out as it is.
        let streaming = chat.send("Third").stream().await.unwrap();
        assert!(is_one(&one.open_existing("ann").await.unwrap(), &chat));
        streaming.finish().await.unwrap();
    });
    assert_eq!(stored(&store, "ann"), ["First", "Yes.", "Second", "Yes.", "Third", "Yes."]);
}

fn is_one(a: &ConversationManager, b: &ConversationManager) -> bool {
    Arc::ptr_eq(&a.shared, &b.shared)
}

#[test]
fn what_a_manager_could_not_save_is_given_up_when_it_reads_what_another_has_written() {
    let store = MemoryStore::new();
    let (one, other) = (process(&store), process(&store));
    let held = block_on(one.open("ann")).unwrap();
    block_on(other.send("ann", "First")).unwrap();
    let refused = block_on(async { held.send("Given up").await }).unwrap().report.unsaved.unwrap();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.detail().contains("`reload`"), "{refused}");
    block_on(one.send("ann", "Second")).unwrap();
    assert_eq!(stored(&store, "ann"), ["First", "Yes.", "Second", "Yes."]);
    assert_eq!((texts(&held), ids(&store).len()), (stored(&store, "ann"), 1));
}

#[test]
fn what_another_process_has_written_is_read_before_a_send() {
    let store = MemoryStore::new();
    let (one, other) = (process(&store), process(&store));
    let held = block_on(one.open("ann")).unwrap();
    block_on(other.send("ann", "First")).unwrap();
    block_on(one.send("ann", "Second")).unwrap();
    assert_eq!(texts(&held), ["First", "Yes.", "Second", "Yes."]);
    assert_eq!(stored(&store, "ann"), texts(&held));
    block_on(other.delete("ann")).unwrap();
    assert_eq!(block_on(one.send("ann", "Third")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_manager_reads_again_what_others_have_written_in_files_too() {
    let folder = tempfile::TempDir::new().unwrap();
    let open = || template(answers()).system("Be brief.").open_in(folder.path(), "ann").unwrap();
    let (one, other) = (open(), open());
    assert!(!block_on(other.reload()).unwrap());
    block_on(async { one.send("Hi").await }).unwrap();
    let refused = block_on(async { other.send("Lost").await }).unwrap();
    assert_eq!(refused.report.unsaved.unwrap().kind(), ErrorKind::Conflict);
    assert!(block_on(other.reload()).unwrap());
    assert_eq!(texts(&other), ["Be brief.", "Hi", "Yes."]);
    block_on(async { other.send("More").await }).unwrap();
    assert!(block_on(one.reload()).unwrap());
    assert_eq!(texts(&one), texts(&other));
    let nowhere = template(answers()).build().unwrap();
    assert!(!block_on(nowhere.reload()).unwrap());
}

#[test]
fn a_turn_with_a_key_is_recorded_once_in_all_processes() {
    let store = MemoryStore::new();
    let (one, other) = (process(&store), process(&store));
    block_on(one.open("ann")).unwrap();
    let first = block_on(one.send_once("ann", "k1", "Hi")).unwrap();
    let again = block_on(other.send_once("ann", "k1", "Hi")).unwrap();
    assert!(!first.is_repeated() && again.is_repeated());
    assert_eq!((again.item_id, again.asked, again.text()), (first.item_id, first.asked, first.text()));
    assert!(!block_on(other.send_once("ann", "k2", "Hi")).unwrap().is_repeated());
    assert_eq!(stored(&store, "ann"), ["Hi", "Yes.", "Hi", "Yes."]);
}

#[test]
fn a_turn_that_is_repeated_after_a_conflict_is_recorded_once() {
    let (store, sessions) = interrupted(1, OnConflict::Retry { most: 3 });
    let (first, second) = block_on(zip(sessions.send_once("ann", "k1", "Hi"), sessions.send_once("ann", "k1", "Hi")));
    assert_eq!(first.unwrap().item_id, second.unwrap().item_id);
    assert_eq!(stored(&store, "ann"), ["Meanwhile.", "Hi", "Yes."]);
}

#[test]
fn a_key_belongs_to_one_message_and_is_never_sent() {
    let backend = Arc::new(answers());
    let chat = template(Arc::clone(&backend)).build().unwrap();
    let once = |text: &str, key: &str| block_on(chat.send(text).once(key));
    once("Hi", "k\"1").unwrap();
    assert!(once("Hi", "k\"1").unwrap().is_repeated());
    let refusal = |done: Result<OnceReply>| done.unwrap_err().kind();
    assert_eq!(refusal(once("Bye", "k\"1")), ErrorKind::InvalidParam);
    assert_eq!(refusal(once("Hi", "")), ErrorKind::InvalidParam);
    assert_eq!(refusal(once("Hi", &"k".repeat(256))), ErrorKind::InvalidParam);
    assert_eq!(refusal(block_on(chat.reply().once("k2"))), ErrorKind::InvalidParam);
    for request in backend.requests() {
        assert!(!serde_json::to_string(&request).unwrap().contains("idempotency"));
    }
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn an_exchange_that_failed_is_sent_again_with_its_key() {
    let backend = Scripted::default().and(BackendError::unavailable("restarting")).and("Yes.");
    let chat = template(backend).build().unwrap();
    assert!(block_on(chat.send("Hi").once("k1")).is_err());
    assert!(!block_on(chat.send("Hi").once("k1")).unwrap().is_repeated());
}

#[test]
fn managers_used_last_stay_open_and_can_be_deleted() {
    let store = MemoryStore::new();
    let sessions = process(&store);
    sessions.keep_open(2, Duration::from_secs(3600));
    let is_open = |id: &str| sessions.inner.slots().contains_key(id);
    for id in ["a", "b", "a", "c"] {
        block_on(sessions.open(id)).unwrap();
    }
    assert_eq!((is_open("a"), is_open("b"), is_open("c")), (true, false, true));
    block_on(sessions.delete("a")).unwrap();
    assert!(!is_open("a"));
    sessions.keep_open(2, Duration::ZERO);
    std::thread::sleep(Duration::from_millis(2));
    block_on(sessions.open("d")).unwrap();
    assert!(!is_open("c"));
    sessions.keep_open(0, Duration::ZERO);
    assert!(!is_open("d"));
}

#[test]
fn a_fork_by_id_goes_its_own_way() {
    let store = MemoryStore::new();
    let sessions = process(&store);
    block_on(sessions.open("ann")).unwrap().push("Hi").unwrap();
    let fork = block_on(sessions.fork("ann")).unwrap();
    fork.push("Only here.").unwrap();
    assert_eq!((stored(&store, "ann").len(), stored(&store, fork.id()).len()), (1, 2));
    assert_eq!(block_on(sessions.fork("nobody")).unwrap_err().kind(), ErrorKind::NotFound);
}
