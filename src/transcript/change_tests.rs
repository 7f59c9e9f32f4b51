//! What only this crate can do to a record: the calls of a tool loop.

use super::Transcript;
use crate::conversation::Mark;
use crate::message::ToolCall;
use crate::transcript::Change;
use crate::{Conversation, ErrorKind, ItemId, Message};

fn kinds(changes: &[Change]) -> Vec<&'static str> {
    changes.iter().map(Change::kind).collect()
}

/// The kinds of the changes that make one transcript out of the other, which are made.
pub(crate) fn made(before: &Transcript, after: &Transcript) -> Vec<&'static str> {
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

/// The error of changes that were written by hand.
fn refusal(changes: &[&str]) -> String {
    let mut file = Transcript::new(Conversation::from_messages([Message::system("s"), Message::user("a")]));
    file.conversation.push(Message::calls([ToolCall::function("1", "f", "{}")]));
    let before = file.to_json();
    let error = file.apply(changes.iter().map(|change| serde_json::from_str(change).unwrap())).unwrap_err();
    assert_eq!((error.kind(), file.to_json()), (ErrorKind::Damaged, before), "all of them, or none");
    error.to_string()
}

#[test]
fn changes_that_make_what_could_not_be_loaded_or_sent_do_not_fit() {
    const SUMMARY: &str = r#"{"summarized":{"id":0,"first":0,"last":0,"text":"t","created_at":0}}"#;
    const ITEM: &str = r#"{"item":{"id":2,"parent":1,"created_at":0,"message":{"role":"user","content":"x"}}}"#;
    for (changes, says) in [
        (&[SUMMARY, SUMMARY][..], "change 1, `summarized`: two summaries have the number 0"),
        (&[ITEM, ITEM], "change 1, `item`: item #2 is recorded where #3 is the next one"),
        (&[r#"{"item":{"id":2,"parent":2,"created_at":0,"message":{"role":"user"}}}"#], "no item #2"),
        (
            &[r#"{"purged":{"first":2,"count":1000000}}"#, r#"{"purged":{"first":1000002,"count":1}}"#],
            "change 1, `purged`: 1000001 purged items; at most 1000000 are allowed",
        ),
        (&[r#"{"purged":{"first":4294967295,"count":4294967295}}"#], "are purged where #2 is the next one"),
        (&[r#"{"purged":{"first":0,"count":1}}"#], "item #1 stays and the item before it is purged"),
        (&[r#"{"head":{"at":1,"inserted":[{"role":"tool","tool_call_id":"1"}]}}"#], "has the role `tool`"),
        (&[r#"{"begun":{"id":"","created_at":0,"head":[{"role":"user"}]}}"#], "has the role `user`"),
        (&[r#"{"head":{"at":18446744073709551615,"removed":1}}"#], "in a head of 1"),
        (&[r#"{"call_finished":{"item":1,"call":0,"result":{"role":"user"}}}"#], "does not answer it"),
        (
            &[r#"{"call_finished":{"item":1,"call":0,"result":{"role":"tool","tool_call_id":"2"}}}"#],
            "does not answer it",
        ),
    ] {
        let refusal = refusal(changes);
        assert!(refusal.contains(says), "{refusal}");
    }
}

#[test]
fn summaries_have_ids_of_their_own_after_the_last_one() {
    let mut file = Transcript::new(Conversation::from_messages([Message::user("a")]));
    file.apply([Change::SummaryIds { next: u32::MAX - 1 }]).unwrap();
    let mut attach = || file.conversation.attach(ItemId(0), ItemId(0), "t", None).unwrap().index();
    let last = u32::MAX as usize;
    assert_eq!([attach(), attach(), attach(), attach()], [last - 1, last, 0, 1]);
    assert_eq!(Transcript::from_json(&file.to_json()).unwrap().to_json(), file.to_json());
}

#[test]
fn members_that_could_not_be_read_again_are_not_written() {
    for (name, value) in [("model", "5"), ("tools", "7"), ("tools", "{}"), ("model", "null"), ("tools", "null")] {
        let mut file = Transcript::default();
        let extra = vec![(name.to_owned(), crate::message::RawJson::new(value).unwrap())];
        file.apply([Change::Members { extra, keys: vec![name.to_owned()] }]).unwrap();
        let again = Transcript::from_json(&file.to_json()).unwrap();
        assert_eq!(again.extra.len(), usize::from(value == "null"), "{name}: {value}");
    }
}

#[test]
fn a_file_whose_head_summaries_or_results_could_not_be_sent_is_damaged() {
    let mut file = Transcript::new(Conversation::from_messages([Message::system("s"), Message::user("a")]));
    let calls = file.conversation.push(Message::calls([ToolCall::function("1", "f", "{}")]));
    file.conversation.attach(ItemId(0), ItemId(0), "t", None).unwrap();
    file.conversation.attach(ItemId(0), ItemId(0), "u", None).unwrap();
    file.conversation.note_result(calls, 0, Message::tool("1", "r"));
    file.conversation.set_system("s2");
    let text = file.to_json();
    for (written, instead, says) in [
        (r#"{"role":"system","content":"s2"}"#, r#"{"role":"user","content":"s2"}"#, "has the role `user`"),
        (r#"{"role":"system","content":"s"}"#, r#"{"role":"tool","content":"s"}"#, "has the role `tool`"),
        (r#"{"id":1,"first""#, r#"{"id":0,"first""#, "two summaries have the number 0"),
        (r#""tool_call_id":"1""#, r#""tool_call_id":"2""#, "does not answer it"),
    ] {
        assert!(text.contains(written), "{text}");
        let error = Transcript::from_json(&text.replace(written, instead)).unwrap_err();
        assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains(says), "{error}");
    }
}

#[test]
fn where_a_mark_was_replaced_by_one_that_is_purged_everything_is_written_anew() {
    let mut file = Transcript::new(Conversation::from_messages([Message::user("a"), Message::user("b")]));
    let [first, second] = [ItemId(0), ItemId(1)];
    file.conversation.set_mark(Mark::new("window", "cut", first, first)).unwrap();
    let before = file.clone();
    let other = Mark::new("window", "cut", second, first);
    file.conversation.set_mark(other).unwrap();
    file.conversation.purge(second).unwrap();
    assert!(file.conversation.all_marks().is_empty());
    assert_eq!(made(&before, &file), ["begun", "item", "purged", "leaf"]);
}
