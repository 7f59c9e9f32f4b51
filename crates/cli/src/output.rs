//! Output to the terminal: tables, previews, JSON lines, and color if the terminal shows it.

use std::fmt::Display;
use std::io::{BufWriter, Write};
use std::iter;

use clap::builder::styling::Style;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::failure::Result;
use crate::sanitize::clean;
use crate::text::width_of_char;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
/// How many characters of a role are shown; a role may be any text.
pub(crate) const MAX_ROLE_CHARS: usize = 12;
pub(crate) const ESTIMATED_FOOTNOTE: &str = "\
    ~ estimated, the bill may differ: the model's encoding is not known, or there are media or other parts whose count \
    was never compared with a bill";

/// The standard output, buffered. JSON is written unchanged; other text is styled, except in a pipe
/// and under `NO_COLOR`.
pub(crate) fn stdout(json: bool) -> Box<dyn Write> {
    if json {
        Box::new(BufWriter::new(std::io::stdout().lock()))
    } else {
        Box::new(BufWriter::new(anstream::stdout().lock()))
    }
}

/// Writes one line to the standard output.
pub(crate) fn print_line(line: impl Display) -> Result<()> {
    let mut out = stdout(false);
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// How many characters a line of the terminal has that shows the standard output; 80 in a pipe.
pub(crate) fn terminal_width() -> usize {
    width_of(terminal_size::terminal_size_of(std::io::stdout()))
}

/// The width of a terminal of this size, or 80 if there is none.
pub(crate) fn width_of(size: Option<(terminal_size::Width, terminal_size::Height)>) -> usize {
    size.map_or(80, |(width, _)| usize::from(width.0)).max(20)
}

/// Whether the terminal says that it understands no control sequences.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// A value with the name of its conversation, as one JSON object.
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

/// The start of a text on one line: on at most `width` columns of a terminal, the last of which has
/// `…` if there is more. Characters of some scripts are two columns wide.
pub(crate) fn preview(text: &str, width: usize) -> String {
    let spaced_words = text.split_whitespace().flat_map(|word| iter::once(' ').chain(word.chars()));
    let mut start = String::new();
    let mut column = 0;
    // How much of it leaves a column for the `…`.
    let mut cut = 0;
    for character in spaced_words.skip(1) {
        column += width_of_char(character);
        if column > width {
            start.truncate(cut);
            start.truncate(start.trim_end().len());
            start.extend((width > 0).then_some('…'));
            break;
        }
        start.push(character);
        if column < width {
            cut = start.len();
        }
    }
    clean(&start).into_owned()
}

/// A table whose columns are right-aligned, except the first and those with an index in `left`.
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

/// Writes a table with its header in bold.
pub(crate) fn write_table(out: &mut impl Write, table: &Table) -> Result<()> {
    for (index, line) in table.lines().enumerate() {
        if index == 0 {
            writeln!(out, "{BOLD}{}{BOLD:#}", line.trim_end())?;
        } else {
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_one_line_of_at_most_the_width() {
        assert_eq!(preview("one\n two  three", 40), "one two three");
        assert_eq!(preview("one two three", 7), "one tw…");
        assert_eq!(preview("one two", 7), "one two");
        assert_eq!(["旅行の番号", "旅行の番号!"].map(|text| preview(text, 10)), ["旅行の番号", "旅行の番…"]);
        assert_eq!(preview("旅行の番号", 8), "旅行の…");
    }

    #[test]
    fn no_space_precedes_the_mark_of_a_shortened_preview() {
        assert_eq!(preview("one two three", 5), "one…");
        assert_eq!(preview("one two three", 4), "one…");
    }

    #[test]
    fn a_preview_of_no_width_is_empty() {
        assert_eq!(preview("one", 0), "");
        assert_eq!(preview("one", 1), "…");
    }
}
