//! `turnwise plan` and `turnwise trim`

use std::io::Write;

use turnwise::strategy::parse;
use turnwise::{Conversation, Memo, Message, Plan, Strategy};

use crate::args;
use crate::failure::{Failure, Result};
use crate::input::{self, Loaded};
use crate::output::{BOLD, clean, json_line, stdout};

pub(crate) fn run(args: &args::Plan) -> Result<()> {
    let strategy = parse(&args.strategy.strategy)?;
    let mut out = stdout(args.json);
    for (index, loaded) in input::conversations(&args.file, &args.input)?.enumerate() {
        let mut loaded = loaded?;
        let plan = plan(&mut loaded, &*strategy, args.strategy.query.as_deref(), &args.budget)?;
        if args.json {
            json_line(&mut out, &plan)?;
            continue;
        }
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{BOLD}{}{BOLD:#}", clean(&loaded.name))?;
        match args.keep {
            Some(message) => writeln!(out, "{}", to_keep(&plan, &loaded.file.conversation, message)?)?,
            None => writeln!(out, "{}", plan.explain())?,
        }
    }
    out.flush()?;
    Ok(())
}

pub(crate) fn trim(args: &args::Trim) -> Result<()> {
    let strategy = parse(&args.strategy.strategy)?;
    let mut out = stdout(true);
    for loaded in input::conversations(&args.file, &args.input)? {
        let mut loaded = loaded?;
        let plan = plan(&mut loaded, &*strategy, args.strategy.query.as_deref(), &args.budget)?;
        if args.body {
            let mut request = plan.request();
            request.params = loaded.file.extra;
            json_line(&mut out, &request)?;
        } else {
            json_line(&mut out, &plan.messages())?;
        }
    }
    out.flush()?;
    Ok(())
}

fn plan(loaded: &mut Loaded, strategy: &dyn Strategy, query: Option<&str>, budget: &args::Budget) -> Result<Plan> {
    let file = &mut loaded.file;
    let planner = input::planner(budget, file)?;
    if let Some(query) = query {
        file.conversation.push(Message::user(query));
    }
    planner
        .plan(&file.conversation, &mut file.ledger, strategy, &mut Memo::default())
        .map_err(|e| Failure::from(e).within(&loaded.name))
}

fn to_keep(plan: &Plan, conversation: &Conversation, message: usize) -> Result<String> {
    let head = plan.head_len();
    let Some(position) = message.checked_sub(head) else {
        return Ok(format!("message {message} belongs to the head and is always sent."));
    };
    let item = conversation.path().item(position).ok_or_else(|| {
        let last = (head + conversation.path().len()).saturating_sub(1);
        Failure::usage(format!("there is no message {message}; they go from 0 to {last}"))
    })?;
    Ok(plan.to_keep(item.id())?.to_string())
}
