//! `Wrap`: text on the lines of a terminal, broken between words.

use std::fmt::Write;
use std::io::{IsTerminal, stderr, stdout};

use clap::builder::styling::Style;
use unicode_width::UnicodeWidthChar;

use crate::output::{terminal_width, width_of};
use crate::text::wrapped;

/// A text on lines of the standard output's width, if that is a terminal; each but the first begins
/// with `indent`, and the first is taken to begin after as much.
pub(super) fn for_stdout(text: &str, indent: &str) -> String {
    if !stdout().is_terminal() {
        return text.to_owned();
    }
    wrapped(text, terminal_width(), indent)
}

/// A text on lines of the standard error's width, if that is a terminal.
pub(super) fn for_stderr(text: &str) -> String {
    if !stderr().is_terminal() {
        return text.to_owned();
    }
    wrapped(text, width_of(terminal_size::terminal_size_of(stderr())), "")
}

/// Lays out text as it arrives. A word is written when its end is known.
pub(super) struct Wrap {
    width: usize,
    /// What begins each line, and its width.
    indent: String,
    indent_width: usize,
    /// What begins the next line instead of the indent; as wide as it.
    lead: Option<String>,
    /// The width of the line so far.
    column: usize,
    /// The spaces since the last word that was written.
    spaces: String,
    /// The word that has begun, with its styles.
    word: String,
    word_width: usize,
}

impl Wrap {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            indent: String::new(),
            indent_width: 0,
            lead: None,
            column: 0,
            spaces: String::new(),
            word: String::new(),
            word_width: 0,
        }
    }

    /// The width without the indent.
    #[cfg(feature = "chat")]
    pub(super) fn room(&self) -> usize {
        self.width.saturating_sub(self.indent_width).max(20)
    }

    /// Adds text. Spaces and line breaks are kept, except where a line is broken.
    pub(super) fn text(&mut self, text: &str, style: Style, out: &mut String) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if c == '\n' {
                self.break_line(out);
            } else if c.is_whitespace() && c != '\u{a0}' {
                self.end_word(out);
                self.spaces.push(if c == '\t' { ' ' } else { c });
            } else {
                let is_wide = |c: char| c.width() == Some(2);
                if is_wide(c) {
                    // Chinese and Japanese have no spaces between words.
                    self.end_word(out);
                }
                let is_end = |(at, next): (usize, char)| at > 0 && (next.is_whitespace() || is_wide(next));
                let end = rest.char_indices().find_map(|at| is_end(at).then_some(at.0)).unwrap_or(rest.len());
                self.part(&rest[..end], style);
                rest = &rest[end..];
                continue;
            }
            rest = &rest[c.len_utf8()..];
        }
    }

    /// Adds a part of a word.
    fn part(&mut self, part: &str, style: Style) {
        // Writing to a text does not fail.
        let _ = write!(self.word, "{style}{part}{style:#}");
        self.word_width += part.chars().filter_map(UnicodeWidthChar::width).sum::<usize>();
    }

    fn end_word(&mut self, out: &mut String) {
        if self.word.is_empty() {
            return;
        }
        let is_at_start = self.column == 0;
        if !is_at_start && self.column + self.spaces.len() + self.word_width > self.width {
            out.push('\n');
            self.column = 0;
            self.spaces.clear();
        }
        if self.column == 0 {
            self.begin_line(out);
        }
        out.push_str(&self.spaces);
        out.push_str(&self.word);
        self.column += self.spaces.len() + self.word_width;
        self.spaces.clear();
        self.word.clear();
        self.word_width = 0;
    }

    fn begin_line(&mut self, out: &mut String) {
        out.push_str(self.lead.take().as_deref().unwrap_or(&self.indent));
        self.column = self.indent_width;
    }

    pub(super) fn break_line(&mut self, out: &mut String) {
        self.end_word(out);
        self.spaces.clear();
        out.push('\n');
        self.column = 0;
    }

    /// Ends the line if one has begun.
    pub(super) fn end_line(&mut self, out: &mut String) {
        self.end_word(out);
        self.spaces.clear();
        if self.column > 0 {
            self.break_line(out);
        }
    }

    /// Writes a line as it is, behind the indent.
    #[cfg(feature = "chat")]
    pub(super) fn line(&mut self, line: &str, out: &mut String) {
        self.end_line(out);
        self.begin_line(out);
        out.push_str(line);
        out.push('\n');
        self.column = 0;
    }

    /// Indents the lines that follow: the first with `lead`, the others with `rest`, which is as wide.
    /// Returns what takes the indent back.
    #[cfg(feature = "chat")]
    pub(super) fn indent(&mut self, lead: &str, rest: &str, width: usize) -> (String, usize) {
        let before = (self.indent.clone(), self.indent_width);
        self.lead = Some(format!("{}{lead}", self.lead.as_deref().unwrap_or(&self.indent)));
        self.indent.push_str(rest);
        self.indent_width += width;
        before
    }

    #[cfg(feature = "chat")]
    pub(super) fn outdent(&mut self, before: (String, usize)) {
        (self.indent, self.indent_width) = before;
        self.lead = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(width: usize, parts: &[&str]) -> String {
        let mut wrap = Wrap::new(width);
        let mut out = String::new();
        for part in parts {
            wrap.text(part, Style::new(), &mut out);
        }
        wrap.end_line(&mut out);
        out
    }

    #[test]
    fn lines_break_between_words_however_the_text_arrives() {
        assert_eq!(shown(8, &["one two three"]), "one two\nthree\n");
        assert_eq!(shown(8, &["on", "e t", "wo thr", "ee"]), "one two\nthree\n");
        assert_eq!(shown(8, &["one", "\n\n  two  x"]), "one\n\n  two  x\n");
        assert_eq!(shown(5, &["https://example.org is long"]), "https://example.org\nis\nlong\n");
    }

    #[test]
    fn wide_characters_break_anywhere_and_count_twice() {
        assert_eq!(shown(6, &["日本語です"]), "日本語\nです\n");
    }
}
