use std::future::IntoFuture;

use futures_lite::future::block_on;

use super::*;
use crate::backend::{Answer, BackendError, Scripted};
use crate::budget::TokenBudget;
use crate::error::Error;
use crate::message::Message;
use crate::plan::Plan;
use crate::strategy::{SlidingWindow, Summarize};
use crate::tokens::CounterFn;

/// Writes down what it is told.
#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Diary {
    fn planned(&self, _: &str, plan: &Plan) {
        self.note(format!("planned {}", plan.messages().len()));
    }

    fn summarized(&self, _: &str, call: &SummaryCall) {
        self.note(format!("summarized {}", call.refused.is_none()));
    }

    fn committed(&self, _: &str, reply: &Reply) {
        self.note(format!("committed {}", reply.item_id));
    }

    fn evicted(&self, _: &str, items: &[ItemId]) {
        self.note(format!("evicted {items:?}"));
    }

    fn failed(&self, _: &str, error: &Error) {
        self.note(format!("failed {:?}", error.kind()));
    }
}

fn builder(script: &Scripted, diary: &Arc<Diary>) -> Builder {
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(script.clone()).counter(counter);
    builder.budget(TokenBudget::limit(3_000)).observer(Arc::clone(diary))
}

#[test]
fn observers_are_told_of_exchanges_failures_and_drops_and_not_of_dry_runs() {
    let script = Scripted::default().and("one").and(BackendError::unavailable("down")).and("two");
    let diary = Arc::new(Diary::default());
    let chat = builder(&script, &diary).build().unwrap();
    block_on(async {
        chat.plan("a").unwrap();
        assert_eq!(diary.take(), [""; 0]);
        chat.send("a").await.unwrap();
        assert_eq!(diary.take(), ["planned 1", "committed #1"]);
        chat.send("b").await.unwrap_err();
        assert_eq!(diary.take(), ["planned 3", "failed Unavailable"]);
        drop(chat.send("b").stream().await.unwrap());
        assert_eq!(diary.take(), ["planned 3", "failed Interrupted"]);
        chat.send(Message::tool("x", "y")).await.unwrap_err();
        assert_eq!(diary.take(), ["failed UnknownCall"]);
    });
}

#[test]
fn observers_are_told_what_leaves_once() {
    let script = Scripted::new(["1", "2", "3", "4"]);
    let diary = Arc::new(Diary::default());
    let chat = builder(&script, &diary).strategy(SlidingWindow::messages(2)).build().unwrap();
    block_on(async {
        for text in ["a", "b", "c", "d"] {
            chat.send(text).await.unwrap();
        }
    });
    let told = diary.take();
    let evicted: Vec<_> = told.iter().filter(|line| line.starts_with("evicted")).collect();
    assert_eq!(evicted, ["evicted [ItemId(0), ItemId(1)]", "evicted [ItemId(2), ItemId(3)]"], "{told:?}");
}

#[test]
fn observers_are_told_of_summaries_and_may_use_the_manager() {
    struct Reads(Mutex<Option<ConversationManager>>);
    impl Observer for Reads {
        fn committed(&self, _: &str, reply: &Reply) {
            let chat = self.0.lock().unwrap();
            let chat = chat.as_ref().unwrap();
            assert_eq!(chat.snapshot().leaf(), Some(reply.item_id), "no lock is held, and the record is the new one");
        }
    }
    let script = Scripted::new(["all about x", "one"]);
    let (diary, reads) = (Arc::new(Diary::default()), Arc::new(Reads(Mutex::new(None))));
    let chat = builder(&script, &diary).strategy(Summarize::rolling()).observer(Arc::clone(&reads)).build().unwrap();
    *reads.0.lock().unwrap() = Some(chat.clone());
    for _ in 0..10 {
        chat.push("x".repeat(300)).unwrap();
        chat.push(Message::assistant("yes")).unwrap();
    }
    block_on(chat.send("a").into_future()).unwrap();
    let told = diary.take();
    assert_eq!(told[0], "summarized true");
    assert!(told[1].starts_with("planned") && told[2].starts_with("committed"), "{told:?}");
    *reads.0.lock().unwrap() = None;
}

#[test]
fn an_exchange_that_is_dropped_while_it_is_saved_was_committed() {
    let folder = tempfile::TempDir::new().unwrap();
    let (script, diary) = (Scripted::new(["one"]), Arc::new(Diary::default()));
    let chat = builder(&script, &diary).autosave(folder.path().join("chat.json")).build().unwrap();
    let saving = chat.shared.saving.lock().unwrap();
    let mut sending = chat.send("a").into_future();
    while chat.turn_count() == 0 {
        assert!(block_on(futures_lite::future::poll_once(&mut sending)).is_none());
    }
    drop(sending);
    assert_eq!(diary.take(), ["planned 1", "committed #1"]);
    drop(saving);
}

#[test]
fn what_leaves_with_a_partial_reply_is_told_too() {
    let script = Scripted::new(["1"]).and(Answer::from("2 3").ended_after(1));
    let diary = Arc::new(Diary::default());
    let chat = builder(&script, &diary).strategy(SlidingWindow::messages(0)).build().unwrap();
    block_on(async {
        chat.send("a").await.unwrap();
        diary.take();
        chat.send("b").keep_partial().stream().await.unwrap().finish().await.unwrap_err();
    });
    assert_eq!(diary.take(), ["planned 1", "evicted [ItemId(0)]", "failed Interrupted"]);
}
