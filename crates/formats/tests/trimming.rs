//! Imported conversations with tools are counted and trimmed legally at every budget.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::read;
use proptest::prelude::*;
use serde_json::{Value, json};
use turnwise::strategy::parse;
use turnwise::{ChatCost, Message, Models, Planner, Role, StrategyCache, TokenBudget};

/// Whether a request is legal as chat completions: the results of each message with calls follow it,
/// one for each call, and there are no others.
fn is_legal(messages: &[Message]) -> bool {
    let mut at = 0;
    while at < messages.len() {
        let message = &messages[at];
        at += 1;
        if message.is_result() {
            return false;
        }
        let calls: Vec<&str> = message.tool_calls().iter().map(|call| call.id().unwrap()).collect();
        let results: Vec<&str> =
            messages[at..].iter().take(calls.len()).filter_map(|result| result.tool_call_id()).collect();
        let sorted = |mut ids: Vec<&str>| {
            ids.sort_unstable();
            ids.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        at += calls.len();
        if sorted(calls) != sorted(results) {
            return false;
        }
    }
    true
}

/// One turn: a question, some parallel calls with results, an answer.
fn turn() -> impl Strategy<Value = Vec<Value>> {
    ("[a-z ]{1,80}", 0_usize..4, "[a-z ]{1,200}", any::<bool>(), any::<bool>()).prop_map(
        |(question, calls, answer, has_text, thinks)| {
            let mut messages = vec![json!({"role": "user", "content": question})];
            if calls > 0 {
                let text = has_text.then(|| json!({"type": "text", "text": "I look."}));
                let thought = thinks.then(|| json!({"type": "thinking", "thinking": answer, "signature": "c2ln"}));
                let uses = (0..calls).map(
                    |i| json!({"type": "tool_use", "id": format!("t{i}"), "name": "find", "input": {"q": question}}),
                );
                let blocks: Vec<Value> = thought.into_iter().chain(text).chain(uses).collect();
                messages.push(json!({"role": "assistant", "content": blocks}));
                let results: Vec<Value> = (0..calls)
                    .map(|i| json!({"type": "tool_result", "tool_use_id": format!("t{i}"), "content": answer}))
                    .collect();
                messages.push(json!({"role": "user", "content": results}));
            }
            messages.push(json!({"role": "assistant", "content": [{"type": "text", "text": answer}]}));
            messages
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_imported_conversation_of_anthropic_is_legal_at_every_budget(turns in proptest::collection::vec(turn(), 1..8)) {
        let mut messages: Vec<Value> = turns.concat();
        messages.push(json!({"role": "user", "content": "And now?"}));
        let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 100, "system": "You sell bicycles.", "messages": messages});
        let mut file = read(&body.to_string()).remove(0).transcript;
        let (back, report) = common::written([common::reloaded(&file)], "anthropic");
        prop_assert_eq!(serde_json::from_str::<Value>(&back).unwrap(), body);
        prop_assert!(report.is_empty());
        let cost = ChatCost::for_model(Models::builtin().find("gpt-4o"));
        let all: Vec<Message> = file.conversation.messages().cloned().collect();
        let total = cost.messages(&all).total().tokens;
        prop_assert!(is_legal(&all));
        for strategy in ["window", "recall", "tools:keep=1"] {
            let strategy = parse(strategy).unwrap();
            for budget in (40..total + 40).step_by(1 + usize::try_from(total).unwrap() / 12) {
                let planner = Planner::new(cost.clone(), &TokenBudget::limit(budget)).unwrap();
                let plan = planner.plan(&file.conversation, &mut file.ledger, strategy.as_ref(), &mut StrategyCache::default()).unwrap();
                let sent = plan.messages();
                prop_assert!(is_legal(sent), "{:?}", sent);
                prop_assert!(*sent[0].role() == Role::System);
                prop_assert!(cost.messages(sent).total().tokens <= budget);
            }
        }
    }
}

#[test]
fn every_imported_sample_is_sent_legally() {
    for file in common::samples("formats") {
        for import in read(&std::fs::read_to_string(&file).unwrap()) {
            let mut transcript = import.transcript;
            transcript.conversation.push("And now?");
            let cost = ChatCost::for_model(Models::builtin().find("gpt-4o"));
            let planner = Planner::new(cost, &TokenBudget::limit(100_000)).unwrap();
            let strategy = parse("everything").unwrap();
            let plan = planner
                .plan(
                    &transcript.conversation,
                    &mut transcript.ledger,
                    strategy.as_ref(),
                    &mut StrategyCache::default(),
                )
                .unwrap();
            assert!(is_legal(plan.messages()), "{}", file.display());
            let request = serde_json::to_string(&plan.request()).unwrap();
            assert!(!request.contains(turnwise_formats::ORIGIN), "{}", file.display());
        }
    }
}
