//! The routes over HTTP: what a client sends and what it gets.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use serde_json::{Value, json};
use tower::ServiceExt;
use turnwise::store::MemoryStore;
use turnwise_server::{Limits, Server};

fn app() -> Router {
    let mut limits = Limits::default();
    limits.body = 100_000;
    Server::new(MemoryStore::new()).limits(limits).router()
}

fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:8080")
}

fn answer(app: &Router, request: Request<Body>) -> (u16, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let response = app.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    })
}

fn post(app: &Router, path: &str, body: &str) -> (u16, Value) {
    let request = request("POST", path).header(header::CONTENT_TYPE, "application/json; charset=utf-8");
    answer(app, request.body(Body::from(body.to_owned())).unwrap())
}

fn send(app: &Router, method: &str, path: &str) -> (u16, Value) {
    answer(app, request(method, path).body(Body::empty()).unwrap())
}

#[test]
fn every_route_answers() {
    let app = app();
    let (status, made) =
        post(&app, "/v1/conversations", r#"{"metadata": {"a": "1"}, "items": [{"role": "user", "content": "Hi"}]}"#);
    let path = format!("/v1/conversations/{}", made["id"].as_str().unwrap());
    assert_eq!((status, send(&app, "GET", &path)), (200, (200, made.clone())));
    assert_eq!(post(&app, &path, r#"{"metadata": {"b": "2"}}"#).1["metadata"], json!({"b": "2"}));
    let items = format!("{path}/items");
    let (status, added) = post(&app, &items, r#"{"items": [{"role": "user", "content": "Bye"}]}"#);
    assert_eq!((status, &added["object"], added["data"].as_array().unwrap().len()), (200, &json!("list"), 1));
    let (_, page) = send(&app, "GET", &format!("{items}?order=asc&limit=1&include[]=file_search_call.results"));
    assert_eq!((&page["has_more"], &page["data"][0]["content"][0]["text"]), (&json!(true), &json!("Hi")));
    let item = format!("{items}/{}", page["first_id"].as_str().unwrap());
    assert_eq!(send(&app, "GET", &item), (200, page["data"][0].clone()));
    assert_eq!(send(&app, "DELETE", &item).1["object"], "conversation");
    assert_eq!(send(&app, "GET", &item).0, 404);
    assert_eq!(send(&app, "DELETE", &path).1["deleted"], true);
    assert_eq!(send(&app, "DELETE", &path).0, 404);
    assert_eq!(post(&app, "/v1/conversations", "").0, 200);
}

#[test]
fn what_cannot_be_answered_is_refused_in_the_form_of_the_api() {
    let app = app();
    let (_, made) = post(&app, "/v1/conversations", "{}");
    let path = format!("/v1/conversations/{}", made["id"].as_str().unwrap());
    let items = format!("{path}/items");
    let long = format!(r#"{{"items": "{}"}}"#, "x".repeat(100_000));
    let refusals = [
        (post(&app, "/v1/conversations", "{"), 400, "We could not parse the JSON body"),
        (post(&app, "/v1/conversations", "[]"), 400, "We could not parse the JSON body"),
        (post(&app, "/v1/conversations", &"[".repeat(50_000)), 400, "nested deeper than 100 levels"),
        (post(&app, "/v1/conversations", r#"{"item": []}"#), 400, "Unknown parameter: 'item'. Did you mean 'items'?"),
        (post(&app, &path, "{}"), 400, "Missing required parameter: 'metadata'."),
        (post(&app, &items, r#"{"items": null}"#), 400, "Missing required parameter: 'items'."),
        (post(&app, &items, &long), 413, "length limit exceeded"),
        (send(&app, "GET", &format!("{items}?limit=x")), 400, "expected an integer, but got a string"),
        (send(&app, "GET", &format!("{items}?order=up")), 400, "Supported values are: 'asc' and 'desc'."),
        (send(&app, "GET", &format!("{items}?include[]=all")), 400, "Invalid value: 'all'."),
        (send(&app, "GET", "/v1/conversations/conv_1"), 404, "Conversation with id 'conv_1' not found."),
        (send(&app, "GET", &format!("{items}/msg_1")), 404, "Item with id 'msg_1' not found in conversation."),
        (send(&app, "GET", "/v1/conversations/a%2F..%2Fb"), 404, "Conversation with id 'a/../b' not found."),
        (post(&app, &format!("{path}/messages"), "{}"), 404, "Invalid URL (POST /v1/conversations/"),
        (send(&app, "PUT", &path), 404, "Invalid URL (PUT /v1/conversations/"),
    ];
    for ((status, body), expected, message) in refusals {
        assert_eq!(status, expected, "{body}");
        assert!(body["error"]["message"].as_str().unwrap().contains(message), "{body}");
        assert_eq!(body["error"]["type"], "invalid_request_error");
    }
}

#[test]
fn a_web_page_of_another_origin_is_refused() {
    let app = app();
    let with = |name: header::HeaderName, value: &str| {
        let request = request("POST", "/v1/conversations").header(header::CONTENT_TYPE, "application/json");
        answer(&app, request.header(name, value).header(header::CONTENT_LENGTH, "2").body(Body::from("{}")).unwrap()).0
    };
    assert_eq!(with(header::ORIGIN, "http://localhost:3000"), 200);
    assert_eq!(with(header::ORIGIN, "https://example.com"), 403);
    assert_eq!(with(header::ORIGIN, "null"), 403);
    let plain = request("POST", "/v1/conversations").header(header::CONTENT_TYPE, "text/plain");
    assert_eq!(answer(&app, plain.header(header::CONTENT_LENGTH, "2").body(Body::from("{}")).unwrap()).0, 403);
    let foreign = Request::get("/v1/conversations/conv_1").header(header::HOST, "example.com");
    assert_eq!(answer(&app, foreign.body(Body::empty()).unwrap()).0, 403);
}
