use super::*;
use crate::conversation::Conversation;
use crate::message::ToolCall;

fn index_of(talk: &Conversation) -> Index {
    let mut index = Index::default();
    index.update(talk.path(), Stem::English);
    index
}

fn holders(index: &Index, word: &str) -> Vec<(u32, u32)> {
    index.postings(Key::of(word)).iter().map(|posting| (posting.group, posting.count)).collect()
}

/// All that a query can find out, as text.
fn contents(index: &Index) -> String {
    assert_eq!(index.ids.len(), index.terms.len());
    assert!(index.terms.iter().enumerate().all(|(id, term)| index.ids[&term.key] as usize == id));
    let groups: Vec<(usize, u32)> = index.groups.iter().map(|group| (group.end, group.length)).collect();
    format!("{:?} {:?} {groups:?} {}", index.terms, index.terms_of, index.length)
}

#[test]
fn postings_are_in_the_order_of_the_groups() {
    let talk =
        Conversation::from_messages(["A blue boat.", "Boats, boats!", "Silence.", "The boat"].map(Message::user));
    let index = index_of(&talk);
    assert_eq!(holders(&index, "boat"), [(0, 1), (1, 2), (3, 1)]);
    assert_eq!(holders(&index, "train"), []);
    assert_eq!((index.groups(), index.length(0), index.total_length()), (4, 2, 6));
}

#[test]
fn a_group_is_its_names_texts_calls_and_results() {
    let call = |arguments| ToolCall::function("1", "lookWeather", arguments);
    let calls = Message::calls([call(r#"{"city":"line\nParis","days":3,"deep":[{"unit":"Kelvin"}]}"#), call("{torn")]);
    let talk = Conversation::from_messages([
        Message::user("Hello").with_name("Ann"),
        calls,
        Message::tool("1", "sunny"),
        Message::tool("1", "windy"),
    ]);
    let index = index_of(&talk);
    assert_eq!(holders(&index, "ann"), [(0, 1)]);
    for word in ["weather", "citi", "pari", "3", "unit", "kelvin", "torn", "sunni", "windi"] {
        assert!(holders(&index, word).iter().all(|(group, _)| *group == 1), "{word}");
        assert_eq!(holders(&index, word).len(), 1, "{word}");
    }
}

#[test]
fn undo_is_exact() {
    let mut talk = Conversation::from_messages(["one boat", "two boats", "three planes"].map(Message::user));
    let mut index = index_of(&talk);
    let before = contents(&index);
    talk.push("four boats and a rocket");
    talk.push("five rockets");
    index.update(talk.path(), Stem::English);
    assert_eq!(holders(&index, "rocket"), [(3, 1), (4, 1)]);
    talk.undo();
    talk.undo();
    index.update(talk.path(), Stem::English);
    assert_eq!(contents(&index), before);
    talk.clear();
    index.update(talk.path(), Stem::English);
    assert_eq!(contents(&index), contents(&Index::default()));
}

#[test]
fn a_group_is_read_again_when_results_arrive() {
    let mut talk = Conversation::from_messages([
        Message::user("Weather?"),
        Message::calls([ToolCall::function("1", "look", "{}"), ToolCall::function("2", "look", "{}")]),
    ]);
    let mut index = index_of(&talk);
    for text in ["sunny", "windy"] {
        talk.push(Message::tool(if text == "sunny" { "1" } else { "2" }, text));
        index.update(talk.path(), Stem::English);
        assert_eq!(contents(&index), contents(&index_of(&talk)));
    }
    assert_eq!(holders(&index, "look"), [(1, 2)]);
}

#[test]
fn another_branch_another_copy_and_another_stemming_are_noticed() {
    let mut talk = Conversation::from_messages(["one", "two", "three"].map(Message::user));
    let mut index = index_of(&talk);
    let second = talk.path().item(1).map(Item::id).unwrap();
    talk.edit(second, "other boats").unwrap();
    index.update(talk.path(), Stem::English);
    assert_eq!(contents(&index), contents(&index_of(&talk)));
    let copy = Conversation::from_messages(["uno", "dos"].map(Message::user));
    index.update(copy.path(), Stem::English);
    assert_eq!(contents(&index), contents(&index_of(&copy)));
    index.update(talk.path(), Stem::None);
    assert_eq!((holders(&index, "boats"), holders(&index, "boat")), (vec![(1, 1)], vec![]));
}

#[test]
fn what_a_question_says_is_read_anew_where_another_one_took_its_place() {
    let said = |index: &mut Index, text: &str| {
        let talk = Conversation::from_messages([Message::user("Hi"), Message::user(text)]);
        index.update(talk.path(), Stem::English);
        index.said(talk.path(), 1).words.clone()
    };
    let mut index = Index::default();
    assert_eq!(said(&mut index, "boats on a lake"), ["boat", "lake"].map(Key::of));
    assert_eq!(said(&mut index, "rain"), [Key::of("rain")]);
}
