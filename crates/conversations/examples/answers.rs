//! Prints one answer of every kind, a line each with the name of its schema in the API's document and of its class in the
//! official Python client. `.ci/conversations.py` checks them.
#![allow(clippy::unwrap_used, reason = "a program that only tests run")]

use futures_lite::future::block_on;
use serde::Serialize;
use serde_json::{Value, json};
use turnwise::message::RawJson;
use turnwise::store::MemoryStore;
use turnwise_conversations::{ApiError, Conversations, List, Order};

fn main() -> Result<(), ApiError> {
    block_on(answers())
}

async fn answers() -> Result<(), ApiError> {
    let api = Conversations::new(MemoryStore::new());
    let body = json!({"metadata": {"topic": "rivers"}, "items": messages()});
    let made = api.create(serde_json::from_value(body).unwrap()).await?;
    print("ConversationResource", "Conversation", &made);
    let items = api.items(&made.id);
    for part in kinds().chunks(20) {
        print("ConversationItemList", "ConversationItemList", &items.create(&RawJson::from(json!(part))).await?);
    }
    let mut after = None;
    loop {
        let page = items.list(List { after: after.clone(), order: Order::Asc, limit: 7, ..List::default() }).await?;
        print("ConversationItemList", "ConversationItemList", &page);
        for item in &page.data {
            print("ConversationItem", "ConversationItem", item);
        }
        after.clone_from(&page.last_id);
        if !page.has_more {
            break;
        }
    }
    print("ConversationResource", "Conversation", &items.delete(&after.unwrap()).await?);
    print("ConversationResource", "Conversation", &api.update(&made.id, &RawJson::from(json!({}))).await?);
    print("ConversationResource", "Conversation", &api.retrieve(&made.id).await?);
    print("DeletedConversationResource", "ConversationDeletedResource", &api.delete(&made.id).await?);
    print("ErrorResponse", "", &api.retrieve(&made.id).await.unwrap_err());
    print("ErrorResponse", "", &api.update("x", &RawJson::from(json!({"a": 1}))).await.unwrap_err());
    let empty = api.create(turnwise_conversations::Create::default()).await?;
    print("ConversationResource", "Conversation", &empty);
    print("ConversationItemList", "ConversationItemList", &api.items(&empty.id).list(List::default()).await?);
    Ok(())
}

fn print(schema: &str, class: &str, answer: &impl Serialize) {
    println!("{}", json!({"schema": schema, "class": class, "answer": answer}));
}

fn messages() -> Value {
    json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Name a river."},
        {"type": "message", "role": "assistant", "content": "The Elbe."},
        {"role": "user", "content": [
            {"type": "input_text", "text": "And this?"},
            {"type": "input_image", "image_url": "https://example.com/a.png"},
            {"type": "input_file", "file_id": "file_1"},
        ]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ])
}

/// An item of every kind that the document allows a caller to add.
fn kinds() -> Vec<Value> {
    vec![
        json!({"type": "function_call", "call_id": "a", "name": "now", "arguments": "{}"}),
        json!({"type": "function_call", "call_id": "b", "name": "now", "arguments": "{}"}),
        json!({"type": "function_call_output", "call_id": "a", "output": "noon"}),
        json!({"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "noon"}]}),
        json!({"type": "custom_tool_call", "call_id": "c", "name": "run", "input": "1+1"}),
        json!({"type": "custom_tool_call_output", "call_id": "c", "output": "2"}),
        json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "xyz"}),
        json!({"type": "file_search_call", "queries": ["a"]}),
        json!({"type": "web_search_call", "action": {"type": "search", "query": "rivers", "queries": ["rivers"]}}),
        json!({"type": "computer_call", "call_id": "d", "pending_safety_checks": [], "action": {"type": "wait"}}),
        json!({"type": "computer_call_output", "call_id": "d", "output": {
            "type": "computer_screenshot", "image_url": "https://example.com/a.png", "detail": "auto",
        }}),
        json!({"type": "image_generation_call", "result": "aGk="}),
        json!({"type": "code_interpreter_call", "container_id": "k", "code": "1", "outputs": []}),
        json!({"type": "local_shell_call", "call_id": "e", "action": {"type": "exec", "command": ["ls"], "env": {}}}),
        json!({"type": "local_shell_call_output", "call_id": "e", "output": "a.txt"}),
        json!({"type": "shell_call", "call_id": "f", "environment": null, "action": {
            "commands": ["ls"], "timeout_ms": null, "max_output_length": null,
        }}),
        json!({"type": "shell_call_output", "call_id": "f", "max_output_length": null, "output": [
            {"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}},
        ]}),
        json!({"type": "apply_patch_call", "call_id": "g", "operation": {"type": "delete_file", "path": "a"}}),
        json!({"type": "apply_patch_call_output", "call_id": "g", "status": "completed", "output": "done"}),
        json!({"type": "mcp_list_tools", "server_label": "m", "tools": []}),
        json!({"type": "mcp_approval_request", "server_label": "m", "name": "n", "arguments": "{}"}),
        json!({"type": "mcp_approval_response", "approval_request_id": "r", "request_id": "r", "approve": true}),
        json!({"type": "mcp_call", "server_label": "m", "name": "n", "arguments": "{}", "output": "1.50"}),
        json!({"type": "compaction", "encrypted_content": "abc"}),
    ]
}
