//! What a request must answer.

use super::super::*;
use crate::budget::TokenBudget;
use crate::conversation::Conversation;
use crate::ledger::Ledger;
use crate::message::{Message, ToolCall};
use crate::strategy::{Ladder, Recall, SlidingWindow, parse};
use crate::tokens::{ChatCost, CounterFn};

fn plan_with(talk: &Conversation, limit: u64, strategy: &dyn Strategy, extras: &Extras) -> Plan {
    let cost = ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64));
    let planner = Planner::new(cost, &TokenBudget::limit(limit).low_mark(1.0)).unwrap();
    planner.plan_with(talk, &mut Ledger::new(), strategy, &mut StrategyCache::default(), extras).unwrap()
}

fn plan(talk: &Conversation, limit: u64, strategy: &dyn Strategy) -> Plan {
    plan_with(talk, limit, strategy, &Extras::default())
}

fn window(talk: &Conversation, limit: u64) -> Plan {
    plan(talk, limit, &SlidingWindow::tokens())
}

/// The groups that were sent because they must be answered.
fn pending(plan: &Plan) -> Vec<usize> {
    plan.runs().iter().filter(|run| run.reason == Reason::Pending).flat_map(|run| run.groups.clone()).collect()
}

fn round(talk: &mut Conversation, ids: &[&str], result: &str) {
    talk.push(Message::calls(ids.iter().map(|id| ToolCall::function(id, "f", ""))));
    for id in ids {
        talk.push(Message::tool(id, result));
    }
}

/// An earlier message, a question, and this many rounds of a call with its result.
fn in_a_loop(question: &str, rounds: usize) -> Conversation {
    let mut talk = Conversation::from_messages(["before", question].map(Message::user));
    (0..rounds).for_each(|number| round(&mut talk, &[&format!("call_{number}")], "abcdef"));
    talk
}

#[test]
fn inside_a_tool_loop_the_question_and_the_newest_results_are_sent() {
    let talk = in_a_loop("abcdef", 4);
    let expected = [
        (0..1, Fate::Evicted, Reason::Budget),
        (1..2, Fate::Kept, Reason::Pending),
        (2..5, Fate::Evicted, Reason::Budget),
        (5..6, Fate::Kept, Reason::Pending),
    ];
    let trimmed = window(&talk, 50);
    let runs: Vec<_> = trimmed.runs().iter().map(|run| (run.groups.clone(), run.fate, run.reason.clone())).collect();
    assert_eq!(runs, expected);
    for strategy in [&SlidingWindow::messages(0) as &dyn Strategy, &Ladder::default(), &Recall::default()] {
        assert_eq!(pending(&plan(&talk, 50, strategy)), [1, 5], "{strategy:?}");
    }
}

#[test]
fn what_a_tool_loop_must_send_is_not_counted_among_the_messages_of_a_window() {
    let talk = in_a_loop("abcdef", 4);
    let sent = |count| plan(&talk, 1_000, &SlidingWindow::messages(count)).messages().len();
    assert_eq!([0, 1, 2, 3, 4].map(sent), [3, 3, 5, 5, 7]);
    assert_eq!(plan(&talk, 1_000, &SlidingWindow::turns(0)).messages().len(), 9, "the turn itself is none of them");
}

#[test]
fn a_loop_that_ends_in_open_calls_goes_on_from_the_newest_results() {
    let mut talk = in_a_loop("abcdef", 2);
    talk.push(Message::calls([ToolCall::function("open", "f", "")]));
    assert_eq!(pending(&window(&talk, 1_000)), [1, 3]);
}

#[test]
fn a_user_message_behind_results_begins_a_turn_and_leaves_the_loop_to_the_strategy() {
    let mut talk = in_a_loop("abcdef", 2);
    talk.push(Message::user("stop"));
    assert_eq!(pending(&window(&talk, 1_000)), [4]);
}

#[test]
fn of_user_messages_without_a_reply_the_newest_is_pending_and_a_long_log_of_them_is_trimmed() {
    let log = Conversation::from_messages((0..100).map(|_| Message::user("abcdef")));
    let sent = window(&log, 50);
    assert_eq!((pending(&sent), sent.messages().len()), (vec![99], 4));
}

#[test]
fn context_stands_before_the_question_in_every_round_of_a_tool_loop() {
    let extras = Extras { context: vec![Message::system("today")], ..Extras::default() };
    for rounds in 0..3 {
        let plan = plan_with(&in_a_loop("question", rounds), 1_000, &SlidingWindow::tokens(), &extras);
        let texts: Vec<_> = plan.messages()[..3].iter().map(Message::text).collect();
        assert_eq!(texts, ["before", "today", "question"], "round {rounds}");
    }
}

#[test]
fn a_long_question_stays_whole_where_cutting_the_results_is_enough() {
    let ask = |question: usize| {
        let mut talk = Conversation::from_messages([Message::user("q".repeat(question))]);
        round(&mut talk, &["1", "2"], &"r".repeat(3_000));
        let plan = window(&talk, 1_000);
        assert!((900..=1_000).contains(&plan.tokens().total()), "{}", plan.tokens().total());
        assert!(plan.messages()[2..].iter().all(|result| result.text().contains("left out")));
        plan.messages()[0].text().len()
    };
    assert_eq!([10, 400, 700].map(ask), [10, 400, 700]);
    assert!(ask(950) < 950, "what were left of the results would say nothing");
}

#[test]
fn the_results_that_a_request_must_answer_are_never_cleared() {
    let mut talk = in_a_loop("question", 0);
    for id in ["old", "new"] {
        round(&mut talk, &[id], &"r".repeat(300));
    }
    let plan = plan(&talk, 500, &*parse("ladder:clear-tools:keep=0/window").unwrap());
    let results: Vec<_> = plan.messages().iter().filter(|message| message.tool_call_id().is_some()).collect();
    assert!(results[0].text().contains("left out"), "{}", plan.explain());
    assert_eq!(results[1].text().len(), 300);
}
