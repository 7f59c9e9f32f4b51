//! `turnwise show`: the messages, branches and summaries of a conversation.

use std::collections::BTreeSet;
use std::io::Write;

use turnwise::conversation::{GroupState, Summary};
use turnwise::{Conversation, ItemId, Message, Transcript};

use crate::args;
use crate::conversations::{TITLE, title_or_question};
use crate::count::{label, said};
use crate::failure::Result;
use crate::input::{self, Loaded};
use crate::output::{BOLD, DIM, MAX_ROLE_CHARS, preview, stdout, table, write_table};
use crate::sanitize::{clean, clean_lines};
use crate::text::{counted, thousands};

pub(crate) fn run(args: &args::Show) -> Result<()> {
    let mut out = stdout(false);
    if args.list {
        return list(&mut out, args);
    }
    let mut is_first = true;
    input::for_each(std::slice::from_ref(&args.file), &args.input, |Loaded { name, file, .. }| {
        let asked = args.summary.map(|number| input::summary(&file.conversation, number)).transpose();
        let asked = asked.map_err(|failure| failure.within(&name))?;
        let gap = if std::mem::take(&mut is_first) { "" } else { "\n" };
        write!(out, "{gap}")?;
        if let Some(asked) = asked {
            writeln!(out, "{BOLD}{}{BOLD:#}", input::heading(&name, &file.conversation))?;
            return summary(&mut out, &file.conversation, asked, args.full);
        }
        one(&mut out, &name, &file, args.full)
    })?;
    out.flush()?;
    Ok(())
}

/// A line for each conversation of a file.
fn list(out: &mut impl Write, args: &args::Show) -> Result<()> {
    let mut rows = table(&["number", "messages", "title or first question"], &[2]);
    let listed = input::for_each(std::slice::from_ref(&args.file), &args.input, |Loaded { number, file, .. }| {
        let messages = thousands(file.conversation.messages().count() as u64);
        rows.add_row([number.to_string(), messages, preview(&title_or_question(&file.conversation), TITLE)]);
        Ok(())
    });
    write_table(out, &rows)?;
    out.flush()?;
    listed
}

/// One conversation with its name.
pub(crate) fn one(out: &mut impl Write, name: &str, file: &Transcript, full: bool) -> Result<()> {
    writeln!(out, "{BOLD}{}{BOLD:#}", clean(name))?;
    about(out, file)?;
    messages(out, &file.conversation, full)?;
    beside(out, &file.conversation)
}

fn about(out: &mut impl Write, file: &Transcript) -> Result<()> {
    let path = file.conversation.path();
    let model = file.model.as_deref().map_or(String::new(), |model| format!(", model {}", clean(model)));
    let messages = counted(path.head().len() + path.len(), "message");
    let turns = counted(path.turn_count(), "turn");
    let tools = counted(file.tools.len(), "tool definition");
    writeln!(out, "{DIM}{messages}, {turns}, {tools}{model}{DIM:#}")?;
    for (key, value) in file.conversation.metadata().iter() {
        writeln!(out, "{DIM}{}: {}{DIM:#}", clean(key), clean(value))?;
    }
    for (key, value) in file.extra.iter().filter(|(key, _)| key != "id" && key != turnwise_formats::ORIGIN) {
        writeln!(out, "{DIM}{}: {}{DIM:#}", clean(key), preview(value.as_str(), 80))?;
    }
    Ok(())
}

fn messages(out: &mut impl Write, conversation: &Conversation, full: bool) -> Result<()> {
    let path = conversation.path();
    for (index, message) in path.head().iter().enumerate() {
        line(out, index, message, "", full)?;
    }
    let pins: BTreeSet<_> = conversation.pins().collect();
    for (position, item) in path.items().enumerate() {
        let group = path.group(path.group_at(position));
        let starts_turn = path.turn_of(group.index()).is_some_and(|turn| path.turn(turn).start == group.index());
        if starts_turn && group.positions().next() == Some(position) {
            writeln!(out)?;
        }
        let state = match group.state() {
            GroupState::Ready => "",
            GroupState::Open => "a call has no result",
            GroupState::Orphan => "the call of this result is missing",
            _ => "it cannot be sent",
        };
        let pinned = if pins.contains(&item.id()) { "pinned" } else { "" };
        let note = [pinned, state].into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join(", ");
        line(out, path.head().len() + position, item.message(), &note, full)?;
    }
    Ok(())
}

fn line(out: &mut impl Write, index: usize, message: &Message, note: &str, full: bool) -> Result<()> {
    let role = preview(message.role().as_str(), MAX_ROLE_CHARS);
    let note = if note.is_empty() { String::new() } else { format!("  {DIM}[{note}]{DIM:#}") };
    if !full {
        writeln!(out, "{index:>5}  {role:<9}  {}{note}", said(message))?;
        return Ok(());
    }
    let name = message.name().map_or(String::new(), |name| format!(" ({})", clean(name)));
    writeln!(out, "{index:>5}  {BOLD}{role}{name}{BOLD:#}{note}")?;
    let text = message.text();
    for text in clean_lines(&text).lines() {
        writeln!(out, "       {text}")?;
    }
    for call in message.tool_calls() {
        writeln!(out, "       {}({})", clean(call.name()), clean(&call.arguments()))?;
    }
    for part in message.content().map_or(&[][..], turnwise::Content::parts).iter().filter(|part| part.text().is_none())
    {
        writeln!(out, "       [{}]", clean(part.kind()))?;
    }
    Ok(())
}

/// Prints branches other than the current one, and the summaries.
fn beside(out: &mut impl Write, conversation: &Conversation) -> Result<()> {
    let others: Vec<_> = conversation.branches().filter(|branch| !branch.is_current).collect();
    if !others.is_empty() {
        writeln!(out, "\nother branches, named by the item they end with")?;
    }
    for branch in others {
        let last = label(conversation, &branch);
        let leaf = branch.leaf.to_string();
        let length = counted(branch.len, "message");
        writeln!(out, "{leaf:>5}  {DIM}{length}{DIM:#}  {last}")?;
    }
    for (number, summary) in conversation.summaries().enumerate() {
        let gap = if number == 0 { "\n" } else { "" };
        writeln!(out, "{gap}{}: {}", stands_for(conversation, summary), preview(&summary.text, 60))?;
    }
    Ok(())
}

/// Prints a summary in full, and the messages that it stands for.
fn summary(out: &mut impl Write, conversation: &Conversation, summary: &Summary, full: bool) -> Result<()> {
    let by = summary.model.as_deref().map_or(String::new(), |model| format!(", by {}", clean(model)));
    writeln!(out, "{DIM}{}{by}{DIM:#}", stands_for(conversation, summary))?;
    for text in clean_lines(&summary.text).lines() {
        writeln!(out, "       {text}")?;
    }
    writeln!(out)?;
    let first = index_of(conversation, summary.first);
    for (index, item) in (first..).zip(conversation.covered(summary.id)?) {
        line(out, index, item.message(), "", full)?;
    }
    Ok(())
}

/// Names a summary, and the messages that it stands for.
pub(crate) fn stands_for(conversation: &Conversation, summary: &Summary) -> String {
    let [first, last] = [summary.first, summary.last].map(|item| index_of(conversation, item));
    format!("summary {} of messages {first} to {last}", summary.id.index())
}

/// The index of an item's message, counting the head.
fn index_of(conversation: &Conversation, item: ItemId) -> usize {
    let path = conversation.path();
    path.head().len() + path.position(item).unwrap_or_default()
}
