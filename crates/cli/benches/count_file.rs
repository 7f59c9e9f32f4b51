//! The time of `turnwise count` on a saved transcript, from start to end: `cargo bench -p
//! turnwise-cli`. For comparison it runs itself as a child process that only loads the vocabulary.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../../../benches/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{LIMIT, Table, Writer, median, micros, sized};
use turnwise::{ChatCost, Conversation, Planner, SlidingWindow, StrategyCache, TokenBudget, Transcript};

/// In the environment of a child, which only loads the vocabulary.
const CHILD: &str = "TURNWISE_BENCH_COUNT_FILE";
const MOST_RATIO: f64 = 1.3;
const MOST_MILLIS: f64 = 10.0;
const MESSAGES: usize = 1_000;

/// A transcript of 1,000 messages, saved without its counts and with them.
fn transcripts(folder: &Path) -> [PathBuf; 2] {
    let mut writer = Writer::new(7);
    let messages = (0..MESSAGES).map(|number| writer.talk(number));
    let mut file = Transcript::new(Conversation::from_messages(messages));
    file.model = Some("gpt-4o".to_owned());
    let paths = ["uncounted.json", "counted.json"].map(|name| folder.join(name));
    file.save(&paths[0]).unwrap();
    let planner = Planner::new(ChatCost::for_model("gpt-4o"), &TokenBudget::limit(LIMIT)).unwrap();
    planner
        .plan(&file.conversation, &mut file.ledger, &SlidingWindow::tokens(), &mut StrategyCache::default())
        .unwrap();
    file.save(&paths[1]).unwrap();
    paths
}

/// Milliseconds of a process, from its start to its end.
fn millis(command: &mut Command) -> f64 {
    command.stdout(Stdio::null());
    micros(|| assert!(command.status().unwrap().success())) / 1_000.0
}

fn vocabulary() -> f64 {
    millis(Command::new(std::env::current_exe().unwrap()).env(CHILD, "1"))
}

fn count(file: &Path) -> f64 {
    millis(Command::new(env!("CARGO_BIN_EXE_turnwise")).arg("count").arg(file))
}

fn main() {
    if std::env::var_os(CHILD).is_some() {
        assert_eq!(tiktoken_rs::o200k_base_singleton().count_ordinary("Hello"), 1);
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    let [uncounted, counted] = transcripts(folder.path());
    let mut took = [const { Vec::new() }; 3];
    for _ in 0..sized(15, 1) {
        took[0].push(vocabulary());
        took[1].push(count(&uncounted));
        took[2].push(count(&counted));
    }
    let ratios: Vec<f64> = took[1].iter().zip(&took[0]).map(|(count, vocabulary)| count / vocabulary).collect();
    let mut table = Table::new("turnwise count, 1,000 messages: median of 15");
    table.show("load the vocabulary, count one word", median(&took[0]), "ms");
    table.show("a transcript without counts", median(&took[1]), "ms");
    table.check("a transcript without counts, against vocabulary", median(&ratios), "times", MOST_RATIO);
    table.check("a transcript with counts", median(&took[2]), "ms", MOST_MILLIS);
    table.print();
}
