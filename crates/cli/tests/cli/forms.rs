//! Forms in which conversations come: encodings, half characters, logs, files of other programs.

use serde_json::json;

use super::harness::{COMMANDS, Files, fixtures, talk, turnwise};

#[test]
fn half_an_emoji_is_counted_and_sent_as_a_replacement_and_said() {
    let cut = r#"[{"role":"user","content":"Label this: \ud83d"},{"role":"assistant","content":"A key."},{"role":"user","content":"And now?"}]"#;
    let lines = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hello.\"}]}\n{\"messages\":[{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"out \\ude00\"}]}\n";
    let files = Files::new().with("cut.json", cut).with("cut.jsonl", lines);
    for command in ["show", "replay --budget 900"] {
        let ran = turnwise(command).arg("cut.json").inside(files.path()).run();
        assert_eq!(ran.code, Some(0), "{command}: {}", ran.err);
        let words = ["turnwise: cut.json, conversation 1: 1 half character", "U+FFFD", "line 1, column 40, byte 39"];
        assert!(words.iter().all(|word| ran.err.contains(word)), "{command}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{command}: {}", ran.err);
    }
    let trimmed = turnwise("trim --budget 900 cut.json").inside(files.path()).run().out;
    assert!(trimmed.contains("Label this: \u{fffd}"), "{trimmed}");
    let counted = turnwise("count cut.jsonl --json --model gpt-4o").inside(files.path()).run();
    assert_eq!((counted.code, counted.out.lines().count(), counted.err.lines().count()), (Some(0), 2, 1));
}

#[test]
fn a_thousand_warnings_are_five_and_a_number() {
    let line = r#"[{"role":"user","content":"\ud83d"}]"#;
    let ran = turnwise("show -").stdin(format!("{line}\n").repeat(1_000)).run();
    assert_eq!((ran.code, ran.err.lines().count()), (Some(0), 6), "{}", ran.err);
    assert!(ran.err.ends_with("turnwise: -: and 995 more conversations like these\n"), "{}", ran.err);
}

#[test]
fn utf_16_is_read_as_powershell_writes_it() {
    let text = format!("{}\r\n", json!({ "model": "gpt-4o", "messages": talk(3) }));
    let files = ["json", "jsonl"].into_iter().fold(Files::new(), |files, kind| {
        let text = if kind == "json" { text.clone() } else { text.repeat(2) };
        let write = |mark: &str, bytes: fn(u16) -> [u8; 2]| {
            format!("{mark}{text}").encode_utf16().flat_map(bytes).collect::<Vec<u8>>()
        };
        files
            .with(&format!("plain.{kind}"), &text)
            .with(&format!("little.{kind}"), write("\u{feff}", u16::to_le_bytes))
            .with(&format!("big.{kind}"), write("\u{feff}", u16::to_be_bytes))
            .with(&format!("bare.{kind}"), write("", u16::to_le_bytes))
    });
    for command in ["show --full"] {
        for kind in ["json", "jsonl"] {
            let run = |name: &str| {
                let out = turnwise(command).arg(format!("{name}.{kind}")).inside(files.path()).out();
                out.replace(name, "NAME")
            };
            for name in ["little", "big", "bare"] {
                assert_eq!(run(name), run("plain"), "{command} {name}.{kind}");
            }
        }
    }
    let files = files.with("text.txt", b"\xff\xfeH\0i\0");
    assert_eq!(turnwise("count --text text.txt --model gpt-4o").inside(files.path()).out(), "1 tokens in 2 bytes\n");
}

#[test]
fn a_place_in_utf_16_is_one_of_the_file() {
    let text = "\u{feff}[{\"role\":\"user\",\"content\":\"é\"},\n{\"role\":5}]";
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let units = text[..text.find('5').unwrap()].encode_utf16().count();
    let error = turnwise("count -").stdin(bytes).fails(1);
    let place = format!("(line 2, column 17, byte {})", 2 * units);
    assert!(error.contains(&place), "{place} in {error}");
}

#[test]
fn a_message_a_line_is_one_conversation() {
    let lines: Vec<String> = talk(4).as_array().unwrap().iter().map(ToString::to_string).collect();
    let log = lines.join("\n\n") + "\n\n";
    let files = Files::new().with("log.jsonl", &log).with("array.json", talk(4).to_string());
    for command in ["show", "count"] {
        let run = |name: &str| turnwise(command).arg(name).inside(files.path()).out().replace(name, "NAME");
        assert_eq!(run("log.jsonl"), run("array.json"), "{command}");
    }
    let torn = turnwise("count - --json").stdin(format!("{log}{{\"role\":\"us")).run();
    assert_eq!((torn.code, torn.out.lines().count()), (Some(1), 1), "{}", torn.err);
    assert!(torn.err.contains("damaged file: message 4") && torn.err.contains("(line 9, "), "{}", torn.err);
    let hole = turnwise("count -")
        .stdin(format!("{{\"role\":\"user\",\"content\":\"x\"}}\n{{\"content\":\"x\"}}\n{log}"))
        .fails(1);
    assert!(
        hole.contains("message 1: a message has no `role`") && hole.contains("(line 2, column 1, byte 30)"),
        "{hole}"
    );
    assert_eq!(hole.lines().count(), 1, "{hole}");
}

#[test]
fn messages_and_conversations_in_one_file_are_told_apart() {
    let (message, body) = (talk(1)[0].to_string(), json!({ "messages": talk(2) }).to_string());
    let error = turnwise("count -").stdin(format!("{message}\n{body}\n")).fails(1);
    assert!(error.contains("a whole conversation after lines that are one message each"), "{error}");
    let ran = turnwise("count - --json").stdin(format!("{body}\n{message}\n")).run();
    assert_eq!((ran.code, ran.out.lines().count()), (Some(1), 1));
    assert!(
        ran.err.contains("a message after lines that are whole conversations") && ran.err.contains("(line 2, column 1")
    );
}

#[test]
fn two_thousand_lines_that_cannot_be_read_are_five_errors_and_a_number() {
    let files = Files::new().with("bad.jsonl", "{\"messages\":7}\n".repeat(2_000));
    let ran = turnwise("show bad.jsonl").inside(files.path()).run();
    assert_eq!((ran.code, ran.err.lines().count()), (Some(1), 6), "{}", ran.err);
    assert!(ran.err.ends_with("turnwise: bad.jsonl: and 1,995 more lines like these\n"), "{}", ran.err);
    assert!(ran.err.contains("(line 5, column 13, "), "{}", ran.err);
}

#[test]
fn files_that_are_not_read_are_refused_by_name_with_one_error() {
    for (file, name) in [
        ("bedrock.json", "Amazon Bedrock's Converse API (message 0 has parts of content without a `type`)"),
        ("cline_window.json", "what Cline showed in its window"),
    ] {
        for command in COMMANDS {
            let error = turnwise(command).arg(format!("foreign/{file}")).fails(1);
            assert!(error.contains("another format: ") && error.contains(name), "{command}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}

#[test]
fn every_command_reads_files_of_other_programs_and_says_what_they_are() {
    for command in COMMANDS {
        let ran = turnwise(command).arg("foreign/anthropic_body.json").run();
        assert_eq!(ran.code, Some(0), "{command}: {}", ran.err);
        let said = "turnwise: foreign/anthropic_body.json: Anthropic Messages conversation, 1 conversation\n";
        assert!(ran.err.contains(said), "{command}: {}", ran.err);
    }
    let ran = turnwise("show formats/chatgpt.json --only 2").run();
    assert!(ran.out.starts_with("c2\n") && ran.out.contains("Name a lake."), "{}", ran.out);
    assert!(ran.err.contains("ChatGPT export, 2 conversations\n"), "{}", ran.err);
    assert!(ran.err.contains("not carried over: hidden message in conversation 1, message 0\n"), "{}", ran.err);
    let piped = std::fs::read(fixtures().join("formats/chatgpt.json")).unwrap();
    let shown = turnwise("show - --only c1").stdin(piped).run();
    assert!(shown.out.starts_with("c1\n") && shown.err.contains("-: ChatGPT export"), "{}", shown.err);
    let wrong = turnwise("count foreign/claude.json --from chatgpt").fails(1);
    assert!(wrong.contains("there is no `mapping`, in the conversation at byte 1"), "{wrong}");
    let unknown = turnwise("count foreign/claude.json --from gpt").fails(2);
    assert!(unknown.contains("--from: there is no format `gpt`; the formats are native"), "{unknown}");
}

#[test]
fn a_trimmed_body_of_an_import_is_a_request_and_nothing_else() {
    let ran = turnwise("trim formats/anthropic.json --body --budget 5000").run();
    let trimmed: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let keys: Vec<&str> = trimmed.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["max_tokens", "messages", "model", "temperature", "tools"]);
    assert!(!trimmed.to_string().contains("turnwise"), "{trimmed}");
    let line = turnwise("trim formats/fine_tuning.jsonl --body --budget 5000").json().remove(0);
    assert_eq!(line["tools"][0]["function"]["name"], "weather");
}

#[test]
fn a_chat_is_not_saved_over_an_export() {
    let files = Files::new().with("export.json", std::fs::read(fixtures().join("formats/claude.json")).unwrap());
    let before = std::fs::read(files.path().join("export.json")).unwrap();
    let error = turnwise("chat export.json --model gpt-4o").inside(files.path()).fails(1);
    assert!(error.contains("an export of Claude") && error.contains("`turnwise convert FILE NEW.json`"), "{error}");
    assert_eq!(std::fs::read(files.path().join("export.json")).unwrap(), before);
}

#[test]
fn a_file_of_no_known_format_is_one_error_with_a_guess() {
    let error = turnwise("count -").stdin(r#"{"mapping": {}, "title": "t"}"#).fails(1);
    assert!(error.contains("nearest is ChatGPT export, but there is no `current_node`"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_trimmed_body_keeps_what_stands_beside_the_messages() {
    let body = json!({
        "model": "gpt-4o", "messages": talk(20), "parallel_tool_calls": false, "temperature": 0.5,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    });
    let files = Files::new().with("body.json", body.to_string());
    let run = |rest: &str| turnwise("trim body.json --budget 120").args(rest).inside(files.path()).json().remove(0);
    let trimmed = run("--body");
    for key in ["model", "parallel_tool_calls", "temperature", "tools"] {
        assert_eq!(trimmed[key], body[key], "{key}");
    }
    assert_eq!(trimmed["messages"], run(""));
    assert!(trimmed["messages"].as_array().unwrap().len() < 20);
    assert_eq!(run("--body --model gpt-4o-mini")["model"], "gpt-4o-mini");
    let mut native = turnwise::Transcript::from_json(&body.to_string()).unwrap();
    native.conversation.push("x");
    let printed = turnwise("trim --body -").stdin(native.to_json()).out();
    assert!(printed.contains("parallel_tool_calls") && !printed.contains("turnwise"), "{printed}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_name_need_not_be_utf_8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let name = OsStr::from_bytes(b"caf\xe9 \x1b[31m.json");
    let files = Files::new();
    std::fs::write(files.path().join(name), talk(3).to_string()).unwrap();
    std::fs::write(files.path().join(OsStr::from_bytes(b"bad\xe9.json")), "{").unwrap();
    for command in COMMANDS {
        let out = turnwise(command).arg(name).inside(files.path()).out();
        assert!(!out.contains('\u{1b}'), "{command}: {out:?}");
        let error = turnwise(command).arg(OsStr::from_bytes(b"bad\xe9.json")).inside(files.path()).fails(1);
        assert!(error.starts_with("turnwise: bad\u{fffd}.json: damaged file"), "{command}: {error}");
    }
    let replayed = turnwise("replay --budget 900").arg(name).inside(files.path()).out();
    std::fs::write(files.path().join(OsStr::from_bytes(b"old\xe9")), &replayed).unwrap();
    turnwise("replay --budget 900")
        .arg(name)
        .arg("--diff")
        .arg(OsStr::from_bytes(b"old\xe9"))
        .inside(files.path())
        .out();
    turnwise("count --text").arg(name).inside(files.path()).out();
}
