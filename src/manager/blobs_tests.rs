use std::future::IntoFuture;
use std::path::Path;

use futures_lite::future::block_on;
use tempfile::TempDir;

use super::*;
use crate::backend::Scripted;
use crate::conversation::Conversation;
use crate::error::ErrorKind;
use crate::message::Message;
use crate::transcript::Transcript;

fn image() -> String {
    format!("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAgAAAAMACAYAAADS1n9/{}", "aB3/".repeat(2_000))
}

/// A file whose image was moved to a folder, in a folder of its own; `name` decides on its form.
fn moved(folder: &Path, name: &str) -> std::path::PathBuf {
    let asked = Message::user("What is this?").image_url(&image());
    let mut file = Transcript::new(Conversation::from_messages([asked, Message::assistant("A cat.")]));
    assert_eq!(file.move_blobs(folder.join("blobs"), 1_000).unwrap().count, 1);
    file.save(folder.join(name)).unwrap();
    folder.join(name)
}

fn builder(backend: Scripted, folder: &Path) -> Builder {
    ConversationManager::builder("gpt-4o").backend(backend).blobs(folder.join("blobs"))
}

#[test]
fn blobs_are_read_when_they_are_sent_and_the_file_stays_small() {
    for name in ["chat.json", "chat.jsonl"] {
        let folder = TempDir::new().unwrap();
        let file = moved(folder.path(), name);
        let script = Scripted::new(["Yes.", "Really."]);
        let chat = builder(script.clone(), folder.path()).resume(&file).unwrap();
        block_on(chat.send("Sure?").into_future()).unwrap();
        block_on(async { chat.send("Really?").stream().await.unwrap().finish().await.unwrap() });
        for request in script.requests() {
            assert!(
                serde_json::to_string(&request.messages[0]).unwrap().contains(&image()),
                "the server gets the image"
            );
        }
        assert!(std::fs::metadata(&file).unwrap().len() < 4_000, "{name}");
        assert_eq!(Transcript::load(&file).unwrap().blobs().unwrap().len(), 1);
        let mut inline = Transcript::load(&file).unwrap();
        inline.restore_blobs(folder.path().join("blobs")).unwrap();
        let inline = builder(Scripted::default(), folder.path()).open(inline).unwrap();
        let tokens = |chat: &ConversationManager| chat.plan("q").unwrap().tokens().total();
        assert_eq!(tokens(&chat), tokens(&inline), "references cost what the data costs");
    }
}

#[test]
fn a_blob_that_is_missing_or_damaged_fails_the_send_and_nothing_is_sent_or_recorded() {
    let folder = TempDir::new().unwrap();
    let file = moved(folder.path(), "chat.json");
    let script = Scripted::new(["Yes."]);
    let chat = builder(script.clone(), folder.path()).resume(&file).unwrap();
    let blob = std::fs::read_dir(folder.path().join("blobs")).unwrap().next().unwrap().unwrap().path();
    for (kind, content) in [(ErrorKind::Damaged, Some("other")), (ErrorKind::MissingBlob, None)] {
        match content {
            Some(content) => std::fs::write(&blob, content).unwrap(),
            None => std::fs::remove_file(&blob).unwrap(),
        }
        let error = block_on(chat.send("Sure?").into_future()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(blob.file_name().unwrap().to_str().unwrap()), "{error}");
        assert_eq!((script.requests().len(), chat.turn_count()), (0, 1));
    }
}

#[test]
fn without_the_folder_a_reference_is_not_sent() {
    let folder = TempDir::new().unwrap();
    let file = moved(folder.path(), "chat.json");
    let chat = ConversationManager::builder("gpt-4o").backend(Scripted::new(["Yes."])).resume(&file).unwrap();
    let error = block_on(chat.send("Sure?").into_future()).unwrap_err();
    assert!(error.to_string().contains("Builder::blobs"), "{error}");
    assert_eq!(error.kind(), ErrorKind::MissingBlob);
}
