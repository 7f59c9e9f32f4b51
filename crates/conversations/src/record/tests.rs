//! Items are found as by looking at all of them, and without their being written.

use std::cell::Cell;

use turnwise::message::RawJson;
use turnwise::{Message, ToolCall, Transcript};

use super::{ListedItem, Record};
use crate::{ItemList, List, Order, read_items};

thread_local! {
    /// How many messages were written as items.
    pub(super) static WRITTEN: Cell<usize> = const { Cell::new(0) };
    /// How many were looked at for an id that is sought.
    pub(crate) static LOOKED: Cell<usize> = const { Cell::new(0) };
}

const ID: &str = "conv_1";

fn add(record: &mut Record<'_>, items: &str) {
    record.add(&read_items(&RawJson::new(items).unwrap(), "items").unwrap()).unwrap();
}

/// 2,000 items: what a program has recorded itself, and what it has added as items.
fn long() -> Transcript {
    let mut file = Transcript::default();
    for number in 0..500 {
        file.conversation.push(Message::user(format!("question {number}")));
        file.conversation.push(Message::assistant(format!("answer {number}")));
    }
    let items: Vec<String> =
        (0..1_000).map(|number| format!(r#"{{"role": "user", "content": "note {number}"}}"#)).collect();
    add(&mut Record::of(ID, &mut file), &format!("[{}]", items.join(",")));
    file
}

/// Every kind of id: made from random seeds and from places, those of another server, in text with
/// escapes, of calls, of items that chat completions do not have, and of some that wait.
fn various() -> Transcript {
    let mut file = Transcript::default();
    let mut record = Record::of(ID, &mut file);
    add(&mut record, r#"[{"type": "reasoning", "summary": [{"type": "summary_text", "text": "\"a\" \u0061\n"}]}]"#);
    file.conversation.push(Message::user("Hi"));
    file.conversation
        .push(Message::calls([ToolCall::function("c1", "now", "{}"), ToolCall::function("c2", "now", "{}")]));
    file.conversation.push(Message::tool("c1", "noon"));
    file.conversation.push(Message::tool("c2", "noon"));
    let foreign = ["msg_of_another", "say \\\"hi\\\" \\u00e9", "", "#5\\n.0", "\\u0061bcdef0123456789abcdef0123456789"];
    for id in foreign {
        let item = format!(r#"{{"type": "message", "role": "user", "content": "x", "id": "{id}"}}"#);
        let read = turnwise_formats::items::read(&[RawJson::new(&item).unwrap()]);
        file.conversation.push(read.messages[0].clone());
    }
    let mut record = Record::of(ID, &mut file);
    let items = r#"[
        {"type": "reasoning", "summary": []},
        {"role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "c3", "name": "now", "arguments": "{}"},
        {"type": "function_call", "call_id": "c4", "name": "now", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c3", "output": "one"},
        {"type": "function_call_output", "call_id": "c4", "output": "one"},
        {"type": "web_search_call", "action": {"type": "search", "query": "a \"quoted\" \u003c one"}},
        {"role": "assistant", "content": "It is one."},
        {"type": "reasoning", "summary": []}
    ]"#;
    add(&mut record, items);
    // What comes after it is recorded again.
    let gone = record.items(false).nth(1).unwrap();
    record.remove(&gone);
    file.conversation.push(Message::user("And now?"));
    file
}

fn all(record: &Record<'_>, newest_first: bool) -> Vec<ListedItem> {
    record.items(newest_first).collect()
}

fn ids(items: &[ListedItem]) -> Vec<String> {
    items.iter().map(|item| item.id.clone()).collect()
}

fn listed(page: &ItemList) -> Vec<&str> {
    page.data.iter().map(RawJson::as_str).collect()
}

#[test]
fn every_item_is_found_by_its_id_and_what_comes_after_it() {
    let mut file = various();
    let record = Record::of(ID, &mut file);
    for newest_first in [false, true] {
        let items = all(&record, newest_first);
        assert!(items.len() > 15, "{}", items.len());
        for id in ids(&items) {
            let place = items.iter().position(|item| item.id == id).unwrap();
            let after: Vec<ListedItem> = record.after(&id, newest_first).unwrap().collect();
            assert_eq!(ids(&after), ids(&items[place + 1..]), "{id}");
            let found = record.find(&id).unwrap();
            let newest = all(&record, true).into_iter().find(|item| item.id == id).unwrap();
            assert_eq!(found.json.as_str(), newest.json.as_str());
        }
        let every_third: Vec<String> = ids(&items).into_iter().step_by(3).collect();
        assert_eq!(ids(&record.with_ids(&every_third, newest_first).collect::<Vec<_>>()), every_third);
    }
    for unknown in ["", "msg_", "msg_of_another2", "#5", &format!("msg_{:050x}", 1)] {
        assert_eq!(record.find(unknown).is_some(), unknown.is_empty(), "{unknown}");
    }
}

#[test]
fn a_page_of_a_long_record_writes_its_own_items_only() {
    let mut file = long();
    let record = Record::of(ID, &mut file);
    let items = all(&record, false);
    assert_eq!(items.len(), 2_000);
    for order in [Order::Asc, Order::Desc] {
        for place in [0, 19, 990, 1_010, 1_979, 1_999] {
            let after = Some(items[place].id.clone());
            let list = List { after, order, ..List::default() };
            WRITTEN.set(0);
            LOOKED.set(0);
            let page = list.page(&record).unwrap();
            let (written, looked) = (WRITTEN.get(), LOOKED.get());
            // The items of the page, the one before it, and one to know whether there are more.
            assert!(written <= 22, "{written} written for the page after {place}, {order:?}");
            assert!(looked <= 2, "{looked} looked at for the page after {place}, {order:?}");
            let expected: Vec<&ListedItem> = match order {
                Order::Asc => items[place + 1..].iter().take(20).collect(),
                Order::Desc => items[..place].iter().rev().take(20).collect(),
            };
            assert_eq!(listed(&page), expected.iter().map(|item| item.json.as_str()).collect::<Vec<_>>());
            assert_eq!(page.last_id.as_ref(), expected.last().map(|item| &item.id));
        }
    }
}

#[test]
fn an_item_of_a_long_record_is_found_and_items_are_added_without_writing_the_others() {
    let mut file = long();
    let mut record = Record::of(ID, &mut file);
    let known = ids(&all(&record, false));
    WRITTEN.set(0);
    for place in [0, 1_000, 1_999] {
        assert_eq!(record.find(&known[place]).unwrap().id, known[place]);
    }
    assert!(record.find("msg_0").is_none());
    assert_eq!(WRITTEN.get(), 3);
    add(&mut record, r#"[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]"#);
    assert_eq!(WRITTEN.get(), 5);
}

#[test]
fn after_some_were_deleted_an_item_is_found_near_where_it_was() {
    let mut file = long();
    let mut record = Record::of(ID, &mut file);
    let known = ids(&all(&record, false));
    for id in &known[10..13] {
        let gone = record.find(id).unwrap();
        record.remove(&gone);
    }
    for id in [&known[9], &known[20], &known[999], &known[1_000], &known[1_999]] {
        WRITTEN.set(0);
        LOOKED.set(0);
        assert_eq!(record.find(id).unwrap().id, *id);
        assert!(WRITTEN.get() == 1 && LOOKED.get() <= 10, "{} looked at, {} written", LOOKED.get(), WRITTEN.get());
    }
}

#[test]
fn items_of_calls_are_found_where_they_were_recorded() {
    let mut file = Transcript::default();
    let round = |number: usize| {
        format!(
            r#"{{"type": "reasoning", "summary": []}}, {{"role": "assistant", "content": "I look."}},
            {{"type": "function_call", "call_id": "a{number}", "name": "now", "arguments": "{{}}"}},
            {{"type": "custom_tool_call", "call_id": "b{number}", "name": "now", "input": ""}},
            {{"type": "function_call_output", "call_id": "a{number}", "output": "noon"}},
            {{"type": "custom_tool_call_output", "call_id": "b{number}", "output": "noon"}},
            {{"type": "function_call", "call_id": "c{number}", "name": "now", "arguments": "{{}}"}},
            {{"type": "function_call_output", "call_id": "c{number}", "output": "noon"}},
            {{"role": "user", "content": "And now?"}}"#
        )
    };
    let rounds: Vec<String> = (0..100).map(round).collect();
    let mut record = Record::of(ID, &mut file);
    add(&mut record, &format!("[{}]", rounds.join(",")));
    let known = ids(&all(&record, false));
    assert_eq!(known.len(), 900);
    for id in &known {
        LOOKED.set(0);
        assert_eq!(record.find(id).unwrap().id, *id);
        assert!(LOOKED.get() <= 3, "{} looked at", LOOKED.get());
    }
}

#[test]
fn a_page_of_a_part_of_the_items_writes_its_own_items_only() {
    let mut file = long();
    let record = Record::of(ID, &mut file);
    let part = ids(&all(&record, false))[500..1_500].to_vec();
    for (order, after, expected) in [
        (Order::Asc, None, &part[..20]),
        (Order::Asc, Some(&part[499]), &part[500..520]),
        (Order::Asc, Some(&part[989]), &part[990..]),
        (Order::Desc, Some(&part[520]), &part[500..520]),
        (Order::Desc, Some(&part[0]), &part[..0]),
    ] {
        let wanted = List { after: after.cloned(), order, ..List::default() };
        WRITTEN.set(0);
        let page = wanted.page_with_ids(&record, &part).unwrap();
        assert!(WRITTEN.get() <= 22, "{}", WRITTEN.get());
        let (first, last) = match order {
            Order::Asc => (expected.first(), expected.last()),
            Order::Desc => (expected.last(), expected.first()),
        };
        assert_eq!((page.first_id.as_ref(), page.last_id.as_ref()), (first, last));
        assert_eq!((page.data.len(), page.has_more), (expected.len(), expected.len() == 20));
    }
    let of_others = List { after: Some(ids(&all(&record, false))[0].clone()), ..List::default() };
    assert_eq!(of_others.page_with_ids(&record, &part).unwrap_err().status, 404);
}
