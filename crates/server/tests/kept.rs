//! What is recorded when a write between others fails, or another writer comes between.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::{Arc, Mutex};

use axum::Router;
use serde_json::{Value, json};
use support::hooked::{Call, Hook, Hooked};
use support::{Echo, ask, building, conversation, full, items, open, respond, said};
use turnwise::backend::{BoxFuture, Scripted};
use turnwise::store::{MemoryStore, Store};
use turnwise::{Error, ErrorKind, Result, Transcript};

mod support;

/// What happens at the next write of a kind.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Fork,
    AppendToFork,
    /// To a conversation.
    Append,
    Save,
    /// Another program changes the metadata before a turn is added.
    Renamed,
    /// Another program adds a message before a turn is added.
    Added,
    /// Another program adds a message after a turn was added.
    AddedAfter,
}

/// A store with one fault.
#[derive(Clone, Default)]
struct Frail(Arc<Mutex<Option<Fault>>>);

impl Frail {
    fn takes(&self, fault: Fault) -> bool {
        let mut next = self.0.lock().unwrap();
        let is_now = *next == Some(fault);
        if is_now {
            *next = None;
        }
        is_now
    }

    fn breaks(&self, fault: Fault) -> Result<()> {
        if self.takes(fault) { Err(Error::new(ErrorKind::Io, "the disk is full")) } else { Ok(()) }
    }
}

async fn change(store: &MemoryStore, id: &str, act: impl FnOnce(&mut Transcript)) {
    let (before, revision) = store.load(id).await.unwrap();
    let mut after = before.clone();
    act(&mut after);
    store.append(id, &after.changes_since(&before), &revision).await.unwrap();
}

impl Hook for Frail {
    fn before<'a>(&'a self, store: &'a MemoryStore, call: Call, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match call {
                Call::Save => self.breaks(Fault::Save)?,
                Call::Fork => self.breaks(Fault::Fork)?,
                Call::Append if id.starts_with("resp_") => self.breaks(Fault::AppendToFork)?,
                Call::Append if self.takes(Fault::Renamed) => {
                    change(store, id, |file| _ = file.conversation.metadata_mut().set("topic", "rivers")).await;
                }
                Call::Append if self.takes(Fault::Added) => {
                    change(store, id, |file| _ = file.conversation.push("Meanwhile.")).await;
                }
                Call::Append => self.breaks(Fault::Append)?,
                _ => {}
            }
            Ok(())
        })
    }

    fn after<'a>(&'a self, store: &'a MemoryStore, call: Call, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if call == Call::Append && !id.starts_with("resp_") && self.takes(Fault::AddedAfter) {
                change(store, id, |file| _ = file.conversation.push("Meanwhile.")).await;
            }
            Ok(())
        })
    }
}

fn frail() -> (Router, Arc<Mutex<Option<Fault>>>) {
    let frail = Frail::default();
    (building(Echo, Hooked::new(frail.clone())).router(), frail.0)
}

async fn send(app: &Router, key: &str, body: &Value) -> (u16, Value) {
    let mut body = body.clone();
    body["model"] = json!("gpt-4o-mini");
    let (status, _, text) = full(app, "POST", "/v1/responses", &[("idempotency-key", key)], Some(body)).await;
    (status, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn a_response_that_was_not_stored_with_its_turn_is_stored_when_it_is_asked_for_again() {
    for fault in [Fault::Fork, Fault::AppendToFork] {
        let (app, next) = frail();
        let id = conversation(&app).await;
        let body = json!({"conversation": id, "input": "Hello"});
        *next.lock().unwrap() = Some(fault);
        assert_eq!(send(&app, "key", &body).await.0, 500);
        // Another turn comes before the client asks again.
        respond(&app, json!({"conversation": id, "input": "Later"})).await;
        let (status, answer) = send(&app, "key", &body).await;
        assert_eq!((status, said(&answer)), (200, "u:Hello"));
        let stored = answer["id"].as_str().unwrap();
        assert_eq!(ask(&app, "GET", &format!("/v1/responses/{stored}"), None).await, (200, answer.clone()));
        let (_, input) = ask(&app, "GET", &format!("/v1/responses/{stored}/input_items"), None).await;
        assert_eq!(input["data"][0]["content"][0]["text"], "Hello");
        let next = respond(&app, json!({"previous_response_id": stored, "input": "And?"})).await;
        assert_eq!(said(&next), "u:Hello|a:u:Hello|u:And?");
        assert_eq!(items(&app, &id).await.len(), 4);
    }
}

#[tokio::test]
async fn a_response_that_was_begun_and_not_stored_is_no_copy_of_the_one_before_it() {
    let (app, next) = frail();
    let first = respond(&app, json!({"input": "Hello"})).await;
    let body = json!({"previous_response_id": first["id"], "input": "And?"});
    *next.lock().unwrap() = Some(Fault::AppendToFork);
    assert_eq!(send(&app, "key", &body).await.0, 500);
    let (status, answer) = send(&app, "key", &body).await;
    assert_eq!((status, said(&answer)), (200, "u:Hello|a:u:Hello|u:And?"), "{answer}");
    let path = format!("/v1/responses/{}", answer["id"].as_str().unwrap());
    assert_eq!(ask(&app, "GET", &path, None).await, (200, answer));
}

/// Deletes a response as soon as it was read once.
#[derive(Clone, Default)]
struct DeletedMeanwhile(Arc<Mutex<Option<(Router, String)>>>);

impl Hook for DeletedMeanwhile {
    fn after<'a>(&'a self, _: &'a MemoryStore, call: Call, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let meant = |(_, of): &mut (Router, String)| call == Call::Load && of == id;
            let taken = self.0.lock().unwrap().take_if(meant);
            if let Some((app, id)) = taken {
                assert_eq!(ask(&app, "DELETE", &format!("/v1/responses/{id}"), None).await.0, 200);
            }
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_response_to_one_that_is_deleted_meanwhile_is_stored_whole() {
    let hook = DeletedMeanwhile::default();
    let app = building(Echo, Hooked::new(hook.clone())).router();
    let (_, first) = send(&app, "first", &json!({"input": "Hello"})).await;
    let id = first["id"].as_str().unwrap().to_owned();
    *hook.0.lock().unwrap() = Some((app.clone(), id.clone()));
    let body = json!({"previous_response_id": id, "input": "And?"});
    let (status, answer) = send(&app, "second", &body).await;
    assert_eq!((status, said(&answer)), (200, "u:Hello|a:u:Hello|u:And?"), "{answer}");
    assert_eq!(ask(&app, "GET", &format!("/v1/responses/{id}"), None).await.0, 404);
    assert_eq!(send(&app, "second", &body).await, (200, answer));
}

#[tokio::test]
async fn a_fork_that_was_not_cut_is_cut_when_it_is_asked_for_again() {
    let (app, next) = frail();
    let id = conversation(&app).await;
    for text in ["One", "Two"] {
        respond(&app, json!({"conversation": id, "input": text})).await;
    }
    let last = items(&app, &id).await[0]["id"].clone();
    let path = format!("/v1/turnwise/conversations/{id}/fork");
    let fork = async || {
        let body = Some(json!({ "last": last }));
        let (status, _, text) = full(&app, "POST", &path, &[("idempotency-key", "key")], body).await;
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };
    *next.lock().unwrap() = Some(Fault::Append);
    assert_eq!(fork().await.0, 500);
    let (status, made) = fork().await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(items(&app, made["id"].as_str().unwrap()).await.len(), 1);
    assert_eq!(fork().await, (200, made));
}

#[tokio::test]
async fn without_a_key_a_turn_that_is_recorded_is_answered() {
    let (app, next) = frail();
    let id = conversation(&app).await;
    *next.lock().unwrap() = Some(Fault::Fork);
    let answer = respond(&app, json!({"conversation": id, "input": "Hello"})).await;
    assert_eq!((items(&app, &id).await.len(), &answer["store"]), (2, &json!(false)));
    let path = format!("/v1/responses/{}", answer["id"].as_str().unwrap());
    assert_eq!(ask(&app, "GET", &path, None).await.0, 404);
}

#[tokio::test]
async fn without_a_conversation_a_response_that_cannot_be_stored_has_failed() {
    let (app, next) = frail();
    *next.lock().unwrap() = Some(Fault::Save);
    let body = json!({"model": "gpt-4o-mini", "input": "Hello"});
    assert_eq!(ask(&app, "POST", "/v1/responses", Some(body)).await.0, 500);
}

#[tokio::test]
async fn a_completion_that_was_not_stored_with_its_turn_is_stored_when_it_is_asked_for_again() {
    let (app, next) = frail();
    let id = conversation(&app).await;
    let headers = [("x-turnwise-conversation", &*id), ("idempotency-key", "key")];
    let body = json!({"model": "gpt-4o-mini", "store": true, "messages": [{"role": "user", "content": "Hello"}]});
    let complete = async || full(&app, "POST", "/v1/chat/completions", &headers, Some(body.clone())).await;
    *next.lock().unwrap() = Some(Fault::Save);
    assert_eq!(complete().await.0, 500);
    for _ in 0..2 {
        let (status, _, text) = complete().await;
        assert_eq!(status, 200, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let path = format!("/v1/chat/completions/{}", answer["id"].as_str().unwrap());
        assert_eq!(ask(&app, "GET", &path, None).await.0, 200);
    }
    assert_eq!(items(&app, &id).await.len(), 2);
}

#[tokio::test]
async fn metadata_that_is_set_meanwhile_undoes_no_turn_and_a_message_does() {
    let (app, next) = frail();
    let id = conversation(&app).await;
    *next.lock().unwrap() = Some(Fault::Renamed);
    respond(&app, json!({"conversation": id, "input": "Hello"})).await;
    let (_, now) = ask(&app, "GET", &format!("/v1/conversations/{id}"), None).await;
    assert_eq!((&now["metadata"]["topic"], items(&app, &id).await.len()), (&json!("rivers"), 2));
    *next.lock().unwrap() = Some(Fault::Added);
    let body = json!({"model": "gpt-4o-mini", "conversation": id, "input": "More"});
    let (status, refused) = ask(&app, "POST", "/v1/responses", Some(body)).await;
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("conversation_locked")));
    assert_eq!(items(&app, &id).await.len(), 3);
}

#[tokio::test]
async fn a_stored_response_ends_with_itself_whatever_comes_after_it() {
    let (app, next) = frail();
    let id = conversation(&app).await;
    *next.lock().unwrap() = Some(Fault::AddedAfter);
    let first = respond(&app, json!({"conversation": id, "input": "Hello"})).await;
    assert_eq!(items(&app, &id).await.len(), 3);
    let next = respond(&app, json!({"previous_response_id": first["id"], "input": "And?"})).await;
    assert_eq!(said(&next), "u:Hello|a:u:Hello|u:And?");
}

#[tokio::test]
async fn a_stored_answer_is_no_conversation() {
    let (app, _) = frail();
    let stored = respond(&app, json!({"input": "Hello"})).await;
    let id = stored["id"].as_str().unwrap();
    let path = format!("/v1/conversations/{id}");
    let unknown = format!("resp_{:050}", 0);
    let (_, expected) = ask(&app, "GET", &format!("/v1/conversations/{unknown}"), None).await;
    for (method, path, body) in [
        ("GET", path.clone(), None),
        ("POST", path.clone(), Some(json!({"metadata": {"topic": "x"}}))),
        ("DELETE", path.clone(), None),
        ("GET", format!("{path}/items"), None),
        ("POST", format!("{path}/items"), Some(json!({"items": [{"role": "user", "content": "x"}]}))),
        ("POST", "/v1/responses".to_owned(), Some(json!({"model": "gpt-4o-mini", "conversation": id, "input": "x"}))),
    ] {
        let (status, answer) = ask(&app, method, &path, body).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default().replace(id, &unknown);
        assert_eq!(
            (status, message.as_str()),
            (404, expected["error"]["message"].as_str().unwrap()),
            "{method} {path}"
        );
    }
    assert_eq!(ask(&app, "GET", &format!("/v1/responses/{id}"), None).await.0, 200);
}

#[tokio::test]
async fn what_records_nothing_waits_for_no_response_and_what_changes_items_is_refused() {
    let slow = Scripted::new(["word ".repeat(2_000)]);
    let app = building(slow, MemoryStore::new()).router();
    let id = conversation(&app).await;
    let body = json!({"model": "gpt-4o-mini", "conversation": id, "input": "Hello", "stream": true});
    let running = open(&app, "/v1/responses", &body).await;
    let counted = json!({"model": "gpt-4o-mini", "conversation": id, "input": "Hello"});
    let (status, answer) = ask(&app, "POST", "/v1/responses/input_tokens", Some(counted)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(ask(&app, "POST", "/v1/responses", Some(body)).await.1["error"]["code"], "conversation_locked");
    // What would change its items is refused, and not the response that the model has begun.
    let path = format!("/v1/conversations/{id}/items");
    let added = json!({"items": [{"type": "message", "role": "user", "content": "More"}]});
    assert_eq!(ask(&app, "POST", &path, Some(added.clone())).await.1["error"]["code"], "conversation_locked");
    let edit = format!("/v1/turnwise/conversations/{id}/items/msg_0/edit");
    assert_eq!(ask(&app, "POST", &edit, Some(added.clone())).await.1["error"]["code"], "conversation_locked");
    assert_eq!(ask(&app, "DELETE", &format!("{path}/msg_0"), None).await.1["error"]["code"], "conversation_locked");
    let metadata = json!({"metadata": {"topic": "rivers"}});
    assert_eq!(ask(&app, "POST", &format!("/v1/conversations/{id}"), Some(metadata)).await.0, 200);
    drop(running);
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        if ask(&app, "POST", &path, Some(added.clone())).await.0 == 200 {
            return;
        }
    }
    panic!("the conversation is locked still");
}

/// The texts of a conversation, by a server that has seen nothing of it yet.
async fn texts(store: &MemoryStore, id: &str) -> Vec<String> {
    let fresh = building(Scripted::new(["none"]), store.clone()).router();
    let text = |item: &Value| item["content"][0]["text"].as_str().unwrap().to_owned();
    items(&fresh, id).await.iter().map(text).collect()
}

#[tokio::test]
async fn servers_that_know_a_conversation_see_what_others_did_to_it() {
    let store = MemoryStore::new();
    let backends = [Scripted::new(vec!["yes"; 60]), Scripted::new(vec!["no"; 60])];
    let servers = backends.each_ref().map(|backend| building(backend.clone(), store.clone()).router());
    let id = conversation(&servers[0]).await;
    let path = format!("/v1/conversations/{id}/items");
    let mut random = fastrand::Rng::with_seed(5);
    for step in 0..50 {
        let place = random.usize(0..2);
        let (server, backend) = (&servers[place], &backends[place]);
        let text = format!("Step {step}");
        let mut expected = texts(&store, &id).await;
        match random.u8(0..8) {
            0 => {
                let added = json!({"items": [{"type": "message", "role": "user", "content": text}]});
                assert_eq!(ask(server, "POST", &path, Some(added)).await.0, 200);
            }
            1 if !expected.is_empty() => {
                let listed = items(server, &id).await;
                let item = listed[random.usize(0..listed.len())]["id"].as_str().unwrap();
                assert_eq!(ask(server, "DELETE", &format!("{path}/{item}"), None).await.0, 200);
            }
            turn => {
                let (path, headers, body) = if turn < 4 {
                    let messages = json!([{"role": "user", "content": text}]);
                    let headers = vec![("x-turnwise-conversation", &*id)];
                    ("/v1/chat/completions", headers, json!({"model": "gpt-4o-mini", "messages": messages}))
                } else {
                    let body = json!({"model": "gpt-4o-mini", "conversation": id, "input": text});
                    ("/v1/responses", vec![], body)
                };
                let (status, _, answer) = full(server, "POST", path, &headers, Some(body)).await;
                assert_eq!(status, 200, "{answer}");
                let request = serde_json::to_value(backend.requests().last().unwrap()).unwrap();
                let sent = request["messages"].as_array().unwrap().iter();
                expected.push(text);
                let text = |content: &'_ Value| content.as_str().or(content[0]["text"].as_str()).unwrap().to_owned();
                let sent: Vec<String> = sent.map(|message| text(&message["content"])).collect();
                assert_eq!(sent, expected, "step {step}");
            }
        }
    }
}
