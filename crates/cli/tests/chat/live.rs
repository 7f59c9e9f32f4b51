//! `replay --live` and `replay --diff`.

use std::time::Duration;

use tempfile::TempDir;

use crate::run::{text, turnwise, turnwise_in};
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

#[test]
fn a_live_replay_answers_calls_from_the_record() {
    let folder = TempDir::new().unwrap();
    let call = |id: &str, arguments: &str| {
        let call =
            serde_json::json!({"id": id, "type": "function", "function": {"name": "weather", "arguments": arguments}});
        serde_json::json!({"role": "assistant", "content": null, "tool_calls": [call]})
    };
    let reply = |message: &serde_json::Value| {
        let choice = serde_json::json!({"index": 0, "message": message, "finish_reason": "tool_calls"});
        Answer::new(200, &serde_json::json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}).to_string())
    };
    let stub = Stub::new([
        reply(&call("n1", r#"{"day": 1, "city": "Oslo"}"#)),
        reply(&call("n2", r#"{"city": "Rome"}"#)),
        Answer::says("Rain."),
    ]);
    let result = serde_json::json!({"role": "tool", "tool_call_id": "o1", "content": "rain, 4 degrees"});
    let (asked, old) =
        (call("o1", r#"{"city":"Oslo","day":1}"#), serde_json::json!({"role": "assistant", "content": "It rains."}));
    let messages = serde_json::json!([{"role": "user", "content": "Weather?"}, asked, result, old]);
    let talk = serde_json::json!({"id": "x", "model": "gpt-4o", "messages": messages}).to_string();
    std::fs::write(folder.path().join("talk.jsonl"), talk).unwrap();
    let ran = turnwise(&folder, &stub, "replay talk.jsonl --live", "");
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    let line: serde_json::Value = serde_json::from_str(&text(&ran.stdout)).unwrap();
    assert_eq!((&line["old"], &line["new"]), (&"It rains.".into(), &"Rain.".into()));
    let recorded: Vec<&serde_json::Value> =
        line["calls"].as_array().unwrap().iter().map(|call| &call["is_recorded"]).collect();
    assert_eq!(recorded, [true, false]);
    let sent = stub.seen();
    assert!(sent[1].body.contains("rain, 4 degrees") && !sent[1].body.contains("no recorded result"));
    assert!(sent[2].body.contains("no recorded result for this call"), "{}", sent[2].body);
}

#[test]
fn a_live_replay_takes_endpoint_and_model_as_the_chat_does() {
    let folder = TempDir::new().unwrap();
    let talk = r#"{"id":"x","model":"gpt-4o","messages":[{"role":"user","content":"a"}]}"#;
    std::fs::write(folder.path().join("talk.jsonl"), talk).unwrap();
    let stub = || Stub::new([Answer::says("new")]);
    let model_of = |stub: &Stub| stub.seen().first().map(|seen| seen.body.contains(r#""model":"gpt-4o""#));
    let (wrong, url) = ("http://127.0.0.1:9/v1", stub());
    let variables = [("OPENAI_BASE_URL", wrong), ("OPENAI_MODEL", "other"), ("TURNWISE_BASE_URL", &*url.url())];
    let ran = turnwise_in(&folder, &variables, "replay talk.jsonl --live", "");
    assert_eq!((ran.status.code(), model_of(&url)), (Some(0), Some(true)), "{}", text(&ran.stderr));
    let option = stub();
    let line = format!("replay talk.jsonl --live --base-url {}", option.url());
    let ran = turnwise_in(&folder, &[("OPENAI_BASE_URL", wrong), ("OPENAI_MODEL", "other")], &line, "");
    assert_eq!((ran.status.code(), model_of(&option)), (Some(0), Some(true)), "{}", text(&ran.stderr));
    let named = stub();
    std::fs::write(
        folder.path().join(".env"),
        format!("OPENAI_BASE_URL={}\nTURNWISE_MODEL=gpt-4o-mini\n", named.url()),
    )
    .unwrap();
    let ran = turnwise_in(&folder, &[], "replay talk.jsonl --live", "");
    assert_eq!((ran.status.code(), model_of(&named)), (Some(0), Some(false)), "{}", text(&ran.stderr));
    std::fs::write(folder.path().join(".env"), "sk-secret\n").unwrap();
    let ran = turnwise_in(&folder, &[("OPENAI_BASE_URL", &*named.url())], "replay talk.jsonl --live", "");
    let told = text(&ran.stderr);
    assert!(told.contains("a line that is not NAME=VALUE") && !told.contains("secret"), "{told}");
}
