//! Counting: speed, bounds, equality of the tokenizers, and threads: `cargo bench --bench count`,
//! with and without `--features fast-tokens`. `TURNWISE_STRINGS` is how many strings of each kind
//! are compared.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;
#[path = "../src/tokens/samples.rs"]
mod samples;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, thread};

use common::{
    MESSAGE, Table, Writer, float, is_quick, least, load_tokenizer, median, micros, samples as sampled, sized,
    stored_cost,
};
use fastrand::Rng;
use turnwise::tokens::{Approximate, Count, Encoding, StreamedCount, Tiktoken, TokenCounter};
use turnwise::{ChatCost, Conversation, Ledger, Message};

/// In the environment of a child: which counter it loads.
const TASK: &str = "TURNWISE_BENCH_COUNT";
const ENCODINGS: [Encoding; 2] = [Encoding::O200kBase, Encoding::Cl100kBase];
const MB: usize = 1_000_000;
const MOST_MILLIS_A_MB: f64 = 1_000.0;
const MOST_GROWTH: f64 = 12.0;
const LEAST_RATIO: f64 = 2.0;
const LEAST_ON_TWO_CORES: f64 = 1.5;

/// What `tiktoken-rs` says of the whole text at once.
fn plain(encoding: Encoding, text: &str) -> u64 {
    let bpe = match encoding {
        Encoding::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
        _ => tiktoken_rs::o200k_base_singleton(),
    };
    bpe.count_ordinary(text) as u64
}

fn is_fast() -> bool {
    cfg!(feature = "fast-tokens")
}

fn own() -> &'static str {
    if is_fast() { "Tiktoken, fast-tokens" } else { "Tiktoken" }
}

/// All source files of the crate, one after the other.
fn code(folder: &Path) -> String {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "rs"));
    let text = |path: &PathBuf| if path.is_dir() { code(path) } else { fs::read_to_string(path).unwrap() };
    paths.iter().map(text).collect()
}

fn chinese() -> String {
    const FREQUENT: &str =
        "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里";
    let (mut chance, frequent) = (Rng::with_seed(5), FREQUENT.chars().collect::<Vec<_>>());
    (0..200_000)
        .map(|_| match chance.u8(..16) {
            0 => '，',
            1 => '。',
            2..=5 => char::from_u32(chance.u32(0x4e00..0x8000)).unwrap(),
            _ => frequent[chance.usize(..frequent.len())],
        })
        .collect()
}

/// Kinds of text, each in the parts that are counted alone.
fn texts() -> Vec<(&'static str, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let mut writer = Writer::new(17);
    let pages =
        ["planning", "counting", "calibration", "files", "streaming"].map(|page| format!("docs/internals/{page}.md"));
    let english = ["README.md", "docs/design.md", "CHANGELOG.md", "LICENSE-APACHE"].map(read).concat();
    let english = english + &pages.map(|page| read(&page)).concat();
    vec![
        ("English", parts(&english)),
        ("code", parts(&code(&root.join("src")))),
        ("JSON", parts(&read("fixtures/tau_airline.jsonl"))),
        ("chat messages, one by one", (0..sized(4_000, 10)).map(|_| writer.text(267)).collect()),
        ("Chinese", parts(&chinese())),
    ]
}

/// Parts of some lines each.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.split_inclusive(['\n', '。']) {
        match parts.last_mut() {
            Some(part) if part.len() < 4_000 => part.push_str(line),
            _ => parts.push(line.to_owned()),
        }
    }
    parts
}

fn speed() {
    load_tokenizer();
    let columns = ["tiktoken-rs", "Tiktoken", "ratio", "again", "Approx."];
    let title = format!("MB/s of o200k_base, {}: text not seen before, then `Tiktoken` on the same text", own());
    let mut table = Table::with_columns(&title, &columns);
    let counter = Tiktoken::new(Encoding::O200kBase);
    for (name, parts) in texts() {
        let bytes = float(parts.iter().map(String::len).sum());
        // Part by part in turn, so that a noisy second falls on both.
        let mut first = [0.0, 0.0];
        for part in &parts {
            first[0] += micros(|| plain(Encoding::O200kBase, part));
            first[1] += micros(|| counter.count(part));
        }
        let whole = |count: &dyn Fn(&str) -> u64| micros(|| parts.iter().map(|part| count(part)).sum::<u64>());
        let again = median(&sampled(sized(9, 1), || whole(&|text| counter.count(text).tokens)));
        let estimate = median(&sampled(sized(9, 1), || whole(&|text| Approximate.count(text).tokens)));
        let [plain, own, again, estimate] = [first[0], first[1], again, estimate].map(|took| bytes / took);
        let target = is_fast() && name != "Chinese";
        let is_met = target.then_some(own / plain >= LEAST_RATIO);
        let stated = if target { format!(">= {LEAST_RATIO}") } else { String::new() };
        table.row(name, vec![plain, own, own / plain, again, estimate], "MB/s", stated, is_met);
    }
    table.print();
}

/// A text of so many bytes, at least.
type Make = fn(&mut Rng, usize) -> String;

const HOSTILE: &[(&str, Make)] = &[
    ("a", |_, bytes| "a".repeat(bytes)),
    ("random letters", |chance, bytes| (0..bytes).map(|_| chance.lowercase()).collect()),
    ("spaces", |_, bytes| " ".repeat(bytes)),
    ("spaces, then x", |_, bytes| " ".repeat(bytes) + "x"),
    ("newlines", |_, bytes| "\n".repeat(bytes)),
    ("no-break spaces", |_, bytes| "\u{a0}".repeat(bytes / 2)),
    ("random Han", |chance, bytes| (0..bytes / 3).map(|_| chance.char('一'..'龥')).collect()),
    ("=", |_, bytes| "=".repeat(bytes)),
    ("/", |_, bytes| "/".repeat(bytes)),
    ("digits", |chance, bytes| (0..bytes).map(|_| chance.digit(10)).collect()),
    ("'s", |_, bytes| "'s".repeat(bytes / 2)),
    ("aA", |_, bytes| "aA".repeat(bytes / 2)),
    ("joined emoji", |_, bytes| "👩\u{200d}💻".repeat(bytes / 11)),
    ("combining marks", |_, bytes| "\u{301}".repeat(bytes / 2)),
    ("NUL", |_, bytes| "\0".repeat(bytes)),
];

fn hostile() {
    let title = format!("Hostile texts, o200k_base, {}: milliseconds, and how the time grows", own());
    let mut table = Table::with_columns(&title, &["1 MB", "10 MB", "growth", "streamed"]);
    let counter = Tiktoken::new(Encoding::O200kBase);
    let (short, long) = (sized(MB, 70_000), sized(10 * MB, 140_000));
    for (name, make) in HOSTILE {
        let [small, large] = [short, long].map(|bytes| make(&mut Rng::with_seed(4), bytes));
        let of = |text: &str, runs| least(&sampled(runs, || micros(|| counter.count(text)))) / 1_000.0;
        let (one, ten, deltas) = (of(&small, sized(3, 1)), of(&large, 1), streamed(counter, &small));
        let is_met = one < MOST_MILLIS_A_MB && ten / one <= MOST_GROWTH;
        let stated = format!("< {MOST_MILLIS_A_MB}, {MOST_GROWTH} x");
        table.row(name, vec![one, ten, ten / one, deltas], "ms", stated, Some(is_met));
    }
    let blanks = micros(|| counter.count(&" ".repeat(2_000_000))) / 1_000.0;
    table.row("2,000,000 spaces", vec![blanks], "ms", String::new(), None);
    table.print();
}

/// Milliseconds to count a text that arrives in deltas of four characters, asked after each.
fn streamed(counter: Tiktoken, text: &str) -> f64 {
    let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).step_by(4).skip(1).chain([text.len()]).collect();
    let took = micros(|| {
        let (mut count, mut start) = (StreamedCount::new(counter), 0);
        for &end in &ends {
            count.push(&text[start..end]);
            count.count();
            start = end;
        }
        count.finish()
    });
    took / 1_000.0
}

fn equality() {
    let strings = env::var("TURNWISE_STRINGS").map_or(sized(20_000, 200), |count| count.parse().unwrap());
    let mut table = Table::with_columns("Against tiktoken-rs: strings", &["same", "estimated", "different"]);
    for encoding in ENCODINGS {
        let counter = Tiktoken::new(encoding);
        let chance = &mut Rng::with_seed(strings as u64);
        let (mut same, mut estimated, mut different) = (0, 0, 0);
        for number in 0..2 * strings {
            let mixed;
            let text = if number % 2 == 0 {
                samples::real(chance, 300)
            } else {
                mixed = samples::mixed(chance, 14);
                &mixed
            };
            match counter.count(text) {
                Count { exact: false, .. } => estimated += 1,
                Count { tokens, .. } if tokens == plain(encoding, text) => same += 1,
                count => {
                    println!("{encoding} {text:?}: {count}, {} with tiktoken-rs", plain(encoding, text));
                    different += 1;
                }
            }
        }
        let figures = [same, estimated, different].map(float).to_vec();
        table.row(encoding.name(), figures, "", "0".to_owned(), Some(different == 0));
    }
    table.print();
}

fn cores() {
    let messages = sized(100_000, 100);
    let mut writer = Writer::new(9);
    let talk = Conversation::from_messages((0..messages).map(|number| writer.talk(number)));
    let cost = ChatCost::default();
    load_tokenizer();
    // One after the other, so that a noisy second falls on both.
    let (mut one, mut all, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    let costless = stored_cost();
    for _ in 0..sized(5, 1) {
        // A thread of its own, as the workers are: caches that belong to a thread begin empty.
        one.push(micros(|| thread::scope(|scope| scope.spawn(|| cost.group(talk.path().messages())).join().unwrap())));
        all.push(micros(|| Ledger::new().total(&talk, &cost)));
        rest.push(micros(|| Ledger::new().total(&talk, &costless)));
    }
    let title = format!("A ledger over {messages} messages of {MESSAGE} bytes, {}: best of 5", own());
    let mut table = Table::new(&title);
    table.show("one thread", least(&one) / 1_000.0, "ms");
    table.show("all cores", least(&all) / 1_000.0, "ms");
    table.show("    all but counting", least(&rest) / 1_000.0, "ms");
    let ratio = least(&one) / least(&all);
    table.row("ratio", vec![ratio], "", format!(">= {LEAST_ON_TWO_CORES}"), Some(ratio >= LEAST_ON_TWO_CORES));
    table.print();
}

/// What a ledger adds to the count of one new message, however long the conversation is.
fn new_message() {
    const BYTES: usize = 267;
    let mut writer = Writer::new(13);
    let mut talk = Conversation::from_messages((0..sized(10_000, 20)).map(|number| writer.talk(number)));
    let (cost, mut ledger) = (ChatCost::default(), Ledger::new());
    ledger.total(&talk, &cost);
    let (mut alone, mut added) = (Vec::new(), Vec::new());
    for _ in 0..sized(2_001, 3) {
        let message = Message::user(writer.text(BYTES));
        talk.push(message.clone());
        // Twice alone, so that what the tokenizer remembers of the words helps both alike.
        cost.group([&message]);
        alone.push(micros(|| cost.group([&message])));
        added.push(micros(|| ledger.total(&talk, &cost)));
    }
    let mut table = Table::new("A new message of 267 bytes on 10,000: median of 2,001");
    table.show("counted alone", median(&alone), "us");
    table.show("counted and added up by the ledger", median(&added), "us");
    table.check("difference", median(&added) - median(&alone), "us", 2.0);
    table.print();
}

/// What a child does: it counts one word and prints its resident memory in kB, where the system tells it.
fn run(task: &str) {
    match task {
        "tiktoken-rs" => assert_eq!(plain(Encoding::O200kBase, "Hello"), 1),
        "own" => assert_eq!(Tiktoken::new(Encoding::O200kBase).count("Hello").tokens, 1),
        _ => {}
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    println!("{}", resident.map_or("0", |line| line.trim().trim_end_matches(" kB")));
}

fn first_use() {
    let tasks = ["nothing", "tiktoken-rs", "own"];
    let mut figures = [const { (Vec::new(), Vec::new()) }; 3];
    for _ in 0..sized(11, 1) {
        for (task, (times, sizes)) in tasks.iter().zip(&mut figures) {
            let mut command = Command::new(env::current_exe().unwrap());
            command.env(TASK, task).stderr(Stdio::inherit());
            let mut printed = Vec::new();
            times.push(micros(|| printed = command.output().unwrap().stdout) / 1_000.0);
            sizes.push(String::from_utf8(printed).unwrap().trim().parse::<f64>().unwrap() / 1_024.0);
        }
    }
    let mut table = Table::with_columns("A process that counts one word: median of 11", &["ms", "MB"]);
    for (task, (times, sizes)) in tasks.iter().zip(&figures) {
        let name = if *task == "own" { own() } else { task };
        table.row(name, vec![median(times), median(sizes)], "", String::new(), None);
    }
    table.print();
}

fn main() {
    if let Ok(task) = env::var(TASK) {
        return run(&task);
    }
    // The vocabularies are loaded, and what regular expressions build as they go.
    let mixed = samples::mixed(&mut Rng::with_seed(1), 3_000);
    for encoding in ENCODINGS {
        assert!(Tiktoken::new(encoding).count(&mixed).tokens > 0 && plain(encoding, &mixed) > 0);
    }
    speed();
    new_message();
    cores();
    first_use();
    equality();
    if !is_quick() || cfg!(not(debug_assertions)) {
        hostile();
    }
}
