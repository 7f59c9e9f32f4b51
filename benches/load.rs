//! Many conversations at the same time, with a server that takes 50 ms: `cargo bench --bench load`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;
#[cfg(feature = "openai")]
#[path = "load/server.rs"]
mod server;

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use common::{MESSAGE, Table, Writer, float, is_quick, load_tokenizer, median, sized};
use futures_util::future::join_all;
use turnwise::backend::{BackendError, BoxFuture, ChatBackend, ChatReply};
use turnwise::{Builder, ChatRequest, ConversationManager, Message, TokenBudget};

/// What an answer takes upstream.
const ANSWER: Duration = Duration::from_millis(50);
/// How much longer than its queue of answers all may take.
const MOST: f64 = 1.3;

/// Repeats the last message after 50 ms, in this process and without a network.
struct Upstream;

impl ChatBackend for Upstream {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let answer = request.messages.last().unwrap().text().into_owned();
        Box::pin(async move {
            tokio::time::sleep(ANSWER).await;
            Ok(ChatReply::new(Message::assistant(answer)))
        })
    }
}

/// What a run over many conversations showed.
struct Run {
    wall: Duration,
    /// Processor time of the whole process, where the system says (Linux).
    cpu: Option<Duration>,
    /// When each conversation was done, in milliseconds from the start.
    ends: Vec<f64>,
    /// What each send took beyond the answers that it waited for, in milliseconds.
    beyond: Vec<f64>,
    /// Conversations whose replies arrived in another order than their sends.
    disordered: usize,
}

/// The processor time of this process so far; in steps of 10 ms.
fn cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Sends `texts` to each of the conversations at once; each conversation answers in order.
async fn run(chats: &[ConversationManager], texts: &[String]) -> Run {
    let (started, before) = (Instant::now(), cpu());
    let talk = |chat: &ConversationManager| {
        let sends: Vec<_> = texts.iter().map(|text| chat.send(text.as_str()).into_future()).collect();
        // Joined, they are polled in this order, and so they queue in it.
        tokio::spawn(join_all(sends.into_iter().map(move |send| async move {
            let reply = send.await.unwrap();
            (started.elapsed(), reply.text().into_owned())
        })))
    };
    let tasks: Vec<_> = chats.iter().map(talk).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    let (wall, cpu) = (started.elapsed(), before.and_then(|before| cpu()?.checked_sub(before)));
    let is_ordered = |talk: &Vec<(Duration, String)>| {
        talk.is_sorted_by_key(|(at, _)| *at) && talk.iter().map(|(_, text)| text).eq(texts)
    };
    let beyond =
        all.iter().flat_map(|talk| talk.iter().zip(1..).map(|((at, _), nth)| millis(*at) - millis(ANSWER * nth)));
    let ends = all.iter().filter_map(|talk| Some(millis(talk.last()?.0)));
    Run {
        wall,
        cpu,
        ends: ends.collect(),
        beyond: beyond.collect(),
        disordered: all.iter().filter(|talk| !is_ordered(talk)).count(),
    }
}

/// The value below which `part` of the samples are.
fn share(samples: &[f64], part: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * part / 100).min(sorted.len() - 1)]
}

/// A table of a run; many sends at once are bound by the processor, and are no target.
fn report(name: &str, run: &Run, sends: usize) {
    let mut table = Table::new(&format!("{name}: {} conversations, {sends} sends each", run.ends.len()));
    let ideal = millis(ANSWER) * float(sends);
    let ratio = millis(run.wall) / ideal;
    match sends {
        1 => table.show("wall time beside the ideal", ratio, "times"),
        _ => table.check("wall time beside the ideal", ratio, "times", MOST),
    }
    table.show("    wall time", millis(run.wall), "ms");
    table.show("first conversation done", share(&run.ends, 0), "ms");
    table.show("last conversation done", share(&run.ends, 100), "ms");
    table.show("a send beyond its answers, median", median(&run.beyond), "ms");
    table.show("    99 of 100 within", share(&run.beyond, 99), "ms");
    table.check("conversations out of order", float(run.disordered), "", 1.0);
    if let Some(cpu) = run.cpu {
        table.show("processor time of a send", millis(cpu) * 1_000.0 / float(run.beyond.len()), "us");
    }
    table.print();
}

fn measure(name: &str, template: &Builder, conversations: usize, texts: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let chats: Vec<_> = (0..conversations).map(|_| template.clone().build().unwrap()).collect();
    // The tokenizer is loaded before the clock starts, and connections are open.
    load_tokenizer();
    let warm: Vec<_> = chats.iter().map(|_| template.clone().build().unwrap()).collect();
    runtime.block_on(run(&warm, &texts[..1]));
    let found = runtime.block_on(run(&chats, texts));
    report(name, &found, texts.len());
}

fn main() {
    let mut writer = Writer::new(5);
    let texts: Vec<String> = (0..10).map(|number| format!("{number}: {}", writer.text(MESSAGE))).collect();
    let builder = || ConversationManager::builder("gpt-4o").system("Be brief.").budget(TokenBudget::limit(8_000));
    let (few, many) = (sized(100, 5), sized(5_000, 20));
    let sends = if is_quick() { &texts[..2] } else { &texts[..] };
    let template = builder().backend(Upstream);
    measure("In process", &template, few, sends);
    measure("In process", &template, many, &sends[..1]);
    #[cfg(feature = "openai")]
    {
        let url = server::start(ANSWER);
        let template = builder().backend(turnwise::backend::openai::OpenAi::at(&url, "none"));
        measure("Over HTTP on this machine", &template, few, sends);
        measure("Over HTTP on this machine", &template, sized(1_000, 20), &sends[..1]);
    }
}
