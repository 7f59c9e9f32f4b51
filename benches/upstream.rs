//! The cost of answers of a hostile server: `cargo bench --bench upstream`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;
#[path = "../tests/support/hostile.rs"]
mod hostile;
#[path = "../tests/support/stub.rs"]
mod stub;

use std::time::{Duration, Instant};

use common::{Table, float, is_quick, sized};
use futures_util::StreamExt;
use hostile::{Shape, answers, streams};
use peak_alloc::PeakAlloc;
use stub::{Answer, Stub};
use turnwise::ChatRequest;
use turnwise::backend::openai::{OpenAi, Retry};
use turnwise::backend::{Assembly, ChatBackend};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How many times as much a byte may cost in an answer of sixteen times the size.
const MOST_GROWTH: f64 = 3.0;
/// How long another task may wait for its turn, and how late a time limit may be, in milliseconds.
const MOST_WAIT: f64 = 1_000.0;
/// How many times its size a reply may take in memory while it is read, and one of many small values.
const MOST_MEMORY: f64 = 5.0;
const MOST_MEMORY_OF_VALUES: f64 = 25.0;

/// The processor time of this process so far, in nanoseconds; wall time where the system does not say.
fn spent(begun: Instant) -> f64 {
    #[cfg(unix)]
    let time = {
        let _ = begun;
        Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime)).unwrap()
    };
    #[cfg(not(unix))]
    let time = begun.elapsed();
    time.as_secs_f64() * 1e9
}

fn request() -> ChatRequest {
    ChatRequest::from_json(r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#).unwrap()
}

/// Reads a streamed reply as a program does that shows it.
async fn read(backend: &OpenAi) {
    let Ok(mut stream) = backend.stream(request()).await else { return };
    let mut all = Assembly::new();
    while let Some(Ok(event)) = stream.next().await {
        all.push(&event);
    }
}

fn backend(answer: Answer, retry: Retry) -> OpenAi {
    OpenAi::at(&Stub::new([answer]).url(), "").retry(retry)
}

/// Nanoseconds for each byte of an answer over HTTP.
fn price(runtime: &tokio::runtime::Runtime, body: &[u8], is_stream: bool) -> f64 {
    let answer = if is_stream { Answer::stream([body]) } else { Answer::bytes(200, body) };
    let (backend, begun) = (backend(answer, Retry::never()), Instant::now());
    let before = spent(begun);
    runtime.block_on(read(&backend));
    (spent(begun) - before) / float(body.len())
}

fn by_shape(runtime: &tokio::runtime::Runtime) {
    let size = sized(256 * 1024, 1024);
    let mut table = Table::with_columns(
        "Processor time of an answer by its shape and size",
        &["256 KiB", "1 MiB", "4 MiB", "growth"],
    );
    let all: [(bool, Vec<&Shape>); 2] = [(true, streams().collect()), (false, answers().collect())];
    for (is_stream, shapes) in all {
        for shape in shapes {
            let of = |times: usize| {
                let body = shape.sized(times * size);
                (0..if is_quick() { 1 } else { 2 })
                    .map(|_| price(runtime, &body, is_stream))
                    .fold(f64::INFINITY, f64::min)
            };
            let figures = [1, 4, 16].map(of);
            let growth = figures[2] / figures[0];
            let figures = vec![figures[0], figures[1], figures[2], growth];
            table.row(shape.name, figures, "ns/byte", format!("growth < {MOST_GROWTH}"), Some(growth < MOST_GROWTH));
        }
    }
    table.print();
}

/// How long another task on the same thread waits at most, in milliseconds, while an answer is read.
async fn longest_wait(backend: OpenAi) -> f64 {
    let reading = tokio::spawn(async move { read(&backend).await });
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    while !reading.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    longest.as_secs_f64() * 1_000.0
}

fn waits(runtime: &tokio::runtime::Runtime) {
    let size = sized(32 * 1024 * 1024, 1024);
    let mut table = Table::new("Longest wait of another task on the same thread while 32 MiB are read");
    for shape in streams().filter(|shape| WORST.contains(&shape.name)) {
        let backend = backend(Answer::stream([shape.sized(size)]), Retry::never());
        table.check(shape.name, runtime.block_on(longest_wait(backend)), "ms", MOST_WAIT);
    }
    table.print();
}

/// Shapes of which each byte costs most, and lines that come without end.
const WORST: [&str; 8] = [
    "blank lines before the first event",
    "comments with blank lines",
    "tiny chunks",
    "one long line",
    "nested in a delta, twice",
    "nested thoughts, twice",
    "members of a delta",
    "calls in a delta",
];

fn limits(runtime: &tokio::runtime::Runtime) {
    let mut table = Table::new("How late a time limit of 500 ms is");
    let limit = Duration::from_millis(500);
    let said = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let done = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
    let attempt = Retry::never().attempt_time(limit);
    let whole = Retry::never().stream_time(limit);
    let drip = Duration::from_millis(1);
    let large = streams().find(|shape| shape.name == "nested in a delta, twice").unwrap().sized(sized(32 << 20, 1024));
    for (name, answer, retry) in [
        ("blank lines for ever", Answer::stream(["\n".repeat(16 * 1024)]).endless(), attempt),
        ("blank lines for ever, slowly", Answer::stream(["\n"]).pause(drip).endless(), attempt),
        ("comments for ever after an event", Answer::stream([said, ": c\n\n"]).pause(drip).endless(), attempt),
        ("text for ever, slowly", Answer::stream([said]).pause(drip).endless(), whole),
        ("text for ever after the finish", Answer::stream([done]).pause(drip).endless(), whole),
        ("one large chunk", Answer::stream([large]), attempt),
    ] {
        let (backend, begun) = (backend(answer, retry), Instant::now());
        runtime.block_on(read(&backend));
        let late = begun.elapsed().saturating_sub(limit);
        table.check(name, late.as_secs_f64() * 1_000.0, "ms", MOST_WAIT);
    }
    table.print();
}

/// Replies that are text, and those with most values for their size.
const MEMORY_SHAPES: [(&str, f64); 9] = [
    ("one long line", MOST_MEMORY),
    ("one long line of escapes", MOST_MEMORY),
    ("tokens", MOST_MEMORY),
    ("blank lines before the first event", MOST_MEMORY),
    ("an answer with a long text", MOST_MEMORY),
    ("items of a list", MOST_MEMORY_OF_VALUES),
    ("choices", MOST_MEMORY_OF_VALUES),
    ("members of a delta", MOST_MEMORY_OF_VALUES),
    ("calls in a delta", MOST_MEMORY_OF_VALUES),
];

fn memory(runtime: &tokio::runtime::Runtime) {
    let size = sized(60 * 1024 * 1024, 1024);
    let mut table = Table::new("Most memory while 60 MiB are read, by the size of the answer");
    let all: Vec<_> = streams().map(|shape| (shape, true)).chain(answers().map(|shape| (shape, false))).collect();
    for (name, most) in MEMORY_SHAPES {
        let (shape, is_stream) = all.iter().find(|(shape, _)| shape.name == name).unwrap();
        let body = shape.sized(size);
        let length = float(body.len());
        let answer = if *is_stream { Answer::stream([body]) } else { Answer::bytes(200, &body) };
        let backend = backend(answer, Retry::never());
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        runtime.block_on(read(&backend));
        table.check(name, float(MEMORY.peak_usage() - before) / length, "times", most);
    }
    table.print();
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    by_shape(&runtime);
    waits(&runtime);
    limits(&runtime);
    memory(&runtime);
}
