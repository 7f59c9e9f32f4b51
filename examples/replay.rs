//! Replays a saved conversation, as in a test, and prints what would have been sent.
//!
//! `cargo run --example replay`

use turnwise::replay::Outcome;
use turnwise::transcript::Transcripts;
use turnwise::{ChatCost, Planner, Result, SlidingWindow, TokenBudget, replay};

fn main() -> Result<()> {
    let planner = Planner::new(ChatCost::for_model("gpt-4o"), &TokenBudget::limit(4_500))?;
    for file in Transcripts::open("fixtures/tau_airline.jsonl")?.take(1) {
        let mut file = file?;
        let replay = replay(
            &file.conversation,
            &mut file.ledger,
            &planner,
            &SlidingWindow::tokens(),
        )?;
        for request in &replay.requests {
            let Outcome::Planned(sent) = &request.outcome else {
                continue;
            };
            println!(
                "request {:>2}: {:>5} tokens, {:>5} repeated",
                request.request, sent.tokens, sent.prefix
            );
        }
        assert_eq!(replay.totals.refused, 0);
    }
    Ok(())
}
