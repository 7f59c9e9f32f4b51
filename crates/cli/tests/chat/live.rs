//! `replay --live` and `replay --diff`.

use std::time::Duration;

use tempfile::TempDir;

use crate::run::{text, turnwise};
use crate::stub::{Answer, Stub};

#[test]
fn a_live_replay_prints_the_new_replies_beside_the_old() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("new one"), Answer::says("new two")]);
    let talk = r#"{"id":"x","model":"gpt-4o","messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"old one"},{"role":"user","content":"b"}]}"#;
    std::fs::write(folder.path().join("talk.jsonl"), talk).unwrap();
    let ran = turnwise(&folder, &stub, "replay talk.jsonl --live", "");
    let lines: Vec<serde_json::Value> =
        text(&ran.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{}", text(&ran.stderr));
    assert_eq!(
        (&lines[0]["old"], &lines[0]["new"], &lines[0]["question"]),
        (&"old one".into(), &"new one".into(), &1.into())
    );
    assert!(lines[1]["old"].is_null());
    assert!(
        stub.seen()[1].body.contains("new one") && stub.seen()[1].body.contains(r#""role":"system","content":"s""#)
    );
}

#[test]
fn a_live_replay_begins_where_the_first_question_does_and_goes_on_after_a_failure() {
    let failed = Answer::new(400, r#"{"error":{"message":"no"}}"#);
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([failed, Answer::says("new")]);
    let talk = r#"{"model":"gpt-4o","messages":[{"role":"assistant","content":"hello"},{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#;
    std::fs::write(folder.path().join("talks.jsonl"), [talk, talk].join("\n")).unwrap();
    let ran = turnwise(&folder, &stub, "replay talks.jsonl --live --reserve 1000 --low 0.5", "");
    assert_eq!((ran.status.code(), text(&ran.stdout).lines().count()), (Some(1), 2), "{}", text(&ran.stdout));
    assert!(text(&ran.stderr).contains("talks.jsonl") && text(&ran.stderr).contains("status 400"));
    let sent = stub.seen();
    assert_eq!(sent.len(), 3, "the failed question ends its conversation");
    assert!(sent[1].body.contains("hello") && sent[1].body.contains(r#""max_completion_tokens":1000"#));
}

#[test]
fn two_replays_are_compared_request_by_request() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("x").after(Duration::ZERO)]);
    let fixture =
        std::fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tau_airline.jsonl")).unwrap();
    let replay = |rest: &str| turnwise(&folder, &stub, &format!("replay {} {rest}", fixture.display()), "");
    let saved = replay("--budget 3500 --only 1");
    std::fs::write(folder.path().join("old.jsonl"), &saved.stdout).unwrap();
    let same = replay("--budget 3500 --only 1 --diff old.jsonl");
    assert_eq!((same.status.code(), text(&same.stdout)), (Some(0), String::new()));
    let other = replay("--budget 3500 --only 1 --strategy window:turns=1 --diff old.jsonl");
    assert_eq!(other.status.code(), Some(1));
    let said = text(&other.stderr);
    assert!(said.contains("request 3 of tau-airline/task7/trial0 differs in"), "{said}");
}
