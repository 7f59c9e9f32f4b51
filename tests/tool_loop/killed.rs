//! Tool loops whose process is killed at any moment: a finished call is never run again, and one that was killed while it
//! ran is reported and not run again by itself.
//!
//! The test starts itself as the process to kill. `TURNWISE_KILLS` is the number of schedules (50 when it is not set).

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio, exit};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use turnwise::backend::{BackendError, BoxFuture, ChatBackend, ChatReply};
use turnwise::manager::Outcome;
use turnwise::tokens::CounterFn;
use turnwise::{ChatRequest, ConversationManager, ErrorKind, Message, TokenBudget, ToolCall, Transcript};

const FOLDER: &str = "TURNWISE_KILLED_IN";
const RERUN: &str = "TURNWISE_RERUN";
const ROUNDS: usize = 3;
const CALLS: usize = 4;
/// How the process ends when it finds calls of unknown outcome.
const UNKNOWN: i32 = 3;

/// Calls tools in `ROUNDS` rounds, then answers.
struct Agent;

impl ChatBackend for Agent {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let round = request.messages.iter().filter(|message| message.has_calls()).count();
        let call = |n| ToolCall::function(&format!("{round}-{n}"), "work", &format!("{{\"n\":{n}}}"));
        let message = match round {
            ROUNDS => Message::assistant("Done."),
            _ => Message::calls((0..CALLS).map(call)),
        };
        Box::pin(async move { Ok(ChatReply::new(message)) })
    }
}

/// Not a test on its own: the process that is killed.
#[test]
fn process_to_kill() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        exit(runtime.block_on(work(Path::new(&folder))));
    }
}

async fn work(folder: &Path) -> i32 {
    let log = Arc::new(Mutex::new(OpenOptions::new().append(true).create(true).open(folder.join("log")).unwrap()));
    let note = {
        let log = Arc::clone(&log);
        move |line: String| log.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap()
    };
    let builder = ConversationManager::builder("m").backend(Agent).budget(TokenBudget::limit(1_000_000));
    let builder = builder.counter(CounterFn::new("bytes", |text| text.len() as u64));
    let chat = builder.resume(folder.join("chat.json")).unwrap();
    let handler = {
        let note = note.clone();
        move |call: ToolCall| {
            let (id, note) = (call.id().unwrap().to_owned(), note.clone());
            note(format!("begin {id}"));
            async move {
                tokio::time::sleep(Duration::from_micros(fastrand::u64(0..6_000))).await;
                note(format!("end {id}"));
                format!("result {id}")
            }
        }
    };
    let is_begun = chat.turn_count() > 0;
    let tools = if is_begun { chat.resume_tools(handler) } else { chat.run_tools("Go.", handler) };
    let tools = if std::env::var_os(RERUN).is_some() { tools.rerun_unknown() } else { tools };
    let tools = tools.parallel(std::num::NonZeroUsize::new(fastrand::usize(1..=CALLS)).unwrap());
    note("up".to_owned());
    match tools.await {
        Ok(reply) => {
            assert!(reply.text() == "Done." && reply.report.unsaved.is_none(), "{:?}", reply.report.unsaved);
            0
        }
        Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
            for open in chat.open_calls().iter().filter(|open| open.outcome == Outcome::Started) {
                let id = open.call.id().unwrap();
                assert!(error.to_string().contains(&format!("`{id}`")), "{error}");
                note(format!("unknown {id}"));
            }
            UNKNOWN
        }
        Err(error) => panic!("{error}"),
    }
}

/// What the processes of one schedule have noted.
#[derive(Default)]
struct Log {
    up: usize,
    /// By id: how often it was begun, ended, and reported as unknown.
    calls: BTreeMap<String, [usize; 3]>,
}

impl Log {
    fn read(folder: &Path) -> Self {
        let mut log = Self::default();
        for line in fs::read_to_string(folder.join("log")).unwrap_or_default().lines() {
            match line.split_once(' ') {
                None => log.up += 1,
                Some((what, id)) => {
                    let what = ["begin", "end", "unknown"].iter().position(|known| *known == what).unwrap();
                    log.calls.entry(id.to_owned()).or_default()[what] += 1;
                }
            }
        }
        log
    }
}

fn start(folder: &Path, reruns: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "killed::process_to_kill", "--nocapture", "--test-threads=1"]).env(FOLDER, folder);
    if reruns {
        command.env(RERUN, "1");
    }
    let errors = File::create(folder.join("errors")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn().unwrap()
}

/// The ids of the calls whose results the file has.
fn saved(folder: &Path) -> Vec<String> {
    let Ok(file) = Transcript::load(folder.join("chat.json")) else { return Vec::new() };
    let text = file.to_json();
    let ids = (0..ROUNDS).flat_map(|round| (0..CALLS).map(move |n| format!("{round}-{n}")));
    ids.filter(|id| text.contains(&format!("result {id}"))).collect()
}

/// Kills the first processes of a schedule, and lets the last ones end; how many were killed, and how many calls were
/// found unknown.
fn schedule(folder: &Path) -> [usize; 2] {
    let (mut kills, mut reruns) = (0, false);
    let most = fastrand::usize(1..=5);
    loop {
        let before = (Log::read(folder), saved(folder));
        let mut process = start(folder, reruns);
        reruns = false;
        if kills < most {
            while Log::read(folder).up == before.0.up && process.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(1));
            }
            sleep(Duration::from_micros(fastrand::u64(0..25_000)));
            process.kill().unwrap();
            kills += 1;
        }
        let code = process.wait().unwrap().code();
        let after = Log::read(folder);
        for id in &before.1 {
            let begun = |log: &Log| log.calls[id][0];
            assert_eq!(begun(&before.0), begun(&after), "{id} has a result and was run again");
        }
        for (id, [begun, _, unknown]) in &after.calls {
            assert!(*begun <= 1 + unknown, "{id} was run {begun} times and reported {unknown} times");
        }
        match code {
            Some(0) => {
                let unknown = after.calls.values().map(|[_, _, unknown]| unknown).sum();
                return [kills, unknown];
            }
            // Somebody has found out, and says that they may run again.
            Some(UNKNOWN) => reruns = true,
            None => {}
            Some(code) => panic!("code {code}: {}", fs::read_to_string(folder.join("errors")).unwrap()),
        }
    }
}

#[test]
fn invariant_12_no_finished_call_runs_twice_whenever_the_process_is_killed() {
    let schedules: usize = std::env::var("TURNWISE_KILLS").map_or(50, |kills| kills.parse().unwrap());
    let mut sums = [0, 0];
    for _ in 0..schedules {
        let folder = tempfile::TempDir::new().unwrap();
        let found = schedule(folder.path());
        sums = [sums[0] + found[0], sums[1] + found[1]];
        let file = Transcript::load(folder.path().join("chat.json")).unwrap();
        let texts: Vec<_> = file.conversation.path().messages().map(|message| message.text().into_owned()).collect();
        let mut expected = vec!["Go.".to_owned()];
        for round in 0..ROUNDS {
            expected.push(String::new());
            expected.extend((0..CALLS).map(|n| format!("result {round}-{n}")));
        }
        expected.push("Done.".to_owned());
        assert_eq!(texts, expected);
    }
    println!("{schedules} schedules, {} kills, {} calls of unknown outcome", sums[0], sums[1]);
}
