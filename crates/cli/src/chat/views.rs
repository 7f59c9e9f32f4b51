//! Chat commands that print something to the standard output.

use std::io::Write;

use turnwise::backend::{Attempt, Usage};
use turnwise::manager::Report;
use turnwise::spending::Tally;
use turnwise::tokens::Dollars;
use turnwise::{ConversationManager, Item, Reply};

use super::commands::KNOWN;
use super::printing::{figure, note};
use super::wrap;
use crate::count::{label, said};
use crate::failure::Result;
use crate::output::{BOLD, DIM, MAX_ROLE_CHARS, preview, stdout};
use crate::sanitize::{clean, clean_lines};
use crate::show;
use crate::text::{counted, thousands};

/// The width of the column with the commands; longer ones are alone on their line.
const USAGE: usize = 21;

pub(super) fn help() -> Result<()> {
    let mut out = stdout(false);
    let of_commands = KNOWN.iter().map(|known| (format!("/{} {}", known.name, known.takes), known.about));
    let of_texts = [
        ("//…".to_owned(), "sends a line that begins with a slash"),
        ("\"\"\"".to_owned(), "begins and ends a text of several lines"),
    ];
    let indent = " ".repeat(USAGE + 4);
    for (usage, about) in of_commands.chain(of_texts) {
        let about = wrap::for_stdout(about, &indent);
        if usage.len() > USAGE {
            writeln!(out, "  {usage}\n{indent}{DIM}{about}{DIM:#}")?;
        } else {
            writeln!(out, "  {usage:USAGE$}  {DIM}{about}{DIM:#}")?;
        }
    }
    out.flush()?;
    Ok(())
}

pub(super) fn branches(chat: &ConversationManager) -> Result<()> {
    let mut out = stdout(false);
    let record = chat.snapshot();
    let mut is_at_end = false;
    for branch in record.branches() {
        let last = label(&record, &branch);
        let here = if branch.is_current { "  <- here" } else { "" };
        let leaf = branch.leaf.to_string();
        let length = counted(branch.len, "message");
        writeln!(out, "{leaf:>6}  {DIM}{length:>11}{DIM:#}  {last}{here}")?;
        is_at_end |= branch.is_current;
    }
    match record.leaf() {
        Some(leaf) if !is_at_end => {
            let last = record.get(leaf).map(Item::message).map_or_else(String::new, said);
            let leaf = leaf.to_string();
            let length = counted(record.path().len(), "message");
            writeln!(out, "{leaf:>6}  {DIM}{length:>11}{DIM:#}  {last}  <- here; other branches continue from it")?;
        }
        Some(_) => {}
        None => writeln!(out, "        {DIM}{:>11}{DIM:#}  <- here", counted(0, "message"))?,
    }
    out.flush()?;
    Ok(())
}

/// The newest messages, with the index that plans use and the id that commands take.
pub(super) fn history(chat: &ConversationManager, newest: usize) -> Result<()> {
    let mut out = stdout(false);
    let record = chat.snapshot();
    let head = record.head();
    let path = record.path();
    let first = path.len().saturating_sub(newest);
    for (index, message) in head.iter().enumerate() {
        writeln!(
            out,
            "{index:>5}  {:>6}  {:<9}  {}",
            "",
            preview(message.role().as_str(), MAX_ROLE_CHARS),
            said(message)
        )?;
    }
    if first > 0 {
        writeln!(out, "{DIM}       … {} before{DIM:#}", counted(first, "message"))?;
    }
    let summarized = record.summaries().filter_map(|summary| path.position(summary.last)).max();
    for (position, item) in (first..).zip(path.range(first..path.len())) {
        let message = item.message();
        let notes = [
            (record.pins().any(|pin| pin == item.id()), "pinned"),
            (summarized.is_some_and(|last| position <= last), "summarized"),
            (message.is_incomplete(), "incomplete"),
        ];
        let notes: Vec<&str> = notes.into_iter().filter_map(|(holds, note)| holds.then_some(note)).collect();
        let notes = if notes.is_empty() { String::new() } else { format!("  {DIM}[{}]{DIM:#}", notes.join(", ")) };
        let id = item.id().to_string();
        let role = preview(message.role().as_str(), MAX_ROLE_CHARS);
        writeln!(out, "{:>5}  {id:>6}  {role:<9}  {}{notes}", head.len() + position, said(message))?;
    }
    out.flush()?;
    Ok(())
}

pub(super) fn system(chat: &ConversationManager) -> Result<()> {
    let record = chat.snapshot();
    if record.head().is_empty() {
        note("there is no system prompt");
    }
    let mut out = stdout(false);
    for message in record.head() {
        writeln!(out, "{}", clean_lines(&message.text()))?;
    }
    out.flush()?;
    Ok(())
}

pub(super) fn constraints(chat: &ConversationManager) -> Result<()> {
    let record = chat.snapshot();
    if record.constraints().next().is_none() {
        note("there are no constraints");
    }
    let mut out = stdout(false);
    for (number, text) in (1..).zip(record.constraints()) {
        writeln!(out, "{number:>5}  {}", clean(text))?;
    }
    out.flush()?;
    Ok(())
}

pub(super) fn plan(chat: &ConversationManager, text: &str) -> Result<()> {
    let plan = chat.plan(text)?;
    let mut out = stdout(false);
    writeln!(out, "{}", clean_lines(&plan.explain().to_string()))?;
    out.flush()?;
    if text.is_empty() {
        note("planned with an empty message; /plan TEXT plans with TEXT");
    }
    Ok(())
}

pub(super) fn tokens(chat: &ConversationManager) -> Result<()> {
    let mut out = stdout(false);
    let all = chat.count_tokens();
    let record = chat.snapshot();
    let plan = chat.plan("")?;
    let messages = counted(record.head().len() + record.path().len(), "message");
    writeln!(out, "the conversation: {messages}, {} tokens", figure(&plan, all))?;
    let sent = counted(plan.messages().len(), "message");
    let limit = thousands(plan.budget().limit);
    let tokens = figure(&plan, plan.tokens().total());
    writeln!(out, "the next request, with an empty message: {sent}, {tokens} of {limit} tokens")?;
    out.flush()?;
    Ok(())
}

pub(super) fn report(chat: &ConversationManager, last: Option<&Reply>, failure: Option<&str>) -> Result<()> {
    let mut out = stdout(false);
    if let Some(why) = failure {
        writeln!(out, "the last exchange failed: {}", clean(why))?;
    }
    match last {
        Some(reply) => exchange(&mut out, reply)?,
        None if failure.is_none() => note("there was no exchange since the chat was opened"),
        None => {}
    }
    let spending = chat.spending();
    if !spending.is_empty() {
        writeln!(out, "{DIM}so far{DIM:#}")?;
        for line in clean_lines(&spending.to_string()).lines() {
            writeln!(out, "  {line}")?;
        }
    }
    out.flush()?;
    Ok(())
}

/// What the chat has cost, and what the next request would.
pub(super) fn cost(chat: &ConversationManager, last: Option<&Reply>, asides: &Tally) -> Result<()> {
    let mut out = stdout(false);
    let cost = |cost: Option<Dollars>| cost.map_or_else(|| "not known".to_owned(), |cost| cost.to_string());
    if let Some(reply) = last {
        writeln!(out, "the last reply: {}", cost(reply.report.cost))?;
    }
    let spending = chat.spending();
    for line in clean_lines(&spending.to_string()).lines() {
        writeln!(out, "{line}")?;
    }
    if asides.calls > 0 {
        writeln!(out, "side questions, not included: {asides}")?;
    }
    let plan = chat.plan("")?;
    let prompt = cost(chat.cost_of(&plan, 0));
    let tokens = figure(&plan, plan.tokens().total());
    writeln!(out, "the next prompt, without a message: {tokens} tokens, at most {prompt}")?;
    if chat.price().is_none() {
        note(format_args!("the price of {} is not known; --models FILE can state it", chat.model().name));
    }
    out.flush()?;
    Ok(())
}

/// The summaries that stand for messages of the path.
pub(super) fn summaries(chat: &ConversationManager) -> Result<()> {
    let record = chat.snapshot();
    let mut out = stdout(false);
    for summary in record.summaries() {
        writeln!(out, "{BOLD}{}{BOLD:#}", show::stands_for(&record, summary))?;
        for line in clean_lines(&summary.text).lines() {
            writeln!(out, "  {line}")?;
        }
    }
    out.flush()?;
    if record.summaries().next().is_none() {
        note("there are no summaries");
    }
    Ok(())
}

fn exchange(out: &mut impl Write, reply: &Reply) -> Result<()> {
    let report = &reply.report;
    let plan = report.plan.explain().to_string();
    writeln!(out, "{}", clean(plan.lines().next().unwrap_or_default()))?;
    let forecast = thousands(report.forecast.tokens);
    let most = thousands(report.forecast.most());
    writeln!(out, "  forecast {forecast} tokens, at most {most}; {}", bill(reply.usage.as_ref()))?;
    writeln!(out, "  the first {} tokens repeat the previous request", thousands(report.repeated))?;
    writeln!(out, "  {}", times(report))?;
    for call in &report.summaries {
        let taken = call.refused.as_ref().map_or_else(String::new, |why| format!(", not used: {why}"));
        let tokens = figure(&report.plan, call.tokens);
        writeln!(out, "  a summary of {tokens} tokens; {}{}", bill(call.usage.as_ref()), clean(&taken))?;
    }
    if let Some(cost) = report.cost {
        writeln!(out, "  cost {cost}")?;
    }
    Ok(())
}

fn bill(usage: Option<&Usage>) -> String {
    let Some(usage) = usage else { return "the server reported no usage".to_owned() };
    let part = |tokens: u64, what: &str| match tokens {
        0 => String::new(),
        tokens => format!(" ({} {what})", thousands(tokens)),
    };
    let prompt = thousands(usage.prompt_tokens);
    let completion = thousands(usage.completion_tokens);
    let cached = part(usage.cached_tokens, "cached");
    let reasoning = part(usage.reasoning_tokens, "reasoning");
    format!("billed {prompt}{cached} and {completion}{reasoning} for the reply")
}

fn times(report: &Report) -> String {
    let first = report.first_event.map(|first| format!("first part after {:.1} s, ", first.as_secs_f64()));
    let attempt = |attempt: &Attempt| match attempt.status {
        Some(status) => status.to_string(),
        None => "no status".to_owned(),
    };
    let attempts: Vec<String> = report.attempts.iter().map(attempt).collect();
    let requests = counted(attempts.len(), "request");
    let first = first.unwrap_or_default();
    let attempts = attempts.join(", ");
    format!("{requests} ({attempts}), {first}complete after {:.1} s", report.elapsed.as_secs_f64())
}
