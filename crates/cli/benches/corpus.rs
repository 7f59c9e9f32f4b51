//! `turnwise replay` and `turnwise compare` on 10,000 generated conversations of 100 messages: requests a second on one
//! thread, counting included, and the peak memory beside that of a tenth of the conversations. And `compare` of the
//! fixtures with every strategy. `cargo bench -p turnwise-cli --bench corpus`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../../../benches/common/mod.rs"]
mod common;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{Table, Writer, float, median, sized};
use serde_json::json;

const TALKS: usize = 10_000;
const MESSAGES: usize = 100;
/// Requests of a conversation: one for each reply.
const REQUESTS: usize = MESSAGES / 2;
/// Tokens: about half of a conversation, so that most strategies leave something out.
const BUDGET: &str = "1500";
const LEAST_REQUESTS_PER_SECOND: f64 = 20_000.0;
const MOST_SECONDS_FOR_FIXTURES: f64 = 2.0;
/// What memory may grow by with ten times the conversations.
const MOST_GROWTH: f64 = 1.3;

/// A file of conversations whose messages are as long as people's and models' are: from a few words to a paragraph.
fn conversations(file: &Path, count: usize) {
    let mut writer = Writer::new(19);
    let mut out = BufWriter::new(File::create(file).unwrap());
    for number in 0..count {
        let message = |index: usize| {
            let role = if index.is_multiple_of(2) { "user" } else { "assistant" };
            let bytes = [40, 160, 90, 320][index % 4];
            json!({ "role": role, "content": writer.text(bytes) })
        };
        let messages: Vec<_> = (0..MESSAGES).map(message).collect();
        let talk = json!({ "id": format!("talk-{number}"), "model": "gpt-4o", "messages": messages });
        writeln!(out, "{talk}").unwrap();
    }
    out.flush().unwrap();
}

/// Seconds of a run, and its peak memory in megabytes (0 where the system does not say).
fn run(line: &str, files: &[PathBuf]) -> (f64, f64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnwise"));
    command.args(line.split_whitespace()).args(files).env_remove("TURNWISE_MODELS");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0;
    while child.try_wait().unwrap().is_none() {
        peak = f64::max(peak, peak_of(&status).unwrap_or(0.0));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let seconds = began.elapsed().as_secs_f64();
    assert!(child.wait().unwrap().success(), "{line}");
    (seconds, peak)
}

fn peak_of(status: &str) -> Option<f64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1_000.0)
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    ["tau_airline.jsonl", "swe_agent.jsonl", "recorded_exchanges.jsonl"].map(|name| folder.join(name)).to_vec()
}

fn rates(table: &mut Table, folder: &Path) {
    let talks = sized(TALKS, 20);
    let (many, few) = (folder.join("many.jsonl"), folder.join("few.jsonl"));
    conversations(&many, talks);
    conversations(&few, talks / 10);
    let least = |table: &mut Table, name: &str, rate: f64| {
        let target = format!("> {LEAST_REQUESTS_PER_SECOND}");
        table.row(name, vec![rate], "1/s", target, Some(rate > LEAST_REQUESTS_PER_SECOND));
    };
    for (name, line, strategies) in [
        ("replay, window", "replay -s window", 1),
        ("replay, recall", "replay -s recall", 1),
        ("compare, seven strategies", "compare", 7),
    ] {
        let line = |threads: usize| format!("{line} --budget {BUDGET} --threads {threads}");
        let (seconds, peak) = run(&line(1), std::slice::from_ref(&many));
        let (_, peak_of_few) = run(&line(1), std::slice::from_ref(&few));
        least(table, &format!("{name}: requests a second, one thread"), float(talks * REQUESTS * strategies) / seconds);
        let (seconds, _) = run(&line(2), std::slice::from_ref(&many));
        table.show("  two threads", float(talks * REQUESTS * strategies) / seconds, "1/s");
        table.show("  peak memory", peak, "MB");
        table.check("  against that of a tenth", peak / peak_of_few.max(0.001), "times", MOST_GROWTH);
    }
}

fn main() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut table = Table::new("10,000 conversations of 100 messages");
    rates(&mut table, folder.path());
    let every = "compare --budget 8000 -s everything -s window -s window:messages=20 -s window:turns=5 -s head-tail:first=2 \
                 -s tools -s recall -s recall:excerpts=no -s summarize -s ladder -s ladder:clear-tools/recall";
    let seconds: Vec<f64> = (0..sized(5, 1)).map(|_| run(every, &fixtures()).0).collect();
    table.check("compare of the fixtures, every strategy", median(&seconds), "s", MOST_SECONDS_FOR_FIXTURES);
    table.print();
}
