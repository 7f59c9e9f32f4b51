//! `Cell`: one character for what happens to one message in one request, or to several in several.

use std::collections::HashSet;
use std::fmt::Write;

use clap::builder::styling::{AnsiColor, Style};

use super::timeline::Kind;
use crate::output::{BOLD, DIM};

/// A character, its color, and what it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) symbol: char,
    pub(super) style: Style,
    pub(super) means: &'static str,
}

const SENT: Style = AnsiColor::Cyan.on_default();
const SHORTENED: Style = AnsiColor::Yellow.on_default();
const REFUSED: Mark = Mark { symbol: '×', style: AnsiColor::Red.on_default(), means: "over budget" };
/// Of several messages some are sent: the darker, the more.
const SHADES: [char; 3] = ['░', '▒', '▓'];

/// What happens to the messages of a cell, counted.
#[derive(Clone, Default)]
pub(super) struct Cell {
    kinds: [usize; Kind::ALL.len()],
    is_refused: bool,
}

impl Cell {
    pub(super) fn add(&mut self, kind: Kind) {
        self.kinds[kind as usize] += 1;
    }

    /// One of its requests is over budget.
    pub(super) fn refuse(&mut self) {
        self.is_refused = true;
    }

    /// `None` if there is no message yet.
    pub(super) fn mark(&self) -> Option<Mark> {
        let of = |kind: Kind| self.kinds[kind as usize];
        let all: usize = self.kinds.iter().sum();
        if self.is_refused {
            return Some(REFUSED);
        }
        if let Some(only) = Kind::ALL.into_iter().find(|kind| of(*kind) == all) {
            return (all > 0).then(|| mark(only));
        }
        let sent = of(Kind::Always) + of(Kind::Sent);
        if of(Kind::Summarized) > 0 {
            Some(mark(Kind::Summarized))
        } else if sent == all {
            Some(mark(Kind::Sent))
        } else {
            let style = if of(Kind::Shortened) > 0 { SHORTENED } else { SENT };
            let shade = SHADES[(sent + of(Kind::Shortened)) * SHADES.len() / (all + 1)];
            Some(Mark { symbol: shade, style, means: "some of several" })
        }
    }
}

/// The mark of a cell of which all is so.
fn mark(kind: Kind) -> Mark {
    let (symbol, style) = match kind {
        Kind::Always => ('◆', BOLD),
        Kind::Sent => ('█', SENT),
        Kind::Shortened => ('▄', SHORTENED),
        Kind::Summarized => ('≡', AnsiColor::Magenta.on_default()),
        Kind::LeftOut => ('·', DIM),
    };
    Mark { symbol, style, means: kind.name() }
}

/// What the marks of a picture mean, those alone that are in it.
pub(super) fn legend<'a>(cells: impl Iterator<Item = &'a Cell>) -> String {
    let means: HashSet<&str> = cells.filter_map(Cell::mark).map(|mark| mark.means).collect();
    let is_in = |mark: &Mark| means.contains(mark.means);
    let some = Mark { symbol: SHADES[1], style: SENT, means: "some of several" };
    let [always, sent, shortened, summarized, left_out] = Kind::ALL.map(mark);
    let all = [always, sent, some, shortened, summarized, left_out, REFUSED];
    let told = |mark: Mark| {
        let Mark { symbol, style, means } = mark;
        let symbols = if mark == some { SHADES.iter().rev().collect() } else { symbol.to_string() };
        format!("{style}{symbols}{style:#} {means}")
    };
    all.into_iter().filter(is_in).map(told).collect::<Vec<_>>().join("  ")
}

/// Marks side by side; each color is set once for those in a row that have it.
pub(super) fn line(marks: impl Iterator<Item = Option<Mark>>) -> String {
    let blank = Mark { symbol: ' ', style: Style::new(), means: "" };
    let mut line = String::new();
    let mut now = Style::new();
    for Mark { symbol, style, .. } in marks.map(|mark| mark.unwrap_or(blank)) {
        if style != now {
            // Writing to a string does not fail.
            let _ = write!(line, "{now:#}{style}");
            now = style;
        }
        line.push(symbol);
    }
    let _ = write!(line, "{now:#}");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(kinds: &[Kind]) -> Option<char> {
        let mut cell = Cell::default();
        for kind in kinds {
            cell.add(*kind);
        }
        cell.mark().map(|mark| mark.symbol)
    }

    #[test]
    fn messages_that_share_a_cell_and_differ_have_a_shade() {
        use Kind::{Always, LeftOut, Sent, Shortened, Summarized};
        for (kinds, expected) in [
            (&[][..], None),
            (&[Sent, Sent], Some('█')),
            (&[Always, Sent], Some('█')),
            (&[Always], Some('◆')),
            (&[Shortened], Some('▄')),
            (&[Sent, LeftOut], Some('▒')),
            (&[Sent, LeftOut, LeftOut, LeftOut], Some('░')),
            (&[Sent, Sent, Sent, Shortened], Some('▓')),
            (&[LeftOut, Summarized], Some('≡')),
            (&[LeftOut], Some('·')),
        ] {
            assert_eq!(symbol(kinds), expected);
        }
    }

    #[test]
    fn a_request_over_budget_is_not_hidden_by_others() {
        let mut cell = Cell::default();
        cell.add(Kind::Sent);
        cell.refuse();
        assert_eq!(cell.mark(), Some(REFUSED));
    }
}
