//! What `turnwise serve` adds to a request, beside the same request to the endpoint behind it; turns on short and long
//! conversations; many streams at once; and many clients on one conversation of a folder.
//! `cargo bench -p turnwise-cli --features full --bench serve`, or only the last with `-- crowd`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../../../benches/common/mod.rs"]
mod common;
#[path = "../tests/replicas/endpoint.rs"]
mod endpoint;
#[path = "serve/http.rs"]
mod http;
#[path = "serve/upstream.rs"]
mod upstream;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use common::{MESSAGE, Table, Writer, float, median, sized};
use http::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Milliseconds that the server may add at the median.
const MOST_ADDED: f64 = 2.0;
/// How much longer a turn may take on a conversation of many items than on one of few.
const MOST_WITH_LENGTH: f64 = 1.5;
/// Items of a short and a long conversation, and how many one request adds.
const LENGTHS: [usize; 2] = [100, 10_000];
const AT_ONCE: usize = 20;
const STREAMS: usize = 500;
/// Clients that write one conversation, which has so many items before.
const CROWD: usize = 64;
const CROWDED: usize = 1_000;

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// Over a store with this URL.
    fn start(store: &str, upstream: SocketAddr) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnwise"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "off", "--store", store]);
        command.args(["--max-running", "1000", "--upstream", &format!("http://{upstream}/v1")]);
        command.args(["--window", "8000"]);
        command.env("OPENAI_API_KEY", "none").env_remove("TURNWISE_CONFIG");
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find_map(|word| word.strip_prefix("http://")).unwrap();
        Self { process, address: url.trim_end_matches("/v1").parse().unwrap() }
    }

    /// Megabytes: of now (`VmRSS`) or at most (`VmHWM`); 0 where the system does not say.
    fn memory(&self, name: &str) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or(0.0) / 1_000.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn chat(is_streamed: bool) -> Value {
    let messages = json!([{"role": "user", "content": "Name a river."}]);
    json!({"model": "gpt-4o-mini", "messages": messages, "stream": is_streamed})
}

/// Milliseconds of a request on an open connection.
fn millis(connection: &mut Connection, path: &str, headers: &str, body: &Value) -> f64 {
    let begun = Instant::now();
    let (status, answer) = connection.post(path, headers, body);
    let took = begun.elapsed().as_secs_f64() * 1e3;
    assert_eq!(status, 200, "{path}: {answer}");
    took
}

fn overhead(server: &Server, upstream: SocketAddr) {
    let mut direct = Connection::open(upstream);
    let mut through = Connection::open(server.address);
    let mut new = || through.post("/v1/conversations", "", &json!({})).1["id"].as_str().unwrap().to_owned();
    let (bound, made) = (format!("x-turnwise-conversation: {}\r\n", new()), new());
    let respond = json!({"model": "gpt-4o-mini", "input": "Name a river.", "conversation": made, "store": false});
    let mut taken = [const { Vec::new() }; 4];
    for _ in 0..sized(400, 2) {
        taken[0].push(millis(&mut direct, "/v1/chat/completions", "", &chat(false)));
        taken[1].push(millis(&mut through, "/v1/chat/completions", "", &chat(false)));
        taken[2].push(millis(&mut through, "/v1/chat/completions", &bound, &chat(false)));
        taken[3].push(millis(&mut through, "/v1/responses", "", &respond));
    }
    let mut table = Table::new("Milliseconds of a request at the median, the model answers at once");
    let [direct, proxied, bound, responded] = taken.map(|taken| median(&taken));
    table.show("to the endpoint itself", direct, "ms");
    table.check("added: chat completions, passed on", proxied - direct, "ms", MOST_ADDED);
    table.show("added: the same, added to a conversation in SQLite", bound - direct, "ms");
    table.show("added: responses on a conversation in SQLite", responded - direct, "ms");
    table.print();
}

/// A new conversation with some items.
fn conversation(connection: &mut Connection, items: usize) -> String {
    let id = connection.post("/v1/conversations", "", &json!({})).1["id"].as_str().unwrap().to_owned();
    let mut writer = Writer::new(5);
    let mut number = 0;
    while number < items {
        let until = items.min(number + AT_ONCE);
        let item = |number: usize| {
            let role = ["user", "assistant"][number % 2];
            json!({"type": "message", "role": role, "content": writer.text(MESSAGE)})
        };
        let items: Vec<Value> = (number..until).map(item).collect();
        let (status, answer) = connection.post(&format!("/v1/conversations/{id}/items"), "", &json!({"items": items}));
        assert_eq!(status, 200, "{answer}");
        number = until;
    }
    id
}

/// Turns on a short and on a long conversation, in turn; each request stays within the budget.
fn lengths(server: &Server) {
    let mut connection = Connection::open(server.address);
    let ids = LENGTHS.map(|items| conversation(&mut connection, sized(items, AT_ONCE)));
    let mut taken = [const { Vec::new() }; 2];
    for turn in 0..sized(200, 2) {
        for (id, taken) in ids.iter().zip(&mut taken) {
            let body = json!({"model": "gpt-4o-mini", "input": format!("Question {turn}"), "conversation": id,
                              "store": false, "include": ["turnwise.plan"]});
            let begun = Instant::now();
            let (status, answer) = connection.post("/v1/responses", "", &body);
            taken.push(begun.elapsed().as_secs_f64() * 1e3);
            assert_eq!(status, 200, "{answer}");
            let plan = &answer["turnwise"]["plan"];
            assert!(plan["tokens"].as_u64().unwrap() <= plan["budget"]["limit"].as_u64().unwrap(), "{plan}");
        }
    }
    let [short, long] = taken.map(|taken| median(&taken));
    let [few, many] = LENGTHS;
    let mut table = Table::new("Milliseconds of a turn by responses at the median, a window of 8,000 tokens");
    table.show(&format!("on a conversation of {few} items"), short, "ms");
    table.show(&format!("on one of {many}"), long, "ms");
    table.check("the second to the first", long / short, "times", MOST_WITH_LENGTH);
    table.print();
}

/// Milliseconds until the first event, and of each event on its way.
fn stream(address: SocketAddr, start: &Barrier) -> (f64, Vec<f64>) {
    let mut connection = Connection::open(address);
    start.wait();
    let begun = Instant::now();
    let mut first = None;
    let mut delays = Vec::new();
    connection.stream("/v1/chat/completions", &chat(true), |event| {
        first.get_or_insert_with(|| begun.elapsed().as_secs_f64() * 1e3);
        if let Some(sent) = event["choices"][0]["delta"]["content"].as_str() {
            delays.push((upstream::now() - sent.trim().parse::<f64>().unwrap()) / 1e3);
        }
    });
    (first.unwrap(), delays)
}

fn streams(server: &Server, upstream: SocketAddr) {
    let count = sized(STREAMS, 4);
    let mut table =
        Table::with_columns(&format!("{count} streams at once, an event every 100 ms in each"), &["median", "99 %"]);
    let idle = server.memory("VmRSS");
    for (name, address) in [("the endpoint itself", upstream), ("through the server", server.address)] {
        let start = Barrier::new(count);
        let ended: Vec<(f64, Vec<f64>)> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..count).map(|_| scope.spawn(|| stream(address, &start))).collect();
            running.into_iter().map(|running| running.join().unwrap()).collect()
        });
        let firsts = ended.iter().map(|(first, _)| *first).collect();
        let delays: Vec<f64> = ended.iter().flat_map(|(_, delays)| delays.clone()).collect();
        assert_eq!(delays.len(), count * upstream::EVENTS, "events were lost");
        table.row(&format!("{name}: until the first event"), both(firsts), "ms", String::new(), None);
        table.row(&format!("{name}: an event on its way"), both(delays), "ms", String::new(), None);
    }
    let peak = server.memory("VmHWM");
    table.row("memory of the server: idle, at most", vec![idle, peak], "MB", String::new(), None);
    table.row("for each stream", vec![0.0, (peak - idle) * 1e3 / float(count)], "kB", String::new(), None);
    table.print();
}

/// Turns that one client has had answered by `end`, and how often it was refused: it sends each
/// turn with a key until it is answered.
fn one_of_a_crowd(address: SocketAddr, conversation: &str, client: usize, end: Instant) -> (usize, usize) {
    let mut connection = Connection::open(address);
    let (mut turns, mut refused) = (0, 0);
    loop {
        let asked = format!("turn {turns} of client {client}");
        let key = format!("idempotency-key: {asked}\r\n");
        let body = json!({"model": "gpt-4o-mini", "input": asked, "conversation": conversation, "store": false});
        while let (status, answer) = connection.post("/v1/responses", &key, &body)
            && status != 200
        {
            assert_eq!(answer["error"]["code"], "conversation_locked", "{answer}");
            refused += 1;
            if Instant::now() >= end {
                return (turns, refused);
            }
            std::thread::sleep(Duration::from_millis(fastrand::u64(5..50)));
        }
        turns += 1;
        if Instant::now() >= end {
            return (turns, refused);
        }
    }
}

/// Many clients on one conversation, which is a file.
fn crowd(upstream: SocketAddr) {
    let folder = TempDir::new().unwrap();
    let server = Server::start(&format!("dir:{}", folder.path().display()), upstream);
    let conversation = &conversation(&mut Connection::open(server.address), sized(CROWDED, AT_ONCE));
    let (begun, seconds) = (Instant::now(), sized(10, 1));
    let end = begun + Duration::from_secs(seconds as u64);
    let counts: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let client = |client| scope.spawn(move || one_of_a_crowd(server.address, conversation, client, end));
        let running: Vec<_> = (0..sized(CROWD, 4)).map(client).collect();
        running.into_iter().map(|running| running.join().unwrap()).collect()
    });
    let took = begun.elapsed().as_secs_f64();
    let (turns, refused) = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    let mut table = Table::new(&format!("{CROWD} clients on one conversation of {CROWDED} items in a folder"));
    table.show("turns", float(turns) / took, "a second");
    table.show("requests refused, because another turn ran", float(refused) / took, "a second");
    table.print();
}

/// The middle and the 99th of a hundred.
fn both(mut samples: Vec<f64>) -> Vec<f64> {
    samples.sort_by(f64::total_cmp);
    vec![samples[samples.len() / 2], samples[samples.len() * 99 / 100]]
}

fn main() {
    let upstream = upstream::start();
    if std::env::args().any(|argument| argument == "crowd") {
        return crowd(upstream);
    }
    let folder = TempDir::new().unwrap();
    let server = Server::start(&format!("sqlite:{}", folder.path().join("chats.db").display()), upstream);
    overhead(&server, upstream);
    lengths(&server);
    streams(&server, upstream);
    crowd(upstream);
}
