//! The pages for people.
#![cfg(feature = "pages")]
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use axum::Router;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use support::{Echo, ask, building, conversation, full, respond};
use tempfile::TempDir;
use turnwise::store::{FileStore, MemoryStore, Store};
use turnwise_server::Keys;

mod support;

async fn page(app: &Router, path: &str) -> String {
    let (status, headers, text) = full(app, "GET", path, &[], None).await;
    assert_eq!(status, 200, "{text}");
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/html"));
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert!(!text.contains("<script") && !text.contains(" style="), "{text}");
    text
}

#[tokio::test]
async fn conversations_are_listed_in_pages_without_what_the_server_stores_beside_them() {
    let app = support::echo();
    assert!(page(&app, "/").await.contains("There are none"));
    for _ in 0..30 {
        conversation(&app).await;
    }
    let response = respond(&app, json!({"input": "Hi"})).await;
    let first = page(&app, "/").await;
    assert_eq!(first.matches("<li>").count(), 25);
    let next = first.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    let next = next.replace("&#x2f;", "/");
    let second = page(&app, &next).await;
    assert_eq!((second.matches("<li>").count(), second.contains("rel=\"next\"")), (5, false));
    let id = response["id"].as_str().unwrap();
    assert!(!first.contains(id) && !second.contains(id));
    assert_eq!(full(&app, "GET", &format!("/conversations/{id}"), &[], None).await.0, 404);
}

#[tokio::test]
async fn a_conversation_after_very_many_completions_is_on_the_first_page() {
    let store = MemoryStore::new();
    let app = building(Echo, store.clone()).router();
    let id = conversation(&app).await;
    for number in 0..2_100 {
        store.save(&format!("chatcmpl-{number:044x}"), &turnwise::Transcript::default(), None).await.unwrap();
    }
    let first = page(&app, "/").await;
    assert!(first.contains(&id) && !first.contains("rel=\"next\""), "{first}");
    let (_, list) = ask(&app, "GET", "/v1/turnwise/conversations", None).await;
    assert_eq!((&list["data"][0]["id"], &list["has_more"]), (&json!(id), &json!(false)));
}

#[tokio::test]
async fn a_conversation_that_cannot_be_read_is_a_row_that_says_so() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let app = building(Echo, store.clone()).router();
    let (one, other) = (conversation(&app).await, conversation(&app).await);
    std::fs::write(store.path(&one).unwrap(), "{\"messages\": [{]}").unwrap();
    let list = page(&app, "/").await;
    assert_eq!((list.matches("<li>").count(), list.matches("cannot be read").count()), (2, 1), "{list}");
    assert!(list.contains(&one) && list.contains(&format!("href=\"&#x2f;conversations&#x2f;{other}\"")), "{list}");
}

#[tokio::test]
async fn a_response_that_cannot_be_read_is_one_that_says_so_on_the_page_of_its_conversation() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let app = building(Echo, store.clone()).router();
    let id = conversation(&app).await;
    let broken = respond(&app, json!({"conversation": id, "input": "Hi"})).await;
    respond(&app, json!({"conversation": id, "input": "And you?"})).await;
    std::fs::write(store.path(broken["id"].as_str().unwrap()).unwrap(), "{\"messages\": [{]}").unwrap();
    let shown = page(&app, &format!("/conversations/{id}")).await;
    let count = |text: &str| shown.matches(text).count();
    assert_eq!((count("<details>"), count("This response cannot be read"), count("completed")), (2, 1, 1), "{shown}");
}

#[tokio::test]
async fn a_conversation_is_shown_with_what_each_request_held_and_its_text_is_only_text() {
    let app = support::echo();
    let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let body = json!({"metadata": {"title": evil, "a<b": evil}, "items": [{"role": "user", "content": evil},
        {"role": "assistant", "content": "word ".repeat(3_000)}, {"type": "function_call", "call_id": "c", "name": "now",
        "arguments": evil}, {"type": "function_call_output", "call_id": "c", "output": "Noon."}]});
    let (_, made) = ask(&app, "POST", "/v1/conversations", Some(body)).await;
    let id = made["id"].as_str().unwrap();
    respond(&app, json!({"conversation": id, "input": "Hello", "instructions": "Be brief."})).await;
    let shown = page(&app, &format!("/conversations/{id}")).await;
    assert!(!shown.contains("<img") && shown.contains("&lt;script&gt;"), "{shown}");
    assert!(shown.contains("Noon.") && shown.contains(">function call output<"), "{shown}");
    assert!(shown.contains("<strong>left out</strong>") && shown.contains("<strong>sent</strong>"), "{shown}");
    assert!(shown.contains("<bdi>gpt-4o-mini</bdi>, completed: ") && shown.contains("of 2000 tokens"), "{shown}");
    let list = page(&app, "/").await;
    assert!(!list.contains("<img") && list.contains("5 messages") | list.contains("6 messages"), "{list}");
    let (status, _, text) = full(&app, "GET", "/conversations/conv_none", &[], None).await;
    assert!(status == 404 && text.contains("not found"), "{text}");
}

#[tokio::test]
async fn turns_whose_answers_are_not_stored_show_what_they_held_too() {
    let app = support::echo();
    let body = json!({"items": [{"role": "user", "content": "First"},
        {"role": "assistant", "content": "word ".repeat(3_000)}]});
    let (_, made) = ask(&app, "POST", "/v1/conversations", Some(body)).await;
    let id = made["id"].as_str().unwrap();
    let headers = [("x-turnwise-conversation", id), ("idempotency-key", "key")];
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let chat = json!({"model": "gpt-4o-mini", "messages": messages});
    let complete = async || full(&app, "POST", "/v1/chat/completions", &headers, Some(chat.clone())).await;
    let (status, _, first) = complete().await;
    assert_eq!((status, first.contains("turnwise_")), (200, false), "{first}");
    // What is recorded with the reply is in no answer.
    let (_, _, again) = complete().await;
    assert!(!again.contains("turnwise_") && again.contains("u:Hello"), "{again}");
    let streamed = json!({"model": "gpt-4o-mini", "messages": messages, "stream": true});
    full(&app, "POST", "/v1/chat/completions", &headers[..1], Some(streamed)).await;
    respond(&app, json!({"conversation": id, "input": "More", "store": false})).await;
    let items = support::items(&app, id).await;
    assert!(!json!(items).to_string().contains("turnwise_"), "{items:?}");
    let shown = page(&app, &format!("/conversations/{id}")).await;
    assert_eq!(shown.matches("<bdi>gpt-4o-mini</bdi>, completed: ").count(), 3, "{shown}");
    assert!(shown.contains("<strong>left out</strong>") && shown.contains("<strong>sent</strong>"), "{shown}");
    assert!(shown.contains(items[3]["id"].as_str().unwrap()), "{shown}");
}

#[tokio::test]
async fn without_keys_pages_are_for_this_machine_and_with_keys_for_whoever_knows_one() {
    let app = building(Echo, MemoryStore::new()).allow_host("chats.example.com").router();
    let ask_as = async |app: &Router, path: &str, headers: &[(&str, &str)]| full(app, "GET", path, headers, None).await;
    let of_host = async |host: &str, path: &str| {
        let request = axum::http::Request::get(path).header("host", host).body(axum::body::Body::empty()).unwrap();
        tower::ServiceExt::oneshot(app.clone(), request).await.unwrap().status().as_u16()
    };
    assert_eq!((of_host("localhost", "/").await, of_host("chats.example.com", "/").await), (200, 403));
    assert_eq!(of_host("chats.example.com", "/v1/conversations/x").await, 404);

    let folder = TempDir::new().unwrap();
    let keys = Keys::at(folder.path().join("keys.json"));
    let (ann, bob) = (keys.add("ann", "default").unwrap(), keys.add("bob", "blue").unwrap());
    let open = |_: &str| Ok(Arc::new(MemoryStore::new()) as Arc<dyn Store>);
    let store = MemoryStore::new();
    let keyed = building(Echo, store.clone()).keys(keys, open).router();
    store.save("talk", &turnwise::Transcript::default(), None).await.unwrap();
    let (status, headers, _) = ask_as(&keyed, "/", &[]).await;
    assert_eq!(status, 401);
    assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Basic realm="), "{headers:?}");
    let basic = |key: &str| format!("Basic {}", STANDARD.encode(format!("x:{key}")));
    for (key, status, sees) in [(&ann, 200, true), (&bob, 200, false), (&"wrong".to_owned(), 401, false)] {
        let (found, _, text) = ask_as(&keyed, "/", &[("authorization", &basic(key))]).await;
        assert_eq!((found, text.contains("talk")), (status, sees), "{text}");
    }
    // A password opens pages only: browsers send it along with what other pages ask for.
    assert_eq!(ask_as(&keyed, "/v1/conversations/talk", &[("authorization", &basic(&ann))]).await.0, 401);
    assert_eq!(ask_as(&keyed, "/", &[("authorization", &format!("Bearer {ann}"))]).await.0, 200);
    assert_eq!(ask_as(&keyed, "/conversations/talk", &[("authorization", &basic(&bob))]).await.0, 404);
}
