//! Late results: they are sent directly after their calls, and decided about together with them.

use super::*;
use crate::conversation::{Conversation, ItemId};
use crate::ledger::Ledger;
use crate::message::ToolCall;
use crate::strategy::{SlidingWindow, parse};
use crate::tokens::CounterFn;

fn cost() -> ChatCost {
    ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64))
}

fn plan(talk: &Conversation, limit: u64, spec: &str) -> Plan {
    let planner = Planner::new(cost(), &TokenBudget::limit(limit).low_mark(1.0)).unwrap();
    planner.plan(talk, &mut Ledger::new(), &*parse(spec).unwrap(), &mut StrategyCache::default()).unwrap()
}

fn texts(plan: &Plan) -> Vec<String> {
    plan.messages().iter().map(|message| message.text().into_owned()).collect()
}

/// A question, calls of a and b, the result of a, what a user says meanwhile, and the result of b.
fn interrupted(said: Message) -> Conversation {
    Conversation::from_messages([
        Message::user("before"),
        Message::assistant("yes"),
        Message::user("question"),
        Message::calls(["a", "b"].map(|id| ToolCall::function(id, "f", "{}"))),
        Message::tool("a", "result a"),
        said,
        Message::tool("b", "result b"),
    ])
}

fn pending(plan: &Plan) -> Vec<usize> {
    plan.runs().iter().filter(|run| run.reason == Reason::Pending).flat_map(|run| run.groups.clone()).collect()
}

#[test]
fn results_go_behind_their_calls_and_the_users_words_behind_both() {
    let sent = plan(&interrupted(Message::user("no, b")), 1_000, "window");
    assert_eq!(texts(&sent), ["before", "yes", "question", "", "result a", "result b", "no, b"]);
    let moved: Vec<_> = sent.moved().map(|moved| (moved.message, moved.calls)).collect();
    assert_eq!(moved, [(6, 3)]);
    assert!(sent.explain().to_string().contains("> message 6 is sent directly after the call in message 3"));
    assert_eq!(sent.decisions().map(|decision| decision.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn where_a_late_result_ends_the_path_it_and_what_was_said_meanwhile_must_be_answered() {
    for spec in ["window:messages=0", "recall", "head-tail", "ladder", "summarize"] {
        let talk = interrupted(Message::user("no, b"));
        let sent = plan(&talk, 190, spec);
        assert_eq!(pending(&sent), [2, 3, 4], "{spec}");
        assert!(
            texts(&sent).ends_with(&["question", "", "result a", "result b", "no, b"].map(str::to_owned)),
            "{spec}"
        );
    }
    let note = plan(&interrupted(Message::system("be brief")), 190, "window");
    assert_eq!(pending(&note), [2, 3, 4]);
}

#[test]
fn results_are_cut_before_what_the_user_said_meanwhile() {
    let mut talk = interrupted(Message::user("no, b".repeat(60)));
    talk.undo();
    talk.push(Message::user("u".repeat(300)));
    talk.push(Message::tool("b", "r".repeat(2_000)));
    let sent = plan(&talk, 700, "window");
    let lengths: Vec<usize> = sent.messages().iter().map(|message| message.text().len()).collect();
    assert_eq!((lengths[0], lengths[2], lengths[4]), (8, 8, 300));
    assert!((100..300).contains(&lengths[3]), "{lengths:?}");
}

#[test]
fn a_pin_takes_the_group_along_and_nothing_of_what_was_said_between() {
    let mut talk = interrupted(Message::user("no, b"));
    talk.push(Message::assistant("Done."));
    talk.push(Message::user("next"));
    talk.pin(ItemId::from_index(6)).unwrap();
    let sent = plan(&talk, 180, "window:messages=0");
    assert_eq!(texts(&sent), ["", "result a", "result b", "next"]);
    let run = sent.runs().iter().find(|run| run.reason == Reason::Pin).unwrap();
    assert_eq!((run.indexes.clone(), &*run.apart, run.messages()), (3..5, &[6][..], 3));
    assert!(sent.explain().to_string().contains("pinned; with message 6"), "{}", sent.explain());
    talk.unpin(ItemId::from_index(6));
    talk.pin(ItemId::from_index(5)).unwrap();
    assert_eq!(texts(&plan(&talk, 70, "window:messages=0")), ["no, b", "next"]);
}

#[test]
fn runs_do_not_hold_results_of_calls_in_other_runs() {
    let mut talk = interrupted(Message::user("one"));
    talk.undo();
    for said in ["one", "two"] {
        talk.push(said);
    }
    talk.push(Message::tool("b", "result b"));
    talk.push(Message::system("three"));
    talk.push(Message::assistant("Done."));
    let sent = plan(&talk, 45, "window");
    let runs: Vec<_> = sent.runs().iter().map(|run| (run.groups.clone(), run.indexes.clone(), &*run.apart)).collect();
    let none = &[][..];
    assert_eq!(runs, [(0..4, 0..5, &[7][..]), (4..6, 5..7, none), (6..7, 8..9, none), (7..8, 9..10, none)]);
    assert_eq!(sent.evicted(), 6);
    assert_eq!(texts(&sent), ["one", "two", "three", "Done."]);
}

#[test]
fn late_results_are_cleared_and_recalled_with_their_calls() {
    let mut talk = interrupted(Message::user("no, b"));
    talk.undo();
    talk.push("no, b");
    talk.push(Message::tool("b", format!("the harbour {}", "r".repeat(300))));
    talk.push(Message::assistant("Done."));
    for n in 0..9 {
        talk.push(Message::user(format!("question{n:02}")));
        talk.push(Message::assistant(format!("answer {n} {}", "a".repeat(50))));
    }
    talk.push("What was it about the harbour?");
    let cleared = plan(&talk, 1_200, "clear-tools:keep=0");
    assert!(texts(&cleared)[5].starts_with("[result of"), "{:?}", texts(&cleared));
    let recalled = plan(&talk, 900, "recall:excerpts=no");
    assert!(texts(&recalled).iter().any(|text| text.starts_with("the harbour")), "{:?}", texts(&recalled));
}

#[test]
fn a_summary_stands_for_calls_and_late_results_together_or_for_neither() {
    let mut talk = interrupted(Message::user("no, b"));
    talk.push(Message::assistant("Done."));
    talk.push(Message::user("next"));
    let ids: Vec<ItemId> = (0..9).map(ItemId::from_index).collect();
    for (last, is_used) in [(1, true), (2, true), (3, false), (4, false), (5, false), (6, true), (7, true)] {
        let mut talk = talk.clone();
        talk.attach(ids[0], ids[last], "So far.", None).unwrap();
        let sent = plan(&talk, 120, "summarize");
        assert_eq!(sent.summary().is_some(), is_used, "up to {last}");
    }
    let request = plan(&talk, 60, "summarize:tokens=5").summary_request().cloned().unwrap();
    assert!(!talk.path().is_split(request.groups.end), "{request:?}");
}

#[test]
fn a_mark_between_calls_and_their_late_result_is_found_again() {
    let mut talk = interrupted(Message::user("no, b"));
    talk.push(Message::assistant("Done."));
    talk.push(Message::user("next"));
    let planner = Planner::new(cost(), &TokenBudget::limit(100).low_mark(0.5)).unwrap();
    let strategy = SlidingWindow::tokens();
    let first = planner.plan(&talk, &mut Ledger::new(), &strategy, &mut StrategyCache::default()).unwrap();
    assert_eq!(texts(&first), ["no, b", "Done.", "next"]);
    first.commit_marks(&mut talk).unwrap();
    talk.push(Message::assistant("ok"));
    talk.push(Message::user("more"));
    let next = planner.plan(&talk, &mut Ledger::new(), &strategy, &mut StrategyCache::default()).unwrap();
    assert_eq!(texts(&next), ["no, b", "Done.", "next", "ok", "more"]);
    assert_eq!(next.prefix_shared_with(&first), first.tokens().history);
}
