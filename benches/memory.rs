//! What a conversation takes in memory: `cargo bench --bench memory`. Bytes asked of the allocator and still held.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{MESSAGE, Next, Table, Writer, budget, conversation, float, sized, stored_cost};
use peak_alloc::PeakAlloc;
use turnwise::{Conversation, Ledger, Memo, Message, Planner, SlidingWindow};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MOST_BYTES: f64 = 700.0;

/// What `build` made, the bytes it holds, and by how many pages the process grew.
fn held<T>(build: impl FnOnce() -> T) -> (T, f64, Option<f64>) {
    let (heap, resident) = (HEAP.current_usage(), resident());
    let made = build();
    let pages = resident.and_then(|before| Some(crate::resident()? - before));
    (made, float(HEAP.current_usage()) - float(heap), pages)
}

/// The memory of the process in bytes, where the system says (Linux).
fn resident() -> Option<f64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(1)?.parse::<f64>().ok()? * 4_096.0)
}

/// A ledger that a planner has brought up to date.
fn planned(talk: &Conversation, planner: &Planner) -> Ledger {
    let mut ledger = Ledger::new();
    planner.plan(talk, &mut ledger, &SlidingWindow::tokens(), &mut Memo::default()).unwrap();
    ledger
}

fn parsed(writer: &mut Writer, number: usize, next: Next) -> Message {
    Message::from_json(&serde_json::to_string(&next(writer, number)).unwrap()).unwrap()
}

/// A conversation as a program grows it: planned, marked and answered turn by turn, the last plan alive at every push.
fn grown(count: usize, planner: &Planner) -> (Conversation, Ledger) {
    let mut writer = Writer::new(7);
    let (mut talk, mut ledger, mut last) = (Conversation::new(), Ledger::new(), None);
    for number in 0..count {
        talk.push(writer.talk(number));
        if number.is_multiple_of(2) {
            let plan = planner.plan(&talk, &mut ledger, &SlidingWindow::tokens(), &mut Memo::default()).unwrap();
            plan.commit_marks(&mut talk).unwrap();
            last = Some(plan);
        }
    }
    drop(last);
    (talk, ledger)
}

/// The rows below a first one that has the sum.
fn parts(table: &mut Table, record: f64, ledger: f64) {
    table.show("    the text itself", float(MESSAGE), "bytes");
    table.show("    the rest of the record", record - float(MESSAGE), "bytes");
    table.show("    the ledger", ledger, "bytes");
}

fn main() {
    let planner = Planner::new(stored_cost(), &budget(0.7)).unwrap();
    let mut table = Table::new("Memory for each message of 452 bytes");
    let long = sized(100_000, 1_000);
    let each = |bytes: f64| bytes / float(long);

    let (talk, record, pages) = held(|| conversation(long, Writer::talk));
    let (ledger, beside, more) = held(|| planned(&talk, &planner));
    table.check("one conversation of 100,000", each(record + beside), "bytes", MOST_BYTES);
    parts(&mut table, each(record), each(beside));
    if let (Some(pages), Some(more)) = (pages, more) {
        table.show("    resident, with what the allocator adds", each(pages + more), "bytes");
    }
    drop((talk, ledger));

    let ((talk, ledger), both, _) = held(|| grown(long, &planner));
    table.check("one of 100,000 grown in 50,000 planned turns", each(both), "bytes", MOST_BYTES);
    drop((talk, ledger));

    let read: Next = |writer, number| parsed(writer, number, Writer::talk);
    for (name, next) in [("one of 100,000 read from JSON", read), ("one of 100,000 with tools", Writer::work)] {
        let (talk, record, _) = held(|| conversation(long, next));
        let (ledger, beside, _) = held(|| planned(&talk, &planner));
        table.check(name, each(record + beside), "bytes", MOST_BYTES);
        parts(&mut table, each(record), each(beside));
        drop((talk, ledger));
    }

    let (many, short) = (sized(10_000, 10), 20);
    let each = |bytes: f64| bytes / float(many * short);
    let (talks, records, _) =
        held(|| (0..many).map(|_| conversation(short, Writer::talk)).collect::<Vec<Conversation>>());
    let (ledgers, beside, _) = held(|| talks.iter().map(|talk| planned(talk, &planner)).collect::<Vec<Ledger>>());
    table.check("10,000 conversations of a head and 20", each(records + beside), "bytes", MOST_BYTES);
    parts(&mut table, each(records), each(beside));
    drop((talks, ledgers));

    let (empty, bytes, _) = held(|| (0..many).map(|_| (Conversation::new(), Ledger::new())).collect::<Vec<_>>());
    table.show("an empty conversation and its ledger", bytes / float(many), "bytes");
    drop(empty);
    table.print();
}
