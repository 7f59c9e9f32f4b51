//! `Ask` and `stage`: which messages may be sent next. Open calls accept only their results.

use super::open_calls::{OpenCall, Outcome, open_calls};
use crate::conversation::{Conversation, Group, GroupState, Item, ItemId, OpenCalls, Unpaired};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Message, Role};
use crate::text::counted;

/// What an exchange asks for.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// A reply to a message.
    Message(Message),
    /// A reply to the results of the open calls.
    Results(Vec<Message>),
    /// A reply to the conversation as it is.
    Reply,
    /// Another reply to the last user message.
    Again,
}

/// The record followed by the messages to send. Results that a stopped tool loop has recorded are
/// added to those that are given.
pub(super) fn stage(mut record: Conversation, ask: &Ask) -> Result<Conversation> {
    if let Ask::Again = ask {
        back_to_question(&mut record)?;
    }
    let open = Open::of(&record);
    let messages = match ask {
        Ask::Message(message) if message.is_result() => open.results(std::slice::from_ref(message))?,
        Ask::Message(message) if message.has_calls() && !open.is_last => {
            return Err(invalid("calls cannot be sent without their results; push the calls, then the results"));
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

/// Records a message without sending it. While calls are open at the end of the path, only results
/// are accepted, and what the user says meanwhile, which can be answered once the results are there.
/// Of a call that has run, only the result that it has is accepted.
pub(super) fn push(record: &mut Conversation, message: Message) -> Result<ItemId> {
    let open = Open::of(record);
    if !message.is_result() && *message.role() != Role::User {
        open.check_none()?;
    }
    // The record's own order: of calls with one id, the first is answered.
    let answered = record.path().open_calls().and_then(|(_, calls)| calls.clone().answer(&message).ok());
    if let Some(place) = answered {
        open.check_kept(place, &message)?;
    }
    Ok(record.push(message))
}

/// Makes the last user message the end of the path. The messages after it stay as a branch.
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
        Some(GroupState::Orphan) => {
            Err(invalid("the conversation ends in a result without a call; undo, or switch to another item"))
        }
        _ => Ok(()),
    }
}

/// The calls since the last reply without a result in the record.
struct Open {
    calls: Vec<OpenCall>,
    /// The same calls as the record pairs them with results; of those with one id, the ones that
    /// have run come last.
    waiting: OpenCalls,
    /// Whether the path ends in them or their results. If a user message follows, it is answered
    /// without them, unless their results are given first.
    is_last: bool,
}

impl Open {
    fn of(record: &Conversation) -> Self {
        let calls = open_calls(record);
        let Some((group, waiting)) = record.path().open_calls() else {
            return Self { calls, waiting: OpenCalls::default(), is_last: false };
        };
        let finished: Vec<usize> = calls.iter().filter(|call| call.is_finished()).map(|call| call.place).collect();
        let mut waiting = waiting.clone();
        waiting.answer_last(|place| finished.binary_search(&place).is_ok());
        let is_last = last_group(record).map(Group::index) == Some(group.index());
        Self { calls, waiting, is_last }
    }

    fn check_none(&self) -> Result<()> {
        if !self.is_last {
            return Ok(());
        }
        let missing: Vec<&OpenCall> = self.calls.iter().filter(|call| !call.is_finished()).collect();
        if missing.is_empty() {
            let finished: Vec<&OpenCall> = self.calls.iter().collect();
            let detail = format!(
                "{} with a result that was not sent yet: {}; send it with `resume_tools`, or record it with \
                 `abandon_calls` and go on",
                counted(finished.len(), "call"),
                names(&finished),
            );
            return Err(Error::new(ErrorKind::UnansweredCalls, detail));
        }
        let what_to_do =
            "continue with `resume_tools`, `respond` with their results, or close them with `abandon_calls`";
        Err(unanswered(&missing, what_to_do))
    }

    /// Refuses another result for a call that has run.
    fn check_kept(&self, place: usize, given: &Message) -> Result<()> {
        let call = self.calls.iter().find(|call| call.place == place);
        let Some(call) = call.filter(|call| matches!(&call.outcome, Outcome::Finished(kept) if kept != given)) else {
            return Ok(());
        };
        let detail = format!(
            "the call {} has run, and its recorded result is kept: leave this one out; `resume_tools`, `respond` and \
             `abandon_calls` use the recorded one",
            call.named(),
        );
        Err(Error::new(ErrorKind::UnknownCall, detail))
    }

    /// The given results, and those that a tool loop has recorded for other calls: one for each
    /// open call.
    fn results(&self, given: &[Message]) -> Result<Vec<Message>> {
        let mut waiting = self.waiting.clone();
        let mut results = Vec::with_capacity(self.calls.len());
        for result in self.without_recorded(given) {
            if !result.is_result() {
                return Err(invalid(&format!("a {} message is not the result of a call", result.role().as_str())));
            }
            let place = waiting.answer(result).map_err(|why| self.unknown(result, why))?;
            self.check_kept(place, result)?;
            results.push((place, result.clone()));
        }
        let left = waiting.places();
        let mut missing = Vec::new();
        let mut has_kept = false;
        for call in self.calls.iter().filter(|call| left.binary_search(&call.place).is_ok()) {
            if let Outcome::Finished(result) = &call.outcome {
                results.push((call.place, result.clone()));
                has_kept = true;
            } else {
                missing.push(call);
            }
        }
        if !missing.is_empty() {
            return Err(unanswered(&missing, "`respond` with all results at once"));
        }
        if results.is_empty() {
            return Err(invalid("no results were given, and there are no open calls"));
        }
        if has_kept {
            results.sort_by_key(|(place, _)| *place);
        }
        Ok(results.into_iter().map(|(_, result)| result).collect())
    }

    /// The given results without those that are recorded already, each of which is left out once.
    fn without_recorded<'a>(&'a self, given: &'a [Message]) -> impl Iterator<Item = &'a Message> {
        let recorded = |call: &'a OpenCall| match &call.outcome {
            Outcome::Finished(result) => Some(result),
            Outcome::Waiting | Outcome::Started => None,
        };
        let mut recorded: Vec<&Message> = self.calls.iter().filter_map(recorded).collect();
        given.iter().filter(move |&result| match recorded.iter().position(|&kept| kept == result) {
            Some(known) => {
                recorded.swap_remove(known);
                false
            }
            None => true,
        })
    }

    fn unknown(&self, result: &Message, why: Unpaired) -> Error {
        let id = result.tool_call_id().or(result.name()).unwrap_or("");
        let detail = match self.calls.len() {
            _ if why == Unpaired::Answered => format!("two results for `{id}`; each call has one"),
            0 => format!("there is no open call for the result of `{id}`"),
            _ => format!(
                "there is no open call for the result of `{id}`; open: {}",
                names(&self.calls.iter().collect::<Vec<_>>())
            ),
        };
        Error::new(ErrorKind::UnknownCall, detail)
    }
}

/// The group of the path's last item.
fn last_group(record: &Conversation) -> Option<Group<'_>> {
    let path = record.path();
    path.len().checked_sub(1).map(|last| path.group(path.group_at(last)))
}

fn unanswered(open: &[&OpenCall], what_to_do: &str) -> Error {
    let calls = counted(open.len(), "call");
    let detail = format!("{calls} without a result: {}; {what_to_do}", names(open));
    Error::new(ErrorKind::UnansweredCalls, detail)
}

fn names(calls: &[&OpenCall]) -> String {
    const MOST: usize = 8;
    let one = |open: &&OpenCall| match open.call.id() {
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
