//! Search, lists and totals over each engine: what one finds, the others find.
#![cfg(any(feature = "sqlite", feature = "postgres"))]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;
#[path = "common/talks.rs"]
mod talks;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{Database, Open, on_each};
use futures_lite::future::block_on;
use serde::Deserialize;
use talks::{say, talk};
use turnwise::backend::Usage;
use turnwise::conversation::Timestamp;
use turnwise::spending::{Call, Purpose};
use turnwise::store::{MemoryStore, Store};
use turnwise::{Conversation, ErrorKind, Transcript};
use turnwise_store::search::{Hit, ListQuery, SearchQuery, scan};
use turnwise_store::usage::totals;

/// What every engine has to find: the text of an item, and queries that find it or do not.
#[derive(Deserialize)]
struct Case {
    text: String,
    finds: Vec<String>,
    misses: Vec<String>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("search_cases.json")).unwrap()
}

/// A database with an index.
fn indexed(open: Open<'_>) -> Arc<dyn Database> {
    let store = open();
    store.enable_search().unwrap();
    store
}

fn save(store: &dyn Store, id: &str, texts: &[&str]) {
    block_on(store.save(id, &talk(texts), None)).unwrap();
}

fn change(store: &dyn Store, id: &str, change: impl FnOnce(&mut Transcript)) {
    let (mut transcript, revision) = block_on(store.load(id)).unwrap();
    let before = transcript.clone();
    change(&mut transcript);
    block_on(store.append(id, &transcript.changes_since(&before), &revision)).unwrap();
}

fn search(store: &dyn Database, query: &SearchQuery) -> Vec<Hit> {
    store.search(query).unwrap().found
}

/// The conversations in which a text is found, and the items.
fn places(store: &dyn Database, text: &str) -> Vec<(String, usize)> {
    let hits = search(store, &SearchQuery::new(text).limit(1_000));
    hits.into_iter().map(|hit| (hit.conversation, hit.item.index())).collect()
}

fn place(conversation: &str, item: usize) -> (String, usize) {
    (conversation.to_owned(), item)
}

/// All pages of a list, as ids.
fn listed(store: &dyn Database, query: &ListQuery) -> Vec<String> {
    all_listed(store, query.clone().limit(2))
}

fn all_listed(store: &dyn Database, mut query: ListQuery) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let page = store.list_by(&query).unwrap();
        ids.extend(page.found.into_iter().map(|listed| listed.id));
        let Some(next) = page.next else { return ids };
        query = query.after(next);
    }
}

#[test]
fn the_shared_cases_find_the_same_with_an_index_and_without() {
    on_each(|open| {
        let store = indexed(open);
        let store = store.as_ref();
        let files = MemoryStore::new();
        for (number, case) in cases().iter().enumerate() {
            for store in [store as &dyn Store, &files] {
                save(store, &number.to_string(), &["Something else.", &case.text]);
            }
        }
        let mut wrong = Vec::new();
        for (number, case) in cases().iter().enumerate() {
            let expected = place(&number.to_string(), 1);
            for (queries, is_found) in [(&case.finds, true), (&case.misses, false)] {
                for text in queries {
                    let found = places(store, text);
                    if found.contains(&expected) != is_found {
                        wrong.push(format!("`{text}` in `{}`: {found:?}", case.text));
                    }
                    let scanned = block_on(scan(&files, &SearchQuery::new(text).limit(1_000))).unwrap().found;
                    let scanned: BTreeSet<_> =
                        scanned.into_iter().map(|hit| (hit.conversation, hit.item.index())).collect();
                    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), scanned, "`{text}`");
                }
            }
        }
        assert_eq!(wrong, [] as [String; 0]);
    });
}

#[test]
fn what_was_written_is_found_at_once_and_the_newest_comes_first() {
    on_each(|open| {
        let store = indexed(open);
        let store = store.as_ref();
        save(store, "a", &["apple one"]);
        save(store, "b", &["apple two", "pear"]);
        say(store, "a", "apple three");
        change(store, "b", |transcript| {
            let first = transcript.conversation.path().item(0).unwrap().id();
            transcript.conversation.edit(first, "apple of a branch").unwrap();
        });
        assert_eq!(places(store, "apple"), [place("b", 2), place("a", 1), place("b", 0), place("a", 0)]);
        assert_eq!(places(store, "pear"), [place("b", 1)]);
        // Another handle writes to the index too.
        let other = open();
        say(other.as_ref(), "a", "apple four");
        assert_eq!(places(store, "apple four"), [place("a", 2)]);
        assert!(other.is_searchable().unwrap());
    });
}

#[test]
fn pages_have_everything_once_while_others_write() {
    on_each(|open| {
        let store = indexed(open);
        let store = store.as_ref();
        for number in 0..30 {
            save(store, &number.to_string(), &["apple", "pear", &format!("apple {number}")]);
        }
        let mut query = SearchQuery::new("apple").limit(7);
        let mut found = Vec::new();
        loop {
            let page = store.search(&query).unwrap();
            assert!(page.found.len() == 7 || page.next.is_none());
            found.extend(page.found.into_iter().map(|hit| (hit.conversation, hit.item.index())));
            save(store, &format!("new {}", found.len()), &["apple"]);
            let Some(next) = page.next else { break };
            query = query.after(next);
        }
        let distinct: BTreeSet<_> = found.iter().cloned().collect();
        assert_eq!((found.len(), distinct.len()), (60, 60));
        for wrong in ["x", "1/2"] {
            let refused = store.search(&SearchQuery::new("apple").after(wrong)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidParam);
        }
        let refused = store.search(&SearchQuery::new("-- \"\"")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidParam);
    });
}

#[test]
fn search_and_lists_are_limited_to_times_metadata_and_a_conversation() {
    on_each(|open| {
        let store = indexed(open);
        let store = store.as_ref();
        let hour = 3_600_000;
        for number in 0..6_u32 {
            let mut talk = Conversation::from_messages([]);
            let at = Timestamp::from_millis(i64::from(number) * hour);
            talk.push_at(format!("apple {number}"), at);
            talk.metadata_mut().set("team", ["red", "blue"][number as usize % 2]).unwrap();
            talk.metadata_mut().set("title", format!("Talk {number}")).unwrap();
            block_on(store.save(&number.to_string(), &Transcript::new(talk), None)).unwrap();
        }
        let ids = |query: &SearchQuery| -> Vec<String> {
            search(store, query).into_iter().map(|hit| hit.conversation).collect()
        };
        let time = |hours: i64| Timestamp::from_millis(hours * hour);
        let apple = || SearchQuery::new("apple");
        assert_eq!(ids(&apple().from(time(2)).until(time(4))), ["3", "2"]);
        assert_eq!(ids(&apple().with_metadata("team", "red")), ["4", "2", "0"]);
        assert_eq!(ids(&apple().with_metadata("team", "red").with_metadata("title", "Talk 2")), ["2"]);
        assert_eq!(ids(&apple().with_metadata("team", "green")), [] as [&str; 0]);
        assert_eq!(ids(&apple().in_conversation("3")), ["3"]);

        let list = ListQuery::new;
        assert_eq!(listed(store, &list()), ["5", "4", "3", "2", "1", "0"]);
        assert_eq!(listed(store, &list().from(time(1)).until(time(5))), ["4", "3", "2", "1"]);
        assert_eq!(listed(store, &list().with_metadata("team", "blue")), ["5", "3", "1"]);
        assert_eq!(listed(store, &list().with_metadata("team", "blue").with_text("apple").until(time(5))), ["3", "1"]);
        // A change of metadata and a new item count at once.
        change(store, "0", |transcript| {
            transcript.conversation.metadata_mut().set("team", "blue").unwrap();
            transcript.conversation.push_at("pear", time(9));
        });
        assert_eq!(listed(store, &list().with_metadata("team", "blue")), ["0", "5", "3", "1"]);
        let first = store.list_by(&list().limit(1)).unwrap();
        assert_eq!((first.found[0].title.as_deref(), first.found[0].used_at), (Some("Talk 0"), time(9)));
        // One that has the text often is listed once.
        for _ in 0..5 {
            say(store, "2", "apple again");
            say(store, "4", "apple again");
        }
        assert_eq!(listed(store, &list().with_text("apple")), ["4", "2", "5", "3", "1", "0"]);
    });
}

#[test]
fn an_item_that_forks_share_is_found_once_where_it_still_is() {
    on_each(|open| {
        let store = indexed(open);
        let store = store.as_ref();
        save(store, "a", &["apple", "pear"]);
        change(store, "a", |transcript| transcript.conversation.metadata_mut().set("team", "red").unwrap());
        block_on(store.fork("a", "b")).unwrap();
        block_on(store.fork("b", "c")).unwrap();
        say(store, "a", "apple of a");
        say(store, "b", "apple of b");
        block_on(store.fork("b", "d")).unwrap();
        assert_eq!(places(store, "apple"), [place("b", 2), place("a", 2), place("a", 0)]);
        assert_eq!(search(store, &SearchQuery::new("apple").in_conversation("d")).len(), 2);
        assert_eq!(search(store, &SearchQuery::new("apple").in_conversation("c")).len(), 1);
        assert_eq!(listed(store, &ListQuery::new().with_metadata("team", "red")).len(), 4);
        block_on(store.delete("a")).unwrap();
        assert_eq!(places(store, "apple"), [place("b", 2), place("b", 0)]);
        store.purge("a").unwrap();
        assert_eq!(places(store, "apple"), [place("b", 2), place("b", 0)]);
        block_on(store.delete("b")).unwrap();
        assert_eq!(places(store, "apple"), [place("d", 2), place("c", 0)]);
        store.restore("b").unwrap();
        assert_eq!(places(store, "apple"), [place("b", 2), place("b", 0)]);
    });
}

#[test]
fn tenants_find_and_list_nothing_of_each_other() {
    on_each(|open| {
        let store = indexed(open);
        let store = store.as_ref();
        let (red, blue) = (store.of("red").unwrap(), store.of("blue").unwrap());
        let (red, blue) = (red.as_ref(), blue.as_ref());
        for (store, text) in [(store, "apple nobody"), (red, "apple reddish"), (blue, "apple bluish")] {
            save(store, "talk", &[text]);
        }
        say(red, "talk", "apple again");
        assert_eq!(places(blue, "apple"), [place("talk", 0)]);
        assert_eq!(places(blue, "reddish"), []);
        assert_eq!(places(blue, "ddi"), []);
        assert_eq!(places(red, "apple").len(), 2);
        assert_eq!(places(store, "apple").len(), 1);
        assert_eq!(listed(blue, &ListQuery::new().with_text("apple")), ["talk"]);
        // A cursor of another tenant leads nowhere else.
        let page = red.search(&SearchQuery::new("apple").limit(1)).unwrap();
        let stolen = SearchQuery::new("apple").after(page.next.unwrap());
        assert!(search(blue, &stolen).iter().all(|hit| hit.snippet.text == "apple bluish"));
        assert_eq!(places(store.of("nobody").unwrap().as_ref(), "apple"), []);
    });
}

#[test]
fn parts_of_very_many_words_are_found_too() {
    on_each(|open| {
        let store = indexed(open);
        let store = store.as_ref();
        let words: Vec<String> = (0..3_000).map(|number| format!("pre{number}fix")).collect();
        for (number, words) in words.chunks(100).enumerate() {
            save(store, &number.to_string(), &[&words.join(" "), "other"]);
        }
        assert_eq!(places(store, "pre").len(), 30);
        assert_eq!(places(store, "pre other").len(), 0);
        assert_eq!(places(store, "e2999f"), [place("29", 0)]);
    });
}

/// Many words have the part, few items have it, and all of these are old.
#[test]
fn parts_of_many_words_are_found_behind_many_items_without_them() {
    on_each(|open| {
        let store = indexed(open);
        let store = store.as_ref();
        let old: Vec<String> = (0..600).map(|number| format!("old pre{number}fix")).collect();
        save(store, "old", &old.iter().map(String::as_str).collect::<Vec<_>>());
        save(store, "new", &vec!["new"; 2_100]);
        assert_eq!(places(store, "pre").len(), 600);
        assert_eq!(places(store, "pre new"), []);
        assert_eq!(places(store, "pre old").len(), 600);
        let in_new = SearchQuery::new("pre").in_conversation("new");
        assert_eq!(search(store, &in_new), []);
    });
}

/// All pages of a search.
fn pages(store: &dyn Database, query: &SearchQuery) -> Vec<(String, usize)> {
    let (mut found, mut query) = (Vec::new(), query.clone());
    loop {
        let page = store.search(&query).unwrap();
        found.extend(page.found.into_iter().map(|hit| (hit.conversation, hit.item.index())));
        let Some(next) = page.next else { return found };
        query = query.after(next);
    }
}

/// Times that come in no order, and values of metadata that few and many conversations have.
#[test]
fn searches_within_a_part_find_what_reading_everything_finds() {
    on_each(|open| {
        let store = indexed(open);
        let store = store.as_ref();
        let model = MemoryStore::new();
        let mut random = fastrand::Rng::with_seed(17);
        for number in 0..60_i64 {
            let mut talk = Conversation::from_messages([]);
            for item in 0..40 {
                let minute = if item % 10 == 0 { random.i64(0..600) } else { number * 10 };
                let word = ["apple", "pear", "plum"][random.usize(0..3)];
                let rare = if random.usize(0..200) == 0 { " rare" } else { "" };
                talk.push_at(format!("{word} n{}{rare}", random.u32(..)), Timestamp::from_millis(minute * 60_000));
            }
            talk.metadata_mut().set("team", if number % 20 == 7 { "few" } else { "many" }).unwrap();
            let transcript = Transcript::new(talk);
            for store in [store as &dyn Store, &model] {
                block_on(store.save(&number.to_string(), &transcript, None)).unwrap();
            }
        }
        let minute = |minute: i64| Timestamp::from_millis(minute * 60_000);
        for text in ["apple", "rare", "apple rare", "app", "n1", "apple pear"] {
            let all = SearchQuery::new(text).limit(70);
            for query in [
                all.clone().in_conversation("13"),
                all.clone().in_conversation("none"),
                all.clone().with_metadata("team", "few"),
                all.clone().with_metadata("team", "many"),
                all.clone().from(minute(300)),
                all.clone().until(minute(100)),
                all.clone().from(minute(95)).until(minute(100)),
                all.clone().until(minute(400)).with_metadata("team", "few"),
                all,
            ] {
                let found = pages(store, &query);
                let distinct: BTreeSet<_> = found.iter().cloned().collect();
                let scanned = block_on(scan(&model, &query.limit(1_000))).unwrap();
                assert_eq!(scanned.next, None);
                let scanned = scanned.found.into_iter().map(|hit| (hit.conversation, hit.item.index()));
                assert_eq!((found.len(), distinct), (scanned.len(), scanned.collect()), "{text}");
            }
        }
    });
}

/// Many random writes, and what is found compared with reading everything.
#[test]
fn after_random_writes_the_index_finds_what_reading_everything_finds() {
    on_each(|open| {
        let store = indexed(open);
        let store = store.as_ref();
        let model = MemoryStore::new();
        let mut random = fastrand::Rng::with_seed(7);
        let words = ["apple", "pear", "go", "北京", "plum", "東", "grape"];
        for step in 0..400 {
            let id = random.usize(0..8).to_string();
            let text = format!("{} {} {step}", words[random.usize(0..7)], words[random.usize(0..7)]);
            let is_there = block_on(store.revision(&id)).is_ok();
            for store in [store as &dyn Store, &model] {
                let mut dice = fastrand::Rng::with_seed(step);
                match (is_there, dice.u8(0..10)) {
                    (false, _) => save(store, &id, &[&text]),
                    (true, 0) => block_on(store.delete(&id)).unwrap(),
                    (true, 1) => change(store, &id, |transcript| {
                        let first = transcript.conversation.items().next().map(turnwise::Item::id);
                        first.map(|first| transcript.conversation.purge(first).unwrap());
                    }),
                    (true, 2) => {
                        let (mut transcript, revision) = block_on(store.load(&id)).unwrap();
                        transcript.redact(|text| text.contains("pear").then(|| text.replace("pear", "plum"))).unwrap();
                        block_on(store.save(&id, &transcript, Some(&revision))).unwrap();
                    }
                    _ => drop(say(store, &id, &text)),
                }
            }
            if step % 20 == 0 {
                for word in words.iter().chain(&["app", "ear", "\"go apple\""]) {
                    let found: BTreeSet<_> = places(store, word).into_iter().collect();
                    let scanned = block_on(scan(&model, &SearchQuery::new(*word).limit(1_000))).unwrap().found;
                    let scanned: BTreeSet<_> =
                        scanned.into_iter().map(|hit| (hit.conversation, hit.item.index())).collect();
                    assert_eq!(found, scanned, "{word} after {step}");
                }
                if step % 100 == 0 {
                    store.purge_expired().unwrap();
                }
            }
        }
    });
}

#[test]
fn a_list_by_text_has_a_fork_once_whose_original_is_gone() {
    on_each(|open| {
        let store = indexed(open);
        let store = store.as_ref();
        save(store, "other", &["the parcel"]);
        save(store, "a", &["the parcel"]);
        block_on(store.fork("a", "fork")).unwrap();
        say(store, "fork", "the parcel again");
        save(store, "newest", &["the parcel"]);
        block_on(store.delete("a")).unwrap();
        for limit in 1..5 {
            let query = ListQuery::new().with_text("parcel").limit(limit);
            assert_eq!(all_listed(store, query), ["newest", "fork", "other"], "pages of {limit}");
        }
    });
}

#[test]
fn what_a_server_has_stored_is_no_conversation_and_searched_only_by_name() {
    on_each(|open| {
        let store = indexed(open);
        let store = store.as_ref();
        let (response, completion) = (format!("resp_{}", "0".repeat(50)), format!("chatcmpl-{}", "0".repeat(44)));
        save(store, "conv", &["apple"]);
        block_on(store.fork("conv", &response)).unwrap();
        say(store, &response, "apple again");
        save(store, &completion, &["apple"]);
        assert_eq!(places(store, "apple"), [place("conv", 0)]);
        assert_eq!(listed(store, &ListQuery::new()), ["conv"]);
        assert_eq!(listed(store, &ListQuery::new().with_text("apple")), ["conv"]);
        let scanned = block_on(scan(store, &SearchQuery::new("apple"))).unwrap();
        assert_eq!((scanned.found.len(), &*scanned.found[0].conversation), (1, "conv"));
        let by_name = SearchQuery::new("apple").in_conversation(&response);
        assert_eq!(search(store, &by_name).len(), 2);
        assert_eq!(block_on(scan(store, &by_name)).unwrap().found.len(), 2);
    });
}

fn spend(store: &dyn Store, id: &str, model: &str, tokens: u64) {
    change(store, id, |transcript| {
        transcript.conversation.push("Hi");
        transcript.spending.add(&Call::new(Purpose::Reply, model).usage(&Usage::new(tokens, 1)));
    });
}

#[test]
fn usage_is_added_up_by_model_and_what_forks_share_once() {
    on_each(|open| {
        let store = open();
        let store = store.as_ref();
        let red = store.of("red").unwrap();
        let red = red.as_ref();
        for id in ["a", "b"] {
            save(store, id, &["Hi"]);
            spend(store, id, "small", 10);
        }
        save(red, "a", &["Hi"]);
        spend(red, "a", "large", 1_000);
        spend(store, "a", "large", 100);
        let by_model = |store: &dyn Database| -> Vec<(String, u64, u64)> {
            let totals = store.totals().unwrap();
            totals.models.iter().map(|one| (one.model.clone(), one.tally.calls, one.tally.prompt_tokens)).collect()
        };
        assert_eq!(by_model(red), [("large".to_owned(), 1, 1_000)]);
        let before = [("large".to_owned(), 1, 100), ("small".to_owned(), 2, 20)];
        assert_eq!(by_model(store), before);
        let any = block_on(totals(store)).unwrap();
        assert_eq!((&any, any.total().prompt_tokens), (&store.totals().unwrap(), 120));

        block_on(store.fork("a", "fork")).unwrap();
        block_on(store.fork("fork", "fork of it")).unwrap();
        assert_eq!(by_model(store), before);
        spend(store, "fork", "small", 5);
        assert_eq!(by_model(store)[1], ("small".to_owned(), 3, 25));
        assert_eq!(store.totals().unwrap().conversations, 4);
        block_on(store.delete("b")).unwrap();
        assert_eq!(by_model(store)[1], ("small".to_owned(), 2, 15));
    });
    assert_eq!(block_on(totals(&MemoryStore::new())).unwrap().models, []);
}

/// Writes a conversation anew, as a redaction does.
fn redact(store: &dyn Store, id: &str) {
    let (mut transcript, revision) = block_on(store.load(id)).unwrap();
    transcript.redact(|text| Some(text.replace('H', "h"))).unwrap();
    block_on(store.save(id, &transcript, Some(&revision))).unwrap();
}

#[test]
fn usage_that_forks_share_counts_once_also_after_one_was_redacted() {
    for redacted in
        [&["a"][..], &["fork"], &["a", "fork"], &["fork", "a"], &["fork", "fork", "a", "a", "next"], &["next"]]
    {
        on_each(|open| {
            let store = open();
            let store = store.as_ref();
            save(store, "a", &["Hi"]);
            spend(store, "a", "small", 100);
            block_on(store.fork("a", "fork")).unwrap();
            spend(store, "fork", "small", 10);
            block_on(store.fork("fork", "next")).unwrap();
            spend(store, "next", "small", 1);
            spend(store, "a", "small", 1_000);
            let tokens = || store.totals().unwrap().total().prompt_tokens;
            assert_eq!(tokens(), 1_111);
            for id in redacted {
                redact(store, id);
                assert_eq!(tokens(), 1_111, "{redacted:?}");
            }
            // New forks of what was redacted, and originals that go and come back.
            block_on(store.fork("fork", "last")).unwrap();
            spend(store, "last", "small", 5);
            redact(store, "last");
            assert_eq!(tokens(), 1_116, "{redacted:?}");
            block_on(store.delete("a")).unwrap();
            redact(store, "fork");
            store.restore("a").unwrap();
            assert_eq!(tokens(), 1_116, "{redacted:?}");
        });
    }
}
