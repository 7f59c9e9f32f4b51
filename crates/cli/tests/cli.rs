//! The command line from end to end: the built program, its output, its exit codes. Here is what it prints.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "cli/blobs.rs"]
mod blobs;
#[path = "cli/calls.rs"]
mod calls;
#[path = "cli/compare.rs"]
mod compare;
#[path = "cli/convert.rs"]
mod convert;
#[path = "cli/deceiving.rs"]
mod deceiving;
#[path = "cli/dialects.rs"]
mod dialects;
#[path = "cli/ends.rs"]
mod ends;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/forms.rs"]
mod forms;
#[path = "cli/harness.rs"]
mod harness;
#[path = "cli/promised.rs"]
mod promised;
#[path = "cli/questions.rs"]
mod questions;
#[path = "cli/replay.rs"]
mod replay;
#[path = "cli/rewrite.rs"]
mod rewrite;
#[path = "cli/serve.rs"]
mod serve;
#[cfg(feature = "serve")]
#[path = "cli/serving.rs"]
mod serving;
#[path = "cli/setup.rs"]
mod setup;
#[path = "cli/stores.rs"]
mod stores;
#[cfg(feature = "serve")]
#[path = "cli/transfer.rs"]
mod transfer;
#[path = "cli/unread.rs"]
mod unread;

use serde_json::json;

use harness::{FIXTURES, Files, talk, turnwise};

#[test]
fn help() {
    insta::assert_snapshot!("help", turnwise("--help").out());
    assert_eq!(turnwise("--version").out(), format!("turnwise {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn models() {
    insta::assert_snapshot!("models", turnwise("models gpt-4o-").out());
    insta::assert_snapshot!("model", turnwise("models azure/gpt-5-2025-08-07").out());
    let all = turnwise("models").out();
    assert!(all.lines().next().unwrap().starts_with("model") && all.lines().count() > 300, "{all}");
    let json = turnwise("models --json openai/gpt-4o-mini").json();
    assert_eq!((&json[0]["like"], &json[0]["price"]["cached"]), (&json!("gpt-4o-mini"), &json!("0.075")));
    assert_eq!(turnwise("models claude-sonnet-4- --json").json().len(), 2);
    let error = turnwise("models gtp-5").fails(2);
    assert!(error.contains("similar names: gpt-5") && error.contains("--models FILE"), "{error}");
}

#[test]
fn a_table_of_models_counts_for_all_commands() {
    let table = json!({ "models": [
        { "name": "prod", "like": "gpt-4o", "window": 1000 },
        { "name": "small", "window": 100 },
    ] });
    let chat = json!({ "model": "prod", "messages": talk(80) });
    let files = Files::new().with("models.json", table.to_string()).with("chat.json", chat.to_string());
    let files = files.with("wrong.json", "{\"models\": [\n{\"name\": \"x\", \"windw\": 1}]}");
    let with = |line: &str| turnwise(line).inside(files.path()).env("TURNWISE_MODELS", "models.json");
    assert!(with("plan chat.json").out().contains("window 1,000 - 250 for the reply = 750 tokens"));
    assert!(with("compare --model small chat.json").out().contains("window 100 - 25 for the reply = 75 tokens"));
    assert_eq!(with("count chat.json --json").json()[0]["estimated"], json!(false));
    assert_eq!(with("count chat.json --json --model small").json()[0]["estimated"], json!(true));
    assert_eq!(with("models --json prod").json()[0]["window"], json!(1_000));
    for command in ["trim chat.json", "replay chat.json"] {
        with(command).out();
        let error = turnwise(command).inside(files.path()).fails(2);
        assert!(error.contains("the window of `prod` is not known"), "{error}");
        turnwise(command).inside(files.path()).args("--models models.json").out();
        turnwise(command).inside(files.path()).args("--models models.json").env("TURNWISE_MODELS", "").out();
    }
    let error = with("--models wrong.json models").fails(1);
    assert!(error.contains("wrong.json: damaged file: the model `x`: unknown field `windw`"), "{error}");
    assert!(error.contains("line 2"), "{error}");
    assert!(with("--models missing.json show chat.json").fails(1).contains("missing.json"));
}

#[test]
fn comparisons() {
    insta::assert_snapshot!("compare", turnwise("compare tau_airline.jsonl").out());
    insta::assert_snapshot!(
        "compare_all",
        turnwise("compare").arg(FIXTURES[0]).arg(FIXTURES[1]).arg(FIXTURES[2]).out()
    );
    insta::assert_snapshot!("compare_budget", turnwise("compare tau_airline.jsonl --budget 3000 --low 0.9").out());
    insta::assert_snapshot!(
        "compare_window",
        turnwise("compare tau_airline.jsonl --model gpt-4 --strategy window").out()
    );
}

#[test]
fn compare_json() {
    let line = "compare tau_airline.jsonl --json --budget 3000 -s window:turns=3 -s everything";
    insta::assert_json_snapshot!("compare_json", turnwise(line).json());
}

#[test]
fn plan() {
    insta::assert_snapshot!("plan", turnwise("plan tau_airline.jsonl --only 1 --budget 3000").out());
    let line = "plan tau_airline.jsonl --only 2 --budget 3000 --low 1 --strategy head-tail:first=1";
    insta::assert_snapshot!("plan_head_tail", turnwise(line).out());
    insta::assert_snapshot!(
        "plan_window",
        turnwise("plan recorded_exchanges.jsonl --only 4").arg("-qAnd 3 + 4?").out()
    );
    insta::assert_snapshot!("plan_many", turnwise("plan recorded_exchanges.jsonl --budget 1000").out());
}

#[test]
fn plan_keep() {
    let keep =
        |index: usize| turnwise("plan tau_airline.jsonl --only 1 --budget 3000 --keep").arg(index.to_string()).out();
    insta::assert_snapshot!("plan_keep", [0, 3, 17, 24].map(keep).concat());
}

#[test]
fn plan_json() {
    let mut plan = turnwise("plan tau_airline.jsonl --only 1 --budget 3000 --json").json().remove(0);
    let trimmed = turnwise("trim tau_airline.jsonl --only 1 --budget 3000").json().remove(0);
    assert_eq!(plan.as_object_mut().unwrap().remove("messages"), Some(trimmed));
    insta::assert_json_snapshot!("plan_json", plan);
}

#[test]
fn count_and_show() {
    insta::assert_snapshot!("count", turnwise("count swe_agent.jsonl").out());
    insta::assert_snapshot!("show", turnwise("show recorded_exchanges.jsonl").out());
    insta::assert_snapshot!("show_full", turnwise("show --full recorded_exchanges.jsonl --only 4").out());
}

#[test]
fn replays() {
    insta::assert_snapshot!("replay", turnwise("replay swe_agent.jsonl --budget 1500").out());
}
