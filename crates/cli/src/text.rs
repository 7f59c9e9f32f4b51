//! Numbers as text, and text on lines.

use std::iter;

use unicode_width::UnicodeWidthChar;

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

/// How many columns of a terminal a character takes. One that cannot be shown is replaced by one of
/// a single column.
pub(crate) fn width_of_char(character: char) -> usize {
    character.width().unwrap_or(1)
}

/// The words of a text on lines of at most `width` columns; `indent` begins each line but the
/// first, which is taken to begin after as much. A word that is wider than a line, such as a
/// sentence of a script without spaces, goes on in the next one.
pub(crate) fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let mut lines = String::new();
    let mut column = indent.len();
    let next_line = || iter::once('\n').chain(indent.chars());
    for (index, word) in text.split(' ').enumerate() {
        let wide: usize = word.chars().map(width_of_char).sum();
        let fits = column + 1 + wide <= width || indent.len() + wide > width && column + 1 < width;
        if index > 0 && fits {
            lines.push(' ');
            column += 1;
        } else if index > 0 {
            lines.extend(next_line());
            column = indent.len();
        }
        for character in word.chars() {
            let wide = width_of_char(character);
            if column + wide > width && column > indent.len() {
                lines.extend(next_line());
                column = indent.len();
            }
            lines.push(character);
            column += wide;
        }
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
        assert_eq!(wrapped("https://a.b/c is", 8, "  "), "https:\n  //a.b/\n  c is");
        assert_eq!(wrapped("at \"旅行の番号\".", 9, " "), "at \"旅行\n の番号\".");
    }

    #[test]
    fn one_thing_is_singular() {
        assert_eq!([0, 1, 2_000].map(|things| counted(things, "turn")), ["0 turns", "1 turn", "2,000 turns"]);
    }
}
