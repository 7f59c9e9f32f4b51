//! `turnwise serve` without a connection: settings, keys, and how to get it.

use super::harness::{Files, turnwise};

#[cfg(not(feature = "serve"))]
#[test]
fn a_program_without_the_server_says_how_to_get_it() {
    for line in ["serve", "serve --listen 0.0.0.0:80", "serve keys add ann"] {
        let error = turnwise(line).inside(Files::new().path()).fails(2);
        assert!(error.contains("cargo install --path crates/cli --features full"), "{line}: {error}");
    }
}

#[cfg(feature = "serve")]
#[test]
fn a_setting_comes_from_the_option_then_the_environment_then_the_file() {
    let files = Files::new()
        .with("c.json", r#"{"listen": "[::1]:1", "max-body": 100, "log": "json", "allow_host": ["a", "b"]}"#);
    let run = turnwise("serve --print-config --config c.json --listen 127.0.0.1:9000").inside(files.path());
    let table =
        run.env("TURNWISE_MAX_BODY", "200").env("TURNWISE_LISTEN", "x").env("OPENAI_API_KEY", "sk-secret").out();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    for expected in [
        &["listen", "127.0.0.1:9000", "--listen"][..],
        &["max-body", "200", "TURNWISE_MAX_BODY"],
        &["log", "json", "c.json"],
        &["allow-host", "a,b", "c.json"],
        &["grace", "30", "default"],
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected:?}: {table}");
    }
    assert!(!table.contains("sk-secret"), "{table}");
}

#[cfg(feature = "serve")]
#[test]
fn a_setting_that_cannot_be_used_is_refused_with_its_source() {
    let files = Files::new().with("c.json", r#"{"listn": "x"}"#).with("d.json", r#"{"max_running": 0}"#);
    for (line, message) in [
        ("--config c.json", "c.json: there is no setting `listn`; the nearest name is `listen`"),
        ("--config d.json", "max-running `0` (from d.json): 0 would answer nobody"),
        ("--config none.json", "none.json"),
        ("--per-minute many", "per-minute `many` (from --per-minute): write a whole number"),
        ("--truncation maybe", "truncation `maybe` (from --truncation): write auto or disabled"),
        ("--strategy best", "strategy `best` (from --strategy)"),
        ("--model nosuch", "the window of `nosuch` is not known; or pass --window TOKENS"),
        ("--log xml", "log `xml`: write text, json or off"),
        ("--keys-file none", "keys-file `none` (from --keys-file): there is no such file"),
        ("--listen 0.0.0.0:0", "without keys anybody who reaches this address could read all conversations"),
        ("--listen nowhere", "listen `nowhere` (from --listen)"),
    ] {
        let error = turnwise(&format!("serve --store dir:chats {line}")).inside(files.path()).fails(2);
        assert!(error.contains(message), "{line}: {error}");
    }
}

#[cfg(feature = "serve")]
#[test]
fn keys_are_added_listed_and_removed() {
    let files = Files::new();
    let run = |line: &str| turnwise(&format!("serve keys {line} --store dir:chats")).inside(files.path());
    let secret = run("add laptop").out();
    assert!(secret.starts_with("tw-") && secret.trim().len() == 67, "{secret}");
    run("add phone --tenant ann").out();
    let listed = run("list").out();
    assert!(listed.contains("laptop  default") && listed.contains("phone   ann"), "{listed}");
    assert!(run("add phone").fails(2).contains("there is a key `phone`; remove it first"));
    assert!(run("add x --tenant ../x").fails(2).contains("1 to 64 of the characters a-z"));
    assert_eq!(run("remove phone").out(), "removed phone\n");
    assert!(run("remove phone").fails(2).contains("there is no key `phone`"));
    let file = std::fs::read_to_string(files.path().join("chats.keys.json")).unwrap();
    assert!(file.contains("laptop") && !file.contains(secret.trim()), "{file}");
    // Where there were keys, a server does not go on without them.
    std::fs::remove_file(files.path().join("chats.keys.json")).unwrap();
    let error = turnwise("serve --store dir:chats --listen 127.0.0.1:0").inside(files.path()).fails(2);
    assert!(error.contains("the file with the keys is gone") && error.contains("chats.keys.json.lock"), "{error}");
}
