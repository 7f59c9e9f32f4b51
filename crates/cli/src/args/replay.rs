//! Options of `turnwise replay`.

use std::num::NonZero;
use std::path::PathBuf;

use clap::Args;

use super::{BudgetArgs, DialectArgs, InputArgs};
use crate::parallel::count_of_threads;

#[derive(Args)]
pub(crate) struct Replay {
    /// The files with conversations
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// The strategy, which decides what is left out; `turnwise strategies` lists them
    ///
    /// For example window:turns=5, head-tail:first=2 or recall.
    #[arg(long, short, value_name = "NAME[:KEY=VALUE,…]", default_value = "window")]
    pub(crate) strategy: String,
    /// Report the first request that differs from a saved replay, and exit with 1
    #[arg(long, value_name = "OLD.jsonl")]
    pub(crate) diff: Option<PathBuf>,
    /// Write the lines to this file [default: the standard output]
    ///
    /// Ctrl-C ends it after a whole conversation. What is needed to go on is kept beside it, in
    /// FILE.resume, which stays there to tell a later --resume that all is done.
    #[arg(long, short, value_name = "FILE", conflicts_with = "diff")]
    pub(crate) output: Option<PathBuf>,
    /// Go on with the file of --output where an earlier run of the same command stopped
    ///
    /// The file is then the same as that of a run which was never stopped. Without such a file it
    /// begins, so that a script can always pass it.
    #[arg(long, requires = "output", conflicts_with = "force")]
    pub(crate) resume: bool,
    /// Replace the file of --output if it exists
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
    /// Send the recorded user messages to an endpoint, as `chat` does, and print the new replies
    /// beside the old
    ///
    /// Tools are not run: a call with a recorded name and arguments gets the recorded result, and
    /// any other one is told that there is none.
    #[cfg(feature = "openai")]
    #[arg(long, conflicts_with_all = ["diff", "output"])]
    pub(crate) live: bool,
    /// The server that --live asks [default: `OPENAI_BASE_URL`, or OpenAI's]
    #[cfg(feature = "openai")]
    #[arg(long, value_name = "URL", requires = "live")]
    pub(crate) base_url: Option<String>,
    /// Work on this many conversations at a time [default: one for each processor]
    ///
    /// The output is the same for any number.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = count_of_threads)]
    pub(crate) threads: Option<NonZero<usize>>,
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
}
