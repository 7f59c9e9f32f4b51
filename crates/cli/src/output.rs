//! What goes to the terminal: cleaned of what could deceive the reader, in columns, in color where that is wanted.

use std::borrow::Cow;
use std::io::{BufWriter, Write};

use clap::builder::styling::Style;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::failure::Result;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
/// How much of a role is shown: roles may be anything.
pub(crate) const ROLE: usize = 12;
pub(crate) const ESTIMATED: &str =
    "~ estimated: something that the formula was never checked on, media, or a model whose encoding is not known";

/// The standard output, buffered: as it is for JSON, else with styles where somebody sees them (not under `NO_COLOR`,
/// not in a pipe).
pub(crate) fn stdout(json: bool) -> Box<dyn Write> {
    if json {
        Box::new(BufWriter::new(std::io::stdout().lock()))
    } else {
        Box::new(BufWriter::new(anstream::stdout().lock()))
    }
}

/// A value with the name of its conversation, for a line of JSON.
#[derive(Serialize)]
pub(crate) struct Named<'a, T> {
    pub(crate) conversation: &'a str,
    #[serde(flatten)]
    pub(crate) value: &'a T,
}

/// Writes a value as one line of JSON.
pub(crate) fn json_line(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)?;
    Ok(())
}

/// A text for one line, without the characters that move the cursor, change the terminal, or reorder what is read.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    replaced(text, deceives)
}

/// A text of many lines, likewise.
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

/// The start of a text on one line, at most `width` characters.
pub(crate) fn preview(text: &str, width: usize) -> String {
    let mut words = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let gap = usize::from(length > 0);
        for c in std::iter::repeat_n(' ', gap).chain(word.chars()) {
            if length == width {
                words.pop();
                words.push('…');
                return clean(&words).into_owned();
            }
            words.push(c);
            length += 1;
        }
    }
    clean(&words).into_owned()
}

/// A table whose columns are right-aligned from the second on, but for those named in `left`.
pub(crate) fn table(header: &[&str], left: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    table.discover_columns();
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index > 0 && !left.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Writes a table, its header in bold.
pub(crate) fn write_table(out: &mut impl Write, table: &Table) -> Result<()> {
    for (index, line) in table.lines().enumerate() {
        match index {
            0 => writeln!(out, "{BOLD}{}{BOLD:#}", line.trim_end())?,
            _ => writeln!(out, "{}", line.trim_end())?,
        }
    }
    Ok(())
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

    #[test]
    fn a_preview_is_one_line_of_at_most_the_width() {
        assert_eq!(preview("one\n two  three", 40), "one two three");
        assert_eq!(preview("one two three", 7), "one tw…");
    }
}
