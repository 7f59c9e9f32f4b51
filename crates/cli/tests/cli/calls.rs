//! Saved conversations whose calls are not as the API has them.

use serde_json::{Value, json};

use crate::harness::{Files, turnwise};

const SAVED: &str = include_str!("saved_with_a_cut_call.json");

/// DeepSeek-Reasonix#9566: a saved call whose arguments are cut was sent as it is, without a word.
#[test]
fn a_saved_call_whose_arguments_are_cut_is_said_and_sent_as_a_json_object() {
    let files = Files::new().with("saved.json", SAVED);
    let ran = turnwise("trim saved.json --model gpt-4o").inside(files.path()).run();
    assert_eq!(ran.code, Some(0));
    let says = "message 1: the arguments of the call of `write` are not JSON";
    assert!(ran.err.contains(says) && ran.err.lines().count() == 1, "{}", ran.err);
    let sent: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    let call = &sent[1]["tool_calls"][0];
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({ "invalid_arguments": r#"{"path":"a.txt","text":"once up"# }));
    assert_eq!((&call["id"], &sent[2]["tool_call_id"], sent.len()), (&json!("a"), &json!("a"), 5));

    let explained = turnwise("plan saved.json --model gpt-4o").inside(files.path()).out();
    assert!(explained.contains(&format!("! {says}")), "{explained}");
    let plan = &turnwise("plan saved.json --model gpt-4o --json").inside(files.path()).json()[0];
    assert_eq!(plan["warnings"][0]["message"], 1);
    // What is printed is what was counted.
    let trimmed = Files::new().with("sent.json", &ran.out);
    let again = turnwise("plan sent.json --model gpt-4o --json").inside(trimmed.path()).json();
    assert_eq!((&again[0]["tokens"], &again[0]["warnings"]), (&plan["tokens"], &Value::Null));
}

#[test]
fn saved_calls_without_name_or_id_are_said_and_sent_with_them_in_their_order() {
    let call = |name: Value| json!({ "function": { "name": name, "arguments": "" } });
    let messages = json!([
        { "role": "user", "content": "a" },
        { "role": "assistant", "content": null, "tool_calls": [call(json!("f")), call(json!(""))] },
        { "role": "tool", "tool_call_id": "", "content": "1" },
        { "role": "tool", "content": "2" },
        { "role": "assistant", "content": "done" },
    ]);
    let files = Files::new().with("saved.json", messages.to_string());
    let ran = turnwise("trim saved.json --model gpt-4o").inside(files.path()).run();
    assert_eq!(
        (ran.code, ran.err.matches("has no id").count(), ran.err.matches("has no name").count()),
        (Some(0), 2, 1)
    );
    let sent: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    let calls = sent[1]["tool_calls"].as_array().unwrap();
    assert_eq!([&calls[0]["function"]["name"], &calls[1]["function"]["name"]], ["f", "unnamed"]);
    assert!(calls.iter().all(|call| call["function"]["arguments"] == "{}" && call["type"] == "function"));
    assert!(calls[0]["id"] != calls[1]["id"] && calls[0]["id"].as_str().unwrap().len() == 9);
    for (at, result) in sent[2..4].iter().enumerate() {
        assert_eq!((&result["tool_call_id"], &result["content"]), (&calls[at]["id"], &json!((at + 1).to_string())));
    }
    let again = turnwise("trim saved.json --model gpt-4o").inside(files.path()).run();
    assert_eq!(again.out, ran.out, "the same ids every time");
}
