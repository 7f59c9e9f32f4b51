//! A draft made whole: every group of the path in a run, with a fate and a reason.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::draft::{Draft, Reason};
use super::plan::{Fate, Run};
use super::view::{Must, MustSend, View};
use super::{Memo, Strategy};
use crate::budget::ResolvedBudget;
use crate::conversation::{Conversation, GroupState, Path};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Sums;

/// What a draft stands on, whatever the budget.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) record: &'a Conversation,
    pub(super) sums: &'a Sums,
    pub(super) must: &'a MustSend,
    /// Tokens of head, tools and priming.
    pub(super) before: u64,
}

impl Ground<'_> {
    /// Asks the strategy, and puts all groups in runs.
    pub(super) fn decide(
        &self,
        budget: &ResolvedBudget,
        strategy: &dyn Strategy,
        memo: &mut Memo,
    ) -> Result<(Draft, Vec<Run>)> {
        let path = self.record.path();
        let (must, spec) = (self.must, strategy.spec());
        let fixed = self.before.saturating_add(must.tokens(0..path.groups()));
        let view = View { conversation: self.record, budget, sums: self.sums, must, fixed, spec: &spec };
        let draft = strategy.draft(&view, memo)?;
        check_groups(&draft, &spec, path.groups())?;
        let runs = runs(&draft, path, must, self.sums);
        Ok((draft, runs))
    }
}

/// Tokens of the runs that are sent.
pub(super) fn history(runs: &[Run]) -> u64 {
    runs.iter().filter(|run| run.fate == Fate::Kept).fold(0, |sum, run| sum.saturating_add(run.tokens))
}

/// Refuses a draft that names groups that do not exist.
fn check_groups(draft: &Draft, spec: &str, groups: usize) -> Result<()> {
    let evicted = draft.evictions.iter().chain(&draft.reasons).map(|(range, _)| range.end);
    let marked = draft.marks.iter().map(|(_, group)| group.saturating_add(1));
    match evicted.chain(marked).max() {
        Some(end) if end > groups => {
            let last = end - 1;
            let detail = format!("the draft of `{spec}` names group {last}, and the path has {groups}, from 0");
            Err(Error::new(ErrorKind::InvalidStrategy, detail))
        }
        _ => Ok(()),
    }
}

/// The whole path in runs of groups that share a fate and a reason.
fn runs(draft: &Draft, path: Path<'_>, must: &MustSend, sums: &Sums) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut add = |groups: Range<usize>, fate: Fate, reason: Reason| {
        // Sums leave out what cannot be sent; alone, it has its cost too.
        let tokens = match groups.len() {
            1 => sums.group(groups.start).tokens,
            _ => sums.tokens(groups.clone()),
        };
        let positions = path.positions(groups.clone());
        match runs.last_mut() {
            Some(last) if last.fate == fate && last.reason == reason => {
                last.groups.end = groups.end;
                last.positions.end = positions.end;
                last.tokens = last.tokens.saturating_add(tokens);
            }
            _ => runs.push(Run { groups, positions, tokens, fate, reason }),
        }
    };
    let groups = path.groups();
    let fixed = fixed(path, must);
    let (evictions, reasons) = (disjoint(&draft.evictions), disjoint(&draft.reasons));
    let (mut fixed, mut evictions) = (fixed.into_iter().peekable(), evictions.into_iter().peekable());
    let mut reasons = reasons.into_iter().peekable();
    let mut group = 0;
    while group < groups {
        if let Some((_, fate, reason)) = fixed.next_if(|(at, ..)| *at == group) {
            add(group..group + 1, fate, reason);
            group += 1;
            continue;
        }
        while evictions.next_if(|(range, _)| range.end <= group).is_some() {}
        let stop = fixed.peek().map_or(groups, |(at, ..)| *at);
        group = match evictions.peek() {
            Some((range, reason)) if range.start <= group => {
                add(group..range.end.min(stop), Fate::Evicted, reason.clone());
                range.end.min(stop)
            }
            next => {
                let end = next.map_or(stop, |(range, _)| range.start.min(stop));
                while reasons.next_if(|(range, _)| range.end <= group).is_some() {}
                match reasons.peek() {
                    Some((range, reason)) if range.start <= group => {
                        add(group..range.end.min(end), Fate::Kept, reason.clone());
                        range.end.min(end)
                    }
                    next => {
                        let end = next.map_or(end, |(range, _)| range.start.min(end));
                        add(group..end, Fate::Kept, Reason::Fits);
                        end
                    }
                }
            }
        };
    }
    runs
}

/// The groups that no draft decides about, in order: those that must be sent and those that cannot be.
fn fixed(path: Path<'_>, must: &MustSend) -> Vec<(usize, Fate, Reason)> {
    let must = must.iter().map(|must| match must.why {
        Must::Pin => (must.group, Fate::Kept, Reason::Pin),
        Must::Pending => (must.group, Fate::Kept, Reason::Pending),
    });
    let faults = path.faults(0).map(|group| match group.state() {
        GroupState::Open => (group.index(), Fate::Evicted, Reason::Unanswered),
        GroupState::Orphan | GroupState::Ready => (group.index(), Fate::Evicted, Reason::Orphan),
    });
    let mut fixed: Vec<_> = must.chain(faults).collect();
    fixed.sort_unstable_by_key(|(group, ..)| *group);
    fixed
}

/// The ranges in order and without overlaps; of two that overlap the one named first has the common part.
fn disjoint(named: &[(Range<usize>, Reason)]) -> Vec<(Range<usize>, Reason)> {
    let mut starts: Vec<usize> = (0..named.len()).collect();
    starts.sort_by_key(|&index| named[index].0.start);
    let mut starts = starts.into_iter().peekable();
    let mut bounds: Vec<usize> = named.iter().flat_map(|(range, _)| [range.start, range.end]).collect();
    bounds.sort_unstable();
    bounds.dedup();
    // The ranges that hold the bound, the one named first on top.
    let mut open = BinaryHeap::new();
    let mut out: Vec<(Range<usize>, Reason)> = Vec::with_capacity(named.len());
    for pair in bounds.windows(2) {
        while let Some(index) = starts.next_if(|&index| named[index].0.start == pair[0]) {
            open.push(Reverse(index));
        }
        while open.peek().is_some_and(|Reverse(index)| named[*index].0.end <= pair[0]) {
            open.pop();
        }
        if let Some(Reverse(index)) = open.peek() {
            out.push((pair[0]..pair[1], named[*index].1.clone()));
        }
    }
    out
}
