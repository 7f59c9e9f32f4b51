//! The time to plan one request, whatever the length of the history: `cargo bench --bench plan`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::hint::black_box;

use common::{Next, Table, Writer, budget, conversation, is_quick, median, micros, sized, stored_cost};
use turnwise::{Conversation, HeadTail, Item, Ledger, Message, Planner, SlidingWindow, Strategy, StrategyCache};

const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];
const MOST_MICROS: f64 = 20.0;
const MOST_GROWTH: f64 = 2.0;

/// A conversation with the pending message pushed and everything counted.
struct Case {
    talk: Conversation,
    ledger: Ledger,
}

impl Case {
    fn new(size: usize, next: Next) -> Self {
        let mut talk = conversation(size, next);
        talk.push(Message::user(Writer::new(1).text(common::MESSAGE)));
        let mut ledger = Ledger::new();
        ledger.total(&talk, &stored_cost());
        Self { talk, ledger }
    }

    fn plan(&mut self, planner: &Planner, strategy: &dyn Strategy) -> f64 {
        let (talk, ledger, mut cache) = (&self.talk, &mut self.ledger, StrategyCache::default());
        micros(|| {
            let plan = planner.plan(talk, ledger, strategy, &mut cache).unwrap();
            let request = plan.request();
            (plan, request)
        })
    }

    fn plan_and_drop(&mut self, planner: &Planner, strategy: &dyn Strategy) -> f64 {
        let (talk, ledger, mut cache) = (&self.talk, &mut self.ledger, StrategyCache::default());
        micros(|| {
            let plan = planner.plan(talk, ledger, strategy, &mut cache).unwrap();
            black_box(plan.request());
        })
    }
}

/// Medians at each size. The sizes take turns, so that a noisy second on the machine falls on all of them.
fn medians(cases: &mut [Case], mut sample: impl FnMut(&mut Case) -> f64) -> Vec<f64> {
    let (rounds, each) = (sized(20, 1), sized(50, 1));
    let mut samples = vec![Vec::new(); cases.len()];
    for _ in 0..rounds {
        for (case, samples) in cases.iter_mut().zip(&mut samples) {
            samples.extend(common::samples(each, || sample(case)));
        }
    }
    samples.iter().map(|samples| median(samples)).collect()
}

fn show(table: &mut Table, name: &str, mut medians: Vec<f64>, has_target: bool) {
    let growth = medians.last().unwrap() / medians[1.min(medians.len() - 1)];
    let is_met = medians.iter().all(|&median| median < MOST_MICROS) && growth <= MOST_GROWTH;
    medians.push(growth);
    let target = if has_target { format!("< {MOST_MICROS}, growth <= {MOST_GROWTH}") } else { String::new() };
    table.row(name, medians, "us", target, has_target.then_some(is_met));
}

fn main() {
    let sizes = if is_quick() { &SIZES[..2] } else { &SIZES };
    let strategies: [(&str, &dyn Strategy); 4] = [
        ("window", &SlidingWindow::tokens()),
        ("window:turns=20", &SlidingWindow::turns(20)),
        ("window:messages=40", &SlidingWindow::messages(40)),
        ("head-tail", &HeadTail::default()),
    ];
    let shapes: [(&str, Next); 2] = [("chat", Writer::talk), ("tools", Writer::work)];
    let mut table = Table::with_columns(
        "One request of at most 8,000 tokens from a history of n messages of 452 bytes: plan + request, median of 1,000",
        &["100", "1,000", "10,000", "100,000", "growth"],
    );
    for (shape, next) in shapes {
        let mut cases: Vec<Case> = sizes.iter().map(|&size| Case::new(size, next)).collect();
        for low in [1.0, 0.7] {
            let planner = Planner::new(stored_cost(), &budget(low)).unwrap();
            for (spec, strategy) in strategies {
                let Case { talk, ledger } = &mut cases[1];
                let sent =
                    planner.plan(talk, ledger, strategy, &mut StrategyCache::default()).unwrap().messages().len();
                let name = format!("{shape}, down to {low:.1}, {spec}: sends {sent}");
                show(&mut table, &name, medians(&mut cases, |case| case.plan(&planner, strategy)), true);
            }
        }
        let planner = Planner::new(stored_cost(), &budget(1.0)).unwrap();
        let window = SlidingWindow::tokens();
        let dropped = medians(&mut cases, |case| case.plan_and_drop(&planner, &window));
        show(&mut table, &format!("{shape}, down to 1.0, window, and dropping both"), dropped, false);
        let mut other = vec![0_u8; sized(64 << 20, 1 << 10)];
        let cold = medians(&mut cases, |case| {
            other.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
            case.plan(&planner, &window)
        });
        show(&mut table, &format!("{shape}, down to 1.0, window, all caches cold"), cold, false);
    }
    let planner = Planner::new(stored_cost(), &budget(1.0)).unwrap();
    let window = SlidingWindow::tokens();
    let mut cases: Vec<Case> = sizes.iter().map(|&size| Case::new(size, Writer::interrupted)).collect();
    let medians_of = medians(&mut cases, |case| case.plan(&planner, &window));
    show(&mut table, "1 in 20 a call left unanswered, window", medians_of, false);
    let mut cases: Vec<Case> = sizes.iter().map(|&size| Case::new(size, Writer::talk)).collect();
    for Case { talk, .. } in &mut cases {
        let ids: Vec<_> = talk.path().items().step_by(talk.path().len() / 20).map(Item::id).collect();
        for id in ids {
            talk.pin(id).unwrap();
        }
    }
    let medians_of = medians(&mut cases, |case| case.plan(&planner, &window));
    show(&mut table, "20 pins, window", medians_of, false);
    table.print();
    println!("  growth: 100,000 messages against 1,000");
    println!(
        "  peers at the same task: LangChain, counting exactly, 46 ms to 11 s; rig-memory with tiktoken-rs 1.5 to 36 ms"
    );
}
