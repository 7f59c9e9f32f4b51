use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::{block_on, yield_now};

use super::*;
use crate::backend::{BackendError, ChatEvent, ChatReply, FinishReason, Scripted};
use crate::budget::TokenBudget;
use crate::error::ErrorKind;
use crate::message::{Message, Role, ToolCall};
use crate::tokens::CounterFn;

fn call(id: &str) -> ToolCall {
    ToolCall::function(id, "look_up", "{}")
}

fn chat(script: &Scripted) -> ConversationManager {
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(script.clone()).counter(counter);
    builder.budget(TokenBudget::limit(10_000)).build().unwrap()
}

fn texts(chat: &ConversationManager) -> Vec<String> {
    chat.history().iter().map(|message| message.text().into_owned()).collect()
}

async fn echo(call: ToolCall) -> String {
    format!("r{}", call.id().unwrap_or_default())
}

#[test]
fn parallel_calls_are_run_at_once_and_answered_in_their_order() {
    let script = Scripted::default().and([call("1"), call("2"), call("3")]).and("done");
    let chat = chat(&script);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        move |call: ToolCall| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                for _ in 0..5 {
                    yield_now().await;
                }
                running.fetch_sub(1, Ordering::Relaxed);
                echo(call).await
            }
        }
    };
    block_on(async {
        assert_eq!(chat.run_tools("a", handler.clone()).await.unwrap().text(), "done");
        assert_eq!(texts(&chat), ["a", "", "r1", "r2", "r3", "done"]);
        assert_eq!(most.swap(0, Ordering::Relaxed), 3);

        script.then([call("1"), call("2"), call("3")]).then("done");
        let two = NonZeroUsize::new(2).unwrap();
        chat.run_tools("b", handler).parallel(two).await.unwrap();
        assert_eq!(most.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_handlers_error_becomes_the_result_so_that_the_model_can_react() {
    let script = Scripted::default().and([call("1"), call("2")]).and("sorry");
    let chat = chat(&script);
    let handler =
        |call: ToolCall| async move { if call.id() == Some("1") { Err("no such order") } else { Ok("fine") } };
    block_on(async { chat.run_tools("a", handler).await.unwrap() });
    assert_eq!(texts(&chat), ["a", "", "Error: no such order", "fine", "sorry"]);
}

#[test]
fn a_loop_that_stops_on_an_error_ends_in_the_calls_and_goes_on_later() {
    let script = Scripted::default().and([call("1"), call("2")]).and("done");
    let chat = chat(&script);
    let fails = |_| async { Err::<String, _>(std::io::Error::other("the disk is gone")) };
    block_on(async {
        let error = chat.run_tools("a", fails).stop_on_error().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ToolFailed);
        assert!(error.to_string().contains("`1` of `look_up`"), "{error}");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the disk is gone");
        assert_eq!(chat.send("b").await.unwrap_err().kind(), ErrorKind::UnansweredCalls);
        assert_eq!(chat.resume_tools(echo).await.unwrap().text(), "done");
    });
    assert_eq!(texts(&chat), ["a", "", "r1", "r2", "done"]);
}

#[test]
fn a_loop_without_end_is_bounded_and_the_record_ends_in_the_calls() {
    let script = Scripted::new([[call("1")], [call("2")], [call("3")]]);
    let chat = chat(&script);
    let error = block_on(chat.run_tools("a", echo).rounds(2).into_future()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("after 2 rounds"), "{error}");
    assert_eq!((texts(&chat).len(), script.requests().len()), (6, 3));
    script.then("done");
    assert_eq!(block_on(chat.resume_tools(echo).into_future()).unwrap().text(), "done");
}

#[test]
fn a_loop_that_has_ended_asks_for_nothing_when_it_is_resumed() {
    let script = Scripted::default().and([call("1")]).and("done");
    let chat = chat(&script);
    block_on(async {
        chat.run_tools("a", echo).await.unwrap();
        let error = chat.resume_tools(echo).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NothingToResume);
        chat.push(Message::user("b")).unwrap();
        script.then("answered");
        assert_eq!(chat.resume_tools(echo).await.unwrap().text(), "answered");
    });
    assert_eq!(texts(&chat), ["a", "", "r1", "done", "b", "answered"]);
    assert_eq!(script.requests().len(), 3);
}

#[test]
fn results_that_were_sent_in_vain_are_handed_over_and_no_call_runs_twice() {
    let script = Scripted::default().and([call("1")]).and(BackendError::unavailable("down")).and("done");
    let chat = chat(&script);
    block_on(async {
        let error = chat.run_tools("a", echo).await.unwrap_err();
        assert_eq!((error.kind(), texts(&chat).len()), (ErrorKind::Unavailable, 2));
        let results = error.failed_exchange().unwrap().staged.clone();
        assert_eq!(chat.respond(results).await.unwrap().text(), "done");
    });
    assert_eq!(texts(&chat), ["a", "", "r1", "done"]);
}

#[test]
fn results_are_given_all_at_once_and_each_call_has_one() {
    let script = Scripted::default().and([call("1"), call("2")]).and("done");
    let chat = chat(&script);
    block_on(async {
        let respond = |results: &[(&str, &str)]| {
            let results: Vec<Message> = results.iter().map(|(id, text)| Message::tool(id, *text)).collect();
            chat.respond(results)
        };
        assert_eq!(respond(&[]).await.unwrap_err().kind(), ErrorKind::InvalidMessage);
        chat.send("a").await.unwrap();
        let before = texts(&chat);
        for (results, kind, says) in [
            (&[][..], ErrorKind::UnansweredCalls, "`1` (look_up), `2` (look_up)"),
            (&[("1", "x")], ErrorKind::UnansweredCalls, "1 call without a result: `2`"),
            (&[("1", "x"), ("3", "y")], ErrorKind::UnknownCall, "`3`; open: `1` (look_up), `2`"),
            (&[("1", "x"), ("1", "y"), ("2", "z")], ErrorKind::UnknownCall, "two results for `1`"),
        ] {
            let error = respond(results).await.unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(texts(&chat), before);
        }
        let error = chat.respond([Message::user("x")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidMessage);
        assert_eq!(script.requests().len(), 1, "nothing was sent in vain");
        respond(&[("2", "y"), ("1", "x")]).await.unwrap();
        assert_eq!(texts(&chat), ["a", "", "y", "x", "done"]);
    });
}

#[test]
fn parameters_and_context_go_with_every_request_and_parts_are_shown() {
    let script = Scripted::default().and([call("1")]).and("done");
    let chat = chat(&script);
    let shown = Arc::new(Mutex::new(String::new()));
    let show = {
        let shown = Arc::clone(&shown);
        move |event: &ChatEvent| {
            if let ChatEvent::Text(text) = event {
                shown.lock().unwrap().push_str(text);
            }
        }
    };
    let tools = chat.run_tools("a", echo).context("today").temperature(0.5).on_event(show);
    let reply = block_on(tools.into_future()).unwrap();
    assert!(reply.report.first_event.is_some());
    assert_eq!(*shown.lock().unwrap(), "done");
    for request in script.requests() {
        assert_eq!(request.params.get("temperature").unwrap().as_str(), "0.5");
        assert!(request.messages.iter().any(|message| message.text() == "today"));
    }
    assert!(!texts(&chat).contains(&"today".to_owned()));
}

#[test]
fn a_loop_has_the_turn_until_its_end() {
    let script = Scripted::default().and([call("1")]).and("done").and("other");
    let chat = chat(&script);
    let other = chat.clone();
    block_on(async {
        let tools = chat.run_tools("a", |call| async {
            yield_now().await;
            echo(call).await
        });
        let (done, sent) = futures_lite::future::zip(tools.into_future(), other.send("b").into_future()).await;
        assert_eq!((done.unwrap().text(), sent.unwrap().text()), ("done".into(), "other".into()));
    });
    assert_eq!(texts(&chat), ["a", "", "r1", "done", "b", "other"]);
}

#[test]
fn regenerating_asks_the_last_question_again() {
    let script = Scripted::default().and([call("1")]).and("one").and("two");
    let chat = chat(&script);
    block_on(async {
        assert_eq!(chat.regenerate().await.unwrap_err().kind(), ErrorKind::NotFound);
        let first = chat.run_tools("a", echo).await.unwrap();
        let second = chat.regenerate().temperature(1.0).await.unwrap();
        assert_eq!(texts(&chat), ["a", "two"]);
        assert_eq!((second.asked, chat.branches().len()), (ItemId::from_index(0), 2));
        assert_eq!(chat.regenerate().await.unwrap_err().kind(), ErrorKind::NoBackend, "the script is empty");
        assert_eq!(texts(&chat), ["a", "two"], "a failure goes back to nothing");
        chat.switch(first.item_id).unwrap();
        assert_eq!(texts(&chat), ["a", "", "r1", "one"]);
    });
}

#[test]
fn calls_without_ids_and_calls_of_one_id_are_answered() {
    let without: ToolCall =
        serde_json::from_str(r#"{"type":"function","function":{"name":"f","arguments":"{}"}}"#).unwrap();
    for calls in [[without.clone(), without], [call("1"), call("1")]] {
        let script = Scripted::default().and(calls).and("done");
        let chat = chat(&script);
        let reply = block_on(chat.run_tools("a", echo).into_future()).unwrap();
        assert_eq!((reply.text().as_ref(), script.requests()[1].messages.len()), ("done", 4));
    }
}

/// Handlers that note which calls they began.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, call: &ToolCall) {
        self.0.lock().unwrap().push(call.id().unwrap_or_default().to_owned());
    }

    /// The calls started since the last look.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn echo(&self) -> impl ToolHandler + use<> {
        let log = self.clone();
        move |call: ToolCall| {
            log.note(&call);
            echo(call)
        }
    }

    /// As `echo`; the call `2` never ends.
    fn stuck(&self) -> impl ToolHandler + use<> {
        let log = self.clone();
        move |call: ToolCall| {
            log.note(&call);
            async move {
                if call.id() == Some("2") {
                    std::future::pending::<()>().await;
                }
                echo(call).await
            }
        }
    }
}

/// The same conversation as another process would find it.
fn reloaded(chat: &ConversationManager, script: &Scripted) -> ConversationManager {
    let file = Transcript::from_json(&chat.transcript().to_json()).unwrap();
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(script.clone()).counter(counter);
    builder.budget(TokenBudget::limit(10_000)).open(file).unwrap()
}

/// Polls a loop until nothing moves, and drops it.
fn drop_stuck(tools: ToolLoop) {
    let mut running = tools.into_future();
    for _ in 0..20 {
        assert!(block_on(futures_lite::future::poll_once(&mut running)).is_none());
    }
}

#[test]
fn results_are_kept_when_another_call_fails_and_only_what_is_missing_runs_later() {
    for from_file in [false, true] {
        let script = Scripted::default().and([call("1"), call("2"), call("3"), call("4")]).and("done");
        let chat = chat(&script);
        let log = Log::default();
        let fails = {
            let log = log.clone();
            move |call: ToolCall| {
                log.note(&call);
                async move {
                    if call.id() == Some("2") {
                        return Err("no approval");
                    }
                    for _ in 0..9 {
                        yield_now().await;
                    }
                    Ok("fine")
                }
            }
        };
        let three = NonZeroUsize::new(3).unwrap();
        let error = block_on(chat.run_tools("a", fails).parallel(three).stop_on_error().into_future()).unwrap_err();
        assert_eq!((error.kind(), log.take().join(" ")), (ErrorKind::ToolFailed, "1 2 3".to_owned()));
        assert_eq!(texts(&chat), ["a", ""], "an exchange is recorded whole");
        let chat = if from_file { reloaded(&chat, &script) } else { chat };
        let open: Vec<bool> = chat.open_calls().iter().map(|call| call.outcome == Outcome::Waiting).collect();
        assert_eq!(open, [false, true, false, true]);
        assert_eq!(block_on(chat.resume_tools(log.echo()).into_future()).unwrap().text(), "done");
        assert_eq!(
            (log.take().join(" "), texts(&chat)),
            ("2 4".into(), texts_of(&["a", "", "fine", "r2", "fine", "r4", "done"]))
        );
        assert!(chat.snapshot().rounds().is_empty() && chat.open_calls().is_empty());
    }
}

fn texts_of(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn a_call_that_was_stopped_while_it_ran_has_an_unknown_outcome_and_runs_again_only_on_request() {
    for from_file in [false, true] {
        let script = Scripted::default().and([call("1"), call("2"), call("3")]).and("done");
        let chat = chat(&script);
        let log = Log::default();
        let two = NonZeroUsize::new(1).unwrap();
        drop_stuck(chat.run_tools("a", log.stuck()).parallel(two));
        assert_eq!((log.take().join(" "), texts(&chat)), ("1 2".into(), texts_of(&["a", ""])));
        let chat = if from_file { reloaded(&chat, &script) } else { chat };
        let error = block_on(chat.resume_tools(log.echo()).into_future()).unwrap_err();
        assert_eq!((error.kind(), log.take().len()), (ErrorKind::OutcomeUnknown, 0));
        for says in
            ["1 call was started".to_owned(), "`2` of `look_up`".into(), "rerun_unknown".into(), "`push`".into()]
        {
            let says = says.replace("1 call was started", "1 call started");
            assert!(error.to_string().contains(&says), "{error}");
        }
        let reply = block_on(chat.resume_tools(log.echo()).rerun_unknown().into_future()).unwrap();
        assert_eq!((reply.text().as_ref(), log.take().join(" ")), ("done", "2 3".into()));
        assert_eq!(texts(&chat), ["a", "", "r1", "r2", "r3", "done"]);
    }
}

#[test]
fn an_unknown_call_stays_unknown_when_it_could_not_be_started_again() {
    let folder = tempfile::TempDir::new().unwrap();
    let script = Scripted::default().and([call("1"), call("2")]);
    let first = chat(&script);
    let log = Log::default();
    drop_stuck(first.run_tools("a", log.stuck()));
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(script).counter(counter);
    let file = Transcript::from_json(&first.transcript().to_json()).unwrap();
    let chat = builder.budget(TokenBudget::limit(10_000)).autosave(folder.path().join("chat.json")).open(file).unwrap();
    drop(folder);
    log.take();
    let error = block_on(chat.resume_tools(log.echo()).rerun_unknown().into_future()).unwrap_err();
    assert_eq!((error.kind(), log.take().len()), (ErrorKind::Io, 0));
    let outcomes: Vec<bool> = chat.open_calls().iter().map(|open| open.outcome == Outcome::Started).collect();
    assert_eq!(outcomes, [false, true]);
}

#[test]
fn an_unknown_outcome_may_be_said_by_hand() {
    let build = || {
        let script = Scripted::default().and([call("1"), call("2"), call("3")]).and("done");
        let chat = chat(&script);
        let log = Log::default();
        drop_stuck(chat.run_tools("a", log.stuck()));
        log.take();
        (chat, log)
    };
    // 1 and 3 have results: the one that is missing, or all of them, as `OpenCall::result` gives them.
    for given in [&["2"][..], &["1", "2", "3"], &["3", "2"]] {
        let (chat, _) = build();
        let open = chat.open_calls();
        let find = |id: &&str| open.iter().find(|open| open.call.id() == Some(id)).unwrap().result("by hand");
        block_on(chat.respond(given.iter().map(find).collect::<Vec<_>>()).into_future()).unwrap();
        let mut history = texts(&chat)[2..5].to_vec();
        history.sort();
        assert_eq!(history, ["by hand", "r1", "r3"], "{given:?}");
    }
    let (chat, log) = build();
    chat.push(Message::tool("2", "it was done")).unwrap();
    block_on(chat.resume_tools(log.echo()).into_future()).unwrap();
    let mut history = texts(&chat);
    history.sort();
    assert_eq!(history, ["", "a", "done", "it was done", "r1", "r3"]);
    assert_eq!(log.take().len(), 0);
    let (chat, _) = build();
    let error = block_on(chat.respond([]).into_future()).unwrap_err();
    assert!(error.kind() == ErrorKind::UnansweredCalls && error.to_string().contains("1 call without a result: `2`"));
    let error = block_on(chat.send("b").into_future()).unwrap_err();
    assert!(
        error.kind() == ErrorKind::UnansweredCalls && error.to_string().contains("continue with `resume_tools`"),
        "{error}"
    );
}

/// A chat in which `2` was stopped while it ran, `1` and `3` have run.
fn stopped(script: &Scripted) -> ConversationManager {
    let chat = chat(&script.clone().and([call("1"), call("2"), call("3")]));
    drop_stuck(chat.run_tools("a", Log::default().stuck()));
    chat
}

#[test]
fn a_finished_call_keeps_its_result_whatever_is_given_for_it() {
    let script = Scripted::default();
    let chat = stopped(&script);
    let before = chat.snapshot();
    let other = Message::tool("1", "stopped");
    for error in [
        chat.push(other.clone()).unwrap_err(),
        block_on(chat.respond([other, Message::tool("2", "x")]).into_future()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::UnknownCall);
        assert!(error.to_string().contains("the call `1` of `look_up` has run, and its recorded result"), "{error}");
    }
    assert_eq!(texts(&chat), ["a", ""]);
    assert_eq!(chat.snapshot().rounds(), before.rounds());

    // As a program does that stops whatever is open.
    for open in chat.open_calls() {
        chat.push(open.result("stopped")).unwrap();
    }
    assert_eq!(texts(&chat), ["a", "", "r1", "stopped", "r3"]);
    script.then("done");
    block_on(chat.send("b").into_future()).unwrap();
}

#[test]
fn the_results_of_calls_with_one_id_are_kept_too() {
    for responds in [true, false] {
        let script = Scripted::default().and("done");
        let chat = chat(&script);
        chat.push("a").unwrap();
        let calls = chat.push(Message::calls([call("1"), call("1")])).unwrap();
        chat.edit_record(|record| {
            record.note_result(calls, 0, Message::tool("1", "first"));
            Ok(())
        })
        .unwrap();
        let results: Vec<Message> = chat.open_calls().iter().map(|open| open.result("stopped")).collect();
        if responds {
            block_on(chat.respond(results).into_future()).unwrap();
        } else {
            assert_eq!(chat.push(Message::tool("1", "stopped")).unwrap_err().kind(), ErrorKind::UnknownCall);
            for result in results {
                chat.push(result).unwrap();
            }
        }
        assert_eq!(texts(&chat)[2..4], ["first", "stopped"]);
    }
}

#[test]
fn a_refusal_names_only_calls_that_have_no_result() {
    let chat = stopped(&Scripted::default());
    let error = block_on(chat.send("b").into_future()).unwrap_err();
    assert!(error.to_string().contains("1 call without a result: `2` (look_up); continue with"), "{error}");
    assert!(error.to_string().contains("`abandon_calls`"), "{error}");
    chat.push(Message::tool("2", "x")).unwrap();
    let error = block_on(chat.send("b").into_future()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnansweredCalls);
    assert!(error.to_string().contains("2 calls with a result that was not sent yet: `1` (look_up), `3`"), "{error}");
}

#[test]
fn calls_that_are_given_up_are_answered_in_one_step_and_the_conversation_goes_on() {
    for from_file in [false, true] {
        let script = Scripted::default();
        let chat = chat(&script);
        assert_eq!(chat.abandon_calls("no").unwrap(), 0, "nothing is open");
        script.then([call("1"), call("2"), call("3")]);
        drop_stuck(chat.run_tools("a", Log::default().stuck()).parallel(NonZeroUsize::new(1).unwrap()));
        let chat = if from_file { reloaded(&chat, &script) } else { chat };
        assert_eq!(chat.abandon_calls("stopped by the user").unwrap(), 2);
        assert!(chat.open_calls().is_empty() && chat.snapshot().rounds().is_empty());
        let started = "Error: stopped by the user; the call was started, and may have done its work";
        let waiting = "Error: stopped by the user; the call was not run";
        assert_eq!(texts(&chat), ["a", "", "r1", started, waiting]);
        script.then("fine");
        assert_eq!(block_on(chat.send("b").into_future()).unwrap().text(), "fine");
        assert_eq!(script.requests().last().unwrap().messages, chat.history()[..6]);
    }
}

#[test]
fn calls_that_ran_on_another_branch_keep_their_results_when_they_are_given_up() {
    let script = Scripted::default().and([call("1")]).and("done");
    let chat = chat(&script);
    block_on(chat.run_tools("a", echo).into_future()).unwrap();
    let calls = chat.snapshot().path().item(1).unwrap().id();
    chat.switch(calls).unwrap();
    assert_eq!((chat.abandon_calls("no").unwrap(), texts(&chat)), (0, texts_of(&["a", "", "r1"])));
}

#[test]
fn no_calls_are_given_up_while_their_loop_runs() {
    let script = Scripted::default().and([call("2")]);
    let chat = chat(&script);
    let mut running = chat.run_tools("a", Log::default().stuck()).into_future();
    for _ in 0..20 {
        assert!(block_on(futures_lite::future::poll_once(&mut running)).is_none());
    }
    assert_eq!(chat.abandon_calls("no").unwrap_err().kind(), ErrorKind::Busy);
}

#[test]
fn after_open_calls_only_results_and_what_the_user_says_are_recorded() {
    let script = Scripted::default().and([call("1")]);
    let chat = chat(&script);
    block_on(chat.send("a").into_future()).unwrap();
    for message in [Message::assistant("x"), Message::system("x"), Message::calls([call("2")])] {
        let error = chat.push(message).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnansweredCalls);
        assert!(error.to_string().contains("1 call without a result: `1` (look_up)"), "{error}");
    }
    assert_eq!((texts(&chat), chat.open_calls().len()), (texts_of(&["a", ""]), 1));
    let asked_only = chat.fork(chat.snapshot().path().item(1).unwrap().id()).unwrap();
    asked_only.push("Wait.").unwrap();
    assert_eq!(asked_only.open_calls().len(), 1);
    chat.push(Message::tool("1", "x")).unwrap();
    chat.push("Never mind").unwrap();

    // A file in which somebody has recorded it all the same is loaded and goes on.
    let fork = chat.fork(chat.snapshot().path().item(1).unwrap().id()).unwrap();
    fork.edit_record(|record| Ok(record.push("Never mind"))).unwrap();
    let fork = reloaded(&fork, &script);
    script.then("fine");
    fork.push("And?").unwrap();
    assert_eq!(block_on(fork.reply().into_future()).unwrap().text(), "fine");
    let sent = script.requests().last().unwrap().messages.clone();
    assert_eq!(sent.iter().map(Message::text).collect::<Vec<_>>(), ["a", "Never mind", "And?"]);
}

#[test]
fn results_that_were_sent_in_vain_are_sent_again_without_running_a_call() {
    for from_file in [false, true] {
        let script = Scripted::default().and([call("1"), call("2")]).and(BackendError::unavailable("down")).and("done");
        let chat = chat(&script);
        let log = Log::default();
        let error = block_on(chat.run_tools("a", log.echo()).into_future()).unwrap_err();
        assert_eq!((error.kind(), log.take().len()), (ErrorKind::Unavailable, 2));
        assert_eq!(error.failed_exchange().unwrap().staged.len(), 2);
        let chat = if from_file { reloaded(&chat, &script) } else { chat };
        block_on(chat.resume_tools(log.echo()).into_future()).unwrap();
        assert_eq!((log.take().len(), texts(&chat)), (0, texts_of(&["a", "", "r1", "r2", "done"])));
    }
}

#[test]
fn a_round_stays_with_its_branch() {
    let script = Scripted::default().and([call("1"), call("2")]).and("other").and("done");
    let chat = chat(&script);
    let log = Log::default();
    drop_stuck(chat.run_tools("a", log.stuck()));
    let calls = chat.snapshot().leaf().unwrap();
    chat.undo().unwrap();
    block_on(chat.send("b").into_future()).unwrap();
    let fork = chat.fork(calls).unwrap();
    chat.switch(calls).unwrap();
    for chat in [&chat, &fork] {
        let error = block_on(chat.resume_tools(log.echo()).into_future()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    }
    log.take();
    block_on(chat.resume_tools(log.echo()).rerun_unknown().into_future()).unwrap();
    assert_eq!(log.take(), ["2"]);
    // Gone back to before the exchange that recorded the results: they are on another branch, and
    // no call runs again.
    chat.switch(calls).unwrap();
    script.then("done again");
    block_on(chat.resume_tools(log.echo()).into_future()).unwrap();
    assert_eq!((log.take().len(), texts(&chat)), (0, texts_of(&["a", "", "r1", "r2", "done again"])));
}

#[test]
fn calls_that_no_handler_can_run_are_answered_with_what_is_wrong() {
    let broken = ToolCall::function("1", "look_up", "{city: Oslo}");
    let script =
        Scripted::default().and([broken.clone(), call("2"), ToolCall::function("3", "look_up", " ")]).and("done");
    let chat = chat(&script);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let seen = Arc::clone(&seen);
        move |call: ToolCall| {
            seen.lock().unwrap().push(call.arguments().into_owned());
            async { "fine" }
        }
    };
    block_on(chat.run_tools("a", handler).stop_on_error().into_future()).unwrap();
    assert_eq!(*seen.lock().unwrap(), ["{}", "{}"]);
    assert!(
        texts(&chat)[2].starts_with("Error: the arguments are not a JSON object (key must be"),
        "{:?}",
        texts(&chat)
    );
    let request = &script.requests()[1];
    let sent: Vec<_> = request.messages[1].tool_calls().iter().map(|call| call.arguments().into_owned()).collect();
    assert_eq!(sent, [r#"{"invalid_arguments":"{city: Oslo}"}"#, "{}", "{}"]);
    assert_eq!(chat.history()[1].tool_calls()[0], broken, "the record keeps what came");
    assert!(broken.invalid_arguments().unwrap().contains("line 1"), "who runs calls by hand can see it");
}

#[test]
fn a_reply_that_ends_in_the_middle_of_a_call_is_an_error_and_nothing_is_run() {
    for finish in [FinishReason::Length, FinishReason::ToolCalls, FinishReason::ContentFilter] {
        for streamed in [false, true] {
            let cut =
                Message::calls([call("1"), ToolCall::function("2", "write", r#"{"path":"a.t"#)]).with_content("So:");
            let script = Scripted::default().and(ChatReply::new(cut.clone()).finish(finish.clone())).and("again");
            let chat = chat(&script);
            let log = Log::default();
            let tools = chat.run_tools("a", log.echo());
            let tools = if streamed { tools.on_event(|_| {}) } else { tools };
            let error = block_on(tools.into_future()).unwrap_err();
            assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::CutCall, false));
            let attempt = error.failed_exchange().unwrap();
            assert_eq!((attempt.partial.as_ref(), attempt.staged.len()), (Some(&cut), 1));
            assert_eq!((log.take().len(), texts(&chat).len(), chat.spending().total().failed), (0, 0, 1));
            assert_eq!(block_on(chat.run_tools("a", log.echo()).into_future()).unwrap().text(), "again");
        }
    }
}

#[test]
fn a_call_of_a_deprecated_function_is_run_and_answered_by_its_name() {
    let json = r#"{"role":"assistant","content":null,"function_call":{"name":"look","arguments":""}}"#;
    let script = Scripted::default().and(Message::from_json(json).unwrap()).and("done");
    let chat = chat(&script);
    let handler = |call: ToolCall| async move { format!("{} {}", call.name(), call.arguments()) };
    assert_eq!(block_on(chat.run_tools("a", handler).into_future()).unwrap().text(), "done");
    let result = &chat.history()[2];
    assert_eq!((result.role(), result.name(), result.text().as_ref()), (&Role::Function, Some("look"), "look {}"));
}

#[test]
fn a_made_id_is_in_call_and_result_and_in_the_last_event() {
    let json = r#"{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}"#;
    let script = Scripted::default().and(Message::from_json(json).unwrap()).and("done");
    let chat = chat(&script);
    let last = Arc::new(Mutex::new(None));
    let show = {
        let last = Arc::clone(&last);
        move |event: &ChatEvent| {
            if let ChatEvent::Finished(reply) = event
                && let Some(call) = reply.message.tool_calls().first()
            {
                *last.lock().unwrap() = call.id().map(str::to_owned);
            }
        }
    };
    block_on(chat.run_tools("a", echo).on_event(show).into_future()).unwrap();
    let (shown, history) = (last.lock().unwrap().clone().unwrap(), chat.history());
    assert_eq!((history[1].tool_calls()[0].id(), history[2].tool_call_id()), (Some(&*shown), Some(&*shown)));
    assert_eq!(reloaded(&chat, &script).history(), history);
}

#[test]
fn the_start_of_a_call_is_on_the_disk_before_its_handler_is_called() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let script = Scripted::default().and([call("1"), call("2")]).and([call("3")]).and("done");
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(script).counter(counter);
    let chat = builder.budget(TokenBudget::limit(10_000)).autosave(&file).build().unwrap();
    let started = {
        let file = file.clone();
        move |call: ToolCall| {
            let known = Transcript::load(&file).unwrap();
            let calls = super::open_calls::open_calls(&known.conversation);
            let own = calls.iter().find(|open| open.call == call).unwrap();
            assert_eq!(own.outcome, Outcome::Started);
            echo(call)
        }
    };
    block_on(chat.run_tools("a", started).into_future()).unwrap();
    assert!(Transcript::load(&file).unwrap().conversation.rounds().is_empty());
}

#[test]
fn a_call_whose_start_cannot_be_saved_is_not_run() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let script = Scripted::default().and([call("1")]).and([call("2")]).and("done");
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(script).counter(counter);
    let chat = builder.budget(TokenBudget::limit(10_000)).autosave(&file).build().unwrap();
    let log = Log::default();
    let spoils = {
        let (log, file) = (log.clone(), file.clone());
        move |call: ToolCall| {
            log.note(&call);
            // Somebody else saves to the file.
            Transcript::new(Conversation::from_messages([Message::user("other")])).save(&file).unwrap();
            echo(call)
        }
    };
    let error = block_on(chat.run_tools("a", spoils).into_future()).unwrap_err();
    assert_eq!((error.kind(), log.take()), (ErrorKind::Conflict, vec!["1".to_owned()]));
    assert!(error.to_string().contains("was not run"), "{error}");
    assert_eq!(chat.open_calls()[0].outcome, Outcome::Waiting);
}
