//! Ctrl-C: a real signal to the real program.
#![cfg(unix)]

use std::time::Duration;

use tempfile::TempDir;

use crate::run::{Talk, said, text, wait_until};
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
        assert!(text(&ended.stderr).contains("stopped before anything came"), "{}", text(&ended.stderr));
        assert_eq!(said(&folder, "talk.json"), ["second", "two"]);
    }
}

#[test]
fn at_the_prompt_it_ends_the_chat() {
    let (folder, stub) = (TempDir::new().unwrap(), Stub::new([Answer::says("one")]));
    let mut talk = Talk::start(&folder, &stub, "chat talk.json --model gpt-4o");
    talk.say("first");
    assert_eq!(talk.hear('\n'), "one\n");
    // Saved before the next line is waited for.
    wait_until(|| folder.path().join("talk.json").exists());
    talk.interrupt();
    assert_eq!(talk.wait().code(), Some(130));
    assert_eq!(said(&folder, "talk.json"), ["first", "one"]);
}
