use std::borrow::Cow;
use std::collections::BTreeMap;

use super::*;
use crate::message::{Role, ToolCall};

fn texts(conversation: &Conversation) -> Vec<String> {
    conversation.path().messages().map(|message| message.text().into_owned()).collect()
}

fn id(index: usize) -> ItemId {
    ItemId::from_index(index)
}

/// Two turns: items 0 to 3.
fn talk() -> Conversation {
    Conversation::from_messages([
        Message::system("Be brief."),
        Message::user("one"),
        Message::assistant("1"),
        Message::user("two"),
        Message::assistant("2"),
    ])
}

fn calls(ids: &[&str]) -> Message {
    Message::calls(ids.iter().map(|id| ToolCall::function(id, "f", "{}")))
}

fn groups(conversation: &Conversation) -> Vec<(usize, GroupState)> {
    let path = conversation.path();
    (0..path.group_count()).map(|group| (path.group(group).positions().len(), path.group(group).state())).collect()
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    result.map(|_| ()).unwrap_err().kind()
}

#[test]
fn leading_instructions_are_the_head_and_later_ones_are_items() {
    let talk = Conversation::from_messages([
        Message::developer("a"),
        Message::system("b"),
        Message::user("c"),
        Message::system("d"),
    ]);
    assert_eq!((talk.head().len(), texts(&talk)), (2, vec!["c".to_owned(), "d".to_owned()]));
    let only_head = Conversation::from_messages([Message::system("a")]);
    assert_eq!((only_head.head().len(), only_head.path().is_empty(), only_head.leaf()), (1, true, None));
    assert_eq!((only_head.path().group_count(), only_head.path().turn_count()), (0, 0));
}

#[test]
fn every_conversation_has_an_id_of_its_own() {
    let (one, other) = (Conversation::new(), Conversation::new());
    assert_ne!(one.id(), other.id());
    assert!(one.id().starts_with("conv_") && one.id().len() == 53, "{}", one.id());
    assert!(one.id()[5..].bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[test]
fn undo_goes_back_turn_by_turn_and_the_turns_stay_as_a_branch() {
    let mut talk = talk();
    assert_eq!((talk.undo(), texts(&talk)), (Some(id(2)), vec!["one".to_owned(), "1".to_owned()]));
    assert_eq!((talk.undo(), texts(&talk).len()), (Some(id(0)), 0));
    assert_eq!(talk.undo(), None);
    assert_eq!((talk.items().count(), talk.next_ordinal()), (4, 4));
    assert_eq!(talk.branches().map(|branch| (branch.leaf, branch.is_current)).collect::<Vec<_>>(), [(id(3), false)]);
    talk.switch(id(3)).unwrap();
    assert_eq!(texts(&talk), ["one", "1", "two", "2"]);
}

#[test]
fn undo_without_a_user_message_goes_to_the_start() {
    let mut talk = Conversation::from_messages([Message::assistant("Hello!"), Message::assistant("Anyone?")]);
    assert_eq!((talk.undo(), talk.leaf()), (Some(id(0)), None));
    let mut greeted = Conversation::from_messages([Message::assistant("Hello!"), Message::user("Hi.")]);
    assert_eq!((greeted.undo(), greeted.leaf()), (Some(id(1)), Some(id(0))));
}

#[test]
fn switch_goes_back_and_over_to_other_branches_and_other_roots() {
    let mut talk = talk();
    talk.switch(id(1)).unwrap();
    assert_eq!(talk.push("deux"), id(4));
    assert_eq!(texts(&talk), ["one", "1", "deux"]);
    talk.switch(id(3)).unwrap();
    assert_eq!(texts(&talk), ["one", "1", "two", "2"]);
    talk.clear();
    talk.push("anew");
    assert_eq!((talk.get(id(5)).unwrap().parent(), texts(&talk)), (None, vec!["anew".to_owned()]));
    talk.switch(id(4)).unwrap();
    assert_eq!(texts(&talk), ["one", "1", "deux"]);
    let branches: Vec<_> = talk.branches().map(|branch| (branch.leaf, branch.len, branch.is_current)).collect();
    assert_eq!(branches, [(id(3), 4, false), (id(4), 3, true), (id(5), 1, false)]);
}

#[test]
fn an_edit_records_an_alternative_and_says_its_id() {
    let mut talk = talk();
    assert_eq!(talk.edit(id(2), "zwei").unwrap(), id(4));
    assert_eq!(texts(&talk), ["one", "1", "zwei"]);
    assert_eq!(talk.get(id(4)).unwrap().parent(), Some(id(1)));
    assert_eq!(talk.edit(id(0), "eins").unwrap(), id(5));
    assert_eq!((texts(&talk), talk.get(id(5)).unwrap().parent()), (vec!["eins".to_owned()], None));
    assert_eq!(talk.edit(id(3), "off the path").unwrap(), id(6));
    assert_eq!(texts(&talk), ["one", "1", "two", "off the path"]);
}

#[test]
fn what_does_not_exist_is_not_found_and_nothing_changes() {
    let mut talk = talk();
    let nobody = id(4);
    assert_eq!(kind(talk.switch(nobody)), ErrorKind::NotFound);
    assert_eq!(kind(talk.edit(nobody, "x")), ErrorKind::NotFound);
    assert_eq!(kind(talk.fork(nobody)), ErrorKind::NotFound);
    assert_eq!(kind(talk.pin(nobody)), ErrorKind::NotFound);
    assert_eq!(kind(talk.purge(nobody)), ErrorKind::NotFound);
    assert_eq!(kind(talk.attach(id(0), nobody, "x", None)), ErrorKind::NotFound);
    assert!(!talk.unpin(id(0)));
    assert_eq!((texts(&talk).len(), talk.items().count(), talk.pins().count()), (4, 4, 0));
    let error = talk.pin(nobody).unwrap_err().to_string();
    assert_eq!(error, "not found: no item #4 in this conversation: the ids are #0 to #3");
    let error = Conversation::new().pin(nobody).unwrap_err().to_string();
    assert_eq!(error, "not found: no item #4 in this conversation: the record is empty");
}

#[test]
fn a_fork_goes_its_own_way_under_an_id_of_its_own() {
    let mut talk = talk();
    talk.pin(id(0)).unwrap();
    talk.metadata_mut().set("topic", "numbers").unwrap();
    let mut fork = talk.fork(id(1)).unwrap();
    assert_ne!(fork.id(), talk.id());
    assert_eq!((texts(&fork), fork.items().count()), (vec!["one".to_owned(), "1".to_owned()], 4));
    assert_eq!((fork.head(), fork.metadata().get("topic")), (talk.head(), Some("numbers")));
    assert_eq!(fork.push("drei"), talk.push("three"));
    fork.unpin(id(0));
    fork.set_system("Be long.");
    fork.metadata_mut().set("topic", "words").unwrap();
    assert_eq!((texts(&talk).last().unwrap(), texts(&fork).last().unwrap()), (&"three".to_owned(), &"drei".to_owned()));
    assert_eq!((talk.pins().count(), talk.heads().count(), talk.metadata().get("topic")), (1, 1, Some("numbers")));
}

#[test]
fn a_fork_of_a_long_conversation_shares_all_text_and_grows_alone() {
    let mut talk = Conversation::new();
    for number in 0..100_000 {
        talk.push_at(Message::user(number.to_string()), Timestamp::default());
    }
    let mut fork = talk.fork(id(99_999)).unwrap();
    let address = |conversation: &Conversation, index| match conversation.get(id(index)).unwrap().message().text() {
        Cow::Borrowed(text) => text.as_ptr(),
        Cow::Owned(_) => unreachable!("plain text is borrowed"),
    };
    assert!((0..100_000).all(|index| address(&talk, index) == address(&fork, index)));
    fork.push("fork");
    assert_eq!((talk.path().len(), fork.path().len()), (100_000, 100_001));
    fork.purge(id(50_000)).unwrap();
    assert_eq!((talk.items().count(), fork.items().count()), (100_000, 50_000));
    assert_eq!((talk.path().turn_count(), fork.path().turn_count()), (100_000, 50_000));
}

#[test]
fn clear_keeps_head_pins_and_what_was_said() {
    let mut talk = talk();
    talk.pin(id(2)).unwrap();
    talk.clear();
    assert_eq!((talk.head().len(), talk.path().len(), talk.items().count(), talk.pins().count()), (1, 0, 4, 1));
    talk.clear();
    assert_eq!(talk.leaf(), None);
}

#[test]
fn set_system_replaces_the_system_messages_and_keeps_the_developers() {
    let head = [Message::system("a"), Message::developer("b"), Message::system("c"), Message::developer("d")];
    let mut talk = Conversation::from_messages(head);
    talk.set_system("e");
    let texts = |head: Vec<Message>| head.iter().map(|message| message.text().into_owned()).collect::<String>();
    assert_eq!(talk.heads().map(texts).collect::<Vec<_>>(), ["abcd", "ebd"]);
    assert_eq!((talk.head()[0].role(), talk.head()[1].role()), (&Role::System, &Role::Developer));
    let mut bare = Conversation::new();
    bare.set_system("x");
    assert_eq!((bare.head().len(), bare.heads().count()), (1, 2));
}

#[test]
fn a_head_is_of_instructions_only() {
    let mut talk = talk();
    let error = talk.set_head([Message::system("a"), Message::user("b")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidMessage);
    assert!(error.to_string().contains("message 1 of a head has the role `user`"), "{error}");
    assert_eq!((talk.head()[0].text().as_ref(), talk.heads().count()), ("Be brief.", 1));
    talk.set_head([]).unwrap();
    assert_eq!((talk.head().len(), talk.heads().count()), (0, 2));
}

#[test]
fn a_purge_takes_the_subtree_and_all_that_points_into_it() {
    let mut talk = talk();
    let off = talk.edit(id(3), "II").unwrap();
    talk.pin(id(0)).unwrap();
    talk.pin(id(3)).unwrap();
    talk.attach(id(0), id(1), "So far.", None).unwrap();
    talk.attach(id(1), off, "All.", Some("m")).unwrap();
    let mark = |name: &str, item, head| Mark { spec: "s".to_owned(), name: name.to_owned(), item, leaf: head };
    talk.set_mark(mark("stays", id(0), id(1))).unwrap();
    talk.set_mark(mark("goes", id(0), off)).unwrap();
    assert_eq!(talk.purge(id(2)).unwrap(), 3);
    assert_eq!((texts(&talk), talk.leaf()), (vec!["one".to_owned(), "1".to_owned()], Some(id(1))));
    assert_eq!(talk.pins().collect::<Vec<_>>(), [id(0)]);
    assert_eq!(talk.all_summaries().map(|summary| &*summary.text).collect::<Vec<_>>(), ["So far."]);
    assert_eq!((talk.mark("s", "stays"), talk.mark("s", "goes"), talk.all_marks().len()), (Some(id(0)), None, 1));
    assert_eq!(kind(talk.switch(off)), ErrorKind::NotFound);
    assert_eq!(talk.push("next"), id(5), "ids are not used again");
    assert_eq!(talk.items().map(|item| item.id().index()).collect::<Vec<_>>(), [0, 1, 5]);
}

#[test]
fn a_purge_off_the_path_leaves_the_path() {
    let mut talk = talk();
    talk.edit(id(2), "zwei").unwrap();
    assert_eq!(talk.purge(id(3)).unwrap(), 1);
    assert_eq!(texts(&talk), ["one", "1", "zwei"]);
    assert_eq!(talk.branches().map(|branch| branch.leaf).collect::<Vec<_>>(), [id(2), id(4)]);
    assert_eq!(talk.purge(id(0)).unwrap(), 4);
    assert_eq!((talk.items().count(), talk.leaf(), talk.branches().count()), (0, None, 0));
}

#[test]
fn purging_branches_leaves_the_path_and_the_head() {
    let mut talk = talk();
    talk.set_system("Be long.");
    talk.pin(id(3)).unwrap();
    talk.edit(id(2), "zwei").unwrap();
    assert_eq!(talk.purge_branches(), 2);
    assert_eq!((texts(&talk).len(), talk.heads().count(), talk.pins().count()), (3, 1, 0));
    assert_eq!(talk.head()[0].text(), "Be long.");
    assert_eq!(talk.purge_branches(), 0);
}

#[test]
fn a_summary_is_valid_where_its_range_is() {
    let mut talk = talk();
    talk.attach(id(0), id(3), "All.", Some("gpt-4o")).unwrap();
    talk.attach(id(1), id(1), "One.", None).unwrap();
    let valid = |talk: &Conversation| talk.summaries().map(|summary| summary.text.clone()).collect::<Vec<_>>();
    assert_eq!(valid(&talk), ["All.", "One."]);
    talk.undo();
    assert_eq!(valid(&talk), ["One."]);
    talk.clear();
    assert!(valid(&talk).is_empty());
    talk.switch(id(3)).unwrap();
    assert_eq!(valid(&talk), ["All.", "One."]);
    assert_eq!(talk.summaries().next().unwrap().model.as_deref(), Some("gpt-4o"));
}

#[test]
fn a_summary_needs_a_path_from_its_first_item_to_its_last() {
    let mut talk = talk();
    let other = talk.edit(id(2), "zwei").unwrap();
    for (first, last) in [(id(3), id(2)), (id(3), other), (id(2), other)] {
        let error = talk.attach(first, last, "x", None).unwrap_err();
        assert_eq!(error.detail(), format!("no path leads from item {first} to item {last}"));
    }
    assert!(talk.attach(id(1), id(3), "off the path", None).is_ok());
    assert_eq!(talk.summaries().count(), 0);
}

#[test]
fn a_summarys_id_is_not_used_again() {
    let mut talk = talk();
    talk.attach(id(2), id(3), "Goes.", None).unwrap();
    let stays = talk.attach(id(0), id(1), "Stays.", None).unwrap();
    talk.purge(id(2)).unwrap();
    assert_ne!(talk.attach(id(0), id(0), "New.", None).unwrap(), stays);
}

#[test]
fn the_newest_mark_on_the_path_counts() {
    let mut talk = talk();
    let mark = |item, head| Mark { spec: "s".to_owned(), name: "cut".to_owned(), item, leaf: head };
    talk.set_mark(mark(id(2), id(3))).unwrap();
    talk.set_mark(mark(id(0), id(1))).unwrap();
    assert_eq!(talk.mark("s", "cut"), Some(id(2)));
    talk.set_mark(mark(id(1), id(3))).unwrap();
    assert_eq!((talk.mark("s", "cut"), talk.all_marks().len()), (Some(id(1)), 2));
    assert_eq!((talk.mark("s", "other"), talk.mark("t", "cut")), (None, None));
    talk.undo();
    assert_eq!(talk.mark("s", "cut"), Some(id(0)));
    talk.clear();
    assert_eq!(talk.mark("s", "cut"), None);
    assert_eq!(kind(talk.set_mark(mark(id(9), id(0)))), ErrorKind::NotFound);
    assert_eq!(kind(talk.set_mark(mark(id(0), id(9)))), ErrorKind::NotFound);
}

#[test]
fn pins_are_in_order_and_counted_once() {
    let mut talk = talk();
    for index in [3, 0, 3] {
        talk.pin(id(index)).unwrap();
    }
    assert_eq!(talk.pins().collect::<Vec<_>>(), [id(0), id(3)]);
    assert!(talk.unpin(id(0)) && !talk.unpin(id(0)));
    talk.undo();
    assert_eq!(talk.pins().collect::<Vec<_>>(), [id(3)]);
}

#[test]
fn results_pair_with_the_calls_before_them_up_to_the_next_reply() {
    use GroupState::{Open, Orphan, Ready};
    for (messages, expected) in [
        (vec![calls(&["a", "b"]), Message::tool("b", ""), Message::tool("a", "")], vec![(3, Ready)]),
        (vec![calls(&["a", "a"]), Message::tool("a", "")], vec![(2, Open)]),
        (vec![calls(&["a", "a"]), Message::tool("a", ""), Message::tool("a", "")], vec![(3, Ready)]),
        (vec![calls(&["a"]), Message::tool("a", ""), Message::tool("a", "")], vec![(2, Ready), (1, Orphan)]),
        (vec![calls(&["a", "b"]), Message::tool("x", ""), Message::tool("a", "")], vec![(2, Open), (1, Orphan)]),
        (vec![calls(&["a"]), "what?".into(), Message::tool("a", "")], vec![(2, Ready), (1, Ready)]),
        (
            vec![calls(&["a"]), "what?".into(), Message::tool("a", ""), Message::tool("a", "")],
            vec![(2, Ready), (1, Ready), (1, Orphan)],
        ),
        (
            vec![calls(&["a"]), "what?".into(), Message::assistant("Wait."), Message::tool("a", "")],
            vec![(1, Open), (1, Ready), (1, Ready), (1, Orphan)],
        ),
        (
            vec![calls(&["a"]), "what?".into(), calls(&["a"]), Message::tool("a", "")],
            vec![(1, Open), (1, Ready), (2, Ready)],
        ),
        (vec![Message::tool("a", ""), calls(&["a"])], vec![(1, Orphan), (1, Open)]),
        (
            vec![calls(&["a"]), Message::tool("a", ""), calls(&["a"]), Message::tool("a", "")],
            vec![(2, Ready), (2, Ready)],
        ),
    ] {
        let talk = Conversation::from_messages(messages);
        assert_eq!(groups(&talk), expected);
        let faults = expected.iter().filter(|(_, state)| *state != Ready).count();
        assert_eq!(talk.path().faults(0).count(), faults);
    }
}

/// Items 1 to 6: calls a and b, the result of a, a user's words, a note, the result of b, a reply.
fn interrupted() -> Conversation {
    Conversation::from_messages([
        Message::user("Start."),
        calls(&["a", "b"]),
        Message::tool("a", "A"),
        Message::user("I meant the other folder."),
        Message::system("It is late."),
        Message::tool("b", "B"),
        Message::assistant("Done."),
    ])
}

fn members(talk: &Conversation) -> Vec<Vec<usize>> {
    (0..talk.path().group_count()).map(|group| talk.path().group(group).positions().collect()).collect()
}

#[test]
fn what_is_said_while_a_tool_runs_is_a_group_behind_calls_and_results() {
    let talk = interrupted();
    let path = talk.path();
    assert_eq!(members(&talk), [vec![0], vec![1, 2, 5], vec![3], vec![4], vec![6]]);
    assert!((0..path.group_count()).all(|group| path.group(group).state() == GroupState::Ready));
    assert_eq!(texts(&talk)[3..6], ["I meant the other folder.", "It is late.", "B"], "the record keeps the order");
    assert_eq!([0, 1, 2, 3, 4, 5, 6].map(|position| path.group_at(position)), [0, 1, 1, 2, 3, 1, 4]);
    let sent: Vec<_> = path.group(1).messages().map(Message::text).collect();
    assert_eq!(sent, ["", "A", "B"]);
    assert_eq!((path.turn_count(), path.turn(0), path.turn(1)), (2, 0..2, 2..5));
    assert_eq!([1, 2, 3, 4, 5].map(|group| path.is_split(group)), [false, true, true, false, false]);
    assert_eq!(path.group(1).positions().rev().collect::<Vec<_>>(), [5, 2, 1]);
    assert_eq!((path.group(1).positions().len(), format!("{:?}", path.group(1).positions())), (3, "[1, 2, 5]".into()));
}

#[test]
fn going_back_takes_late_results_off_their_calls_and_going_on_gives_them_back() {
    let mut talk = interrupted();
    let whole = members(&talk);
    for (leaf, expected, faults) in [
        (5, &whole[..4], 0),
        (4, &[vec![0], vec![1, 2], vec![3], vec![4]], 1),
        (2, &[vec![0], vec![1, 2]], 1),
        (1, &[vec![0], vec![1]], 1),
        (6, &whole[..], 0),
    ] {
        talk.switch(id(leaf)).unwrap();
        assert_eq!((members(&talk).as_slice(), talk.path().faults(0).count()), (expected, faults), "up to {leaf}");
    }
    talk.switch(id(3)).unwrap();
    let group = talk.path().open_calls().map(|(group, _)| group.index());
    assert_eq!(group, Some(1));
    talk.push(Message::tool("b", "another"));
    assert_eq!(members(&talk), [vec![0], vec![1, 2, 4], vec![3]]);
    assert_eq!((talk.path().faults(0).count(), talk.path().open_calls().is_none()), (0, true));
    assert_eq!(talk.undo(), Some(id(3)));
    assert_eq!(talk.path().group(1).state(), GroupState::Open);
}

#[test]
fn many_late_results_take_time_with_their_number() {
    const CALLS: usize = 20_000;
    let ids: Vec<String> = (0..CALLS).map(|n| n.to_string()).collect();
    let mut talk = Conversation::from_messages([calls(&ids.iter().map(|id| &**id).collect::<Vec<_>>())]);
    for id in &ids {
        talk.push("Go on.");
        talk.push(Message::tool(id, ""));
    }
    assert_eq!(talk.path().group_count(), CALLS + 1);
    assert!(talk.path().faults(0).next().is_none() && talk.path().group(0).positions().len() == CALLS + 1);
}

#[test]
fn a_function_is_answered_by_its_name() {
    use GroupState::{Open, Orphan, Ready};
    let call = Message::from_json(r#"{"role":"assistant","content":null,"function_call":{"name":"f","arguments":""}}"#);
    let call = call.unwrap();
    let answer = |name| Message::new("function", "ok").with_name(name);
    assert_eq!(groups(&Conversation::from_messages([call.clone(), answer("f")])), [(2, Ready)]);
    assert_eq!(groups(&Conversation::from_messages([call.clone(), answer("g")])), [(1, Open), (1, Orphan)]);
    assert_eq!(groups(&Conversation::from_messages([call, Message::tool("f", "")])), [(1, Open), (1, Orphan)]);
}

#[test]
fn going_back_into_a_group_opens_it_again() {
    let mut talk = Conversation::from_messages([
        Message::user("?"),
        calls(&["a", "b"]),
        Message::tool("a", ""),
        Message::tool("b", ""),
        Message::assistant("!"),
    ]);
    for (leaf, expected) in
        [(3, GroupState::Ready), (2, GroupState::Open), (1, GroupState::Open), (3, GroupState::Ready)]
    {
        talk.switch(id(leaf)).unwrap();
        assert_eq!(talk.path().group(1).state(), expected);
        assert_eq!(talk.path().faults(0).count(), usize::from(expected == GroupState::Open));
    }
    talk.switch(id(1)).unwrap();
    talk.push(Message::tool("b", ""));
    talk.push(Message::tool("a", ""));
    assert_eq!(groups(&talk), [(1, GroupState::Ready), (3, GroupState::Ready)]);
}

#[test]
fn turns_start_at_user_messages() {
    let talk = Conversation::from_messages([
        Message::assistant("Hello!"),
        Message::user("one"),
        Message::user("more"),
        Message::assistant("1"),
    ]);
    let path = talk.path();
    assert_eq!((path.turn_count(), path.turn(0), path.turn(1), path.turn(2)), (2, 1..2, 2..4, 4..4));
    assert_eq!([0, 1, 2, 3].map(|group| path.turn_of(group)), [None, Some(0), Some(1), Some(1)]);
    assert_eq!([0, 1, 2, 3].map(|group| path.next_turn(group)), [1, 1, 2, 4]);
    assert!(path.group(9).positions().is_empty() && path.item(9).is_none());
}

#[test]
fn metadata_counts_characters_and_not_bytes() {
    let mut metadata = Metadata::default();
    metadata.set("ž".repeat(64), "🙂".repeat(512)).unwrap();
    for (key, value) in [("ž".repeat(65), String::new()), ("k".to_owned(), "🙂".repeat(513))] {
        let error = metadata.set(key, value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
    let error = metadata.set("ž".repeat(65), "").unwrap_err();
    assert_eq!(error.detail(), "a metadata key of 65 characters, at most 64 are allowed");
    assert_eq!(metadata.len(), 1);
}

#[test]
fn metadata_holds_sixteen_pairs() {
    let mut metadata = Metadata::default();
    for number in 0..16 {
        metadata.set(format!("{number:02}"), "x").unwrap();
    }
    assert_eq!(metadata.set("16", "x").unwrap_err().kind(), ErrorKind::Limit);
    metadata.set("07", "y").unwrap();
    assert_eq!((metadata.remove("08"), metadata.remove("08")), (Some("x".to_owned()), None));
    assert_eq!(metadata.get("07"), Some("y"));
    metadata.set("16", "x").unwrap();
    assert_eq!((metadata.len(), metadata.iter().next()), (16, Some(("00", "x"))));
    let too_many: BTreeMap<String, String> = (0..17).map(|n| (n.to_string(), String::new())).collect();
    assert_eq!(Metadata::try_from(too_many.clone()).unwrap_err().kind(), ErrorKind::Limit);
    assert!(serde_json::from_value::<Metadata>(serde_json::to_value(too_many).unwrap()).is_err());
}

#[test]
fn a_record_is_put_together_again() {
    let mut talk = talk();
    talk.edit(id(2), "zwei").unwrap();
    talk.pin(id(1)).unwrap();
    let restored = restore(&talk, |_| {}).unwrap();
    assert_eq!(texts(&restored), texts(&talk));
    assert!(restored.items().map(Item::message).eq(talk.items().map(Item::message)));
    assert!(restored.branches().eq(talk.branches()));
    assert_eq!((restored.head(), restored.id()), (talk.head(), talk.id()));
    assert!(restored.pins().eq(talk.pins()));
}

#[test]
fn a_record_with_references_that_do_not_hold_is_damaged() {
    type Spoil = fn(&mut Restore);
    let spoils: [Spoil; 8] = [
        |record| record.items[0].id = id(99),
        |record| record.items[1].id = id(0),
        |record| record.items[0].parent = Some(id(1)),
        |record| record.items[1].parent = Some(id(1)),
        |record| drop(record.items.remove(0)),
        |record| record.leaf = Some(id(99)),
        |record| record.pins.push(id(99)),
        |record| {
            record.marks.push(Mark { spec: String::new(), name: String::new(), item: id(0), leaf: id(99) });
        },
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        assert_eq!(kind(restore(&talk(), spoil)), ErrorKind::Damaged, "spoil {number}");
    }
}

#[test]
fn a_record_with_a_summary_that_leads_nowhere_is_damaged() {
    let backwards = |record: &mut Restore| {
        let summary = r#"{"id":0,"first":3,"last":0,"text":"x","created_at":0}"#;
        record.summaries.push(serde_json::from_str(summary).unwrap());
    };
    assert_eq!(kind(restore(&talk(), backwards)), ErrorKind::Damaged);
}

fn restore(conversation: &Conversation, spoil: impl FnOnce(&mut Restore)) -> Result<Conversation> {
    let item = |item: &Item| restore::RestoreItem {
        id: item.id(),
        parent: item.parent(),
        created_at: item.created_at(),
        message: item.message().clone(),
    };
    let mut record = Restore {
        id: conversation.id().to_owned(),
        created_at: conversation.created_at(),
        metadata: conversation.metadata().clone(),
        head: conversation.head().to_vec(),
        replaced_heads: ReplacedHeads::Changes(conversation.head_changes().cloned().collect()),
        constraints: Vec::new(),
        purged: conversation.next_ordinal() - conversation.items().count(),
        items: conversation.items().map(item).collect(),
        on_path: 0,
        leaf: conversation.leaf(),
        pins: conversation.pins().collect(),
        summaries: Vec::new(),
        next_summary: 0,
        marks: Vec::new(),
        rounds: Vec::new(),
    };
    spoil(&mut record);
    record.build().map_err(|damage| Error::new(ErrorKind::Damaged, damage.detail))
}

#[test]
fn debug_prints_numbers_and_no_text() {
    let mut talk = Conversation::from_messages([Message::system("secret"), Message::user("secret")]);
    talk.attach(id(0), id(0), "secret", None).unwrap();
    let printed = format!("{talk:?} {:?}", talk.summaries().next().unwrap());
    assert!(!printed.contains("secret") && printed.contains("Summary(#0..=#0, 6 bytes)"), "{printed}");
}

#[test]
fn going_back_behind_an_open_call_does_not_answer_it_with_a_later_ones_result() {
    let call = |id: &str| Message::calls([ToolCall::function(id, "f", "{}")]);
    let mut talk =
        Conversation::from_messages([call("a"), Message::tool("b", "orphan"), call("b"), Message::user("x")]);
    let states = |talk: &Conversation| -> Vec<GroupState> {
        (0..talk.path().group_count()).map(|group| talk.path().group(group).state()).collect()
    };
    assert_eq!(states(&talk), [GroupState::Open, GroupState::Orphan, GroupState::Open, GroupState::Ready]);
    talk.switch(ItemId::from_index(1)).unwrap();
    assert_eq!(states(&talk), [GroupState::Open, GroupState::Orphan]);
    talk.switch(ItemId::from_index(0)).unwrap();
    talk.push(Message::tool("a", "late, and in its place"));
    assert_eq!(states(&talk), [GroupState::Ready]);
}

#[test]
fn a_constraint_stays_in_the_head_whatever_takes_its_place() {
    let mut talk = Conversation::from_messages([Message::system("a"), Message::user("q")]);
    talk.constrain("Answer in French.");
    talk.constrain("Answer in French.");
    talk.set_system("b");
    talk.set_head([Message::developer("c")]).unwrap();
    let head = |talk: &Conversation| talk.head().iter().map(|message| message.text().into_owned()).collect::<Vec<_>>();
    assert_eq!(head(&talk), ["c", "Answer in French."]);
    talk.clear();
    assert_eq!((head(&talk).len(), talk.constraints().count()), (2, 1));
    let file = crate::transcript::Transcript::new(talk);
    let mut again = crate::transcript::Transcript::from_json(&file.to_json()).unwrap().conversation;
    again.set_system("d");
    assert_eq!(head(&again), ["d", "c", "Answer in French."]);
    assert!(again.lift("Answer in French.") && !again.lift("Answer in French."));
    assert_eq!(head(&again), ["d", "c"]);
}

#[test]
fn what_a_summary_stands_for_can_be_listed_and_brought_back() {
    let mut talk = Conversation::from_messages((0..6).map(|n| Message::user(n.to_string())));
    let item = |talk: &Conversation, position: usize| talk.path().item(position).unwrap().id();
    let (first, third, last) = (item(&talk, 0), item(&talk, 2), item(&talk, 4));
    let early = talk.attach(first, third, "early", None).unwrap();
    let late = talk.attach(first, last, "late", None).unwrap();
    let covered =
        |talk: &Conversation, id| talk.covered(id).unwrap().iter().map(|item| item.id().index()).collect::<Vec<_>>();
    assert_eq!(covered(&talk, late), [0, 1, 2, 3, 4]);
    talk.expand(late).unwrap();
    assert_eq!(talk.summaries().map(|summary| summary.id).collect::<Vec<_>>(), [early]);
    assert_eq!((covered(&talk, late).len(), talk.all_summaries().count()), (5, 2), "it stays in the record");
    let again = crate::transcript::Transcript::from_json(&crate::transcript::Transcript::new(talk).to_json()).unwrap();
    assert_eq!(again.conversation.summaries().count(), 1);
    assert_eq!(again.conversation.covered(SummaryId(9)).unwrap_err().kind(), ErrorKind::NotFound);
}
