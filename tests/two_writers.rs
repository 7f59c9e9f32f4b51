//! Several processes that save to one file, and processes that are killed: nothing that was acknowledged as saved is lost.
//!
//! The tests start this binary again as their workers. `TURNWISE_TURNS`, `TURNWISE_ROUNDS` and `TURNWISE_KILLS` raise how
//! often things are done. `TURNWISE_SMALL_DISK` names a folder on a file system of less than a megabyte, to fill it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::future::IntoFuture;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use tempfile::TempDir;
use turnwise::backend::{BackendError, BoxFuture, ChatBackend, ChatReply};
use turnwise::store::{FileStore, Store};
use turnwise::tokens::CounterFn;
use turnwise::{Builder, ChatRequest, Conversation, ConversationManager, ErrorKind, Message, TokenBudget, Transcript};

const WORK: &str = "TURNWISE_TEST_WORK";

fn often(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

/// Answers everything.
struct Echo;

impl ChatBackend for Echo {
    fn complete(&self, _request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        Box::pin(std::future::ready(Ok(ChatReply::new(Message::assistant("re")))))
    }
}

fn builder() -> Builder {
    ConversationManager::builder("test-model")
        .backend(Echo)
        .budget(TokenBudget::limit(500))
        .counter(CounterFn::new("bytes", |text| text.len() as u64))
}

/// What a worker does, and on which file.
struct Work {
    file: PathBuf,
    name: String,
    turns: usize,
    /// Where each turn that is acknowledged as saved is noted; a kill does not take it back.
    acknowledged: PathBuf,
}

impl Work {
    fn acknowledge(&self, text: &str) {
        let mut notes = OpenOptions::new().append(true).create(true).open(&self.acknowledged).unwrap();
        notes.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    fn texts(&self) -> impl Iterator<Item = String> {
        (0..self.turns).map(|turn| format!("{} {turn}", self.name))
    }

    /// Sends in a conversation that is saved automatically. A send that another writer has
    /// overtaken is repeated.
    fn by_autosave(&self) {
        let mut chat = builder().resume(&self.file).unwrap();
        for text in self.texts() {
            while let Some(error) = block_on(chat.send(&text).into_future()).unwrap().report.unsaved {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                chat = builder().resume(&self.file).unwrap();
            }
            self.acknowledge(&text);
        }
    }

    /// Changes a conversation that saves itself, without a send.
    fn by_changes(&self) {
        let mut chat = builder().resume(&self.file).unwrap();
        for text in self.texts() {
            while let Err(error) = chat.push(&text) {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                chat = builder().resume(&self.file).unwrap();
            }
            self.acknowledge(&text);
        }
    }

    fn by_save(&self) {
        let open = || match self.file.metadata() {
            Ok(found) if found.len() > 0 => builder().load(&self.file).unwrap(),
            _ => builder().build().unwrap(),
        };
        let mut chat = open();
        for text in self.texts() {
            block_on(chat.send(&text).into_future()).unwrap();
            while let Err(error) = chat.save(&self.file) {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                chat = open();
                block_on(chat.send(&text).into_future()).unwrap();
            }
            self.acknowledge(&text);
        }
    }

    /// Appends changes to the folder of the file as a store.
    fn by_store(&self) {
        let store = FileStore::open(self.file.parent().unwrap()).unwrap();
        for text in self.texts() {
            loop {
                let (mut chat, revision) = block_on(store.load("chat")).unwrap();
                let before = chat.clone();
                chat.conversation.push(&*text);
                match block_on(store.append("chat", &chat.changes_since(&before), &revision)) {
                    Ok(_) => break,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                }
            }
            self.acknowledge(&text);
        }
    }

    fn by_transcript(&self, save: fn(&Transcript, &Path) -> turnwise::Result<()>) {
        let mut file = Transcript::load(&self.file).unwrap();
        for text in self.texts() {
            file.conversation.push(&*text);
            while let Err(error) = save(&file, &self.file) {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                file = Transcript::load(&self.file).unwrap();
                file.conversation.push(&*text);
            }
            self.acknowledge(&text);
        }
    }

    /// Changes a conversation until the disk is full: the change that is not saved is not made.
    #[cfg(unix)]
    fn until_full(&self) {
        let chat = builder().resume(&self.file).unwrap();
        for text in self.texts() {
            let text = format!("{text} {}", "x".repeat(fastrand::usize(0..4_000)));
            match chat.push(&*text) {
                Ok(_) => self.acknowledge(&text),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                    let there = Transcript::load(&self.file).unwrap();
                    assert!(there.warnings().is_empty(), "nothing is left of it");
                    assert_eq!(there.to_json(), chat.transcript().to_json());
                    return;
                }
            }
        }
        panic!("the disk is never full");
    }
}

/// Not a test of its own: what the processes do that the tests start.
#[test]
fn worker() {
    let Ok(work) = std::env::var(WORK) else { return };
    let mut parts = work.split('|');
    let mut next = || parts.next().unwrap().to_owned();
    let (how, file, name, turns) = (next(), next().into(), next(), next().parse().unwrap());
    let work = Work { file, name, turns, acknowledged: next().into() };
    match &*how {
        "autosave" => work.by_autosave(),
        "changes" => work.by_changes(),
        "save" => work.by_save(),
        "store" => work.by_store(),
        #[cfg(unix)]
        "full" => work.until_full(),
        "transcript" => work.by_transcript(|file, path| file.save(path)),
        "compact" => work.by_transcript(|file, path| file.compact(path)),
        other => panic!("{other}"),
    }
}

fn start(how: &str, file: &Path, name: &str, turns: usize, acknowledged: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "worker", "--nocapture"])
        .env(WORK, format!("{how}|{}|{name}|{turns}|{}", file.display(), acknowledged.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The turns that were acknowledged and are not in the file.
fn lost(file: &Path, acknowledged: &Path) -> (usize, Vec<String>) {
    // The notes first: somebody may write on.
    let notes = fs::read_to_string(acknowledged).unwrap_or_default();
    let there = Transcript::load(file).unwrap().conversation;
    let there: HashSet<String> = there.path().messages().map(|message| message.text().into_owned()).collect();
    let lost = notes.lines().filter(|text| !there.contains(*text)).map(str::to_owned).collect();
    (notes.lines().count(), lost)
}

fn names(folder: &TempDir) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder.path()).unwrap().map(name).collect();
    names.sort();
    names
}

fn two_processes(ways: [&str; 2]) {
    two_processes_in("chat.json", ways);
}

fn two_processes_in(name: &str, ways: [&str; 2]) {
    let turns = often("TURNWISE_TURNS", 100);
    let (folder, notes) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (file, acknowledged) = (folder.path().join(name), notes.path().join("acknowledged"));
    Transcript::new(Conversation::new()).save(&file).unwrap();
    let workers = ways.iter().zip(["one", "other"]).map(|(how, name)| start(how, &file, name, turns, &acknowledged));
    for mut worker in workers.collect::<Vec<_>>() {
        assert!(worker.wait().unwrap().success());
    }
    let (count, lost) = lost(&file, &acknowledged);
    assert_eq!((count, lost), (2 * turns, Vec::new()));
    assert_eq!(names(&folder), [&format!(".{name}.lock"), name]);
}

#[test]
fn invariant_8_two_processes_that_save_by_themselves_lose_nothing() {
    two_processes(["autosave", "autosave"]);
}

#[test]
fn invariant_8_two_processes_that_save_on_request_lose_nothing() {
    two_processes(["save", "save"]);
}

#[test]
fn invariant_8_two_processes_that_save_transcripts_or_changes_lose_nothing() {
    two_processes(["transcript", "changes"]);
}

#[test]
fn invariant_8_processes_that_append_to_a_store_and_that_save_changes_lose_nothing() {
    two_processes(["store", "changes"]);
}

#[test]
fn invariant_8_two_processes_that_save_to_a_journal_lose_nothing() {
    two_processes_in("chat.jsonl", ["autosave", "save"]);
    two_processes_in("chat.jsonl", ["transcript", "changes"]);
}

#[test]
fn invariant_8_eight_processes_on_one_journal_lose_nothing_and_mix_nothing() {
    let turns = often("TURNWISE_TURNS", 15);
    let (folder, notes) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (file, acknowledged) = (folder.path().join("chat.jsonl"), notes.path().join("acknowledged"));
    let names: Vec<String> = (0..8).map(|number| format!("writer {number}")).collect();
    let workers = names.iter().map(|name| start("autosave", &file, name, turns, &acknowledged));
    for mut worker in workers.collect::<Vec<_>>() {
        assert!(worker.wait().unwrap().success());
    }
    let (count, lost) = lost(&file, &acknowledged);
    assert_eq!((count, lost), (8 * turns, Vec::new()));
    let there = Transcript::load(&file).unwrap().conversation;
    assert_eq!((there.path().len(), there.items().count()), (16 * turns, 16 * turns));
    let texts: Vec<String> = there.path().messages().map(|message| message.text().into_owned()).collect();
    assert!(texts.chunks(2).all(|turn| turn[0].starts_with("writer") && turn[1] == "re"), "turns are mixed");
    for name in names {
        let own: Vec<&String> = texts.iter().filter(|text| text.starts_with(&name)).collect();
        assert!(own.iter().zip(0..turns).all(|(text, turn)| **text == format!("{name} {turn}")), "{name}");
    }
}

/// Two conversations are begun in a file that is not there yet, at the same time.
#[test]
fn invariant_8_two_conversations_begun_in_one_new_file_lose_nothing() {
    for how in ["autosave", "save", "changes"] {
        for round in 0..often("TURNWISE_ROUNDS", 10) {
            let (folder, notes) = (TempDir::new().unwrap(), TempDir::new().unwrap());
            let name = if round % 2 == 0 { "chat.json" } else { "chat.jsonl" };
            let (file, acknowledged) = (folder.path().join(name), notes.path().join("acknowledged"));
            let mut workers = ["one", "other"].map(|name| start(how, &file, name, 2, &acknowledged));
            for worker in &mut workers {
                assert!(worker.wait().unwrap().success());
            }
            assert_eq!(lost(&file, &acknowledged), (4, Vec::new()), "{how}, round {round}");
        }
    }
}

#[test]
fn invariant_8_a_killed_writer_loses_nothing_and_leaves_nothing() {
    let ways = [("autosave", "chat.json"), ("transcript", "chat.json"), ("store", "chat.json")];
    let journals = [("autosave", "chat.jsonl"), ("transcript", "chat.jsonl"), ("compact", "chat.jsonl")];
    for (how, name) in ways.into_iter().chain(journals) {
        let (folder, notes) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let (file, acknowledged) = (folder.path().join(name), notes.path().join("acknowledged"));
        Transcript::new(Conversation::new()).save(&file).unwrap();
        let mut kills = 0;
        while kills < often("TURNWISE_KILLS", 30) / 2 {
            let before = fs::metadata(&acknowledged).map_or(0, |notes| notes.len());
            let mut victim = start(how, &file, &format!("victim {kills}"), usize::MAX, &acknowledged);
            // Some are killed while they begin.
            while kills % 4 != 0 && fs::metadata(&acknowledged).map_or(0, |notes| notes.len()) == before {
                thread::sleep(Duration::from_millis(1));
                assert!(victim.try_wait().unwrap().is_none());
            }
            thread::sleep(Duration::from_millis(fastrand::u64(0..50)));
            victim.kill().unwrap();
            victim.wait().unwrap();
            let (_, lost) = lost(&file, &acknowledged);
            assert_eq!(lost, [""; 0], "{how}, kill {kills}");
            kills += 1;
        }
        let (count, _) = lost(&file, &acknowledged);
        assert!(count > 0, "the victims saved nothing");
        eprintln!("{how} in {name}: {kills} kills, {count} acknowledged");
        let before = names(&folder);
        let last = Transcript::load(&file).unwrap();
        last.save(&file).unwrap();
        let after: Vec<String> = names(&folder).into_iter().filter(|other| *other != format!("{name}.torn")).collect();
        assert_eq!(after, [&format!(".{name}.lock"), name], "before the next save: {before:?}");
    }
}

/// One is killed while the other writes on, and then the other, which may be about to repair what the first left.
#[test]
fn invariant_8_two_writers_of_one_file_killed_at_any_moment_lose_nothing() {
    let ways = [(["autosave", "store"], "chat.json"), (["transcript", "autosave"], "chat.json")];
    let journals = [(["autosave", "changes"], "chat.jsonl"), (["transcript", "compact"], "chat.jsonl")];
    for (ways, name) in ways.into_iter().chain(journals) {
        let (folder, notes) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let (file, acknowledged) = (folder.path().join(name), notes.path().join("acknowledged"));
        Transcript::new(Conversation::new()).save(&file).unwrap();
        for round in 0..often("TURNWISE_KILLS", 30) / 2 {
            let before = fs::metadata(&acknowledged).map_or(0, |notes| notes.len());
            let mut victims = ways.map(|how| start(how, &file, &format!("{how} {round}"), usize::MAX, &acknowledged));
            fastrand::shuffle(&mut victims);
            while fs::metadata(&acknowledged).map_or(0, |notes| notes.len()) == before {
                thread::sleep(Duration::from_millis(1));
            }
            for mut victim in victims {
                thread::sleep(Duration::from_millis(fastrand::u64(0..30)));
                assert!(victim.try_wait().unwrap().is_none(), "{ways:?} in {name}: a writer ended on its own");
                victim.kill().unwrap();
                victim.wait().unwrap();
                assert_eq!(lost(&file, &acknowledged).1, [""; 0], "{ways:?} in {name}, round {round}");
            }
        }
        let there = Transcript::load(&file).unwrap();
        there.save(&file).unwrap();
        assert_eq!(Transcript::load(&file).unwrap().to_json(), there.to_json());
    }
}

/// A limit for the length of a file stands for a full disk: what is written up to it stays.
#[cfg(unix)]
#[test]
fn invariant_8_a_full_disk_loses_nothing_and_leaves_nothing() {
    let small = std::env::var("TURNWISE_SMALL_DISK").ok();
    for name in ["chat.json", "chat.jsonl"] {
        for round in 0..often("TURNWISE_ROUNDS", 10) {
            let notes = TempDir::new().unwrap();
            let folder = small.as_ref().map_or_else(TempDir::new, TempDir::new_in).unwrap();
            let (file, acknowledged) = (folder.path().join(name), notes.path().join("acknowledged"));
            let filler = folder.path().join("filler");
            fs::write(&filler, vec![b'x'; 100_000]).unwrap();
            let limit = if small.is_some() { "unlimited" } else { "100" };
            let status = Command::new("sh")
                .args(["-c", "trap '' XFSZ; ulimit -f $1; shift; exec \"$@\"", "sh", limit])
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", "worker", "--nocapture"])
                .env(WORK, format!("full|{}|one|{}|{}", file.display(), usize::MAX, acknowledged.display()))
                .stdout(Stdio::null())
                .status();
            assert!(status.unwrap().success());
            let (count, lost) = lost(&file, &acknowledged);
            assert!(count > 5 && lost.is_empty(), "{name}, round {round}: {count} acknowledged, lost {lost:?}");
            fs::remove_file(filler).unwrap();
            assert_eq!(names(&folder), [&format!(".{name}.lock"), name]);
            let mut there = Transcript::load(&file).unwrap();
            assert_eq!(there.conversation.path().len(), count);
            there.conversation.push("there is room again");
            there.save(&file).unwrap();
            assert_eq!(Transcript::load(&file).unwrap().to_json(), there.to_json());
        }
    }
}
