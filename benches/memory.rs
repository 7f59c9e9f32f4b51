//! The memory of a conversation: `cargo bench --bench memory`. Counts bytes that were allocated and
//! are still in use.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::future::IntoFuture;
use std::sync::Mutex;

use common::{MESSAGE, Next, Table, Writer, budget, conversation, float, sized, stored_cost};
use peak_alloc::PeakAlloc;
use turnwise::backend::{BackendError, BoxFuture, ChatBackend, ChatReply};
use turnwise::message::RawJson;
use turnwise::tokens::CounterFn;
use turnwise::{
    Builder, ChatRequest, Conversation, ConversationManager, Ledger, Message, Planner, SlidingWindow, StrategyCache,
    Tool,
};

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
    planner.plan(talk, &mut ledger, &SlidingWindow::tokens(), &mut StrategyCache::default()).unwrap();
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
            let plan =
                planner.plan(&talk, &mut ledger, &SlidingWindow::tokens(), &mut StrategyCache::default()).unwrap();
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

/// Answers at once, with a text of its own each time, and keeps nothing. (`Scripted` keeps the requests.)
struct Model(Mutex<Writer>);

impl ChatBackend for Model {
    fn complete(&self, _request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let answer = Message::assistant(self.0.lock().unwrap().text(MESSAGE));
        Box::pin(async move { Ok(ChatReply::new(answer)) })
    }
}

/// A template for managers, as a server has one.
fn template() -> Builder {
    ConversationManager::builder("gpt-4o")
        .backend(Model(Mutex::new(Writer::new(11))))
        .counter(CounterFn::new("stored", |text| text.len() as u64 / 5))
        .system("You are a careful assistant. Be brief, and say so when you do not know.")
}

/// Managers that had so many exchanges, and wait for the next.
fn idle(template: &Builder, managers: usize, exchanges: usize) -> Vec<ConversationManager> {
    let mut writer = Writer::new(7);
    let talk = |_| {
        let chat = template.clone().build().unwrap();
        for _ in 0..exchanges {
            futures_lite::future::block_on(chat.send(writer.text(MESSAGE)).into_future()).unwrap();
        }
        chat
    };
    (0..managers).map(talk).collect()
}

/// Ten tool definitions of some 400 bytes.
fn tools() -> Vec<Tool> {
    let tool = |number| {
        let description = Writer::new(number).text(300).replace('\n', " ");
        let function = format!(r#"{{"name":"tool_{number}","description":"{description}","parameters":{{}}}}"#);
        Tool::new(RawJson::new(&format!(r#"{{"type":"function","function":{function}}}"#)).unwrap())
    };
    (0..10).map(tool).collect()
}

fn managers(many: usize) {
    let mut table = Table::new("Memory of idle managers from one template");
    let template = template();
    let (empty, bytes, _) = held(|| idle(&template, many, 0));
    table.show("a manager without messages", bytes / float(many), "bytes");
    drop(empty);
    let with_tools = template.clone().tools(tools());
    let (empty, bytes, _) = held(|| idle(&with_tools, many, 0));
    table.show("a manager with ten tools and without messages", bytes / float(many), "bytes");
    drop(empty);
    let (chats, bytes, _) = held(|| idle(&template, many, 10));
    let each = |bytes: f64| bytes / float(many * 20);
    table.check("10,000 managers of ten exchanges, each message", each(bytes), "bytes", MOST_BYTES);
    table.show("    the text itself", float(MESSAGE), "bytes");
    drop(chats);
    table.print();
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
    managers(many);
}
