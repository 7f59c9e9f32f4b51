//! The `turnwise` program: parses the command line, runs one command, and reports its failure.

mod args;
#[cfg(feature = "openai")]
mod chat;
mod compare;
mod convert;
mod count;
mod dialects;
mod failure;
mod formats;
mod input;
#[cfg(feature = "openai")]
mod live;
mod models;
mod output;
mod plan;
mod replay;
mod rewrite;
mod sanitize;
mod show;
mod strategies;
mod text;

use std::borrow::Cow;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use turnwise::{ErrorKind, Models};

use args::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let done = match Cli::try_parse() {
        Ok(cli) => run(&cli),
        // Help and the version were asked for, so they go to the standard output.
        Err(help) if !help.use_stderr() => help.print().map_err(Failure::from),
        Err(mistake) => Err(Failure::Mistake(mistake.render().to_string())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: &Cli) -> failure::Result<()> {
    let models = &*table(cli)?;
    match &cli.command {
        Command::Compare(args) => compare::run(args, models),
        Command::Plan(args) => plan::run(args, models),
        Command::Trim(args) => plan::trim(args, models),
        Command::Count(args) => count::run(args, models),
        Command::Show(args) => show::run(args),
        Command::Replay(args) => replay::run(args, models),
        Command::Convert(args) => convert::run(args),
        Command::Redact(args) => rewrite::redact(args),
        Command::Compact(args) => rewrite::compact(args),
        Command::Formats(args) => formats::run(args),
        Command::Models(args) => models::run(args, models),
        Command::Strategies(args) => strategies::run(args),
        Command::Dialects(args) => dialects::run(args),
        #[cfg(feature = "openai")]
        Command::Chat(args) => chat::run(args, models),
    }
}

fn table(cli: &Cli) -> failure::Result<Cow<'static, Models>> {
    // An empty variable counts as unset.
    let variable = || std::env::var_os("TURNWISE_MODELS").filter(|file| !file.is_empty()).map(PathBuf::from);
    let Some(file) = cli.models.clone().or_else(variable) else { return Ok(Cow::Borrowed(Models::builtin())) };
    Models::from_file(&file).map(Cow::Owned).map_err(|e| match e.kind() {
        // The message of an I/O error names the file already.
        ErrorKind::Io => Failure::from(e),
        _ => Failure::from(e).within(file.display()),
    })
}
