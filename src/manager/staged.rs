//! What may be sent next: results where calls wait for them, and nothing else there.

use crate::conversation::{Conversation, Group, GroupState, Item};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Message, Role, ToolCall};
use crate::words::counted;

/// What an exchange asks for.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// An answer to a message.
    Message(Message),
    /// An answer to the results of the open calls.
    Results(Vec<Message>),
    /// An answer to the conversation as it stands.
    Reply,
    /// Another answer to the last user message.
    Again,
}

impl Ask {
    /// The messages that it adds.
    pub(super) fn messages(&self) -> &[Message] {
        match self {
            Self::Message(message) => std::slice::from_ref(message),
            Self::Results(results) => results,
            Self::Reply | Self::Again => &[],
        }
    }
}

/// The record with what is asked behind it.
pub(super) fn stage(mut record: Conversation, ask: &Ask) -> Result<Conversation> {
    if let Ask::Again = ask {
        back_to_question(&mut record)?;
    }
    let open = Open::of(&record);
    match ask {
        Ask::Message(message) if is_result(message) => open.check_results(std::slice::from_ref(message))?,
        Ask::Message(message) if message.has_calls() && !open.is_last => {
            return Err(invalid("calls are not sent without their results; push the calls, then the results"));
        }
        Ask::Results(results) => open.check_results(results)?,
        Ask::Message(_) => open.check_none()?,
        Ask::Reply | Ask::Again => {
            check_end(&record)?;
            open.check_none()?;
        }
    }
    for message in ask.messages() {
        record.push(message.clone());
    }
    Ok(record)
}

/// Ends the path with its last user message. What was answered stays as a branch.
fn back_to_question(record: &mut Conversation) -> Result<()> {
    let path = record.path();
    let mut items = (0..path.len()).rev().filter_map(|position| path.item(position));
    let question = items.find(|item| *item.message().role() == Role::User).map(Item::id);
    let question = question.ok_or_else(|| {
        let detail = "there is no user message on the path to answer again";
        Error::new(ErrorKind::NotFound, detail)
    })?;
    record.switch(question)
}

fn check_end(record: &Conversation) -> Result<()> {
    match last_group(record).map(Group::state) {
        Some(GroupState::Orphan) => Err(invalid("the conversation ends in a result that no call before it waits for")),
        _ => Ok(()),
    }
}

fn is_result(message: &Message) -> bool {
    matches!(message.role(), Role::Tool | Role::Function)
}

/// The calls since the last reply that have no result yet.
struct Open<'a> {
    calls: Vec<Call<'a>>,
    /// Whether the path ends in them or their results. Somebody who spoke since then is answered without them, if their
    /// results do not come first.
    is_last: bool,
}

/// A call that is answered by its id, or by its name where it is the deprecated one of a function.
#[derive(Clone, Copy)]
struct Call<'a> {
    /// `None` for that of a function.
    tool: Option<&'a ToolCall>,
    name: &'a str,
}

impl<'a> Call<'a> {
    fn id(self) -> Option<&'a str> {
        self.tool.and_then(ToolCall::id)
    }

    fn is_answered_by(self, result: &Message) -> bool {
        match result.role() {
            Role::Function => self.tool.is_none() && result.name() == Some(self.name),
            _ => self.tool.is_some() && self.id().unwrap_or("") == result.tool_call_id().unwrap_or(""),
        }
    }

    fn of(message: &'a Message) -> Vec<Self> {
        let tools = message.tool_calls().iter().map(|call| Self { tool: Some(call), name: call.name() });
        let function = message.function_call().map(|call| Self { tool: None, name: call.name() });
        tools.chain(function).collect()
    }
}

impl<'a> Open<'a> {
    fn of(record: &'a Conversation) -> Self {
        let open = record.path().open_calls();
        let last = last_group(record).map(Group::index);
        let is_last = open.is_some() && open.map(Group::index) == last;
        Self { calls: open.map(open_calls).unwrap_or_default(), is_last }
    }

    fn check_none(&self) -> Result<()> {
        if self.is_last {
            return Err(unanswered(&self.calls, "push those first, or `respond` with them"));
        }
        Ok(())
    }

    /// Every open call has one result, and every result a call.
    fn check_results(&self, results: &[Message]) -> Result<()> {
        let mut waiting = self.calls.clone();
        for result in results {
            if !is_result(result) {
                return Err(invalid(&format!("a {} message is no result of a call", result.role().as_str())));
            }
            match waiting.iter().position(|call| call.is_answered_by(result)) {
                Some(answered) => drop(waiting.remove(answered)),
                None => return Err(self.unknown(result)),
            }
        }
        match waiting.is_empty() {
            true if results.is_empty() => Err(invalid("no results were given, and no call waits for one")),
            true => Ok(()),
            false => Err(unanswered(&waiting, "`respond` with all results at once")),
        }
    }

    fn unknown(&self, result: &Message) -> Error {
        let id = result.tool_call_id().or(result.name()).unwrap_or("");
        let answered = self.calls.iter().any(|call| call.is_answered_by(result));
        let detail = match self.calls.len() {
            _ if answered => format!("two results for `{id}`; each call has one"),
            0 => format!("no call waits for the result for `{id}`"),
            _ => format!("no call waits for the result for `{id}`; open: {}", names(&self.calls)),
        };
        Error::new(ErrorKind::UnknownCall, detail)
    }
}

/// The group of the path's last item.
fn last_group(record: &Conversation) -> Option<Group<'_>> {
    let path = record.path();
    path.len().checked_sub(1).map(|last| path.group(path.group_at(last)))
}

/// The tool calls since the last reply that have no result yet.
pub(super) fn open_tool_calls(record: &Conversation) -> Vec<ToolCall> {
    Open::of(record).calls.into_iter().filter_map(|call| call.tool.cloned()).collect()
}

fn open_calls(group: Group<'_>) -> Vec<Call<'_>> {
    let mut messages = group.messages();
    let mut open = messages.next().map(Call::of).unwrap_or_default();
    for result in messages {
        if let Some(answered) = open.iter().position(|call| call.is_answered_by(result)) {
            open.remove(answered);
        }
    }
    open
}

fn unanswered(open: &[Call<'_>], what_to_do: &str) -> Error {
    let calls = counted(open.len(), "call");
    let detail = format!("{calls} without a result: {}; {what_to_do}", names(open));
    Error::new(ErrorKind::UnansweredCalls, detail)
}

fn names(calls: &[Call<'_>]) -> String {
    const MOST: usize = 8;
    let one = |call: &Call<'_>| match call.id() {
        Some(id) => format!("`{id}` ({})", call.name),
        None => call.name.to_owned(),
    };
    let named: Vec<String> = calls.iter().take(MOST).map(one).collect();
    match calls.len().saturating_sub(MOST) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn invalid(detail: &str) -> Error {
    Error::new(ErrorKind::InvalidMessage, detail)
}
