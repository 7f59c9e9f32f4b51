//! All changes of a transcript, in their order, give the same transcript to the byte.

use fastrand::Rng;
use turnwise::conversation::{Mark, SummaryId};
use turnwise::message::RawJson;
use turnwise::spending::{Call, Purpose};
use turnwise::tokens::{Calibration, Count, CounterFn, LastBill};
use turnwise::transcript::Change;
use turnwise::vectors::{Vector, Vectors};
use turnwise::{ChatCost, Conversation, ItemId, Message, Transcript};

use crate::generate::{self, chance, pick};
use crate::{Case, each_case};

fn costs() -> [ChatCost; 2] {
    let bytes = ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64));
    [bytes, ChatCost::new(CounterFn::new("characters", |text| text.chars().count() as u64))]
}

fn start(case: &mut Case) -> (Transcript, Vec<Message>) {
    let mut messages = generate::talk(&mut case.rng);
    let file = if chance(&mut case.rng, 30) { Conversation::new() } else { messages.conversation() };
    messages.messages.push(Message::user("one more"));
    (Transcript::new(file), messages.messages)
}

fn some_item(rng: &mut Rng, talk: &Conversation) -> Option<ItemId> {
    let ids: Vec<ItemId> = talk.items().map(turnwise::Item::id).collect();
    (!ids.is_empty()).then(|| pick(rng, &ids))
}

/// A change of the record.
fn step(rng: &mut Rng, talk: &mut Conversation, messages: &[Message]) -> &'static str {
    let target = some_item(rng, talk);
    match (rng.u8(0..20), target) {
        (0..=3, _) => {
            let from = rng.usize(0..messages.len());
            for message in messages.iter().skip(from).take(rng.usize(1..6)) {
                talk.push(message.clone());
            }
            "push"
        }
        (4, _) => talk.undo().map_or("nothing", |_| "undo"),
        (5, Some(id)) => talk.edit(id, pick(rng, &["one", "other"])).map(|_| "edit").unwrap(),
        (6 | 7, Some(id)) => talk.switch(id).map(|()| "switch").unwrap(),
        (8, _) => {
            talk.clear();
            "clear"
        }
        (9, _) => {
            talk.set_system(pick(rng, &["Be brief.", "Be long.", "In French."]));
            "set_system"
        }
        (10, _) => {
            talk.constrain(pick(rng, &["In French.", "No jokes.", "Be brief."]));
            "constrain"
        }
        (11, _) => {
            talk.lift(pick(rng, &["In French.", "No jokes.", "Be brief."]));
            "lift"
        }
        (12, Some(id)) if chance(rng, 60) => talk.pin(id).map(|()| "pin").unwrap(),
        (12, _) => {
            let pinned: Vec<ItemId> = talk.pins().collect();
            let _ = pinned.first().map(|&pin| talk.unpin(pin));
            "unpin"
        }
        (13, _) if !talk.path().is_empty() => {
            let path: Vec<ItemId> = talk.path().items().map(turnwise::Item::id).collect();
            let last = rng.usize(0..path.len());
            talk.attach(path[rng.usize(0..=last)], path[last], generate::text(rng), Some("model")).unwrap();
            "attach"
        }
        (14, _) => {
            let ids: Vec<SummaryId> = talk.summaries().map(|summary| summary.id).collect();
            if let Some(&id) = ids.first() {
                talk.expand(id).unwrap();
            }
            "expand"
        }
        (15 | 16, Some(id)) => {
            let head = talk.leaf().unwrap_or(id);
            talk.set_mark(Mark::new(pick(rng, &["window", "recall"]), "cut", id, head)).unwrap();
            "mark"
        }
        (17, Some(id)) => talk.purge(id).map(|_| "purge").unwrap(),
        (18, _) if chance(rng, 30) => {
            talk.purge_branches();
            "purge branches"
        }
        (18 | 19, _) => {
            let key = pick(rng, &["topic", "user"]);
            if chance(rng, 70) {
                talk.metadata_mut().set(key, generate::text(rng).chars().take(500).collect::<String>()).unwrap();
            } else {
                talk.metadata_mut().remove(key);
            }
            "metadata"
        }
        _ => "nothing",
    }
}

/// A change of what stands beside the record.
fn beside(rng: &mut Rng, file: &mut Transcript) -> &'static str {
    match rng.u8(0..11) {
        0..=2 => {
            let cost = pick(rng, &[0, 1]);
            file.ledger.total(&file.conversation, &costs()[cost]);
            "count"
        }
        3 => {
            let call = Call::new(Purpose::Reply, pick(rng, &["large", "small"]));
            file.spending.add(&if chance(rng, 30) { call.failed() } else { call });
            "spend"
        }
        4 => {
            let learned = file.calibration.of("m", "s");
            let forecast = learned.forecast(Count::exact(rng.u64(1..500)), None);
            file.calibration.learn("m", "s", &forecast, rng.u64(1..500), None);
            "learn"
        }
        5 => {
            let forecast = Calibration::new().of("m", "s").forecast(Count::exact(rng.u64(1..500)), None);
            let anchor = Calibration::new().learn("m", "s", &forecast, rng.u64(1..500), None).unwrap();
            file.last_bill = chance(rng, 80).then(|| Box::new(LastBill::new("m", "s", "bytes/r/1", anchor, 7)));
            "bill"
        }
        6 => {
            file.model = chance(rng, 80).then(|| pick(rng, &["large", "small"]).to_owned());
            "model"
        }
        7 => {
            file.tools = if chance(rng, 60) { generate::tools(rng) } else { Vec::new() };
            "tools"
        }
        8 | 9 => {
            let by = pick(rng, &["model", "model", "model", "other"]);
            if let Some(item) = some_item(rng, &file.conversation).and_then(|id| file.conversation.get(id)).cloned() {
                file.vectors.put(by, &item, vector(rng, 3));
            }
            if chance(rng, 5) {
                file.vectors = Vectors::default();
            }
            "embed"
        }
        _ => {
            let vendor = RawJson::new(&generate::json(rng, 2)).unwrap();
            file.extra.retain(|(key, _)| key != "vendor");
            file.extra.push(("vendor".to_owned(), vendor));
            "member"
        }
    }
}

fn vector(rng: &mut Rng, dimensions: usize) -> Vector {
    let parts: Vec<f32> = (0..dimensions).map(|_| rng.f32() - 0.5).collect();
    Vector::new(&parts).unwrap()
}

/// As a journal has them.
fn through_json(changes: Vec<Change>) -> Vec<Change> {
    changes.into_iter().map(|change| serde_json::from_str(&serde_json::to_string(&change).unwrap()).unwrap()).collect()
}

#[test]
fn all_changes_in_order_give_the_same_transcript_to_the_byte() {
    each_case(200, |case| {
        let (mut file, messages) = start(case);
        let folder = tempfile::TempDir::new().unwrap();
        let on_disk = folder.path().join("chat.jsonl");
        file.save(&on_disk).unwrap();
        let mut journal = file.changes();
        let mut copy = Transcript::default();
        copy.apply(through_json(journal.clone())).unwrap();
        let mut steps = Vec::new();
        for _ in 0..case.rng.usize(1..12) {
            // What bills teach is shared by clones; a loaded one has its own.
            let mut before = file.clone();
            before.calibration = own(&file.calibration);
            let saved = steps.len();
            for _ in 0..case.rng.usize(0..6) {
                steps.push(if chance(&mut case.rng, 65) {
                    step(&mut case.rng, &mut file.conversation, &messages)
                } else {
                    beside(&mut case.rng, &mut file)
                });
            }
            // A mark that was replaced, and then purged: no change says that the first one is gone.
            let mut since = steps[saved..].iter().skip_while(|step| **step != "mark");
            let may_lose_a_mark = since.any(|step| step.starts_with("purge"));
            steps.push("save");
            let changes = through_json(file.changes_since(&before));
            case.note(format!("{}: {changes:?}", steps.join(", ")));
            let begins = changes.iter().any(|change| change.kind() == "begun");
            assert!(!begins || may_lose_a_mark, "everything is written again");
            copy.apply(changes.clone()).unwrap();
            assert_eq!(copy.to_json(), file.to_json());
            journal.extend(changes);
            file.save(&on_disk).unwrap();
            let loaded = Transcript::load(&on_disk).unwrap();
            assert_eq!(loaded.to_json(), file.to_json(), "the journal on the disk");
            // Now and then the one that was loaded goes on.
            if chance(&mut case.rng, 20) {
                copy = loaded.clone();
                file = loaded;
                journal = file.changes();
            }
        }
        let mut from_nothing = Transcript::default();
        from_nothing.apply(through_json(journal)).unwrap();
        assert_eq!(from_nothing.to_json(), file.to_json(), "the journal from its start");
        let mut compact = Transcript::default();
        compact.apply(through_json(file.changes())).unwrap();
        assert_eq!(compact.to_json(), file.to_json(), "the journal made anew");
        assert!(file.changes_since(&file.clone()).iter().all(|change| change.kind() == "calibration"));
        assert!(Transcript::from_json(&copy.to_json()).is_ok());
    });
}

fn own(calibration: &Calibration) -> Calibration {
    let copy = Calibration::new();
    copy.merge(calibration);
    copy
}

#[test]
fn a_transcript_that_was_loaded_gives_the_changes_since_it_was_saved() {
    each_case(100, |case| {
        let (mut file, messages) = start(case);
        for _ in 0..case.rng.usize(1..10) {
            step(&mut case.rng, &mut file.conversation, &messages);
            beside(&mut case.rng, &mut file);
        }
        let saved = file.to_json();
        let load = || Transcript::from_json(&saved).unwrap();
        let (before, mut after) = (load(), load());
        assert_eq!(after.changes_since(&before).len(), 0);
        step(&mut case.rng, &mut after.conversation, &messages);
        let changes = through_json(after.changes_since(&before));
        let mut other = load();
        other.apply(changes).unwrap();
        assert_eq!(other.to_json(), after.to_json());
    });
}

#[test]
fn the_changes_of_another_conversation_hold_everything_and_no_change_is_made_by_half() {
    each_case(50, |case| {
        let (file, messages) = start(case);
        let mut fork = Transcript::new(file.conversation.clone());
        if let Some(leaf) = file.conversation.leaf() {
            fork.conversation = file.conversation.fork(leaf).unwrap();
        }
        fork.conversation.push(messages[0].clone());
        let changes = fork.changes_since(&Transcript::default());
        assert_eq!(changes[0].kind(), "begun");
        let mut copy = file.clone();
        copy.apply(changes.clone()).unwrap();
        assert_eq!(copy.to_json(), fork.to_json());
        // Without its beginning, and with an item that is left out.
        let torn: Vec<Change> = changes.into_iter().skip(1).filter(|change| change.kind() != "leaf").skip(1).collect();
        let mut empty = Transcript::default();
        let before = empty.to_json();
        if torn.iter().any(|change| change.kind() == "item") {
            let error = empty.apply(torn).unwrap_err();
            assert!(error.to_string().contains("change 0, `item`: item #1 is recorded"), "{error}");
        }
        assert_eq!(empty.to_json(), before);
    });
}

#[test]
fn a_turn_is_as_many_changes_in_a_long_conversation_as_in_a_short_one() {
    let cost = costs()[0].clone();
    let mut sizes = Vec::new();
    for items in [20, 20_000] {
        let messages = (0..items).map(|n| Message::user(format!("Message {n}")));
        let mut file = Transcript::new(Conversation::from_messages(messages));
        file.ledger.total(&file.conversation, &cost);
        let before = file.clone();
        file.conversation.push("And now?");
        file.conversation.push(Message::assistant("Now this."));
        file.ledger.total(&file.conversation, &cost);
        let changes = file.changes_since(&before);
        let kinds: Vec<&str> = changes.iter().map(Change::kind).collect();
        assert_eq!(kinds, ["item", "item", "counted"]);
        sizes.push(serde_json::to_string(&changes).unwrap().len());
    }
    assert!(sizes[1] < sizes[0] + 40, "{sizes:?} bytes");
}
