//! `Draft::keep_only`: a strategy of its own in one line.

use std::borrow::Cow;

use super::*;
use crate::conversation::ItemId;
use crate::message::ToolCall;
use crate::strategy::{Ladder, SlidingWindow};
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

#[test]
fn a_ladder_continues_from_what_keep_only_has_kept() {
    let messages = (0..40).map(|number| Message::user(format!("The {} {number}", ["Elbe", "Oder"][number % 2])));
    let talk = Conversation::from_messages(messages);
    let ladder = Ladder::new().step(Mentions("Elbe")).step(SlidingWindow::tokens());
    let plan = plan(&talk, 120, &ladder);
    let sent: Vec<_> = plan.messages().iter().map(|message| message.text().into_owned()).collect();
    let (last, kept) = sent.split_last().unwrap();
    assert_eq!(last, "The Oder 39");
    assert!(kept.len() > 3 && kept.iter().all(|text| text.contains("Elbe")), "{sent:?}");
    assert_eq!(kept.last().unwrap(), "The Elbe 38");
}
