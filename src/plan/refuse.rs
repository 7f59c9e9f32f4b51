//! Refusals of requests that do not fit, with the numbers.

use std::cmp::Reverse;

use super::Required;
use super::runs::Run;
use super::view::RequiredGroups;
use crate::budget::ResolvedBudget;
use crate::conversation::{Conversation, Item, Path};
use crate::error::{Advice, Error, ErrorKind, OverBudget, OverPart, RequiredTokens, Result};
use crate::ledger::Sums;
use crate::message::{Message, Role};
use crate::text::{counted, thousands};

/// A request whose required parts do not fit together.
pub(super) struct TooMuch<'a> {
    pub(super) path: Path<'a>,
    pub(super) groups: &'a RequiredGroups,
    pub(super) sums: &'a Sums,
    pub(super) required: RequiredTokens,
    /// Whether what must be answered would have been shortened if that had helped.
    pub(super) may_cut: bool,
    pub(super) budget: &'a ResolvedBudget,
}

impl TooMuch<'_> {
    /// The error: it blames the largest part, and says what each of them needs.
    pub(super) fn refused(&self) -> Error {
        let numbers = self.numbers();
        let detail = format!(
            "{} {} tokens, but only {} are left: the request must hold {}, together {}; {}",
            self.blamed(&numbers),
            thousands(numbers.tokens),
            thousands(numbers.room),
            self.parts(),
            thousands(self.required.total()),
            self.budget.arithmetic()
        );
        let (kind, pins) = match numbers.part {
            OverPart::Pins => (ErrorKind::PinsOverBudget, self.pins()),
            _ => (ErrorKind::OverBudget, String::new()),
        };
        let advice = self.advice(&numbers);
        Error::new(kind, format!("{detail}{pins}")).advise(Some(advice)).over(numbers)
    }

    fn numbers(&self) -> OverBudget {
        let required = self.required;
        let part = required.largest();
        let mut numbers = OverBudget::new(part, required.of(part), required.room_for(part));
        if let Some(largest) = self.largest().filter(|_| part == OverPart::Pending) {
            let whole: u64 = self.groups.not_pinned().map(|group| self.sums.group(group).tokens).sum();
            numbers.tokens = self.sums.group(largest).tokens;
            numbers.room = numbers.room.saturating_sub(whole - numbers.tokens);
            numbers.group = Some(largest);
        }
        numbers.required = Some(required);
        numbers
    }

    /// The largest of what must be answered.
    fn largest(&self) -> Option<usize> {
        self.groups.not_pinned().max_by_key(|&group| self.sums.group(group).tokens)
    }

    /// The part that is too long, as the subject of a sentence with its verb.
    fn blamed(&self, numbers: &OverBudget) -> String {
        match (numbers.part, numbers.group) {
            (OverPart::Tools, _) => "the tools need".to_owned(),
            (OverPart::Context, _) => "the context of this request needs".to_owned(),
            (OverPart::Pins, _) => "the pinned messages need".to_owned(),
            (_, Some(group)) => match self.path.group(group).positions().len() {
                1 => format!("{} must be sent and needs", describe_group(self.path, group)),
                _ => format!("{} must be sent and need", describe_group(self.path, group)),
            },
            (_, None) => "the head (the leading system and developer messages) needs".to_owned(),
        }
    }

    /// The parts with their tokens, the largest first.
    fn parts(&self) -> String {
        let required = self.required;
        let mut pending = self.groups.not_pinned();
        let answered = match (pending.next(), pending.next()) {
            (Some(only), None) => describe_group(self.path, only),
            _ => "the messages to be answered".to_owned(),
        };
        let whole = self.groups.not_pinned().map(|group| self.sums.group(group).tokens).sum::<u64>();
        let least = if required.pending < whole { "at least " } else { "" };
        let mut parts = [
            ("the head", "", required.head),
            ("the tools", "", required.tools),
            ("the context of this request", "", required.context),
            ("the pins", "", required.pins),
            (&*answered, least, required.pending),
            ("the opening of the reply", "", required.opening),
        ];
        parts.sort_by_key(|(_, _, tokens)| Reverse(*tokens));
        let named = parts.iter().filter(|(_, _, tokens)| *tokens > 0);
        let named = named.map(|(name, least, tokens)| format!("{name} with {least}{}", thousands(*tokens)));
        listed(&named.collect::<Vec<_>>())
    }

    /// The largest pins.
    fn pins(&self) -> String {
        const MOST: usize = 3;
        let mut pins: Vec<usize> = self.groups.of_reason(Required::Pin).collect();
        pins.sort_by_key(|&group| Reverse(self.sums.group(group).tokens));
        let named = pins.iter().take(MOST);
        let mut named: Vec<String> = named
            .map(|&group| {
                format!("{} with {}", describe_group(self.path, group), thousands(self.sums.group(group).tokens))
            })
            .collect();
        if pins.len() > MOST {
            named.push(format!("{} more", thousands((pins.len() - MOST) as u64)));
        }
        format!("; pinned are {}", listed(&named))
    }

    fn advice(&self, numbers: &OverBudget) -> Advice {
        let is_of_calls = numbers.group.is_some_and(|group| self.path.group(group).has_calls());
        let (library, command_line) = match numbers.part {
            OverPart::Tools => ("give fewer tools, or describe them in fewer words", None),
            OverPart::Context => ("give this request less context", None),
            OverPart::Pins => {
                let command_line = "unpin some messages (`/unpin #ID` in `turnwise chat`)";
                ("unpin some messages (`unpin`)", Some(command_line))
            }
            OverPart::Pending if is_of_calls => ("let the tools return less", None),
            OverPart::Pending if self.may_cut => ("send a shorter message", None),
            OverPart::Pending => {
                let command_line = "send a shorter message, or let it be shortened (without --never-cut)";
                ("send a shorter message, or let it be shortened (without `never_cut`)", Some(command_line))
            }
            _ => ("shorten the system prompt, or lift constraints", None),
        };
        let more = self.budget.ways_to_allow(self.required.total());
        Advice::new(
            format!("{library}; or {}", more.library),
            format!("{}; or {}", command_line.unwrap_or(library), more.command_line),
        )
    }
}

/// `a, b and c`.
fn listed(named: &[String]) -> String {
    match named.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
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
    let mut sent = sent.flat_map(Run::all_indexes);
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
    let more = budget.ways_to_allow(total);
    let advice = Advice::new(
        format!("use a strategy that leaves out more, such as `SlidingWindow`; or {}", more.library),
        format!("use a strategy that leaves out more, such as --strategy window; or {}", more.command_line),
    );
    let numbers = OverBudget::new(OverPart::Kept, total, budget.limit);
    Err(Error::new(ErrorKind::OverBudget, detail).advise(Some(advice)).over(numbers))
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
    match (indexes.len(), listed(&named)) {
        (0, _) => "no message".to_owned(),
        (1, named) => format!("message {named}"),
        (_, named) => format!("messages {named}"),
    }
}

#[cfg(test)]
#[path = "refuse_tests.rs"]
mod tests;
