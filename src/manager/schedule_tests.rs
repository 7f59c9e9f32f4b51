//! Random schedules: several processes over one store that fails in every way, clients that repeat
//! what was not acknowledged, futures that are dropped at any poll, deletes and forks.
//!
//! A seed fixes what is done and which calls of the store fail. Saves run on threads of their own,
//! so a seed fixes their order only nearly.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_lite::future::{block_on, yield_now};

use super::*;
use crate::backend::{BackendError, BoxFuture, ChatBackend, ChatReply, Scripted};
use crate::budget::TokenBudget;
use crate::error::{ErrorKind, Result};
use crate::message::Role;
use crate::request::ChatRequest;
use crate::store::{self, Change, MemoryStore, Revision, Store};
use crate::tokens::CounterFn;

const SEEDS: u64 = 25;
const PROCESSES: usize = 3;
const CLIENTS: usize = 3;
const TURNS: usize = 4;

/// A store that refuses without a reason, fails before or after it has written, or is slow.
#[derive(Clone)]
struct Shaky {
    store: MemoryStore,
    rng: Arc<Mutex<Rng>>,
    is_calm: Arc<AtomicBool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Slow,
    Refused,
    FailsBefore,
    FailsAfter,
}

impl Shaky {
    fn new(seed: u64) -> Self {
        let rng = Arc::new(Mutex::new(Rng::with_seed(seed)));
        Self { store: MemoryStore::new(), rng, is_calm: Arc::default() }
    }

    fn calm(&self, is_calm: bool) {
        self.is_calm.store(is_calm, Ordering::SeqCst);
    }

    fn fault(&self) -> Fault {
        if self.is_calm.load(Ordering::SeqCst) {
            return Fault::None;
        }
        match self.rng.lock().unwrap().u8(0..100) {
            0..8 => Fault::Refused,
            8..16 => Fault::FailsBefore,
            16..26 => Fault::FailsAfter,
            26..36 => Fault::Slow,
            _ => Fault::None,
        }
    }

    fn read<'a, T: 'a>(&'a self, read: BoxFuture<'a, Result<T>>) -> BoxFuture<'a, Result<T>> {
        Box::pin(async move {
            match self.fault() {
                Fault::FailsBefore => Err(broken()),
                Fault::Slow => {
                    thread::sleep(Duration::from_micros(100));
                    read.await
                }
                _ => read.await,
            }
        })
    }

    fn write<'a, T: 'a>(&'a self, id: &'a str, write: BoxFuture<'a, Result<T>>) -> BoxFuture<'a, Result<T>> {
        Box::pin(async move {
            match self.fault() {
                Fault::None => write.await,
                Fault::Slow => {
                    thread::sleep(Duration::from_micros(200));
                    let done = write.await;
                    thread::sleep(Duration::from_micros(200));
                    done
                }
                Fault::Refused => Err(store::conflict(id)),
                Fault::FailsBefore => Err(broken()),
                Fault::FailsAfter => write.await.and(Err(broken())),
            }
        })
    }
}

fn broken() -> crate::Error {
    store::failed("writing", std::io::Error::other("the connection is lost"))
}

impl Store for Shaky {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(Transcript, Revision)>> {
        self.read(self.store.load(id))
    }

    fn revision<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Revision>> {
        self.read(self.store.revision(id))
    }

    fn save<'a>(
        &'a self,
        id: &'a str,
        transcript: &'a Transcript,
        expected: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<Revision>> {
        self.write(id, self.store.save(id, transcript, expected))
    }

    fn append<'a>(
        &'a self,
        id: &'a str,
        changes: &'a [Change],
        expected: &'a Revision,
    ) -> BoxFuture<'a, Result<Revision>> {
        self.write(id, self.store.append(id, changes, expected))
    }

    fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
        self.store.list(after, limit)
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match self.fault() {
                Fault::FailsAfter => self.store.delete(id).await.and(Err(broken())),
                Fault::Refused | Fault::FailsBefore => Err(broken()),
                Fault::None | Fault::Slow => self.store.delete(id).await,
            }
        })
    }
}

/// Answers each message with its text and a number of its own, after a few polls.
struct Numbered(Arc<AtomicUsize>);

impl ChatBackend for Numbered {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        let asked = request.messages.last().map(|message| message.text().into_owned()).unwrap_or_default();
        Box::pin(async move {
            for _ in 0..number % 4 {
                yield_now().await;
            }
            Scripted::new([format!("{asked} answered {number}")]).complete(request).await
        })
    }
}

fn processes(store: &Shaky, policy: OnConflict, keeps: bool) -> Vec<Sessions> {
    let numbers = Arc::<AtomicUsize>::default();
    let process = |number: usize| {
        let template = ConversationManager::builder("test-model")
            .backend(Numbered(Arc::clone(&numbers)))
            .budget(TokenBudget::limit(1_000_000))
            .counter(CounterFn::new("bytes", |text| text.len() as u64));
        let sessions = template.sessions_over(store.clone()).unwrap();
        sessions.on_conflict(policy);
        if keeps && number != 0 {
            sessions.keep_open(10, Duration::from_secs(3600));
        }
        sessions
    };
    (0..PROCESSES).map(process).collect()
}

type Sending = Pin<Box<dyn Future<Output = Result<OnceReply>>>>;

/// Somebody who sends one message after another, each with a key until it is acknowledged.
struct Client {
    number: usize,
    turn: usize,
    sending: Option<Sending>,
    /// The same message, sent again before there was an answer.
    hasty: Option<Sending>,
    /// The conversation and the reply of each turn.
    acknowledged: Vec<(String, String)>,
}

impl Client {
    fn all() -> Vec<Self> {
        let client = |number| Self { number, turn: 0, sending: None, hasty: None, acknowledged: Vec::new() };
        (0..CLIENTS).map(client).collect()
    }

    fn text(&self, turn: usize) -> String {
        format!("client {} turn {turn}", self.number)
    }

    fn is_done(&self) -> bool {
        self.turn == TURNS
    }

    /// Begins to send, goes on, or drops what was begun. Returns the error of a send that failed.
    fn step(&mut self, rng: &mut Rng, sessions: &[Sessions], id: &str) -> Option<crate::Error> {
        if rng.u8(0..100) < 2 {
            self.sending = None;
        }
        let text = self.text(self.turn);
        let mut begin = || -> Sending {
            let (sessions, id) = (sessions[rng.usize(0..sessions.len())].clone(), id.to_owned());
            let text = text.clone();
            Box::pin(async move { sessions.send_once(&id, &text, text.as_str()).await })
        };
        if self.sending.is_none() {
            self.sending = Some(begin());
            self.hasty = Some(begin());
        }
        let mut context = Context::from_waker(Waker::noop());
        if let Some(hasty) = self.hasty.as_mut().filter(|_| rng.bool())
            && hasty.as_mut().poll(&mut context).is_ready()
        {
            self.hasty = None;
        }
        let Some(sending) = &mut self.sending else { return None };
        let Poll::Ready(sent) = sending.as_mut().poll(&mut context) else {
            // The threads that save have their time.
            thread::sleep(Duration::from_micros(10));
            return None;
        };
        self.sending = None;
        match sent {
            Ok(reply) => {
                self.acknowledged.push((reply.conversation.clone(), reply.text().into_owned()));
                self.turn += 1;
                None
            }
            Err(error) => Some(error),
        }
    }
}

/// Waits until every manager is dropped and every save is over.
fn settle(processes: &[Sessions]) {
    let begun = Instant::now();
    for sessions in processes {
        sessions.keep_open(0, Duration::ZERO);
        while !sessions.inner.slots().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{sessions:?} does not come to rest");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The texts of a conversation, which are whole turns, each a message and its own reply.
fn turns(store: &Shaky, id: &str, context: &str) -> Vec<[String; 2]> {
    let (file, _) = block_on(store.store.load(id)).unwrap();
    let messages: Vec<_> = file.conversation.path().messages().collect();
    assert_eq!(file.conversation.items().count(), messages.len(), "{context}: a branch of {id}");
    assert!(messages.len().is_multiple_of(2), "{context}: half a turn in {id}");
    let turn = |turn: &[&crate::Message]| {
        assert_eq!((turn[0].role(), turn[1].role()), (&Role::User, &Role::Assistant), "{context}");
        let [asked, reply] = [turn[0].text().into_owned(), turn[1].text().into_owned()];
        assert!(reply.starts_with(&asked), "{context}: {asked} has the reply {reply}");
        [asked, reply]
    };
    messages.chunks(2).map(turn).collect()
}

fn ids(store: &Shaky) -> BTreeSet<String> {
    block_on(store.store.list(None, 10_000)).unwrap().into_iter().collect()
}

/// Each turn is once in the conversation that its acknowledgement names, after those before it.
fn check_acknowledged(store: &Shaky, clients: &[Client], context: &str) {
    for client in clients {
        for (turn, (id, reply)) in client.acknowledged.iter().enumerate() {
            let found = turns(store, id, context);
            let text = client.text(turn);
            let times = found.iter().filter(|[asked, _]| *asked == text).count();
            assert_eq!(times, 1, "{context}: {text} in {id}: {found:?}");
            assert!(found.iter().any(|[_, given]| given == reply), "{context}: {reply} in {id}: {found:?}");
            let prefix = format!("client {} ", client.number);
            let own: Vec<_> = found.iter().filter(|[asked, _]| asked.starts_with(&prefix)).collect();
            assert!(own.is_sorted(), "{context}: the order of {id}: {found:?}");
        }
    }
}

const POLICIES: [OnConflict; 3] = [OnConflict::Fail, OnConflict::Retry { most: 2 }, OnConflict::Fork];

#[test]
fn every_acknowledged_turn_is_there_once_and_in_order_whatever_fails() {
    for seed in 0..SEEDS {
        for policy in POLICIES {
            let context = format!("seed {seed}, {policy:?}");
            let store = Shaky::new(seed);
            let mut rng = Rng::with_seed(seed);
            store.calm(true);
            let processes = processes(&store, policy, rng.bool());
            block_on(processes[0].open("ann")).unwrap();
            store.calm(false);
            let mut clients = Client::all();
            let begun = Instant::now();
            while clients.iter().any(|client| !client.is_done()) {
                let client = &mut clients[rng.usize(0..CLIENTS)];
                if !client.is_done() {
                    client.step(&mut rng, &processes, "ann");
                }
                assert!(begun.elapsed() < Duration::from_secs(20), "{context}: no end");
            }
            for client in &mut clients {
                client.hasty = None;
            }
            settle(&processes);
            check_acknowledged(&store, &clients, &context);
            if policy != OnConflict::Fork {
                assert_eq!(ids(&store).len(), 1, "{context}");
                assert_eq!(turns(&store, "ann", &context).len(), CLIENTS * TURNS, "{context}");
            }
        }
    }
}

#[test]
fn nothing_of_a_deleted_conversation_comes_back_whatever_fails() {
    for seed in 0..SEEDS {
        for policy in POLICIES {
            let context = format!("seed {seed}, {policy:?}");
            let store = Shaky::new(seed);
            let mut rng = Rng::with_seed(seed);
            store.calm(true);
            let processes = processes(&store, policy, rng.bool());
            // Two of them hold it all the time.
            let held: Vec<_> = processes[1..].iter().map(|sessions| block_on(sessions.open("ann")).unwrap()).collect();
            store.calm(false);
            delete_meanwhile(&store, &mut rng, &processes, &context);
            store.calm(true);
            let left = ids(&store);
            assert!(!left.contains("ann"), "{context}");
            for chat in &held {
                let kept = block_on(async { chat.send("Held").await }).map(|reply| reply.report.unsaved.is_some());
                assert!(kept.unwrap_or(true), "{context}: a held manager has saved it");
                assert!(chat.push("Held").is_err(), "{context}: a held manager has changed it");
            }
            for sessions in &processes {
                let refused = block_on(sessions.send_once("ann", "late", "Late")).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::NotFound, "{context}: {refused}");
                assert_eq!(block_on(sessions.open_existing("ann")).unwrap_err().kind(), ErrorKind::NotFound);
            }
            assert_eq!(ids(&store), left, "{context}");
            for sessions in &processes {
                assert_eq!(block_on(sessions.open("ann")).unwrap().turn_count(), 0, "{context}");
            }
            block_on(processes[0].send("ann", "New")).unwrap();
            assert!(held[0].push("Held").is_err(), "{context}: a held manager has written over a new one");
            assert_eq!(turns(&store, "ann", &context).len(), 1, "{context}");
            drop(held);
            settle(&processes);
        }
    }
}

/// Clients send and one forks, until another process has deleted the conversation.
fn delete_meanwhile(store: &Shaky, rng: &mut Rng, processes: &[Sessions], context: &str) {
    let mut clients = Client::all();
    let (begun, mut is_deleted) = (Instant::now(), false);
    let mut steps_left = rng.usize(20..2_000);
    while !is_deleted {
        for client in clients.iter_mut().filter(|client| !client.is_done()) {
            client.step(rng, processes, "ann");
        }
        if rng.u8(0..100) < 2 {
            // Whether it is done or not.
            drop(block_on(processes[rng.usize(0..PROCESSES)].fork("ann")));
        }
        steps_left = steps_left.saturating_sub(1);
        if steps_left == 0 {
            let deleted = block_on(store.delete("ann"));
            is_deleted = deleted.is_ok() || deleted.is_err_and(|error| error.kind() == ErrorKind::NotFound);
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{context}: no end");
    }
    // What was begun before ends, one way or the other. They wait for each other.
    let mut waiting: Vec<usize> = (0..CLIENTS).filter(|number| clients[*number].sending.is_some()).collect();
    while !waiting.is_empty() {
        waiting.retain(|number| {
            let client = &mut clients[*number];
            let turn = client.turn;
            client.step(rng, processes, "ann");
            client.sending.is_some() && client.turn == turn
        });
        assert!(begun.elapsed() < Duration::from_secs(20), "{context}: no end");
    }
    drop(clients);
    // Those that nobody waits for too.
    thread::sleep(Duration::from_millis(3));
}
