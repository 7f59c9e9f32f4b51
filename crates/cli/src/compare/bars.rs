//! A bar for each strategy: which messages of a conversation its last request holds.

use std::io::Write;

use turnwise::plan::Fate;
use turnwise::replay::{Outcome, Request};

use super::findings::runs;
use super::print::WIDTH;
use super::{Comparison, Shown};
use crate::failure::Result;
use crate::output::{DIM, preview};

/// How many characters of a strategy's name are shown.
const NAME: usize = 18;

pub(super) fn print(out: &mut impl Write, comparison: &Comparison, shown: &Shown) -> Result<()> {
    let mut lines = Vec::new();
    for row in &comparison.strategies {
        if let Some(last) = shown.replays[row.index].requests.last() {
            lines.push(format!("{:NAME$}  {}", preview(&row.strategy, NAME), bar(last)));
        }
    }
    if !lines.is_empty() {
        let legend = "messages of the last request: █ sent  ▒ in part  ≡ summary  · left out";
        writeln!(out, "\n{DIM}{legend}{DIM:#}")?;
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn bar(request: &Request) -> String {
    let Outcome::Planned(planned) = &request.outcome else { return "over budget, cannot be sent".to_owned() };
    let messages = request.reply;
    let mut fates = vec![Fate::Evicted; messages];
    for fate in [Fate::Kept, Fate::Shrunk, Fate::Summarized] {
        for run in runs(planned, fate) {
            for index in run.all_indexes() {
                fates[index] = fate;
            }
        }
    }
    let cells = messages.min(WIDTH - NAME - 2);
    (0..cells).map(|cell| symbol(&fates[cell * messages / cells..(cell + 1) * messages / cells])).collect()
}

/// One character for some messages in a row.
fn symbol(fates: &[Fate]) -> char {
    let is_all = |fate: Fate| fates.iter().all(|one| *one == fate);
    if is_all(Fate::Kept) {
        '█'
    } else if is_all(Fate::Evicted) {
        '·'
    } else if fates.contains(&Fate::Summarized) {
        '≡'
    } else {
        '▒'
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_share_a_cell_and_differ_are_sent_in_part() {
        assert_eq!(symbol(&[Fate::Kept, Fate::Kept]), '█');
        assert_eq!(symbol(&[Fate::Kept, Fate::Evicted]), '▒');
        assert_eq!(symbol(&[Fate::Evicted, Fate::Summarized]), '≡');
        assert_eq!(symbol(&[Fate::Evicted]), '·');
    }
}
