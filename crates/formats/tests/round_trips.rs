//! What a format says comes back when the conversation is written in it again: after reading, a save
//! in the native form, a load, and writing.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{fixtures, read, reloaded, values, written};
use serde_json::{Value, json};
use turnwise::{Conversation, Message, Transcript};

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
fn what_real_requests_have_and_samples_had_not_comes_back() {
    let anthropic = r#"{"max_tokens":9,"thinking":{"type":"enabled","budget_tokens":1024},"messages":[
        {"role":"user","content":[{"type":"container_upload","file_id":"f"}]},
        {"role":"assistant","content":[{"type":"text","text":"A table."}]},
        {"role":"system","content":[{"type":"tool_addition","tool":{"type":"tool_reference","name":"look"}}]}]}"#;
    let gemini = r#"{"systemInstruction":{"role":"user","parts":[{"text":"Be brief."}]},"contents":[
        {"role":"user","parts":[{"fileData":{"mimeType":"audio/mpeg","fileUri":"https://example.com/a"}}]}]}"#;
    for (format, text) in [("anthropic", anthropic), ("gemini", gemini)] {
        let (back, report) = written(read(text).iter().map(|import| reloaded(&import.transcript)), format);
        assert_eq!(values(&back, false), values(text, false));
        assert!(report.is_empty(), "{format}: {report}");
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

/// A `ShareGPT` file with these turns.
fn sharegpt(turns: &Value) -> String {
    json!({"conversations": turns}).to_string()
}

/// The values of the turns that a `ShareGPT` text is written with after it was read and one value of a
/// message, at a JSON pointer, was changed.
fn edited(text: &str, index: usize, pointer: &str, value: &str) -> Vec<Value> {
    let read = read(text).remove(0).transcript;
    let mut messages: Vec<Value> = read.conversation.messages().map(|message| json!(message)).collect();
    *messages[index].pointer_mut(pointer).unwrap() = value.into();
    let messages = messages.iter().map(|message| Message::from_json(&message.to_string()).unwrap());
    let (back, _) = written([Transcript::new(Conversation::from_messages(messages))], "sharegpt");
    let back: Value = serde_json::from_str(&back).unwrap();
    back["conversations"].as_array().unwrap().iter().map(|turn| turn["value"].clone()).collect()
}

#[test]
fn an_edited_call_of_sharegpt_is_written_as_it_is_now() {
    let call = r#"{"name": "weather", "parameters": {"city": "Oslo"}}"#;
    let text = sharegpt(&json!([
        {"from": "human", "value": "Weather?"},
        {"from": "function_call", "value": call},
        {"from": "observation", "value": "rain"},
    ]));
    let unchanged = edited(&text, 0, "/content", "Rain?");
    assert_eq!(unchanged, ["Rain?", call, "rain"]);
    let arguments = "/tool_calls/0/function/arguments";
    let changed = edited(&text, 1, arguments, r#"{"city":"Rome"}"#);
    assert_eq!(changed, ["Weather?", r#"{"name":"weather","arguments":{"city":"Rome"}}"#, "rain"]);
}

#[test]
fn edited_results_of_several_calls_of_sharegpt_are_written_as_they_are_now() {
    let calls = r#"[{"name":"a","arguments":{}},{"name":"b","arguments":{}}]"#;
    let text = sharegpt(&json!([
        {"from": "human", "value": "Both?"},
        {"from": "function_call", "value": calls},
        {"from": "observation", "value": r#"["one", "two"]"#},
        {"from": "gpt", "value": "Yes."},
    ]));
    let unchanged = edited(&text, 0, "/content", "Both!");
    assert_eq!(unchanged, ["Both!", calls, r#"["one", "two"]"#, "Yes."]);
    let changed = edited(&text, 3, "/content", "three");
    assert_eq!(changed, ["Both?", calls, r#"["one","three"]"#, "Yes."]);
}
