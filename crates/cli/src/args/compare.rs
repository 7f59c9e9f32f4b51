//! Options of `turnwise compare`.

use std::num::NonZero;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{BudgetArgs, ConstraintArgs, DialectArgs, InputArgs};
use crate::parallel::count_of_threads;

#[derive(Args)]
pub(crate) struct Compare {
    /// The files with conversations
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// A strategy to compare; can be repeated [default: seven of all kinds]
    ///
    /// For example -s window:turns=5 -s recall. `turnwise strategies` lists them.
    #[arg(long, short, value_name = "NAME[:KEY=VALUE,…]")]
    pub(crate) strategy: Vec<String>,
    #[command(flatten)]
    pub(crate) constraints: ConstraintArgs,
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    /// A JSON Lines file of questions about the conversations: also show how much of what answers
    /// them each strategy sends
    ///
    /// Each line is {"conversation": ID, "question": TEXT, "evidence": [INDEX or TEXT, …]}: the
    /// indexes of messages, as `show` prints them, or texts that must be in the request. Without
    /// `conversation` it is asked of all.
    #[arg(long, value_name = "FILE")]
    pub(crate) questions: Option<PathBuf>,
    /// Sort the strategies, the best first [default: as they are given]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) sort: Option<SortKey>,
    /// Print all columns, also for terminals of more than 80 characters
    #[arg(long, conflicts_with = "json")]
    pub(crate) wide: bool,
    /// Also draw a timeline: what each request does with each message, under each strategy
    ///
    /// Requests go from left to right, messages from top to bottom. It is as wide as the terminal.
    /// Of several conversations the first is drawn that is not always sent whole; --only chooses
    /// one.
    #[arg(long, conflicts_with = "json")]
    pub(crate) timeline: bool,
    /// Also write a page with the table, charts, and a timeline of each message under each strategy
    ///
    /// The page needs no network. It has the text of the conversations in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Also write one picture: the timeline of one conversation under the first strategy
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Work on this many conversations at a time [default: one for each processor]
    ///
    /// The result is the same for any number.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = count_of_threads)]
    pub(crate) threads: Option<NonZero<usize>>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
}

/// A column of `compare`.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum SortKey {
    /// The fewest prompt tokens
    Tokens,
    /// The lowest cost, for models with a known price
    Cost,
    /// The most user messages in the last requests
    Turns,
    /// The most tool results in them
    Results,
    /// The most evidence of --questions
    Evidence,
    /// The largest share that a prompt cache can reuse
    Repeated,
}
