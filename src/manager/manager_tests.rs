use std::future::IntoFuture;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_lite::future::block_on;

use super::*;
use crate::backend::{BackendError, BoxFuture, ChatBackend, ChatReply, FinishReason, Scripted, Usage};
use crate::budget::TokenBudget;
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind, OverPart};
use crate::message::{Message, Role, ToolCall};
use crate::request::ChatRequest;
use crate::strategy::SlidingWindow;
use crate::tokens::{Calibration, CounterFn};

fn builder(backend: impl ChatBackend + 'static) -> Builder {
    ConversationManager::builder("test-model")
        .backend(backend)
        .budget(TokenBudget::limit(1_000))
        .counter(CounterFn::new("bytes", |text| text.len() as u64))
}

fn chat(texts: &[&'static str]) -> (ConversationManager, Scripted) {
    let script = Scripted::new(texts.iter().copied());
    (builder(script.clone()).system("system").build().unwrap(), script)
}

fn texts(manager: &ConversationManager) -> Vec<String> {
    manager.history().iter().map(|message| message.text().into_owned()).collect()
}

fn saved(manager: &ConversationManager) -> String {
    manager.transcript().to_json()
}

/// Answers after this many polls, for which it is pending.
#[derive(Clone)]
struct Slow(usize);

impl ChatBackend for Slow {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let mut left = self.0;
        Box::pin(std::future::poll_fn(move |context| {
            if let Some(less) = left.checked_sub(1) {
                left = less;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let asked = request.messages.last().map(|message| message.text().into_owned()).unwrap_or_default();
            Poll::Ready(Ok(ChatReply::new(Message::assistant(format!("re: {asked}")))))
        }))
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn handles_futures_and_errors_go_to_other_threads() {
    fn is_send<T: Send + 'static>() {}
    fn is_sync<T: Sync>() {}
    is_send::<ConversationManager>();
    is_sync::<ConversationManager>();
    is_send::<Builder>();
    is_sync::<Builder>();
    is_send::<Exchange>();
    is_send::<<Exchange as IntoFuture>::IntoFuture>();
    is_send::<Reply>();
    is_sync::<Reply>();
    is_send::<Error>();
    is_sync::<Error>();
}

#[test]
fn the_second_request_begins_with_the_first() {
    let (chat, script) = chat(&["one", "two"]);
    block_on(async {
        assert_eq!(chat.send("a").await.unwrap().text(), "one");
        assert_eq!(chat.send("b").await.unwrap().to_string(), "two");
    });
    let requests = script.requests();
    assert!(requests[1].messages.starts_with(&requests[0].messages));
    assert_eq!(texts(&chat), ["system", "a", "one", "b", "two"]);
    assert_eq!(chat.turn_count(), 2);
    assert_eq!(requests[0].model.as_deref(), Some("test-model"));
}

#[test]
fn the_dry_run_is_what_is_sent() {
    let (chat, script) = chat(&["one", "two"]);
    block_on(async { chat.send("a").await.unwrap() });
    // Counts that a plan makes are kept: made before, they do not show as a change.
    chat.count_tokens();
    let before = saved(&chat);
    let exchange = || chat.send("b").context(Message::system("today is Monday")).param("seed", serde_json::json!(7));
    let plan = exchange().plan().unwrap();
    assert_eq!(saved(&chat), before);
    block_on(async { exchange().await.unwrap() });
    let sent = &script.requests()[1];
    assert_eq!(sent.messages, plan.messages());
    assert_eq!(sent, &plan.request());
    assert_eq!(sent.params.get("seed").unwrap().as_str(), "7");
}

#[test]
fn context_stands_before_the_question_and_is_never_recorded() {
    let (chat, script) = chat(&["one", "two"]);
    let reply = block_on(async { chat.send("a").context(Message::system("found: x")).await.unwrap() });
    let sent: Vec<String> = script.requests()[0].messages.iter().map(|message| message.text().into_owned()).collect();
    assert_eq!(sent, ["system", "found: x", "a"]);
    assert_eq!(texts(&chat), ["system", "a", "one"]);
    let tokens = reply.report.plan.tokens();
    assert_eq!((tokens.context, tokens.total()), (12, 10 + 12 + 5 + 3));
    assert!(reply.report.plan.explain().to_string().contains("+ 12 for context"));
    let again = block_on(async { chat.send("b").await.unwrap() });
    assert_eq!(again.report.plan.prefix_shared_with(&reply.report.plan), 10, "what stood behind the context moved");
}

#[test]
fn invariant_5_a_failed_exchange_changes_nothing_and_says_what_was_sent() {
    let (chat, script) = chat(&["one"]);
    script.then(BackendError::status(429, r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#));
    script.then("");
    block_on(async {
        chat.send("a").await.unwrap();
        // Counts are kept: they are true whatever became of the exchange.
        chat.plan("b").unwrap();
        let before = chat.snapshot();
        for (kind, retryable) in
            [(ErrorKind::RateLimited, true), (ErrorKind::Malformed, false), (ErrorKind::NoBackend, false)]
        {
            let error = chat.send("b").await.unwrap_err();
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable));
            assert_eq!(error.failed_exchange().unwrap().request.messages.len(), 4);
            assert!(
                !format!("{error:?} {:?}", error.failed_exchange()).contains("slow down"),
                "no log has a word of the server"
            );
            assert!(chat.snapshot().items().eq(before.items()));
        }
    });
    assert_eq!(texts(&chat), ["system", "a", "one"]);
    script.then("two");
    block_on(async { chat.send("b").await.unwrap() });
    assert_eq!(texts(&chat), ["system", "a", "one", "b", "two"], "the message stands once");
}

#[test]
fn invariant_5_a_send_dropped_after_any_poll_leaves_the_record_before_or_the_committed_one() {
    let mut outcomes = [0, 0];
    for polls in 1.. {
        let chat = builder(Slow(3)).system("system").build().unwrap();
        chat.push("before").unwrap();
        let mut send = chat.send("a").into_future();
        let done = (0..polls).any(|_| poll(send.as_mut()).is_ready());
        drop(send);
        let recorded = texts(&chat);
        match recorded.len() {
            2 => outcomes[0] += 1,
            _ => outcomes[1] += 1,
        }
        assert!(recorded == ["system", "before"] || recorded == ["system", "before", "a", "re: a"], "{recorded:?}");
        chat.push("after").unwrap();
        if done {
            break;
        }
    }
    assert!(outcomes[0] >= 3 && outcomes[1] == 1, "{outcomes:?}");
}

#[test]
fn sends_keep_the_order_of_their_first_polls() {
    let chat = builder(Slow(2)).build().unwrap();
    let (mut first, mut second) = (chat.send("first").into_future(), chat.clone().send("second").into_future());
    assert!(poll(first.as_mut()).is_pending());
    for _ in 0..5 {
        assert!(poll(second.as_mut()).is_pending(), "it waits for the first");
    }
    block_on(async {
        first.await.unwrap();
        second.await.unwrap();
    });
    assert_eq!(texts(&chat), ["first", "re: first", "second", "re: second"]);
}

#[test]
fn the_record_cannot_be_changed_while_a_send_is_under_way_and_can_be_read() {
    let chat = builder(Slow(1)).system("system").build().unwrap();
    let mut send = pin!(chat.send("a").into_future());
    assert!(poll(send.as_mut()).is_pending());
    let busy = [
        chat.push("x").map(drop),
        chat.undo().map(drop),
        chat.clear(),
        chat.set_system("x"),
        chat.edit_record(|_| Ok(())),
    ];
    assert!(busy.iter().all(|refused| refused.as_ref().unwrap_err().kind() == ErrorKind::Busy));
    assert_eq!((texts(&chat), chat.turn_count()), (vec!["system".to_owned()], 0));
    chat.plan("b").unwrap();
    block_on(send).unwrap();
    chat.push("x").unwrap();
}

#[test]
fn a_change_that_fails_changes_nothing() {
    let (chat, _) = chat(&[]);
    chat.push("a").unwrap();
    let before = saved(&chat);
    let failed = chat.edit_record(|record| {
        record.push("b");
        record.switch(ItemId::from_index(99))
    });
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(saved(&chat), before);
}

#[test]
fn a_fork_is_another_conversation_and_a_clone_the_same() {
    let (chat, script) = chat(&["one", "two", "three"]);
    let first = block_on(async { chat.send("a").await.unwrap() });
    let fork = chat.fork(first.item_id).unwrap();
    block_on(async {
        fork.send("b").await.unwrap();
        chat.clone().send("c").await.unwrap();
    });
    assert_eq!(texts(&fork), ["system", "a", "one", "b", "two"]);
    assert_eq!(texts(&chat), ["system", "a", "one", "c", "three"]);
    assert_eq!(script.requests().len(), 3);
}

#[test]
fn a_long_conversation_is_trimmed_and_kept_whole() {
    let script = Scripted::new(["answer"; 40]);
    let setup = builder(script.clone()).system("system").budget(TokenBudget::limit(100));
    let chat = setup.strategy(SlidingWindow::tokens()).build().unwrap();
    block_on(async {
        for number in 0..40 {
            let reply = chat.send(format!("question {number:02}")).await.unwrap();
            assert!(reply.report.plan.tokens().total() <= 100);
        }
    });
    assert_eq!(chat.history().len(), 81);
    assert!(script.requests().iter().all(|request| *request.messages[0].role() == Role::System));
    assert!(script.requests()[39].messages.len() < 10);
    assert_eq!(chat.count_tokens(), 10 + 40 * (15 + 10) + 3);
}

#[test]
fn replies_that_end_early_are_recorded_and_flagged() {
    let script = Scripted::default();
    let cut = |finish| Ok(ChatReply::new(Message::assistant("so far")).finish(finish).usage(Usage::new(9, 2)));
    script.then(cut(FinishReason::Length)).then(cut(FinishReason::Other("eos".into())));
    script.then([ToolCall::function("c", "f", "{}")]);
    let chat = builder(script).build().unwrap();
    block_on(async {
        let reply = chat.send("a").await.unwrap();
        assert!(reply.is_cut_off() && reply.usage == Some(Usage::new(9, 2)));
        assert!(!chat.send("b").await.unwrap().is_cut_off());
        assert_eq!(chat.send("c").await.unwrap().tool_calls()[0].name(), "f");
    });
}

#[test]
fn structured_output_is_parsed() {
    #[derive(serde::Deserialize, PartialEq, Debug)]
    struct Answer {
        number: u32,
    }
    let (chat, _) = chat(&[r#"{"number": 42}"#]);
    let reply = block_on(async { chat.send("a").await.unwrap() });
    assert_eq!(reply.parse::<Answer>().unwrap(), Answer { number: 42 });
    assert!(reply.parse::<u32>().is_err());
}

#[test]
fn parameters_that_the_manager_sets_itself_are_refused() {
    for (name, value) in [("n", "2"), ("stream", "true"), ("model", "\"x\""), ("messages", "[]")] {
        let value = crate::json::RawJson::new(value).unwrap();
        let error = builder(Scripted::default()).param(name, value.clone()).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidParam);
        assert!(error.to_string().contains(name), "{error}");
        let (chat, script) = chat(&["one"]);
        assert!(block_on(async { chat.send("a").param(name, value).await }).is_err());
        assert!(script.requests().is_empty());
    }
}

#[test]
fn a_model_without_a_window_fails_when_it_is_built_and_a_missing_backend_when_it_is_asked() {
    let error = ConversationManager::builder("no-such-model").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownModel);
    assert!(error.to_string().contains(".budget(TokenBudget::limit(TOKENS))"), "the builder has a budget: {error}");
    let elsewhere = TokenBudget::for_model("no-such-model").unwrap_err().to_string();
    assert!(elsewhere.contains("(`TokenBudget::limit`)") && !elsewhere.contains("builder"), "{elsewhere}");
    // Outside of a runtime nothing is asked, whatever the environment names.
    let chat = ConversationManager::builder("gpt-4o").build().unwrap();
    chat.plan("a").unwrap();
    let error = block_on(async { chat.send("a").await }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoBackend);
}

#[test]
fn it_saves_itself_and_goes_on_from_the_file() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("chat.json");
    let setup = |texts: [&'static str; 1]| builder(Scripted::new(texts)).system("system");
    let first = setup(["one"]).autosave(&path).build().unwrap();
    let reply = block_on(async { first.send("a").await.unwrap() });
    assert!(reply.report.unsaved.is_none());
    drop(first);
    let again = setup(["two"]).load(&path).unwrap();
    assert_eq!(texts(&again), ["system", "a", "one"]);
    block_on(async { again.send("b").await.unwrap() });
    again.save(&path).unwrap();
    assert_eq!(texts(&setup(["x"]).load(&path).unwrap()), ["system", "a", "one", "b", "two"]);
}

#[test]
fn an_exchange_that_cannot_be_saved_is_recorded_and_says_so() {
    let folder = tempfile::TempDir::new().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let chat = builder(Scripted::new(["one"])).autosave(inner.join("chat.json")).build().unwrap();
    std::fs::remove_dir_all(&inner).unwrap();
    let reply = block_on(async { chat.send("a").await.unwrap() });
    assert!(reply.report.unsaved.unwrap().to_string().contains("its folder does not exist"));
    assert_eq!(texts(&chat), ["a", "one"]);
}

#[test]
fn a_template_makes_many_conversations() {
    let script = Scripted::new(["one", "two"]);
    let template = builder(script.clone()).system("system");
    let (left, right) = (template.clone().build().unwrap(), template.build().unwrap());
    block_on(async {
        left.send("a").await.unwrap();
        right.send("b").await.unwrap();
    });
    assert_eq!(texts(&left), ["system", "a", "one"]);
    assert_eq!(texts(&right), ["system", "b", "two"]);
    assert_ne!(left.snapshot().id(), right.snapshot().id());
}

/// A scripted backend at an address.
struct At(&'static str, Scripted);

impl ChatBackend for At {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        self.1.complete(request)
    }

    fn server(&self) -> &str {
        self.0
    }
}

#[test]
fn a_server_that_is_known_by_its_address_gets_its_preset_unless_another_dialect_is_set_or_saved() {
    let at = |url| ConversationManager::builder("gpt-4o").backend(At(url, Scripted::default())).developer("a");
    let role = |setup: Builder| {
        let plan = setup.build().unwrap().plan("x").unwrap();
        (plan.messages()[0].role().as_str().to_owned(), plan.explain().to_string().contains("dialect "))
    };
    let known = |role: &str, is_explained| (role.to_owned(), is_explained);
    let deepseek = "https://api.deepseek.com/v1";
    assert_eq!(role(at(deepseek)), known("system", true));
    assert_eq!(role(at("http://localhost:11434/v1")), known("system", true));
    for unknown in ["https://api.openai.com/v1", "http://localhost:8000/v1", ""] {
        assert_eq!(role(at(unknown)), known("developer", false), "{unknown}");
    }
    assert_eq!(role(at(deepseek).dialect(Dialect::default())), known("developer", false));

    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    at(deepseek).resume(&file).unwrap();
    assert!(!std::fs::read_to_string(&file).unwrap().contains("dialect"), "it belongs to the server, not to the file");
    let (file, saved) = (folder.path().join("other.json"), Dialect::default().single_system());
    at(deepseek).dialect(saved.clone()).resume(&file).unwrap();
    let plan = at(deepseek).resume(&file).unwrap().plan("x").unwrap();
    assert_eq!((plan.dialect(), plan.messages()[0].role()), (&saved, &Role::Developer));
}

#[test]
fn the_plan_shows_what_the_server_gets() {
    let script = Scripted::new(["one"]);
    let dialect = crate::backend::Dialect::default().single_system();
    let chat = builder(script.clone()).dialect(dialect).system("a").developer("b").build().unwrap();
    chat.push(Message::from_json(r#"{"role":"user","content":"x","vendor":1}"#).unwrap()).unwrap();
    let plan = chat.plan("y").unwrap();
    let reply = block_on(async { chat.send("y").await.unwrap() });
    assert_eq!(script.requests()[0].messages, plan.messages());
    assert_eq!(plan.messages()[0].text(), "a\n\nb");
    assert_eq!(plan.messages()[1], Message::user("x"));
    assert_eq!(chat.history()[2].get("vendor").unwrap().as_str(), "1");
    assert_eq!(chat.snapshot().get(reply.asked).unwrap().message().text(), "y");
}

#[test]
fn a_send_dropped_while_it_saves_does_not_put_an_older_file_over_a_newer_one() {
    let folder = tempfile::TempDir::new().unwrap();
    for round in 0..20 {
        let path = folder.path().join(format!("{round}.json"));
        let chat = builder(Scripted::new(["one", "two"])).autosave(&path).build().unwrap();
        let mut first = chat.send("a").into_future();
        while chat.history().is_empty() {
            let _ = poll(first.as_mut());
        }
        drop(first);
        block_on(async { chat.send("b").await.unwrap() });
        let saved = Transcript::load(&path).unwrap();
        assert_eq!(saved.conversation.path().len(), 4);
        // A save that was overtaken may still come, and writes what is newest too.
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert_eq!(Transcript::load(&path).unwrap().conversation.path().len(), 4);
    }
}

#[test]
fn a_change_may_look_at_the_conversation_that_it_changes() {
    let (chat, _) = chat(&[]);
    let seen = chat.edit_record(|record| {
        record.push("a");
        Ok(chat.history().len())
    });
    assert_eq!((seen.unwrap(), chat.history().len()), (1, 2));
}

#[test]
fn a_reply_that_nobody_but_the_model_can_give_is_refused() {
    let script = Scripted::default();
    script.then(Message::user("I am not the model"));
    let chat = builder(script).build().unwrap();
    assert_eq!(block_on(async { chat.send("a").await }).unwrap_err().kind(), ErrorKind::Malformed);
    assert!(chat.history().is_empty());
}

#[test]
fn a_dry_run_refuses_what_a_send_refuses() {
    let (chat, _) = chat(&["one"]);
    assert!(chat.send("a").param("n", serde_json::json!(2)).plan().is_err());
    assert!(chat.send("a").param("stream", serde_json::json!(true)).dry_run().is_err());
}

#[test]
fn a_send_that_begins_during_a_change_finds_the_record_changed() {
    let chat = builder(Slow(0)).build().unwrap();
    let mut send = chat.send("a").into_future();
    chat.edit_record(|record| {
        assert!(poll(send.as_mut()).is_pending());
        record.push("changed");
        Ok(())
    })
    .unwrap();
    block_on(send).unwrap();
    assert_eq!(texts(&chat), ["changed", "a", "re: a"]);
}

#[test]
fn the_reserve_and_the_longest_reply_are_one_number() {
    let script = Scripted::new(["one", "two", "three"]);
    let setup = |budget| builder(script.clone()).budget(budget);
    let longest = |number: usize| script.requests()[number].params.max_completion_tokens();
    let window = || TokenBudget::window(1_000);

    let follows = setup(window()).max_completion_tokens(300).build().unwrap();
    assert_eq!(follows.plan("a").unwrap().budget().limit, 700);
    let longer = follows.send("a").max_completion_tokens(500);
    assert_eq!(block_on(async { longer.await.unwrap() }).report.plan.budget().limit, 500);
    assert_eq!(longest(0), Some(500));

    let stated = setup(window().reply_reserve(200)).build().unwrap();
    block_on(async { stated.send("a").await.unwrap() });
    assert_eq!(longest(1), Some(200));
    let error = stated.send("b").max_completion_tokens(201).plan().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidBudget);
    assert!(error.to_string().contains("201") && error.to_string().contains("200"), "{error}");

    let neither = setup(window()).build().unwrap();
    assert_eq!(block_on(async { neither.send("a").await.unwrap() }).report.plan.budget().limit, 750);
    assert_eq!(longest(2), None);
    let limit = setup(TokenBudget::limit(1_000)).max_completion_tokens(300).build().unwrap();
    assert_eq!(limit.plan("a").unwrap().budget().limit, 1_000, "a limit is the prompt's alone");
}

#[test]
fn parameters_of_the_builder_are_sent_with_each_request_and_replaced_by_those_of_a_send() {
    let script = Scripted::new(["one", "two"]);
    let chat = builder(script.clone()).temperature(0.5).seed(1).stop(["x"]).build().unwrap();
    block_on(async {
        chat.send("a").await.unwrap();
        chat.send("b").seed(2).reasoning_effort("low").await.unwrap();
    });
    let sent = script.requests().iter().map(|request| serde_json::to_string(request).unwrap()).collect::<Vec<_>>();
    assert!(sent[0].ends_with(r#""temperature":0.5,"seed":1,"stop":["x"]}"#), "{}", sent[0]);
    assert!(sent[1].ends_with(r#""temperature":0.5,"seed":2,"stop":["x"],"reasoning_effort":"low"}"#), "{}", sent[1]);
}

#[test]
fn invariant_5_a_send_dropped_while_it_saves_leaves_the_file_before_or_the_committed_one() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut is_saved = [false; 2];
    for polls in 1.. {
        let path = folder.path().join(format!("{polls}.json"));
        let chat = builder(Slow(2)).system("system").autosave(&path).build().unwrap();
        chat.push("before").unwrap();
        chat.save(&path).unwrap();
        let mut send = chat.send("a").into_future();
        let done = (0..polls).any(|_| {
            // The thread that saves has its time between polls.
            std::thread::sleep(std::time::Duration::from_millis(2));
            poll(send.as_mut()).is_ready()
        });
        drop(send);
        let kept = Transcript::load(&path).unwrap().conversation.path().len();
        assert!(kept == 1 || kept == 3 && texts(&chat).len() == 4, "{kept}");
        is_saved[usize::from(kept == 3)] = true;
        if done {
            break;
        }
    }
    assert_eq!(is_saved, [true; 2]);
}

#[test]
fn what_is_fitted_to_a_server_is_an_estimate() {
    let chat = |dialect| builder(Scripted::default()).dialect(dialect).system("a").developer("b").build().unwrap();
    let dialect = crate::backend::Dialect::default();
    assert!(!chat(dialect.clone()).plan("x").unwrap().tokens().estimated);
    assert!(chat(dialect.single_system()).plan("x").unwrap().tokens().estimated);
}

#[test]
fn fields_that_are_sent_are_counted() {
    let chat = |dialect| builder(Scripted::default()).dialect(dialect).build().unwrap();
    let thought = format!(r#"{{"role":"assistant","content":"x","reasoning_content":"{}"}}"#, "r".repeat(5_000));
    let plan = |dialect: crate::backend::Dialect| {
        let chat = chat(dialect);
        chat.push("a").unwrap();
        chat.push(Message::from_json(&thought).unwrap()).unwrap();
        chat.plan("b").unwrap()
    };
    let dialect = crate::backend::Dialect::default();
    assert_eq!((plan(dialect.clone()).messages().len(), plan(dialect.clone()).tokens().estimated), (3, false));
    assert_eq!(plan(dialect.send_fields(["reasoning_content"])).messages().len(), 1, "it does not fit any more");
}

#[test]
fn the_report_says_what_a_request_repeats_of_the_last_one() {
    let (chat, _) = chat(&["one", "two", "three"]);
    let repeated: Vec<u64> = block_on(async {
        let first = chat.send("a").await.unwrap();
        let second = chat.send("b").await.unwrap();
        chat.set_system("another").unwrap();
        let third = chat.send("c").await.unwrap();
        [first, second, third].map(|reply| reply.report.repeated).to_vec()
    });
    assert_eq!(repeated, [0, 10 + 5, 0]);
}

#[test]
fn two_handles_on_one_file_do_not_replace_each_others_turns() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let resume = || builder(Scripted::new(["re"; 4])).resume(&file).unwrap();
    let kept = || {
        let messages = Transcript::load(&file).unwrap().conversation;
        messages.messages().map(|message| message.text().into_owned()).collect::<Vec<_>>()
    };
    let unsaved = |reply: &Reply| reply.report.unsaved.as_ref().map(|error| error.kind());
    block_on(async {
        for round in 0..2 {
            let (one, other) = (resume(), resume());
            let before = one.history().len();
            assert_eq!(unsaved(&one.send("a").await.unwrap()), None);
            let lost = other.send("b").await.unwrap();
            assert_eq!(unsaved(&lost), Some(ErrorKind::Conflict), "round {round}");
            assert!(lost.report.unsaved.unwrap().to_string().contains("load it again"));
            assert_eq!(other.save(&file).unwrap_err().kind(), ErrorKind::Conflict);
            assert_eq!(unsaved(&one.send("c").await.unwrap()), None);
            assert_eq!(kept()[before..], ["a", "re", "c", "re"]);
            let copy = folder.path().join("other.json");
            if round == 0 {
                other.save(&copy).unwrap();
            } else {
                assert_eq!(other.save(&copy).unwrap_err().kind(), ErrorKind::Conflict, "it has not seen that file");
                other.replace(&copy).unwrap();
            }
        }
        let last = resume();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(unsaved(&last.send("d").await.unwrap()), None, "a file that is gone loses nothing");
        let again = resume();
        last.send("e").await.unwrap();
        assert_eq!(again.save(&file).unwrap_err().kind(), ErrorKind::Conflict);
        again.replace(&file).unwrap();
        assert_eq!(kept().len(), again.history().len(), "said in so many words, it is replaced");
        assert_eq!(unsaved(&again.send("f").await.unwrap()), None, "and goes on there");
    });
}

#[test]
fn a_reply_as_json_has_its_figures_and_nothing_else_that_was_sent() {
    let bill = ChatReply::new(Message::assistant("one")).usage(Usage::new(11, 2));
    let backend = Scripted::default().and(bill);
    let builder = ConversationManager::builder("gpt-4o").backend(backend).system("The secret word is lantern.");
    let chat = builder.build().unwrap();
    let reply = block_on(async { chat.send("a").await.unwrap() });
    let json = serde_json::to_value(&reply).unwrap();
    assert_eq!(json["message"]["content"], "one");
    assert_eq!((&json["finish"], &json["usage"]["prompt_tokens"]), (&"stop".into(), &11.into()));
    assert_eq!(json["report"]["plan"]["strategy"], "window");
    assert!(json["report"]["elapsed_ms"].is_u64() && json["report"]["attempts"][0]["elapsed_ms"].is_u64());
    assert!(json["report"].get("first_event_ms").is_none() && json["report"].get("unsaved").is_none());
    assert!(!json.to_string().contains("lantern"), "{json}");
    let branch = chat.branches().remove(0);
    let written = serde_json::to_string(&branch).unwrap();
    assert_eq!(serde_json::from_str::<crate::conversation::Branch>(&written).unwrap(), branch, "{written}");
}

#[test]
fn the_stated_size_of_an_image_is_kept_in_the_record_and_never_sent() {
    let script = Scripted::new(["a cat", "a dog"]);
    let builder = ConversationManager::builder("gpt-4o").backend(script.clone());
    let chat = builder.budget(TokenBudget::limit(10_000)).build().unwrap();
    let image = || Message::user("What is this?").image_url("https://example.com/a.png").size(640, 480);
    let dry = serde_json::to_string(&chat.send(image()).dry_run().unwrap()).unwrap();
    assert!(!dry.contains("image_size"), "{dry}");
    block_on(async {
        chat.send(image()).await.unwrap();
        chat.send("And beside it?").await.unwrap();
    });
    for request in script.requests() {
        let sent = serde_json::to_string(&request).unwrap();
        assert!(sent.contains("a.png") && !sent.contains("image_size"), "{sent}");
    }
    assert_eq!(chat.history()[0].content().unwrap().parts()[1].size(), Some((640, 480)));
}

#[test]
fn a_head_that_can_never_fit_is_refused_when_the_manager_is_built() {
    let counter = || CounterFn::new("bytes", |text| text.len() as u64);
    let template = |budget| ConversationManager::builder("test-model").counter(counter()).budget(budget);
    let long = || "h".repeat(86);
    let small = || TokenBudget::limit(50);
    let error = template(small()).system(long()).build().unwrap_err();
    let numbers = error.over_budget().unwrap();
    assert_eq!((error.kind(), numbers.part, numbers.tokens), (ErrorKind::OverBudget, OverPart::Head, 90));
    let tool = crate::Tool::function("f", &"describes ".repeat(20), serde_json::json!({"type": "object"}));
    let error = template(small()).tools([tool]).build().unwrap_err();
    assert_eq!(error.over_budget().unwrap().part, OverPart::Tools);
    let folder = tempfile::TempDir::new().unwrap();
    let sessions = template(small()).system(long()).sessions(folder.path());
    assert_eq!(sessions.unwrap_err().kind(), ErrorKind::OverBudget);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
    let stated = || TokenBudget::window(120).reply_reserve(40);
    assert!(template(stated()).system(long()).build().is_err(), "a reserve that was set counts");
}

#[test]
fn a_head_that_may_fit_some_request_is_not_refused_before() {
    let counter = || CounterFn::new("bytes", |text| text.len() as u64);
    let template = |budget| ConversationManager::builder("test-model").counter(counter()).budget(budget);
    let long = || Message::system("h".repeat(86));
    // A quarter of the window is kept free by default, and a request may ask for a shorter reply.
    let chat = template(TokenBudget::window(120)).system("h".repeat(86)).build().unwrap();
    assert!(chat.plan("q").is_err());
    assert!(chat.send("q").param("max_completion_tokens", 10).plan().is_ok());
    // The head of a file can be replaced.
    let file = Transcript::new(Conversation::from_messages([long(), Message::user("q")]));
    let chat = template(TokenBudget::limit(50)).open(file).unwrap();
    assert_eq!(chat.reply().plan().unwrap_err().over_budget().unwrap().part, OverPart::Head);
    chat.set_system("h").unwrap();
    assert!(chat.reply().plan().is_ok());
    // A limit that was learned may turn out to be wrong.
    let learned = Calibration::new();
    learned.learn_limit("test-model", "", 50);
    assert!(template(TokenBudget::limit(500)).calibration(&learned).system("h".repeat(86)).build().is_ok());
}
