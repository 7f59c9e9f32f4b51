//! Settings for every command, and the commands about the program itself: `config`, `doctor`, `completions`, `man`.

#[cfg(feature = "openai")]
use super::harness::fixtures;
use super::harness::{Files, turnwise};

fn files() -> Files {
    let config = r#"{"budget": 2500, "never-cut": true, "plan": {"budget": 2000, "low": 0.5}, "store": "dir:chats"}"#;
    Files::new().with("c.json", config).with("bad.json", r#"{"budget": "many"}"#).with("none.json", "{}")
}

#[test]
fn a_setting_is_for_every_command_that_has_the_option() {
    let files = files();
    let config = files.path().join("c.json");
    let config = config.to_str().unwrap();
    let plan = |line: &str| turnwise("plan tau_airline.jsonl --only 2").args(line).env("TURNWISE_CONFIG", config);
    assert!(plan("").out().contains("limit 2,000 tokens; high mark 2,000, low mark 1,000"));
    // An option comes before a variable, a variable before the file, and a command's part of it before the rest.
    assert!(plan("").env("TURNWISE_BUDGET", "2200").out().contains("limit 2,200 tokens"));
    assert!(plan("--budget 2300").env("TURNWISE_BUDGET", "2200").out().contains("limit 2,300 tokens"));
    assert!(plan("").env("TURNWISE_BUDGET", "").out().contains("limit 2,000 tokens"));
    let trimmed = turnwise("trim tau_airline.jsonl --only 2").env("TURNWISE_CONFIG", config).out();
    assert_eq!(trimmed, turnwise("trim tau_airline.jsonl --only 2 --budget 2500 --never-cut").out());
    let none = files.path().join("none.json");
    let same = plan("--budget 2000 --config").arg(&none).out();
    assert_eq!(same, turnwise("plan tau_airline.jsonl --only 2 --budget 2000").out());
}

#[test]
fn the_file_in_the_usual_place_is_read() {
    let files = files();
    std::fs::create_dir(files.path().join("turnwise")).unwrap();
    std::fs::copy(files.path().join("c.json"), files.path().join("turnwise/config.json")).unwrap();
    if cfg!(target_os = "linux") {
        let home = files.path().to_str().unwrap();
        let out = turnwise("plan tau_airline.jsonl --only 2").env("XDG_CONFIG_HOME", home).out();
        assert!(out.contains("limit 2,000 tokens"), "{out}");
    }
}

#[test]
fn a_setting_that_cannot_be_used_is_named_with_its_source() {
    let files = files();
    let run = |line: &str| turnwise(line).inside(files.path());
    let error = run("replay x.json --config bad.json").fails(2);
    assert!(error.contains("'many'") && error.contains("--budget many from bad.json"), "{error}");
    let error = run("replay x.json").env("TURNWISE_NEVER_CUT", "maybe").fails(2);
    assert!(error.contains("'maybe'") && error.contains("--never-cut maybe from TURNWISE_NEVER_CUT"), "{error}");
    for (text, message) in [
        (r#"{"budgt": 1}"#, "w.json: there is no setting `budgt`; the nearest name is `budget`"),
        (r#"{"plan": {"budgt": 1}}"#, "w.json: there is no setting `budgt`"),
        (r#"{"budget": null}"#, "w.json: `budget`: write a text, a number, true or false"),
        (r#"{"show": {"budget": 1}}"#, "w.json: the section `show` cannot have `budget`: nothing can be set for it"),
        (r#"{"trim": {"threads": 2}}"#, "w.json: the section `trim` cannot have `threads`: it has budget, "),
        (r#"{"compare": {"strategy": "recall"}}"#, "w.json: the section `compare` cannot have `strategy`"),
        ("[]", "w.json: not a JSON object of settings"),
    ] {
        let files = Files::new().with("w.json", text);
        let error = turnwise("strategies --config w.json").inside(files.path()).fails(2);
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn config_shows_each_value_and_where_it_comes_from() {
    let files = files();
    let run =
        |line: &str| turnwise(line).inside(files.path()).env("TURNWISE_LOW", "0.6").env("OPENAI_API_KEY", "sk-secret");
    let table = run("config --config c.json").out();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    for expected in [
        &["budget", "2500", "c.json", "compare", "trim", "replay"][..],
        &["low", "0.6", "TURNWISE_LOW"],
        &["plan.budget", "2000", "c.json,", "plan", "plan"],
        &["plan.low", "0.5", "c.json,", "plan", "(not", "in", "force:", "TURNWISE_LOW", "comes", "first)", "plan"],
        &["store", "dir:chats", "c.json", "conversations"],
        &["OPENAI_API_KEY", "set,", "not", "shown"],
    ] {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected:?}: {table}");
    }
    assert!(!table.contains("sk-secret") && !table.contains("reserve"), "{table}");
    let all = run("config --all").out();
    let line =
        |name: &str| all.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(line("reserve")[1..3], ["-", "-"]);
    assert_eq!(line("strategy")[1..3], ["window", "default"]);
    let json = run("config --config c.json --json").json();
    assert!(json.iter().any(|row| row["setting"] == "budget" && row["from"] == "c.json"));
    let nothing = turnwise("config").inside(files.path()).env("OPENAI_API_KEY", "").env("OPENAI_BASE_URL", "");
    assert!(nothing.env("OPENAI_MODEL", "").out().starts_with("nothing is set"));
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let help = turnwise("--help").out();
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names =
        commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()));
    let names: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let help = turnwise(name).args("--help").out();
        assert!(help.contains("Example") && help.contains(&format!("  turnwise {name}")), "{help}");
    }
}

#[cfg(not(feature = "shell"))]
#[test]
fn a_program_without_completions_says_how_to_get_them() {
    for line in ["completions bash", "man", "man --to x"] {
        let error = turnwise(line).fails(2);
        assert!(error.contains("cargo install --path crates/cli --features full"), "{error}");
    }
}

#[cfg(feature = "shell")]
#[test]
fn completions_know_commands_and_options() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = turnwise("completions").arg(shell).out();
        assert!(script.contains("compare") && script.contains("start-on-user"), "{shell}");
    }
    assert!(turnwise("completions csh").fails(2).contains("possible values: bash"));
}

#[cfg(feature = "shell")]
#[test]
fn man_pages_are_printed_or_written() {
    let page = turnwise("man").out();
    assert!(page.contains(".TH turnwise 1") && page.contains("turnwise\\-compare(1)"), "{page}");
    assert!(turnwise("man compare").out().contains("\\-\\-questions"));
    assert!(turnwise("man compre").fails(2).contains("there is no command `compre`"));
    let files = Files::new();
    turnwise("man --to pages").inside(files.path()).out();
    for page in ["turnwise.1", "turnwise-compare.1", "turnwise-conversations-fork.1"] {
        assert!(files.path().join("pages").join(page).exists(), "{page}");
    }
}

#[cfg(feature = "openai")]
mod doctor {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::harness::Ran;

    /// Runs `doctor` against a server that gives one answer.
    fn ask(status: &str, body: &str, line: &str) -> Ran {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/v1", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        let ran = doctor(line, &address);
        let request = server.join().unwrap();
        assert_eq!(request[0], "GET /v1/models HTTP/1.1");
        assert!(request.iter().any(|line| line.eq_ignore_ascii_case("authorization: Bearer sk-secret")));
        ran
    }

    fn doctor(line: &str, address: &str) -> Ran {
        let run = turnwise("doctor").args(line).inside(&fixtures()).env("OPENAI_BASE_URL", address);
        run.env("OPENAI_API_KEY", "sk-secret").env("OPENAI_MODEL", "").run()
    }

    const MODELS: &str = r#"{"data": [{"id": "gpt-4o"}, {"id": "smollm2"}]}"#;

    #[test]
    fn what_works_is_said_and_ends_with_0() {
        let ran = ask("200 OK", MODELS, "--model gpt-4o");
        assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{}", ran.out);
        for line in
            ["key: OPENAI_API_KEY is set, 9 characters long", "and offers 2 models", "gpt-4o: window 128,000 tokens"]
        {
            let out = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(out.contains(line), "{line}: {out}");
        }
        assert!(!ran.out.contains("secret") && !ran.out.contains("PROBLEM"), "{}", ran.out);
    }

    #[test]
    fn what_does_not_work_comes_with_what_to_do_and_ends_with_1() {
        for (status, body, line, words) in [
            (
                "401 Unauthorized",
                "{}",
                "",
                &["refuses it (status 401)", "set OPENAI_API_KEY to a key of this server"][..],
            ),
            ("500 Oops", "{}", "", &["answers with status 500", "the server's own log"]),
            ("200 OK", MODELS, "--model smolm2", &["does not offer `smolm2`", "nearest that it offers is `smollm2`"]),
        ] {
            let ran = ask(status, body, line);
            assert_eq!(ran.code, Some(1), "{}", ran.out);
            let out = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.iter().all(|words| out.contains(words)), "{out}");
            assert_eq!(ran.err, "turnwise: 1 problem found\n");
        }
    }

    #[test]
    fn an_endpoint_that_is_not_there_is_named() {
        let ran = doctor("", "http://127.0.0.1:1/v1");
        assert_eq!(ran.code, Some(1));
        assert!(
            ran.out.contains("http://127.0.0.1:1 cannot be reached") && ran.out.contains("start the server"),
            "{}",
            ran.out
        );
        let ran = doctor("", "localhost:1234");
        assert!(ran.code == Some(1) && ran.out.contains("`localhost:1234` is no address"), "{}", ran.out);
    }

    #[test]
    fn checks_can_be_read_by_programs() {
        let ran = doctor("--json", "http://127.0.0.1:1/v1");
        let checks: Vec<serde_json::Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(checks.iter().any(|check| check["check"] == "endpoint" && check["state"] == "problem"), "{checks:?}");
    }
}
