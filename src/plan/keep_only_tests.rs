//! `Draft::keep_only` and `Draft::then`: strategies of one's own in a few lines.

use std::borrow::Cow;

use super::*;
use crate::conversation::{Conversation, ItemId};
use crate::ledger::Ledger;
use crate::message::ToolCall;
use crate::strategy::{Ladder, Recall, SlidingWindow};
use crate::tokens::CounterFn;

/// Keeps what mentions the word.
#[derive(Debug)]
struct Mentions(&'static str);

impl Strategy for Mentions {
    fn spec(&self) -> Cow<'static, str> {
        "mentions".into()
    }

    fn draft(&self, view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
        Ok(Draft::keep_only(view, Reason::Other("off topic".into()), |group| {
            assert!(view.is_optional(group.index()));
            group.messages().any(|message| message.text().contains(self.0))
        }))
    }
}

fn talk() -> Conversation {
    Conversation::from_messages([
        Message::user("The Elbe is long."),
        Message::assistant("Yes."),
        Message::user("Pinned."),
        Message::calls([ToolCall::function("c1", "measure", r#"{"river":"Oder"}"#)]),
        Message::tool("c1", "866 km, and the Elbe 1,094"),
        Message::calls([ToolCall::function("c2", "measure", "{}")]),
        Message::assistant("Long."),
        Message::user("And?"),
    ])
}

fn cost() -> ChatCost {
    ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64))
}

fn plan(conversation: &Conversation, limit: u64, strategy: &dyn Strategy) -> Plan {
    let planner = Planner::new(cost(), &TokenBudget::limit(limit).low_mark(1.0)).unwrap();
    planner.plan(conversation, &mut Ledger::new(), strategy, &mut StrategyCache::default()).unwrap()
}

#[test]
fn keep_only_keeps_what_the_predicate_names_and_what_is_required_whole_groups_each() {
    let mut talk = talk();
    talk.pin(ItemId(2)).unwrap();
    let plan = plan(&talk, 10_000, &Mentions("Elbe"));
    let runs: Vec<_> = plan.runs().iter().map(|run| (run.groups.clone(), run.reason.as_str())).collect();
    assert_eq!(
        runs,
        [
            (0..1, "fits"),
            (1..2, "off topic"),
            (2..3, "pin"),
            (3..4, "fits"),
            (4..5, "unanswered"),
            (5..6, "off topic"),
            (6..7, "pending")
        ]
    );
    check(&Mentions("Elbe"), &talk, &cost(), &TokenBudget::limit(10_000)).unwrap();
}

/// Keeps what mentions the word, and lets another strategy continue.
#[derive(Debug)]
struct MentionsThen<S>(&'static str, S);

impl<S: Strategy> Strategy for MentionsThen<S> {
    fn spec(&self) -> Cow<'static, str> {
        "mentions-then".into()
    }

    fn draft(&self, view: &View<'_>, cache: &mut StrategyCache) -> Result<Draft> {
        Mentions(self.0).draft(view, &mut StrategyCache::default())?.then(&self.1, view, cache)
    }
}

/// Messages about two rivers, which take turns.
fn rivers(count: usize) -> Conversation {
    let river = |number| Message::user(format!("The {} {number}", ["Elbe", "Oder"][number % 2]));
    Conversation::from_messages((0..count).map(river))
}

fn texts(plan: &Plan) -> Vec<String> {
    plan.messages().iter().map(|message| message.text().into_owned()).collect()
}

#[test]
fn then_fits_the_newest_of_what_is_kept() {
    let plan = plan(&rivers(40), 120, &MentionsThen("Elbe", SlidingWindow::tokens()));
    let sent = texts(&plan);
    let (last, kept) = sent.split_last().unwrap();
    assert_eq!(last, "The Oder 39");
    let newest: Vec<_> = (0..40).step_by(2).rev().take(kept.len()).map(|number| format!("The Elbe {number}")).collect();
    assert!(kept.len() > 3 && kept.iter().rev().eq(&newest), "{sent:?}");
    assert!(plan.tokens().total() + 16 > 120, "one more would not have fitted: {}", plan.explain());
}

#[test]
fn what_keep_only_leaves_out_stays_out_of_a_short_request_too() {
    let all = Conversation::from_messages(["The Oder 1", "The Elbe 2", "And?"].map(Message::user));
    let sent = texts(&plan(&all, 10_000, &MentionsThen("Elbe", SlidingWindow::tokens())));
    assert_eq!(sent, ["The Elbe 2", "And?"]);
    let ladder = Ladder::new().step(Mentions("Elbe")).step(SlidingWindow::tokens());
    assert_eq!(plan(&all, 10_000, &ladder).messages().len(), 3, "a ladder asks only if the request is too long");
}

#[test]
fn the_strategy_that_continues_keeps_its_cut_from_request_to_request() {
    let mut talk = rivers(40);
    let strategy = MentionsThen("Elbe", SlidingWindow::tokens());
    let planner = Planner::new(cost(), &TokenBudget::limit(160)).unwrap();
    let mut ledger = Ledger::new();
    let mut next =
        |talk: &Conversation| planner.plan(talk, &mut ledger, &strategy, &mut StrategyCache::default()).unwrap();
    let first = next(&talk);
    first.commit_marks(&mut talk).unwrap();
    talk.push("The Elbe 40");
    let second = next(&talk);
    assert_eq!(texts(&first)[0], texts(&second)[0], "the cut stays");
    assert!(texts(&second).contains(&"The Elbe 40".to_owned()));
}

#[test]
fn any_strategy_may_continue_and_every_promise_is_kept() {
    let newest: [Box<dyn Strategy>; 4] = [
        Box::new(SlidingWindow::messages(3)),
        Box::new(Recall::default()),
        Box::new(Ladder::default()),
        Box::new(MentionsThen("4", SlidingWindow::tokens())),
    ];
    for next in newest {
        let strategy = MentionsThen("Elbe", next);
        for limit in [60, 120, 10_000] {
            for talk in [rivers(40), talk()] {
                check(&strategy, &talk, &cost(), &TokenBudget::limit(limit)).unwrap();
            }
        }
    }
}

#[test]
fn a_list_is_trimmed_with_a_counter_tools_and_a_dialect_of_its_own() {
    let messages: Vec<Message> = rivers(9).messages().cloned().collect();
    let planner = Planner::new(cost(), &TokenBudget::limit(100)).unwrap();
    let plan = planner.trim(&messages, &SlidingWindow::tokens()).unwrap();
    assert!(plan.tokens().total() <= 100 && plan.tokens().total() + 16 > 100, "as much as fits: {}", plan.explain());
    let marked = Planner::new(cost(), &TokenBudget::limit(100).low_mark(0.5)).unwrap();
    assert!(marked.trim(&messages, &SlidingWindow::tokens()).unwrap().tokens().total() <= 50, "its own low mark");
    let merging = planner.clone().dialect(crate::Dialect::default().merge_same_role());
    assert_eq!(merging.trim(&messages, &SlidingWindow::tokens()).unwrap().messages().len(), 1);
    let tool = crate::Tool::function("measure", "Measures a river", serde_json::json!({"type": "object"}));
    let roomy = Planner::new(cost(), &TokenBudget::limit(1_000)).unwrap().tools([tool]);
    assert!(roomy.trim(&messages, &SlidingWindow::tokens()).unwrap().tokens().tools > 0);
}

/// Prefers what mentions the word.
#[derive(Debug)]
struct Prefers(&'static str);

impl Strategy for Prefers {
    fn spec(&self) -> Cow<'static, str> {
        "prefers".into()
    }

    fn draft(&self, view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
        Ok(Draft::prefer(view, Reason::Other("on topic".into()), |group| {
            assert!(view.is_optional(group.index()));
            group.messages().any(|message| message.text().contains(self.0))
        }))
    }
}

#[test]
fn prefer_keeps_everything_that_fits() {
    assert_eq!(plan(&rivers(40), 10_000, &Prefers("Elbe")).evicted(), 0);
}

#[test]
fn prefer_keeps_what_matches_and_fills_the_room_with_the_newest_of_the_rest() {
    let plan = plan(&rivers(40), 120, &Prefers("Elbe 4"));
    let sent = texts(&plan);
    assert_eq!((&*sent[0], sent.last().map(String::as_str)), ("The Elbe 4", Some("The Oder 39")));
    let newest = (40 - (sent.len() - 1)..40).map(|number| format!("The {} {number}", ["Elbe", "Oder"][number % 2]));
    assert!(sent.len() > 3 && sent[1..].iter().eq(&newest.collect::<Vec<_>>()), "{sent:?}");
    assert!(plan.tokens().total() + 16 > 120, "one more would not have fitted: {}", plan.explain());
    let reasons: Vec<&str> = plan.runs().iter().map(|run| run.reason.as_str()).collect();
    assert_eq!(reasons, ["budget", "on topic", "budget", "fits", "pending"]);
}

#[test]
fn prefer_keeps_the_newest_of_what_matches_if_not_all_of_it_fits() {
    let sent = texts(&plan(&rivers(40), 120, &Prefers("Elbe")));
    let newest = (0..40).step_by(2).rev().take(sent.len() - 1).map(|number| format!("The Elbe {number}"));
    assert!(sent.len() > 3 && sent.iter().rev().skip(1).eq(&newest.collect::<Vec<_>>()), "{sent:?}");
}

#[test]
fn prefer_keeps_every_promise_alone_and_in_a_ladder() {
    for limit in [60, 120, 10_000] {
        for talk in [rivers(40), talk()] {
            check(&Prefers("Elbe"), &talk, &cost(), &TokenBudget::limit(limit)).unwrap();
            let ladder = Ladder::new().step(Prefers("Elbe")).step(SlidingWindow::tokens());
            check(&ladder, &talk, &cost(), &TokenBudget::limit(limit)).unwrap();
        }
    }
}
