//! A journal at lengths from 100 to 100,000 messages: what a turn costs to append, and how fast it
//! loads: `cargo bench --bench journal`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::{MESSAGE, Table, Writer, float, least, median, micros, samples, sized, stored_cost};
use peak_alloc::PeakAlloc;
use tempfile::TempDir;
use turnwise::spending::{Call, Purpose};
use turnwise::{Conversation, Message, Transcript};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// How much more a turn may take in a long conversation than in a short one.
const MOST_GROWTH: f64 = 2.0;
/// JSON that is read in a second.
const LEAST_SPEED: f64 = 150.0;
/// The most memory while a journal is loaded, in lengths of its file.
const MOST_MEMORY: f64 = 3.0;

/// A conversation with counts for all its messages.
fn conversation(messages: usize, writer: &mut Writer) -> Transcript {
    let talk = Conversation::from_messages((0..messages).map(|number| writer.talk(number)));
    let mut transcript = Transcript::new(talk);
    transcript.ledger.total(&transcript.conversation, &stored_cost());
    transcript
}

/// A turn, as a manager adds it.
fn turn(transcript: &mut Transcript, texts: &[String; 2]) {
    transcript.conversation.push(Message::user(texts[0].as_str()));
    transcript.conversation.push(Message::assistant(texts[1].as_str()));
    transcript.ledger.total(&transcript.conversation, &stored_cost());
    transcript.spending.add(&Call::new(Purpose::Reply, "gpt-4o"));
}

/// Microseconds to save each of some turns: median and least.
fn appends(folder: &Path, messages: usize, turns: usize) -> [f64; 2] {
    let mut writer = Writer::new(3);
    let file = folder.join(format!("{messages}.jsonl"));
    let mut transcript = conversation(messages, &mut writer);
    transcript.save(&file).unwrap();
    let took = samples(turns, || {
        let texts = [writer.text(MESSAGE), writer.text(MESSAGE)];
        turn(&mut transcript, &texts);
        micros(|| transcript.save(&file).unwrap())
    });
    fs::remove_file(file).unwrap();
    [median(&took), least(&took)]
}

fn append_table(title: &str, folder: &Path) {
    let lengths = [100, sized(10_000, 200), sized(100_000, 300)];
    let mut table = Table::with_columns(title, &["100", "10,000", "100,000"]);
    let took: Vec<[f64; 2]> = lengths.iter().map(|&messages| appends(folder, messages, sized(401, 3))).collect();
    for (place, name) in ["median", "least"].into_iter().enumerate() {
        table.row(name, took.iter().map(|took| took[place]).collect(), "us", String::new(), None);
        let growth = took[2][place] / took[0][place];
        let figures = vec![1.0, took[1][place] / took[0][place], growth];
        table.row("    beside 100", figures, "times", format!("< {MOST_GROWTH}"), Some(growth < MOST_GROWTH));
    }
    table.print();
}

/// Microseconds of this thread's processor time, so that other work on the machine does not count.
#[cfg(unix)]
fn busy<T>(run: impl FnOnce() -> T) -> f64 {
    use rustix::time::{ClockId, clock_gettime};
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let start = now();
    let made = std::hint::black_box(run());
    let took = now().saturating_sub(start);
    drop(made);
    took.as_secs_f64() * 1e6
}

#[cfg(not(unix))]
fn busy<T>(run: impl FnOnce() -> T) -> f64 {
    micros(run)
}

/// The speed of loading a journal in MB/s, and the peak of memory in lengths of the file.
fn load(table: &mut Table, name: &str, file: &Path) {
    let megabytes = float(usize::try_from(fs::metadata(file).unwrap().len()).unwrap()) / 1e6;
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let loaded = Transcript::load(file).unwrap();
    let peak = float(HEAP.peak_usage() - before) / 1e6;
    let kept = float(HEAP.current_usage() - before) / 1e6;
    drop(loaded);
    let took = least(&samples(sized(7, 1), || busy(|| Transcript::load(file).unwrap())));
    let speed = megabytes / took * 1e6;
    table.row(name, vec![megabytes, speed, peak / megabytes, kept / megabytes], "", String::new(), None);
    table.row("    target", vec![0.0, LEAST_SPEED, MOST_MEMORY], "", String::new(), {
        Some(speed > LEAST_SPEED && peak / megabytes < MOST_MEMORY)
    });
}

fn load_table(folder: &Path) {
    let messages = sized(100_000, 100);
    let columns = ["MB", "MB/s", "peak/file", "kept/file"];
    let mut table = Table::with_columns(&format!("Loading {messages} messages of {MESSAGE} bytes, counted"), &columns);
    let mut writer = Writer::new(5);
    let file = folder.join("load.jsonl");
    let transcript = conversation(messages, &mut writer);
    transcript.save(&file).unwrap();
    load(&mut table, "written at once", &file);
    fs::write(folder.join("load.json"), transcript.to_json()).unwrap();
    load(&mut table, "the same as one document", &folder.join("load.json"));
    drop(transcript);
    let file = folder.join("turns.jsonl");
    let mut transcript = Transcript::default();
    transcript.save(&file).unwrap();
    for _ in 0..messages / 2 {
        turn(&mut transcript, &[writer.text(MESSAGE), writer.text(MESSAGE)]);
        transcript.save(&file).unwrap();
    }
    load(&mut table, "written turn by turn", &file);
    table.print();
}

fn main() {
    let folder = TempDir::new().unwrap();
    append_table("Saving a turn to a journal, flushed to the disk, by messages before it", folder.path());
    // Without a disk: what is left is this crate.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { folder };
    append_table("The same in a file system in memory", folder.path());
    load_table(folder.path());
}
