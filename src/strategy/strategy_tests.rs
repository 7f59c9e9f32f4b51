use std::borrow::Cow;
use std::ops::Range;

use super::*;
use crate::budget::TokenBudget;
use crate::conversation::{Conversation, ItemId, Mark};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::ledger::Ledger;
use crate::message::{Message, ToolCall};
use crate::plan::*;
use crate::request::Tool;
use crate::tokens::{ChatCost, CounterFn};

fn cost() -> ChatCost {
    ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64))
}

/// Each message of `talk` costs ten tokens; three open the reply.
fn talk(messages: usize) -> Conversation {
    let message = |n: usize| if n.is_multiple_of(2) { Message::user("abcdef") } else { Message::assistant("ABCDEF") };
    Conversation::from_messages((0..messages).map(message))
}

fn plan_of(conversation: &Conversation, budget: &TokenBudget, strategy: &dyn Strategy) -> Result<Plan> {
    let planner = Planner::new(cost(), budget).unwrap();
    planner.plan(conversation, &mut Ledger::new(), strategy, &mut StrategyCache::default())
}

fn plan(conversation: &Conversation, limit: u64, strategy: &dyn Strategy) -> Plan {
    plan_of(conversation, &TokenBudget::limit(limit).low_mark(1.0), strategy).unwrap()
}

fn runs(plan: &Plan) -> Vec<(Range<usize>, Fate, &str)> {
    plan.runs().iter().map(|run| (run.groups.clone(), run.fate, run.reason.as_str())).collect()
}

/// The first group that is sent.
fn cut(plan: &Plan) -> usize {
    plan.runs().iter().find(|run| run.fate == Fate::Kept).unwrap().groups.start
}

fn id(index: usize) -> ItemId {
    ItemId::from_index(index)
}

/// Drafts what it is told.
#[derive(Debug)]
struct Told(Draft);

impl Strategy for Told {
    fn spec(&self) -> Cow<'static, str> {
        "told".into()
    }

    fn draft(&self, _view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
        Ok(self.0.clone())
    }
}

fn told(draft: Draft, groups: usize) -> Result<Plan> {
    plan_of(&talk(groups), &TokenBudget::limit(1_000), &Told(draft))
}

/// A call without a result, a result without a call, a pin, and a question to answer.
fn damaged() -> Conversation {
    let call = |id| Message::calls([ToolCall::function(id, "look", "{}")]);
    let mut talk = Conversation::from_messages([
        Message::system("Be brief."),
        Message::user("My name is Ann."),
        Message::assistant("Hello Ann!"),
        call("a"),
        Message::tool("a", "fine"),
        call("a"),
        Message::user("Stop that."),
        Message::tool("x", "late"),
        Message::assistant("Stopped."),
        Message::user("What is my name?"),
    ]);
    talk.pin(id(0)).unwrap();
    talk
}

#[test]
fn a_plan_is_explained_line_by_line() {
    let plan = plan(&damaged(), 118, &SlidingWindow::tokens());
    insta::assert_snapshot!(plan.explain(), @"
    window: sends 7 of 10 messages, 117 of 118 tokens
      limit 118 tokens
      +  0     sent          1 message        13 tokens  always sent first
      +  1     sent          1 message        19 tokens  pinned
      -  2     left out      1 message        14 tokens  older than what fits
      +  3-4   sent         2 messages        36 tokens  fits
      -  5     left out      1 message        22 tokens  a call without its result
      +  6     sent          1 message        14 tokens  fits
      -  7     left out      1 message        10 tokens  a result without a call
      +  8     sent          1 message        12 tokens  fits
      +  9     sent          1 message        20 tokens  to be answered
      13 for the head + 0 for tools + 101 for history + 3 to open the reply = 117 tokens
    ");
}

#[test]
fn a_plan_in_json_counts_from_the_heads_first_message() {
    let plan = plan(&damaged(), 118, &SlidingWindow::tokens());
    let json = serde_json::to_string(&plan).unwrap();
    let messages = format!(r#","messages":{}}}"#, serde_json::to_string(plan.messages()).unwrap());
    let rest = json.strip_suffix(&messages).unwrap();
    insta::assert_snapshot!(rest.replace("},", "},\n"), @r#"
    {"strategy":"window","budget":{"limit":118,"high":118,"low":118,"reply_reserve":0,"tools":0,"margin":0},
    "tokens":117,"parts":{"head":13,"tools":0,"history":101,"overhead":3,"estimated":false},
    "steps":[{"strategy":"window","saved":14,"price":0}],"kept":[{"from":0,"to":1,"messages":1,"tokens":13,"reason":"head"},
    {"from":1,"to":2,"messages":1,"tokens":19,"reason":"pin"},
    {"from":3,"to":5,"messages":2,"tokens":36,"reason":"fits"},
    {"from":6,"to":7,"messages":1,"tokens":14,"reason":"fits"},
    {"from":8,"to":9,"messages":1,"tokens":12,"reason":"fits"},
    {"from":9,"to":10,"messages":1,"tokens":20,"reason":"pending"}],"shrunk":[],"summarized":[],"evicted":[{"from":2,"to":3,"messages":1,"tokens":14,"reason":"budget"},
    {"from":5,"to":6,"messages":1,"tokens":22,"reason":"unanswered"},
    {"from":7,"to":8,"messages":1,"tokens":10,"reason":"orphan"}]
    "#);
}

#[test]
fn what_would_keep_a_message_is_said_in_a_sentence() {
    let talk = damaged();
    let says = |limit, strategy: &dyn Strategy, item| {
        plan(&talk, limit, strategy).to_keep(id(item), strategy).unwrap().to_string()
    };
    let mut said: Vec<String> = [0, 1, 3, 4, 6, 7, 8].map(|item| says(118, &SlidingWindow::tokens(), item)).into();
    said.push(says(118, &SlidingWindow::messages(0), 7));
    said.push(says(98, &HeadTail::messages(1), 2));
    insta::assert_snapshot!(said.join("\n"), @"
    message 1 (user), 19 tokens, is sent: pinned.
    message 2 (assistant), 14 tokens, is not sent: older than what fits. Pin it to send it; other messages will be dropped to make room. Or allow 131 tokens.
    messages 3 to 4 (assistant with 1 result), 36 tokens, are sent: fits.
    message 5 (assistant), 22 tokens, is not sent: a call without its result. Each of its calls needs a result directly after it.
    message 7 (tool), 10 tokens, is not sent: a result without a call. No request may contain it.
    message 8 (assistant), 12 tokens, is sent: fits.
    message 9 (user), 20 tokens, is sent: to be answered.
    message 8 (assistant), 12 tokens, is not sent: beyond the number asked for. Pin it to send it; other messages will be dropped to make room. Or ask for more messages or turns.
    messages 3 to 4 (assistant with 1 result), 36 tokens, are not sent: between the beginning and the end. Pin it to send it; other messages will be dropped to make room. Or allow 117 tokens.
    ");
    let window = SlidingWindow::tokens();
    assert_eq!(plan(&talk, 110, &window).to_keep(id(9), &window).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_pin_that_does_not_fit_says_what_it_lacks() {
    let big = Conversation::from_messages([Message::assistant("x".repeat(96)), Message::user("abcdef")]);
    let to_keep = plan(&big, 50, &SlidingWindow::tokens()).to_keep(id(0), &SlidingWindow::tokens()).unwrap();
    assert_eq!((to_keep.pin_lacks, to_keep.limit, to_keep.tokens), (Some(63), Some(113), 100));
    insta::assert_snapshot!(to_keep, @"message 0 (assistant), 100 tokens, is not sent: older than what fits. A pin would exceed the limit by 63 tokens. Or allow 113 tokens.");
}

#[test]
fn the_window_keeps_the_newest_that_fit() {
    let talk = talk(9);
    for (limit, first) in [(93, 0), (92, 1), (83, 1), (33, 6), (32, 7), (13, 8)] {
        assert_eq!(cut(&plan(&talk, limit, &SlidingWindow::tokens())), first, "limit {limit}");
    }
    let error = plan_of(&talk, &TokenBudget::limit(12), &SlidingWindow::tokens()).unwrap_err();
    assert_eq!((error.kind(), error.over_budget().unwrap().group), (ErrorKind::OverBudget, Some(8)));
}

#[test]
fn the_cut_stays_until_the_high_mark_is_passed_and_moves_down_to_the_low_one() {
    let budget = TokenBudget::limit(103).low_mark(0.7);
    let mut talk = talk(0);
    let mut cuts = Vec::new();
    for number in 0..22 {
        talk.push(if number % 2 == 0 { Message::user("abcdef") } else { Message::assistant("ABCDEF") });
        let plan = plan_of(&talk, &budget, &SlidingWindow::tokens()).unwrap();
        plan.commit_marks(&mut talk).unwrap();
        cuts.push(cut(&plan));
    }
    assert_eq!(cuts[..10], [0; 10]);
    assert_eq!(cuts[10..], [5, 5, 5, 5, 5, 10, 10, 10, 10, 10, 15, 15]);
    assert_eq!(talk.all_marks().len(), 3);
}

#[test]
fn the_cut_between_beginning_and_end_is_sticky_too() {
    let budget = TokenBudget::limit(103).low_mark(0.7);
    let mut talk = talk(0);
    let mut holes = Vec::new();
    for _ in 0..18 {
        talk.push("abcdef");
        let plan = plan_of(&talk, &budget, &HeadTail::messages(2)).unwrap();
        plan.commit_marks(&mut talk).unwrap();
        holes.push(plan.runs().iter().find(|run| run.reason == Reason::Middle).map_or(2..2, |run| run.groups.clone()));
    }
    assert_eq!(holes[..10], vec![2..2; 10]);
    let ends: Vec<usize> = holes[10..].iter().map(|hole| hole.end).collect();
    assert_eq!(ends, [7, 7, 7, 7, 7, 12, 12, 12]);
}

#[test]
fn a_mark_is_written_by_a_commit_and_not_by_a_plan() {
    let mut talk = talk(9);
    let budget = TokenBudget::limit(60).low_mark(0.7);
    let planned = |talk: &Conversation, strategy: &dyn Strategy| plan_of(talk, &budget, strategy).unwrap();
    let first = planned(&talk, &SlidingWindow::tokens());
    assert_eq!(talk.mark("window", "cut"), None);
    first.commit_marks(&mut talk).unwrap();
    assert_eq!(talk.mark("window", "cut"), Some(id(6)));
    planned(&talk, &SlidingWindow::tokens()).commit_marks(&mut talk).unwrap();
    assert_eq!(talk.all_marks().len(), 1, "a cut that stays needs no new mark");
    planned(&talk, &SlidingWindow::turns(9)).commit_marks(&mut talk).unwrap();
    assert_eq!(talk.mark("window:turns=9", "cut"), Some(id(6)), "each strategy has marks of its own");
    let error = first.commit_marks(&mut Conversation::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = first.commit_marks(&mut self::talk(9)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "another conversation has other items under these ids");
}

#[test]
fn a_cut_that_cannot_stay_is_not_marked() {
    let mut talk = talk(9);
    plan(&talk, 53, &SlidingWindow::tokens()).commit_marks(&mut talk).unwrap();
    assert_eq!(talk.all_marks(), []);
}

#[test]
fn the_eight_newest_marks_are_kept() {
    let budget = TokenBudget::limit(103).low_mark(0.7);
    let mut talk = talk(0);
    for _ in 0..100 {
        talk.push("abcdef");
        plan_of(&talk, &budget, &SlidingWindow::tokens()).unwrap().commit_marks(&mut talk).unwrap();
    }
    assert_eq!(talk.all_marks().len(), 8);
    assert_eq!(talk.mark("window", "cut"), talk.all_marks().last().map(|mark| mark.item));
}

#[test]
fn a_mark_of_a_smaller_budget_is_ignored() {
    let mut talk = talk(9);
    let small = TokenBudget::limit(40).low_mark(0.7);
    plan_of(&talk, &small, &SlidingWindow::tokens()).unwrap().commit_marks(&mut talk).unwrap();
    assert_eq!(talk.mark("window", "cut"), Some(id(7)));
    assert_eq!(cut(&plan(&talk, 53, &SlidingWindow::tokens())), 4);
    assert_eq!(cut(&plan(&talk, 93, &SlidingWindow::tokens())), 0);
}

#[test]
fn a_mark_of_another_branch_is_ignored() {
    let mut talk = talk(9);
    let budget = TokenBudget::limit(73).low_mark(0.5);
    let trimmed = plan_of(&talk, &budget, &SlidingWindow::tokens()).unwrap();
    trimmed.commit_marks(&mut talk).unwrap();
    assert_eq!(cut(&trimmed), 6);
    talk.edit(id(8), "abcdef").unwrap();
    talk.push("abcdef");
    assert_eq!(cut(&plan_of(&talk, &budget, &SlidingWindow::tokens()).unwrap()), 7);
    talk.switch(id(8)).unwrap();
    talk.push("abcdef");
    assert_eq!(cut(&plan_of(&talk, &budget, &SlidingWindow::tokens()).unwrap()), 6);
}

#[test]
fn a_mark_that_points_off_the_path_is_ignored() {
    let mut talk = talk(9);
    let other = talk.edit(id(3), "abcdef").unwrap();
    talk.set_mark(Mark { spec: "window".into(), name: "cut".into(), item: id(8), leaf: other }).unwrap();
    assert_eq!(cut(&plan(&talk, 23, &SlidingWindow::tokens())), 2);
}

#[test]
fn turns_and_messages_do_not_count_what_is_to_be_answered() {
    let talk = talk(9);
    for (count, first) in [(0, 8), (1, 6), (3, 2), (4, 0), (usize::MAX, 0)] {
        assert_eq!(cut(&plan(&talk, 1_000, &SlidingWindow::turns(count))), first, "{count} turns");
    }
    for (count, first) in [(0, 8), (1, 7), (7, 1), (8, 0), (usize::MAX, 0)] {
        assert_eq!(cut(&plan(&talk, 1_000, &SlidingWindow::messages(count))), first, "{count} messages");
    }
    assert_eq!(cut(&plan(&talk, 33, &SlidingWindow::turns(3))), 6, "the budget rules");
}

#[test]
fn a_number_of_messages_is_of_whole_groups_and_without_pins() {
    let call = Message::calls([ToolCall::function("a", "f", "")]);
    let mut talk = Conversation::from_messages([
        Message::user("0"),
        Message::assistant("1"),
        call,
        Message::tool("a", "3"),
        Message::assistant("4"),
        Message::user("5"),
    ]);
    let sent = |talk: &Conversation, count| plan(talk, 1_000, &SlidingWindow::messages(count)).messages().len();
    assert_eq!([0, 1, 2, 3, 4, 5].map(|count| sent(&talk, count)), [1, 2, 2, 4, 5, 6]);
    talk.pin(id(3)).unwrap();
    assert_eq!([0, 1, 2, 3].map(|count| sent(&talk, count)), [3, 4, 5, 6]);
}

#[test]
fn a_window_can_start_on_a_user_message() {
    let greeted = Conversation::from_messages([
        Message::assistant("abcdef"),
        Message::user("abcdef"),
        Message::assistant("abcdef"),
        Message::user("abcdef"),
    ]);
    let window = SlidingWindow::tokens().start_on_user();
    assert_eq!(runs(&plan(&greeted, 1_000, &window))[0], (0..1, Fate::Evicted, "start"));
    let trimmed = plan(&greeted, 23, &window);
    assert_eq!(
        runs(&trimmed),
        [(0..2, Fate::Evicted, "budget"), (2..3, Fate::Evicted, "start"), (3..4, Fate::Kept, "pending")]
    );
    let nobody = Conversation::from_messages([Message::assistant("a"), Message::assistant("b")]);
    assert_eq!(cut(&plan(&nobody, 1_000, &window)), 0);
}

#[test]
fn head_tail_keeps_whole_groups_of_the_beginning() {
    let call = Message::calls([ToolCall::function("a", "f", "")]);
    let mut talk = Conversation::from_messages([call, Message::tool("a", "")]);
    for _ in 0..9 {
        talk.push("abcdef");
    }
    let budget = |first| plan(&talk, 71, &HeadTail::messages(first)).messages().len();
    assert_eq!(budget(0), 6);
    assert_eq!(budget(1), 6, "half of a group is none");
    assert_eq!(budget(2), 6, "two messages of 24 tokens and four of 10");
}

#[test]
fn ranges_that_overlap_give_the_first_reason() {
    let other = |why: &'static str| Reason::Other(why.into());
    let draft = Draft::keep_all()
        .evict(4..6, other("a"))
        .evict(2..9, other("b"))
        .evict(0..3, other("c"))
        .evict(5..5, other("empty"))
        .evict(4..6, other("d"));
    let plan = told(draft, 12).unwrap();
    let expected = [
        (0..2, Fate::Evicted, "c"),
        (2..4, Fate::Evicted, "b"),
        (4..6, Fate::Evicted, "a"),
        (6..9, Fate::Evicted, "b"),
        (9..11, Fate::Kept, "fits"),
        (11..12, Fate::Kept, "pending"),
    ];
    assert_eq!(runs(&plan), expected);
}

#[test]
fn what_must_be_sent_is_sent_though_a_draft_leaves_it_out() {
    let mut talk = talk(5);
    talk.pin(id(1)).unwrap();
    let draft = Draft::keep_all().evict(0..5, Reason::Other("all".into()));
    let plan = plan_of(&talk, &TokenBudget::limit(100), &Told(draft)).unwrap();
    let sent: Vec<usize> = plan.decisions().filter(|one| one.fate == Fate::Kept).map(|one| one.index).collect();
    assert_eq!(sent, [1, 4]);
}

#[test]
fn a_draft_that_names_groups_that_do_not_exist_is_invalid() {
    let error = told(Draft::keep_all().evict(2..4, Reason::Budget), 3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidStrategy);
    assert_eq!(error.detail(), "the draft of `told` names group 3, but the path has 3 groups, numbered from 0");
    assert!(told(Draft::keep_all().evict(9..9, Reason::Budget), 3).is_ok(), "an empty range names none");
}

#[test]
fn a_draft_that_marks_a_group_that_does_not_exist_is_invalid() {
    let error = told(Draft::keep_all().mark("x", 3), 3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidStrategy);
}

#[test]
fn a_draft_that_keeps_too_much_is_refused_with_its_sum() {
    let error = plan_of(&talk(9), &TokenBudget::limit(92), &Everything).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OverBudget);
    let numbers = error.over_budget().unwrap();
    assert_eq!((numbers.group, numbers.tokens, numbers.room), (None, 93, 92));
    assert!(error.detail().starts_with("the strategy `everything` keeps 93 tokens"), "{error}");
}

#[test]
fn pins_that_do_not_fit_are_refused_as_pins() {
    let mut talk = talk(9);
    (0..5).for_each(|index| talk.pin(id(index)).unwrap());
    let error = plan_of(&talk, &TokenBudget::limit(50), &SlidingWindow::tokens()).unwrap_err();
    let numbers = error.over_budget().unwrap();
    assert_eq!((error.kind(), numbers.tokens, numbers.room), (ErrorKind::PinsOverBudget, 50, 37));
    let error = plan_of(&talk, &TokenBudget::limit(53), &SlidingWindow::tokens()).unwrap_err();
    let numbers = error.over_budget().unwrap();
    assert_eq!((error.kind(), numbers.group, numbers.tokens, numbers.room), (ErrorKind::PinsOverBudget, None, 50, 40));
    assert!(plan_of(&talk, &TokenBudget::limit(63), &SlidingWindow::tokens()).is_ok());
}

#[test]
fn nothing_to_send_is_said() {
    let orphan = Conversation::from_messages([Message::tool("a", "x")]);
    for empty in [Conversation::new(), orphan] {
        let error = plan_of(&empty, &TokenBudget::limit(50), &Everything).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidMessage);
    }
    let head = Conversation::from_messages([Message::system("Begin.")]);
    assert_eq!(plan(&head, 50, &SlidingWindow::tokens()).messages().len(), 1);
}

#[test]
fn a_request_holds_model_messages_and_tools() {
    let planner = Planner::new(cost(), &TokenBudget::limit(1_000)).unwrap().model("gpt-4o");
    let planner = planner.tools([Tool::from(RawJson::new(r#"{"type":"function","function":{"name":"f"}}"#).unwrap())]);
    let plan = planner.plan(&talk(1), &mut Ledger::new(), &Everything, &mut StrategyCache::default()).unwrap();
    assert_eq!(
        serde_json::to_string(&plan.request()).unwrap(),
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"abcdef"}],"tools":[{"type":"function","function":{"name":"f"}}]}"#
    );
    assert_eq!(cost().request(&plan.request()).total().tokens, plan.tokens().total());
    assert!(!plan.tokens().estimated);
}

#[test]
fn a_prefix_is_shared_as_far_as_the_groups_are_the_same() {
    let mut conversation = talk(9);
    conversation.set_system("abcdef");
    let first = plan(&conversation, 1_000, &Everything);
    conversation.push("abcdef");
    let second = plan(&conversation, 1_000, &Everything);
    assert_eq!(second.prefix_shared_with(&first), 100);
    assert_eq!(plan(&conversation, 63, &SlidingWindow::tokens()).prefix_shared_with(&first), 10);
    conversation.set_system("ABCDEF");
    assert_eq!(plan(&conversation, 1_000, &Everything).prefix_shared_with(&second), 0);
}

#[test]
fn a_cache_keeps_one_value_and_makes_another_type_anew() {
    let mut cache = StrategyCache::default();
    *cache.get::<u32>() += 5;
    assert_eq!((*cache.get::<u32>(), format!("{cache:?}")), (5, "StrategyCache(filled)".to_owned()));
    assert_eq!((cache.get::<String>().len(), *cache.get::<u32>()), (0, 0));
}

#[test]
fn every_strategy_reads_what_it_writes() {
    for spec in [
        "everything",
        "window",
        "window:start=user",
        "window:messages=0",
        "window:turns=5",
        "window:messages=12,start=user",
        "window:turns=5,start=user",
        "head-tail:first=2",
        "head-tail:first=0",
    ] {
        assert_eq!(parse(spec).unwrap().spec(), spec);
    }
    for (short, spec) in [
        ("head-tail", "head-tail:first=2"),
        ("window:", "window"),
        ("window:start=user,turns=1", "window:turns=1,start=user"),
    ] {
        assert_eq!(parse(short).unwrap().spec(), spec);
    }
}

#[test]
fn a_name_or_option_that_does_not_exist_is_said() {
    for (spec, said) in [
        (
            "",
            "no strategy is called ``; the strategies are everything, window, head-tail, recall, tools, clear-tools, drop-reasoning, summarize, ladder",
        ),
        (
            "windw",
            "no strategy is called `windw`; did you mean `window`? the strategies are everything, window, head-tail, recall, tools, clear-tools, drop-reasoning, summarize, ladder",
        ),
        ("everything:x=1", "`everything` does not take `x`; it takes no options"),
        ("window:first=1", "`window` does not take `first`; it takes messages=N or turns=N, start=user"),
        ("window:messages=1,turns=2", "`window` takes `messages` or `turns`, not both"),
        ("window:turns=few", "`window` has `turns=few`; it must be a whole number"),
        ("window:turns=-1", "`window` has `turns=-1`; it must be a whole number"),
        ("window:turns", "`window` has the option `turns`; write `key=value`"),
        ("window:start=assistant", "`window` has `start=assistant`; only `start=user` is allowed"),
        ("head-tail:first=", "`head-tail` has `first=`; it must be a whole number"),
        ("head-tail:last=1", "`head-tail` does not take `last`; it takes first=N"),
    ] {
        let error: Error = parse(spec).unwrap_err();
        assert_eq!((error.kind(), error.detail()), (ErrorKind::InvalidStrategy, said), "{spec}");
    }
}

#[test]
fn an_option_that_is_there_twice_is_not_said_to_be_unknown() {
    let error = parse("window:messages=1,messages=2").unwrap_err();
    assert!(!error.detail().contains("does not take"), "{error}");
}

#[test]
fn trim_plans_a_list_of_messages() {
    let messages = [Message::system("Be brief."), Message::assistant("Hello!"), Message::user("Hi.")];
    let plan = trim(&messages, &TokenBudget::limit(20), &SlidingWindow::tokens()).unwrap();
    assert_eq!(plan.messages(), [messages[0].clone(), messages[2].clone()]);
    assert!(plan.decisions().filter_map(|one| one.item).eq([id(0), id(1)]));
}

#[test]
fn trim_counts_for_the_budgets_model_and_keeps_as_much_as_fits() {
    let talk: Vec<Message> = (0..400).map(|_| Message::user("Съешь же ещё этих мягких французских булок")).collect();
    let budget = TokenBudget::for_model("gpt-4").unwrap();
    let plan = trim(&talk, &budget, &SlidingWindow::tokens()).unwrap();
    let own = ChatCost::for_model("gpt-4").messages(plan.messages()).total();
    assert_eq!((plan.tokens().total(), plan.tokens().estimated), (own.tokens, false));
    let one = ChatCost::for_model("gpt-4").group(&talk[..1]).tokens;
    assert!(plan.tokens().total() + one > plan.budget().limit, "one more would not have fitted");
    let low = trim(&talk, &budget.low_mark(0.5), &SlidingWindow::tokens()).unwrap();
    assert!(low.tokens().total() <= low.budget().limit / 2);
}

#[test]
fn trim_with_the_low_mark_of_a_manager_plans_what_a_planner_plans_first() {
    let talk = talk(40);
    let messages: Vec<Message> = talk.messages().cloned().collect();
    let budget = TokenBudget::limit(100);
    let planner = Planner::new(ChatCost::default(), &budget).unwrap();
    let window = SlidingWindow::tokens();
    let first = planner.plan(&talk, &mut Ledger::new(), &window, &mut StrategyCache::default()).unwrap();
    assert_eq!(trim(&messages, &budget.clone().low_mark(0.7), &window).unwrap().messages(), first.messages());
    assert!(trim(&messages, &budget, &window).unwrap().messages().len() > first.messages().len());
}

#[test]
fn calls_that_are_parts_are_refused_because_they_would_be_torn_from_their_results() {
    let messages = r#"[{"role":"user","content":"Weather?"},
        {"role":"assistant","content":[{"type":"tool_use","id":"a","name":"w","input":{}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"rain"}]},
        {"role":"user","content":"Thanks. And now something else."}]"#;
    let messages: Vec<Message> = serde_json::from_str(messages).unwrap();
    let budget = TokenBudget::limit(5_000);
    let window = SlidingWindow::tokens();
    let of_list = trim(&messages, &budget, &window).unwrap_err();
    let of_record = plan_of(&Conversation::from_messages(messages.clone()), &budget, &window).unwrap_err();
    for error in [of_list, of_record] {
        assert_eq!(error.kind(), ErrorKind::InvalidMessage);
        assert!(error.detail().starts_with("message 1 has a part of the type `tool_use`"), "{error}");
    }
    // What is not sent cannot be torn apart.
    let plan = trim(&messages, &budget, &SlidingWindow::messages(0)).unwrap();
    assert_eq!(plan.messages().len(), 1);
    let error = trim(&messages, &budget, &SlidingWindow::messages(1)).unwrap_err();
    assert!(error.detail().starts_with("message 2 has a part of the type `tool_result`"), "{error}");
}

#[test]
fn advice_on_a_budget_counts_what_is_kept_free() {
    let talk = talk(9);
    let budget = |limit| TokenBudget::limit(limit).reply_reserve(20).margin(5).low_mark(1.0);
    let window = SlidingWindow::tokens();
    let advice = plan_of(&talk, &budget(60), &window).unwrap().to_keep(id(3), &window).unwrap();
    assert_eq!(advice.limit, Some(63));
    assert!(advice.to_string().ends_with("Or allow 88 tokens."), "{advice}");
    assert_eq!(cut(&plan_of(&talk, &budget(88), &window).unwrap()), 3);
    assert_eq!(cut(&plan_of(&talk, &budget(87), &window).unwrap()), 4);
}

#[test]
fn advice_is_asked_of_the_strategy_that_drafted_the_plan() {
    let talk = talk(9);
    let error = plan(&talk, 53, &SlidingWindow::tokens()).to_keep(id(0), &SlidingWindow::turns(2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidStrategy);
}
