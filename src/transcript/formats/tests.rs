use std::collections::BTreeSet;
use std::fs;

use super::{FORMATS, Likelihood, detect, in_log};
use crate::outline::values;
use crate::transcript::Transcripts;
use crate::{Error, ErrorKind, Transcript};

/// The samples under `fixtures/foreign`: the file, what it is, and the message that shows it.
const SAMPLES: &[(&str, &str, Option<usize>)] = &[
    ("agent_log.jsonl", "events of an agent", None),
    ("ai_studio.json", "Google AI Studio", None),
    ("aider.md", "aider", None),
    ("alpaca.json", "a prompt and an answer", None),
    ("anthropic_answer.json", "Anthropic's Messages API", None),
    ("anthropic_body.json", "Anthropic's Messages API", Some(1)),
    ("anthropic_text.json", "Anthropic's Messages API", None),
    ("anthropic_thinking.json", "Anthropic's Messages API", Some(1)),
    ("anthropic_tools.json", "Anthropic's Messages API", None),
    ("autogen.json", "AutoGen", None),
    ("batch_input.jsonl", "an envelope", None),
    ("batch_output.jsonl", "an answer of the Batch API", None),
    ("bedrock.json", "Bedrock", Some(0)),
    ("chatgpt.json", "ChatGPT", None),
    ("claude.json", "an export of Claude", None),
    ("claude_code.jsonl", "Claude Code", None),
    ("claude_code_snapshot.jsonl", "Claude Code", None),
    ("cline_history.json", "Anthropic's Messages API", Some(1)),
    ("cline_window.json", "Cline", Some(0)),
    ("codex.jsonl", "Codex", None),
    ("codex_old.jsonl", "Codex", None),
    ("cohere.json", "Cohere", None),
    ("completion.json", "an answer of a chat-completions server", None),
    ("continue.json", "Continue", None),
    ("copilot.json", "GitHub Copilot", None),
    ("evals.jsonl", "an envelope", None),
    ("gemini_body.json", "the Gemini API", None),
    ("gemini_cli.json", "the Gemini CLI", Some(0)),
    ("gemini_history.json", "the Gemini API", Some(0)),
    ("gemini_roles.json", "the Gemini API", Some(1)),
    ("goose.jsonl", "goose", None),
    ("goose_messages.json", "goose", Some(1)),
    ("langchain_dict.json", "LangChain", Some(0)),
    ("langchain_dumpd.json", "LangChain", Some(0)),
    ("langchain_roles.json", "LangChain", Some(1)),
    ("langchain_rows.jsonl", "LangChain", None),
    ("langchain_types.json", "LangChain", Some(0)),
    ("librechat.json", "LibreChat", Some(0)),
    ("llama_index.json", "LlamaIndex", Some(0)),
    ("llm_logs.json", "simonw/llm", None),
    ("lm_studio.json", "LM Studio", Some(0)),
    ("oasst_flat.jsonl", "OpenAssistant", None),
    ("oasst_tree.jsonl", "OpenAssistant", None),
    ("ollama_images.json", "Ollama", Some(0)),
    ("ollama_tools.json", "Ollama", None),
    ("open_webui.json", "Open WebUI", None),
    ("preferences.jsonl", "a pair of replies", None),
    ("prompt_completion.jsonl", "a prompt and an answer", None),
    ("pydantic_ai.json", "Pydantic AI", Some(0)),
    ("request_log.jsonl", "an envelope", None),
    ("responses_answer.json", "Responses", None),
    ("responses_in_messages.json", "Responses", Some(0)),
    ("responses_items.json", "Responses", Some(0)),
    ("responses_list.json", "Responses", None),
    ("responses_request.json", "Responses", None),
    ("sharegpt.json", "ShareGPT", None),
    ("sharegpt.jsonl", "ShareGPT", None),
    ("sillytavern.jsonl", "SillyTavern", None),
    ("swe_agent.traj", "SWE-agent", None),
    ("tau_bench.json", "tau-bench", None),
    ("text_elsewhere.json", "another program", Some(0)),
    ("thread.json", "Assistants API", Some(0)),
    ("vercel_invocations.json", "UI messages", Some(1)),
    ("vercel_model.json", "model messages", Some(1)),
    ("vercel_ui.jsonl", "UI messages", None),
    ("vercel_ui_4.json", "UI messages", Some(0)),
    ("vercel_ui_5.json", "UI messages", Some(0)),
    ("wildchat.jsonl", "an envelope", None),
];

fn is_right(error: &Error, name: &str, message: Option<usize>) -> bool {
    let text = error.to_string();
    let numbered = message.is_none_or(|index| text.contains(&format!("message {index} has")));
    error.kind() == ErrorKind::ForeignFormat && text.contains(name) && numbered
}

#[test]
fn every_sample_is_refused_by_name_with_one_error_and_not_overwritten() {
    let mut seen: Vec<String> = fs::read_dir("fixtures/foreign")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    seen.sort();
    assert_eq!(seen, SAMPLES.iter().map(|(file, ..)| *file).collect::<Vec<_>>());
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (file, name, message) in SAMPLES {
        let path = std::path::Path::new("fixtures/foreign").join(file);
        let errors: Vec<String> = Transcripts::open(&path)
            .unwrap()
            .map(|read| match read {
                Err(error) if is_right(&error, name, *message) => "right".to_owned(),
                read => format!("{:?}", read.map(|file| file.conversation.path().len())),
            })
            .collect();
        if errors != ["right"] {
            wrong.push(format!("{file}: {errors:?}"));
        }
        // A file in lines shows the same as one conversation.
        let loaded = Transcript::load(&path).map(|file| file.conversation.path().len());
        if !loaded.as_ref().is_err_and(|error| error.kind() == ErrorKind::ForeignFormat) {
            wrong.push(format!("{file}, loaded: {loaded:?}"));
        }
        let copy = folder.path().join(file);
        fs::copy(&path, &copy).unwrap();
        let saved = Transcript::default().save(&copy);
        if saved.is_ok() || fs::read(&copy).unwrap() != fs::read(&path).unwrap() {
            wrong.push(format!("{file}, saved"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_format_of_the_registry_has_a_name_and_a_sample_of_its_own() {
    let names: BTreeSet<&str> = FORMATS.iter().map(|format| format.name()).collect();
    assert_eq!(names.len(), FORMATS.len());
    let mut seen = BTreeSet::new();
    for (file, ..) in SAMPLES {
        let text = fs::read_to_string(std::path::Path::new("fixtures/foreign").join(file)).unwrap();
        let found = detect(&text).or_else(|| in_log(&text, &values(&text).collect::<Vec<_>>()));
        let found = found.unwrap_or_else(|| panic!("{file} is not recognised"));
        assert!(!found.sign().is_empty() && !found.way_out().is_empty(), "{file}");
        seen.insert(found.name().to_owned());
    }
    assert_eq!(seen.iter().map(String::as_str).collect::<BTreeSet<_>>(), names);
}

#[test]
fn what_is_certain_counts_more_than_what_is_possible_and_comes_earlier() {
    let text =
        r#"[{"role":"user","text":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f"}]}]"#;
    let found = detect(text).unwrap();
    assert_eq!((found.likelihood(), found.sign()), (Likelihood::Certain, "a part of the type `tool_use`"));
    let error = Transcript::from_json(text).unwrap_err();
    assert!(is_right(&error, "Anthropic", Some(1)), "{error}");
    let named = r#"[{"role":"human","content":"x"},{"role":"ai","content":"y"}]"#;
    assert_eq!(detect(named).unwrap().likelihood(), Likelihood::Likely);
    assert_eq!(detect(r#"[{"role":"user","content":"x"}]"#), None);
    assert_eq!(detect("not JSON"), None);
}

/// Bodies that a chat-completions server takes, or that are merely odd.
const LEGAL: &[&str] = &[
    r#"{"messages":[{"role":"user","content":[{"type":"video_url","video_url":{"url":"u"}},{"type":"hologram","depth":3}]}]}"#,
    r#"{"messages":[{"role":"user","content":"I write {\"type\":\"tool_use\",\"input\":{}} and \"mapping\", \"parts\"."}]}"#,
    r#"{"messages":[{"role":"critic","content":"no"},{"role":"user","content":"x"},{"role":"ipython","content":"1"}]}"#,
    r#"{"model":"house","system":"Be brief.","messages":[{"role":"user","content":"x"}],"max_tokens":9}"#,
    r#"{"system":"Be brief.","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"x"}]}"#,
    r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"h"}]},{"type":"text","text":"y"}]}]}"#,
    r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"","reasoning_content":"h"}]}"#,
    r#"{"messages":[{"role":"assistant","content":"y","reasoning":"h","reasoning_details":[{"type":"reasoning.text","text":"h","signature":"s"}],"executed_tools":[]}]}"#,
    r#"{"messages":[{"role":"assistant","content":"y","thinking_blocks":[{"type":"thinking","thinking":"h","signature":"s"}]}]}"#,
    r#"[{"id":"a","role":"user","name":"Ann","content":"x","createdAt":"2025-01-01T00:00:00Z"}]"#,
    r#"{"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}],"thinking":{"type":"enabled"}}"#,
    r#"{"messages":[{"role":"user","content":"x","kind":"note"},{"role":"assistant","content":"","images":[{"type":"image_url","image_url":{"url":"u"}}],"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}]}"#,
    r#"{"messages":[{"role":"user"},{"role":"assistant","content":null}]}"#,
    r#"{"messages":[{"role":"user","content":"x"},{"role":"human","content":"a person in the loop"},{"role":"assistant","content":"y"}]}"#,
    r#"{"messages":[],"mapping":{},"conversations":[],"chat_messages":[],"contents":[]}"#,
    r#"{"title":"t","history":{"messages":{},"currentId":"a"},"messages":[{"id":"a","role":"user","content":"x","childrenIds":[]}]}"#,
    r#"{"messages":[{"role":"user","content":"x","parts":3},{"role":"assistant","content":"y","type":"message","object":"m"}]}"#,
    r#"{"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"input_schema":{"type":"object"}}}}}],"messages":[{"role":"user","content":"x"}]}"#,
    r#"{"messages":[{"role":"user","content":"x"}],"request":{"messages":[]},"input":[{"role":"user","content":"x"}],"body":{}}"#,
    r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c"}]}"#,
];

#[test]
fn a_chat_completions_body_is_never_taken_for_another() {
    for text in LEGAL {
        let file = Transcript::from_json(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let again = Transcript::from_json(&file.to_json()).unwrap_or_else(|error| panic!("saved {text}: {error}"));
        assert_eq!(again.conversation.path().len(), file.conversation.path().len());
    }
}

#[test]
fn a_native_file_loads_whatever_its_messages_are() {
    let mut file = Transcript::default();
    let part = r#"{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]}"#;
    file.conversation.push(crate::Message::from_json(part).unwrap());
    assert_eq!(Transcript::from_json(&file.to_json()).unwrap().conversation.path().len(), 1);
}

#[test]
fn the_first_message_that_shows_it_is_named_with_its_place() {
    let plain = "{\"role\":\"user\",\"content\":\"x\"},\n".repeat(3_000);
    let text =
        format!("[{plain}{{\"role\":\"user\",\"content\":[{{\"type\":\"tool_result\",\"tool_use_id\":\"t\"}}]}}]");
    let error = Transcript::from_json(&text).unwrap_err();
    assert!(is_right(&error, "Anthropic", Some(3_000)), "{error}");
    let place = error.position().unwrap();
    assert_eq!((place.line, place.column), (3_001, 1));
}

#[test]
fn a_foreign_line_among_others_is_one_error_and_reading_goes_on() {
    let line = "[{\"role\":\"user\",\"content\":\"x\"}]\n";
    let foreign = "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}\n";
    let text = format!("{line}{foreign}{line}");
    let read: Vec<bool> = Transcripts::new(text.as_bytes()).map(|read| read.is_ok()).collect();
    assert_eq!(read, [true, false, true]);
    let read: Vec<bool> = Transcripts::new(format!("{foreign}{line}").as_bytes()).map(|read| read.is_ok()).collect();
    assert_eq!(read, [false]);
}

#[test]
fn a_text_that_begins_no_json_is_called_that() {
    for text in
        ["messages:\n  - role: user\n", "- role: user\n", "role,content\nuser,Hi\n", "\"role\",\"content\"\n", "Hi"]
    {
        for error in
            [Transcript::from_json(text).unwrap_err(), Transcripts::new(text.as_bytes()).next().unwrap().unwrap_err()]
        {
            let said = error.to_string();
            assert!(said.contains("not JSON: it begins with") && said.contains("an array of messages"), "{said}");
            assert_eq!(error.kind(), ErrorKind::Damaged);
        }
    }
    let page = Transcript::from_json("<html>").unwrap_err().to_string();
    assert!(page.contains("`conversations.json` beside it"), "{page}");
}
