//! Replies that are printed as they come.

use tempfile::TempDir;

use crate::run::{delta, said, saved, stop, text, turnwise};
use crate::stub::{Answer, Stub};

const CHAT: &str = "chat talk.json --model gpt-4o";

#[test]
fn a_control_sequence_deceives_nobody_though_it_is_torn() {
    let parts = [r#"{"role":"assistant","content":"a\u001b"}"#, r#"{"content":"[31mb\r"}"#, r#"{"content":"\nc"}"#];
    let answer = Answer::events(parts.map(delta).into_iter().chain([stop(), "[DONE]".to_owned()]));
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([answer]);
    let ran = turnwise(&folder, &stub, CHAT, "hello\n");
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(0), "a\u{fffd}[31mb\u{fffd}\nc\n".to_owned()));
    assert_eq!(said(&folder, "talk.json"), ["hello", "a\u{1b}[31mb\r\nc"]);
    assert!(stub.seen()[0].body.contains(r#""stream":true"#));
}

#[test]
fn what_the_model_thinks_is_shown_on_request() {
    let parts =
        [r#"{"reasoning_content":"Hm, \u001b"}"#, r#"{"reasoning_content":"rivers"}"#, r#"{"content":"The Elbe."}"#];
    let answer = Answer::events(parts.map(delta).into_iter().chain([stop()]));
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([answer]);
    let run = |how: &str| {
        let ran = turnwise(&folder, &stub, &format!("chat --model gpt-4o {how}"), "hello\n");
        assert_eq!(text(&ran.stdout), "The Elbe.\n");
        text(&ran.stderr)
    };
    assert_eq!(run("--show-reasoning"), "Hm, \u{fffd}rivers\n");
    assert_eq!(run(""), "");
}

#[test]
fn a_reply_that_breaks_off_is_kept_as_far_as_it_came_and_said() {
    let torn = Answer::events([delta(r#"{"content":"The "}"#), delta(r#"{"content":"Elbe"}"#)]).torn();
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([torn, Answer::says("The Oder.")]);
    let ran = turnwise(&folder, &stub, CHAT, "A river?\n");
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(1), "The Elbe\n".to_owned()));
    assert!(text(&ran.stderr).contains("turnwise: "), "{}", text(&ran.stderr));
    assert!(text(&ran.stderr).contains("the part that arrived is kept, marked as incomplete"), "{}", text(&ran.stderr));
    assert!(saved(&folder, "talk.json").conversation.path().messages().last().unwrap().is_incomplete());
    let again = turnwise(&folder, &stub, CHAT, "/regenerate\n");
    assert_eq!((again.status.code(), said(&folder, "talk.json").pop()), (Some(0), Some("The Oder.".to_owned())));
}
