//! Chat completions: what goes to the server behind, what comes back, what is recorded.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, header};
use axum::response::Response;
use serde_json::{Value, json};
use tower::ServiceExt;
use turnwise::backend::{BoxFuture, ChatBackend, Scripted};
use turnwise::store::{FileStore, MemoryStore};
use turnwise::{ConversationManager, TokenBudget};
use turnwise_server::{Server, Upstream};

/// Keeps what it is sent, and answers always the same.
#[derive(Clone, Default)]
struct Behind(Arc<Mutex<Vec<String>>>);

const ANSWER: &str = r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"Hi."}}],"own":1.0}"#;

impl Upstream for Behind {
    fn send(&self, path: &str, body: Option<Bytes>) -> BoxFuture<'static, Result<Response, String>> {
        let body = body.map(|body| String::from_utf8(body.to_vec()).unwrap());
        self.0.lock().unwrap().push(body.unwrap_or_else(|| path.to_owned()));
        Box::pin(async { Ok(Response::builder().status(201).body(Body::from(ANSWER)).unwrap()) })
    }
}

impl Behind {
    fn last(&self) -> String {
        self.0.lock().unwrap().last().unwrap().clone()
    }
}

fn server(behind: &Behind, backend: Scripted) -> Server {
    let backend: Arc<dyn ChatBackend> = Arc::new(backend);
    let managers = move |model: &str| {
        ConversationManager::builder(model).backend(Arc::clone(&backend)).budget(TokenBudget::limit(200))
    };
    Server::new(MemoryStore::new()).responses(managers).upstream(behind.clone())
}

struct Got {
    status: u16,
    plan: String,
    body: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn send(app: &Router, method: &str, path: &str, bound: Option<&str>, body: &str) -> Got {
    let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let request = bound.into_iter().fold(request, |request, id| request.header("x-turnwise-conversation", id));
    let response = app.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let plan = response.headers().get("x-turnwise-plan").map_or("", |plan| plan.to_str().unwrap()).to_owned();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    Got { status, plan, body: String::from_utf8(bytes.to_vec()).unwrap() }
}

async fn complete(app: &Router, bound: Option<&str>, body: &str) -> Got {
    send(app, "POST", "/v1/chat/completions", bound, body).await
}

async fn conversation(app: &Router) -> String {
    send(app, "POST", "/v1/conversations", None, "{}").await.json()["id"].as_str().unwrap().to_owned()
}

async fn items(app: &Router, id: &str) -> Value {
    send(app, "GET", &format!("/v1/conversations/{id}/items?order=asc"), None, "").await.json()["data"].clone()
}

#[tokio::test]
async fn a_request_that_fits_is_passed_on_byte_for_byte_and_so_is_the_answer() {
    let behind = Behind::default();
    let app = server(&behind, Scripted::default()).router();
    let body = r#"{ "model": "gpt-4o-mini", "messages": [{"role":"user","content":"Hi","own": 1.50}],  "weird": {"b":1,"a":[ ]}, "n": 2}"#;
    let got = complete(&app, None, body).await;
    assert_eq!((got.status, got.body.as_str(), behind.last().as_str()), (201, ANSWER, body));
    assert!(got.plan.starts_with("sent=1 shortened=0 summarized=0 left-out=0 tokens="), "{}", got.plan);
}

#[tokio::test]
async fn of_a_long_request_only_messages_are_left_out_and_the_others_are_as_they_were() {
    let behind = Behind::default();
    let app = server(&behind, Scripted::default()).router();
    let old = r#"{"role":"user","content":"WORDS","own":1.50},{"content":"Yes.","role":"assistant"}"#
        .replace("WORDS", &"word ".repeat(90));
    let system = r#"{"role":"system","content":"Be brief."}"#;
    let new = r#"{"content":"And now?","role":"user","own":[1]}"#;
    let body = format!(
        r#"{{"temperature":0.50,"model":"gpt-4o-mini","messages":[{system},{old},{old},{new}],"stream":true}}"#
    );
    let got = complete(&app, None, &body).await;
    let sent = behind.last();
    assert!(
        sent.starts_with(r#"{"temperature":0.50,"model":"gpt-4o-mini","messages":["#)
            && sent.ends_with(r#"],"stream":true}"#),
        "{sent}"
    );
    assert!(sent.contains(system) && sent.contains(new), "{sent}");
    let messages: Value = serde_json::from_str(&sent).unwrap();
    let left: usize = got.plan.split("left-out=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(left > 0);
    assert_eq!(messages["messages"].as_array().unwrap().len(), 6 - left);
}

#[tokio::test]
async fn what_must_be_sent_and_is_too_long_is_refused_if_the_server_says_so() {
    let behind = Behind::default();
    let app = server(&behind, Scripted::default()).refuse_long().router();
    let long = json!({"model": "gpt-4o-mini", "messages": [
        {"role": "user", "content": "word ".repeat(150)}, {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "word ".repeat(150)},
    ]});
    let got = complete(&app, None, &long.to_string()).await;
    assert_eq!((got.status, &got.json()["error"]["code"]), (400, &json!("context_length_exceeded")));
    assert_eq!(complete(&app, None, r#"{"model": "gpt-4o-mini"}"#).await.json()["error"]["param"], "messages");
    assert_eq!(complete(&app, None, r#"{"messages": []}"#).await.json()["error"]["param"], "model");
    assert!(behind.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_that_is_not_understood_is_for_the_server_behind_to_judge() {
    let behind = Behind::default();
    let app = server(&behind, Scripted::default()).router();
    for messages in ["[]", r#"[{"role": 1}]"#, r#"[{"role":"tool","tool_call_id":"c","content":"x"}]"#] {
        let body = format!(r#"{{"model":"gpt-4o-mini","messages":{messages}}}"#);
        let got = complete(&app, None, &body).await;
        assert_eq!((got.status, behind.last()), (201, body), "{}", got.body);
    }
}

#[tokio::test]
async fn one_model_can_answer_all_and_models_are_those_behind() {
    let behind = Behind::default();
    let app = server(&behind, Scripted::default()).router();
    assert_eq!(send(&app, "GET", "/v1/models", None, "").await.body, ANSWER);
    assert_eq!(behind.last(), "/models");
    let app = server(&behind, Scripted::default()).model("smollm2").router();
    complete(&app, None, r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}"#).await;
    assert_eq!(behind.last(), r#"{"model":"smollm2","messages":[{"role":"user","content":"Hi"}]}"#);
    assert_eq!(send(&app, "GET", "/v1/models", None, "").await.json()["data"][0]["id"], "smollm2");
}

#[tokio::test]
async fn a_request_that_names_a_conversation_continues_it_and_is_recorded() {
    let behind = Behind::default();
    let scripted = Scripted::new(["The Elbe.", "In Bohemia."]);
    let backend = Arc::new(scripted);
    let shared = Arc::clone(&backend);
    let managers = move |model: &str| ConversationManager::builder(model).backend(Arc::clone(&shared));
    let app = Server::new(MemoryStore::new()).responses(managers).upstream(behind.clone()).router();
    let id = conversation(&app).await;
    let first = json!({"model": "gpt-4o-mini", "temperature": 0.5, "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a river."},
    ]});
    let got = complete(&app, Some(&id), &first.to_string()).await;
    assert_eq!((got.status, &got.json()["choices"][0]["message"]["content"]), (200, &json!("The Elbe.")));
    let second = json!({"model": "gpt-4o-mini", "stream": true, "stream_options": {"include_usage": true},
        "metadata": {"turnwise_conversation": id}, "messages": [{"role": "user", "content": "Where does it begin?"}]});
    let got = complete(&app, None, &second.to_string()).await;
    assert!(got.body.ends_with("data: [DONE]\n\n"), "{}", got.body);
    let chunks: Vec<Value> =
        got.body.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk"));
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "In Bohemia.");
    let finish: Vec<&Value> =
        chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).filter(|finish| !finish.is_null()).collect();
    assert_eq!(finish, [&json!("stop")]);
    let sent = backend.requests();
    let texts: Vec<String> = sent[1].messages.iter().map(|message| message.text().into_owned()).collect();
    assert_eq!(texts, ["Name a river.", "The Elbe.", "Where does it begin?"]);
    assert_eq!(serde_json::to_value(&sent[0]).unwrap()["temperature"], 0.5);
    let items = items(&app, &id).await;
    let texts: Vec<&str> =
        items.as_array().unwrap().iter().map(|item| item["content"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["Name a river.", "The Elbe.", "Where does it begin?", "In Bohemia."]);
    let got = complete(&app, Some("conv_1"), &first.to_string()).await;
    assert_eq!(
        (got.status, &got.json()["error"]["message"]),
        (404, &json!("Conversation with id 'conv_1' not found."))
    );
    assert!(behind.0.lock().unwrap().is_empty());
}

/// Answers with a completion, or with chunks of one.
#[derive(Clone)]
struct Completing(Behind);

impl Upstream for Completing {
    fn send(&self, path: &str, body: Option<Bytes>) -> BoxFuture<'static, Result<Response, String>> {
        let is_streamed = body.as_ref().is_some_and(|body| String::from_utf8_lossy(body).contains("\"stream\":true"));
        drop(self.0.send(path, body));
        Box::pin(async move {
            if !is_streamed {
                let answer = json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "Hi.", "refusal": null},
                     "logprobs": null, "finish_reason": "stop"}]});
                let answer = Response::builder()
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(Body::from(answer.to_string()));
                return Ok(answer.unwrap());
            }
            let chunk = |delta: Value, finish: Value| {
                let chunk = json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
                    "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
                format!("data: {chunk}\n\n")
            };
            let call = |arguments: &str| json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]});
            let chunks = [
                chunk(json!({"role": "assistant", "content": "One "}), Value::Null),
                chunk(json!({"content": "moment."}), Value::Null),
                chunk(
                    json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function",
                    "function": {"name": "now", "arguments": ""}}]}),
                    Value::Null,
                ),
                chunk(call("{\"a\""), Value::Null),
                chunk(call(":1}"), Value::Null),
                chunk(json!({}), json!("tool_calls")),
                "data: [DONE]\n\n".to_owned(),
            ];
            // Cut where the network may cut: anywhere.
            let pieces: Vec<Result<Bytes, std::io::Error>> =
                chunks.concat().as_bytes().chunks(7).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let body = Body::from_stream(futures_util::stream::iter(pieces));
            Ok(Response::builder().header(header::CONTENT_TYPE, "text/event-stream").body(body).unwrap())
        })
    }
}

fn storing() -> (Behind, Router) {
    let behind = Behind::default();
    let backend: Arc<dyn ChatBackend> = Arc::new(Scripted::new(["Bound.", "Bound."]));
    let managers = move |model: &str| ConversationManager::builder(model).backend(Arc::clone(&backend));
    let server = Server::new(MemoryStore::new()).responses(managers).upstream(Completing(behind.clone()));
    (behind, server.router())
}

#[tokio::test]
async fn a_stored_completion_that_cannot_be_read_is_left_out_of_the_list() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let managers = |model: &str| ConversationManager::builder(model).backend(Scripted::default());
    let app = Server::new(store.clone()).responses(managers).upstream(Completing(Behind::default())).router();
    let body = json!({"model": "gpt-4o-mini", "store": true, "messages": [{"role": "user", "content": "Hi"}]});
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(complete(&app, None, &body.to_string()).await.json()["id"].as_str().unwrap().to_owned());
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    std::fs::write(store.path(&ids[1]).unwrap(), "{\"messages\": [").unwrap();
    for (order, wanted) in [("asc", [&ids[0], &ids[2]]), ("desc", [&ids[2], &ids[0]])] {
        let list = send(&app, "GET", &format!("/v1/chat/completions?order={order}"), None, "").await;
        assert_eq!(list.status, 200);
        let list = list.json();
        assert_eq!([&list["data"][0]["id"], &list["data"][1]["id"]], wanted);
        assert_eq!(list["has_more"], false);
    }
    assert_eq!(send(&app, "GET", &format!("/v1/chat/completions/{}", ids[1]), None, "").await.status, 500);
}

#[tokio::test]
async fn a_completion_is_stored_only_on_request_and_can_be_read_changed_and_deleted() {
    let (behind, app) = storing();
    let messages = json!([{"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]}]);
    let body = json!({"model": "gpt-4o-mini", "messages": messages, "store": true, "metadata": {"topic": "greeting"}});
    let made = complete(&app, None, &body.to_string()).await.json();
    let sent: Value = serde_json::from_str(&behind.last()).unwrap();
    assert_eq!((sent.get("store"), sent.get("metadata"), &sent["messages"]), (None, None, &messages));
    let id = made["id"].as_str().unwrap();
    let path = format!("/v1/chat/completions/{id}");
    let mut expected = made.clone();
    expected["metadata"] = json!({"topic": "greeting"});
    assert_eq!(send(&app, "GET", &path, None, "").await.json(), expected);
    let list = send(&app, "GET", &format!("{path}/messages"), None, "").await.json();
    assert_eq!(
        (&list["has_more"], &list["first_id"], &list["last_id"]),
        (&json!(false), &json!(format!("{id}-0")), &json!(format!("{id}-1")))
    );
    assert_eq!((&list["data"][0]["content"], &list["data"][1]["content"]), (&json!("Be brief."), &json!("Hello")));
    assert_eq!(
        (&list["data"][1]["content_parts"], &list["data"][0]["content_parts"]),
        (&messages[1]["content"], &Value::Null)
    );
    let changed = send(&app, "POST", &path, None, r#"{"metadata": {"topic": "other"}}"#).await.json();
    assert_eq!(changed["metadata"], json!({"topic": "other"}));
    assert_eq!(send(&app, "POST", &path, None, "{}").await.json()["error"]["param"], "metadata");
    let deleted = send(&app, "DELETE", &path, None, "").await.json();
    assert_eq!(deleted, json!({"object": "chat.completion.deleted", "id": id, "deleted": true}));
    for (method, path) in [("GET", path.clone()), ("DELETE", path.clone()), ("GET", format!("{path}/messages"))] {
        assert_eq!(send(&app, method, &path, None, "").await.status, 404);
    }
    complete(&app, None, r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}"#).await;
    let list = send(&app, "GET", "/v1/chat/completions", None, "").await.json();
    assert_eq!(list, json!({"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": false}));
    let conversation = conversation(&app).await;
    assert_eq!(send(&app, "GET", &format!("/v1/chat/completions/{conversation}"), None, "").await.status, 404);
}

#[tokio::test]
async fn stored_completions_are_listed_in_pages_by_model_and_metadata_in_both_orders() {
    let (_, app) = storing();
    let mut ids = Vec::new();
    for number in 0..5 {
        let body = json!({"model": "gpt-4o-mini", "store": true, "messages": [{"role": "user", "content": "Hi"}],
            "metadata": {"even": (number % 2 == 0).to_string()}});
        ids.push(complete(&app, None, &body.to_string()).await.json()["id"].as_str().unwrap().to_owned());
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let list = async |query: &str| {
        let list = send(&app, "GET", &format!("/v1/chat/completions?{query}"), None, "").await.json();
        let of = |one: &Value| one["id"].as_str().unwrap().to_owned();
        (list["data"].as_array().unwrap().iter().map(of).collect::<Vec<_>>(), list["has_more"].as_bool().unwrap())
    };
    assert_eq!(list("").await, (ids.clone(), false));
    assert_eq!(list("limit=2").await, (ids[..2].to_vec(), true));
    assert_eq!(list(&format!("limit=3&after={}", ids[1])).await, (ids[2..].to_vec(), false));
    let newest: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(list(&format!("order=desc&limit=2&after={}", newest[0])).await, (newest[1..3].to_vec(), true));
    assert_eq!(list("metadata[even]=false&model=m").await, (vec![ids[1].clone(), ids[3].clone()], false));
    assert_eq!(list("model=other").await, (Vec::new(), false));
    assert_eq!(send(&app, "GET", "/v1/chat/completions?limit=101", None, "").await.status, 400);
}

#[tokio::test]
async fn a_streamed_completion_is_put_together_and_stored_under_the_id_of_its_chunks() {
    let (_, app) = storing();
    let body =
        json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "store": true, "stream": true});
    let got = complete(&app, None, &body.to_string()).await;
    assert!(got.body.ends_with("data: [DONE]\n\n"), "{}", got.body);
    let chunks: Vec<Value> =
        got.body.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    let id = chunks[0]["id"].as_str().unwrap();
    assert!(chunks.len() == 6 && chunks.iter().all(|chunk| chunk["id"] == id));
    let stored = send(&app, "GET", &format!("/v1/chat/completions/{id}"), None, "").await.json();
    let choice = &stored["choices"][0];
    assert_eq!(
        (&choice["message"]["content"], &choice["finish_reason"]),
        (&json!("One moment."), &json!("tool_calls"))
    );
    let call = json!([{"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{\"a\":1}"}}]);
    assert_eq!((&choice["message"]["tool_calls"], &stored["object"]), (&call, &json!("chat.completion")));
}

#[tokio::test]
async fn a_completion_of_a_conversation_can_be_stored_too() {
    let (_, app) = storing();
    let id = conversation(&app).await;
    for is_streamed in [false, true] {
        let body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "store": true,
            "stream": is_streamed});
        assert_eq!(complete(&app, Some(&id), &body.to_string()).await.status, 200);
    }
    let list = send(&app, "GET", "/v1/chat/completions", None, "").await.json();
    let texts: Vec<&Value> =
        list["data"].as_array().unwrap().iter().map(|one| &one["choices"][0]["message"]["content"]).collect();
    assert_eq!(texts, [&json!("Bound."), &json!("Bound.")]);
    assert_eq!(items(&app, &id).await.as_array().unwrap().len(), 4);
}
