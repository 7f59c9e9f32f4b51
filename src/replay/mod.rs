//! A saved conversation run again, turn by turn, with its recorded replies.
//!
//! Before each recorded reply, and at the end when the conversation waits for one, the request is planned that a
//! program with this strategy and budget would have sent. The same conversation and settings give the same requests.

use serde::Serialize;

use crate::conversation::Conversation;
use crate::error::{Error, ErrorKind, OverBudget, Result};
use crate::ledger::Ledger;
use crate::message::{Message, Role};
use crate::plan::{Fate, Plan, Planner, Run, Strategy, StrategyCache};

/// One conversation run again under one strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replay {
    /// The requests in order.
    pub requests: Vec<Request>,
    /// Their sums.
    pub totals: Totals,
}

/// One request of a replay; a line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Request {
    /// Its number, from 1.
    pub request: usize,
    /// The index of the reply that it got, the head included; of the reply that is missing, at the end.
    pub reply: usize,
    /// What was sent, or why nothing was.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of a request of a replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Outcome {
    /// It can be sent.
    Planned(Planned),
    /// It is over budget.
    #[non_exhaustive]
    Refused {
        /// The planner's words.
        refused: String,
        /// The tokens that were needed.
        needed: u64,
        /// The tokens that there were for it.
        room: u64,
    },
}

/// A request that can be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Planned {
    /// What it costs.
    pub tokens: u64,
    /// Whether that is an estimate.
    pub estimated: bool,
    /// Tokens at its start that the request before it had at its start too.
    pub prefix: u64,
    /// What is sent, in runs.
    pub kept: Vec<Run>,
    /// What is sent smaller than it is, in runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shrunk: Vec<Run>,
    /// What a summary stands for, in runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub summarized: Vec<Run>,
    /// What is not, in runs.
    pub evicted: Vec<Run>,
}

/// Sums over the requests of one or many replays under one strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// Conversations run again.
    pub conversations: usize,
    /// Requests in all.
    pub requests: usize,
    /// Requests over budget, which were not counted below.
    pub refused: usize,
    /// Prompt tokens in all.
    pub tokens: u64,
    /// Prompt tokens of the largest request.
    pub largest: u64,
    /// Tokens at the start of requests that the request before had too.
    pub prefix: u64,
    /// Tokens of all requests that had one before them.
    pub prefix_of: u64,
    /// Whether a figure is an estimate.
    pub estimated: bool,
    /// Messages of each conversation's last request; a request over budget sends none.
    pub messages: Share,
    /// User messages in it.
    pub turns: Share,
    /// Tool results in it.
    pub results: Share,
}

/// How many there are, of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Share {
    /// How many were sent.
    pub kept: usize,
    /// How many there are.
    pub of: usize,
}

impl Totals {
    /// Adds the totals of another replay.
    pub fn add(&mut self, other: &Self) {
        self.conversations += other.conversations;
        self.requests += other.requests;
        self.refused += other.refused;
        self.tokens += other.tokens;
        self.largest = self.largest.max(other.largest);
        self.prefix += other.prefix;
        self.prefix_of += other.prefix_of;
        self.estimated |= other.estimated;
        self.messages.add(other.messages);
        self.turns.add(other.turns);
        self.results.add(other.results);
    }

    /// The part of the prompt tokens, from 0 to 1, that the request before had at its start; `None` with fewer than two
    /// requests.
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn prefix_share(&self) -> Option<f64> {
        (self.prefix_of > 0).then(|| self.prefix as f64 / self.prefix_of as f64)
    }
}

impl Share {
    fn add(&mut self, other: Self) {
        self.kept += other.kept;
        self.of += other.of;
    }
}

/// Runs the current path of a conversation again under a strategy. Marks that the conversation holds are not used;
/// nothing in it changes.
///
/// A request over budget is part of the result, and the replay goes on behind it.
///
/// # Errors
/// Whatever a plan fails with besides the budget, as a strategy of yours may.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, Planner, SlidingWindow, TokenBudget, Transcript, replay};
///
/// let mut file = Transcript::from_json(
///     r#"[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello!"},{"role":"user","content":"Bye"}]"#,
/// )?;
/// let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(1_000))?;
/// let replay = replay(&file.conversation, &mut file.ledger, &planner, &SlidingWindow::tokens())?;
/// assert_eq!(replay.requests.len(), 2);
/// println!("{}", serde_json::to_string(&replay.requests[1]).unwrap());
/// # Ok::<(), turnwise::Error>(())
/// ```
pub fn replay(
    conversation: &Conversation,
    ledger: &mut Ledger,
    planner: &Planner,
    strategy: &dyn Strategy,
) -> Result<Replay> {
    let mut run = Rerun::new(conversation);
    for item in conversation.path().items() {
        if *item.message().role() == Role::Assistant && run.waits_for_reply() {
            run.request(ledger, planner, strategy)?;
        }
        run.record.switch(item.id())?;
    }
    if run.waits_for_reply() {
        run.request(ledger, planner, strategy)?;
    }
    Ok(run.finish())
}

/// A replay under way.
struct Rerun {
    /// The record with the path as far as it was run.
    record: Conversation,
    /// The record as the last request found it.
    asked: Conversation,
    cache: StrategyCache,
    last: Option<Plan>,
    requests: Vec<Request>,
    totals: Totals,
}

impl Rerun {
    fn new(conversation: &Conversation) -> Self {
        let mut record = conversation.clone();
        record.clear();
        record.forget_marks();
        let totals = Totals { conversations: 1, ..Totals::default() };
        Self {
            asked: record.clone(),
            record,
            cache: StrategyCache::default(),
            last: None,
            requests: Vec::new(),
            totals,
        }
    }

    /// Whether the path ends with something that a model answers.
    fn waits_for_reply(&self) -> bool {
        self.record.path().messages().next_back().is_some_and(|message| *message.role() != Role::Assistant)
    }

    fn request(&mut self, ledger: &mut Ledger, planner: &Planner, strategy: &dyn Strategy) -> Result<()> {
        self.totals.requests += 1;
        self.asked = self.record.clone();
        let outcome = match planner.plan(&self.record, ledger, strategy, &mut self.cache) {
            Ok(plan) => {
                plan.commit_marks(&mut self.record)?;
                Outcome::Planned(self.planned(plan))
            }
            Err(error) => self.refused(error)?,
        };
        let path = self.record.path();
        let reply = path.head().len() + path.len();
        self.requests.push(Request { request: self.totals.requests, reply, outcome });
        Ok(())
    }

    fn planned(&mut self, plan: Plan) -> Planned {
        let prefix = self.last.as_ref().map(|last| plan.prefix_shared_with(last));
        let runs = |fate: Fate| plan.runs().iter().filter(|run| run.fate == fate).cloned().collect();
        let planned = Planned {
            tokens: plan.tokens().total(),
            estimated: plan.tokens().estimated,
            prefix: prefix.unwrap_or(0),
            kept: runs(Fate::Kept),
            shrunk: runs(Fate::Shrunk),
            summarized: runs(Fate::Summarized),
            evicted: runs(Fate::Evicted),
        };
        self.totals.tokens += planned.tokens;
        self.totals.largest = self.totals.largest.max(planned.tokens);
        self.totals.prefix += planned.prefix;
        self.totals.prefix_of += prefix.map_or(0, |_| planned.tokens);
        self.totals.estimated |= planned.estimated;
        self.last = Some(plan);
        planned
    }

    fn refused(&mut self, error: Error) -> Result<Outcome> {
        match (error.kind(), error.over_budget()) {
            (ErrorKind::OverBudget | ErrorKind::PinsOverBudget, Some(&OverBudget { tokens, room, .. })) => {
                self.totals.refused += 1;
                Ok(Outcome::Refused { refused: error.to_string(), needed: tokens, room })
            }
            _ => Err(error),
        }
    }

    /// Counts what the last request holds of what there is: nothing, when it was refused.
    fn finish(mut self) -> Replay {
        let is_sent = self.requests.last().is_some_and(|last| matches!(last.outcome, Outcome::Planned(_)));
        let sent = self.last.as_ref().filter(|_| is_sent).map_or(&[][..], Plan::messages);
        let path = self.asked.path();
        let share = |role: Option<Role>| {
            let is_counted = |message: &&Message| role.as_ref().is_none_or(|role| message.role() == role);
            Share {
                kept: sent.iter().filter(is_counted).count(),
                of: path.head().iter().chain(path.messages()).filter(is_counted).count(),
            }
        };
        self.totals.messages = share(None);
        self.totals.turns = share(Some(Role::User));
        self.totals.results = share(Some(Role::Tool));
        Replay { requests: self.requests, totals: self.totals }
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
