//! Compares counts with what the API billed: `TURNWISE_RECORDINGS=folder cargo bench --bench
//! accuracy`.
//!
//! The folder holds recorded answers in `*.jsonl`, one per line: `{source, api, model, era?,
//! request, prompt_tokens}`, where `api` is `chat` or `responses` and `request` is the body that
//! was sent. The data of an image may be left out, as in `data:image/png;base64,<elided, 128x64>`.
//! Without a folder, only the cookbook's examples are checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss, missing_docs)]

#[path = "accuracy/others.rs"]
mod others;
#[path = "accuracy/recording.rs"]
mod recording;

use std::collections::BTreeMap;
use std::path::PathBuf;

use recording::{Kind, Recording};
use turnwise::tokens::Count;

const BUILT_IN: &str = include_str!("accuracy/cookbook.jsonl");

/// Kinds of which every count that is off is listed.
const fn is_listed(kind: Kind) -> bool {
    !matches!(kind, Kind::ResponsesOther)
}

/// One recording and what each formula says.
struct Checked {
    recording: Recording,
    ours: Count,
    native: Option<u64>,
    cookbook: u64,
}

impl Checked {
    fn new(recording: Recording) -> Self {
        let cost = recording.cost();
        let ours = cost.request(&recording.request).total();
        let native = others::tiktoken_rs(&recording.model, &recording.request.messages);
        let cookbook = others::cookbook(&cost, &recording.request);
        Self { recording, ours, native, cookbook }
    }

    fn off(&self) -> i64 {
        self.ours.tokens.cast_signed() - self.recording.billed.cast_signed()
    }

    /// Below the bill by more than two tokens and more than one part in a hundred.
    fn is_below(&self) -> bool {
        self.off() < -2 && self.off().unsigned_abs() * 100 > self.recording.billed
    }

    fn is_marked(&self) -> bool {
        self.off() == 0 || !self.ours.exact
    }
}

fn main() {
    let folder = std::env::args_os().skip(1).find(|argument| PathBuf::from(argument).is_dir());
    let folder = folder.or_else(|| std::env::var_os("TURNWISE_RECORDINGS")).map(PathBuf::from);
    let recordings = folder.as_deref().map_or_else(built_in, recording::read);
    let checked: Vec<Checked> = recordings.into_iter().map(Checked::new).collect();
    print_table(&checked);
    print_below(&checked);
    print_inexact(&checked);
    if folder.is_none() {
        assert!(checked.iter().all(|one| one.off() == 0), "the cookbook's examples are exact");
    }
}

fn built_in() -> Vec<Recording> {
    println!("!! NO RECORDINGS: set TURNWISE_RECORDINGS to a folder of *.jsonl.");
    println!("!! What follows is checked on the cookbook's four examples and says nothing about accuracy.\n");
    BUILT_IN.lines().map(|line| Recording::from_json(line).expect("a built-in recording")).collect()
}

fn print_table(checked: &[Checked]) {
    println!(
        "exact: counts that are the bill, and beside them those of tiktoken-rs's num_tokens_from_messages and of the"
    );
    println!(
        "cookbook's formula; mean, worst: error in tokens; marked: counts that are not exact and say `estimated`, of all"
    );
    println!("that are not exact; ~: all counts that say `estimated`\n");
    println!(
        "{:<32} {:>5} {:>12} {:>9} {:>11} {:>9} {:>7} {:>6} {:>8} {:>5}",
        "content", "rows", "exact", "within 2", "tiktoken-rs", "cookbook", "mean", "worst", "marked", "~"
    );
    let mut kinds: BTreeMap<Kind, Vec<&Checked>> = BTreeMap::new();
    for one in checked {
        kinds.entry(one.recording.kind).or_default().push(one);
    }
    for (kind, rows) in &kinds {
        print_row(&kind.to_string(), rows);
    }
    println!();
    let formula: Vec<&Checked> = checked.iter().filter(|one| one.recording.kind.has_formula()).collect();
    print_row("chat, all but files and audio", &formula);
    let today: Vec<&Checked> = formula.iter().copied().filter(|one| one.recording.kind != Kind::Of2023).collect();
    print_row("  of which not of 2023", &today);
}

fn print_row(name: &str, rows: &[&Checked]) {
    if rows.is_empty() {
        return;
    }
    let count = |is: &dyn Fn(&Checked) -> bool| rows.iter().filter(|one| is(one)).count();
    let exact = count(&|one| one.off() == 0);
    let percent = 100.0 * exact as f64 / rows.len() as f64;
    let sum: u64 = rows.iter().map(|one| one.off().unsigned_abs()).sum();
    let worst = rows.iter().map(|one| one.off()).max_by_key(|off| off.abs()).unwrap_or(0);
    println!(
        "{name:<32} {:>5} {:>12} {:>9} {:>11} {:>9} {:>7.2} {worst:>+6} {:>8} {:>5}",
        rows.len(),
        format!("{exact} ({percent:.1}%)"),
        count(&|one| one.off().abs() <= 2),
        count(&|one| one.native == Some(one.recording.billed)),
        count(&|one| one.cookbook == one.recording.billed),
        sum as f64 / rows.len() as f64,
        format!("{}/{}", count(&|one| one.off() != 0 && one.is_marked()), rows.len() - exact),
        count(&|one| !one.ours.exact),
    );
}

fn print_below(checked: &[Checked]) {
    let formula: Vec<&Checked> = checked.iter().filter(|one| one.recording.kind.has_formula()).collect();
    let below = formula.iter().filter(|one| one.is_below()).count();
    let percent = 100.0 * below as f64 / formula.len().max(1) as f64;
    println!("\nbelow the bill by more than 2 tokens and 1 %: {below} of {} ({percent:.1}%)", formula.len());
}

fn print_inexact(checked: &[Checked]) {
    let inexact: Vec<&Checked> = checked.iter().filter(|one| one.off() != 0 && is_listed(one.recording.kind)).collect();
    let unmarked = inexact.iter().filter(|one| !one.is_marked()).count();
    println!(
        "\nnot exact: {}, without \"Responses API, other\"; of these said to be exact: {unmarked} (!!)",
        inexact.len()
    );
    for one in inexact {
        let Recording { billed, kind, model, source, .. } = &one.recording;
        let flag = if one.is_marked() { "~ " } else { "!!" };
        println!("{flag} {:>+6} of {billed:>6}  {:<30} {model:<24} {}", one.off(), kind.to_string(), short(source));
    }
}

/// The end of a long source.
fn short(source: &str) -> String {
    let length = source.chars().count();
    if length <= 90 {
        source.to_owned()
    } else {
        format!("…{}", source.chars().skip(length - 89).collect::<String>())
    }
}
