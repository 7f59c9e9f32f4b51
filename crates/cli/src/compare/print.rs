//! The comparison on a terminal: a table, a sentence for each strategy, and
//! for one conversation a bar or a timeline for each.

use std::io::Write;

use comfy_table::Table;

use super::columns::{Column, columns};
use super::{Comparison, bars, picture};
use crate::args::Compare;
use crate::failure::Result;
use crate::output::{BOLD, DIM, table, write_table};
use crate::sanitize::clean;
use crate::text::wrapped;

/// In characters: what a terminal shows on one line.
pub(super) const WIDTH: usize = 80;
/// The columns that are left out first where large numbers make the table wider than that.
const FIRST_TO_GO: [&str; 3] = ["results", "repeated", "turns"];

pub(super) fn print(out: &mut impl Write, comparison: &Comparison, args: &Compare) -> Result<()> {
    let wide = args.wide;
    writeln!(out, "{}\n", wrapped(&comparison.about(), WIDTH, ""))?;
    let mut shown = columns(comparison, wide);
    let mut rows = rows(comparison, &shown, wide);
    let mut hidden = Vec::new();
    for name in FIRST_TO_GO.into_iter().filter(|_| !wide) {
        if is_too_wide(&rows) && shown.iter().any(|column| column.name == name) {
            shown.retain(|column| column.name != name);
            rows = self::rows(comparison, &shown, wide);
            hidden.push(name);
        }
    }
    write_table(out, &rows)?;
    writeln!(out)?;
    for row in &comparison.strategies {
        let sentence = wrapped(&clean(&row.sentence()), WIDTH, "  ");
        writeln!(out, "{BOLD}{}{BOLD:#}\n  {sentence}", clean(&row.strategy))?;
    }
    match (comparison.conversations(), &*comparison.shown) {
        (_, [first, ..]) if args.timeline => picture::print(out, comparison, first)?,
        (1, [only]) => bars::print(out, comparison, only)?,
        _ => {}
    }
    footnotes(out, comparison, wide)?;
    if !hidden.is_empty() {
        writeln!(out, "{DIM}no room for {}; --wide shows all columns{DIM:#}", hidden.join(" and "))?;
    }
    Ok(())
}

/// Whether a terminal would break the table's lines.
fn is_too_wide(table: &Table) -> bool {
    table.lines().any(|line| line.trim_end().chars().count() > WIDTH)
}

fn footnotes(out: &mut impl Write, comparison: &Comparison, wide: bool) -> Result<()> {
    writeln!(out)?;
    for note in comparison.notes(wide) {
        writeln!(out, "{DIM}{}{DIM:#}", wrapped(note, WIDTH, "  "))?;
    }
    if wide {
        writeln!(out, "{DIM}time: of planning, with counting{DIM:#}")?;
    }
    Ok(())
}

fn rows(comparison: &Comparison, columns: &[&Column], wide: bool) -> Table {
    let mut header = vec!["strategy"];
    header.extend(columns.iter().map(|column| column.name));
    header.extend(wide.then_some("time"));
    let mut table = table(&header, &[]);
    for row in &comparison.strategies {
        let mut cells = vec![clean(&row.strategy).into_owned()];
        for column in columns {
            let mark = if column.is_best(&comparison.strategies, row) { '*' } else { ' ' };
            cells.push(format!("{}{mark}", (column.text)(row)));
        }
        cells.extend(wide.then(|| format!("{:.0?}", row.time)));
        table.add_row(cells);
    }
    table
}
