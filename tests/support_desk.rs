//! The example `axum`: a support desk with many chats by their ids.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

#[path = "../examples/axum.rs"]
#[rustfmt::skip] // it is formatted with the settings of the examples
mod desk;

use std::net::SocketAddr;
use std::path::Path;

use desk::support::customers::post;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use turnwise::ConversationManager;
use turnwise::backend::Scripted;

/// A desk that was started with this folder, until it is dropped.
struct Desk {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Desk {
    async fn open(folder: &Path, answers: &[&str]) -> Self {
        let backend = Scripted::new(answers.iter().copied());
        let template = ConversationManager::builder("gpt-4o-mini").backend(backend).require_saved();
        let app = desk::app(template.sessions(folder).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, serving }
    }

    async fn post(&self, path: &str, text: &str) -> String {
        post(self.address, path, text).await.unwrap()
    }

    async fn begin(&self) -> String {
        let begun = self.post("/chats", "").await;
        format!("/chats/{}", begun.strip_prefix("200\n").unwrap())
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn turns(folder: &Path, chat: &str) -> usize {
    let id = chat.strip_prefix("/chats/").unwrap();
    ConversationManager::builder("gpt-4o-mini").open_in(folder, id).unwrap().turn_count()
}

#[tokio::test]
async fn a_reply_is_streamed_and_saved_before_its_end_is_sent() {
    let folder = TempDir::new().unwrap();
    let desk = Desk::open(folder.path(), &["At nine o'clock.\nOr ten."]).await;
    let chat = desk.begin().await;
    let answer = desk.post(&chat, "When do you open?").await;
    assert_eq!(
        answer,
        "200\nevent: message\ndata: \"At \"\nevent: message\ndata: \"nine \"\nevent: message\n\
         data: \"o'clock.\\nOr \"\nevent: message\ndata: \"ten.\"\nevent: end\ndata: saved"
    );
    assert_eq!(turns(folder.path(), &chat), 1);
}

#[tokio::test]
async fn a_chat_continues_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let desk = Desk::open(folder.path(), &["At nine."]).await;
    let (first, unused) = (desk.begin().await, desk.begin().await);
    desk.post(&first, "When do you open?").await;
    drop(desk);
    let desk = Desk::open(folder.path(), &["At six.", "Hello."]).await;
    assert!(desk.post(&first, "And close?").await.contains("six"));
    assert!(desk.post(&unused, "Hello?").await.contains("Hello"));
    assert_eq!((turns(folder.path(), &first), turns(folder.path(), &unused)), (2, 1));
}

#[tokio::test]
async fn an_unknown_chat_is_not_found_and_nothing_is_written() {
    let folder = TempDir::new().unwrap();
    let desk = Desk::open(folder.path(), &[]).await;
    for id in ["unknown", "..%2F..%2Fetc%2Fpasswd", "CON", "%00"] {
        assert_eq!(desk.post(&format!("/chats/{id}"), "Hello?").await, "404\nnot found", "{id}");
    }
    assert_eq!(desk.post(&format!("/chats/{}", "x".repeat(70)), "Hello?").await, "404\nnot found");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn requests_for_one_chat_at_once_are_answered_in_turn_and_none_is_lost() {
    let folder = TempDir::new().unwrap();
    let desk = Desk::open(folder.path(), &["One.", "Two.", "Three."]).await;
    let chat = desk.begin().await;
    let (first, second, third) =
        tokio::join!(desk.post(&chat, "one?"), desk.post(&chat, "two?"), desk.post(&chat, "three?"));
    for answer in [first, second, third] {
        assert!(answer.starts_with("200") && answer.ends_with("data: saved"), "{answer}");
    }
    assert_eq!(turns(folder.path(), &chat), 3);
}

#[tokio::test]
async fn a_model_that_does_not_answer_leaves_the_chat_as_it_was() {
    let folder = TempDir::new().unwrap();
    let desk = Desk::open(folder.path(), &[]).await;
    let chat = desk.begin().await;
    assert_eq!(desk.post(&chat, "Hello?").await, "502\nno backend");
    assert_eq!(turns(folder.path(), &chat), 0);
}
