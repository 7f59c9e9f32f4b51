//! The only maker of plans.

use std::ops::Range;
use std::sync::Arc;

use super::draft::{Draft, Reason};
use super::plan::{Arithmetic, Fate, Plan, Run};
use super::view::{MustSend, View};
use super::{Memo, Must, Strategy};
use crate::budget::{ResolvedBudget, TokenBudget};
use crate::conversation::{Conversation, GroupState, Mark, Path};
use crate::error::{Error, ErrorKind, OverBudget, Result};
use crate::ledger::{Ledger, Sums};
use crate::request::Tool;
use crate::tokens::ChatCost;
use crate::words::{counted, thousands};

/// Turns a strategy's wishes into a [`Plan`] that can be sent: adds head, pins and what must be answered, leaves out
/// what is not legal, checks the sum, and refuses with numbers.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, Conversation, Ledger, Memo, Message, Planner, SlidingWindow, TokenBudget};
///
/// let talk = Conversation::from_messages([Message::system("Be brief."), Message::user("Hello!")]);
/// let planner = Planner::new(ChatCost::for_model("gpt-4o"), &TokenBudget::for_model("gpt-4o")?)?;
/// let plan = planner.plan(&talk, &mut Ledger::new(), &SlidingWindow::tokens(), &mut Memo::default())?;
/// assert_eq!(plan.messages().len(), 2);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Planner {
    cost: ChatCost,
    budget: ResolvedBudget,
    tools: Arc<[Tool]>,
    model: Option<String>,
}

impl Planner {
    /// A planner that counts with `cost` and sends no more than `budget`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBudget`] when the budget contradicts itself.
    pub fn new(cost: ChatCost, budget: &TokenBudget) -> Result<Self> {
        Ok(Self { cost, budget: budget.resolve()?, tools: Arc::from([]), model: None })
    }

    /// Sends these tool definitions with every request, and counts them.
    #[must_use]
    pub fn tools(mut self, tools: impl IntoIterator<Item = Tool>) -> Self {
        self.tools = tools.into_iter().collect();
        self
    }

    /// Names the model in every request.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// The budget in integers.
    pub fn budget(&self) -> &ResolvedBudget {
        &self.budget
    }

    /// How requests are counted.
    pub fn cost(&self) -> &ChatCost {
        &self.cost
    }

    /// The plan of the request that the conversation, as it stands, asks for. Nothing in the record changes; the ledger
    /// learns the costs that it did not know.
    ///
    /// # Errors
    /// [`ErrorKind::OverBudget`] and [`ErrorKind::PinsOverBudget`] when what must be sent, or what the strategy keeps,
    /// does not fit, with the numbers; [`ErrorKind::InvalidMessage`] when there is nothing to send;
    /// [`ErrorKind::InvalidStrategy`] when the draft names groups that do not exist; and what the strategy itself says.
    pub fn plan(
        &self,
        conversation: &Conversation,
        ledger: &mut Ledger,
        strategy: &dyn Strategy,
        memo: &mut Memo,
    ) -> Result<Plan> {
        let [head, tools] = ledger.head(conversation, &self.tools, &self.cost);
        let sums = ledger.sums(conversation, &self.cost);
        let must = MustSend::of(conversation, &sums);
        let path = conversation.path();
        if path.head().is_empty() && must.iter().next().is_none() {
            let detail = "nothing to send: the conversation has no head and no message that can be sent";
            return Err(Error::new(ErrorKind::InvalidMessage, detail));
        }
        let overhead = self.cost.priming();
        let before = head.tokens + tools.tokens + overhead.tokens;
        self.check_fixed(before, path, &must, &sums)?;

        let spec = strategy.spec();
        let fixed = before + must.tokens(0..path.groups());
        let view = View { conversation, budget: &self.budget, sums: &sums, must: &must, fixed, spec: &spec };
        let draft = strategy.draft(&view, memo)?;
        check_groups(&draft, &spec, path.groups())?;
        let runs = runs(&draft, path, &must, &sums);
        let history: u64 = runs.iter().filter(|run| run.fate == Fate::Kept).map(|run| run.tokens).sum();
        let kept = || runs.iter().filter(|run| run.fate == Fate::Kept).flat_map(|run| run.groups.clone());
        let is_exact = kept().all(|group| sums.group(group).exact) && self.cost.is_exact();
        let tokens = Arithmetic {
            head: head.tokens,
            tools: tools.tokens,
            history,
            overhead: overhead.tokens,
            estimated: !(is_exact && head.exact && tools.exact),
        };
        if tokens.total() > self.budget.limit {
            return Err(self.over_by_draft(&spec, &tokens));
        }
        let messages = path.head().iter().chain(kept().flat_map(|group| path.group(group).messages())).cloned();
        Ok(Plan {
            messages: messages.collect(),
            marks: marks(&draft, &spec, conversation),
            spec: spec.into_owned(),
            budget: self.budget,
            tokens,
            runs,
            tools: Arc::clone(&self.tools),
            model: self.model.clone(),
            record: conversation.clone(),
            sums,
        })
    }

    /// Refuses when what must be sent does not fit: head and tools, then the pins, then what must be answered.
    fn check_fixed(&self, before: u64, path: Path<'_>, must: &MustSend, sums: &Sums) -> Result<()> {
        let limit = self.budget.limit;
        let of =
            |why| -> u64 { must.iter().filter(|must| must.why == why).map(|must| sums.group(must.group).tokens).sum() };
        let (pins, pending) = (of(Must::Pin), of(Must::Pending));
        let refuse = |kind, group, tokens, room, what: String| {
            let detail = format!(
                "{what} {} tokens, and there is room for {}: {}",
                thousands(tokens),
                thousands(room),
                self.budget
            );
            Err(Error::new(kind, detail).over(OverBudget::new(group, tokens, room)))
        };
        if before > limit {
            return refuse(ErrorKind::OverBudget, None, before, limit, "head, tools and priming need".to_owned());
        }
        if before + pins > limit {
            return refuse(
                ErrorKind::PinsOverBudget,
                None,
                pins,
                limit - before,
                "the pinned messages need".to_owned(),
            );
        }
        let room = limit - before - pins;
        if pending > room {
            let groups = must.iter().filter(|must| must.why == Must::Pending).map(|must| must.group);
            let largest = groups.max_by_key(|&group| sums.group(group).tokens).unwrap_or_default();
            let alone = sums.group(largest).tokens;
            let room = room.saturating_sub(pending - alone);
            let what = format!("{} must be sent and needs", describe_group(path, largest));
            return refuse(ErrorKind::OverBudget, Some(largest), alone, room, what);
        }
        Ok(())
    }

    fn over_by_draft(&self, spec: &str, tokens: &Arithmetic) -> Error {
        let (total, limit) = (tokens.total(), self.budget.limit);
        let detail = format!(
            "the strategy `{spec}` keeps {} tokens, and at most {} may be sent: {}",
            thousands(total),
            thousands(limit),
            self.budget
        );
        Error::new(ErrorKind::OverBudget, detail).over(OverBudget::new(None, total, limit))
    }
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

/// Refuses a draft that names groups that do not exist.
fn check_groups(draft: &Draft, spec: &str, groups: usize) -> Result<()> {
    let evicted = draft.evictions.iter().map(|(range, _)| range.end);
    let marked = draft.marks.iter().map(|(_, group)| group + 1);
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
        let tokens = match (&reason, groups.len()) {
            (Reason::Orphan | Reason::Unanswered, _) | (_, 1) => sums.group(groups.start).tokens,
            _ => sums.tokens(groups.clone()),
        };
        let positions = path.positions(groups.clone());
        match runs.last_mut() {
            Some(last) if last.fate == fate && last.reason == reason => {
                last.groups.end = groups.end;
                last.positions.end = positions.end;
                last.tokens += tokens;
            }
            _ => runs.push(Run { groups, positions, tokens, fate, reason }),
        }
    };
    let groups = path.groups();
    let fixed = fixed(path, must);
    let evictions = disjoint(draft);
    let (mut fixed, mut evictions) = (fixed.into_iter().peekable(), evictions.into_iter().peekable());
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
                add(group..end, Fate::Kept, Reason::Fits);
                end
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

/// The draft's evictions in order and without overlaps; of two that overlap the one named first has the common part.
fn disjoint(draft: &Draft) -> Vec<(Range<usize>, Reason)> {
    let mut out: Vec<(Range<usize>, Reason)> = Vec::with_capacity(draft.evictions.len());
    for (range, reason) in &draft.evictions {
        let mut at = range.start;
        let mut free = Vec::new();
        for (taken, _) in out.iter().filter(|(taken, _)| taken.end > range.start && taken.start < range.end) {
            if taken.start > at {
                free.push((at..taken.start, reason.clone()));
            }
            at = at.max(taken.end);
        }
        if at < range.end {
            free.push((at..range.end, reason.clone()));
        }
        out.extend(free);
        out.sort_unstable_by_key(|(range, _)| range.start);
    }
    out
}

fn marks(draft: &Draft, spec: &str, conversation: &Conversation) -> Vec<Mark> {
    let path = conversation.path();
    let Some(head) = conversation.leaf() else { return Vec::new() };
    let mark = |(name, group): &(std::borrow::Cow<'static, str>, usize)| {
        let item = path.item(path.group(*group).positions().start)?.id();
        Some(Mark { spec: spec.to_owned(), name: name.clone().into_owned(), item, head })
    };
    draft.marks.iter().filter_map(mark).collect()
}
