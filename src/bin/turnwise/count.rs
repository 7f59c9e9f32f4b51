//! `turnwise count`

use std::io::Write;

use serde::Serialize;
use turnwise::{Breakdown, ChatRequest, Message, Transcript};

use crate::args;
use crate::failure::Result;
use crate::input::{self, Loaded};
use crate::output::{BOLD, DIM, clean, json_line, preview, stdout, table, write_table};
use crate::words::thousands;

const BAR: usize = 20;

#[derive(Serialize)]
struct Report<'a> {
    messages: Vec<Row<'a>>,
    head: u64,
    tools: u64,
    overhead: u64,
    total: u64,
    estimated: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    index: usize,
    role: &'a str,
    tokens: u64,
}

pub(crate) fn run(args: &args::Count) -> Result<()> {
    let mut out = stdout(args.json);
    for (index, loaded) in input::conversations(&args.file, &args.input)?.enumerate() {
        let Loaded { name, file } = loaded?;
        let request = whole(&file);
        let breakdown = input::cost(args.model.as_deref(), &file).request(&request);
        if args.json {
            json_line(&mut out, &report(&request.messages, &breakdown))?;
            continue;
        }
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{BOLD}{}{BOLD:#}", clean(&name))?;
        print(&mut out, &request.messages, &breakdown)?;
    }
    out.flush()?;
    Ok(())
}

fn whole(file: &Transcript) -> ChatRequest {
    let mut request = ChatRequest::default();
    request.messages = file.conversation.head().iter().chain(file.conversation.path().messages()).cloned().collect();
    request.tools.clone_from(&file.tools);
    request
}

fn report<'a>(messages: &'a [Message], breakdown: &Breakdown) -> Report<'a> {
    let row = |(index, (message, count)): (usize, (&'a Message, &turnwise::Count))| Row {
        index,
        role: message.role().as_str(),
        tokens: count.tokens,
    };
    Report {
        messages: messages.iter().zip(&breakdown.messages).enumerate().map(row).collect(),
        head: breakdown.head.tokens,
        tools: breakdown.tools.tokens,
        overhead: breakdown.overhead.tokens,
        total: breakdown.total().tokens,
        estimated: !breakdown.total().exact,
    }
}

fn print(out: &mut impl Write, messages: &[Message], breakdown: &Breakdown) -> Result<()> {
    let most = breakdown.messages.iter().map(|count| count.tokens).max().unwrap_or(0).max(1);
    let mut table = table(&["message", "role", "tokens", "", "begins"], &[1, 3, 4]);
    for (index, (message, count)) in messages.iter().zip(&breakdown.messages).enumerate() {
        let length = usize::try_from(count.tokens * BAR as u64 / most).unwrap_or(BAR);
        table.add_row([
            index.to_string(),
            clean(message.role().as_str()).into_owned(),
            figure(*count),
            "█".repeat(length),
            said(message),
        ]);
    }
    write_table(out, &table)?;
    let total = breakdown.total();
    writeln!(
        out,
        "{} messages + {} tools + {} to open the reply = {BOLD}{} tokens{BOLD:#}",
        figure(breakdown.messages.iter().copied().sum()),
        figure(breakdown.tools),
        figure(breakdown.overhead),
        figure(total),
    )?;
    if !total.exact {
        writeln!(out, "{DIM}~ estimated: tools, parallel calls, media or a model whose encoding is not known{DIM:#}")?;
    }
    Ok(())
}

fn figure(count: turnwise::Count) -> String {
    let about = if count.exact { "" } else { "~" };
    format!("{about}{}", thousands(count.tokens))
}

/// The start of what a message says, or the calls it makes.
pub(crate) fn said(message: &Message) -> String {
    const WIDTH: usize = 60;
    let text = message.text();
    if !text.trim().is_empty() {
        return preview(&text, WIDTH);
    }
    let calls = message.tool_calls().iter().map(|call| format!("{}({})", call.name(), call.arguments()));
    let function = message.function_call().map(|call| format!("{}({})", call.name(), call.arguments()));
    let calls: Vec<String> = calls.chain(function).collect();
    match (calls.is_empty(), message.content().map(turnwise::Content::parts)) {
        (false, _) => preview(&calls.join(" "), WIDTH),
        (true, Some(parts)) if !parts.is_empty() => {
            preview(&parts.iter().map(|part| format!("[{}]", part.kind())).collect::<Vec<_>>().join(" "), WIDTH)
        }
        _ => String::new(),
    }
}
