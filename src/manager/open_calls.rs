//! The calls at the end of a conversation that wait for their results.

use std::collections::{HashMap, VecDeque};

use super::ConversationManager;
use crate::conversation::{Conversation, Item, ItemId};
use crate::message::{Content, FunctionCall, Message, Role, ToolCall};

/// A call at the end of the conversation whose result is not in the record yet; see
/// [`ConversationManager::open_calls`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenCall {
    /// The call. One that came as the deprecated `function_call` has no id.
    pub call: ToolCall,
    /// What is known of it.
    pub outcome: Outcome,
    /// Its place among the calls of its message.
    pub(super) place: usize,
    /// As it came, where it is the deprecated call of a function.
    function: Option<FunctionCall>,
}

/// What is known of an [open call](OpenCall).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// No tool loop has started it.
    Waiting,
    /// A tool loop has started it, and there is no result: it is running, or it was stopped while it ran, and nobody
    /// knows what it has done.
    Started,
    /// It has run. The result is sent when all calls of the reply have one.
    Finished(Message),
}

impl ConversationManager {
    /// The calls at the end of the conversation that wait for their results, in their order, with what a stopped
    /// [tool loop](super::ToolLoop) has left of each. Empty where the conversation does not end in calls.
    ///
    /// [`respond`](Self::respond) needs results for those that are not [finished](Outcome::Finished).
    pub fn open_calls(&self) -> Vec<OpenCall> {
        open_calls(&self.snapshot())
    }
}

impl OpenCall {
    /// The call's result as a message.
    pub fn result(&self, content: impl Into<Content>) -> Message {
        match &self.function {
            Some(function) => Message::function_result(function, content.into()),
            None => Message::tool(self.call.id().unwrap_or_default(), content),
        }
    }

    /// Why no handler can run it, as the model is told; `None` where one can.
    pub(super) fn refusal(&self) -> Option<String> {
        if self.call.name().trim().is_empty() {
            return Some("the call has no name of a tool".to_owned());
        }
        let why = self.call.invalid_arguments()?;
        Some(format!("the arguments are not a JSON object ({why}); nothing was run, call again with one JSON object"))
    }

    /// All calls of a message.
    pub(super) fn all(message: &Message) -> Vec<Self> {
        let tools = message.tool_calls().iter().map(|call| (call.clone(), None));
        let function = message.function_call().map(|call| (ToolCall::of_function(call), Some(call.clone())));
        let open = |(place, (call, function))| Self { call, outcome: Outcome::Waiting, place, function };
        tools.chain(function).enumerate().map(open).collect()
    }

    /// Its id and its tool, for a sentence.
    pub(super) fn named(&self) -> String {
        match self.call.id() {
            Some(id) => format!("`{id}` of `{}`", self.call.name()),
            None => format!("of `{}`", self.call.name()),
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(self.outcome, Outcome::Finished(_))
    }
}

/// Calls that wait for results, to be taken out by them.
pub(super) struct Unanswered {
    calls: Vec<Option<OpenCall>>,
    /// Where the calls stand that a result with this role and id, or name, answers: first those that have not run.
    places: HashMap<(bool, String), VecDeque<usize>>,
}

impl Unanswered {
    pub(super) fn new(calls: Vec<OpenCall>) -> Self {
        let mut places: HashMap<_, VecDeque<usize>> = HashMap::new();
        for is_finished in [false, true] {
            for (place, call) in calls.iter().enumerate().filter(|(_, call)| call.is_finished() == is_finished) {
                let key = match &call.function {
                    Some(function) => (true, function.name().to_owned()),
                    None => (false, call.call.id().unwrap_or_default().to_owned()),
                };
                places.entry(key).or_default().push_back(place);
            }
        }
        Self { calls: calls.into_iter().map(Some).collect(), places }
    }

    /// Takes out the call that a result answers; an error says whether one was answered before.
    pub(super) fn take(&mut self, result: &Message) -> std::result::Result<OpenCall, bool> {
        let key = match result.role() {
            Role::Function => (true, result.name().unwrap_or_default().to_owned()),
            _ => (false, result.tool_call_id().unwrap_or_default().to_owned()),
        };
        let places = self.places.get_mut(&key).ok_or(false)?;
        let call = places.pop_front().and_then(|place| self.calls.get_mut(place)?.take());
        call.ok_or(true)
    }

    /// The calls that are left, in their order.
    pub(super) fn left(self) -> Vec<OpenCall> {
        self.calls.into_iter().flatten().collect()
    }
}

/// The item whose calls are open: the last one that calls, since the last reply.
pub(super) fn calling_item(record: &Conversation) -> Option<&Item> {
    let path = record.path();
    path.item(path.open_calls()?.positions().next()?)
}

/// The calls since the last reply that have no result in the record.
pub(super) fn open_calls(record: &Conversation) -> Vec<OpenCall> {
    let (Some(group), Some(item)) = (record.path().open_calls(), calling_item(record)) else { return Vec::new() };
    let mut open = Unanswered::new(OpenCall::all(item.message()));
    for result in group.messages().skip(1) {
        // Every result in the group answers one of its calls.
        let _ = open.take(result);
    }
    let mut open = open.left();
    let Some(round) = record.round(item.id()) else { return open };
    for call in &mut open {
        call.outcome = match round.calls.get(&call.place).map(|started| &started.result) {
            None => Outcome::Waiting,
            Some(None) => Outcome::Started,
            Some(Some(result)) => Outcome::Finished(result.clone()),
        };
    }
    open
}

/// The results that another branch has for calls of an item, by the calls' places; the newest first.
pub(super) fn results_elsewhere(record: &Conversation, item: ItemId) -> Vec<(usize, Message)> {
    let Some(calls) = record.get(item).map(|item| OpenCall::all(item.message())) else { return Vec::new() };
    let mut found = Vec::new();
    for results in record.results_behind(item) {
        let mut open = Unanswered::new(calls.clone());
        for result in results {
            found.extend(open.take(result).ok().map(|call| (call.place, result.clone())));
        }
    }
    found
}
