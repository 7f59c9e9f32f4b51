//! Refusals of requests that do not fit, with the numbers.

use super::Required;
use super::runs::Run;
use super::view::RequiredGroups;
use crate::budget::ResolvedBudget;
use crate::conversation::{Conversation, Item, Path};
use crate::error::{Error, ErrorKind, OverBudget, Result};
use crate::ledger::Sums;
use crate::message::{Message, Role};
use crate::text::{counted, thousands};

/// Refuses if the required messages do not fit: head and tools (`overhead`, with priming), then the
/// pins, then the pending messages.
pub(super) fn refuse_what_cannot_fit(
    path: Path<'_>,
    overhead: u64,
    required: &RequiredGroups,
    sums: &Sums,
    budget: &ResolvedBudget,
) -> Result<()> {
    let of = |why| required.of_reason(why).fold(0_u64, |sum, group| sum.saturating_add(sums.group(group).tokens));
    let pins = of(Required::Pin);
    let pending = of(Required::Pending).saturating_add(of(Required::Leads));
    let Some(room) = budget.limit.checked_sub(overhead) else {
        return refuse(
            ErrorKind::OverBudget,
            None,
            "the head, the tools and the opening of the reply need",
            overhead,
            budget.limit,
            budget,
        );
    };
    let Some(room) = room.checked_sub(pins) else {
        return refuse(ErrorKind::PinsOverBudget, None, "the pinned messages need", pins, room, budget);
    };
    if pending <= room {
        return Ok(());
    }
    let largest = required.not_pinned().max_by_key(|&group| sums.group(group).tokens).unwrap_or_default();
    let alone = sums.group(largest).tokens;
    let what = match path.group(largest).positions().len() {
        1 => format!("{} must be sent and needs", describe_group(path, largest)),
        _ => format!("{} must be sent and need", describe_group(path, largest)),
    };
    let room = room.saturating_sub(pending - alone);
    let what = if pins > 0 { format!("besides {} tokens of pins, {what}", thousands(pins)) } else { what };
    refuse(ErrorKind::OverBudget, Some(largest), &what, alone, room, budget)
}

/// Refuses a conversation that would send nothing at all.
pub(super) fn refuse_empty(conversation: &Conversation, required: &RequiredGroups) -> Result<()> {
    if !conversation.head().is_empty() || required.iter().next().is_some() {
        return Ok(());
    }
    let detail = match conversation.path().len() {
        0 => "nothing to send: the conversation has no messages".to_owned(),
        len => format!(
            "nothing to send: the conversation has no head, and its {} cannot be sent: results without a call, or calls \
             without their results",
            counted(len, "message")
        ),
    };
    Err(Error::new(ErrorKind::InvalidMessage, detail))
}

fn refuse(
    kind: ErrorKind,
    group: Option<usize>,
    what: &str,
    tokens: u64,
    room: u64,
    budget: &ResolvedBudget,
) -> Result<()> {
    let detail = format!("{what} {} tokens, but only {} are available: {budget}", thousands(tokens), thousands(room));
    Err(Error::new(kind, detail).over(OverBudget::new(group, tokens, room)))
}

/// Refuses a request that does not begin with a user message after the head and other instructions.
/// `runs` are those of the path.
pub(super) fn refuse_another_start(path: Path<'_>, messages: &[Message], runs: &[Run]) -> Result<()> {
    let Some(message) = messages.iter().find(|message| !message.role().is_instruction()) else { return Ok(()) };
    if *message.role() == Role::User {
        return Ok(());
    }
    let first = runs.iter().find(|run| run.fate.is_sent()).map(|run| run.groups.start);
    let found = match first.filter(|&first| path.group(first).first() == Some(message)) {
        Some(first) => {
            format!("{}, and no user message before it can be sent", describe_group(path, first))
        }
        None => format!("a context message of the role `{}`", message.role().as_str()),
    };
    let detail = format!(
        "the request must begin with a user message (`start_on_user`) and would begin with {found}; unpin it, let a user \
         message come before it, or plan without that option"
    );
    Err(Error::new(ErrorKind::InvalidMessage, detail))
}

/// Refuses a request that sends calls or results which are parts of a content. Groups are made of
/// `tool_calls` and of messages of the role `tool`, so these would be torn apart.
/// Standard messages have none.
pub(super) fn refuse_tool_parts(path: Path<'_>, runs: &[Run], are_standard: bool) -> Result<()> {
    if are_standard {
        return Ok(());
    }
    let head = path.head().len();
    let message = |index: usize| match index.checked_sub(head) {
        Some(position) => path.item(position).map(Item::message),
        None => path.head().get(index),
    };
    let sent = runs.iter().filter(|run| run.fate.is_sent());
    let mut sent = sent.flat_map(|run| run.indexes.clone().chain(run.apart.iter().copied()));
    let found = sent.find_map(|index| Some((index, message(index)?.tool_part()?)));
    found.map_or(Ok(()), |(index, kind)| {
        let detail = format!(
            "message {index} has a part of the type `{kind}`, as Anthropic's Messages API writes calls and results; in \
             chat-completions messages they are `tool_calls` and messages of the role `tool`"
        );
        Err(Error::new(ErrorKind::InvalidMessage, detail))
    })
}

/// Refuses what a strategy keeps if it is more than may be sent.
pub(super) fn refuse_too_much_kept(spec: &str, total: u64, budget: &ResolvedBudget) -> Result<()> {
    if total <= budget.limit {
        return Ok(());
    }
    let detail = format!(
        "the strategy `{spec}` keeps {} tokens, but at most {} may be sent",
        thousands(total),
        thousands(budget.limit),
    );
    Err(Error::new(ErrorKind::OverBudget, detail).over(OverBudget::new(None, total, budget.limit)))
}

/// Describes a group: its messages by index, and their role.
pub(super) fn describe_group(path: Path<'_>, group: usize) -> String {
    let head = path.head().len();
    let indexes: Vec<usize> = path.group(group).positions().map(|position| position + head).collect();
    let role = path.group(group).first().map_or("empty", |message| message.role().as_str());
    match indexes.len() {
        0 | 1 => format!("{} ({role})", messages(&indexes)),
        len => format!("{} ({role} with {})", messages(&indexes), counted(len - 1, "result")),
    }
}

/// Lists messages by index: `message 3`, `messages 1 to 2 and 4`.
pub(super) fn messages(indexes: &[usize]) -> String {
    const MOST: usize = 8;
    let mut spans = indexes.chunk_by(|one, next| one + 1 == *next).map(|span| match span {
        [only] => only.to_string(),
        [first, .., last] => format!("{first} to {last}"),
        [] => String::new(),
    });
    let mut named: Vec<String> = spans.by_ref().take(MOST).collect();
    match spans.count() {
        0 => {}
        more => named.push(format!("{more} more")),
    }
    let noun = if indexes.len() == 1 { "message" } else { "messages" };
    match named.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{noun} {} and {last}", rest.join(", ")),
        Some((last, _)) => format!("{noun} {last}"),
        None => "no message".to_owned(),
    }
}
