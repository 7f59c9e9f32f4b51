//! `Sent`: what a request held and why, as it is stored with its response. No text of a conversation
//! is in it.

use serde::{Deserialize, Serialize};
use turnwise::Plan;
use turnwise::plan::Fate;

/// How many runs are stored; a plan that shortens messages here and there has many.
const MOST: usize = 200;

/// What a request held.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Sent {
    strategy: String,
    tokens: u64,
    limit: u64,
    runs: Vec<SentRun>,
    /// How many more runs there were.
    more: usize,
}

/// Messages next to each other with one fate.
#[derive(Clone, Serialize, Deserialize)]
struct SentRun {
    /// The place of the first, from 1, and of the last.
    first: usize,
    last: usize,
    fate: String,
    reason: String,
    tokens: u64,
}

impl Sent {
    pub(super) fn of(plan: &Plan) -> Self {
        let runs = plan.runs().iter().take(MOST).map(|run| SentRun {
            first: run.indexes.start + 1,
            last: run.indexes.end,
            fate: word(run.fate).to_owned(),
            reason: run.reason.to_string(),
            tokens: run.tokens,
        });
        Self {
            strategy: plan.strategy().to_owned(),
            tokens: plan.tokens().total(),
            limit: plan.budget().limit,
            runs: runs.collect(),
            more: plan.runs().len().saturating_sub(MOST),
        }
    }
}

fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Kept => "sent",
        Fate::Shrunk => "shortened",
        Fate::Summarized => "summarized",
        _ => "left out",
    }
}
