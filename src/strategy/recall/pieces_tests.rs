use super::*;

fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

fn cut_texts(text: &str) -> Vec<&str> {
    cut(text, words).into_iter().map(|piece| &text[piece.range]).collect()
}

fn sentence(word: &str, count: usize) -> String {
    format!("{}{word}.", format!("{word} ").repeat(count - 1))
}

#[test]
fn blocks_are_code_items_headings_paragraphs_and_tables() {
    let text = "Intro line\nsecond line\n\n# Title\nunder it\n\n- one\n  more of one\n- two\n1. three\n\n| a | b |\n|---|---|\n\
                | 1 | 2 |\nbehind\n```rust\n# not a heading\n\n- not an item\n```\nend";
    let found: Vec<(&str, Kind)> = blocks(text).into_iter().map(|block| (&text[block.range], block.kind)).collect();
    let expected = [
        ("Intro line\nsecond line\n\n", Kind::Prose),
        ("# Title\n", Kind::Heading),
        ("under it\n\n", Kind::Prose),
        ("- one\n  more of one\n", Kind::Item),
        ("- two\n", Kind::Item),
        ("1. three\n\n", Kind::Item),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n", Kind::Table),
        ("behind\n", Kind::Prose),
        ("```rust\n# not a heading\n\n- not an item\n```\n", Kind::Code),
        ("end", Kind::Prose),
    ];
    assert_eq!(found, expected);
}

#[test]
fn long_prose_is_cut_into_sentences() {
    let [one, two, three] = [("a", 40), ("b", 50), ("c", 30)].map(|(word, count)| sentence(word, count));
    let text = format!("{one} {two}\n{three}");
    assert_eq!(cut_texts(&text), [format!("{one} "), format!("{two}\n"), three]);
    let short = format!("{} {}", sentence("a", 40), sentence("b", 50));
    assert_eq!(cut_texts(&short), [&*short]);
}

#[test]
fn small_pieces_take_what_follows() {
    let text = format!("Short.\n\n{}\n\n{}", sentence("a", 80), sentence("b", 30));
    assert_eq!(cut_texts(&text), [format!("Short.\n\n{}\n\n", sentence("a", 80)), sentence("b", 30)]);
}

#[test]
fn headings_and_announcements_stay_with_what_follows() {
    let code = format!("```\n{}\n```", "x y z\n".repeat(100));
    for before in ["## Setup\n", "Here is an example:\n\n"] {
        let text = format!("{}\n\n{before}{code}", sentence("a", 90));
        assert_eq!(cut_texts(&text).last(), Some(&&*format!("{before}{code}")));
    }
}

#[test]
fn what_is_too_large_is_cut_by_lines_and_then_by_characters() {
    let code = format!("```\n{}```\n", format!("{}\n", "x ".repeat(30)).repeat(20));
    let pieces = cut(&code, words);
    assert!(pieces.len() > 10 && pieces.iter().all(|piece| piece.tokens < 96), "{pieces:?}");
    let line = "é".repeat(1_000);
    let pieces = cut(&line, |text| text.chars().count() as u64);
    assert_eq!(pieces.iter().map(|piece| piece.range.len()).collect::<Vec<_>>(), [600, 600, 600, 200]);
}

#[test]
fn sentences_end_behind_their_stop_in_every_script() {
    let ends = |text: &str| sentence_ends(text).into_iter().map(|end| text[..end].to_owned()).collect::<Vec<_>>();
    assert_eq!(ends("He said \"Yes.\" Then 3.14 left."), ["He said \"Yes.\" ", "He said \"Yes.\" Then 3.14 left."]);
    assert_eq!(ends("猫。犬！"), ["猫。", "猫。犬！"]);
    assert_eq!(ends(""), [""; 0]);
}

#[test]
fn pieces_cover_any_text_and_none_is_large() {
    let alphabet = [
        "a", "Word ", ". ", "\n", "\r\n", "\n\n", "```", "~~~\n", "- ", "1. ", "| x |", "# ", "é", "漢。", "🙂", ":",
        " ",
    ];
    let mut rng = fastrand::Rng::with_seed(9);
    for _ in 0..2_000 {
        let text: String = (0..rng.usize(0..400)).map(|_| alphabet[rng.usize(..alphabet.len())]).collect();
        let pieces = cut(&text, |text| text.chars().count() as u64);
        assert_eq!(pieces.iter().map(|piece| &text[piece.range.clone()]).collect::<String>(), text);
        assert!(pieces.windows(2).all(|pair| pair[0].range.end == pair[1].range.start));
        assert!(pieces.iter().all(|piece| piece.tokens <= MOST && !piece.range.is_empty()), "{text:?}");
    }
}

#[test]
fn each_byte_is_counted_once() {
    let text = format!("{}\n\n```\n{}```\n", sentence("word", 300), "let x = 1;\n".repeat(300));
    let counted = std::cell::Cell::new(0);
    cut(&text, |text| {
        counted.set(counted.get() + text.len());
        words(text)
    });
    assert_eq!(counted.get(), text.len());
}

fn offer(text: usize, piece: usize, worth: u64, tokens: u64) -> Offer {
    Offer { text, piece, worth, tokens }
}

#[test]
fn the_best_pieces_are_chosen_and_never_cost_more_than_the_room() {
    let offers =
        vec![offer(0, 0, 9, 50), offer(0, 2, 8, 50), offer(1, 5, 8, 40), offer(1, 6, 7, 40), offer(2, 0, 0, 1)];
    let at =
        |room| choose(offers.clone(), room, |_| 4, 3).iter().map(|offer| (offer.text, offer.piece)).collect::<Vec<_>>();
    assert_eq!(at(49), []);
    assert_eq!(at(59), [(1, 5)]);
    assert_eq!(at(60), [(0, 0)]);
    // Of two that are worth the same, the one in the newer text.
    assert_eq!(at(110), [(0, 0), (1, 5)]);
    // A neighbour needs no mark of its own.
    assert_eq!(at(150), [(0, 0), (1, 5), (1, 6)]);
    assert_eq!(at(203), [(0, 0), (0, 2), (1, 5), (1, 6)]);
    assert_eq!(at(10_000), [(0, 0), (0, 2), (1, 5), (1, 6)]);
}

#[test]
fn neighbours_join() {
    let pieces: Vec<Piece> = (0..5).map(|at| Piece { range: at * 10..at * 10 + 10, tokens: 1 }).collect();
    assert_eq!(ranges(&pieces, [0, 1, 3]), [0..20, 30..40]);
    assert!(ranges(&pieces, []).is_empty());
}
