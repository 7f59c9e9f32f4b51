//! Files that are not what they should be.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::harness::{COMMANDS, Files, talk, turnwise};

const PRETTY: &str = r#"{
  "model": "gpt-4o",
  "messages": [
    { "role": "system", "content": "Be brief." },
    { "role": "user", "content": "Grüße, \"Ada\"!" }
  ]
}"#;

/// Each command says what is wrong with a file, by name, and prints nothing else.
fn refuses(name: &str, bytes: impl AsRef<[u8]>, words: &[&str]) {
    let files = Files::new().with(name, bytes);
    for command in COMMANDS {
        let error = turnwise(command).arg(name).inside(files.path()).fails(1);
        assert!(error.starts_with(&format!("turnwise: {name}: ")), "{command}: {error}");
        assert!(words.iter().all(|word| error.contains(word)), "{command}: {words:?} in {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    for command in COMMANDS {
        let error = turnwise(command).arg("nowhere.json").fails(1);
        assert!(error.starts_with("turnwise: nowhere.json: "), "{error}");
    }
    let error = turnwise("compare tau_airline.jsonl nowhere.json --budget 9000").fails(1);
    assert!(error.contains("nowhere.json"), "{error}");
}

#[test]
fn a_folder_is_not_a_file() {
    let files = Files::new();
    fs::create_dir(files.path().join("folder")).unwrap();
    for command in COMMANDS {
        let error = turnwise(command).arg("folder").inside(files.path()).fails(1);
        assert!(error.contains("folder: it is a folder; name a file in it"), "{error}");
    }
}

#[test]
fn an_empty_file_is_said_to_be_empty() {
    refuses("empty.json", "", &["empty", "line 1, column 1"]);
    refuses("blank.json", " \n\n", &["empty"]);
}

#[test]
fn a_torn_file_is_an_error_wherever_it_is_torn() {
    for length in (1..PRETTY.len()).step_by(23).chain([PRETTY.len() - 1]) {
        let files = Files::new().with("torn.json", &PRETTY.as_bytes()[..length]);
        let error = turnwise("count torn.json").inside(files.path()).fails(1);
        // Blanks at the end are not what is missing.
        let end = PRETTY.as_bytes()[..length].trim_ascii_end().len();
        let place = format!("byte {end})\n");
        assert!(error.contains("torn.json: damaged file") && error.ends_with(&place), "{length}: {error}");
    }
    refuses("torn.json", &PRETTY[..60], &["damaged file", "(line 4, "]);
}

#[test]
fn a_torn_second_line_leaves_the_first_conversation() {
    let files =
        Files::new().with("two.jsonl", format!("{}\n{{\"messages\":[{{\"role\":\"us", json!({"messages": talk(2)})));
    for command in [
        "plan --budget 900",
        "trim --budget 900",
        "count",
        "show",
        "compare",
        "compare --budget 900",
        "replay --budget 900",
    ] {
        let ran = turnwise(command).arg("two.jsonl").inside(files.path()).run();
        assert_eq!(ran.code, Some(1));
        assert!(ran.err.contains("two.jsonl: damaged file") && ran.err.contains("(line 2, "), "{}", ran.err);
        assert!(!ran.out.is_empty());
    }
}

/// The conversation that was asked for is whole.
#[test]
fn a_torn_line_does_not_keep_from_another_conversation() {
    let whole = json!({"id": "whole", "messages": talk(2)});
    let files = Files::new().with("three.jsonl", format!("{whole}\n{{\"messages\":[{{\"role\":\"us\n{whole}\n"));
    for only in ["1", "3"] {
        turnwise("show three.jsonl --only").arg(only).inside(files.path()).out();
    }
}

#[test]
fn other_files_are_refused_with_the_reason_and_the_place() {
    refuses(
        "noise.json",
        [0x89, b'P', b'N', b'G', 0xff, 0, 1, 2, 3],
        &["damaged file", "not UTF-8", "line 1, column 1,"],
    );
    refuses("utf32.json", b"\xff\xfe\0\0[\0\0\0]\0\0\0", &["damaged file", "UTF-32", "save it as UTF-8"]);
    refuses("export.zip", b"PK\x03\x04\x14\0", &["damaged file", "zip archive", "`conversations.json`"]);
    refuses(
        "latin1.json",
        b"[{\"role\":\"user\",\"content\":\"caf\xe9\"}]",
        &["not UTF-8", "iconv", "line 1, column 31"],
    );
    refuses("words.json", "Dear diary,\nnothing happened.\n", &["damaged file", "line 1"]);
    refuses(
        "other.json",
        r#"{"name": "x", "version": 1}"#,
        &["another format: the format is not recognised", "`name`, `version`", "`messages` with `role` and `content`"],
    );
    refuses("number.json", "5", &["invalid message", "an object or an array"]);
    refuses(
        "shape.json",
        "{\"messages\": [\n {\"role\": \"user\", \"content\": 5}]}",
        &["message 0", "(line 2, column 30"],
    );
    refuses("role.json", r#"{"messages": [{"content": "x"}]}"#, &["message 0", "`role`"]);
    refuses(
        "newer.json",
        r#"{"turnwise": 2, "messages": [], "turnwise_record": {}}"#,
        &["newer format", "format 2", "up to 1"],
    );
    refuses("half.json", r#"{"turnwise": 1, "messages": []}"#, &["damaged file", "no `turnwise_record`"]);
    refuses("deep.json", "[".repeat(300_000), &["damaged file", "line 1"]);
}

#[test]
fn an_object_without_anything_is_refused_in_words_that_make_sense() {
    refuses("nothing.json", "{}", &["without `messages`"]);
    for (name, text) in [("nothing.json", "{}"), ("null.json", r#"{"messages": null}"#)] {
        let files = Files::new().with(name, text);
        let error = turnwise("count").arg(name).inside(files.path()).fails(1);
        assert!(!error.contains("  ") && !error.contains("`messages` but without `messages`"), "{error}");
    }
}

#[test]
fn a_message_of_five_megabytes_is_counted_and_cut_or_refused_with_its_numbers() {
    let messages =
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "word ".repeat(1_000_000)}]);
    let files = Files::new().with("huge.json", messages.to_string());
    let run = |command: &str| turnwise(command).arg("huge.json").inside(files.path());
    assert_eq!(run("count --json").json()[0]["messages"][1]["tokens"], 1_000_005);
    let cut = run("plan --budget 9000").out();
    assert!(cut.contains("shorter") && cut.contains("sends 2 of 2 messages"), "{cut}");
    let error = run("plan --budget 9000 --never-cut").fails(1);
    let words = ["huge.json", "over budget", "message 1 (user)", "1,000,005 tokens", "8,990", "without --never-cut"];
    assert!(words.iter().all(|word| error.contains(word)) && error.len() < 600, "{error}");
    assert!(run("show").out().len() < 500);
}

#[test]
fn lines_that_end_as_on_windows_and_byte_order_marks_are_read() {
    let line = json!({"model": "gpt-4o", "messages": talk(2)});
    let files = Files::new()
        .with("windows.jsonl", format!("\u{feff}{line}\r\n\r\n{line}\r\n"))
        .with("pretty.json", format!("\u{feff}{}\r\n", PRETTY.replace('\n', "\r\n")));
    for command in ["show", "plan --budget 900", "compare --budget 900"] {
        let run = |file: &str| turnwise(command).arg(file).inside(files.path()).out();
        assert!(!run("pretty.json").is_empty());
        assert!(!run("windows.jsonl").is_empty());
    }
    assert_eq!(turnwise("count --json windows.jsonl").inside(files.path()).json().len(), 2);
}

/// The smallest file there is: `[{"role": "user", "content": "Hi."}]`.
#[test]
fn an_array_of_one_message_is_read() {
    for messages in 1..=3 {
        let files = Files::new().with("talk.json", talk(messages).to_string());
        let counted = turnwise("count --json talk.json").inside(files.path()).json();
        assert_eq!(counted[0]["messages"].as_array().unwrap().len(), messages);
    }
}

#[test]
fn a_conversation_without_messages_can_be_looked_at_and_not_sent() {
    for command in ["show -", "count -", "compare -", "replay --budget 9 -"] {
        turnwise(command).stdin("[]").out();
    }
    let error = turnwise("plan --budget 9 -").stdin("[]").fails(1);
    assert!(error.contains("nothing to send"), "{error}");
}

#[test]
fn names_in_the_output_are_the_paths_that_were_given() {
    let files = Files::new().with("talk.json", talk(2).to_string());
    let path: PathBuf = files.path().join("talk.json");
    let said = turnwise("show").arg(&path).out();
    assert!(said.starts_with(&format!("{}, conversation 1\n", path.display())), "{said}");
}

#[test]
fn a_text_is_counted_on_its_own() {
    let files = Files::new().with("a.txt", "Hello, world");
    let run = |command: &str| turnwise(command).inside(files.path());
    assert_eq!(run("count --text a.txt --model gpt-4o").out(), "3 tokens in 12 bytes\n");
    assert_eq!(run("count --text a.txt --model gpt-4o --json").json()[0]["tokens"], 3);
    assert!(run("count --text a.txt").out().starts_with("~3 tokens"));
    assert_eq!(run("count --text --model gpt-4o").stdin("one two").out(), "2 tokens in 7 bytes\n");
    assert!(run("count").fails(2).contains("<FILE>"));
}
