//! The time of a program that starts, trims and ends: `cargo bench --bench cold`. It runs itself as
//! child processes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::process::{Command, Stdio};

use common::{LIMIT, MESSAGE, Table, Writer, float, is_quick, least, load_tokenizer, median, micros, samples, sized};
use turnwise::{ChatCost, Conversation, Ledger, Message, SlidingWindow, TokenBudget, trim};

/// In the environment of a child: what it does.
const TASK: &str = "TURNWISE_BENCH_COLD";
const MOST_RATIO: f64 = 1.3;
const MESSAGES: usize = 1_000;

fn messages() -> Vec<Message> {
    let mut writer = Writer::new(7);
    (0..MESSAGES).map(|number| writer.talk(number)).collect()
}

/// What a child does.
fn run(task: &str) {
    match task {
        "vocabulary" => assert_eq!(tiktoken_rs::o200k_base_singleton().count_ordinary("Hello"), 1),
        "trim" => {
            let plan = trim(&messages(), &TokenBudget::limit(LIMIT), &SlidingWindow::tokens()).unwrap();
            assert!(plan.tokens().total() <= LIMIT && plan.evicted() > 0);
        }
        "texts" => assert_eq!(messages().len(), MESSAGES),
        _ => {}
    }
}

/// Milliseconds of a child process, from its start to its end.
fn child(task: &str) -> f64 {
    let program = std::env::current_exe().unwrap();
    let took = micros(|| Command::new(program).env(TASK, task).stdout(Stdio::null()).status().unwrap());
    took / 1_000.0
}

fn main() {
    if let Ok(task) = std::env::var(TASK) {
        return run(&task);
    }
    let tasks = ["vocabulary", "trim", "texts", "nothing"];
    let mut took = [const { Vec::new() }; 4];
    for _ in 0..sized(15, 1) {
        for (task, took) in tasks.iter().zip(&mut took) {
            took.push(child(task));
        }
    }
    // Each against its neighbour in time: a noisy second falls on both.
    let ratios: Vec<f64> = took[1].iter().zip(&took[0]).map(|(trim, vocabulary)| trim / vocabulary).collect();
    let [vocabulary, trim, texts, nothing] = took.map(|took| [median(&took), least(&took)]);
    let mut table = Table::with_columns("A process from start to end: 15 of each, in turn", &["median", "least"]);
    let mut row = |name: &str, figures: [f64; 2], unit, target: Option<f64>| {
        let stated = target.map_or(String::new(), |most| format!("< {most}"));
        table.row(name, figures.to_vec(), unit, stated, target.map(|most| figures[0] < most));
    };
    row("load the vocabulary, count one word", vocabulary, "ms", None);
    row("trim 1,000 uncounted messages to 8,000 tokens", trim, "ms", None);
    row("    write the 1,000 messages", texts, "ms", None);
    row("    start and end", nothing, "ms", None);
    row("trim against vocabulary", [median(&ratios), trim[1] / vocabulary[1]], "times", Some(MOST_RATIO));
    table.print();

    let few = if is_quick() { 20 } else { MESSAGES };
    let talk = Conversation::from_messages(messages().into_iter().take(few));
    let cost = ChatCost::default();
    load_tokenizer();
    let runs = sized(15, 1);
    let bytes = float(few * MESSAGE);
    let one = samples(runs, || micros(|| cost.group(talk.path().messages())));
    let all = samples(runs, || micros(|| Ledger::new().total(&talk, &cost)));
    let tokens = float(usize::try_from(cost.group(talk.path().messages()).tokens).unwrap());
    let mut table = Table::new("Counting 1,000 messages with o200k_base, vocabulary loaded: median of 15");
    table.show("one thread", median(&one) / 1_000.0, "ms");
    table.show("one thread", bytes / median(&one), "MB/s");
    table.show("a ledger, on all cores", median(&all) / 1_000.0, "ms");
    table.show("a ledger, on all cores", bytes / median(&all), "MB/s");
    table.show("tokens of a message", tokens / float(few), "tokens");
    table.print();
}
