//! Files: what comes in goes out, nothing torn is trusted or overwritten, and what was saved survives a kill.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/ordered.rs"]
mod ordered;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ordered::ordered;
use tempfile::TempDir;
use turnwise::backend::Usage;
use turnwise::conversation::Mark;
use turnwise::spending::{Call, Purpose};
use turnwise::tokens::{Calibration, Count, CounterFn, LastBill, Price};
use turnwise::transcript::Transcripts;
use turnwise::{
    ChatCost, Conversation, ErrorKind, Ledger, Message, Plan, Planner, SlidingWindow, StrategyCache, TokenBudget,
    Transcript,
};

fn fixtures() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir("fixtures")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// A conversation with branches, pins, a summary, a mark, metadata, two heads, tools and members of its own.
fn rich() -> Transcript {
    let mut file = Transcript::from_json(
        r#"{"b": 1.50, "model": "gpt-4o", "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "one", "vendor": {"z": 1e5, "a": [ ]}},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "ok"},
            {"role": "assistant", "content": "done"},
            {"role": "user", "content": "two"}
        ], "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "a": null}"#,
    )
    .unwrap();
    let talk = &mut file.conversation;
    let ids: Vec<_> = talk.path().items().map(turnwise::Item::id).collect();
    talk.edit(ids[4], "two, said otherwise").unwrap();
    talk.push(Message::assistant("yes"));
    talk.pin(ids[0]).unwrap();
    talk.attach(ids[0], ids[3], "They called f.", Some("gpt-4o-mini")).unwrap();
    let head = talk.leaf().unwrap();
    talk.set_mark(Mark::new("window", "cut", ids[3], head)).unwrap();
    talk.set_system("Be very brief.");
    talk.metadata_mut().set("topic", "tests").unwrap();
    file
}

/// What is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}

fn plan(file: &mut Transcript, limit: u64) -> turnwise::Result<Plan> {
    let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(limit)).unwrap().tools(file.tools.clone());
    planner.plan(&file.conversation, &mut file.ledger, &SlidingWindow::tokens(), &mut StrategyCache::default())
}

/// The plan's bytes, or those of the refusal.
fn planned(file: &mut Transcript, limit: u64) -> String {
    plan(file, limit).map_or_else(|error| error.to_string(), |plan| serde_json::to_string(&plan).unwrap())
}

#[test]
fn every_fixture_loads_saves_and_reloads_equal() {
    let folder = TempDir::new().unwrap();
    let mut seen = 0;
    for path in fixtures() {
        let text = fs::read_to_string(&path).unwrap();
        for (line, file) in text.lines().zip(Transcripts::open(&path).unwrap()) {
            let saved = folder.path().join(format!("{seen}.json"));
            file.unwrap().save(&saved).unwrap();
            let again = fs::read_to_string(&saved).unwrap();
            let (before, after) = (ordered(line), ordered(&again));
            let ordered::Ordered::Object(members) = &before else { panic!("not an object") };
            let kept: Vec<_> = members.iter().map(|(key, _)| key.as_str()).collect();
            let ordered::Ordered::Object(members) = &after else { panic!("not an object") };
            let own = |key: &&str| !key.starts_with("turnwise");
            assert_eq!(kept, members.iter().map(|(key, _)| key.as_str()).filter(own).collect::<Vec<_>>());
            for key in kept {
                assert_eq!(before.get(key), after.get(key), "{key} of {}", path.display());
            }
            assert_eq!(Transcript::load(&saved).unwrap().to_json(), again);
            seen += 1;
        }
    }
    assert_eq!(seen, 13);
}

#[test]
fn all_of_the_record_survives() {
    let file = rich();
    let again = Transcript::from_json(&file.to_json()).unwrap();
    assert_eq!(again.to_json(), file.to_json());
    let (before, after) = (&file.conversation, &again.conversation);
    assert_eq!(before.items().count(), after.items().count());
    for (old, new) in before.items().zip(after.items()) {
        assert_eq!((old.id(), old.parent(), old.created_at()), (new.id(), new.parent(), new.created_at()));
        assert_eq!(old.message(), new.message());
    }
    assert!(before.heads().eq(after.heads()));
    assert!(before.branches().eq(after.branches()));
    assert!(before.summaries().eq(after.summaries()));
    assert!(before.pins().eq(after.pins()));
    assert_eq!((before.id(), before.leaf(), before.metadata()), (after.id(), after.leaf(), after.metadata()));
    assert_eq!(before.mark("window", "cut"), after.mark("window", "cut"));
    assert_eq!((again.model, again.tools, again.extra), (file.model, file.tools, file.extra));
}

#[test]
fn what_was_spent_and_learned_survives() {
    let mut file = rich();
    assert!(!file.to_json().contains("spending") && !file.to_json().contains("calibration"));
    file.spending.add(&Call::new(Purpose::Reply, "m").usage(&Usage::new(90, 7)).price(Price::FREE));
    let forecast = file.calibration.of("m", "http://s/v1").forecast(Count::estimated(80), None);
    let anchor = file.calibration.learn("m", "http://s/v1", &forecast, 90, None).unwrap();
    file.last_bill = Some(Box::new(LastBill::new("m", "http://s/v1", ChatCost::default().id(), anchor, 3)));
    let again = Transcript::from_json(&file.to_json()).unwrap();
    assert_eq!(again.to_json(), file.to_json());
    assert_eq!((&again.spending, &again.last_bill), (&file.spending, &file.last_bill));
    assert_eq!(again.calibration.all(), file.calibration.all());
    assert!(again.last_bill.unwrap().is_of("m", "http://s/v1", ChatCost::default().id()));
}

#[test]
fn a_fork_remembers_what_it_was_made_of_and_what_that_had_spent() {
    let mut file = rich();
    let nothing_spent = file.clone();
    file.begin_fork("fork of nothing spent");
    assert!(file.origins().is_empty() && !file.to_json().contains("origins"), "nothing is shared");
    file = nothing_spent;
    let first = file.conversation.id().to_owned();
    for number in 1..=20 {
        let before = file.clone();
        file.spending.add(&Call::new(Purpose::Reply, "m").usage(&Usage::new(10, 1)));
        file.begin_fork(&format!("fork {number}"));
        let mut copy = before.clone();
        copy.apply(file.changes_since(&before)).unwrap();
        assert_eq!((copy.to_json(), copy.origins()), (file.to_json(), file.origins()));
        assert_eq!(file.origins()[0].id, before.conversation.id());
        assert_eq!(file.origins().last().unwrap().id == first, number <= 16, "the nearest ones are remembered");
    }
    assert_eq!(file.origins()[1].spending.total().calls, 19);
    let again = Transcript::from_json(&file.to_json()).unwrap();
    assert_eq!((again.to_json(), again.origins()), (file.to_json(), file.origins()));
    let mut again = Transcript::default();
    again.apply(file.changes()).unwrap();
    assert_eq!(again.to_json(), file.to_json());
}

#[test]
fn what_was_learned_in_a_way_that_we_do_not_know_is_passed_over() {
    let mut file = rich();
    let forecast = file.calibration.of("m", "s").forecast(Count::estimated(80), None);
    let anchor = file.calibration.learn("m", "s", &forecast, 90, None).unwrap();
    file.last_bill = Some(Box::new(LastBill::new("m", "s", "c", anchor, 3)));
    let json = file.to_json();
    let other = json.replace("\"bills\":1,", "\"bills\":\"one\",").replace("\"billed\":90}", "\"paid\":90}");
    assert_ne!(other, json);
    let again = Transcript::from_json(&other).unwrap();
    assert!(again.calibration.is_empty() && again.last_bill.is_none());
    file.calibration = Calibration::new();
    file.last_bill = None;
    assert_eq!(again.to_json(), file.to_json());
}

#[test]
fn a_purged_item_leaves_a_hole_that_survives() {
    let mut file = rich();
    let other = file.conversation.branches().find(|branch| !branch.is_current).unwrap().leaf;
    file.conversation.purge(other).unwrap();
    let again = Transcript::from_json(&file.to_json()).unwrap();
    assert!(again.conversation.get(other).is_none());
    assert_eq!(again.conversation.next_ordinal(), file.conversation.next_ordinal());
}

#[test]
fn invariant_6_a_plan_before_save_and_after_reload_is_the_same_bytes() {
    for path in fixtures() {
        for file in Transcripts::open(&path).unwrap() {
            let mut file = file.unwrap();
            let mut again = Transcript::from_json(&file.to_json()).unwrap();
            let whole = plan(&mut file, 1_000_000).unwrap().tokens().total();
            let before = planned(&mut file, whole * 3 / 4);
            assert_eq!(planned(&mut again, whole * 3 / 4), before);
            let mut with_ledger = Transcript::from_json(&file.to_json()).unwrap();
            assert_eq!(planned(&mut with_ledger, whole * 3 / 4), before);
        }
    }
}

/// A cost that counts bytes and how often it was asked.
fn counted() -> (ChatCost, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let cost = ChatCost::new(CounterFn::new("bytes", move |text| {
        counter.fetch_add(1, Ordering::Relaxed);
        text.len() as u64
    }));
    (cost, asked)
}

#[test]
fn invariant_7_a_reload_counts_nothing_and_an_edited_message_is_noticed() {
    let (cost, asked) = counted();
    let mut file =
        Transcript::new(Conversation::from_messages((0..50).map(|n| Message::user(format!("message {n:02}")))));
    let total = file.ledger.total(&file.conversation, &cost);
    let text = file.to_json();
    asked.store(0, Ordering::Relaxed);

    let mut again = Transcript::from_json(&text).unwrap();
    assert_eq!(again.ledger.total(&again.conversation, &cost), total);
    assert_eq!(asked.load(Ordering::Relaxed), 0);

    let mut edited = Transcript::from_json(&text.replace("message 17", "message seventeen")).unwrap();
    assert_eq!(edited.ledger.total(&edited.conversation, &cost), total + 7);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn an_edited_call_is_counted_again_with_its_results() {
    let (cost, _) = counted();
    let mut file = rich();
    let ids: Vec<_> = file.conversation.items().map(turnwise::Item::id).collect();
    file.conversation.switch(ids[2]).unwrap();
    let total = file.ledger.total(&file.conversation, &cost);
    let text = file.to_json().replace(r#"{\"a\": 1}"#, r#"{\"a\": 1234}"#);
    let mut edited = Transcript::from_json(&text).unwrap();
    assert_eq!(edited.ledger.total(&edited.conversation, &cost), total + 3);
}

#[test]
fn invariant_8_a_file_cut_anywhere_is_an_error_with_its_place_and_is_not_overwritten() {
    let folder = TempDir::new().unwrap();
    let (good, torn) = (folder.path().join("good.json"), folder.path().join("torn.json"));
    let file = rich();
    file.save(&good).unwrap();
    let text = fs::read(&good).unwrap();
    let last = text.iter().rposition(|&byte| byte == b'}').unwrap();
    for cut in 0..last {
        fs::write(&torn, &text[..cut]).unwrap();
        let error = Transcript::load(&torn).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "cut at {cut}: {error}");
        let place = error.position().expect("a place");
        // A number or a word that is cut off is pointed at by its last byte.
        assert!(place.byte <= cut && cut - place.byte <= 1, "cut at {cut}: {error}");
        if cut > 0 && (cut % 37 == 0 || cut + 1 == last) {
            let refused = file.save(&torn).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Damaged, "cut at {cut}: {refused}");
            assert_eq!(fs::read(&torn).unwrap(), &text[..cut]);
        }
    }
    assert_eq!(fs::read(&good).unwrap(), text);
    assert_eq!(names(folder.path()), [".good.json.lock", ".torn.json.lock", "good.json", "torn.json"]);
}

#[test]
fn a_newer_format_is_neither_read_nor_overwritten() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("newer.json");
    let newer = r#"{"turnwise": 2, "messages": {"of": "another shape"}}"#;
    fs::write(&path, newer).unwrap();
    let error = Transcript::load(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NewerFormat);
    assert!(error.to_string().contains("format 2, and this version reads up to 1"), "{error}");
    assert_eq!(rich().save(&path).unwrap_err().kind(), ErrorKind::NewerFormat);
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

#[test]
fn files_that_are_no_transcripts_are_refused_with_what_was_found() {
    for (text, kind, expected) in [
        ("", ErrorKind::Damaged, "the file is empty"),
        ("{}", ErrorKind::InvalidMessage, "without `messages`"),
        ("5", ErrorKind::InvalidMessage, "a request body or an array of messages"),
        (r#"{"id": 1, "mapping": {}}"#, ErrorKind::InvalidMessage, "`id`, `mapping` but without `messages`"),
        (r#"[{"role": "user"}, {"content": "x"}]"#, ErrorKind::InvalidMessage, "message 1: a message has no `role`"),
        (r#"{"turnwise": 1, "messages": []}"#, ErrorKind::Damaged, "`turnwise` but no `turnwise_record`"),
        (r#"{"turnwise": "one", "messages": []}"#, ErrorKind::Damaged, "not a format number"),
        ("[] []", ErrorKind::Damaged, "more than one JSON value"),
    ] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file.json");
        fs::write(&path, text).unwrap();
        let error = Transcript::load(&path).unwrap_err();
        assert_eq!(error.kind(), kind, "{text}: {error}");
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
    let file = rich().to_json();
    let short = file.replacen(
        "{\"role\":\"assistant\",\"content\":\"yes\"}",
        "{\"role\":\"user\",\"content\":\"\"},{\"role\":\"user\"}",
        1,
    );
    let error = Transcript::from_json(&short).unwrap_err();
    assert!(error.to_string().contains("describes 1 of the head and 6 after it"), "{error}");
}

#[test]
fn lines_are_read_one_at_a_time_with_their_places() {
    let text = "\u{feff}[{\"role\":\"user\",\"content\":\"a\"}]\r\n\r\n{\"messages\":[]\n{\"messages\":[{\"role\":\"user\",\"content\":\"b\"}]}";
    let read: Vec<_> = Transcripts::new(text.as_bytes()).collect();
    assert_eq!(read.len(), 3);
    let texts =
        |at: usize| read[at].as_ref().unwrap().conversation.path().messages().next().unwrap().text().into_owned();
    assert_eq!((texts(0), texts(2)), ("a".to_owned(), "b".to_owned()));
    let place = read[1].as_ref().unwrap_err().position().unwrap();
    assert_eq!(place.line, 3);
    assert!(text[..place.byte].starts_with('\u{feff}') && text[..place.byte].ends_with("[]"), "{place}");
}

#[test]
fn one_value_over_many_lines_is_one_conversation() {
    let pretty = "\n[\n  {\n    \"role\": \"user\",\n    \"content\": \"a\"\n  }\n]\n";
    assert_eq!(
        Transcripts::new(pretty.as_bytes()).map(|file| file.unwrap().conversation.path().len()).sum::<usize>(),
        1
    );
    assert!(Transcripts::new(&b""[..]).next().unwrap().is_err());
}

#[test]
fn half_a_character_becomes_u_fffd_wherever_it_stands_and_is_counted() {
    let body = r#"{"id":"\uDE00","\ud83dkey":{"raw":["\ud83d"]},"messages":[
        {"role":"user","content":"a\ud83d","name":"\ude00\ud83d","vendor":{"\udfff":1}},
        {"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":\"\\ud83d \\ud83d\\ude00\"}"}}]},
        {"role":"tool","tool_call_id":"c","content":"text: \\ud83d, whole: \ud83d\ude00"}
    ]}"#;
    let file = Transcript::from_json(body).unwrap();
    let [turnwise::transcript::Warning::HalfCharacters { count, first, .. }] = file.warnings() else {
        panic!("{:?}", file.warnings())
    };
    assert_eq!((*count, first.unwrap().column), (8, 8));
    let messages: Vec<_> = file.conversation.path().messages().collect();
    assert_eq!((&*messages[0].text(), messages[0].name()), ("a\u{fffd}", Some("\u{fffd}\u{fffd}")));
    let arguments = messages[1].tool_calls()[0].arguments();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&arguments).unwrap()["a"], "\u{fffd} 😀");
    assert_eq!(messages[2].text(), r"text: \ud83d, whole: 😀");
    // What is saved, and what is sent, is read by readers that take no half character.
    let saved = file.to_json();
    serde_json::from_str::<serde_json::Value>(&saved).unwrap();
    assert!(Transcript::from_json(&saved).unwrap().warnings().is_empty());
    assert_eq!(Transcript::from_json(&saved).unwrap().to_json(), saved);
}

#[test]
fn half_a_character_in_the_arguments_alone_is_counted() {
    let arguments = serde_json::to_string(r#"{"a":"\ud83d"}"#).unwrap();
    let call = format!(r#"{{"role":"assistant","function_call":{{"name":"f","arguments":{arguments}}}}}"#);
    for text in [format!("[{call}]"), format!("{{\"messages\":[{call}]}}"), format!("{call}\n{call}")] {
        let file = Transcript::from_json(&text).unwrap();
        let said = file.warnings()[0].to_string();
        let number = if text.contains('\n') { "2 half characters" } else { "1 half character " };
        assert!(said.starts_with(number) && !said.contains("line"), "{said}");
    }
}

#[test]
fn an_error_behind_half_a_character_has_its_place_in_the_file() {
    let text = "[{\"role\":\"user\",\"content\":\"\\ud83d\"},\n{\"role\":\"user\",\"content\":5}]";
    for bytes in [
        text.as_bytes().to_vec(),
        text.replace("\\ud83d", "@@@").into_bytes(),
        text.replace("\\ud83d", "######").into_bytes(),
    ] {
        // The same half as three bytes of its own, and two of them that are one character.
        let bytes: Vec<u8> = match bytes.windows(3).position(|three| three == b"@@@") {
            Some(at) => [&bytes[..at], b"\xed\xa0\xbd", &bytes[at + 3..]].concat(),
            None => match bytes.windows(6).position(|six| six == b"######") {
                Some(at) => [&bytes[..at], b"\xed\xa0\xbd\xed\xb8\x80", &bytes[at + 6..]].concat(),
                None => bytes,
            },
        };
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file.json");
        fs::write(&path, &bytes).unwrap();
        let place = Transcript::load(&path).unwrap_err().position().unwrap();
        assert_eq!((place.line, place.column, bytes[place.byte]), (2, 26, b'5'), "{place}");
        let lines = Transcripts::open(&path).unwrap().next().unwrap().unwrap_err();
        assert_eq!(lines.position(), Some(place));
    }
}

#[test]
fn a_byte_order_mark_moves_no_column() {
    let error = Transcripts::new("\u{feff}[{\"role\":5}]".as_bytes()).next().unwrap().unwrap_err();
    let place = error.position().unwrap();
    assert_eq!((place.line, place.column, place.byte), (1, 10, 12));
}

#[test]
fn a_file_in_utf_16_is_saved_as_utf_8() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file.json");
    let text = "\u{feff}[{\"role\":\"user\",\"content\":\"Grüße 🙂\"}]\r\n";
    let mut bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    // Half a character as a unit of its own.
    let at = bytes.windows(2).rposition(|unit| unit == [0x42, 0xde]).unwrap();
    bytes.drain(at..at + 2);
    fs::write(&path, &bytes).unwrap();
    let file = Transcript::load(&path).unwrap();
    assert!(matches!(file.warnings(), [turnwise::transcript::Warning::HalfCharacters { count: 1, .. }]));
    file.save(&path).unwrap();
    let saved = fs::read_to_string(&path).unwrap();
    assert!(saved.starts_with("{\n\"turnwise\":") && saved.contains("Grüße \u{fffd}"), "{saved}");
}

#[test]
fn a_log_with_a_message_a_line_is_read_and_never_written() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log.jsonl");
    let log = "{\"role\":\"user\",\"content\":\"a\"}\n\n{\"role\":\"assistant\",\"content\":\"b\"}\n";
    fs::write(&path, log).unwrap();
    let file = Transcript::load(&path).unwrap();
    assert!(file.is_log() && file.conversation.path().len() == 2);
    let error = file.save(&path).unwrap_err();
    assert!(error.kind() == ErrorKind::ForeignFormat && error.to_string().contains("jq -s"), "{error}");
    assert_eq!(rich().save(&path).unwrap_err().kind(), ErrorKind::ForeignFormat);
    let builder = || turnwise::ConversationManager::builder("gpt-4o").backend(turnwise::backend::Scripted::new(["c"]));
    assert_eq!(builder().resume(&path).unwrap_err().kind(), ErrorKind::ForeignFormat);
    assert!(builder().load(&path).is_ok());
    assert_eq!(fs::read_to_string(&path).unwrap(), log);
    file.save(folder.path().join("other.json")).unwrap();
    fs::write(&path, format!("{log}{{\"role\"")).unwrap();
    assert_eq!(Transcript::load(&path).unwrap_err().kind(), ErrorKind::Damaged);
    let read: Vec<_> = Transcripts::open(&path).unwrap().collect();
    assert_eq!((read.len(), read[0].is_ok(), read[1].is_err()), (2, true, true));
}

#[test]
fn instructions_beside_the_messages_are_told_of() {
    let warned = |text: &str| Transcript::from_json(text).unwrap().warnings().to_vec();
    assert_eq!(warned(r#"{"system":"Be brief.","messages":[]}"#), [turnwise::transcript::Warning::SystemMember]);
    assert_eq!(warned(r#"{"system":null,"messages":[]}"#), []);
    assert_eq!(warned(r#"{"system":"x","messages":[{"role":"developer","content":"x"}]}"#), []);
}

#[test]
fn roles_outside_the_specification_are_told_of_and_kept() {
    const BODY: &str = r#"{"messages":[{"role":"user","content":"x"},{"role":"agent","content":"y"},{"role":"agent","content":"z"},{"role":"exit","content":""}]}"#;
    const LOG: &str = "{\"role\":\"user\",\"content\":\"x\"}\n{\"role\":\"agent\",\"content\":\"y\"}\n{\"role\":\"exit\",\"content\":\"\"}\n";
    let body = Transcript::from_json(BODY).unwrap();
    for (file, exit) in
        [(&body, 3), (&Transcript::from_json(LOG).unwrap(), 2), (&Transcript::from_json(&body.to_json()).unwrap(), 3)]
    {
        let [turnwise::transcript::Warning::UnknownRoles { roles, .. }] = file.warnings() else {
            panic!("{:?}", file.warnings())
        };
        assert_eq!(*roles, [("agent".to_owned(), 1), ("exit".to_owned(), exit)]);
        let said = file.warnings()[0].to_string();
        assert!(said.contains("message 1 has the role `agent`") && said.contains("most servers refuse it"), "{said}");
        assert_eq!(file.conversation.path().item(1).unwrap().message().role().as_str(), "agent");
    }
    let known = ["system", "developer", "user", "assistant", "tool", "function"];
    let known = known.map(|role| format!(r#"{{"role":"{role}","content":"x"}}"#)).join(",");
    assert_eq!(Transcript::from_json(&format!("[{known}]")).unwrap().warnings(), []);
}

#[cfg(unix)]
#[test]
fn a_save_follows_a_link_and_keeps_permissions() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = TempDir::new().unwrap();
    let (file, link) = (folder.path().join("file.json"), folder.path().join("link.json"));
    rich().save(&file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&file, &link).unwrap();
    Transcript::new(Conversation::new()).save(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(Transcript::load(&file).unwrap().conversation.path().is_empty());
}

#[test]
fn a_transcript_does_not_replace_what_somebody_else_has_saved_since_it_was_loaded() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file.json");
    let mut one = Transcript::new(Conversation::from_messages([Message::user("a")]));
    one.save(&path).unwrap();
    let mut other = Transcript::load(&path).unwrap();
    other.conversation.push("b");
    other.save(&path).unwrap();
    one.conversation.push("c");
    let error = one.save(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("load it again"), "{error}");
    one.save(folder.path().join("copy.json")).unwrap();
    assert_eq!(one.save(&path).unwrap_err().kind(), ErrorKind::Conflict, "a copy elsewhere changes nothing");
    other.conversation.push("d");
    other.save(&path).unwrap();
    let behind = other.clone();
    other.save(&path).unwrap();
    other.conversation.push("e");
    other.save(&path).unwrap();
    assert_eq!(behind.save(&path).unwrap_err().kind(), ErrorKind::Conflict, "a copy of the value knows what it knew");
    one.replace(&path).unwrap();
    one.save(&path).unwrap();
    fs::remove_file(&path).unwrap();
    one.save(&path).unwrap();
}

#[cfg(unix)]
#[test]
fn a_change_of_the_same_size_at_the_same_time_in_the_same_file_is_noticed() {
    use std::os::unix::fs::MetadataExt;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file.json");
    Transcript::new(Conversation::from_messages([Message::user("aaaa")])).save(&path).unwrap();
    let loaded = Transcript::load(&path).unwrap();
    let before = fs::metadata(&path).unwrap();
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("aaaa", "bbbb")).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(before.modified().unwrap()).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((before.len(), before.ino()), (after.len(), after.ino()));
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert_eq!(loaded.save(&path).unwrap_err().kind(), ErrorKind::Conflict);
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("bbbb", "aaaa")).unwrap();
    loaded.save(&path).unwrap();
}

#[cfg(unix)]
#[test]
fn a_private_conversation_is_never_readable_by_others_while_it_is_saved() {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::AtomicBool;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file.json");
    let mode = |path: &Path| fs::metadata(path).map(|found| found.permissions().mode() & 0o777);
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let is_over = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                for name in names(folder.path()).iter().filter(|name| name.contains("turnwise")) {
                    seen.extend(mode(&folder.path().join(name)).ok());
                }
            }
            seen
        });
        for _ in 0..200 {
            rich().save(&path).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    assert!(seen.iter().all(|mode| *mode == 0o600), "{seen:?}");
    assert_eq!((mode(&path).unwrap(), mode(&folder.path().join(".file.json.lock")).unwrap()), (0o600, 0o600));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    rich().save(&path).unwrap();
    let lock = mode(&folder.path().join(".file.json.lock")).unwrap();
    assert_eq!((mode(&path).unwrap(), lock), (0o664, 0o660), "who may write the file may lock it");
    let (plain, new) = (folder.path().join("plain"), folder.path().join("new.json"));
    fs::write(&plain, "").unwrap();
    rich().save(&new).unwrap();
    assert_eq!(mode(&new).unwrap(), mode(&plain).unwrap(), "a new file has the permissions of any new file");
}

#[test]
fn what_a_killed_writer_has_left_is_removed_by_the_next_save() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file.json");
    fs::write(folder.path().join(".file.json.turnwise-tmp"), "half of somethi").unwrap();
    fs::write(folder.path().join(".other.json.turnwise-tmp"), "another file's").unwrap();
    rich().save(&path).unwrap();
    assert_eq!(names(folder.path()), [".file.json.lock", ".other.json.turnwise-tmp", "file.json"]);
    Transcript::load(&path).unwrap();
}

#[test]
fn the_longest_names_can_be_saved_to() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("n".repeat(255));
    let file = rich();
    file.save(&path).unwrap();
    file.save(&path).unwrap();
    assert_eq!(Transcript::load(&path).unwrap().to_json(), file.to_json());
}

#[test]
fn a_lock_file_may_be_deleted_while_nobody_saves() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file.json");
    let file = rich();
    for _ in 0..3 {
        file.save(&path).unwrap();
        fs::remove_file(folder.path().join(".file.json.lock")).unwrap();
    }
}

#[test]
fn a_save_waits_for_the_lock_and_looks_again_when_it_has_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file.json");
    rich().save(&path).unwrap();
    let file = Transcript::load(&path).unwrap();
    let lock = fs::File::open(folder.path().join(".file.json.lock")).unwrap();
    lock.lock().unwrap();
    thread::scope(|scope| {
        let saving = scope.spawn(|| file.save(&path));
        thread::sleep(Duration::from_millis(50));
        assert!(!saving.is_finished());
        fs::write(&path, Transcript::default().to_json()).unwrap();
        drop(lock);
        assert_eq!(saving.join().unwrap().unwrap_err().kind(), ErrorKind::Conflict);
    });
}

#[cfg(unix)]
#[test]
fn a_hard_link_stays_one_and_a_kill_while_it_is_written_in_place_loses_nothing() {
    use std::os::unix::fs::MetadataExt;
    let folder = TempDir::new().unwrap();
    let (path, link) = (folder.path().join("file.json"), folder.path().join("link.json"));
    rich().save(&path).unwrap();
    fs::hard_link(&path, &link).unwrap();
    let file = rich();
    file.save(&path).unwrap();
    assert_eq!(fs::read(&link).unwrap(), file.to_json().into_bytes());
    assert_eq!(fs::metadata(&path).unwrap().nlink(), 2);
    assert_eq!(names(folder.path()), [".file.json.lock", "file.json", "link.json"]);
    let mut other = Transcript::load(&link).unwrap();
    other.conversation.push("by its other name");
    other.save(&link).unwrap();
    assert_eq!(file.save(&path).unwrap_err().kind(), ErrorKind::Conflict);

    let (before, whole) = (fs::read(&path).unwrap(), folder.path().join(".file.json.turnwise-new"));
    let new = rich().to_json().into_bytes();
    let zeros = [&new[..40], &[0; 500]].concat();
    for torn in [&new[..0], &new[..1], &new[..new.len() - 1], &zeros] {
        fs::write(&whole, &new).unwrap();
        fs::write(&path, torn).unwrap();
        assert_eq!(Transcript::load(&path).unwrap().to_json().into_bytes(), new);
        assert!(!whole.exists());
    }
    // Killed before anything was written, or after everything was; or another writer has changed it
    // since.
    for is in [&before, &new] {
        fs::write(&whole, &new).unwrap();
        fs::write(&path, is).unwrap();
        Transcript::load(&path).unwrap().save(&path).unwrap();
        assert!(!whole.exists());
    }
    fs::write(&path, &before).unwrap();
    fs::write(&whole, &new).unwrap();
    assert_eq!(Transcript::load(&path).unwrap().to_json().into_bytes(), before);
}

/// Whether the tests may give files away.
#[cfg(unix)]
fn is_root(folder: &Path) -> bool {
    use std::os::unix::fs::chown;
    let path = folder.join("is_root");
    fs::write(&path, "").unwrap();
    let is_root = chown(&path, Some(12_345), Some(12_346)).is_ok();
    fs::remove_file(&path).unwrap();
    is_root
}

#[cfg(unix)]
#[test]
fn owner_and_group_stay() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let folder = TempDir::new().unwrap();
    if !is_root(folder.path()) {
        return;
    }
    let path = folder.path().join("file.json");
    rich().save(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
    chown(&path, Some(12_345), Some(12_346)).unwrap();
    rich().save(&path).unwrap();
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (12_345, 12_346, 0o660));
    let lock = fs::metadata(folder.path().join(".file.json.lock")).unwrap();
    assert_eq!((lock.gid(), lock.mode() & 0o777), (12_346, 0o660));
}

/// Not a test of its own: what another user or a process in another folder tree saves.
#[test]
fn saves_once() {
    let Some(path) = std::env::var_os(SAVER) else { return };
    let mut file = Transcript::load(&path).unwrap();
    file.conversation.push("saved once");
    file.save(&path).unwrap();
    file.conversation.push("saved twice");
    file.save(&path).unwrap();
}

const SAVER: &str = "TURNWISE_TEST_SAVES_ONCE";

#[cfg(unix)]
#[test]
fn a_file_of_another_user_stays_theirs() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    let folder = TempDir::new().unwrap();
    if !is_root(folder.path()) {
        return;
    }
    // Where another user may run it.
    let program = folder.path().join("saver");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let path = folder.path().join("file.json");
    rich().save(&path).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
    chown(&path, Some(12_345), Some(12_346)).unwrap();
    rich().replace(&path).unwrap();
    let save = |user| {
        let mut command = Command::new(&program);
        command.args(["--exact", "saves_once", "--nocapture"]).env(SAVER, &path).current_dir("/");
        command.uid(user).gid(12_346).stdout(Stdio::null()).status().unwrap().success()
    };
    assert!(save(12_347), "a member of the group that may write it");
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (12_345, 12_346, 0o660));
    let saved = Transcript::load(&path).unwrap().conversation;
    assert_eq!(saved.path().messages().last().unwrap().text(), "saved twice");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_a_mount_point_is_saved_to() {
    let folder = TempDir::new().unwrap();
    let (volume, path) = (folder.path().join("volume.json"), folder.path().join("file.json"));
    rich().save(&volume).unwrap();
    fs::write(&path, "").unwrap();
    let script = "mount --bind \"$1\" \"$2\" || exit 77; exec \"$3\" --exact saves_once --nocapture";
    let ran = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([&volume, &path, &std::env::current_exe().unwrap()])
        .env(SAVER, &path)
        .output();
    // Not everybody may mount.
    let Some(ran) =
        ran.ok().filter(|ran| ran.status.success() || String::from_utf8_lossy(&ran.stderr).contains("panicked"))
    else {
        return;
    };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let saved = Transcript::load(&volume).unwrap().conversation;
    assert_eq!(saved.path().messages().last().unwrap().text(), "saved twice");
    assert!(names(folder.path()).iter().all(|name| !name.contains("turnwise-")));
}

#[test]
fn heads_of_older_files_are_read_and_written_as_changes() {
    let text = fs::read_to_string("tests/files/whole_heads.json").unwrap();
    let file = Transcript::from_json(&text).unwrap();
    let texts = |heads: Vec<Vec<Message>>| -> Vec<String> {
        let texts = |head: Vec<Message>| head.iter().map(|message| message.text().into_owned()).collect::<Vec<_>>();
        heads.into_iter().map(|head| texts(head).join(" ")).collect()
    };
    let heads = texts(file.conversation.heads().collect());
    let (brief, plain, french, weather) =
        ("Be brief.", "Answer in plain text.", "Always answer in French.", "Never mention the weather.");
    assert_eq!(
        heads,
        [
            format!("{brief} {plain}"),
            format!("{brief} {plain} {french}"),
            format!("{brief} {plain} {french} {weather}"),
            format!("Be very brief. {plain} {french} {weather}"),
            format!("Be very brief. {plain} {weather}"),
            format!("Be kind. {weather}"),
            format!("Be kind. {weather} {french}"),
        ]
    );
    let again = Transcript::from_json(&file.to_json()).unwrap();
    assert_eq!(texts(again.conversation.heads().collect()), heads);
    assert_eq!((again.conversation.constraints().count(), again.conversation.items().count()), (2, 4));
    assert!(file.to_json().len() < text.len());
    assert_eq!(again.to_json(), file.to_json());
}

#[test]
fn a_file_grows_with_what_was_stated() {
    let stated = |constraints: usize| {
        let mut file = Transcript::default();
        for n in 0..constraints {
            file.conversation.constrain(&format!("Rule {n:04}"));
        }
        assert_eq!(file.conversation.head().len(), constraints);
        let text = file.to_json();
        assert_eq!(Transcript::from_json(&text).unwrap().conversation.heads().count(), constraints + 1);
        text.len()
    };
    let (some, many) = (stated(100), stated(800));
    assert!(many < 9 * some, "{some} and {many} bytes");
    for n in [0, 400, 799] {
        let mut file = Transcript::default();
        (0..800).for_each(|n| file.conversation.constrain(&format!("Rule {n:04}")));
        assert!(file.conversation.lift(&format!("Rule {n:04}")));
        file.conversation.set_system("Be brief.");
        let heads: Vec<usize> = file.conversation.heads().map(|head| head.len()).collect();
        assert_eq!(heads[798..], [798, 799, 800, 799, 800]);
    }
}

#[test]
fn a_replaced_head_that_does_not_fit_is_damage() {
    let mut file = rich();
    file.conversation.set_system("Other.");
    let text = file.to_json();
    for change in [r#"{"at":9,"#, r#"{"at":18446744073709551615,"#] {
        let error = Transcript::from_json(&text.replacen(r#"[{"at":0,"#, &format!("[{change}"), 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(error.to_string().contains("replaced head"), "{error}");
    }
}

#[test]
fn an_error_inside_our_part_of_a_file_has_the_place_of_the_value() {
    let text = rich().to_json();
    for (from, to, at) in [
        ("\"created_at\":", "\"created_at\":\"x\",\"was\":", "\"x\",\"was\""),
        ("\"head\":1,", "\"head\":\"one\",", "\"one\""),
        ("\"head\":1,", "\"head\":1,\"purged\":4000000000,", "4000000000"),
        ("\"pins\":[0]", "\"pins\":[0,\"a\"]", "\"a\""),
        ("\"pins\":[0]", "\"pins\":[7000000]", "[7000000]"),
        ("\"first\":0,", "\"first\":4294967295,", "[{\"id\":0,\"first\""),
        ("\"spec\":\"window\"", "\"spec\":5", "{\"spec\":5"),
        ("\"path\":[{\"start\":0,", "\"path\":[{\"start\":1,", "[{\"start\":1"),
        ("\"path\":[{\"start\":0,", "\"path\":[{\"start\":true,", "{\"start\":true"),
        ("\"next_summary\":", "\"next\":1,\"next_summary\":[],\"was\":", "[],\"was\""),
    ] {
        assert!(text.contains(from), "{from}");
        let text = text.replacen(from, to, 1);
        let error = Transcript::from_json(&text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{to}: {error}");
        let place = error.position().unwrap();
        assert!(text[place.byte..].starts_with(at), "{to}: {error}: {}", &text[place.byte..][..30]);
        assert_eq!(place.line, text[..place.byte].matches('\n').count() + 1);
        let read = Transcripts::new(text.as_bytes()).next().unwrap().unwrap_err();
        assert_eq!(read.position(), Some(place), "{to}");
    }
    for (text, at) in [
        (r#"{"turnwise": 1, "messages": []}"#, "1,"),
        (r#"{"messages": [], "turnwise_record": {}}"#, "{}}"),
        (r#"{"turnwise": "one", "messages": []}"#, "\"one\""),
        (r#"{"turnwise": 1, "messages": [], "turnwise_record": {"id": "x"}}"#, "{\"id\""),
    ] {
        let place = Transcript::from_json(text).unwrap_err().position().unwrap();
        assert!(text[place.byte..].starts_with(at), "{text}: {place}");
    }
}

#[test]
fn zeros_at_the_end_of_a_file_are_called_so() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file.json");
    let whole = rich().to_json();
    let torn = &whole[..whole.len() / 2];
    for (text, says, at) in [
        (
            format!("{whole}{}", "\0".repeat(4_096)),
            "4,096 zero bytes after a complete JSON value",
            whole.trim_end().len(),
        ),
        (format!("{torn}\0\0\0"), "3 zero bytes after text that ends in the middle of a value", torn.len()),
        ("\0".repeat(100), "100 zero bytes and no text", 0),
        (format!("[]\n{}\n", "\0".repeat(7)), "7 zero bytes after a complete JSON value", 2),
    ] {
        fs::write(&path, &text).unwrap();
        let error = Transcript::load(&path).unwrap_err();
        assert_eq!((error.kind(), error.position().unwrap().byte), (ErrorKind::Damaged, at), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(rich().save(&path).unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let lines = "{\"messages\":[]}\n\0\0\0\0";
    let read: Vec<_> = Transcripts::new(lines.as_bytes()).collect();
    assert!(read.len() == 2 && read[0].is_ok());
    let error = read[1].as_ref().unwrap_err();
    assert!(error.to_string().contains("4 zero bytes") && error.position().unwrap().byte == 16, "{error}");
}

#[test]
fn a_save_that_fails_says_where_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let error = rich().save(folder.path().join("missing/file.json")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let said = error.to_string();
    assert!(said.contains("missing/file.json: its folder does not exist") && !said.contains(".turnwise-"), "{said}");
    assert!(rich().save(folder.path()).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn invariant_8_a_file_that_load_refuses_is_not_replaced() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file.json");
    let edited =
        rich().to_json().replacen("\"messages\":[", "\"messages\":[{\"role\":\"user\",\"content\":\"by hand\"},", 1);
    for text in [&*edited, r#"{"name": "not a transcript"}"#, "[]\n[]\n", "a letter"] {
        fs::write(&path, text).unwrap();
        assert!(Transcript::load(&path).is_err());
        assert_eq!(rich().save(&path).unwrap_err().kind(), ErrorKind::Damaged, "{text}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn numbers_that_a_file_claims_are_not_believed() {
    let text = rich().to_json();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Transcript::from_json(&text.replacen(from, to, 1))
    };
    for damaged in [
        with("\"path\":[{\"start\":0,", "\"path\":[{\"start\":0,\"end\":4294967295},{\"start\":0,"),
        with("\"head\":1,", "\"head\":18446744073709551615,"),
        with("\"head\":1,", "\"head\":1,\"purged\":4000000000,"),
        with("\"head\":1,", "\"head\":1,\"purged\":18446744073709551615,"),
        with("\"first\":0,", "\"first\":4294967295,"),
        with("\"pins\":[0]", "\"pins\":[7000000]"),
    ] {
        assert_eq!(damaged.unwrap_err().kind(), ErrorKind::Damaged);
    }
    let mut huge = with("\"summaries\":[{\"id\":0,", "\"summaries\":[{\"id\":4294967295,").unwrap();
    let first = huge.conversation.path().item(0).unwrap().id();
    huge.conversation.attach(first, first, "text", None).unwrap();
}

#[test]
fn invariant_7_a_reload_counts_neither_head_nor_tools() {
    let (cost, asked) = counted();
    let mut file = rich();
    let planner = Planner::new(cost, &TokenBudget::limit(100_000)).unwrap().tools(file.tools.clone());
    let plan = |file: &mut Transcript| {
        let window = SlidingWindow::tokens();
        planner
            .plan(&file.conversation, &mut file.ledger, &window, &mut StrategyCache::default())
            .unwrap()
            .tokens()
            .total()
    };
    let total = plan(&mut file);
    let text = file.to_json();
    asked.store(0, Ordering::Relaxed);
    assert_eq!(plan(&mut Transcript::from_json(&text).unwrap()), total);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    let longer = text.replace("Be very brief.", "Be very, very brief.");
    assert_eq!(plan(&mut Transcript::from_json(&longer).unwrap()), total + 6);
}

#[test]
fn invariant_10_a_hostile_file_of_calls_or_keys_is_read_in_time() {
    let calls: Vec<_> = (0..20_000).map(|n| turnwise::ToolCall::function(&format!("call_{n}"), "f", "{}")).collect();
    let results = (0..20_000).rev().map(|n| Message::tool(&format!("call_{n}"), "r"));
    let talk = Conversation::from_messages(std::iter::once(Message::calls(calls)).chain(results));
    assert_eq!(talk.path().group_count(), 1);
    assert!(Ledger::new().total(&talk, &counted().0) > 100_000);
    let keys: Vec<String> = (0..200_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let wide = format!("{{\"role\":\"user\",{}}}", keys.join(","));
    assert_eq!(Message::from_json(&wide).unwrap().extra().count(), 200_000);
    let body = format!("{{\"messages\":[],{}}}", keys.join(","));
    assert_eq!(Transcript::from_json(&Transcript::from_json(&body).unwrap().to_json()).unwrap().extra.len(), 200_000);
}

#[cfg(unix)]
#[test]
fn only_regular_files_are_replaced_and_a_link_may_name_one_that_is_not_there_yet() {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let error = rich().save(&socket).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
    let (link, looped) = (folder.path().join("link.json"), folder.path().join("loop.json"));
    symlink("later.json", &link).unwrap();
    rich().save(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    Transcript::load(folder.path().join("later.json")).unwrap();
    symlink(&looped, &looped).unwrap();
    assert_eq!(rich().save(&looped).unwrap_err().kind(), ErrorKind::Io);
}

const VICTIM: &str = "TURNWISE_TEST_SAVES_TO";

/// Not a test of its own: the process that `invariant_8_what_was_saved_survives_a_kill` kills.
#[test]
fn saves_until_it_is_killed() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    for size in (1..).map(|round| round % 400) {
        let talk = Conversation::from_messages((0..size).map(|n| Message::user(format!("{n}").repeat(50))));
        Transcript::new(talk).save(Path::new(&path)).unwrap();
    }
}

#[test]
fn invariant_8_what_was_saved_survives_a_kill() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file.json");
    Transcript::new(Conversation::new()).save(&path).unwrap();
    for round in 0..25 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "saves_until_it_is_killed"])
            .env(VICTIM, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(20 + 7 * round));
        victim.kill().unwrap();
        victim.wait().unwrap();
        Transcript::load(&path).unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    assert!(!Transcript::load(&path).unwrap().conversation.path().is_empty(), "the victim saved nothing");
}

#[test]
fn a_file_holds_no_costs_of_a_copy_that_went_another_way() {
    let (cost, _) = counted();
    let mut file = Transcript::new(Conversation::from_messages([Message::user("a")]));
    let mut copy = file.conversation.clone();
    copy.push("a message that is never recorded here");
    file.ledger.total(&copy, &cost);
    file.conversation.push("short");
    let mut again = Transcript::from_json(&file.to_json()).unwrap();
    assert_eq!(again.ledger.total(&again.conversation, &cost), Ledger::new().total(&file.conversation, &cost));
}

#[test]
fn a_ledger_of_another_conversation_is_not_believed() {
    let (cost, _) = counted();
    let one = Conversation::from_messages([Message::user("a long first message")]);
    let two = Conversation::from_messages([Message::user("short")]);
    let mut ledger = Ledger::new();
    let own = Ledger::new().total(&two, &cost);
    ledger.total(&one, &cost);
    assert_eq!(ledger.total(&two, &cost), own);
}
