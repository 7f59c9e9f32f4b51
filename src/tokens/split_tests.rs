use super::*;

#[test]
fn pieces_are_the_text_and_short() {
    for text in
        ["", "a", "one two\nthree", &"word ".repeat(30_000), &"你好，世界。".repeat(9_000), &"\u{301}".repeat(70_000)]
    {
        let pieces: Vec<Piece<'_>> = Pieces::new(text).collect();
        assert_eq!(pieces.iter().map(|piece| piece.text).collect::<String>(), text);
        assert!(pieces.iter().all(|piece| !piece.text.is_empty() && piece.text.len() <= LONGEST));
    }
}

#[test]
fn a_text_of_one_piece_is_not_looked_at() {
    let text = "x".repeat(LONGEST);
    assert_eq!(Pieces::new(&text).collect::<Vec<_>>(), [Piece { text: &text, is_torn: false }]);
}

#[test]
fn only_a_run_without_an_exact_cut_is_torn() {
    let torn = |text: &str| Pieces::new(text).filter(|piece| piece.is_torn).count();
    for text in ["word ", "\n\nx", "{\"a\":1}", "你好，世界。", "한국어 ", "при вет "] {
        assert_eq!(torn(&text.repeat(3 * LONGEST / text.len())), 0, "{text}");
    }
    for text in ["a", " ", "=", "\n", "你", "7", "\u{a0}"] {
        assert_eq!(torn(&format!("word {} word", text.repeat(3 * LONGEST / text.len()))), 3, "{text:?}");
    }
}

#[test]
fn what_is_torn_does_not_depend_on_the_length_that_is_wanted() {
    let text = format!("{}{} x\n{}", "some words ".repeat(9_000), "=".repeat(3 * LONGEST), "\u{3000}".repeat(LONGEST));
    let torn = |wanted: usize| {
        let mut end = 0;
        let ends = Pieces::of(wanted, &text).map(move |piece| {
            end += piece.text.len();
            (end, piece.is_torn)
        });
        ends.filter(|(_, is_torn)| *is_torn).collect::<Vec<_>>()
    };
    assert_eq!(torn(LONGEST).len(), 6);
    for wanted in [16, 1_000, 8 * 1024] {
        assert_eq!(torn(wanted), torn(LONGEST), "{wanted}");
    }
}

#[test]
fn the_last_cut_is_found() {
    for (text, cut) in [
        ("", None),
        ("word", None),
        ("two words", Some(3)),
        ("two words ", Some(9)),
        ("a  b", Some(1)),
        ("line\nnext", Some(5)),
        ("}\n// next", Some(4)),
        ("}\n//next", None),
        ("don't", None),
        ("(x)", Some(2)),
        ("世界，你好", Some(6)),
    ] {
        assert_eq!(last(text), cut, "{text:?}");
    }
}
