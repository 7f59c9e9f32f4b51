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

/// Text without the passwords of URLs: `postgres://ann:…@host`.
pub(crate) fn without_passwords(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let authority = after.split(|c: char| c == '/' || c == '?' || c.is_whitespace()).next().unwrap_or_default();
        // A password may have an `@` in it, by mistake.
        let secret = authority.rsplit_once('@').and_then(|(who, _)| who.split_once(':').map(|(user, _)| (user, who)));
        shown.push_str(before);
        shown.push_str("://");
        rest = after;
        if let Some((user, who)) = secret {
            shown.push_str(user);
            shown.push_str(":…");
            rest = &after[who.len()..];
        }
    }
    if shown.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(shown + rest) }
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
    fn passwords_of_urls_are_not_shown_and_nothing_else_changes() {
        for (text, shown) in [
            ("postgres://ann:secret@h/d: no", "postgres://ann:…@h/d: no"),
            (
                "a postgres://ann:p@ss@h:5432/d?x=y://b:c@d, https://h/a:b@c",
                "a postgres://ann:…@h:5432/d?x=y://b:…@d, https://h/a:b@c",
            ),
            ("postgres://ann@h/d", "postgres://ann@h/d"),
            ("http://127.0.0.1:80/v1", "http://127.0.0.1:80/v1"),
            ("no url", "no url"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }

    #[test]
    fn what_deceives_is_replaced_and_the_rest_is_not_copied() {
        assert_eq!(clean_lines("a\u{1b}[31mb\u{202e}c\r\n"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}\n");
        assert_eq!(clean("a\nb"), "a\u{fffd}b");
        assert!(matches!(clean_lines("ein Fluß,\n日本"), Cow::Borrowed(_)));
    }
}
