//! Invariant 6 for the one strategy that remembers: a plan does not depend on what is in its cache.

use fastrand::Rng;
use turnwise::plan::Extras;
use turnwise::strategy::parse;
use turnwise::vectors::{Vector, Vectors};
use turnwise::{Conversation, ItemId, Ledger, Planner, Strategy, StrategyCache, TokenBudget, Transcript};

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

fn vector(rng: &mut Rng) -> Vector {
    Vector::new(&[rng.f32() - 0.5, rng.f32() - 0.5, rng.f32() - 0.5]).unwrap()
}

fn outcome(
    talk: &Conversation,
    limit: u64,
    ledger: &mut Ledger,
    strategy: &dyn Strategy,
    cache: &mut StrategyCache,
    vectors: &Vectors,
) -> String {
    let planner = Planner::new(cost_of("bytes", bytes), &TokenBudget::limit(limit)).unwrap();
    let mut extras = Extras::default();
    extras.vectors = vectors.clone();
    match planner.plan_with(talk, ledger, strategy, cache, &extras) {
        Ok(plan) => format!("{}\n{}", serde_json::to_string(&plan).unwrap(), plan.explain()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn invariant_6_a_memo_that_followed_every_change_plans_as_a_fresh_one() {
    let strategies =
        ["recall:tail=20,excerpts=60", "recall", "recall:tail=0,excerpts=40", "recall:stem=none,excerpts=80"]
            .map(|spec| parse(spec).unwrap());
    let (mut recalled, mut excerpts, mut by_meaning) = (0, 0, 0);
    each_case(300, |case| {
        let with_vectors = case.rng.bool();
        let mut vectors = [Vectors::default(), Vectors::default()];
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
            // Some messages have a vector, in some steps that of the question too.
            vectors[which].forget_purged(talk);
            for item in talk.items().filter(|_| with_vectors) {
                if vectors[which].get(item).is_none() && rng.u8(0..3) > 0 {
                    vectors[which].put("model", item, vector(rng));
                }
            }
            let known = &vectors[which];
            let used = outcome(talk, limit, &mut ledgers[which], strategy, &mut cache, known);
            let fresh = outcome(talk, limit, &mut Ledger::new(), strategy, &mut StrategyCache::default(), known);
            assert_eq!(used, fresh);
            let words =
                outcome(talk, limit, &mut Ledger::new(), strategy, &mut StrategyCache::default(), &Vectors::default());
            assert!(with_vectors || used == words, "without vectors nothing changes");
            by_meaning += u32::from(fresh.contains("\"meaning\""));
            if with_vectors {
                let mut file = Transcript::new(talk.clone());
                file.vectors = known.clone();
                let file = Transcript::from_json(&file.to_json()).unwrap();
                let loaded = &file.conversation;
                let again =
                    outcome(loaded, limit, &mut Ledger::new(), strategy, &mut StrategyCache::default(), &file.vectors);
                assert_eq!(again, fresh, "after a reload");
            }
            recalled += u32::from(fresh.contains("recalled"));
            excerpts += u32::from(fresh.contains("\"excerpt\""));
        }
    });
    println!("{recalled} plans recalled something, {excerpts} sent parts of a message, {by_meaning} chose by meaning");
    assert!(by_meaning > 100, "{by_meaning}");
}
