//! `turnwise compare`: conversations replayed under several strategies, side by side.

mod bars;
mod columns;
mod comparing;
mod default_budget;
mod evidence;
mod findings;
mod marks;
mod picture;
mod print;
mod row;
mod timeline;

use std::fs::Metadata;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use serde::Serialize;
use turnwise::Models;
use turnwise::plan::ResolvedBudget;
use turnwise::replay::Replay;
use turnwise::strategy::parse;

use crate::args::{BudgetArgs, Compare};
use crate::failure::Result;
use crate::input::{self, Loaded, Outcome};
use crate::output::{json_line, stdout};
use crate::parallel::{self, threads};
use crate::progress::Planning;
use crate::report;
use crate::stores;
use comparing::{Compared, Comparing};
use evidence::Questions;
pub(crate) use findings::Messages;
pub(crate) use row::Row;
#[cfg(feature = "report")]
pub(crate) use {
    columns::{Column, columns},
    findings::Told,
    timeline::{Kind, Span, Timeline},
};

/// The strategies that are compared by default: each of another kind.
pub(crate) const DEFAULT_STRATEGIES: [&str; 7] =
    ["everything", "window", "window:messages=20", "window:turns=5", "head-tail:first=2", "tools", "recall"];

/// In bytes. Files of more in all are read twice where the default budget needs a look at all
/// conversations first, so that the memory does not grow with them.
const MOST_KEPT: u64 = 32_000_000;

/// How many conversations have a timeline; a page with thousands could not be read.
const MOST_SHOWN: usize = 10;

#[derive(Serialize)]
pub(crate) struct Comparison {
    /// `None` if the conversations have different budgets.
    pub(crate) budget: Option<ResolvedBudget>,
    pub(crate) strategies: Vec<Row>,
    /// Where the budget comes from, if nobody asked for it.
    #[serde(skip)]
    pub(crate) budget_note: &'static str,
    /// The first conversations to which any strategy does something, in full; or else the first one.
    #[serde(skip)]
    pub(crate) shown: Vec<Shown>,
}

/// A conversation with its replays, in the order in which the strategies were asked for.
#[cfg_attr(not(feature = "report"), allow(dead_code, reason = "only a page has charts"))]
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) messages: Messages,
    pub(crate) budget: u64,
    pub(crate) replays: Vec<Replay>,
    pub(crate) price: Option<turnwise::tokens::Price>,
}

pub(crate) fn run(args: &Compare, models: &Models) -> Result<()> {
    report::check(args)?;
    let specs = match &*args.strategy {
        [] => DEFAULT_STRATEGIES.map(str::to_owned).to_vec(),
        asked => asked.to_vec(),
    };
    let strategies = specs.iter().map(|spec| parse(spec)).collect::<turnwise::Result<Vec<_>>>()?;
    input::check(&args.files)?;
    let questions = args.questions.as_deref().map(Questions::read).transpose()?;
    let comparing = Comparing::new(args, models, &strategies, questions.as_ref())?;
    let mut outcome = Outcome::new(&args.files);
    let mut comparison = compare(&comparing, &mut outcome)?;
    if outcome.is_nothing_done() {
        return outcome.end();
    }
    if let Some(questions) = &questions {
        questions.tell_unasked();
    }
    if let Some(key) = args.sort {
        row::sort(&mut comparison, key);
    }
    report::write(args, &comparison)?;
    let mut out = stdout(args.json);
    if args.json {
        json_line(&mut out, &comparison)?;
    } else {
        print::print(&mut out, &comparison, args)?;
    }
    out.flush()?;
    outcome.end()
}

/// Compares strategies on a conversation that is open in a chat, with its budget.
#[cfg(feature = "openai")]
pub(crate) fn of_chat(loaded: Loaded, args: &Compare, models: &Models) -> Result<()> {
    let strategies = args.strategy.iter().map(|spec| parse(spec)).collect::<turnwise::Result<Vec<_>>>()?;
    let comparing = Comparing::new(args, models, &strategies, None)?;
    let mut outcome = Outcome::new(&args.files);
    let comparison = compared(&comparing, std::iter::once((0, Ok(loaded))), &[], &args.budget, &mut outcome)?;
    if !outcome.is_nothing_done() {
        let mut out = stdout(false);
        print::print(&mut out, &comparison, args)?;
        out.flush()?;
    }
    outcome.end()
}

/// Compares with the budget that was asked for, or else with the default one, for which all
/// conversations are looked at first.
fn compare(comparing: &Comparing, outcome: &mut Outcome) -> Result<Comparison> {
    let args = comparing.args;
    let constrained = |(file, loaded): (usize, Result<Loaded>)| {
        let constrained = loaded.and_then(|mut loaded| {
            input::constrain(&mut loaded.file, &args.constraints)?;
            Ok(loaded)
        });
        (file, constrained)
    };
    let conversations = input::chosen(&args.files, &args.input).map(constrained);
    if args.budget.budget.is_some() || args.budget.model.is_some() {
        return compared(comparing, conversations, &args.files, &args.budget, outcome);
    }
    let threads = threads(args.threads);
    let mut needs = default_budget::Needs::default();
    let mut kept = can_be_kept(&args.files).then(Vec::new);
    let look = |(file, loaded): (usize, Result<Loaded>)| (file, loaded.map(|loaded| comparing.needs(loaded)));
    parallel::in_order(threads, conversations, look, |(file, looked)| match looked {
        Ok(Ok((loaded, of_one))) => {
            needs.add(of_one);
            if let Some(kept) = &mut kept {
                kept.push((file, Ok(loaded)));
            }
            Ok(())
        }
        Ok(Err(failure)) => Err(failure),
        Err(failure) => outcome.add(file, Err(failure)),
    })?;
    let (tokens, budget_note) = needs.budget();
    let budget = BudgetArgs { budget: Some(tokens), model: None, ..args.budget };
    let comparison = if let Some(kept) = kept {
        compared(comparing, kept.into_iter(), &[], &budget, outcome)?
    } else {
        // What cannot be read was reported before.
        let again = input::chosen_again(&args.files, &args.input).map(constrained);
        compared(comparing, again.filter(|(_, loaded)| loaded.is_ok()), &args.files, &budget, outcome)?
    };
    Ok(Comparison { budget_note, ..comparison })
}

/// The conversations that are shown. Those that every strategy sends whole give place to others.
#[derive(Default)]
struct FirstShown {
    conversations: Vec<Shown>,
    is_whole: bool,
}

impl FirstShown {
    fn is_full(&self) -> bool {
        !self.is_whole && self.conversations.len() >= MOST_SHOWN
    }

    fn add(&mut self, shown: Shown, is_whole: bool) {
        if self.conversations.is_empty() || self.is_whole && !is_whole {
            self.conversations = vec![shown];
            self.is_whole = is_whole;
        } else if !is_whole && !self.is_full() {
            self.conversations.push(shown);
        }
    }
}

/// Whether the conversations of all files may be kept in memory, or have to be, since the files
/// cannot be read twice.
fn can_be_kept(files: &[PathBuf]) -> bool {
    let len = |file: &PathBuf| {
        let found = file.metadata().ok().filter(Metadata::is_file)?;
        Some(found.len())
    };
    let is_again = |file: &PathBuf| stores::is_url(file) || len(file).is_some();
    let is_small =
        || !files.iter().any(|file| stores::is_url(file)) && files.iter().filter_map(len).sum::<u64>() <= MOST_KEPT;
    !files.iter().all(is_again) || is_small()
}

/// `files` are read meanwhile.
fn compared(
    comparing: &Comparing,
    conversations: impl Iterator<Item = (usize, Result<Loaded>)>,
    files: &[PathBuf],
    budget: &BudgetArgs,
    outcome: &mut Outcome,
) -> Result<Comparison> {
    let mut rows = comparing.rows();
    let mut budgets: Vec<ResolvedBudget> = Vec::new();
    let mut shown = FirstShown::default();
    let mut planning = Planning::of(files, false);
    let compare = |(file, loaded): (usize, Result<Loaded>)| (file, loaded.map(|loaded| comparing.one(loaded, budget)));
    parallel::in_order(threads(comparing.args.threads), conversations, compare, |(file, compared)| {
        let added = compared.map(|compared: Result<Compared>| -> Result<()> {
            let compared = compared?;
            if !budgets.contains(&compared.budget) {
                budgets.push(compared.budget);
            }
            planning.add(compared.rows.iter().map(|row| row.totals.requests).sum());
            if let Some(one) = compared.shown {
                shown.add(one, compared.rows.iter().all(Row::is_whole));
                comparing.is_enough_shown.store(shown.is_full(), Ordering::Relaxed);
            }
            rows.iter_mut().zip(compared.rows).for_each(|(row, more)| row.merge(more));
            Ok(())
        });
        match added {
            Ok(Err(failure)) if failure.is_usage() => Err(failure),
            added => outcome.add(file, added),
        }
    })?;
    let budget = if let [only] = budgets[..] { Some(only) } else { None };
    Ok(Comparison { budget, strategies: rows, budget_note: "", shown: shown.conversations })
}
