//! A bar for each strategy: which messages of a conversation its last request holds.

use std::io::Write;

use turnwise::plan::Fate;
use turnwise::replay::{Outcome, Planned};

use super::findings::runs;
use super::marks::{Cell, legend, line};
use super::print::WIDTH;
use super::timeline::Kind;
use super::{Comparison, Shown};
use crate::failure::Result;
use crate::output::{DIM, preview};

/// How many characters of a strategy's name are shown.
const NAME: usize = 18;

pub(super) fn print(out: &mut impl Write, comparison: &Comparison, shown: &Shown) -> Result<()> {
    let mut bars = Vec::new();
    for row in &comparison.strategies {
        if let Some(last) = shown.replays[row.index].requests.last() {
            let cells = match &last.outcome {
                Outcome::Planned(planned) => Some(cells(planned, last.reply)),
                _ => None,
            };
            bars.push((preview(&row.strategy, NAME), cells));
        }
    }
    if bars.is_empty() {
        return Ok(());
    }
    let all = bars.iter().filter_map(|(_, cells)| cells.as_ref()).flatten();
    writeln!(out, "\n{DIM}messages of the last request:{DIM:#} {}", legend(all))?;
    for (name, cells) in &bars {
        let bar = match cells {
            Some(cells) => line(cells.iter().map(Cell::mark)),
            None => "over budget, cannot be sent".to_owned(),
        };
        writeln!(out, "{name:NAME$}  {bar}")?;
    }
    Ok(())
}

/// What a request does with these messages, on at most one line.
fn cells(planned: &Planned, messages: usize) -> Vec<Cell> {
    let mut cells = vec![Cell::default(); messages.min(WIDTH - NAME - 2)];
    for fate in [Fate::Kept, Fate::Shrunk, Fate::Summarized, Fate::Evicted] {
        for run in runs(planned, fate) {
            for index in run.all_indexes() {
                let at = index * cells.len() / messages;
                cells[at].add(Kind::of(fate, &run.reason));
            }
        }
    }
    cells
}
