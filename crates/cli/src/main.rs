//! The `turnwise` program: parses the command line, runs one command, and reports its failure.

mod args;
mod blobs;
#[cfg(feature = "openai")]
mod chat;
mod compare;
mod config;
mod conversations;
mod convert;
mod count;
mod dialects;
#[cfg(feature = "openai")]
mod doctor;
#[cfg(feature = "openai")]
mod endpoint;
mod failure;
mod file_lock;
mod formats;
mod input;
mod interrupt;
#[cfg(feature = "openai")]
mod live;
mod models;
mod output;
mod parallel;
mod plan;
mod progress;
mod replay;
mod report;
mod rewrite;
mod sanitize;
mod serve;
mod settings;
mod shell;
mod show;
mod stores;
mod strategies;
mod target;
mod text;
#[cfg(feature = "openai")]
mod transfer;

use std::borrow::Cow;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use turnwise::{ErrorKind, Models};

use args::{Cli, Command};
use failure::Failure;
use settings::Settings;

fn main() -> ExitCode {
    let done = match Cli::try_parse() {
        Ok(cli) => run(cli),
        // Help and the version were asked for, so they go to the standard output.
        Err(help) if !help.use_stderr() => help.print().map_err(Failure::from),
        Err(mistake) => Err(Failure::Mistake(mistake.render().to_string())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> failure::Result<()> {
    #[cfg(feature = "openai")]
    if endpoint::is_used(&cli.command) {
        endpoint::read_env_file();
    }
    let settings = &Settings::read(cli.config.as_deref())?;
    let cli = settings.with_options(cli, std::env::args_os())?;
    let models = &*table(cli.models.as_deref())?;
    match &cli.command {
        Command::Compare(args) => compare::run(args, models),
        Command::Plan(args) => plan::run(args, models),
        Command::Trim(args) => plan::trim(args, models),
        Command::Count(args) => count::run(args, models),
        Command::Show(args) => show::run(args),
        Command::Replay(args) => replay::run(args, models, cli.models.as_deref()),
        Command::Convert(args) => convert::run(args),
        Command::Redact(args) => rewrite::redact(args),
        Command::Blobs(args) => blobs::run(args),
        Command::Compact(args) => rewrite::compact(args),
        Command::Conversations(args) => conversations::run(args),
        Command::Formats(args) => formats::run(args),
        Command::Models(args) => models::run(args, models),
        Command::Strategies(args) => strategies::run(args),
        Command::Dialects(args) => dialects::run(args),
        #[cfg(feature = "openai")]
        Command::Chat(args) => chat::run(args, models),
        Command::Serve(args) => serve::run(args, settings, models),
        Command::Config(args) => config::run(args, settings),
        #[cfg(feature = "openai")]
        Command::Doctor(args) => doctor::run(args, settings, models),
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
        #[cfg(feature = "openai")]
        Command::Push(args) => transfer::push(args),
        #[cfg(feature = "openai")]
        Command::Pull(args) => transfer::pull(args),
    }
}

/// The built-in models, with those of a file.
fn table(file: Option<&Path>) -> failure::Result<Cow<'static, Models>> {
    let Some(file) = file else { return Ok(Cow::Borrowed(Models::builtin())) };
    Models::from_file(file).map(Cow::Owned).map_err(|e| match e.kind() {
        // The message of an I/O error names the file already.
        ErrorKind::Io => Failure::from(e),
        _ => Failure::from(e).within(file.display()),
    })
}
