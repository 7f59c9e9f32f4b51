use futures_lite::future::block_on;
use futures_util::StreamExt;

use super::*;
use crate::backend::{BackendError, BoxFuture, ChatBackend, ChatEvent, ChatReply, EventStream, Scripted, Usage};
use crate::budget::TokenBudget;
use crate::error::ErrorKind;
use crate::message::Message;
use crate::request::ChatRequest;
use crate::tokens::CounterFn;

/// Streams these events, and then its end.
struct Stream(fn() -> Vec<Result<ChatEvent, BackendError>>);

impl ChatBackend for Stream {
    fn complete(&self, _: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        Box::pin(async { Err(BackendError::rejected("it streams")) })
    }

    fn stream(&self, _: ChatRequest) -> BoxFuture<'static, Result<EventStream, BackendError>> {
        let events: EventStream = Box::pin(futures_util::stream::iter((self.0)()));
        Box::pin(async { Ok(events) })
    }
}

fn chat(backend: impl ChatBackend + 'static) -> ConversationManager {
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(backend).counter(counter);
    builder.budget(TokenBudget::limit(1_000)).build().unwrap()
}

fn texts(chat: &ConversationManager) -> Vec<String> {
    chat.history().iter().map(|message| message.text().into_owned()).collect()
}

fn broken() -> Vec<Result<ChatEvent, BackendError>> {
    let said = ["The ", "Elbe"].map(|text| Ok(ChatEvent::Text(text.to_owned())));
    let broken = Err(BackendError::timeout("silence"));
    said.into_iter().chain([broken]).collect()
}

fn ended() -> Vec<Result<ChatEvent, BackendError>> {
    broken().into_iter().take(2).collect()
}

#[test]
fn a_stream_gives_the_parts_and_then_the_reply_that_a_send_gives() {
    let answer = || ChatReply::new(Message::assistant("The Elbe, the Oder.")).usage(Usage::new(9, 5));
    let script = Scripted::new([answer(), answer()]);
    let (plain, streamed) = (chat(script.clone()), chat(script));
    block_on(async {
        let sent = plain.send("Two rivers?").await.unwrap();
        let mut stream = streamed.send("Two rivers?").stream().await.unwrap();
        let mut text = String::new();
        while let Some(event) = stream.next().await {
            match event.unwrap() {
                ChatEvent::Text(more) => text.push_str(&more),
                ChatEvent::Finished(reply) => assert_eq!(reply.message.text(), text),
                other => panic!("{other:?}"),
            }
            assert_eq!((stream.partial().text().as_ref(), stream.tokens().tokens), (&*text, text.len() as u64));
        }
        assert!(stream.next().await.is_none(), "nothing follows");
        let reply = stream.finish().await.unwrap();
        assert_eq!((&reply.message, &reply.usage, reply.item_id), (&sent.message, &sent.usage, sent.item_id));
        assert!(reply.report.first_event.is_some() && sent.report.first_event.is_none());
        assert_eq!(texts(&streamed), texts(&plain));
    });
}

#[test]
fn a_stream_that_breaks_off_leaves_no_trace_and_hands_over_what_had_come() {
    for (events, kind) in [(broken as fn() -> _, ErrorKind::Timeout), (ended, ErrorKind::Interrupted)] {
        let chat = chat(Stream(events));
        let stream = block_on(chat.send("A river?").stream()).unwrap();
        let error = block_on(stream.finish()).unwrap_err();
        assert_eq!((error.kind(), texts(&chat).len()), (kind, 0));
        let failed = error.failed_exchange().unwrap();
        assert_eq!(failed.partial.as_ref().unwrap().text(), "The Elbe");
        assert_eq!((failed.staged[0].text(), failed.request.messages.len()), ("A river?".into(), 1));
        chat.push("free again").unwrap();
    }
}

#[test]
fn an_error_is_given_once_and_finish_says_so() {
    let chat = chat(Stream(broken));
    block_on(async {
        let mut stream = chat.send("A river?").stream().await.unwrap();
        let errors = stream.by_ref().filter(|event| std::future::ready(event.is_err())).count().await;
        assert_eq!(errors, 1);
        assert_eq!(stream.finish().await.unwrap_err().kind(), ErrorKind::Interrupted);
    });
}

#[test]
fn errors_before_the_first_part_are_those_of_the_call() {
    let chat = chat(Stream(|| vec![Err(BackendError::rate_limited(None))]));
    let error = block_on(chat.send("a").stream()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    let nothing = self::chat(Stream(Vec::new));
    assert_eq!(block_on(nothing.send("a").stream()).unwrap_err().kind(), ErrorKind::Interrupted);
}

#[test]
fn while_a_stream_lives_the_record_is_not_changed_by_others() {
    let chat = chat(Scripted::new(["one", "two"]));
    block_on(async {
        let stream = chat.send("a").stream().await.unwrap();
        assert_eq!(chat.push("b").unwrap_err().kind(), ErrorKind::Busy);
        drop(stream);
        chat.push("b").unwrap();
        assert_eq!(texts(&chat), ["b"]);
        chat.undo().unwrap();
        chat.send("c").await.unwrap();
        assert_eq!(texts(&chat), ["c", "two"]);
    });
}

#[test]
fn a_partial_reply_is_kept_on_request_and_marked() {
    let chat = chat(Stream(broken));
    let stream = block_on(chat.send("A river?").keep_partial().stream()).unwrap();
    assert_eq!(block_on(stream.finish()).unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(texts(&chat), ["A river?", "The Elbe"]);
    assert!(chat.history()[1].is_incomplete() && !chat.history()[0].is_incomplete());
    let again = Transcript::from_json(&chat.transcript().to_json()).unwrap();
    assert!(again.conversation.messages().nth(1).unwrap().is_incomplete(), "it is saved so");
    let sent = chat.send("Go on").dry_run().unwrap();
    assert_eq!(serde_json::to_string(&sent.messages[1]).unwrap(), r#"{"role":"assistant","content":"The Elbe"}"#);
}

#[test]
fn a_partial_reply_is_kept_when_the_stream_is_dropped() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let builder = ConversationManager::builder("gpt-4o").backend(Stream(ended)).autosave(&file);
    let chat = builder.build().unwrap();
    block_on(async {
        let mut stream = chat.send("A river?").keep_partial().stream().await.unwrap();
        stream.next().await.unwrap().unwrap();
        drop(stream);
        assert_eq!(texts(&chat), ["A river?", "The "]);
        let silent = chat.send("And?").keep_partial().stream().await.unwrap();
        drop(silent);
        assert_eq!(texts(&chat).len(), 2, "nothing had been read");
    });
    let is_saved = || Transcript::load(&file).is_ok_and(|saved| saved.conversation.path().len() == 2);
    for _ in 0..500 {
        if is_saved() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it was not saved");
}

#[test]
fn torn_calls_are_no_partial_reply() {
    let backend = Stream(|| {
        let mut call = crate::backend::ToolCallDelta::default();
        (call.id, call.name) = (Some("1".to_owned()), Some("f".to_owned()));
        call.arguments.push_str("{\"a");
        vec![Ok(ChatEvent::ToolCall(call))]
    });
    let chat = chat(backend);
    let stream = block_on(chat.send("a").keep_partial().stream()).unwrap();
    let error = block_on(stream.finish()).unwrap_err();
    assert_eq!((error.kind(), texts(&chat).len()), (ErrorKind::Interrupted, 0));
}

#[test]
fn an_empty_reply_is_refused_when_it_is_streamed_too() {
    let chat = chat(Scripted::new([ChatReply::new(Message::assistant(""))]));
    let stream = block_on(chat.send("a").stream()).unwrap();
    let error = block_on(stream.finish()).unwrap_err();
    assert_eq!((error.kind(), texts(&chat).len()), (ErrorKind::Malformed, 0));
    assert!(error.failed_exchange().unwrap().reply.is_some());
}

#[test]
fn a_stream_that_breaks_off_or_is_dropped_was_an_attempt_and_is_in_the_account() {
    let account = |chat: &ConversationManager| {
        let total = chat.spending().total();
        (total.calls, total.failed, total.attempts)
    };
    for events in [broken as fn() -> _, ended] {
        let chat = chat(Stream(events));
        let error = block_on(async { chat.send("a").stream().await?.finish().await }).unwrap_err();
        assert_eq!((error.failed_exchange().unwrap().attempts().len(), account(&chat)), (1, (1, 1, 1)));
        drop(block_on(chat.send("a").stream()).unwrap());
        assert_eq!(account(&chat), (2, 2, 2));
    }
}
