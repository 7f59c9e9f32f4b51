//! Three processes over one PostgreSQL, which are killed at any moment, as the database is: every turn that was
//! acknowledged is there, none by half and none twice.
//!
//! The processes are this test program itself, which runs [`works`] when it is told to by the environment.
#![cfg(all(feature = "postgres", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "common/postgres.rs"]
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use server::{new_database, query};
use turnwise::store::{Revision, Store};
use turnwise::{Error, ErrorKind, Message, Transcript};
use turnwise_store::PostgresStore;

/// The database and the conversation that a process writes, and its number.
const URL: &str = "TURNWISE_STORE_URL";
const TALK: &str = "TURNWISE_STORE_TALK";
const PROCESS: &str = "TURNWISE_STORE_PROCESS";
/// How often a process is killed; by hand more.
const KILLS: &str = "TURNWISE_STORE_KILLS";
const DEFAULT_KILLS: usize = 30;
/// A command that restarts the database as after a crash, such as `bash /PATH/TO/.ci/postgres.sh crash DIR PORT` (tests run in their package's folder). Without it only
/// processes are killed.
const CRASH: &str = "TURNWISE_TEST_POSTGRES_CRASH";
/// The database is killed once in so many kills.
const KILLS_FOR_A_CRASH: usize = 15;
/// After so many kills the processes write another conversation, so that none takes long to read.
const KILLS_FOR_A_TALK: usize = 30;
const PROCESSES: usize = 3;

#[test]
fn works() {
    let Ok(url) = std::env::var(URL) else { return };
    let (talk, process) = (std::env::var(TALK).unwrap(), std::env::var(PROCESS).unwrap());
    // The database may be starting.
    let store = loop {
        if let Ok(store) = PostgresStore::open(&url) {
            break store;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0.. {
                add(&store, &talk, &format!("{turn} of {process} to all"));
            }
        });
        scope.spawn(|| {
            let own = format!("of {process}");
            for turn in 0.. {
                add(&store, &own, &format!("{turn} of {process} alone"));
                rewrite(&store, &own, turn);
            }
        });
    });
}

fn load(store: &PostgresStore, id: &str) -> Result<(Transcript, Revision), Error> {
    match block_on(store.load(id)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let empty = Transcript::default();
            block_on(store.save(id, &empty, None)).map(|revision| (empty, revision))
        }
        loaded => loaded,
    }
}

/// Adds a turn, as a manager does: after a failure it looks whether the turn is there.
fn add(store: &PostgresStore, id: &str, turn: &str) {
    loop {
        let added = load(store, id).and_then(|(before, revision)| {
            let question = format!("question {turn}");
            if before.conversation.path().messages().any(|message| message.text() == question) {
                return Ok(revision);
            }
            let mut after = before.clone();
            after.conversation.push(question);
            after.conversation.push(Message::assistant(format!("answer {turn}")));
            block_on(store.append(id, &after.changes_since(&before), &revision))
        });
        match added {
            Ok(_) => break,
            Err(error) => assert!(matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Io), "{error}"),
        }
    }
    // One write, so that lines of the threads do not mix.
    std::io::stdout().write_all(format!("acknowledged {id}/{turn}\n").as_bytes()).unwrap();
}

/// From time to time a conversation is forked, written anew, and a fork is deleted and purged. Any of these may fail.
fn rewrite(store: &PostgresStore, id: &str, turn: usize) {
    let fork = format!("fork {id}");
    match turn % 6 {
        1 => drop(block_on(store.fork(id, &fork))),
        3 => {
            if let Ok((whole, revision)) = block_on(store.load(id)) {
                drop(block_on(store.save(id, &whole, Some(&revision))));
            }
        }
        4 => drop(block_on(store.delete(&fork))),
        5 => drop(block_on(store.purge(&fork))),
        _ => {}
    }
}

/// A process, and what it has said.
struct Process {
    child: Child,
    reader: std::thread::JoinHandle<()>,
}

fn spawn(url: &str, talk: &str, process: usize, said: &Arc<Mutex<Vec<String>>>) -> Process {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "works", "--nocapture"]).env(URL, url).env(TALK, talk).env(PROCESS, process.to_string());
    let mut child = program.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = Arc::clone(said);
    let reader = std::thread::spawn(move || {
        for line in lines {
            if let Some((_, turn)) = line.rsplit_once("acknowledged ") {
                said.lock().unwrap().push(turn.to_owned());
            }
        }
    });
    Process { child, reader }
}

impl Process {
    fn kill(mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "a process ended itself: {ended:?}");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.join().unwrap();
    }
}

fn crash(command: &str) {
    let done = Command::new("sh").args(["-c", command]).stdout(Stdio::null()).status().unwrap();
    assert!(done.success(), "{command}");
}

#[test]
fn processes_and_a_database_that_are_killed_at_any_moment_lose_and_double_nothing() {
    let Some(url) = new_database() else { return };
    let kills = std::env::var(KILLS).map_or(DEFAULT_KILLS, |kills| kills.parse().unwrap());
    let command = std::env::var(CRASH).ok();
    let said = Arc::new(Mutex::new(Vec::new()));
    let mut processes: Vec<Process> = (0..PROCESSES).map(|process| spawn(&url, "talk 0", process, &said)).collect();
    let mut crashes = 0;
    for kill in 0..kills {
        // Something has been written since the last one, unless that was a process that had just begun.
        let (begun, before) = (Instant::now(), said.lock().unwrap().len());
        while said.lock().unwrap().len() == before && begun.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..100)));
        if let Some(command) = command.as_ref().filter(|_| kill % KILLS_FOR_A_CRASH == KILLS_FOR_A_CRASH / 2) {
            crash(command);
            crashes += 1;
        }
        let talk = format!("talk {}", kill / KILLS_FOR_A_TALK);
        let new = spawn(&url, &talk, PROCESSES + kill, &said);
        let place = fastrand::usize(..PROCESSES);
        std::mem::replace(&mut processes[place], new).kill();
    }
    // Whoever was not killed has gone on through everything, and still does.
    let before = said.lock().unwrap().len();
    let begun = Instant::now();
    while said.lock().unwrap().len() < before + 10 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody writes any more");
        std::thread::sleep(Duration::from_millis(50));
    }
    processes.into_iter().for_each(Process::kill);
    let said = said.lock().unwrap();
    check(&url, &said);
    assert!(said.len() > kills / 4, "the processes were killed too early: {} turns", said.len());
    println!("{kills} kills of processes and {crashes} of the database; {} turns were acknowledged", said.len());
}

fn check(url: &str, said: &[String]) {
    let store = PostgresStore::open(url).unwrap();
    let mut acknowledged: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for turn in said {
        let (talk, turn) = turn.split_once('/').unwrap();
        assert!(acknowledged.entry(talk).or_default().insert(turn), "acknowledged twice: {turn}");
    }
    for (talk, acknowledged) in acknowledged {
        let (whole, _) = block_on(store.load(talk)).unwrap();
        let texts: Vec<String> = whole.conversation.path().messages().map(|one| one.text().into_owned()).collect();
        let mut there = BTreeSet::new();
        let mut last: BTreeMap<&str, i64> = BTreeMap::new();
        for turn in texts.chunks(2) {
            let [question, answer] = turn else { panic!("half a turn at the end of {talk}: {turn:?}") };
            let turn = question.strip_prefix("question ").unwrap();
            assert_eq!(answer.strip_prefix("answer "), Some(turn), "half a turn in {talk}");
            assert!(there.insert(turn), "twice in {talk}: {turn}");
            let (number, process) = turn.split_once(' ').unwrap();
            let number: i64 = number.parse().unwrap();
            let before = last.insert(process, number).unwrap_or(-1);
            assert_eq!(number, before + 1, "out of order in {talk}: {turn}");
        }
        let missing: Vec<&&str> = acknowledged.difference(&there).collect();
        assert!(missing.is_empty(), "lost of {talk}: {missing:?}");
    }
    let owned = "SELECT tenant, log FROM turnwise.conversations UNION ALL SELECT tenant, log FROM turnwise.deleted";
    let lost = format!(
        "SELECT (SELECT count(*) FROM turnwise.changes WHERE log NOT IN (SELECT log FROM turnwise.logs)) || ' ' ||
                (SELECT count(*) FROM turnwise.logs WHERE owned != (log IN (SELECT log FROM ({owned}) o))) || ' ' ||
                (SELECT count(*) FROM turnwise.logs WHERE NOT owned AND log NOT IN
                    (SELECT parent FROM turnwise.logs WHERE parent IS NOT NULL)) || ' ' ||
                (SELECT count(*) FROM ({owned}) o WHERE log NOT IN (SELECT log FROM turnwise.logs))"
    );
    assert_eq!(query(url, &lost), ["0 0 0 0"], "changes of no log, logs of nobody, conversations without one");
}
