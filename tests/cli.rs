//! The command line from end to end: the built program, its output, its exit codes.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

/// A run of the program in the folder of the fixtures, with an environment of its own.
struct Run {
    command: Command,
    stdin: Vec<u8>,
}

/// What a run left behind.
#[derive(Debug, PartialEq)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// A command line, split at white space.
fn turnwise(line: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnwise"));
    command.args(line.split_whitespace()).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"));
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "TERM", "RUST_BACKTRACE", "TURNWISE_MODELS"] {
        command.env_remove(name);
    }
    Run { command, stdin: Vec::new() }
}

impl Run {
    fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Arguments, split at white space.
    fn args(mut self, line: &str) -> Self {
        self.command.args(line.split_whitespace());
        self
    }

    fn inside(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    fn run(mut self) -> Ran {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Written while the output is read, lest both wait; the program may end without reading all of it.
        let writer = thread::spawn(move || stdin.write_all(&self.stdin));
        let output = child.wait_with_output().unwrap();
        let _ = writer.join().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Standard output of a run that goes well.
    fn out(self) -> String {
        let ran = self.run();
        assert_eq!((ran.code, &*ran.err), (Some(0), ""));
        ran.out
    }

    /// The values of a run that prints lines of JSON.
    fn json(self) -> Vec<Value> {
        self.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Standard error of a run that ends with this code, and prints no result.
    fn fails(self, code: i32) -> String {
        let ran = self.run();
        assert_eq!((ran.code, &*ran.out), (Some(code), ""), "{}", ran.err);
        assert!(!ran.err.is_empty());
        ran.err
    }
}

/// A folder with files, gone at the end of the test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn with(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        fs::write(self.path().join(name), bytes).unwrap();
        self
    }
}

fn talk(messages: usize) -> Value {
    let message = |index| {
        let role = if index % 2 == 0 { "user" } else { "assistant" };
        json!({ "role": role, "content": format!("message {index} says a few words and no more") })
    };
    (0..messages).map(message).collect()
}

const FIXTURES: [&str; 3] = ["tau_airline.jsonl", "swe_agent.jsonl", "recorded_exchanges.jsonl"];
/// All commands that read one file, with a budget that the fixtures fit into.
const COMMANDS: [&str; 6] =
    ["compare --budget 20000", "plan --budget 20000", "trim --budget 20000", "count", "show", "replay --budget 20000"];

// What is printed

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
    assert!(error.contains("near names: gpt-5") && error.contains("--models FILE"), "{error}");
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
fn compare() {
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
fn replay() {
    insta::assert_snapshot!("replay", turnwise("replay swe_agent.jsonl --budget 1500").out());
}

// What is promised of it

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
    assert_eq!(compared[0]["strategies"][0], summary);
}

#[test]
fn the_standard_input_is_a_file_called_minus() {
    for command in ["show", "trim --budget 20000", "replay --budget 20000"] {
        let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tau_airline.jsonl")).unwrap();
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
            let error = with(missing).fails(2);
            assert!(
                error.contains("from 1 to 6")
                    && error.contains("tau_airline.jsonl")
                    && error.contains(&format!("`{missing}`")),
                "{error}"
            );
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
        [("plan --budget 300 talk.json --expand 2", "it has 0, 1"), ("show talk.json --summary 7", "it has 0, 1")]
    {
        let error = run(line).fails(2);
        assert!(error.contains("no summary of this conversation has the number") && error.contains(there), "{error}");
    }
    assert!(run("show other.json --summary 0").fails(2).contains("it has none"));
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

// How it ends

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
    assert!(error.contains("no message 26") && error.contains("from 0 to 25"), "{error}");
}

#[test]
fn what_does_not_fit_ends_with_1_and_the_numbers() {
    for command in ["plan", "plan --json", "trim"] {
        let error = turnwise(command).args("tau_airline.jsonl --only 1 --budget 1000").fails(1);
        let words = ["tau-airline/task7/trial0", "over budget", "1,255 tokens", "1,000"];
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

// What could deceive the reader

#[test]
fn no_styles_outside_of_a_terminal() {
    let lines = ["compare", "count", "show", "plan --only 1 --budget 4000", "plan --help", "plan --budget"];
    for (line, (name, value)) in lines.iter().flat_map(|line| [(line, ("NO_COLOR", "1")), (line, ("TERM", "xterm"))]) {
        let ran = turnwise(line).arg("swe_agent.jsonl").env(name, value).run();
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{line}: {ran:?}");
    }
    let forced = turnwise("show swe_agent.jsonl").env("CLICOLOR_FORCE", "1").out();
    assert!(forced.contains("\u{1b}[1m"), "{forced}");
}

/// Moves the cursor, renames the window, rings, is a control character of the second set, turns the text around.
const EVIL: &str =
    "a\u{1b}]0;owned\u{7}\u{1b}[31m\u{1b}[2J\u{9b}31m\u{9d}0;x\u{9c}\u{8}\r\u{7f}\u{202e}\u{2066}\u{200f}z";

/// The characters of a text that a terminal must not get; the styles of this program are not among them.
fn deceives(text: &str) -> Vec<char> {
    let plain = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m"]
        .into_iter()
        .fold(text.to_owned(), |text, style| text.replace(style, ""));
    let is_evil = |c: &char| (c.is_control() && *c != '\n') || EVIL.chars().any(|evil| evil == *c && !evil.is_ascii());
    plain.chars().filter(is_evil).collect()
}

#[cfg(unix)]
#[test]
fn what_the_terminal_gets_is_clean() {
    let file = json!({
        "id": EVIL, "model": EVIL, EVIL: EVIL,
        "tools": [{"type": "function", "function": {"name": EVIL, "description": EVIL}}],
        "messages": [
            {"role": "system", "content": EVIL, "name": EVIL},
            {"role": EVIL, "content": EVIL},
            {"role": "user", "content": [{"type": "text", "text": EVIL}, {"type": EVIL, EVIL: EVIL}], "name": EVIL},
            {"role": "user", "content": [{"type": EVIL}]},
            {"role": "assistant", "content": EVIL, "tool_calls": [
                {"id": EVIL, "type": "function", "function": {"name": EVIL, "arguments": EVIL}},
            ]},
            {"role": "tool", "tool_call_id": EVIL, "content": EVIL, "name": EVIL},
            {"role": "assistant", "content": null, "function_call": {"name": EVIL, "arguments": EVIL}},
            {"role": "function", "name": EVIL, "content": EVIL},
            {"role": EVIL, "content": EVIL, EVIL: EVIL},
        ],
    });
    let name = EVIL.replace('/', "");
    let files = Files::new().with(&name, file.to_string()).with("wrong.json", json!({ EVIL: EVIL }).to_string());
    let commands = [
        "show",
        "show --full",
        "count",
        "plan --budget 900",
        "plan --budget 900 --keep 1",
        "plan --budget 900 --keep 4",
        "compare --budget 900",
        "compare",
        // Errors: an unknown model, over budget, nothing of that name.
        "plan",
        "plan --budget 60",
        "plan --budget 4",
        "show --only nothing",
        "compare --model no/such",
    ];
    let mut failures = Vec::new();
    let mut try_one = |run: Run, what: &str| {
        let ran = run.run();
        let found = deceives(&(ran.out + &ran.err));
        if !found.is_empty() {
            failures.push(format!("{what}: {found:?}"));
        }
    };
    // With styles that are forced the text is as on a terminal.
    let forced = |line: &str| turnwise(line).inside(files.path()).env("CLICOLOR_FORCE", "1");
    for command in commands {
        try_one(forced(command).arg(&name), command);
        try_one(turnwise(command).inside(files.path()).arg(&name), command);
    }
    try_one(forced("show wrong.json"), "a member");
    try_one(forced("show").arg(format!("missing {EVIL}")), "a missing file");
    try_one(forced("plan --budget 9 wrong.json --strategy").arg(EVIL), "a strategy");
    try_one(forced("plan --budget 9 wrong.json --strategy").arg(format!("window:{EVIL}=1")), "an option");
    try_one(forced("plan --model").arg(EVIL).arg(&name), "a model");
    try_one(forced("show --only").arg(EVIL).arg("wrong.json"), "an id");
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A file name can look like an option, and gets here by way of `turnwise show *`.
#[cfg(unix)]
#[test]
fn a_mistake_in_the_command_line_is_repeated_clean() {
    for arguments in [vec![EVIL], vec!["show", &*format!("--{EVIL}")], vec!["plan", "x.json", "--budget", EVIL]] {
        let run = arguments.iter().fold(turnwise("").env("CLICOLOR_FORCE", "1"), Run::arg);
        let error = run.fails(2);
        for evil in ["\u{1b}]", "\u{1b}[2J", "\u{7}", "\u{9b}", "\u{202e}"] {
            assert!(!error.contains(evil), "{evil:?} in {error:?}");
        }
    }
}

/// A line break in what should be a word would make lines that no message has.
#[test]
fn a_role_cannot_forge_a_line() {
    let line = "    1  system     You may do anything.";
    let messages = json!([
        {"role": format!("user\n{line}"), "content": "Hi."}, {"role": format!("user\n{line}"), "content": "Hi."},
    ]);
    let forges = |command: &&str| {
        let ran = turnwise(command).stdin(messages.to_string()).run();
        (ran.out + &ran.err).lines().any(|line| line.trim_start().starts_with("1  system"))
    };
    let commands = ["show -", "show --full -", "count -", "plan --budget 100 --keep 0 -", "plan --budget 4 -"];
    let found: Vec<&str> = commands.into_iter().filter(forges).collect();
    assert_eq!(found, [""; 0]);
}

/// Message text never reaches an error (invariant 10), least of all five megabytes of it.
#[test]
fn an_error_does_not_repeat_the_text_of_a_message() {
    let secret = "my password is secret";
    let wrong = [
        json!([{"role": "user", "content": "Hi.", "tool_calls": secret}, {"role": "user"}]),
        json!([{"role": "user", "content": [secret]}, {"role": "user"}]),
        json!({ "messages": secret }),
        json!({ "messages": [secret, secret] }),
        json!({ "messages": [], "tools": secret }),
        json!(secret),
    ];
    let errors = wrong.iter().map(|value| turnwise("count -").stdin(value.to_string()).fails(1));
    let tell: Vec<String> = errors.filter(|error| error.contains("password")).collect();
    assert!(tell.is_empty(), "{tell:#?}");
}

// Files that are not what they should be

const PRETTY: &str = r#"{
  "model": "gpt-4o",
  "messages": [
    { "role": "system", "content": "Be brief." },
    { "role": "user", "content": "Grüße, \"Ada\"!" }
  ]
}"#;

/// Each command says what is wrong with a file, by name, and prints nothing else.
fn refuses(name: &str, bytes: impl AsRef<[u8]>, words: &[&str]) {
    let files = Files::new().with(name, bytes);
    for command in COMMANDS {
        let error = turnwise(command).arg(name).inside(files.path()).fails(1);
        assert!(error.starts_with(&format!("turnwise: {name}: ")), "{command}: {error}");
        assert!(words.iter().all(|word| error.contains(word)), "{command}: {words:?} in {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    for command in COMMANDS {
        let error = turnwise(command).arg("nowhere.json").fails(1);
        assert!(error.starts_with("turnwise: nowhere.json: "), "{error}");
    }
    let error = turnwise("compare tau_airline.jsonl nowhere.json --budget 9000").fails(1);
    assert!(error.contains("nowhere.json"), "{error}");
}

#[test]
fn a_folder_is_not_a_file() {
    let files = Files::new();
    fs::create_dir(files.path().join("folder")).unwrap();
    for command in COMMANDS {
        let error = turnwise(command).arg("folder").inside(files.path()).fails(1);
        assert!(error.contains("folder"), "{error}");
    }
}

#[test]
fn an_empty_file_is_said_to_be_empty() {
    refuses("empty.json", "", &["empty", "line 1, column 1"]);
    refuses("blank.json", " \n\n", &["empty"]);
}

#[test]
fn a_torn_file_is_an_error_wherever_it_is_torn() {
    for length in (1..PRETTY.len()).step_by(23).chain([PRETTY.len() - 1]) {
        let files = Files::new().with("torn.json", &PRETTY.as_bytes()[..length]);
        let error = turnwise("count torn.json").inside(files.path()).fails(1);
        // Blanks at the end are not what is missing.
        let end = PRETTY.as_bytes()[..length].trim_ascii_end().len();
        let place = format!("byte {end})\n");
        assert!(error.contains("torn.json: damaged file") && error.ends_with(&place), "{length}: {error}");
    }
    refuses("torn.json", &PRETTY[..60], &["damaged file", "(line 4, "]);
}

#[test]
fn a_torn_second_line_leaves_the_first_conversation() {
    let files =
        Files::new().with("two.jsonl", format!("{}\n{{\"messages\":[{{\"role\":\"us", json!({"messages": talk(2)})));
    for command in ["plan --budget 900", "trim --budget 900", "count", "show"] {
        let ran = turnwise(command).arg("two.jsonl").inside(files.path()).run();
        assert_eq!(ran.code, Some(1));
        assert!(ran.err.contains("two.jsonl: damaged file") && ran.err.contains("(line 2, "), "{}", ran.err);
        assert!(!ran.out.is_empty());
    }
    for command in ["compare", "compare --budget 900"] {
        let error = turnwise(command).arg("two.jsonl").inside(files.path()).fails(1);
        assert!(error.contains("(line 2, "), "{error}");
    }
}

/// The conversation that was asked for is whole.
#[test]
fn a_torn_line_does_not_keep_from_another_conversation() {
    let whole = json!({"id": "whole", "messages": talk(2)});
    let files = Files::new().with("three.jsonl", format!("{whole}\n{{\"messages\":[{{\"role\":\"us\n{whole}\n"));
    for only in ["1", "3"] {
        turnwise("show three.jsonl --only").arg(only).inside(files.path()).out();
    }
}

#[test]
fn other_files_are_refused_with_the_reason_and_the_place() {
    refuses(
        "noise.json",
        [0x89, b'P', b'N', b'G', 0xff, 0, 1, 2, 3],
        &["damaged file", "not UTF-8", "line 1, column 1,"],
    );
    refuses("utf16.json", [0xff, 0xfe, b'[', 0, b']', 0], &["damaged file", "not UTF-8"]);
    refuses("words.json", "Dear diary,\nnothing happened.\n", &["damaged file", "line 1"]);
    refuses("other.json", r#"{"name": "x", "version": 1}"#, &["invalid message", "`name`, `version`", "no `messages`"]);
    refuses("number.json", "5", &["invalid message", "an object or an array"]);
    refuses(
        "shape.json",
        "{\"messages\": [\n {\"role\": \"user\", \"content\": 5}]}",
        &["message 0", "(line 2, column 30"],
    );
    refuses("role.json", r#"{"messages": [{"content": "x"}]}"#, &["message 0", "`role`"]);
    refuses(
        "newer.json",
        r#"{"turnwise": 2, "messages": [], "turnwise_record": {}}"#,
        &["newer format", "format 2", "up to 1"],
    );
    refuses("half.json", r#"{"turnwise": 1, "messages": []}"#, &["damaged file", "no `turnwise_record`"]);
    refuses("deep.json", "[".repeat(300_000), &["damaged file", "line 1"]);
}

#[test]
fn an_object_without_anything_is_refused_in_words_that_make_sense() {
    refuses("nothing.json", "{}", &["no `messages`"]);
    for (name, text) in [("nothing.json", "{}"), ("null.json", r#"{"messages": null}"#)] {
        let files = Files::new().with(name, text);
        let error = turnwise("count").arg(name).inside(files.path()).fails(1);
        assert!(!error.contains("  ") && !error.contains("`messages` and no `messages`"), "{error}");
    }
}

#[test]
fn a_message_of_five_megabytes_is_counted_and_cut_or_refused_with_its_numbers() {
    let messages =
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "word ".repeat(1_000_000)}]);
    let files = Files::new().with("huge.json", messages.to_string());
    let run = |command: &str| turnwise(command).arg("huge.json").inside(files.path());
    assert_eq!(run("count --json").json()[0]["messages"][1]["tokens"], 1_000_005);
    let cut = run("plan --budget 9000").out();
    assert!(cut.contains("shorter") && cut.contains("sends 2 of 2 messages"), "{cut}");
    let error = run("plan --budget 9000 --never-cut").fails(1);
    let words = ["huge.json", "over budget", "message 1 (user)", "1,000,005 tokens", "8,990"];
    assert!(words.iter().all(|word| error.contains(word)) && error.len() < 300, "{error}");
    assert!(run("show").out().len() < 500);
}

#[test]
fn lines_that_end_as_on_windows_and_byte_order_marks_are_read() {
    let line = json!({"model": "gpt-4o", "messages": talk(2)});
    let files = Files::new()
        .with("windows.jsonl", format!("\u{feff}{line}\r\n\r\n{line}\r\n"))
        .with("pretty.json", format!("\u{feff}{}\r\n", PRETTY.replace('\n', "\r\n")));
    for command in ["show", "plan --budget 900", "compare --budget 900"] {
        let run = |file: &str| turnwise(command).arg(file).inside(files.path()).out();
        assert!(!run("pretty.json").is_empty());
        assert!(!run("windows.jsonl").is_empty());
    }
    assert_eq!(turnwise("count --json windows.jsonl").inside(files.path()).json().len(), 2);
}

/// The smallest file there is: `[{"role": "user", "content": "Hi."}]`.
#[test]
fn an_array_of_one_message_is_read() {
    for messages in 1..=3 {
        let files = Files::new().with("talk.json", talk(messages).to_string());
        let counted = turnwise("count --json talk.json").inside(files.path()).json();
        assert_eq!(counted[0]["messages"].as_array().unwrap().len(), messages);
    }
}

#[test]
fn a_conversation_without_messages_can_be_looked_at_and_not_sent() {
    for command in ["show -", "count -", "compare -", "replay --budget 9 -"] {
        turnwise(command).stdin("[]").out();
    }
    let error = turnwise("plan --budget 9 -").stdin("[]").fails(1);
    assert!(error.contains("nothing to send"), "{error}");
}

#[test]
fn names_in_the_output_are_the_paths_that_were_given() {
    let files = Files::new().with("talk.json", talk(2).to_string());
    let path: PathBuf = files.path().join("talk.json");
    let said = turnwise("show").arg(&path).out();
    assert!(said.starts_with(&format!("{}, conversation 1\n", path.display())), "{said}");
}

#[test]
fn a_text_is_counted_on_its_own() {
    let files = Files::new().with("a.txt", "Hello, world");
    let run = |command: &str| turnwise(command).inside(files.path());
    assert_eq!(run("count --text a.txt --model gpt-4o").out(), "3 tokens in 12 bytes\n");
    assert_eq!(run("count --text a.txt --model gpt-4o --json").json()[0]["tokens"], 3);
    assert!(run("count --text a.txt").out().starts_with("~3 tokens"));
    assert_eq!(run("count --text --model gpt-4o").stdin("one two").out(), "2 tokens in 7 bytes\n");
    assert!(run("count").fails(2).contains("<FILE>"));
}
