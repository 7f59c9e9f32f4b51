//! `turnwise replay --live`: the recorded questions asked again at an endpoint.

use std::future::IntoFuture;
use std::io::Write;

use serde::Serialize;
use tokio::runtime::Runtime;
use turnwise::backend::ChatBackend;
use turnwise::backend::openai::OpenAi;
use turnwise::strategy::parse;
use turnwise::{ConversationManager, Models, Role, Transcript};

use crate::args;
use crate::dialects::dialect_at;
use crate::failure::{Failure, Result};
use crate::input::{self, Loaded};
use crate::output::{Named, json_line, stdout};

/// A question with the recorded reply and the new one.
#[derive(Serialize)]
struct Beside<'a> {
    question: usize,
    asked: &'a str,
    old: Option<String>,
    new: &'a str,
    tokens: u64,
    billed: Option<u64>,
}

/// Sends the user messages of conversations to an endpoint, and writes the new replies beside the
/// old. A question that fails ends its conversation; the others continue.
pub(crate) fn run(args: &args::Replay, models: &Models) -> Result<()> {
    // A missing `.env` is fine.
    let _ = dotenvy::dotenv();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut out = stdout(true);
    input::for_each(&args.files, &args.input, |loaded| {
        let name = loaded.name.clone();
        let chat = manager(args, models, &loaded.file).map_err(|failure| failure.within(&name))?;
        ask(&chat, loaded, &runtime, &mut out).map_err(|failure| failure.within(&name))
    })
}

fn ask(chat: &ConversationManager, loaded: Loaded, runtime: &Runtime, out: &mut impl Write) -> Result<()> {
    let Loaded { name, file } = loaded;
    let path = file.conversation.path();
    for turn in path.turns() {
        let mut messages = turn.clone().flat_map(|group| path.group(group).messages());
        let Some(question) = messages.next() else { continue };
        let old = messages.rfind(|message| *message.role() == Role::Assistant && !message.has_calls());
        let reply = runtime.block_on(chat.send(question.clone()).into_future())?;
        if reply.message.has_calls() {
            // Tools are not run here. The call stays in the record, on a branch of its own.
            chat.switch(reply.asked)?;
        }
        let value = &Beside {
            question: path.head().len() + path.positions(turn.clone()).start,
            asked: &question.text(),
            old: old.map(|message| message.text().into_owned()),
            new: &reply.text(),
            tokens: reply.report.plan.tokens().total(),
            billed: reply.usage.as_ref().map(|usage| usage.prompt_tokens),
        };
        json_line(out, &Named { conversation: &name, value })?;
        out.flush()?;
    }
    Ok(())
}

/// A manager whose record holds the messages before the first question.
fn manager(args: &args::Replay, models: &Models, file: &Transcript) -> Result<ConversationManager> {
    let model = args.budget.model.clone().or_else(|| std::env::var("OPENAI_MODEL").ok()).or_else(|| file.model.clone());
    let model = model.ok_or_else(|| Failure::usage("no model: pass --model NAME or set OPENAI_MODEL"))?;
    let setup = ConversationManager::builder(models.find(&model)).strategy(parse(&args.strategy)?);
    let budget = input::budget(models, &args.budget, Some(&model))?;
    let backend = OpenAi::from_env();
    let dialect = dialect_at(backend.server(), &args.dialect, Some(file))?;
    let setup = setup.backend(backend).dialect(dialect).budget(budget).tools(file.tools.iter().cloned());
    let setup = if args.budget.never_cut { setup.never_cut() } else { setup };
    let chat = if args.budget.start_on_user { setup.start_on_user() } else { setup }.build()?;
    let path = file.conversation.path();
    let opening = 0..path.turn(0).start;
    chat.edit_record(|record| {
        record.set_head(file.conversation.head().iter().cloned())?;
        for message in opening.flat_map(|group| path.group(group).messages()) {
            record.push(message.clone());
        }
        Ok(())
    })?;
    Ok(chat)
}
