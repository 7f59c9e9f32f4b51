//! `turnwise replay --live`

use std::io::Write;

use serde::Serialize;
use turnwise::backend::openai::OpenAi;
use turnwise::strategy::parse;
use turnwise::{ConversationManager, Models, Role, TokenBudget};

use crate::args;
use crate::failure::{Failure, Result};
use crate::input::{self, Loaded};
use crate::output::{Named, json_line, stdout};

/// A question, with the reply that was recorded and the one that came now.
#[derive(Serialize)]
struct Beside<'a> {
    question: usize,
    asked: &'a str,
    old: Option<String>,
    new: &'a str,
    tokens: u64,
    billed: Option<u64>,
}

/// Sends the user's side of conversations to an endpoint, and writes the new replies beside the old.
pub(crate) fn run(args: &args::Replay, models: &Models) -> Result<()> {
    // A missing `.env` is no mistake.
    let _ = dotenvy::dotenv();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut out = stdout(true);
    for loaded in input::conversations(&args.files, &args.input) {
        let Loaded { name, file } = loaded?;
        let chat = manager(args, models, &file).map_err(|failure| failure.within(&name))?;
        let path = file.conversation.path();
        for turn in (0..path.turns()).map(|turn| path.turn(turn)) {
            let mut messages = turn.clone().flat_map(|group| path.group(group).messages());
            let Some(question) = messages.next() else { continue };
            let old = messages.rfind(|message| *message.role() == Role::Assistant && !message.has_calls());
            let exchange = chat.send(question.clone());
            let reply = runtime.block_on(async { exchange.await }).map_err(|e| Failure::from(e).within(&name))?;
            let value = &Beside {
                question: path.head().len() + path.positions(turn.clone()).start,
                asked: &question.text(),
                old: old.map(|message| message.text().into_owned()),
                new: &reply.text(),
                tokens: reply.report.plan.tokens().total(),
                billed: reply.reply.usage.map(|usage| usage.prompt_tokens),
            };
            json_line(&mut out, &Named { conversation: &name, value })?;
            out.flush()?;
        }
    }
    Ok(())
}

fn manager(args: &args::Replay, models: &Models, file: &turnwise::Transcript) -> Result<ConversationManager> {
    let model = args.budget.model.clone().or_else(|| std::env::var("OPENAI_MODEL").ok()).or_else(|| file.model.clone());
    let model = model.ok_or_else(|| Failure::usage("which model? give --model NAME or set OPENAI_MODEL"))?;
    let mut setup = ConversationManager::builder(models.find(&model)).backend(OpenAi::from_env());
    setup = setup.strategy(parse(&args.strategy)?);
    setup = setup.tools(file.tools.iter().cloned());
    if let Some(tokens) = args.budget.budget {
        setup = setup.budget(input::marks(TokenBudget::limit(tokens), &args.budget));
    }
    let chat = setup.build()?;
    chat.edit_record(|record| record.set_head(file.conversation.head().iter().cloned()))?;
    Ok(chat)
}
