//! Stores that panic or answer from other threads, streams and tool loops beside a second process,
//! and what is left in memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_lite::future::{block_on, poll_fn};

use super::*;
use crate::backend::{BoxFuture, ChatBackend, Scripted};
use crate::budget::TokenBudget;
use crate::error::{ErrorKind, Result};
use crate::message::ToolCall;
use crate::store::{Change, MemoryStore, Revision, Store};
use crate::tokens::CounterFn;

/// What a [`Strange`] store does with each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Plain,
    /// The future is woken by another thread, after a moment.
    Deferred,
    PanicsBefore,
    PanicsAfter,
}

#[derive(Clone)]
struct Strange {
    store: MemoryStore,
    mode: Arc<Mutex<Mode>>,
}

impl Strange {
    fn new(mode: Mode) -> Self {
        Self { store: MemoryStore::new(), mode: Arc::new(Mutex::new(mode)) }
    }

    fn mode(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn call<'a, T: 'a>(&self, call: BoxFuture<'a, Result<T>>) -> BoxFuture<'a, Result<T>> {
        let mode = *self.mode.lock().unwrap();
        Box::pin(async move {
            assert_ne!(mode, Mode::PanicsBefore, "the engine is broken");
            if mode == Mode::Deferred {
                woken_elsewhere().await;
            }
            let done = call.await;
            assert_ne!(mode, Mode::PanicsAfter, "the engine is broken");
            done
        })
    }
}

async fn woken_elsewhere() {
    let mut begun: Option<Arc<AtomicUsize>> = None;
    poll_fn(move |context| {
        if let Some(done) = &begun {
            return if done.load(Ordering::SeqCst) == 1 { Poll::Ready(()) } else { Poll::Pending };
        }
        let (done, waker) = (Arc::new(AtomicUsize::new(0)), context.waker().clone());
        begun = Some(Arc::clone(&done));
        thread::spawn(move || {
            thread::sleep(Duration::from_micros(200));
            done.store(1, Ordering::SeqCst);
            waker.wake();
        });
        Poll::Pending
    })
    .await;
}

impl Store for Strange {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(Transcript, Revision)>> {
        let load = self.store.load(id);
        // What was written can be read again.
        if *self.mode.lock().unwrap() == Mode::PanicsAfter { load } else { self.call(load) }
    }

    fn save<'a>(
        &'a self,
        id: &'a str,
        transcript: &'a Transcript,
        expected: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<Revision>> {
        self.call(self.store.save(id, transcript, expected))
    }

    fn append<'a>(
        &'a self,
        id: &'a str,
        changes: &'a [Change],
        expected: &'a Revision,
    ) -> BoxFuture<'a, Result<Revision>> {
        self.call(self.store.append(id, changes, expected))
    }

    fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
        self.call(self.store.list(after, limit))
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        self.call(self.store.delete(id))
    }
}

fn process(store: impl Store + 'static, backend: impl ChatBackend + 'static) -> Sessions {
    ConversationManager::builder("test-model")
        .backend(backend)
        .budget(TokenBudget::limit(100_000))
        .counter(CounterFn::new("bytes", |text| text.len() as u64))
        .sessions_over(store)
        .unwrap()
}

fn answers() -> Scripted {
    Scripted::new(vec!["Yes."; 100])
}

fn stored(store: &MemoryStore, id: &str) -> Vec<String> {
    let (file, _) = block_on(store.load(id)).unwrap();
    file.conversation.path().messages().map(|message| message.text().into_owned()).collect()
}

#[test]
fn a_store_that_panics_loses_no_turn_and_records_none_twice() {
    for mode in [Mode::PanicsBefore, Mode::PanicsAfter] {
        let store = Strange::new(Mode::Plain);
        let sessions = process(store.clone(), answers());
        let held = block_on(sessions.open("ann")).unwrap();
        store.mode(mode);
        assert!(block_on(sessions.send_once("ann", "k1", "Hi")).is_err(), "{mode:?}");
        store.mode(Mode::Plain);
        block_on(sessions.send_once("ann", "k1", "Hi")).unwrap();
        held.push("More").unwrap();
        assert_eq!(stored(&store.store, "ann"), ["Hi", "Yes.", "More"], "{mode:?}");
        drop(held);
        store.mode(Mode::PanicsBefore);
        assert!(block_on(sessions.open("ann")).is_err());
        assert!(sessions.inner.slots().is_empty());
        store.mode(Mode::Plain);
        assert_eq!(block_on(sessions.open("ann")).unwrap().turn_count(), 2);
    }
}

#[test]
fn a_store_that_answers_from_its_own_threads_blocks_no_runtime_of_one_thread() {
    let store = Strange::new(Mode::Deferred);
    let sessions = process(store.clone(), answers());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let chat = sessions.open("ann").await.unwrap();
        chat.push("Pushed.").unwrap();
        let sends = (0..5).map(|number| {
            let sessions = sessions.clone();
            tokio::spawn(async move { sessions.send("ann", format!("{number}")).await.unwrap() })
        });
        for send in sends.collect::<Vec<_>>() {
            send.await.unwrap();
        }
        chat.edit_record(|record| record.set_head([crate::Message::system("Be brief.")])).unwrap();
        assert!(!chat.reload().await.unwrap());
        let fork = sessions.fork("ann").await.unwrap();
        assert_eq!((chat.turn_count(), fork.turn_count()), (6, 6));
    });
}

#[test]
fn a_stream_beside_a_second_process_is_whole_or_not_there() {
    let store = MemoryStore::new();
    let (one, other) = (process(store.clone(), answers()), process(store.clone(), answers()));
    let chat = block_on(one.open("ann")).unwrap();
    block_on(async {
        let streaming = chat.send("Stream").stream().await.unwrap();
        other.send("ann", "Meanwhile.").await.unwrap();
        assert!(streaming.finish().await.unwrap().report.unsaved.is_some());
        one.open("ann").await.unwrap();
        assert_eq!(chat.history().len(), 2);
        one.send("ann", "After").await.unwrap();
    });
    assert_eq!(stored(&store, "ann"), ["Meanwhile.", "Yes.", "After", "Yes."]);
}

#[test]
fn a_tool_loop_beside_a_second_process_acknowledges_nothing_and_runs_no_call_twice() {
    let store = MemoryStore::new();
    let script = Scripted::default().and([ToolCall::function("1", "look_up", "{}")]).and("Done.").and("Done.");
    let (one, other) = (process(store.clone(), script), process(store.clone(), answers()));
    let runs = Arc::new(AtomicUsize::new(0));
    let handler = |other: Option<Sessions>| {
        let runs = Arc::clone(&runs);
        move |_: ToolCall| {
            let other = other.clone();
            runs.fetch_add(1, Ordering::SeqCst);
            async move {
                if let Some(other) = other {
                    other.open("ann").await.unwrap().push("Meanwhile.").unwrap();
                }
                "found"
            }
        }
    };
    block_on(async {
        let chat = one.open("ann").await.unwrap();
        let ended = chat.run_tools("Look", handler(Some(other.clone()))).await.unwrap();
        assert_eq!(ended.report.unsaved.unwrap().kind(), ErrorKind::Conflict);
        // The start of the call was saved before it ran; its result was not.
        assert_eq!(stored(&store, "ann"), ["Look", "", "Meanwhile."]);
        let again = one.open("ann").await.unwrap();
        assert_eq!(again.history().len(), 3);
        assert_eq!(again.resume_tools(handler(None)).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        again.resume_tools(handler(None)).rerun_unknown().await.unwrap();
        assert_eq!(stored(&store, "ann"), ["Look", "", "Meanwhile.", "found", "Done."]);
    });
}

#[test]
fn nothing_is_left_in_memory_of_many_ids() {
    let store = MemoryStore::new();
    let sessions = process(store, answers());
    sessions.keep_open(7, Duration::from_secs(3600));
    block_on(async {
        for number in 0..10_000 {
            let id = (number % 5_000).to_string();
            match number % 4 {
                0 => drop(sessions.open(&id).await.unwrap()),
                1 => drop(sessions.open_existing(&id).await),
                2 => drop(sessions.delete(&id).await),
                _ => drop(sessions.send(&id, "Hi").await),
            }
        }
    });
    assert!(sessions.inner.slots().len() <= 7);
    sessions.keep_open(0, Duration::ZERO);
    assert!(sessions.inner.slots().is_empty());
    assert_eq!(block_on(sessions.delete("nobody")).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(sessions.inner.slots().is_empty());
}
