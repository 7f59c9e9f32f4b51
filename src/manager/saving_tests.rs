//! What is saved when, and what becomes of an exchange or a change that cannot be saved.

use std::fs;
use std::future::IntoFuture;
use std::path::Path;
use std::thread;

use futures_lite::future::block_on;
use tempfile::TempDir;

use super::*;
use crate::backend::{Answer, ChatEvent, Scripted};
use crate::budget::TokenBudget;
use crate::error::{Error, ErrorKind};
use crate::message::{Message, ToolCall};
use crate::strategy::Summarize;
use crate::tokens::CounterFn;

fn builder(script: impl Into<Scripted>) -> Builder {
    ConversationManager::builder("test-model")
        .backend(script.into())
        .budget(TokenBudget::limit(3_000))
        .counter(CounterFn::new("bytes", |text| text.len() as u64))
}

fn texts(chat: &ConversationManager) -> Vec<String> {
    chat.history().iter().map(|message| message.text().into_owned()).collect()
}

/// A file that the chat which was opened on it can no longer replace.
fn spoil(file: &Path) {
    Transcript::new(Conversation::from_messages([Message::user("somebody else's")])).replace(file).unwrap();
}

/// Records what it is told about saving.
#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Diary {
    fn committed(&self, _: &str, reply: &Reply) {
        self.0.lock().unwrap().push(format!("committed {}", reply.item_id));
    }

    fn unsaved(&self, _: &str, error: &Error) {
        self.0.lock().unwrap().push(format!("unsaved {:?}", error.kind()));
    }

    fn failed(&self, _: &str, error: &Error) {
        self.0.lock().unwrap().push(format!("failed {:?}", error.kind()));
    }
}

/// Waits for what happens on another thread.
fn wait_until(holds: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if holds() {
            return;
        }
        thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("it never came to hold");
}

#[test]
fn a_conversation_is_in_its_file_before_anything_is_said() {
    let folder = TempDir::new().unwrap();
    let (resumed, built, opened) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("c"));
    let chats = [
        (&resumed, builder(Scripted::default()).system("s").resume(&resumed).unwrap()),
        (&built, builder(Scripted::default()).system("s").autosave(&built).build().unwrap()),
        (&opened, builder(Scripted::default()).system("s").autosave(&opened).open(Transcript::default()).unwrap()),
    ];
    for (file, chat) in chats {
        assert_eq!(Transcript::load(file).unwrap().conversation.id(), chat.snapshot().id());
        assert_eq!(builder(Scripted::default()).resume(file).unwrap().snapshot().id(), chat.snapshot().id());
    }
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_anything_is_sent() {
    let folder = TempDir::new().unwrap();
    for file in [folder.path().join("missing/chat.json"), folder.path().to_owned()] {
        for chat in [
            builder(Scripted::default()).autosave(&file).build(),
            builder(Scripted::default()).resume(&file),
            builder(Scripted::default()).autosave(&file).open(Transcript::default()),
        ] {
            assert_eq!(chat.unwrap_err().kind(), ErrorKind::Io);
        }
        let chat = builder(Scripted::default()).build().unwrap();
        assert_eq!(chat.check_save(&file).unwrap_err().kind(), ErrorKind::Io);
    }
    let file = folder.path().join("chat.json");
    let chat = builder(Scripted::default()).build().unwrap();
    chat.check_save(&file).unwrap();
    assert!(!file.exists());
    spoil(&file);
    assert_eq!(chat.check_save(&file).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn nothing_is_opened_with_autosave_on_a_file_that_it_was_not_read_from() {
    let folder = TempDir::new().unwrap();
    let (own, other) = (folder.path().join("own.json"), folder.path().join("other.json"));
    spoil(&own);
    spoil(&other);
    let open = |file: Transcript, save: &Path| builder(Scripted::new(["one"])).autosave(save).open(file);
    let error = open(Transcript::load(&own).unwrap(), &other).unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.to_string().contains("`resume`"), "{error}");
    assert_eq!(open(Transcript::default(), &other).unwrap_err().kind(), ErrorKind::Io);
    let chat = open(Transcript::load(&own).unwrap(), &own).unwrap();
    assert!(block_on(chat.send("a").into_future()).unwrap().report.unsaved.is_none());
}

#[test]
fn every_change_is_in_the_file_when_it_returns() {
    type Change = fn(&ConversationManager, ItemId);
    let changes: [(&str, Change); 14] = [
        ("push", |chat, _| assert_eq!(chat.push("pushed").unwrap().index(), 1)),
        ("undo", |chat, _| assert!(chat.undo().unwrap().is_some())),
        ("switch", |chat, first| chat.switch(first).unwrap()),
        ("edit", |chat, first| assert_ne!(chat.edit(first, "edited").unwrap(), first)),
        ("pin", |chat, first| chat.pin(first).unwrap()),
        ("unpin", |chat, first| assert!(chat.unpin(first).unwrap())),
        ("constrain", |chat, _| chat.constrain("In French.").unwrap()),
        ("lift", |chat, _| assert!(chat.lift("In French.").unwrap())),
        ("set_system", |chat, _| chat.set_system("Be brief.").unwrap()),
        ("metadata", |chat, _| chat.edit_record(|record| record.metadata_mut().set("topic", "tests")).unwrap()),
        ("attach", |chat, first| {
            chat.switch(first).unwrap();
            chat.edit_record(|record| record.attach(first, first, "So far.", None)).unwrap();
        }),
        ("expand", |chat, _| {
            let summary = chat.snapshot().summaries().next().unwrap().id;
            chat.expand(summary).unwrap();
        }),
        ("purge", |chat, _| assert!(chat.edit_record(|record| Ok(record.purge_branches())).unwrap() > 0)),
        ("clear", |chat, _| chat.clear().unwrap()),
    ];
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let chat = builder(Scripted::default()).resume(&file).unwrap();
    let first = chat.push("a").unwrap();
    for (name, change) in changes {
        change(&chat, first);
        assert_eq!(fs::read_to_string(&file).unwrap(), chat.transcript().to_json(), "{name}");
    }
    assert_eq!(builder(Scripted::default()).resume(&file).unwrap().history(), chat.history());
}

#[test]
fn a_change_that_cannot_be_saved_is_not_made() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let chat = builder(Scripted::default()).resume(&file).unwrap();
    let first = chat.push("a").unwrap();
    spoil(&file);
    let before = chat.transcript().to_json();
    for refused in [chat.clear(), chat.pin(first), chat.constrain("x"), chat.push("b").map(drop)] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    }
    assert_eq!(chat.transcript().to_json(), before);
    chat.replace(&file).unwrap();
    chat.clear().unwrap();
    assert_eq!(Transcript::load(&file).unwrap().conversation.path().len(), 0);
}

#[test]
fn a_change_that_changes_nothing_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let chat = builder(Scripted::default()).resume(&file).unwrap();
    chat.push("a").unwrap();
    spoil(&file);
    chat.edit_record(|_| Ok(())).unwrap();
    assert!(!chat.lift("never stated").unwrap());
    assert_eq!(chat.clear().unwrap_err().kind(), ErrorKind::Conflict, "a path that is cut is a change");
}

#[test]
fn an_exchange_that_is_not_saved_is_told_after_it_was_committed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let diary = Arc::new(Diary::default());
    let chat = builder(Scripted::new(["one", "two"])).observer(Arc::clone(&diary)).resume(&file).unwrap();
    spoil(&file);
    let reply = block_on(chat.send("a").into_future()).unwrap();
    assert_eq!(reply.report.unsaved.unwrap().kind(), ErrorKind::Conflict);
    assert_eq!(diary.take(), ["committed #1", "unsaved Conflict"]);
    fs::remove_file(&file).unwrap();
    block_on(chat.send("b").into_future()).unwrap();
    assert_eq!(diary.take(), ["committed #3"]);
    assert_eq!(Transcript::load(&file).unwrap().conversation.path().len(), 4, "the next save holds both");
}

#[test]
fn what_nobody_waits_for_is_told_where_it_is_saved() {
    let folder = TempDir::new().unwrap();
    let diary = Arc::new(Diary::default());
    let setup = |script: Scripted, name: &str| {
        let file = folder.path().join(name);
        let chat = builder(script).observer(Arc::clone(&diary)).resume(&file).unwrap();
        spoil(&file);
        chat
    };
    let chat = setup(Scripted::new(["one"]), "dropped.json");
    let saving = chat.shared.saving();
    let mut sending = chat.send("a").into_future();
    while chat.turn_count() == 0 {
        assert!(block_on(futures_lite::future::poll_once(&mut sending)).is_none());
    }
    drop(sending);
    drop(saving);
    wait_until(|| diary.0.lock().unwrap().len() == 2);
    assert_eq!(diary.take(), ["committed #1", "unsaved Conflict"]);

    let chat = setup(Scripted::default().and(Answer::from("1 2").ended_after(1)), "partial.json");
    block_on(async { chat.send("b").keep_partial().stream().await.unwrap().finish().await.unwrap_err() });
    wait_until(|| diary.0.lock().unwrap().len() == 2);
    let mut told = diary.take();
    told.sort();
    assert_eq!(told, ["failed Interrupted", "unsaved Conflict"]);
}

#[test]
fn required_to_be_saved_a_send_ends_in_an_error_with_its_reply() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let diary = Arc::new(Diary::default());
    let setup = builder(Scripted::new(["one", "two"])).require_saved().observer(Arc::clone(&diary));
    let chat = setup.resume(&file).unwrap();
    let moved = folder.path().join("moved.json");
    fs::rename(&file, &moved).unwrap();
    spoil(&file);
    let error = block_on(chat.send("a").into_future()).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::NotSaved, false));
    let unsaved = error.unsaved().unwrap();
    assert_eq!((unsaved.reply.text(), unsaved.error.kind()), ("one".into(), ErrorKind::Conflict));
    assert_eq!(unsaved.reply.report.unsaved.as_ref().unwrap().kind(), ErrorKind::Conflict);
    assert!(error.failed_exchange().is_none() && std::error::Error::source(&error).is_some());
    assert_eq!(texts(&chat), ["a", "one"], "it is recorded");
    assert_eq!(diary.take(), ["committed #1", "unsaved Conflict"]);
    assert_eq!(chat.spending().total().calls, 1);

    fs::rename(&moved, &file).unwrap();
    chat.save(&file).unwrap();
    assert_eq!(Transcript::load(&file).unwrap().conversation.path().len(), 2);
    assert_eq!(block_on(chat.send("b").into_future()).unwrap().text(), "two");
}

#[test]
fn required_to_be_saved_a_stream_ends_in_the_error_in_the_place_of_its_last_event() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let chat = builder(Scripted::new(["one", "two"])).require_saved().resume(&file).unwrap();
    spoil(&file);
    block_on(async {
        let error = chat.send("a").stream().await.unwrap().finish().await.unwrap_err();
        assert_eq!(error.unsaved().unwrap().reply.text(), "one");

        let mut stream = chat.send("b").stream().await.unwrap();
        let mut last = None;
        while let Some(event) = stream.next().await {
            assert!(!matches!(event, Ok(ChatEvent::Finished(_))));
            last = Some(event);
        }
        assert_eq!(last.unwrap().unwrap_err().kind(), ErrorKind::NotSaved);
        assert!(stream.plan().is_some());
        let error = stream.finish().await.unwrap_err();
        assert_eq!((error.kind(), error.unsaved().unwrap().reply.text()), (ErrorKind::NotSaved, "two".into()));
    });
    assert_eq!(texts(&chat), ["a", "one", "b", "two"]);
}

#[test]
fn required_to_be_saved_a_tool_loop_ends_at_the_exchange_and_goes_on_when_it_is_mended() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    for is_streamed in [false, true] {
        let script = Scripted::default().and([ToolCall::function("1", "f", "{}")]).and("done");
        let chat = builder(script).require_saved().resume(&file).unwrap();
        let handler = |_: ToolCall| async { "result" };
        spoil(&file);
        let run = chat.run_tools("a", handler);
        let run = if is_streamed { run.on_event(|_| {}) } else { run };
        let error = block_on(run.into_future()).unwrap_err();
        assert_eq!((error.kind(), error.unsaved().unwrap().reply.tool_calls().len()), (ErrorKind::NotSaved, 1));
        fs::remove_file(&file).unwrap();
        chat.save(&file).unwrap();
        assert_eq!(block_on(chat.resume_tools(handler).into_future()).unwrap().text(), "done");
        assert_eq!(texts(&chat), ["a", "", "result", "done"]);
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_copy_saved_elsewhere_does_not_make_it_forget_its_own_file() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let chat = builder(Scripted::new(["one"])).resume(&file).unwrap();
    chat.save(folder.path().join("copy.json")).unwrap();
    spoil(&file);
    let reply = block_on(chat.send("a").into_future()).unwrap();
    assert_eq!(reply.report.unsaved.unwrap().kind(), ErrorKind::Conflict);
}

#[test]
fn a_summary_is_saved_whatever_becomes_of_its_exchange() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let full = |script: Scripted, file: &Path| {
        let chat = builder(script).strategy(Summarize::rolling()).resume(file).unwrap();
        for _ in 0..10 {
            chat.push("x".repeat(300)).unwrap();
            chat.push(Message::assistant("yes")).unwrap();
        }
        chat
    };
    let summaries = |file: &Path| Transcript::load(file).unwrap().conversation.summaries().count();
    let down = crate::backend::BackendError::unavailable("down");
    let chat = full(Scripted::new(["all about x"]).and(down), &file);
    block_on(chat.send("a").into_future()).unwrap_err();
    wait_until(|| summaries(&file) == 1);

    let prepared = folder.path().join("prepared.json");
    let chat = full(Scripted::new(["all about x"]), &prepared);
    assert!(block_on(chat.prepare(0.5)).unwrap());
    assert_eq!(summaries(&prepared), 1);
}
