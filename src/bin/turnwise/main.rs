//! The command line: a thin client of the library.

mod args;
#[cfg(feature = "openai")]
mod chat;
mod compare;
mod count;
mod failure;
mod input;
#[cfg(feature = "openai")]
mod live;
mod output;
mod plan;
mod replay;
mod show;
#[path = "../../words.rs"]
mod words;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let done = match Cli::try_parse() {
        Ok(cli) => run(&cli.command),
        // Help and version, asked for: to the standard output.
        Err(help) if !help.use_stderr() => help.print().map_err(Failure::from),
        Err(mistake) => Err(Failure::Mistake(mistake.render().to_string())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: &Command) -> failure::Result<()> {
    match command {
        Command::Compare(args) => compare::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Trim(args) => plan::trim(args),
        Command::Count(args) => count::run(args),
        Command::Show(args) => show::run(args),
        Command::Replay(args) => replay::run(args),
        #[cfg(feature = "openai")]
        Command::Chat(args) => chat::run(args),
    }
}
