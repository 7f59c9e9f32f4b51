//! The timeline on a terminal: for each strategy a picture with requests across and messages down,
//! as wide as the terminal and of few lines.

use std::io::Write;

use super::marks::{Cell, legend, line};
use super::timeline::Timeline;
use super::{Comparison, Shown};
use crate::failure::Result;
use crate::output::{BOLD, DIM, preview, terminal_width};
use crate::sanitize::clean;
use crate::text::{counted, thousands, wrapped};

/// How many lines a picture has at most.
const MOST_ROWS: usize = 20;
/// The width of a message's text below which it is left out.
const LEAST_TEXT: usize = 12;

/// How requests and messages share the cells of all pictures.
struct Layout {
    requests: usize,
    messages: usize,
    columns: usize,
    rows: usize,
    /// How many characters across each request has; more than 1 for short conversations.
    repeat: usize,
    width: usize,
}

pub(super) fn print(out: &mut impl Write, comparison: &Comparison, shown: &Shown) -> Result<()> {
    let width = terminal_width();
    let timelines: Vec<_> = comparison
        .strategies
        .iter()
        .map(|row| (&*row.strategy, Timeline::of(shown.messages.len(), &shown.replays[row.index])))
        .collect();
    let Some((_, first)) = timelines.first() else { return Ok(()) };
    let layout = Layout::of(first.requests, first.messages, width);
    let pictures: Vec<_> = timelines.iter().map(|(name, timeline)| (*name, layout.cells(timeline))).collect();
    writeln!(out)?;
    if comparison.conversations() > 1 {
        let note = format!(
            "One of {} conversations follows, the first that is not always sent whole; --only draws another.",
            thousands(comparison.conversations() as u64)
        );
        writeln!(out, "{DIM}{}{DIM:#}", wrapped(&note, width, ""))?;
    }
    writeln!(out, "{BOLD}{}{BOLD:#}", preview(&shown.name, width))?;
    writeln!(out, "{DIM}{}{DIM:#}", wrapped(&layout.about(), width, ""))?;
    writeln!(out, "{}", legend(pictures.iter().flat_map(|(_, cells)| cells.iter().flatten())))?;
    let told = layout.told(shown);
    for (name, cells) in &pictures {
        writeln!(out, "\n{BOLD}{}{BOLD:#}", clean(name))?;
        for (row, (label, text)) in cells.iter().zip(&told) {
            let marks = row.iter().map(Cell::mark).flat_map(|mark| std::iter::repeat_n(mark, layout.repeat));
            writeln!(out, "{DIM}{label}{DIM:#}  {}  {DIM}{text}{DIM:#}", line(marks))?;
        }
    }
    Ok(())
}

impl Layout {
    fn of(requests: usize, messages: usize, width: usize) -> Self {
        let room = (width * 9 / 20).max(1);
        Self {
            requests,
            messages,
            columns: requests.min(room),
            rows: messages.min(MOST_ROWS),
            repeat: (room / requests.max(1)).clamp(1, 2),
            width,
        }
    }

    /// The row of a message. The first message, which is mostly the one that matters, shares its row
    /// with no other.
    fn row(&self, message: usize) -> usize {
        if self.rows == self.messages || message == 0 {
            return message;
        }
        1 + (message - 1) * (self.rows - 1) / (self.messages - 1)
    }

    fn column(&self, request: usize) -> usize {
        request * self.columns / self.requests
    }

    /// A row of cells for each row.
    fn cells(&self, timeline: &Timeline) -> Vec<Vec<Cell>> {
        let mut cells = vec![vec![Cell::default(); self.columns]; self.rows];
        for span in &timeline.spans {
            for request in span.requests.clone() {
                cells[self.row(span.message)][self.column(request)].add(span.kind);
            }
        }
        for request in &timeline.refused {
            for row in &mut cells {
                row[self.column(*request)].refuse();
            }
        }
        cells
    }

    /// What stands beside each row: the indexes of its messages, and the text of the first.
    fn told(&self, shown: &Shown) -> Vec<(String, String)> {
        let mut rows: Vec<(usize, usize, String)> = Vec::new();
        for (index, message) in shown.messages.iter().enumerate() {
            match rows.get_mut(self.row(index)) {
                Some(row) => row.1 = index,
                None => rows.push((index, index, format!("{}: {}", message.role, message.text))),
            }
        }
        let label = |from: usize, to: usize| if from == to { from.to_string() } else { format!("{from}-{to}") };
        let widest = rows.iter().map(|(from, to, _)| label(*from, *to).len()).max().unwrap_or_default();
        let room = self.width.saturating_sub(widest + 4 + self.columns * self.repeat);
        let room = if room < LEAST_TEXT { 0 } else { room };
        rows.iter().map(|(from, to, text)| (format!("{:>widest$}", label(*from, *to)), preview(text, room))).collect()
    }

    fn about(&self) -> String {
        let shared = |all: usize, cells: usize| all.div_ceil(cells.max(1));
        let across = shared(self.requests, self.columns);
        let down = shared(self.messages.saturating_sub(1), self.rows.saturating_sub(1));
        let each = [(across, "request"), (down, "message")].into_iter().filter(|(shared, _)| *shared > 1);
        let each: Vec<_> = each.map(|(shared, what)| counted(shared, what)).collect();
        let stands_for = if each.is_empty() { "" } else { "; a cell stands for up to " };
        format!(
            "{} from left to right, {} from top to bottom{stands_for}{}",
            counted(self.requests, "request"),
            counted(self.messages, "message"),
            each.join(" and ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_requests_and_messages_have_a_cell_and_the_first_message_a_row() {
        for (requests, messages, width) in [(1, 1, 20), (1, 2, 80), (17, 16, 80), (18, 17, 80), (1_000, 2_001, 200)] {
            let layout = Layout::of(requests, messages, width);
            assert_eq!(layout.column(requests - 1), layout.columns - 1);
            assert_eq!(layout.row(messages - 1), layout.rows - 1);
            let is_in_order = |rows: &[usize]| rows.windows(2).all(|two| two[0] == two[1] || two[0] + 1 == two[1]);
            assert!(is_in_order(&(0..messages).map(|message| layout.row(message)).collect::<Vec<_>>()));
            assert!(messages < 2 || layout.row(1) == 1);
            assert!(layout.columns * layout.repeat <= width / 2);
        }
    }
}
