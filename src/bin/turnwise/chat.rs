//! `turnwise chat`

use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use turnwise::backend::openai::OpenAi;
use turnwise::strategy::parse;
use turnwise::{
    Builder, ConversationManager, GroupState, Message, Models, RawJson, Reply, TokenBudget, ToolCall, Transcript,
};

use crate::args::Chat;
use crate::failure::{Failure, Result};
use crate::output::{DIM, clean_lines, stdout};
use crate::words::{counted, thousands};

pub(crate) fn run(args: &Chat, models: &Models) -> Result<()> {
    // A missing `.env` is no mistake, and one that cannot be read shows as a missing key.
    let _ = dotenvy::dotenv();
    let chat = open(args, models)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let is_person = stdin().is_terminal();
    let mut failed = Ok(());
    if is_person {
        greet(&chat);
    }
    loop {
        if is_person {
            say("> ");
        }
        let mut line = Vec::new();
        if stdin()
            .lock()
            .read_until(b'\n', &mut line)
            .map_err(|e| Failure::Failed(format!("reading the input: {e}")))?
            == 0
        {
            return failed;
        }
        match String::from_utf8_lossy(&line).trim() {
            "" => {}
            "quit" | "exit" | "/quit" | "/exit" => return failed,
            text => match runtime.block_on(answer(&chat, text, is_person)) {
                Ok(reply) => {
                    print(&reply)?;
                    leave_open_calls(&chat)?;
                    if let Some(why) = reply.report.unsaved {
                        Failure::Failed(why.to_string()).report();
                        failed = Err(Failure::Said(1));
                    }
                }
                Err(failure) => {
                    failure.report();
                    failed = Err(Failure::Said(1));
                }
            },
        }
    }
}

fn open(args: &Chat, models: &Models) -> Result<ConversationManager> {
    let file = match &args.file {
        Some(name) => load(name).map_err(|failure| failure.within(name))?,
        None => None,
    };
    let of_file = || file.as_ref().and_then(|file| file.model.clone());
    let model = args.model.clone().or_else(of_file).or_else(|| std::env::var("OPENAI_MODEL").ok());
    let model = model.ok_or_else(|| Failure::usage("which model? give --model NAME or set OPENAI_MODEL"))?;
    let mut setup: Builder = ConversationManager::builder(models.find(&model)).backend(OpenAi::from_env());
    setup = setup.strategy(parse(&args.strategy)?);
    if let Some(tokens) = args.budget {
        setup = setup.budget(TokenBudget::limit(tokens));
    }
    if let Some(system) = &args.system {
        setup = setup.system(system);
    }
    if let Some(tokens) = args.max_reply {
        setup = setup.max_completion_tokens(tokens);
    }
    for param in &args.param {
        let invalid = |why: &str| Failure::usage(format!("--param {param}: {why}; write NAME=JSON"));
        let (name, value) = param.split_once('=').ok_or_else(|| invalid("no `=`"))?;
        setup = setup.param(name, RawJson::new(value).map_err(|e| invalid(e.detail()))?);
    }
    if let Some(name) = &args.file {
        setup = setup.autosave(name);
    }
    let chat = match file {
        Some(file) => setup.open(file),
        None => setup.build(),
    };
    let chat = chat.map_err(|e| args.file.iter().fold(Failure::from(e), Failure::within))?;
    leave_open_calls(&chat)?;
    Ok(chat)
}

/// The conversation that goes on, if there is one.
fn load(name: &str) -> Result<Option<Transcript>> {
    if name == "-" {
        return Err(Failure::usage("a chat is saved to a file, and reads what is said from the standard input"));
    }
    match std::fs::metadata(name) {
        Ok(found) if !found.is_file() || found.len() > 0 => Ok(Some(Transcript::load(name)?)),
        _ => Ok(None),
    }
}

/// Goes back to before calls at the end that nobody answered: tools are not run here. The record keeps them.
fn leave_open_calls(chat: &ConversationManager) -> Result<()> {
    let record = chat.snapshot();
    let path = record.path();
    let Some(last) = path.groups().checked_sub(1).map(|last| path.group(last)) else { return Ok(()) };
    if last.state() != GroupState::Open {
        return Ok(());
    }
    let calls = last.first().map_or(&[][..], Message::tool_calls);
    let names: Vec<&str> = calls.iter().map(ToolCall::name).collect();
    let names = names.join(", ");
    say(&format!("{DIM}(calls of tools are not run here and are left out: {}){DIM:#}\n", clean_lines(&names)));
    match last.positions().start.checked_sub(1).and_then(|before| path.item(before)) {
        Some(before) => chat.switch(before.id())?,
        None => chat.clear()?,
    }
    Ok(())
}

fn greet(chat: &ConversationManager) {
    match chat.turn_count() {
        0 => say("quit or an empty input (Ctrl-D) ends the chat\n"),
        turns => say(&format!("goes on after {}; quit or Ctrl-D ends the chat\n", counted(turns, "turn"))),
    }
}

async fn answer(chat: &ConversationManager, text: &str, is_person: bool) -> Result<Reply> {
    if is_person {
        say("…");
    }
    let reply = chat.send(text).await;
    if is_person {
        say("\r \r");
    }
    Ok(reply?)
}

fn print(reply: &Reply) -> Result<()> {
    let mut out = stdout(false);
    writeln!(out, "{}", clean_lines(&reply.text()))?;
    out.flush()?;
    let plan = &reply.report.plan;
    if plan.evicted() > 0 {
        let (all, sent) = (plan.messages().len() + plan.evicted(), plan.messages().len());
        let (tokens, limit) = (thousands(plan.tokens().total()), thousands(plan.budget().limit));
        say(&format!("{DIM}({sent} of {all} messages sent, {tokens} of {limit} tokens){DIM:#}\n"));
    }
    if reply.is_cut_off() {
        say(&format!("{DIM}(the reply was cut off){DIM:#}\n"));
    }
    Ok(())
}

/// Says something beside the conversation.
fn say(text: &str) {
    // There is nobody left to tell when the standard error is closed.
    let _ = write!(anstream::stderr(), "{text}").and_then(|()| stderr().flush());
}
