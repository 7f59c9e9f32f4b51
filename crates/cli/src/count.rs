//! `turnwise count`: the tokens of each message, of the tools and of the reply schema.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use turnwise::conversation::Branch;
use turnwise::tokens::Breakdown;
use turnwise::{ChatRequest, Conversation, Dialect, Message, Models, Transcript};

use crate::args;
use crate::dialects::dialect_of;
use crate::failure::Result;
use crate::input::{self, Loaded};
use crate::output::{
    BOLD, DIM, ESTIMATED_FOOTNOTE, MAX_ROLE_CHARS, Named, json_line, preview, stdout, table, write_table,
};
use crate::sanitize::clean;
use crate::text::{thousands, tokens};

const BAR: usize = 20;

#[derive(Serialize)]
struct Report<'a> {
    messages: Vec<Row<'a>>,
    head: u64,
    tools: u64,
    format: u64,
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

pub(crate) fn run(args: &args::Count, models: &Models) -> Result<()> {
    let file = args.file.as_deref().unwrap_or(Path::new("-"));
    let mut out = stdout(args.json);
    if args.text {
        text(&mut out, args, models, file)?;
        out.flush()?;
        return Ok(());
    }
    let mut is_first = true;
    input::for_each(&[file.to_owned()], &args.input, |Loaded { name, file, .. }| {
        let mut request = whole(&file);
        let dialect = dialect_of(&args.dialect, Some(&file)).map_err(|failure| failure.within(&name))?;
        let cost = input::cost(models, args.model.as_deref(), &file);
        let is_fitted = dialect != Dialect::default();
        let cost = dialect.cost(cost);
        if is_fitted {
            request.messages = dialect.fit(&request.messages);
        }
        // A saved transcript holds its counts. With them the vocabulary, the slowest part, is not
        // loaded.
        let known = file.ledger.breakdown(&file.conversation, &file.tools, request.params.as_slice(), &cost);
        let known = known.filter(|_| !is_fitted);
        let breakdown = known.unwrap_or_else(|| cost.request(&request));
        if args.json {
            let value = &report(&request.messages, &breakdown);
            return json_line(&mut out, &Named { conversation: &name, value });
        }
        let gap = if std::mem::take(&mut is_first) { "" } else { "\n" };
        writeln!(out, "{gap}{BOLD}{}{BOLD:#}", input::heading(&name, &file.conversation))?;
        print(&mut out, &request.messages, &breakdown)
    })?;
    out.flush()?;
    Ok(())
}

#[derive(Serialize)]
struct TextReport {
    tokens: u64,
    bytes: usize,
    estimated: bool,
}

/// Counts plain text, without the tokens that a message adds.
fn text(out: &mut impl Write, args: &args::Count, models: &Models, file: &Path) -> Result<()> {
    let text = input::text(file)?;
    let count = input::cost(models, args.model.as_deref(), &Transcript::default()).text(&text);
    if args.json {
        return json_line(out, &TextReport { tokens: count.tokens, bytes: text.len(), estimated: !count.exact });
    }
    writeln!(out, "{} tokens in {} bytes", figure(count), thousands(text.len() as u64))?;
    if !count.exact {
        let why = match &args.model {
            Some(model) => format!("the encoding of {} is not known", clean(model)),
            None => "use --model NAME to count for a model".to_owned(),
        };
        writeln!(out, "{DIM}~ estimated: counted with o200k_base; {why}{DIM:#}")?;
    }
    Ok(())
}

fn whole(file: &Transcript) -> ChatRequest {
    let mut request = ChatRequest::default();
    request.messages = file.conversation.head().iter().chain(file.conversation.path().messages()).cloned().collect();
    request.tools.clone_from(&file.tools);
    request.params = file.costly_params();
    request
}

fn report<'a>(messages: &'a [Message], breakdown: &Breakdown) -> Report<'a> {
    let row = |(index, (message, count)): (usize, (&'a Message, &turnwise::tokens::Count))| Row {
        index,
        role: message.role().as_str(),
        tokens: count.tokens,
    };
    Report {
        messages: messages.iter().zip(&breakdown.messages).enumerate().map(row).collect(),
        head: breakdown.head.tokens,
        tools: breakdown.tools.tokens,
        format: breakdown.format.tokens,
        overhead: breakdown.overhead.tokens,
        total: breakdown.total().tokens,
        estimated: !breakdown.total().exact,
    }
}

fn print(out: &mut impl Write, messages: &[Message], breakdown: &Breakdown) -> Result<()> {
    let most = breakdown.messages.iter().map(|count| count.tokens).max().unwrap_or(0).max(1);
    let mut table = table(&["message", "role", "tokens", "", "starts with"], &[1, 3, 4]);
    for (index, (message, count)) in messages.iter().zip(&breakdown.messages).enumerate() {
        let length = usize::try_from(count.tokens * BAR as u64 / most).unwrap_or(BAR);
        table.add_row([
            index.to_string(),
            preview(message.role().as_str(), MAX_ROLE_CHARS),
            figure(*count),
            "█".repeat(length),
            said(message),
        ]);
    }
    write_table(out, &table)?;
    let total = breakdown.total();
    let schema = match breakdown.format.tokens {
        0 => String::new(),
        _ => format!(" + {} in the reply schema", figure(breakdown.format)),
    };
    writeln!(
        out,
        "{} in messages + {} in tools{schema} + {} to open the reply = {BOLD}{} tokens{BOLD:#}",
        figure(breakdown.messages.iter().copied().sum()),
        figure(breakdown.tools),
        figure(breakdown.overhead),
        figure(total),
    )?;
    if !total.exact {
        writeln!(out, "{DIM}{ESTIMATED_FOOTNOTE}{DIM:#}")?;
    }
    Ok(())
}

fn figure(count: turnwise::tokens::Count) -> String {
    tokens(count.tokens, !count.exact)
}

/// How a branch is called in a list: its last question and its end; before them, if other branches
/// end alike, where it parts from these.
pub(crate) fn label(conversation: &Conversation, branch: &Branch) -> String {
    const WIDTH: usize = 40;
    let end = conversation.get(branch.leaf).map_or_else(String::new, |item| said(item.message()));
    let end = match &*branch.question {
        question if !question.is_empty() && !branch.answer.is_empty() => {
            format!("{} → {end}", preview(question, WIDTH))
        }
        _ => end,
    };
    match &*branch.fork {
        "" => end,
        fork => format!("{} … {end}", preview(fork, 2 * WIDTH)),
    }
}

/// The start of a message's text, and its tool calls.
pub(crate) fn said(message: &Message) -> String {
    const WIDTH: usize = 60;
    let parts = message.content().map_or(&[][..], turnwise::Content::parts).iter();
    let media = parts.filter(|part| part.text().is_none()).map(|part| format!("[{}]", part.kind()));
    let calls = message.tool_calls().iter().map(|call| format!("{}({})", call.name(), call.arguments()));
    let function = message.function_call().map(|call| format!("{}({})", call.name(), call.arguments()));
    let others = preview(&media.chain(calls).chain(function).collect::<Vec<_>>().join(" "), WIDTH);
    match (message.text().trim(), others.is_empty()) {
        ("", _) => others,
        (text, true) => preview(text, WIDTH),
        (text, false) => format!("{} → {}", preview(text, WIDTH / 2), preview(&others, WIDTH / 2)),
    }
}
