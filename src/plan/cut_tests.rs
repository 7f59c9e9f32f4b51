//! Results that are longer than there is room: of one call, and of several at once.

use super::ends::ends;
use super::*;
use crate::conversation::Conversation;
use crate::error::ErrorKind;
use crate::ledger::Ledger;
use crate::message::ToolCall;
use crate::strategy::SlidingWindow;
use crate::tokens::CounterFn;

const KINDS: [&str; 4] = ["words", "chinese", "emoji", "json"];

/// A result of about `tokens` tokens.
fn text(kind: &str, tokens: usize) -> String {
    match kind {
        "words" => {
            (0..tokens).map(|n| ["file", "folder", "and", "more", "of", "it"][n % 6]).collect::<Vec<_>>().join(" ")
        }
        "chinese" => "文件夹里有三个文件".chars().cycle().take(tokens).collect(),
        "emoji" => ["🙂", "🚀"].iter().cycle().take(tokens.div_ceil(2)).copied().collect(),
        _ => {
            let rows: Vec<String> =
                (0..tokens.div_ceil(12)).map(|n| format!(r#"{{"id": {n}, "name": "row {n}"}}"#)).collect();
            format!("[{}]", rows.join(", "))
        }
    }
}

/// Sizes of results: alike, uneven, and one long one among short ones.
fn sizes(calls: usize, shape: usize, most: usize) -> Vec<usize> {
    (0..calls)
        .map(|call| match shape {
            0 => most,
            1 => most / (call + 1) + 9,
            _ if call == calls / 2 => 4 * most,
            _ => 10 + call,
        })
        .collect()
}

fn round(results: &[String]) -> Vec<Message> {
    let ids: Vec<String> = (0..results.len()).map(|id| format!("call_{id}")).collect();
    let calls = Message::calls(ids.iter().map(|id| ToolCall::function(id, "read", r#"{"path": "/tmp"}"#)));
    let results = ids.iter().zip(results).map(|(id, text)| Message::tool(id, &**text));
    [Message::user("Read them."), calls].into_iter().chain(results).collect()
}

fn plan_of(messages: &[Message], cost: &ChatCost, limit: u64) -> Result<Plan> {
    let planner = Planner::new(cost.clone(), &TokenBudget::limit(limit)).unwrap();
    let talk = Conversation::from_messages(messages.iter().cloned());
    planner.plan(&talk, &mut Ledger::new(), &SlidingWindow::tokens(), &mut StrategyCache::default())
}

/// The request with every result as short as it may become.
fn shortest(messages: &[Message], cost: &ChatCost) -> u64 {
    let results = messages.len() as u64 - 2;
    let least = if results == 1 { 64 } else { (64 / results).max(8) };
    let cut = messages[2..].iter().map(|result| result.map_texts(|text| ends(text, least, cost)));
    let shortest: Vec<Message> = messages[..2].iter().cloned().chain(cut).collect();
    cost.messages(&shortest).total().tokens
}

fn each_round(test: impl Fn(&str, &ChatCost, &[Message])) {
    let costs = [ChatCost::default(), ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64))];
    for (kind, cost) in KINDS.iter().flat_map(|kind| costs.each_ref().map(|cost| (kind, cost))) {
        for (calls, shape) in (1..=8).flat_map(|calls| [0, 1, 2].map(|shape| (calls, shape))) {
            let texts: Vec<String> = sizes(calls, shape, 60).into_iter().map(|size| text(kind, size)).collect();
            test(&format!("{calls} results of {kind}, shape {shape}, {}", cost.id()), cost, &round(&texts));
        }
    }
}

#[test]
fn parallel_results_that_pass_the_room_by_little_are_cut_as_a_single_one_is() {
    each_round(|what, cost, messages| {
        let whole = cost.messages(messages).total().tokens;
        for percent in [1, 5, 15] {
            let limit = whole * 100 / (100 + percent);
            if shortest(messages, cost) > limit {
                // Of one short result too little is left.
                assert_eq!(messages.len(), 3, "{what}, {percent} %");
                continue;
            }
            let plan = plan_of(messages, cost, limit).unwrap_or_else(|error| panic!("{what}, {percent} %: {error}"));
            assert_eq!(plan.messages().len(), messages.len(), "{what}, {percent} %");
            assert_eq!(plan.tokens().total(), cost.messages(plan.messages()).total().tokens);
            assert!((1..=limit).contains(&plan.tokens().total()), "{what}, {percent} %");
            assert_eq!((plan.messages()[0].text(), plan.messages()[1].text()), ("Read them.".into(), "".into()));
        }
    });
}

#[test]
fn results_are_refused_only_where_the_shortest_do_not_fit() {
    each_round(|what, cost, messages| {
        let (whole, shortest) = (cost.messages(messages).total().tokens, shortest(messages, cost));
        for limit in [shortest, shortest + 1, shortest.midpoint(whole), whole - 1, whole] {
            let plan = plan_of(messages, cost, limit.max(shortest)).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(plan.tokens().total() <= limit.max(shortest));
        }
        let error = plan_of(messages, cost, shortest - 1).unwrap_err();
        let numbers = error.over_budget().unwrap();
        assert_eq!(error.kind(), ErrorKind::OverBudget, "{what}");
        assert!(numbers.group == Some(1) && numbers.tokens > numbers.room, "{what}: {error}");
    });
}

#[test]
fn what_is_cut_fills_the_room() {
    for kind in KINDS {
        let texts: Vec<String> = [900, 500, 20].into_iter().map(|size| text(kind, size)).collect();
        let (messages, cost) = (round(&texts), ChatCost::default());
        let whole = cost.messages(&messages).total().tokens;
        let limit = whole * 2 / 3;
        let used = plan_of(&messages, &cost, limit).unwrap().tokens().total();
        assert!(used * 10 > limit * 8, "{used} of {limit} tokens of {kind}");
    }
}

#[test]
fn the_shortest_result_keeps_its_beginning_and_its_end() {
    let texts: Vec<String> = (0..8).map(|n| format!("begin {n} {} end {n}", "word ".repeat(40))).collect();
    let (messages, cost) = (round(&texts), ChatCost::default());
    let plan = plan_of(&messages, &cost, shortest(&messages, &cost)).unwrap();
    for (n, message) in plan.messages()[2..].iter().enumerate() {
        assert!(message.text().starts_with("begin") && message.text().ends_with(&format!("end {n}")), "{message:?}");
        assert!(cost.text(&message.text()).tokens <= 8, "{message:?}");
    }
}
