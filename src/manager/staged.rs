//! What may be sent next: results where calls wait for them, and nothing else there.

use super::open_calls::{OpenCall, Outcome, Unanswered, open_calls};
use crate::conversation::{Conversation, Group, GroupState, Item};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Message, Role};
use crate::text::counted;

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

/// The record with what is asked behind it. The results of a tool loop that was stopped are recorded with those that are
/// given.
pub(super) fn stage(mut record: Conversation, ask: &Ask) -> Result<Conversation> {
    if let Ask::Again = ask {
        back_to_question(&mut record)?;
    }
    let open = Open::of(&record);
    let messages = match ask {
        Ask::Message(message) if is_result(message) => open.results(std::slice::from_ref(message))?,
        Ask::Message(message) if message.has_calls() && !open.is_last => {
            return Err(invalid("calls are not sent without their results; push the calls, then the results"));
        }
        Ask::Results(results) => open.results(results)?,
        Ask::Message(message) => {
            open.check_none()?;
            vec![message.clone()]
        }
        Ask::Reply | Ask::Again => {
            check_end(&record)?;
            open.check_none()?;
            Vec::new()
        }
    };
    for message in messages {
        record.push(message);
    }
    record.drop_answered_rounds();
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
    message.is_result()
}

/// The calls since the last reply that have no result in the record.
struct Open {
    calls: Vec<OpenCall>,
    /// Whether the path ends in them or their results. Somebody who spoke since then is answered without them, if their
    /// results do not come first.
    is_last: bool,
}

impl Open {
    fn of(record: &Conversation) -> Self {
        let open = record.path().open_calls().map(Group::index);
        let is_last = open.is_some() && open == last_group(record).map(Group::index);
        Self { calls: open_calls(record), is_last }
    }

    fn check_none(&self) -> Result<()> {
        if !self.is_last {
            return Ok(());
        }
        let what_to_do = if self.calls.iter().any(OpenCall::is_finished) {
            "`resume_tools` goes on, or `respond` with the results that are missing"
        } else {
            "push those first, or `respond` with them"
        };
        Err(unanswered(&self.calls, what_to_do))
    }

    /// The given results, and those that a tool loop has left of other calls: one for each open call. A result that is
    /// given for a call that has run takes the place of its own.
    fn results(&self, given: &[Message]) -> Result<Vec<Message>> {
        let mut waiting = Unanswered::new(self.calls.clone());
        let mut results = Vec::with_capacity(self.calls.len());
        for result in given {
            if !is_result(result) {
                return Err(invalid(&format!("a {} message is no result of a call", result.role().as_str())));
            }
            let call = waiting.take(result).map_err(|is_second| self.unknown(result, is_second))?;
            results.push((call.place, result.clone()));
        }
        let mut waiting = waiting.left();
        let mut has_kept = false;
        waiting.retain(|call| {
            if let Outcome::Finished(result) = &call.outcome {
                results.push((call.place, result.clone()));
                has_kept = true;
            }
            !call.is_finished()
        });
        if !waiting.is_empty() {
            return Err(unanswered(&waiting, "`respond` with all results at once"));
        }
        if results.is_empty() {
            return Err(invalid("no results were given, and no call waits for one"));
        }
        if has_kept {
            results.sort_by_key(|(place, _)| *place);
        }
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }

    fn unknown(&self, result: &Message, is_second: bool) -> Error {
        let id = result.tool_call_id().or(result.name()).unwrap_or("");
        let detail = match self.calls.len() {
            _ if is_second => format!("two results for `{id}`; each call has one"),
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

fn unanswered(open: &[OpenCall], what_to_do: &str) -> Error {
    let calls = counted(open.len(), "call");
    let detail = format!("{calls} without a result: {}; {what_to_do}", names(open));
    Error::new(ErrorKind::UnansweredCalls, detail)
}

fn names(calls: &[OpenCall]) -> String {
    const MOST: usize = 8;
    let one = |open: &OpenCall| match open.call.id() {
        Some(id) => format!("`{id}` ({})", open.call.name()),
        None => open.call.name().to_owned(),
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
