//! State that clients keep: compaction and reasoning items, plans; and what a failure shows.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use axum::Router;
use serde_json::{Value, json};
use support::hooked::{Call, Hook, Hooked};
use support::{Echo, ask, building, conversation, full, items, refuse, respond, said, server, stream};
use tempfile::TempDir;
use turnwise::backend::{Answer, BackendError, BoxFuture, ChatBackend, ChatReply, Scripted};
use turnwise::store::MemoryStore;
use turnwise::{ChatRequest, Error, ErrorKind, Message, Transcript};
use turnwise_server::SealKeys;

mod support;

const SUMMARY: &str = "Ann asked about rivers; the Elbe is one.";

/// Makes a summary where it is asked for one, or fails; else it answers as told.
struct Summing(Arc<Scripted>, Option<&'static str>);

impl ChatBackend for Summing {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        if !request.messages.iter().any(|message| message.text().contains("You keep the memory")) {
            return self.0.complete(request);
        }
        let summary = match self.1 {
            Some(text) => Scripted::new([text]),
            None => Scripted::default().and(BackendError::unavailable("no summaries")),
        };
        Box::pin(async move { summary.complete(request).await })
    }
}

fn long(who: &str) -> Value {
    json!({"role": who, "content": "The Elbe is a long river. ".repeat(100)})
}

fn kinds(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["type"].as_str().unwrap()).collect()
}

/// The texts of the last request.
fn sent(backend: &Scripted) -> Vec<String> {
    backend.requests().last().unwrap().messages.iter().map(|one| one.text().into_owned()).collect()
}

fn sealed(backend: impl ChatBackend + 'static) -> (TempDir, Router) {
    let folder = TempDir::new().unwrap();
    let keys = SealKeys::open(folder.path().join("seal")).unwrap();
    (folder, building(backend, MemoryStore::new()).seal(keys).router())
}

#[tokio::test]
async fn a_conversation_that_passes_the_threshold_is_compacted_in_the_same_request_and_goes_on_from_it() {
    let backend = Arc::new(Scripted::new(["Into the North Sea.", "Yes."]));
    let app = server(Summing(Arc::clone(&backend), Some(SUMMARY)), &MemoryStore::new());
    let id = conversation(&app).await;
    let rivers: Vec<Value> = ["user", "assistant", "user", "assistant"].map(long).into();
    ask(&app, "POST", &format!("/v1/conversations/{id}/items"), Some(json!({"items": rivers}))).await;
    let management = json!([{"type": "compaction", "compact_threshold": 1_000}]);
    let body = json!({"conversation": id, "input": "Where does it flow?", "context_management": management});
    let first = respond(&app, body).await;
    assert_eq!(kinds(first["output"].as_array().unwrap()), ["compaction", "message"]);
    let texts = sent(&backend);
    assert_eq!((texts.len(), texts[0].contains(SUMMARY), &*texts[1]), (2, true, "Where does it flow?"));
    let recorded = items(&app, &id).await;
    assert_eq!((recorded.len(), &recorded[5..]), (7, first["output"].as_array().unwrap().as_slice()));
    // The summary stands for all that was said before, also without the parameter; nothing is lost.
    let second = respond(&app, json!({"conversation": id, "input": "Sure?"})).await;
    let texts = sent(&backend);
    assert_eq!(said(&second), "Yes.");
    assert_eq!((texts.len(), &*texts[1], &*texts[2]), (3, "Into the North Sea.", "Sure?"));
    assert!(texts[0].contains(SUMMARY) && texts[0].contains("Where does it flow?"), "{texts:?}");
    assert_eq!(items(&app, &id).await.len(), 9);
}

#[tokio::test]
async fn a_stream_shows_the_compaction_before_the_reply_and_a_short_conversation_has_none() {
    let backend = Arc::new(Scripted::new(["Into the North Sea.", "Hello!"]));
    let app = server(Summing(Arc::clone(&backend), Some(SUMMARY)), &MemoryStore::new());
    let management = json!([{"type": "compaction", "compact_threshold": 1_000}]);
    let input = json!([long("user"), long("assistant"), long("user"), long("assistant"), {"role": "user", "content": "Where?"}]);
    let events = stream(&app, json!({"input": input, "context_management": management, "store": false})).await;
    let done: Vec<&Value> =
        events.iter().filter(|(name, _)| name.ends_with("item.done")).map(|(_, event)| &event["item"]).collect();
    let output = &events.last().unwrap().1["response"]["output"];
    assert_eq!(json!(done), *output);
    assert_eq!(kinds(output.as_array().unwrap()), ["compaction", "message"]);
    let short = respond(&app, json!({"input": "Hi", "context_management": management})).await;
    assert_eq!((said(&short), sent(&backend).len()), ("Hello!", 1));
}

#[tokio::test]
async fn a_model_that_makes_no_summary_answers_all_the_same() {
    let app = server(Summing(Arc::new(Scripted::new(["Yes."])), None), &MemoryStore::new());
    let input = json!([long("user"), long("assistant"), long("user"), long("assistant"), {"role": "user", "content": "Where?"}]);
    let answer = respond(&app, json!({"input": input, "context_management": [{"type": "compaction"}]})).await;
    assert_eq!((said(&answer), answer["output"].as_array().unwrap().len()), ("Yes.", 1));
}

#[tokio::test]
async fn wrong_management_of_the_context_is_refused() {
    let app = support::echo();
    for (management, code, param) in [
        (json!([]), "invalid_type", "context_management"),
        (json!([{"type": "trim"}]), "invalid_value", "context_management[0].type"),
        (json!([{"compact_threshold": 1}]), "missing_required_parameter", "context_management[0].type"),
        (
            json!([{"type": "compaction", "compact_threshold": 999}]),
            "integer_below_min_value",
            "context_management[0].compact_threshold",
        ),
    ] {
        let (status, error) = refuse(&app, json!({"input": "x", "context_management": management})).await;
        assert_eq!((status, &error["code"], &error["param"]), (400, &json!(code), &json!(param)), "{error}");
    }
    let (status, error) = refuse(&app, json!({"input": "x", "include": ["all"]})).await;
    assert_eq!((status, &error["param"]), (400, &json!("include")));
}

#[tokio::test]
async fn a_compaction_item_stays_one_in_a_conversation_and_rules_what_is_sent() {
    let app = support::echo();
    let said_before = json!([{"role": "user", "content": "My name is Ann."}]);
    let body = json!({"model": "gpt-4o-mini", "input": said_before});
    let (_, window) = ask(&app, "POST", "/v1/responses/compact", Some(body)).await;
    let id = conversation(&app).await;
    respond(&app, json!({"conversation": id, "input": "Old."})).await;
    let input =
        json!([{"role": "user", "content": "Kept."}, window["output"][0], {"role": "user", "content": "Who am I?"}]);
    let answer = respond(&app, json!({"conversation": id, "input": input})).await;
    let texts = said(&answer);
    // What the client has put before its item is sent, what the store has before it is not.
    assert!(texts.starts_with("u:Kept.|u:Summary") && texts.contains("My name is Ann."), "{texts}");
    assert!(texts.ends_with("u:Who am I?") && !texts.contains("Old."), "{texts}");
    let recorded = items(&app, &id).await;
    assert_eq!(kinds(&recorded), ["message", "message", "message", "compaction", "message", "message"]);
    assert_eq!(recorded[3]["encrypted_content"], window["output"][0]["encrypted_content"]);
    let next = respond(&app, json!({"previous_response_id": answer["id"], "input": "And now?"})).await;
    assert!(said(&next).starts_with("u:Summary") && !said(&next).contains("Old."), "{next}");
}

#[tokio::test]
async fn with_a_key_compaction_is_sealed_and_another_server_refuses_it() {
    let (_folder, app) = sealed(Echo);
    let body = json!({"model": "gpt-4o-mini", "input": "My name is Ann."});
    let (_, window) = ask(&app, "POST", "/v1/responses/compact", Some(body)).await;
    let item = &window["output"][0];
    assert!(item["encrypted_content"].as_str().unwrap().starts_with("tws1."));
    let input = json!([item, {"role": "user", "content": "Who am I?"}]);
    let answer = respond(&app, json!({"input": input, "store": false})).await;
    assert!(said(&answer).contains("My name is Ann."), "{answer}");
    let (_other, other) = sealed(Echo);
    assert_eq!(refuse(&other, json!({"input": input})).await.0, 400);
}

fn thinking() -> Scripted {
    let thought = Message::assistant("The Elbe.").with_field("reasoning_content", "Secret thoughts.").unwrap();
    Scripted::default().and(Answer::from(thought)).and("Yes.")
}

#[tokio::test]
async fn reasoning_goes_to_its_client_sealed_and_comes_back_without_a_stored_response() {
    let backend = Arc::new(thinking());
    let (_folder, app) = sealed(Arc::clone(&backend));
    let include = json!(["reasoning.encrypted_content"]);
    let first = respond(&app, json!({"input": "Name a river.", "store": false, "include": include})).await;
    let output = first["output"].as_array().unwrap();
    assert_eq!(kinds(output), ["reasoning", "message"]);
    assert!(!first.to_string().contains("Secret"), "{first}");
    let mut input = vec![json!({"role": "user", "content": "Name a river."})];
    input.extend(output.iter().cloned());
    input.push(json!({"role": "user", "content": "Is it long?"}));
    respond(&app, json!({"input": input, "store": false})).await;
    // Whether a server gets it back is for the dialect; here it does not.
    assert_eq!(sent(&backend), ["Name a river.", "The Elbe.", "Is it long?"]);
    let content = output[0]["encrypted_content"].as_str().unwrap();
    input[1]["encrypted_content"] = json!(format!("{}AAAA", &content[..content.len() - 4]));
    let (status, error) = refuse(&app, json!({"input": input, "store": false})).await;
    assert_eq!((status, &error["code"]), (400, &json!("invalid_encrypted_content")));
}

#[tokio::test]
async fn sealed_reasoning_is_given_back_to_a_server_that_wants_it() {
    use turnwise::{ConversationManager, Dialect};
    let backend = Arc::new(thinking());
    let shared = Arc::clone(&backend);
    let folder = TempDir::new().unwrap();
    let keys = SealKeys::open(folder.path().join("seal")).unwrap();
    let managers = move |model: &str| {
        let dialect = Dialect::default().send_fields(["reasoning_content"]);
        ConversationManager::builder(model).backend(Arc::clone(&shared)).dialect(dialect)
    };
    let app = turnwise_server::Server::new(MemoryStore::new()).responses(managers).seal(keys).router();
    let events = stream(&app, json!({"input": "Hi", "store": false, "include": ["reasoning.encrypted_content"]})).await;
    let output = events.last().unwrap().1["response"]["output"].as_array().unwrap().clone();
    let done: Vec<&Value> =
        events.iter().filter(|(name, _)| name.ends_with("item.done")).map(|(_, event)| &event["item"]).collect();
    assert_eq!(json!(done), json!(output));
    assert_eq!(kinds(&output), ["reasoning", "message"]);
    let input: Vec<Value> = output.into_iter().chain([json!({"role": "user", "content": "Sure?"})]).collect();
    respond(&app, json!({"input": input, "store": false})).await;
    let request = serde_json::to_value(backend.requests().last().unwrap()).unwrap();
    assert_eq!(request["messages"][0]["reasoning_content"], "Secret thoughts.");
}

#[tokio::test]
async fn the_plan_of_a_request_is_told_in_a_header_and_on_request_in_the_response() {
    let app = support::echo();
    let body = json!({"model": "gpt-4o-mini", "input": "Hi", "include": ["turnwise.plan"]});
    let (_, headers, text) = full(&app, "POST", "/v1/responses", &[], Some(body)).await;
    let response: Value = serde_json::from_str(&text).unwrap();
    assert!(headers["x-turnwise-plan"].to_str().unwrap().starts_with("sent=1 shortened=0 "), "{headers:?}");
    let plan = &response["turnwise"]["plan"];
    assert_eq!((plan["strategy"].is_string(), plan["tokens"].is_u64(), plan.get("messages")), (true, true, None));
    let body = json!({"model": "gpt-4o-mini", "input": "Hi", "stream": true});
    let (_, headers, text) = full(&app, "POST", "/v1/responses", &[], Some(body)).await;
    assert!(headers["x-turnwise-plan"].to_str().unwrap().starts_with("sent=1 "));
    assert!(!text.contains("\"turnwise\""), "{text}");
}

/// A store that fails with a text from a conversation.
struct Failing(ErrorKind);

impl Hook for Failing {
    fn before<'a>(&'a self, _: &'a MemoryStore, _: Call, _: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        let error = match self.0 {
            ErrorKind::Io => turnwise::store::failed("reading", std::io::Error::other("disk on fire")),
            _ => Transcript::from_json("{\"messages\": \"my secret\"}").map(drop).unwrap_err(),
        };
        Box::pin(async move { Err(error) })
    }
}

#[tokio::test]
async fn a_failure_of_the_store_shows_the_id_of_the_request_and_not_its_text() {
    for kind in [ErrorKind::Io, ErrorKind::Damaged] {
        let app = building(Echo, Hooked::new(Failing(kind))).router();
        let id = [("x-request-id", "req_7")];
        let (status, headers, text) = full(&app, "GET", "/v1/conversations/conv_1", &id, None).await;
        assert_eq!((status, &headers["x-request-id"]), (500, &"req_7".parse().unwrap()), "{text}");
        assert!(text.contains("req_7") && !text.contains("secret") && !text.contains("fire"), "{text}");
    }
}

#[tokio::test]
async fn an_item_that_is_not_sealed_is_refused_where_there_are_keys() {
    let (_folder, with_keys) = sealed(Echo);
    let without = support::echo();
    let trigger = json!([{"role": "user", "content": "My name is Ann."}, {"type": "compaction_trigger"}]);
    let answer = respond(&without, json!({"input": trigger})).await;
    let item = &answer["output"][0];
    assert!(item["encrypted_content"].as_str().unwrap().starts_with("twc1."));
    let input = json!([item, {"role": "user", "content": "Who am I?"}]);
    assert!(said(&respond(&without, json!({"input": input})).await).contains("Ann"));
    let (status, error) = refuse(&with_keys, json!({"input": input})).await;
    assert_eq!((status, &error["param"]), (400, &json!("input[0].encrypted_content")));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("not sealed") && message.contains("compact them here again"), "{message}");
}
