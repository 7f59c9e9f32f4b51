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

/// What would have to change for a message to be sent. `Display` describes it in a sentence or two.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, Conversation, Ledger, Planner, SlidingWindow, StrategyCache, TokenBudget};
///
/// let mut talk = Conversation::new();
/// let first = talk.push("This is message 1.");
/// (2..=20).for_each(|n| drop(talk.push(format!("This is message {n}."))));
/// let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(100))?;
/// let window = SlidingWindow::tokens();
/// let plan = planner.plan(&talk, &mut Ledger::new(), &window, &mut StrategyCache::default())?;
/// let needs = plan.to_keep(first, &window)?;
/// println!("{needs}");
/// assert!(needs.limit.is_some_and(|limit| limit > 100));
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToKeep {
    what: String,
    /// How many messages its group has.
    pub messages: usize,
    /// The cost of its group.
    pub tokens: u64,
    /// What happens to it in the plan.
    pub fate: Fate,
    /// The reason for that.
    pub reason: Reason,
    /// By how many tokens a pin would exceed the limit; 0 if it can be pinned. `None` if a pin
    /// would not help.
    pub pin_lacks: Option<u64>,
    /// The smallest limit of the prompt at which the strategy keeps it, if there is one.
    pub limit: Option<u64>,
    state: GroupState,
    /// The tokens kept free beside the prompt.
    kept_free: u64,
}

impl Plan {
    /// What would have to change for an item to be sent. `strategy` must be the one that drafted
    /// the plan: it is asked again under larger limits, with proportional high and low marks.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the item is not on the planned path;
    /// [`ErrorKind::InvalidStrategy`] if `strategy` is another one.
    pub fn to_keep(&self, item: ItemId, strategy: &dyn Strategy) -> Result<ToKeep> {
        let path = self.record().path();
        if strategy.spec() != self.spec {
            let detail = format!("the plan was drafted by `{}`, not by `{}`", self.spec, strategy.spec());
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
        let required = RequiredGroups::of(self.record(), &self.sums, self.starts_on_user);
        let overhead = self.tokens.total() - self.tokens.history;
        let input = PlanInput {
            record: self.record(),
            sums: &self.sums,
            required: &required,
            cost: &self.cost,
            vectors: &self.vectors,
            overhead,
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

    /// By how many tokens a pin on an item would exceed the limit. `None` if the request must start
    /// with a user message and could not do so with the pin.
    fn pin_lacks(&self, item: ItemId, group: usize, input: PlanInput<'_>) -> Result<Option<u64>> {
        if self.starts_on_user && self.record().path().turn_of(group).is_none() {
            return Ok(None);
        }
        let mut pinned = self.record().clone();
        pinned.pin(item)?;
        let required = RequiredGroups::of(&pinned, &self.sums, self.starts_on_user);
        Ok(Some(PlanInput { required: &required, ..input }.fixed().saturating_sub(self.budget.limit)))
    }

    /// The smallest limit at which a group is kept, between this one and the one under which the
    /// whole path fits.
    fn limit_to_keep(&self, group: usize, input: PlanInput<'_>, strategy: &dyn Strategy) -> Option<u64> {
        let whole = input.overhead + self.sums.tokens(0..self.record().path().group_count());
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
            is_kept && input.overhead + history(&runs) <= limit
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
            (_, GroupState::Orphan) => return f.write_str(" No request may contain it."),
            (_, GroupState::Open) => return f.write_str(" Each of its calls needs a result directly after it."),
            (_, GroupState::Ready) => {}
        }
        match self.pin_lacks {
            Some(0) => f.write_str(" Pin it to send it; other messages will be dropped to make room.")?,
            Some(lacks) => write!(f, " A pin would exceed the limit by {} tokens.", thousands(lacks))?,
            None => {}
        }
        match (self.limit, &self.reason) {
            (Some(limit), _) => write!(f, " Or allow {} tokens.", thousands(limit.saturating_add(self.kept_free))),
            (None, Reason::Count) => f.write_str(" Or ask for more messages or turns."),
            (None, Reason::Start) => f.write_str(" Or let the request begin with a message that is not a user's."),
            _ => Ok(()),
        }
    }
}
