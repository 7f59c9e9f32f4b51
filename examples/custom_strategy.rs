//! A custom strategy: leaves out tool calls and their results, except the newest, and sends the newest
//! of the other messages that fit.
//!
//! `cargo run --example custom_strategy`

use std::borrow::Cow;

use turnwise::transcript::Transcripts;
use turnwise::{
    Draft, Planner, Reason, Result, SlidingWindow, Strategy, StrategyCache, TokenBudget, View,
};

#[derive(Debug)]
struct TalkOnly;

impl Strategy for TalkOnly {
    fn spec(&self) -> Cow<'static, str> {
        "talk-only".into()
    }

    fn draft(&self, view: &View<'_>, cache: &mut StrategyCache) -> Result<Draft> {
        Draft::keep_only(view, Reason::Other("tool use".into()), |group| {
            !group.has_calls()
        })
        .then(&SlidingWindow::tokens(), view, cache)
    }
}

fn main() -> Result<()> {
    for file in Transcripts::open("fixtures/tau_airline.jsonl")?.take(2) {
        let mut file = file?;
        let planner = Planner::new(
            turnwise::ChatCost::for_model("gpt-4o"),
            &TokenBudget::limit(3_000),
        )?;
        let plan = planner.plan(
            &file.conversation,
            &mut file.ledger,
            &TalkOnly,
            &mut StrategyCache::default(),
        )?;
        println!("{}\n", plan.explain());
    }
    Ok(())
}
