//! Responses over HTTP, with a model that answers from the prompt that it is given.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::sync::Arc;

use serde_json::{Value, json};
use support::{Echo, ask, conversation, echo, items, refuse, respond, said, server, stream};
use turnwise::backend::{Answer, BackendError, Scripted};
use turnwise::store::{MemoryStore, Store};
use turnwise::{Message, ToolCall};

mod support;

#[tokio::test]
async fn a_response_on_a_conversation_has_its_history_and_is_added_to_it() {
    let app = echo();
    let id = conversation(&app).await;
    let first = respond(&app, json!({"conversation": id, "input": "One", "instructions": "Be brief."})).await;
    assert_eq!((said(&first), &first["status"]), ("s:Be brief.|u:One", &json!("completed")));
    let second =
        respond(&app, json!({"conversation": {"id": id}, "input": [{"role": "user", "content": "Two"}]})).await;
    assert_eq!(said(&second), "u:One|a:s:Be brief.|u:One|u:Two");
    assert_eq!(second["conversation"], json!({"id": id}));
    let items = items(&app, &id).await;
    assert_eq!(items.len(), 4);
    assert_eq!(items[3], second["output"][0]);
    let id_of = |response: &Value| response["id"].as_str().unwrap()["resp_".len()..][..16].to_owned();
    assert_eq!((id_of(&first), &*id_of(&second)), (id_of(&second), &id[id.len() - 16..]));
}

#[tokio::test]
async fn responses_chain_and_branch_and_siblings_do_not_see_each_other() {
    let store = MemoryStore::new();
    let app = server(Echo, &store);
    let first = respond(&app, json!({"input": "One", "instructions": "Be brief.", "metadata": {"a": "1"}})).await;
    for text in ["Two", "Three"] {
        let next = respond(&app, json!({"input": text, "previous_response_id": first["id"]})).await;
        assert_eq!(said(&next), format!("u:One|a:s:Be brief.|u:One|u:{text}"));
        assert_eq!((&next["previous_response_id"], &next["conversation"]), (&first["id"], &Value::Null));
        let path = format!("/v1/responses/{}", next["id"].as_str().unwrap());
        assert_eq!(ask(&app, "GET", &path, None).await, (200, next));
        let (_, input) = ask(&app, "GET", &format!("{path}/input_items"), None).await;
        assert_eq!(
            (input["data"].as_array().unwrap().len(), &input["data"][0]["content"][0]["text"]),
            (1, &json!(text))
        );
        let deleted = ask(&app, "DELETE", &path, None).await.1;
        assert_eq!(deleted["deleted"], true);
        assert_eq!(ask(&app, "GET", &path, None).await.0, 404);
        assert_eq!(ask(&app, "GET", &format!("{path}/input_items"), None).await.0, 404);
    }
    let path = format!("/v1/responses/{}", first["id"].as_str().unwrap());
    assert_eq!(ask(&app, "GET", &path, None).await, (200, first.clone()));
    assert_eq!(ask(&app, "POST", &format!("{path}/cancel"), None).await.0, 400);
    // A conversation that is deleted leaves its responses.
    let id = conversation(&app).await;
    let of_conversation = respond(&app, json!({"conversation": id, "input": "Hi"})).await;
    ask(&app, "DELETE", &format!("/v1/conversations/{id}"), None).await;
    let next = respond(&app, json!({"input": "More", "previous_response_id": of_conversation["id"]})).await;
    assert_eq!(said(&next), "u:Hi|a:u:Hi|u:More");
    assert_eq!(store.list(None, 100).await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_not_to_be_stored_is_not() {
    let store = MemoryStore::new();
    let app = server(Echo, &store);
    let answer = respond(&app, json!({"input": "One", "store": false})).await;
    assert_eq!((store.list(None, 10).await.unwrap().len(), &answer["store"]), (0, &json!(false)));
    let (status, error) = refuse(&app, json!({"input": "Two", "previous_response_id": answer["id"]})).await;
    assert_eq!((status, &error["code"]), (400, &json!("previous_response_not_found")));
    let id = conversation(&app).await;
    respond(&app, json!({"conversation": id, "input": "One", "store": false})).await;
    assert_eq!((store.list(None, 10).await.unwrap().len(), items(&app, &id).await.len()), (1, 2));
}

#[tokio::test]
async fn tools_are_called_and_answered() {
    let backend = Scripted::default().and([("now", r#"{"zone":"UTC"}"#), ("now", "{}")]).and("Noon.").and("Hello.");
    let app = server(backend, &MemoryStore::new());
    let tools = json!([{"type": "function", "name": "now", "parameters": {"type": "object"}, "strict": false}]);
    let id = conversation(&app).await;
    let first = respond(&app, json!({"conversation": id, "input": "What time is it?", "tools": tools})).await;
    let calls = first["output"].as_array().unwrap();
    assert_eq!((calls.len(), &calls[0]["type"], &calls[0]["name"]), (2, &json!("function_call"), &json!("now")));
    assert_eq!(calls[0]["arguments"], r#"{"zone":"UTC"}"#);
    let output = |call: &Value| json!({"type": "function_call_output", "call_id": call["call_id"], "output": "12:00"});
    let outputs: Vec<Value> = calls.iter().map(output).collect();
    let second = respond(&app, json!({"conversation": id, "input": outputs, "tools": tools})).await;
    assert_eq!((said(&second), items(&app, &id).await.len()), ("Noon.", 6));
    let bare = json!([{"type": "function", "name": "now", "strict": null, "parameters": null}]);
    let listed = respond(&app, json!({"input": "Hi", "tools": [{"type": "function", "name": "now"}]})).await;
    assert_eq!((&listed["tools"], &listed["presence_penalty"]), (&bare, &json!(0.0)));
}

#[tokio::test]
async fn a_long_conversation_is_trimmed_or_refused_as_asked_and_nothing_is_lost() {
    let app = server(Scripted::new(vec!["Yes."; 10]), &MemoryStore::new());
    let id = conversation(&app).await;
    for _ in 0..6 {
        respond(&app, json!({"conversation": id, "input": "word ".repeat(500)})).await;
    }
    assert_eq!(items(&app, &id).await.len(), 12);
    let long = json!({"conversation": id, "input": "And?", "truncation": "disabled"});
    let (status, error) = refuse(&app, long).await;
    assert_eq!((status, &error["code"], &error["param"]), (400, &json!("context_length_exceeded"), &json!("input")));
    assert_eq!(items(&app, &id).await.len(), 12);
    let answer = respond(&app, json!({"conversation": id, "input": "And?", "truncation": "auto"})).await;
    assert_eq!(answer["truncation"], "auto");
    let count = json!({"model": "gpt-4o-mini", "conversation": id, "input": "And?"});
    let (_, count) = ask(&app, "POST", "/v1/responses/input_tokens", Some(count)).await;
    assert_eq!(count["object"], "response.input_tokens");
    assert!((500..2_000).contains(&count["input_tokens"].as_u64().unwrap()), "{count}");
    assert_eq!(items(&app, &id).await.len(), 14);
}

#[tokio::test]
async fn a_streamed_response_has_the_sequence_of_events_and_is_recorded() {
    let backend = Scripted::new(["The Elbe."]).and([("now", "{}")]);
    let app = server(backend, &MemoryStore::new());
    let id = conversation(&app).await;
    let events_of_text = stream(&app, json!({"conversation": id, "input": "Name a river."})).await;
    let names: Vec<&str> =
        events_of_text.iter().map(|(name, _)| &**name).filter(|name| !name.ends_with("delta")).collect();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names, expected);
    let deltas = events_of_text.iter().filter(|(name, _)| name == "response.output_text.delta");
    let deltas = deltas.map(|(_, event)| event["delta"].as_str().unwrap());
    assert_eq!(deltas.collect::<String>(), "The Elbe.");
    let last = &events_of_text.last().unwrap().1["response"];
    let (_, stored) = ask(&app, "GET", &format!("/v1/responses/{}", last["id"].as_str().unwrap()), None).await;
    assert_eq!(*last, stored);
    let recorded = items(&app, &id).await;
    for (number, (name, event)) in events_of_text.iter().enumerate() {
        assert_eq!((&event["type"], &event["sequence_number"]), (&json!(name), &json!(number)));
        if event.get("item_id").is_some() {
            assert_eq!(event["item_id"], recorded[1]["id"]);
        }
    }
    let of_call = stream(
        &app,
        json!({"conversation": id, "input": "And the time?", "tools": [{"type": "function", "name": "now"}]}),
    )
    .await;
    let names: Vec<&str> = of_call.iter().map(|(name, _)| &**name).collect();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names, expected);
    assert_eq!(of_call[2].1["item"]["id"], items(&app, &id).await[3]["id"]);
}

#[tokio::test]
async fn each_item_of_a_stream_is_done_before_the_next_begins_and_is_the_one_recorded() {
    let answer = ["{\"zone\":\"UTC\"}", "{}"].map(|arguments| ToolCall::function("", "now", arguments));
    let app = server(Scripted::default().and(Message::calls(answer).with_content("One moment.")), &MemoryStore::new());
    let id = conversation(&app).await;
    let tools = json!([{"type": "function", "name": "now"}]);
    let events = stream(&app, json!({"conversation": id, "input": "What time is it?", "tools": tools})).await;
    let of_items: Vec<(&str, &Value)> = events
        .iter()
        .filter(|(name, _)| name.contains("output_item"))
        .map(|(name, event)| (name.rsplit('.').next().unwrap(), &event["output_index"]))
        .collect();
    let expected: Vec<(&str, Value)> =
        (0..3).flat_map(|place| [("added", json!(place)), ("done", json!(place))]).collect();
    assert_eq!(of_items, expected.iter().map(|(name, place)| (*name, place)).collect::<Vec<_>>());
    let done: Vec<&Value> =
        events.iter().filter(|(name, _)| name.ends_with("output_item.done")).map(|(_, event)| &event["item"]).collect();
    let output = events.last().unwrap().1["response"]["output"].as_array().unwrap();
    for (done, recorded) in done.iter().zip(output) {
        for key in ["id", "type", "name", "arguments", "content", "status"] {
            assert_eq!(done[key], recorded[key]);
        }
    }
    assert_eq!(items(&app, &id).await[1..], output[..]);
}

#[tokio::test]
async fn a_response_that_fails_adds_nothing() {
    let broken = || Scripted::default().and(BackendError::unavailable("restarting"));
    let app = server(broken(), &MemoryStore::new());
    let id = conversation(&app).await;
    let (status, error) = refuse(&app, json!({"conversation": id, "input": "Hi"})).await;
    assert_eq!((status, &error["type"]), (502, &json!("server_error")));
    assert!(items(&app, &id).await.is_empty());
    let backend = Scripted::default().and(Answer::from("The Elbe.").broken_after(1, BackendError::interrupted("cut")));
    let app = server(backend, &MemoryStore::new());
    let id = conversation(&app).await;
    let events = stream(&app, json!({"conversation": id, "input": "Name a river."})).await;
    let (name, last) = events.last().unwrap();
    assert_eq!((&**name, &last["response"]["status"]), ("response.failed", &json!("failed")));
    assert!(items(&app, &id).await.is_empty());
}

/// Comparing it with the names that there are would take time and memory with its length.
#[tokio::test]
async fn a_name_of_a_parameter_of_any_length_is_refused_and_cut() {
    let long = "y".repeat(1_000_000);
    let (status, error) = ask(&echo(), "POST", "/v1/responses", Some(json!({"input": "x", long: 1}))).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("y".repeat(64))));
    assert_eq!(error["error"]["message"], format!("Unknown parameter: '{}…'.", "y".repeat(64)));
    // A value is cut too.
    let (status, error) = refuse(&echo(), json!({"input": "x", "truncation": "y".repeat(1_000_000)})).await;
    let message = error["message"].as_str().unwrap();
    assert!(status == 400 && message.len() < 200 && message.contains("y…'. Supported values are"), "{message}");
}

#[tokio::test]
async fn a_request_that_cannot_be_followed_is_refused_in_the_form_of_the_api() {
    let app = echo();
    let id = conversation(&app).await;
    let refusals = [
        (json!({"input": "x", "sto": true}), "unknown_parameter", "sto", "Did you mean 'store'?"),
        (json!({}), "missing_required_parameter", "input", "'input'"),
        (json!({"input": "x", "model": null}), "missing_required_parameter", "model", "'model'"),
        (json!({"input": [{"role": "user"}]}), "missing_required_parameter", "input[0].content", "content"),
        (json!({"input": [{"type": "poem"}]}), "invalid_value", "input[0]", "'poem'"),
        (
            json!({"input": "x", "conversation": id, "previous_response_id": "resp_1"}),
            "mutually_exclusive_parameters",
            "",
            "Mutually exclusive",
        ),
        (
            json!({"input": "x", "previous_response_id": "resp_1"}),
            "previous_response_not_found",
            "previous_response_id",
            "'resp_1' not found",
        ),
        (
            json!({"input": "x", "previous_response_id": id}),
            "previous_response_not_found",
            "previous_response_id",
            "not found",
        ),
        (json!({"input": "x", "background": true}), "unsupported_parameter", "background", "not supported"),
        (json!({"input": "x", "truncation": "some"}), "invalid_value", "truncation", "'auto' and 'disabled'"),
        (json!({"input": "x", "tools": [{"type": "web_search"}]}), "invalid_value", "tools[0].type", "'web_search'"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]}),
            "unsupported_parameter",
            "input[0].content[0].file_id",
            "'image_url'",
        ),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://a.b/c.pdf"}]}]}),
            "unsupported_parameter",
            "input[0].content[0].file_url",
            "'file_data'",
        ),
        (json!({"input": "x", "stream": "yes"}), "invalid_type", "stream", "a boolean"),
        (json!({"input": "x", "metadata": {"a": 1}}), "invalid_type", "metadata.a", "a string"),
    ];
    for (body, code, param, message) in refusals {
        let (status, error) = refuse(&app, body.clone()).await;
        assert_eq!(
            (status, error["code"].as_str(), error["param"].as_str().unwrap_or_default()),
            (400, Some(code), param),
            "{body}: {error}"
        );
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
    }
    let (status, error) = refuse(&app, json!({"input": "x", "conversation": "conv_1"})).await;
    assert_eq!((status, &error["message"]), (404, &json!("Conversation with id 'conv_1' not found.")));
    assert_eq!(ask(&app, "GET", "/v1/responses/resp_1", None).await.0, 404);
    assert_eq!(ask(&app, "GET", &format!("/v1/responses/{id}"), None).await.0, 404);
}

#[tokio::test]
async fn a_conversation_is_compacted_to_one_item_from_which_it_goes_on() {
    let backend = Scripted::new(["Ann asked about rivers; the Elbe is one."; 8]);
    let backend = Arc::new(backend);
    let app = server(Arc::clone(&backend), &MemoryStore::new());
    let long = |who: &str| json!({"role": who, "content": "The Elbe is a long river. ".repeat(150)});
    let input = [long("user"), long("assistant"), long("user"), long("assistant")];
    let body = json!({"model": "gpt-4o-mini", "input": input, "instructions": "Be brief."});
    let (status, made) = ask(&app, "POST", "/v1/responses/compact", Some(body)).await;
    assert_eq!((status, &made["object"]), (200, &json!("response.compaction")), "{made}");
    assert!(made["id"].as_str().unwrap().starts_with("resp_") && made["usage"]["output_tokens"].is_u64());
    let output = made["output"].as_array().unwrap();
    assert_eq!((output.len(), &output[0]["type"]), (1, &json!("compaction")));
    let asked = backend.requests().len();
    backend.then("Yes.");
    assert!(asked < 8);
    for _ in asked..8 {
        respond(&app, json!({"input": "Use up."})).await;
    }
    let next = [output[0].clone(), json!({"role": "user", "content": "Which river?"})];
    assert_eq!(said(&respond(&app, json!({"input": next, "store": false})).await), "Yes.");
    let texts: Vec<String> =
        backend.requests().last().unwrap().messages.iter().map(|one| one.text().into_owned()).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts[0].contains("Ann asked about rivers; the Elbe is one."), "{texts:?}");
    assert!(!texts[0].contains("long river"), "{texts:?}");
}

#[tokio::test]
async fn a_trigger_is_answered_by_exactly_one_compaction_item_also_streamed() {
    let app = echo();
    let first = respond(&app, json!({"input": "My name is Ann."})).await;
    let trigger = json!([{"type": "compaction_trigger"}]);
    let answer = respond(&app, json!({"input": trigger, "previous_response_id": first["id"]})).await;
    let output = answer["output"].as_array().unwrap();
    assert_eq!((output.len(), &output[0]["type"], &answer["store"]), (1, &json!("compaction"), &json!(false)));
    let next = json!([output[0], {"role": "user", "content": "Who am I?"}]);
    let next = respond(&app, json!({"input": next})).await;
    assert!(said(&next).contains("My name is Ann.") && said(&next).ends_with("u:Who am I?"), "{next}");
    let events = stream(&app, json!({"input": trigger, "previous_response_id": first["id"]})).await;
    let names: Vec<&str> = events.iter().map(|(name, _)| &**name).collect();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names, expected);
    assert_eq!(events[4].1["response"]["output"], json!([events[3].1["item"]]));
}

#[tokio::test]
async fn a_compaction_item_of_another_server_is_refused() {
    let foreign = json!([{"type": "compaction", "encrypted_content": "gAAAAAB"}, {"role": "user", "content": "Hi"}]);
    let (status, error) = refuse(&echo(), json!({"input": foreign})).await;
    assert_eq!((status, &error["param"]), (400, &json!("input[0].encrypted_content")));
    let early = json!([{"type": "compaction_trigger"}, {"role": "user", "content": "Hi"}]);
    assert_eq!(refuse(&echo(), json!({"input": early})).await.1["param"], "input[0]");
}
