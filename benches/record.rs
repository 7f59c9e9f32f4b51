//! The cost of copies, branches and going back in a long record: `cargo bench --bench record`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{Next, Table, Writer, budget, conversation, median, micros, micros_after, samples, sized, stored_cost};
use turnwise::{Conversation, Ledger, Planner, SlidingWindow, StrategyCache};

const MOST_MICROS: f64 = 2_000.0;

fn copies(runs: usize) {
    let size = sized(100_000, 1_000);
    let talk = conversation(size, Writer::talk);
    let (leaf, middle) = (talk.leaf().unwrap(), talk.path().item(size / 2).unwrap().id());
    let mut table = Table::new("Copies of a conversation of 100,000 messages: median of 201");
    let mut check = |name: &str, sample: &dyn Fn() -> f64| {
        table.check(name, median(&samples(runs, sample)), "us", MOST_MICROS);
    };
    let text = Writer::new(1).text(common::MESSAGE);
    check("clone", &|| micros(|| talk.clone()));
    check("fork at the leaf", &|| micros(|| talk.fork(leaf).unwrap()));
    check("fork in the middle", &|| micros(|| talk.fork(middle).unwrap()));
    let push = |talk: &mut Conversation| talk.push(text.as_str());
    check("first push after a clone", &|| micros_after(|| talk.clone(), push));
    check("first push after a fork at the leaf", &|| micros_after(|| talk.fork(leaf).unwrap(), push));
    check("first push after a fork in the middle", &|| micros_after(|| talk.fork(middle).unwrap(), push));
    let pushed = || {
        let mut fork = talk.fork(leaf).unwrap();
        push(&mut fork);
        fork
    };
    check("second push after it", &|| micros_after(pushed, push));
    check("fork at the leaf, push, drop", &|| {
        micros(|| {
            drop(pushed());
        })
    });
    table.print();
}

fn branches(runs: usize) {
    let size = sized(10_000, 100);
    let common_items = 100;
    let mut table = Table::new("Two branches of 10,000 items after 100 that they share: median of 51");
    let mut show = |name: &str, took: Vec<f64>| table.show(name, median(&took), "us");
    for (shape, next) in [("chat", Writer::talk as Next), ("tools", Writer::work)] {
        let mut talk = conversation(common_items, next);
        let fork = talk.leaf().unwrap();
        let mut writer = Writer::new(5);
        let mut leaves = Vec::new();
        for _ in 0..2 {
            talk.switch(fork).unwrap();
            (0..size).for_each(|number| {
                talk.push(next(&mut writer, number));
            });
            leaves.push(talk.leaf().unwrap());
        }
        let planner = Planner::new(stored_cost(), &budget(1.0)).unwrap();
        let mut ledger = Ledger::new();
        let mut plan = |talk: &Conversation| {
            micros(|| planner.plan(talk, &mut ledger, &SlidingWindow::tokens(), &mut StrategyCache::default()).unwrap())
        };
        plan(&talk);
        let (mut switches, mut plans, mut next_plans) = (Vec::new(), Vec::new(), Vec::new());
        for run in 0..=runs {
            switches.push(micros(|| talk.switch(leaves[run % 2]).unwrap()));
            let took = plan(&talk);
            // The first visit to a branch counts it.
            if run > 0 {
                plans.push(took);
                next_plans.push(plan(&talk));
            }
        }
        show(&format!("{shape}: switch to the other branch"), switches);
        show(&format!("{shape}: the first plan on it, counted before"), plans);
        show(&format!("{shape}: the next plan"), next_plans);
        let short = common_items / 2;
        let early = talk.path().item(short).unwrap().id();
        let leaf = talk.leaf().unwrap();
        show(
            &format!("{shape}: back by 10,050 items"),
            samples(runs, || micros_after(|| talk.clone(), |talk| talk.switch(early))),
        );
        show(&format!("{shape}: undo"), samples(runs, || micros_after(|| talk.clone(), Conversation::undo)));
        let undone = || {
            let mut talk = talk.clone();
            talk.undo();
            talk
        };
        show(&format!("{shape}: back after an undo"), samples(runs, || micros_after(undone, |talk| talk.switch(leaf))));
        show(
            &format!("{shape}: edit the question 50 items in"),
            samples(runs, || micros_after(|| talk.clone(), |talk| talk.edit(early, "Another question").unwrap())),
        );
        show(&format!("{shape}: clear"), samples(runs, || micros_after(|| talk.clone(), Conversation::clear)));
        show(&format!("{shape}: list the branches"), samples(runs, || micros(|| talk.branches().count())));
        show(
            &format!("{shape}: purge the other branch"),
            samples(runs, || micros_after(|| talk.clone(), Conversation::purge_branches)),
        );
    }
    table.print();
}

fn main() {
    copies(sized(201, 1));
    branches(sized(51, 1));
}
