//! `check`: what every strategy must hold to, the built-in ones and your own.

use super::{Plan, Planner, Reason, Run, Strategy, StrategyCache};
use crate::budget::TokenBudget;
use crate::conversation::{Conversation, GroupState};
use crate::error::{Error, ErrorKind};
use crate::ledger::Ledger;
use crate::message::{Message, Role};
use crate::tokens::ChatCost;
use crate::violation::Violation;

/// Tests a strategy on a conversation. Its plan must be within the budget, keep the order, be
/// legal, account for every message, be the same with a fresh cache and a used one, and leave what
/// it sends unchanged when that is the whole conversation. If the planner must [start with a user
/// message](Planner::start_on_user), its request must do so too.
///
/// A refusal because of the budget breaks no promise. Call it on many conversations with many
/// budgets.
///
/// # Errors
/// The first broken promise: `fails`, `budget`, `order`, `legal`, `sum`, `determinism`, `idempotence`
/// or `start`.
///
/// # Examples
/// ```
/// use turnwise::plan::check;
/// use turnwise::{ChatCost, Conversation, Message, SlidingWindow, TokenBudget};
///
/// let talk = Conversation::from_messages((0..50).map(|n| Message::user(format!("Message {n}"))));
/// for tokens in [30, 100, 1_000] {
///     check(&SlidingWindow::tokens(), &talk, &ChatCost::default(), &TokenBudget::limit(tokens))?;
/// }
/// # Ok::<(), turnwise::plan::Violation>(())
/// ```
pub fn check(
    strategy: &dyn Strategy,
    conversation: &Conversation,
    cost: &ChatCost,
    budget: &TokenBudget,
) -> Result<(), Violation> {
    let trial = Trial { planner: Planner::new(cost.clone(), budget).map_err(fails)?, strategy };
    let plan = match trial.plan(conversation, &mut StrategyCache::default()) {
        Ok(plan) => plan,
        Err(error) if is_refusal(&error) => return Ok(()),
        Err(error) => return Err(fails(error)),
    };
    trial.budget(&plan)?;
    account(&plan)?;
    trial.determinism(&plan, conversation)?;
    trial.idempotence(&plan)?;
    Trial { planner: trial.planner.start_on_user(), strategy }.start(conversation)
}

fn is_refusal(error: &Error) -> bool {
    // A conversation of which nothing can be sent is not the strategy's fault.
    matches!(error.kind(), ErrorKind::OverBudget | ErrorKind::PinsOverBudget | ErrorKind::InvalidMessage)
}

#[allow(clippy::needless_pass_by_value, reason = "it stands behind `map_err`")]
fn fails(error: Error) -> Violation {
    Violation::new("fails", error.to_string())
}

fn broken(promise: &'static str, found: impl Into<String>) -> Result<(), Violation> {
    Err(Violation::new(promise, found))
}

struct Trial<'a> {
    planner: Planner,
    strategy: &'a dyn Strategy,
}

impl Trial<'_> {
    fn plan(&self, conversation: &Conversation, cache: &mut StrategyCache) -> Result<Plan, Error> {
        self.planner.plan(conversation, &mut Ledger::new(), self.strategy, cache)
    }

    /// The request costs what the plan says, and no more than is allowed.
    fn budget(&self, plan: &Plan) -> Result<(), Violation> {
        let said = plan.tokens().total();
        let limit = plan.budget().limit;
        let counted = self.planner.cost().messages(plan.messages()).total().tokens;
        match (said == counted, said <= limit) {
            (false, _) => broken("budget", format!("the plan says {said} tokens, but its messages cost {counted}")),
            (_, false) => broken("budget", format!("{said} tokens, but at most {limit} may be sent")),
            _ => Ok(()),
        }
    }

    /// A request that must start with a user message does so, and keeps the promises about its size
    /// and its parts.
    fn start(&self, conversation: &Conversation) -> Result<(), Violation> {
        let plan = match self.plan(conversation, &mut StrategyCache::default()) {
            Ok(plan) => plan,
            Err(error) if is_refusal(&error) => return Ok(()),
            Err(error) => return Err(fails(error)),
        };
        self.budget(&plan)?;
        account(&plan)?;
        let first = plan.messages().iter().find(|message| !message.role().is_instruction());
        match first.filter(|first| *first.role() != Role::User) {
            Some(first) => broken("start", format!("the first message is the {}'s", first.role().as_str())),
            None => Ok(()),
        }
    }

    /// The plan is repeated with a fresh cache, and with one that was used for other states of the
    /// conversation.
    fn determinism(&self, plan: &Plan, conversation: &Conversation) -> Result<(), Violation> {
        let expected = text(plan);
        let mut used = StrategyCache::default();
        let mut other = conversation.clone();
        let leaves: Vec<_> = conversation.path().items().map(crate::conversation::Item::id).collect();
        let some = leaves.len().div_ceil(4).max(1);
        for leaf in leaves.iter().skip(some - 1).step_by(some) {
            other.switch(*leaf).map_err(fails)?;
            // It does not matter here whether that one can be sent.
            let _ = self.plan(&other, &mut used);
        }
        for (cache, what) in [(&mut StrategyCache::default(), "a fresh"), (&mut used, "a used")] {
            match self.plan(conversation, cache) {
                Ok(again) if text(&again) == expected => {}
                Ok(_) => return broken("determinism", format!("another plan with {what} cache")),
                Err(error) => return broken("determinism", format!("refused with {what} cache: {error}")),
            }
        }
        Ok(())
    }

    /// What was sent, as a conversation of its own, is sent completely, unless it is above the high
    /// mark, where a strategy may continue to trim.
    fn idempotence(&self, plan: &Plan) -> Result<(), Violation> {
        if plan.tokens().total() > plan.budget().high {
            return Ok(());
        }
        let sent = as_sent(plan).map_err(fails)?;
        let again = self.plan(&sent, &mut StrategyCache::default()).map_err(fails)?;
        if again.messages() == plan.messages() {
            Ok(())
        } else {
            broken(
                "idempotence",
                format!("{} messages, of which it sends {}", plan.messages().len(), again.messages().len()),
            )
        }
    }
}

/// The messages that a plan sends as a conversation of its own, in the order of the record, with
/// the same head and pins.
fn as_sent(plan: &Plan) -> Result<Conversation, Error> {
    let (head, path) = plan.messages().split_at(plan.head_len());
    let mut sent = Conversation::new();
    sent.set_head(head.iter().cloned())?;
    let mut places: Vec<_> =
        sent_groups(plan).map(|(_, position, reason)| (position, *reason == Reason::Pin)).collect();
    if let Some(summary) = plan.summary() {
        // A summary's range never ends between calls and their results.
        let end = plan.record().path().positions(summary.groups.clone()).end;
        let before = places.iter().filter(|(position, _)| *position < end).count();
        places.insert(before, (end, false));
    }
    let mut messages: Vec<_> = path.iter().zip(places).collect();
    messages.sort_by_key(|(_, (position, _))| *position);
    for (message, (_, is_pin)) in messages {
        let item = sent.push(message.clone());
        if is_pin {
            sent.pin(item)?;
        }
    }
    Ok(sent)
}

/// Whether each call has one result, directly after it, and there are no other results.
fn is_legal(messages: &[Message]) -> bool {
    let mut rest = messages;
    while let Some((first, behind)) = rest.split_first() {
        let results = behind.iter().take_while(|message| message.is_result()).count();
        let group =
            Conversation::from_messages(rest[..=results].iter().filter(|one| !one.role().is_instruction()).cloned());
        let calls = group.path().group(0);
        let is_whole = first.role().is_instruction() && results == 0
            || group.path().group_count() == 1 && calls.state() == GroupState::Ready;
        if !is_whole {
            return false;
        }
        rest = &behind[results..];
    }
    true
}

/// The messages of the path that are sent, in order, with group, position and reason.
fn sent_groups(plan: &Plan) -> impl Iterator<Item = (usize, usize, &Reason)> {
    let path = plan.record().path();
    let runs = plan.runs().iter().filter(|run| run.fate.is_sent());
    runs.flat_map(move |run| {
        let groups = run.groups.clone();
        groups.flat_map(move |group| path.group(group).positions().map(move |at| (group, at, &run.reason)))
    })
}

/// The index of the summary among the messages.
fn summary_index(plan: &Plan) -> Option<usize> {
    let end = plan.summary()?.groups.end;
    Some(plan.head_len() + sent_groups(plan).filter(|(group, ..)| *group < end).count())
}

/// The runs contain every message of the path once, and what they send equals the request, in
/// order, and is legal.
fn account(plan: &Plan) -> Result<(), Violation> {
    let runs = plan.runs();
    let path = plan.record().path();
    let mut next = 0;
    for run in runs {
        if run.groups.start != next {
            return broken("sum", format!("the run after group {next} begins with {}", run.groups.start));
        }
        next = run.groups.end;
    }
    let mut held: Vec<usize> = runs.iter().flat_map(Run::all_indexes).collect();
    held.sort_unstable();
    let all = plan.head_len() + path.len();
    if next != path.group_count() || !held.iter().copied().eq(0..all) {
        return broken("sum", format!("the runs hold {} messages, and the input has {all}", held.len()));
    }
    let roles = sent_groups(plan).filter_map(|(_, position, _)| Some(path.item(position)?.message().role()));
    let expected = path.head().iter().map(crate::message::Message::role).chain(roles);
    let summary = summary_index(plan);
    let own = plan.messages().iter().enumerate().filter(|(index, _)| Some(*index) != summary);
    if !own.map(|(_, message)| message.role()).eq(expected) {
        return broken("order", "the messages are not those of the runs, in order");
    }
    if is_legal(plan.messages()) {
        Ok(())
    } else {
        broken("legal", "the request has calls whose results do not follow directly, or results without calls")
    }
}

/// All visible parts of a plan as text.
fn text(plan: &Plan) -> String {
    let json = serde_json::to_string(plan).unwrap_or_default();
    format!("{json}\n{}\n{:?}", plan.explain(), plan.marks)
}
