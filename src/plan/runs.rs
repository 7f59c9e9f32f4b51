//! `Run`: adjacent messages with one fate and reason. Turns a draft into runs of the whole
//! path.

use std::ops::Range;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::applied::{Applied, disjoint};
use super::draft::{Draft, Fate, Reason};
use super::shrink::Shrink;
use super::step::Step;
use super::summary::SummaryUse;
use super::view::{Required, RequiredGroups, View};
use super::{Strategy, StrategyCache};
use crate::budget::ResolvedBudget;
use crate::conversation::{Conversation, GroupState, Path};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Sums;
use crate::message::Role;
use crate::tokens::ChatCost;
use crate::vectors::Vectors;

/// Adjacent messages of the input with the same fate and reason: the head, or whole groups of the
/// path.
///
/// In JSON `{from, to, apart, messages, tokens, saved, reason}`: `from` and `to` are the bounds of
/// `indexes`, `to` is exclusive; `apart` and `saved` are left out where they are empty or 0.
///
/// # Examples
/// ```
/// use turnwise::{Message, SlidingWindow, TokenBudget, trim};
///
/// let messages: Vec<Message> = (1..=20).map(|n| Message::user(format!("This is message {n}."))).collect();
/// let plan = trim(&messages, &TokenBudget::limit(100), &SlidingWindow::tokens())?;
/// for run in plan.runs() {
///     println!("messages {:?}: {:?} ({:?}), {} tokens", run.indexes, run.fate, run.reason, run.tokens);
/// }
/// assert_eq!(plan.runs()[0].messages(), plan.evicted());
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run {
    /// The groups, by index on the path; none in the run of the head.
    pub groups: Range<usize>,
    /// The messages, by index: the head's messages first, then the path.
    pub indexes: Range<usize>,
    /// The indexes of its messages that are not in `indexes`, because messages of other runs come
    /// before them: results that were recorded only after another message had followed their call.
    pub apart: Vec<usize>,
    /// Their cost; if they are shortened, the cost of what is sent.
    pub tokens: u64,
    /// How many tokens were saved by shortening them.
    pub saved: u64,
    /// Whether they are sent.
    pub fate: Fate,
    /// The reason for that.
    pub reason: Reason,
}

impl Run {
    /// The number of its messages.
    pub fn messages(&self) -> usize {
        self.indexes.len() + self.apart.len()
    }

    /// The indexes of all its messages: `indexes`, then `apart`.
    pub fn all_indexes(&self) -> impl Iterator<Item = usize> + '_ {
        self.indexes.clone().chain(self.apart.iter().copied())
    }

    /// Whether it holds the message with this index.
    pub fn contains(&self, index: usize) -> bool {
        self.indexes.contains(&index) || self.apart.contains(&index)
    }

    /// Adds the head, which is always sent, before the other runs.
    pub(super) fn add_head(runs: &mut Vec<Self>, messages: usize, tokens: u64) {
        if messages == 0 {
            return;
        }
        let head = Self {
            groups: 0..0,
            indexes: 0..messages,
            apart: Vec::new(),
            tokens,
            saved: 0,
            fate: Fate::Kept,
            reason: Reason::Head,
        };
        runs.insert(0, head);
    }
}

impl Serialize for Run {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut run = serializer.serialize_struct("Run", 7)?;
        run.serialize_field("from", &self.indexes.start)?;
        run.serialize_field("to", &self.indexes.end)?;
        if !self.apart.is_empty() {
            run.serialize_field("apart", &self.apart)?;
        }
        run.serialize_field("messages", &self.messages())?;
        run.serialize_field("tokens", &self.tokens)?;
        if self.saved > 0 {
            run.serialize_field("saved", &self.saved)?;
        }
        run.serialize_field("reason", &self.reason)?;
        run.end()
    }
}

/// The input of a plan that does not depend on the budget.
#[derive(Clone, Copy)]
pub(super) struct PlanInput<'a> {
    pub(super) record: &'a Conversation,
    pub(super) sums: &'a Sums,
    pub(super) required: &'a RequiredGroups,
    pub(super) cost: &'a ChatCost,
    pub(super) vectors: &'a Vectors,
    /// Tokens of head, tools and priming.
    pub(super) overhead: u64,
    /// Required groups that are too long to be sent in full.
    pub(super) cuts: &'a [Shortened],
    /// Whether the request must begin with a user message.
    pub(super) starts_on_user: bool,
}

/// A required group that is shortened to fit.
#[derive(Clone, Debug)]
pub(super) struct Shortened {
    pub(super) group: usize,
    pub(super) how: Shrink,
    pub(super) tokens: u64,
}

/// The decisions about the whole path.
pub(super) struct Decided {
    pub(super) draft: Draft,
    pub(super) runs: Vec<Run>,
    /// The groups that are shortened, in order, and how.
    pub(super) smaller: Vec<(usize, Vec<Shrink>)>,
    /// The summary that is sent.
    pub(super) summary: Option<SummaryUse>,
    /// What the strategy's steps did.
    pub(super) steps: Vec<Step>,
}

impl PlanInput<'_> {
    /// Asks the strategy, and puts all groups in runs.
    pub(super) fn decide(
        &self,
        budget: &ResolvedBudget,
        strategy: &dyn Strategy,
        cache: &mut StrategyCache,
    ) -> Result<Decided> {
        let path = self.record.path();
        let spec = strategy.spec();
        // The strategy gets the cache without the planner's part.
        let shrinker = std::mem::take(&mut cache.shrinker);
        let view = View {
            conversation: self.record,
            budget,
            sums: self.sums,
            required: self.required,
            cost: self.cost,
            vectors: self.vectors,
            shrinker: &shrinker,
            fixed: self.fixed(),
            spec: &spec,
            prefix: "",
            applied: Applied::NOTHING,
            is_holding: false,
            starts_on_user: self.starts_on_user,
        };
        let drafted = strategy.draft(&view, cache).and_then(|mut draft| {
            check_groups(&draft, &spec, path.group_count())?;
            draft.summary = draft.summary.map(|(id, role)| (id, self.role_of_summary(role)));
            let left = view.apply(&draft);
            let after = view.behind(&left).request();
            let steps = if draft.steps.is_empty() {
                vec![Step::taken(&spec, view.request(), after, draft.price())]
            } else {
                draft.steps.clone()
            };
            Ok(if self.starts_on_user { self.start_on_user(&view, draft, steps, after) } else { (draft, left, steps) })
        });
        cache.shrinker = shrinker;
        let (draft, left, steps) = drafted?;
        let cut = self.cuts.iter().map(|cut| (cut.group, vec![cut.how.clone()]));
        let mut smaller: Vec<_> = left.shrunk().iter().map(|one| (one.group, one.ways.clone())).chain(cut).collect();
        smaller.sort_unstable_by_key(|(group, _)| *group);
        Ok(Decided { runs: self.runs(&left, &draft), draft, smaller, summary: left.summary().cloned(), steps })
    }

    /// Leaves out what comes before the first user message that a draft sends. This is a step of
    /// its own if it saves any of the `before` tokens.
    fn start_on_user(
        &self,
        view: &View<'_>,
        draft: Draft,
        steps: Vec<Step>,
        before: u64,
    ) -> (Draft, Applied, Vec<Step>) {
        let first = self.first_user_sent(&view.apply(&draft));
        // A summary with the role `user` counts as a user message.
        let summary = draft.summary.as_ref().filter(|(_, role)| *role == Role::User);
        let summary = summary.and_then(|(id, role)| view.summary_use(*id, role)).map(|summary| summary.groups.end);
        let start = first.into_iter().chain(summary).min().unwrap_or(0);
        let draft = draft.evict(0..start, Reason::Start);
        let left = view.apply(&draft);
        let after = view.behind(&left).request();
        let own = (after < before).then(|| Step::taken("start-on-user", before, after, 0));
        (draft, left, steps.into_iter().chain(own).collect())
    }

    /// The first group that is a user message and is sent.
    fn first_user_sent(&self, left: &Applied) -> Option<usize> {
        let path = self.record.path();
        let is_user = |group: usize| path.group(group).first().is_some_and(|first| *first.role() == Role::User);
        let required = self.required.iter().map(|required| required.group).find(|&group| is_user(group));
        let mut group = path.next_turn(0);
        while group < required.unwrap_or(path.group_count()) {
            if let Some(end) = left.evicted_up_to(group) {
                group = path.next_turn(end);
            } else if path.group(group).state() == GroupState::Ready {
                return Some(group);
            } else {
                group = path.next_turn(group + 1);
            }
        }
        required
    }

    /// The role in which a summary is sent: if it may be the first message, only the user's or an
    /// instruction's.
    fn role_of_summary(&self, role: Role) -> Role {
        if self.starts_on_user && !role.is_instruction() { Role::User } else { role }
    }

    /// The tokens of head, tools, priming and required groups.
    pub(super) fn fixed(&self) -> u64 {
        let whole = self.overhead.saturating_add(self.required.tokens(0..self.record.path().group_count()));
        let saved = |cut: &Shortened| self.sums.group(cut.group).tokens.saturating_sub(cut.tokens);
        whole.saturating_sub(self.cuts.iter().map(saved).sum())
    }

    /// The whole path in runs of groups with the same fate and reason.
    fn runs(&self, applied: &Applied, draft: &Draft) -> Vec<Run> {
        let groups = self.record.path().group_count();
        let fixed_groups = self.fixed_groups(applied);
        let mut fixed_groups = fixed_groups.into_iter().peekable();
        let mut evicted = applied.evicted().peekable();
        let reasons = disjoint(&draft.reasons);
        let most = 2 * (fixed_groups.len() + draft.evictions.len() + reasons.len()) + 2;
        let mut runs =
            Runs { path: self.record.path(), sums: self.sums, reasons: &reasons, made: Vec::with_capacity(most) };
        let mut group = 0;
        while group < groups {
            if let Some(one) = fixed_groups.next_if(|one| one.group == group) {
                runs.add(group..group + 1, one.fate, &one.reason, one.tokens);
                group += 1;
                continue;
            }
            while evicted.next_if(|(range, ..)| range.end <= group).is_some() {}
            let stop = fixed_groups.peek().map_or(groups, |one| one.group);
            group = match evicted.peek() {
                Some((range, fate, reason)) if range.start <= group => {
                    runs.add(group..range.end.min(stop), *fate, reason, None);
                    range.end.min(stop)
                }
                next => {
                    let end = next.map_or(stop, |(range, ..)| range.start.min(stop));
                    runs.add_kept(group..end);
                    end
                }
            };
        }
        runs.placed()
    }

    /// The groups that are not part of ranges, in order: required ones, those that cannot be sent,
    /// and shortened ones.
    fn fixed_groups(&self, applied: &Applied) -> Vec<FixedGroup> {
        let path = self.record.path();
        let required = self.required.iter().map(|required| {
            let cut = self.cuts.iter().find(|cut| cut.group == required.group);
            let reason = match required.why {
                Required::Pin => Reason::Pin,
                Required::Pending => Reason::Pending,
                Required::Leads => Reason::Leads,
            };
            let fate = if cut.is_some() { Fate::Shrunk } else { Fate::Kept };
            FixedGroup { group: required.group, fate, reason, tokens: cut.map(|cut| cut.tokens) }
        });
        let faults = path.faults(0).map(|group| {
            let reason = if group.state() == GroupState::Open { Reason::Unanswered } else { Reason::Orphan };
            FixedGroup { group: group.index(), fate: Fate::Evicted, reason, tokens: None }
        });
        let shrunk = applied.shrunk().iter().map(|one| FixedGroup {
            group: one.group,
            fate: Fate::Shrunk,
            reason: one.reason.clone(),
            tokens: Some(one.tokens),
        });
        let mut fixed_groups = Vec::with_capacity(self.required.len() + path.faults_len() + applied.shrunk().len());
        fixed_groups.extend(required.chain(faults).chain(shrunk));
        fixed_groups.sort_by_key(|one| one.group);
        fixed_groups
    }
}

/// A group that evictions do not affect.
struct FixedGroup {
    group: usize,
    fate: Fate,
    reason: Reason,
    /// Its cost, if it differs from the cost of the whole group.
    tokens: Option<u64>,
}

struct Runs<'a> {
    path: Path<'a>,
    sums: &'a Sums,
    /// The reasons for keeping groups, in order; those before the last group are skipped.
    reasons: &'a [(Range<usize>, Reason)],
    made: Vec<Run>,
}

impl Runs<'_> {
    /// Adds groups that are kept, with the given reasons.
    fn add_kept(&mut self, groups: Range<usize>) {
        let mut from = groups.start;
        while from < groups.end {
            match self.reasons {
                [(range, _), rest @ ..] if range.end <= from => self.reasons = rest,
                [(range, reason), ..] if range.start <= from => {
                    let end = range.end.min(groups.end);
                    self.add(from..end, Fate::Kept, reason, None);
                    from = end;
                }
                others => {
                    let end = others.first().map_or(groups.end, |(range, _)| range.start.min(groups.end));
                    self.add(from..end, Fate::Kept, &Reason::Fits, None);
                    from = end;
                }
            }
        }
    }

    /// Adds groups to the last run, or to a new one if fate or reason differ, or if results of an
    /// earlier run's calls are in between: the positions of a run have no gaps.
    fn add(&mut self, groups: Range<usize>, fate: Fate, reason: &Reason, tokens: Option<u64>) {
        let alike = self.made.last().filter(|last| last.fate == fate && last.reason == *reason);
        let start = alike.map_or(groups.start, |last| last.groups.start);
        let gaps = self.gaps(&groups, start);
        let mut joins_last = alike.is_some() && gaps.first() != Some(&groups.start);
        let mut from = groups.start;
        let inside = gaps.into_iter().filter(|&gap| gap > groups.start && gap < groups.end);
        for end in inside.chain([groups.end]) {
            let run = self.run(from..end, fate, reason.clone(), tokens);
            match self.made.last_mut().filter(|_| joins_last) {
                Some(last) => {
                    last.groups.end = run.groups.end;
                    last.tokens = last.tokens.saturating_add(run.tokens);
                    last.saved = last.saved.saturating_add(run.saved);
                }
                None => self.made.push(run),
            }
            joins_last = false;
            from = end;
        }
    }

    /// The groups of a range directly after results of groups before `start`.
    fn gaps(&self, groups: &Range<usize>, start: usize) -> Vec<usize> {
        if !self.path.has_late_results() {
            return Vec::new();
        }
        let before = self.path.in_place(groups.start.saturating_sub(1)).end;
        let late = self.path.late_of_earlier(start, before..self.path.positions(groups.clone()).end);
        let mut gaps: Vec<usize> = late.map(|position| self.path.first_group_after(position)).collect();
        gaps.dedup();
        gaps
    }

    fn run(&self, groups: Range<usize>, fate: Fate, reason: Reason, tokens: Option<u64>) -> Run {
        // The sums skip groups that cannot be sent; such a group has a cost of its own.
        let whole = match groups.len() {
            1 => self.sums.group(groups.start).tokens,
            _ => self.sums.tokens(groups.clone()),
        };
        let tokens = tokens.unwrap_or(whole);
        let saved = whole.saturating_sub(tokens);
        Run { groups, indexes: 0..0, apart: Vec::new(), tokens, saved, fate, reason }
    }

    /// The runs with the indexes of their messages.
    fn placed(self) -> Vec<Run> {
        let Self { path, mut made, .. } = self;
        let head = path.head().len();
        for run in &mut made {
            let mut positions = path.positions(run.groups.clone());
            if path.has_late_results() {
                let last = path.in_place(run.groups.end.saturating_sub(1)).end;
                if path.late_of_earlier(run.groups.start, last..positions.end).next().is_some() {
                    positions.end = last;
                }
                run.apart = path.late_of(run.groups.clone(), positions.end).map(|position| head + position).collect();
            }
            run.indexes = head + positions.start..head + positions.end;
        }
        made
    }
}

/// The tokens of the runs that are sent.
pub(super) fn history(runs: &[Run]) -> u64 {
    runs.iter().filter(|run| run.fate.is_sent()).fold(0, |sum, run| sum.saturating_add(run.tokens))
}

/// Checks that a draft names only existing groups.
fn check_groups(draft: &Draft, spec: &str, groups: usize) -> Result<()> {
    let evicted = draft.evictions.iter().chain(&draft.reasons).map(|(range, _)| range.end);
    let shrunk = draft.shrinks.iter().map(|(group, ..)| group.saturating_add(1));
    let marked = draft.marks.iter().map(|(_, group)| group.saturating_add(1));
    match evicted.chain(shrunk).chain(marked).max() {
        Some(end) if end > groups => {
            let last = end - 1;
            let detail =
                format!("the draft of `{spec}` names group {last}, but the path has {groups} groups, numbered from 0");
            Err(Error::new(ErrorKind::InvalidStrategy, detail))
        }
        _ => Ok(()),
    }
}
