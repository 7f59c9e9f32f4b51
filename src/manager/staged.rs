//! What may be sent next: results where calls wait for them, and nothing else there.

use crate::conversation::{Conversation, Group, GroupState};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Message, Role};

/// Refuses a message that would be recorded behind `record` without being sent, or leave calls unanswered.
pub(super) fn check_staged(record: &Conversation, message: Option<&Message>) -> Result<()> {
    let path = record.path();
    let last = path.groups().checked_sub(1).map(|last| path.group(last));
    let open = last.filter(|group| group.state() == GroupState::Open);
    let open: Vec<Call<'_>> = open.map(open_calls).unwrap_or_default();
    match message {
        Some(message) if matches!(message.role(), Role::Tool | Role::Function) => check_result(message, &open),
        Some(message) if open.is_empty() && message.has_calls() => {
            Err(invalid("calls are not sent without their results; push the calls, then the results"))
        }
        None if last.is_some_and(|group| group.state() == GroupState::Orphan) => {
            Err(invalid("the conversation ends in a result that no call before it waits for"))
        }
        _ if open.is_empty() => Ok(()),
        _ => Err(unanswered(&open)),
    }
}

/// A call by id, or by name where it is the deprecated one of a function.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Call<'a> {
    id: Option<&'a str>,
    name: &'a str,
    is_function: bool,
}

impl<'a> Call<'a> {
    fn is_answered_by(self, result: &Message) -> bool {
        match result.role() {
            Role::Function => self.is_function && result.name() == Some(self.name),
            _ => !self.is_function && self.id == result.tool_call_id(),
        }
    }

    fn of(message: &'a Message) -> Vec<Self> {
        let tools =
            message.tool_calls().iter().map(|call| Self { id: call.id(), name: call.name(), is_function: false });
        let function = message.function_call().map(|call| Self { id: None, name: call.name(), is_function: true });
        tools.chain(function).collect()
    }
}

/// The calls of a group that have no result yet.
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

fn check_result(result: &Message, open: &[Call<'_>]) -> Result<()> {
    let id = result.tool_call_id().or(result.name()).unwrap_or("");
    let waiting = open.iter().position(|call| call.is_answered_by(result));
    match (waiting, open.len()) {
        (Some(_), 1) => Ok(()),
        (Some(answered), _) => {
            let others: Vec<Call<'_>> = [&open[..answered], &open[answered + 1..]].concat();
            let (count, verb) =
                (crate::words::counted(others.len(), "call"), if others.len() == 1 { "has" } else { "have" });
            Err(invalid(&format!(
                "the result for `{id}` would not be sent: {count} beside it {verb} no result ({}); push all results but the last, or \
                 all and ask for a `reply`",
                names(&others)
            )))
        }
        (None, 0) => Err(invalid(&format!("no call waits for the result for `{id}`"))),
        (None, _) => Err(invalid(&format!("no call waits for the result for `{id}`; open: {}", names(open)))),
    }
}

fn unanswered(open: &[Call<'_>]) -> Error {
    let detail = format!("the conversation ends in calls without results: {}; push those first", names(open));
    Error::new(ErrorKind::UnansweredCalls, detail)
}

fn names(calls: &[Call<'_>]) -> String {
    const MOST: usize = 8;
    let one = |call: &Call<'_>| match call.id {
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
