//! What could deceive the reader.

use serde_json::json;

use super::harness::{Files, Run, turnwise};

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
    "a\u{1b}]0;owned\u{7}\u{1b}[32m\u{1b}[2J\u{9b}31m\u{9d}0;x\u{9c}\u{8}\r\u{7f}\u{202e}\u{2066}\u{200f}z";

/// The characters of a text that a terminal must not get; the styles of this program are not among them.
fn deceives(text: &str) -> Vec<char> {
    let plain = ["0", "1", "2", "31", "33", "35", "36"]
        .into_iter()
        .fold(text.to_owned(), |text, style| text.replace(&format!("\u{1b}[{style}m"), ""));
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
        "compare --budget 900 --timeline",
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
