//! A whole store out and in: time, processor time and peak memory, for a small and a large store; and both
//! killed in the middle and resumed. Only where the system says what a process takes (Linux).

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use futures_lite::future::block_on;
use tempfile::TempDir;
use turnwise::store::Store;
use turnwise::{Conversation, Transcript};
use turnwise_store::SqliteStore;
use turnwise_store::export::{Existing, Exporter, import};

use crate::common::{Table, Writer, float, micros, sized};

/// How much more memory a store of five times the size may take. In both, the conversations that were used
/// last, which a store keeps, have their most.
const MOST_GROWTH: f64 = 1.5;
const ITEMS: usize = 100;
/// The argument of the process that is measured.
const MEASURE: &str = "--transfer";

fn fill(store: &SqliteStore, megabytes: usize) {
    // A hundred items are about 57 kilobytes of an export.
    let conversations = (megabytes * 1_000 / 57).max(3);
    std::thread::scope(|scope| {
        for worker in 0..16 {
            scope.spawn(move || {
                let mut writer = Writer::new(worker as u64);
                for number in (0..conversations).filter(|number| number % 16 == worker) {
                    let talk = Conversation::from_messages((0..ITEMS).map(|item| writer.talk(item)));
                    block_on(store.save(&number.to_string(), &Transcript::new(talk), None)).unwrap();
                }
            });
        }
    });
}

fn out(database: &Path, file: &Path) {
    let store = SqliteStore::open(database).unwrap();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file).unwrap();
    let mut exporter = Exporter::resume(file).unwrap();
    block_on(exporter.add(None, &store)).unwrap();
    exporter.finish().unwrap();
}

fn read(file: &Path, database: &Path) {
    let store = SqliteStore::open(database).unwrap();
    let store_of = |_: Option<&str>| Ok(Some(Arc::new(store.clone()) as Arc<dyn Store>));
    block_on(import(File::open(file).unwrap(), store_of, Existing::Refuse)).unwrap();
}

/// Whether this is the process that is measured, which has done so then.
pub(crate) fn is_measured() -> bool {
    let arguments: Vec<String> = std::env::args().skip_while(|argument| argument != MEASURE).collect();
    let [_, doing, from, to, ..] = &arguments[..] else { return false };
    if doing == "out" {
        out(from.as_ref(), to.as_ref());
    } else {
        read(from.as_ref(), to.as_ref());
    }
    println!("{} {}", peak().unwrap_or_default(), processor_time().unwrap_or_default());
    true
}

/// The most memory that this process has had, in megabytes.
fn peak() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1_000.0)
}

/// In seconds, of a hundred ticks each.
fn processor_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

fn child(doing: &str, from: &Path, to: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.arg(MEASURE).arg(doing).arg(from).arg(to).stdout(Stdio::piped()).spawn().unwrap()
}

/// Seconds, processor seconds and peak megabytes.
fn measured(doing: &str, from: &Path, to: &Path) -> [f64; 3] {
    let mut output = None;
    let took = micros(|| output = Some(child(doing, from, to).wait_with_output().unwrap()));
    let output = output.unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let (peak, time) = text.trim().split_once(' ').unwrap();
    [took / 1e6, time.parse().unwrap(), peak.parse().unwrap()]
}

/// Kills it when the file has this size, and does it again to its end. Whether it was killed in the middle.
fn killed(doing: &str, from: &Path, to: &Path, at: u64) -> bool {
    let mut process = child(doing, from, to);
    let size = |to: &Path| fs::metadata(to).map_or(0, |found| found.len());
    let is_killed = loop {
        if size(to) >= at {
            process.kill().unwrap();
            break true;
        }
        if process.try_wait().unwrap().is_some() {
            break false;
        }
        sleep(Duration::from_millis(1));
    };
    process.wait().unwrap();
    measured(doing, from, to);
    is_killed
}

fn same(one: &Path, other: &Path) -> bool {
    Command::new("cmp").arg("-s").arg(one).arg(other).status().unwrap().success()
}

pub(crate) fn table() {
    if peak().is_none() {
        println!("this system does not say what a process takes");
        return;
    }
    let megabytes = std::env::var("TURNWISE_EXPORT_MB").ok().and_then(|size| size.parse().ok()).unwrap_or(1_000);
    let sizes = [sized(megabytes / 5, 1).max(1), sized(megabytes, 2)];
    let mut figures = Vec::new();
    for (step, size) in sizes.into_iter().enumerate() {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let store = SqliteStore::open(path("a.db")).unwrap();
        fill(&store, size);
        drop(store);
        let out = measured("out", &path("a.db"), &path("a.jsonl"));
        let back = measured("in", &path("a.jsonl"), &path("b.db"));
        let bytes = fs::metadata(path("a.jsonl")).unwrap().len();
        figures.push((float(usize::try_from(bytes).unwrap()) / 1e6, out, back));
        measured("out", &path("b.db"), &path("b.jsonl"));
        assert!(same(&path("a.jsonl"), &path("b.jsonl")), "equal after a round trip");
        if step == 1 {
            fs::remove_file(path("b.db")).unwrap();
            fs::remove_file(path("b.jsonl")).unwrap();
            let is_out = killed("out", &path("a.db"), &path("c.jsonl"), bytes / 2);
            assert!(same(&path("a.jsonl"), &path("c.jsonl")), "equal after it was killed and resumed");
            fs::remove_file(path("c.jsonl")).unwrap();
            let is_in = killed("in", &path("a.jsonl"), &path("c.db"), bytes / 2);
            measured("out", &path("c.db"), &path("c.jsonl"));
            assert!(same(&path("a.jsonl"), &path("c.jsonl")), "equal after it was killed and read again");
            println!("killed in the middle and resumed: out {is_out}, in {is_in}; equal");
        }
    }
    let columns: Vec<String> = figures.iter().map(|(size, ..)| format!("{size:.0} MB")).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::with_columns("A whole store out and in", &columns);
    for (name, place) in [("out", 1), ("in", 2)] {
        let of = |what: usize| -> Vec<f64> {
            figures.iter().map(|(_, out, back)| if place == 1 { out[what] } else { back[what] }).collect()
        };
        table.row(&format!("{name}: time"), of(0), "s", String::new(), None);
        table.row(&format!("{name}: processor"), of(1), "s", String::new(), None);
        let peaks = of(2);
        let growth = peaks[1] / peaks[0];
        table.row(
            &format!("{name}: peak memory"),
            peaks,
            "MB",
            format!("< {MOST_GROWTH} times"),
            Some(growth < MOST_GROWTH),
        );
    }
    table.print();
}
