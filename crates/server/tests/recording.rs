//! What is recorded and passed on when something comes between: a server that stops, a store that
//! fails, a stream that breaks off; and what of the store is a conversation.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::Response;
use running::run;
use serde_json::{Value, json};
use support::hooked::{Call, Hook, Hooked};
use support::{Echo, ask, building, refuse, respond, said, text_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use turnwise::backend::{Answer, BoxFuture, Scripted};
use turnwise::store::{MemoryStore, Store};
use turnwise::{Error, Transcript};
use turnwise_conversations::Conversations;
use turnwise_server::{Limits, Server, Upstream};

#[path = "support/running.rs"]
mod running;
mod support;

/// A change takes its time.
#[derive(Clone)]
struct Slow(Duration);

impl Hook for Slow {
    fn before<'a>(&'a self, _: &'a MemoryStore, call: Call, _: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        let time = if call == Call::Append { self.0 } else { Duration::ZERO };
        Box::pin(async move {
            tokio::time::sleep(time).await;
            Ok(())
        })
    }
}

#[tokio::test]
async fn what_a_server_stores_beside_conversations_is_none() {
    let store = MemoryStore::new();
    let app = support::server(Scripted::new(["One.", "Two."]), &store);
    let response = respond(&app, json!({"input": "Hi"})).await;
    let completion = format!("chatcmpl-{}", "0".repeat(44));
    store.save(&completion, &Transcript::default(), None).await.unwrap();
    for id in [response["id"].as_str().unwrap(), &completion] {
        let path = format!("/v1/conversations/{id}");
        let items = format!("{path}/items");
        let item = json!({"items": [{"role": "user", "content": "x"}]});
        for (method, path, body) in [
            ("GET", &path, None),
            ("POST", &path, Some(json!({"metadata": {}}))),
            ("DELETE", &path, None),
            ("GET", &items, None),
            ("POST", &items, Some(item)),
        ] {
            let (status, error) = ask(&app, method, path, body).await;
            let message = format!("Conversation with id '{id}' not found.");
            assert_eq!((status, &error["error"]["message"]), (404, &json!(message)), "{method} {path}");
        }
        assert_eq!(refuse(&app, json!({"conversation": id, "input": "x"})).await.0, 404);
    }
    let path = format!("/v1/responses/{}", response["id"].as_str().unwrap());
    assert_eq!(ask(&app, "GET", &path, None).await.0, 200);
}

#[tokio::test]
async fn a_server_that_stops_waits_for_what_is_being_recorded() {
    let store = Hooked::new(Slow(Duration::from_millis(600)));
    let api = Conversations::new(store.store.clone());
    let id = api.create(turnwise_conversations::Create::default()).await.unwrap().id;
    let server = run(building(Echo, store)).await;
    let body = json!({"model": "gpt-4o-mini", "conversation": id, "input": "Hello"}).to_string();
    let head = format!(
        "POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client.write_all((head + &body).as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(client);
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
    assert_eq!(api.items(&id).list(turnwise_conversations::List::default()).await.unwrap().data.len(), 2);
}

#[tokio::test]
async fn what_writes_nothing_does_not_wait_for_a_response_that_runs() {
    let backend = Scripted::default().and(Answer::from("Hi.").stalled_after(1)).and("A summary.");
    let server = run(building(backend, MemoryStore::new())).await;
    let post = async |path: &str, body: Value| {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let mut client = TcpStream::connect(server.address).await.unwrap();
        client.write_all((head + &body).as_bytes()).await.unwrap();
        client
    };
    let whole = async |mut client: TcpStream| {
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    };
    let made = whole(post("/v1/conversations", json!({})).await).await;
    let made: Value = serde_json::from_str(made.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let body = json!({"model": "gpt-4o-mini", "conversation": made["id"], "input": "Hi"});
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let mut running = post("/v1/responses", streamed).await;
    running.read_exact(&mut [0; 200]).await.unwrap();
    let counted = whole(post("/v1/responses/input_tokens", body.clone()).await).await;
    assert!(counted.contains("response.input_tokens"), "{counted}");
    let mut compacting = body.clone();
    compacting["input"] = json!([{"role": "user", "content": "Hi"}, {"type": "compaction_trigger"}]);
    let compacted = whole(post("/v1/responses", compacting).await).await;
    assert!(compacted.contains("\"type\":\"compaction\""), "{compacted}");
    assert!(whole(post("/v1/responses", body).await).await.contains("conversation_locked"));
}

#[tokio::test]
async fn a_reference_is_resolved_in_the_response_that_is_continued_and_those_before_it() {
    let app = support::echo();
    let one = respond(&app, json!({"input": "One"})).await;
    let other = respond(&app, json!({"input": "Other", "previous_response_id": one["id"]})).await;
    let two = respond(&app, json!({"input": "Two", "previous_response_id": one["id"]})).await;
    let path = format!("/v1/responses/{}/input_items", one["id"].as_str().unwrap());
    let (_, input) = ask(&app, "GET", &path, None).await;
    for id in [&input["data"][0]["id"], &one["output"][0]["id"], &two["output"][0]["id"]] {
        let body = json!({"input": [{"type": "item_reference", "id": id}], "previous_response_id": two["id"]});
        let (status, answer) = {
            let mut body = body.clone();
            body["model"] = json!("gpt-4o-mini");
            ask(&app, "POST", "/v1/responses", Some(body)).await
        };
        assert_eq!(status, 200, "{answer}");
    }
    let body =
        json!({"input": [{"type": "item_reference", "id": input["data"][0]["id"]}], "previous_response_id": two["id"]});
    assert!(said(&respond(&app, body).await).ends_with("|u:One"));
    // A sibling is not one of them, but it is stored.
    let body = json!({"input": [{"type": "item_reference", "id": other["output"][0]["id"]}], "previous_response_id": two["id"]});
    assert!(said(&respond(&app, body.clone()).await).ends_with("|u:Other"));
    let path = format!("/v1/responses/{}", other["id"].as_str().unwrap());
    assert_eq!(ask(&app, "DELETE", &path, None).await.0, 200);
    let (status, error) = refuse(&app, body).await;
    assert_eq!((status, &error["param"]), (404, &json!("input")), "{error}");
}

#[tokio::test]
async fn a_header_that_cannot_be_read_is_refused() {
    let app = support::echo();
    let request = axum::http::Request::post("/v1/chat/completions").header(header::HOST, "localhost");
    let id = header::HeaderValue::from_bytes("conv_ä".as_bytes()).unwrap();
    let request = request.header("x-turnwise-conversation", id).header(header::CONTENT_TYPE, "application/json");
    let body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}).to_string();
    let response = tower::ServiceExt::oneshot(app, request.body(Body::from(body)).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(status == 400 && text.contains("turnwise_conversation") && text.contains("ASCII"), "{status} {text}");
}

/// Answers with a text as it is.
struct Answering {
    kind: &'static str,
    text: String,
}

impl Upstream for Answering {
    fn send(&self, _: &str, _: Option<Bytes>) -> BoxFuture<'static, Result<Response, String>> {
        let response = Response::builder().header(header::CONTENT_TYPE, self.kind);
        let text = self.text.clone();
        Box::pin(async move { Ok(response.body(Body::from(text)).unwrap()) })
    }
}

/// A server that stores answers up to so many bytes, and has this one behind it.
fn storing(answer: Answering, stored: usize) -> Router {
    let managers = |model: &str| turnwise::ConversationManager::builder(model).backend(Scripted::default());
    let mut limits = Limits::default();
    limits.stored = stored;
    Server::new(MemoryStore::new()).responses(managers).upstream(answer).limits(limits).router()
}

fn streaming(text: &str) -> Answering {
    Answering { kind: "text/event-stream", text: text.to_owned() }
}

async fn complete(app: &Router, stream: bool) -> (u16, String) {
    let body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "store": true,
        "stream": stream});
    text_of(app, "POST", "/v1/chat/completions", Some(body)).await
}

async fn count_stored(app: &Router) -> usize {
    ask(app, "GET", "/v1/chat/completions", None).await.1["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_stream_is_stored_if_it_is_whole_and_passed_on_to_its_last_byte() {
    const CHUNK: &str = concat!(
        r#"data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":"#,
        r#"[{"index":0,"delta":{"role":"assistant","content":"Hi."},"finish_reason":"stop"}]}"#,
        "\n\n"
    );
    const OPEN: &str = concat!(
        r#"data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":"#,
        r#"[{"index":0,"delta":{"role":"assistant","content":"Hi."},"finish_reason":null}]}"#,
        "\n\n"
    );
    let with = |end: &str| -> &'static str { format!("{CHUNK}{end}").leak() };
    let failed = "data: {\"error\":{\"message\":\"overloaded\"}}\n\ndata: [DONE]\n\n";
    for (text, stored, error) in [
        (with("data: [DONE]\n\n"), 1, false),
        // The last line without its end, or none.
        (with("data: [DONE]"), 1, false),
        (CHUNK, 1, false),
        // It broke off, or ended with an error.
        (OPEN, 0, false),
        (with(failed), 0, true),
        ("data: [DONE]\n\n", 0, true),
    ] {
        let app = storing(streaming(text), 64 << 20);
        let (_, got) = complete(&app, true).await;
        assert_eq!(count_stored(&app).await, stored, "{text}");
        assert_eq!((got.contains("\"error\""), got.contains("[DONE]")), (error, text.contains("[DONE]")), "{got}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_to_be_stored_is_passed_on_if_it_is_a_stream_and_said_not_to_be_stored() {
    let chunk = |text: &str, finish: Value| {
        let choices = json!([{"index": 0, "delta": {"content": text}, "finish_reason": finish}]);
        format!("data: {}\n\n", json!({"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": choices}))
    };
    let end = chunk("", json!("stop")) + "data: [DONE]\n\n";
    let many = (0..100).map(|number| chunk(&format!("<{number}>"), Value::Null)).collect::<String>() + &end;
    let one = chunk(&"word ".repeat(2_000), Value::Null) + &end;
    let unended = many.replace("data: [DONE]\n\n", "");
    for (text, is_ended) in [(&many, true), (&one, true), (&unended, false)] {
        for (most, stored) in [(text.len(), 1), (text.len() - 1, 0), (1_000, 0)] {
            let app = storing(streaming(text), most);
            let (status, got) = complete(&app, true).await;
            assert_eq!((status, count_stored(&app).await), (200, stored), "{most}");
            assert!(got.contains("word word") || (0..100).all(|number| got.contains(&format!("<{number}>"))), "{got}");
            let error = format!("The completion is longer than {most} bytes, and is not stored.");
            assert_eq!((got.contains(&error), got.ends_with("data: [DONE]\n\n")), (stored == 0, is_ended), "{got}");
        }
    }
    let message = json!({"role": "assistant", "content": "word ".repeat(1_000)});
    let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
    let whole = json!({"id": "x", "object": "chat.completion", "model": "m", "choices": choices}).to_string();
    for (most, status) in [(whole.len(), 200), (whole.len() - 1, 502)] {
        let app = storing(Answering { kind: "application/json", text: whole.clone() }, most);
        let (answered, got) = complete(&app, false).await;
        assert_eq!((answered, count_stored(&app).await), (status, usize::from(status == 200)), "{got}");
        assert!(status == 200 || got.contains("is not stored"), "{got}");
    }
}

#[tokio::test]
async fn a_fork_that_is_asked_for_twice_at_once_is_one() {
    let store = Hooked::new(Slow(Duration::from_millis(50)));
    let app = building(Echo, store.clone()).router();
    let id = support::conversation(&app).await;
    for text in ["One", "Two"] {
        respond(&app, json!({"conversation": id, "input": text})).await;
    }
    let last = support::items(&app, &id).await[1]["id"].clone();
    let path = format!("/v1/turnwise/conversations/{id}/fork");
    let fork = || async {
        let key = [("idempotency-key", "key")];
        let (status, _, text) = support::full(&app, "POST", &path, &key, Some(json!({ "last": last }))).await;
        assert_eq!(status, 200, "{text}");
        text
    };
    let (one, two, three) = tokio::join!(fork(), fork(), fork());
    assert_eq!((&one, &one), (&two, &three));
    assert_eq!(store.store.list(None, 10).await.unwrap().iter().filter(|id| id.starts_with("conv_")).count(), 2);
    let made: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(support::items(&app, made["id"].as_str().unwrap()).await.len(), 2);
}

#[tokio::test]
async fn a_store_that_fails_is_no_empty_list_of_completions() {
    /// After the first list nothing is answered any more.
    #[derive(Default)]
    struct Broken(AtomicBool);
    impl Hook for Broken {
        fn before<'a>(&'a self, _: &'a MemoryStore, call: Call, _: &'a str) -> BoxFuture<'a, Result<(), Error>> {
            let error = turnwise::store::failed("reading", std::io::Error::other("disk on fire"));
            let is_broken = self.0.swap(true, Ordering::SeqCst) || call != Call::List;
            Box::pin(async move { if is_broken { Err(error) } else { Ok(()) } })
        }
    }
    let broken = Hooked::new(Broken::default());
    broken.store.save(&format!("chatcmpl-{}", "0".repeat(44)), &Transcript::default(), None).await.unwrap();
    let app = building(Echo, broken).router();
    assert_eq!(ask(&app, "GET", "/v1/chat/completions", None).await.0, 500);
}
