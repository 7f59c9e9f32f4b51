//! Refusals, with the numbers.

use super::Must;
use super::view::MustSend;
use crate::budget::ResolvedBudget;
use crate::conversation::Path;
use crate::error::{Error, ErrorKind, OverBudget, Result};
use crate::ledger::Sums;
use crate::words::{counted, thousands};

/// Refuses when what must be sent does not fit: head and tools (`before`, with priming), then the pins, then what must
/// be answered.
pub(super) fn refuse_what_cannot_fit(
    path: Path<'_>,
    before: u64,
    must: &MustSend,
    sums: &Sums,
    budget: &ResolvedBudget,
) -> Result<()> {
    let of = |why| must.of_reason(why).fold(0_u64, |sum, group| sum.saturating_add(sums.group(group).tokens));
    let (pins, pending) = (of(Must::Pin), of(Must::Pending));
    let Some(room) = budget.limit.checked_sub(before) else {
        return refuse(ErrorKind::OverBudget, None, "head, tools and priming need", before, budget.limit, budget);
    };
    let Some(room) = room.checked_sub(pins) else {
        return refuse(ErrorKind::PinsOverBudget, None, "the pinned messages need", pins, room, budget);
    };
    if pending <= room {
        return Ok(());
    }
    let largest = must.of_reason(Must::Pending).max_by_key(|&group| sums.group(group).tokens).unwrap_or_default();
    let alone = sums.group(largest).tokens;
    let what = match path.group(largest).positions().len() {
        1 => format!("{} must be sent and needs", describe_group(path, largest)),
        _ => format!("{} must be sent and need", describe_group(path, largest)),
    };
    let room = room.saturating_sub(pending - alone);
    let what = if pins > 0 { format!("beside {} tokens of pins, {what}", thousands(pins)) } else { what };
    refuse(ErrorKind::OverBudget, Some(largest), &what, alone, room, budget)
}

fn refuse(
    kind: ErrorKind,
    group: Option<usize>,
    what: &str,
    tokens: u64,
    room: u64,
    budget: &ResolvedBudget,
) -> Result<()> {
    let detail = format!("{what} {} tokens, and there is room for {}: {budget}", thousands(tokens), thousands(room));
    Err(Error::new(kind, detail).over(OverBudget::new(group, tokens, room)))
}

/// What is said to a strategy that keeps more than may be sent.
pub(super) fn kept_too_much(spec: &str, total: u64, budget: &ResolvedBudget) -> Error {
    let detail = format!(
        "the strategy `{spec}` keeps {} tokens, and at most {} may be sent",
        thousands(total),
        thousands(budget.limit),
    );
    Error::new(ErrorKind::OverBudget, detail).over(OverBudget::new(None, total, budget.limit))
}

/// A group in words: which messages of the input it is, and whose.
pub(super) fn describe_group(path: Path<'_>, group: usize) -> String {
    let positions = path.group(group).positions();
    let (first, head) = (path.group(group).first(), path.head().len());
    let role = first.map_or("empty", |message| message.role().as_str());
    match positions.len() {
        0 | 1 => format!("message {} ({role})", positions.start + head),
        len => {
            let (start, end) = (positions.start + head, positions.end + head - 1);
            format!("messages {start} to {end} ({role} with {})", counted(len - 1, "result"))
        }
    }
}
