//! What a page of items costs in a short and in a long conversation.
//! `cargo bench -p turnwise-conversations --bench pages`.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../../benches/common/mod.rs"]
mod common;

use common::{MESSAGE, Table, Writer, float, median, micros, samples, sized};
use futures_lite::future::block_on;
use turnwise::message::RawJson;
use turnwise::store::{MemoryStore, Store};
use turnwise::{Conversation, Message, Transcript};
use turnwise_conversations::{Conversations, ItemList, List, Order};

/// How many items a page has, and one create adds.
const PAGE: usize = 20;
/// How much more a page may cost in a long conversation than in a short one, and an item.
const MOST: f64 = 3.0;

/// A conversation: half of it was added as items, half of it a program has recorded itself.
fn begin(store: &MemoryStore, items: usize) -> String {
    let id = format!("conv_{items:048x}");
    let mut writer = Writer::new(1);
    let recorded = (0..items / 2).map(|number| {
        let text = writer.text(MESSAGE);
        if number % 2 == 0 { Message::user(text) } else { Message::assistant(text) }
    });
    let file = Transcript::new(Conversation::from_messages(recorded));
    block_on(store.save(&id, &file, None)).unwrap();
    let api = Conversations::new(store.clone());
    for _ in 0..items / 2 / PAGE {
        let said =
            |writer: &mut Writer| RawJson::object([("role", "user".into()), ("content", writer.text(MESSAGE).into())]);
        let items: Vec<RawJson> = (0..PAGE).map(|_| said(&mut writer)).collect();
        block_on(api.items(&id).create(&items.into())).unwrap();
    }
    id
}

/// The page after an item.
fn page(api: &Conversations, id: &str, after: Option<String>, order: Order) -> ItemList {
    let list = List { after, order, limit: i64::try_from(PAGE).unwrap(), ..List::default() };
    block_on(api.items(id).list(list)).unwrap()
}

/// The ids after which each page of a conversation begins.
fn ends(api: &Conversations, id: &str, order: Order) -> Vec<String> {
    let mut ends: Vec<String> = Vec::new();
    loop {
        let page = page(api, id, ends.last().cloned(), order);
        if !page.has_more {
            return ends;
        }
        ends.extend(page.last_id);
    }
}

struct Costs {
    last: f64,
    all: f64,
    item: f64,
}

/// Microseconds of the last page, of all pages for each item, and of the first item by its id.
fn costs(api: &Conversations, id: &str, items: usize) -> Costs {
    let ends = ends(api, id, Order::Asc);
    let last = ends.last().unwrap();
    let times = sized(51, 1);
    let of_last = samples(times, || micros(|| page(api, id, Some(last.clone()), Order::Asc)));
    let all = micros(|| ends.iter().map(|end| page(api, id, Some(end.clone()), Order::Asc).data.len()).sum::<usize>());
    let first = page(api, id, None, Order::Asc).first_id.unwrap();
    let item = samples(times, || micros(|| block_on(api.items(id).retrieve(&first)).unwrap()));
    Costs { last: median(&of_last), all: all / float(items), item: median(&item) }
}

fn main() {
    let store = MemoryStore::new();
    let api = Conversations::new(store.clone());
    let lengths = [100, sized(10_000, 200)];
    let [short, long] = lengths.map(|items| costs(&api, &begin(&store, items), items));
    let mut table = Table::with_columns("Pages of 20 items, each message of 452 bytes", &["100", "10,000", "ratio"]);
    for (name, short, long) in [
        ("the last page", short.last, long.last),
        ("all pages, for each item", short.all, long.all),
        ("the first item by its id", short.item, long.item),
    ] {
        let (ratio, target) = (long / short, format!("< {MOST}"));
        let is_checked = name != "the first item by its id";
        let target = if is_checked { target } else { String::new() };
        table.row(name, vec![short, long, ratio], "µs", target, is_checked.then_some(ratio < MOST));
    }
    table.print();
}
