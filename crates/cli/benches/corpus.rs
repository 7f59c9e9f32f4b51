//! `turnwise replay` and `turnwise compare` on 10,000 generated conversations of 100 messages: requests for each second of
//! processor time, which other programs on the machine take nothing of, on one thread and counting included; and the peak
//! memory beside that of a tenth of the conversations. And `compare` of the fixtures with every strategy. `cargo bench -p
//! turnwise-cli --bench corpus`.
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

/// What a run took.
struct Run {
    seconds: f64,
    /// Of processor time; where the system does not say, the same as `seconds`.
    busy: f64,
    /// Peak memory in megabytes; 0 where the system does not say.
    peak: f64,
}

fn run(line: &str, files: &[PathBuf]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnwise"));
    command.args(line.split_whitespace()).args(files).env_remove("TURNWISE_MODELS");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().unwrap();
    let (status, stat) = (format!("/proc/{}/status", child.id()), format!("/proc/{}/stat", child.id()));
    let (mut peak, mut busy) = (0.0, None);
    while child.try_wait().unwrap().is_none() {
        peak = f64::max(peak, peak_of(&status).unwrap_or(0.0));
        busy = busy_of(&stat).or(busy);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let seconds = began.elapsed().as_secs_f64();
    assert!(child.wait().unwrap().success(), "{line}");
    Run { seconds, busy: busy.filter(|busy| *busy > 0.0).unwrap_or(seconds), peak }
}

/// Seconds of processor time, of programs and for them, in Linux's ticks of 10 ms.
fn busy_of(stat: &str) -> Option<f64> {
    let text = fs::read_to_string(stat).ok()?;
    // The name of the program may have spaces.
    let (_, after_name) = text.rsplit_once(')')?;
    let ticks: Vec<f64> = after_name.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    // Of a program that has ended, all is 0.
    (ticks.len() == 2 && ticks[0] > 0.0).then(|| (ticks[0] + ticks[1]) / 100.0)
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
        let requests = float(talks * REQUESTS * strategies);
        let one = run(&line(1), std::slice::from_ref(&many));
        let of_few = run(&line(1), std::slice::from_ref(&few));
        least(table, &format!("{name}: one thread, of processor time"), requests / one.busy);
        table.show("  one thread, as it was", requests / one.seconds, "1/s");
        table.show("  two threads, as it was", requests / run(&line(2), std::slice::from_ref(&many)).seconds, "1/s");
        table.show("  peak memory", one.peak, "MB");
        table.check("  against that of a tenth", one.peak / of_few.peak.max(0.001), "times", MOST_GROWTH);
    }
}

fn main() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut table = Table::new("10,000 conversations of 100 messages");
    rates(&mut table, folder.path());
    let every = "compare --budget 8000 -s everything -s window -s window:messages=20 -s window:turns=5 -s head-tail:first=2 \
                 -s tools -s recall -s recall:excerpts=no -s summarize -s ladder -s ladder:clear-tools/recall";
    let seconds: Vec<f64> = (0..sized(5, 1)).map(|_| run(every, &fixtures()).seconds).collect();
    table.check("compare of the fixtures, every strategy", median(&seconds), "s", MOST_SECONDS_FOR_FIXTURES);
    table.print();
}
