//! Several processes on one database: killed at any moment, and all at once on one conversation.
//!
//! The processes are this test program itself, which runs [`works`] when it is told to by the
//! environment.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_lite::future::block_on;
use rusqlite::Connection;
use tempfile::TempDir;
use turnwise::store::{Revision, Store};
use turnwise::{ErrorKind, Message, Transcript};
use turnwise_store::SqliteStore;

/// What a process is told to do, and with which file.
const WORK: &str = "TURNWISE_STORE_WORK";
const FILE: &str = "TURNWISE_STORE_FILE";
/// How often the writer is killed, and how many turns each of the processes adds, by hand more.
const KILLS: &str = "TURNWISE_STORE_KILLS";
const TURNS: &str = "TURNWISE_STORE_TURNS";

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

fn spawn(work: &str, file: &Path) -> Child {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "works", "--nocapture"]).env(WORK, work).env(FILE, file);
    program.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn works() {
    let Ok(work) = std::env::var(WORK) else { return };
    let store = SqliteStore::open(std::env::var_os(FILE).unwrap()).unwrap();
    if work == "turns" {
        std::thread::scope(|scope| (0..3).for_each(|talk| drop(scope.spawn(move || add_for_ever(&store_of(), talk)))));
    } else {
        add_all(&store, &work, number(TURNS, DEFAULT_TURNS));
    }
}

fn store_of() -> SqliteStore {
    SqliteStore::open(std::env::var_os(FILE).unwrap()).unwrap()
}

/// The turns of a conversation: each a question and its answer, both with the same number.
fn turns(transcript: &Transcript) -> Vec<usize> {
    let texts: Vec<String> = transcript.conversation.path().messages().map(|one| one.text().into_owned()).collect();
    let turn = |turn: &[String]| {
        let [question, answer] = turn else { panic!("half a turn: {texts:?}") };
        let number = question.strip_prefix("question ").unwrap();
        assert_eq!(answer.strip_prefix("answer "), Some(number), "{texts:?}");
        number.parse().unwrap()
    };
    texts.chunks(2).map(turn).collect()
}

fn load(store: &SqliteStore, id: &str) -> (Transcript, Revision) {
    match block_on(store.load(id)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let empty = Transcript::default();
            let revision = block_on(store.save(id, &empty, None)).unwrap();
            (empty, revision)
        }
        loaded => loaded.unwrap(),
    }
}

/// Adds turn after turn to a conversation, and says each one that was acknowledged. From time to time
/// it is forked, written anew, and a fork is deleted and purged.
fn add_for_ever(store: &SqliteStore, talk: usize) {
    let id = format!("talk {talk}");
    loop {
        let (mut transcript, revision) = load(store, &id);
        let before = transcript.clone();
        // What was written before a kill, and not said, is not written again.
        let turn = turns(&transcript).len();
        transcript.conversation.push(format!("question {turn}"));
        transcript.conversation.push(Message::assistant(format!("answer {turn}")));
        let mut revision = block_on(store.append(&id, &transcript.changes_since(&before), &revision)).unwrap();
        // One write, so that lines of the threads do not mix.
        std::io::stdout().write_all(format!("acknowledged {talk} {turn}\n").as_bytes()).unwrap();
        let fork = format!("fork {talk}");
        match turn % 6 {
            1 => drop(block_on(store.fork(&id, &fork))),
            3 => revision = block_on(store.save(&id, &transcript, Some(&revision))).unwrap(),
            4 => drop(block_on(store.delete(&fork))),
            5 => drop(block_on(store.purge(&fork))),
            _ => {}
        }
        assert_eq!(block_on(store.revision(&id)).unwrap(), revision);
    }
}

#[test]
fn a_writer_that_is_killed_at_any_moment_loses_nothing_that_it_acknowledged() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chats.db");
    let mut acknowledged: BTreeMap<usize, usize> = BTreeMap::new();
    let kills = number(KILLS, 50);
    for kill in 0..kills {
        let mut child = spawn("turns", &file);
        let lines = BufReader::new(child.stdout.take().unwrap());
        // Some before anything was written, most later.
        let wait = Duration::from_micros(fastrand::u64(1_000..150_000));
        let reader = std::thread::spawn(move || lines.lines().map_while(Result::ok).collect::<Vec<String>>());
        std::thread::sleep(wait);
        child.kill().unwrap();
        child.wait().unwrap();
        for line in reader.join().unwrap() {
            // The last one may be cut.
            let Some(said) = line.rsplit_once("acknowledged ").map(|(_, said)| said) else { continue };
            let Some((talk, turn)) = said.split_once(' ') else { continue };
            let turns = acknowledged.entry(talk.parse().unwrap()).or_default();
            *turns = (*turns).max(turn.parse::<usize>().unwrap() + 1);
        }
        if kill % 10 == 9 || kill + 1 == kills {
            check_turns(&file, &acknowledged);
        }
    }
    assert!(acknowledged.values().sum::<usize>() > kills / 2, "the writer was killed too early: {acknowledged:?}");
    println!("{kills} kills, turns acknowledged by conversation: {acknowledged:?}");
}

/// Every turn that was acknowledged is there, at most one more for each conversation, all whole and in
/// order, and no row is left that nobody needs.
fn check_turns(file: &Path, acknowledged: &BTreeMap<usize, usize>) {
    let store = SqliteStore::open(file).unwrap();
    for (talk, acknowledged) in acknowledged {
        let turns = turns(&block_on(store.load(&format!("talk {talk}"))).unwrap().0);
        assert!(turns.iter().copied().eq(0..turns.len()), "lost or twice: {turns:?}");
        assert!(turns.len() >= *acknowledged, "{} turns, {acknowledged} acknowledged", turns.len());
    }
    drop(store);
    let db = Connection::open(file).unwrap();
    let text = |query: &str| db.query_row(query, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    let owned = "SELECT log FROM conversations UNION ALL SELECT log FROM deleted";
    let lost = format!(
        "SELECT (SELECT count(*) FROM changes WHERE log NOT IN (SELECT log FROM logs)) || ' ' ||
                (SELECT count(*) FROM logs WHERE owned != (log IN ({owned}))) || ' ' ||
                (SELECT count(*) FROM logs WHERE NOT owned AND log NOT IN
                    (SELECT parent FROM logs WHERE parent IS NOT NULL)) || ' ' ||
                (SELECT count(*) FROM ({owned}) WHERE log NOT IN (SELECT log FROM logs))"
    );
    assert_eq!(text(&lost), "0 0 0 0", "changes of no log, logs of nobody, conversations without one");
}

const DEFAULT_TURNS: usize = 25;
const PROCESSES: usize = 8;

/// Adds turns to a conversation that others write too; whoever was too late reads it again.
fn add_all(store: &SqliteStore, name: &str, count: usize) {
    for turn in 0..count {
        loop {
            let (mut transcript, revision) = block_on(store.load("shared")).unwrap();
            let before = transcript.clone();
            transcript.conversation.push(format!("question {turn} of {name}"));
            transcript.conversation.push(Message::assistant(format!("answer {turn} of {name}")));
            match block_on(store.append("shared", &transcript.changes_since(&before), &revision)) {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn processes_that_write_one_conversation_lose_no_turn_and_mix_none() {
    let folder = TempDir::new().unwrap();
    let file: PathBuf = folder.path().join("chats.db");
    let store = SqliteStore::open(&file).unwrap();
    block_on(store.save("shared", &Transcript::default(), None)).unwrap();
    let mut processes: Vec<Child> = (0..PROCESSES).map(|process| spawn(&process.to_string(), &file)).collect();
    for process in &mut processes {
        assert!(process.wait().unwrap().success());
    }
    let (all, _) = block_on(store.load("shared")).unwrap();
    let texts: Vec<String> = all.conversation.path().messages().map(|one| one.text().into_owned()).collect();
    let mut next = [0; PROCESSES];
    for turn in texts.chunks(2) {
        let (turn, process) = turn[0].strip_prefix("question ").unwrap().split_once(" of ").unwrap();
        let process: usize = process.parse().unwrap();
        assert_eq!(turn.parse::<usize>().unwrap(), next[process], "out of order, lost or twice");
        next[process] += 1;
    }
    for turn in texts.chunks(2) {
        assert_eq!(turn[1], turn[0].replace("question", "answer"), "mixed with another turn");
    }
    assert_eq!(next, [number(TURNS, DEFAULT_TURNS); PROCESSES]);
}
