//! `turnwise plan` and `turnwise trim`: one request explained, or printed.

use std::io::Write;

use turnwise::strategy::parse;
use turnwise::{
    ChatRequest, Conversation, ItemId, Message, Models, Params, Plan, Role, Strategy, StrategyCache, Transcript,
};

use crate::args;
use crate::failure::{Failure, Result, warn};
use crate::input::{self, Loaded};
use crate::output::{BOLD, DIM, Named, json_line, stdout};
use crate::sanitize::{clean, clean_lines};

pub(crate) fn run(args: &args::Plan, models: &Models) -> Result<()> {
    let planned = &args.planned;
    let strategy = parse(&planned.strategy)?;
    let mut out = stdout(args.json);
    let mut is_first = true;
    input::for_each(std::slice::from_ref(&planned.file), &planned.input, |mut loaded| {
        let plan = plan(&mut loaded, &*strategy, planned, models)?;
        if args.json {
            return json_line(&mut out, &Named { conversation: &loaded.name, value: &plan });
        }
        let text = match args.keep {
            Some(message) => to_keep(&plan, &*strategy, &loaded.file.conversation, message)
                .map_err(|failure| failure.within(&loaded.name))?,
            None => clean_lines(&plan.explain().to_string()).into_owned(),
        };
        let gap = if std::mem::take(&mut is_first) { "" } else { "\n" };
        writeln!(out, "{gap}{BOLD}{}{BOLD:#}\n{text}", input::heading(&loaded.name, &loaded.file.conversation))?;
        let last = loaded.file.conversation.path().messages().next_back();
        if last.is_some_and(|last| *last.role() == Role::Assistant && !last.has_calls()) {
            writeln!(out, "  {DIM}ends with a reply; --query TEXT adds the next user message{DIM:#}")?;
        }
        Ok(())
    })?;
    out.flush()?;
    Ok(())
}

pub(crate) fn trim(args: &args::Trim, models: &Models) -> Result<()> {
    let body = args.body;
    let args = &args.planned;
    let strategy = parse(&args.strategy)?;
    let mut out = stdout(true);
    input::for_each(std::slice::from_ref(&args.file), &args.input, |mut loaded| {
        let plan = plan(&mut loaded, &*strategy, args, models)?;
        for warning in plan.warnings() {
            warn(&loaded.name, warning);
        }
        if body {
            return json_line(&mut out, &whole_body(&plan, &loaded.file));
        }
        json_line(&mut out, &plan.messages())
    })?;
    out.flush()?;
    Ok(())
}

/// The request of a plan, with the other members of the file's body added.
fn whole_body(plan: &Plan, file: &Transcript) -> ChatRequest {
    let mut request = plan.request();
    // Members of our own, such as what an import has kept, are no parameters.
    let others = file.extra.iter().filter(|(key, _)| !key.starts_with("turnwise_"));
    let of_file: Params = others.cloned().collect();
    request.params = of_file.and(&request.params);
    request
}

fn plan(loaded: &mut Loaded, strategy: &dyn Strategy, asked: &args::PlanArgs, models: &Models) -> Result<Plan> {
    let within = |failure: Failure| failure.within(&loaded.name);
    let file = &mut loaded.file;
    let planner = input::planner(models, &asked.budget, &asked.dialect, file).map_err(within)?;
    input::constrain(file, &asked.constraints)?;
    for &number in &asked.expand {
        let id = input::summary(&file.conversation, number).map_err(within)?.id;
        file.conversation.expand(id)?;
    }
    if let Some(query) = &asked.query {
        file.conversation.push(Message::user(query.as_str()));
    }
    for &pin in &asked.pin {
        if let Some(item) = item(&file.conversation, pin).map_err(within)? {
            file.conversation.pin(item)?;
        }
    }
    let extras = input::extras(file);
    planner
        .plan_with(&file.conversation, &mut file.ledger, strategy, &mut StrategyCache::default(), &extras)
        .map_err(|e| within(Failure::from(e)))
}

/// What would have to change for the message with this index to be sent.
pub(crate) fn to_keep(
    plan: &Plan,
    strategy: &dyn Strategy,
    conversation: &Conversation,
    message: usize,
) -> Result<String> {
    Ok(match item(conversation, message)? {
        None => format!("message {message} belongs to the head and is always sent."),
        Some(item) => clean(&plan.to_keep(item, strategy)?.to_string()).into_owned(),
    })
}

/// The item of the message with this index; `None` if it belongs to the head.
fn item(conversation: &Conversation, message: usize) -> Result<Option<ItemId>> {
    let head = conversation.head().len();
    let path = conversation.path();
    let Some(position) = message.checked_sub(head) else { return Ok(None) };
    let item = path.item(position).ok_or_else(|| {
        let last = (head + path.len()).saturating_sub(1);
        Failure::usage(format!("there is no message {message}; the indexes are 0 to {last}"))
    })?;
    Ok(Some(item.id()))
}
