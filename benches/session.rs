//! The time that this crate adds to a whole session, with every turn counted: `cargo bench --bench
//! session`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{MESSAGE, Table, Writer, budget, float, median, micros, samples, sized, stored_cost};
use turnwise::{Conversation, HeadTail, Ledger, Message, Plan, Planner, SlidingWindow, Strategy, StrategyCache};

const MOST_MILLIS: f64 = 50.0;

/// Data that is kept between the turns of the session.
#[derive(Clone, Copy)]
enum Kept {
    Nothing,
    LastPlan,
    LastSnapshot,
    EverySnapshot,
}

/// Milliseconds of a session: a question, its plan and request, the marks, the answer; once for each pair of texts.
fn session(texts: &[(String, String)], low: f64, strategy: &dyn Strategy, kept: Kept) -> f64 {
    let planner = Planner::new(stored_cost(), &budget(low)).unwrap();
    let (mut talk, mut ledger, mut cache) = (Conversation::new(), Ledger::new(), StrategyCache::default());
    talk.set_system("Be brief.");
    let mut last: Option<Plan> = None;
    let mut snapshots: Vec<Conversation> = Vec::new();
    let took = micros(|| {
        for (question, answer) in texts {
            talk.push(Message::user(question.as_str()));
            let plan = planner.plan(&talk, &mut ledger, strategy, &mut cache).unwrap();
            let request = plan.request();
            plan.commit_marks(&mut talk).unwrap();
            match kept {
                Kept::LastPlan => last = Some(plan),
                Kept::LastSnapshot | Kept::EverySnapshot | Kept::Nothing => drop(plan),
            }
            drop(request);
            talk.push(Message::assistant(answer.as_str()));
            match kept {
                Kept::LastSnapshot => snapshots = vec![talk.clone()],
                Kept::EverySnapshot => snapshots.push(talk.clone()),
                Kept::Nothing | Kept::LastPlan => {}
            }
        }
    });
    drop((last, snapshots));
    took / 1_000.0
}

fn main() {
    let mut writer = Writer::new(3);
    let long = sized(10_000, 20);
    let texts: Vec<_> = (0..long).map(|_| (writer.text(MESSAGE), writer.text(MESSAGE))).collect();
    let thousand = &texts[..sized(1_000, 10)];
    let runs = sized(21, 1);
    let of = |texts: &[(String, String)], low, strategy: &dyn Strategy, kept| {
        median(&samples(runs, || session(texts, low, strategy, kept)))
    };
    let window = SlidingWindow::tokens();

    let mut table = Table::new("A session of 1,000 turns at 8,000 tokens, counts stored: median of 21");
    for (name, strategy) in [
        ("window", &window as &dyn Strategy),
        ("window:turns=20", &SlidingWindow::turns(20)),
        ("window:messages=40", &SlidingWindow::messages(40)),
        ("head-tail", &HeadTail::default()),
    ] {
        for low in [0.7, 1.0] {
            let took = of(thousand, low, strategy, Kept::Nothing);
            table.check(&format!("{name}, down to {low:.1}"), took, "ms", MOST_MILLIS);
        }
    }
    for (name, kept) in [
        ("the last plan stays alive", Kept::LastPlan),
        ("a snapshot each turn, the last one kept", Kept::LastSnapshot),
        ("a snapshot each turn, all kept", Kept::EverySnapshot),
    ] {
        for low in [0.7, 1.0] {
            let took = of(thousand, low, &window, kept);
            table.check(&format!("window, down to {low:.1}, {name}"), took, "ms", MOST_MILLIS);
        }
    }
    table.print();

    let mut table = Table::with_columns(
        "How a turn's cost grows with the session: per turn, over the whole session",
        &["1,000", "10,000", "growth"],
    );
    for low in [0.7, 1.0] {
        let each = |texts: &[(String, String)], runs: usize| {
            let took = median(&samples(runs, || session(texts, low, &window, Kept::Nothing)));
            took * 1_000.0 / float(texts.len())
        };
        let (short, long) = (each(thousand, runs), each(&texts, sized(3, 1)));
        table.row(&format!("window, down to {low:.1}"), vec![short, long, long / short], "us", String::new(), None);
    }
    table.print();
}
