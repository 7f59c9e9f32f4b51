//! The command line: a thin client of the library.

mod args;
mod compare;
mod count;
mod failure;
mod input;
mod output;
mod plan;
mod replay;
mod show;
#[path = "../../words.rs"]
mod words;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
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
    }
}
