//! Numbers as text.

/// A number with commas.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// A number of tokens, with `~` if it is an estimate.
pub(crate) fn tokens(number: u64, is_estimated: bool) -> String {
    let about = if is_estimated { "~" } else { "" };
    format!("{about}{}", thousands(number))
}

/// A number of things, in the singular or plural.
pub(crate) fn counted(things: usize, noun: &str) -> String {
    let plural = if things == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(things as u64))
}

/// The words of a text on lines of at most `width` characters; `indent` begins each line but the
/// first, which is taken to begin after as much.
pub(crate) fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let mut lines = String::new();
    let mut length = indent.len();
    for word in text.split(' ') {
        let more = word.chars().count();
        let is_first = lines.is_empty();
        if !is_first && length + 1 + more > width {
            lines.push('\n');
            lines.push_str(indent);
            length = indent.len();
        } else if !is_first {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += more;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three", 8, "  "), "one\n  two\n  three");
        assert_eq!(wrapped("one two three", 9, ""), "one two\nthree");
    }

    #[test]
    fn one_thing_is_singular() {
        assert_eq!([0, 1, 2_000].map(|things| counted(things, "turn")), ["0 turns", "1 turn", "2,000 turns"]);
    }
}
