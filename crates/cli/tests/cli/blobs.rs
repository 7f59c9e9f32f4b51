//! `turnwise blobs`, and commands that read a file whose blobs are beside it.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use super::harness::{Files, turnwise};

const START: &str = "iVBORw0KGgoAAAANSUhEUgAAAgAAAAMACAYAAADS1n9/";

fn with_image() -> Files {
    let image = format!("data:image/png;base64,{START}{}", "aB3/".repeat(2_000));
    let part = format!(r#"{{"type":"image_url","image_url":{{"url":"{image}"}}}}"#);
    let talk = format!(
        r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":[{part}]}},{{"role":"assistant","content":"A cat."}}]}}"#
    );
    Files::new().with("talk.json", talk)
}

fn blobs(files: &Files) -> Vec<std::path::PathBuf> {
    fs::read_dir(files.path().join("talk.json.blobs")).unwrap().map(|file| file.unwrap().path()).collect()
}

#[test]
fn blobs_move_beside_the_file_and_every_command_finds_them() {
    let files = with_image();
    let run = |line: &str| turnwise(line).inside(files.path());
    let size = || fs::metadata(files.path().join("talk.json")).unwrap().len();
    let counted = run("count talk.json").out();
    let request = run("trim talk.json --body").out();
    let before = size();
    assert_eq!(run("blobs talk.json --at-least 7000").out(), "talk.json: 0 blobs moved to talk.json.blobs (0 bytes)\n");
    assert_eq!(run("blobs talk.json").out(), "talk.json: 1 blob moved to talk.json.blobs (6,033 bytes)\n");
    assert!(size() < before / 4);
    assert_eq!(blobs(&files).len(), 1);
    assert_eq!(run("count talk.json").out(), counted);
    assert_eq!(run("trim talk.json --body").out(), request);
    let converted = run("convert talk.json - --to messages").run();
    assert!(converted.out.contains(START), "{}", converted.err);
    assert_eq!(run("blobs talk.json --prune").out(), "talk.json: 0 unused files deleted from talk.json.blobs\n");
    assert_eq!(run("blobs talk.json --restore").out(), "talk.json: 1 blob put back\n");
    assert!(size() > before);
    assert_eq!(run("blobs talk.json --prune").out(), "talk.json: 1 unused file deleted from talk.json.blobs\n");
    assert!(blobs(&files).is_empty());
    assert_eq!(run("trim talk.json --body").out(), request);
}

#[test]
fn a_missing_blob_is_named_and_only_sending_it_fails() {
    let files = with_image();
    let run = |line: &str| turnwise(line).inside(files.path());
    let counted = run("count talk.json").out();
    run("blobs talk.json").out();
    let blob = blobs(&files).remove(0);
    let name = blob.file_name().unwrap().to_str().unwrap().to_owned();
    fs::remove_file(blob).unwrap();
    let ran = run("count talk.json").run();
    assert_eq!((ran.code, &*ran.out), (Some(0), &*counted));
    assert!(ran.err.contains(&name) && ran.err.contains("not there"), "{}", ran.err);
    let error = run("plan talk.json").fails(1);
    assert!(error.contains("missing blob") && error.contains("the folder FILE.blobs"), "{error}");
    assert!(run("blobs talk.json --restore").fails(1).contains(&name));
    let error = run("convert talk.json other.json --strict").fails(1);
    assert!(error.contains("--strict: images or files are missing"), "{error}");
    assert!(!files.path().join("other.json").exists());
}

#[test]
fn a_redaction_leaves_blobs_where_they_are() {
    let files = with_image();
    let run = |line: &str| turnwise(line).inside(files.path());
    run("blobs talk.json").out();
    run("redact talk.json").arg("--pattern").arg("[0-9]").out();
    assert_eq!(run("blobs talk.json --restore").out(), "talk.json: 1 blob put back\n");
}

#[test]
fn a_kill_in_the_middle_loses_no_image() {
    let image = |n: usize| format!("data:image/png;base64,{START}{}{n:04}", "aB3/".repeat(2_000));
    let part = |n| format!(r#"{{"type":"image_url","image_url":{{"url":"{}"}}}}"#, image(n));
    let parts: Vec<String> = (0..10).map(part).collect();
    let talk = format!(r#"[{{"role":"user","content":[{}]}}]"#, parts.join(","));
    let files = Files::new().with("talk.json", &talk);
    let run = |line: &str| turnwise(line).inside(files.path());
    let begun = Instant::now();
    run("blobs talk.json").out();
    let whole = begun.elapsed();
    for step in 0..10 {
        run("blobs talk.json --restore").out();
        run("blobs talk.json --prune").out();
        assert!(blobs(&files).is_empty(), "nothing half-written is left");
        let mut killed = run("blobs talk.json").command.stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * step / 10);
        // It may have ended already.
        let _ = killed.kill();
        killed.wait().unwrap();
        let sent = run("convert talk.json - --to messages").run();
        assert_eq!(sent.err, "", "after {step} tenths of the time");
        assert!((0..10).all(|n| sent.out.contains(&image(n))), "after {step} tenths of the time");
    }
}
