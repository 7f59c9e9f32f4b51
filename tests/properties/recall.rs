//! Invariant 6 for the one strategy that remembers: a plan does not depend on what is in its cache.

use fastrand::Rng;
use turnwise::strategy::parse;
use turnwise::{Conversation, ItemId, Ledger, Planner, Strategy, StrategyCache, TokenBudget};

use crate::each_case;
use crate::generate;
use crate::judge::Input;
use crate::plans::{bytes, cost_of};

/// Goes on, goes back, over to another branch, or cuts a branch off.
fn change(talk: &mut Conversation, rng: &mut Rng) {
    let any = |rng: &mut Rng, talk: &Conversation| {
        let ids: Vec<ItemId> = talk.items().map(turnwise::Item::id).collect();
        (!ids.is_empty()).then(|| ids[rng.usize(0..ids.len())])
    };
    match (rng.u8(0..12), any(rng, talk)) {
        (0, _) => drop(talk.undo()),
        (1, Some(id)) => drop(talk.edit(id, generate::text(rng)).unwrap()),
        (2 | 3, Some(id)) => talk.switch(id).unwrap(),
        (4, Some(id)) if rng.u8(0..4) == 0 => drop(talk.purge(id).unwrap()),
        (5, Some(id)) => drop(talk.pin(id)),
        (6, _) if rng.u8(0..6) == 0 => talk.clear(),
        _ => {
            for message in generate::talk(rng).messages.into_iter().take(rng.usize(1..8)) {
                talk.push(message);
            }
        }
    }
}

fn outcome(
    talk: &Conversation,
    limit: u64,
    ledger: &mut Ledger,
    strategy: &dyn Strategy,
    cache: &mut StrategyCache,
) -> String {
    let planner = Planner::new(cost_of("bytes", bytes), &TokenBudget::limit(limit)).unwrap();
    match planner.plan(talk, ledger, strategy, cache) {
        Ok(plan) => format!("{}\n{}", serde_json::to_string(&plan).unwrap(), plan.explain()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn invariant_6_a_memo_that_followed_every_change_plans_as_a_fresh_one() {
    let strategies =
        ["recall:tail=20,excerpts=60", "recall", "recall:tail=0,excerpts=40", "recall:stem=none,excerpts=80"]
            .map(|spec| parse(spec).unwrap());
    let (mut recalled, mut excerpts) = (0, 0);
    each_case(300, |case| {
        let rng = &mut case.rng;
        let mut talks = [generate::talk(rng).conversation(), generate::talk(rng).conversation()];
        let (mut cache, mut ledgers) = (StrategyCache::default(), [Ledger::new(), Ledger::new()]);
        for step in 0..40 {
            // Now and then the cache meets another conversation, or another strategy.
            let which = usize::from(rng.u8(0..8) == 0);
            change(&mut talks[which], rng);
            let talk = &talks[which];
            let whole: Vec<_> = talk.messages().cloned().collect();
            let pins = crate::judge::positions(talk, talk.pins());
            let input = Input::new(&whole, &pins, &[], bytes);
            let limit = generate::log_uniform(rng, input.fixed(), 2 * input.whole());
            let strategy = &strategies[if rng.u8(0..8) == 0 { rng.usize(0..strategies.len()) } else { 0 }];
            case.note.replace(format!("step {step}: {} under {limit}", strategy.spec()));
            let used = outcome(talk, limit, &mut ledgers[which], strategy, &mut cache);
            let fresh = outcome(talk, limit, &mut Ledger::new(), strategy, &mut StrategyCache::default());
            assert_eq!(used, fresh);
            recalled += u32::from(fresh.contains("recalled"));
            excerpts += u32::from(fresh.contains("\"excerpt\""));
        }
    });
    println!("{recalled} plans recalled something, {excerpts} sent parts of a message");
}
