//! Search in stores of 1 %, 10 % and 100 % of a million items.

use std::path::Path;

use futures_lite::future::block_on;
use tempfile::TempDir;
use turnwise::store::Store;
use turnwise::{Conversation, Message, Transcript};
use turnwise_store::SqliteStore;
use turnwise_store::search::{ListQuery, SearchQuery};

use crate::common::{Table, Writer, float, median, micros, samples, sized};

/// How much more a search may take in a large store than in one with a hundredth of its items.
const MOST_WITH_SIZE: f64 = 4.0;
const ITEMS: usize = 100;
const AT_ONCE: usize = 16;
/// Bytes of an item's text.
const TEXT: usize = 300;

/// What is searched for.
const SEARCHES: &[(&str, &str)] = &[
    ("a word of most items", "the"),
    ("a word of some items", "thermodynamics"),
    ("two words of some", "thermodynamics idempotent"),
    ("a word of three items", "quokkas"),
    ("a part of it", "okka"),
    ("it and a word of most", "quokkas the"),
    ("a part of many words", "ion"),
    ("a part of numbers", "n77"),
    ("two letters", "is"),
    ("two Chinese characters, of 1 %", "北京"),
    ("two that are never together", "京上"),
    ("nothing is found", "xylophone"),
    ("a phrase", "\"of the\""),
];

/// The numbers of conversations: a tenth of a million items is a thousand of them.
fn steps() -> [usize; 3] {
    let items = std::env::var("TURNWISE_SEARCH_ITEMS").ok().and_then(|items| items.parse().ok());
    let most = sized(items.unwrap_or(1_000_000) / ITEMS, 30);
    [most / 100, most / 10, most].map(|count| count.max(3))
}

fn talk(number: usize, writer: &mut Writer) -> Transcript {
    let mut talk = Conversation::from_messages((0..ITEMS).map(|item| {
        // A number that some others have, so that a larger store has more words.
        let id = (number * ITEMS + item).wrapping_mul(2_654_435_761) % 1_000_003 / 9;
        let mut text = format!("{} n{id}", writer.text(TEXT));
        if item == 50 {
            text.push_str(" 我想去北京旅行。上海也好");
        }
        // In the three conversations that every store has.
        if number < 3 && item == 7 {
            text.push_str(" quokkas");
        }
        Message::user(text)
    }));
    talk.metadata_mut().set("team", if number.is_multiple_of(2) { "red" } else { "blue" }).unwrap();
    Transcript::new(talk)
}

fn fill(store: &SqliteStore, from: usize, to: usize) {
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            scope.spawn(move || {
                let mut writer = Writer::new(worker as u64);
                for number in (from..to).filter(|number| number % AT_ONCE == worker) {
                    block_on(store.save(&number.to_string(), &talk(number, &mut writer), None)).unwrap();
                }
            });
        }
    });
}

/// Microseconds of each search, and of two lists.
fn measure(store: &SqliteStore) -> Vec<f64> {
    let runs = sized(21, 1);
    let mut took: Vec<f64> = SEARCHES
        .iter()
        .map(|(_, text)| {
            let query = SearchQuery::new(*text);
            median(&samples(runs, || micros(|| block_on(store.search(&query)).unwrap())))
        })
        .collect();
    for query in [ListQuery::new(), ListQuery::new().with_metadata("team", "red").with_text("thermodynamics")] {
        took.push(median(&samples(runs, || micros(|| block_on(store.list_by(&query)).unwrap()))));
    }
    took
}

fn size(file: &Path) -> f64 {
    float(usize::try_from(std::fs::metadata(file).unwrap().len()).unwrap()) / 1e6
}

pub(crate) fn table() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chats.db");
    let store = SqliteStore::open(&file).unwrap();
    let mut filled = 0;
    let mut rows = Vec::new();
    for (step, to) in steps().into_iter().enumerate() {
        fill(&store, filled, to);
        filled = to;
        // The first index is made of what is there; then it grows with what is written.
        if step == 0 {
            let took = micros(|| block_on(store.enable_search()).unwrap());
            println!("making the index: {:.0} us for each item", took / float(to * ITEMS));
        }
        rows.push(measure(&store));
    }
    println!("{:.0} MB for {} items", size(&file), filled * ITEMS);
    let columns: Vec<String> = steps().iter().map(|count| format!("{}", count * ITEMS)).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::with_columns("Search in a store of so many items: a page of 20, median", &columns);
    let lists = ["list by time", "list by metadata and text"];
    let names = SEARCHES.iter().map(|(name, _)| *name).chain(lists);
    for (place, name) in names.enumerate() {
        let took = rows.iter().map(|row| row[place]).collect();
        let growth = rows[2][place] / rows[0][place];
        table.row(name, took, "us", format!("< {MOST_WITH_SIZE} times"), Some(growth < MOST_WITH_SIZE));
    }
    table.print();
}
