//! `compare` in parallel, over many conversations, and with questions whose evidence is marked.

use serde_json::json;

use super::harness::{Files, talks, turnwise};

/// A talk in which the order number is told first and asked for last.
fn order(id: &str) -> String {
    let mut messages = vec![json!({"role": "user", "content": "My order number is 4711."})];
    for turn in 1..=12 {
        messages.push(json!({"role": "assistant", "content": format!("Answer {turn} ").repeat(20)}));
        messages.push(json!({"role": "user", "content": format!("Question {turn} ").repeat(20)}));
    }
    messages.push(json!({"role": "assistant", "content": "That is all."}));
    json!({"id": id, "messages": messages}).to_string() + "\n"
}

fn files(questions: &[serde_json::Value]) -> Files {
    let questions: String = questions.iter().map(|question| question.to_string() + "\n").collect();
    Files::new().with("talks.jsonl", order("ann") + &order("bob")).with("questions.jsonl", questions)
}

const COMMAND: &str =
    "compare talks.jsonl --budget 400 --questions questions.jsonl -s window -s recall -s head-tail:first=1";

#[test]
fn the_evidence_that_each_strategy_sends_is_counted() {
    let files = files(&[
        json!({"conversation": "ann", "question": "What is my order number?", "evidence": [0]}),
        json!({"question": "What is my order number?", "evidence": ["4711", 25]}),
    ]);
    let rows = turnwise(COMMAND).args("--json --sort evidence").inside(files.path()).json().remove(0);
    let evidence = |strategy: &str| {
        let rows = rows["strategies"].as_array().unwrap();
        rows.iter().find(|row| row["strategy"].as_str().unwrap().starts_with(strategy)).unwrap()["compared"]["evidence"]
            .clone()
    };
    // Of five pieces, a window sends the last message twice, and the others the order number too.
    assert_eq!(evidence("window"), json!({"kept": 2, "of": 5}));
    assert_eq!(evidence("recall"), json!({"kept": 5, "of": 5}));
    assert_eq!(evidence("head-tail"), json!({"kept": 5, "of": 5}));
    assert_eq!(rows["strategies"][2]["strategy"], "window", "the best come first");
    let table = turnwise(COMMAND).inside(files.path()).out();
    assert!(
        table.contains("evidence  ") && table.contains("5 of 5*") && table.contains("evidence: how much of"),
        "{table}"
    );
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let without = turnwise("compare talks.jsonl --budget 400").inside(files.path()).out();
    assert!(!without.contains("evidence"), "{without}");
}

#[test]
fn questions_that_cannot_be_asked_are_reported() {
    let of_others = files(&[json!({"conversation": "eve", "question": "Who?", "evidence": ["Eve"]})]);
    let ran = turnwise(COMMAND).inside(of_others.path()).run();
    assert_eq!(ran.code, Some(0));
    assert!(ran.err.contains("questions.jsonl: 1 question about conversations that were not compared"), "{}", ran.err);
    for (line, message) in [("{\"question\": 1}", "line 1: "), ("", "there are no questions in it")] {
        let files = Files::new().with("talks.jsonl", order("ann")).with("questions.jsonl", line);
        let error = turnwise(COMMAND).inside(files.path()).fails(2);
        assert!(error.contains("questions.jsonl") && error.contains(message), "{error}");
    }
}

#[test]
fn a_comparison_is_the_same_for_any_number_of_threads() {
    let files = Files::new().with("a.jsonl", talks(30, 20) + &order("ann")).with("b.jsonl", talks(7, 40));
    let run =
        |threads: &str| turnwise("compare a.jsonl b.jsonl --json --threads").arg(threads).inside(files.path()).out();
    assert_eq!(run("1"), run("3"));
}

#[test]
fn a_large_file_gets_the_default_budget_of_its_parts() {
    // Beyond what is kept in memory, so the file is read twice.
    let filler =
        json!({"padding": "x".repeat(800_000), "messages": [{"role": "user", "content": "Hi"}]}).to_string() + "\n";
    let few = talks(2, 20) + &filler;
    let many = talks(2, 20) + &filler.repeat(45);
    let files = Files::new().with("few.jsonl", few).with("many.jsonl", many);
    let budget = |file: &str| {
        let json = turnwise("compare -s window --json").arg(file).inside(files.path()).json().remove(0);
        (json["budget"]["limit"].clone(), json["strategies"][0]["conversations"].clone())
    };
    assert_eq!(budget("few.jsonl").0, budget("many.jsonl").0);
    assert_eq!(budget("many.jsonl").1, 47);
}
