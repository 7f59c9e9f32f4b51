use super::*;

/// What is shown of a text, without styles.
fn shown(text: &str, width: usize) -> String {
    let mut markdown = Markdown::new(width);
    let shown = markdown.push(text) + &markdown.end();
    plain(&shown)
}

fn plain(styled: &str) -> String {
    anstream::adapter::strip_str(styled).to_string()
}

const TALK: &str = "Here is **a plan** for `you`:\n\n1. First *thing*\n2. Second thing, which is much longer than a line\n   \
                    - nested\n\n# A heading\nA paragraph with 2 * 3 = 6 and a [link](https://a.example/x).\n\n```rust\nfn \
                    main() {\n\n    x();\n}\n```\n> A quote\n\n| a | b |\n|---|---|\n| 1 | **2** |\n\n---\nThe end";

#[test]
fn blocks_are_shown_as_they_read() {
    assert_eq!(
        shown(TALK, 40),
        "Here is a plan for you:\n\n1. First thing\n2. Second thing, which is much longer\n   than a line\n   • nested\n\n\
         A heading\nA paragraph with 2 * 3 = 6 and a link\n(https://a.example/x).\n\n  fn main() {\n\n      x();\n  }\n\
         │ A quote\n\n┌───┬───┐\n│ a ┆ b │\n╞═══╪═══╡\n│ 1 ┆ 2 │\n└───┴───┘\n\n────────────────────────────────────────\n\
         The end\n"
    );
}

#[test]
fn however_a_text_is_cut_into_parts_it_is_shown_the_same() {
    let whole = shown(TALK, 40);
    for size in [1, 2, 3, 7, 20] {
        let mut markdown = Markdown::new(40);
        let mut out = String::new();
        let chars: Vec<char> = TALK.chars().collect();
        for part in chars.chunks(size) {
            out.push_str(&markdown.push(&part.iter().collect::<String>()));
        }
        out.push_str(&markdown.end());
        assert_eq!(plain(&out), whole, "parts of {size}");
    }
}

#[test]
fn words_of_a_paragraph_are_shown_as_they_arrive() {
    let mut markdown = Markdown::new(80);
    assert_eq!(plain(&markdown.push("The Elbe is ")), "The Elbe");
    assert_eq!(plain(&markdown.push("a **long** river")), " is a long");
    assert_eq!(plain(&markdown.push(" of **two")), " river of");
    assert!(!markdown.is_gathering());
    assert_eq!(plain(&markdown.push(" countries** and")), " two countries");
    assert_eq!(plain(&markdown.end()), " and\n");
}

#[test]
fn characters_that_only_look_like_marks_hold_nothing_up() {
    for text in ["2 * 3 is R&D at ~5 km ", "my_own_name and C:\\x here ", "a < b, see [1] and so ", "done* is it "] {
        let mut markdown = Markdown::new(80);
        assert_eq!(plain(&markdown.push(&format!("So {text}on"))).len(), "So ".len() + text.trim_end().len(), "{text}");
    }
    for text in ["a *b c", "see [the page](http://a \"a b", "a `b c", "_a b"] {
        let mut markdown = Markdown::new(80);
        let shown = plain(&markdown.push(&format!("So {text} d")));
        assert!(!shown.contains(['*', '[', '`', '_']) && !shown.ends_with('b'), "{shown}");
    }
}

#[test]
fn an_item_is_shown_when_the_next_begins_and_a_heading_when_its_line_ends() {
    let mut markdown = Markdown::new(80);
    assert_eq!(plain(&markdown.push("## Rivers\n- The Elbe\n")), "Rivers\n");
    assert!(markdown.is_gathering());
    assert_eq!(plain(&markdown.push("- The Rhine")), "");
    assert_eq!(plain(&markdown.push("\n")), "• The Elbe\n");
    assert_eq!(plain(&markdown.end()), "• The Rhine\n");
}

#[test]
fn code_is_shown_line_by_line_and_not_broken() {
    let mut markdown = Markdown::new(20);
    assert_eq!(
        plain(&markdown.push("```\nlet a = \"a line that is longer than the terminal\";\nlet")),
        "  let a = \"a line that is longer than the terminal\";\n"
    );
    assert_eq!(plain(&markdown.end()), "  let\n");
}

#[test]
fn nothing_that_controls_a_terminal_comes_out_of_an_entity_or_an_address() {
    for text in
        ["a &#27;[31m b\n", "- &#x9b;31m\n", "[a](http://x/&#27;]0;t)\n", "`a\u{1b}[2J`\n", "```\n\u{1b}[2J\n```\n"]
    {
        let mut markdown = Markdown::new(80);
        let out = plain(&(markdown.push(text) + &markdown.end()));
        assert!(!out.contains(['\u{1b}', '\u{9b}']), "{out:?}");
    }
}

#[test]
fn no_text_is_lost_whatever_its_marks() {
    for text in [
        "<b>bold</b> move",
        "a < b & c > d",
        "[x]: http://y",
        "* * *x",
        "**",
        "_",
        "1984. A year",
        "#hash",
        "~~~\nopen",
        "|",
    ] {
        let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        assert_eq!(letters(&shown(text, 30)), letters(text), "{text}");
    }
}

#[test]
fn a_long_list_and_a_megabyte_without_a_break_take_linear_time() {
    let list = "- an item of a list with **bold** words\n".repeat(2_000);
    assert_eq!(shown(&list, 80).lines().count(), 2_000);
    let mut markdown = Markdown::new(80);
    let shown: String = (0..2_000).map(|_| markdown.push("word word* ")).collect();
    assert_eq!(plain(&(shown + &markdown.end())).matches("word").count(), 4_000);
}
