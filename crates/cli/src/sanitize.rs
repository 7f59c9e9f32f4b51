//! Makes text of files and servers safe to print on a terminal.

use std::borrow::Cow;

/// One line of text, without characters that move the cursor, change the terminal, or reorder what
/// is read.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    replaced(text, deceives)
}

/// As [`clean`], but keeps line breaks and tabs.
pub(crate) fn clean_lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| deceives(c) && c != '\n' && c != '\t')
}

fn replaced(text: &str, unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.contains(&unwanted) { Cow::Owned(text.replace(unwanted, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

fn deceives(c: char) -> bool {
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || reorders || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_is_replaced_and_the_rest_is_not_copied() {
        assert_eq!(clean_lines("a\u{1b}[31mb\u{202e}c\r\n"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}\n");
        assert_eq!(clean("a\nb"), "a\u{fffd}b");
        assert!(matches!(clean_lines("ein Fluß,\n日本"), Cow::Borrowed(_)));
    }
}
