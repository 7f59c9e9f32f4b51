//! Streams of the `OpenAI` backend against a server of each test's own: chunks as servers write them, and what becomes
//! of them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "openai")]

#[path = "support/stub.rs"]
mod stub;

use std::time::Duration;

use futures_lite::StreamExt;
use serde_json::json;
use stub::{Answer, Stub};
use turnwise::backend::openai::{OpenAi, Retry};
use turnwise::backend::{Assembly, BackendError, ChatBackend, ChatEvent, ChatReply, FinishReason, ToolCallDelta};
use turnwise::{ChatRequest, ErrorKind};

fn quick() -> Retry {
    Retry::default().first_wait(Duration::from_millis(1)).longest_wait(Duration::from_millis(20))
}

fn request() -> ChatRequest {
    ChatRequest::from_json(r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":7}"#).unwrap()
}

/// What arrived before the end, and the end.
async fn read(stub: &Stub, retry: Retry) -> (Vec<ChatEvent>, Result<ChatReply, BackendError>) {
    let mut stream = match OpenAi::at(&stub.url(), "").retry(retry).stream(request()).await {
        Ok(stream) => stream,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let (mut events, mut all) = (Vec::new(), Assembly::new());
    loop {
        match stream.next().await {
            Some(Ok(ChatEvent::Finished(reply))) => {
                assert!(stream.next().await.is_none(), "nothing follows");
                assert!(reply.message.text().ends_with(&*all.text()), "{reply:?}");
                return (events, Ok(*reply));
            }
            Some(Ok(event)) => {
                all.push(&event);
                events.push(event);
            }
            Some(Err(error)) => {
                assert!(stream.next().await.is_none(), "nothing follows");
                return (events, Err(error));
            }
            None => panic!("a stream without an end"),
        }
    }
}

/// The events and the message of a stream of these data.
async fn message_of(data: &[&str]) -> (Vec<ChatEvent>, String) {
    let (events, reply) = read(&Stub::new([Answer::events(data)]), Retry::never()).await;
    (events, serde_json::to_string(&reply.unwrap().message).unwrap())
}

async fn error_of(answer: Answer, retry: Retry) -> (Vec<ChatEvent>, BackendError) {
    let (events, reply) = read(&Stub::new([answer]), retry).await;
    (events, reply.unwrap_err())
}

fn text(text: &str) -> ChatEvent {
    ChatEvent::Text(text.into())
}

fn call(index: usize, id: Option<&str>, name: Option<&str>, arguments: &str) -> (usize, String, String, String) {
    (index, id.unwrap_or_default().into(), name.unwrap_or_default().into(), arguments.into())
}

fn calls(events: &[ChatEvent]) -> Vec<(usize, String, String, String)> {
    let one = |delta: &ToolCallDelta| call(delta.index, delta.id.as_deref(), delta.name.as_deref(), &delta.arguments);
    let of = |event: &ChatEvent| if let ChatEvent::ToolCall(delta) = event { Some(one(delta)) } else { None };
    events.iter().filter_map(of).collect()
}

const SAID: &str = r#"{"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const DONE: &str = "[DONE]";

#[tokio::test]
async fn a_stream_gives_what_a_reply_in_one_would_have_been() {
    let head = r#"{"id":"c-1","object":"chat.completion.chunk","created":5,"model":"m","system_fingerprint":null"#;
    let delta = |delta: &str| {
        format!(
            r#"{head},"choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":null}}],"usage":null}}"#
        )
    };
    let stub = Stub::new([Answer::events([
        delta(r#"{"role":"assistant","content":"","refusal":null}"#),
        delta(r#"{"content":"Hi é"}"#),
        delta(r#"{"content":" you 🙂\n"}"#),
        format!(
            r#"{head},"choices":[{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"length"}}],"usage":null}}"#
        ),
        format!(
            r#"{head},"choices":[],"usage":{{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":{{"cached_tokens":4}}}}}}"#
        ),
        DONE.into(),
    ])]);
    let (events, reply) = read(&stub, Retry::never()).await;
    assert_eq!(events, [text("Hi é"), text(" you 🙂\n")]);
    let reply = reply.unwrap();
    assert_eq!(
        serde_json::to_string(&reply.message).unwrap(),
        r#"{"role":"assistant","content":"Hi é you 🙂\n","refusal":null}"#
    );
    let usage = reply.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens), (9, 2, 4));
    assert_eq!((reply.finish, reply.attempts.len(), reply.attempts[0].status), (FinishReason::Length, 1, Some(200)));
    let raw: serde_json::Value = reply.raw.unwrap().parse().unwrap();
    assert_eq!((&raw["object"], &raw["id"], &raw["created"]), (&json!("chat.completion"), &json!("c-1"), &json!(5)));
    let body: serde_json::Value = serde_json::from_str(&stub.seen()[0].body).unwrap();
    let expected = json!({
        "model": "m", "messages": [{"role": "user", "content": "hi"}], "seed": 7,
        "stream": true, "stream_options": {"include_usage": true},
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn the_callers_own_stream_options_stay() {
    let stub = Stub::new([Answer::events([SAID, STOP, DONE])]);
    let mut request = request();
    request.params.set("stream_options", json!({"include_usage": false}));
    let mut stream = OpenAi::at(&stub.url(), "").stream(request).await.unwrap();
    while let Some(event) = stream.next().await {
        event.unwrap();
    }
    assert!(stub.seen()[0].body.ends_with(r#""stream_options":{"include_usage":false},"stream":true}"#));
}

#[tokio::test]
async fn bytes_may_come_in_any_pieces() {
    let whole = format!(
        "\u{feff}: hello\r\n\r\nid: 1\r\ndata: {{\"choices\":[{{\"delta\":\r\ndata: {{\"content\":\"é🙂\"}}}}]}}\r\n\r\n: keep-alive\n\ndata:{STOP}\r\rdata: {DONE}"
    );
    let single: Vec<[u8; 1]> = whole.bytes().map(|byte| [byte]).collect();
    for answer in [Answer::stream(&single), Answer::stream([&whole])] {
        let (events, reply) = read(&Stub::new([answer]), Retry::never()).await;
        assert_eq!((events, reply.unwrap().text()), (vec![text("é🙂")], "é🙂".to_owned()));
    }
}

trait Text {
    fn text(&self) -> String;
}

impl Text for ChatReply {
    fn text(&self) -> String {
        self.message.text().into_owned()
    }
}

#[tokio::test]
async fn reasoning_keeps_the_name_that_it_came_with() {
    for name in ["reasoning_content", "reasoning"] {
        let thought = |text: &str| format!(r#"{{"choices":[{{"delta":{{"{name}":"{text}"}}}}]}}"#);
        let (events, message) = message_of(&[&thought("h"), &thought("m"), SAID, STOP]).await;
        assert_eq!(events, [ChatEvent::Reasoning("h".into()), ChatEvent::Reasoning("m".into()), text("Hi")]);
        assert_eq!(message, format!(r#"{{"role":"assistant","content":"Hi","{name}":"hm"}}"#));
    }
    let both = r#"{"choices":[{"delta":{"reasoning":"hm","reasoning_content":"hm"}}]}"#;
    assert_eq!(message_of(&[both, SAID, STOP]).await.0, [ChatEvent::Reasoning("hm".into()), text("Hi")]);
}

#[tokio::test]
async fn a_refusal_is_no_text() {
    let (events, message) = message_of(&[
        r#"{"choices":[{"delta":{"refusal":"I "}}]}"#,
        r#"{"choices":[{"delta":{"refusal":"won't"}}]}"#,
        STOP,
    ])
    .await;
    assert_eq!(events, [ChatEvent::Refusal("I ".into()), ChatEvent::Refusal("won't".into())]);
    assert_eq!(message, r#"{"role":"assistant","content":null,"refusal":"I won't"}"#);
}

fn of_calls(calls: &str) -> String {
    format!(r#"{{"choices":[{{"delta":{{"tool_calls":{calls}}}}}]}}"#)
}

const TWO_CALLS: &str = concat!(
    r#"{"role":"assistant","content":null,"tool_calls":["#,
    r#"{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},"#,
    r#"{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]}"#
);

#[tokio::test]
async fn calls_come_in_fragments() {
    let (events, message) = message_of(&[
        r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#,
        &of_calls(r#"[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]"#),
        &of_calls(r#"[{"index":0,"id":null,"type":null,"function":{"name":null,"arguments":"{\"x\""}}]"#),
        &of_calls(r#"[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":""}}]"#),
        &of_calls(r#"[{"index":0,"id":"","function":{"name":"","arguments":":1}"}},{"index":1,"function":{"arguments":"{}"}}]"#),
        r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
    ])
    .await;
    assert_eq!(message, TWO_CALLS);
    let expected = [
        call(0, Some("a"), Some("f"), ""),
        call(0, None, None, "{\"x\""),
        call(1, Some("b"), Some("g"), ""),
        call(0, None, None, ":1}"),
        call(1, None, None, "{}"),
    ];
    assert_eq!(calls(&events), expected);
}

#[tokio::test]
async fn calls_of_servers_that_number_them_otherwise() {
    let whole = |index: &str, id: &str, name: &str, arguments: &str| {
        format!(
            r#"[{{{index}"id":"{id}","type":"function","function":{{"name":"{name}","arguments":"{arguments}"}}}}]"#
        )
    };
    let more = r#"[{"function":{"arguments":":1}"}}]"#;
    let new_id = r#"[{"index":0,"id":"other","function":{"arguments":":1}"}}]"#;
    for pieces in [
        // All at once, with no index, or with the same one: Gemini's compatible endpoint.
        vec![whole("", "a", "f", r#"{\"x\":1}"#), whole("", "b", "g", "{}")],
        vec![whole(r#""index":0,"#, "a", "f", r#"{\"x\":1}"#), whole(r#""index":0,"#, "b", "g", "{}")],
        // Numbers from 1.
        vec![whole(r#""index":1,"#, "a", "f", r#"{\"x\":1}"#), whole(r#""index":2,"#, "b", "g", "{}")],
        // Fragments without an index; a new id for each fragment, as of older versions of vLLM.
        vec![whole("", "a", "f", r#"{\"x\""#), more.into(), whole("", "b", "g", "{}")],
        vec![whole(r#""index":0,"#, "a", "f", r#"{\"x\""#), new_id.into(), whole(r#""index":1,"#, "b", "g", "{}")],
    ] {
        let chunks: Vec<_> = pieces.iter().map(|piece| of_calls(piece)).collect();
        let data: Vec<_> = chunks.iter().map(|chunk| &**chunk).chain([STOP]).collect();
        let (events, message) = message_of(&data).await;
        assert_eq!(message, TWO_CALLS, "{pieces:?}");
        let starts: Vec<_> = calls(&events).into_iter().filter(|(_, _, name, _)| !name.is_empty()).collect();
        assert_eq!(starts.iter().map(|(index, id, ..)| (*index, &**id)).collect::<Vec<_>>(), [(0, "a"), (1, "b")]);
    }
}

#[tokio::test]
async fn calls_without_ids_that_share_an_index_are_told_apart_by_their_names() {
    const WEATHER: &str = r#"{"index":0,"function":{"name":"weather","arguments":"{\"city\":\"A\"}"}}"#;
    const CLOCK: &str = r#"{"index":0,"id":"","function":{"name":"clock","arguments":"{\"city\":\"B\"}"}}"#;
    let part = |name: &str, arguments: &str| {
        let name = if name.is_empty() { String::new() } else { format!(r#""name":"{name}","#) };
        format!(r#"{{"index":0,"function":{{{name}"arguments":"{arguments}"}}}}"#)
    };
    let (a, b) = ((r#"{\"city\":"#, r#"\"A\"}"#), (r#"{\"city\":"#, r#"\"B\"}"#));
    let [weather, clock] = ["weather", "clock"];
    let two = [(weather, r#"{"city":"A"}"#), (clock, r#"{"city":"B"}"#)];
    let twice = [two[0], (weather, r#"{"city":"B"}"#)];
    let empty = [(weather, "{}"), two[1]];
    for (pieces, expected) in [
        (vec![format!("{WEATHER},{CLOCK}")], &two[..]),
        (vec![WEATHER.to_owned(), CLOCK.to_owned()], &two),
        (vec![part(weather, ""), CLOCK.to_owned()], &empty),
        (vec![part(weather, a.0), part("", a.1), part(clock, ""), part("", b.0), part("", b.1)], &two),
        (vec![WEATHER.to_owned(), part(weather, b.0), part(weather, b.1)], &twice),
        (vec![WEATHER.to_owned(), part(weather, ""), part("", b.0), part("", b.1)], &twice),
        // The name with each piece, and with an empty one at the end.
        (vec![part(weather, ""), part(weather, a.0), part(weather, a.1), part(weather, "")], &two[..1]),
    ] {
        let chunks: Vec<_> = pieces.iter().map(|piece| of_calls(&format!("[{piece}]"))).collect();
        let data: Vec<_> = chunks.iter().map(|chunk| &**chunk).chain([STOP]).collect();
        let (events, message) = message_of(&data).await;
        let message = turnwise::Message::from_json(&message).unwrap();
        let found: Vec<_> = message.tool_calls().iter().map(|call| (call.name(), call.arguments())).collect();
        let found: Vec<_> = found.iter().map(|(name, arguments)| (*name, &**arguments)).collect();
        assert_eq!(found, expected, "{pieces:?}");
        let names: Vec<_> =
            calls(&events).into_iter().map(|(_, _, name, _)| name).filter(|name| !name.is_empty()).collect();
        assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "{pieces:?}");
    }
}

#[tokio::test]
async fn other_kinds_of_calls_and_what_vendors_add_to_them() {
    let (events, message) = message_of(&[
        &of_calls(r#"[{"index":0,"id":"a","type":"custom","custom":{"name":"sql","input":"SELECT"}}]"#),
        &of_calls(r#"[{"index":0,"custom":{"input":" 1"},"extra_content":{"google":{"thought_signature":"xy"}}}]"#),
        STOP,
    ])
    .await;
    assert_eq!(
        message,
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"custom","custom":{"name":"sql","input":"SELECT 1"},"extra_content":{"google":{"thought_signature":"xy"}}}]}"#
    );
    assert_eq!(calls(&events), [call(0, Some("a"), Some("sql"), "SELECT"), call(0, None, None, " 1")]);

    let function = |value: &str| format!(r#"{{"choices":[{{"delta":{{"function_call":{value}}}}}]}}"#);
    let (events, message) =
        message_of(&[&function(r#"{"name":"f","arguments":""}"#), &function(r#"{"arguments":"{}"}"#), STOP]).await;
    assert_eq!(message, r#"{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}"#);
    assert_eq!(calls(&events), [call(0, None, Some("f"), ""), call(0, None, None, "{}")]);

    let (_, message) =
        message_of(&[&of_calls(r#"[{"id":"a","function":{"name":"f","arguments":{"x":1.0}}}]"#), STOP]).await;
    assert!(
        message.contains(r#"{"id":"a","type":"function","function":{"name":"f","arguments":{"x":1.0}}}"#),
        "{message}"
    );
}

#[tokio::test]
async fn what_is_not_known_is_kept() {
    let stub = Stub::new([Answer::events([
        r#"{"id":"x","choices":[{"index":0,"delta":{"audio":{"id":"au","data":"AA"},"reasoning_details":[{"n":1.0}]},"logprobs":{"content":[{"token":"a","logprob":-1.50}]}}]}"#,
        r#"{"id":"x","choices":[{"index":0,"delta":{"audio":{"data":"BB","expires_at":9},"reasoning_details":[{"n":2}]},"logprobs":{"content":[{"token":"b","logprob":-2.50}]}}]}"#,
        r#"{"id":"x","provider":"p","choices":[{"index":0,"delta":{},"finish_reason":"stop","native_finish_reason":"end"}],"timings":{"n":1.0}}"#,
        DONE,
    ])]);
    let reply = read(&stub, Retry::never()).await.1.unwrap();
    let message = r#"{"role":"assistant","content":null,"audio":{"id":"au","data":"AABB","expires_at":9},"reasoning_details":[{"n":1.0},{"n":2}]}"#;
    assert_eq!(serde_json::to_string(&reply.message).unwrap(), message);
    let logprobs = r#"{"content":[{"token":"a","logprob":-1.50},{"token":"b","logprob":-2.50}]}"#;
    let raw = format!(
        r#"{{"id":"x","choices":[{{"index":0,"message":{message},"logprobs":{logprobs},"finish_reason":"stop","native_finish_reason":"end"}}],"provider":"p","timings":{{"n":1.0}}}}"#
    );
    assert_eq!(reply.raw.unwrap().as_str(), raw);
}

#[tokio::test]
async fn content_in_parts_and_only_the_first_choice() {
    let (events, message) = message_of(&[
        r#"{"choices":[{"index":1,"delta":{"content":"other"}},{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}"#,
    ])
    .await;
    assert_eq!(events, [ChatEvent::Reasoning("hm".into()), text("Hi")]);
    assert_eq!(
        message,
        r#"{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"Hi"}]}"#
    );
}

#[tokio::test]
async fn the_bill_may_come_at_the_end_in_the_last_choice_or_never() {
    let billed = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3}}"#;
    let after = r#"{"choices":[],"usage":{"prompt_tokens":3}}"#;
    for (data, tokens) in [
        (vec![SAID, billed, DONE], Some(3)),
        (vec![SAID, billed], Some(3)),
        (vec![SAID, STOP, after, DONE], Some(3)),
        (vec![SAID, STOP, after], Some(3)),
        (vec![SAID, STOP, DONE], None),
        (vec![SAID, STOP], None),
    ] {
        let reply = read(&Stub::new([Answer::events(&data)]), Retry::never()).await.1.unwrap();
        assert_eq!(reply.usage.map(|usage| usage.prompt_tokens), tokens, "{data:?}");
        assert_eq!((reply.finish, &*reply.message.text()), (FinishReason::Stop, "Hi"));
    }
}

#[tokio::test]
async fn what_breaks_after_the_finish_costs_no_reply() {
    for answer in [
        Answer::events([SAID, STOP]).torn(),
        Answer::events([SAID, STOP, "{not json"]),
        Answer::events([SAID, STOP, r#"{"error":{"message":"late"}}"#]),
        Answer::events([SAID, STOP, "{\"cho"]).torn(),
    ] {
        let reply = read(&Stub::new([answer]), Retry::never()).await.1.unwrap();
        assert_eq!((reply.finish, reply.usage), (FinishReason::Stop, None));
    }
}

/// As a server did in every chunk of the reasoning: <https://github.com/open-webui/open-webui/issues/16377>.
#[tokio::test]
async fn a_finish_that_is_said_too_early_cuts_no_reply() {
    let chunk = |delta: &str| {
        format!(r#"{{"choices":[{{"delta":{delta},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":3}}}}"#)
    };
    let pieces = [chunk(r#"{"reasoning_content":"hm"}"#), chunk(r#"{"content":"late"}"#)];
    let answer = Answer::events(pieces).pause(Duration::from_millis(1_500));
    let (_, reply) = read(&Stub::new([answer]), Retry::never()).await;
    assert_eq!(reply.unwrap().message.text(), "late");
}

#[tokio::test]
async fn a_stream_that_ends_early_was_interrupted() {
    for answer in [
        Answer::events([SAID]),
        Answer::events([SAID, DONE]),
        Answer::events([SAID]).torn(),
        Answer::events([SAID, r#"{"choices":[{"index":0,"delta":{},"finish_reason":null}]}"#, DONE]),
        Answer::events([SAID, r#"{"choices":[{"index":0,"delta":{},"finish_reason":""}]}"#, DONE]),
        Answer::stream([&*format!("data: {SAID}\n\n"), "data: {\"choices\":[{\"del"]),
    ] {
        let (events, error) = error_of(answer, quick()).await;
        assert_eq!((events, error.kind()), (vec![text("Hi")], ErrorKind::Interrupted), "{error}");
        assert!(error.is_retryable());
        assert_eq!(error.attempts().len(), 1, "after the first event nothing is sent again");
    }
}

#[tokio::test]
async fn a_chunk_that_is_none_ends_the_stream() {
    for bad in ["{\"choices\":[{\"index\":0,\"del", "7", r#"{"choices":7}"#] {
        let (events, error) = error_of(Answer::events([SAID, bad, SAID, STOP, DONE]), quick()).await;
        assert_eq!((events, error.kind()), (vec![text("Hi")], ErrorKind::Malformed), "{error}");
        assert_eq!(error.body(), Some(bad));
    }
    let (_, error) =
        error_of(Answer::stream([&b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}\n\n"[..]]), quick()).await;
    assert!(error.to_string().contains("UTF-8"), "{error}");
    let whole = r#"{"choices":[{"delta":{"content":"\ud83d\ude42"},"finish_reason":"stop"}]}"#;
    assert_eq!(message_of(&[whole]).await.0, [text("🙂")]);
}

/// A chunk with one member of the delta.
fn delta(member: &str, value: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{{"{member}":{value}}}}}]}}"#)
}

#[tokio::test]
async fn the_halves_of_a_character_in_two_chunks_are_joined() {
    let chunks = [
        delta("reasoning_content", r#""so \ud83d""#),
        delta("reasoning_content", r#""\ude42""#),
        delta("content", r#""Hi \uD83D""#),
        delta("content", r#""\uDE42 you \ud83d""#),
        delta("refusal", r#""\ud83d""#),
        delta("content", r#""!""#),
        delta("refusal", r#""\ude42\ude42""#),
        STOP.to_owned(),
    ];
    let (events, reply) = read(&Stub::new([Answer::events(&chunks)]), Retry::never()).await;
    let reply = reply.unwrap();
    assert_eq!(reply.message.text(), "Hi 🙂 you \u{fffd}!");
    assert_eq!(reply.message.refusal(), Some("🙂\u{fffd}"));
    assert_eq!(reply.message.get("reasoning_content").unwrap().as_str(), r#""so 🙂""#);
    assert_eq!(reply.half_characters, 2);
    assert!(reply.raw.unwrap().parse::<serde_json::Value>().is_ok());
    let expected = [
        ChatEvent::Reasoning("so ".into()),
        ChatEvent::Reasoning("🙂".into()),
        text("Hi "),
        text("🙂 you "),
        text("\u{fffd}!"),
        ChatEvent::Refusal("🙂\u{fffd}".into()),
    ];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn half_a_character_at_the_end_is_replaced_and_breaks_nothing_off() {
    for half in [r#""Hi \ud83d""#, r#""Hi \ude42""#, "\"Hi \u{fffd}\""] {
        let chunks = [delta("content", half), STOP.to_owned(), DONE.to_owned()];
        let (events, message) = message_of(&chunks.each_ref().map(String::as_str)).await;
        assert_eq!(events.iter().filter_map(ChatEvent::text).collect::<String>(), "Hi \u{fffd}", "{half}");
        assert_eq!(message, "{\"role\":\"assistant\",\"content\":\"Hi \u{fffd}\"}", "{half}");
    }
    // As three bytes of their own, which is not UTF-8.
    let bytes = b"data: {\"choices\":[{\"delta\":{\"content\":\"Hi \xed\xa0\xbd\"},\"finish_reason\":\"stop\"}]}\n\n";
    let (events, reply) = read(&Stub::new([Answer::stream([&bytes[..]])]), Retry::never()).await;
    assert_eq!((events, &*reply.unwrap().message.text()), (vec![text("Hi \u{fffd}")], "Hi \u{fffd}"));
}

#[tokio::test]
async fn halves_in_parts_keys_and_members_are_joined_or_replaced() {
    let part = |half: &str| format!(r#"[{{"type":"text","text":"{half}"}}]"#);
    let chunks = [
        delta("content", &part("a\\ud83d")),
        delta("content", &part("\\ude42b")),
        delta("x\\ud83d", r#"{"y":["\ude42"]}"#),
        STOP.to_owned(),
    ];
    let (_, message) = message_of(&chunks.each_ref().map(String::as_str)).await;
    let expected = "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"a🙂b\"}],\"x\u{fffd}\":{\"y\":[\"\u{fffd}\"]}}";
    assert_eq!(message, expected);
}

#[tokio::test]
async fn halves_in_arguments_are_joined_whichever_json_they_are_escaped_in() {
    let call = |arguments: &str| {
        let name = if arguments.starts_with('{') { r#""id":"c","# } else { "" };
        let function = json!({ "name": "f" });
        let function = function.to_string().replace('}', &format!(r#","arguments":"{arguments}"}}"#));
        delta("tool_calls", &format!(r#"[{{"index":0,{name}"function":{function}}}]"#))
    };
    // The first character is escaped in the chunk, the others in the arguments; the last one has no other half.
    let chunks = [call(r#"{\"a\":\"\ud83d"#), call(r"\ude42 \\ud83d"), call(r#"\\ude42 \\ud83d\"}"#), STOP.to_owned()];
    let (events, reply) = read(&Stub::new([Answer::events(&chunks)]), Retry::never()).await;
    let message = reply.unwrap().message;
    let arguments = message.tool_calls()[0].arguments().into_owned();
    assert_eq!(arguments, r#"{"a":"🙂 \ud83d\ude42 \ufffd"}"#);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&arguments).unwrap()["a"], "🙂 🙂 \u{fffd}");
    let told: String = calls(&events).into_iter().map(|(_, _, _, arguments)| arguments).collect();
    assert_eq!(told, r#"{"a":"🙂 \ud83d\ude42 \ud83d"}"#);
}

#[tokio::test]
async fn half_a_character_in_an_error_hides_no_word_of_it() {
    let error = r#"{"error":{"message":"no such model \ud83d, pull it","code":404}}"#;
    for answer in [Answer::new(404, error), Answer::new(200, error), Answer::events([SAID, error])] {
        let (_, error) = error_of(answer, Retry::never()).await;
        assert_eq!(error.message(), "no such model \u{fffd}, pull it");
    }
}

#[tokio::test]
async fn errors_in_the_middle_are_sorted() {
    use ErrorKind::{Overflow, RateLimited, Unavailable};
    for (bad, kind) in [
        (r#"data: {"error":{"message":"slow down","code":429}}"#, RateLimited),
        // OpenRouter.
        (
            r#"data: {"id":"g","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}],"error":{"code":502,"message":"x"}}"#,
            Unavailable,
        ),
        (
            r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"error","error":{"code":502,"message":"x"}}]}"#,
            Unavailable,
        ),
        // llama.cpp, in its own field.
        (r#"error: {"code":500,"message":"x","type":"server_error"}"#, Unavailable),
        // vLLM, older versions.
        (
            r#"data: {"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","code":400}"#,
            Overflow,
        ),
        // FastAPI, and others without the member `error`.
        (r#"data: {"detail":"it failed"}"#, Unavailable),
        (r#"data: {"detail":[{"loc":["body"],"msg":"it failed"}]}"#, Unavailable),
        (r#"data: {"message":"slow down","code":429}"#, RateLimited),
        (r#"data: {"type":"error","message":"it failed"}"#, Unavailable),
        ("event: error\ndata: it failed", Unavailable),
        (r#"data: {"error":"it failed"}"#, Unavailable),
    ] {
        let (events, error) =
            error_of(Answer::stream([format!("data: {SAID}\n\n{bad}\n\ndata: {SAID}\n\ndata: {STOP}\n\n")]), quick())
                .await;
        assert_eq!((events, error.kind()), (vec![text("Hi")], kind), "{bad}");
        assert_eq!(error.attempts().len(), 1);
    }
}

#[tokio::test]
async fn an_error_without_the_member_error_gives_its_reason() {
    for bad in [
        r#"{"detail":"it failed"}"#,
        r#"{"object":"error","message":"it failed"}"#,
        r#"{"message":"it failed","code":"x"}"#,
    ] {
        let (_, error) = error_of(Answer::events([SAID, bad]), Retry::never()).await;
        assert_eq!(error.reason().as_deref(), Some("it failed"), "{bad}");
    }
}

#[tokio::test]
async fn a_note_between_chunks_is_no_error() {
    for note in [
        r#"{"code":0,"message":"success"}"#,
        r#"{"code":"200","message":"ok"}"#,
        r#"{"message":"still working"}"#,
        r#"{"type":"ping"}"#,
        r#"{"detail":null}"#,
        r#"{"id":"c","message":"queued","code":7}"#,
        r#"{"choices":[],"detail":"of the route"}"#,
    ] {
        let (_, error) = error_of(Answer::events([SAID, note]), Retry::never()).await;
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{note}");
    }
}

#[tokio::test]
async fn what_fails_before_the_first_event_is_tried_again() {
    let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
    for first in [
        Answer::new(429, "{}"),
        Answer::new(500, ""),
        Answer::events([role]).torn(),
        Answer::events([role, DONE]),
        Answer::events([r#"{"error":{"code":503}}"#]),
        Answer::stream([""]),
    ] {
        let stub = Stub::new([first, Answer::events([role, SAID, STOP, DONE])]);
        let (events, reply) = read(&stub, quick()).await;
        assert_eq!((events, reply.unwrap().attempts.len()), (vec![text("Hi")], 2));
    }
    let stub = Stub::new([Answer::new(400, r#"{"error":{"code":"context_length_exceeded"}}"#)]);
    assert_eq!(read(&stub, quick()).await.1.unwrap_err().kind(), ErrorKind::Overflow);
    assert_eq!(stub.seen().len(), 1);
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let (events, reply) = read(&Stub::new([Answer::says("whole")]), Retry::never()).await;
    assert_eq!((events, reply.unwrap().finish), (vec![text("whole")], FinishReason::Stop));
    let message =
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}]}"#;
    assert_eq!(
        message_of(&[message, DONE]).await,
        (vec![text("whole")], r#"{"role":"assistant","content":"whole"}"#.into())
    );
    for bad in ["<html>", "{}", "[]"] {
        assert_eq!(error_of(Answer::new(200, bad), quick()).await.1.kind(), ErrorKind::Malformed, "{bad}");
    }
}

#[tokio::test]
async fn a_server_that_stalls_is_a_timeout() {
    let long = Duration::from_secs(20);
    let retry = Retry::never().idle_time(Duration::from_millis(50));
    let (events, error) = error_of(Answer::events([SAID, STOP]).pause(long), retry).await;
    assert_eq!((events, error.kind()), (vec![text("Hi")], ErrorKind::Timeout));

    // Before the first event the time of the attempt counts, whatever else comes.
    let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant"}}]}"#;
    let slow = || Answer::events([role, SAID, STOP]).pause(long);
    let retry = Retry::never().idle_time(long).attempt_time(Duration::from_millis(300));
    let (_, error) = error_of(Answer::events([role, SAID]).pause(long), retry).await;
    assert_eq!(error.kind(), ErrorKind::Timeout);
    // From one event to the next it counts too.
    let (events, error) = error_of(slow(), retry).await;
    assert_eq!((events.len(), error.kind()), (1, ErrorKind::Timeout));

    let body = Answer::stream(["{\"choices\"", ":[]}"]).pause(long);
    let backend = OpenAi::at(&Stub::new([body]).url(), "").retry(Retry::never().idle_time(Duration::from_millis(50)));
    assert_eq!(backend.complete(request()).await.unwrap_err().kind(), ErrorKind::Timeout, "not streamed");
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let stub = Stub::new([Answer::events([SAID, STOP]).pause(Duration::from_secs(20))]);
    let mut stream = OpenAi::at(&stub.url(), "").stream(request()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), text("Hi"));
    assert_eq!(stub.left(), 0);
    drop(stream);
    while stub.left() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_whole_stream_leaves_its_connection_to_the_next() {
    // The end of the body arrives some time after the last word.
    let answer = Answer::stream([&*format!("data: {SAID}\n\ndata: {STOP}\n\ndata: {DONE}\n\n"), ""]);
    let stub = Stub::new([answer.pause(Duration::from_millis(50)).kept()]);
    let backend = OpenAi::at(&stub.url(), "");
    for _ in 0..3 {
        let mut stream = backend.stream(request()).await.unwrap();
        while !matches!(stream.next().await.unwrap().unwrap(), ChatEvent::Finished(_)) {}
        drop(stream);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(stub.seen().len(), 3);
    // Once, on a very busy machine, the next request may come too soon.
    assert!(stub.connections() < 3, "{}", stub.connections());
}

#[tokio::test]
async fn a_stream_without_end_is_not_read_to_its_end() {
    let piece = format!("data: {}\n\n", SAID.replace("Hi", &"x".repeat(1024 * 1024)));
    let (events, error) = error_of(Answer::stream(vec![piece; 65]), quick()).await;
    assert!(error.to_string().starts_with("malformed answer: the answer is longer than 64 MiB at http://"), "{error}");
    assert_eq!(events.len(), 63);
}

#[test]
fn the_server_is_named_without_keys() {
    for (base, name) in [
        ("https://user:secret@host.example:8443/v1/?key=secret", "https://host.example:8443/v1"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("https://gate.example/0123456789abcdef0123/v1", "https://gate.example/…/v1"),
        ("nonsense", ""),
    ] {
        assert_eq!(OpenAi::at(base, "sk-secret").server(), name);
    }
}
