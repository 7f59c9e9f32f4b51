use super::*;

fn words_of(stem: Stem, text: &str) -> Vec<String> {
    let mut words = Vec::new();
    Words::new(stem).each(text, &mut |word: &str| words.push(word.to_owned()));
    words
}

fn english(text: &str) -> String {
    words_of(Stem::English, text).join(" ")
}

#[test]
fn words_lose_case_endings_and_stop_words() {
    assert_eq!(english("When did Caroline's friends go hiking?"), "carolin friend go hike");
    assert_eq!(words_of(Stem::None, "The books, 42 pages!"), ["books", "42", "pages"]);
    assert_eq!(english("I'm sure they don't know; we've been there."), "know");
    assert_eq!(english("Thanks, I am back now. Okay, well, great!"), "");
    assert_eq!(english(""), "");
}

#[test]
fn stop_words_are_sorted_and_differ() {
    assert!(STOP_WORDS.is_sorted_by(|one, next| one < next));
}

#[test]
fn letters_keep_their_marks_in_every_script() {
    assert_eq!(words_of(Stem::English, "हिन्दी में लिखो"), ["हिन्दी", "में", "लिखो"]);
    assert_eq!(
        words_of(Stem::English, "Größe Ústí привет ΣΊΣΥΦΟΣ 안녕하세요"),
        ["größe", "ústí", "привет", "σίσυφος", "안녕하세요"]
    );
    assert_eq!(english("cafe\u{301}"), english("café"));
    assert_eq!(english("４２ ｆｕｌｌ"), "42 full");
}

#[test]
fn scripts_without_spaces_are_cut_into_pairs() {
    assert_eq!(english("東京タワー"), "東京 京タ タワ ワー");
    assert_eq!(english("水"), "水");
    assert_eq!(english("GPTは東"), "gpt は東");
    assert_eq!(english("ภาษา"), "ภา าษ ษา");
}

#[test]
fn names_of_programs_are_found_whole_and_by_their_parts() {
    assert_eq!(english("userName"), "usernam user name");
    assert_eq!(english("HTTPServer"), "httpserver http server");
    assert_eq!(english("snake_case::path"), "snake case path");
    assert_eq!(english("GPT4o LONDON Ann"), "gpt4o london ann");
}

#[test]
fn hostile_text_costs_linear_time_and_does_not_panic() {
    let texts = [
        "a".repeat(1 << 20),
        "aB".repeat(1 << 19),
        "\u{301}".repeat(1 << 18),
        "é".repeat(1 << 19),
        "漢".repeat(1 << 18),
        "\u{fdfa}".repeat(1 << 14),
        "y".repeat(40),
        "'s ing ed ly yyyy aeiou sses".to_owned(),
    ];
    for text in texts {
        let mut count = 0;
        Words::new(Stem::English).each(&text, &mut |word: &str| count += usize::from(!word.is_empty()));
        assert!(count <= text.len() * 12);
    }
}

#[test]
fn no_short_word_makes_the_stemmer_panic() {
    let letters = b"abceilnstyz";
    let mut words = Words::new(Stem::English);
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..50_000 {
        let word: String = (0..rng.usize(1..12)).map(|_| char::from(letters[rng.usize(..letters.len())])).collect();
        words.each(&word, &mut |_: &str| ());
    }
}

#[test]
fn a_word_is_the_same_whether_it_is_remembered_or_not() {
    let (mut rng, mut text) = (fastrand::Rng::with_seed(5), String::new());
    for _ in 0..2 * MOST_KNOWN {
        text.extend((0..6).map(|_| rng.lowercase()));
        text.push_str("ing the ");
    }
    let mut words = Words::new(Stem::English);
    for _ in 0..2 {
        let mut found = Vec::new();
        words.each(&text, &mut |word: &str| found.push(word.to_owned()));
        let alone = text.split_whitespace().flat_map(|word| words_of(Stem::English, word));
        assert_eq!(found, alone.collect::<Vec<_>>());
        assert!(words.known.len() <= MOST_KNOWN);
    }
}
