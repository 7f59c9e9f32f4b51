//! Commands that change settings, look at what other settings would do, or ask beside the talk.

use tempfile::TempDir;

use crate::run::{said, saved, text, turnwise};
use crate::stub::{Answer, Stub};

const CHAT: &str = "chat talk.json -m gpt-4o";

fn stub() -> Stub {
    Stub::new(["one", "two", "three", "four", "five"].map(Answer::says))
}

/// Some 120 tokens.
fn long(word: &str) -> String {
    format!("{word} ").repeat(120).trim_end().to_owned()
}

#[test]
fn budget_strategy_and_model_hold_from_the_next_message_on() {
    for place in ["talk.json", "talk.jsonl", "--store dir:chats --conversation ann", ""] {
        let (folder, stub) = (TempDir::new().unwrap(), stub());
        let a = long("a");
        let input = format!(
            "/system Be kind.\n{a}\n/budget 60\nb\n/budget 8,000\n/model gpt-4o-mini\nc\n/strategy window:turns=1\nd\n/model\n"
        );
        let ran = turnwise(&folder, &stub, &format!("chat {place} -m gpt-4o"), &input);
        let (out, err) = (text(&ran.stdout), text(&ran.stderr));
        assert_eq!((ran.status.code(), &*out), (Some(0), "one\ntwo\nthree\nfour\n"), "{place}: {err}");
        let sent: Vec<String> = stub.seen().iter().map(|seen| seen.body.clone()).collect();
        assert!(sent[1].contains("Be kind.") && !sent[1].contains("a a a"), "{}", sent[1]);
        assert!(sent[2].contains(r#""model":"gpt-4o-mini""#) && sent[2].contains("a a a"), "{}", sent[2]);
        assert!(sent[3].contains(r#""content":"d""#) && !sent[3].contains("a a a"), "{}", sent[3]);
        assert!(err.contains("at most 60 tokens are sent") && err.contains("the strategy is window:turns=1"), "{err}");
        assert!(err.contains("the model is gpt-4o-mini; its window has 128,000 tokens"), "{err}");
        let file = match place {
            "" => continue,
            "talk.json" | "talk.jsonl" => place,
            _ => "chats/ann.jsonl",
        };
        assert_eq!(said(&folder, file), [&a, "one", "b", "two", "c", "three", "d", "four"], "nothing is lost");
        assert_eq!(saved(&folder, file).model.as_deref(), Some("gpt-4o-mini"));
    }
}

#[test]
fn a_setting_that_cannot_be_used_says_why_and_changes_nothing() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    let input = "/system Be kind.\n/budget 1\n/budget many\n/strategy fast\n/model nonsense\na\n";
    let ran = turnwise(&folder, &stub, CHAT, input);
    let err = text(&ran.stderr);
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(1), "one\n".to_owned()), "{err}");
    for told in ["`many` is not valid; write /budget [N]", "head-tail", "nonsense", "/budget N, /model NAME"] {
        assert!(err.contains(told), "{told}: {err}");
    }
    assert_eq!(err.matches("turnwise: ").count(), 4, "{err}");
    assert!(stub.seen()[0].body.contains(r#""model":"gpt-4o","#) && stub.seen()[0].body.contains("Be kind."));
}

#[test]
fn a_settings_change_waits_until_the_chat_is_saved() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    turnwise(&folder, &stub, CHAT, "a\n");
    let other = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"someone else's"}]}"#;
    let mut talk = crate::run::Talk::start(&folder, &stub, CHAT);
    talk.say("b");
    assert_eq!(talk.hear('\n'), "two\n");
    crate::run::wait_until(|| said(&folder, "talk.json").len() == 4);
    std::fs::write(folder.path().join("talk.json"), other).unwrap();
    talk.say("/budget 100\n/history");
    let ended = talk.end();
    assert!(text(&ended.stderr).contains("/save NAME continues in another file"), "{}", text(&ended.stderr));
    assert!(text(&ended.stdout).contains("two"), "what was said is still there: {}", text(&ended.stdout));
    assert_eq!(said(&folder, "talk.json"), ["someone else's"]);
}

#[test]
fn why_names_the_reason_and_the_remedy() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    let input = format!("/why 0\n{}\nb\n/why 0\n/why #2\n/why 99\n/why #99\n", long("a"));
    let ran = turnwise(&folder, &stub, "chat talk.json -m gpt-4o --budget 130", &input);
    let (out, err) = (text(&ran.stdout), text(&ran.stderr));
    assert!(out.contains("in the last request: message 0 (user), 12"), "{out}{err}");
    assert!(out.contains("is not sent: older than what fits.") && out.contains("message 2 (user)"), "{out}{err}");
    assert!(err.contains("there is no message 99; the indexes are 0 to 3"), "{err}");
    assert!(err.contains("there is no message #99 on this branch"), "{err}");
    assert!(err.contains("there is no message yet"), "{err}");
}

#[test]
fn the_conversation_is_compared_under_its_own_budget_and_strategy() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    let chat = format!("{CHAT} --budget 300 --strategy window:turns=2");
    let input = format!("{}\nb\n/compare\n/compare recall window:messages=4\n/compare fast\n", long("a"));
    let ran = turnwise(&folder, &stub, &chat, &input);
    let (out, err) = (text(&ran.stdout), text(&ran.stderr));
    assert!(out.contains("1 conversation, 2 requests, limit 300 tokens"), "{out}{err}");
    assert!(out.contains("\nwindow:turns=2 ") && out.contains("\neverything "), "{out}");
    assert!(out.contains("\nwindow:messages=4 ") && err.contains("fast"), "{out}{err}");
    assert_eq!(stub.seen().len(), 2, "nothing is sent for it");
}

#[test]
fn an_export_has_the_format_of_its_ending_and_replaces_nothing_unasked() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    let input = "a\n/export my talk.md\n/export my talk.md\n/export my talk.md --force\n\
                 /export body.json --to anthropic\n/export x.json --to nonsense\n";
    let ran = turnwise(&folder, &stub, CHAT, input);
    let err = text(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1));
    assert!(err.contains("it exists; --force replaces it") && err.contains("--to: "), "{err}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(read("my talk.md").contains("one") && read("body.json").contains(r#""role":"assistant""#));
    assert!(!folder.path().join("x.json").exists());
}

#[test]
fn an_export_never_replaces_the_file_of_the_chat() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    let ran = turnwise(&folder, &stub, CHAT, "a\n/export talk.json --to messages --force\nb\n");
    let err = text(&ran.stderr);
    assert!(err.contains("it is the file that is read"), "{err}");
    assert_eq!(said(&folder, "talk.json").len(), 4, "{err}");
}

#[test]
fn a_side_question_is_answered_and_not_remembered() {
    let failed = Answer::new(400, r#"{"error":{"message":"no"}}"#);
    let folder = TempDir::new().unwrap();
    let stub =
        Stub::new([Answer::says("one"), Answer::says("aside"), failed, Answer::says("again"), Answer::says("two")]);
    let ran = turnwise(&folder, &stub, CHAT, "a\n/btw what is b?\n/btw and c?\n/retry\nd\n/cost\n");
    let (out, err) = (text(&ran.stdout), text(&ran.stderr));
    assert!(out.starts_with("one\naside\nagain\ntwo\n"), "{out}{err}");
    assert_eq!(err.matches("the conversation does not remember it").count(), 2, "{err}");
    assert_eq!(said(&folder, "talk.json"), ["a", "one", "d", "two"]);
    assert_eq!(saved(&folder, "talk.json").conversation.items().count(), 4);
    let sent = stub.seen();
    assert!(sent[1].body.contains(r#""content":"a""#) && sent[1].body.contains("what is b?"), "{}", sent[1].body);
    assert!(!sent[3].body.contains("what is b?") && sent[3].body.contains("and c?"), "{}", sent[3].body);
    assert!(!sent[4].body.contains("what is b?") && !sent[4].body.contains("and c?"), "{}", sent[4].body);
    assert!(out.contains("side questions, not included: 3 calls (1 failed, 2 without a bill)"), "{out}");
    assert!(out.contains("the next prompt, without a message: ") && out.contains("tokens, at most $0.0"), "{out}");
}

#[test]
fn the_first_question_can_be_a_side_question() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    let ran = turnwise(&folder, &stub, "chat -m gpt-4o --system Brief", "/btw a\nb\n/history\n");
    let out = text(&ran.stdout);
    assert!(out.starts_with("one\ntwo\n") && !out.contains("  a\n"), "{out}{}", text(&ran.stderr));
    assert!(stub.seen().iter().all(|seen| seen.body.contains("Brief")));
}

#[test]
fn a_summary_is_made_only_if_it_is_confirmed_and_can_be_undone() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("short")]);
    let chat = format!("{CHAT} --budget 400 --strategy summarize:tokens=60 --confirm-summary");
    let talk = ["a", "b", "c"].map(long).join("\n");
    let summaries = || stub.seen().iter().filter(|seen| seen.body.contains("You keep the memory")).count();
    let ran = turnwise(&folder, &stub, &chat, format!("{talk}\n{}\nno\n", long("d")));
    let err = text(&ran.stderr);
    assert!(err.contains("would be summarized first") && err.contains("what does not fit is left out"), "{err}");
    assert_eq!((ran.status.code(), summaries(), said(&folder, "talk.json").len()), (Some(0), 0, 8), "{err}");

    let ran = turnwise(&folder, &stub, &chat, format!("{}\ny\n/summaries\n/expand 7\n/expand\n/expand\n", long("e")));
    let (out, err) = (text(&ran.stdout), text(&ran.stderr));
    assert!(summaries() > 0 && err.contains("older messages were summarized"), "{err}");
    assert!(out.contains("summary 0 of messages 0 to ") && out.contains("\n  short\n"), "{out}");
    assert!(err.contains("has no summary 7; they are 0"), "{err}");
    assert!(
        err.contains("the summary is no longer sent; its ") && err.contains("there is no summary to undo"),
        "{err}"
    );
    assert_eq!(saved(&folder, "talk.json").conversation.summaries().count(), 0);
}
