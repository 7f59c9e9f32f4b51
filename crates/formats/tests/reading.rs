//! What is read from the samples: messages, pairs of calls and results, branches, and the report.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use common::{fixtures, read, samples};
use serde_json::Value;
use turnwise::{Conversation, Role};
use turnwise_formats::{Fate, Imports};

fn sample(name: &str) -> String {
    std::fs::read_to_string(fixtures().join("formats").join(name)).unwrap()
}

/// A conversation in short: a line for each message.
fn short(conversation: &Conversation) -> Vec<String> {
    let line = |message: &turnwise::Message| {
        let calls: Vec<String> =
            message.tool_calls().iter().map(|call| format!(" {}({})", call.name(), call.arguments())).collect();
        format!("{}: {}{}", message.role(), message.text(), calls.concat())
    };
    conversation.messages().map(line).collect()
}

#[test]
fn a_log_of_anthropic_that_begins_with_plain_text_is_read_as_one() {
    let plain = r#"{"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}"#;
    let thinking = r#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "thinking",
        "thinking": "a greeting", "signature": "x"}, {"type": "text", "text": "Hello!"}]}]}"#;
    let thinking = thinking.replace('\n', "");
    let log = format!("{plain}\n{thinking}\n");
    let mut imports = Imports::new(log.as_bytes(), None).unwrap();
    assert_eq!((imports.format().name(), imports.by_ref().filter_map(Result::ok).count()), ("anthropic", 2));
    assert_eq!(Imports::new(format!("{plain}\n{plain}\n").as_bytes(), None).unwrap().format().name(), "messages");
}

#[test]
fn what_a_format_says_beside_its_parts_is_kept() {
    let kept = |text: &str, key: &str| {
        let import = Imports::new(text.as_bytes(), None).unwrap().next().unwrap().unwrap();
        let all: Vec<_> = import.transcript.conversation.messages().cloned().collect();
        all.iter().any(|message| message.get("turnwise_origin").is_some_and(|origin| origin.as_str().contains(key)))
    };
    let vercel = r#"[{"id": "1", "role": "assistant", "parts": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}], "content": "C"}]"#;
    assert!(kept(vercel, r#""content":"C""#));
    assert!(!kept(&vercel.replace("\"C\"", "\"AB\""), "content"));
    let langchain = r#"[{"type": "ai", "data": {"content": "", "type": "ai", "invalid_tool_calls": [{"name": "look",
        "args": "{bad", "id": "1", "error": "no json"}]}}]"#;
    assert!(kept(langchain, "no json"));
    let claude = r#"[{"uuid": "a", "chat_messages": [{"sender": "human", "content": [{"type": "text", "text": "Hi",
        "start_timestamp": "2024-03-13T14:48:44Z"}]}]}]"#;
    assert!(kept(claude, "2024-03-13T14:48:44Z"));
}

#[test]
fn an_array_of_conversations_with_messages_is_read_one_by_one() {
    let text = r#"[{"messages": [{"role": "user", "content": "one"}], "tools": ""},
        {"messages": [{"role": "user"}], "id": 5}, {"messages": [{"role": 3}]},
        {"messages": [{"role": "user", "content": "cut \ud83d"}]}]"#;
    let read: Vec<_> = Imports::new(text.as_bytes(), None).unwrap().collect();
    assert_eq!(read.len(), 4);
    let texts =
        |at: usize| read[at].as_ref().unwrap().transcript.conversation.messages().next().unwrap().text().into_owned();
    assert_eq!((texts(0), texts(3)), ("one".to_owned(), "cut \u{fffd}".to_owned()));
    assert!(read[2].as_ref().unwrap_err().to_string().contains("in the conversation at byte"));
    assert!(!read[3].as_ref().unwrap().report.is_empty());
}

#[test]
fn a_node_of_chatgpt_with_a_wrong_type_is_reported_and_the_others_are_read() {
    let text = r#"{"mapping": {"a": {"children": ["b", 7], "parent": 5, "message": {"author": {"role": "user"},
        "content": {"content_type": "text", "parts": ["one"]}}}, "c": 3, "d": {"message": "lost"}, "e": {"message": null},
        "b": {"parent": "a", "children": "none", "message": {"author": {"role": "assistant"}, "content": "odd"}},
        "f": {"parent": "b", "message": {"author": {"role": "user"}, "content": 5}}},
        "current_node": "b"}"#;
    let import = Imports::new(text.as_bytes(), None).unwrap().next().unwrap().unwrap();
    let texts: Vec<_> = import.transcript.conversation.messages().map(|message| message.text().into_owned()).collect();
    assert_eq!(texts, ["one", "odd"]);
    let dropped = "not carried over: 2 of the kind `message that is not an object`, the first in `mapping`";
    assert!(import.report.to_string().starts_with(dropped), "{}", import.report);
}

#[test]
fn thoughts_of_chatgpt_in_parts_are_reasoning_too() {
    let text = r#"{"mapping": {"a": {"children": ["b"], "message": {"author": {"role": "assistant"}, "content":
        {"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "c"}], "parts": ["p"]}}},
        "b": {"parent": "a", "children": [], "message": {"author": {"role": "assistant"}, "recipient": "all",
        "content": {"content_type": "text", "parts": ["said"]}}}}, "current_node": "b"}"#;
    let import = Imports::new(text.as_bytes(), None).unwrap().next().unwrap().unwrap();
    let last = import.transcript.conversation.messages().last().unwrap().clone();
    assert_eq!(last.get("reasoning_content").unwrap().as_str(), r#""s\nc\np""#);
}

#[test]
fn files_are_recognised_without_the_part_that_most_of_them_have() {
    let name = |text: &str| Imports::new(text.as_bytes(), None).unwrap().format().name();
    let chat = r#"{"id": "", "history": {"messages": {"1": {"id": "1", "parentId": null, "childrenIds": [], "role": "user",
        "content": "Hi"}}, "currentId": "1"}, "messages": [{"role": "user", "content": "Hi"}]}"#;
    assert_eq!(name(chat), "open-webui");
    let demonstration =
        r#"{"history": [{"role": "user", "content": "Hi", "agent": "main", "message_type": "observation"}]}"#;
    assert_eq!(name(demonstration), "swe-agent");
    assert_eq!(name("notes\n\n# aider chat started at 2024-08-05 19:33:02\n\n#### Hi\n\nHello!\n"), "aider");
}

#[test]
fn a_text_outside_its_place_is_refused_by_name() {
    let refused = |text: &str| Imports::new(text.as_bytes(), None).unwrap().next().unwrap().unwrap_err().to_string();
    let parts = refused(r#"{"messages": [{"role": "user", "content": [{"type": "text", "value": "hi"}]}]}"#);
    assert!(parts.contains("a part with `value` in the place of `text`"), "{parts}");
    let roles = refused(r#"[{"role": "User", "message": "hi"}, {"role": "Claude", "message": "hello"}]"#);
    assert!(roles.contains("`message` in the place of `content`"), "{roles}");
}

#[test]
fn a_tree_of_chatgpt_is_read_with_every_branch_and_pairs_its_tools() {
    let imports = read(&sample("chatgpt.json"));
    let conversation = &imports[0].transcript.conversation;
    assert_eq!(
        short(conversation),
        [
            "user: Name a river of Germany.",
            "assistant: The Elbe.",
            "user: How long is the one in the picture, in km?",
            r#"assistant:  python({"input":"print(1094)"})"#,
            "tool: 1094\n\nElbe, 1094 km",
            "assistant: 1,094 km.",
            "user: And the Rhine?",
            "assistant: 1,233 km.",
        ]
    );
    assert_eq!(conversation.branches().count(), 2);
    let items: Vec<String> = conversation.items().map(|item| item.message().text().into_owned()).collect();
    assert!(items.contains(&"The Oder.".to_owned()));
    let path = conversation.path();
    let [call, result] = [3, 4].map(|at| path.item(at).unwrap().message());
    assert_eq!(call.tool_calls()[0].id(), result.tool_call_id());
    assert_eq!(call.get("reasoning_content").unwrap().as_str(), "\"Looking it up\\nThe length is a known number.\"");
    assert_eq!(path.item(0).unwrap().created_at().as_millis(), 1_717_200_000_500);
    assert_eq!((conversation.metadata().get("title"), imports[0].id.as_deref()), (Some("Rivers"), Some("c1")));
    assert_eq!(imports[0].transcript.model.as_deref(), Some("gpt-4o"));
    assert_eq!((imports.len(), imports[1].transcript.model.as_deref()), (2, None));
    let report = imports[0].report.to_string();
    let expected = [
        "not carried over: hidden message in message 0",
        "kept, not sent: `image_asset_pointer` in message 2",
        "kept, not sent: thoughts in message 3",
        "changed: further result of one call (it is joined to the first) in message 5",
        "kept, not sent: `real_time_user_audio_video_asset_pointer` in message 6",
    ];
    assert_eq!(report.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_blocks_of_anthropic_become_calls_results_and_texts() {
    let import = &read(&sample("anthropic.json"))[0];
    assert_eq!(
        short(&import.transcript.conversation),
        [
            "system: You sell bicycles.Be brief.",
            "user: Have you a red one like this?",
            r#"assistant: I look. stock({"size":"M","price":1.5}) stock({"size":"L"})"#,
            "tool: two",
            "tool: store closed",
            "user: And tomorrow?",
            "assistant: Two in M; I cannot see L.",
            "user: Thank you.",
            "user: One more: a blue one?",
        ]
    );
    let path = import.transcript.conversation.path();
    let picture = path.item(0).unwrap().message().content().unwrap().parts()[1].image_url().unwrap().url.into_owned();
    assert!(picture.starts_with("data:image/png;base64,iVBOR"), "{picture}");
    assert_eq!(import.transcript.tools[0].name().as_deref(), Some("stock"));
    assert!(import.report.is_faithful() && !import.report.is_empty());
}

#[test]
fn the_export_of_claude_has_results_inside_the_answer_and_ends_at_its_leaf() {
    let imports = read(&sample("claude.json"));
    let expected = [
        "user: What does it add up to?bill.txt:\n3 + 4 + 5",
        r#"assistant: Let me add. repl({"code":"3+4+5"})"#,
        "tool: 12",
        "assistant: Twelve.",
        "user: Thanks!",
        "assistant: You are welcome.",
    ];
    assert_eq!(short(&imports[0].transcript.conversation), expected);
    assert_eq!(imports[0].transcript.conversation.branches().count(), 2);
    assert_eq!(
        short(&imports[1].transcript.conversation),
        ["user: An old one.", "assistant: Without blocks or parents."]
    );
}

#[test]
fn the_blocks_of_an_answer_of_claude_code_are_one_message_and_parallel_results_follow_it() {
    let import = &read(&sample("claude_code.jsonl"))[0];
    let expected = [
        "user: Why is the lamp dark?",
        r#"assistant:  Read({"file_path":"lamp.py"}) Read({"file_path":"fuse.py"})"#,
        "tool: print('dark')",
        "tool: blown = True",
        "assistant: The fuse is blown.",
    ];
    assert_eq!(short(&import.transcript.conversation), expected);
    // The side chain is a branch.
    assert_eq!(import.transcript.conversation.branches().count(), 2);
    assert_eq!(import.transcript.conversation.metadata().get("title"), Some("Mending the lamp"));
}

#[test]
fn items_of_the_responses_api_fold_into_messages_in_either_order() {
    let import = &read(&sample("responses_request.json"))[0];
    let expected = [
        "system: Be brief.",
        "user: How is the weather?",
        r#"assistant: I look. weather({"city":"Oslo"}) weather({"city":"Rome"})"#,
        "tool: rain",
        "tool: sun",
        "assistant: Rain and sun.",
        "user: And this?",
        "assistant:  shell(ls -l)",
        "tool: total 0",
    ];
    assert_eq!(short(&import.transcript.conversation), expected);
    let newest_first = &read(&sample("responses_list.json"))[0];
    let expected =
        ["user: How is the weather?", r#"assistant:  weather({"city":"Oslo"})"#, "tool: rain", "assistant: Rain."];
    assert_eq!(short(&newest_first.transcript.conversation), expected);
}

#[test]
fn a_session_of_codex_continues_after_a_compaction_and_keeps_what_was_before() {
    let import = &read(&sample("codex.jsonl"))[0];
    let expected = ["user: The user asked for the files; there is lamp.py.", "user: Delete it.", "assistant: Done."];
    assert_eq!(short(&import.transcript.conversation), expected);
    let items = import.transcript.conversation.items().count();
    assert_eq!((items, import.transcript.conversation.branches().count()), (8, 2));
    assert_eq!(import.transcript.model.as_deref(), Some("gpt-5-codex"));
    let cut = import.report.entries().iter().find(|entry| entry.kind.contains("not JSON")).unwrap();
    assert_eq!((cut.fate, cut.count), (Fate::Dropped, 1));
}

#[test]
fn a_line_that_is_not_json_is_passed_over_and_counted() {
    let whole = sample("claude_code.jsonl");
    let broken = whole.replacen('\n', "\nnot JSON {\n{\"half\": \n", 3);
    let import = &read(&broken)[0];
    assert_eq!(short(&import.transcript.conversation), short(&read(&whole)[0].transcript.conversation));
    let passed = import.report.entries().iter().find(|entry| entry.kind == "line that is not JSON").unwrap();
    assert_eq!((passed.fate, passed.count), (Fate::Dropped, 6));
}

#[test]
fn calls_of_gemini_pair_by_name_and_order() {
    let import = &read(&sample("gemini.json"))[0];
    let path = import.transcript.conversation.path();
    let ids: Vec<_> = path.item(1).unwrap().message().tool_calls().iter().map(|call| call.id().unwrap()).collect();
    let answered: Vec<_> = [2, 3].map(|at| path.item(at).unwrap().message().tool_call_id().unwrap()).into();
    assert_eq!(ids, answered);
    assert_eq!(path.item(3).unwrap().message().text(), r#"{"result":"sun"}"#);
}

#[test]
fn steps_of_the_vercel_sdk_are_messages_and_their_calls_stay_together() {
    let import = &read(&sample("vercel_5.json"))[0];
    let expected = [
        "user: Weather in Oslo and Rome?",
        r#"assistant: I look. weather({"city":"Oslo"}) weather({"city":"Rome"})"#,
        r#"tool: {"sky":"rain"}"#,
        "tool: no such city",
        "assistant: Rain in Oslo; Rome failed.",
        "user: Try Milan.",
        r#"assistant:  weather({"city":"Milan"})"#,
    ];
    assert_eq!(short(&import.transcript.conversation), expected);
    let older = &read(&sample("vercel_4.json"))[0];
    let expected = ["user: Weather?", r#"assistant:  weather({"city":"Oslo"})"#, "tool: rain", "assistant: Rain."];
    assert_eq!(short(&older.transcript.conversation), expected);
}

#[test]
fn turns_of_llm_are_grouped_and_sorted() {
    let imports = read(&sample("llm.json"));
    let expected = [
        "system: Be brief.",
        "user: I am in Oslo.\nWhat time is it?",
        "assistant:  clock({})",
        "tool: 12:00",
        "assistant: It is noon.",
    ];
    assert_eq!(short(&imports[0].transcript.conversation), expected);
    assert_eq!((imports.len(), imports[1].id.as_deref()), (2, Some("c2")));
}

#[test]
fn trees_by_parent_are_read_and_end_where_their_program_was() {
    for file in ["open_webui.json", "librechat.json"] {
        let import = &read(&sample(file))[0];
        let said = short(&import.transcript.conversation);
        assert_eq!(said[..3], ["system: Be brief.", "user: Name a river.", "assistant: The Elbe."], "{file}");
        assert_eq!(import.transcript.conversation.branches().count(), 2, "{file}");
    }
    let tools = short(&read(&sample("librechat.json"))[0].transcript.conversation);
    assert_eq!(tools[4..], [r#"assistant: I look. wiki({"q":"Elbe"})"#, "tool: 1094 km", "assistant: 1,094 km."]);
    let inside = &read(&sample("librechat_recursive.json"))[0];
    assert_eq!(short(&inside.transcript.conversation), ["user: Name a lake.", "assistant: Chiemsee."]);
}

#[test]
fn the_path_of_an_oasst_tree_has_the_lowest_ranks() {
    let tree = concat!(
        r#"{"message_tree_id":"t","tree_state":"ready","prompt":{"message_id":"t","text":"Hi","role":"prompter","replies":["#,
        r#"{"message_id":"a","text":"second","role":"assistant","rank":1,"replies":[]},"#,
        r#"{"message_id":"b","text":"deleted","role":"assistant","rank":-1,"deleted":true,"replies":[]},"#,
        r#"{"message_id":"c","text":"first","role":"assistant","rank":0,"replies":[]}]}}"#,
    );
    let flat = concat!(
        r#"{"message_id":"a","parent_id":"t","text":"second","role":"assistant","rank":1}"#,
        "\n",
        r#"{"message_id":"t","parent_id":null,"text":"Hi","role":"prompter"}"#,
        "\n",
        r#"{"message_id":"c","parent_id":"t","text":"first","role":"assistant","rank":0}"#,
    );
    for text in [tree, flat] {
        assert_eq!(short(&read(text)[0].transcript.conversation), ["user: Hi", "assistant: first"]);
    }
    assert_eq!(read(tree)[0].transcript.conversation.branches().count(), 3);
}

#[test]
fn aider_says_who_wrote_what_also_inside_code() {
    let import = &read(&sample("aider.md"))[0];
    let said = short(&import.transcript.conversation);
    assert_eq!((&*said[0], &*said[2]), ("user: Make the lamp shine\nplease", "user: Thanks"));
    assert!(said[1].contains("# comment, and not a heading\n> not a quote\n#### nor a question"), "{}", said[1]);
    assert_eq!(read(&sample("aider.md")).len(), 1);
}

#[test]
fn recorded_requests_have_their_answers_and_other_choices_are_branches() {
    let log = &read(&sample("log.jsonl"))[0];
    assert_eq!(short(&log.transcript.conversation), ["user: Name a river.", "assistant: The Elbe."]);
    assert_eq!((log.transcript.conversation.branches().count(), log.transcript.tools.len()), (2, 1));
    let batch = read(&sample("batch.jsonl"));
    assert_eq!(short(&batch[1].transcript.conversation), ["system: Be brief.", "user: Name a lake."]);
    assert_eq!(batch[0].id.as_deref(), Some("r1"));
    for import in read(&sample("preferences.jsonl")) {
        let conversation = import.transcript.conversation;
        assert_eq!((conversation.path().len(), conversation.branches().count()), (2, 2));
    }
}

#[test]
fn a_swipe_of_sillytavern_is_a_branch() {
    let import = &read(&sample("sillytavern.jsonl"))[0];
    let said = short(&import.transcript.conversation);
    assert_eq!(said, ["assistant: Welcome to the glade.", "user: Where am I?", "assistant: In Eldoria."]);
    assert_eq!(import.transcript.conversation.branches().count(), 2);
}

/// All texts in a value that a reader could miss.
fn texts(value: &Value, out: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(out.insert(text.clone())),
        Value::Array(list) => list.iter().for_each(|value| texts(value, out)),
        Value::Object(members) => members.values().for_each(|value| texts(value, out)),
        _ => {}
    }
}

/// Texts that only name kinds and roles of the format, which messages say in another way.
const WORDS: &[&str] = &[
    "text",
    "image",
    "base64",
    "tool_use",
    "tool_result",
    "user",
    "assistant",
    "model",
    "human",
    "ai",
    "system",
    "message",
    "input_text",
    "output_text",
    "input_image",
    "input_file",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "list",
    "code",
    "execution_output",
    "multimodal_text",
    "audio_transcription",
    "all",
    "root",
    "observation",
    "gpt",
    "chatgpt",
    "constructor",
    "HumanMessage",
    "AIMessage",
    "ToolMessage",
    "tool_call",
    "invalid_tool_call",
    "step-start",
    "reasoning",
    "done",
    "tool-weather",
    "dynamic-tool",
    "output-available",
    "result",
    "file",
    "think",
    "summary_text",
    "prompter",
    "langchain",
    "schema",
    "messages",
    "thoughts",
    "output-error",
    "input-available",
    "response_item",
    "reasoning_recap",
    "function",
    "tool",
    "tool-call",
    "tool-result",
    "tool-invocation",
];

/// The samples, with texts that are left out on purpose: what is hidden, repeated, or a place in a
/// tree or a list.
const LEFT_OUT: &[(&str, &[&str])] = &[
    ("chatgpt.json", &["I live in Dresden.", "Answer in one line.", "user_editable_context", "ctx", "sys"]),
    ("codex.jsonl", &["event_msg", "user_message", "compacted"]),
    ("claude.json", &["Let me add. Twelve."]),
];

#[test]
fn every_text_of_a_sample_is_in_the_record_or_in_the_report() {
    let mut missing = Vec::new();
    for file in samples("formats").into_iter().chain(samples("foreign")) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let mut wanted = BTreeSet::new();
        serde_json::Deserializer::from_str(&text)
            .into_iter::<Value>()
            .map_while(Result::ok)
            .for_each(|value| texts(&value, &mut wanted));
        let Ok(imports) = Imports::new(text.as_bytes(), None) else { continue };
        let mut record = String::new();
        for import in imports {
            // A format that is only recognised.
            let Ok(import) = import else { continue };
            let mut own = BTreeSet::new();
            texts(&serde_json::from_str(&import.transcript.to_json()).unwrap(), &mut own);
            record.extend(own.into_iter().map(|text| text + "\n"));
        }
        if record.is_empty() {
            continue;
        }
        let allowed = LEFT_OUT.iter().find(|(file, _)| *file == name).map_or(&[][..], |(_, allowed)| allowed);
        for text in wanted {
            let inside = serde_json::to_string(&text).unwrap();
            let inside = inside.trim_matches('"');
            let is_there = record.contains(&*text) || record.contains(inside) || time_is_kept(&text);
            if text.len() > 2 && !is_there && !WORDS.contains(&&*text) && !allowed.contains(&&*text) {
                missing.push(format!("{name}: {text}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Times are in the record as numbers.
fn time_is_kept(text: &str) -> bool {
    text.len() >= 19 && text.as_bytes()[4] == b'-' && text.as_bytes()[13] == b':'
}

#[test]
fn marks_encodings_line_ends_and_half_characters_do_not_matter() {
    for name in ["chatgpt.json", "anthropic.json", "claude_code.jsonl", "codex.jsonl", "sharegpt.json", "aider.md"] {
        let text = sample(name);
        let plain: Vec<_> = read(&text).iter().map(|import| short(&import.transcript.conversation)).collect();
        let utf_16 = |mark: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            format!("{mark}{text}").encode_utf16().flat_map(bytes).collect()
        };
        let forms = [
            format!("\u{feff}{text}").into_bytes(),
            text.replace('\n', "\r\n").into_bytes(),
            utf_16("\u{feff}", u16::to_le_bytes),
            utf_16("\u{feff}", u16::to_be_bytes),
        ];
        for bytes in forms {
            let all: Vec<_> = Imports::new(&*bytes, None)
                .unwrap()
                .map(|import| short(&import.unwrap().transcript.conversation))
                .collect();
            assert_eq!(all, plain, "{name}");
        }
    }
    let half = sample("claude.json").replace("Twelve.", "Twelve \\ud83d");
    let mut imports = Imports::new(half.as_bytes(), None).unwrap();
    let first = imports.next().unwrap().unwrap();
    assert!(short(&first.transcript.conversation)[3].ends_with("Twelve \u{fffd}"));
    let entry = first.report.entries().iter().find(|entry| entry.kind.contains("half character")).unwrap();
    assert_eq!((entry.fate, entry.count), (Fate::Changed, 2));
}

#[test]
fn a_file_that_is_cut_anywhere_is_an_error_or_a_part_and_never_a_panic() {
    for file in samples("formats") {
        let bytes = std::fs::read(&file).unwrap();
        for cut in (0..bytes.len()).step_by(1 + bytes.len() / 50) {
            if let Ok(imports) = Imports::new(&bytes[..cut], None) {
                assert!(imports.count() <= 8, "{}", file.display());
            }
        }
    }
}

#[test]
fn what_is_read_before_a_cut_stays() {
    let text = sample("chatgpt.json");
    let cut = &text[..text.find("Name a lake.").unwrap()];
    let read: Vec<_> = Imports::new(cut.as_bytes(), None).unwrap().collect();
    assert!(read[0].is_ok());
    let error = read[1].as_ref().unwrap_err().to_string();
    assert!(error.contains("cut off in the conversation that begins at byte"), "{error}");
}

#[test]
fn a_conversation_that_cannot_be_read_is_one_error_and_reading_goes_on() {
    let text = r#"[{"chat_messages":[{"sender":"human","text":"a"}]},{"uuid":"x"},5,{"chat_messages":[]}]"#;
    let read: Vec<bool> = Imports::new(text.as_bytes(), None).unwrap().map(|read| read.is_ok()).collect();
    assert_eq!(read, [true, false, false, true]);
}

#[test]
fn a_sign_deep_in_a_conversation_changes_who_reads_it() {
    let plain = r#"{"role":"user","content":"x"},"#.repeat(30_000);
    let text = format!(
        r#"[{plain}{{"role":"assistant","content":[{{"type":"tool_use","id":"t","name":"f","input":{{}}}}]}}]"#
    );
    let mut imports = Imports::new(text.as_bytes(), None).unwrap();
    let import = imports.next().unwrap().unwrap();
    assert_eq!((imports.format().name(), import.transcript.conversation.path().len()), ("anthropic", 30_001));
    let last = import.transcript.conversation.path().item(30_000).unwrap().message().clone();
    assert_eq!((last.role(), last.tool_calls().len()), (&Role::Assistant, 1));
}

#[test]
fn an_unknown_file_is_one_error_with_what_was_tried_and_a_guess() {
    let text = r#"[{"current_node": "a", "title": "t", "create_time": 1, "nodes": {}}]"#;
    let error = Imports::new(text.as_bytes(), None).unwrap_err();
    let said = error.to_string();
    assert_eq!(error.kind(), turnwise::ErrorKind::ForeignFormat);
    for part in [
        "an array of objects with `current_node`, `title`",
        "nearest is ChatGPT export, but there is no `mapping`",
        "--from chatgpt",
        "Claude export (objects with `chat_messages`)",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn a_format_can_be_forced() {
    let text = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}"#;
    let format = |name| turnwise_formats::format(name).ok();
    let name = |from| Imports::new(text.as_bytes(), from).unwrap().format().name();
    assert_eq!((name(None), name(format("anthropic"))), ("messages", "anthropic"));
    assert!(Imports::new(text.as_bytes(), format("html")).is_err());
    let error = turnwise_formats::format("gpt").unwrap_err().to_string();
    assert!(error.contains("there is no format `gpt`; the formats are native, messages"), "{error}");
}

#[test]
fn names_in_the_registry_are_unique_and_recognisers_exist() {
    let names: BTreeSet<&str> = turnwise_formats::FORMATS.iter().map(|format| format.name()).collect();
    assert_eq!(names.len(), turnwise_formats::FORMATS.len());
    let known: BTreeSet<&str> = turnwise::transcript::formats::FORMATS.iter().map(|format| format.id()).collect();
    assert_eq!(known.len(), turnwise::transcript::formats::FORMATS.len());
    for format in turnwise_formats::FORMATS {
        assert!(format.recognised_as().iter().all(|id| known.contains(id)), "{}", format.name());
        assert!(format.is_read() || format.writer().is_some());
    }
}

#[test]
fn a_file_of_our_own_is_left_to_the_library_whatever_is_in_its_messages() {
    let mut file = turnwise::Transcript::default();
    let part = r#"{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]}"#;
    file.conversation.push(turnwise::Message::from_json(part).unwrap());
    let text = file.to_json();
    let lines = format!("{0}\n{0}\n", text.replace('\n', ""));
    for (text, count) in [(&*text, 1), (&*lines, 2)] {
        let imports = Imports::new(text.as_bytes(), None).unwrap();
        assert_eq!(imports.format().name(), "native");
        assert_eq!(imports.map(|read| read.unwrap().transcript.conversation.path().len()).sum::<usize>(), count);
    }
}

/// The next of a row of numbers that look random.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

#[test]
fn a_sample_in_which_anything_was_exchanged_is_never_a_panic() {
    const VALUES: &[&str] =
        &["null", "5", "\"x\"", "[]", "{}", "[null]", "{\"type\":\"text\"}", "true", "1e999", "\"\\ud83d\""];
    let mut state = 7;
    for file in samples("formats") {
        let text = std::fs::read_to_string(&file).unwrap();
        let starts: Vec<usize> = text.match_indices(": ").map(|(at, _)| at + 2).collect();
        for _ in 0..20 {
            let Some(at) = (!starts.is_empty()).then(|| starts[random(&mut state) % starts.len()]) else { break };
            let mut value = serde_json::Deserializer::from_str(&text[at..]).into_iter::<serde::de::IgnoredAny>();
            if value.next().is_none_or(|read| read.is_err()) {
                continue;
            }
            let end = at + value.byte_offset();
            let changed = format!("{}{}{}", &text[..at], VALUES[random(&mut state) % VALUES.len()], &text[end..]);
            for format in [None, turnwise_formats::recognise(&text).map(|(format, _)| format)] {
                let Ok(imports) = Imports::new(changed.as_bytes(), format) else { continue };
                for import in imports.flatten() {
                    assert!(turnwise::Transcript::from_json(&import.transcript.to_json()).is_ok(), "{changed}");
                    common::written([import.transcript], "anthropic");
                }
            }
        }
    }
}
