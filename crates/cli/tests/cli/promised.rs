//! What is promised of what is printed.

use std::fs;

use serde_json::{Value, json};

use super::harness::{FIXTURES, Files, Run, fixtures, talk, turnwise};

#[test]
fn trim_prints_messages_that_cost_what_the_plan_says() {
    for file in FIXTURES {
        let with = |command: &str| turnwise(command).arg(file).arg("--budget=4000");
        for (plan, messages) in with("plan --json").json().iter().zip(with("trim").json()) {
            let sent = plan["kept"].as_array().unwrap().iter().map(|run| run["messages"].as_u64().unwrap());
            assert_eq!(sent.sum::<u64>(), messages.as_array().unwrap().len() as u64);
        }
        let counts = turnwise("count - --json").stdin(with("trim").out()).json();
        for (plan, count) in with("plan --json").json().iter().zip(&counts) {
            let without_tools = plan["tokens"].as_u64().unwrap() - plan["parts"]["tools"].as_u64().unwrap();
            assert_eq!(Some(without_tools), count["total"].as_u64());
        }
    }
}

/// A part of a kind that is not known is counted by its text, and `trim` prints what was counted and nothing else.
#[test]
fn trim_prints_nothing_that_was_not_counted() {
    let river = "The river is wide here. ".repeat(4_000);
    let talk = |reply: Value| {
        json!([{"role": "user", "content": "go"}, reply, {"role": "user", "content": "next"}]).to_string()
    };
    let parts = json!([{"type": "thinking", "thinking": river}, {"type": "text", "text": "Done."}]);
    let thinking = talk(json!({"role": "assistant", "content": parts}));
    let plan = || turnwise("plan - --model gpt-4o --budget 2000");
    let explained = plan().stdin(thinking.as_str()).out();
    assert!(explained.contains("24,0") && explained.contains("left out"), "{explained}");
    let count = turnwise("count - --json").stdin(thinking.as_str()).json();
    assert!(count[0]["total"].as_u64().unwrap() > 24_000 && count[0]["estimated"] == true, "{count:?}");

    let reply = json!({"role": "assistant", "content": "Done.", "reasoning_content": river, "tool_calls": []});
    let printed = turnwise("trim - --model gpt-4o --budget 2000").stdin(talk(reply)).out();
    let kept = talk(json!({"role": "assistant", "content": "Done."}));
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), serde_json::from_str::<Value>(&kept).unwrap());
}

#[test]
fn count_adds_up_and_agrees_with_the_plan() {
    for file in FIXTURES {
        let counts = turnwise("count --json").arg(file).json();
        let plans = turnwise("plan --json --budget 1000000").arg(file).json();
        assert_eq!(counts.len(), plans.len());
        for (count, plan) in counts.iter().zip(&plans) {
            let keys: Vec<&str> = count.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys, ["conversation", "estimated", "format", "head", "messages", "overhead", "tools", "total"]);
            let number = |key: &str| count[key].as_u64().unwrap();
            let messages = count["messages"].as_array().unwrap();
            let sum = messages.iter().map(|message| message["tokens"].as_u64().unwrap()).sum::<u64>();
            assert_eq!(number("total"), sum + number("tools") + number("format") + number("overhead"));
            assert!(messages.iter().enumerate().all(|(index, message)| message["index"] == index));
            assert!(messages.iter().all(|message| message["role"].is_string()));
            assert_eq!(plan["evicted"], json!([]));
            assert_eq!((&plan["tokens"], &plan["parts"]["head"]), (&count["total"], &count["head"]));
            assert_eq!(plan["parts"]["estimated"], count["estimated"]);
        }
    }
}

#[test]
fn the_same_run_twice_prints_the_same_bytes() {
    for command in ["replay --budget 4000", "compare --json", "compare", "plan --json --budget 4000"] {
        let run = || turnwise(command).arg("tau_airline.jsonl").out();
        assert_eq!(run(), run());
    }
}

#[test]
fn a_replay_adds_up_and_is_what_compare_says() {
    let mut lines = turnwise("replay tau_airline.jsonl swe_agent.jsonl --budget 4000 -s window").json();
    let summary = lines.pop().unwrap()["summary"].take();
    assert_eq!(summary["requests"], lines.len());
    let tokens = lines.iter().filter_map(|line| line["tokens"].as_u64()).sum::<u64>();
    assert_eq!(summary["tokens"], tokens);
    let compared = turnwise("compare tau_airline.jsonl swe_agent.jsonl --budget 4000 -s window --json").json();
    let mut compared = compared[0]["strategies"][0].clone();
    compared.as_object_mut().unwrap().remove("compared");
    assert_eq!(compared, summary);
}

#[test]
fn the_standard_input_is_a_file_called_minus() {
    for command in ["show", "trim --budget 20000", "replay --budget 20000"] {
        let bytes = fs::read(fixtures().join("tau_airline.jsonl")).unwrap();
        let piped = turnwise(command).arg("-").stdin(bytes).out();
        assert_eq!(piped, turnwise(command).arg("tau_airline.jsonl").out());
    }
    let error = turnwise("count -").stdin("[{").fails(1);
    assert!(error.starts_with("turnwise: -: damaged file"), "{error}");
}

#[test]
fn only_takes_a_number_or_an_id() {
    for command in ["show", "trim --budget 20000", "compare --budget 20000"] {
        let with = |only: &str| turnwise(command).arg("tau_airline.jsonl").arg("--only").arg(only);
        let second = with("2").out();
        assert_eq!(with("tau-airline/task23/trial0").out(), second);
        assert_ne!(with("1").out(), second);
        for missing in ["0", "7", "-1", "task23"] {
            let (error, named) = (with(missing).fails(2), format!("`{missing}`"));
            assert!(["are 1 to 6", "tau_airline.jsonl", &*named].iter().all(|words| error.contains(words)), "{error}");
        }
    }
}

#[test]
fn a_native_transcript_reads_as_any_other() {
    let messages = talk(4);
    let mut file = turnwise::Transcript::from_json(&messages.to_string()).unwrap();
    let first = file.conversation.path().item(0).unwrap().id();
    file.conversation.pin(first).unwrap();
    file.conversation.edit(file.conversation.path().item(2).unwrap().id(), "another question").unwrap();
    let files = Files::new().with("talk.json", file.to_json());
    let run = |command: &str| turnwise(command).arg("talk.json").inside(files.path());
    insta::assert_snapshot!("show_branches", run("show").out());
    // Pinned and pending: 14 tokens and 6, with the 3 that open the reply.
    assert_eq!(run("plan --budget 25 --json").json()[0]["kept"][0]["reason"], "pin");
}

#[test]
fn what_a_summary_stands_for_is_listed_and_sent_on_request() {
    let mut file = turnwise::Transcript::from_json(&talk(40).to_string()).unwrap();
    let ids: Vec<_> = file.conversation.path().items().map(turnwise::Item::id).collect();
    file.conversation.attach(ids[0], ids[9], "They counted.\u{1b}[2J", Some("small")).unwrap();
    file.conversation.attach(ids[0], ids[19], "They counted\non and on.", None).unwrap();
    let files = Files::new().with("talk.json", file.to_json()).with("other.json", talk(4).to_string());
    let run = |line: &str| turnwise(line).inside(files.path());
    let show = run("show talk.json").out();
    insta::assert_snapshot!(
        "show_summary",
        run("show talk.json --summary 0").out() + &show[show.rfind("\n\n").unwrap() + 1..]
    );
    let plan = |rest: &str| run("plan talk.json --json --budget 300 -s summarize").args(rest).json().remove(0);
    assert_eq!((&plan("")["summary"]["id"], &plan("--expand 1")["summary"]["id"]), (&json!(1), &json!(0)));
    assert_eq!(plan("--expand 0 --expand 1")["summary"], Value::Null);
    assert_eq!(run("show talk.json").out(), show, "nothing is written");
    for (line, there) in
        [("plan --budget 300 talk.json --expand 2", "they are 0, 1"), ("show talk.json --summary 7", "they are 0, 1")]
    {
        let error = run(line).fails(2);
        assert!(error.contains("this conversation has no summary") && error.contains(there), "{error}");
    }
    assert!(run("show other.json --summary 0").fails(2).contains("it has no summaries"));
}

#[test]
fn a_rule_of_the_command_line_is_part_of_the_head() {
    let trimmed = |rest: &str| turnwise("trim tau_airline.jsonl --only 1 --budget 3000").args(rest);
    let messages = trimmed("").arg("--constrain=Answer in French.").arg("--constrain=Be kind.").json().remove(0);
    assert_eq!(messages[1], json!({"role": "system", "content": "Answer in French."}));
    assert_eq!(messages[2], json!({"role": "system", "content": "Be kind."}));
    let tokens = |run: Run| run.json().remove(0)["strategies"][0]["tokens"].as_u64().unwrap();
    let compare = || turnwise("compare tau_airline.jsonl --only 1 --budget 5000 -s everything --json");
    assert!(tokens(compare().arg("--constrain=Answer in French.")) > tokens(compare()));
    let error = trimmed("").arg("--constrain= ").fails(2);
    assert!(error.contains("--constrain needs a text"), "{error}");
}

#[test]
fn every_request_can_begin_with_a_user_message() {
    let messages = json!([
        {"role": "assistant", "content": "Welcome!"},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "How can I help?"},
        {"role": "user", "content": "Name a river."},
    ]);
    let files = Files::new().with("talk.json", messages.to_string());
    let run = |line: &str| turnwise(line).inside(files.path());
    for strategy in ["window", "everything", "recall", "head-tail", "tools", "ladder", "summarize"] {
        let trimmed =
            |rest: &str| run("trim talk.json --budget 100").args(&format!("-s {strategy} {rest}")).json().remove(0);
        assert_eq!(trimmed("")[0]["content"], "Welcome!");
        assert_eq!(trimmed("--start-on-user")[0]["content"], "Hi.", "{strategy}");
    }
    let plan = run("plan talk.json --budget 100 --start-on-user --keep 0").out();
    assert!(plan.contains("before the first user message sent"), "{plan}");
    let error = run("plan talk.json --budget 100 --start-on-user --pin 0").fails(1);
    assert!(error.contains("would begin with message 0 (assistant)") && error.contains("unpin it"), "{error}");
    let kept = |rest: &str| {
        run("compare talk.json --budget 100 --json").args(rest).json()[0]["strategies"][0]["messages"]["kept"].clone()
    };
    assert_eq!((kept(""), kept("--start-on-user")), (json!(4), json!(3)));
    assert!(run("replay talk.json --budget 100 --start-on-user").out().contains(r#""reason":"start""#));
}

#[test]
fn a_result_that_a_user_spoke_before_is_trimmed_to_a_legal_request_and_shown_where_it_stands() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "scan", "arguments": "{}"}});
    let messages = json!([
        {"role": "user", "content": "Start."},
        {"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]},
        {"role": "tool", "tool_call_id": "a", "content": "3 files"},
        {"role": "user", "content": "I meant the other folder."},
        {"role": "tool", "tool_call_id": "b", "content": "x, y, z"},
    ]);
    let files = Files::new().with("steer.json", messages.to_string());
    let run = |line: &str| turnwise(line).inside(files.path());
    let sent = run("trim steer.json --model gpt-4o").json().remove(0);
    let order: Vec<usize> = [0, 1, 2, 4, 3].into();
    assert_eq!(sent, order.iter().map(|&index| messages[index].clone()).collect::<Value>());
    let plan = run("plan steer.json --model gpt-4o").out();
    assert!(plan.contains("> message 4 is sent directly after the call in message 1"), "{plan}");
    assert_eq!(run("plan steer.json --model gpt-4o --json").json()[0]["moved"], json!([{"message": 4, "calls": 1}]));
    let show = run("show steer.json").out();
    let at = |text: &str| show.find(text).unwrap();
    assert!(at("3 files") < at("other folder") && at("other folder") < at("x, y, z"), "{show}");
}
