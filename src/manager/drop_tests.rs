//! Invariant 5 at every point where a future can be dropped: the record is the one before, or a
//! committed one.

use std::collections::{BTreeMap, BTreeSet};
use std::future::IntoFuture;
use std::path::Path;
use std::task::{Context, Poll, Waker};

use futures_lite::future::{block_on, yield_now};
use futures_util::StreamExt;

use super::*;
use crate::backend::{BackendError, BoxFuture, ChatBackend, ChatReply, EventStream, Scripted};
use crate::budget::TokenBudget;
use crate::error::ErrorKind;
use crate::message::{Message, ToolCall};
use crate::request::ChatRequest;
use crate::strategy::Summarize;
use crate::tokens::CounterFn;

/// Is pending once before each answer, and before each event of one.
struct Paused(Scripted);

impl ChatBackend for Paused {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let answer = self.0.complete(request);
        Box::pin(async move {
            yield_now().await;
            answer.await
        })
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<EventStream, BackendError>> {
        let events = self.0.stream(request);
        Box::pin(async move {
            yield_now().await;
            let events: EventStream = Box::pin(events.await?.then(|event| async move {
                yield_now().await;
                event
            }));
            Ok(events)
        })
    }
}

fn builder(script: Scripted) -> Builder {
    ConversationManager::builder("test-model")
        .backend(Paused(script))
        .budget(TokenBudget::limit(2_000))
        .counter(CounterFn::new("bytes", |text| text.len() as u64))
}

fn texts(chat: &ConversationManager) -> Vec<String> {
    chat.history().iter().map(|message| message.text().into_owned()).collect()
}

/// Drops what `run` begins after 1, 2, … polls, until it completes. The record always is one of
/// `allowed`, all of which occur; after it others have their turn.
fn dropped_after_any_poll(
    build: impl Fn() -> ConversationManager,
    run: impl Fn(ConversationManager) -> BoxFuture<'static, bool>,
    allowed: &[&[&str]],
) {
    let mut seen = BTreeSet::new();
    for polls in 1..1_000 {
        let chat = build();
        let mut running = run(chat.clone());
        let done = (0..polls).any(|_| match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(is_well) => {
                assert!(is_well);
                true
            }
            Poll::Pending => {
                // The thread that saves has its time between polls.
                std::thread::yield_now();
                false
            }
        });
        drop(running);
        let found = texts(&chat);
        let known = allowed.iter().position(|texts| *texts == found);
        assert!(known.is_some(), "{found:?} after {polls} polls");
        seen.insert(known);
        assert_eq!(chat.shared.state(|state| state.in_progress), 0);
        drop(chat.shared.queue.try_acquire().unwrap());
        if done {
            assert_eq!(seen.len(), allowed.len(), "not every state was met");
            return;
        }
    }
    panic!("it never completes");
}

async fn streamed(exchange: Exchange) -> bool {
    let Ok(stream) = exchange.stream().await else { return false };
    stream.finish().await.is_ok()
}

#[test]
fn invariant_5_plain_and_streamed() {
    let build = || builder(Scripted::new(["one two three"])).system("s").build().unwrap();
    let allowed: &[&[&str]] = &[&["s"], &["s", "a", "one two three"]];
    dropped_after_any_poll(build, |chat| Box::pin(async move { chat.send("a").await.is_ok() }), allowed);
    dropped_after_any_poll(build, |chat| Box::pin(async move { streamed(chat.send("a")).await }), allowed);
}

#[test]
fn invariant_5_regenerating() {
    let build = || {
        let chat = builder(Scripted::new(["two"])).build().unwrap();
        chat.push("a").unwrap();
        chat.push(Message::assistant("one")).unwrap();
        chat
    };
    let allowed: &[&[&str]] = &[&["a", "one"], &["a", "two"]];
    dropped_after_any_poll(build, |chat| Box::pin(async move { chat.regenerate().await.is_ok() }), allowed);
}

#[test]
fn invariant_5_tools() {
    let call = |id: &str| ToolCall::function(id, "f", "{}");
    let build = || {
        let script = Scripted::default().and([call("1"), call("2")]).and([call("3")]).and("done");
        builder(script).build().unwrap()
    };
    let handler = |call: ToolCall| async move {
        yield_now().await;
        format!("r{}", call.id().unwrap_or_default())
    };
    let allowed: &[&[&str]] = &[&[], &["a", ""], &["a", "", "r1", "r2", ""], &["a", "", "r1", "r2", "", "r3", "done"]];
    dropped_after_any_poll(build, |chat| chat_tools(&chat, handler, false), allowed);
    dropped_after_any_poll(build, |chat| chat_tools(&chat, handler, true), allowed);
}

fn chat_tools(
    chat: &ConversationManager,
    handler: impl ToolHandler + 'static,
    is_streamed: bool,
) -> BoxFuture<'static, bool> {
    let tools = chat.run_tools("a", handler);
    let tools = if is_streamed { tools.on_event(|_| {}) } else { tools };
    Box::pin(async move { tools.await.is_ok() })
}

#[test]
fn invariant_5_summaries() {
    let long = "x".repeat(300);
    let build = || {
        let strategy = Summarize::rolling();
        let script = Scripted::new(["all about x", "one"]);
        let budget = TokenBudget::limit(3_000);
        let chat = builder(script).strategy(strategy).budget(budget).build().unwrap();
        for _ in 0..10 {
            chat.push(&*long).unwrap();
            chat.push(Message::assistant("yes")).unwrap();
        }
        chat
    };
    let before: Vec<&str> = (0..10).flat_map(|_| [&*long, "yes"]).collect();
    let after = [&*before, &["a", "one"]].concat();
    let summarized = |chat: ConversationManager| async move {
        let reply = chat.send("a").await;
        reply.is_ok_and(|reply| !reply.report.summaries.is_empty() && reply.report.plan.summary().is_some())
    };
    dropped_after_any_poll(build, |chat| Box::pin(summarized(chat)), &[&before, &after]);
}

#[test]
fn invariant_5_a_request_planned_again() {
    let long = "x".repeat(90);
    let build = || {
        let too_long = r#"{"error":{"type":"exceed_context_size_error","n_prompt_tokens":1900,"n_ctx":1000}}"#;
        let chat = builder(Scripted::default().and(BackendError::status(400, too_long)).and("one")).build().unwrap();
        for _ in 0..9 {
            chat.push(&*long).unwrap();
            chat.push(Message::assistant(&*long)).unwrap();
        }
        chat
    };
    let before = vec![&*long; 18];
    let after = [&*before, &["a", "one"]].concat();
    let allowed: &[&[&str]] = &[&before, &after];
    dropped_after_any_poll(build, |chat| Box::pin(async move { chat.send("a").await.is_ok() }), allowed);
    dropped_after_any_poll(build, |chat| Box::pin(async move { streamed(chat.send("a")).await }), allowed);
}

#[test]
fn invariant_5_autosave_of_a_stream() {
    let folder = tempfile::TempDir::new().unwrap();
    for polls in 1.. {
        let file = folder.path().join(format!("{polls}.json"));
        let chat = builder(Scripted::new(["one two"])).system("s").autosave(&file).build().unwrap();
        chat.save(&file).unwrap();
        let exchange = chat.send("a");
        let mut running: BoxFuture<'static, bool> = Box::pin(streamed(exchange));
        let done = (0..polls).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        });
        drop(running);
        let saved = Transcript::load(&file).unwrap().conversation.path().len();
        assert!(saved == 0 || saved == 2 && texts(&chat).len() == 3, "{saved}");
        if done {
            assert_eq!(saved, 2);
            return;
        }
    }
}

#[test]
fn a_conversation_goes_on_after_any_drop() {
    let script = Scripted::new(["one", "two"]);
    let chat = builder(script).build().unwrap();
    let mut send = chat.send("a").into_future();
    assert!(send.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(send);
    block_on(chat.send("a").into_future()).unwrap();
    assert_eq!(texts(&chat), ["a", "two"], "sent again, the message stands once");
}

/// How often each call was begun and ended, and which of them had an unknown outcome.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<BTreeMap<String, [usize; 3]>>>);

impl Counts {
    const BEGUN: usize = 0;
    const ENDED: usize = 1;
    const UNKNOWN: usize = 2;

    fn add(&self, call: &ToolCall, what: usize) {
        self.0.lock().unwrap().entry(call.id().unwrap_or_default().to_owned()).or_default()[what] += 1;
    }

    fn handler(&self) -> impl ToolHandler + use<> {
        let counts = self.clone();
        move |call: ToolCall| {
            let counts = counts.clone();
            async move {
                counts.add(&call, Self::BEGUN);
                // Calls end in another order than they began.
                for _ in 0..call.id().unwrap_or_default().bytes().map(usize::from).sum::<usize>() % 4 {
                    yield_now().await;
                }
                counts.add(&call, Self::ENDED);
                format!("r{}", call.id().unwrap_or_default())
            }
        }
    }

    /// Every call that has ended has its result, here or in the record.
    fn assert_kept(&self, chat: &ConversationManager) {
        let history = texts(chat);
        let open = chat.open_calls();
        for (id, [_, ended, _]) in &*self.0.lock().unwrap() {
            let has_result = open.iter().any(|open| open.call.id() == Some(id) && open.is_finished());
            assert_eq!(*ended > 0, has_result || history.contains(&format!("r{id}")), "the result of {id}");
        }
    }

    fn note_unknown(&self, chat: &ConversationManager) -> bool {
        let open = chat.open_calls();
        let unknown = open.iter().filter(|open| open.outcome == Outcome::Started);
        unknown.map(|open| self.add(&open.call, Self::UNKNOWN)).count() > 0
    }
}

/// Drops a loop after each number of polls, and what resumes it too, until it ends.
fn invariant_12_after_any_drop(parallel: usize, autosave: Option<&Path>) {
    let calls = |ids: [&str; 4]| ids.map(|id| ToolCall::function(id, "f", "{}"));
    let mut polls = 0;
    while polls < 5_000 {
        // With files fewer places are tried: most polls wait for the disk.
        polls += if autosave.is_some() { 1 + polls / 4 } else { 1 };
        let script = Scripted::default().and(calls(["a", "b", "c", "d"])).and(calls(["e", "f", "g", "h"])).and("done");
        let file = autosave.map(|folder| folder.join(format!("{parallel}-{polls}.json")));
        let build = builder(script.clone());
        let chat = match &file {
            Some(file) => build.autosave(file).build().unwrap(),
            None => build.build().unwrap(),
        };
        let counts = Counts::default();
        let mut drops = 0;
        loop {
            let tools = if chat.history().is_empty() {
                chat.run_tools("go", counts.handler())
            } else {
                chat.resume_tools(counts.handler())
            };
            let tools = if counts.note_unknown(&chat) { tools.rerun_unknown() } else { tools };
            let mut running = tools.parallel(std::num::NonZeroUsize::new(parallel).unwrap()).into_future();
            let most = if drops < 3 { polls } else { usize::MAX };
            let done = (0..most).find_map(|_| {
                if file.is_some() {
                    std::thread::sleep(std::time::Duration::from_micros(200));
                }
                match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(done) => Some(done),
                    Poll::Pending => None,
                }
            });
            drop(running);
            counts.assert_kept(&chat);
            if let Some(done) = done {
                match done {
                    Ok(reply) => assert_eq!(reply.text(), "done"),
                    // The answer was recorded before the drop.
                    Err(error) if error.kind() == ErrorKind::NothingToResume => {
                        assert_eq!(texts(&chat).last().map(|last| &**last), Some("done"));
                    }
                    // A drop took a reply of the script with it.
                    Err(error) => assert_eq!(error.kind(), ErrorKind::NoBackend, "{error}"),
                }
                break;
            }
            drops += 1;
        }
        for (id, [begun, _, unknown]) in &*counts.0.lock().unwrap() {
            assert!(*begun <= 1 + unknown, "{id} was begun {begun} times and unknown {unknown} times; {polls} polls");
        }
        if drops == 0 {
            assert!(counts.0.lock().unwrap().len() == 8 && texts(&chat).len() == 12);
            return;
        }
    }
    panic!("it never completes");
}

#[test]
fn invariant_12_no_call_that_has_ended_runs_again_after_any_drop() {
    for parallel in [1, 2, 9] {
        invariant_12_after_any_drop(parallel, None);
    }
}

#[test]
fn invariant_12_with_autosave() {
    let folder = tempfile::TempDir::new().unwrap();
    invariant_12_after_any_drop(2, Some(folder.path()));
}
