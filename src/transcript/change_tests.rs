//! What only this crate can do to a record: the calls of a tool loop.

use super::Transcript;
use crate::message::ToolCall;
use crate::transcript::Change;
use crate::{Conversation, ErrorKind, ItemId, Message};

fn kinds(changes: &[Change]) -> Vec<&'static str> {
    changes.iter().map(Change::kind).collect()
}

/// The kinds of the changes that make one transcript out of the other, which are made.
fn made(before: &Transcript, after: &Transcript) -> Vec<&'static str> {
    let changes = after.changes_since(before);
    let mut copy = before.clone();
    copy.apply(changes.clone()).unwrap();
    assert_eq!(copy.to_json(), after.to_json());
    let mut whole = Transcript::default();
    whole.apply(after.changes()).unwrap();
    assert_eq!(whole.to_json(), after.to_json());
    kinds(&changes)
}

#[test]
fn a_tool_loop_is_a_change_for_each_call_that_starts_and_ends() {
    let mut file = Transcript::new(Conversation::from_messages([Message::user("a")]));
    let calls = file.conversation.push(Message::calls(["1", "2", "3"].map(|id| ToolCall::function(id, "f", "{}"))));
    let mut before = file.clone();
    let mut then = |change: fn(&mut Conversation, ItemId)| {
        change(&mut file.conversation, calls);
        let made = made(&before, &file);
        before = file.clone();
        made
    };
    assert_eq!(
        then(|talk, calls| {
            talk.note_start(calls, 0);
            talk.note_start(calls, 1);
        }),
        ["call_started", "call_started"]
    );
    assert_eq!(then(|talk, calls| talk.note_result(calls, 1, Message::tool("2", "r"))), ["call_finished"]);
    assert_eq!(then(|talk, calls| talk.forget_start(calls, 0)), ["call_forgotten"]);
    assert_eq!(then(|talk, calls| talk.note_result(calls, 0, Message::tool("1", "r"))), ["call_finished"]);
    let ended = then(|talk, _| {
        for id in ["1", "2", "3"] {
            talk.push(Message::tool(id, "r"));
        }
        talk.drop_answered_rounds();
    });
    assert_eq!(ended, ["item", "item", "item", "round_ended"]);
}

#[test]
fn a_call_that_no_item_makes_does_not_fit() {
    let mut file = Transcript::new(Conversation::from_messages([Message::user("a")]));
    let error = file.apply([Change::CallStarted { item: ItemId(0), call: 0 }]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("change 0, `call_started`: a tool round has call 0 of item #0"), "{error}");
}

#[test]
fn purged_ids_and_heads_are_changes_of_their_own() {
    let mut file = Transcript::new(Conversation::from_messages([Message::system("s"), Message::user("a")]));
    let first = file.conversation.leaf().unwrap();
    let before = file.clone();
    file.conversation.set_system("t");
    file.conversation.edit(first, "b").unwrap();
    file.conversation.set_system("u");
    file.conversation.purge_branches();
    file.conversation.set_system("v");
    assert_eq!(made(&before, &file), ["purged", "item", "head", "heads_forgotten", "head"]);
    assert!(!serde_json::to_string(&file.changes()).unwrap().contains("\"t\""), "what was purged is gone");
}

#[test]
fn a_journal_cannot_claim_any_number_of_purged_items() {
    let first = |first: u32| Change::Purged { first: ItemId(first), count: 600_000 };
    let mut file = Transcript::default();
    file.apply([first(0)]).unwrap();
    let mut file = Transcript::default();
    let error = file.apply([first(0), first(600_000)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(file.apply([Change::Purged { first: ItemId(0), count: u32::MAX }]).is_err());
}

#[test]
fn debug_prints_no_text_of_a_change() {
    let change = Change::Constrained { text: "secret".to_owned() };
    assert_eq!(format!("{change:?}"), "Change(constrained)");
}

#[test]
fn a_change_has_the_same_name_in_json() {
    let mut file =
        Transcript::from_json(r#"{"model":"m","messages":[{"role":"user","content":"a"}],"seed":7}"#).unwrap();
    let item = file.conversation.leaf().unwrap();
    file.conversation.pin(item).unwrap();
    file.conversation.constrain("c");
    file.conversation.attach(item, item, "so far", None).unwrap();
    file.conversation.clear();
    for change in file.changes().into_iter().chain([Change::HeadsForgotten, Change::SummaryIds { next: 3 }]) {
        let json = serde_json::to_string(&change).unwrap();
        let name = json.trim_start_matches(['{', '"']).split('"').next().unwrap();
        assert_eq!(name, change.kind());
    }
}
