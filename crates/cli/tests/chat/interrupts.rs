//! Ctrl-C: a real signal to the real program.
#![cfg(unix)]

use std::time::Duration;

use tempfile::TempDir;

use crate::run::{Talk, delta, said, saved, text, turnwise, wait_until};
use crate::stub::{Answer, Stub};

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(600);

#[test]
fn a_reply_that_has_not_begun_is_given_up_and_the_chat_goes_on() {
    for how in ["", "--no-stream"] {
        let (folder, stub) =
            (TempDir::new().unwrap(), Stub::new([Answer::says("one").after(NEVER), Answer::says("two")]));
        let mut talk = Talk::start(&folder, &stub, &format!("chat talk.json --model gpt-4o {how}"));
        talk.say("first");
        wait_until(|| stub.seen().len() == 1);
        talk.interrupt();
        talk.say("second");
        assert_eq!(talk.hear('\n'), "two\n");
        let ended = talk.end();
        assert_eq!((ended.status.code(), text(&ended.stdout)), (Some(0), String::new()));
        assert!(text(&ended.stderr).contains("stopped before anything arrived"), "{}", text(&ended.stderr));
        assert_eq!(said(&folder, "talk.json"), ["second", "two"]);
    }
}

#[test]
fn of_a_reply_that_has_begun_what_came_is_kept() {
    let stalls =
        Answer::events([delta(r#"{"content":"The Elbe, "}"#), delta(r#"{"content":"the Oder."}"#)]).pause(NEVER);
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([stalls, Answer::says("two"), Answer::says("three")]);
    let mut talk = Talk::start(&folder, &stub, "chat talk.json --model gpt-4o");
    talk.say("Rivers?");
    assert_eq!(talk.hear(','), "The Elbe,");
    talk.interrupt();
    wait_until(|| stub.left() == 1);
    talk.say("Go on.");
    assert_eq!((talk.hear('\n'), talk.hear('\n')), (" \n".to_owned(), "two\n".to_owned()));
    let ended = talk.end();
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    assert!(text(&ended.stderr).contains("stopped; the part that arrived is kept, marked as incomplete"));
    assert_eq!(said(&folder, "talk.json"), ["Rivers?", "The Elbe, ", "Go on.", "two"]);
    let marked = |file: &str| {
        let file = saved(&folder, file);
        file.conversation.path().messages().map(turnwise::Message::is_incomplete).collect::<Vec<_>>()
    };
    assert_eq!(marked("talk.json"), [false, true, false, false]);
    let sent = &stub.seen()[1].body;
    assert!(sent.contains(r#""content":"The Elbe, "}"#) || sent.contains(r#","content":"The Elbe, ""#), "{sent}");
    assert!(!sent.contains("incomplete"), "{sent}");
}

#[test]
fn a_kept_part_is_in_the_file_though_the_chat_ends_at_once() {
    let stalls =
        Answer::events([delta(r#"{"content":"The Elbe, "}"#), delta(r#"{"content":"the Oder."}"#)]).pause(NEVER);
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([stalls, Answer::says("two")]);
    let mut talk = Talk::start(&folder, &stub, "chat talk.json --model gpt-4o");
    talk.say("Rivers?\n/quit");
    talk.hear(',');
    talk.interrupt();
    assert_eq!(talk.end().status.code(), Some(0));
    assert_eq!(said(&folder, "talk.json"), ["Rivers?", "The Elbe, "]);

    let again = turnwise(&folder, &stub, "chat talk.json --model gpt-4o", "/history\n/regenerate\n");
    assert!(text(&again.stdout).contains("The Elbe,  [incomplete]\n"), "{}", text(&again.stdout));
    assert_eq!(said(&folder, "talk.json"), ["Rivers?", "two"]);
}

#[test]
fn at_the_prompt_it_ends_the_chat() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("one")]);
    let mut talk = Talk::start(&folder, &stub, "chat talk.json --model gpt-4o");
    talk.say("first");
    assert_eq!(talk.hear('\n'), "one\n");
    // Saved before the next line is waited for.
    wait_until(|| folder.path().join("talk.json").exists());
    talk.interrupt();
    assert_eq!(talk.wait().code(), Some(130));
    assert_eq!(said(&folder, "talk.json"), ["first", "one"]);
}

#[test]
fn a_single_message_that_is_stopped_ends_with_130() {
    let stalls =
        || Answer::events([delta(r#"{"content":"The Elbe, "}"#), delta(r#"{"content":"the Oder."}"#)]).pause(NEVER);
    for (line, kept) in [("chat talk.json -q Rivers?", "is kept, marked as incomplete"), ("chat -q Rivers?", "no file")]
    {
        let (folder, stub) = (TempDir::new().unwrap(), Stub::new([stalls()]));
        let mut talk = Talk::start(&folder, &stub, &format!("{line} --model gpt-4o"));
        assert_eq!(talk.hear(','), "The Elbe,");
        talk.interrupt();
        let ended = talk.end();
        let told = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(130), "{told}");
        assert!(told.contains(kept) && !told.contains("/retry"), "{told}");
        if line.contains("talk.json") {
            assert_eq!(said(&folder, "talk.json"), ["Rivers?", "The Elbe, "]);
        }
    }
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("one").after(NEVER)]));
    let talk = Talk::start(&folder, &stub, "chat talk.json -q Rivers? --no-stream --model gpt-4o");
    wait_until(|| stub.seen().len() == 1);
    talk.interrupt();
    let ended = talk.end();
    assert_eq!((ended.status.code(), text(&ended.stdout)), (Some(130), String::new()), "{}", text(&ended.stderr));
}

#[test]
fn a_reply_of_which_a_part_is_kept_is_asked_for_again() {
    let stalls =
        Answer::events([delta(r#"{"content":"The Elbe, "}"#), delta(r#"{"content":"the Oder."}"#)]).pause(NEVER);
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([stalls, Answer::says("two")]);
    let mut talk = Talk::start(&folder, &stub, "chat talk.json --model gpt-4o");
    talk.say("Rivers?");
    talk.hear(',');
    talk.interrupt();
    talk.say("/retry");
    let ended = talk.end();
    let told = text(&ended.stderr);
    assert!(told.contains("is kept, marked as incomplete; /retry asks again"), "{told}");
    assert!(text(&ended.stdout).ends_with("two\n"), "{told}");
    assert_eq!(said(&folder, "talk.json"), ["Rivers?", "two"]);
    assert_eq!(saved(&folder, "talk.json").conversation.branches().count(), 2, "the part stays as a branch");
}
