//! What a draft leaves of the path, for the next step of a ladder and for the plan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::draft::{Draft, Reason};
use super::plan::Fate;
use super::shrink::Shrink;
use super::summary::SummaryUse;
use super::view::View;

/// What was taken away: groups that are left out, and groups that are sent smaller.
#[derive(Debug)]
pub(crate) struct Applied {
    /// In order, without overlaps.
    evicted: Vec<Evicted>,
    /// In order; none of them evicted or sent anyway.
    shrunk: Vec<Smaller>,
    summary: Option<SummaryUse>,
    /// All that was drafted, for a ladder that is a step of another.
    draft: Draft,
}

#[derive(Debug)]
struct Evicted {
    groups: Range<usize>,
    fate: Fate,
    reason: Reason,
    /// Tokens of all ranges up to and with this one.
    sum: u64,
}

/// A group that is sent smaller.
#[derive(Debug)]
pub(crate) struct Smaller {
    pub(crate) group: usize,
    pub(crate) ways: Vec<Shrink>,
    pub(crate) reason: Reason,
    /// What it costs then.
    pub(crate) tokens: u64,
    /// Tokens saved by all up to and with this one.
    sum: u64,
}

impl Applied {
    /// Nothing is taken away.
    pub(crate) const NOTHING: &'static Self =
        &Self { evicted: Vec::new(), shrunk: Vec::new(), summary: None, draft: Draft::NOTHING };

    /// What a draft takes away from the whole path.
    pub(crate) fn of(draft: &Draft, view: &View<'_>) -> Self {
        let mut sum = 0_u64;
        let summary = draft.summary.as_ref().and_then(|(id, role)| view.summary_use(*id, role));
        let summarized = summary.iter().map(|summary| (summary.groups.clone(), Reason::Summary));
        let named: Vec<_> = summarized.chain(draft.evictions.iter().cloned()).collect();
        let evicted = disjoint(&named).into_iter().map(|(groups, reason)| {
            sum = sum.saturating_add(view.whole(groups.clone()));
            let fate = if reason == Reason::Summary { Fate::Summarized } else { Fate::Evicted };
            Evicted { groups, fate, reason, sum }
        });
        let mut left = Self { evicted: evicted.collect(), shrunk: Vec::new(), summary, draft: draft.clone() };
        left.shrunk = left.smaller(draft, view);
        left
    }

    fn smaller(&self, draft: &Draft, view: &View<'_>) -> Vec<Smaller> {
        let mut named: Vec<&(usize, Shrink, Reason)> = draft.shrinks.iter().collect();
        named.sort_by_key(|(group, ..)| *group);
        let view = View { applied: self, ..*view };
        let mut sum = 0_u64;
        let groups = named.chunk_by(|a, b| a.0 == b.0).filter(|same| view.is_optional(same[0].0));
        let smaller = groups.filter_map(|same| {
            let (group, ways) = (same[0].0, same.iter().map(|(_, how, _)| how.clone()).collect::<Vec<_>>());
            let tokens = view.shrinker.shrink(view.path().group(group), &ways, view.cost).count.tokens;
            let saved = view.whole(group..group + 1).checked_sub(tokens).filter(|saved| *saved > 0)?;
            sum = sum.saturating_add(saved);
            Some(Smaller { group, ways, reason: same[0].2.clone(), tokens, sum })
        });
        smaller.collect()
    }

    /// Tokens taken away from the groups in a range; `whole` tells what groups cost that are left whole.
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

    /// How a group is made smaller.
    pub(crate) fn ways(&self, group: usize) -> &[Shrink] {
        self.shrunk.binary_search_by_key(&group, |one| one.group).map_or(&[], |index| &self.shrunk[index].ways)
    }

    pub(crate) fn is_evicted(&self, group: usize) -> bool {
        let index = self.evicted.partition_point(|one| one.groups.end <= group);
        self.evicted.get(index).is_some_and(|one| one.groups.contains(&group))
    }

    pub(crate) fn evicted(&self) -> impl Iterator<Item = (&Range<usize>, Fate, &Reason)> {
        self.evicted.iter().map(|one| (&one.groups, one.fate, &one.reason))
    }

    pub(crate) fn draft(&self) -> &Draft {
        &self.draft
    }

    /// The summary that is sent, if one is.
    pub(crate) fn summary(&self) -> Option<&SummaryUse> {
        self.summary.as_ref()
    }

    pub(crate) fn shrunk(&self) -> &[Smaller] {
        &self.shrunk
    }
}

/// The ranges in order and without overlaps; of two that overlap the one named first has the common part.
pub(crate) fn disjoint(named: &[(Range<usize>, Reason)]) -> Vec<(Range<usize>, Reason)> {
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
