//! The time and memory of planning with recall.

use turnwise::plan::Extras;
use turnwise::vectors::Vector;
use turnwise::{Conversation, Item, Ledger, Message, Planner, Recall, StrategyCache};

use crate::HEAP;
use crate::common::{MESSAGE, Table, Writer, budget, conversation, float, median, micros, samples, sized, stored_cost};

const MOST_MICROS: f64 = 5_000.0;
const MOST_BYTES: f64 = 60.0;
/// Those of all-MiniLM-L6-v2.
const DIMENSIONS: usize = 384;

/// A question of some ten words.
fn question(writer: &mut Writer) -> Message {
    Message::user(writer.text(60))
}

pub(crate) fn measure() {
    let planner = Planner::new(stored_cost(), &budget(1.0)).unwrap();
    let mut table = Table::new("Planning with recall, from so many messages of 452 bytes");
    for size in [1_000, 10_000, 100_000].map(|full| sized(full, 100)) {
        let mut talk = conversation(size, Writer::talk);
        let mut writer = Writer::new(3);
        let (mut ledger, mut cache) = (Ledger::new(), StrategyCache::default());
        ledger.total(&talk, &stored_cost());
        let tokens = ledger.total(&talk, &stored_cost());
        let mut plan = |talk: &Conversation, cache: &mut StrategyCache| {
            micros(|| planner.plan(talk, &mut ledger, &Recall::new(), cache).unwrap())
        };
        let before = HEAP.current_usage();
        let first = plan(&talk, &mut cache);
        let held = float(HEAP.current_usage()) - float(before);
        let target = if size <= 10_000 { MOST_MICROS } else { f64::INFINITY };
        let name = |what: &str| format!("{size}: {what}");
        table.show(&name("first plan, everything read"), first, "us");
        let next = samples(sized(100, 2), || {
            talk.push(Message::assistant(writer.text(MESSAGE)));
            talk.push(question(&mut writer));
            plan(&talk, &mut cache)
        });
        table.check(&name("next turn, a question of 60 bytes"), median(&next), "us", target);
        let long = samples(sized(30, 2), || {
            talk.push(Message::user(writer.text(MESSAGE)));
            plan(&talk, &mut cache)
        });
        table.check(&name("next turn, a question of 452 bytes"), median(&long), "us", target);
        let bytes = held / float(usize::try_from(tokens).unwrap_or(usize::MAX));
        table.check(&name("index, for each token of text"), bytes, "bytes", MOST_BYTES);
    }
    table.print();
    by_meaning();
    hostile();
}

/// The next turn where every message has a vector.
fn by_meaning() {
    let planner = Planner::new(stored_cost(), &budget(1.0)).unwrap();
    let title = format!("Planning with recall by words and meaning, {DIMENSIONS} dimensions, messages of 452 bytes");
    let mut table = Table::new(&title);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut vector = || Vector::new(&std::array::from_fn::<f32, DIMENSIONS, _>(|_| rng.f32() - 0.5)).unwrap();
    for size in [1_000, 10_000, 100_000].map(|full| sized(full, 100)) {
        let mut talk = conversation(size, Writer::talk);
        let mut writer = Writer::new(3);
        let (mut ledger, mut cache, mut extras) = (Ledger::new(), StrategyCache::default(), Extras::default());
        ledger.total(&talk, &stored_cost());
        let before = HEAP.current_usage();
        for item in talk.items() {
            extras.vectors.put("m", item, vector());
        }
        let held = float(HEAP.current_usage()) - float(before);
        let mut turn = |text: usize, extras: &mut Extras| {
            talk.push(Message::user(writer.text(text)));
            let asked: Vec<Item> = talk.path().items().next_back().cloned().into_iter().collect();
            for item in &asked {
                extras.vectors.put("m", item, vector());
            }
            micros(|| planner.plan_with(&talk, &mut ledger, &Recall::new(), &mut cache, extras).unwrap())
        };
        turn(60, &mut extras);
        let target = if size <= 10_000 { MOST_MICROS } else { f64::INFINITY };
        let next = samples(sized(100, 2), || turn(60, &mut extras));
        table.check(&format!("{size}: next turn, a question of 60 bytes"), median(&next), "us", target);
        let next = samples(sized(30, 2), || turn(MESSAGE, &mut extras));
        table.check(&format!("{size}: next turn, a question of 452 bytes"), median(&next), "us", target);
        table.show(&format!("{size}: vectors, for each message"), held / float(size), "bytes");
    }
    table.print();
}

/// Texts in which no word comes twice.
fn hostile() {
    let mut table = Table::new("Index of one message of a megabyte");
    let mut rng = fastrand::Rng::with_seed(5);
    let size = sized(1 << 20, 1 << 12);
    let mut letters = |alphabet: &str, word: usize| {
        let alphabet: Vec<char> = alphabet.chars().collect();
        let mut text = String::new();
        while text.len() < size {
            text.extend((0..word).map(|_| alphabet[rng.usize(..alphabet.len())]));
            text.push(' ');
        }
        text
    };
    let han: String = ('\u{4e00}'..'\u{9fa0}').collect();
    for (name, text) in [
        ("no spaces", letters("abc", size)),
        ("words of six letters, all different", letters("abcdefghijklmnopqrstuvwxyz", 6)),
        ("Han, all pairs different", letters(&han, size)),
    ] {
        let cost = turnwise::ChatCost::default();
        let tokens = cost.text(&text).tokens;
        let messages = [Message::user(text), Message::assistant("Oh."), Message::user("What?")];
        let talk = Conversation::from_messages(messages);
        let planner = Planner::new(stored_cost(), &turnwise::TokenBudget::limit(100)).unwrap();
        let (mut ledger, mut cache) = (Ledger::new(), StrategyCache::default());
        ledger.total(&talk, &stored_cost());
        let before = HEAP.current_usage();
        let took = micros(|| planner.plan(&talk, &mut ledger, &Recall::new(), &mut cache).unwrap());
        let held = float(HEAP.current_usage()) - float(before);
        table.show(&format!("{name}: read in"), took, "us");
        let bytes = held / float(usize::try_from(tokens).unwrap_or(usize::MAX));
        table.check(&format!("{name}: for each token"), bytes, "bytes", MOST_BYTES);
    }
    table.print();
}
