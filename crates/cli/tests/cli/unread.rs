//! Commands over many conversations, of which one cannot be read.
#![cfg(any(feature = "sqlite", feature = "postgres"))]

use turnwise::Transcript;
use turnwise::backend::Usage;
use turnwise::spending::{Call, Purpose};

use super::harness::{Files, Ran, turnwise};

const TALK: &str = r#"{"messages": [{"role": "user", "content": "Where is my parcel?"}]}"#;

/// A store with `ann`, `bob`, who is broken, and `cat`.
fn files() -> Files {
    let mut talk = Transcript::from_json(TALK).unwrap();
    talk.spending.add(&Call::new(Purpose::Reply, "m").usage(&Usage::new(100, 0)));
    let talk = talk.to_json();
    let files = Files::new();
    std::fs::create_dir(files.path().join("chats")).unwrap();
    files.with("chats/ann.json", &talk).with("chats/bob.json", "{\"messages\": [{]}").with("chats/cat.json", &talk)
}

fn conversations(files: &Files, line: &str) -> Ran {
    turnwise(&format!("conversations {line} --store dir:chats")).inside(files.path()).run()
}

/// That a command has done its work with the others, and says which is broken and where.
fn assert_named(ran: &Ran, what: &str) {
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let told = format!("turnwise: bob: {what}: damaged file: ");
    assert!(ran.err.contains(&told) && ran.err.contains("line 1"), "{}", ran.err);
}

#[test]
fn a_command_that_reads_a_store_names_each_that_it_cannot_read() {
    let mut files = files();
    for number in 0..7 {
        files = files.with(&format!("chats/broken-{number}.json"), "[1]");
    }
    let ran = turnwise("count dir:chats --json").inside(files.path()).run();
    assert_eq!((ran.code, ran.out.lines().count()), (Some(1), 2), "{}", ran.err);
    for number in 0..7 {
        assert!(ran.err.contains(&format!("turnwise: broken-{number}: ")), "{}", ran.err);
    }
    assert!(!ran.err.contains("like these"), "{}", ran.err);
}

#[test]
fn a_search_finds_what_is_said_in_the_others() {
    let ran = conversations(&files(), "search parcel --json");
    assert_named(&ran, "it could not be searched");
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
}

#[test]
fn the_calls_of_the_others_are_added_up_and_those_of_forks_once() {
    let files = files();
    conversations(&files, "fork ann dan");
    let ran = conversations(&files, "stats");
    assert_named(&ran, "it cannot be read and is not in the sums");
    assert!(ran.out.starts_with("3 conversations\nm: 2 calls, 200 tokens of prompts"), "{}", ran.out);
}

#[test]
fn an_export_ends_there_and_goes_on_without_it_if_it_is_told_to() {
    let files = files();
    let ended = conversations(&files, "export all.jsonl");
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("`bob`") && ended.err.contains("`--skip-unreadable`"), "{}", ended.err);
    let ran = conversations(&files, "export all.jsonl --resume --skip-unreadable");
    assert_named(&ran, "it is not in the export");
    assert!(ran.err.contains("2 conversations, 1 of them before"), "{}", ran.err);
    let again = conversations(&files, "export all.jsonl --resume");
    assert_eq!(again.code, Some(1), "{}", again.err);
    for part in ["it is complete already", "turnwise: bob: it is not in the export: ", "an earlier run"] {
        assert!(again.err.contains(part), "{part}: {}", again.err);
    }
    let import = turnwise("conversations import all.jsonl --store dir:other").inside(files.path()).run();
    assert_eq!(import.code, Some(0), "{}", import.err);
    assert!(import.err.contains("2 conversations added, 1 not in the export, because they could not be read"));
}
