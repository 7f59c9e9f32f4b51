//! The columns of the table: what each says of a strategy, and which strategy is the best in it.

use turnwise::replay::Share;

use super::Comparison;
use super::row::{Row, percent};
use crate::output::ESTIMATED_FOOTNOTE;
use crate::text::{counted, thousands, tokens};

/// A column: its name, and what it says of a strategy.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) text: fn(&Row) -> String,
    /// Of two strategies, the better has the larger number; `None` where there is no better.
    rank: fn(&Row) -> Option<f64>,
    is_wide: bool,
}

#[allow(clippy::cast_precision_loss, reason = "only compared")]
const COLUMNS: [Column; 13] = [
    Column { name: "requests", text: |row| thousands(row.totals.requests as u64), rank: |_| None, is_wide: true },
    Column { name: "over budget", text: |row| thousands(row.totals.refused as u64), rank: |_| None, is_wide: true },
    Column { name: "tokens", text: all_tokens, rank: |row| Some(-(row.totals.tokens as f64)), is_wide: false },
    Column { name: "saved", text: |row| share_text(row.saved()), rank: Row::saved, is_wide: false },
    Column {
        name: "cost",
        text: |row| row.cost().map_or_else(|| "-".to_owned(), |cost| format!("{cost:.4}")),
        rank: |row| Some(-(row.cost()?.picodollars() as f64)),
        is_wide: false,
    },
    Column {
        name: "largest",
        text: |row| tokens(row.totals.largest, row.totals.estimated),
        rank: |_| None,
        is_wide: true,
    },
    Column {
        name: "messages",
        text: |row| share(row.totals.messages),
        rank: |row| Some(row.totals.messages.kept as f64),
        is_wide: true,
    },
    Column {
        name: "turns",
        text: |row| share(row.totals.turns),
        rank: |row| Some(row.totals.turns.kept as f64),
        is_wide: false,
    },
    Column {
        name: "results",
        text: |row| share(row.totals.results),
        rank: |row| Some(row.totals.results.kept as f64),
        is_wide: false,
    },
    Column {
        name: "evidence",
        text: |row| row.evidence().map_or_else(|| "-".to_owned(), |kept| out_of(kept.kept, kept.of)),
        rank: |row| Some(row.evidence()?.kept as f64),
        is_wide: false,
    },
    Column {
        name: "repeated",
        text: |row| share_text(row.totals.prefix_share()),
        rank: |row| row.totals.prefix_share(),
        is_wide: false,
    },
    Column {
        name: "summaries",
        text: |row| thousands(row.totals.summaries.calls as u64),
        rank: |_| None,
        is_wide: false,
    },
    Column {
        name: "gap",
        text: |row| thousands(row.longest_gap as u64),
        rank: |row| Some(-(row.longest_gap as f64)),
        is_wide: true,
    },
];

/// The columns to show: those of 80 characters, or all.
pub(crate) fn columns(comparison: &Comparison, wide: bool) -> Vec<&'static Column> {
    let is_shown = |column: &&Column| match column.name {
        "cost" => comparison.has_cost(),
        "evidence" => comparison.has_evidence(),
        "summaries" => comparison.has_summaries(),
        // It makes room for the evidence.
        "results" => wide || !comparison.has_evidence(),
        _ => wide || !column.is_wide,
    };
    COLUMNS.iter().filter(is_shown).collect()
}

impl Column {
    /// Whether a strategy is the best of these in this column.
    pub(crate) fn is_best(&self, rows: &[Row], row: &Row) -> bool {
        row.totals.refused == 0 && best(rows, self.rank).is_some_and(|best| (self.rank)(row) == Some(best))
    }
}

impl Comparison {
    pub(crate) fn conversations(&self) -> usize {
        self.strategies.first().map_or(0, |row| row.totals.conversations)
    }

    /// What was compared.
    pub(crate) fn about(&self) -> String {
        let requests = self.strategies.first().map_or(0, |row| row.totals.requests);
        let limit = match self.budget {
            Some(budget) => format!("{budget}{}", self.budget_note),
            None => "each limited by its model's window".to_owned(),
        };
        format!("{}, {}, {limit}", counted(self.conversations(), "conversation"), counted(requests, "request"))
    }

    /// What a reader needs to know about the columns.
    pub(crate) fn notes(&self, wide: bool) -> Vec<&'static str> {
        let mut notes = vec!["saved: prompt tokens, beside sending everything; * the best of a column"];
        if self.has_cost() {
            notes.push("cost: of all prompts, what repeats the previous request at the price of cached tokens");
        }
        notes.push("turns, results: how many of the recorded ones each conversation's last request holds");
        if self.has_evidence() {
            notes.push("evidence: how much of what answers the questions is sent with them");
        }
        notes.push("repeated: the share of a request that repeats the start of the previous one, which a prompt cache can reuse");
        if self.has_summaries() {
            notes.push("summaries: as if a model had made each, as long as it may be, by a call that cost includes");
        }
        if wide {
            notes.push("gap: the most messages in a row that a last request leaves out");
        }
        if self.strategies.iter().any(|row| row.totals.refused > 0) {
            notes.push("( ) excludes the requests over budget, which cannot be sent");
        }
        if self.strategies.iter().any(|row| row.totals.estimated) {
            notes.push(ESTIMATED_FOOTNOTE);
        }
        notes
    }

    fn has_cost(&self) -> bool {
        self.strategies.iter().any(|row| row.cost().is_some())
    }

    fn has_summaries(&self) -> bool {
        self.strategies.iter().any(|row| row.totals.summaries.calls > 0)
    }

    fn has_evidence(&self) -> bool {
        self.strategies.iter().any(|row| row.evidence().is_some())
    }
}

/// The best number of a column, unless all are equal. A strategy whose requests are refused does not
/// count.
fn best(rows: &[Row], rank: fn(&Row) -> Option<f64>) -> Option<f64> {
    let sent = rows.iter().filter(|row| row.totals.refused == 0);
    let ranks: Vec<f64> = sent.filter_map(rank).collect();
    let best = ranks.iter().copied().reduce(f64::max)?;
    ranks.iter().any(|rank| *rank < best).then_some(best)
}

fn all_tokens(row: &Row) -> String {
    let all = tokens(row.totals.tokens, row.totals.estimated);
    if row.totals.refused == 0 { all } else { format!("({all})") }
}

fn share(share: Share) -> String {
    out_of(share.kept, share.of)
}

fn out_of(kept: usize, of: usize) -> String {
    format!("{} of {}", thousands(kept as u64), thousands(of as u64))
}

fn share_text(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{} %", percent(share)))
}
