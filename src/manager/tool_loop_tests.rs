use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::{block_on, yield_now};

use super::*;
use crate::backend::{BackendError, ChatEvent, Scripted};
use crate::budget::TokenBudget;
use crate::message::ToolCall;
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
fn results_that_were_sent_in_vain_are_handed_over_and_no_call_runs_twice() {
    let script = Scripted::default().and([call("1")]).and(BackendError::unavailable("down")).and("done");
    let chat = chat(&script);
    block_on(async {
        let error = chat.run_tools("a", echo).await.unwrap_err();
        assert_eq!((error.kind(), texts(&chat).len()), (ErrorKind::Unavailable, 2));
        let results = error.attempt().unwrap().staged.clone();
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
