use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::plan::StrategyCache;
use crate::{ChatCost, Conversation, Everything, Ledger, Planner, TokenBudget};

/// A part of each kind with data of some thousand bytes, as different programs write them.
fn parts() -> Vec<String> {
    let base64 = |start: &[u8], len: usize| {
        let body = (0..len).map(|n| u8::try_from(n * 37 % 251).unwrap_or_default());
        base64::encode(&start.iter().copied().chain(body).collect::<Vec<u8>>())
    };
    let png = base64(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\0\0\0\x03\0\x08\x06\0\0\0", 3_000);
    let wav = base64(b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0", 64_000);
    let mp3 = base64(b"\xff\xfb\x90", 5_000);
    let other_mp3 = base64(b"\xff\xf3\x40", 5_000);
    let pdf = base64(b"%PDF-1.4 <</Type/Pages>> <</Type/Page >> <</Type/Page >> <</Type /Page >>", 4_001);
    let unknown = base64(b"", 2_002);
    [
        format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{png}","detail":"high"}}}}"#),
        format!(r#"{{"type":"image_url","image_url":{{"detail":"auto","url":"data:;base64,{unknown}"}}}}"#),
        format!(r#"{{"type":"input_image","image_url":"data:image/png;charset=x;base64,{png}","x":1.50}}"#),
        format!(r#"{{"type":"input_audio","input_audio":{{"data":"{wav}","format":"wav"}}}}"#),
        format!(r#"{{"type":"input_audio","input_audio":{{"data":"{mp3}","format":"mp3"}}}}"#),
        format!(r#"{{"type":"audio","source":{{"type":"base64","data":"{wav}"}}}}"#),
        format!(r#"{{"type":"audio","source":{{"type":"base64","data":"{other_mp3}"}}}}"#),
        format!(r#"{{"type":"file","file":{{"filename":"a.pdf","file_data":"data:application/pdf;base64,{pdf}"}}}}"#),
        format!(r#"{{"type":"file","file":{{"file_data":"{unknown}","filename":"a.bin"}}}}"#),
        format!(r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{png}"}}}}"#),
    ]
    .into()
}

fn talk(parts: &[String]) -> Transcript {
    let asked = format!(
        r#"{{"role":"user","name":"Ann","content":[{{"type":"text","text":"What is this?"}},{}]}}"#,
        parts.join(",")
    );
    let messages = [Message::from_json(&asked).unwrap(), Message::assistant("A river.")];
    Transcript::new(Conversation::from_messages(messages))
}

fn moved(parts: &[String]) -> (Transcript, TempDir) {
    let folder = TempDir::new().unwrap();
    let mut file = talk(parts);
    assert_eq!(file.move_blobs(folder.path(), 0).unwrap().count, parts.len());
    (file, folder)
}

fn messages(file: &Transcript) -> String {
    let path = file.conversation.path();
    let messages: Vec<&Message> = (0..path.len()).map(|at| path.item(at).unwrap().message()).collect();
    serde_json::to_string(&messages).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_kind_of_data_comes_back_equal_to_the_byte() {
    let parts = parts();
    let before = talk(&parts);
    let (mut file, folder) = moved(&parts);
    let written = file.to_json();
    assert!(written.len() < 6_000, "{written}");
    assert_eq!(file.blobs().unwrap().len(), 6, "equal data shares a file");
    assert_eq!(names(folder.path()).len(), 6);
    // Also after a save and a load, as references are plain text.
    let mut loaded = Transcript::from_json(&written).unwrap();
    for file in [&mut file, &mut loaded] {
        assert_eq!(file.restore_blobs(folder.path()).unwrap(), parts.len());
        assert_eq!(messages(file), messages(&before));
    }
}

#[test]
fn a_message_costs_the_same_without_its_data() {
    for part in parts() {
        let parts = [part.clone()];
        let (file, _folder) = moved(&parts);
        for model in ["gpt-4o", "gpt-5.4", "o3", "claude-sonnet-4-5", "gemini-2.5-pro", "some-model"] {
            let count = |file: &Transcript| {
                let cost = ChatCost::for_model(model);
                cost.group([file.conversation.path().item(0).unwrap().message()])
            };
            let (there, gone) = (count(&talk(&parts)), count(&file));
            assert_eq!(there, gone, "{model}: {}", &part[..80]);
        }
    }
}

#[test]
fn what_would_not_come_back_equal_stays() {
    let data = base64::encode(&[b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\0\0\0\x03\0".as_slice(), &[7; 2_000]].concat());
    let url = |data: &str| format!(r#"{{"type":"image_url","image_url":{{"url":"{data}"}}}}"#);
    let whole = format!("data:image/png;base64,{data}");
    for part in [
        url(whole.trim_end_matches('=')),
        url(&whole.replace("image/png", r"image\/png")),
        url(&whole.replace("AAAA", r"AA\nAA")),
        url(&whole[..600]),
        url("https://example.com/cat.png"),
        format!(r#"{{"type":"text","text":"{whole}"}}"#),
        format!(r#"{{"type":"image","note":"{whole}"}}"#),
        format!(r#"{{"type":"words","data":"{}"}}"#, "abcd".repeat(500)),
    ] {
        let mut file = talk(std::slice::from_ref(&part));
        let before = file.to_json();
        let folder = TempDir::new().unwrap();
        assert_eq!(file.move_blobs(folder.path(), 0).unwrap(), MovedBlobs::default(), "{}", &part[..60]);
        assert_eq!(file.to_json(), before);
        assert!(names(folder.path()).is_empty());
    }
    let mut file = talk(&[url(&whole)]);
    let folder = TempDir::new().unwrap();
    assert_eq!(file.move_blobs(folder.path(), 3_000).unwrap().count, 0, "smaller than was asked for");
    assert_eq!(file.move_blobs(folder.path(), 2_024).unwrap(), MovedBlobs { count: 1, bytes: 2_024 });
    assert_eq!(file.move_blobs(folder.path(), 0).unwrap().count, 0, "a reference is not moved again");
}

#[test]
fn missing_and_damaged_files_are_named_and_nothing_is_restored() {
    let parts = parts();
    let (mut file, folder) = moved(&parts);
    let before = file.to_json();
    let names: Vec<String> = file.blobs().unwrap().into_keys().collect();
    let path = folder.path().join(&names[0]);
    let data = fs::read(&path).unwrap();
    fs::write(&path, &data[1..]).unwrap();
    let error = file.restore_blobs(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.detail().contains(path.to_str().unwrap()), "{error}");
    fs::remove_file(&path).unwrap();
    let error = file.restore_blobs(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingBlob);
    assert!(error.detail().contains(path.to_str().unwrap()) && error.detail().contains("is not there"), "{error}");
    let error = file.restore_blobs(folder.path().join("elsewhere")).unwrap_err();
    assert!(error.detail().contains("and 5 more, which are not there"), "{error}");
    assert_eq!(file.to_json(), before);
    fs::write(&path, &data).unwrap();
    assert_eq!(file.restore_blobs(folder.path()).unwrap(), parts.len());
}

#[test]
fn a_damaged_blob_is_written_anew_by_the_next_move() {
    let parts = parts();
    let (file, folder) = moved(&parts[..1]);
    let path = folder.path().join(file.blobs().unwrap().into_keys().next().unwrap());
    fs::write(&path, "torn").unwrap();
    let mut again = talk(&parts[..1]);
    again.move_blobs(folder.path(), 0).unwrap();
    assert_eq!(again.restore_blobs(folder.path()).unwrap(), 1);
}

#[test]
fn a_move_that_fails_leaves_the_transcript_as_it_was() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let mut talk = talk(&parts());
    let before = talk.to_json();
    let error = talk.move_blobs(&file, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.detail().contains(file.to_str().unwrap()), "{error}");
    assert_eq!(talk.to_json(), before);
}

#[test]
fn a_plan_that_would_send_a_reference_is_refused_and_others_are_not() {
    let plan = |file: &Transcript| {
        let planner = Planner::new(ChatCost::for_model("gpt-4o"), &TokenBudget::limit(100_000)).unwrap();
        planner.plan(&file.conversation, &mut Ledger::new(), &Everything, &mut StrategyCache::default())
    };
    for part in parts() {
        let (mut file, folder) = moved(std::slice::from_ref(&part));
        let error = plan(&file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingBlob, "{}", &part[..60]);
        let name = file.blobs().unwrap().into_keys().next().unwrap();
        assert!(error.detail().contains(&name) && error.to_string().contains("restore_blobs"), "{error}");
        file.restore_blobs(folder.path()).unwrap();
        assert_eq!(plan(&file).unwrap().messages().len(), 2);
    }
    let text = format!("turnwise-blob:sha256/{}?bytes=700", "0a".repeat(32));
    let said =
        Transcript::new(Conversation::from_messages([Message::user(vec![crate::message::Part::from_text(&text)])]));
    assert!(plan(&said).is_ok(), "a text is no reference");
}

#[test]
fn redaction_leaves_references_alone() {
    let (mut file, folder) = moved(&parts()[..1]);
    file.redact(|text| text.contains(|c: char| c.is_ascii_digit()).then(|| "X".to_owned())).unwrap();
    assert_eq!(file.restore_blobs(folder.path()).unwrap(), 1);
}

#[test]
fn prune_deletes_what_the_saved_file_does_not_refer_to() {
    let parts = parts();
    let (mut file, folder) = moved(&parts[..5]);
    let outside = TempDir::new().unwrap();
    let saved = outside.path().join("talk.jsonl");
    file.save(&saved).unwrap();
    let all = names(folder.path()).len();
    // What a killed process left, and what is somebody else's.
    let left = format!(".{}.0123456789abcdef.part", "0a".repeat(32));
    fs::write(folder.path().join(&left), "half").unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    assert_eq!(Transcript::prune_blobs(&saved, folder.path()).unwrap(), 1);
    assert_eq!(names(folder.path()).len(), all + 1);
    file.restore_blobs(folder.path()).unwrap();
    assert_eq!(Transcript::prune_blobs(&saved, folder.path()).unwrap(), 0, "the file still refers to them");
    file.save(&saved).unwrap();
    assert_eq!(Transcript::prune_blobs(&saved, folder.path()).unwrap(), all);
    assert_eq!(names(folder.path()), ["notes.txt"]);
    fs::write(&saved, "{\"torn").unwrap();
    assert!(Transcript::prune_blobs(&saved, folder.path()).is_err());
}

#[test]
fn blobs_of_all_branches_and_heads_move_and_a_journal_is_written_anew() {
    let parts = parts();
    let folder = TempDir::new().unwrap();
    let saved = folder.path().join("talk.jsonl");
    let mut file = talk(&parts[..1]);
    file.conversation.undo();
    file.conversation.push(talk(&parts[3..4]).conversation.path().item(0).unwrap().message().clone());
    file.save(&saved).unwrap();
    let mut file = Transcript::load(&saved).unwrap();
    let long = fs::metadata(&saved).unwrap().len();
    let blobs = folder.path().join("talk.jsonl.blobs");
    assert_eq!(file.move_blobs(&blobs, 0).unwrap().count, 2);
    file.save(&saved).unwrap();
    assert!(fs::metadata(&saved).unwrap().len() * 10 < long);
    let mut file = Transcript::load(&saved).unwrap();
    assert_eq!(file.restore_blobs(&blobs).unwrap(), 2);
}
