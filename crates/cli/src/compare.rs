//! `turnwise compare`: conversations replayed under several strategies, as a table.

use std::io::Write;

use comfy_table::Table;
use serde::Serialize;
use turnwise::plan::ResolvedBudget;
use turnwise::replay::{Share, Totals, replay_with};
use turnwise::strategy::parse;
use turnwise::{Models, Planner, SlidingWindow, Strategy, TokenBudget, replay};

use crate::args::{BudgetArgs, Compare, DialectArgs};
use crate::dialects::dialect_of;
use crate::failure::Result;
use crate::input::{self, Loaded};
use crate::output::{DIM, ESTIMATED_FOOTNOTE, json_line, stdout, table, write_table};
use crate::text::{counted, thousands};

/// The strategies that are compared by default: each of another kind.
const DEFAULT_STRATEGIES: [&str; 7] =
    ["everything", "window", "window:messages=20", "window:turns=5", "head-tail:first=2", "tools", "recall"];

#[derive(Serialize)]
struct Comparison {
    /// `None` if the conversations have different budgets.
    budget: Option<ResolvedBudget>,
    strategies: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    strategy: String,
    #[serde(flatten)]
    totals: Totals,
    prefix_share: Option<f64>,
}

pub(crate) fn run(args: &Compare, models: &Models) -> Result<()> {
    let specs: Vec<&str> = if args.strategy.is_empty() {
        DEFAULT_STRATEGIES.to_vec()
    } else {
        args.strategy.iter().map(String::as_str).collect()
    };
    let strategies = specs.iter().map(|spec| parse(spec)).collect::<turnwise::Result<Vec<_>>>()?;
    let conversations = input::conversations(&args.files, &args.input).map(|loaded| {
        let mut loaded = loaded?;
        input::constrain(&mut loaded.file, &args.constraints)?;
        Ok(loaded)
    });
    let (comparison, budget_note) = if args.budget.budget.is_some() || args.budget.model.is_some() {
        (compare(conversations, &strategies, &args.budget, &args.dialect, models)?, "")
    } else {
        // All are read before a budget can be chosen for them.
        let mut conversations = conversations.collect::<Result<Vec<_>>>()?;
        let (tokens, budget_note) = default_budget(&mut conversations, args, models)?;
        let budget = BudgetArgs { budget: Some(tokens), model: None, ..args.budget };
        (compare(conversations.into_iter().map(Ok), &strategies, &budget, &args.dialect, models)?, budget_note)
    };
    let mut out = stdout(args.json);
    if args.json {
        json_line(&mut out, &comparison)?;
    } else {
        print(&mut out, &comparison, budget_note)?;
    }
    out.flush()?;
    Ok(())
}

/// The default budget, chosen so that something must be left out: half of the longest conversation.
/// If what some request cannot leave out is more than that, it is this plus a quarter. Returns the
/// budget and a note on where it comes from.
fn default_budget(conversations: &mut [Loaded], args: &Compare, models: &Models) -> Result<(u64, &'static str)> {
    let mut longest = 0;
    let mut largest_required = 0;
    for Loaded { name, file } in conversations {
        let within = |e| crate::failure::Failure::from(e).within(&name);
        let dialect = dialect_of(&args.dialect, Some(file))?;
        let cost = dialect.cost(input::cost(models, None, file));
        let head = cost.head(file.conversation.head(), &file.tools, file.costly_params().as_slice()).tokens;
        longest = longest.max(head + file.ledger.total(&file.conversation, &cost) + cost.priming().tokens);
        let planner = Planner::new(cost, &TokenBudget::limit(u64::MAX)).map_err(within)?.tools(file.tools.clone());
        let mut planner = input::fitted(planner.params(file.costly_params()), &dialect);
        if args.budget.start_on_user {
            planner = planner.start_on_user();
        }
        let required_alone = SlidingWindow::messages(0);
        let replayed = replay(&file.conversation, &mut file.ledger, &planner, &required_alone).map_err(within)?;
        largest_required = largest_required.max(replayed.totals.largest);
    }
    let half = longest.div_ceil(2);
    Ok(if half >= largest_required {
        (half, " (half of the longest; --budget or --model sets it)")
    } else {
        (
            largest_required + largest_required / 4,
            " (what the largest request must hold, plus a quarter; --budget or --model sets it)",
        )
    })
}

fn compare(
    conversations: impl Iterator<Item = Result<Loaded>>,
    strategies: &[Box<dyn Strategy>],
    budget: &BudgetArgs,
    dialect: &DialectArgs,
    models: &Models,
) -> Result<Comparison> {
    let mut totals = vec![Totals::default(); strategies.len()];
    let mut budgets: Vec<ResolvedBudget> = Vec::new();
    for loaded in conversations {
        let Loaded { name, mut file } = loaded?;
        let planner = input::planner(models, budget, dialect, &file).map_err(|failure| failure.within(&name))?;
        if !budgets.contains(planner.budget()) {
            budgets.push(*planner.budget());
        }
        let extras = input::extras(&file);
        for (strategy, totals) in strategies.iter().zip(&mut totals) {
            let replay = replay_with(&file.conversation, &mut file.ledger, &planner, &**strategy, &extras);
            totals.add(&replay.map_err(|e| crate::failure::Failure::from(e).within(&name))?.totals);
        }
    }
    let rows = strategies.iter().zip(totals).map(|(strategy, totals)| Row {
        strategy: strategy.spec().into_owned(),
        prefix_share: totals.prefix_share(),
        totals,
    });
    let budget = if let [only] = budgets[..] { Some(only) } else { None };
    Ok(Comparison { budget, strategies: rows.collect() })
}

fn print(out: &mut impl Write, comparison: &Comparison, budget_note: &str) -> Result<()> {
    let conversations = comparison.strategies.first().map_or(0, |row| row.totals.conversations);
    write!(out, "{}", counted(conversations, "conversation"))?;
    match comparison.budget {
        Some(budget) => writeln!(out, ", {budget}{budget_note}\n")?,
        None => writeln!(out, ", each limited by its model's window\n")?,
    }
    write_table(out, &rows(comparison))?;
    writeln!(
        out,
        "\n{DIM}messages, turns, results: how many of the recorded ones each conversation's last request holds\n\
         repeated: the share of a request that repeats the start of the previous one, which a prompt cache can reuse{DIM:#}"
    )?;
    if comparison.strategies.iter().any(|row| row.totals.refused > 0) {
        writeln!(out, "{DIM}( ) excludes the requests over budget, which cannot be sent{DIM:#}")?;
    }
    if comparison.strategies.iter().any(|row| row.totals.estimated) {
        writeln!(out, "{DIM}{ESTIMATED_FOOTNOTE}{DIM:#}")?;
    }
    Ok(())
}

fn rows(comparison: &Comparison) -> Table {
    let header =
        ["strategy", "requests", "over budget", "prompt tokens", "largest", "messages", "turns", "results", "repeated"];
    let mut table = table(&header, &[]);
    for Row { strategy, totals, prefix_share } in &comparison.strategies {
        let about = if totals.estimated { "~" } else { "" };
        table.add_row([
            strategy.clone(),
            thousands(totals.requests as u64),
            thousands(totals.refused as u64),
            match totals.refused {
                0 => format!("{about}{}", thousands(totals.tokens)),
                _ => format!("({about}{})", thousands(totals.tokens)),
            },
            format!("{about}{}", thousands(totals.largest)),
            share(totals.messages),
            share(totals.turns),
            share(totals.results),
            prefix_share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0)),
        ]);
    }
    table
}

fn share(share: Share) -> String {
    format!("{} of {}", thousands(share.kept as u64), thousands(share.of as u64))
}
