//! The contract of the Conversations API, call by call.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::thread;

use futures_lite::future::block_on;
use serde_json::{Value, json};
use turnwise::message::RawJson;
use turnwise::store::{MemoryStore, Store};
use turnwise::{ConversationManager, TokenBudget, backend::Scripted};
use turnwise_conversations::{ApiError, Conversations, Create, ItemList, List, Order};

fn api() -> Conversations {
    Conversations::new(MemoryStore::new())
}

fn create(api: &Conversations, body: Value) -> Result<String, ApiError> {
    block_on(api.create(serde_json::from_value(body).unwrap())).map(|made| made.id)
}

fn add(api: &Conversations, id: &str, items: Value) -> Result<ItemList, ApiError> {
    block_on(api.items(id).create(&RawJson::from(items)))
}

fn values(list: &ItemList) -> Vec<Value> {
    list.data.iter().map(|item| item.parse().unwrap()).collect()
}

fn all(api: &Conversations, id: &str) -> Vec<Value> {
    let list = List { order: Order::Asc, limit: 100, ..List::default() };
    values(&block_on(api.items(id).list(list)).unwrap())
}

fn texts(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["content"][0]["text"].as_str().unwrap_or("-").to_owned()).collect()
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn call(id: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "now", "arguments": "{}"})
}

fn output(id: &str) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": "noon"})
}

#[test]
fn a_conversation_is_created_changed_and_deleted() {
    let api = api();
    let made = block_on(api.create(Create::default())).unwrap();
    let json = serde_json::to_value(&made).unwrap();
    assert_eq!((&json["object"], &json["metadata"]), (&json!("conversation"), &json!({})));
    assert!(json["created_at"].as_i64().unwrap() > 1_700_000_000);
    let pairs = |text: &str| RawJson::new(text).unwrap();
    block_on(api.update(&made.id, &pairs(r#"{"a": "1", "b": "2"}"#))).unwrap();
    let changed = block_on(api.update(&made.id, &pairs(r#"{"b": "3"}"#))).unwrap();
    assert_eq!(serde_json::to_value(&changed).unwrap()["metadata"], json!({"b": "3"}));
    assert_eq!(block_on(api.retrieve(&made.id)).unwrap(), changed);
    let deleted = serde_json::to_value(block_on(api.delete(&made.id)).unwrap()).unwrap();
    assert_eq!(deleted, json!({"id": made.id, "object": "conversation.deleted", "deleted": true}));
    for refused in [
        block_on(api.delete(&made.id)).unwrap_err(),
        block_on(api.retrieve(&made.id)).unwrap_err(),
        add(&api, &made.id, json!([])).unwrap_err(),
        block_on(api.items(&made.id).list(List::default())).unwrap_err(),
    ] {
        assert_eq!(refused.status, 404);
        assert_eq!(refused.message, format!("Conversation with id '{}' not found.", made.id));
    }
}

#[test]
fn refusals_are_worded_as_by_the_api() {
    let api = api();
    let id = create(&api, json!({})).unwrap();
    let long = "k".repeat(65);
    let pairs: serde_json::Map<String, Value> = (0..17).map(|n| (n.to_string(), json!("x"))).collect();
    let of_metadata = |metadata: Value| create(&api, json!({"metadata": metadata})).unwrap_err();
    let of_items = |items: Value| add(&api, &id, items).unwrap_err();
    let of_list = |list: List| block_on(api.items(&id).list(list)).unwrap_err();
    let refusals = [
        (of_metadata(json!("x")), "invalid_type", "metadata", "a metadata object, but got a string"),
        (of_metadata(json!({"a": 1})), "invalid_type", "metadata.a", "a string, but got an integer"),
        (of_metadata(json!({"a": "ü".repeat(513)})), "string_above_max_length", "metadata.a", "length 513 instead"),
        (
            of_metadata(json!({ long.clone(): "x" })),
            "property_name_above_max_length",
            &*format!("metadata.{long}"),
            "'kkk...kkk'",
        ),
        (of_metadata(pairs.into()), "object_above_max_properties", "metadata", "with 17 properties instead"),
        (of_items(json!({})), "invalid_type", "items", "an array, but got an object"),
        (of_items(json!(vec![user("x"); 21])), "array_above_max_length", "items", "an array with length 21"),
        (of_items(json!([user("x"), 5])), "invalid_type", "items[1]", "an object, but got an integer"),
        (of_items(json!([{"content": "x"}])), "missing_required_parameter", "items[0].type", "'items[0].type'"),
        (of_items(json!([{"role": "user"}])), "missing_required_parameter", "items[0].content", "'items[0].content'"),
        (of_items(json!([{"role": "king", "content": "x"}])), "invalid_value", "items[0].role", "'king'"),
        (of_items(json!([{"type": "poem", "text": "x"}])), "invalid_value", "items[0]", "Invalid value: 'poem'"),
        (
            of_items(json!([{"type": "function_call", "name": "f"}])),
            "missing_required_parameter",
            "items[0].call_id",
            "call_id",
        ),
        (of_items(json!([{"role": "user", "content": 5}])), "invalid_type", "items[0].content", "but got an integer"),
        (
            of_items(json!([{"role": "user", "content": [{}]}])),
            "missing_required_parameter",
            "items[0].content[0].type",
            "type",
        ),
        (of_list(List { limit: 101, ..List::default() }), "integer_above_max_value", "limit", "<= 100, but got 101"),
        (
            of_list(List { limit: -1, ..List::default() }),
            "integer_below_min_value",
            "limit",
            ">= 0, but got -1 instead",
        ),
        (of_list(List { include: vec!["all".into()], ..List::default() }), "invalid_value", "include", "'all'"),
        ("up".parse::<Order>().unwrap_err(), "invalid_value", "order", "Supported values are: 'asc' and 'desc'."),
    ];
    for (refusal, code, param, message) in refusals {
        assert_eq!((refusal.status, refusal.kind), (400, "invalid_request_error"), "{refusal}");
        assert_eq!((refusal.code, refusal.param.as_deref()), (Some(code), Some(param)), "{refusal}");
        assert!(refusal.message.contains(message), "{refusal}");
        let body = serde_json::to_value(&refusal).unwrap();
        let keys: Vec<&String> = body["error"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["code", "message", "param", "type"]);
    }
    assert!(all(&api, &id).is_empty());
}

#[test]
fn items_are_listed_page_by_page_in_both_orders() {
    let api = api();
    let id = create(&api, json!({"items": (0..20).map(|n| user(&n.to_string())).collect::<Vec<_>>()})).unwrap();
    let added = add(&api, &id, json!([user("20"), user("21"), user("22")])).unwrap();
    assert_eq!(texts(&values(&added)), ["20", "21", "22"]);
    assert!(!added.has_more);
    let newest = block_on(api.items(&id).list(List::default())).unwrap();
    assert_eq!((newest.data.len(), newest.has_more), (20, true));
    assert_eq!(texts(&values(&newest))[0], "22");
    for order in [Order::Asc, Order::Desc] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let list = List { after: after.clone(), order, limit: 5, ..List::default() };
            let page = block_on(api.items(&id).list(list)).unwrap();
            assert_eq!(page.first_id.as_ref(), ids(&values(&page)).first());
            seen.extend(texts(&values(&page)));
            after.clone_from(&page.last_id);
            if !page.has_more {
                break;
            }
        }
        let mut expected: Vec<String> = (0..23).map(|n| n.to_string()).collect();
        if order == Order::Desc {
            expected.reverse();
        }
        assert_eq!(seen, expected);
    }
    let none = block_on(api.items(&id).list(List { limit: 0, ..List::default() })).unwrap();
    assert_eq!((none.data.len(), none.has_more, none.last_id), (0, true, None));
    let unknown = List { after: Some("msg_1".to_owned()), ..List::default() };
    assert_eq!(block_on(api.items(&id).list(unknown)).unwrap_err().status, 404);
    let empty = create(&api, json!({"items": null, "metadata": null})).unwrap();
    let list = serde_json::to_value(block_on(api.items(&empty).list(List::default())).unwrap()).unwrap();
    assert_eq!(list, json!({"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": false}));
}

#[test]
fn messages_are_completed_to_the_form_in_which_they_are_listed() {
    let api = api();
    let id = create(&api, json!({})).unwrap();
    let said = json!([
        user("Hi"),
        {"type": "message", "role": "assistant", "content": "Hello!"},
        {"role": "assistant", "content": [{"type": "input_text", "text": "Again."}]},
        {"role": "developer", "content": [{"type": "input_text", "text": "Be brief."}], "id": "msg_mine"},
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://example.com/a.png"}]},
    ]);
    let listed = values(&add(&api, &id, said).unwrap());
    let text = |text: &str| json!([{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]);
    let contents: Vec<&Value> = listed.iter().map(|item| &item["content"]).collect();
    assert_eq!(contents[0], &json!([{"type": "input_text", "text": "Hi"}]));
    assert_eq!((contents[1], contents[2]), (&text("Hello!"), &text("Again.")));
    assert_eq!(contents[4][0]["detail"], "auto");
    for item in &listed {
        assert_eq!((&item["type"], &item["status"]), (&json!("message"), &json!("completed")));
        let id = item["id"].as_str().unwrap();
        assert!(id.starts_with("msg_") && id.len() == 54, "{id}");
    }
    assert_eq!(all(&api, &id), listed);
    for item in &listed {
        let one = block_on(api.items(&id).retrieve(item["id"].as_str().unwrap())).unwrap();
        assert_eq!(one.parse::<Value>().unwrap(), *item);
    }
}

/// An item of every kind that chat completions do not have, in the order of the contract.
fn others() -> Vec<Value> {
    vec![
        json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "xyz"}),
        json!({"type": "file_search_call", "queries": ["a"], "results": null}),
        json!({"type": "web_search_call", "action": {"type": "search", "query": "rivers"}}),
        json!({"type": "computer_call", "call_id": "c", "pending_safety_checks": [], "action": {"type": "wait"}}),
        json!({"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}}),
        json!({"type": "image_generation_call", "result": "aGk="}),
        json!({"type": "code_interpreter_call", "container_id": "k", "code": "1", "outputs": []}),
        json!({"type": "local_shell_call", "call_id": "s", "action": {"type": "exec", "command": ["ls"], "env": {}}}),
        json!({"type": "local_shell_call_output", "call_id": "s", "output": "a.txt"}),
        json!({"type": "mcp_list_tools", "server_label": "m", "tools": []}),
        json!({"type": "mcp_approval_request", "server_label": "m", "name": "n", "arguments": "{}"}),
        json!({"type": "mcp_approval_response", "approval_request_id": "r", "approve": true}),
        json!({"type": "mcp_call", "server_label": "m", "name": "n", "arguments": "{}", "output": "1.50"}),
        json!({"type": "compaction", "encrypted_content": "abc"}),
    ]
}

#[test]
fn items_of_every_kind_are_kept_as_they_were_given_and_in_their_order() {
    let api = api();
    let id = create(&api, json!({"items": [user("Hi")]})).unwrap();
    let mut given = vec![user("Hi")];
    let mixed: Vec<Value> = others().into_iter().flat_map(|other| [other, call("a"), output("a")]).collect();
    for items in
        [&mixed[..20], &mixed[20..40], &mixed[40..], &others()[..1], &others()[1..3], &[user("Bye")], &others()[3..]]
    {
        let added = values(&add(&api, &id, json!(items)).unwrap());
        assert_eq!(added.len(), items.len());
        given.extend_from_slice(items);
    }
    let listed = all(&api, &id);
    assert_eq!(listed.len(), given.len());
    for (listed, given) in listed.iter().zip(&given).filter(|(_, given)| given.get("role").is_none()) {
        for (key, value) in given.as_object().unwrap() {
            assert_eq!(&listed[key], value, "{key} of {given}");
        }
    }
    let ids = ids(&listed);
    let mut unique = ids.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), ids.len());
}

#[test]
fn a_deleted_item_is_gone_and_the_others_keep_their_ids() {
    let api = api();
    let items = [user("1"), call("a"), call("b"), output("a"), output("b"), user("2"), others().remove(0), user("3")];
    let id = create(&api, json!({"items": items})).unwrap();
    let mut left = all(&api, &id);
    for gone in [1, 4, 0, 2, 3, 0, 0, 0] {
        let item = left.remove(gone);
        let item = item["id"].as_str().unwrap();
        let answer = block_on(api.items(&id).delete(item)).unwrap();
        assert_eq!(answer.id, id);
        assert_eq!(all(&api, &id), left);
        for refused in
            [block_on(api.items(&id).retrieve(item)).map(drop), block_on(api.items(&id).delete(item)).map(drop)]
        {
            assert_eq!(refused.unwrap_err().message, format!("Item with id '{item}' not found in conversation."));
        }
    }
}

#[test]
fn calls_that_are_added_one_by_one_are_sent_together() {
    let store = MemoryStore::new();
    let api = Conversations::new(store.clone());
    let id = create(&api, json!({"items": [user("What time is it?"), call("a")]})).unwrap();
    for item in [call("b"), output("b"), output("a"), user("And now?")] {
        add(&api, &id, json!([item])).unwrap();
    }
    assert_eq!(all(&api, &id).len(), 6);
    let sessions = manager(Scripted::new(["Noon."])).sessions_over(store).unwrap();
    let chat = block_on(sessions.open_existing(&id)).unwrap();
    let request = chat.reply().dry_run().unwrap();
    let roles: Vec<&str> = request.messages.iter().map(|message| message.role().as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "user"]);
    let sent = serde_json::to_string(&request).unwrap();
    assert!(!sent.contains("turnwise") && !sent.contains("annotations"), "{sent}");
}

fn manager(backend: Scripted) -> turnwise::Builder {
    ConversationManager::builder("gpt-4o-mini").backend(backend).budget(TokenBudget::limit(10_000))
}

#[test]
fn turns_of_a_manager_are_items_whose_ids_stay() {
    let store = MemoryStore::new();
    let api = Conversations::new(store.clone());
    let id = create(&api, json!({"items": [user("Hi"), {"role": "assistant", "content": "Hello!"}]})).unwrap();
    let sessions = manager(Scripted::new(["The Elbe.", "The Oder."])).sessions_over(store).unwrap();
    block_on(sessions.send(&id, "Name a river.")).unwrap();
    let before = all(&api, &id);
    assert_eq!(texts(&before), ["Hi", "Hello!", "Name a river.", "The Elbe."]);
    assert_eq!((&before[3]["role"], &before[3]["status"]), (&json!("assistant"), &json!("completed")));
    block_on(api.items(&id).delete(&ids(&before)[0])).unwrap();
    assert_eq!(all(&api, &id), before[1..]);
    block_on(sessions.send(&id, "Another one.")).unwrap();
    let after = all(&api, &id);
    assert_eq!(after[..3], before[1..]);
    assert_eq!(texts(&after[3..]), ["Another one.", "The Oder."]);
}

#[test]
fn a_reference_is_a_copy_and_a_fork_has_ids_of_its_own() {
    let store = MemoryStore::new();
    let api = Conversations::new(store.clone());
    let id = create(&api, json!({"items": [user("Hi")]})).unwrap();
    let first = ids(&all(&api, &id)).remove(0);
    add(&api, &id, json!([{"type": "item_reference", "id": first}])).unwrap();
    assert_eq!(texts(&all(&api, &id)), ["Hi", "Hi"]);
    let unknown = add(&api, &id, json!([user("x"), {"type": "item_reference", "id": "msg_1"}])).unwrap_err();
    assert_eq!(unknown.status, 404);
    block_on(store.fork(&id, "fork")).unwrap();
    let (of_original, of_fork) = (ids(&all(&api, &id)), ids(&all(&api, "fork")));
    assert!(of_fork.len() == 2 && of_fork.iter().all(|id| !of_original.contains(id)));
    assert_eq!(block_on(api.items("fork").retrieve(&of_original[0])).unwrap_err().status, 404);
}

#[test]
fn writers_at_once_lose_nothing() {
    let store = MemoryStore::new();
    let id = create(&Conversations::new(store.clone()), json!({})).unwrap();
    thread::scope(|scope| {
        for writer in 0..4 {
            let api = Conversations::new(store.clone());
            let id = &id;
            scope.spawn(move || {
                for number in 0..20 {
                    add(
                        &api,
                        id,
                        json!([user(&format!("{writer} {number} a")), user(&format!("{writer} {number} b"))]),
                    )
                    .unwrap();
                }
            });
        }
    });
    let api = Conversations::new(store);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let list = List { after: after.clone(), order: Order::Asc, limit: 100, ..List::default() };
        let page = block_on(api.items(&id).list(list)).unwrap();
        seen.extend(texts(&values(&page)));
        after.clone_from(&page.last_id);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen.len(), 160);
    for pair in seen.chunks(2) {
        assert_eq!(pair[0].trim_end_matches('a'), pair[1].trim_end_matches('b'));
    }
}
