//! Three servers over one store, killed at any moment, and the database with them: clients that send a turn again with
//! its `Idempotency-Key` until it is answered find each of their turns once, whole and in order.
#![cfg(all(feature = "serve", feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "replicas/client.rs"]
mod client;
#[path = "replicas/endpoint.rs"]
mod endpoint;
#[path = "replicas/model.rs"]
mod model;
#[path = "replicas/talks.rs"]
mod talks;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client::{Client, get, items};
use talks::{CLIENTS_OF_A_TALK, TURNS_OF_A_TALK, Talks};
use tempfile::TempDir;

const REPLICAS: usize = 3;
const CLIENTS: usize = 64;
/// So many turns are answered between two kills.
const TURNS_BETWEEN_KILLS: usize = 5;
/// How often a server is killed; by hand more.
const KILLS: &str = "TURNWISE_SERVER_KILLS";
const DEFAULT_KILLS: usize = 30;
/// A command that restarts the database as after a crash: `bash '/PATH/TO/.ci/postgres.sh' crash 'DIR' PORT`.
const CRASH: &str = "TURNWISE_TEST_POSTGRES_CRASH";
/// The database is killed once in so many kills.
const KILLS_FOR_A_CRASH: usize = 10;
/// Lower than the ports that the system gives to connections, so that none takes one while its server is down.
const PORTS: std::ops::Range<u16> = 20_000..30_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that is started again on its port.
struct Replica {
    port: u16,
    process: Child,
}

/// What all servers are started with.
struct Setting {
    store: String,
    upstream: String,
}

impl Replica {
    fn start(setting: &Setting) -> Self {
        let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = std::iter::repeat_with(|| fastrand::u16(PORTS)).find(is_free).unwrap();
        Self { port, process: Self::spawn(setting, port) }
    }

    /// Waits until it listens. It ends at once when the database is just being started, and then begins again.
    fn spawn(setting: &Setting, port: u16) -> Child {
        let begun = Instant::now();
        loop {
            let mut command = Command::new(env!("CARGO_BIN_EXE_turnwise"));
            command.args(["serve", "--log", "off", "--max-running", "200", "--store", &setting.store]);
            command.args(["--upstream", &setting.upstream, "--listen", &format!("127.0.0.1:{port}")]);
            command.env("OPENAI_API_KEY", "none").env_remove("TURNWISE_CONFIG");
            let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
            if line.contains("http://") {
                return process;
            }
            let output = process.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(begun.elapsed() < PATIENCE, "the server does not start: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        let ended = self.process.try_wait().unwrap();
        assert!(ended.is_none(), "a server ended itself: {ended:?}");
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn restart(&mut self, setting: &Setting) {
        self.kill();
        self.process = Self::spawn(setting, self.port);
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn kills() -> usize {
    std::env::var(KILLS).map_or(DEFAULT_KILLS, |kills| kills.parse().unwrap())
}

/// Kills one of them again and again, each time after some turns were answered.
fn disturb(replicas: &mut [Replica], setting: &Setting, answered: &AtomicUsize, crash: Option<&str>) -> usize {
    let mut crashes = 0;
    for kill in 0..kills() {
        let (begun, before) = (Instant::now(), answered.load(Ordering::SeqCst));
        while answered.load(Ordering::SeqCst) < before + TURNS_BETWEEN_KILLS {
            assert!(begun.elapsed() < PATIENCE, "no turn is answered any more");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..200)));
        if let Some(crash) = crash.filter(|_| kill % KILLS_FOR_A_CRASH == KILLS_FOR_A_CRASH / 2) {
            assert!(
                Command::new("sh").args(["-c", crash]).stdout(Stdio::null()).status().unwrap().success(),
                "{crash}"
            );
            crashes += 1;
        }
        replicas[fastrand::usize(..replicas.len())].restart(setting);
    }
    crashes
}

fn is_answered_once_and_in_order(store: &str, crash: Option<&str>) {
    let setting = Setting { store: store.to_owned(), upstream: model::start() };
    let mut replicas: Vec<Replica> = (0..REPLICAS).map(|_| Replica::start(&setting)).collect();
    let ports: Vec<u16> = replicas.iter().map(|replica| replica.port).collect();
    let talks = Talks::new(CLIENTS);
    let (answered, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut clients: Vec<Client> = (0..CLIENTS).map(|number| Client::new(number, &talks, &ports)).collect();
    let crashes = std::thread::scope(|scope| {
        for client in &mut clients {
            let (answered, is_over) = (&answered, &is_over);
            scope.spawn(move || client.talk_until(is_over, answered));
        }
        let crashes = disturb(&mut replicas, &setting, &answered, crash);
        is_over.store(true, Ordering::SeqCst);
        crashes
    });
    for clients in clients.chunks(CLIENTS_OF_A_TALK) {
        for (number, conversation) in talks.of(clients[0].number).iter().enumerate() {
            check(ports[0], conversation, clients, number);
        }
    }
    for response in clients.iter().filter_map(|client| client.stored.as_ref()) {
        assert_eq!(get(ports[0], &format!("/v1/responses/{response}")).unwrap().0, 200, "{response} is lost");
    }
    let told = format!("{} kills of servers, {crashes} of the database, {} turns\n", kills(), answered.into_inner());
    std::io::stderr().write_all(told.as_bytes()).unwrap();
}

/// Each turn of each client is there once, with its answer after it, in the client's order. It is their
/// conversation with this number.
fn check(port: u16, conversation: &str, clients: &[Client], number: usize) {
    let texts = items(port, conversation);
    let mut found = vec![Vec::new(); clients.len()];
    for turn in texts.chunks(2) {
        let [asked, said] = turn else { panic!("half a turn at the end of {conversation}: {turn:?}") };
        assert_eq!(*said, model::answer(asked), "in {conversation}");
        let (turn, client) = asked.strip_prefix("turn ").unwrap().split_once(" of client ").unwrap();
        let place = client.parse::<usize>().unwrap() % clients.len();
        found[place].push(turn.parse::<usize>().unwrap());
    }
    for (client, found) in clients.iter().zip(found) {
        let first = number * TURNS_OF_A_TALK;
        let expected: Vec<usize> = (first..client.answered.min(first + TURNS_OF_A_TALK)).collect();
        assert_eq!(found, expected, "turns of client {} in {conversation}", client.number);
    }
}

#[test]
fn servers_over_a_database_of_sqlite() {
    let folder = TempDir::new().unwrap();
    is_answered_once_and_in_order(&format!("sqlite:{}", folder.path().join("chats.db").display()), None);
}

#[cfg(feature = "postgres")]
#[test]
fn servers_over_postgresql_which_is_killed_too() {
    let Ok(url) = std::env::var("TURNWISE_TEST_POSTGRES") else {
        let skipped = b"SKIPPED over PostgreSQL: TURNWISE_TEST_POSTGRES names no server\n";
        std::io::stderr().write_all(skipped).unwrap();
        return;
    };
    is_answered_once_and_in_order(&url, std::env::var(CRASH).ok().as_deref());
}
