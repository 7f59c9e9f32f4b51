//! The public conformance check, on all built-in strategies, and on one of a program's own before some
//! of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use fastrand::Rng;
use turnwise::plan::{Run, check};
use turnwise::strategy::parse;
use turnwise::{
    ChatCost, Conversation, Draft, Fate, Ledger, Message, Plan, Planner, Reason, Result, Strategy, StrategyCache, View,
};

use crate::each_case;
use crate::generate::{self, chance};
use crate::plans::{budget, bytes, cost_of, words};

const STRATEGIES: [&str; 26] = [
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
    "summarize:tokens=20,role=user,recall=yes",
    "ladder:clear-tools:keep=1/summarize",
    "ladder:drop-reasoning/tools:keep=0",
    "ladder:recall:excerpts=40/summarize:tokens=30",
];

/// Strategies that continue after [`Unsaid`].
const CONTINUING: [&str; 8] = [
    "everything",
    "window",
    "window:turns=3,start=user",
    "head-tail:first=2",
    "recall:tail=5,excerpts=60",
    "tools:keep=1",
    "ladder",
    "summarize:tokens=20,role=user,recall=yes",
];

/// Leaves out what the model said, but for its calls, and lets another strategy continue.
#[derive(Debug)]
struct Unsaid(Box<dyn Strategy>);

impl Strategy for Unsaid {
    fn spec(&self) -> Cow<'static, str> {
        format!("unsaid+{}", self.0.spec()).into()
    }

    fn draft(&self, view: &View<'_>, cache: &mut StrategyCache) -> Result<Draft> {
        let is_said = |message: &Message| message.role().as_str() == "assistant" && !message.has_calls();
        Draft::keep_only(view, Reason::Other("said".into()), |group| !group.first().is_some_and(is_said))
            .then(&self.0, view, cache)
    }
}

/// Some answers begin with a thought, so that there is something to leave out.
fn thinking(message: Message) -> Message {
    let text = message.text().into_owned();
    match message.role().as_str() {
        "assistant" if !text.is_empty() => message.with_content(format!("<think>{text} {text}</think>\n{text}")),
        _ => message,
    }
}

/// A conversation, some with thoughts, some with a summary of their beginning.
fn talk_of(rng: &mut Rng) -> Conversation {
    let mut talk = generate::talk(rng);
    if chance(rng, 30) {
        talk.messages = talk.messages.into_iter().map(thinking).collect();
    }
    let mut conversation = talk.conversation();
    if chance(rng, 30) && conversation.path().group_count() > 1 {
        let path = conversation.path();
        let ends = path.positions(0..rng.usize(1..path.group_count()));
        let (first, last) = (path.item(ends.start).unwrap().id(), path.item(ends.end - 1).unwrap().id());
        conversation.attach(first, last, generate::text(rng), None).unwrap();
    }
    conversation
}

/// What a strategy saved, step by step, is what was not sent.
fn assert_steps_add_up(plan: &Plan, whole: u64) {
    let is_smaller = |run: &&Run| run.fate != Fate::Kept && run.reason != Reason::Pending;
    let can_be_sent = |run: &&Run| !matches!(run.reason, Reason::Orphan | Reason::Unanswered);
    let taken = |run: &Run| if run.fate == Fate::Shrunk { run.saved } else { run.tokens };
    let runs = plan.runs().iter().filter(is_smaller).filter(can_be_sent);
    let expected = runs.map(taken).sum::<u64>().saturating_sub(plan.tokens().summary);
    let saved: u64 = plan.steps().iter().filter_map(|step| step.saved).sum();
    // A summary by hand may be longer than what it stands for: the step that takes it saves nothing.
    let is_longer = plan.tokens().summary > 0;
    assert!(saved == expected || is_longer && saved >= expected && saved <= whole, "{saved} saved, not {expected}");
}

#[test]
fn every_strategy_keeps_every_promise() {
    let continuing = CONTINUING.map(|spec| Box::new(Unsaid(parse(spec).unwrap())) as Box<dyn Strategy>);
    let strategies: Vec<Box<dyn Strategy>> =
        STRATEGIES.map(|spec| parse(spec).unwrap()).into_iter().chain(continuing).collect();
    let mut tried = 0;
    let mut seen = BTreeMap::<String, u32>::new();
    each_case(150, |case| {
        let rng = &mut case.rng;
        let conversation = talk_of(rng);
        let cost: ChatCost = if chance(rng, 50) { cost_of("bytes", bytes) } else { cost_of("words", words) };
        let whole = Ledger::new().total(&conversation, &cost) + cost.head(conversation.head(), &[], &[]).tokens;
        let mut ledger = Ledger::new();
        for _ in 0..2 {
            let limit = generate::log_uniform(rng, 10, 2 * whole + 20);
            let budget = budget(rng, limit);
            let planner = Planner::new(cost.clone(), &budget).unwrap();
            for strategy in &strategies {
                case.note.replace(format!("{} within {limit}", strategy.spec()));
                check(strategy, &conversation, &cost, &budget).unwrap();
                tried += 1;
                let Ok(plan) = planner.plan(&conversation, &mut ledger, strategy, &mut StrategyCache::default()) else {
                    continue;
                };
                assert_steps_add_up(&plan, whole);
                for run in plan.runs() {
                    *seen.entry(run.reason.as_str().to_owned()).or_default() += 1;
                }
            }
        }
    });
    println!("{tried} checks; runs of {seen:?}");
}
