//! What a format says comes back when the conversation is written in it again: after reading, a save
//! in the native form, a load, and writing.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{fixtures, read, reloaded, values, written};

/// Samples of the formats that are written.
const SAMPLES: &[(&str, &[&str])] = &[
    (
        "anthropic",
        &[
            "formats/anthropic.json",
            "formats/cline.json",
            "foreign/anthropic_body.json",
            "foreign/anthropic_text.json",
            "foreign/anthropic_thinking.json",
            "foreign/anthropic_tools.json",
            "foreign/cline_history.json",
        ],
    ),
    ("gemini", &["formats/gemini.json", "foreign/gemini_body.json", "foreign/gemini_history.json"]),
    (
        "responses",
        &[
            "formats/responses_request.json",
            "formats/responses_list.json",
            "foreign/responses_answer.json",
            "foreign/responses_items.json",
            "foreign/responses_list.json",
            "foreign/responses_request.json",
            "foreign/responses_in_messages.json",
        ],
    ),
    (
        "sharegpt",
        &["formats/sharegpt.json", "formats/sharegpt_tools.json", "foreign/sharegpt.json", "foreign/sharegpt.jsonl"],
    ),
    ("fine-tuning", &["formats/fine_tuning.jsonl"]),
    ("body", &["recorded_exchanges.jsonl", "tau_airline.jsonl", "swe_agent.jsonl"]),
];

#[test]
fn a_sample_comes_back_in_its_own_format() {
    for (format, files) in SAMPLES {
        for file in *files {
            let text = std::fs::read_to_string(fixtures().join(file)).unwrap();
            let all = read(&text).into_iter().map(|import| reloaded(&import.transcript));
            let (back, report) = written(all, format);
            let opens = *format == "sharegpt";
            assert_eq!(values(&back, opens), values(&text, opens), "{file}");
            assert!(report.is_empty(), "{file}: {report}");
        }
    }
}

#[test]
fn an_array_of_messages_and_creates_come_back() {
    let text = std::fs::read_to_string(fixtures().join("formats/messages.jsonl")).unwrap();
    let (back, _) = written(read(&text).into_iter().map(|import| import.transcript), "messages");
    assert_eq!(values(&back, true), values(&text, false));
    let text = std::fs::read_to_string(fixtures().join("formats/conversations.jsonl")).unwrap();
    let (back, _) = written(read(&text).into_iter().map(|import| reloaded(&import.transcript)), "conversations");
    let expected = concat!(
        r#"{"metadata":{"topic":"rivers"},"items":[{"role":"user","content":[{"text":"Name a river.","type":"input_text"}],"type":"message"},"#,
        r#"{"role":"assistant","content":[{"text":"The Elbe.","type":"output_text"}],"type":"message"}]}"#,
        "\n",
        r#"{"metadata":{},"items":[{"role":"user","content":[{"text":"Name a lake.","type":"input_text"}],"type":"message"}]}"#,
    );
    assert_eq!(values(&back, false), values(expected, false));
}

#[test]
fn a_create_holds_at_most_twenty_items() {
    let messages: Vec<String> = (0..45).map(|i| format!(r#"{{"role":"user","content":"{i}"}}"#)).collect();
    let (back, _) =
        written(read(&format!("[{}]", messages.join(","))).into_iter().map(|i| i.transcript), "conversations");
    let sizes: Vec<usize> =
        values(&back, false).iter().map(|create| create["items"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [20, 20, 5]);
    let again = read(&back);
    assert_eq!((again.len(), again[0].transcript.conversation.path().len()), (1, 45));
}

#[test]
fn a_call_keeps_the_digits_and_the_order_of_its_arguments() {
    let text = r#"{"system":[],"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"b":1.50,"a":12345678901234567890123}}]}]}"#;
    let import = &read(text)[0];
    let call = import.transcript.conversation.path().item(1).unwrap().message().tool_calls()[0].clone();
    assert_eq!(call.arguments(), r#"{"b":1.50,"a":12345678901234567890123}"#);
    let (back, _) = written([reloaded(&import.transcript)], "anthropic");
    assert!(back.contains(r#""input":{"b":1.50,"a":12345678901234567890123}"#), "{back}");
}

#[test]
fn every_format_that_is_written_takes_every_sample() {
    let files = common::samples("formats");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for format in turnwise_formats::FORMATS.iter().filter(|format| format.writer().is_some()) {
            let all: Vec<_> = read(&text).into_iter().map(|import| import.transcript).collect();
            let count = all.len();
            let paths: Vec<usize> = all.iter().map(|one| one.conversation.messages().count()).collect();
            let (back, _) = written(all, format.name());
            if format.is_read() && format.name() != "conversations" {
                let again = read(&back);
                assert_eq!(again.len(), count, "{} as {}", file.display(), format.name());
                let same = again.iter().map(|one| one.transcript.conversation.messages().count());
                if matches!(format.name(), "native" | "messages" | "body" | "fine-tuning") {
                    assert_eq!(same.collect::<Vec<_>>(), paths, "{} as {}", file.display(), format.name());
                }
            } else {
                assert!(!back.is_empty());
            }
        }
    }
}
