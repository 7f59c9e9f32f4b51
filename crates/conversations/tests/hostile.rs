//! Items that are wrong, odd or meant to confuse; and records that a manager has made.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use futures_lite::future::{block_on, poll_once, yield_now};
use serde_json::{Value, json};
use turnwise::message::RawJson;
use turnwise::store::{BoxFuture, Change, MemoryStore, Revision, Store};
use turnwise::{Conversation, Message, Transcript};
use turnwise_conversations::{ApiError, Conversations, Create, ItemList, List, Order};

fn begun() -> (Conversations, String) {
    let api = Conversations::new(MemoryStore::new());
    let id = block_on(api.create(Create::default())).unwrap().id;
    (api, id)
}

fn add(api: &Conversations, id: &str, items: &str) -> Result<ItemList, ApiError> {
    block_on(api.items(id).create(&RawJson::new(items).unwrap()))
}

fn all(api: &Conversations, id: &str) -> Vec<RawJson> {
    block_on(api.items(id).list(List { order: Order::Asc, limit: 100, ..List::default() })).unwrap().data
}

fn value(json: &RawJson) -> Value {
    json.parse().unwrap()
}

#[test]
fn a_member_that_is_given_twice_has_its_last_value_and_is_kept_once() {
    for (item, key, expected) in [
        (r#"{"role": "user", "content": "x", "role": "assistant"}"#, "role", "assistant"),
        (r#"{"type": "function_call", "role": "user", "content": "x", "type": "message"}"#, "type", "message"),
        (r#"{"role": "user", "content": "x", "a": 1, "a": "last"}"#, "a", "last"),
    ] {
        let (api, id) = begun();
        let added = add(&api, &id, &format!("[{item}]")).unwrap();
        assert_eq!(value(&added.data[0])[key], expected);
        assert_eq!(added.data[0].as_str().matches(&format!("\"{key}\":")).count(), 1 + usize::from(key == "type"));
    }
    let (api, id) = begun();
    let added = add(&api, &id, r#"[{"role": "user", "content": "x", "id": "a", "id": "b"}]"#).unwrap();
    assert_eq!(value(&added.data[0])["id"], *added.first_id.unwrap());
    assert_eq!(added.data[0].as_str().matches("\"id\":").count(), 1);
}

#[test]
fn members_of_another_type_are_refused() {
    let (api, id) = begun();
    let call = |call_id: &str, arguments: &str| {
        format!(r#"{{"type": "function_call", "call_id": {call_id}, "name": "f", "arguments": {arguments}}}"#)
    };
    let said = |content: &str| format!(r#"{{"role": "user", "content": {content}}}"#);
    let output = |output: &str| format!(r#"{{"type": "function_call_output", "call_id": "c", "output": {output}}}"#);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (item, code, param, detail) in [
        (call("1", "\"{}\""), "invalid_type", "call_id", "a string, but got an integer"),
        (call("\"c\"", "{}"), "invalid_type", "arguments", "a string, but got an object"),
        (call("null", "\"{}\""), "missing_required_parameter", "call_id", "call_id"),
        (output("5"), "invalid_type", "output", "but got an integer"),
        (output(&deep), "invalid_type", "output[0]", "but got an array"),
        (said(&deep), "invalid_type", "content[0]", "but got an array"),
        (said(r#"[{"type": "poem"}]"#), "invalid_value", "content[0]", "'poem'. Supported values are: 'input_text', "),
        (said(r#"[{"type": 5}]"#), "invalid_type", "content[0].type", "a string, but got an integer"),
        (said(r#"[{"type": "input_text"}]"#), "missing_required_parameter", "content[0].text", "text"),
        (said(r#"[{"type": "refusal", "refusal": 1e400}]"#), "invalid_type", "content[0].refusal", "a decimal"),
        (r#"{"role": {}, "content": "x"}"#.into(), "invalid_type", "role", "a string, but got an object"),
        (r#"{"role": "user", "content": "x", "status": "odd"}"#.into(), "invalid_value", "status", "'odd'"),
        (r#"{"type": "item_reference"}"#.into(), "missing_required_parameter", "id", "items[0].id"),
    ] {
        let refused = add(&api, &id, &format!("[{item}]")).unwrap_err();
        assert_eq!((refused.status, refused.code), (400, Some(code)), "{refused}");
        assert_eq!(refused.param.unwrap(), format!("items[0].{param}"));
        assert!(refused.message.contains(detail), "{}", refused.message);
    }
    assert!(all(&api, &id).is_empty());
}

#[test]
fn members_that_may_be_null_are_taken_as_null() {
    let (api, id) = begun();
    let items = r#"[{"type": "code_interpreter_call", "container_id": "c", "code": "1", "outputs": null},
        {"type": "image_generation_call", "result": null}]"#;
    let listed = add(&api, &id, items).unwrap().data;
    assert_eq!((&value(&listed[0])["outputs"], &value(&listed[1])["result"]), (&json!(null), &json!(null)));
    let refused = add(&api, &id, r#"[{"type": "image_generation_call"}]"#).unwrap_err();
    assert_eq!(refused.param.as_deref(), Some("items[0].result"));
}

#[test]
fn a_reference_needs_no_type() {
    let (api, id) = begun();
    let first = add(&api, &id, r#"[{"role": "user", "content": "x"}]"#).unwrap().first_id.unwrap();
    for kind in ["", r#""type": null, "#] {
        let copy = add(&api, &id, &format!(r#"[{{{kind}"id": "{first}"}}]"#)).unwrap();
        assert_eq!(value(&copy.data[0])["content"][0]["text"], "x");
        assert_ne!(copy.first_id.unwrap(), first);
    }
    let unknown = add(&api, &id, r#"[{"id": "msg_1"}]"#).unwrap_err();
    assert_eq!((unknown.status, unknown.message.as_str()), (404, "Item with id 'msg_1' not found in conversation."));
}

#[test]
fn a_message_keeps_every_role_and_its_id() {
    for role in ["user", "assistant", "system", "developer", "tool", "critic", "discriminator", "unknown"] {
        let (api, id) = begun();
        let first = add(&api, &id, r#"[{"role": "user", "content": "first"}]"#).unwrap().first_id.unwrap();
        let added = add(&api, &id, &format!(r#"[{{"role": "{role}", "content": "x"}}]"#)).unwrap();
        let item = value(&added.data[0]);
        assert_eq!((&item["type"], &item["role"]), (&json!("message"), &json!(role)));
        assert!(added.first_id.unwrap().starts_with("msg_"), "{role}");
        block_on(api.items(&id).delete(&first)).unwrap();
        assert_eq!(value(&all(&api, &id)[0]), item);
    }
}

#[test]
fn what_comes_after_a_deleted_item_stays_as_a_manager_has_recorded_it() {
    let messages = json!([
        {"role": "user", "name": "Bob", "content": [
            {"type": "text", "text": "see"},
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "poem", "lines": 4},
        ]},
        {"role": "assistant", "content": null, "refusal": "No."},
        {"role": "assistant", "content": "a", "audio": {"id": "au1"}, "vendor": 5, "reasoning_content": "hm"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra": 1}]},
        {"role": "tool", "tool_call_id": "c1", "name": "f", "content": "r"},
        {"role": "assistant", "content": null, "function_call": {"name": "g", "arguments": "{}"}},
        {"role": "function", "name": "g", "content": "old"},
        {"role": "user", "content": "pinned"},
    ]);
    let messages: Vec<Message> = serde_json::from_value(messages).unwrap();
    let mut conversation = Conversation::from_messages([Message::user("One"), Message::user("Two")]);
    let ids: Vec<_> = messages.iter().map(|message| conversation.push(message.clone())).collect();
    conversation.pin(*ids.last().unwrap()).unwrap();
    let (store, id) = (MemoryStore::new(), conversation.id().to_owned());
    block_on(store.save(&id, &Transcript::new(conversation), None)).unwrap();
    let api = Conversations::new(store.clone());
    let before = all(&api, &id);
    assert_eq!(value(&before[3])["content"], json!([{"type": "refusal", "refusal": "No."}]));
    // The second time they are recorded again from what was recorded again.
    for deleted in [0, 1] {
        let item = value(&before[deleted])["id"].as_str().unwrap().to_owned();
        block_on(api.items(&id).delete(&item)).unwrap();
        let now: Vec<String> = all(&api, &id).iter().map(|item| item.as_str().to_owned()).collect();
        assert_eq!(now, before[deleted + 1..].iter().map(|item| item.as_str().to_owned()).collect::<Vec<_>>());
        let record = block_on(store.load(&id)).unwrap().0.conversation;
        let kept = record.path().messages().skip(1 - deleted).map(|message| {
            let mut kept = serde_json::to_value(message).unwrap();
            kept.as_object_mut().unwrap().remove("turnwise_item");
            kept
        });
        let expected = messages.iter().map(|message| serde_json::to_value(message).unwrap());
        assert_eq!(kept.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        let last = record.path().item(record.path().len() - 1).unwrap().id();
        assert!(record.pins().any(|pin| pin == last), "the pin is lost");
    }
}

/// A store whose conversations are read by all who want to before one of them writes.
#[derive(Clone)]
struct Lockstep(MemoryStore);

impl Store for Lockstep {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, turnwise::Result<(Transcript, Revision)>> {
        Box::pin(async move {
            let read = self.0.load(id).await;
            yield_now().await;
            read
        })
    }

    fn save<'a>(
        &'a self,
        id: &'a str,
        transcript: &'a Transcript,
        expected: Option<&'a Revision>,
    ) -> BoxFuture<'a, turnwise::Result<Revision>> {
        self.0.save(id, transcript, expected)
    }

    fn append<'a>(
        &'a self,
        id: &'a str,
        changes: &'a [Change],
        expected: &'a Revision,
    ) -> BoxFuture<'a, turnwise::Result<Revision>> {
        self.0.append(id, changes, expected)
    }

    fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, turnwise::Result<Vec<String>>> {
        self.0.list(after, limit)
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, turnwise::Result<()>> {
        self.0.delete(id)
    }
}

#[test]
fn any_number_of_writers_at_once_take_turns() {
    let api = Conversations::new(Lockstep(MemoryStore::new()));
    let id = block_on(api.create(Create::default())).unwrap().id;
    let item = RawJson::new(r#"[{"role": "user", "content": "x"}]"#).unwrap();
    let writer = |_| {
        let (api, id, item) = (api.clone(), id.clone(), item.clone());
        Box::pin(async move { api.items(&id).create(&item).await })
    };
    let mut writers: Vec<_> = (0..100).map(writer).collect();
    while !writers.is_empty() {
        writers.retain_mut(|writer| match block_on(poll_once(writer.as_mut())) {
            Some(done) => done.is_err_and(|refused| panic!("{refused}")),
            None => true,
        });
    }
    assert_eq!(all(&api, &id).len(), 100);
}
