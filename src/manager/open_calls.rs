//! `OpenCall`: a call at the end of a conversation without a recorded result.

use std::collections::BTreeMap;

use super::ConversationManager;
use crate::conversation::{Conversation, Item, ItemId, OpenCalls};
use crate::error::Result;
use crate::message::{Content, FunctionCall, Message, ToolCall};

/// A call at the end of the conversation whose result is not in the record yet; see
/// [`ConversationManager::open_calls`].
///
/// # Examples
/// ```
/// # use turnwise::{ConversationManager, ToolCall, backend::Scripted};
/// # futures_lite::future::block_on(async {
/// # let call = ToolCall::function("c1", "weather", r#"{"city":"Oslo"}"#);
/// # let backend = Scripted::default().and([call]).and("It rains.");
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
/// chat.send("How is the weather in Oslo?").await?; // the model calls `weather`
/// let results: Vec<_> = chat.open_calls().iter().map(|open| open.result("rain")).collect();
/// assert_eq!(chat.respond(results).await?.text(), "It rains.");
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenCall {
    /// The call. The deprecated `function_call` has no id.
    pub call: ToolCall,
    /// Its state.
    pub outcome: Outcome,
    /// Its index among the calls of its message.
    pub(super) place: usize,
    /// The original value, if it is the deprecated function call.
    function: Option<FunctionCall>,
}

/// The state of an [open call](OpenCall).
///
/// # Examples
/// ```
/// use turnwise::manager::Outcome;
/// use turnwise::{ConversationManager, Message, ToolCall};
///
/// let chat = ConversationManager::builder("gpt-4o-mini").build()?;
/// chat.push("Is it raining in Oslo?")?;
/// chat.push(Message::calls([ToolCall::function("c1", "weather", "{}")]))?;
/// for open in chat.open_calls() {
///     match &open.outcome {
///         Outcome::Waiting => println!("{} has not run", open.call.name()),
///         Outcome::Started => println!("{} may have run", open.call.name()),
///         Outcome::Finished(result) => println!("{}: {}", open.call.name(), result.text()),
///         _ => {}
///     }
/// }
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// No tool loop has started it yet.
    Waiting,
    /// A tool loop has started it, and there is no result: it is running, or it was stopped while
    /// running, and it is not known what it has done.
    Started,
    /// It has run. The result is sent when every call of the reply has one.
    Finished(Message),
}

impl ConversationManager {
    /// The calls at the end of the conversation that have no recorded result, in order, with the
    /// state in which a stopped [tool loop](super::ToolLoop) has left each. Empty if the
    /// conversation does not end in calls.
    ///
    /// [`respond`](Self::respond) needs results for those that are not
    /// [finished](Outcome::Finished); [`abandon_calls`](Self::abandon_calls) closes all of them.
    pub fn open_calls(&self) -> Vec<OpenCall> {
        open_calls(&self.snapshot())
    }

    /// Records a result for every [open call](Self::open_calls), so that the conversation can go on
    /// with another message: after a user has stopped a [tool loop](super::ToolLoop), or nobody
    /// approves its calls. Nothing is sent. A call that has run keeps the result that it has; for
    /// the others the model is told the reason, and whether the call may have done its work.
    ///
    /// Returns the number of calls that were given up for this reason.
    ///
    /// # Errors
    /// Those of [`edit_record`](Self::edit_record), such as
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) while a tool loop is running: drop its future
    /// first.
    ///
    /// # Examples
    /// ```
    /// # use turnwise::{Approval, ConversationManager, ToolCall, backend::Scripted};
    /// # futures_lite::future::block_on(async {
    /// # let call = ToolCall::function("c1", "refund", "{}");
    /// # let backend = Scripted::default().and([call]).and("As you like.");
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// # let tools = async |_: ToolCall| "refunded";
    /// let stopped = chat.run_tools("Refund my order.", tools).approve(async |calls| vec![Approval::Stop; calls.len()]);
    /// assert!(stopped.await.is_err());
    ///
    /// chat.abandon_calls("stopped by the user")?;
    /// chat.send("Never mind.").await?;
    /// assert_eq!(chat.history()[2].text(), "Error: stopped by the user; the call was not run");
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn abandon_calls(&self, reason: &str) -> Result<usize> {
        self.edit_record(|record| Ok(abandon(record, reason)))
    }
}

/// Records a result for every open call, and returns how many had none.
fn abandon(record: &mut Conversation, reason: &str) -> usize {
    let Some(item) = calling_item(record).map(Item::id) else { return 0 };
    let mut elsewhere = BTreeMap::new();
    for (place, result) in results_elsewhere(record, item) {
        elsewhere.entry(place).or_insert(result);
    }
    let mut abandoned = 0;
    for call in open_calls(record) {
        let known = match &call.outcome {
            Outcome::Finished(result) => Some(result.clone()),
            Outcome::Waiting | Outcome::Started => elsewhere.remove(&call.place),
        };
        abandoned += usize::from(known.is_none());
        record.push(known.unwrap_or_else(|| call.abandoned(reason)));
    }
    record.drop_answered_rounds();
    abandoned
}

impl OpenCall {
    /// The call's result as a message: with this content, or the recorded one if the call is
    /// [finished](Outcome::Finished).
    pub fn result(&self, content: impl Into<Content>) -> Message {
        match (&self.outcome, &self.function) {
            (Outcome::Finished(result), _) => result.clone(),
            (_, Some(function)) => Message::function_result(function, content.into()),
            (_, None) => Message::tool(self.call.id().unwrap_or_default(), content),
        }
    }

    /// The result of a call that is not run because of what is wrong with it, or with its approval.
    pub(super) fn refused(&self, why: &str) -> Message {
        let before = match self.outcome {
            Outcome::Started => "; it was started earlier and may have done its work then",
            Outcome::Waiting | Outcome::Finished(_) => "",
        };
        self.result(format!("Error: {why}{before}"))
    }

    /// The result of a call that nobody runs any more.
    fn abandoned(&self, reason: &str) -> Message {
        let run = match self.outcome {
            Outcome::Started => "the call was started, and may have done its work",
            Outcome::Waiting | Outcome::Finished(_) => "the call was not run",
        };
        self.result(format!("Error: {reason}; {run}"))
    }

    /// Why no handler can run it, in words for the model; `None` if one can.
    pub(super) fn refusal(&self) -> Option<String> {
        if self.call.name().trim().is_empty() {
            return Some("the call does not name a tool".to_owned());
        }
        let why = self.call.invalid_arguments()?;
        Some(format!("the arguments are not a JSON object ({why}); nothing was run; call again with one JSON object"))
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

/// The item whose calls are open: the last one with calls since the last reply.
pub(super) fn calling_item(record: &Conversation) -> Option<&Item> {
    let path = record.path();
    let (group, _) = path.open_calls()?;
    path.item(group.positions().next()?)
}

/// The calls since the last reply without a result in the record.
pub(super) fn open_calls(record: &Conversation) -> Vec<OpenCall> {
    let (Some((_, open)), Some(item)) = (record.path().open_calls(), calling_item(record)) else { return Vec::new() };
    let places = open.places();
    let mut calls = OpenCall::all(item.message());
    calls.retain(|call| places.binary_search(&call.place).is_ok());
    let Some(round) = record.round(item.id()) else { return calls };
    for call in &mut calls {
        call.outcome = match round.calls.get(&call.place).map(|started| &started.result) {
            None => Outcome::Waiting,
            Some(None) => Outcome::Started,
            Some(Some(result)) => Outcome::Finished(result.clone()),
        };
    }
    calls
}

/// The results that other branches have for the calls of an item, by the calls' indexes; the newest
/// first.
pub(super) fn results_elsewhere(record: &Conversation, item: ItemId) -> Vec<(usize, Message)> {
    let Some(item) = record.get(item) else { return Vec::new() };
    let calls = OpenCalls::of(item.message());
    let mut found = Vec::new();
    for results in record.results_behind(item.id()) {
        let mut open = calls.clone();
        for result in results {
            found.extend(open.answer(result).ok().map(|place| (place, result.clone())));
        }
    }
    found
}
