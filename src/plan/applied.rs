//! `Applied`: a draft applied to the path, for the next step of a ladder and for the plan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::draft::{Draft, Fate, Reason};
use super::shrink::Shrink;
use super::summary::SummaryUse;

/// The effect of a draft: groups that are left out, and groups that are shortened.
#[derive(Debug)]
pub(crate) struct Applied {
    /// In order, without overlaps.
    evicted: Vec<Evicted>,
    /// In order; none of them evicted or required.
    shrunk: Vec<Smaller>,
    summary: Option<SummaryUse>,
    /// Everything that was drafted, for a ladder that is a step of another one.
    draft: Draft,
}

#[derive(Debug)]
struct Evicted {
    groups: Range<usize>,
    fate: Fate,
    reason: Reason,
    /// The tokens of all ranges up to and including this one.
    sum: u64,
}

/// A group that is shortened.
#[derive(Debug)]
pub(crate) struct Smaller {
    pub(crate) group: usize,
    pub(crate) ways: Vec<Shrink>,
    pub(crate) reason: Reason,
    /// Its cost in shortened form.
    pub(crate) tokens: u64,
    /// The tokens saved by all groups up to and including this one.
    pub(super) sum: u64,
}

impl Applied {
    /// No effect.
    pub(crate) const NOTHING: &'static Self =
        &Self { evicted: Vec::new(), shrunk: Vec::new(), summary: None, draft: Draft::NOTHING };

    /// The evictions of a draft; `whole` returns the cost of groups.
    pub(super) fn evicting(draft: &Draft, summary: Option<SummaryUse>, whole: impl Fn(Range<usize>) -> u64) -> Self {
        let mut sum = 0_u64;
        let summarized = summary.iter().flat_map(|summary| {
            let common =
                |groups: &Range<usize>| groups.start.max(summary.groups.start)..groups.end.min(summary.groups.end);
            let replaced: Vec<Range<usize>> = if draft.keeps_originals {
                draft.evictions.iter().map(|(groups, _)| common(groups)).filter(|groups| !groups.is_empty()).collect()
            } else {
                vec![summary.groups.clone()]
            };
            replaced.into_iter().map(|groups| (groups, Reason::Summary))
        });
        let named: Vec<_> = summarized.chain(draft.evictions.iter().cloned()).collect();
        let evicted = disjoint(&named).into_iter().map(|(groups, reason)| {
            sum = sum.saturating_add(whole(groups.clone()));
            let fate = if reason == Reason::Summary { Fate::Summarized } else { Fate::Evicted };
            Evicted { groups, fate, reason, sum }
        });
        Self { evicted: evicted.collect(), shrunk: Vec::new(), summary, draft: draft.clone() }
    }

    /// The same, with shortened groups, in order.
    pub(super) fn with_shrunk(self, shrunk: Vec<Smaller>) -> Self {
        Self { shrunk, ..self }
    }

    /// How many tokens are taken away from the groups in a range; `whole` returns the cost of
    /// groups in full.
    pub(crate) fn tokens(&self, groups: Range<usize>, whole: impl Fn(Range<usize>) -> u64) -> u64 {
        if self.evicted.is_empty() && self.shrunk.is_empty() {
            return 0;
        }
        let first = self.evicted.partition_point(|one| one.groups.end <= groups.start);
        let end = self.evicted.partition_point(|one| one.groups.start < groups.end);
        let common = |one: &Evicted| one.groups.start.max(groups.start)..one.groups.end.min(groups.end);
        let evicted = match &self.evicted[first.min(end)..end] {
            [] => 0,
            [only] => whole(common(only)),
            [first, .., last] => {
                let before_last = self.evicted[end - 2].sum;
                whole(common(first)) + before_last.saturating_sub(first.sum) + whole(common(last))
            }
        };
        let saved = |group: usize| match self.shrunk.partition_point(|one| one.group < group) {
            0 => 0,
            known => self.shrunk[known - 1].sum,
        };
        evicted.saturating_add(saved(groups.end).saturating_sub(saved(groups.start)))
    }

    /// How a group is shortened.
    pub(crate) fn ways(&self, group: usize) -> &[Shrink] {
        self.shrunk.binary_search_by_key(&group, |one| one.group).map_or(&[], |index| &self.shrunk[index].ways)
    }

    pub(crate) fn is_evicted(&self, group: usize) -> bool {
        self.evicted_up_to(group).is_some()
    }

    /// The end of the range with which a group is left out; `None` if it is not left out.
    pub(crate) fn evicted_up_to(&self, group: usize) -> Option<usize> {
        let index = self.evicted.partition_point(|one| one.groups.end <= group);
        self.evicted.get(index).filter(|one| one.groups.contains(&group)).map(|one| one.groups.end)
    }

    pub(crate) fn evicted(&self) -> impl Iterator<Item = (&Range<usize>, Fate, &Reason)> {
        self.evicted.iter().map(|one| (&one.groups, one.fate, &one.reason))
    }

    pub(crate) fn draft(&self) -> &Draft {
        &self.draft
    }

    /// The summary that is sent, if any.
    pub(crate) fn summary(&self) -> Option<&SummaryUse> {
        self.summary.as_ref()
    }

    pub(crate) fn shrunk(&self) -> &[Smaller] {
        &self.shrunk
    }
}

/// The ranges in order and without overlaps; if two overlap, the one named first gets the common
/// part.
pub(crate) fn disjoint(named: &[(Range<usize>, Reason)]) -> Vec<(Range<usize>, Reason)> {
    let mut starts: Vec<usize> = (0..named.len()).collect();
    starts.sort_by_key(|&index| named[index].0.start);
    let mut starts = starts.into_iter().peekable();
    let mut bounds: Vec<usize> = named.iter().flat_map(|(range, _)| [range.start, range.end]).collect();
    bounds.sort_unstable();
    bounds.dedup();
    // The ranges that contain the bound, with the one named first on top.
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
