//! A server without a network, and what asks it.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses some of it")]

pub(crate) mod hooked;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, header};
use serde_json::{Value, json};
use tower::ServiceExt;
use turnwise::backend::{BackendError, BoxFuture, ChatBackend, ChatReply, Scripted};
use turnwise::store::{MemoryStore, Store};
use turnwise::{ChatRequest, ConversationManager, TokenBudget};
use turnwise_server::Server;

/// Answers with the texts of the prompt, each after the first letter of its role. What only the record
/// has must not be in it.
pub(crate) struct Echo;

impl ChatBackend for Echo {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        for message in &request.messages {
            assert!(message.extra().all(|(name, _)| !name.starts_with("turnwise")), "{message:?}");
        }
        let texts =
            request.messages.iter().map(|message| format!("{}:{}", &message.role().as_str()[..1], message.text()));
        let said: Vec<String> = texts.collect();
        let one = Scripted::new([said.join("|")]);
        Box::pin(async move { one.complete(request).await })
    }
}

pub(crate) fn server(backend: impl ChatBackend + 'static, store: &MemoryStore) -> Router {
    building(backend, store.clone()).router()
}

pub(crate) fn building(backend: impl ChatBackend + 'static, store: impl Store + 'static) -> Server {
    let backend: Arc<dyn ChatBackend> = Arc::new(backend);
    let managers = move |model: &str| {
        ConversationManager::builder(model).backend(Arc::clone(&backend)).budget(TokenBudget::limit(2_000))
    };
    Server::new(store).responses(managers)
}

pub(crate) fn echo() -> Router {
    server(Echo, &MemoryStore::new())
}

pub(crate) async fn text_of(app: &Router, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
    let (status, _, text) = full(app, method, path, &[], body).await;
    (status, text)
}

/// The status, the headers and the text of an answer.
pub(crate) async fn full(
    app: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> (u16, HeaderMap, String) {
    let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let response = app.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, headers, String::from_utf8(bytes.to_vec()).unwrap())
}

/// An answer whose body is not read yet.
pub(crate) async fn open(app: &Router, path: &str, body: &Value) -> axum::response::Response {
    let request = Request::post(path).header(header::HOST, "localhost");
    let request = request.header(header::CONTENT_TYPE, "application/json");
    app.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap()
}

pub(crate) async fn ask(app: &Router, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let (status, text) = text_of(app, method, path, body).await;
    (status, serde_json::from_str(&text).unwrap())
}

pub(crate) async fn respond(app: &Router, mut body: Value) -> Value {
    body["model"] = json!("gpt-4o-mini");
    let (status, answer) = ask(app, "POST", "/v1/responses", Some(body)).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

pub(crate) async fn refuse(app: &Router, mut body: Value) -> (u16, Value) {
    if body.get("model").is_none() {
        body["model"] = json!("gpt-4o-mini");
    }
    let (status, answer) = ask(app, "POST", "/v1/responses", Some(body)).await;
    (status, answer["error"].clone())
}

pub(crate) fn said(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"].as_str().unwrap()
}

pub(crate) async fn conversation(app: &Router) -> String {
    let (_, made) = ask(app, "POST", "/v1/conversations", Some(json!({}))).await;
    made["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn items(app: &Router, id: &str) -> Vec<Value> {
    let (_, list) = ask(app, "GET", &format!("/v1/conversations/{id}/items?order=asc&limit=100"), None).await;
    list["data"].as_array().unwrap().clone()
}

/// The events of a stream, by their names.
pub(crate) fn events(text: &str) -> Vec<(String, Value)> {
    let blocks = text.split("\n\n").filter(|block| block.contains("data: "));
    let read = blocks.map(|block| {
        let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        (line("event: "), serde_json::from_str(&line("data: ")).unwrap())
    });
    read.collect()
}

pub(crate) async fn stream(app: &Router, mut body: Value) -> Vec<(String, Value)> {
    (body["model"], body["stream"]) = (json!("gpt-4o-mini"), json!(true));
    let (status, text) = text_of(app, "POST", "/v1/responses", Some(body)).await;
    assert_eq!(status, 200, "{text}");
    events(&text)
}
