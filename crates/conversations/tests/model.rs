//! Random calls against a plain list: whatever is created, sent, edited, forked and deleted, the
//! items are those of the list, in its order, with ids that stay.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::HashSet;

use fastrand::Rng;
use futures_lite::future::block_on;
use serde_json::{Value, json};
use turnwise::backend::Scripted;
use turnwise::message::RawJson;
use turnwise::store::MemoryStore;
use turnwise::{ConversationManager, ErrorKind, Sessions, TokenBudget};
use turnwise_conversations::{Conversations, Create, Fork, List, Order};

struct World {
    api: Conversations,
    sessions: Sessions,
    id: String,
    random: Rng,
    /// Each item as it is expected: its id once it is known, and what it says.
    expected: Vec<(Option<String>, Value)>,
    calls: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let store = MemoryStore::new();
        let api = Conversations::new(store.clone());
        let sessions = ConversationManager::builder("gpt-4o-mini")
            .backend(Scripted::new(vec!["Yes."; 1_000]))
            .budget(TokenBudget::limit(2_000))
            .sessions_over(store)
            .unwrap();
        let id = block_on(api.create(Create::default())).unwrap().id;
        Self { api, sessions, id, random: Rng::with_seed(seed), expected: Vec::new(), calls: 0 }
    }

    fn item(&mut self) -> Value {
        self.calls += 1;
        let call = format!("call_{}", self.calls);
        let last_call = self.expected.iter().rev().find_map(|(_, item)| item["call_id"].as_str()).unwrap_or("none");
        match self.random.u8(..8) {
            0 | 1 => json!({"role": "user", "content": format!("text {}", self.calls)}),
            2 => {
                json!({"role": "assistant", "content": [{"type": "output_text", "text": format!("text {}", self.calls)}]})
            }
            3 | 4 => json!({"type": "function_call", "call_id": call, "name": "now", "arguments": "{}"}),
            5 => {
                json!({"type": "function_call_output", "call_id": last_call, "output": format!("text {}", self.calls)})
            }
            6 => json!({"type": "reasoning", "summary": [], "encrypted_content": format!("text {}", self.calls)}),
            _ => {
                json!({"type": "web_search_call", "action": {"type": "search", "query": format!("text {}", self.calls)}})
            }
        }
    }

    fn step(&mut self) {
        match self.random.u8(..13) {
            0..5 => {
                let items: Vec<Value> = (0..self.random.usize(1..5)).map(|_| self.item()).collect();
                let added = block_on(self.api.items(&self.id).create(&RawJson::from(json!(items)))).unwrap();
                assert_eq!(added.data.len(), items.len());
                for (added, item) in added.data.iter().zip(items) {
                    let added: Value = added.parse().unwrap();
                    self.expected.push((added["id"].as_str().map(str::to_owned), item));
                }
            }
            5..8 if !self.expected.is_empty() => {
                let place = self.random.usize(..self.expected.len());
                let (id, _) = self.expected.remove(place);
                block_on(self.api.items(&self.id).delete(&id.unwrap())).unwrap();
            }
            8 if !self.expected.is_empty() => self.edit(),
            9 if !self.expected.is_empty() => self.fork(),
            _ => {
                let text = format!("said {}", self.calls);
                self.calls += 1;
                match block_on(self.sessions.send(&self.id, text.as_str())) {
                    Ok(_) => {}
                    // A manager wants the results of calls at the end first.
                    Err(error) if error.kind() == ErrorKind::UnansweredCalls => return,
                    Err(error) => panic!("{error}"),
                }
                self.expected.push((None, json!({"role": "user", "content": text})));
                self.expected.push((None, json!({"role": "assistant", "content": "Yes."})));
            }
        }
    }

    /// Only an item that is in no message is refused.
    fn edit(&mut self) {
        let place = self.random.usize(..self.expected.len());
        let (old, new) = (self.expected[place].0.clone().unwrap(), self.item());
        match block_on(self.api.items(&self.id).edit(&old, &RawJson::from(json!([new])), None)) {
            Ok((edited, _)) => {
                self.expected.truncate(place);
                self.expected.push((edited.first_id, new));
            }
            Err(refused) => {
                let kind = self.expected[place].1["type"].as_str();
                assert!(matches!(kind, Some("reasoning" | "web_search_call")), "{refused}");
            }
        }
    }

    /// The fork goes on, with ids of its own; what it is of stays as it is.
    fn fork(&mut self) {
        let place = self.random.usize(..self.expected.len());
        let last = self.expected[place].0.clone().unwrap();
        let fork = Fork { last: Some(&last), ..Fork::default() };
        let (made, _) = block_on(self.api.fork(&self.id, fork)).unwrap();
        self.check(0);
        self.id = made.id;
        self.expected.truncate(place + 1);
        self.expected.iter_mut().for_each(|(id, _)| *id = None);
    }

    fn check(&mut self, seed: u64) {
        let mut listed: Vec<Value> = Vec::new();
        let mut after = None;
        loop {
            let list = List { after: after.clone(), order: Order::Asc, limit: 7, ..List::default() };
            let page = block_on(self.api.items(&self.id).list(list)).unwrap();
            listed.extend(page.data.iter().map(|item| item.parse::<Value>().unwrap()));
            after.clone_from(&page.last_id);
            if !page.has_more {
                break;
            }
        }
        assert_eq!(listed.len(), self.expected.len(), "seed {seed}");
        for (listed, (id, item)) in listed.iter().zip(&mut self.expected) {
            let found = listed["id"].as_str().unwrap().to_owned();
            assert_eq!(id.get_or_insert_with(|| found.clone()), &found, "seed {seed}: {item}");
            assert_eq!(says(listed), says(item), "seed {seed}");
        }
        let ids: HashSet<&str> = listed.iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), listed.len(), "seed {seed}");
    }
}

/// What an item says, whatever form its content has.
fn says(item: &Value) -> Vec<String> {
    let text = item["content"].as_str().or(item["content"][0]["text"].as_str()).unwrap_or_default();
    let members = ["role", "call_id", "output", "encrypted_content"].map(|key| item[key].as_str().unwrap_or_default());
    let query = item["action"]["query"].as_str().unwrap_or_default();
    members.into_iter().chain([text, query]).map(str::to_owned).collect()
}

#[test]
fn items_are_what_was_created_sent_edited_and_deleted() {
    for seed in 0..12 {
        let mut world = World::new(seed);
        for _ in 0..30 {
            world.step();
            world.check(seed);
        }
    }
}
