//! What will be sent, and why.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::draft::{Fate, Reason};
use super::runs::{Run, Shortened};
use super::step::{Step, TrimsTo};
use super::summary::{SummaryRequest, SummaryUse};
use crate::budget::ResolvedBudget;
use crate::conversation::{Conversation, ItemId, Mark};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{Fingerprint, Sums};
use crate::message::{Message, call_faults};
use crate::request::{ChatRequest, Params, Tool};
use crate::tokens::ChatCost;

/// A result that is sent before messages that stand before it: directly behind its calls, where somebody spoke before it
/// came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Moved {
    /// The result's index: the head's messages first, then the path.
    pub message: usize,
    /// The index of the message with its call.
    pub calls: usize,
}

/// What the request costs, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestTokens {
    /// The leading system and developer messages.
    pub head: u64,
    /// The tool definitions.
    pub tools: u64,
    /// The messages of the path that are sent.
    pub history: u64,
    /// The summary that stands for what is not sent.
    #[serde(skip_serializing_if = "is_zero")]
    pub summary: u64,
    /// The messages that are sent with this request only.
    #[serde(skip_serializing_if = "is_zero")]
    pub context: u64,
    /// What opens the reply.
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

/// What happens to one message of the input, the head included.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision<'a> {
    /// The message's index: the head's messages first, then the path.
    pub index: usize,
    /// Its item; `None` in the head.
    pub item: Option<ItemId>,
    /// Whether it is sent.
    pub fate: Fate,
    /// Why.
    pub reason: &'a Reason,
}

/// Something in a message that is sent, which the API does not have so, and what is sent instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Warning {
    /// The message's index in the input, the head included.
    pub message: usize,
    /// What was found, and what is sent.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {}: {}", self.message, self.text)
    }
}

/// A request that can be sent as it stands, with the reason for every message that is in it or not.
///
/// Only a [`Planner`](super::Planner) makes one. In JSON it has `strategy`, `budget`, `tokens` (the total), `parts`
/// (the arithmetic), `steps` (`{strategy, saved, price}`), `kept`, `shrunk`, `summarized` and `evicted` (runs of `{from, to, messages, tokens, reason}`: indexes
/// into the input's messages, the head included, `to` exclusive; `saved` tokens of those that are sent smaller; `apart`,
/// the indexes of results that belong to the run and stand behind other messages), `moved` (`{message, calls}`: results that
/// are sent directly behind their calls, and stand behind other messages), `summary`,
/// `summary_request` and `warnings` (`{message, text}`) where there are any, and `messages`.
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
    /// The messages before they were fitted to a server, where that changed their number or order.
    pub(super) unfitted: Option<Vec<Message>>,
    pub(super) cuts: Vec<Shortened>,
    pub(super) starts_on_user: bool,
    pub(super) summary: Option<SummaryUse>,
    pub(super) summary_request: Option<SummaryRequest>,
    pub(super) steps: Vec<Step>,
    pub(super) trims_to: TrimsTo,
}

/// What was sent, as far as it tells what a later request repeats: a short hash of what stands before the messages (the
/// tools, and instructions that were moved there), and one of each part. It keeps no text alive.
#[derive(Clone, Debug)]
pub(crate) struct RequestFingerprint(Box<[u32]>);

/// A part of a request: how many messages, and what they cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) messages: usize,
    pub(super) tokens: u64,
}

impl Plan {
    /// The request: messages, tools, parameters, and the model if the planner was given one.
    pub fn request(&self) -> ChatRequest {
        ChatRequest {
            model: self.model.clone(),
            messages: self.messages.clone(),
            tools: self.tools.to_vec(),
            params: self.params.clone(),
        }
    }

    /// The messages that are sent, as a type of another crate: `plan.messages_as::<T>()` with the
    /// `T` of your client, such as `async-openai`'s `ChatCompletionRequestMessage`.
    ///
    /// # Errors
    /// As [`Message::to_serde`].
    pub fn messages_as<T: serde::de::DeserializeOwned>(&self) -> Result<Vec<T>> {
        self.messages().iter().map(Message::to_serde).collect()
    }

    /// The messages that are sent, in order, the head first: those of [`request`](Self::request), without what the server
    /// is not to get ([`Planner::dialect`](super::Planner::dialect)). What a message holds beside the specification stays in
    /// the record.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The strategy that drafted it, as it is written on the command line.
    pub fn strategy(&self) -> &str {
        &self.spec
    }

    /// The budget in integers.
    pub fn budget(&self) -> &ResolvedBudget {
        &self.budget
    }

    /// What the request costs.
    pub fn tokens(&self) -> &RequestTokens {
        &self.tokens
    }

    /// The path in runs, oldest first.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The number of leading system and developer messages.
    pub fn head_len(&self) -> usize {
        self.record.head().len()
    }

    /// The summary that is sent in the place of old messages, if one is.
    pub fn summary(&self) -> Option<&SummaryUse> {
        self.summary.as_ref()
    }

    /// The summary that would be worth making, if one would.
    pub fn summary_request(&self) -> Option<&SummaryRequest> {
        self.summary_request.as_ref()
    }

    /// What each step of the strategy did, and its price, in the order of the steps. A strategy that is no
    /// [`Ladder`](crate::Ladder) has one, and `start-on-user` is one more where
    /// [something was left out](super::Planner::start_on_user) for it. What they saved and the request are together what all that can be sent would cost,
    /// where what must be answered is not cut.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The number of messages of the input that are not sent themselves.
    pub fn evicted(&self) -> usize {
        self.runs.iter().filter(|run| !run.fate.is_sent()).map(Run::messages).sum()
    }

    /// Every message of the input with its fate, one at a time, in the order of the input.
    pub fn decisions(&self) -> impl Iterator<Item = Decision<'_>> {
        let head = self.head_len();
        let in_head = (0..head).map(|index| Decision { index, item: None, fate: Fate::Kept, reason: &Reason::Head });
        let mut next = 0;
        let on_path = (0..self.record.path().len()).filter_map(move |position| {
            while self.runs.get(next).is_some_and(|run| run.positions.start <= position) {
                next += 1;
            }
            let here = next.checked_sub(1).and_then(|index| self.runs.get(index));
            let run = here.filter(|run| run.positions.contains(&position)).or_else(|| self.run_at(position))?;
            Some(Decision {
                index: head + position,
                item: self.record.path().item(position).map(crate::conversation::Item::id),
                fate: run.fate,
                reason: &run.reason,
            })
        });
        in_head.chain(on_path)
    }

    /// What of the messages that are sent is not as the API has it: calls whose arguments are no JSON, or that have no name
    /// or no id. They are sent in a form that servers take ([`Dialect::fit`](crate::backend::Dialect::fit)); the record keeps
    /// what came.
    pub fn warnings(&self) -> Vec<Warning> {
        let (head, path) = (self.head_len(), self.record.path());
        let sent = self.runs.iter().filter(|run| run.fate.is_sent()).flat_map(|run| run.positions.clone());
        let of_message = |position: usize| {
            let faults = path.item(position).map(|item| call_faults(item.message())).unwrap_or_default();
            faults.into_iter().map(move |text| Warning { message: head + position, text })
        };
        sent.flat_map(of_message).collect()
    }

    /// The run that holds a position, wherever its other items stand.
    fn run_at(&self, position: usize) -> Option<&Run> {
        let group = self.record.path().group_at(position);
        self.runs.get(self.runs.partition_point(|run| run.groups.end <= group))
    }

    /// The results that are sent, and before messages that stand before them: the API wants each directly behind its calls.
    pub fn moved(&self) -> impl Iterator<Item = Moved> {
        let (path, head) = (self.record.path(), self.head_len());
        let sent = self.runs.iter().filter(|run| run.fate.is_sent()).flat_map(|run| run.groups.clone());
        sent.flat_map(move |group| {
            let mut positions = path.group(group).positions();
            let calls = positions.next().unwrap_or(0);
            let late = positions.enumerate().filter(move |(results, position)| *position > calls + 1 + results);
            late.map(move |(_, position)| Moved { message: head + position, calls: head + calls })
        })
    }

    /// Writes the positions that the strategy wants to find again into the record that was planned. To be called when
    /// the request was answered, so that the next plan repeats as much as possible of this one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when `conversation` does not hold the items that were planned; nothing is written then.
    pub fn commit_marks(&self, conversation: &mut Conversation) -> Result<()> {
        let stamp = |record: &Conversation, id| record.get(id).map(crate::conversation::Item::stamp);
        let foreign = |mark: &&Mark| stamp(conversation, mark.head) != stamp(&self.record, mark.head);
        if let Some(mark) = self.marks.iter().find(foreign) {
            let detail = format!("item {} of the plan is not in this conversation", mark.head);
            return Err(Error::new(ErrorKind::NotFound, detail));
        }
        self.marks.iter().try_for_each(|mark| conversation.set_mark(mark.clone()))
    }

    /// Tokens at the start of this request that the request of `last` had at its start too: what a provider's prompt
    /// cache can reuse. Whole groups; head and tools count when they are equal. Where all system messages are put into one
    /// at the start, that one must be equal.
    pub fn prefix_shared_with(&self, last: &Self) -> u64 {
        self.repeats(&self.sent(), &last.sent())
    }

    /// What a later plan is compared with.
    pub(crate) fn sent(&self) -> RequestFingerprint {
        let before = Fingerprint::of(&(&*self.tools, self.gathered()));
        let mut left = self.unfitted();
        let parts = self.parts.iter().map(|part| {
            let (own, rest) = left.split_at_checked(part.messages).unwrap_or((left, &[]));
            left = rest;
            Fingerprint::of(&own)
        });
        RequestFingerprint(std::iter::once(before).chain(parts).map(Fingerprint::short).collect())
    }

    /// The instructions at the start, where fitting them to a server moved others there.
    fn gathered(&self) -> Option<&Message> {
        self.messages.first().filter(|first| self.unfitted.is_some() && first.role().is_instruction())
    }

    /// As [`prefix_shared_with`](Self::prefix_shared_with), with what both sent.
    pub(crate) fn repeats(&self, own: &RequestFingerprint, last: &RequestFingerprint) -> u64 {
        let equal = own.0.iter().zip(&last.0).take_while(|(own, last)| own == last).count();
        self.parts.iter().take(equal.saturating_sub(1)).map(|part| part.tokens).sum()
    }

    fn unfitted(&self) -> &[Message] {
        self.unfitted.as_deref().unwrap_or(&self.messages)
    }

    /// How it was counted.
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
        plan.serialize_field("kept", &self.rows(Fate::Kept))?;
        plan.serialize_field("shrunk", &self.rows(Fate::Shrunk))?;
        plan.serialize_field("summarized", &self.rows(Fate::Summarized))?;
        plan.serialize_field("evicted", &self.rows(Fate::Evicted))?;
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

/// A run as JSON shows it: by indexes into the input's messages, the head included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// The first message.
    pub from: usize,
    /// The message behind the last.
    pub to: usize,
    /// Messages of the run that stand behind others: results that somebody spoke before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<usize>,
    /// How many messages it has.
    pub messages: usize,
    /// What they cost; where they are sent smaller, what is sent.
    pub tokens: u64,
    /// What was saved by sending them smaller.
    #[serde(skip_serializing_if = "is_zero")]
    pub saved: u64,
    /// Why they are sent, or not.
    pub reason: Reason,
}

impl Plan {
    /// The runs of one fate with indexes into the input's messages; the head is the first run that is kept.
    pub fn rows(&self, fate: Fate) -> Vec<Row> {
        let head = self.head_len();
        let row = |run: &Run| Row {
            from: run.positions.start + head,
            to: run.positions.end + head,
            apart: run.apart.iter().map(|position| position + head).collect(),
            messages: run.messages(),
            tokens: run.tokens,
            saved: run.saved,
            reason: run.reason.clone(),
        };
        let first = (fate == Fate::Kept && head > 0).then_some(Row {
            from: 0,
            to: head,
            apart: Vec::new(),
            messages: head,
            tokens: self.tokens.head,
            saved: 0,
            reason: Reason::Head,
        });
        first.into_iter().chain(self.runs.iter().filter(|run| run.fate == fate).map(row)).collect()
    }
}
