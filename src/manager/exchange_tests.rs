//! What may be sent, what happens to unusable replies, and what may happen at the same time.

use std::error::Error as _;
use std::future::IntoFuture;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;

use super::queue::BusyGuard;
use super::*;
use crate::backend::{Attempt, BackendError, ChatBackend, ChatReply, Dialect, FinishReason, Scripted, Usage};
use crate::budget::TokenBudget;
use crate::error::{Error, ErrorKind};
use crate::json::RawJson;
use crate::message::{Message, ToolCall};
use crate::tokens::CounterFn;

fn builder(backend: impl ChatBackend + 'static) -> Builder {
    ConversationManager::builder("test-model")
        .backend(backend)
        .budget(TokenBudget::limit(10_000))
        .counter(CounterFn::new("bytes", |text| text.len() as u64))
}

fn chat(script: &Scripted) -> ConversationManager {
    builder(script.clone()).build().unwrap()
}

fn call(id: &str) -> ToolCall {
    ToolCall::function(id, "weather", "{}")
}

fn texts(manager: &ConversationManager) -> Vec<String> {
    manager.history().iter().map(|message| message.text().into_owned()).collect()
}

/// Refused before anything is sent, by the send and by its dry run.
fn refused(chat: &ConversationManager, script: &Scripted, exchange: impl Fn() -> Exchange) -> Error {
    let (before, sent) = (chat.snapshot(), script.requests().len());
    let dry = exchange().plan().unwrap_err();
    let error = block_on(exchange().into_future()).unwrap_err();
    assert_eq!(dry.to_string(), error.to_string());
    assert_eq!(script.requests().len(), sent);
    assert!(chat.snapshot().items().eq(before.items()));
    error
}

#[test]
fn a_send_that_takes_the_turn_of_a_change_keeps_it_out() {
    let script = Scripted::new(["one"]);
    let chat = chat(&script);
    let alone = BusyGuard::begin_change(&chat.shared).unwrap();
    let turn = chat.shared.queue.try_acquire().unwrap();
    assert_eq!(chat.change_alone(|record| Ok(record.push("lost"))).unwrap_err().kind(), ErrorKind::Busy);
    drop((turn, alone));
    chat.push("kept").unwrap();
}

#[test]
fn changes_and_sends_of_two_threads_lose_nothing_that_was_accepted() {
    const ROUNDS: usize = 300;
    let script = Scripted::new(["answer"; ROUNDS]);
    let chat = builder(script).budget(TokenBudget::limit(200)).build().unwrap();
    let start = Barrier::new(2);
    let accepted: usize = thread::scope(|scope| {
        let pushes = scope.spawn(|| {
            start.wait();
            (0..10 * ROUNDS).filter(|_| chat.push(Message::assistant("pushed")).is_ok()).count()
        });
        let sends = scope.spawn(|| {
            start.wait();
            (0..ROUNDS).filter(|_| block_on(chat.send("asked").into_future()).is_ok()).count()
        });
        let sent = sends.join().unwrap();
        assert_eq!(sent, ROUNDS, "a send waits for its turn");
        pushes.join().unwrap() + 2 * sent
    });
    assert_eq!(chat.history().len(), accepted);
}

#[test]
fn a_result_that_would_not_be_sent_is_refused() {
    let script = Scripted::default().and([call("a"), call("b")]).and("It rains in both.");
    let chat = chat(&script);
    let error = refused(&chat, &script, || chat.send(Message::tool("nope", "x")));
    assert_eq!(error.kind(), ErrorKind::UnknownCall);
    assert!(error.to_string().contains("there is no open call for the result of `nope`"), "{error}");

    block_on(chat.send("weather?").into_future()).unwrap();
    let error = refused(&chat, &script, || chat.send(Message::tool("a", "rain")));
    assert_eq!(error.kind(), ErrorKind::UnansweredCalls);
    assert!(error.to_string().contains("1 call without a result: `b` (weather)"), "{error}");
    let error = refused(&chat, &script, || chat.send(Message::tool("c", "rain")));
    assert!(error.to_string().contains("open: `a` (weather), `b` (weather)"), "{error}");

    chat.push(Message::tool("a", "rain")).unwrap();
    block_on(chat.send(Message::tool("b", "rain")).into_future()).unwrap();
    assert_eq!(script.requests()[1].messages, chat.history()[..4]);
}

#[test]
fn a_question_while_calls_are_open_is_refused_and_names_them() {
    let script = Scripted::default().and([call("a"), call("b")]).and("It rains.");
    let chat = chat(&script);
    block_on(chat.send("weather?").into_future()).unwrap();
    chat.push(Message::tool("a", "rain")).unwrap();
    for exchange in [|chat: &ConversationManager| chat.send("and now?"), |chat: &ConversationManager| chat.reply()] {
        let error = refused(&chat, &script, || exchange(&chat));
        assert_eq!(error.kind(), ErrorKind::UnansweredCalls);
        assert!(error.to_string().contains("`b`") && !error.to_string().contains("`a`"), "{error}");
    }
    chat.push(Message::tool("b", "rain")).unwrap();
    let reply = block_on(chat.reply().into_future()).unwrap();
    assert_eq!(texts(&chat), ["weather?", "", "rain", "rain", "It rains."]);
    assert_eq!(chat.snapshot().get(reply.asked).unwrap().message().tool_call_id(), Some("b"));
}

#[test]
fn calls_are_not_sent_without_results_and_the_deprecated_ones_are_answered_by_name() {
    let script = Scripted::new(["It rains."]);
    let chat = chat(&script);
    let error = refused(&chat, &script, || chat.send(Message::calls([call("a")])));
    assert_eq!(error.kind(), ErrorKind::InvalidMessage);
    chat.push("weather?").unwrap();
    let calls = r#"{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}"#;
    chat.push(Message::from_json(calls).unwrap()).unwrap();
    assert_eq!(refused(&chat, &script, || chat.send(Message::tool("f", "x"))).kind(), ErrorKind::UnknownCall);
    assert!(refused(&chat, &script, || chat.send("x")).to_string().contains("without a result: f;"));
    block_on(chat.send(Message::new("function", "rain").with_name("f")).into_future()).unwrap();
}

#[test]
fn a_reply_is_asked_for_without_a_new_message() {
    let script = Scripted::new(["one"]);
    let chat = chat(&script);
    assert_eq!(refused(&chat, &script, || chat.reply()).kind(), ErrorKind::InvalidMessage, "nothing to send");
    chat.push("a").unwrap();
    let reply = block_on(chat.reply().temperature(0.5).into_future()).unwrap();
    assert_eq!((texts(&chat), reply.asked), (vec!["a".to_owned(), "one".to_owned()], ItemId::from_index(0)));
    chat.push(Message::tool("nope", "x")).unwrap();
    assert_eq!(refused(&chat, &script, || chat.reply()).kind(), ErrorKind::InvalidMessage);
}

#[test]
fn context_holds_no_calls_and_no_results() {
    let script = Scripted::default();
    let chat = chat(&script);
    for message in [Message::tool("a", "x"), Message::new("function", "x"), Message::calls([call("a")])] {
        let error = refused(&chat, &script, || chat.send("b").context(message.clone()));
        assert_eq!(error.kind(), ErrorKind::InvalidMessage);
    }
}

#[test]
fn an_empty_reply_says_how_it_ended_and_what_was_billed() {
    let cut = |usage| ChatReply::new(Message::assistant("")).finish(FinishReason::Length).usage(usage);
    let reasoning = serde_json::json!({"prompt_tokens": 9, "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 48}});
    let script = Scripted::default()
        .and(cut(Usage::new(9, 50)))
        .and(cut(serde_json::from_value(reasoning).unwrap()))
        .and("")
        .and(Message::user("x"));
    let chat = chat(&script);
    for expected in [
        "malformed answer: empty reply: stopped at its largest size (50 tokens)",
        "malformed answer: empty reply: stopped at its largest size (50 tokens, 48 of them reasoning)",
        "malformed answer: empty reply: it has no text, calls or refusal",
        "malformed answer: the reply is not an assistant's message",
    ] {
        assert_eq!(block_on(chat.send("a").into_future()).unwrap_err().to_string(), expected);
    }
}

#[test]
fn an_attempt_is_entered_where_a_backend_names_none() {
    let named = ChatReply::new(Message::assistant("two")).attempts(vec![Attempt::new(Some(500), Duration::ZERO); 2]);
    let script = Scripted::new(["one"]).and(named.raw(RawJson::from(7))).and(BackendError::status(503, ""));
    let chat = chat(&script);
    let reply = block_on(chat.send("a").into_future()).unwrap();
    assert_eq!(reply.report.attempts.len(), 1);
    assert!(reply.report.attempts[0].elapsed <= reply.report.elapsed);
    let reply = block_on(chat.send("b").into_future()).unwrap();
    assert_eq!((reply.report.attempts.len(), reply.raw.unwrap().as_str()), (2, "7"));
    let error = block_on(chat.send("c").into_future()).unwrap_err();
    assert_eq!(error.failed_exchange().unwrap().attempts()[0].status, Some(503));
    let error = block_on(chat.send("c").into_future()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoBackend);
    assert!(error.failed_exchange().unwrap().attempts().is_empty(), "nothing was asked");
}

#[test]
fn the_causes_of_an_error_say_each_thing_once() {
    let cause = std::io::Error::other("the cable is cut");
    let script = Scripted::default().and(BackendError::unavailable("no way there").with_source(cause));
    let error = block_on(chat(&script).send("a").into_future()).unwrap_err();
    let mut said = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(one) = cause {
        said.push(one.to_string());
        cause = one.source();
    }
    assert_eq!(said, ["unavailable: no way there", "a failed exchange with 1 message", "the cable is cut"]);
}

#[test]
fn the_two_names_of_the_longest_reply_are_one_parameter() {
    let script = Scripted::new(["one", "two", "three", "four"]);
    let window = TokenBudget::window(1_000);
    let old = builder(script.clone()).budget(window.clone()).param("max_tokens", 300).temperature(0.5).build().unwrap();
    let reserved = builder(script.clone()).budget(window.reply_reserve(200)).build().unwrap();
    let unsaid = || RawJson::new("null").unwrap();
    let own = builder(script.clone()).budget(TokenBudget::window(1_000).reply_reserve(200));
    let own = own.param("max_completion_tokens", unsaid()).build().unwrap();
    block_on(async {
        let reply = old.send("a").max_completion_tokens(50).await.unwrap();
        assert_eq!(reply.report.plan.budget().limit, 950);
        reserved.send("a").param("max_tokens", 100).await.unwrap();
        reserved.send("b").param("max_completion_tokens", unsaid()).await.unwrap();
        own.send("a").await.unwrap();
    });
    let sent: Vec<_> =
        script.requests().iter().map(|request| serde_json::to_string(&request.params).unwrap()).collect();
    assert_eq!(
        sent,
        [
            r#"{"max_completion_tokens":50,"temperature":0.5}"#,
            r#"{"max_tokens":100}"#,
            r#"{"max_completion_tokens":null}"#,
            r#"{"max_completion_tokens":null}"#
        ]
    );
}

#[test]
fn a_conversation_in_a_file_is_not_replaced_by_a_new_one() {
    let folder = tempfile::TempDir::new().unwrap();
    let (file, other) = (folder.path().join("chat.json"), folder.path().join("other.json"));
    let setup = || builder(Scripted::new(["one", "two"]));
    for turns in 1..=2 {
        let chat = setup().resume(&file).unwrap();
        assert!(block_on(chat.send("a").into_future()).unwrap().report.unsaved.is_none());
        assert_eq!(chat.turn_count(), turns);
    }
    let error = setup().autosave(&file).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("`load` or `resume`"), "{error}");
    setup().autosave(&file).load(folder.path().join(".").join("chat.json")).unwrap();
    std::fs::copy(&file, &other).unwrap();
    assert!(setup().autosave(&file).load(&other).is_err());
    std::fs::write(&other, "").unwrap();
    setup().resume(&other).unwrap();
    std::fs::write(&other, "{").unwrap();
    assert_eq!(setup().resume(&other).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn a_plan_beside_another_one_is_the_same_and_leaves_what_is_kept() {
    let chat = chat(&Scripted::default());
    for n in 0..20 {
        chat.push(format!("message {n}")).unwrap();
    }
    let alone = chat.plan("x").unwrap();
    let known = chat.count_tokens();
    let cache = chat.shared.cache.lock().unwrap();
    chat.push("new").unwrap();
    let before = chat.transcript().to_json();
    assert_eq!(chat.plan("x").unwrap().messages().len(), alone.messages().len() + 1);
    assert_eq!(chat.count_tokens(), known + 7);
    assert_eq!(chat.transcript().to_json(), before, "what the second one counts is not kept");
    drop(cache);
    chat.count_tokens();
    assert_ne!(chat.transcript().to_json(), before);
}

#[test]
fn nothing_is_shared_when_a_moved_message_changes() {
    let dialect = Dialect::default().single_system();
    for head in [&["system"][..], &[]] {
        let mut setup = builder(Scripted::default()).dialect(dialect.clone());
        for text in head {
            setup = setup.system(*text);
        }
        let chat = setup.build().unwrap();
        chat.push("a").unwrap();
        chat.push(Message::assistant("b")).unwrap();
        let plan = |note: &str| chat.send("c").context(Message::system(note)).plan().unwrap();
        assert_eq!(plan("Monday").prefix_shared_with(&plan("Tuesday")), 0);
        assert!(plan("Monday").prefix_shared_with(&plan("Monday")) > 0);
        let first = plan("Monday");
        chat.push("c").unwrap();
        chat.push(Message::assistant("long ".repeat(20))).unwrap();
        let both = first.tokens().head + 2 * 5;
        assert_eq!(plan("Monday").prefix_shared_with(&first), both, "what stands before the note in the record");
    }
}

#[test]
fn values_texts_and_contents_are_taken_as_they_come() {
    let prompt = String::from("s");
    let boxed: Box<dyn ChatBackend> = Box::new(Scripted::new([String::from("one")]));
    let chat = builder(boxed).system(&prompt).stop("END").param("top_p", 0.5).param("user", "me").build().unwrap();
    assert_eq!((chat.model().name.as_str(), chat.tools().len()), ("test-model", 0));
    let request = chat.send("a").param("seed", 7).dry_run().unwrap();
    let params = serde_json::to_string(&request.params).unwrap();
    assert_eq!(params, r#"{"stop":"END","top_p":0.5,"user":"me","seed":7}"#);
    assert_eq!(block_on(chat.send(&prompt).into_future()).unwrap().text(), "one");
}
