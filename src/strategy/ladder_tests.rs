use super::*;
use crate::message::ToolCall;
use crate::plan::{Plan, Planner};
use crate::strategy::parse;
use crate::tokens::CounterFn;
use crate::{ChatCost, Conversation, Ledger, Message, TokenBudget};

fn plan_of(limit: u64, talk: &Conversation, spec: &str) -> Plan {
    let cost = ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64));
    let planner = Planner::new(cost, &TokenBudget::limit(limit)).unwrap();
    planner.plan(talk, &mut Ledger::new(), &*parse(spec).unwrap(), &mut StrategyCache::default()).unwrap()
}

/// A task, calls of a tool with long results, and another question.
fn agent(calls: usize) -> Conversation {
    let mut talk = Conversation::from_messages([Message::user("task")]);
    for number in 0..calls {
        talk.push(Message::calls([ToolCall::function(&number.to_string(), "read", "{}")]));
        talk.push(Message::tool(&number.to_string(), "r".repeat(300)));
    }
    talk.push(Message::assistant("<think>Hm, hm, hm, hm, hm.</think>\ndone"));
    talk.push(Message::user("next"));
    talk
}

fn saved(plan: &Plan) -> Vec<Option<u64>> {
    plan.steps().iter().map(|step| step.saved).collect()
}

#[test]
fn a_ladder_runs_only_as_far_as_it_must() {
    let talk = agent(4);
    let reasons = |limit| {
        let plan = plan_of(limit, &talk, "ladder:clear-tools:keep=1/window");
        plan.runs().iter().map(|run| run.reason.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(reasons(10_000), ["fits", "pending"]);
    assert_eq!(reasons(800), ["fits", "cleared", "fits", "pending"]);
    assert_eq!(reasons(300), ["budget", "fits", "pending"]);
}

#[test]
fn each_step_says_what_it_saved_and_what_it_costs() {
    let talk = agent(8);
    let whole = plan_of(10_000, &talk, "ladder");
    assert_eq!(saved(&whole), [None, None, None]);
    let plan = plan_of(700, &talk, "ladder:clear-tools:keep=1/drop-reasoning/summarize:tokens=50");
    assert_eq!(
        plan.steps().iter().filter_map(|step| step.saved).sum::<u64>(),
        whole.tokens().total() - plan.tokens().total()
    );
    let explained = plan.explain().to_string();
    let steps: Vec<&str> = explained.lines().skip(2).take(3).collect();
    insta::assert_snapshot!(steps.join("\n"), @"
    1. clear-tools:keep=1       1,345 tokens saved  free
    2. drop-reasoning              35 tokens saved  free
    3. summarize:tokens=50        861 tokens saved  924 tokens to summarize
    ");
    assert_eq!(plan_of(700, &talk, "window").steps().len(), 1);
}

#[test]
fn a_ladder_in_a_ladder_goes_on_from_what_is_left() {
    let talk = agent(8);
    for limit in (500..3_000).step_by(50) {
        let flat = plan_of(limit, &talk, "ladder:drop-reasoning/clear-tools:keep=1/window");
        let nested = plan_of(limit, &talk, "ladder:drop-reasoning/tools:keep=1");
        assert_eq!(nested.runs(), flat.runs(), "{limit}");
        let sum = |plan: &Plan| saved(plan).iter().map(|saved| saved.unwrap_or(0)).sum::<u64>();
        assert_eq!((sum(&nested), saved(&nested).len()), (sum(&flat), 2));
    }
}

#[test]
fn a_plan_says_the_marks_of_its_budget_whatever_the_strategy_makes_of_them() {
    let talk = agent(8);
    for spec in ["window", "recall", "everything", "ladder"] {
        let explained = plan_of(4_000, &talk, spec).explain().to_string();
        assert_eq!(explained.lines().nth(1), Some("  limit 4,000 tokens; high mark 4,000, low mark 2,800"), "{spec}");
    }
}

/// Talk about nothing, in which one early message says something, and a question about it.
fn remembered() -> Conversation {
    let mut talk = Conversation::new();
    for number in 0..60 {
        talk.push(Message::user(format!("Filler {number}, of no use to anybody.")));
        talk.push(Message::assistant(if number == 10 {
            "The violin is in the attic."
        } else {
            "I see, I see, I see."
        }));
    }
    talk.push(Message::user("Where is the violin, in the attic?"));
    talk
}

/// The request costs what the plan says.
fn check_counts(plan: &Plan) {
    let cost = ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64));
    assert_eq!(cost.messages(plan.messages()).total().tokens, plan.tokens().total());
}

fn texts(plan: &Plan) -> Vec<String> {
    plan.messages().iter().map(|message| message.text().into_owned()).collect()
}

#[test]
fn without_a_summary_the_default_ladder_sends_what_recall_sends() {
    let plan = plan_of(1_000, &remembered(), "ladder");
    assert_eq!(texts(&plan), texts(&plan_of(1_000, &remembered(), "recall")));
    assert!(texts(&plan).iter().any(|text| text.contains("violin is in")));
    assert!(plan.summary_request().is_some(), "a summary is still worth making");
}

#[test]
fn beside_a_summary_originals_are_sent_in_their_place_and_both_are_counted() {
    let mut talk = remembered();
    let ids: Vec<_> = talk.path().items().map(crate::conversation::Item::id).collect();
    talk.attach(ids[0], ids[99], "They spoke of fillers.", None).unwrap();
    let alone = plan_of(1_500, &talk, "summarize");
    assert!(!texts(&alone).iter().any(|text| text.contains("violin is in")));
    for spec in ["ladder", "summarize:recall=yes", "ladder:clear-tools/summarize:recall=yes,role=user"] {
        let plan = plan_of(1_500, &talk, spec);
        let texts = texts(&plan);
        let at = |what: &str| texts.iter().position(|text| text.contains(what)).unwrap_or_else(|| panic!("{what}"));
        assert!(at("violin is in") < at("spoke of fillers"), "{spec}");
        assert!(at("spoke of fillers") < at("Filler 50"), "{spec}: what comes after the summary is sent in full");
        let tokens = plan.tokens();
        assert!(tokens.summary > 0 && tokens.total() <= 1_500, "{spec}: {tokens:?}");
        check_counts(&plan);
    }
}

#[test]
fn originals_keep_a_quarter_of_the_room_beside_a_summary() {
    let mut talk = remembered();
    let ids: Vec<_> = talk.path().items().map(crate::conversation::Item::id).collect();
    talk.attach(ids[0], ids[19], "They spoke of fillers.", None).unwrap();
    let plan = plan_of(1_500, &talk, "summarize:recall=yes");
    let recalled = plan.runs().iter().filter(|run| run.reason == crate::Reason::Recalled);
    assert!(recalled.map(|run| run.tokens).sum::<u64>() > 0);
    assert!(plan.summary_request().is_some(), "the newest messages no longer fit beside them");
}
