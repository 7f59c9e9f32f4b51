//! Servers that differ: what a person at a terminal reads about that, and the options that help.

use tempfile::TempDir;

use crate::run::{delta, saved, stop, text, turnwise, turnwise_in};
use crate::stub::{Answer, Stub};

/// The answer of a server that allows one system message.
fn one_system() -> Answer {
    Answer::new(400, r#"{"object":"error","message":"System message must be at the beginning.","code":400}"#)
}

#[test]
fn the_servers_reason_is_read_at_the_terminal_and_in_the_report() {
    for answer in [
        Answer::new(404, r#"{"error":"model 'foo' not found, try pulling it first"}"#),
        Answer::new(422, r#"{"detail":"model 'foo' not found, try pulling it first"}"#),
        Answer::events([r#"{"error":"model 'foo' not found, try pulling it first"}"#]),
    ] {
        let folder = TempDir::new().unwrap();
        let stub = Stub::new([answer]);
        let ran = turnwise(&folder, &stub, "chat --model foo --budget 3000", "hello\n/report\n");
        let (shown, told) = (text(&ran.stdout), text(&ran.stderr));
        assert!(told.contains("model 'foo' not found, try pulling it first"), "{told}");
        assert!(!told.contains("status 200") && told.contains(&stub.url()), "{told}");
        assert!(shown.contains("the last exchange failed: ") && shown.contains("try pulling it first"), "{shown}");
    }
}

#[test]
fn what_a_server_says_deceives_nobody_and_repeats_no_key() {
    let answer = Answer::new(401, r#"{"error":"\u001b[2Jno: sk-abcdefgh1234\u202e\nlast"}"#);
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([answer]);
    let ran = turnwise(&folder, &stub, "chat --model gpt-4o", "hello\n");
    let told = text(&ran.stderr);
    assert!(told.contains("\u{fffd}[2Jno: [key]\u{fffd} last"), "{told}");
    assert!(!told.contains("sk-abc") && !told.contains('\u{1b}'), "{told}");
}

#[test]
fn a_constraint_beside_a_system_prompt_reaches_a_server_that_allows_one_of_them() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("x"), one_system()]);
    let ran = turnwise(&folder, &stub, "chat --model gpt-4o --system S", "/constrain C\nhello\nagain\n");
    let told = text(&ran.stderr);
    assert!(told.contains("System message must be at the beginning.; --one-system sends one, at the start"), "{told}");
    assert!(!told.contains("Dialect::"), "the library's names help nobody here: {told}");

    let stub = Stub::new([Answer::says("x")]);
    let line = "chat talk.json --model gpt-4o --system S --one-system";
    let ran = turnwise(&folder, &stub, line, "/constrain C\nhello\n");
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    let sent = &stub.seen()[0].body;
    assert!(sent.contains(r#"[{"role":"system","content":"S\n\nC"},{"role":"user""#), "{sent}");
}

#[test]
fn a_chat_goes_on_in_its_dialect() {
    let thinks = [delta(r#"{"role":"assistant","reasoning_content":"hm"}"#), delta(r#"{"content":"one"}"#), stop()];
    let answers = || [Answer::events(thinks.clone()), Answer::says("two"), Answer::says("three")];
    let folder = TempDir::new().unwrap();
    let stub = Stub::new(answers());
    let chat = |rest: &str| {
        let ran = turnwise(&folder, &stub, &format!("chat talk.json --model gpt-4o {rest}"), "hello\n");
        assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
        stub.seen().last().unwrap().body.clone()
    };
    chat("--dialect deepseek --max-reply 9");
    let second = chat("--max-reply 9 --one-system");
    assert!(second.contains(r#""reasoning_content":"hm""#) && second.contains(r#""max_tokens":9"#), "{second}");
    let written = "one-system,developer-as-system,max-tokens,send-field=reasoning_content";
    assert_eq!(saved(&folder, "talk.json").dialect().unwrap().to_string(), written, "options are added to the file's");
    let third = chat("--dialect openai --max-reply 9");
    assert!(third.contains("max_completion_tokens") && !third.contains("reasoning_content"), "{third}");
    assert!(!std::fs::read_to_string(folder.path().join("talk.json")).unwrap().contains("dialect"));
}

#[test]
fn a_server_that_wants_thoughts_back_gets_them() {
    let wants =
        r#"{"error":{"message":"The `reasoning_content` in the thinking mode must be passed back to the API."}}"#;
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::new(400, wants)]);
    let ran = turnwise(&folder, &stub, "chat --model gpt-4o", "hello\n");
    assert!(text(&ran.stderr).contains("; --send-field reasoning_content sends it back"), "{}", text(&ran.stderr));
    let talk = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"a"},{"role":"assistant","reasoning_content":"hm","content":"b"}]}"#;
    std::fs::write(folder.path().join("talk.json"), talk).unwrap();
    let stub = Stub::new([Answer::says("c")]);
    turnwise(&folder, &stub, "chat talk.json --send-field reasoning_content", "hello\n");
    assert!(stub.seen()[0].body.contains(r#""reasoning_content":"hm""#), "{}", stub.seen()[0].body);
}

#[test]
fn a_live_replay_speaks_the_dialect_too() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("x")]);
    let talk = r#"{"model":"gpt-4o","messages":[{"role":"system","content":"s"},{"role":"developer","content":"d"},{"role":"user","content":"a"}]}"#;
    std::fs::write(folder.path().join("talk.json"), talk).unwrap();
    let ran = turnwise(&folder, &stub, "replay talk.json --live --dialect vllm", "");
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    assert!(stub.seen()[0].body.contains(r#"{"role":"system","content":"s\n\nd"},{"role":"user""#));
}

#[test]
fn a_dialect_that_does_not_exist_is_a_mistake() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("x")]);
    for (line, named) in [("--dialect deepsek", "did you mean `deepseek`?"), ("--send-field a,b", "--send-field: ")] {
        let ran = turnwise(&folder, &stub, &format!("chat --model gpt-4o {line}"), "hello\n");
        assert_eq!(ran.status.code(), Some(2));
        assert!(text(&ran.stderr).contains(named), "{}", text(&ran.stderr));
    }
    assert!(stub.seen().is_empty());
}

#[test]
fn a_missing_key_and_a_server_that_is_not_there_are_told_with_the_way_out() {
    let folder = TempDir::new().unwrap();
    let ran = turnwise_in(&folder, &[], "chat --model gpt-4o", "hello\n");
    let told = text(&ran.stderr);
    assert!(told.contains("OPENAI_API_KEY") && told.contains("OPENAI_BASE_URL"), "{told}");
}
