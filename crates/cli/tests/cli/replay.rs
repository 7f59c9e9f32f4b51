//! `replay`: in parallel, into a file that a later run goes on with, and compared with an older one.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::harness::{Files, fixtures, talks, turnwise};

const COMMAND: &str = "replay a.jsonl b.jsonl --budget 300";

fn files() -> Files {
    Files::new().with("a.jsonl", talks(60, 30)).with("b.jsonl", talks(20, 40))
}

fn read(files: &Files, name: &str) -> String {
    fs::read_to_string(files.path().join(name)).unwrap()
}

/// The replay as one run prints it.
fn whole(files: &Files) -> String {
    turnwise(COMMAND).inside(files.path()).out()
}

/// Runs the command with `-o out.jsonl` until the file has so many bytes, and then ends it.
fn begin_and(end: impl Fn(&mut std::process::Child), files: &Files, bytes: u64) -> Option<i32> {
    let mut run = turnwise(COMMAND).args("--threads 1 -o out.jsonl").inside(files.path());
    let mut child = run.command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let out = files.path().join("out.jsonl");
    let begun = Instant::now();
    while fs::metadata(&out).map_or(0, |found| found.len()) < bytes && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(120), "nothing is written");
        std::thread::sleep(Duration::from_millis(2));
    }
    end(&mut child);
    child.wait().unwrap().code()
}

#[test]
fn the_lines_are_the_same_for_any_number_of_threads() {
    let files = files();
    let one = turnwise(COMMAND).args("--threads 1").inside(files.path()).out();
    for threads in ["2", "5"] {
        assert!(turnwise(COMMAND).args("--threads").arg(threads).inside(files.path()).out() == one);
    }
    assert_eq!(one.lines().count(), 60 * 15 + 20 * 20 + 1);
    for count in ["0", "513", "100000000", "many"] {
        let error = turnwise(COMMAND).args("--threads").arg(count).inside(files.path()).fails(2);
        assert!(error.contains("--threads") && error.contains("a number from 1 to 512"), "{error}");
    }
}

#[test]
fn files_of_all_formats_are_replayed_together() {
    let run = turnwise("replay formats/chatgpt.json tau_airline.jsonl formats/claude_code.jsonl --budget 4000").run();
    assert_eq!(run.code, Some(0), "{}", run.err);
    let alone = turnwise("replay formats/chatgpt.json --budget 4000").run().out;
    let requests = alone.lines().filter(|line| !line.contains("summary")).collect::<Vec<_>>();
    assert!(!requests.is_empty() && run.out.lines().zip(requests).all(|(line, alone)| line == alone));
}

#[test]
fn a_file_holds_what_would_have_been_printed() {
    let files = files();
    turnwise(COMMAND).args("-o out.jsonl").inside(files.path()).out();
    assert!(read(&files, "out.jsonl") == whole(&files));
    assert!(read(&files, "out.jsonl.resume").contains("\"is_complete\":true"));
    let error = turnwise(COMMAND).args("-o out.jsonl").inside(files.path()).fails(2);
    assert!(error.contains("out.jsonl: it exists; --resume goes on with it, --force replaces it"), "{error}");
    turnwise(COMMAND).args("-o out.jsonl --force").inside(files.path()).out();
    let error = turnwise(COMMAND).args("-o a.jsonl --force").inside(files.path()).fails(2);
    assert!(error.contains("it is the file that is read, and is not overwritten"), "{error}");
    assert!(turnwise(COMMAND).args("-o -").inside(files.path()).out() == whole(&files));
    assert!(turnwise(COMMAND).args("-o nowhere/out.jsonl").inside(files.path()).fails(1).contains("nowhere/out.jsonl"));
}

#[test]
fn a_killed_run_is_resumed_to_the_same_bytes() {
    let files = files();
    begin_and(|child| child.kill().unwrap(), &files, 1);
    turnwise(COMMAND).args("-o out.jsonl --resume").inside(files.path()).out();
    assert!(read(&files, "out.jsonl") == whole(&files));
    // Once more, with nothing left to do.
    let ran = turnwise(COMMAND).args("-o out.jsonl --resume").inside(files.path()).run();
    assert_eq!((ran.code, &*ran.out), (Some(0), ""), "{}", ran.err);
    assert!(ran.err.contains("out.jsonl is complete: 80 conversations, 1,300 requests"), "{}", ran.err);
    assert!(read(&files, "out.jsonl") == whole(&files));
}

#[test]
fn a_complete_file_is_refused_with_other_settings() {
    let files = files().with("models.json", r#"{"models":[{"name":"m","window":4000}]}"#);
    let run = |line: &str| turnwise(line).args("-o out.jsonl --resume --models models.json").inside(files.path());
    assert_eq!(run(COMMAND).run().code, Some(0));
    let differs = |line: &str, what: &str| {
        let error = run(line).fails(2);
        assert!(error.contains("it was begun with other files or options"), "{error}");
        assert!(error.contains(&format!("(different: {what}); --force begins again")), "{error}");
    };
    differs("replay a.jsonl b.jsonl --budget 301", "budget");
    differs("replay b.jsonl a.jsonl --budget 300", "the order of files");
    differs("replay a.jsonl b.jsonl --budget 300 --strategy recall", "--strategy");
    // An edit of equal length.
    fs::write(files.path().join("b.jsonl"), talks(20, 40).replace("few words", "new words")).unwrap();
    differs(COMMAND, "b.jsonl");
    fs::write(files.path().join("b.jsonl"), talks(20, 40)).unwrap();
    fs::write(files.path().join("models.json"), r#"{"models":[{"name":"m","window":4001}]}"#).unwrap();
    differs(COMMAND, "--models");
    fs::write(files.path().join("models.json"), r#"{"models":[{"name":"m","window":4000}]}"#).unwrap();
    assert!(run(COMMAND).run().err.contains("is complete"));
    let more = read(&files, "out.jsonl") + "{}\n";
    fs::write(files.path().join("out.jsonl"), more).unwrap();
    assert!(run(COMMAND).fails(2).contains("it was changed after it was complete"));
    fs::remove_file(files.path().join("out.jsonl.resume")).unwrap();
    assert!(run(COMMAND).fails(1).contains("out.jsonl is not complete"));
}

#[test]
fn a_store_that_has_changed_is_another_input() {
    let files = Files::new();
    fs::create_dir(files.path().join("chats")).unwrap();
    let files = files.with("chats/a.json", r#"{"messages":[{"role":"user","content":"Hi"}]}"#);
    let run = || turnwise("replay dir:chats --budget 300 -o out.jsonl --resume").inside(files.path());
    assert_eq!(run().run().code, Some(0));
    assert!(run().run().err.contains("is complete"));
    fs::write(files.path().join("chats/a.json"), r#"{"messages":[{"role":"user","content":"Ho"}]}"#).unwrap();
    assert!(run().fails(2).contains("(different: dir:chats)"));
}

#[test]
fn resume_begins_where_there_is_nothing_to_go_on_with() {
    let files = files();
    turnwise(COMMAND).args("-o out.jsonl --resume").inside(files.path()).out();
    assert!(read(&files, "out.jsonl") == whole(&files));
}

/// The state of a run that was stopped after some conversations.
#[cfg(all(unix, feature = "openai"))]
fn stopped() -> Files {
    let files = Files::new().with("a.jsonl", talks(300, 60)).with("b.jsonl", talks(3, 50));
    let interrupt = |child: &mut std::process::Child| {
        let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    };
    assert_eq!(begin_and(interrupt, &files, 1), Some(130));
    files
}

#[cfg(all(unix, feature = "openai"))]
#[test]
fn ctrl_c_leaves_whole_conversations_from_which_a_run_goes_on() {
    let files = stopped();
    let part = read(&files, "out.jsonl");
    assert!(part.ends_with('\n') && part.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert_eq!(part.lines().count() % 30, 0, "each conversation has 30 requests");
    assert!(!part.contains("summary"));
    // What a killed run has written after its note is written again.
    fs::write(files.path().join("out.jsonl"), part.clone() + "{\"conversation\":\"ta").unwrap();
    turnwise(COMMAND).args("-o out.jsonl --resume").inside(files.path()).out();
    let done = read(&files, "out.jsonl");
    assert!(done.len() > part.len() && done == whole(&files));
}

#[cfg(all(unix, feature = "openai"))]
#[test]
fn a_run_is_not_resumed_with_other_settings_or_a_damaged_file() {
    let files = stopped();
    let resume = |line: &str| turnwise(line).args("-o out.jsonl --resume").inside(files.path());
    for other in ["replay a.jsonl b.jsonl --budget 301", "replay a.jsonl --budget 300"] {
        let error = resume(other).fails(2);
        assert!(error.contains("it was begun with other files or options"), "{error}");
        assert!(error.contains("--force begins again"), "{error}");
    }
    let note = read(&files, "out.jsonl.resume");
    fs::write(files.path().join("out.jsonl.resume"), "{}").unwrap();
    assert!(resume(COMMAND).fails(2).contains("the note to go on from is damaged"));
    fs::remove_file(files.path().join("out.jsonl.resume")).unwrap();
    assert!(resume(COMMAND).fails(1).contains("out.jsonl is not complete, and out.jsonl.resume cannot be read"));
    fs::write(files.path().join("out.jsonl.resume"), note).unwrap();
    fs::write(files.path().join("out.jsonl"), "").unwrap();
    assert!(resume(COMMAND).fails(2).contains("it is shorter than when it was left"));
}

/// The third conversation has a model whose window is not known, and there is no budget.
#[test]
fn a_conversation_that_ends_a_run_is_not_taken_for_done() {
    let talk = |id: usize, model: &str| {
        format!("{{\"id\":\"{id}\",\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hi\"}}]}}\n")
    };
    let all = ["gpt-4o", "gpt-4o", "nosuch", "gpt-4o", "gpt-4o"].iter().enumerate();
    let files = Files::new().with("a.jsonl", all.map(|(id, model)| talk(id, model)).collect::<String>());
    for how in ["", " --resume", " --resume"] {
        let error = turnwise(&format!("replay a.jsonl -o out.jsonl{how}")).inside(files.path()).fails(2);
        assert!(error.contains("the window of `nosuch` is not known"), "{how}: {error}");
    }
    assert_eq!(read(&files, "out.jsonl").lines().count(), 2);
}

#[test]
fn the_first_difference_is_found() {
    let files = files();
    fs::write(files.path().join("old.jsonl"), whole(&files)).unwrap();
    turnwise(COMMAND).args("--diff old.jsonl").inside(files.path()).out();
    let error = turnwise("replay a.jsonl b.jsonl --budget 290 --diff old.jsonl").inside(files.path()).fails(1);
    assert!(error.contains("of talk-0 differs in ") && error.contains(" of old.jsonl)"), "{error}");
    let error = turnwise("replay a.jsonl --budget 300 --diff old.jsonl").inside(files.path()).fails(1);
    assert!(error.contains("the summary differs in ") && error.contains("in line 901 of old.jsonl"), "{error}");
    fs::write(files.path().join("old.jsonl"), whole(&files) + "{}\n").unwrap();
    let error = turnwise(COMMAND).args("--diff old.jsonl").inside(files.path()).fails(1);
    assert!(error.contains("old.jsonl continues after the last line of this replay"), "{error}");
    let cut: String = whole(&files).split_inclusive('\n').take(7).collect();
    fs::write(files.path().join("old.jsonl"), cut).unwrap();
    let error = turnwise(COMMAND).args("--diff old.jsonl").inside(files.path()).fails(1);
    assert!(error.contains("request 8 of talk-0 differs: old.jsonl ends before it"), "{error}");
}

#[test]
fn a_conversation_that_cannot_be_read_does_not_stop_the_others() {
    let files = Files::new().with("a.jsonl", talks(2, 4) + "{\"messages\": 1}\n" + &talks(1, 4));
    let run = turnwise("replay a.jsonl --budget 300 -o out.jsonl").inside(files.path()).run();
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("line 3"), "{}", run.err);
    let out = read(&files, "out.jsonl");
    assert_eq!(out.lines().count(), 3 * 2 + 1);
    assert!(out.ends_with("}}\n") && out.contains("\"conversations\":3"));
}

#[test]
fn a_replay_shows_no_progress_in_a_pipe() {
    let run = turnwise("replay tau_airline.jsonl --budget 4000").inside(Path::new(&fixtures())).run();
    assert_eq!((run.code, &*run.err), (Some(0), ""));
}
