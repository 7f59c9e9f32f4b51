//! Chat commands that change how requests are made, and those that show what other settings would do.

use clap::Parser;
use turnwise::strategy::{STRATEGIES, parse};

use super::commands::Which;
use super::open;
use super::printing::{figure, note};
use super::session::Session;
use crate::args::{Chat, Cli, Command};
use crate::compare;
use crate::failure::{Failure, Result};
use crate::input::Loaded;
use crate::output::print_line;
use crate::plan;
use crate::text::thousands;

impl Session<'_> {
    pub(super) fn budget(&mut self, tokens: Option<u64>) -> Result<()> {
        if tokens.is_some() {
            self.adopt(Chat { budget: tokens, ..self.args.clone() })?;
        }
        let plan = self.chat.plan("")?;
        let limit = plan.budget().limit;
        let sent = figure(&plan, plan.tokens().total());
        let most = match self.args.budget {
            Some(asked) if asked != limit => format!(
                "at most {} tokens are sent, which are {} as counted here, because bills were higher",
                thousands(asked),
                thousands(limit)
            ),
            _ => format!("at most {} tokens are sent", thousands(limit)),
        };
        note(format_args!("{most}; the next request has {sent} without a message"));
        Ok(())
    }

    pub(super) fn strategy(&mut self, name: Option<String>) -> Result<()> {
        if let Some(strategy) = name {
            self.adopt(Chat { strategy, ..self.args.clone() })?;
        }
        let names: Vec<&str> = STRATEGIES.iter().map(|one| one.name).collect();
        note(format_args!("the strategy is {}; there are {}", parse(&self.args.strategy)?.spec(), names.join(", ")));
        Ok(())
    }

    pub(super) fn model(&mut self, name: Option<String>) -> Result<()> {
        if let Some(name) = name {
            self.adopt(Chat { model: Some(name), ..self.args.clone() })?;
        }
        let model = self.chat.model();
        let window = model.window.map_or_else(
            || "its window is not known".to_owned(),
            |window| format!("its window has {} tokens", thousands(window)),
        );
        note(format_args!("the model is {}; {window}", model.name));
        Ok(())
    }

    /// Continues with other options. If no request could be made with them, nothing is changed.
    fn adopt(&mut self, args: Chat) -> Result<()> {
        let file = self.file.clone().filter(|file| file.exists());
        if file.is_some() {
            // What is not in the file would be lost.
            self.save()?;
        }
        let chat = open::reopen(&args, self.models, &self.chat, self.file.as_deref()).map_err(in_chat)?;
        chat.plan("")?;
        self.chat = chat;
        self.args = args;
        if file.is_some() { self.save() } else { Ok(()) }
    }

    /// Why a message is sent or not: in the last request, or in the next one if the last was planned
    /// otherwise.
    pub(super) fn why(&self, which: Which) -> Result<()> {
        let record = self.chat.snapshot();
        let head = record.head().len();
        if head + record.path().len() == 0 {
            return Err(Failure::usage("there is no message yet"));
        }
        let index = match which {
            Which::Index(index) => index,
            Which::Id(id) => {
                let position = record.path().position(id);
                head + position.ok_or_else(|| Failure::usage(format!("there is no message {id} on this branch")))?
            }
        };
        let strategy = parse(&self.args.strategy)?;
        let asked = |reply: &turnwise::Reply| {
            let plan = &reply.report.plan;
            (plan.strategy() == strategy.spec()).then(|| plan::to_keep(plan, &*strategy, &record, index))
        };
        if let Some(Ok(why)) = self.last.as_ref().and_then(asked) {
            return print_line(format_args!("in the last request: {why}"));
        }
        let plan = self.chat.plan("")?;
        print_line(format_args!("in the next request: {}", plan::to_keep(&plan, &*strategy, &record, index)?))
    }

    /// The table of `turnwise compare` for this conversation, its budget and its strategy.
    pub(super) fn compare(&self, mut strategies: Vec<String>) -> Result<()> {
        if strategies.is_empty() {
            let own = parse(&self.args.strategy)?.spec().into_owned();
            strategies.extend(compare::DEFAULT_STRATEGIES.map(str::to_owned));
            if !strategies.contains(&own) {
                strategies.push(own);
            }
        }
        let budget = self.chat.plan("")?.budget().limit.to_string();
        let model = format!("--model={}", self.chat.model().name);
        let line = ["turnwise", "compare", "chat", &model, "--budget", &budget].map(str::to_owned);
        let strategies = strategies.into_iter().map(|strategy| format!("--strategy={strategy}"));
        let parsed = Cli::try_parse_from(line.into_iter().chain(strategies));
        match parsed.map(|cli| cli.command) {
            Ok(Command::Compare(mut args)) => {
                args.dialect = self.args.dialect.clone();
                args.budget.start_on_user = self.args.start_on_user;
                let loaded = Loaded { number: 1, name: self.chat.id().to_owned(), file: self.chat.transcript() };
                compare::of_chat(loaded, &args, self.models)
            }
            Ok(_) => Ok(()),
            Err(mistake) => Err(Failure::Mistake(mistake.render().to_string())),
        }
    }
}

/// An error's advice for a person in the chat, who cannot give options any more.
fn in_chat(failure: Failure) -> Failure {
    match failure {
        Failure::Usage(message) if message.contains("--budget") => {
            Failure::Usage(format!("{message} (in the chat: /budget N, /model NAME)"))
        }
        other => other,
    }
}
