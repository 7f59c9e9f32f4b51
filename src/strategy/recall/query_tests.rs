use super::super::terms::Stem;
use super::*;
use crate::conversation::Conversation;
use crate::message::Message;

fn lenders(query: &Query) -> Vec<usize> {
    query.lenders.iter().map(|lender| lender.group).collect()
}

fn query_of(talk: &Conversation) -> Query {
    let path = talk.path();
    let mut index = Index::default();
    index.update(path, Stem::English);
    Query::of(path, path.turn_of(path.group_count() - 1), &mut index)
}

fn weights(query: &Query, words: &[&str]) -> Vec<Option<u64>> {
    let weight = |word: &&str| query.words.iter().find(|(key, _)| *key == Key::of(word)).map(|(_, weight)| *weight);
    words.iter().map(weight).collect()
}

fn talk(texts: &[&str]) -> Conversation {
    let message = |(number, text): (usize, &&str)| match number % 2 {
        0 => Message::user(*text),
        _ => Message::assistant(*text),
    };
    Conversation::from_messages(texts.iter().enumerate().map(message))
}

#[test]
fn a_question_is_its_words_that_the_conversation_knows() {
    let talk = talk(&["red boats sail north", "fine", "Which boat, red or green, sails far north?"]);
    let query = query_of(&talk);
    assert_eq!(
        weights(&query, &["red", "boat", "sail", "north", "green", "far"]),
        [8, 8, 8, 8, 0, 0].map(|w| (w > 0).then_some(w))
    );
    assert_eq!((query.asked, query.lenders), (Some(2), vec![]));
}

#[test]
fn a_vague_question_borrows_the_rarest_words_of_earlier_user_messages() {
    let rare: Vec<String> = (0..14).map(|number| format!("rare{number:02}")).collect();
    let first = format!("common boat {}", rare.join(" "));
    let talk = talk(&[&first, "common boat common", "And what exactly was it?"]);
    let query = query_of(&talk);
    assert_eq!(query.words.len(), MOST_LENT);
    assert_eq!(
        weights(&query, &["rare00", "rare11", "rare12", "common", "boat"]),
        [Some(4), Some(4), None, None, None]
    );
    assert_eq!(lenders(&query), [0]);
}

#[test]
fn words_are_borrowed_until_four_are_known_and_weigh_the_less_the_more_are() {
    let talk = talk(&["boat ocean rain sun", "ok", "ocean rain", "ok", "What about the boat?"]);
    let query = query_of(&talk);
    // One known word: 8 / 2 * 3 / 4, then with three 8 / 2 * 1 / 4.
    assert_eq!(weights(&query, &["boat", "ocean", "rain", "sun"]), [Some(8), Some(3), Some(3), Some(1)]);
    assert_eq!(lenders(&query), [2, 0]);
}

#[test]
fn words_that_were_never_said_together_count_for_nothing() {
    let talk = talk(&["boat ocean rain sun", "ok", "ocean rain", "ok", "snow wind", "ok", "What about the boat?"]);
    let query = query_of(&talk);
    assert_eq!(weights(&query, &["snow", "wind", "ocean", "rain"]), [Some(3), Some(3), Some(3), Some(3)]);
    assert_eq!(lenders(&query), [4, 2, 0]);
}

#[test]
fn at_most_five_messages_lend() {
    let talk = talk(&["boat", "x", "rain", "x", "so", "x", "and", "x", "but", "x", "so", "x", "And that?"]);
    let query = query_of(&talk);
    assert_eq!((query.words.len(), lenders(&query)), (1, vec![10, 8, 6, 4, 2]));
}

/// A question among a hundred messages, then some exchanges, then a question that points back.
fn after(small_talk: &[&str], last: &str) -> Conversation {
    let filler = |n: usize| format!("Let us speak of fillers number{n}, call a friend, take time for help and work");
    let mut texts: Vec<String> = (0..100).map(filler).collect();
    texts[10] = "The violin teacher lives in Lisbon, near the harbour".to_owned();
    texts.extend(["Where does the violin teacher of Lisbon live".to_owned(), "One moment.".to_owned()]);
    texts.extend(small_talk.iter().flat_map(|said| [(*said).to_owned(), "Take your time.".to_owned()]));
    texts.push(last.to_owned());
    talk(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn small_talk_does_not_come_between_a_question_and_what_points_back_to_it() {
    let small_talk = ["Thanks, I am back now.", "Sorry, I had to take a call.", "Great, that is a help for my work!"];
    for exchanges in 0..=small_talk.len() {
        for last in ["And what exactly was it?", "No, the other one.", "Thanks! And where was that again?"] {
            let query = query_of(&after(&small_talk[..exchanges], last));
            let found = weights(&query, &["violin", "teacher", "lisbon"]);
            assert!(
                found.iter().all(|weight| weight.is_some_and(|weight| weight > 0)),
                "{exchanges} {last}: {found:?}"
            );
        }
    }
}

#[test]
fn a_common_word_says_half_as_much_as_a_rare_one() {
    let rare = query_of(&after(&[], "harbour lisbon teacher violin"));
    assert_eq!((rare.words.len(), rare.lenders.len()), (4, 0));
    let common = query_of(&after(&[], "call friend time work"));
    assert_eq!((common.words.len(), common.lenders.len()), (4 + 4, 1));
}

#[test]
fn inside_a_tool_loop_the_turns_question_asks() {
    let mut talk = talk(&["boat weather forecast wind", "ok", "Is the boat forecast good for weather or wind?"]);
    talk.push(Message::calls([crate::message::ToolCall::function("1", "look", "{}")]));
    talk.push(Message::tool("1", "boat"));
    let query = query_of(&talk);
    assert_eq!((query.words.len(), query.asked), (4, Some(2)));
}

#[test]
fn without_a_user_message_nothing_is_asked() {
    let talk = Conversation::from_messages([Message::assistant("Welcome to the boat!")]);
    assert_eq!(query_of(&talk), Query::default());
}
