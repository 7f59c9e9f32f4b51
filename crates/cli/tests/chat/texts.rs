//! Messages of several lines, whole inputs and templates.

use tempfile::TempDir;

use crate::run::{said, text, turnwise, turnwise_in};
use crate::stub::{Answer, Stub};

const CHAT: &str = "chat talk.json -m gpt-4o";

fn stub() -> Stub {
    Stub::new(["one", "two", "three"].map(Answer::says))
}

#[test]
fn lines_between_quotes_are_one_message() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    let input = "/system \"\"\"\nBe kind.\nBe brief.\n\"\"\"\n\"\"\"a\n/undo\nquit\n\"\"\"\nb\nexit\nnot sent\n";
    let ran = turnwise(&folder, &stub, CHAT, input);
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(0), "one\ntwo\n".to_owned()), "{}", text(&ran.stderr));
    assert_eq!(said(&folder, "talk.json"), ["a\n/undo\nquit", "one", "b", "two"]);
    assert!(stub.seen()[0].body.contains(r#""content":"Be kind.\nBe brief.""#), "{}", stub.seen()[0].body);
}

#[test]
fn a_pasted_text_is_one_message() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    turnwise(&folder, &stub, CHAT, "Read this: \u{1b}[200~a\nb\n\u{1b}[201~\nc\n");
    assert_eq!(said(&folder, "talk.json"), ["Read this: a\nb", "one", "c", "two"]);
}

#[test]
fn quotes_that_are_not_closed_are_an_error_and_nothing_is_sent() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    let ran = turnwise(&folder, &stub, CHAT, "\"\"\"a\nb\n");
    assert_eq!((ran.status.code(), stub.seen().len()), (Some(1), 0));
    assert!(text(&ran.stderr).contains("no closing \"\"\"; nothing was sent"), "{}", text(&ran.stderr));
}

#[test]
fn a_line_that_is_not_utf_8_is_not_sent_and_the_chat_goes_on() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    let ran = turnwise(&folder, &stub, CHAT, b"a\ncaf\xe9\n\"\"\"x\n\xff\n\"\"\"\nb\n");
    assert_eq!(ran.status.code(), Some(1));
    assert_eq!(said(&folder, "talk.json"), ["a", "one", "b", "two"]);
    let told = text(&ran.stderr);
    assert!(told.contains("this line is not UTF-8: byte 3 is 0xe9; nothing was sent. Convert it first"), "{told}");
    assert_eq!(told.matches("is not UTF-8").count(), 2, "{told}");
}

#[test]
fn the_whole_input_can_be_one_message_with_a_question_after_it() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    let ran = turnwise(&folder, &stub, &format!("{CHAT} --once -q Why?"), "a\n\nquit\n/undo\n");
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(0), "one\n".to_owned()), "{}", text(&ran.stderr));
    let ran = turnwise(&folder, &stub, &format!("{CHAT} --query And?"), "not read\n");
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(0), "two\n".to_owned()), "{}", text(&ran.stderr));
    assert_eq!(said(&folder, "talk.json"), ["a\n\nquit\n/undo\n\nWhy?", "one", "And?", "two"]);
}

#[test]
fn an_empty_input_and_a_failure_of_the_only_message_are_errors() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::new(400, r#"{"error":{"message":"no"}}"#)]);
    let ran = turnwise(&folder, &stub, "chat -m gpt-4o --once", " \n");
    assert_eq!((ran.status.code(), stub.seen().len()), (Some(2), 0), "{}", text(&ran.stderr));
    let ran = turnwise(&folder, &stub, "chat -m gpt-4o --once", "a");
    assert_eq!((ran.status.code(), stub.seen().len()), (Some(1), 1), "{}", text(&ran.stderr));
}

#[test]
fn the_base_url_of_the_command_line_is_used_before_the_environments() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    let url = format!("{}/", stub.url());
    let variables = [("OPENAI_BASE_URL", "http://127.0.0.1:9/v1"), ("OPENAI_API_KEY", "secret")];
    let ran = turnwise_in(&folder, &variables, &format!("chat -m gpt-4o --base-url {url}"), "a\n");
    assert_eq!(text(&ran.stdout), "one\n", "{}", text(&ran.stderr));
    assert!(stub.seen()[0].head.contains("Bearer secret"), "{}", stub.seen()[0].head);
}

#[test]
fn a_template_is_filled_and_sent_first_and_the_talk_goes_on() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    std::fs::write(folder.path().join("story.txt"), "A story of {who} in {where}; {who} wins.\n").unwrap();
    let chat = "chat talk.json -m gpt-4o --template story.txt";
    let ran = turnwise(&folder, &stub, &format!("{chat} --set who=Ann --set where=Rome"), "Go on.\n");
    assert_eq!(text(&ran.stdout), "one\ntwo\n", "{}", text(&ran.stderr));
    assert_eq!(said(&folder, "talk.json"), ["A story of Ann in Rome; Ann wins.", "one", "Go on.", "two"]);
    for (set, told) in [
        ("", "story.txt: the template needs who, where; give each a text with --set who=TEXT"),
        ("--set who=Ann", "story.txt: the template needs where"),
        ("--set who=Ann --set what=x", "the template has no {what}; it has who, where"),
        ("--set who", "--set who: `=` is missing"),
    ] {
        let ran = turnwise(&folder, &stub, &format!("{chat} {set}"), "");
        assert_eq!(ran.status.code(), Some(2), "{set}");
        assert!(text(&ran.stderr).contains(told), "{}", text(&ran.stderr));
    }
    assert_eq!(stub.seen().len(), 2);
}

#[test]
fn the_template_of_a_story_in_the_examples_has_the_four_names_of_the_lesson() {
    let folder = TempDir::new().unwrap();
    let stub = stub();
    let story = std::fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/story.txt")).unwrap();
    let ran = turnwise(&folder, &stub, &format!("chat -m gpt-4o --template {}", story.display()), "");
    assert!(text(&ran.stderr).contains("needs character, setting, problem, ending;"), "{}", text(&ran.stderr));
}
