//! The `OpenAI` backend against servers that mean harm, over HTTP: nothing aborts, and every time limit holds.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "openai")]

#[path = "support/hostile.rs"]
mod hostile;
#[path = "support/stub.rs"]
mod stub;

use std::time::{Duration, Instant};

use futures_lite::StreamExt;
use hostile::{Outcome, answers, streams};
use stub::{Answer, Stub};
use turnwise::backend::openai::{OpenAi, Retry};
use turnwise::backend::{Assembly, BackendError, ChatBackend, ChatEvent, ChatReply};
use turnwise::{ChatRequest, ConversationManager, ErrorKind};

/// Far more than a limit may be passed by, and far less than an endless answer takes: the machine may be busy.
const SOON: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_millis(300);

fn request() -> ChatRequest {
    ChatRequest::from_json(r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#).unwrap()
}

/// What arrived of a stream before its end, and its end.
async fn read(answer: Answer, retry: Retry) -> (Assembly, Result<ChatReply, BackendError>) {
    let mut all = Assembly::new();
    let mut stream = match OpenAi::at(&Stub::new([answer]).url(), "").retry(retry).stream(request()).await {
        Ok(stream) => stream,
        Err(error) => return (all, Err(error)),
    };
    loop {
        match stream.next().await.expect("an end") {
            Ok(ChatEvent::Finished(reply)) => return (all, Ok(*reply)),
            Ok(event) => all.push(&event),
            Err(error) => return (all, Err(error)),
        }
    }
}

fn outcome(reply: &Result<ChatReply, BackendError>) -> Outcome {
    match reply {
        Ok(reply) if reply.message.text().ends_with("hi") => Outcome::Reply,
        Ok(reply) => panic!("another reply: {reply:?}"),
        Err(_) => Outcome::Error,
    }
}

#[tokio::test]
async fn each_shape_has_its_outcome_streamed_and_in_one() {
    for shape in streams() {
        let (_, reply) = read(Answer::stream([shape.sized(20_000)]), Retry::never()).await;
        assert_eq!(outcome(&reply), shape.outcome, "{}: {reply:?}", shape.name);
    }
    for shape in answers() {
        let answer = || Answer::bytes(200, &shape.sized(20_000));
        let backend = OpenAi::at(&Stub::new([answer()]).url(), "").retry(Retry::never());
        for reply in [backend.complete(request()).await, read(answer(), Retry::never()).await.1] {
            assert_eq!(outcome(&reply), shape.outcome, "{}: {reply:?}", shape.name);
        }
    }
}

#[tokio::test]
async fn large_chunks_are_read_as_small_ones_are() {
    let text = "a ".repeat(300_000);
    let chunk = format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}},"finish_reason":"stop"}}]}}"#);
    let (all, reply) = read(Answer::events([&*chunk, "[DONE]"]), Retry::never()).await;
    assert_eq!((&*all.text(), &*reply.unwrap().message.text()), (&*text, &*text));
    let torn = format!("{}{}", r#"{"x":"#.repeat(100_000), text);
    let (_, error) = read(Answer::events([torn]), Retry::never()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Malformed);
}

#[tokio::test]
async fn a_reply_that_was_nested_is_recorded_and_sent_with_the_next_question() {
    let nested = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    let delta =
        |delta: &str| format!(r#"{{"choices":[{{"delta":{{"content":"hi",{delta}}},"finish_reason":"stop"}}]}}"#);
    let function = format!(r#""tool_calls":[{{"index":0,"id":"c","function":{{"name":"f","arguments":{nested}}}}}]"#);
    let stub = Stub::new([
        Answer::events([delta(&format!(r#""x":{nested}"#))]),
        Answer::events([delta(&function)]),
        Answer::says("done"),
    ]);
    let chat = ConversationManager::builder("gpt-4o").backend(OpenAi::at(&stub.url(), "")).build().unwrap();
    chat.send("a").stream().await.unwrap().finish().await.unwrap();
    chat.send("b").stream().await.unwrap().finish().await.unwrap();
    assert_eq!(chat.history()[1].get("x").unwrap().as_str(), nested);
    assert_eq!(chat.history()[3].tool_calls()[0].arguments(), nested);
    chat.respond([turnwise::Message::tool("c", "result")]).await.unwrap();
}

#[tokio::test]
async fn limits_before_the_first_event_hold_whatever_comes() {
    let role = r#"data: {"choices":[{"delta":{"role":"assistant"}}]}"#.to_owned() + "\n\n";
    let drip = Duration::from_millis(5);
    for answer in [
        Answer::stream(["\n"]).pause(drip),
        Answer::stream([" ".repeat(1_000)]).pause(drip),
        Answer::stream([": comment\n\n"]).pause(drip),
        Answer::stream(["data: "]).pause(drip),
        Answer::stream([&role]).pause(drip),
        Answer::stream(["\n".repeat(10_000)]).pause(Duration::from_micros(1)),
    ] {
        for retry in
            [Retry::never().attempt_time(LIMIT), Retry::never().total_time(LIMIT), Retry::never().stream_time(LIMIT)]
        {
            let begun = Instant::now();
            let (all, reply) = read(answer.clone().endless(), retry).await;
            let error = reply.unwrap_err();
            assert!(all.is_empty());
            // Sixty-four megabytes may come first where they come without a pause.
            assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Malformed), "{error}");
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        }
    }
}

const SAID: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n";

#[tokio::test]
async fn a_stream_that_goes_on_for_ever_ends_with_its_total_time() {
    let retry = Retry::never().stream_time(LIMIT);
    for pause in [Duration::from_millis(5), Duration::from_micros(1)] {
        let begun = Instant::now();
        let (all, reply) = read(Answer::stream([SAID]).pause(pause).endless(), retry).await;
        let error = reply.unwrap_err();
        assert_eq!((error.kind(), all.text().is_empty()), (ErrorKind::Timeout, false), "{error}");
        assert!(error.to_string().contains("within 0.3 seconds"), "{error}");
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
    let begun = Instant::now();
    let (_, reply) = read(Answer::stream([SAID, STOP, ": comment\n\n"]).pause(LIMIT * 100), retry).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(reply.unwrap().message.text(), "ahi");
}

#[tokio::test]
async fn a_stream_that_goes_on_after_the_finish_is_whole_at_its_total_time() {
    let begun = Instant::now();
    let answer = Answer::stream([STOP]).pause(Duration::from_millis(5)).endless();
    let (all, reply) = read(answer, Retry::never().stream_time(LIMIT)).await;
    assert_eq!(reply.unwrap().message.text(), all.text());
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_stream_without_a_total_time_may_take_long() {
    let pieces = [SAID; 20].into_iter().chain([STOP]);
    let (_, reply) =
        read(Answer::stream(pieces).pause(LIMIT * 2), Retry::never().attempt_time(LIMIT * 10).total_time(LIMIT)).await;
    assert!(reply.is_ok(), "{reply:?}");
}

/// The time is that of the whole send: what the attempts before have taken is a part of it.
#[tokio::test]
async fn the_total_time_of_a_stream_begins_with_the_send() {
    let stub = Stub::new([Answer::new(503, ""), Answer::stream([SAID]).pause(Duration::from_millis(5)).endless()]);
    let retry = Retry::default().first_wait(LIMIT).longest_wait(LIMIT).stream_time(LIMIT / 2);
    let error = OpenAi::at(&stub.url(), "").retry(retry).stream(request()).await.err().unwrap();
    assert_eq!((error.kind(), stub.seen().len()), (ErrorKind::Unavailable, 1), "no time is left for another attempt");
}
