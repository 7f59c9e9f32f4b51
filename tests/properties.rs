//! The invariants of the design, by number, on random conversations.
//!
//! `TURNWISE_SEED` and `TURNWISE_CASES` choose what is tried, `TURNWISE_CASE` tries one case alone.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "properties/changes.rs"]
mod changes;
#[path = "properties/conform.rs"]
mod conform;
#[path = "properties/counted.rs"]
mod counted;
#[path = "properties/generate.rs"]
mod generate;
#[path = "properties/judge.rs"]
mod judge;
#[path = "properties/plans.rs"]
mod plans;
#[path = "properties/recall.rs"]
mod recall;
#[path = "properties/record.rs"]
mod record;
#[path = "properties/repeat.rs"]
mod repeat;
#[path = "properties/round_trip.rs"]
mod round_trip;
#[path = "properties/start.rs"]
mod start;
#[path = "properties/tokenizing.rs"]
mod tokenizing;

use std::cell::RefCell;
use std::env;
use std::ops::Range;
use std::sync::LazyLock;
use std::thread;

use fastrand::Rng;

/// The seed of this run.
static SEED: LazyLock<u64> = LazyLock::new(|| number("TURNWISE_SEED").unwrap_or_else(|| fastrand::u64(..)));

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// The cases to try where `default` is enough for a test run.
fn cases(default: u64) -> Range<u64> {
    match number("TURNWISE_CASE") {
        Some(case) => case..case + 1,
        None => 0..number("TURNWISE_CASES").unwrap_or(default),
    }
}

/// One case: its random numbers, and how to try it again when it panics.
struct Case {
    number: u64,
    rng: Rng,
    note: RefCell<String>,
}

impl Case {
    fn new(number: u64) -> Self {
        Self { number, rng: generate::rng_of(*SEED, number), note: RefCell::default() }
    }

    fn note(&self, note: String) {
        *self.note.borrow_mut() = note;
    }

    fn again(&self) -> String {
        format!("TURNWISE_SEED={} TURNWISE_CASE={}", *SEED, self.number)
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}: {}", self.again(), self.note.borrow());
        }
    }
}

/// Tries cases one after the other.
fn each_case(default: u64, mut test: impl FnMut(&mut Case)) {
    println!("TURNWISE_SEED={}", *SEED);
    for number in cases(default) {
        test(&mut Case::new(number));
    }
}
