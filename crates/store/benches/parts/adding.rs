//! Adding to conversations, as callers of any store do.

use std::collections::HashMap;

use futures_lite::future::block_on;
use turnwise::store::{Revision, Store};
use turnwise::{Conversation, Message, Planner, SlidingWindow, StrategyCache, Transcript};

use crate::common::{budget, micros, stored_cost};

pub(crate) fn load(store: &impl Store, id: &str) -> Transcript {
    block_on(store.load(id)).unwrap().0
}

/// Reads a conversation and plans a request, as a turn begins.
pub(crate) fn plan(store: &impl Store, id: &str) -> Transcript {
    let mut transcript = load(store, id);
    let planner = Planner::new(stored_cost(), &budget(0.7)).unwrap();
    let Transcript { conversation, ledger, .. } = &mut transcript;
    planner.plan(conversation, ledger, &SlidingWindow::tokens(), &mut StrategyCache::default()).unwrap();
    transcript
}

/// Adds messages to a conversation.
pub(crate) fn add(store: &impl Store, id: &str, messages: &[Message]) {
    let (mut transcript, revision) = block_on(store.load(id)).unwrap();
    let before = transcript.clone();
    for message in messages {
        transcript.conversation.push(message.clone());
    }
    transcript.ledger.total(&transcript.conversation, &stored_cost());
    block_on(store.append(id, &transcript.changes_since(&before), &revision)).unwrap();
}

/// Adds messages, and nothing else, to a conversation that was read or written last here.
fn push(store: &impl Store, id: &str, (transcript, revision): &mut (Transcript, Revision), messages: &[Message]) {
    let before = transcript.clone();
    for message in messages {
        transcript.conversation.push(message.clone());
    }
    *revision = block_on(store.append(id, &transcript.changes_since(&before), revision)).unwrap();
}

pub(crate) fn begin(store: &impl Store, conversations: usize) {
    for id in 0..conversations {
        let begun = Transcript::new(Conversation::from_messages([Message::user("Hi")]));
        block_on(store.save(&id.to_string(), &begun, None)).unwrap();
    }
}

/// How a caller adds to a conversation.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Adds {
    /// To what it has read or written last, as a manager does: nothing is read.
    Items,
    /// To what it reads for each.
    ItemsRead,
    /// As [`Items`](Self::Items), to a store with an index for search.
    #[allow(dead_code, reason = "only SQLite has an index for search")]
    Indexed,
    /// To what it reads for each, with a plan and the counts.
    Turns,
}

/// Seconds to add turns to conversations, with so many callers at once.
pub(crate) fn seconds_to_add(
    store: &impl Store,
    turns: &[Vec<Message>],
    conversations: usize,
    callers: usize,
    adds: Adds,
) -> f64 {
    let took = micros(|| {
        std::thread::scope(|scope| {
            for caller in 0..callers {
                // Each has conversations of its own.
                let mine =
                    turns.iter().enumerate().filter(move |(number, _)| number % conversations % callers == caller);
                scope.spawn(move || {
                    let mut held = HashMap::new();
                    for (number, messages) in mine {
                        let id = (number % conversations).to_string();
                        match adds {
                            Adds::Items | Adds::Indexed => {
                                let held = held.entry(id.clone()).or_insert_with(|| block_on(store.load(&id)).unwrap());
                                push(store, &id, held, messages);
                            }
                            Adds::ItemsRead => {
                                push(store, &id, &mut block_on(store.load(&id)).unwrap(), messages);
                            }
                            Adds::Turns => {
                                plan(store, &id);
                                add(store, &id, messages);
                            }
                        }
                    }
                });
            }
        });
    });
    took / 1e6
}
