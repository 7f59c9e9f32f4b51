//! Invariant 6: the same record, budget and strategy give the same plan, byte for byte.

use turnwise::{ChatCost, Conversation, ItemId, Ledger, Message, Planner, Strategy, StrategyCache};

use crate::each_case;
use crate::generate::{self, chance};
use crate::judge::Input;
use crate::plans::{budget, bytes, cost_of, strategies, words};

/// The plan, or the refusal, as text.
fn outcome(planner: &Planner, conversation: &Conversation, ledger: &mut Ledger, strategy: &dyn Strategy) -> String {
    match planner.plan(conversation, ledger, strategy, &mut StrategyCache::default()) {
        Ok(plan) => format!("{}\n{}", serde_json::to_string(&plan).unwrap(), plan.explain()),
        Err(error) => format!("{error} {:?}", error.over_budget()),
    }
}

fn rebuilt(conversation: &Conversation) -> Conversation {
    let path = conversation.path();
    let mut fresh = Conversation::new();
    fresh.set_head(conversation.head().iter().cloned()).unwrap();
    for message in path.messages() {
        fresh.push(message.clone());
    }
    for pin in conversation.pins().filter_map(|pin| path.position(pin)) {
        fresh.pin(ItemId::from_index(pin)).unwrap();
    }
    fresh
}

fn planner(conversation: &Conversation, rng: &mut fastrand::Rng, cost: &ChatCost) -> Planner {
    let whole: Vec<Message> = conversation.head().iter().chain(conversation.path().messages()).cloned().collect();
    let pins = crate::judge::positions(conversation, conversation.pins());
    let input = Input::new(&whole, &pins, &[], bytes);
    let limit = generate::log_uniform(rng, input.fixed(), 2 * input.whole());
    Planner::new(cost.clone(), &budget(rng, limit)).unwrap()
}

fn changed(conversation: &Conversation, rng: &mut fastrand::Rng) -> Conversation {
    let mut changed = conversation.clone();
    if !changed.path().is_empty() {
        let at = changed.path().item(rng.usize(0..changed.path().len())).unwrap().id();
        changed.edit(at, generate::text(rng)).unwrap();
    }
    for message in generate::talk(rng).messages.into_iter().take(rng.usize(0..10)) {
        changed.push(message);
    }
    changed
}

#[test]
fn invariant_6_whatever_the_ledger_was_used_for_the_plan_is_the_same() {
    each_case(400, |case| {
        let rng = &mut case.rng;
        let mut talk = generate::talk(rng).conversation();
        let other = generate::talk(rng).conversation();
        let branch = changed(&talk, rng);
        if chance(rng, 50) {
            // The same path as the tip of a tree with branches.
            let leaf = talk.leaf();
            talk = changed(&talk, rng);
            match leaf {
                Some(leaf) => talk.switch(leaf).unwrap(),
                None => talk.clear(),
            }
        }
        let cost = cost_of("bytes", bytes);
        let planner = planner(&talk, rng, &cost);
        for (_, strategy) in strategies(rng) {
            let strategy = &*strategy;
            case.note.replace(format!("{} on {:?}", strategy.spec(), planner.budget()));
            let expected = outcome(&planner, &talk, &mut Ledger::new(), strategy);
            assert_eq!(outcome(&planner, &rebuilt(&talk), &mut Ledger::new(), strategy), expected, "rebuilt");
            let mut ledger = Ledger::new();
            for (before, what) in [(&talk, "used"), (&branch, "a branch"), (&other, "another conversation")] {
                outcome(&planner, before, &mut ledger, strategy);
                assert_eq!(outcome(&planner, &talk, &mut ledger, strategy), expected, "the ledger was {what}'s");
            }
        }
    });
}

#[test]
fn invariant_6_two_copies_that_went_apart_can_share_a_ledger() {
    each_case(400, |case| {
        let rng = &mut case.rng;
        let mut copies = [generate::talk(rng).conversation(), Conversation::new()];
        copies[1] = copies[0].clone();
        let cost = cost_of("bytes", bytes);
        let strategies = strategies(rng);
        let mut ledger = Ledger::new();
        for _ in 0..8 {
            let copy = &mut copies[rng.usize(0..2)];
            *copy = changed(copy, rng);
            let planner = planner(copy, rng, &cost);
            let (_, strategy) = &strategies[rng.usize(0..strategies.len())];
            let expected = outcome(&planner, copy, &mut Ledger::new(), &**strategy);
            assert_eq!(outcome(&planner, copy, &mut ledger, &**strategy), expected, "{}", strategy.spec());
        }
    });
}

#[test]
fn invariant_6_two_copies_that_went_apart_can_share_a_ledger_with_two_ways_to_count() {
    each_case(400, |case| {
        let rng = &mut case.rng;
        let one = generate::talk(rng).conversation();
        let copies = [changed(&one, rng), changed(&one, rng)];
        let costs = [cost_of("bytes", bytes), cost_of("words", words)];
        let strategies = strategies(rng);
        let mut ledger = Ledger::new();
        for _ in 0..8 {
            let copy = &copies[rng.usize(0..2)];
            let cost = &costs[rng.usize(0..2)];
            let planner = planner(copy, rng, cost);
            let (_, strategy) = &strategies[rng.usize(0..strategies.len())];
            let expected = outcome(&planner, copy, &mut Ledger::new(), &**strategy);
            assert_eq!(outcome(&planner, copy, &mut ledger, &**strategy), expected, "{}", strategy.spec());
        }
    });
}

#[test]
fn invariant_6_a_committed_plan_is_repeated() {
    each_case(400, |case| {
        let rng = &mut case.rng;
        let talk = generate::talk(rng).conversation();
        let cost = cost_of("bytes", bytes);
        let planner = planner(&talk, rng, &cost);
        for (_, strategy) in strategies(rng) {
            let Ok(plan) = planner.plan(&talk, &mut Ledger::new(), &*strategy, &mut StrategyCache::default()) else {
                continue;
            };
            let mut marked = talk.clone();
            plan.commit_marks(&mut marked).unwrap();
            let first = outcome(&planner, &talk, &mut Ledger::new(), &*strategy);
            assert_eq!(outcome(&planner, &marked, &mut Ledger::new(), &*strategy), first, "{}", strategy.spec());
            plan.commit_marks(&mut marked).unwrap();
            assert_eq!(outcome(&planner, &marked, &mut Ledger::new(), &*strategy), first, "{}", strategy.spec());
        }
    });
}

#[test]
fn invariant_6_a_dry_run_leaves_the_record_as_it_was() {
    each_case(200, |case| {
        let talk = generate::talk(&mut case.rng);
        let conversation = talk.conversation();
        let planner = planner(&conversation, &mut case.rng, &cost_of("bytes", bytes));
        for (_, strategy) in strategies(&mut case.rng) {
            outcome(&planner, &conversation, &mut Ledger::new(), &*strategy);
            assert_eq!(conversation.mark(&strategy.spec(), "cut"), None);
        }
        let messages = conversation.head().iter().chain(conversation.path().messages());
        assert!(messages.eq(&talk.messages));
    });
}
