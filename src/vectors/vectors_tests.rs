use super::*;
use crate::conversation::Conversation;
use crate::transcript::Transcript;
use crate::transcript::change_tests::made;

fn vector(parts: &[f32]) -> Vector {
    Vector::new(parts).unwrap()
}

/// What a similarity is as a number between -1 and 1, to a hundredth.
fn cosine(one: &[f32], other: &[f32]) -> i64 {
    (vector(one).similarity(&vector(other)) * 100 + (1 << (FRACTION - 1))) >> FRACTION
}

/// A file whose messages all have a vector of `model`.
fn embedded(texts: &[&str]) -> Transcript {
    let mut file = Transcript::new(Conversation::from_messages(texts.iter().map(|text| Message::user(*text))));
    let items: Vec<Item> = file.conversation.items().cloned().collect();
    for (at, item) in (1_u8..).zip(&items) {
        file.vectors.put("model", item, vector(&[f32::from(at), 1.0, -2.0]));
    }
    file
}

fn known(file: &Transcript) -> Vec<bool> {
    file.conversation.items().map(|item| file.vectors.get(item).is_some()).collect()
}

#[test]
fn the_similarity_is_the_cosine_whatever_the_lengths() {
    assert_eq!(cosine(&[1.0, 2.0, -3.0], &[10.0, 20.0, -30.0]), 100);
    assert_eq!(cosine(&[1.0, 2.0, -3.0], &[-0.1, -0.2, 0.3]), -100);
    assert_eq!(cosine(&[1.0, 0.0], &[0.0, 1e-30]), 0);
    assert_eq!(cosine(&[1.0, 1.0], &[1.0, 0.0]), 71);
    assert_eq!(vector(&[1.0, 1.0]).similarity(&vector(&[1.0, 1.0, 0.0])), 0);
    let (long, other) = (vec![1.0; MOST_DIMENSIONS], vec![-1.0; MOST_DIMENSIONS]);
    assert_eq!(cosine(&long, &other), -100);
}

#[test]
fn what_has_no_direction_is_no_vector() {
    let too_many = vec![1.0; MOST_DIMENSIONS + 1];
    for parts in [&[][..], &[0.0, 0.0], &[1.0, f32::NAN], &[f32::INFINITY], &too_many] {
        assert_eq!(Vector::new(parts), None);
    }
}

#[test]
fn a_text_has_name_words_and_calls_and_ends_at_a_character() {
    let call = crate::message::ToolCall::function("1", "weather", r#"{"city":"Oslo"}"#);
    let message = Message::calls([call]).with_content("Let me look.");
    assert_eq!(text_of(&message, 99), "Let me look.\nweather {\"city\":\"Oslo\"}");
    assert_eq!(text_of(&Message::user("größer").with_name("Ann"), 8), "Ann: grö");
    assert_eq!(text_of(&Message::user(" \n").with_name("Ann"), 9), "");
}

#[test]
fn missing_are_the_texts_of_the_path_without_a_vector_of_this_model_newest_first() {
    let mut file = embedded(&["a", "b"]);
    for text in ["c", "  ", "d"] {
        file.conversation.push(text);
    }
    let missing = |by: &str| -> Vec<usize> {
        file.vectors.missing(by, file.conversation.path()).map(|item| item.id().index()).collect()
    };
    assert_eq!(missing("model"), [4, 2]);
    assert_eq!(missing("other"), [4, 2, 1, 0]);
}

#[test]
fn vectors_of_another_model_or_length_replace_all() {
    let mut file = embedded(&["a", "b"]);
    let item = file.conversation.items().next().cloned().unwrap();
    file.vectors.put("model", &item, vector(&[1.0, 2.0]));
    assert_eq!((known(&file), file.vectors.dimensions()), (vec![true, false], 2));
    file.vectors.put("other", &item, vector(&[3.0, 2.0]));
    assert_eq!((known(&file), file.vectors.by()), (vec![true, false], "other"));
}

#[test]
fn a_file_keeps_the_vectors_of_messages_that_are_as_they_were() {
    let file = embedded(&["first", "second", "third"]);
    let text = file.to_json();
    let again = Transcript::from_json(&text).unwrap();
    assert_eq!(again.to_json(), text);
    let parts = |file: &Transcript| -> Vec<Vector> {
        file.conversation.items().filter_map(|item| file.vectors.get(item)).cloned().collect()
    };
    assert_eq!(parts(&again), parts(&file));
    let edited = Transcript::from_json(&text.replace("second", "changed")).unwrap();
    assert_eq!(known(&edited), [true, false, true]);
}

#[test]
fn a_file_without_vectors_says_nothing_of_them() {
    let mut file = embedded(&["first"]);
    file.vectors = Vectors::default();
    assert!(!file.to_json().contains("vectors"), "{}", file.to_json());
}

#[test]
fn vectors_that_cannot_be_read_are_damage_with_its_place() {
    let text = embedded(&["first"]).to_json();
    let vector = serde_json::to_string(&vector(&[1.0, 1.0, -2.0])).unwrap();
    assert!(text.contains(&vector), "{text}");
    let error = Transcript::from_json(&text.replace(&vector, "\"*\"")).unwrap_err();
    assert!(error.to_string().contains("not the base64 of a vector"), "{error}");
    assert!(error.position().is_some());
}

#[test]
fn a_vector_is_a_change_and_a_purge_takes_it_away() {
    let before = embedded(&["first", "second", "third"]);
    let mut file = before.clone();
    let last = file.conversation.push("fourth");
    let item = file.conversation.get(last).cloned().unwrap();
    file.vectors.put("model", &item, vector(&[9.0, 1.0, 1.0]));
    assert_eq!(made(&before, &file), ["item", "embedded"]);
    assert_eq!(made(&file, &file.clone()), [""; 0]);

    let before = file.clone();
    file.conversation.purge(ItemId::from_index(2)).unwrap();
    let gone = serde_json::to_string(before.vectors.get(&item).unwrap()).unwrap();
    assert!(before.to_json().contains(&gone) && !file.to_json().contains(&gone));
    assert_eq!(made(&before, &file), ["purged", "leaf"]);
    file.vectors.forget_purged(&file.conversation);
    assert_eq!(file.vectors.known.iter().flatten().count(), 2);
}

#[test]
fn another_models_vectors_and_none_at_all_are_changes_too() {
    let before = embedded(&["first", "second"]);
    let mut file = before.clone();
    let item = file.conversation.items().next().cloned().unwrap();
    file.vectors.put("other", &item, vector(&[1.0, 2.0]));
    assert_eq!(made(&before, &file), ["embedded"]);
    file.vectors = Vectors::default();
    assert_eq!(made(&before, &file), ["embedded"]);
}

#[test]
fn a_turn_writes_its_own_vectors_only() {
    let texts: Vec<String> = (0..200).map(|number| format!("text {number}")).collect();
    let before = embedded(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let mut file = before.clone();
    let last = file.conversation.push("one more");
    let item = file.conversation.get(last).cloned().unwrap();
    file.vectors.put("model", &item, vector(&[9.0, 1.0, 1.0]));
    let changes = serde_json::to_string(&file.changes_since(&before)).unwrap();
    assert!(changes.len() < 300, "{changes}");
}

#[test]
fn a_direction_orders_vectors_as_the_similarity_does() {
    let question = vector(&[3.0, 1.0, -2.0]);
    let direction = Direction::of(&[(&question, 1)]).unwrap();
    let vectors = [[3.0, 1.0, -2.0], [2.0, 2.0, -1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]].map(|parts| vector(&parts));
    let ordered = |key: &dyn Fn(&Vector) -> i64| vectors.each_ref().map(key).is_sorted_by(|one, next| one > next);
    assert!(ordered(&|vector| direction.nearness(vector)) && ordered(&|vector| question.similarity(vector)));
    assert_eq!(direction.nearness(&vector(&[1.0, 2.0])), 0, "of another model");
}

#[test]
fn a_direction_leans_to_the_vector_with_the_greater_weight() {
    let (one, other) = (vector(&[1.0, 0.0]), vector(&[0.0, 0.001]));
    let nearness = |weights: [u64; 2]| {
        let direction = Direction::of(&[(&one, weights[0]), (&other, weights[1])]).unwrap();
        [&one, &other].map(|vector| direction.nearness(vector))
    };
    let [to_one, to_other] = nearness([3, 1]);
    assert!((2..=3).contains(&(to_one / to_other)), "{to_one} and {to_other}: lengths say nothing");
    assert_eq!(nearness([0, 5])[0], 0);
}

#[test]
fn vectors_that_cancel_out_have_no_direction() {
    let (one, other) = (vector(&[1.0, -2.0]), vector(&[-1.0, 2.0]));
    assert!(Direction::of(&[(&one, 2), (&other, 2)]).is_none());
    assert!(Direction::of(&[]).is_none() && Direction::of(&[(&one, 0)]).is_none());
}

#[test]
fn the_most_dimensions_overflow_nothing() {
    let all = vector(&vec![1.0; MOST_DIMENSIONS]);
    let direction = Direction::of(&[(&all, u64::MAX >> 40), (&all, 1)]).unwrap();
    assert!(direction.nearness(&all) > 0);
}
