use super::super::query::{Lender, WHOLE};
use super::super::terms::Stem;
use super::*;
use crate::conversation::Conversation;
use crate::message::Message;

fn index_of(texts: &[&str]) -> Index {
    let talk = Conversation::from_messages(texts.iter().map(|&text| Message::user(text)));
    let mut index = Index::default();
    index.update(talk.path(), Stem::English);
    index
}

fn query(words: &[&str]) -> Query {
    Query { words: words.iter().map(|word| (Key::of(word), WHOLE)).collect(), ..Query::default() }
}

#[test]
fn logarithms_are_those_of_arithmetic() {
    for number in [1_u64, 2, 3, 7, 10, 1_000, 65_535, 123_456_789, u64::MAX] {
        #[allow(clippy::cast_precision_loss, reason = "to compare with")]
        let expected = (number as f64).log2() * 4_096.0;
        #[allow(clippy::cast_precision_loss, reason = "to compare with")]
        let found = log2(number) as f64;
        assert!((found - expected).abs() <= 1.0, "{number}: {found} {expected}");
    }
}

/// BM25 with floating-point numbers, before the neighbours.
#[allow(clippy::cast_precision_loss, reason = "to compare with")]
fn textbook(index: &Index, words: &[&str], group: usize) -> f64 {
    let groups = index.groups() as f64;
    let length = index.length(group) as f64 * groups / index.total_length() as f64;
    let part = |word: &&str| {
        let postings = index.postings(Key::of(word));
        let held_by = postings.len() as f64;
        let count = postings.iter().find(|posting| posting.group as usize == group).map_or(0.0, |p| f64::from(p.count));
        let idf = (1.0 + (groups - held_by + 0.5) / (held_by + 0.5)).log2();
        idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length))
    };
    words.iter().map(part).sum()
}

#[test]
fn scores_are_bm25_with_parts_of_the_neighbours() {
    let texts = ["a red boat", "nothing here", "boats and boats and planes", "rain", "a long story of rain and a boat"];
    let (index, words) = (index_of(&texts), ["boat", "red", "rain"]);
    let own: Vec<f64> = (0..texts.len()).map(|group| textbook(&index, &words, group)).collect();
    let mut scores = Scores::default();
    let found = scores.of(&index, &query(&words));
    assert_eq!(found.iter().map(|(group, _)| *group).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let at = |group: Option<usize>| group.and_then(|group| own.get(group)).copied().unwrap_or(0.0);
    for &(group, score) in &found {
        let beside = |by: usize| at(group.checked_sub(by)) + at(group.checked_add(by));
        #[allow(clippy::cast_precision_loss, reason = "to compare with")]
        let score = score as f64 / (4.0 * 8.0 * 4_096.0);
        let expected = own[group] + beside(1) / 2.0 + beside(2) / 4.0;
        assert!((score - expected).abs() < 0.01, "group {group}: {score} {expected}");
    }
    assert_eq!(scores.of(&index, &query(&words)), found, "the second time");
}

#[test]
fn only_the_touched_and_their_neighbours_are_scored() {
    let index = index_of(&["zero", "one", "boat", "three", "four", "five", "six", "seven", "boat"]);
    let groups: Vec<usize> = Scores::default().of(&index, &query(&["boat"])).iter().map(|(group, _)| *group).collect();
    assert_eq!(groups, [0, 1, 2, 3, 4, 6, 7, 8]);
    assert_eq!(Scores::default().of(&index, &query(&["ship"])), []);
    assert_eq!(Scores::default().of(&Index::default(), &query(&["boat"])), []);
}

#[test]
fn a_query_is_scored_as_if_its_own_group_were_not_there() {
    let without = index_of(&["a red boat", "rain", "one more boat"]);
    let with = index_of(&["a red boat", "rain", "one more boat", "where is my boat"]);
    let asked = Query { asked: Some(3), ..query(&["boat"]) };
    let mut found = Scores::default().of(&with, &asked);
    found.retain(|(group, _)| *group < 3);
    assert_eq!(found, Scores::default().of(&without, &query(&["boat"])));
}

#[test]
fn a_lender_is_scored_with_the_questions_own_words_only() {
    let index = index_of(&["boat", "u", "x", "boat rain", "y"]);
    let words = vec![(Key::of("boat"), WHOLE / 2), (Key::of("rain"), WHOLE)];
    let lent = Query { words, lenders: vec![Lender { group: 3, says: 2 }], ..Query::default() };
    let own = query(&["rain"]);
    let of = |query: &Query, group: usize| {
        Scores::default().of(&index, query).into_iter().find(|(found, _)| *found == group)
    };
    assert_eq!(of(&lent, 3), of(&own, 3));
    assert!(of(&lent, 0).is_some() && of(&own, 0).is_none());
}
