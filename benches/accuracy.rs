//! How far counts are from what the API billed: `cargo bench --bench accuracy`.
//!
//! Counted are the recorded requests of `fixtures/billed_requests.jsonl.zst`, or those of a folder:
//! `TURNWISE_RECORDINGS=folder cargo bench --bench accuracy`. The folder holds recorded answers in `*.jsonl`, one a line:
//! `{source, api, model, era?, request, prompt_tokens}`, where `api` is `chat` or `responses` and `request` is the body that
//! was sent. Data may be left out, as in `data:image/png;base64,<elided, 128x64>` and `<131432 chars>`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss, missing_docs)]

#[path = "accuracy/others.rs"]
mod others;
#[path = "accuracy/recording.rs"]
mod recording;

use std::collections::BTreeMap;
use std::path::PathBuf;

use recording::{Kind, Recording};
use turnwise::tokens::Count;

/// Kinds of which every count that is off is listed.
const fn is_listed(kind: Kind) -> bool {
    !matches!(kind, Kind::ResponsesText | Kind::ResponsesOther)
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

    fn is_broken_promise(&self) -> bool {
        self.off() != 0 && self.ours.exact
    }

    fn is_needless_mark(&self) -> bool {
        self.off() == 0 && !self.ours.exact
    }
}

fn main() {
    let folder = std::env::args_os().skip(1).find(|argument| PathBuf::from(argument).is_dir());
    let folder = folder.or_else(|| std::env::var_os("TURNWISE_RECORDINGS")).map(PathBuf::from);
    let recordings = folder.as_deref().map_or_else(recording::of_fixture, recording::read);
    let checked = recordings.into_iter().map(Checked::new);
    let (held_out, fitted): (Vec<Checked>, Vec<Checked>) = checked.partition(|one| one.recording.is_held_out());
    println!("exact: counts that are the bill, and beside them those of tiktoken-rs's num_tokens_from_messages and of");
    println!("the cookbook's formula; mean, worst: error in tokens; !!: counts that are not exact and do not say");
    println!("`estimated`; needless: counts that are exact and say it");
    for (name, rows) in [("fitted: rules were made from these rows", &fitted), ("held out: rules were not", &held_out)]
    {
        if !rows.is_empty() {
            println!("\n{name}\n");
            print_table(rows);
            print_inexact(rows);
        }
    }
}

fn print_table(checked: &[Checked]) {
    println!(
        "{:<36} {:>5} {:>14} {:>8} {:>11} {:>8} {:>8} {:>7} {:>3} {:>8}",
        "content", "rows", "exact", "within 2", "tiktoken-rs", "cookbook", "mean", "worst", "!!", "needless"
    );
    let mut kinds: BTreeMap<Kind, Vec<&Checked>> = BTreeMap::new();
    for one in checked {
        kinds.entry(one.recording.kind).or_default().push(one);
    }
    for (kind, rows) in &kinds {
        print_row(&kind.to_string(), rows);
    }
    let formula: Vec<&Checked> = checked.iter().filter(|one| one.recording.kind.has_formula()).collect();
    print_row("all but addresses, files and audio", &formula);
    let below = formula.iter().filter(|one| one.is_below()).count();
    println!("below the bill by more than 2 tokens and 1 %: {below}");
}

fn print_row(name: &str, rows: &[&Checked]) {
    let count = |is: &dyn Fn(&Checked) -> bool| rows.iter().filter(|one| is(one)).count();
    let exact = count(&|one| one.off() == 0);
    let percent = 100.0 * exact as f64 / rows.len().max(1) as f64;
    let sum: u64 = rows.iter().map(|one| one.off().unsigned_abs()).sum();
    let worst = rows.iter().map(|one| one.off()).max_by_key(|off| off.abs()).unwrap_or(0);
    println!(
        "{name:<36} {:>5} {:>14} {:>8} {:>11} {:>8} {:>8.2} {worst:>+7} {:>3} {:>8}",
        rows.len(),
        format!("{exact} ({percent:.1} %)"),
        count(&|one| one.off().abs() <= 2),
        count(&|one| one.native == Some(one.recording.billed)),
        count(&|one| one.cookbook == one.recording.billed),
        sum as f64 / rows.len().max(1) as f64,
        count(&Checked::is_broken_promise),
        count(&Checked::is_needless_mark),
    );
}

fn print_inexact(checked: &[Checked]) {
    for one in checked.iter().filter(|one| one.off() != 0 && is_listed(one.recording.kind)) {
        let Recording { billed, kind, model, source, .. } = &one.recording;
        let flag = if one.is_broken_promise() { "!!" } else { "~ " };
        println!("{flag} {:>+6} of {billed:>6}  {:<34} {model:<24} {}", one.off(), kind.to_string(), short(source));
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
