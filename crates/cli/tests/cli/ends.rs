//! How the program ends.

use std::fs;
use std::process::Stdio;

use serde_json::json;

use super::harness::{Files, Run, talk, turnwise};

#[test]
fn a_mistake_in_the_command_line_ends_with_2() {
    let said = |run: Run, words: &[&str]| {
        let error = run.fails(2);
        assert!(words.iter().all(|word| error.contains(word)), "{words:?} in {error}");
    };
    let plan = |rest: &str| turnwise("plan tau_airline.jsonl").args(rest);
    said(turnwise(""), &["Usage: turnwise [OPTIONS] <COMMAND>", "compare", "replay"]);
    said(turnwise("compare"), &["<FILE>"]);
    said(turnwise("frobnicate x.json"), &["frobnicate"]);
    said(plan("--budgt 300"), &["--budgt", "--budget"]);
    said(plan("--budget many"), &["many", "--budget"]);
    said(plan("--strategy windw"), &["`windw`", "did you mean `window`?", "head-tail"]);
    said(plan("--strategy window:turn=3"), &["`turn`", "turns=N"]);
    said(plan("--strategy window:turns=x"), &["turns=x", "whole number"]);
    said(plan("--strategy window:turns=1,messages=1"), &["not both"]);
    said(plan("--model gtp-4o"), &["`gtp-4o`", "gpt-4o", "--budget"]);
    said(plan("--model zzz"), &["`zzz`", "--budget"]);
    said(turnwise("plan swe_agent.jsonl"), &["--budget", "--model"]);
    said(plan("--budget 3000 --low 1.5"), &["1.5", "from 0 to 1"]);
    said(plan("--budget 3000 --low much"), &["much", "--low"]);
    said(plan("--budget 3000 --low 0.9 --high 0.5"), &["0.9", "0.5"]);
    said(plan("--reserve 200000"), &["200,000", "128,000"]);
    said(plan("--budget 3000 --keep 3 --json"), &["--keep", "--json"]);
    for option in ["--pin", "--keep", "--expand", "--budget"] {
        said(plan(option).arg("-1"), &["invalid value '-1'", option]);
    }
}

/// A strategy is looked at before a file is: the mistake that can be seen at once is the one that is said.
#[test]
fn a_misspelt_strategy_is_said_before_a_missing_file() {
    for command in ["compare", "plan", "trim", "replay"] {
        let error = turnwise(command).args("nowhere.json --strategy windw").fails(2);
        assert!(error.contains("did you mean `window`?"), "{error}");
    }
}

#[test]
fn a_message_that_is_not_there_cannot_be_kept() {
    let error = turnwise("plan tau_airline.jsonl --only 1 --budget 3000 --keep 26").fails(2);
    assert!(error.contains("no message 26") && error.contains("are 0 to 25"), "{error}");
}

#[test]
fn what_does_not_fit_ends_with_1_and_the_numbers() {
    for command in ["plan", "plan --json", "trim"] {
        let error = turnwise(command).args("tau_airline.jsonl --only 1 --budget 1000").fails(1);
        let words = ["tau-airline/task7/trial0", "over budget", "the head with 1,252", "limit 1,000", "--budget 1270"];
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_said() {
    if let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") {
        for command in ["show", "count", "compare", "trim --budget 3000", "replay --budget 3000"] {
            let mut run = turnwise(command).arg("tau_airline.jsonl");
            let output = run.command.stdout(full.try_clone().unwrap()).output().unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1));
            assert!(error.starts_with("turnwise: writing the output: "), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    // Longer than what a pipe holds, but for a comparison and a plan in words, which never are.
    let files = Files::new()
        .with("long.json", json!({ "messages": talk(3_000) }).to_string())
        .with("many.jsonl", format!("{}\n", json!({ "messages": talk(60) })).repeat(10));
    let lines = [
        "show long.json",
        "show --full long.json",
        "count long.json",
        "count --json long.json",
        "trim --budget 50000 long.json",
        "plan --budget 50000 --json long.json",
        "plan --budget 50000 long.json",
        "replay --budget 200 many.jsonl",
        "compare --budget 200 many.jsonl",
        "--help",
    ];
    for line in lines {
        let mut run = turnwise(line).inside(files.path());
        let mut child = run.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), ""), "{line}");
    }
}
