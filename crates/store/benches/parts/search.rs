//! Search in stores of 1 %, 10 % and 100 % of a million items.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_lite::future::block_on;
use tempfile::TempDir;
use turnwise::conversation::Timestamp;
use turnwise::{Conversation, Message, Transcript};
use turnwise_store::search::{ListQuery, SearchQuery};

use crate::common::{Table, Writer, float, least, micros, samples, sized};
use crate::databases::Database;

/// How much more a search may take in a large store than in one with a hundredth of its items.
const MOST_WITH_SIZE: f64 = 4.0;
const ITEMS: usize = 100;
const AT_ONCE: usize = 16;
/// Bytes of an item's text.
const TEXT: usize = 300;
/// Milliseconds between two conversations.
const MINUTE: i64 = 60_000;

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

fn time(conversation: usize) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + MINUTE * i64::try_from(conversation).unwrap())
}

/// The first three conversations, which every store has, are as good as the oldest, and have what is rare.
fn talk(number: usize, writer: &mut Writer) -> Transcript {
    let mut talk = Conversation::from_messages([]);
    for item in 0..ITEMS {
        // A number that some others have, so that a larger store has more words.
        let id = (number * ITEMS + item).wrapping_mul(2_654_435_761) % 1_000_003 / 9;
        let side = ["leftmost", "rightmost"][item % 2];
        let mut text = format!("{} n{id} {side}", writer.text(TEXT));
        if item == 50 {
            text.push_str(" 我想去北京旅行。上海也好");
        }
        if number < 3 && item == 7 {
            text.push_str(" quokkas");
        }
        talk.push_at(Message::user(text), time(number));
    }
    talk.metadata_mut().set("team", if number.is_multiple_of(2) { "red" } else { "blue" }).unwrap();
    talk.metadata_mut().set("case", if number < 3 { "rare" } else { "usual" }).unwrap();
    Transcript::new(talk)
}

fn fill(store: &dyn Database, from: usize, to: usize) {
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            scope.spawn(move || {
                let mut writer = Writer::new((from + worker) as u64);
                for number in (from..to).filter(|number| number % AT_ONCE == worker) {
                    block_on(store.save(&number.to_string(), &talk(number, &mut writer), None)).unwrap();
                }
            });
        }
    });
}

/// Searches that look at a part of the store.
fn within() -> Vec<(&'static str, SearchQuery)> {
    let most = || SearchQuery::new("the");
    vec![
        ("a word of most, in one old conversation", most().in_conversation("1")),
        ("the same, with rare metadata", most().with_metadata("case", "rare")),
        ("the same, at an old time", most().until(time(3))),
        ("a part of numbers, at an old time", SearchQuery::new("n77").until(time(3))),
    ]
}

/// Microseconds of each search and list, with its name, and whether its target is [`MOST_WITH_SIZE`].
fn measure(store: &dyn Database) -> Vec<(&'static str, f64, bool)> {
    let time = |run: &dyn Fn()| {
        // Fewer runs of what takes seconds.
        let first = micros(run);
        least(&samples(if first > 200_000.0 { 2 } else { sized(21, 1) }, || micros(run)))
    };
    let search = |query: &SearchQuery| time(&|| drop(store.search(query).unwrap()));
    let mut took: Vec<_> =
        SEARCHES.iter().map(|(name, text)| (*name, search(&SearchQuery::new(*text)), true)).collect();
    took.extend(within().iter().map(|(name, query)| (*name, search(query), true)));
    let frequent = SearchQuery::new("leftmost rightmost");
    took.push(("two of half each, never together", search(&frequent), false));
    let lists = [
        ("list by time", ListQuery::new()),
        ("list by metadata and text", ListQuery::new().with_metadata("team", "red").with_text("thermodynamics")),
        ("list by rare metadata", ListQuery::new().with_metadata("case", "rare")),
    ];
    for (name, query) in lists {
        took.push((name, time(&|| drop(store.list_by(&query).unwrap())), true));
    }
    took
}

/// A store of so many conversations, one half of them older than its index.
fn filled(store: &dyn Database, conversations: usize) {
    if store.is_searchable().unwrap() {
        return;
    }
    fill(store, 0, conversations / 2);
    let took = micros(|| store.enable_search().unwrap());
    println!("making the index of {} items: {:.0} us for each", conversations * ITEMS / 2, each(took, conversations));
    let took = micros(|| {
        fill(store, conversations / 2, conversations);
        // PostgreSQL's index is added to by who searches.
        store.search(&SearchQuery::new("xylophone")).unwrap();
    });
    println!("adding {} items to both: {:.0} us for each", conversations * ITEMS / 2, each(took, conversations));
}

fn each(took: f64, conversations: usize) -> f64 {
    took / float(conversations * ITEMS / 2)
}

/// Where databases are kept to be measured again.
fn kept() -> Option<PathBuf> {
    std::env::var_os("TURNWISE_SEARCH_FOLDER").map(PathBuf::from)
}

/// Measures an engine. `open` opens a database that is kept under a name, or makes it.
pub(crate) fn table(engine: &str, open: &dyn Fn(&Path) -> Arc<dyn Database>) {
    let temporary = TempDir::new().unwrap();
    let folder = kept().unwrap_or_else(|| temporary.path().to_owned());
    let measured = steps().map(|conversations| {
        let store = open(&folder.join((conversations * ITEMS).to_string()));
        filled(store.as_ref(), conversations);
        measure(store.as_ref())
    });
    let columns: Vec<String> = steps().iter().map(|count| format!("{}", count * ITEMS)).collect();
    let mut columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    columns.push("times");
    let title = format!("Search in {engine}, a store of so many items: a page of 20, the fastest of 21");
    let mut table = Table::with_columns(&title, &columns);
    for (place, (name, small, has_target)) in measured[0].iter().enumerate() {
        let mut figures: Vec<f64> = measured.iter().map(|took| took[place].1).collect();
        let growth = figures[2] / small;
        figures.push(growth);
        let target = if *has_target { format!("< {MOST_WITH_SIZE} times") } else { String::new() };
        table.row(name, figures, "us", target, has_target.then_some(growth < MOST_WITH_SIZE));
    }
    table.print();
}
