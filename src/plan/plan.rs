//! `Plan`: the request to be sent, with a fate and a reason for every message.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::draft::{Fate, Reason};
use super::runs::{Run, Shortened};
use super::step::Step;
use super::summary::{SummaryRequest, SummaryUse};
use crate::budget::ResolvedBudget;
use crate::conversation::{Conversation, Item, ItemId, Mark};
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{Fingerprint, Sums};
use crate::message::{Message, call_faults};
use crate::request::{ChatRequest, Params, Tool};
use crate::tokens::ChatCost;
use crate::vectors::Vectors;

/// A result that is sent before messages that precede it in the record: directly after its calls,
/// because another message was recorded in between.
///
/// # Examples
/// ```
/// use turnwise::{Message, SlidingWindow, TokenBudget, ToolCall, trim};
///
/// let messages = [
///     Message::user("Weather?"),
///     Message::calls([ToolCall::function("c1", "weather", "{}")]),
///     Message::user("Hello?"), // before the tool has answered
///     Message::tool("c1", "Rain."),
/// ];
/// let plan = trim(&messages, &TokenBudget::limit(1_000), &SlidingWindow::tokens())?;
/// let moved = plan.moved().next().unwrap();
/// assert_eq!((moved.message, moved.calls), (3, 1));
/// assert_eq!(plan.messages()[2].text(), "Rain.");
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Moved {
    /// The result's index, counting the head's messages first, then the path.
    pub message: usize,
    /// The index of the message with its call.
    pub calls: usize,
}

/// The cost of a request, in tokens.
///
/// # Examples
/// ```
/// use turnwise::{Message, SlidingWindow, TokenBudget, trim};
///
/// let messages = [Message::system("Be brief."), Message::user("Name a river.")];
/// let plan = trim(&messages, &TokenBudget::limit(100), &SlidingWindow::tokens())?;
/// let tokens = plan.tokens();
/// assert_eq!(tokens.total(), tokens.head + tokens.history + tokens.overhead);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestTokens {
    /// The leading system and developer messages.
    pub head: u64,
    /// The tool definitions.
    pub tools: u64,
    /// The messages of the path that are sent.
    pub history: u64,
    /// The summary that replaces older messages.
    #[serde(skip_serializing_if = "is_zero")]
    pub summary: u64,
    /// The messages that are sent with this request only.
    #[serde(skip_serializing_if = "is_zero")]
    pub context: u64,
    /// The tokens that open the reply.
    pub overhead: u64,
    /// Whether a figure is an estimate.
    pub estimated: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

impl RequestTokens {
    /// The whole request.
    pub fn total(&self) -> u64 {
        [self.head, self.tools, self.history, self.summary, self.context, self.overhead]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// What happens to one message of the input, which includes the head.
///
/// # Examples
/// ```
/// use turnwise::{Message, Reason, SlidingWindow, TokenBudget, trim};
///
/// let messages = [Message::system("Be brief."), Message::user("Name a river.")];
/// let plan = trim(&messages, &TokenBudget::limit(100), &SlidingWindow::tokens())?;
/// let reasons: Vec<&Reason> = plan.decisions().map(|decision| decision.reason).collect();
/// assert_eq!(reasons, [&Reason::Head, &Reason::Pending]);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision<'a> {
    /// The message's index, counting the head's messages first, then the path.
    pub index: usize,
    /// Its item; `None` in the head.
    pub item: Option<ItemId>,
    /// Whether it is sent.
    pub fate: Fate,
    /// The reason for that.
    pub reason: &'a Reason,
}

/// A part of a sent message that is not as the API has it, and what is sent instead.
///
/// # Examples
/// ```
/// use turnwise::{Message, SlidingWindow, TokenBudget, ToolCall, trim};
///
/// let messages = [Message::calls([ToolCall::function("c1", "weather", "{city: Oslo}")]), Message::tool("c1", "Rain.")];
/// let plan = trim(&messages, &TokenBudget::limit(1_000), &SlidingWindow::tokens())?;
/// for warning in plan.warnings() {
///     println!("{warning}"); // message 0: the arguments of the call of `weather` are not JSON …
/// }
/// assert_eq!(plan.warnings()[0].message, 0);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Warning {
    /// The message's index in the input, which includes the head.
    pub message: usize,
    /// What was found, and what is sent instead.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {}: {}", self.message, self.text)
    }
}

/// A request that can be sent as it is, with a reason for every message that is sent or left out.
///
/// Only a [`Planner`](super::Planner) makes one. In JSON it has `strategy`, `budget`, `tokens` (the
/// total), `parts` (the arithmetic), `steps` (`{strategy, saved, price}`), `kept`, `shrunk`,
/// `summarized` and `evicted` ([`Run`]s), `moved` (`{message, calls}`: results that are sent
/// directly after their calls and come after other messages in the input), `summary`,
/// `summary_request` and `warnings` (`{message, text}`) where there are any, and `messages`.
///
/// # Examples
/// ```
/// use turnwise::{Fate, Message, SlidingWindow, TokenBudget, trim};
///
/// let messages: Vec<Message> = (1..=20).map(|n| Message::user(format!("This is message {n}."))).collect();
/// let plan = trim(&messages, &TokenBudget::limit(100), &SlidingWindow::tokens())?;
///
/// assert_eq!(plan.messages().len() + plan.evicted(), 20);
/// assert!(plan.tokens().total() <= plan.budget().limit);
/// let left_out = plan.decisions().filter(|decision| decision.fate == Fate::Evicted);
/// assert_eq!(left_out.count(), plan.evicted());
/// println!("{}", plan.explain());
/// println!("{}", serde_json::to_string(&plan.request()).unwrap()); // the body to send
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone)]
pub struct Plan {
    pub(super) spec: String,
    pub(super) budget: ResolvedBudget,
    pub(super) tokens: RequestTokens,
    pub(super) runs: Vec<Run>,
    pub(super) messages: Vec<Message>,
    pub(super) tools: Arc<[Tool]>,
    pub(super) model: Option<String>,
    pub(super) params: Params,
    pub(super) marks: Vec<Mark>,
    pub(super) record: Conversation,
    pub(super) sums: Sums,
    pub(super) cost: ChatCost,
    /// What is sent, in order, in parts that change as a whole; the first is the head.
    pub(super) parts: Vec<Part>,
    /// The messages before they were adapted to the server, if that changed their number or order.
    pub(super) unfitted: Option<Vec<Message>>,
    pub(super) cuts: Vec<Shortened>,
    pub(super) starts_on_user: bool,
    pub(super) summary: Option<SummaryUse>,
    pub(super) summary_request: Option<SummaryRequest>,
    pub(super) vectors: Vectors,
    pub(super) vector_requests: Vec<ItemId>,
    pub(super) steps: Vec<Step>,
    pub(super) dialect: Dialect,
}

/// A fingerprint of what was sent, to find out what a later request repeats: a short hash of
/// everything before the messages (the tools, and instructions that were moved there), and one of
/// each part. It keeps no text in memory.
#[derive(Clone, Debug)]
pub(crate) struct RequestFingerprint(Box<[u32]>);

/// A part of a request: the number of its messages, and their cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) messages: usize,
    pub(super) tokens: u64,
}

impl Plan {
    /// The request: messages, tools, parameters, and the model if the planner has one.
    pub fn request(&self) -> ChatRequest {
        ChatRequest {
            model: self.model.clone(),
            messages: self.messages.clone(),
            tools: self.tools.to_vec(),
            params: self.params.clone(),
        }
    }

    /// How the request is adapted to the server.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// The messages that are sent, as a type of another crate: `plan.messages_as::<T>()` with the
    /// `T` of your client, such as `async-openai`'s `ChatCompletionRequestMessage`.
    ///
    /// # Errors
    /// As [`Message::to_serde`].
    pub fn messages_as<T: serde::de::DeserializeOwned>(&self) -> Result<Vec<T>> {
        self.messages().iter().map(Message::to_serde).collect()
    }

    /// The messages that are sent, in order, the head first: those of [`request`](Self::request),
    /// as adapted to the server ([`Planner::dialect`](super::Planner::dialect)). Members outside
    /// the specification stay in the record.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The strategy that drafted the plan, as written on the command line.
    pub fn strategy(&self) -> &str {
        &self.spec
    }

    /// The budget in integers.
    pub fn budget(&self) -> &ResolvedBudget {
        &self.budget
    }

    /// The cost of the request.
    pub fn tokens(&self) -> &RequestTokens {
        &self.tokens
    }

    /// The whole input in runs of messages with the same fate and reason: the head, if there is
    /// one, then the path, oldest first.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The number of leading system and developer messages.
    pub fn head_len(&self) -> usize {
        self.record.head().len()
    }

    /// The summary that is sent in place of old messages, if any.
    pub fn summary(&self) -> Option<&SummaryUse> {
        self.summary.as_ref()
    }

    /// The summary that would be worth making, if any.
    pub fn summary_request(&self) -> Option<&SummaryRequest> {
        self.summary_request.as_ref()
    }

    /// The items whose vectors would have helped to choose: what is asked, while other messages
    /// have vectors. The plan can be sent whether or not they are made.
    pub fn vector_requests(&self) -> &[ItemId] {
        &self.vector_requests
    }

    /// What each step of the strategy did, and its price, in order. A strategy other than a
    /// [`Ladder`](crate::Ladder) has one step, and `start-on-user` is one more if [something was
    /// left out](super::Planner::start_on_user) for it. The request plus the savings of all steps
    /// is what everything that can be sent would cost, if no required message was shortened.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The number of messages of the input that are not sent themselves.
    pub fn evicted(&self) -> usize {
        self.runs.iter().filter(|run| !run.fate.is_sent()).map(Run::messages).sum()
    }

    /// The fate of every message of the input, in the order of the input.
    pub fn decisions(&self) -> impl Iterator<Item = Decision<'_>> {
        let path = self.record.path();
        let head = self.head_len();
        let mut next = 0;
        (0..head + path.len()).filter_map(move |index| {
            while self.runs.get(next).is_some_and(|run| run.indexes.start <= index) {
                next += 1;
            }
            let here = next.checked_sub(1).and_then(|here| self.runs.get(here));
            let position = index.checked_sub(head);
            let of_group = || position.and_then(|position| self.run_of(path.group_at(position)));
            let run = here.filter(|run| run.indexes.contains(&index)).or_else(of_group)?;
            let item = position.and_then(|position| path.item(position)).map(Item::id);
            Some(Decision { index, item, fate: run.fate, reason: &run.reason })
        })
    }

    /// Parts of sent messages that are not as the API has them: calls whose arguments are not JSON,
    /// or that have no name or no id. They are sent in a form that servers accept
    /// ([`Dialect::fit`](crate::backend::Dialect::fit)); the record keeps the original.
    pub fn warnings(&self) -> Vec<Warning> {
        let head = self.head_len();
        let path = self.record.path();
        let calls = self.groups_sent().filter_map(|group| path.group(group).positions().next());
        let of_calls = |position: usize| {
            let faults = path.item(position).map(|item| call_faults(item.message())).unwrap_or_default();
            faults.into_iter().map(move |text| Warning { message: head + position, text })
        };
        calls.flat_map(of_calls).collect()
    }

    /// The run that holds a group of the path.
    pub(super) fn run_of(&self, group: usize) -> Option<&Run> {
        self.runs.get(self.runs.partition_point(|run| run.groups.end <= group))
    }

    /// The groups of which something is sent, in order.
    fn groups_sent(&self) -> impl Iterator<Item = usize> {
        self.runs.iter().filter(|run| run.fate.is_sent()).flat_map(|run| run.groups.clone())
    }

    /// The sent results that precede other messages in the request but follow them in the record,
    /// because the API requires each result directly after its calls.
    pub fn moved(&self) -> impl Iterator<Item = Moved> {
        let head = self.head_len();
        let path = self.record.path();
        self.groups_sent().flat_map(move |group| {
            let mut positions = path.group(group).positions();
            let calls = positions.next().unwrap_or(0);
            let late = positions.enumerate().filter(move |(results, position)| *position > calls + 1 + results);
            late.map(move |(_, position)| Moved { message: head + position, calls: head + calls })
        })
    }

    /// Writes the marks of the strategy into the record that was planned. Call it after the request
    /// was answered, so that the next plan repeats as much of this one as possible.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if `conversation` does not contain the planned items; nothing is
    /// written then.
    pub fn commit_marks(&self, conversation: &mut Conversation) -> Result<()> {
        let stamp = |record: &Conversation, id| record.get(id).map(Item::stamp);
        let foreign = |mark: &&Mark| stamp(conversation, mark.leaf) != stamp(&self.record, mark.leaf);
        if let Some(mark) = self.marks.iter().find(foreign) {
            let detail = format!("item {} of the plan is not in this conversation", mark.leaf);
            return Err(Error::new(ErrorKind::NotFound, detail));
        }
        self.marks.iter().try_for_each(|mark| conversation.set_mark(mark.clone()))
    }

    /// How many tokens at the start of this request equal the start of the request of `last`, so
    /// that a provider's prompt cache can reuse them. Only whole groups count; head and tools count
    /// if they are equal. If all system messages are joined into one at the start, that one must be
    /// equal.
    pub fn prefix_shared_with(&self, last: &Self) -> u64 {
        if self.tools != last.tools || self.gathered() != last.gathered() {
            return 0;
        }
        let both = self.messages_of_parts().zip(last.messages_of_parts());
        let equal = both.take_while(|(own, last)| own == last).count();
        self.parts.iter().take(equal).map(|part| part.tokens).sum()
    }

    /// The fingerprint that a later plan is compared with.
    pub(crate) fn sent(&self) -> RequestFingerprint {
        let before = Fingerprint::of(&(&*self.tools, self.gathered()));
        let parts = self.messages_of_parts().map(|own| Fingerprint::of(&own));
        RequestFingerprint(std::iter::once(before).chain(parts).map(Fingerprint::short).collect())
    }

    /// The messages of each part, before they are adapted to the server.
    fn messages_of_parts(&self) -> impl Iterator<Item = &[Message]> {
        let mut left = self.unfitted();
        self.parts.iter().map(move |part| {
            let (own, rest) = left.split_at_checked(part.messages).unwrap_or((left, &[]));
            left = rest;
            own
        })
    }

    /// The instructions at the start, if adapting to the server moved others there.
    fn gathered(&self) -> Option<&Message> {
        self.messages.first().filter(|first| self.unfitted.is_some() && first.role().is_instruction())
    }

    /// As [`prefix_shared_with`](Self::prefix_shared_with), from the fingerprints of both requests.
    pub(crate) fn repeats(&self, own: &RequestFingerprint, last: &RequestFingerprint) -> u64 {
        let equal = own.0.iter().zip(&last.0).take_while(|(own, last)| own == last).count();
        self.parts.iter().take(equal.saturating_sub(1)).map(|part| part.tokens).sum()
    }

    fn unfitted(&self) -> &[Message] {
        self.unfitted.as_deref().unwrap_or(&self.messages)
    }

    /// The cost rules that were used.
    pub(crate) fn cost(&self) -> &ChatCost {
        &self.cost
    }

    pub(crate) fn record(&self) -> &Conversation {
        &self.record
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("strategy", &self.spec)
            .field("budget", &self.budget)
            .field("tokens", &self.tokens)
            .field("runs", &self.runs)
            .finish_non_exhaustive()
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut plan = serializer.serialize_struct("Plan", 13)?;
        plan.serialize_field("strategy", &self.spec)?;
        plan.serialize_field("budget", &self.budget)?;
        plan.serialize_field("tokens", &self.tokens.total())?;
        plan.serialize_field("parts", &self.tokens)?;
        plan.serialize_field("steps", &self.steps)?;
        let runs = |fate: Fate| self.runs.iter().filter(|run| run.fate == fate).collect::<Vec<_>>();
        plan.serialize_field("kept", &runs(Fate::Kept))?;
        plan.serialize_field("shrunk", &runs(Fate::Shrunk))?;
        plan.serialize_field("summarized", &runs(Fate::Summarized))?;
        plan.serialize_field("evicted", &runs(Fate::Evicted))?;
        let moved: Vec<Moved> = self.moved().collect();
        if !moved.is_empty() {
            plan.serialize_field("moved", &moved)?;
        }
        if let Some(summary) = &self.summary {
            plan.serialize_field("summary", summary)?;
        }
        if let Some(request) = &self.summary_request {
            plan.serialize_field("summary_request", request)?;
        }
        let warnings = self.warnings();
        if !warnings.is_empty() {
            plan.serialize_field("warnings", &warnings)?;
        }
        plan.serialize_field("messages", &self.messages)?;
        plan.end()
    }
}
