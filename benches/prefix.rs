//! How much of a request repeats the start of the previous one, so that a provider's prompt cache
//! can reuse it: `cargo bench --bench prefix`. Only history is counted: head and tools are always
//! the same.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod common;

use std::fs::File;
use std::io::BufReader;

use common::{MESSAGE, Table, Writer, float, sized, stored_cost};
use turnwise::replay::Outcome;
use turnwise::strategy::parse;
use turnwise::transcript::Transcripts;
use turnwise::{Conversation, Ledger, Message, Planner, TokenBudget, Transcript, replay};

/// The last one is the first without water marks.
const STRATEGIES: [&str; 8] =
    ["window", "window:turns=5", "head-tail", "tools", "ladder", "summarize", "recall", "window, sliding"];

/// Tokens of history that were repeated, and that there were, over all requests that had one before them.
fn reuse(file: &Transcript, strategy: &str, low: f64, limit: impl Fn(u64) -> u64) -> (u64, u64) {
    let cost = stored_cost();
    let head = cost.head(file.conversation.head(), &file.tools, &[]).tokens + cost.priming().tokens;
    let mut ledger = Ledger::new();
    let budget = TokenBudget::limit(head + limit(ledger.total(&file.conversation, &cost))).low_mark(low);
    let planner = Planner::new(cost, &budget).unwrap().tools(file.tools.clone());
    let done = replay(&file.conversation, &mut ledger, &planner, &*parse(strategy).unwrap()).unwrap();
    let sent = done.requests.iter().filter_map(|request| match &request.outcome {
        Outcome::Planned(plan) => Some((plan.prefix.saturating_sub(head), plan.tokens.saturating_sub(head))),
        _ => None,
    });
    sent.skip(1).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// In percent, over all files.
fn share(files: &[Transcript], strategy: &str, limit: impl Fn(u64) -> u64) -> f64 {
    let (strategy, low) = strategy.split_once(", ").map_or((strategy, 0.7), |(name, _)| (name, 1.0));
    let sums = files.iter().map(|file| reuse(file, strategy, low, &limit));
    let (repeated, of) = sums.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    100.0 * repeated as f64 / (of.max(1)) as f64
}

fn fixtures() -> Vec<Transcript> {
    let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tau_airline.jsonl")).unwrap();
    Transcripts::new(BufReader::new(file)).collect::<Result<_, _>>().unwrap()
}

fn long_talk() -> Transcript {
    let mut writer = Writer::new(11);
    let messages = (0..2 * sized(1_000, 60)).map(|number| match number % 2 {
        0 => Message::user(writer.text(MESSAGE)),
        _ => Message::assistant(writer.text(MESSAGE)),
    });
    Transcript::new(Conversation::from_messages(messages))
}

fn main() {
    let (real, long) = (fixtures(), [long_talk()]);
    let turns = float(long[0].conversation.path().turn_count());
    let room_of_fifty = |whole: u64| (50.0 * whole as f64 / turns) as u64;
    let columns = ["1/4", "1/2", "50 turns"];
    let title = "History repeated, in percent: six tool conversations with room for a part of the history; 1,000 turns";
    let mut table = Table::with_columns(title, &columns);
    let mut all = Vec::new();
    for strategy in STRATEGIES {
        let figures = [
            share(&real, strategy, |whole| whole / 4),
            share(&real, strategy, |whole| whole / 2),
            share(&long, strategy, room_of_fifty),
        ];
        all.push(figures);
        table.row(strategy, figures.to_vec(), "%", String::new(), None);
    }
    let (sticky, sliding) = (all[0], all[STRATEGIES.len() - 1]);
    let gain: Vec<f64> = sticky.iter().zip(sliding).map(|(sticky, sliding)| sticky / sliding).collect();
    let is_gained = gain.iter().take(2).all(|gain| *gain >= 2.0);
    table.row("window against sliding", gain, "times", ">= 2, >= 2".to_owned(), Some(is_gained));
    table.row("window, 1,000 turns", vec![sticky[2]], "%", ">= 88".to_owned(), Some(sticky[2] >= 88.0));
    table.print();
}
