//! What only this crate can write: journals of other versions.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::Chain;
use crate::conversation::Timestamp;
use crate::transcript::{Change, Transcript};
use crate::{Conversation, ErrorKind, Message};

/// A version that never was: its items are called `said`.
pub(super) fn read_version_0(line: &[u8]) -> serde_json::Result<Change> {
    let line = String::from_utf8_lossy(line).replacen("{\"said\":", "{\"item\":", 1);
    serde_json::from_str(&line)
}

/// A file with a journal of one save.
fn journal(header: &str, lines: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chat.jsonl");
    let end = Chain::start(header.as_bytes()).then(lines.as_bytes()).to_line();
    fs::write(&file, format!("{header}{lines}{end}")).unwrap();
    (folder, file)
}

fn lines(transcript: &Transcript) -> String {
    transcript.changes().iter().map(|change| serde_json::to_string(change).unwrap() + "\n").collect()
}

#[test]
fn a_journal_of_an_older_version_is_read_and_a_copy_is_kept_when_it_is_written_anew() {
    let mut old = Transcript::new(Conversation::from_messages([Message::user("a")]));
    let (folder, file) = journal("{\"turnwise_journal\":0}\n", &lines(&old).replace("{\"item\":", "{\"said\":"));
    let before = fs::read(&file).unwrap();
    let mut read = Transcript::load(&file).unwrap();
    assert_eq!(read.to_json(), old.to_json());
    assert_eq!(fs::read(&file).unwrap(), before, "reading writes nothing");
    for conversation in [&mut read.conversation, &mut old.conversation] {
        conversation.push_at("b", Timestamp::default());
    }
    read.save(&file).unwrap();
    assert_eq!(fs::read(folder.path().join("chat.jsonl.format-0")).unwrap(), before);
    assert!(fs::read(&file).unwrap().starts_with(b"{\"turnwise_journal\":1}\n"));
    assert_eq!(Transcript::load(&file).unwrap().to_json(), old.to_json());
    // Another one of that version does not replace the copy.
    fs::write(&file, &before).unwrap();
    Transcript::load(&file).unwrap().compact(&file).unwrap();
    assert_eq!(fs::read(folder.path().join("chat.jsonl.format-0.2")).unwrap(), before);
}

#[test]
fn a_kind_of_change_that_is_not_known_is_of_a_newer_version() {
    let known = lines(&Transcript::default());
    let (_folder, file) = journal("{\"turnwise_journal\":1}\n", &format!("{known}{{\"dreamt\":{{}}}}\n"));
    let error = Transcript::load(&file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NewerFormat);
    assert!(error.to_string().contains("line 3 is a change of the kind `dreamt`"), "{error}");
    // One that is known and odd is damage with its place.
    let (_folder, file) = journal("{\"turnwise_journal\":1}\n", &format!("{known}{{\"pinned\":{{\"item\":\"x\"}}}}\n"));
    let error = Transcript::load(&file).unwrap_err();
    assert_eq!((error.kind(), error.position().unwrap().line), (ErrorKind::Damaged, 3));
    let (_folder, file) = journal("{\"turnwise_journal\":1}\n", &format!("{known}{{\"pinned\":{{\"item\":7}}}}\n"));
    let error = Transcript::load(&file).unwrap_err();
    assert_eq!((error.kind(), error.position().unwrap().line), (ErrorKind::Damaged, 3));
    assert!(error.to_string().contains("`pinned`: no item #7"), "{error}");
}

#[test]
fn all_kinds_of_changes_are_known_by_name() {
    let error = serde_json::from_str::<Change>("{\"dreamt\":{}}").unwrap_err().to_string();
    let named: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    assert_eq!(named, Change::KINDS);
}

#[test]
fn a_journal_without_a_save_or_a_beginning_is_damaged() {
    let (_folder, file) = journal("{\"turnwise_journal\":1}\n", "{\"model\":\"m\"}\n");
    let error = Transcript::load(&file).unwrap_err();
    assert!(error.to_string().contains("the first change is `model` and not `begun`"), "{error}");
    fs::write(&file, "{\"turnwise_journal\":1}\n{\"begun\":").unwrap();
    let error = Transcript::load(&file).unwrap_err();
    assert_eq!((error.kind(), error.position().unwrap().line), (ErrorKind::Damaged, 2));
}
