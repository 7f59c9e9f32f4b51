//! The public conformance check, on all built-in strategies.

use turnwise::strategy::{check, parse};
use turnwise::{ChatCost, Ledger, Message, TokenBudget};

use crate::generate::{self, chance};
use crate::plans::{budget, bytes, cost_of, words};
use crate::{each_case, generate::pick};

const STRATEGIES: [&str; 23] = [
    "everything",
    "window",
    "window:messages=7",
    "window:turns=2",
    "window:turns=3,start=user",
    "head-tail",
    "head-tail:first=5",
    "recall",
    "recall:tail=5,excerpts=60",
    "recall:tail=60,excerpts=40",
    "recall:excerpts=no",
    "ladder:drop-reasoning/recall:tail=5,excerpts=50",
    "ladder:recall:excerpts=80/window",
    "tools",
    "tools:keep=0",
    "tools:keep=1,named=lookup,least=40",
    "ladder",
    "ladder:clear-tools:keep=1/head-tail",
    "ladder:window:turns=4/drop-reasoning/clear-tools:keep=0/window",
    "ladder:clear-tools/everything",
    "summarize",
    "summarize:tokens=20,role=user",
    "ladder:clear-tools:keep=1/summarize",
];

/// Some answers begin with a thought, so that there is something to leave out.
fn thinking(message: Message) -> Message {
    let text = message.text().into_owned();
    match message.role().as_str() {
        "assistant" if !text.is_empty() => message.with_content(format!("<think>{text} {text}</think>\n{text}")),
        _ => message,
    }
}

#[test]
fn every_strategy_keeps_every_promise() {
    let mut tried = 0;
    each_case(4_000, |case| {
        let rng = &mut case.rng;
        let mut talk = generate::talk(rng);
        if chance(rng, 30) {
            talk.messages = talk.messages.into_iter().map(thinking).collect();
        }
        let mut conversation = talk.conversation();
        if chance(rng, 30) && conversation.path().groups() > 1 {
            let path = conversation.path();
            let ends = path.positions(0..rng.usize(1..path.groups()));
            let (first, last) = (path.item(ends.start).unwrap().id(), path.item(ends.end - 1).unwrap().id());
            conversation.attach(first, last, generate::text(rng), None).unwrap();
        }
        let cost: ChatCost = if chance(rng, 50) { cost_of("bytes", bytes) } else { cost_of("words", words) };
        let whole = Ledger::new().total(&conversation, &cost) + cost.head(conversation.head(), &[], &[]).tokens;
        for _ in 0..2 {
            let limit = generate::log_uniform(rng, 10, 2 * whole + 20);
            let (spec, budget): (_, TokenBudget) = (pick(rng, &STRATEGIES), budget(rng, limit));
            case.note.replace(format!("{spec} within {limit}: {:?}", serde_json::to_string(&talk.messages)));
            check(&*parse(spec).unwrap(), &conversation, &cost, &budget).unwrap();
            tried += 1;
        }
    });
    println!("{tried} checks");
}
