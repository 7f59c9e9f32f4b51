//! Shared code of the benchmarks: texts, conversations, a clock and a table.
#![allow(dead_code, reason = "each benchmark uses a part")]

use std::hint::black_box;
use std::time::Instant;

use turnwise::tokens::{CounterFn, Encoding, Tiktoken, TokenCounter};
use turnwise::{ChatCost, Conversation, Message, TokenBudget, ToolCall};

/// Bytes of one message.
pub(crate) const MESSAGE: usize = 452;
/// Tokens that may be sent.
pub(crate) const LIMIT: u64 = 8_000;

/// Whether everything runs once and small: with `--test`, and when `cargo test --benches` runs the program, which leaves
/// the `--bench` out that `cargo bench` passes.
pub(crate) fn is_quick() -> bool {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    has("--test") || !has("--bench")
}

/// `full`, or `quick` when everything runs once and small.
pub(crate) fn sized(full: usize, quick: usize) -> usize {
    if is_quick() { quick } else { full }
}

/// Microseconds that `run` takes, without the time to drop what it makes.
pub(crate) fn micros<T>(run: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    let made = black_box(run());
    let took = start.elapsed();
    drop(made);
    took.as_secs_f64() * 1e6
}

/// Microseconds of the second step, after a first one that is not timed.
pub(crate) fn micros_after<S, T>(prepare: impl FnOnce() -> S, run: impl FnOnce(&mut S) -> T) -> f64 {
    let mut state = black_box(prepare());
    micros(|| run(&mut state))
}

/// `count` samples of a step.
pub(crate) fn samples(count: usize, mut sample: impl FnMut() -> f64) -> Vec<f64> {
    (0..count).map(|_| sample()).collect()
}

/// The middle one; 0 of none.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// The least one.
pub(crate) fn least(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

/// A number for arithmetic with times.
#[allow(clippy::cast_precision_loss, reason = "no figure here has sixteen digits")]
pub(crate) fn float(number: usize) -> f64 {
    number as f64
}

/// Rows of figures, printed as one table; figures that miss their target are marked, and nothing fails.
pub(crate) struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    figures: Vec<f64>,
    unit: &'static str,
    target: String,
    verdict: &'static str,
}

impl Table {
    /// A table with one column of figures.
    pub(crate) fn new(title: &str) -> Self {
        Self::with_columns(title, &["figure"])
    }

    pub(crate) fn with_columns(title: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { title: title.to_owned(), columns, rows: Vec::new() }
    }

    /// A figure for information.
    pub(crate) fn show(&mut self, name: &str, figure: f64, unit: &'static str) {
        self.row(name, vec![figure], unit, String::new(), None);
    }

    /// A figure that is to be under `target`.
    pub(crate) fn check(&mut self, name: &str, figure: f64, unit: &'static str, target: f64) {
        self.row(name, vec![figure], unit, format!("< {target}"), Some(figure < target));
    }

    pub(crate) fn row(
        &mut self,
        name: &str,
        figures: Vec<f64>,
        unit: &'static str,
        target: String,
        is_met: Option<bool>,
    ) {
        let verdict = match is_met {
            _ if is_quick() => "",
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        };
        self.rows.push(Row { name: name.to_owned(), figures, unit, target, verdict });
    }

    /// Prints it and forgets the rows.
    pub(crate) fn print(self) {
        let of_one_run = if is_quick() { " (one quick run: no figures to go by)" } else { "" };
        println!("\n{}{of_one_run}", self.title);
        let names = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let targets = self.rows.iter().map(|row| row.target.len()).max().unwrap_or(0).max(6);
        print!("  {:<names$}", "");
        for column in &self.columns {
            print!(" {column:>10}");
        }
        println!("  {:<8} {:<targets$}", "unit", "target");
        for row in &self.rows {
            print!("  {:<names$}", row.name);
            for column in 0..self.columns.len() {
                let figure = row.figures.get(column).map(|&figure| shown(figure)).unwrap_or_default();
                print!(" {figure:>10}");
            }
            println!("  {:<8} {:<targets$} {}", row.unit, row.target, row.verdict);
        }
    }
}

/// Three digits that matter, or all before the point.
fn shown(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// Texts that look like what people and models write: no two alike, the same in every run.
pub(crate) struct Writer {
    chance: fastrand::Rng,
    words: Vec<&'static str>,
}

/// Writes the next message of a conversation that has so many.
pub(crate) type Next = fn(&mut Writer, usize) -> Message;

/// Frequent words first: the earlier a word, the more often it is taken.
const WORDS: &str = "the to of and a in is that it for you we with on this be are as not have can will from but or if \
    at by an so what they when there which one all would about more do up out time how into your some them than like \
    other then these could people only over also after work first well way even new because any need most year day \
    message system customer question answer problem model request budget number report review team change project \
    order delivery address account payment invoice refund ticket support office morning evening meeting schedule \
    train station river mountain harbour weather kitchen garden window history language grammar sentence paragraph \
    database query index column schema server container network latency throughput cache memory thread compiler \
    function argument parameter return value error exception retry timeout connection certificate signature token \
    remember explain suggest compare measure describe understand consider recommend translate summarize calculate \
    quickly carefully probably usually apparently unfortunately however therefore meanwhile nevertheless \
    Hamburg Lisbon Kraków Montréal Nairobi Osaka Johannesburg Wednesday September microscope archaeology \
    thermodynamics infrastructure misconfiguration deprecated asynchronous idempotent bookkeeping crankshaft";

impl Writer {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chance: fastrand::Rng::with_seed(seed), words: WORDS.split_whitespace().collect() }
    }

    /// Sentences of about `bytes` bytes in all.
    pub(crate) fn text(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 24);
        let mut left_in_sentence = 0;
        while text.len() < bytes {
            let word = match self.chance.usize(..40) {
                0 => format!("{}", self.chance.u32(..100_000)),
                _ => self.word().to_owned(),
            };
            if left_in_sentence == 0 {
                if !text.is_empty() {
                    text.push_str(if self.chance.usize(..6) == 0 { ".\n\n" } else { ". " });
                }
                left_in_sentence = self.chance.usize(5..16);
                text.extend(word.chars().take(1).flat_map(char::to_uppercase));
                text.extend(word.chars().skip(1));
            } else {
                text.push_str(if self.chance.usize(..12) == 0 { ", " } else { " " });
                text.push_str(&word);
            }
            left_in_sentence -= 1;
        }
        while text.len() > bytes {
            text.pop();
        }
        text.push_str(&"!".repeat(bytes - text.len()));
        text
    }

    fn word(&mut self) -> &'static str {
        let most = self.words.len();
        self.words[self.chance.usize(..most).min(self.chance.usize(..most))]
    }

    /// The next message of a talk that has `number` so far: a user and an assistant in turn.
    pub(crate) fn talk(&mut self, number: usize) -> Message {
        let text = self.text(MESSAGE);
        if number.is_multiple_of(2) { Message::user(text) } else { Message::assistant(text) }
    }

    /// The next message of an agent's work that has `number` so far: question, call, result, answer.
    pub(crate) fn work(&mut self, number: usize) -> Message {
        let text = self.text(MESSAGE);
        let call_id = format!("call_{}", number / 4);
        match number % 4 {
            0 => Message::user(text),
            1 => {
                let arguments = format!("{{\"query\":{}}}", serde_json::Value::from(text));
                Message::calls([ToolCall::function(&call_id, "search", &arguments)])
            }
            2 => Message::tool(&call_id, text),
            _ => Message::assistant(text),
        }
    }

    /// The next message of a talk in which the model left every twentieth message a call that nothing answers.
    pub(crate) fn interrupted(&mut self, number: usize) -> Message {
        if number % 20 == 1 {
            Message::calls([ToolCall::function("call_1", "search", &self.text(MESSAGE))])
        } else {
            self.talk(number)
        }
    }
}

/// A system message followed by `count` messages.
pub(crate) fn conversation(count: usize, next: Next) -> Conversation {
    let mut writer = Writer::new(7);
    let head = Message::system("You are a careful assistant. Be brief, and say so when you do not know.");
    let messages = (0..count).map(|number| next(&mut writer, number));
    Conversation::from_messages(std::iter::once(head).chain(messages))
}

/// A cost that takes no time: as many tokens as English of that length has.
pub(crate) fn stored_cost() -> ChatCost {
    ChatCost::new(CounterFn::new("stored", |text| text.len() as u64 / 5))
}

/// Loads the tokenizer of `o200k_base`. Without it, the first 256 KiB are counted with a slower
/// table that needs no loading.
pub(crate) fn load_tokenizer() {
    const MORE_THAN_A_TABLE_COUNTS: usize = 300;
    Tiktoken::new(Encoding::O200kBase).count(&"a".repeat(MORE_THAN_A_TABLE_COUNTS));
}

/// 8,000 tokens, trimmed down to `low` of them.
pub(crate) fn budget(low: f64) -> TokenBudget {
    TokenBudget::limit(LIMIT).low_mark(low)
}
