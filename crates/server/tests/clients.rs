//! What programs of others send that use an `OpenAI` client, as they were seen to send it.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use support::{ask, conversation, echo, full, items, refuse, respond, said, server, stream};
use turnwise::backend::{Answer, BackendError, ChatEvent, ChatReply, FinishReason, Scripted, ToolCallDelta};
use turnwise::store::MemoryStore;
use turnwise::{Message, ToolCall};

mod support;

fn reference(item: &Value) -> Value {
    json!({"type": "item_reference", "id": item["id"]})
}

/// The Vercel AI SDK sends the ids of what was stored, and names no response that it continues.
#[tokio::test]
async fn items_of_stored_responses_can_be_referred_to_without_naming_a_response() {
    let calls = ["a", "b"].map(|id| ToolCall::function(id, "now", "{}"));
    let backend = Scripted::default().and(Message::calls(calls).with_content("Let me look.")).and("Noon.").and("Yes.");
    let backend = std::sync::Arc::new(backend);
    let app = server(std::sync::Arc::clone(&backend), &MemoryStore::new());
    let tools = json!([{"type": "function", "name": "now", "parameters": {"type": "object"}}]);
    let question = json!({"role": "user", "content": "What time is it?"});
    let first = respond(&app, json!({"input": [question], "tools": tools})).await;
    let mut history = vec![question];
    history.extend(first["output"].as_array().unwrap().iter().map(reference));
    history.extend(["a", "b"].map(|id| json!({"type": "function_call_output", "call_id": id, "output": "12:00"})));
    let second = respond(&app, json!({"input": history, "tools": tools})).await;
    assert_eq!(said(&second), "Noon.");
    history.push(reference(&second["output"][0]));
    history.push(json!({"role": "user", "content": "Sure?"}));
    assert_eq!(said(&respond(&app, json!({"input": history, "tools": tools})).await), "Yes.");
    let sent = backend.requests().last().unwrap().messages.clone();
    let roles: Vec<&str> = sent.iter().map(|message| message.role().as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "assistant", "user"]);
    assert_eq!((sent[1].text(), sent[1].tool_calls().len()), ("Let me look.".into(), 2));
}

#[tokio::test]
async fn items_of_a_conversation_can_be_referred_to_while_a_response_of_it_is_stored() {
    let app = echo();
    let id = conversation(&app).await;
    respond(&app, json!({"conversation": id, "input": "One"})).await;
    respond(&app, json!({"conversation": id, "input": "Two"})).await;
    let stored = items(&app, &id).await;
    for deleted in [false, true] {
        if deleted {
            ask(&app, "DELETE", &format!("/v1/conversations/{id}"), None).await;
        }
        let body = json!({"input": [reference(&stored[2]), reference(&stored[0])]});
        assert_eq!(said(&respond(&app, body).await), "u:Two|u:One");
    }
    let unknown = "msg_00000000000000000000000000000000000000000000000000";
    for id in [unknown, "msg_1", "1", ""] {
        let (status, error) = refuse(&app, json!({"input": [{"type": "item_reference", "id": id}]})).await;
        assert_eq!((status, &error["param"]), (404, &json!("input")), "{error}");
    }
}

#[tokio::test]
async fn what_is_not_stored_cannot_be_referred_to() {
    let app = echo();
    let answer = respond(&app, json!({"input": "One", "store": false})).await;
    let (status, error) = refuse(&app, json!({"input": [reference(&answer["output"][0])]})).await;
    assert_eq!(status, 404);
    assert!(error["message"].as_str().unwrap().contains("not persisted when `store` is set to false"), "{error}");
}

/// Codex says in it what it is and does.
#[tokio::test]
async fn what_a_client_says_of_itself_is_taken() {
    let body = json!({"input": "Hi", "client_metadata": {"x-codex-installation-id": "1"}});
    let answer = respond(&echo(), body).await;
    assert_eq!((said(&answer), answer.get("client_metadata")), ("u:Hi", None));
}

#[tokio::test]
async fn a_reply_that_was_cut_off_has_an_incomplete_item() {
    let cut = || ChatReply::new(Message::assistant("The Elbe is")).finish(FinishReason::Length);
    let app = server(Scripted::default().and(cut()).and(cut()), &MemoryStore::new());
    let id = conversation(&app).await;
    let answer = respond(&app, json!({"conversation": id, "input": "Name a river."})).await;
    assert_eq!((&answer["status"], &answer["output"][0]["status"]), (&json!("incomplete"), &json!("incomplete")));
    let events = stream(&app, json!({"conversation": id, "input": "Name a river."})).await;
    let done = events.iter().find(|(name, _)| name == "response.output_item.done").unwrap();
    assert_eq!(
        (&done.1["item"]["status"], &events.last().unwrap().0[..]),
        (&json!("incomplete"), "response.incomplete")
    );
    assert_eq!(done.1["item"], events.last().unwrap().1["response"]["output"][0]);
    assert_eq!(items(&app, &id).await[3], done.1["item"]);
}

#[tokio::test]
async fn calls_whose_arguments_arrive_in_turns_are_each_one_item_of_the_stream() {
    let delta = |index: usize, name: Option<&str>, arguments: &str| {
        let mut delta = ToolCallDelta::default();
        delta.index = index;
        delta.id = name.map(|_| format!("call_{index}"));
        (delta.name, delta.arguments) = (name.map(str::to_owned), arguments.to_owned());
        ChatEvent::ToolCall(delta)
    };
    let calls = [("call_0", "now", "{\"a\":1}\n"), ("call_1", "then", "{\"b\":2}")];
    let calls = calls.map(|(id, name, arguments)| ToolCall::function(id, name, arguments));
    let events = [
        delta(0, Some("now"), ""),
        delta(1, Some("then"), ""),
        delta(0, None, "{\"a\":"),
        delta(1, None, "{\"b\":"),
        delta(0, None, "1}"),
        delta(1, None, "2}"),
        delta(0, None, "\n"),
        ChatEvent::Finished(Box::new(ChatReply::new(Message::calls(calls)))),
    ];
    let app = server(Scripted::default().and(Answer::events(events.map(Ok))), &MemoryStore::new());
    let tools = json!([{"type": "function", "name": "now"}, {"type": "function", "name": "then"}]);
    let events = stream(&app, json!({"input": "When?", "tools": tools})).await;
    let of = |kind: &'static str| {
        events.iter().filter(move |(name, _)| name.ends_with(kind)).map(|(_, event)| event.clone())
    };
    let added: Vec<Value> = of("output_item.added").map(|event| event["item"]["call_id"].clone()).collect();
    assert_eq!(added, [json!("call_0"), json!("call_1")]);
    for place in 0..2 {
        let said = of("arguments.delta").filter(|event| event["output_index"] == place);
        let said: String = said.map(|event| event["delta"].as_str().unwrap().to_owned()).collect();
        let whole = ["{\"a\":1}", "{\"b\":2}"][place];
        assert_eq!(said.trim_end(), whole);
        let done = of("output_item.done").find(|event| event["output_index"] == place).unwrap();
        let item = &events.last().unwrap().1["response"]["output"][place];
        assert_eq!((&done["item"]["id"], &done["item"]["name"]), (&item["id"], &item["name"]));
        assert_eq!(done["item"]["arguments"].as_str().unwrap().trim_end(), whole);
    }
}

#[tokio::test]
async fn clients_are_told_whether_and_when_to_send_a_request_again() {
    use std::time::Duration;
    let status = |status: u16, code: &str| {
        let body = json!({"error": {"message": "No.", "type": "error", "param": null, "code": code}});
        BackendError::status(status, &body.to_string())
    };
    let errors = [
        (BackendError::rate_limited(Some(Duration::from_millis(1_500))), 429, Some("rate_limit_exceeded"), "2", ""),
        (status(429, "insufficient_quota"), 429, Some("insufficient_quota"), "", "false"),
        (status(401, "invalid_api_key"), 502, None, "", "false"),
        (status(400, "invalid_value"), 400, Some("invalid_value"), "", ""),
        (status(404, "model_not_found"), 400, Some("model_not_found"), "", ""),
        (status(400, "a_code_of_its_own"), 400, None, "", ""),
        (status(503, "overloaded"), 502, None, "", ""),
    ];
    for (error, status, code, wait, again) in errors {
        let what = error.to_string();
        let app = server(Scripted::default().and(error), &MemoryStore::new());
        let body = json!({"model": "gpt-4o-mini", "input": "Hi"});
        let (found, headers, text) = full(&app, "POST", "/v1/responses", &[], Some(body)).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
        assert_eq!((found, answer["error"]["code"].as_str()), (status, code), "{what}: {answer}");
        assert_eq!((header("retry-after"), header("x-should-retry")), (wait, again), "{what}");
    }
}

#[tokio::test]
async fn a_model_whose_window_is_not_known_is_refused_with_what_helps_at_a_server() {
    let managers = |model: &str| turnwise::ConversationManager::builder(model).backend(Scripted::default());
    let app = turnwise_server::Server::new(MemoryStore::new()).responses(managers).router();
    let (status, error) = refuse(&app, json!({"model": "of-my-own", "input": "Hi"})).await;
    assert_eq!((status, &error["code"], &error["param"]), (400, &json!("model_not_found"), &json!("model")));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("`of-my-own`") && message.contains("--window") && !message.contains("::"), "{message}");
}

/// Codex gives its tool for patches this form.
#[tokio::test]
async fn a_custom_tool_is_called_with_any_text_and_answered() {
    let call = || Message::calls([ToolCall::custom("call_1", "patch", "*** Begin")]);
    let backend = Scripted::default().and(call()).and(call()).and("Done.");
    let backend = std::sync::Arc::new(backend);
    let app = server(std::sync::Arc::clone(&backend), &MemoryStore::new());
    let format = json!({"type": "grammar", "syntax": "lark", "definition": "start: /.+/"});
    let tools = json!([{"type": "custom", "name": "patch", "description": "Patches.", "format": format}]);
    let choice = json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "patch"}]});
    let id = conversation(&app).await;
    let asked = json!({"input": "Mend it.", "tools": tools, "tool_choice": choice});
    let whole = respond(&app, asked.clone()).await;
    assert_eq!(
        (&whole["output"][0]["type"], &whole["output"][0]["input"]),
        (&json!("custom_tool_call"), &json!("*** Begin"))
    );
    assert_eq!(whole["tools"], tools);
    let sent = serde_json::to_value(backend.requests().last().unwrap()).unwrap();
    let grammar = json!({"syntax": "lark", "definition": "start: /.+/"});
    let format = json!({"type": "grammar", "grammar": grammar});
    let custom = json!({"name": "patch", "description": "Patches.", "format": format});
    assert_eq!(sent["tools"], json!([{"type": "custom", "custom": custom}]));
    let allowed = json!({"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "patch"}}]});
    assert_eq!(sent["tool_choice"], json!({"type": "allowed_tools", "allowed_tools": allowed}));
    let mut streamed = asked;
    streamed["conversation"] = json!(id);
    let events = stream(&app, streamed).await;
    let names: Vec<&str> = events.iter().map(|(name, _)| &**name).collect();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!((names, &events[4].1["input"]), (expected.to_vec(), &json!("*** Begin")));
    assert_eq!(events[5].1["item"], events[6].1["response"]["output"][0]);
    let output = json!({"type": "custom_tool_call_output", "call_id": "call_1", "output": "patched"});
    let next = respond(&app, json!({"conversation": id, "input": [output], "tools": tools})).await;
    assert_eq!(said(&next), "Done.");
}

#[tokio::test]
async fn a_call_of_a_custom_tool_that_is_told_again_has_the_same_events() {
    let backend = Scripted::default().and(Message::calls([ToolCall::custom("call_1", "patch", "*** Begin")]));
    let app = server(backend, &MemoryStore::new());
    let tools = json!([{"type": "custom", "name": "patch"}]);
    let body = json!({"model": "gpt-4o-mini", "input": "Mend it.", "tools": tools, "stream": true});
    let mut told = Vec::new();
    for _ in 0..2 {
        let key = [("idempotency-key", "key")];
        let (status, _, text) = full(&app, "POST", "/v1/responses", &key, Some(body.clone())).await;
        assert_eq!(status, 200, "{text}");
        let events = text.lines().filter_map(|line| line.strip_prefix("data: {"));
        told.push(events.map(|event| serde_json::from_str(&format!("{{{event}")).unwrap()).collect::<Vec<Value>>());
    }
    assert_eq!(told[0][3]["type"], "response.custom_tool_call_input.delta");
    assert_eq!(told[0][2..], told[1][2..]);
}

#[tokio::test]
async fn what_a_request_says_of_style_and_service_reaches_the_model() {
    let backend = std::sync::Arc::new(Scripted::new(["Yes."]));
    let app = server(std::sync::Arc::clone(&backend), &MemoryStore::new());
    respond(&app, json!({"input": "Hi", "text": {"verbosity": "low"}, "service_tier": "flex"})).await;
    let sent = serde_json::to_value(backend.requests().last().unwrap()).unwrap();
    assert_eq!((&sent["verbosity"], &sent["service_tier"]), (&json!("low"), &json!("flex")));
}

#[tokio::test]
async fn a_response_is_not_retrieved_as_a_stream_of_nothing() {
    let app = echo();
    let answer = respond(&app, json!({"input": "Hi"})).await;
    let path = format!("/v1/responses/{}", answer["id"].as_str().unwrap());
    assert_eq!(ask(&app, "GET", &format!("{path}?stream=false"), None).await.0, 200);
    let (status, error) = ask(&app, "GET", &format!("{path}?stream=true&starting_after=1"), None).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("stream")));
}
