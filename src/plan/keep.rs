//! `Plan::to_keep`: the smallest change that would send a given message.

use std::fmt;

use super::draft::{Fate, Reason};
use super::plan::Plan;
use super::refuse::describe_group;
use super::runs::{Decided, PlanInput, history};
use super::view::RequiredGroups;
use super::{Strategy, StrategyCache};
use crate::bisect::first_where;
use crate::conversation::{GroupState, ItemId};
use crate::error::{Error, ErrorKind, Result};
use crate::text::thousands;

/// What would have to change for a message to be sent. `Display` says it in a sentence or two.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToKeep {
    what: String,
    /// How many messages its group has.
    pub messages: usize,
    /// What its group costs.
    pub tokens: u64,
    /// Whether it is sent as it is.
    pub fate: Fate,
    /// Why.
    pub reason: Reason,
    /// The tokens that the limit lacks for it to be pinned; 0 when it can be. `None` when a pin is of no use.
    pub pin_lacks: Option<u64>,
    /// The smallest limit for the prompt at which the strategy keeps it, if there is one.
    pub limit: Option<u64>,
    state: GroupState,
    /// What is kept free beside the prompt.
    kept_free: u64,
}

impl Plan {
    /// What would have to change for an item to be sent. `strategy` is the one that drafted the plan: it is asked again
    /// under larger limits, whose high and low marks are the same parts of them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the item is not on the planned path, [`ErrorKind::InvalidStrategy`] when `strategy` is
    /// another one.
    pub fn to_keep(&self, item: ItemId, strategy: &dyn Strategy) -> Result<ToKeep> {
        let path = self.record().path();
        if strategy.spec() != self.spec {
            let detail = format!("the plan was drafted by `{}`, and `{}` is asked", self.spec, strategy.spec());
            return Err(Error::new(ErrorKind::InvalidStrategy, detail));
        }
        let position = path.position(item).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("item {item} is not on the path of {} items", path.len()))
        })?;
        let group = path.group_at(position);
        let run = self.run_of(group);
        let (fate, reason) = run.map_or((Fate::Evicted, Reason::Budget), |run| (run.fate, run.reason.clone()));
        let tokens = self.sums.group(group).tokens;
        let can_be_kept = fate != Fate::Kept && path.group(group).state() == GroupState::Ready;
        let must = RequiredGroups::of(self.record(), &self.sums, self.starts_on_user);
        let before = self.tokens.total() - self.tokens.history;
        let input = PlanInput {
            record: self.record(),
            sums: &self.sums,
            must: &must,
            cost: &self.cost,
            before,
            cuts: &self.cuts,
            starts_on_user: self.starts_on_user,
        };
        Ok(ToKeep {
            what: describe_group(path, group),
            messages: path.group(group).positions().len(),
            tokens,
            fate,
            reason,
            pin_lacks: if can_be_kept { self.pin_lacks(item, group, input)? } else { None },
            state: path.group(group).state(),
            kept_free: self.budget.kept_free(),
            limit: if can_be_kept { self.limit_to_keep(group, input, strategy) } else { None },
        })
    }

    /// The tokens that the limit lacks for an item to be pinned. `None` when a request with the pin could not start with a
    /// user message, and must.
    fn pin_lacks(&self, item: ItemId, group: usize, input: PlanInput<'_>) -> Result<Option<u64>> {
        if self.starts_on_user && self.record().path().turn_of(group).is_none() {
            return Ok(None);
        }
        let mut pinned = self.record().clone();
        pinned.pin(item)?;
        let must = RequiredGroups::of(&pinned, &self.sums, self.starts_on_user);
        Ok(Some(PlanInput { must: &must, ..input }.fixed().saturating_sub(self.budget.limit)))
    }

    /// The smallest limit at which a group is kept, between this one and the one under which the whole path fits.
    fn limit_to_keep(&self, group: usize, input: PlanInput<'_>, strategy: &dyn Strategy) -> Option<u64> {
        let whole = input.before + self.sums.tokens(0..self.record().path().groups());
        let least = self.budget.limit.saturating_add(1);
        let enough = self.budget.limit_for(whole).max(least);
        let mut cache = StrategyCache::default();
        let mut keeps_at = |limit| self.keeps_at(limit, group, input, strategy, &mut cache);
        keeps_at(enough).then(|| first_where(least..enough, keeps_at))
    }

    fn keeps_at(
        &self,
        limit: u64,
        group: usize,
        input: PlanInput<'_>,
        strategy: &dyn Strategy,
        cache: &mut StrategyCache,
    ) -> bool {
        let decided = input.decide(&self.budget.at(limit), strategy, cache);
        decided.is_ok_and(|Decided { runs, .. }| {
            let is_kept = runs.iter().any(|run| run.fate == Fate::Kept && run.groups.contains(&group));
            is_kept && input.before + history(&runs) <= limit
        })
    }
}

impl fmt::Display for ToKeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match (self.messages, self.fate) {
            (1, Fate::Kept) => "is sent",
            (1, Fate::Shrunk) => "is sent shorter",
            (_, Fate::Shrunk) => "are sent shorter",
            (1, Fate::Summarized) => "is summarized",
            (_, Fate::Summarized) => "are summarized",
            (1, Fate::Evicted) => "is not sent",
            (_, Fate::Kept) => "are sent",
            (_, Fate::Evicted) => "are not sent",
        };
        write!(f, "{}, {} tokens, {verb}: {}.", self.what, thousands(self.tokens), self.reason)?;
        match (self.fate, self.state) {
            (Fate::Kept, _) => return Ok(()),
            (_, GroupState::Orphan) => return f.write_str(" No request can hold it."),
            (_, GroupState::Open) => return f.write_str(" Each of its calls needs a result directly behind it."),
            (_, GroupState::Ready) => {}
        }
        match self.pin_lacks {
            Some(0) => f.write_str(" Pin it, and others make room.")?,
            Some(lacks) => write!(f, " A pin would need {} tokens more than the limit.", thousands(lacks))?,
            None => {}
        }
        match (self.limit, &self.reason) {
            (Some(limit), _) => write!(f, " Or allow {} tokens.", thousands(limit.saturating_add(self.kept_free))),
            (None, Reason::Count) => f.write_str(" Or ask for more messages or turns."),
            (None, Reason::Start) => f.write_str(" Or let the request begin with another message than a user's."),
            _ => Ok(()),
        }
    }
}
