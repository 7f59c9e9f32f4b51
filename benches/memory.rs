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

fn main() {
    let planner = Planner::new(stored_cost(), &budget(0.7)).unwrap();
    let mut table = Table::new("Memory for each message of 452 bytes");
    let long = sized(100_000, 1_000);
    let shapes: [(&str, Next, bool); 3] = [
        ("one conversation of 100,000", Writer::talk, true),
        ("one of 100,000 read from JSON", |writer, number| parsed(writer, number, Writer::talk), true),
        ("one of 100,000 with tools", Writer::work, false),
    ];
    for (name, next, has_target) in shapes {
        let (talk, record, pages) = held(|| conversation(long, next));
        let (ledger, beside, more) = held(|| planned(&talk, &planner));
        let each = |bytes: f64| bytes / float(long);
        if has_target {
            table.check(name, each(record + beside), "bytes", MOST_BYTES);
        } else {
            table.show(name, each(record + beside), "bytes");
        }
        table.show("    the text itself", float(MESSAGE), "bytes");
        table.show("    the rest of the record", each(record) - float(MESSAGE), "bytes");
        table.show("    the ledger", each(beside), "bytes");
        if let (Some(pages), Some(more)) = (pages, more) {
            table.show("    resident, with what the allocator adds", each(pages + more), "bytes");
        }
        drop((talk, ledger));
    }

    let (many, short) = (sized(10_000, 10), 20);
    let (talks, records, pages) =
        held(|| (0..many).map(|_| conversation(short, Writer::talk)).collect::<Vec<Conversation>>());
    let (ledgers, beside, more) = held(|| talks.iter().map(|talk| planned(talk, &planner)).collect::<Vec<Ledger>>());
    let each = |bytes: f64| bytes / float(many * short);
    table.check("10,000 conversations of 20, each with a head", each(records + beside), "bytes", MOST_BYTES);
    table.show("    the records without the text", each(records) - float(MESSAGE), "bytes");
    table.show("    the ledgers", each(beside), "bytes");
    if let (Some(pages), Some(more)) = (pages, more) {
        table.show("    resident, with what the allocator adds", each(pages + more), "bytes");
    }
    drop((talks, ledgers));

    let (empty, bytes, _) = held(|| (0..many).map(|_| (Conversation::new(), Ledger::new())).collect::<Vec<_>>());
    table.show("an empty conversation and its ledger", bytes / float(many), "bytes");
    drop(empty);
    table.print();
}
