//! Two chats on one file: what one has saved, the other does not replace.

use tempfile::TempDir;

use crate::run::{Talk, said, text, turnwise, wait_until};
use crate::stub::{Answer, Stub};

const CHAT: &str = "chat new.json --model m --budget 4000";

/// Two chats, both of which have looked at the file.
fn both(folder: &TempDir, stub: &Stub) -> [Talk; 2] {
    let mut talks = [(); 2].map(|()| Talk::start(folder, stub, CHAT));
    for talk in &mut talks {
        talk.say("/tokens");
        talk.hear('\n');
    }
    talks
}

#[test]
fn the_second_of_two_chats_begun_on_a_new_file_says_conflict_and_names_the_way_out() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("re")]);
    let [mut first, mut second] = both(&folder, &stub);
    first.say("from the first");
    wait_until(|| folder.path().join("new.json").exists());
    second.say("from the second");
    second.hear('\n');
    assert_eq!(first.end().status.code(), Some(0));
    let ended = second.end();
    assert_eq!(ended.status.code(), Some(1));
    let told = text(&ended.stderr);
    assert!(told.contains("conflict: new.json") && told.contains("/save NAME continues in another file"), "{told}");
    assert_eq!(said(&folder, "new.json"), ["from the first", "re"]);
}

#[test]
fn two_chats_begun_at_once_on_a_new_file_lose_nothing() {
    let stub = Stub::new([Answer::says("re")]);
    let rounds = std::env::var("TURNWISE_ROUNDS").map_or(2, |rounds| rounds.parse().unwrap());
    for _ in 0..rounds {
        let folder = TempDir::new().unwrap();
        let mut talks = both(&folder, &stub);
        let texts = ["one", "other"];
        talks.iter_mut().zip(texts).for_each(|(talk, text)| talk.say(text));
        let ends = talks.map(|talk| talk.end().status.code());
        let kept = said(&folder, "new.json");
        let saved = ends.iter().zip(texts).filter(|(code, _)| **code == Some(0));
        let saved: Vec<&str> = saved.map(|(_, text)| text).collect();
        assert_eq!((saved.len(), kept.len()), (1, 2), "{ends:?}");
        assert_eq!(kept[0], saved[0]);
    }
}

#[test]
fn after_a_conflict_save_moves_the_chat_to_another_file() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("re")]);
    let [mut first, mut second] = both(&folder, &stub);
    first.say("from the first");
    wait_until(|| folder.path().join("new.json").exists());
    for line in ["a", "b", "/save new.json", "/save mine.json", "c", "/save copy.json", "d", "/save copy.json"] {
        second.say(line);
    }
    let told = text(&second.end().stderr);
    assert!(
        told.contains("saved to mine.json; the chat continues there, and new.json keeps the other program's version"),
        "{told}"
    );
    assert_eq!(told.matches("conflict: ").count(), 2, "{told}");
    assert_eq!(told.matches("the file has other content").count(), 1, "{told}");
    assert_eq!(told.matches("a copy is saved to copy.json").count(), 2, "{told}");
    assert_eq!(said(&folder, "new.json"), ["from the first", "re"]);
    for file in ["mine.json", "copy.json"] {
        assert_eq!(said(&folder, file), ["a", "re", "b", "re", "c", "re", "d", "re"]);
    }
    assert_eq!(first.end().status.code(), Some(0));
}

#[test]
fn a_copy_in_which_somebody_went_on_is_not_replaced() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("re")]);
    let run = |line: &str, input: &str| turnwise(&folder, &stub, line, input);
    run(CHAT, "a\n/save copy.json\n");
    run("chat copy.json --model m --budget 4000", "in the copy\n");
    let ran = run(CHAT, "b\n/save copy.json\n");
    assert!(text(&ran.stderr).contains("the file has other content"), "{}", text(&ran.stderr));
    assert_eq!(said(&folder, "copy.json"), ["a", "re", "in the copy", "re"]);
}

/// The file holds what was stated, and not the whole head again for each statement.
#[test]
fn a_chat_with_many_constraints_has_a_file_of_their_size() {
    let folder = TempDir::new().unwrap();
    let stub = Stub::new([Answer::says("re")]);
    let size = |constraints: usize| {
        let file = format!("{constraints}.json");
        let lines: Vec<String> = (0..constraints).map(|n| format!("/constrain Rule {n:04}\n")).collect();
        turnwise(&folder, &stub, &format!("chat {file} --model m --budget 4000"), lines.concat());
        std::fs::metadata(folder.path().join(file)).unwrap().len()
    };
    let (some, many) = (size(20), size(160));
    assert!(many < 9 * some, "{some} and {many} bytes");
}
