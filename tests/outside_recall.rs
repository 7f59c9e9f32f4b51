//! Somebody outside the crate can write `Recall`: its own source files and their tests are compiled here against the public
//! API alone, and give the same drafts.
//!
//! The sources say `crate::plan` and the like. The modules below have these names and hold what the library exports; a new
//! `pub(crate)` item that `Recall` uses does not compile here.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the sources are those of a library, and their options are read by its parser"
)]

use std::borrow::Cow;

use turnwise::plan::{Draft, Planner, Strategy, StrategyCache, View};
use turnwise::tokens::ChatCost;
use turnwise::transcript::Transcripts;
use turnwise::{conversation, message, plan, strategy, tokens, vectors};

mod error {
    pub use turnwise::{Error, ErrorKind, Result};
}

mod budget {
    pub use turnwise::TokenBudget;
}

mod ledger {
    pub use turnwise::Ledger;
}

#[path = "../src/strategy/options.rs"]
mod options;
#[path = "../src/strategy/recall/mod.rs"]
mod recall;

/// Asks the built-in strategy and the one that was written outside, each with a cache of its own.
#[derive(Debug)]
struct Both {
    built_in: strategy::Recall,
    outside: recall::Recall,
}

impl Strategy for Both {
    fn spec(&self) -> Cow<'static, str> {
        assert_eq!(self.built_in.spec(), self.outside.spec());
        self.built_in.spec()
    }

    fn draft(&self, view: &View<'_>, cache: &mut StrategyCache) -> turnwise::Result<Draft> {
        let [built_in, outside] = cache.get::<[StrategyCache; 2]>();
        let draft = self.built_in.draft(view, built_in)?;
        assert_eq!(draft, self.outside.draft(view, outside)?);
        Ok(draft)
    }
}

#[test]
fn a_recall_from_outside_drafts_what_the_built_in_one_does() {
    let strategies = [
        Both { built_in: strategy::Recall::new(), outside: recall::Recall::new() },
        Both {
            built_in: strategy::Recall::new().excerpts(40).tail(10).without_stemming(),
            outside: recall::Recall::new().excerpts(40).tail(10).without_stemming(),
        },
    ];
    let mut trimmed = 0;
    for file in ["tau_airline", "swe_agent"] {
        let path = format!("{}/fixtures/{file}.jsonl", env!("CARGO_MANIFEST_DIR"));
        for file in Transcripts::open(path).unwrap().take(6) {
            let mut file = file.unwrap();
            let cost = ChatCost::default();
            let whole = file.ledger.total(&file.conversation, &cost);
            for strategy in &strategies {
                let mut cache = StrategyCache::default();
                for part in [2, 3, 5] {
                    let budget = turnwise::TokenBudget::limit(whole / part + 500);
                    let planner = Planner::new(cost.clone(), &budget).unwrap();
                    let plan = planner.plan(&file.conversation, &mut file.ledger, strategy, &mut cache);
                    trimmed += usize::from(plan.is_ok_and(|plan| plan.evicted() > 0));
                }
            }
        }
    }
    assert!(trimmed >= 20, "only {trimmed} plans were trimmed");
}
