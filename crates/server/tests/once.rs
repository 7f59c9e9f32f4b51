//! Requests that are sent again with the same `Idempotency-Key`; and what the server counts.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use futures_util::StreamExt;
use serde_json::{Value, json};
use support::hooked::{Call, Hook, Hooked};
use support::{ask, building, conversation, events, full, items, server};
use tokio::sync::Semaphore;
use tower::ServiceExt;
use turnwise::backend::{Answer, BackendError, BoxFuture, ChatBackend, ChatReply, Scripted, Usage};
use turnwise::store::{MemoryStore, Store};
use turnwise::{ChatRequest, ConversationManager, Error, Message, ToolCall, Transcript};
use turnwise_server::{Keys, Server};

mod support;

const KEY: [(&str, &str); 1] = [("idempotency-key", "key 1")];

async fn send(app: &Router, body: &Value) -> (u16, HeaderMap, String) {
    let mut body = body.clone();
    body["model"] = json!("gpt-4o-mini");
    full(app, "POST", "/v1/responses", &KEY, Some(body)).await
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn is_replayed(headers: &HeaderMap) -> bool {
    headers.contains_key("idempotent-replayed")
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_answered_with_the_recorded_turn() {
    let backend = Arc::new(Scripted::new(["One.", "Two.", "Three."]));
    let store = MemoryStore::new();
    let app = server(Arc::clone(&backend), &store);
    let id = conversation(&app).await;
    let first = support::respond(&app, json!({"input": "Hi"})).await;
    for (count, body) in [
        json!({"conversation": id, "input": "Hello"}),
        json!({"conversation": id, "input": "Hello", "store": false}),
        json!({"previous_response_id": first["id"], "input": "Hello"}),
    ]
    .iter()
    .enumerate()
    {
        backend.then("More.");
        let app = app.clone();
        let key = format!("key {count}");
        let mut body = body.clone();
        body["model"] = json!("gpt-4o-mini");
        let again =
            || async { full(&app, "POST", "/v1/responses", &[("idempotency-key", &key)], Some(body.clone())).await };
        let ((status, headers, one), asked) = (again().await, backend.requests().len());
        assert_eq!((status, is_replayed(&headers)), (200, false), "{one}");
        let (status, headers, two) = again().await;
        assert_eq!((status, is_replayed(&headers), json_of(&two)), (200, true, json_of(&one)));
        assert_eq!(backend.requests().len(), asked);
    }
    assert_eq!(items(&app, &id).await.len(), 4);
}

/// What a turn writes must not grow with the turns before it, or with what its request repeats.
#[tokio::test]
async fn what_is_kept_of_requests_with_keys_is_small() {
    let store = MemoryStore::new();
    let app = server(Scripted::new(vec!["Yes."; 60]), &store);
    let id = conversation(&app).await;
    let tool = json!({"type": "function", "name": "now", "description": "x".repeat(2_000), "parameters": {}});
    for number in 0..30 {
        let key = format!("key {number}");
        let body = json!({"model": "gpt-4o-mini", "conversation": id, "input": "Hi", "store": false, "tools": [tool]});
        assert_eq!(full(&app, "POST", "/v1/responses", &[("idempotency-key", &key)], Some(body)).await.0, 200);
        let headers = [("idempotency-key", key.as_str()), ("x-turnwise-conversation", &id)];
        let body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]});
        assert_eq!(full(&app, "POST", "/v1/chat/completions", &headers, Some(body)).await.0, 200);
    }
    let (file, _) = store.load(&id).await.unwrap();
    let kept: usize = file.extra.iter().map(|(_, value)| value.as_str().len()).sum();
    assert!(kept < 60 * 300, "{kept} bytes for 60 requests");
}

#[tokio::test]
async fn another_request_with_the_same_key_is_refused() {
    for body in [json!({"input": "Hello"}), json!({"input": "Hello", "store": false})] {
        let app = server(Scripted::new(["One."]), &MemoryStore::new());
        let id = conversation(&app).await;
        let mut body = body.clone();
        body["conversation"] = json!(id);
        assert_eq!(send(&app, &body).await.0, 200);
        body["input"] = json!("Other");
        let (status, _, text) = send(&app, &body).await;
        assert_eq!((status, &json_of(&text)["error"]["code"]), (400, &json!("idempotency_key_in_use")));
        assert_eq!(items(&app, &id).await.len(), 2);
    }
}

#[tokio::test]
async fn a_stream_is_shown_again_with_the_same_events() {
    let call = Message::calls([ToolCall::function("c1", "now", "{}")]).with_content("One moment.");
    let app = server(Scripted::default().and(call), &MemoryStore::new());
    let id = conversation(&app).await;
    let body = json!({"conversation": id, "input": "What time is it?", "stream": true, "store": false,
        "tools": [{"type": "function", "name": "now"}]});
    let (_, _, first) = send(&app, &body).await;
    let (status, headers, again) = send(&app, &body).await;
    assert_eq!((status, is_replayed(&headers)), (200, true), "{again}");
    let whole = |text: &str| -> Vec<(String, Value)> {
        let all = events(text).into_iter().filter(|(name, _)| !name.ends_with("delta"));
        all.map(|(name, mut event)| {
            event.as_object_mut().unwrap().remove("sequence_number");
            event["response"].as_object_mut().map(|response| response.remove("usage"));
            (name, event)
        })
        .collect()
    };
    assert_eq!(whole(&again), whole(&first));
    for (number, (_, event)) in events(&again).iter().enumerate() {
        assert_eq!(event["sequence_number"], json!(number));
    }
    assert_eq!(
        events(&again).last(),
        events(&first)
            .last()
            .map(|last| {
                let mut last = last.clone();
                last.1["sequence_number"] = json!(events(&again).len() - 1);
                last
            })
            .as_ref()
    );
    assert_eq!(items(&app, &id).await.len(), 3);
}

#[tokio::test]
async fn a_stream_that_was_cut_is_recorded_once_when_it_is_sent_again() {
    let backend = Scripted::new(["word ".repeat(2_000), "Done.".to_owned()]);
    let app = server(backend, &MemoryStore::new());
    let id = conversation(&app).await;
    let body = json!({"model": "gpt-4o-mini", "conversation": id, "input": "Hello", "stream": true});
    let request = Request::post("/v1/responses").header(header::HOST, "localhost");
    let request = request.header(header::CONTENT_TYPE, "application/json").header(KEY[0].0, KEY[0].1);
    let response = app.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let mut frames = response.into_body().into_data_stream();
    frames.next().await.unwrap().unwrap();
    drop(frames);
    let (status, _, text) = send(&app, &body).await;
    assert_eq!((status, events(&text).last().unwrap().0.as_str()), (200, "response.completed"), "{text}");
    assert_eq!(items(&app, &id).await.len(), 2);
}

/// Answers after a while.
struct Slow(Arc<Scripted>);

impl ChatBackend for Slow {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let answer = self.0.complete(request);
        Box::pin(async move {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            answer.await
        })
    }
}

#[tokio::test]
async fn a_request_that_is_sent_again_while_it_runs_waits_for_the_first() {
    let backend = Arc::new(Scripted::new(["One.", "Two."]));
    let app = server(Slow(Arc::clone(&backend)), &MemoryStore::new());
    let id = conversation(&app).await;
    let body = json!({"conversation": id, "input": "Hello"});
    let ((_, _, one), (_, _, two)) = tokio::join!(send(&app, &body), send(&app, &body));
    assert_eq!((json_of(&one), backend.requests().len()), (json_of(&two), 1));
    assert_eq!(items(&app, &id).await.len(), 2);
}

/// Counts how often a conversation is read.
#[derive(Clone, Default)]
struct Loads(Arc<AtomicUsize>);

impl Loads {
    fn since_last(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Hook for Loads {
    fn before<'a>(&'a self, _: &'a MemoryStore, call: Call, id: &'a str) -> BoxFuture<'a, turnwise::Result<()>> {
        if call == Call::Load && id.starts_with("conv_") {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Box::pin(async { Ok(()) })
    }
}

/// Answers each request when it is let.
struct Gated {
    backend: Arc<Scripted>,
    asked: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

impl ChatBackend for Gated {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let answer = self.backend.complete(request);
        let answers = Arc::clone(&self.answers);
        self.asked.add_permits(1);
        Box::pin(async move {
            answers.acquire().await.unwrap().forget();
            answer.await
        })
    }
}

/// Many clients may ask for one conversation at once, and most of them are refused.
#[tokio::test]
async fn a_turn_reads_its_conversation_once_and_a_refused_request_does_not_read_it() {
    let backend = Arc::new(Scripted::new(["One.", "Two.", "Three."]));
    let (asked, answers) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let gated = Gated { backend, asked: Arc::clone(&asked), answers: Arc::clone(&answers) };
    let loads = Loads::default();
    let app = building(gated, Hooked::new(loads.clone())).router();
    let id = conversation(&app).await;
    let body = json!({"model": "gpt-4o-mini", "conversation": id, "input": "Hi"});
    let respond = async |key: &str| {
        let key = [("idempotency-key", key)];
        full(&app, "POST", "/v1/responses", &key[..usize::from(!key[0].1.is_empty())], Some(body.clone())).await
    };
    let complete = async |key: &str| {
        let headers = [("x-turnwise-conversation", &*id), ("idempotency-key", key)];
        let body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]});
        let count = 1 + usize::from(!key.is_empty());
        full(&app, "POST", "/v1/chat/completions", &headers[..count], Some(body)).await
    };
    for (key, is_completion) in [("a", false), ("b", true)] {
        loads.since_last();
        let turn = async { if is_completion { complete(key).await } else { respond(key).await } };
        let refused = async {
            asked.acquire().await.unwrap().forget();
            assert_eq!(loads.since_last(), 1, "a turn reads its conversation");
            for key in ["", "another"] {
                for (.., text) in [respond(key).await, complete(key).await] {
                    assert_eq!(json_of(&text)["error"]["code"], "conversation_locked", "{text}");
                }
            }
            assert_eq!(loads.since_last(), 0, "a refused request reads nothing");
            if is_completion {
                let (status, headers, _) = respond("a").await;
                assert_eq!(
                    (status, is_replayed(&headers)),
                    (200, true),
                    "a recorded turn is found though another runs"
                );
                loads.since_last();
            }
            answers.add_permits(1);
        };
        let ((status, _, text), ()) = tokio::join!(turn, refused);
        assert_eq!((status, loads.since_last()), (200, 0), "what is recorded is not read again: {text}");
    }
    assert_eq!(items(&app, &id).await.len(), 4);
}

#[tokio::test]
async fn a_failed_request_is_tried_again() {
    let backend = Scripted::default()
        .and(Answer::from("The Elbe.").broken_after(1, BackendError::interrupted("cut")))
        .and("Yes.");
    let app = server(backend, &MemoryStore::new());
    let id = conversation(&app).await;
    let body = json!({"conversation": id, "input": "Hello", "stream": true});
    assert_eq!(events(&send(&app, &body).await.2).last().unwrap().0, "response.failed");
    assert_eq!(events(&send(&app, &body).await.2).last().unwrap().0, "response.completed");
    assert_eq!(items(&app, &id).await.len(), 2);
}

#[tokio::test]
async fn a_completion_of_a_conversation_is_recorded_once_too() {
    let call = Message::calls([ToolCall::function("c1", "now", "{}")]);
    let backend = Arc::new(Scripted::new(["One."]).and(call));
    let app = server(Arc::clone(&backend), &MemoryStore::new());
    let id = conversation(&app).await;
    let tools = json!([{"type": "function", "function": {"name": "now"}}]);
    let body = json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "tools": tools});
    let bound = |key| [("x-turnwise-conversation", &*id), ("idempotency-key", key)];
    let complete =
        async |key, body: &Value| full(&app, "POST", "/v1/chat/completions", &bound(key), Some(body.clone())).await;
    let (status, _, one) = complete("a", &body).await;
    assert_eq!(status, 200, "{one}");
    let (_, headers, two) = complete("a", &body).await;
    assert_eq!((is_replayed(&headers), &json_of(&two)), (true, &json_of(&one)));
    let (_, _, chunks) = complete("a", &body).await;
    assert_eq!(json_of(&chunks)["choices"][0]["message"]["content"], "One.");
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let (_, _, first) = complete("b", &streamed).await;
    let (_, headers, again) = complete("b", &streamed).await;
    assert!(is_replayed(&headers) && again.ends_with("data: [DONE]\n\n"), "{again}");
    let of = |text: &str| -> Vec<Value> {
        text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect()
    };
    let name = |chunks: &[Value]| {
        let calls = chunks.iter().find_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0].as_object().cloned());
        (calls.unwrap()["function"]["name"].clone(), chunks.last().unwrap()["choices"][0]["finish_reason"].clone())
    };
    assert_eq!(name(&of(&again)), name(&of(&first)));
    assert_eq!(of(&again)[0]["id"], of(&first)[0]["id"]);
    assert_eq!((backend.requests().len(), items(&app, &id).await.len()), (2, 4));
    assert_eq!(complete("a", &streamed).await.0, 400);
}

fn billed() -> ChatReply {
    ChatReply::new(Message::assistant("Yes.")).usage(Usage::new(500, 2))
}

#[tokio::test]
async fn requests_tokens_and_trimmed_messages_are_counted_without_ids() {
    let app = server(Scripted::new(vec![billed(); 6]), &MemoryStore::new());
    let id = conversation(&app).await;
    for _ in 0..6 {
        support::respond(&app, json!({"conversation": id, "input": "word ".repeat(500)})).await;
    }
    ask(&app, "GET", "/v1/conversations/conv_1", None).await;
    ask(&app, "GET", "/nothing", None).await;
    let (status, headers, text) = full(&app, "GET", "/metrics", &[], None).await;
    assert!(status == 200 && headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    for line in [
        "turnwise_requests_total{route=\"/v1/responses\",method=\"POST\",status=\"200\"} 6",
        "turnwise_requests_total{route=\"/v1/conversations/{id}\",method=\"GET\",status=\"404\"} 1",
        "turnwise_requests_total{route=\"unknown\",method=\"GET\",status=\"404\"} 1",
        "turnwise_request_seconds_count{route=\"/v1/responses\"} 6",
        "turnwise_running 1",
        "turnwise_trimmed_total 3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.contains("turnwise_tokens_total{kind=\"output\"} 12") && !text.contains(&id));
    assert!(text.contains("turnwise_messages_total{fate=\"left_out\"}"), "{text}");
}

#[tokio::test]
async fn with_keys_the_metrics_are_for_the_default_tenant() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("keys.json");
    let keys = Keys::at(&file);
    let (ours, theirs) = (keys.add("ann", "default").unwrap(), keys.add("bob", "blue").unwrap());
    let app =
        Server::new(MemoryStore::new()).keys(keys, |_| Ok(Arc::new(MemoryStore::new()) as Arc<dyn Store>)).router();
    for (key, status) in [(ours, 200), (theirs, 403), ("wrong".to_owned(), 401)] {
        let bearer = format!("Bearer {key}");
        assert_eq!(full(&app, "GET", "/metrics", &[("authorization", &bearer)], None).await.0, status);
    }
}

#[tokio::test]
async fn a_conversation_that_a_manager_opens_later_is_as_it_was() {
    let store = MemoryStore::new();
    let app = building(Scripted::new(["One."]), store.clone()).router();
    let id = conversation(&app).await;
    send(&app, &json!({"conversation": id, "input": "Hello"})).await;
    let (file, _) = store.load(&id).await.unwrap();
    let chat = ConversationManager::builder("gpt-4o-mini").backend(Scripted::default()).open(file).unwrap();
    assert_eq!(chat.history().len(), 2);
}

#[tokio::test]
async fn items_that_are_sent_again_are_added_once() {
    let app = server(Scripted::default(), &MemoryStore::new());
    let id = conversation(&app).await;
    let path = format!("/v1/conversations/{id}/items");
    let body = json!({"items": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]});
    let (_, _, one) = full(&app, "POST", &path, &KEY, Some(body.clone())).await;
    let (status, headers, two) = full(&app, "POST", &path, &KEY, Some(body.clone())).await;
    assert_eq!((status, is_replayed(&headers), json_of(&two)), (200, true, json_of(&one)));
    let other = json!({"items": [{"role": "user", "content": "Bye"}]});
    assert_eq!(full(&app, "POST", &path, &KEY, Some(other)).await.0, 400);
    full(&app, "POST", &path, &[], Some(body)).await;
    assert_eq!(items(&app, &id).await.len(), 4);
}

#[tokio::test]
async fn a_response_that_was_deleted_does_not_come_back_when_its_request_is_sent_again() {
    let backend = Arc::new(Scripted::new(["One.", "Two.", "Three.", "Four."]));
    let store = MemoryStore::new();
    let app = server(Arc::clone(&backend), &store);
    let id = conversation(&app).await;
    let first = support::respond(&app, json!({"input": "Hi"})).await;
    for (key, body, is_told) in [
        ("a", json!({"conversation": id, "input": "Hello"}), true),
        ("b", json!({"previous_response_id": first["id"], "input": "Hello"}), false),
        ("c", json!({"input": "Hello"}), false),
    ] {
        let send = async |input: &str| {
            let mut body = body.clone();
            (body["model"], body["input"]) = (json!("gpt-4o-mini"), json!(input));
            let (status, headers, text) =
                full(&app, "POST", "/v1/responses", &[("idempotency-key", key)], Some(body)).await;
            (status, is_replayed(&headers), json_of(&text))
        };
        let (_, _, one) = send("Hello").await;
        let asked = backend.requests().len();
        let path = format!("/v1/responses/{}", one["id"].as_str().unwrap());
        assert_eq!(ask(&app, "DELETE", &path, None).await.0, 200);
        for _ in 0..2 {
            let (status, replayed, again) = send("Hello").await;
            if is_told {
                assert_eq!((status, replayed, &again["store"]), (200, true, &json!(false)));
                assert_eq!((&again["output"], &again["id"]), (&one["output"], &one["id"]));
            } else {
                assert_eq!((status, &again["error"]["code"]), (400, &json!("response_deleted")), "{again}");
            }
            assert_eq!(ask(&app, "GET", &path, None).await.0, 404);
            assert_eq!(ask(&app, "DELETE", &path, None).await.0, 404);
        }
        assert_eq!(send("Other").await.2["error"]["code"], "idempotency_key_in_use");
        assert_eq!(backend.requests().len(), asked);
        let next = json!({"previous_response_id": one["id"], "input": "More"});
        assert_eq!(support::refuse(&app, next).await.1["code"], "previous_response_not_found");
    }
    assert_eq!(items(&app, &id).await.len(), 2);
}

/// As if another server had the same request again right after its response was deleted, once.
#[derive(Clone, Default)]
struct Again(Arc<Mutex<Vec<Transcript>>>);

impl Hook for Again {
    fn before<'a>(&'a self, store: &'a MemoryStore, call: Call, id: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let kept = self.0.lock().unwrap().clone();
            match (call, &kept[..]) {
                (Call::Delete, []) => {
                    let (file, _) = store.load(id).await?;
                    self.0.lock().unwrap().push(file);
                }
                (Call::Save, [file]) => {
                    store.save(id, file, None).await?;
                    self.0.lock().unwrap().push(file.clone());
                }
                _ => {}
            }
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_response_that_is_stored_again_while_it_is_deleted_is_deleted_again() {
    let store = Hooked::new(Again::default());
    let app = building(Scripted::new(["One."]), store.clone()).router();
    let body = json!({"input": "Hi"});
    let id = json_of(&send(&app, &body).await.2)["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/responses/{id}");
    assert_eq!(ask(&app, "DELETE", &path, None).await.0, 200);
    assert_eq!(ask(&app, "GET", &path, None).await.0, 404);
    assert_eq!(send(&app, &body).await.0, 400);
}

#[tokio::test]
async fn a_response_without_a_key_leaves_nothing_when_it_is_deleted() {
    let store = MemoryStore::new();
    let app = server(Scripted::new(["One."]), &store);
    let one = support::respond(&app, json!({"input": "Hi"})).await;
    let id = one["id"].as_str().unwrap();
    assert_eq!(ask(&app, "DELETE", &format!("/v1/responses/{id}"), None).await.0, 200);
    assert!(store.list(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_completion_that_was_deleted_does_not_come_back_when_its_request_is_sent_again() {
    let backend = Arc::new(Scripted::new(["One."]));
    let store = MemoryStore::new();
    let app = server(Arc::clone(&backend), &store);
    let id = conversation(&app).await;
    let headers = [("x-turnwise-conversation", &*id), ("idempotency-key", "a")];
    let body = json!({"model": "gpt-4o-mini", "store": true, "messages": [{"role": "user", "content": "Hi"}]});
    let complete = async || full(&app, "POST", "/v1/chat/completions", &headers, Some(body.clone())).await;
    let (status, _, one) = complete().await;
    let path = format!("/v1/chat/completions/{}", json_of(&one)["id"].as_str().unwrap());
    assert_eq!((status, ask(&app, "DELETE", &path, None).await.0), (200, 200));
    let (status, headers, again) = complete().await;
    assert_eq!((status, is_replayed(&headers), json_of(&again)), (200, true, json_of(&one)));
    assert_eq!(ask(&app, "GET", &path, None).await.0, 404);
    assert_eq!(ask(&app, "GET", "/v1/chat/completions", None).await.1["data"], json!([]));
    assert_eq!((backend.requests().len(), items(&app, &id).await.len()), (1, 2));
}
