//! Responses over a WebSocket, on real connections.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use running::{Running, run};
use serde_json::{Value, json};
use support::{Echo, building};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};
use turnwise::ChatRequest;
use turnwise::backend::{Answer, BackendError, BoxFuture, ChatBackend, ChatReply, Scripted};
use turnwise::store::{MemoryStore, Store};
use turnwise_server::{Keys, Limits, Server};

#[path = "support/running.rs"]
mod running;
mod support;

type Socket = WebSocketStream<TcpStream>;

async fn serving(backend: impl ChatBackend + 'static, store: &MemoryStore) -> Running {
    run(building(backend, store.clone())).await
}

async fn connect(server: &Running) -> Socket {
    let stream = TcpStream::connect(server.address).await.unwrap();
    client_async(format!("ws://{}/v1/responses", server.address), stream).await.unwrap().0
}

async fn send(socket: &mut Socket, mut body: Value) {
    if body.get("type").is_none() {
        body["type"] = json!("response.create");
    }
    body["model"] = json!("gpt-4o-mini");
    socket.send(Message::text(body.to_string())).await.unwrap();
}

/// The next event.
async fn next(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            return serde_json::from_str(text.as_str()).unwrap();
        }
    }
}

/// The events of a turn.
async fn turn(socket: &mut Socket) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let event = next(socket).await;
        let kind = event["type"].as_str().unwrap().to_owned();
        events.push(event);
        if ["response.completed", "response.incomplete", "response.failed", "error"].contains(&&*kind) {
            return events;
        }
    }
}

async fn ask(socket: &mut Socket, body: Value) -> Value {
    send(socket, body).await;
    turn(socket).await.pop().unwrap()
}

fn said(end: &Value) -> &str {
    end["response"]["output"][0]["content"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn a_turn_has_the_events_of_a_stream_and_the_next_one_continues_it_without_a_store() {
    let store = MemoryStore::new();
    let server = serving(Echo, &store).await;
    let mut socket = connect(&server).await;
    send(&mut socket, json!({"input": "One", "store": false})).await;
    let events = turn(&mut socket).await;
    assert_eq!((&events[0]["type"], &events[1]["type"]), (&json!("response.created"), &json!("response.in_progress")));
    assert!(events.iter().enumerate().all(|(number, event)| event["sequence_number"] == json!(number)));
    let first = events.last().unwrap();
    assert_eq!(first["type"], "response.completed");
    let second =
        ask(&mut socket, json!({"input": "Two", "store": false, "previous_response_id": first["response"]["id"]}))
            .await;
    assert_eq!(said(&second), "u:One|a:u:One|u:Two");
    assert!(store.list(None, 10).await.unwrap().is_empty());
    // The newest only: the first is known no more, and on another connection none is.
    let missing = ask(&mut socket, json!({"input": "x", "previous_response_id": first["response"]["id"]})).await;
    assert_eq!((&missing["status"], &missing["error"]["code"]), (&json!(400), &json!("previous_response_not_found")));
    let mut other = connect(&server).await;
    let missing = ask(&mut other, json!({"input": "x", "previous_response_id": second["response"]["id"]})).await;
    assert_eq!(missing["error"]["code"], "previous_response_not_found");
    // What is stored now has all that came before it.
    let stored = ask(&mut socket, json!({"input": "Three", "previous_response_id": second["response"]["id"]})).await;
    let next = ask(&mut other, json!({"input": "Four", "previous_response_id": stored["response"]["id"]})).await;
    assert!(said(&next).starts_with("u:One|") && said(&next).ends_with("|u:Four"), "{next}");
}

#[tokio::test]
async fn a_continuation_that_fails_is_forgotten_and_the_connection_goes_on() {
    let server = serving(Echo, &MemoryStore::new()).await;
    let mut socket = connect(&server).await;
    let first = ask(&mut socket, json!({"input": "One", "store": false})).await;
    let id = &first["response"]["id"];
    let output = json!([{"type": "function_call_output", "call_id": "none", "output": "x"}]);
    let failed =
        ask(&mut socket, json!({"input": output, "store": false, "previous_response_id": id, "truncation": "no"}))
            .await;
    assert_eq!(failed["type"], "error");
    let again = ask(&mut socket, json!({"input": "Two", "store": false, "previous_response_id": id})).await;
    assert_eq!(again["error"]["code"], "previous_response_not_found");
    assert!(said(&ask(&mut socket, json!({"input": "Two", "store": false})).await).ends_with("u:Two"));
    for (body, code) in [
        (json!({"type": "response.cancel"}), "invalid_value"),
        (json!({"input": "x", "stream": false}), "unsupported_parameter"),
        (json!({"input": "x", "background": true}), "unsupported_parameter"),
        (json!({"input": "x", "sto": true}), "unknown_parameter"),
    ] {
        assert_eq!(ask(&mut socket, body).await["error"]["code"], code);
    }
    socket.send(Message::text("{")).await.unwrap();
    assert_eq!(next(&mut socket).await["status"], 400);
    assert!(said(&ask(&mut socket, json!({"input": "Still here?"})).await).ends_with("Still here?"));
}

#[tokio::test]
async fn requests_that_come_while_one_runs_are_answered_after_it() {
    let server = serving(Scripted::new(["One.", "Two.", "Three."]), &MemoryStore::new()).await;
    let mut socket = connect(&server).await;
    for input in ["1", "2", "3"] {
        send(&mut socket, json!({"input": input})).await;
    }
    for expected in ["One.", "Two.", "Three."] {
        assert_eq!(said(turn(&mut socket).await.last().unwrap()), expected);
    }
}

#[tokio::test]
async fn however_many_requests_come_at_once_each_is_answered_in_its_order() {
    let server = run(building(Slow(Duration::from_millis(5)), MemoryStore::new())).await;
    let mut socket = connect(&server).await;
    for number in 0..40 {
        if number == 20 {
            socket.send(Message::binary(vec![0])).await.unwrap();
        }
        send(&mut socket, json!({"input": number.to_string()})).await;
    }
    for number in 0..41 {
        let end = turn(&mut socket).await.pop().unwrap();
        let expected = if number == 20 { "error" } else { "response.completed" };
        assert_eq!(end["type"], expected, "{number}: {end}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_turn_and_no_lock() {
    let store = MemoryStore::new();
    let server =
        serving(Scripted::default().and(Answer::from("One two three.").stalled_after(2)).and("Yes."), &store).await;
    let api = turnwise_conversations::Conversations::new(store.clone());
    let id = api.create(turnwise_conversations::Create::default()).await.unwrap().id;
    let mut socket = connect(&server).await;
    send(&mut socket, json!({"conversation": id, "input": "Hi"})).await;
    next(&mut socket).await;
    drop(socket);
    let mut socket = connect(&server).await;
    let mut answered = ask(&mut socket, json!({"conversation": id, "input": "Again"})).await;
    while answered["error"]["code"] == "conversation_locked" {
        tokio::time::sleep(Duration::from_millis(20)).await;
        answered = ask(&mut socket, json!({"conversation": id, "input": "Again"})).await;
    }
    assert_eq!(said(&answered), "Yes.");
    assert_eq!(api.items(&id).list(turnwise_conversations::List::default()).await.unwrap().data.len(), 2);
}

#[tokio::test]
async fn a_page_of_another_origin_gets_no_socket_and_a_plain_request_is_no_socket() {
    let server = serving(Echo, &MemoryStore::new()).await;
    let mut request = format!("ws://{}/v1/responses", server.address).into_client_request().unwrap();
    request.headers_mut().insert("origin", "https://example.com".parse().unwrap());
    let stream = TcpStream::connect(server.address).await.unwrap();
    assert!(client_async(request, stream).await.unwrap_err().to_string().contains("403"));
    let app = support::echo();
    let (status, text) = support::text_of(&app, "GET", "/v1/responses", None).await;
    assert!(status == 404 && text.contains("asks for a WebSocket"), "{text}");
}

#[tokio::test]
async fn a_server_that_stops_closes_idle_sockets_and_limits_hold_for_each() {
    let mut limits = Limits::default();
    (limits.connections, limits.requests_per_minute, limits.body) = (2, Some(4), 2_000);
    let backend: Arc<dyn ChatBackend> = Arc::new(Scripted::new(vec!["Yes."; 8]));
    let managers = move |model: &str| turnwise::ConversationManager::builder(model).backend(Arc::clone(&backend));
    let server = run(Server::new(MemoryStore::new()).responses(managers).limits(limits)).await;
    let mut socket = connect(&server).await;
    // The connection is the first request of the minute.
    for _ in 0..3 {
        assert_eq!(ask(&mut socket, json!({"input": "Hi"})).await["type"], "response.completed");
    }
    let refused = ask(&mut socket, json!({"input": "Hi"})).await;
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&json!(429), &json!("rate_limit_exceeded")));
    server.stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), server.ended).await;
    assert!(ended.unwrap().unwrap().is_ok());
    assert!(!matches!(socket.next().await, Some(Ok(Message::Text(_)))));
}

#[tokio::test]
async fn a_key_that_is_removed_works_no_more_over_an_open_socket() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("keys.json");
    let secret = Keys::at(&file).add("ann", "default").unwrap();
    let open = |_: &str| Ok(Arc::new(MemoryStore::new()) as Arc<dyn Store>);
    let server = run(building(Echo, MemoryStore::new()).keys(Keys::at(&file), open)).await;
    let mut request = format!("ws://{}/v1/responses", server.address).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {secret}").parse().unwrap());
    let mut socket = client_async(request, TcpStream::connect(server.address).await.unwrap()).await.unwrap().0;
    assert_eq!(ask(&mut socket, json!({"input": "Hi"})).await["type"], "response.completed");
    Keys::at(&file).remove("ann").unwrap();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let refused = ask(&mut socket, json!({"input": "Hi"})).await;
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&json!(401), &json!("invalid_api_key")));
    assert!(!matches!(socket.next().await, Some(Ok(Message::Text(_)))), "it is closed");
}

#[tokio::test]
async fn a_socket_that_is_too_old_is_closed_although_requests_wait() {
    let mut limits = Limits::default();
    limits.socket_life = Duration::from_millis(150);
    let server = run(building(Slow(Duration::from_millis(100)), MemoryStore::new()).limits(limits)).await;
    let mut socket = connect(&server).await;
    for _ in 0..8 {
        send(&mut socket, json!({"input": "Hi"})).await;
    }
    let mut turns = 0;
    let last = loop {
        let last = turn(&mut socket).await.pop().unwrap();
        if last["type"] != "response.completed" {
            break last;
        }
        turns += 1;
    };
    assert_eq!(last["error"]["code"], "websocket_connection_limit_reached");
    assert!(turns < 4, "{turns}");
}

/// Answers after a time.
struct Slow(Duration);

impl ChatBackend for Slow {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let time = self.0;
        Box::pin(async move {
            tokio::time::sleep(time).await;
            Scripted::new(["Yes."]).complete(request).await
        })
    }
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_first_event_leaves_no_lock() {
    let store = MemoryStore::new();
    let server = serving(Slow(Duration::from_secs(60)), &store).await;
    let api = turnwise_conversations::Conversations::new(store.clone());
    let id = api.create(turnwise_conversations::Create::default()).await.unwrap().id;
    let body = json!({"conversation": id, "input": "Hi"});
    let mut socket = connect(&server).await;
    send(&mut socket, body.clone()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut other = connect(&server).await;
    assert_eq!(ask(&mut other, body.clone()).await["error"]["code"], "conversation_locked");
    drop(socket);
    tokio::time::sleep(Duration::from_millis(300)).await;
    // It is not refused now, and waits for the model.
    send(&mut other, body).await;
    let answered = tokio::time::timeout(Duration::from_millis(500), next(&mut other)).await;
    assert!(answered.is_err(), "{answered:?}");
}
