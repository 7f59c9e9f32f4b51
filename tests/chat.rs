//! `turnwise chat` and the live replay against a server of each test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(all(feature = "openai", feature = "cli"))]

#[path = "support/stub.rs"]
mod stub;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use stub::{Answer, Stub};
use tempfile::TempDir;

fn turnwise(folder: &TempDir, stub: &Stub, line: &str, input: &str) -> Output {
    turnwise_in(folder, &[("OPENAI_BASE_URL", &*stub.url()), ("OPENAI_API_KEY", "none")], line, input)
}

fn turnwise_in(folder: &TempDir, variables: &[(&str, &str)], line: &str, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_turnwise"))
        .args(line.split_whitespace())
        .current_dir(folder.path())
        .env_remove("OPENAI_MODEL")
        .env_remove("OPENAI_API_KEY")
        .env_remove("OPENAI_BASE_URL")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that has nothing to ask does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_piped_chat_saves_itself_and_goes_on_next_time() {
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("one"), Answer::says("two\u{1b}[31m")]));
    let first = turnwise(&folder, &stub, "chat talk.json --model gpt-4o --system Brief", "hello\nquit\nnot sent\n");
    assert_eq!((first.status.code(), text(&first.stdout)), (Some(0), "one\n".to_owned()));
    let second = turnwise(&folder, &stub, "chat talk.json --model gpt-4o", "\nagain\n");
    assert_eq!(text(&second.stdout), "two\u{fffd}[31m\n");
    let seen = stub.seen();
    assert!(seen[1].body.contains(r#""content":"Brief"},{"role":"user","content":"hello"},{"content":"one","role":"assistant"},{"role":"user","content":"again"}"#));
    let saved = turnwise_saved(&folder);
    assert_eq!(saved.conversation.path().turns(), 2);
}

#[test]
fn a_chat_goes_on_with_the_model_of_its_file() {
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("one")]));
    let body = r#"{"model":"gpt-4o-mini","temperature":0.1,"messages":[{"role":"user","content":"a"}]}"#;
    std::fs::write(folder.path().join("talk.json"), body).unwrap();
    let ran = turnwise(&folder, &stub, "chat talk.json", "hello\n");
    assert_eq!(text(&ran.stdout), "one\n", "{}", text(&ran.stderr));
    let sent = &stub.seen()[0].body;
    assert!(sent.starts_with(r#"{"model":"gpt-4o-mini","#) && !sent.contains("temperature"), "{sent}");
    assert!(turnwise_saved(&folder).extra.iter().any(|(key, _)| key == "temperature"));
    turnwise(&folder, &stub, "chat talk.json --model gpt-4o", "hello\n");
    assert!(stub.seen()[1].body.contains(r#""model":"gpt-4o","#));
}

#[test]
fn a_chat_is_not_saved_to_a_file_named_as_the_standard_input() {
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("one")]));
    let ran = turnwise(&folder, &stub, "chat - --model gpt-4o", "hello\n");
    assert_eq!((ran.status.code(), stub.seen().len()), (Some(2), 0));
    assert!(!folder.path().join("-").exists());
}

#[test]
fn calls_that_nobody_runs_do_not_end_a_chat_or_a_live_replay() {
    let calls = r#"{"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"weather","arguments":"{}"}}]}}]}"#;
    let answers = || Stub::new([Answer::new(200, calls), Answer::says("two")]);
    let (folder, stub) = (TempDir::new().unwrap(), answers());
    let ran = turnwise(&folder, &stub, "chat talk.json --model gpt-4o", "one\ntwo\n");
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(0), "\ntwo\n".to_owned()), "{}", text(&ran.stderr));
    assert!(text(&ran.stderr).contains("weather"));
    assert!(!stub.seen()[1].body.contains("weather"));
    assert_eq!(turnwise_saved(&folder).conversation.items().count(), 4, "the record has the calls");

    let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#;
    std::fs::write(folder.path().join("two.json"), body).unwrap();
    let ran = turnwise(&folder, &answers(), "replay two.json --live", "");
    assert_eq!((ran.status.code(), text(&ran.stdout).lines().count()), (Some(0), 2), "{}", text(&ran.stderr));
}

fn turnwise_saved(folder: &TempDir) -> turnwise::Transcript {
    turnwise::Transcript::load(folder.path().join("talk.json")).unwrap()
}

#[test]
fn what_was_trimmed_is_said_beside_the_reply() {
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("a reply of some words")]));
    let ran = turnwise(&folder, &stub, "chat --model gpt-4o --budget 40", "one\ntwo\nthree\nfour\n");
    assert_eq!(text(&ran.stdout).lines().count(), 4);
    assert!(text(&ran.stderr).contains("messages sent, "), "{}", text(&ran.stderr));
}

#[test]
fn a_failed_exchange_is_said_and_the_chat_goes_on() {
    let stub = Stub::new([Answer::new(400, r#"{"error":{"message":"no"}}"#), Answer::says("yes")]);
    let folder = TempDir::new().unwrap();
    let ran = turnwise(&folder, &stub, "chat talk.json --model gpt-4o", "one\ntwo\n");
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(1), "yes\n".to_owned()));
    assert!(text(&ran.stderr).contains("rejected: status 400"), "{}", text(&ran.stderr));
    let saved = turnwise_saved(&folder);
    assert_eq!(saved.conversation.path().messages().next().unwrap().text(), "two");
}

#[test]
fn a_chat_without_a_model_says_how_to_name_one() {
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("x")]));
    let ran = turnwise(&folder, &stub, "chat", "hello\n");
    assert_eq!(ran.status.code(), Some(2));
    assert!(text(&ran.stderr).contains("OPENAI_MODEL"));
}

#[test]
fn parameters_are_sent_as_they_are_given() {
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("x")]));
    turnwise(&folder, &stub, "chat --model gpt-4o --max-reply 9 --param temperature=0.50 --param seed=7", "hello\n");
    assert!(stub.seen()[0].body.ends_with(r#""max_completion_tokens":9,"temperature":0.50,"seed":7}"#));
    let wrong = turnwise(&folder, &stub, "chat --model gpt-4o --param temperature", "hello\n");
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn the_environment_may_stand_in_a_file() {
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("hi")]));
    std::fs::write(folder.path().join(".env"), "OPENAI_MODEL=gpt-4o\n").unwrap();
    assert_eq!(text(&turnwise(&folder, &stub, "chat", "hello\n").stdout), "hi\n");
}

#[test]
fn a_live_replay_prints_the_new_replies_beside_the_old() {
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("new one"), Answer::says("new two")]));
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
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([failed, Answer::says("new")]));
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
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("x").after(Duration::ZERO)]));
    let fixture = std::fs::canonicalize("fixtures/tau_airline.jsonl").unwrap();
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

#[test]
fn without_certificates_a_plain_server_answers_and_a_secure_one_is_an_error() {
    const NONE: [(&str, &str); 2] = [("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")];
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("hi")]));
    let url = stub.url();
    let run = |variables: &[(&str, &str)]| {
        turnwise_in(&folder, &[&NONE, variables].concat(), "chat --model gpt-4o", "hello\n")
    };
    let plain = run(&[("OPENAI_BASE_URL", &*url)]);
    assert_eq!(text(&plain.stdout), "hi\n", "{}", text(&plain.stderr));
    // Where the system does not look for certificates in files there is an error all the same: nobody answers there.
    let secure = run(&[("OPENAI_BASE_URL", "https://127.0.0.1:9/v1")]);
    assert_eq!(secure.status.code(), Some(1), "{}", text(&secure.stderr));
    assert!(!text(&secure.stderr).contains("panicked"), "{}", text(&secure.stderr));
}

#[test]
fn a_missing_key_is_said_when_something_is_sent() {
    let folder = TempDir::new().unwrap();
    let ran = turnwise_in(&folder, &[], "chat --model gpt-4o", "hello\n");
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran.stderr).contains("OPENAI_API_KEY"), "{}", text(&ran.stderr));
    assert_eq!(turnwise_in(&folder, &[], "chat --model gpt-4o", "").status.code(), Some(0));
}
