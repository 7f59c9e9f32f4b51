//! Calls as servers write them, over the wire: what a handler gets of them, what is recorded, and what is sent next.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use turnwise::backend::Dialect;
use turnwise::backend::openai::{OpenAi, Retry};
use turnwise::{ConversationManager, ErrorKind, Message, Reply, Result, TokenBudget, ToolCall};

use crate::stub::{Answer, Stub};

const CUT_BY_LENGTH: &str = include_str!("cut_by_length.sse");
const MOVED_INDEX: &str = include_str!("moved_index.sse");
const NO_ID: &str = include_str!("no_id.sse");
const REASONING: &str = include_str!("reasoning.sse");
const DONE: &str = concat!(
    r#"data: {"choices":[{"index":0,"delta":{"content":"Done."},"finish_reason":"stop"}]}"#,
    "\n\ndata: [DONE]\n\n"
);

/// What became of a tool loop.
struct Ran {
    reply: Result<Reply>,
    /// Name and arguments of the calls that were run.
    calls: Vec<String>,
    history: Vec<Message>,
    /// The bodies of the requests.
    requests: Vec<Value>,
}

impl Ran {
    /// The messages of the second request after the question, as JSON.
    fn sent(&self) -> &[Value] {
        &self.requests[1]["messages"].as_array().unwrap()[1..]
    }
}

/// A streamed loop whose first answer is `events`.
fn run(events: &str, dialect: Dialect) -> Ran {
    run_over([Answer::stream([events]), Answer::stream([DONE])], dialect, true)
}

/// A loop whose answers come in one.
fn run_whole(message: &Value, finish: &str) -> Ran {
    let first = json!({ "choices": [{ "index": 0, "message": message, "finish_reason": finish }] });
    run_over([Answer::new(200, &first.to_string()), Answer::says("Done.")], Dialect::default(), false)
}

fn run_over(answers: [Answer; 2], dialect: Dialect, is_streamed: bool) -> Ran {
    let stub = Stub::new(answers);
    let backend = OpenAi::at(&stub.url(), "").retry(Retry::never());
    let builder = ConversationManager::builder("m").backend(backend).budget(TokenBudget::limit(10_000));
    let chat = builder.dialect(dialect).build().unwrap();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let calls = Arc::clone(&calls);
        move |call: ToolCall| {
            calls.lock().unwrap().push(format!("{}({})", call.name(), call.arguments()));
            async { "a result" }
        }
    };
    let tools = chat.run_tools("Go.", handler);
    let tools = if is_streamed { tools.on_event(|_| {}) } else { tools };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let reply = runtime.block_on(async { tools.await });
    let requests = stub.seen().iter().map(|seen| serde_json::from_str(&seen.body).unwrap()).collect();
    let calls = calls.lock().unwrap().clone();
    Ran { reply, calls, history: chat.history(), requests }
}

fn of_calls(calls: &Value) -> Value {
    json!({ "role": "assistant", "content": null, "tool_calls": calls })
}

fn call(id: &str, arguments: &str) -> Value {
    json!({ "id": id, "type": "function", "function": { "name": "get", "arguments": arguments } })
}

/// hermes-agent#7680, codegraff#752: a call that is cut was run, recorded, and sent in every later request.
#[test]
fn a_call_that_is_cut_off_is_not_run_and_not_recorded() {
    let streamed = run(CUT_BY_LENGTH, Dialect::default());
    let by_no_word = run(&CUT_BY_LENGTH.replace("\"length\"", "\"tool_calls\""), Dialect::default());
    let whole = run_whole(&of_calls(&json!([call("a", r#"{"path":"a.t"#)])), "length");
    for ran in [streamed, by_no_word, whole] {
        let error = ran.reply.unwrap_err();
        assert_eq!((error.kind(), ran.calls.len(), ran.history.len()), (ErrorKind::CutCall, 0, 0));
        assert!(error.to_string().contains("`max_completion_tokens`"), "{error}");
        let partial = error.failed_exchange().unwrap().partial.as_ref().unwrap();
        assert_eq!(partial.tool_calls()[0].arguments(), r#"{"path":"a.t"#);
        assert_eq!(ran.requests.len(), 1);
    }
}

/// codex-relay#57, aichat#1217: no arguments are `{}`.
#[test]
fn a_call_without_arguments_has_an_empty_object() {
    let absent = json!({ "id": "a", "type": "function", "function": { "name": "get" } });
    let null = json!({ "id": "a", "type": "function", "function": { "name": "get", "arguments": null } });
    for written in [call("a", ""), call("a", " \n"), call("a", "null"), absent, null] {
        let ran = run_whole(&of_calls(&json!([written])), "tool_calls");
        assert_eq!((ran.calls, ran.reply.unwrap().text().as_ref()), (vec!["get({})".to_owned()], "Done."));
        let sent = &ran.requests[1]["messages"][1]["tool_calls"][0]["function"]["arguments"];
        assert_eq!(sent, "{}", "{written}");
    }
}

/// dirac PR 215: pieces of the arguments under the next index, without id and name.
#[test]
fn pieces_of_a_call_under_new_indexes_are_one_call() {
    let ran = run(MOVED_INDEX, Dialect::default());
    assert_eq!(ran.calls, [r#"get({"city":"Bonn"})"#]);
    assert_eq!(ran.sent()[0]["tool_calls"], json!([call("a", r#"{"city":"Bonn"}"#)]));
    assert_eq!(ran.sent()[1], json!({ "role": "tool", "tool_call_id": "a", "content": "a result" }));
    let lost = MOVED_INDEX.replace(r#""name": "get", "#, "").replace(r#""id": "a", "#, "");
    let ran = run(&lost, Dialect::default());
    assert_eq!((ran.reply.unwrap_err().kind(), ran.calls.len(), ran.history.len()), (ErrorKind::Malformed, 0, 0));
}

#[test]
fn a_call_without_an_id_gets_one_that_its_result_has_too() {
    let whole = json!({ "type": "function", "function": { "name": "get", "arguments": "{}" } });
    for ran in [run(NO_ID, Dialect::default()), run_whole(&of_calls(&json!([whole])), "tool_calls")] {
        let [calls, result] = ran.sent() else { panic!("{:?}", ran.sent()) };
        let id = calls["tool_calls"][0]["id"].as_str().unwrap();
        assert_eq!((id.len(), result["tool_call_id"].as_str()), (9, Some(id)));
        assert_eq!(ran.history[1].tool_calls()[0].id(), Some(id), "it is in the record");
        assert_eq!(ran.calls, ["get({})"]);
    }
}

#[test]
fn calls_of_one_id_are_told_apart() {
    let ran = run_whole(&of_calls(&json!([call("a", "{\"n\":1}"), call("a", "{\"n\":2}")])), "tool_calls");
    let ids: Vec<&Value> = ran.sent()[0]["tool_calls"].as_array().unwrap().iter().map(|call| &call["id"]).collect();
    assert!(ids[0] == "a" && ids[1] != "a");
    assert_eq!([&ran.sent()[1]["tool_call_id"], &ran.sent()[2]["tool_call_id"]], *ids);
}

/// As Ollama writes them where it is asked by its own interface.
#[test]
fn arguments_that_are_json_and_not_its_text_are_sent_as_text() {
    let object =
        json!({ "id": "a", "type": "function", "function": { "name": "get", "arguments": { "city": "Oslo" } } });
    let ran = run_whole(&of_calls(&json!([object])), "tool_calls");
    assert_eq!(ran.calls, [r#"get({"city":"Oslo"})"#]);
    assert_eq!(ran.sent()[0]["tool_calls"][0]["function"]["arguments"], r#"{"city":"Oslo"}"#);
}

#[test]
fn arguments_that_are_no_json_are_answered_and_sent_as_text_in_an_object() {
    for written in ["{city: \"Oslo\"}", "[\"Oslo\"]", "Oslo", "{}{\"city\":\"Oslo\"}"] {
        let ran = run_whole(&of_calls(&json!([call("a", written), call("b", "{}")])), "tool_calls");
        assert_eq!(ran.calls, ["get({})"], "the other call is run");
        let sent = ran.sent()[0]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(sent).unwrap(), json!({ "invalid_arguments": written }));
        let told = ran.sent()[1]["content"].as_str().unwrap();
        assert!(told.starts_with("Error: the arguments are not a JSON object ("), "{told}");
        assert_eq!(ran.history[1].tool_calls()[0].arguments(), written);
    }
}

/// langchain#39370, qwen-code#3658: a server may demand back what the model thought beside its calls.
#[test]
fn reasoning_beside_calls_is_kept_and_sent_where_the_wire_names_it() {
    let reasoning = |dialect| {
        let ran = run(REASONING, dialect);
        assert_eq!(ran.history[1].get("reasoning_content").unwrap().as_str(), "\"I must ask the tool.\"");
        ran.sent()[0]["reasoning_content"].clone()
    };
    assert_eq!(reasoning(Dialect::default()), Value::Null);
    assert_eq!(reasoning(Dialect::default().send_fields(["reasoning_content"])), "I must ask the tool.");
}
