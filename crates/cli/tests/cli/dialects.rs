//! How a server differs: what is planned, counted and printed for it.

use serde_json::json;

use crate::harness::{Files, turnwise};

fn talk() -> Files {
    let thoughts = "thinking ".repeat(200);
    let messages = json!([
        { "role": "system", "content": "Be brief." },
        { "role": "developer", "content": "Answer in French." },
        { "role": "user", "content": "Hi", "name": "ann" },
        { "role": "assistant", "content": "Salut", "reasoning_content": thoughts },
        { "role": "user", "content": "Bye" }
    ]);
    let saved = json!({ "model": "gpt-4o", "turnwise_dialect": "one-system,send-field=reasoning_content", "messages": messages });
    let plain = json!({ "model": "gpt-4o", "messages": messages });
    Files::new().with("plain.json", plain.to_string()).with("saved.json", saved.to_string())
}

#[test]
fn what_is_counted_planned_and_printed_follows_the_dialect() {
    let files = talk();
    let run = |line: &str| turnwise(line).inside(files.path());
    let options = "--one-system --send-field reasoning_content";
    let total = |line: &str| run(line).json()[0]["total"].as_u64().unwrap();
    let (plain, fitted) = (total("count plain.json --json"), total(&format!("count plain.json --json {options}")));
    assert!(fitted > plain + 100, "{fitted} {plain}");
    assert_eq!(total("count saved.json --json"), fitted, "the file says how it is sent");
    assert_eq!(total("count saved.json --json --dialect openai"), plain, "and the command line says more");

    let trimmed = &run("trim saved.json --budget 2000").json()[0];
    assert_eq!(trimmed[0]["content"], "Be brief.\n\nAnswer in French.");
    assert!(trimmed[2]["reasoning_content"].is_string(), "{trimmed}");
    let planned = run("plan saved.json --budget 2000 --json").json();
    assert!(planned[0]["tokens"].as_u64().unwrap() > 200, "{planned:?}");
    let named = &run("trim plain.json --budget 2000 --dialect mistral --system-as-user --merge-roles").json()[0];
    assert_eq!(named[0], json!({ "role": "user", "content": "Be brief.\n\nAnswer in French.\n\nHi" }));

    let tokens = |line: &str| run(line).json().last().unwrap().to_string();
    for command in ["replay plain.json --budget 2000", "compare plain.json --budget 2000 -s window --json"] {
        assert_ne!(tokens(command), tokens(&format!("{command} {options}")), "{command}");
    }
    assert_ne!(run("compare plain.json").out(), run(&format!("compare plain.json {options}")).out());
}

#[test]
fn servers_are_listed_with_where_they_are_known_from() {
    let listed = turnwise("dialects").out();
    for words in
        ["deepseek", "send-field=reasoning_content", "vllm", "one-system,merge-roles", "vllm-project/vllm#41114"]
    {
        assert!(listed.contains(words), "{listed}");
    }
    let rows = turnwise("dialects --json").json();
    assert_eq!((&rows[2]["dialect"], rows.len()), (&json!("deepseek"), 16));
}

#[test]
fn a_dialect_that_is_not_known_is_a_mistake_that_names_those_that_are() {
    let files = talk().with(
        "newer.json",
        r#"{"turnwise_dialect":"one-system,telepathy","messages":[{"role":"user","content":"a"}]}"#,
    );
    let error = turnwise("plan plain.json --budget 2000 --dialect olama").inside(files.path()).fails(2);
    assert!(error.contains("did you mean `ollama`?") && error.contains("options: one-system"), "{error}");
    let error = turnwise("plan newer.json --budget 2000").inside(files.path()).fails(2);
    assert!(error.contains("`telepathy`"), "{error}");
    turnwise("plan newer.json --budget 2000 --dialect openai").inside(files.path()).out();
    turnwise("show newer.json").inside(files.path()).out();
}

#[test]
fn the_way_out_of_an_unknown_window_is_one_of_the_command_line() {
    let files = talk();
    let error = turnwise("plan plain.json --model smollm2").inside(files.path()).fails(2);
    assert!(error.contains("--budget TOKENS") && error.contains("--models FILE"), "{error}");
    assert!(!error.contains("TokenBudget") && !error.contains("builder"), "{error}");
}
