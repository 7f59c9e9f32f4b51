//! `turnwise convert` and `turnwise formats`.

use std::fs;

use super::harness::{Files, fixtures, turnwise};

fn copied(names: &[&str]) -> Files {
    let read = |name: &str| fs::read(fixtures().join("formats").join(name)).unwrap();
    names.iter().fold(Files::new(), |files, name| files.with(name, read(name)))
}

#[test]
fn an_export_becomes_lines_that_load_and_the_losses_are_said() {
    let files = copied(&["chatgpt.json"]);
    let ran = turnwise("convert chatgpt.json chats.jsonl").inside(files.path()).run();
    assert_eq!((ran.code, &*ran.out), (Some(0), ""), "{}", ran.err);
    for said in [
        "turnwise: chatgpt.json: ChatGPT export, 2 conversations\n",
        "turnwise: chatgpt.json: kept, not sent: thoughts in conversation 1, message 3\n",
        "turnwise: chats.jsonl: turnwise transcript, 2 conversations\n",
    ] {
        assert!(ran.err.contains(said), "{said} in {}", ran.err);
    }
    let text = fs::read_to_string(files.path().join("chats.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 2);
    let shown = turnwise("show chats.jsonl --only c1").inside(files.path()).out();
    assert!(shown.starts_with("c1\n") && shown.contains("The Oder."), "{shown}");
    let left: Vec<_> = fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn one_conversation_is_a_document_and_the_ending_chooses_the_format() {
    let files = copied(&["anthropic.json"]);
    let run = |line: &str| turnwise(line).inside(files.path()).run();
    assert_eq!(run("convert anthropic.json talk.json").code, Some(0));
    assert!(fs::read_to_string(files.path().join("talk.json")).unwrap().starts_with("{\n\"turnwise\":1,\n"));
    assert_eq!(run("convert talk.json talk.html").code, Some(0));
    assert!(fs::read_to_string(files.path().join("talk.html")).unwrap().starts_with("<!DOCTYPE html>"));
    assert_eq!(run("convert talk.json talk.md").code, Some(0));
    assert!(fs::read_to_string(files.path().join("talk.md")).unwrap().contains("Call of `stock`:"));
    let back: serde_json::Value = serde_json::from_str(&run("convert talk.json - --to anthropic").out).unwrap();
    let original = fs::read_to_string(files.path().join("anthropic.json")).unwrap();
    assert_eq!(back, serde_json::from_str::<serde_json::Value>(&original).unwrap());
}

#[test]
fn a_file_is_not_replaced_unless_asked_and_the_source_never() {
    let files = copied(&["claude.json"]).with("there.jsonl", "mine");
    let run = |line: &str| turnwise(line).inside(files.path());
    let error = run("convert claude.json there.jsonl").fails(2);
    assert!(error.contains("there.jsonl: it exists; --force replaces it"), "{error}");
    assert_eq!(fs::read_to_string(files.path().join("there.jsonl")).unwrap(), "mine");
    let before = fs::read(files.path().join("claude.json")).unwrap();
    let error = run("convert claude.json ./claude.json --force").fails(2);
    assert!(error.contains("it is the file that is read"), "{error}");
    assert_eq!(fs::read(files.path().join("claude.json")).unwrap(), before);
    assert_eq!(run("convert claude.json there.jsonl --force").run().code, Some(0));
    assert_ne!(fs::read_to_string(files.path().join("there.jsonl")).unwrap(), "mine");
}

#[test]
fn strict_writes_nothing_if_something_is_lost() {
    let files = copied(&["chatgpt.json", "gemini.json"]);
    let run = |line: &str| turnwise(line).inside(files.path());
    let error = run("convert chatgpt.json out.jsonl --strict").fails(1);
    assert!(
        error.contains("--strict: not everything can be carried over: 1 hidden message (not carried over)"),
        "{error}"
    );
    assert!(error.contains("nothing was written") && !files.path().join("out.jsonl").exists(), "{error}");
    assert_eq!(run("convert gemini.json kept.json --strict").run().code, Some(0));
    let error = run("convert kept.json out.json --to sharegpt --strict").fails(1);
    assert!(error.contains("detail of gemini"), "{error}");
    assert_eq!(fs::read_dir(files.path()).unwrap().count(), 3);
}

#[test]
fn a_conversation_that_cannot_be_read_is_said_and_the_others_are_written() {
    let text = r#"[{"chat_messages":[{"sender":"human","text":"a"}]},{"x":1},{"chat_messages":[{"sender":"human","text":"b"}]}]"#;
    let files = Files::new().with("in.json", text);
    let ran = turnwise("convert in.json out.jsonl").inside(files.path()).run();
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("there are no `chat_messages`, in the conversation at byte 51"), "{}", ran.err);
    assert_eq!(fs::read_to_string(files.path().join("out.jsonl")).unwrap().lines().count(), 2);
    let none = turnwise("convert in.json none.jsonl --only 9").inside(files.path()).run();
    assert!(none.err.contains("no conversation has the number, id or title `9`"), "{}", none.err);
    assert!(!files.path().join("none.jsonl").exists());
}

#[test]
fn the_formats_are_listed_and_only_those_that_are_written_can_be_asked_for() {
    let listed = turnwise("formats").out();
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("chatgpt").contains("ChatGPT export") && line("chatgpt").contains("yes"), "{listed}");
    let json = turnwise("formats --json").json();
    let html = json.iter().find(|row| row["format"] == "html").unwrap();
    assert_eq!((&html["reads"], &html["writes"]), (&false.into(), &true.into()));
    let error = turnwise("convert formats/claude.json - --to chatgpt").fails(2);
    assert!(error.contains("--to chatgpt: it is read and not written; written are native, messages"), "{error}");
}

#[test]
fn a_page_holds_nobodys_markup() {
    let hostile = serde_json::json!({"messages": [
        {"role": "user", "content": "<script>alert(1)</script> & \"quotes\""},
        {"role": "assistant", "name": "<b>", "content": [{"type": "image_url", "image_url": {"url": "javascript:alert(1)"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/\" onerror=\"alert(1)"}}],
         "tool_calls": [{"id": "c", "type": "function", "function": {"name": "</code><img src=x>", "arguments": "</pre><script>"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "</details><script>alert(2)</script>\u{1b}[31m"},
    ]});
    let page = turnwise("convert - - --to html").stdin(hostile.to_string()).out();
    let body = page.split_once("<main>").unwrap().1;
    for markup in ["<script", "<img", "javascript:", "\" onerror", "\u{1b}", "<b>"] {
        assert!(!body.contains(markup), "{markup} in {body}");
    }
    assert!(body.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quotes&quot;"), "{body}");
    assert!(page.contains("default-src 'none'"));
}
