//! `turnwise redact` and `turnwise compact`.

use std::fs;

use turnwise::{ConversationManager, Message, Transcript};

use super::harness::{Files, Run, fixtures, turnwise};

const TALK: &str = r#"{"messages":[{"role":"user","content":"I am Ann Lee, key sk-12ab."},
    {"role":"assistant","content":"Hello Ann Lee!"},{"role":"user","content":"Bye."}]}"#;

#[test]
fn a_text_is_replaced_everywhere_in_the_file() {
    let files = Files::new().with("talk.json", TALK);
    let run = |line: &str, with: &[&str]| with.iter().fold(turnwise(line), Run::arg).inside(files.path());
    let tried = run("redact talk.json --dry-run", &["--text", "Ann Lee"]).out();
    assert_eq!(tried, "talk.json: 2 texts would be changed\n");
    assert_eq!(fs::read_to_string(files.path().join("talk.json")).unwrap(), TALK);
    let done = run("redact talk.json", &["--text", "Ann Lee", "--with", "$1"]).out();
    assert_eq!(done, "talk.json: 2 texts changed\n");
    let done = run("redact talk.json", &["--pattern", "sk-([a-z0-9]{2})[a-z0-9]*", "--with", "sk-$1…"]).out();
    assert_eq!(done, "talk.json: 1 text changed\n");
    let text = fs::read_to_string(files.path().join("talk.json")).unwrap();
    assert!(text.contains("I am $1, key sk-12….") && text.contains("Hello $1!"), "{text}");
    assert_eq!(run("redact talk.json", &["--text", "Ann"]).out(), "talk.json: 0 texts changed\n");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let files = Files::new().with("talk.json", TALK);
    let run = |line: &str, with: &[&str]| with.iter().fold(turnwise(line), Run::arg).inside(files.path());
    let error = run("redact talk.json", &[]).fails(2);
    assert!(error.contains("--pattern <REGEX>"), "{error}");
    let error = run("redact talk.json", &["--pattern", "a", "--text", "a"]).fails(2);
    assert!(error.contains("cannot be used with"), "{error}");
    let error = run("redact talk.json", &["--pattern", "a*"]).fails(2);
    assert!(error.contains("--pattern `a*`: it matches the empty text"), "{error}");
    assert!(run("redact talk.json", &["--pattern", "("]).fails(2).contains("--pattern: regex parse error"));
    let error = run("redact talk.json", &["--text", ""]).fails(2);
    assert!(error.contains("--text ``: it matches the empty text"), "{error}");
    let error = run("compact talk.json", &[]).fails(2);
    assert!(error.contains("talk.json: only a journal (.jsonl) grows"), "{error}");
    assert_eq!(fs::read_to_string(files.path().join("talk.json")).unwrap(), TALK);
    let error = run("redact -", &["--text", "Ann"]).fails(2);
    assert!(error.contains("`-` is the standard input"), "{error}");
    let error = run("redact none.json", &["--text", "Ann"]).fails(1);
    assert_eq!(error.matches("none.json").count(), 1, "{error}");
    let foreign = fs::read(fixtures().join("formats/anthropic.json")).unwrap();
    let files = files.with("other.json", &foreign);
    let error = turnwise("redact other.json --text a").inside(files.path()).fails(1);
    assert_eq!(error.matches("turnwise convert").count(), 1, "{error}");
    let log = "{\"role\":\"user\",\"content\":\"Ann\"}\n{\"role\":\"assistant\",\"content\":\"Hi\"}\n";
    let files = files.with("log.jsonl", log);
    let error = turnwise("redact log.jsonl --text Ann").inside(files.path()).fails(1);
    assert!(error.contains("never written to") && error.contains("jq -s"), "{error}");
    assert_eq!(fs::read(files.path().join("other.json")).unwrap(), foreign);
}

#[test]
fn a_file_of_many_conversations_is_refused_with_how_to_take_one_out() {
    let arrays = "[{\"role\":\"user\",\"content\":\"a\"}]\n".repeat(2);
    let bodies = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}\n".repeat(2);
    for many in [arrays, bodies] {
        let files = Files::new().with("many.jsonl", many);
        for command in ["redact many.jsonl --text a", "compact many.jsonl", "blobs many.jsonl", "chat many.jsonl"] {
            if command.starts_with("chat") && cfg!(not(feature = "openai")) {
                continue;
            }
            let error = turnwise(command).inside(files.path()).fails(1);
            assert!(error.contains("turnwise convert FILE ONE.json --only NUMBER"), "{error}");
            assert!(!error.contains("Transcripts"), "{error}");
        }
        turnwise("convert many.jsonl one.json --only 2").inside(files.path()).run();
        assert_eq!(turnwise("redact one.json --text a").inside(files.path()).out(), "one.json: 1 text changed\n");
    }
}

#[test]
fn a_journal_is_redacted_and_compacted_in_place() {
    let files = Files::new();
    let file = files.path().join("talk.jsonl");
    let chat = ConversationManager::builder("gpt-4o-mini").autosave(&file).build().unwrap();
    for number in 0..20 {
        chat.push(Message::user(format!("My word {number} is secret."))).unwrap();
        chat.undo().unwrap();
    }
    drop(chat);
    let long = fs::metadata(&file).unwrap().len();
    let done = turnwise("compact talk.jsonl").inside(files.path()).out();
    let short = fs::metadata(&file).unwrap().len();
    assert_eq!(done, format!("talk.jsonl: {long} bytes before, {short} after\n"));
    assert!(short < long, "{short} of {long}");
    assert_eq!(Transcript::load(&file).unwrap().conversation.items().count(), 20);
    assert_eq!(
        turnwise("redact talk.jsonl --text secret").inside(files.path()).out(),
        "talk.jsonl: 20 texts changed\n"
    );
    assert!(!fs::read_to_string(&file).unwrap().contains("secret"));
    assert_eq!(Transcript::load(&file).unwrap().conversation.items().count(), 20);
}
