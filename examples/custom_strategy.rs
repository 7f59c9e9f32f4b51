//! A custom strategy: keeps what the model said, and leaves out tool results of earlier turns.
//!
//! `cargo run --example custom_strategy`

use std::borrow::Cow;

use turnwise::transcript::Transcripts;
use turnwise::{Draft, Planner, Reason, Result, Strategy, StrategyCache, TokenBudget, View};

#[derive(Debug)]
struct TalkOnly;

impl Strategy for TalkOnly {
    fn spec(&self) -> Cow<'static, str> {
        "talk-only".into()
    }

    fn draft(&self, view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
        Ok(Draft::keep_only(view, Reason::Other("tool use".into()), |group| !group.has_calls()))
    }
}

fn main() -> Result<()> {
    for file in Transcripts::open("fixtures/tau_airline.jsonl")?.take(2) {
        let mut file = file?;
        let planner = Planner::new(turnwise::ChatCost::for_model("gpt-4o"), &TokenBudget::limit(8_000))?;
        let plan = planner.plan(&file.conversation, &mut file.ledger, &TalkOnly, &mut StrategyCache::default())?;
        println!("{}\n", plan.explain());
    }
    Ok(())
}
