//! Talks: what is sent, what is printed, what is saved.

use tempfile::TempDir;

use crate::run::{said, saved, text, turnwise, turnwise_in};
use crate::stub::{Answer, Stub};

#[test]
fn a_piped_chat_saves_itself_and_goes_on_next_time() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("one"), Answer::says("two\u{1b}[31m")]);
    let first = turnwise(&folder, &stub, "chat talk.json --model gpt-4o --system Brief", "hello\nquit\nnot sent\n");
    assert_eq!((first.status.code(), text(&first.stdout)), (Some(0), "one\n".to_owned()));
    let second = turnwise(&folder, &stub, "chat talk.json --model gpt-4o", "\nagain\n");
    assert_eq!(text(&second.stdout), "two\u{fffd}[31m\n");
    let seen = stub.seen();
    assert!(seen[1].body.contains(r#""content":"Brief"},{"role":"user","content":"hello"},{"content":"one","role":"assistant"},{"role":"user","content":"again"}"#));
    let saved = saved(&folder, "talk.json");
    assert_eq!(saved.conversation.path().turn_count(), 2);
}

#[test]
fn a_chat_in_a_store_goes_on_by_its_id_and_with_the_last_one() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new(["one", "two", "three", "four"].map(Answer::says));
    let run = |more: &str, input: &str| {
        let ran = turnwise(&folder, &stub, &format!("chat --store dir:chats --model gpt-4o {more}"), input);
        assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
        text(&ran.stdout)
    };
    assert_eq!(run("--conversation ann", "hello\n"), "one\n");
    assert_eq!(run("--conversation bob", "hi\n/undo\nhi again\n"), "two\nthree\n");
    assert_eq!(run("--continue", "more\n"), "four\n");
    assert_eq!(said(&folder, "chats/ann.jsonl"), ["hello", "one"]);
    assert_eq!(said(&folder, "chats/bob.jsonl"), ["hi again", "three", "more", "four"]);
    assert_eq!(run("", ""), "");
    assert_eq!(
        std::fs::read_dir(folder.path().join("chats"))
            .unwrap()
            .filter(|file| !file.as_ref().unwrap().file_name().to_str().unwrap().starts_with('.'))
            .count(),
        3
    );
    let none = turnwise(&folder, &stub, "chat --store dir:other --continue --model gpt-4o", "");
    assert!(text(&none.stderr).contains("dir:other has no conversation to continue"), "{}", text(&none.stderr));
    let both = turnwise(&folder, &stub, "chat talk.json --store dir:chats --model gpt-4o", "");
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn a_chat_goes_on_with_the_model_of_its_file() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("one")]);
    let body = r#"{"model":"gpt-4o-mini","temperature":0.1,"messages":[{"role":"user","content":"a"}]}"#;
    std::fs::write(folder.path().join("talk.json"), body).unwrap();
    let ran = turnwise(&folder, &stub, "chat talk.json", "hello\n");
    assert_eq!(text(&ran.stdout), "one\n", "{}", text(&ran.stderr));
    let sent = &stub.seen()[0].body;
    assert!(sent.starts_with(r#"{"model":"gpt-4o-mini","#) && !sent.contains("temperature"), "{sent}");
    assert!(saved(&folder, "talk.json").extra.iter().any(|(key, _)| key == "temperature"));
    turnwise(&folder, &stub, "chat talk.json --model gpt-4o", "hello\n");
    assert!(stub.seen()[1].body.contains(r#""model":"gpt-4o","#));
}

#[test]
fn a_chat_is_not_saved_to_a_file_named_as_the_standard_input() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("one")]);
    let ran = turnwise(&folder, &stub, "chat - --model gpt-4o", "hello\n");
    assert_eq!((ran.status.code(), stub.seen().len()), (Some(2), 0));
    assert!(!folder.path().join("-").exists());
}

#[test]
fn calls_that_nobody_runs_do_not_end_a_chat_or_a_live_replay() {
    let calls = r#"{"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"weather","arguments":"{}"}}]}}]}"#;
    let answers = || Stub::new([Answer::new(200, calls), Answer::says("two")]);
    let folder = TempDir::new().unwrap();
    let stub = answers();
    let ran = turnwise(&folder, &stub, "chat talk.json --model gpt-4o", "one\ntwo\n");
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(0), "\ntwo\n".to_owned()), "{}", text(&ran.stderr));
    assert!(text(&ran.stderr).contains("weather"));
    assert!(!stub.seen()[1].body.contains("weather"));
    assert_eq!(saved(&folder, "talk.json").conversation.items().count(), 4, "the record has the calls");

    let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#;
    std::fs::write(folder.path().join("two.json"), body).unwrap();
    let ran = turnwise(&folder, &answers(), "replay two.json --live", "");
    assert_eq!((ran.status.code(), text(&ran.stdout).lines().count()), (Some(0), 2), "{}", text(&ran.stderr));
}

#[test]
fn what_was_trimmed_is_said_beside_the_reply() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("a reply of some words")]);
    let ran = turnwise(&folder, &stub, "chat --model gpt-4o --budget 40", "one\ntwo\nthree\nfour\n");
    assert_eq!(text(&ran.stdout).lines().count(), 4);
    assert!(text(&ran.stderr).contains("messages sent, "), "{}", text(&ran.stderr));
}

#[test]
fn a_failed_exchange_is_said_and_the_chat_goes_on() {
    let stub = Stub::new([Answer::new(400, r#"{"error":{"message":"no"}}"#), Answer::says("yes")]);
    let folder = TempDir::new().unwrap();
    let ran = turnwise(&folder, &stub, "chat talk.json --model gpt-4o", "one\ntwo\n");
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(1), "yes\n".to_owned()));
    assert!(text(&ran.stderr).contains("rejected: status 400"), "{}", text(&ran.stderr));
    let saved = saved(&folder, "talk.json");
    assert_eq!(saved.conversation.path().messages().next().unwrap().text(), "two");
}

#[test]
fn a_chat_without_a_model_says_how_to_name_one() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("x")]);
    let ran = turnwise(&folder, &stub, "chat", "hello\n");
    assert_eq!(ran.status.code(), Some(2));
    assert!(text(&ran.stderr).contains("OPENAI_MODEL"));
}

#[test]
fn parameters_are_sent_as_they_are_given() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("x")]);
    turnwise(&folder, &stub, "chat --model gpt-4o --max-reply 9 --param temperature=0.50 --param seed=7", "hello\n");
    assert!(stub.seen()[0].body.contains(r#""max_completion_tokens":9,"temperature":0.50,"seed":7"#));
    let wrong = turnwise(&folder, &stub, "chat --model gpt-4o --param temperature", "hello\n");
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn the_environment_may_stand_in_a_file() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("hi")]);
    std::fs::write(folder.path().join(".env"), "OPENAI_MODEL=gpt-4o\n").unwrap();
    assert_eq!(text(&turnwise(&folder, &stub, "chat", "hello\n").stdout), "hi\n");
}

#[test]
fn without_certificates_a_plain_server_answers_and_a_secure_one_is_an_error() {
    const NONE: [(&str, &str); 2] = [("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")];
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("hi")]);
    let url = stub.url();
    let run = |variables: &[(&str, &str)]| {
        turnwise_in(&folder, &[&NONE, variables].concat(), "chat --model gpt-4o", "hello\n")
    };
    let plain = run(&[("OPENAI_BASE_URL", &*url)]);
    assert_eq!(text(&plain.stdout), "hi\n", "{}", text(&plain.stderr));
    // On systems that do not read certificates from files there is an error all the same: nobody
    // answers there.
    let secure = run(&[("OPENAI_BASE_URL", "https://127.0.0.1:9/v1")]);
    assert_eq!(secure.status.code(), Some(1), "{}", text(&secure.stderr));
    assert!(!text(&secure.stderr).contains("panicked"), "{}", text(&secure.stderr));
}

#[test]
fn a_missing_key_is_said_when_something_is_sent() {
    let folder = TempDir::new().unwrap();
    let ran = turnwise_in(&folder, &[], "chat --model gpt-4o", "hello\n");
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran.stderr).contains("OPENAI_API_KEY"), "{}", text(&ran.stderr));
    assert_eq!(turnwise_in(&folder, &[], "chat --model gpt-4o", "").status.code(), Some(0));
}

#[test]
fn whole_replies_may_be_waited_for() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("one\u{1b}[2J")]);
    let ran = turnwise(&folder, &stub, "chat talk.json --model gpt-4o --no-stream", "hello\n");
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(0), "one\u{fffd}[2J\n".to_owned()));
    assert!(!stub.seen()[0].body.contains("stream"));
}

#[test]
fn nothing_that_is_said_is_logged() {
    const SECRETS: [&str; 3] = ["sk-secret-key", "my secret question", "a secret answer"];
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says(SECRETS[2])]);
    let url = stub.url();
    let variables = [("OPENAI_BASE_URL", &*url), ("OPENAI_API_KEY", SECRETS[0]), ("RUST_LOG", "trace")];
    for how in ["", "--no-stream"] {
        let line = format!("chat talk.json --model gpt-4o {how}");
        let ran = turnwise_in(&folder, &variables, &line, format!("{}\n", SECRETS[1]));
        assert_eq!(text(&ran.stdout), format!("{}\n", SECRETS[2]), "{}", text(&ran.stderr));
        assert!(stub.seen().iter().all(|seen| seen.head.contains(SECRETS[0]) && seen.body.contains(SECRETS[1])));
        for secret in SECRETS {
            assert!(!text(&ran.stderr).contains(secret), "{}", text(&ran.stderr));
        }
    }
}

#[test]
fn what_failed_is_sent_again_on_request() {
    let stub = Stub::new([Answer::new(400, r#"{"error":{"message":"no"}}"#), Answer::says("yes")]);
    let folder = TempDir::new().unwrap();
    let ran = turnwise(&folder, &stub, "chat talk.json --model gpt-4o", "one\n/retry\n/retry\n");
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(1), "yes\n".to_owned()));
    assert_eq!(said(&folder, "talk.json"), ["one", "yes"]);
    assert!(text(&ran.stderr).contains("no failed or stopped message"), "{}", text(&ran.stderr));
}

#[test]
fn summaries_and_ladders_are_told() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says(&"some words of a reply ".repeat(6))]);
    let said = "tell me some more about it\n".repeat(12);
    for strategy in ["summarize:tokens=80", "ladder"] {
        let line = format!("chat --model gpt-4o --budget 300 --strategy {strategy}");
        let ran = turnwise(&folder, &stub, &line, &said);
        let (remarks, code) = (text(&ran.stderr), ran.status.code());
        assert_eq!((code, text(&ran.stdout).lines().count()), (Some(0), 12), "{remarks}");
        assert!(remarks.contains("(older messages were summarized: "), "{strategy}: {remarks}");
        assert!(remarks.contains("sent and a summary, "), "{strategy}: {remarks}");
    }
}

#[test]
fn input_that_is_no_utf8_is_refused_with_the_place_of_the_fault() {
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("yes")]));
    let ran = turnwise(&folder, &stub, "chat --once --model gpt-4o", b"caf\xe9 au lait");
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(1), String::new()));
    let told = text(&ran.stderr);
    assert!(told.contains("the standard input is not UTF-8: byte 3 is 0xe9; nothing was sent"), "{told}");
    assert!(stub.seen().is_empty());
}

#[test]
fn a_copy_of_a_chat_in_a_store_is_only_a_copy() {
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("one"), Answer::says("two")]));
    let line = "chat --store dir:chats --conversation ann --model gpt-4o";
    let ran = turnwise(&folder, &stub, line, "first\n/save copy.json\nsecond\n");
    let told = text(&ran.stderr);
    assert!(told.contains("a copy is saved to copy.json; the chat stays in its store"), "{told}");
    assert_eq!(said(&folder, "copy.json"), ["first", "one"]);
    assert_eq!(said(&folder, "chats/ann.jsonl"), ["first", "one", "second", "two"]);
}
