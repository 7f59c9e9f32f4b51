//! The journal: a file to which each save adds what is new, and which says what it holds at every moment.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use futures_lite::future::block_on;
use tempfile::TempDir;
use turnwise::backend::Scripted;
use turnwise::spending::{Call, Purpose};
use turnwise::tokens::CounterFn;
use turnwise::transcript::{Transcripts, Warning};
use turnwise::vectors::Vector;
use turnwise::{Builder, ChatCost, Conversation, ConversationManager, ErrorKind, Message, TokenBudget, Transcript};

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chat.jsonl");
    (folder, file)
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}

fn loaded(file: &Path) -> Transcript {
    Transcript::load(file).unwrap()
}

fn names(folder: &TempDir) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder.path()).unwrap().map(name).collect();
    names.sort();
    names
}

fn cost() -> ChatCost {
    ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64))
}

fn builder(replies: &[&str]) -> Builder {
    ConversationManager::builder("test-model")
        .backend(Scripted::new(replies.iter().copied()))
        .budget(TokenBudget::limit(500))
        .counter(CounterFn::new("bytes", |text| text.len() as u64))
}

/// Does one more thing to a conversation, of the kind that turns do.
fn go_on(file: &mut Transcript, step: usize) {
    let talk = &mut file.conversation;
    match step % 5 {
        0 => drop(talk.push(Message::user(format!("question {step} \u{1f642}")))),
        1 => drop(talk.push(Message::assistant(format!("answer {step}\n\"end\"")))),
        2 => drop(file.ledger.total(&file.conversation, &cost())),
        3 => file.spending.add(&Call::new(Purpose::Reply, "m")),
        _ => drop(talk.undo()),
    }
}

/// A journal of some saves, with its length and what the conversation was after each of them.
fn saved(file: &Path, saves: usize) -> Vec<(usize, String)> {
    let mut transcript = Transcript::new(Conversation::from_messages([Message::system("Be brief.")]));
    let mut states = Vec::new();
    for step in 0..saves {
        transcript.save(file).unwrap();
        states.push((text(file).len(), transcript.to_json()));
        go_on(&mut transcript, step);
    }
    states
}

#[test]
fn a_save_adds_what_is_new_and_changes_nothing_before_it() {
    let (_folder, file) = folder();
    let mut transcript = Transcript::default();
    transcript.save(&file).unwrap();
    assert!(text(&file).starts_with("{\"turnwise_journal\":1}\n{\"begun\":"));
    for step in 0..20 {
        let before = text(&file);
        go_on(&mut transcript, step);
        transcript.save(&file).unwrap();
        let after = text(&file);
        let added = after.strip_prefix(&before).expect("what was there stays");
        assert!(added.ends_with("\"}\n") && added.lines().last().unwrap().starts_with("{\"end\":"), "{added}");
        assert_eq!(loaded(&file).to_json(), transcript.to_json(), "step {step}");
    }
    let before = text(&file);
    transcript.save(&file).unwrap();
    assert_eq!(text(&file), before, "nothing is new");
}

#[test]
fn a_loaded_journal_goes_on_where_it_ended() {
    let (_folder, file) = folder();
    saved(&file, 8);
    for step in 8..16 {
        let before = text(&file);
        let mut transcript = loaded(&file);
        go_on(&mut transcript, step);
        transcript.save(&file).unwrap();
        assert!(text(&file).starts_with(&before));
        assert_eq!(loaded(&file).to_json(), transcript.to_json());
    }
}

#[test]
fn a_journal_that_is_cut_anywhere_holds_the_last_whole_save() {
    let (folder, file) = folder();
    let states = saved(&file, 12);
    let whole = fs::read(&file).unwrap();
    let first = states[0].0;
    for cut in 0..=whole.len() {
        fs::write(&file, &whole[..cut]).unwrap();
        // The line end of the last line may be missing.
        let state = states.iter().rfind(|(len, _)| *len <= cut + 1);
        match (Transcript::load(&file), state) {
            (Ok(read), Some((len, state))) => {
                assert_eq!(&read.to_json(), state, "cut at {cut}");
                let torn = cut.saturating_sub(*len);
                match read.warnings() {
                    [] => assert_eq!(torn, 0, "cut at {cut}"),
                    [Warning::UnfinishedSave { bytes, from, .. }] => assert_eq!((*bytes, from.byte), (torn, *len)),
                    other => panic!("{other:?}"),
                }
            }
            (Err(error), None) => assert!(cut < first && error.kind() == ErrorKind::Damaged, "cut at {cut}: {error}"),
            (read, _) => panic!("cut at {cut}: {:?}", read.map(|read| read.warnings().len())),
        }
    }
    // It goes on from there, and what was torn is beside it.
    for cut in [first + 1, first + 40, whole.len() - 2, whole.len() - 1, whole.len()] {
        fs::write(&file, &whole[..cut]).unwrap();
        let _ = fs::remove_file(folder.path().join("chat.jsonl.torn"));
        let (len, _) = states.iter().rfind(|(len, _)| *len <= cut + 1).unwrap();
        let mut transcript = loaded(&file);
        transcript.conversation.push("on");
        transcript.save(&file).unwrap();
        let again = loaded(&file);
        assert_eq!((again.to_json(), again.warnings().len()), (transcript.to_json(), 0), "cut at {cut}");
        match fs::read(folder.path().join("chat.jsonl.torn")) {
            Ok(torn) => assert_eq!([&whole[*len..cut], b"\n"].concat(), torn),
            Err(_) => assert!(cut <= *len),
        }
    }
}

#[test]
fn a_journal_that_is_changed_anywhere_is_refused_with_the_place() {
    let (_folder, file) = folder();
    let states = saved(&file, 9);
    let whole = fs::read(&file).unwrap();
    for byte in 0..whole.len() {
        let mut changed = whole.clone();
        changed[byte] ^= 1;
        fs::write(&file, &changed).unwrap();
        match Transcript::load(&file) {
            Err(error) => {
                let is_refused =
                    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat | ErrorKind::InvalidMessage);
                assert!(is_refused, "byte {byte}: {error}");
                if let Some(place) = error.position().filter(|_| byte > "{\"turnwise_journal\":1}".len()) {
                    assert!(place.byte <= byte, "byte {byte}: {error}");
                }
            }
            // The line that ends the last save is no end any more.
            Ok(read) => {
                assert!(byte + 44 >= whole.len(), "byte {byte}");
                assert_eq!(read.to_json(), states[7].1);
                assert!(matches!(read.warnings(), [Warning::UnfinishedSave { .. }]));
            }
        }
        if byte % 10 > 0 {
            continue;
        }
        let error = Transcript::default().save(&file);
        assert!(error.is_err() || byte + 44 >= whole.len(), "byte {byte}: what does not load is not overwritten");
        assert!(error.is_ok() || fs::read(&file).unwrap() == changed);
    }
}

#[test]
fn a_line_that_is_lost_or_moved_is_noticed() {
    let (_folder, file) = folder();
    saved(&file, 9);
    let whole = text(&file);
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    for lost in 1..lines.len() - 1 {
        let without: String = lines.iter().enumerate().filter(|(at, _)| *at != lost).map(|(_, line)| *line).collect();
        fs::write(&file, without).unwrap();
        assert_eq!(Transcript::load(&file).unwrap_err().kind(), ErrorKind::Damaged, "without line {}", lost + 1);
    }
    let doubled = format!("{whole}{}", lines[lines.len() - 2..].concat());
    fs::write(&file, doubled).unwrap();
    let error = Transcript::load(&file).unwrap_err();
    assert_eq!(error.position().unwrap().line, lines.len() + 1);
    assert!(error.to_string().contains("is not what was saved there"), "{error}");
}

#[test]
fn zeros_that_a_crash_leaves_in_the_last_save_are_set_aside() {
    let (folder, file) = folder();
    let states = saved(&file, 9);
    let whole = fs::read(&file).unwrap();
    let (start, state) = &states[7];
    for zeros in [*start..start + 5, start + 3..start + 9, start + 9..whole.len()] {
        let mut torn = whole.clone();
        torn[zeros].fill(0);
        fs::write(&file, &torn).unwrap();
        let mut read = loaded(&file);
        assert_eq!(&read.to_json(), state);
        assert!(matches!(read.warnings(), [Warning::UnfinishedSave { .. }]));
        read.conversation.push("on");
        read.save(&file).unwrap();
        assert_eq!((loaded(&file).to_json(), loaded(&file).warnings().len()), (read.to_json(), 0));
        assert_eq!(fs::read(folder.path().join("chat.jsonl.torn")).unwrap()[..torn.len() - start], torn[*start..]);
        fs::remove_file(folder.path().join("chat.jsonl.torn")).unwrap();
    }
    let mut zeros = whole.clone();
    zeros.extend([0; 4096]);
    fs::write(&file, &zeros).unwrap();
    assert_eq!(loaded(&file).to_json(), states[8].1);
    // Not in the middle.
    let mut damaged = whole;
    damaged[states[3].0 + 4] = 0;
    fs::write(&file, &damaged).unwrap();
    assert_eq!(Transcript::load(&file).unwrap_err().position().unwrap().byte, states[3].0);
}

#[test]
fn of_two_writers_one_is_refused_and_can_load_on() {
    let (_folder, file) = folder();
    saved(&file, 3);
    let [mut one, mut other] = [loaded(&file), loaded(&file)];
    one.conversation.push("of one");
    other.conversation.push("of the other");
    one.save(&file).unwrap();
    let refused = other.save(&file).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("load it again, or save under another name"), "{refused}");
    let mut again = loaded(&file);
    again.conversation.push("of the other");
    again.save(&file).unwrap();
    let texts: Vec<String> =
        loaded(&file).conversation.path().messages().map(|message| message.text().into_owned()).collect();
    assert_eq!(texts[texts.len() - 2..], ["of one", "of the other"]);
    // Written anew by somebody else, it has not what was read.
    let mut reader = loaded(&file);
    again.compact(&file).unwrap();
    reader.conversation.push("late");
    assert_eq!(reader.save(&file).unwrap_err().kind(), ErrorKind::Conflict);
    reader.replace(&file).unwrap();
    assert_eq!(loaded(&file).to_json(), reader.to_json());
}

#[test]
fn what_a_killed_writer_left_is_no_conflict_for_others() {
    let (folder, file) = folder();
    saved(&file, 3);
    let mut transcript = loaded(&file);
    OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"item\":{\"id\":7").unwrap();
    transcript.conversation.push("on");
    transcript.save(&file).unwrap();
    assert_eq!(loaded(&file).to_json(), transcript.to_json());
    assert_eq!(names(&folder), [".chat.jsonl.lock", "chat.jsonl", "chat.jsonl.torn"]);
}

#[test]
fn a_newer_version_is_refused_and_never_overwritten() {
    let (_folder, file) = folder();
    saved(&file, 2);
    let newer = text(&file).replacen(":1}", ":2}", 1);
    fs::write(&file, &newer).unwrap();
    for error in [Transcript::load(&file).unwrap_err(), Transcript::default().save(&file).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::NewerFormat);
        assert!(error.to_string().contains("format 2, and this version reads up to 1; update turnwise"), "{error}");
    }
    assert_eq!(text(&file), newer);
}

#[test]
fn other_files_with_this_extension_stay_what_they_are() {
    let (_folder, file) = folder();
    // A log with one message per line is read and never written.
    let log = "{\"role\":\"user\",\"content\":\"a\"}\n{\"role\":\"assistant\",\"content\":\"b\"}\n";
    fs::write(&file, log).unwrap();
    let read = loaded(&file);
    assert!(read.is_log() && read.save(&file).unwrap_err().kind() == ErrorKind::ForeignFormat);
    assert_eq!(text(&file), log);
    // Lines that are a conversation each are several, and are not overwritten.
    let lines = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}\n".repeat(2);
    fs::write(&file, &lines).unwrap();
    assert!(Transcript::load(&file).is_err() && Transcript::default().save(&file).is_err());
    assert_eq!((text(&file), Transcripts::open(&file).unwrap().count()), (lines, 2));
    // One document stays a document.
    let one = Transcript::from_json("[{\"role\":\"user\",\"content\":\"a\"}]").unwrap();
    fs::write(&file, one.to_json()).unwrap();
    let mut read = loaded(&file);
    read.conversation.push("b");
    read.save(&file).unwrap();
    assert_eq!(text(&file), read.to_json());
}

#[test]
fn a_journal_is_one_whatever_its_name() {
    let (folder, file) = folder();
    saved(&file, 5);
    let renamed = folder.path().join("chat.json");
    fs::rename(&file, &renamed).unwrap();
    let before = text(&renamed);
    let mut read = loaded(&renamed);
    read.conversation.push("on");
    read.save(&renamed).unwrap();
    assert!(text(&renamed).starts_with(&before));
    // As text, and among the conversations of a file.
    let text = text(&renamed);
    assert_eq!(Transcript::from_json(&text).unwrap().to_json(), read.to_json());
    let all: Vec<Transcript> = Transcripts::open(&renamed).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!((all.len(), all[0].to_json()), (1, read.to_json()));
    // A copy elsewhere begins anew, in its own form.
    read.save(folder.path().join("copy.jsonl")).unwrap();
    read.save(folder.path().join("other.json")).unwrap();
    assert_eq!(loaded(&folder.path().join("copy.jsonl")).to_json(), read.to_json());
    assert_eq!(fs::read_to_string(folder.path().join("other.json")).unwrap(), read.to_json());
}

#[test]
fn a_purge_leaves_no_text_in_the_journal() {
    let (_folder, file) = folder();
    let mut transcript = Transcript::default();
    let secret = transcript.conversation.push("the secret word");
    transcript.save(&file).unwrap();
    transcript.conversation.purge(secret).unwrap();
    transcript.conversation.push("go on");
    transcript.save(&file).unwrap();
    assert!(!text(&file).contains("secret"));
    assert_eq!(loaded(&file).to_json(), transcript.to_json());
}

#[test]
fn a_journal_is_written_anew_when_most_of_it_is_out_of_date() {
    let (folder, file) = folder();
    let mut transcript = Transcript::default();
    transcript.save(&file).unwrap();
    let (mut longest, mut shrunk) = (0, 0);
    for step in 0..400 {
        if step % 50 == 0 {
            transcript.conversation.push("a message");
        }
        for key in 0..16 {
            let value = format!("{step:0>512}");
            transcript.conversation.metadata_mut().set(format!("key {key}"), value).unwrap();
        }
        transcript.save(&file).unwrap();
        let len = fs::metadata(&file).unwrap().len();
        shrunk += usize::from(len < longest);
        longest = if len < longest { len } else { longest.max(len) };
        assert!(len < 1_100_000, "{len} bytes");
    }
    assert!(shrunk >= 2, "{shrunk}");
    assert_eq!(loaded(&file).to_json(), transcript.to_json());
    assert_eq!(names(&folder), [".chat.jsonl.lock", "chat.jsonl"]);
    // On demand.
    let before = text(&file).len();
    transcript.compact(&file).unwrap();
    assert!(text(&file).len() < before.min(20_000), "{}", text(&file).len());
    assert_eq!(loaded(&file).to_json(), transcript.to_json());
}

#[cfg(unix)]
#[test]
fn a_journal_with_two_names_stays_one_file() {
    use std::os::unix::fs::MetadataExt;
    let (folder, file) = folder();
    saved(&file, 3);
    let other = folder.path().join("other.jsonl");
    fs::hard_link(&file, &other).unwrap();
    let mut read = loaded(&file);
    read.conversation.push("through one name");
    read.save(&file).unwrap();
    read.conversation.push("through the other");
    assert_eq!(loaded(&other).conversation.path().len() + 1, read.conversation.path().len());
    read.compact(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().ino(), fs::metadata(&other).unwrap().ino());
    assert_eq!(loaded(&other).to_json(), read.to_json());
}

/// A conversation that has a word in every place where text can be.
fn telling(word: &str) -> Transcript {
    let json = r#"{"vendor": {"SECRET": ["SECRET", 5]}, "messages": [
        {"role": "system", "content": "SECRET"},
        {"role": "user", "name": "SECRET", "content": [{"type": "text", "text": "a SECRET"},
            {"type": "image_url", "image_url": {"url": "https://example.com/SECRET.png"}}], "x": {"SECRET": "SECRET"}},
        {"role": "assistant", "content": null, "reasoning": "SECRET", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"q\": \"\\u0053ECRET\", \"r\": [\"SECRET\"]}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "SECRET"},
        {"role": "assistant", "content": "plain"}
    ], "tools": [{"type": "function", "function": {"name": "f", "description": "SECRET", "parameters": {}}}]}"#;
    let mut file = Transcript::from_json(&json.replace("SECRET", word)).unwrap();
    let talk = &mut file.conversation;
    let ids: Vec<_> = talk.path().items().map(turnwise::Item::id).collect();
    talk.attach(ids[0], ids[2], format!("They said {word}."), Some("m")).unwrap();
    talk.edit(ids[3], format!("otherwise {word}")).unwrap();
    talk.pin(ids[0]).unwrap();
    talk.set_system(format!("Never say {word}."));
    talk.constrain(&format!("Keep {word}."));
    talk.set_system("Be brief.");
    talk.metadata_mut().set(format!("about {word}"), word).unwrap();
    talk.push("plain too");
    file
}

#[test]
fn what_is_redacted_is_gone_from_every_place_and_the_rest_stays() {
    let (_folder, file) = folder();
    let mut transcript = telling("Mellon");
    transcript.ledger.total(&transcript.conversation, &cost());
    transcript.save(&file).unwrap();
    transcript.conversation.metadata_mut().set("also", "Mellon").unwrap();
    transcript.save(&file).unwrap();
    let before = text(&file);
    assert!(before.matches("Mellon").count() > 15);
    assert_eq!(transcript.redact(|text| text.contains("Nobody").then(String::new)).unwrap(), 0);
    let replaced = transcript.redact(|text| text.contains("Mellon").then(|| text.replace("Mellon", "XY"))).unwrap();
    assert!(replaced > 15, "{replaced}");
    transcript.save(&file).unwrap();
    assert!(!text(&file).contains("Mellon"), "{}", text(&file));
    assert_eq!(loaded(&file).to_json(), transcript.to_json());
    // As if it had been said so at once; times and the id are those of the conversation.
    let mut said = telling("XY");
    said.conversation.metadata_mut().set("also", "XY").unwrap();
    let messages = |file: &Transcript| file.conversation.items().map(|item| item.message().clone()).collect::<Vec<_>>();
    assert_eq!(messages(&transcript), messages(&said));
    assert!(transcript.conversation.heads().eq(said.conversation.heads()));
    assert_eq!(transcript.conversation.metadata(), said.conversation.metadata());
    assert_eq!((transcript.tools.clone(), transcript.extra.clone()), (said.tools.clone(), said.extra.clone()));
    assert_eq!(transcript.conversation.pins().count(), 1);
    let total = said.ledger.total(&said.conversation, &cost());
    assert_eq!(transcript.ledger.total(&transcript.conversation, &cost()), total);
}

#[test]
fn the_vector_of_a_redacted_message_is_gone_and_the_others_stay() {
    let (folder, file) = folder();
    let mut transcript = Transcript::new(Conversation::from_messages([
        Message::user("I am Mellon."),
        Message::assistant("Hello."),
        Message::user("Good day."),
    ]));
    let items: Vec<_> = transcript.conversation.items().cloned().collect();
    for (item, part) in items.iter().zip([0.25, 0.5, 0.75]) {
        transcript.vectors.put("model", item, Vector::new(&[part, 1.0, 1.0]).unwrap());
    }
    transcript.save(&file).unwrap();
    let vectors = |file: &Transcript| -> Vec<Option<String>> {
        let vector = |item| file.vectors.get(item).map(|vector| serde_json::to_string(vector).unwrap());
        file.conversation.items().map(vector).collect()
    };
    let before = vectors(&transcript);
    let gone = before[0].clone().unwrap();
    assert!(text(&file).contains(&gone));

    transcript.redact(|text| text.contains("Mellon").then(|| text.replace("Mellon", "XY"))).unwrap();
    assert_eq!(vectors(&transcript), [None, before[1].clone(), before[2].clone()]);
    transcript.save(&file).unwrap();
    let whole = folder.path().join("whole.json");
    transcript.save(&whole).unwrap();
    for file in [&file, &whole] {
        assert!(!text(file).contains(&gone), "{}", text(file));
        assert_eq!(vectors(&loaded(file)), vectors(&transcript));
        assert_eq!(loaded(file).to_json(), transcript.to_json());
    }
}

#[test]
fn a_manager_redacts_its_file_or_nothing() {
    let (_folder, file) = folder();
    let chat = builder(&["Hello, Ann."]).autosave(&file).build().unwrap();
    block_on(async { chat.send("I am Ann.").await.unwrap() });
    let hide = |text: &str| text.contains("Ann").then(|| text.replace("Ann", "[name]"));
    let there = fs::read(&file).unwrap();
    fs::write(&file, "something else").unwrap();
    assert!(chat.redact(hide).is_err());
    assert_eq!(chat.history()[0].text(), "I am Ann.");
    fs::write(&file, there).unwrap();
    assert_eq!(chat.redact(hide).unwrap(), 2);
    assert_eq!(chat.history()[1].text(), "Hello, [name].");
    assert!(!text(&file).contains("Ann"));
    assert_eq!(loaded(&file).to_json(), chat.transcript().to_json());
}

#[test]
fn a_manager_saves_turns_and_changes_to_a_journal() {
    let (folder, file) = folder();
    let chat = builder(&["one", "two"]).system("Be brief.").autosave(&file).build().unwrap();
    let begun = text(&file);
    block_on(async {
        chat.send("first").await.unwrap();
        let turn = text(&file);
        assert!(turn.starts_with(&begun));
        // One save: both messages, and what they cost.
        let lines: Vec<&str> = turn[begun.len()..].lines().collect();
        assert_eq!(lines.iter().filter(|line| line.starts_with("{\"end\":")).count(), 1, "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("{\"item\":")).count(), 2, "{lines:?}");
        chat.send("second").await.unwrap();
        assert!(text(&file).starts_with(&turn));
    });
    chat.pin(chat.snapshot().leaf().unwrap()).unwrap();
    assert!(text(&file).contains("{\"pinned\":{\"item\":3}}"));
    assert_eq!(loaded(&file).to_json(), chat.transcript().to_json());
    let again = builder(&["three"]).resume(&file).unwrap();
    assert_eq!((again.turn_count(), again.history().len()), (2, 5));
    block_on(async { again.send("third").await.unwrap() });
    // The first manager has not read the third turn.
    let error = chat.push("late").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    again.compact(&file).unwrap();
    assert_eq!(loaded(&file).to_json(), again.transcript().to_json());
    // A new conversation does not replace it.
    assert_eq!(builder(&[]).autosave(&file).build().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(names(&folder), [".chat.jsonl.lock", "chat.jsonl"]);
}
