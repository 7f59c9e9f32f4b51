//! Commands: what they do, and that it is in the file when the next one runs.

use tempfile::TempDir;

use crate::run::{said, saved, text, turnwise};
use crate::stub::{Answer, Stub};

const CHAT: &str = "chat talk.json --model gpt-4o";

/// Answers that can be told apart.
fn stub() -> Stub {
    Stub::new(["one", "two", "three", "four", "five"].map(Answer::says))
}

/// Runs the program once for each input, on the same file: standard output, standard error.
fn each(folder: &TempDir, stub: &Stub, inputs: &[&str]) -> Vec<(String, String)> {
    let run = |input: &&str| {
        let ran = turnwise(folder, stub, CHAT, input);
        assert_eq!(ran.status.code(), Some(0), "{input}: {}", text(&ran.stderr));
        (text(&ran.stdout), text(&ran.stderr))
    };
    inputs.iter().map(run).collect()
}

#[test]
fn a_file_that_cannot_be_saved_is_said_before_anything_is_asked() {
    let folder = TempDir::new().unwrap();
    let stub = stub();
    for (file, why) in [("missing/talk.json", "the folder missing does not exist"), (".", "regular file")] {
        let ran = turnwise(&folder, &stub, &format!("chat {file} --model gpt-4o"), "a\n");
        assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(1), String::new()));
        assert!(text(&ran.stderr).contains(why), "{}", text(&ran.stderr));
    }
    assert!(stub.seen().is_empty());
}

#[test]
fn undo_and_switch_survive_the_end_of_the_chat() {
    let folder = TempDir::new().unwrap();
    let stub = stub();
    let told = each(&folder, &stub, &["a\nb\n", "/undo\n", "/history\n/branches\n", "/switch #3\n", "/history 1\n"]);
    assert!(told[1].1.contains("back to before “b”; /switch #3 returns to it"), "{}", told[1].1);
    assert!(told[2].0.contains("#1  assistant  one") && !told[2].0.contains("two\n    0"), "{}", told[2].0);
    assert!(told[2].0.contains("#3   4 messages  b → two\n") && told[2].0.contains("one  <- here"), "{}", told[2].0);
    assert!(told[3].1.contains("now at #3 after 4 messages: “two”"), "{}", told[3].1);
    assert_eq!(told[4].0, "       … 3 messages before\n    3      #3  assistant  two\n");
    assert_eq!(said(&folder, "talk.json"), ["a", "one", "b", "two"]);
}

#[test]
fn another_reply_and_another_question_leave_the_old_ones_as_branches() {
    let folder = TempDir::new().unwrap();
    let stub = stub();
    each(&folder, &stub, &["a\nb\n", "/regenerate\n"]);
    assert_eq!(said(&folder, "talk.json"), ["a", "one", "b", "three"]);
    each(&folder, &stub, &["/edit c\n"]);
    assert_eq!(said(&folder, "talk.json"), ["a", "one", "c", "four"]);
    let told = each(&folder, &stub, &["/edit #0 d\n/branches\n"]);
    assert_eq!(said(&folder, "talk.json"), ["d", "five"]);
    assert_eq!(told[0].0.lines().count(), 1 + 4, "{}", told[0].0);
    assert!(stub.seen()[4].body.contains(r#""messages":[{"role":"user","content":"d"}]"#));
}

#[test]
fn branches_that_end_alike_are_listed_with_where_they_part() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new(["one", "the end", "two", "the end"].map(Answer::says));
    let told = each(&folder, &stub, &["a fox\ngo on\n", "/edit #0 an owl\n", "go on\n/branches\n"]);
    for label in ["a fox … go on → the end\n", "an owl … go on → the end  <- here\n"] {
        assert!(told[2].0.contains(label), "{}", told[2].0);
    }
    let shown = text(&turnwise(&folder, &stub, "show talk.json", "").stdout);
    assert!(shown.contains("a fox … go on → the end\n"), "{shown}");
}

#[test]
fn images_beside_the_file_are_sent_and_stay_there_and_copies_have_their_own() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    let path = |name: &str| folder.path().join(name);
    let size = |name: &str| std::fs::metadata(path(name)).unwrap().len();
    let image = format!("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAgAAAAMACAYAAADS1n9/{}", "aB3/".repeat(2_000));
    let asked = format!(r#"[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{image}"}}}}]}}]"#);
    std::fs::write(path("talk.json"), asked).unwrap();
    turnwise(&folder, &stub, "blobs talk.json", "");
    let told = each(&folder, &stub, &["a\n/fork other.json\nb\n", "c\n/save copy.json\n"]);
    assert!(told.iter().all(|(_, told)| !told.contains("blob")), "{told:?}");
    assert_eq!(stub.seen().len(), 3);
    assert!(stub.seen().iter().all(|seen| seen.body.contains(&image)), "each request has the image");
    for file in ["talk.json", "other.json", "copy.json"] {
        assert!(size(file) < 5_000, "{file} has {} bytes", size(file));
        let restored = turnwise(&folder, &stub, &format!("blobs {file} --restore"), "");
        assert!(text(&restored.stdout).contains("1 blob put back"), "{file}: {}", text(&restored.stderr));
    }
}

#[test]
fn a_missing_image_is_reported_when_the_chat_begins_and_is_not_sent() {
    let (folder, stub) = (TempDir::new().unwrap(), stub());
    let hash = "0a".repeat(32);
    let url = format!("turnwise-blob:sha256/{hash}?bytes=6000&size=8x8&type=image/png");
    let asked = format!(r#"[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]"#);
    std::fs::write(folder.path().join("talk.json"), asked).unwrap();
    let ran = turnwise(&folder, &stub, "chat talk.json --model gpt-4o", "a\n");
    let told = text(&ran.stderr);
    assert_eq!((told.matches(&hash).count(), stub.seen().len()), (2, 0), "{told}");
}

#[test]
fn an_edit_that_fails_changes_nothing() {
    let no = Answer::new(400, r#"{"error":{"message":"no"}}"#);
    let (folder, stub) =
        (TempDir::new().unwrap(), Stub::new([Answer::says("one"), no.clone(), no, Answer::says("two")]));
    let ran = turnwise(&folder, &stub, CHAT, "a\n/edit b\n/regenerate\n/edit #1 c\n/edit #7 c\n");
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(1), "one\n".to_owned()));
    assert!(text(&ran.stderr).contains("#1 has the role assistant"), "{}", text(&ran.stderr));
    assert!(text(&ran.stderr).contains("there is no message #7"), "{}", text(&ran.stderr));
    assert_eq!(said(&folder, "talk.json"), ["a", "one"]);
    assert_eq!(stub.seen().len(), 3);
}

#[test]
fn a_fork_goes_on_in_a_file_of_its_own() {
    let folder = TempDir::new().unwrap();
    let stub = stub();
    each(&folder, &stub, &["a\nb\n/fork #1 other.json\nc\n"]);
    assert_eq!(said(&folder, "talk.json"), ["a", "one", "b", "two"]);
    assert_eq!(said(&folder, "other.json"), ["a", "one", "c", "three"]);
    let ids = ["talk.json", "other.json"].map(|file| saved(&folder, file).conversation.id().to_owned());
    assert_ne!(ids[0], ids[1]);

    let before = std::fs::read(folder.path().join("other.json")).unwrap();
    let ran = turnwise(&folder, &stub, CHAT, "/fork other.json\n/save other.json\n/save copy.json\n/save copy.json\n");
    assert_eq!(ran.status.code(), Some(1));
    assert_eq!(text(&ran.stderr).matches("the file has other content").count(), 2, "{}", text(&ran.stderr));
    assert_eq!(text(&ran.stderr).matches("a copy is saved to copy.json").count(), 2, "{}", text(&ran.stderr));
    assert_eq!(std::fs::read(folder.path().join("other.json")).unwrap(), before);
}

#[test]
fn a_chat_adds_its_turns_to_a_journal() {
    let folder = TempDir::new().unwrap();
    let stub = stub();
    turnwise(&folder, &stub, "chat talk.jsonl --model gpt-4o", "a\n");
    let file = folder.path().join("talk.jsonl");
    let before = std::fs::read_to_string(&file).unwrap();
    assert!(before.starts_with("{\"turnwise_journal\":1}\n"));
    let torn = "{\"item\":{\"id\":2";
    std::fs::write(&file, format!("{before}{torn}")).unwrap();
    let ran = turnwise(&folder, &stub, "chat talk.jsonl --model gpt-4o", "b\n/undo\n");
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    assert!(text(&ran.stderr).contains("15 bytes of a save that was not finished"), "{}", text(&ran.stderr));
    assert!(std::fs::read_to_string(&file).unwrap().starts_with(&before));
    assert_eq!(said(&folder, "talk.jsonl"), ["a", "one"]);
    assert_eq!(saved(&folder, "talk.jsonl").conversation.branches().count(), 1);
    assert_eq!(std::fs::read_to_string(folder.path().join("talk.jsonl.torn")).unwrap(), format!("{torn}\n"));
    let shown = turnwise(&folder, &stub, "show talk.jsonl", "");
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
}

#[test]
fn a_chat_without_a_file_can_be_given_one() {
    let folder = TempDir::new().unwrap();
    let stub = stub();
    let ran = turnwise(&folder, &stub, "chat --model gpt-4o", "a\n/save talk.json\nb\n/undo\n");
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    assert_eq!(said(&folder, "talk.json"), ["a", "one"]);
    assert_eq!(saved(&folder, "talk.json").conversation.items().count(), 4);
}

#[test]
fn pins_constraints_and_the_system_prompt_are_saved_at_once() {
    let folder = TempDir::new().unwrap();
    let stub = stub();
    each(&folder, &stub, &["/system Be kind.\n", "/constrain Be brief.\n/constrain In French.\n", "a\nb\n/pin #0\n"]);
    let head = r#""messages":[{"role":"system","content":"Be kind."},{"role":"system","content":"Be brief."},{"role":"system","content":"In French."},"#;
    assert!(stub.seen()[0].body.contains(head), "{}", stub.seen()[0].body);
    let told =
        each(&folder, &stub, &["/history\n/constrain\n/system\n", "/lift 1\n/unpin #0\n", "/constrain\n/unpin 0\n"]);
    assert!(told[0].0.contains("    3      #0  user       a  [pinned]\n"), "{}", told[0].0);
    assert!(
        told[0].0.ends_with("    1  Be brief.\n    2  In French.\nBe kind.\nBe brief.\nIn French.\n"),
        "{}",
        told[0].0
    );
    assert_eq!(told[2].0, "    1  In French.\n");
    assert!(told[2].1.contains("#0 was not pinned"), "{}", told[2].1);
    let ran = turnwise(&folder, &stub, CHAT, "/lift 2\n/pin #99\n");
    assert!(text(&ran.stderr).contains("there is no constraint 2: the numbers are 1 to 1"), "{}", text(&ran.stderr));
    assert!(text(&ran.stderr).contains("no item #99"), "{}", text(&ran.stderr));
}

#[test]
fn clear_begins_again_and_the_way_back_is_said() {
    let folder = TempDir::new().unwrap();
    let stub = stub();
    let told = each(&folder, &stub, &["a\n/clear\n", "/branches\n", "b\n", "/switch 1\n"]);
    assert!(told[0].1.contains("/switch #1 returns to the earlier messages"), "{}", told[0].1);
    assert!(told[1].0.ends_with("0 messages  <- here\n"), "{}", told[1].0);
    assert!(stub.seen()[1].body.contains(r#""messages":[{"role":"user","content":"b"}]"#));
    assert_eq!(said(&folder, "talk.json"), ["a", "one"]);
}

#[test]
fn what_would_be_sent_and_what_was_done_can_be_looked_at() {
    let folder = TempDir::new().unwrap();
    let stub = stub();
    let told = each(&folder, &stub, &["/report\na\n/plan and now?\n/plan\n/tokens\n/report\n"]);
    let (out, err) = &told[0];
    assert!(
        err.contains("no exchange since the chat was opened") && err.contains("/plan TEXT plans with TEXT"),
        "{err}"
    );
    assert!(out.contains("window: sends 3 of 3 messages, ") && out.contains("to be answered\n"), "{out}");
    assert!(out.contains("the conversation: 2 messages, ") && out.contains("the server reported no usage\n"), "{out}");
    assert!(out.contains("  1 request (200), ") && !out.contains("  cost $"), "{out}");
    assert_eq!((stub.seen().len(), said(&folder, "talk.json").len()), (1, 2), "nothing was sent or recorded");

    let usage =
        r#""usage":{"prompt_tokens":1000,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":512}}"#;
    let bill = format!(r#"{{"choices":[{{"message":{{"role":"assistant","content":"x"}}}}],{usage}}}"#);
    let stub = Stub::new([Answer::new(200, &bill)]);
    let out = &each(&folder, &stub, &["a\n/report\n"])[0].0;
    assert!(out.contains("; billed 1,000 (512 cached) and 100 for the reply\n"), "{out}");
    assert!(out.contains("  cost $0.00286\n") && out.contains("\n  in all: 2 calls (1 without a bill), "), "{out}");
}

#[test]
fn a_mistyped_command_is_no_message() {
    let folder = TempDir::new().unwrap();
    let stub = stub();
    let ran = turnwise(&folder, &stub, CHAT, "/regenrate\n//help\n/help\n");
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran.stderr).contains("did you mean /regenerate?"), "{}", text(&ran.stderr));
    assert_eq!(said(&folder, "talk.json"), ["/help", "one"]);
    assert!(text(&ran.stdout).starts_with("one\n  /help ") && text(&ran.stdout).contains("\n  //… "));
}
