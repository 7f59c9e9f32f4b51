use super::*;
use crate::budget::TokenBudget;
use crate::conversation::Mark;
use crate::message::ToolCall;
use crate::strategy::{Everything, SlidingWindow, Summarize};
use crate::tokens::{ChatCost, CounterFn};

/// Texts cost their bytes; a message of plain text costs 4 beside, a request 3.
fn planner(limit: u64) -> Planner {
    let cost = ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64));
    Planner::new(cost, &TokenBudget::limit(limit).low_mark(0.5)).unwrap()
}

fn run(conversation: &Conversation, limit: u64, strategy: &dyn Strategy) -> Replay {
    replay(conversation, &mut Ledger::new(), &planner(limit), strategy).unwrap()
}

fn tokens(replay: &Replay) -> Vec<Option<u64>> {
    let tokens = |request: &Request| match &request.outcome {
        Outcome::Planned(planned) => Some(planned.tokens),
        Outcome::Refused { .. } => None,
    };
    replay.requests.iter().map(tokens).collect()
}

/// `turns` questions and answers of six bytes, and a question that waits.
fn talk(turns: usize) -> Conversation {
    let mut talk = Conversation::from_messages([Message::system("system")]);
    for _ in 0..turns {
        talk.push("answer");
        talk.push(Message::assistant("answer"));
    }
    talk.push("answer");
    talk
}

#[test]
fn there_is_a_request_before_each_reply_and_one_for_the_reply_that_is_missing() {
    let replay = run(&talk(2), 1_000, &Everything);
    let replies: Vec<usize> = replay.requests.iter().map(|request| request.reply).collect();
    assert_eq!(replies, [2, 4, 6]);
    assert_eq!(tokens(&replay), [Some(23), Some(43), Some(63)]);
}

#[test]
fn replies_that_nothing_asked_for_make_no_request() {
    let greeting =
        [Message::assistant("Hello!"), Message::user("Hi"), Message::assistant("a"), Message::assistant("b")];
    let replay = run(&Conversation::from_messages(greeting), 1_000, &Everything);
    assert_eq!(replay.requests.iter().map(|request| request.reply).collect::<Vec<_>>(), [2]);
    assert_eq!(run(&Conversation::new(), 1_000, &Everything).totals.requests, 0);
}

#[test]
fn each_round_of_a_tool_loop_is_a_request() {
    let call = || Message::calls([ToolCall::function("c", "f", "{}")]);
    let (ask, done) = (Message::user("go"), Message::assistant("done"));
    let messages = [ask, call(), Message::tool("c", "1"), call(), Message::tool("c", "2"), done];
    let replay = run(&Conversation::from_messages(messages), 1_000, &Everything);
    assert_eq!(replay.requests.iter().map(|request| request.reply).collect::<Vec<_>>(), [1, 3, 5]);
    assert_eq!(replay.totals.results, Share { kept: 2, of: 2 });
}

#[test]
fn a_request_over_budget_is_part_of_the_result_and_sends_nothing() {
    let replay = run(&talk(2), 50, &Everything);
    assert_eq!(tokens(&replay), [Some(23), Some(43), None]);
    let totals = replay.totals;
    assert_eq!((totals.requests, totals.refused, totals.tokens, totals.largest), (3, 1, 66, 43));
    assert_eq!(totals.messages, Share { kept: 0, of: 6 });
    let last = serde_json::to_value(&replay.requests[2]).unwrap();
    assert_eq!((&last["needed"], &last["room"]), (&63.into(), &50.into()));
}

#[test]
fn the_prefix_is_what_the_request_before_began_with() {
    let replay = run(&talk(6), 83, &SlidingWindow::tokens());
    let prefixes: Vec<(u64, u64)> = replay
        .requests
        .iter()
        .filter_map(|request| match &request.outcome {
            Outcome::Planned(planned) => Some((planned.tokens, planned.prefix)),
            Outcome::Refused { .. } => None,
        })
        .collect();
    // Up to 83 tokens every request repeats the last one whole, but for the priming; then the
    // window is cut to 41, where only the head is repeated, and grows again behind the same cut.
    assert_eq!(prefixes, [(23, 0), (43, 20), (63, 40), (83, 60), (33, 10), (53, 30), (73, 50)]);
    assert_eq!(replay.totals.prefix_share(), Some(210.0 / 348.0));
}

#[test]
fn marks_of_the_record_are_not_used_and_nothing_in_it_changes() {
    let mut marked = talk(6);
    let (item, head) = (marked.path().item(8).unwrap().id(), marked.path().item(0).unwrap().id());
    marked.set_mark(Mark { spec: "window".into(), name: "cut".into(), item, leaf: head }).unwrap();
    let before = crate::Transcript::new(marked.clone()).to_json();
    assert_eq!(run(&marked, 83, &SlidingWindow::tokens()), run(&talk(6), 83, &SlidingWindow::tokens()));
    assert_eq!(crate::Transcript::new(marked).to_json(), before);
}

#[test]
fn totals_add_up() {
    let (one, two) = (run(&talk(2), 1_000, &Everything).totals, run(&talk(5), 83, &SlidingWindow::tokens()).totals);
    let mut sum = one;
    sum.add(&two);
    assert_eq!((sum.conversations, sum.requests), (2, one.requests + two.requests));
    assert_eq!((sum.tokens, sum.largest), (one.tokens + two.tokens, one.largest.max(two.largest)));
    assert_eq!(
        sum.messages,
        Share { kept: one.messages.kept + two.messages.kept, of: one.messages.of + two.messages.of }
    );
}

#[test]
fn a_replay_can_be_made_as_if_summaries_were() {
    let strategy = Summarize::rolling().tokens(10);
    let (talk, planner) = (talk(40), planner(400));
    let with = replay_with_summaries(&talk, &mut Ledger::new(), &planner, &strategy, &Extras::default()).unwrap();
    let without = run(&talk, 400, &strategy);
    let is_summarized =
        |request: &Request| matches!(&request.outcome, Outcome::Planned(sent) if !sent.summarized.is_empty());
    let first = with.requests.iter().position(is_summarized).unwrap();
    assert_eq!(with.requests[..first], without.requests[..first], "they differ from the first summary on");
    assert!(with.requests[first..].iter().all(is_summarized) && !without.requests.iter().any(is_summarized));
    let Summaries { calls, read, written } = with.totals.summaries;
    // Texts cost their bytes: a filler of 10 has two words.
    assert_eq!((without.totals.summaries, written), (Summaries::default(), 10 * calls as u64));
    assert!(calls > 1 && read > 10 * calls as u64, "{calls} {read}");
    assert!(with.totals.largest <= 400);
    assert!(!serde_json::to_string(&without.totals).unwrap().contains("summaries"));
}
