//! Conversations for tests, and how they are kept in any store.
#![allow(dead_code, reason = "each test uses some of it")]

use futures_lite::future::block_on;
use turnwise::store::{Revision, Store};
use turnwise::{Conversation, Message, Transcript};

pub(crate) fn talk(texts: &[&str]) -> Transcript {
    Transcript::new(Conversation::from_messages(texts.iter().map(|text| Message::user(*text))))
}

pub(crate) fn texts(transcript: &Transcript) -> Vec<String> {
    transcript.conversation.path().messages().map(|message| message.text().into_owned()).collect()
}

pub(crate) fn load(store: &(impl Store + ?Sized), id: &str) -> (Transcript, Revision) {
    block_on(store.load(id)).unwrap()
}

pub(crate) fn save(store: &(impl Store + ?Sized), id: &str, transcript: &Transcript) -> Revision {
    block_on(store.save(id, transcript, None)).unwrap()
}

/// Adds a message to a conversation.
pub(crate) fn say(store: &(impl Store + ?Sized), id: &str, text: &str) -> Revision {
    let (mut transcript, revision) = load(store, id);
    let before = transcript.clone();
    transcript.conversation.push(text);
    block_on(store.append(id, &transcript.changes_since(&before), &revision)).unwrap()
}
