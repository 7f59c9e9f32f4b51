use crate::budget::TokenBudget;
use crate::conversation::{Conversation, ItemId};
use crate::error::{Error, ErrorKind, OverBudget, OverPart};
use crate::ledger::Ledger;
use crate::message::Message;
use crate::plan::{Planner, StrategyCache};
use crate::strategy::{Everything, SlidingWindow};
use crate::tokens::{ChatCost, CounterFn};

/// A planner by which a character costs a token, and a message four more.
fn planner(budget: &TokenBudget) -> Planner {
    Planner::new(ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64)), budget).unwrap()
}

fn refused_by(planner: &Planner, talk: &Conversation) -> Error {
    let mut cache = StrategyCache::default();
    planner.plan(talk, &mut Ledger::new(), &SlidingWindow::tokens(), &mut cache).unwrap_err()
}

fn refused(limit: u64, talk: &Conversation) -> Error {
    refused_by(&planner(&TokenBudget::limit(limit)), talk)
}

fn over(error: &Error) -> OverBudget {
    error.over_budget().unwrap().clone()
}

fn talk(head: usize, question: usize) -> Conversation {
    Conversation::from_messages([Message::system("h".repeat(head)), Message::user("q".repeat(question))])
}

#[test]
fn a_head_that_leaves_too_little_for_the_question_is_blamed_and_not_the_question() {
    let error = refused(100, &talk(86, 18));
    insta::assert_snapshot!(error, @"over budget: the head (the leading system and developer messages) needs 90 tokens, but only 75 are left: the request must hold the head with 90, message 1 (user) with 22 and the opening of the reply with 3, together 115; limit 100 tokens; shorten the system prompt, or lift constraints; or allow at least 115 tokens (`TokenBudget::limit(115)`)");
    let numbers = over(&error);
    assert_eq!((numbers.part, numbers.group, numbers.tokens, numbers.room), (OverPart::Head, None, 90, 75));
    let required = numbers.required.unwrap();
    assert_eq!((required.head, required.pending, required.opening, required.total()), (90, 22, 3, 115));
    let window = SlidingWindow::tokens();
    let advised = planner(&TokenBudget::limit(required.total()));
    let plan = advised.plan(&talk(86, 18), &mut Ledger::new(), &window, &mut StrategyCache::default());
    assert_eq!(plan.unwrap().tokens().total(), 115, "what the advice says is enough");
}

#[test]
fn a_long_question_is_not_blamed_for_what_is_left_of_it_when_it_is_shortened() {
    let numbers = over(&refused(100, &talk(86, 5_000)));
    assert_eq!((numbers.part, numbers.tokens), (OverPart::Head, 90));
    assert!(numbers.required.unwrap().pending < 90, "{numbers:?}");
    let never_cut = planner(&TokenBudget::limit(100)).never_cut();
    let numbers = over(&refused_by(&never_cut, &talk(86, 5_000)));
    assert_eq!((numbers.part, numbers.group, numbers.tokens, numbers.room), (OverPart::Pending, Some(0), 5_004, 7));
    let numbers = over(&refused(60, &talk(10, 5_000)));
    assert_eq!((numbers.part, numbers.tokens, numbers.room), (OverPart::Pending, 5_004, 43));
}

#[test]
fn pins_that_fill_the_budget_are_named_and_not_quoted() {
    let mut talk = Conversation::from_messages(
        ["Always answer in the language of the customer, whatever it is.", "Never say lantern.", "x", "y", "q"]
            .map(Message::user),
    );
    for pinned in 0..4 {
        talk.pin(ItemId::from_index(pinned)).unwrap();
    }
    let error = refused(100, &talk);
    assert_eq!((error.kind(), over(&error).part), (ErrorKind::PinsOverBudget, OverPart::Pins));
    assert_eq!((over(&error).tokens, over(&error).room), (98, 92));
    insta::assert_snapshot!(error, @"pins over budget: the pinned messages need 98 tokens, but only 92 are left: the request must hold the pins with 98, message 4 (user) with 5 and the opening of the reply with 3, together 106; limit 100 tokens; pinned are message 0 (user) with 66, message 1 (user) with 22, message 2 (user) with 5 and 1 more; unpin some messages (`unpin`); or allow at least 106 tokens (`TokenBudget::limit(106)`)");
}

#[test]
fn each_part_has_its_own_advice() {
    let library = |error: &Error| error.advice().unwrap().to_string();
    let command_line = |error: &Error| error.advice().unwrap().on_command_line().unwrap().to_owned();
    let window = planner(&TokenBudget::window(100).reply_reserve(30));
    let error = refused_by(&window, &talk(60, 5));
    assert_eq!(
        library(&error),
        "shorten the system prompt, or lift constraints; or keep at most 24 tokens free for the reply \
         (`TokenBudget::reply_reserve(24)`)"
    );
    assert!(command_line(&error).ends_with("(--reserve 24; in a chat --max-reply 24)"), "{error}");
    assert!(error.to_string().contains("window 100 - 30 for the reply = 70 tokens"), "{error}");
    let error = refused_by(&window, &talk(160, 5));
    assert!(library(&error).ends_with("or use a model with a larger window"), "{error}");
    let never_cut = planner(&TokenBudget::limit(50)).never_cut();
    assert!(command_line(&refused_by(&never_cut, &talk(1, 90))).contains("without --never-cut"));
    let limit = planner(&TokenBudget::limit(50).margin(10));
    assert!(library(&refused_by(&limit, &talk(60, 5))).ends_with("at least 86 tokens (`TokenBudget::limit(86)`)"));
    let kept = planner(&TokenBudget::limit(50)).trim(&[Message::user("a".repeat(40)), Message::user("b")], &Everything);
    assert!(library(&kept.unwrap_err()).starts_with("use a strategy that leaves out more"));
}

#[test]
fn the_reserve_that_a_models_longest_prompt_calls_for_is_not_advised_away() {
    let mut model = crate::tokens::Model::new("m");
    (model.window, model.max_input) = (Some(100), Some(60));
    let error = refused_by(&planner(&TokenBudget::for_model(model).unwrap()), &talk(60, 5));
    assert!(error.advice().unwrap().to_string().ends_with("or use a model with a larger window"), "{error}");
}
