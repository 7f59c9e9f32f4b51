//! Replays a saved conversation turn by turn, with its recorded replies.
//!
//! Before each recorded reply, and at the end if the conversation waits for one, the request is
//! planned that a program with this strategy and budget would have sent. The same conversation and
//! settings give the same requests.

use serde::{Deserialize, Serialize};

use crate::conversation::Conversation;
use crate::error::{Error, ErrorKind, OverBudget, Result};
use crate::ledger::Ledger;
use crate::message::{Message, Role};
use crate::plan::{Extras, Fate, Plan, Planner, Run, Strategy, StrategyCache, SummaryRequest};
use crate::tokens::ChatCost;

/// The replay of one conversation under one strategy.
///
/// # Examples
/// ```
/// use turnwise::replay::Outcome;
/// use turnwise::{ChatCost, Planner, SlidingWindow, TokenBudget, Transcript, replay};
///
/// let mut file = Transcript::from_json(
///     r#"[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello!"},{"role":"user","content":"Bye"}]"#,
/// )?;
/// let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(1_000))?;
/// let replay = replay(&file.conversation, &mut file.ledger, &planner, &SlidingWindow::tokens())?;
/// for request in &replay.requests {
///     match &request.outcome {
///         Outcome::Planned(planned) => println!("request {}: {} tokens", request.request, planned.tokens),
///         Outcome::Refused { refused, .. } => println!("request {}: {refused}", request.request),
///         _ => {}
///     }
/// }
/// let totals = replay.totals;
/// assert_eq!((totals.requests, totals.messages.kept, totals.messages.of), (2, 3, 3));
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replay {
    /// The requests, in order.
    pub requests: Vec<Request>,
    /// Their sums.
    pub totals: Totals,
}

/// One request of a replay; serialized as one line of JSON. [`Replay`] has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Request {
    /// Its number, from 1.
    pub request: usize,
    /// The index of the reply that it got, counting the head; for the last request, of the missing
    /// reply.
    pub reply: usize,
    /// The plan, or why it was refused.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The result of planning one request of a replay. [`Replay`] has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Outcome {
    /// The request can be sent.
    Planned(Planned),
    /// The request is over budget.
    #[non_exhaustive]
    Refused {
        /// The planner's error message.
        refused: String,
        /// The tokens that are needed.
        needed: u64,
        /// The tokens that are available.
        room: u64,
    },
}

/// A request that can be sent. [`Replay`] has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Planned {
    /// The tokens of the request.
    pub tokens: u64,
    /// Whether that is an estimate.
    pub estimated: bool,
    /// How many tokens at its start equal the start of the previous request.
    pub prefix: u64,
    /// The messages that are sent, in runs.
    pub kept: Vec<Run>,
    /// The messages that are sent in a shortened form, in runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shrunk: Vec<Run>,
    /// The messages that a summary stands for, in runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub summarized: Vec<Run>,
    /// The messages that are left out, in runs.
    pub evicted: Vec<Run>,
}

/// Sums over the requests of one or more replays under one strategy. [`Replay`] has an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// Replayed conversations.
    pub conversations: usize,
    /// Requests in all.
    pub requests: usize,
    /// Requests over budget, which are not part of the figures below.
    pub refused: usize,
    /// Prompt tokens in all.
    pub tokens: u64,
    /// Prompt tokens of the largest request.
    pub largest: u64,
    /// How many tokens at the start of requests repeated the previous request.
    pub prefix: u64,
    /// The tokens of all requests that had a previous one.
    pub prefix_of: u64,
    /// Whether a figure is an estimate.
    pub estimated: bool,
    /// Messages in each conversation's last request; a request over budget contains none.
    pub messages: Share,
    /// User messages in it.
    pub turns: Share,
    /// Tool results in it.
    pub results: Share,
    /// The summaries of [`replay_with_summaries`].
    #[serde(default, skip_serializing_if = "Summaries::is_none")]
    pub summaries: Summaries,
}

/// What the summaries of a replay would take. [`replay_with_summaries`] has an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Summaries {
    /// How many there would be, each made by a call of a model.
    pub calls: usize,
    /// The tokens of the messages that the calls read, with the summaries before them. A
    /// summarizer's instructions come to that.
    pub read: u64,
    /// The tokens of the summaries.
    pub written: u64,
}

impl Summaries {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A number out of a total. [`Replay`] has an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
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
        self.summaries.calls += other.summaries.calls;
        self.summaries.read += other.summaries.read;
        self.summaries.written += other.summaries.written;
    }

    /// The part of the prompt tokens, from 0 to 1, that repeated the start of the previous request;
    /// `None` with fewer than two requests.
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

/// Replays the current path of a conversation under a strategy. The conversation's marks are not
/// used, and nothing in it changes.
///
/// A request over budget is part of the result, and the replay continues after it.
///
/// # Errors
/// Any error of planning other than a request over budget, such as one of a custom strategy.
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
    replay_with(conversation, ledger, planner, strategy, &Extras::default())
}

/// As [`replay`], with these in every request, such as the vectors of a transcript.
///
/// # Errors
/// Those of [`replay`].
pub fn replay_with(
    conversation: &Conversation,
    ledger: &mut Ledger,
    planner: &Planner,
    strategy: &dyn Strategy,
    extras: &Extras,
) -> Result<Replay> {
    Rerun::new(conversation, extras).of(conversation, ledger, planner, strategy)
}

/// As [`replay_with`], as if a summarizer had made each summary that the strategy requests, as long
/// as it may be. Nothing is asked of a model, so what the summaries would say is not known;
/// [`Totals::summaries`] says how many there would be, and what they would take.
///
/// # Errors
/// Those of [`replay`].
///
/// # Examples
/// ```
/// use turnwise::plan::Extras;
/// use turnwise::replay::replay_with_summaries;
/// use turnwise::{ChatCost, Conversation, Ledger, Message, Planner, Summarize, TokenBudget};
///
/// let turn = |n: u32| [Message::user(format!("What is {n} times {n}?")), Message::assistant((n * n).to_string())];
/// let talk = Conversation::from_messages((1..=60).flat_map(turn));
/// let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(300))?;
/// let strategy = Summarize::rolling().tokens(40);
/// let replay = replay_with_summaries(&talk, &mut Ledger::new(), &planner, &strategy, &Extras::default())?;
/// let summaries = replay.totals.summaries;
/// assert!(summaries.calls > 1 && summaries.written <= 40 * summaries.calls as u64);
/// # Ok::<(), turnwise::Error>(())
/// ```
pub fn replay_with_summaries(
    conversation: &Conversation,
    ledger: &mut Ledger,
    planner: &Planner,
    strategy: &dyn Strategy,
    extras: &Extras,
) -> Result<Replay> {
    let run = Rerun { makes_summaries: true, ..Rerun::new(conversation, extras) };
    run.of(conversation, ledger, planner, strategy)
}

/// A replay under way.
struct Rerun<'a> {
    extras: &'a Extras,
    makes_summaries: bool,
    /// The record, with the path as far as it was replayed.
    record: Conversation,
    /// The record at the time of the last request.
    asked: Conversation,
    cache: StrategyCache,
    last: Option<Plan>,
    requests: Vec<Request>,
    totals: Totals,
}

impl<'a> Rerun<'a> {
    fn new(conversation: &Conversation, extras: &'a Extras) -> Self {
        let mut record = conversation.clone();
        record.clear();
        record.forget_marks();
        let totals = Totals { conversations: 1, ..Totals::default() };
        Self {
            extras,
            makes_summaries: false,
            asked: record.clone(),
            record,
            cache: StrategyCache::default(),
            last: None,
            requests: Vec::new(),
            totals,
        }
    }

    fn of(
        mut self,
        conversation: &Conversation,
        ledger: &mut Ledger,
        planner: &Planner,
        strategy: &dyn Strategy,
    ) -> Result<Replay> {
        for item in conversation.path().items() {
            if *item.message().role() == Role::Assistant && self.waits_for_reply() {
                self.request(ledger, planner, strategy)?;
            }
            self.record.switch(item.id())?;
        }
        if self.waits_for_reply() {
            self.request(ledger, planner, strategy)?;
        }
        Ok(self.finish())
    }

    /// Whether the path ends with a message that a model answers.
    fn waits_for_reply(&self) -> bool {
        self.record.path().messages().next_back().is_some_and(|message| *message.role() != Role::Assistant)
    }

    fn request(&mut self, ledger: &mut Ledger, planner: &Planner, strategy: &dyn Strategy) -> Result<()> {
        self.totals.requests += 1;
        self.asked = self.record.clone();
        let mut plan = planner.plan_with(&self.record, ledger, strategy, &mut self.cache, self.extras);
        let request = plan.as_ref().ok().filter(|_| self.makes_summaries).and_then(Plan::summary_request);
        if let Some(request) = request.cloned() {
            self.summarize(&request, planner.cost())?;
            plan = planner.plan_with(&self.record, ledger, strategy, &mut self.cache, self.extras);
        }
        let outcome = match plan {
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

    /// Attaches a summary without meaning that is as long as it may be.
    fn summarize(&mut self, request: &SummaryRequest, cost: &ChatCost) -> Result<()> {
        let path = self.record.path();
        let positions = path.positions(0..request.groups.end);
        let ends = path.item(positions.start).zip(path.item(positions.end.saturating_sub(1)));
        let Some((first, last)) = ends.map(|(first, last)| (first.id(), last.id())) else { return Ok(()) };
        let previous = self.record.summaries().find(|summary| Some(summary.id) == request.previous);
        let previous = previous.map_or(0, |summary| cost.text(&summary.text).tokens);
        let text = filler(request.most, cost);
        self.totals.summaries.calls += 1;
        self.totals.summaries.read += request.tokens + previous;
        self.totals.summaries.written += cost.text(&text).tokens;
        self.record.attach(first, last, text, None)?;
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
                let refused = format!("{}: {}", error.kind(), error.detail());
                Ok(Outcome::Refused { refused, needed: tokens, room })
            }
            _ => Err(error),
        }
    }

    /// Counts how many of the messages the last request contains; none, if it was refused.
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

/// A text of at most so many tokens, and hardly fewer.
fn filler(most: u64, cost: &ChatCost) -> String {
    let words = |count: u64| "word ".repeat(usize::try_from(count).unwrap_or_default());
    let mut count = most;
    loop {
        let text = words(count);
        let tokens = cost.text(&text).tokens;
        if tokens <= most {
            return text;
        }
        count = (count * most / tokens).min(count - 1);
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
