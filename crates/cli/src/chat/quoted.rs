//! Texts of several lines: between `"""`, or pasted.

const QUOTES: &str = "\"\"\"";
/// What a terminal sends before and after a pasted text, if it was asked to mark it.
const PASTE_STARTS: &[u8] = b"\x1b[200~";
const PASTE_ENDS: &[u8] = b"\x1b[201~";

/// The text after opening quotes: at the start, or after the name of a command.
fn inner(text: &str) -> Option<&str> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix(QUOTES) {
        return Some(inner);
    }
    if !text.starts_with('/') || text.starts_with("//") {
        return None;
    }
    let (before, inner) = text.split_once(QUOTES)?;
    before.ends_with(char::is_whitespace).then_some(inner)
}

/// Whether a text has opening quotes without closing ones, so that more lines belong to it.
pub(super) fn is_open(text: &str) -> bool {
    inner(text).is_some_and(|inner| !inner.contains(QUOTES))
}

/// The text between quotes at the start and at the end; any other text as it is. One line break
/// beside each of the quotes does not belong to it.
pub(super) fn unquoted(text: &str) -> &str {
    let quoted = text.trim().strip_prefix(QUOTES).and_then(|inner| inner.strip_suffix(QUOTES));
    let Some(inner) = quoted.filter(|inner| !inner.contains(QUOTES)) else { return text };
    let inner = inner.strip_prefix("\r\n").or_else(|| inner.strip_prefix('\n')).unwrap_or(inner);
    inner.strip_suffix('\n').map_or(inner, |inner| inner.strip_suffix('\r').unwrap_or(inner))
}

/// Puts lines together that belong to one message.
#[derive(Default)]
pub(super) struct Lines {
    text: Vec<u8>,
    is_pasting: bool,
    /// If the text has opening quotes: from where on the closing ones are looked for. Each line is
    /// looked through once.
    open_from: Option<usize>,
}

impl Lines {
    /// Adds a line with its end. Returns the message if it is complete.
    pub(super) fn add(&mut self, mut line: &[u8]) -> Option<Vec<u8>> {
        while let Some((at, mark)) = next_mark(line, self.is_pasting) {
            self.text.extend_from_slice(&line[..at]);
            line = &line[at + mark.len()..];
            self.is_pasting = !self.is_pasting;
        }
        self.text.extend_from_slice(line);
        if self.is_pasting || self.is_open() { None } else { self.end() }
    }

    fn is_open(&mut self) -> bool {
        let quotes_from = |from: usize| find(&self.text[from..], QUOTES.as_bytes()).map(|at| from + at);
        if let Some(from) = self.open_from {
            // The quotes may have begun in the line before.
            self.open_from = Some(from.max(self.text.len().saturating_sub(QUOTES.len() - 1)));
            return quotes_from(from).is_none();
        }
        let is_open = is_open(&String::from_utf8_lossy(&self.text));
        self.open_from = quotes_from(0).filter(|_| is_open).map(|at| at + QUOTES.len());
        is_open
    }

    /// What was added and is not complete, if anything.
    pub(super) fn end(&mut self) -> Option<Vec<u8>> {
        self.is_pasting = false;
        self.open_from = None;
        let text = std::mem::take(&mut self.text);
        (!text.is_empty()).then_some(text)
    }

    /// The prompt for the next line; none within a pasted text, which nobody types.
    pub(super) fn prompt<'a>(&self, first: &'a str) -> &'a str {
        if self.is_pasting {
            ""
        } else if self.text.is_empty() {
            first
        } else {
            ". "
        }
    }
}

fn next_mark(line: &[u8], is_pasting: bool) -> Option<(usize, &'static [u8])> {
    let mark = if is_pasting { PASTE_ENDS } else { PASTE_STARTS };
    Some((find(line, mark)?, mark))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|found| found == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(lines: &[&str]) -> Vec<String> {
        let mut gathered = Lines::default();
        let mut messages: Vec<_> = lines.iter().filter_map(|line| gathered.add(line.as_bytes())).collect();
        messages.extend(gathered.end());
        messages.into_iter().map(|message| String::from_utf8(message).unwrap()).collect()
    }

    #[test]
    fn lines_between_quotes_are_one_message() {
        let talk = ["\"\"\"a\n", "b\n", "\"\"\"\n", "c\n", "/system \"\"\"\n", "d\"\"\"\n", "say \"\"\"\n"];
        assert_eq!(messages(&talk), ["\"\"\"a\nb\n\"\"\"\n", "c\n", "/system \"\"\"\nd\"\"\"\n", "say \"\"\"\n"]);
        assert_eq!(messages(&["\"\"\"a\n", "b"]), ["\"\"\"a\nb"], "the input ends before the quotes");
    }

    #[test]
    fn a_long_text_between_quotes_is_looked_through_once() {
        let mut lines = Lines::default();
        assert_eq!(lines.add(b"\"\"\"\n"), None);
        // 20 MB: with a look at all that came before, each line would take as long as all of it.
        let line = "x".repeat(99) + "\n";
        let begun = std::time::Instant::now();
        for _ in 0..200_000 {
            assert_eq!(lines.add(line.as_bytes()), None);
        }
        assert_eq!(lines.add(b"\"\"\"\n").map(|text| text.len()), Some(200_000 * 100 + 8));
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
        // A second text begins anew, and quotes may be cut by the marks of a paste.
        assert_eq!(messages(&["\"\"\"a\"\n", "\u{1b}[200~\"\u{1b}[201~\"\"\n"]).len(), 1);
        assert_eq!(messages(&["\"\"\"a\n", "\"\"\"\n", "\"\"\"b\n", "\"\"\"\n"]).len(), 2);
    }

    #[test]
    fn a_pasted_text_is_one_message_without_the_marks() {
        let talk = ["see \u{1b}[200~a\n", "b\n", "c\u{1b}[201~?\n", "d\n"];
        assert_eq!(messages(&talk), ["see a\nb\nc?\n", "d\n"]);
        assert_eq!(messages(&["\u{1b}[200~a\u{1b}[201~\u{1b}[200~b\n", "c\u{1b}[201~\n"]), ["ab\nc\n"]);
    }

    #[test]
    fn code_with_quotes_inside_is_left_as_it_is() {
        let code = "\"\"\"A module.\"\"\"\nimport x\n";
        assert_eq!((unquoted(code), is_open(code)), (code, false));
        assert_eq!(unquoted("\"\"\"\r\na\n\r\n\"\"\""), "a\n");
    }
}
