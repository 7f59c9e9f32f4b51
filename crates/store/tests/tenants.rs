//! Tenants of one database call every operation at random, and each gets exactly what a model says that has only its
//! own conversations: what it sees and every error, byte for byte, are the same whether others are there or not.
#![cfg(any(feature = "sqlite", feature = "postgres"))]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::{Database, on_each};
use fastrand::Rng;
use futures_lite::future::block_on;
use turnwise::store::{Revision, Store, conflict, not_found};
use turnwise::{Conversation, Error, ErrorKind, Message, Result, Transcript};
use turnwise_store::forget::Rules;
use turnwise_store::search::{ListQuery, SearchQuery};

/// How many calls are made; by hand more.
const CALLS: &str = "TURNWISE_STORE_CALLS";
const DEFAULT_CALLS: usize = 2_000;
/// So few that tenants often have the same.
const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];
const TENANTS: [&str; 3] = ["", "red", "blue"];

type Db = Arc<dyn Database>;

#[derive(Clone)]
struct Talk {
    revision: Revision,
    whole: Transcript,
}

/// What one tenant has.
#[derive(Default)]
struct Model {
    talks: BTreeMap<&'static str, Talk>,
    /// In the order in which they were deleted.
    deleted: Vec<(&'static str, Talk)>,
}

struct Trial {
    stores: Vec<Db>,
    models: Vec<Model>,
    /// Every revision that anybody was ever told.
    revisions: Vec<Revision>,
    random: Rng,
    calls: usize,
}

/// Whether something is refused with an error that is this one, byte for byte.
#[track_caller]
fn refused<T>(found: &Result<T>, expected: &Error) {
    let seen = |error: &Error| (error.kind(), error.detail().to_owned(), error.to_string(), format!("{error:?}"));
    assert_eq!(found.as_ref().err().map(seen), Some(seen(expected)));
}

impl Trial {
    fn new(store: &Db, seed: u64) -> Self {
        let stores: Vec<Db> =
            TENANTS.iter().map(|name| if name.is_empty() { store.clone() } else { store.of(name).unwrap() }).collect();
        let models = TENANTS.iter().map(|_| Model::default()).collect();
        let revisions = vec![Revision::new("7.1"), Revision::new("never")];
        Self { stores, models, revisions, random: Rng::with_seed(seed), calls: 0 }
    }

    fn id(&mut self) -> &'static str {
        IDS[self.random.usize(..IDS.len())]
    }

    /// One that somebody was told, more often than not the newest one of this conversation.
    fn revision(&mut self, tenant: usize, id: &str) -> Revision {
        match self.models[tenant].talks.get(id) {
            Some(talk) if self.random.u8(..4) > 0 => talk.revision.clone(),
            _ => self.random.choice(&self.revisions).unwrap().clone(),
        }
    }

    fn told(&mut self, revision: &Revision) {
        if self.revisions.len() < 200 {
            self.revisions.push(revision.clone());
        } else {
            let place = self.random.usize(..200);
            self.revisions[place] = revision.clone();
        }
    }

    fn call(&mut self) {
        self.calls += 1;
        let tenant = self.random.usize(..TENANTS.len());
        let id = self.id();
        match self.random.u8(..22) {
            0..3 => self.load(tenant, id),
            3..6 => self.begin(tenant, id),
            6..8 => self.save(tenant, id),
            8..12 => self.append(tenant, id),
            12 => self.revision_of(tenant, id),
            13..15 => self.fork(tenant, id),
            15 => self.list(tenant),
            16 | 17 => self.delete(tenant, id),
            18 => self.restore(tenant, id),
            19 => self.list_deleted(tenant),
            20 => self.purge(tenant, id),
            _ => match self.random.u8(..20) {
                0 => self.purge_all(tenant),
                1 => self.expire(tenant),
                2..5 => self.totals(tenant),
                5..12 => self.search(tenant),
                _ => self.list_by(tenant),
            },
        }
    }

    fn fresh(&mut self, tenant: usize) -> Transcript {
        let text = format!("of tenant {:?}, call {}", TENANTS[tenant], self.calls);
        Transcript::new(Conversation::from_messages([Message::user(text)]))
    }

    fn load(&mut self, tenant: usize, id: &'static str) {
        let found = block_on(self.stores[tenant].load(id));
        match self.models[tenant].talks.get(id) {
            Some(talk) => {
                let (whole, revision) = found.unwrap();
                assert_eq!(revision, talk.revision);
                assert_eq!(whole.to_json(), talk.whole.to_json(), "tenant {tenant} sees what is not its own");
            }
            None => refused(&found, &not_found(id)),
        }
    }

    fn revision_of(&mut self, tenant: usize, id: &'static str) {
        let found = block_on(self.stores[tenant].revision(id));
        match self.models[tenant].talks.get(id) {
            Some(talk) => assert_eq!(found.unwrap(), talk.revision),
            None => refused(&found, &not_found(id)),
        }
    }

    fn begin(&mut self, tenant: usize, id: &'static str) {
        let whole = self.fresh(tenant);
        let saved = block_on(self.stores[tenant].save(id, &whole, None));
        if self.models[tenant].talks.contains_key(id) {
            refused(&saved, &conflict(id));
        } else {
            self.has(tenant, id, saved.unwrap(), whole);
        }
    }

    fn has(&mut self, tenant: usize, id: &'static str, revision: Revision, whole: Transcript) {
        self.told(&revision);
        self.models[tenant].talks.insert(id, Talk { revision, whole });
    }

    fn save(&mut self, tenant: usize, id: &'static str) {
        let (whole, expected_revision) = (self.fresh(tenant), self.revision(tenant, id));
        let saved = block_on(self.stores[tenant].save(id, &whole, Some(&expected_revision)));
        if self.models[tenant].talks.get(id).is_some_and(|talk| talk.revision == expected_revision) {
            self.has(tenant, id, saved.unwrap(), whole);
        } else {
            refused(&saved, &conflict(id));
        }
    }

    fn append(&mut self, tenant: usize, id: &'static str) {
        let expected_revision = self.revision(tenant, id);
        let before = self.models[tenant].talks.get(id).map_or_else(Transcript::default, |talk| talk.whole.clone());
        let mut after = before.clone();
        if self.random.u8(..5) > 0 {
            after.conversation.push(format!("of tenant {:?}, call {}", TENANTS[tenant], self.calls));
        }
        let changes = after.changes_since(&before);
        let appended = block_on(self.stores[tenant].append(id, &changes, &expected_revision));
        if self.models[tenant].talks.get(id).is_some_and(|talk| talk.revision == expected_revision) {
            self.has(tenant, id, appended.unwrap(), after);
        } else {
            refused(&appended, &conflict(id));
        }
    }

    fn fork(&mut self, tenant: usize, id: &'static str) {
        let fork = self.id();
        let forked = block_on(self.stores[tenant].fork(id, fork));
        let talks = &self.models[tenant].talks;
        if !talks.contains_key(id) {
            refused(&forked, &not_found(id));
        } else if talks.contains_key(fork) {
            refused(&forked, &conflict(fork));
        } else {
            let original = talks[id].whole.clone();
            let revision = forked.unwrap();
            let (whole, now) = block_on(self.stores[tenant].load(fork)).unwrap();
            assert_eq!((now, whole.conversation.id()), (revision.clone(), fork));
            let texts = |whole: &Transcript| -> Vec<String> {
                whole.conversation.path().messages().map(|message| message.text().into_owned()).collect()
            };
            assert_eq!(texts(&whole), texts(&original), "tenant {tenant} has a fork of what is not its own");
            self.has(tenant, fork, revision, whole);
        }
    }

    fn list(&mut self, tenant: usize) {
        let after = self.id();
        let limit = self.random.usize(..4);
        let listed = block_on(self.stores[tenant].list(Some(after), limit)).unwrap();
        let own: Vec<&str> = self.models[tenant].talks.keys().copied().filter(|id| *id > after).take(limit).collect();
        assert_eq!(listed, own);
        let all = block_on(self.stores[tenant].list(None, 100)).unwrap();
        assert!(all.iter().map(String::as_str).eq(self.models[tenant].talks.keys().copied()), "{all:?}");
    }

    fn delete(&mut self, tenant: usize, id: &'static str) {
        if self.models[tenant].deleted.iter().any(|(deleted, _)| *deleted == id) {
            // So that it is certain which of them was deleted last.
            std::thread::sleep(Duration::from_millis(2));
        }
        let deleted = block_on(self.stores[tenant].delete(id));
        match self.models[tenant].talks.remove(id) {
            Some(talk) => {
                deleted.unwrap();
                self.models[tenant].deleted.push((id, talk));
            }
            None => refused(&deleted, &not_found(id)),
        }
    }

    /// The errors of an empty database, whatever others have there.
    fn restore(&mut self, tenant: usize, id: &'static str) {
        let restored = self.stores[tenant].restore(id);
        let model = &mut self.models[tenant];
        match model.deleted.iter().rposition(|(deleted, _)| *deleted == id) {
            None => {
                let detail = format!(
                    "no deleted conversation with the id `{id}` can be restored: it was not deleted, was purged, or its \
                     retention time is over"
                );
                assert_eq!(restored.unwrap_err().detail(), detail);
            }
            Some(_) if model.talks.contains_key(id) => {
                let detail = format!("there is a conversation `{id}` again; delete it, or fork it to another id first");
                assert_eq!(restored.unwrap_err().detail(), detail);
            }
            Some(place) => {
                let (id, talk) = model.deleted.remove(place);
                assert_eq!(restored.unwrap(), talk.revision);
                model.talks.insert(id, talk);
            }
        }
    }

    fn list_deleted(&mut self, tenant: usize) {
        let deleted = self.stores[tenant].deleted(None, 100).unwrap();
        let mut own: Vec<&str> = self.models[tenant].deleted.iter().map(|(id, _)| *id).collect();
        own.sort_unstable();
        own.dedup();
        assert_eq!(deleted, own);
    }

    fn purge(&mut self, tenant: usize, id: &'static str) {
        let purged = self.stores[tenant].purge(id);
        let model = &mut self.models[tenant];
        if model.deleted.iter().any(|(deleted, _)| *deleted == id) {
            purged.unwrap();
            model.deleted.retain(|(deleted, _)| *deleted != id);
        } else {
            let detail =
                format!("no deleted conversation has the id `{id}`; only a conversation that was deleted is purged");
            assert_eq!(purged.unwrap_err().detail(), detail);
        }
    }

    /// What is found is its own, and all that it has now is found.
    fn search(&mut self, tenant: usize) {
        let own = format!("of tenant {:?}, call", TENANTS[tenant]);
        let mut query = SearchQuery::new("call").limit(7);
        let mut found = BTreeSet::new();
        loop {
            let page = self.stores[tenant].search(&query).unwrap();
            for hit in page.found {
                assert!(hit.snippet.text.starts_with(&own), "tenant {tenant} finds {hit:?}");
                found.insert(hit.snippet.text);
            }
            let Some(next) = page.next else { break };
            query = query.after(next);
        }
        let texts = self.models[tenant].talks.values().flat_map(|talk| talk.whole.conversation.items());
        let texts: BTreeSet<String> = texts.map(|item| item.message().text().into_owned()).collect();
        assert_eq!(found, texts);
        for other in TENANTS.iter().filter(|name| !name.is_empty() && **name != TENANTS[tenant]) {
            assert_eq!(self.stores[tenant].search(&SearchQuery::new(*other)).unwrap().found, []);
        }
    }

    fn list_by(&mut self, tenant: usize) {
        let own: BTreeSet<&str> = self.models[tenant].talks.keys().copied().collect();
        for query in [ListQuery::new(), ListQuery::new().with_text("tenant")] {
            let (mut query, mut listed) = (query.limit(2), Vec::new());
            loop {
                let page = self.stores[tenant].list_by(&query).unwrap();
                listed.extend(page.found.into_iter().map(|listed| listed.id));
                let Some(next) = page.next else { break };
                query = query.after(next);
            }
            let distinct: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
            assert!(distinct.is_subset(&own), "tenant {tenant} is shown {listed:?}");
            assert_eq!(distinct.len(), listed.len(), "{listed:?}");
        }
        let all = self.stores[tenant].list_by(&ListQuery::new().limit(100)).unwrap();
        let all: BTreeSet<&str> = all.found.iter().map(|listed| listed.id.as_str()).collect();
        assert_eq!(all, own);
    }

    fn totals(&mut self, tenant: usize) {
        let totals = self.stores[tenant].totals().unwrap();
        assert_eq!(totals.conversations, self.models[tenant].talks.len());
    }

    /// All of its conversations go, and no other tenant's.
    fn expire(&mut self, tenant: usize) {
        std::thread::sleep(Duration::from_millis(2));
        let rules = Rules::new().keep_last(0);
        let expired = self.stores[tenant].expire(&rules).unwrap();
        let model = &mut self.models[tenant];
        let gone: BTreeSet<&str> = expired.iter().map(|gone| gone.id.as_str()).collect();
        assert_eq!(gone, model.talks.keys().copied().collect());
        model.deleted.extend(std::mem::take(&mut model.talks));
    }

    fn purge_all(&mut self, tenant: usize) {
        std::thread::sleep(Duration::from_millis(2));
        let purged = self.stores[tenant].kept_for(Duration::ZERO).purge_expired().unwrap();
        assert_eq!(purged, self.models[tenant].deleted.len());
        self.models[tenant].deleted.clear();
    }
}

#[test]
fn nothing_that_one_tenant_does_can_be_noticed_by_another() {
    let calls = std::env::var(CALLS).map_or(DEFAULT_CALLS, |calls| calls.parse().unwrap());
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    on_each(|open| {
        let store = open();
        store.enable_search().unwrap();
        let mut trial = Trial::new(&store, seed);
        (0..calls).for_each(|_| trial.call());
        let mut fresh = Trial { stores: Trial::new(&open(), seed).stores, ..trial };
        for tenant in 0..TENANTS.len() {
            for id in IDS {
                fresh.load(tenant, id);
            }
            fresh.list(tenant);
            fresh.list_deleted(tenant);
            fresh.search(tenant);
            fresh.list_by(tenant);
        }
    });
}

#[test]
fn a_name_of_a_tenant_has_the_limits_of_an_id() {
    on_each(|open| {
        let store = open();
        drop(store.of(&"x".repeat(64)).unwrap());
        for wrong in ["", &"x".repeat(65)] {
            assert_eq!(store.of(wrong).err().unwrap().kind(), ErrorKind::Limit);
        }
    });
}
