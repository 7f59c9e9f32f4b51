//! What every strategy must hold to, ours and yours.

use std::fmt;

use super::{Memo, Plan, Planner, Reason, Strategy};
use crate::budget::TokenBudget;
use crate::conversation::{Conversation, GroupState};
use crate::error::{Error, ErrorKind};
use crate::ledger::Ledger;
use crate::tokens::ChatCost;

/// A promise that a strategy does not keep. `Display` says which, and on what.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The promise: `fails`, `budget`, `order`, `legal`, `sum`, `determinism` or `idempotence`.
    pub promise: &'static str,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.found)
    }
}

impl std::error::Error for Violation {}

/// Tries a strategy on a conversation: its plan is within the budget, keeps the order, is legal, accounts for every
/// message, is the same with a fresh memo and a used one, and leaves what it sends as it is when that is all there is.
/// A refusal because of the budget breaks no promise. Call it on many conversations under many budgets.
///
/// # Errors
/// The first promise that is broken.
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
    let plan = match trial.plan(conversation, &mut Memo::default()) {
        Ok(plan) => plan,
        Err(error) if is_refusal(&error) => return Ok(()),
        Err(error) => return Err(fails(error)),
    };
    trial.budget(&plan)?;
    account(&plan)?;
    trial.determinism(&plan, conversation)?;
    trial.idempotence(&plan)
}

fn is_refusal(error: &Error) -> bool {
    // A conversation of which nothing can be sent is no strategy's fault.
    matches!(error.kind(), ErrorKind::OverBudget | ErrorKind::PinsOverBudget | ErrorKind::InvalidMessage)
}

#[allow(clippy::needless_pass_by_value, reason = "it stands behind `map_err`")]
fn fails(error: Error) -> Violation {
    Violation { promise: "fails", found: error.to_string() }
}

fn broken(promise: &'static str, found: impl Into<String>) -> Result<(), Violation> {
    Err(Violation { promise, found: found.into() })
}

struct Trial<'a> {
    planner: Planner,
    strategy: &'a dyn Strategy,
}

impl Trial<'_> {
    fn plan(&self, conversation: &Conversation, memo: &mut Memo) -> Result<Plan, Error> {
        self.planner.plan(conversation, &mut Ledger::new(), self.strategy, memo)
    }

    /// What is sent costs what the plan says, and no more than is allowed.
    fn budget(&self, plan: &Plan) -> Result<(), Violation> {
        let (said, limit) = (plan.tokens().total(), plan.budget().limit);
        let counted = self.planner.cost().messages(plan.messages()).total().tokens;
        match (said == counted, said <= limit) {
            (false, _) => broken("budget", format!("the plan says {said} tokens, its messages cost {counted}")),
            (_, false) => broken("budget", format!("{said} tokens, and {limit} may be sent")),
            _ => Ok(()),
        }
    }

    /// The same plan again, with a fresh memo and with one that saw other states of the conversation.
    fn determinism(&self, plan: &Plan, conversation: &Conversation) -> Result<(), Violation> {
        let expected = text(plan);
        let mut used = Memo::default();
        let mut other = conversation.clone();
        let leaves: Vec<_> = conversation.path().items().map(crate::conversation::Item::id).collect();
        let some = leaves.len().div_ceil(4).max(1);
        for leaf in leaves.iter().skip(some - 1).step_by(some) {
            other.switch(*leaf).map_err(fails)?;
            // Whether that one can be sent does not matter here.
            let _ = self.plan(&other, &mut used);
        }
        for (memo, what) in [(&mut Memo::default(), "a fresh"), (&mut used, "a used")] {
            match self.plan(conversation, memo) {
                Ok(again) if text(&again) == expected => {}
                Ok(_) => return broken("determinism", format!("another plan with {what} memo")),
                Err(error) => return broken("determinism", format!("refused with {what} memo: {error}")),
            }
        }
        Ok(())
    }

    /// What was sent, taken for the whole conversation, is sent whole; unless it is above the high mark, where a strategy
    /// may go on trimming.
    fn idempotence(&self, plan: &Plan) -> Result<(), Violation> {
        if plan.tokens().total() > plan.budget().high {
            return Ok(());
        }
        let sent = as_sent(plan).map_err(fails)?;
        let again = self.plan(&sent, &mut Memo::default()).map_err(fails)?;
        match again.messages() == plan.messages() {
            true => Ok(()),
            false => broken(
                "idempotence",
                format!("{} messages, of which it sends {}", plan.messages().len(), again.messages().len()),
            ),
        }
    }
}

/// What a plan sends as a conversation of its own, with the same head and pins.
fn as_sent(plan: &Plan) -> Result<Conversation, Error> {
    let (head, path) = plan.messages().split_at(plan.head_len());
    let mut sent = Conversation::new();
    sent.set_head(head.iter().cloned())?;
    let runs = plan.runs().iter().filter(|run| run.fate.is_sent());
    let mut is_pin: Vec<_> = runs.flat_map(|run| run.positions.clone().map(|_| run.reason == Reason::Pin)).collect();
    if let Some(summary) = summary_index(plan) {
        is_pin.insert(summary - plan.head_len(), false);
    }
    for (message, is_pin) in path.iter().zip(is_pin) {
        let item = sent.push(message.clone());
        if is_pin {
            sent.pin(item)?;
        }
    }
    Ok(sent)
}

/// Where the summary stands among the messages.
fn summary_index(plan: &Plan) -> Option<usize> {
    let end = plan.record().path().positions(plan.summary()?.groups.clone()).end;
    let sent = plan.runs().iter().filter(|run| run.fate.is_sent()).flat_map(|run| run.positions.clone());
    Some(plan.head_len() + sent.filter(|&position| position < end).count())
}

/// The runs hold every message of the path once, in order; what they send is what is sent, and it is legal.
fn account(plan: &Plan) -> Result<(), Violation> {
    let (runs, path) = (plan.runs(), plan.record().path());
    let mut next = 0;
    for run in runs {
        if run.positions.start != next {
            return broken("sum", format!("the run behind message {next} begins with {}", run.positions.start));
        }
        next = run.positions.end;
    }
    if next != path.len() {
        return broken("sum", format!("runs of {next} messages, and the path has {}", path.len()));
    }
    let sent: Vec<_> = runs.iter().filter(|run| run.fate.is_sent()).flat_map(|run| run.positions.clone()).collect();
    let roles = sent.iter().filter_map(|&position| Some(path.item(position)?.message().role()));
    let expected = path.head().iter().map(crate::message::Message::role).chain(roles);
    let summary = summary_index(plan);
    let own = plan.messages().iter().enumerate().filter(|(index, _)| Some(*index) != summary);
    if !own.map(|(_, message)| message.role()).eq(expected) {
        return broken("order", "the messages are not those of the runs, in order");
    }
    let request = as_sent(plan).map_err(fails)?;
    let is_ready = |group: usize| request.path().group(group).state() == GroupState::Ready;
    match (0..request.path().groups()).find(|&group| !is_ready(group)) {
        Some(group) => broken("legal", format!("group {group} of the request has calls or results without the other")),
        None => Ok(()),
    }
}

/// All of a plan that can be seen.
fn text(plan: &Plan) -> String {
    let json = serde_json::to_string(plan).unwrap_or_default();
    format!("{json}\n{}\n{:?}", plan.explain(), plan.marks)
}
