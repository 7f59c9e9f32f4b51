use super::*;
use crate::conversation::{Conversation, ItemId};
use crate::error::{ErrorKind, OverPart};
use crate::ledger::Ledger;
use crate::message::{Part, Role, ToolCall};
use crate::strategy::*;
use crate::tokens::CounterFn;

fn cost() -> ChatCost {
    ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64))
}

fn planner(limit: u64) -> Planner {
    Planner::new(cost(), &TokenBudget::limit(limit)).unwrap()
}

fn plan_of(planner: &Planner, talk: &Conversation, strategy: &dyn Strategy) -> Plan {
    planner.plan(talk, &mut Ledger::new(), strategy, &mut StrategyCache::default()).unwrap()
}

fn fates(plan: &Plan) -> Vec<(std::ops::Range<usize>, Fate, &str)> {
    plan.runs().iter().map(|run| (run.indexes.clone(), run.fate, run.reason.as_str())).collect()
}

/// A task, `calls` calls of a tool with long results, and a question.
fn agent(calls: usize) -> Conversation {
    let mut talk = Conversation::from_messages([Message::user("task")]);
    call(&mut talk, 0..calls);
    talk.push(Message::user("question"));
    talk
}

fn call(talk: &mut Conversation, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let name = if number % 2 == 0 { "even" } else { "odd" };
        talk.push(Message::calls([ToolCall::function(&number.to_string(), name, "{}")]));
        talk.push(Message::tool(&number.to_string(), "r".repeat(300)));
    }
}

fn results(plan: &Plan) -> Vec<String> {
    let results = plan.messages().iter().filter(|message| *message.role() == Role::Tool);
    results.map(|message| message.text().chars().take(20).collect()).collect()
}

#[test]
fn old_results_are_cleared_and_their_calls_stay() {
    let talk = agent(6);
    let tools = parse("tools:keep=2").unwrap();
    assert!(plan_of(&planner(10_000), &talk, &*tools).runs().iter().all(|run| run.fate == Fate::Kept));
    let plan = plan_of(&planner(1_600), &talk, &*tools);
    let cleared = "[result of 300 token";
    assert_eq!(results(&plan), [cleared, cleared, cleared, cleared, &"r".repeat(20), &"r".repeat(20)]);
    assert_eq!(plan.messages().len(), talk.path().len());
    assert_eq!(fates(&plan)[1], (1..9, Fate::Shrunk, "cleared"));
    let run = &plan.runs()[1];
    assert_eq!(run.saved, 4 * (300 - "[result of 300 tokens left out]".len() as u64));
    assert_eq!(plan.tokens().total(), cost().messages(plan.messages()).total().tokens);
    assert!(plan.explain().to_string().contains("~  1-8   shorter"), "{}", plan.explain());
}

#[test]
fn named_tools_keep_their_results_and_too_small_a_gain_clears_nothing() {
    let talk = agent(6);
    let plan = plan_of(&planner(1_900), &talk, &*parse("tools:keep=1,named=even").unwrap());
    let is_whole: Vec<bool> = results(&plan).iter().map(|text| text.starts_with('r')).collect();
    assert_eq!(is_whole, [true, false, true, false, true, true]);
    let plan = plan_of(&planner(1_900), &talk, &*parse("tools:keep=1,least=5000").unwrap());
    assert!(plan.runs().iter().all(|run| run.fate != Fate::Shrunk), "the window cuts instead");
}

#[test]
fn what_was_cleared_stays_cleared_up_to_the_mark() {
    let mut talk = agent(6);
    let tools = parse("tools:keep=2").unwrap();
    let planner = planner(1_900);
    let mut last = plan_of(&planner, &talk, &*tools);
    last.commit_marks(&mut talk).unwrap();
    call(&mut talk, 6..7);
    let next = plan_of(&planner, &talk, &*tools);
    assert_eq!(results(&next).iter().filter(|text| text.starts_with('[')).count(), 4, "the mark did not move");
    assert!(next.prefix_shared_with(&last) >= last.tokens().history, "the request begins as the last one did");
    next.commit_marks(&mut talk).unwrap();
    last = next;
    call(&mut talk, 7..11);
    let moved = plan_of(&planner, &talk, &*tools);
    assert!(results(&moved).iter().filter(|text| text.starts_with('[')).count() > 4);
    assert!(moved.prefix_shared_with(&last) < last.tokens().history);
}

#[test]
fn thoughts_of_earlier_turns_are_left_out() {
    let thought = |n: u8| format!("<think>{}</think>\n\nanswer {n}", "hm ".repeat(50));
    let messages = [
        Message::user("a"),
        Message::assistant(thought(1)),
        Message::user("b"),
        Message::from_json(r#"{"role":"assistant","reasoning_content":"x","content":"plain"}"#).unwrap(),
        Message::user("c"),
    ];
    let talk = Conversation::from_messages(messages);
    let plan = plan_of(&planner(100), &talk, &Ladder::default());
    let texts: Vec<_> = plan.messages().iter().map(Message::text).collect();
    assert_eq!(texts, ["a", "answer 1", "b", "plain", "c"]);
    assert_eq!(fates(&plan)[1], (1..2, Fate::Shrunk, "reasoning"));
}

#[test]
fn what_must_be_answered_is_cut_before_it_is_refused() {
    let long = format!("begin {} end", "x".repeat(2_000));
    let talk = Conversation::from_messages([Message::user("old"), Message::user(&*long)]);
    let plan = plan_of(&planner(300), &talk, &SlidingWindow::tokens());
    let text = plan.messages().last().unwrap().text().into_owned();
    assert!(text.starts_with("begin") && text.ends_with("end") && text.contains("tokens left out"), "{text}");
    assert!((200..=300).contains(&plan.tokens().total()), "{}", plan.tokens().total());
    assert_eq!(fates(&plan).last().unwrap(), &(1..2, Fate::Shrunk, "pending"));
    let refused = |planner: Planner| {
        let error = planner
            .plan(&talk, &mut Ledger::new(), &SlidingWindow::tokens(), &mut StrategyCache::default())
            .unwrap_err();
        error.over_budget().unwrap().clone()
    };
    assert_eq!((refused(planner(300).never_cut()).tokens, refused(planner(60)).room), (2_014, 57));
}

#[test]
fn a_long_result_is_cut_and_the_question_stays_whole() {
    let mut talk = Conversation::from_messages([Message::user("a question of some length")]);
    talk.push(Message::calls([ToolCall::function("1", "f", "{}")]));
    talk.push(Message::tool("1", "r".repeat(5_000)));
    let plan = plan_of(&planner(400), &talk, &SlidingWindow::tokens());
    assert_eq!(plan.messages()[0].text(), "a question of some length");
    assert!(plan.messages()[2].text().len() > 200 && plan.tokens().total() <= 400);
}

#[test]
fn pins_are_never_cut() {
    let mut talk = Conversation::from_messages([Message::user("x".repeat(500)), Message::user("q")]);
    talk.pin(ItemId::from_index(0)).unwrap();
    let error = planner(300)
        .plan(&talk, &mut Ledger::new(), &SlidingWindow::tokens(), &mut StrategyCache::default())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PinsOverBudget);
    assert_eq!(error.over_budget().unwrap().part, OverPart::Pins);
}

#[test]
fn a_refusal_names_the_part_that_is_too_long() {
    let refused = |planner: Planner, head: usize, question: usize| {
        let head = Message::system("h".repeat(head));
        let talk = Conversation::from_messages([head, Message::user("q".repeat(question))]);
        let error = planner
            .never_cut()
            .plan(&talk, &mut Ledger::new(), &SlidingWindow::tokens(), &mut StrategyCache::default())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OverBudget, "{error}");
        (error.over_budget().unwrap().part, error.to_string())
    };
    let (part, text) = refused(planner(300), 900, 1);
    assert_eq!(part, OverPart::Head);
    assert!(text.contains("the head (the leading system and developer messages) needs 90"), "{text}");
    let tool = crate::Tool::function("f", &"a long description ".repeat(100), serde_json::json!({"type": "object"}));
    let (part, text) = refused(planner(300).tools([tool]), 20, 1);
    assert_eq!(part, OverPart::Tools);
    assert!(text.contains("must hold the tools with ") && text.contains(", the head"), "the largest is first: {text}");
    assert_eq!(refused(planner(300), 20, 900).0, OverPart::Pending);
}

#[test]
fn an_excerpt_is_made_of_the_text_and_marks_its_gaps() {
    #[derive(Debug)]
    struct Parts(Vec<std::ops::Range<usize>>);
    impl Strategy for Parts {
        fn spec(&self) -> std::borrow::Cow<'static, str> {
            "parts".into()
        }

        fn draft(&self, _view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
            let how = Shrink::Excerpt { ranges: self.0.clone().into() };
            Ok(Draft::keep_all().shrink(0, how, Reason::Excerpt))
        }
    }
    let talk =
        Conversation::from_messages([Message::user("aaaa\nbbbb\ncccc\ndddd and much more text"), Message::user("q")]);
    let text = |ranges: &[_]| plan_of(&planner(900), &talk, &Parts(ranges.to_vec())).messages()[0].text().into_owned();
    assert_eq!(text(&[0..5, 10..15]), "aaaa\n[…]\ncccc\n[…]");
    assert_eq!(text(std::slice::from_ref(&(5..10))), "[…]\nbbbb\n[…]");
    assert_eq!(text(&[5..10, 0..4, 99..1_000]), "[…]\nbbbb\n[…]", "what is out of order or outside is ignored");
}

#[test]
fn texts_of_parts_are_cut_and_other_parts_stay() {
    let message =
        Message::user(vec![Part::from_text(&"x".repeat(900)), Part::new("file", serde_json::json!({}).into())]);
    let talk = Conversation::from_messages([message]);
    let generous = plan_of(&planner(900), &talk, &SlidingWindow::tokens());
    let parts = generous.messages()[0].content().unwrap().parts().to_vec();
    assert!(parts[0].text().unwrap().contains("left out") && parts[1].kind() == "file");
}

#[test]
fn the_check_finds_what_a_strategy_does_wrong() {
    #[derive(Debug)]
    struct Moody;
    impl Strategy for Moody {
        fn spec(&self) -> std::borrow::Cow<'static, str> {
            "moody".into()
        }

        fn draft(&self, _view: &View<'_>, cache: &mut StrategyCache) -> Result<Draft> {
            let seen = cache.get::<usize>();
            *seen += 1;
            Ok(Draft::keep_all().evict(0..usize::from(*seen > 1), Reason::Budget))
        }
    }
    #[derive(Debug)]
    struct Eager;
    impl Strategy for Eager {
        fn spec(&self) -> std::borrow::Cow<'static, str> {
            "eager".into()
        }

        fn draft(&self, _view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
            Ok(Draft::keep_all().evict(0..1, Reason::Budget))
        }
    }
    let talk = Conversation::from_messages((0..9).map(|n| Message::user(n.to_string())));
    let found =
        |strategy: &dyn Strategy| check(strategy, &talk, &cost(), &TokenBudget::limit(900)).unwrap_err().promise;
    assert_eq!((found(&Moody), found(&Eager)), ("determinism", "idempotence"));
}
