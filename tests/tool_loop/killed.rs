//! Tool loops whose process is killed at any moment, and that are stopped for a person's approval
//! now and then: a finished call is never run again, no call runs without approval, and one that
//! was killed while it ran is reported and not run again unless that is asked for.
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
use turnwise::{Approval, ChatRequest, ConversationManager, ErrorKind, Message, TokenBudget, ToolCall, Transcript};

const FOLDER: &str = "TURNWISE_KILLED_IN";
const RERUN: &str = "TURNWISE_RERUN";
const ROUNDS: usize = 3;
const CALLS: usize = 4;
/// How the process ends when it finds calls of unknown outcome.
const UNKNOWN: i32 = 3;
/// How the process ends when a person has to decide.
const UNDECIDED: i32 = 4;
/// The call that is always refused.
const REFUSED: &str = "1-2";

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
    let tools = tools.approve({
        let note = note.clone();
        move |calls| {
            let note = note.clone();
            async move { decide(&calls, note).await }
        }
    });
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
        Err(error) if error.kind() == ErrorKind::ApprovalNeeded => {
            note("undecided".to_owned());
            UNDECIDED
        }
        // It was killed after the answer was saved.
        Err(error) if error.kind() == ErrorKind::NothingToResume => 0,
        Err(error) => panic!("{error}"),
    }
}

/// One of three times it stops for a person; one call is refused.
async fn decide(calls: &[ToolCall], note: impl Fn(String)) -> Vec<Approval> {
    tokio::time::sleep(Duration::from_micros(fastrand::u64(0..3_000))).await;
    if fastrand::u8(0..3) == 0 {
        return vec![Approval::Stop; calls.len()];
    }
    let decide = |call: &ToolCall| {
        let id = call.id().unwrap();
        if id == REFUSED {
            return Approval::refuse("not this one");
        }
        note(format!("allowed {id}"));
        Approval::Allow
    };
    calls.iter().map(decide).collect()
}

/// What the processes of one schedule have noted.
#[derive(Default)]
struct Log {
    up: usize,
    undecided: usize,
    /// By id: how often it was begun, ended, reported as unknown, and allowed.
    calls: BTreeMap<String, [usize; 4]>,
}

impl Log {
    fn read(folder: &Path) -> Self {
        let mut log = Self::default();
        for line in fs::read_to_string(folder.join("log")).unwrap_or_default().lines() {
            match line.split_once(' ') {
                None if line == "undecided" => log.undecided += 1,
                None => log.up += 1,
                Some((what, id)) => {
                    let what = ["begin", "end", "unknown", "allowed"].iter().position(|known| *known == what).unwrap();
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

/// Kills the first processes of a schedule, and lets the last ones end; how many were killed, how
/// many calls were found unknown, and how often a person had to decide.
fn schedule(folder: &Path) -> [usize; 3] {
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
        for (id, [begun, _, unknown, allowed]) in &after.calls {
            assert!(*begun <= 1 + unknown, "{id} was run {begun} times and reported {unknown} times");
            assert!(begun <= allowed, "{id} was run {begun} times and allowed {allowed} times");
            assert!(id != REFUSED, "a refused call was run");
        }
        match code {
            Some(0) => {
                let unknown = after.calls.values().map(|[_, _, unknown, _]| unknown).sum();
                return [kills, unknown, after.undecided];
            }
            // Somebody has found out, and says that they may run again.
            Some(UNKNOWN) => reruns = true,
            None | Some(UNDECIDED) => {}
            Some(code) => panic!("code {code}: {}", fs::read_to_string(folder.join("errors")).unwrap()),
        }
    }
}

#[test]
fn invariant_12_no_finished_call_runs_twice_whenever_the_process_is_killed() {
    let schedules: usize = std::env::var("TURNWISE_KILLS").map_or(50, |kills| kills.parse().unwrap());
    let mut sums = [0; 3];
    for _ in 0..schedules {
        let folder = tempfile::TempDir::new().unwrap();
        let found = schedule(folder.path());
        sums = std::array::from_fn(|at| sums[at] + found[at]);
        let file = Transcript::load(folder.path().join("chat.json")).unwrap();
        let texts: Vec<_> = file.conversation.path().messages().map(|message| message.text().into_owned()).collect();
        let mut expected = vec!["Go.".to_owned()];
        for round in 0..ROUNDS {
            expected.push(String::new());
            let result = |id: String| match &*id {
                REFUSED => "Error: not approved: not this one".to_owned(),
                id => format!("result {id}"),
            };
            expected.extend((0..CALLS).map(|n| result(format!("{round}-{n}"))));
        }
        expected.push("Done.".to_owned());
        assert_eq!(texts, expected);
    }
    let [kills, unknown, undecided] = sums;
    println!(
        "{schedules} schedules, {kills} kills, {undecided} stops for a person, {unknown} calls of unknown outcome"
    );
}
