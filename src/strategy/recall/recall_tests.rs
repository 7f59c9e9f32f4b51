use super::*;
use crate::budget::TokenBudget;
use crate::conversation::{Conversation, Item, Timestamp};
use crate::ledger::Ledger;
use crate::message::{Message, ToolCall};
use crate::plan::{Extras, Fate, Plan, Planner};
use crate::strategy::{SlidingWindow, parse};
use crate::tokens::{ChatCost, CounterFn};
use crate::vectors::{Vector, Vectors};

/// A word is a token, a message 4 more, the request 3.
fn plan_of(talk: &Conversation, budget: &TokenBudget, strategy: &dyn Strategy, cache: &mut StrategyCache) -> Plan {
    let cost = ChatCost::new(CounterFn::new("words", |text| text.split_whitespace().count() as u64));
    Planner::new(cost, budget).unwrap().plan(talk, &mut Ledger::new(), strategy, cache).unwrap()
}

fn plan(talk: &Conversation, limit: u64, recall: Recall) -> Plan {
    plan_of(talk, &TokenBudget::limit(limit), &recall, &mut StrategyCache::default())
}

fn kept(plan: &Plan, why: &Reason) -> Vec<usize> {
    let runs = plan.runs().iter().filter(|run| run.fate == Fate::Kept && run.reason == *why);
    runs.flat_map(|run| run.groups.clone()).collect()
}

/// `count` messages of 6 tokens about nothing, some of which say something else, then a question.
fn talk(count: usize, said: &[(usize, &str)], question: &str) -> Conversation {
    let filler = |number: usize| Message::assistant(format!("filler f{number}"));
    let mut messages: Vec<Message> = (0..count).map(filler).collect();
    for (at, text) in said {
        messages[*at] = Message::assistant(*text);
    }
    messages.push(Message::user(question));
    Conversation::from_messages(messages)
}

#[test]
fn nothing_is_left_out_while_all_fits_under_the_high_mark() {
    let talk = talk(10, &[(2, "red boat")], "which boat");
    assert_eq!(plan(&talk, 69, Recall::new()).evicted(), 0);
    assert!(plan(&talk, 68, Recall::new()).evicted() > 0);
}

#[test]
fn what_shares_words_with_the_question_is_sent_and_the_room_filled_to_the_high_mark() {
    let talk = talk(100, &[(20, "red boat"), (60, "green boat")], "which boat");
    let plan = plan(&talk, 100, Recall::new());
    assert_eq!(kept(&plan, &Reason::Recalled), [18, 19, 20, 21, 22, 58, 59, 60, 61, 62]);
    assert_eq!(kept(&plan, &Reason::Fits), (95..100).collect::<Vec<_>>());
    assert_eq!(kept(&plan, &Reason::Pending), [100]);
    assert_eq!(plan.tokens().total(), 3 + 6 * 16);
    insta::assert_snapshot!(plan.explain(), @"
    recall:tail=26: sends 16 of 101 messages, 99 of 100 tokens
      limit 100 tokens; high mark 100, low mark 70
      -   0-17   left out    18 messages       108 tokens  less related to the question than what fits
      +  18-22   sent         5 messages        30 tokens  related to the question
      -  23-57   left out    35 messages       210 tokens  less related to the question than what fits
      +  58-62   sent         5 messages        30 tokens  related to the question
      -  63-94   left out    32 messages       192 tokens  less related to the question than what fits
      +  95-99   sent         5 messages        30 tokens  fits
      + 100      sent          1 message         6 tokens  to be answered
      0 for the head + 0 for tools + 96 for history + 3 to open the reply = 99 tokens
    ");
}

#[test]
fn of_groups_with_equal_scores_the_newest_are_sent() {
    let said: Vec<(usize, &str)> = (0..9).map(|number| (number * 10 + 5, "red boat")).collect();
    let plan = plan(&talk(100, &said, "boat"), 3 + 5 + 4 * 6, Recall::new().tail(0));
    assert_eq!(kept(&plan, &Reason::Recalled), [55, 65, 75, 85]);
}

#[test]
fn what_does_not_fit_is_passed_over() {
    let long = "boat ".repeat(30);
    let talk = talk(40, &[(5, &long), (15, "boat")], "boat");
    let plan = plan(&talk, 30, Recall::new().tail(0));
    assert!(kept(&plan, &Reason::Recalled).contains(&15));
    assert!(!kept(&plan, &Reason::Recalled).contains(&5));
}

#[test]
fn a_question_without_known_words_gets_the_window() {
    for question in ["", "What?", "Anything about zeppelins"] {
        let talk = talk(50, &[(20, "red boat")], question);
        let budget = TokenBudget::limit(100).low_mark(1.0);
        let [window, recall] = [&SlidingWindow::tokens() as &dyn Strategy, &Recall::new()]
            .map(|strategy| plan_of(&talk, &budget, strategy, &mut StrategyCache::default()));
        assert_eq!(window.messages(), recall.messages(), "{question}");
    }
}

#[test]
fn the_newest_groups_have_their_share_whatever_the_question() {
    let said: Vec<(usize, &str)> = (0..90).map(|number| (number, "red boat")).collect();
    let talk = talk(100, &said, "red boat");
    for (percent, newest) in [(0, 0), (15, 2), (50, 7), (100, 15)] {
        let plan = plan(&talk, 3 + 6 + 90, Recall::new().tail(percent));
        let fits = kept(&plan, &Reason::Fits);
        assert!(
            fits.len() >= newest && fits.ends_with(&(100 - newest..100).collect::<Vec<_>>()),
            "{percent}: {fits:?}"
        );
        assert_eq!(plan.tokens().total(), 99, "{percent}");
    }
}

#[test]
fn calls_are_recalled_with_their_results() {
    let mut messages: Vec<Message> = (0..50).map(|number| Message::user(format!("filler f{number}"))).collect();
    messages.splice(
        10..12,
        [Message::calls([ToolCall::function("1", "forecast", r#"{"city":"Lisbon"}"#)]), Message::tool("1", "sunny")],
    );
    messages.push(Message::user("How was it in Lisbon"));
    let plan = plan(&Conversation::from_messages(messages), 60, Recall::new());
    assert!(kept(&plan, &Reason::Recalled).contains(&10));
    assert!(plan.messages().iter().any(|message| message.text() == "sunny"));
}

#[test]
fn pins_and_what_must_be_answered_take_no_room_twice() {
    let mut talk = talk(100, &[(20, "red boat"), (40, "blue boat")], "which boat");
    let id = talk.path().item(20).unwrap().id();
    talk.pin(id).unwrap();
    let plan = plan(&talk, 60, Recall::new());
    assert_eq!(kept(&plan, &Reason::Pin), [20]);
    assert_eq!(plan.tokens().total(), 3 + 6 * 9);
}

#[test]
fn a_conversation_without_spaces_is_searched_too() {
    let mut messages: Vec<Message> = (0..50).map(|number| Message::user(format!("雨{number}"))).collect();
    messages[9] = Message::user("私の猫の名前はミンカです。");
    messages.push(Message::user("猫の名前は何ですか"));
    let plan = plan(&Conversation::from_messages(messages), 60, Recall::new());
    assert!(kept(&plan, &Reason::Recalled).contains(&9));
}

/// Messages of 6 tokens, one a day from 1 May 2023, then a question on 10 August.
fn diary(said: &[(usize, &str)], question: &str) -> Conversation {
    const DAY: i64 = 86_400_000;
    let first = 19_478 * DAY;
    let mut dated = Conversation::new();
    for (day, message) in (0..).zip(talk(100, said, question).path().messages()) {
        dated.push_at(message.clone(), Timestamp::from_millis(first + day * DAY + i64::from(day == 100) * DAY));
    }
    dated
}

#[test]
fn a_question_with_a_date_finds_what_was_said_then() {
    for question in ["What was on 21 May 2023?", "What of 2023-05-21", "and on May 21st?", "and 81 days ago?"] {
        let plan = plan(&diary(&[], question), 60, Recall::new());
        assert!(kept(&plan, &Reason::Recalled).contains(&20), "{question}: {:?}", plan.runs());
    }
    let plan = plan(&diary(&[(50, "that of 21 May 2023")], "and on May 21st?"), 100, Recall::new());
    assert!(kept(&plan, &Reason::Recalled).contains(&50), "a message that names the day");
}

#[test]
fn what_points_back_to_a_question_with_a_date_borrows_the_date() {
    let mut talk = diary(&[], "What was on 21 May 2023?");
    let asked = talk.path().items().next_back().map(Item::created_at).unwrap();
    talk.push_at(Message::assistant("Hm"), asked);
    talk.push_at(Message::user("Thanks. And what else?"), asked);
    assert!(kept(&plan(&talk, 60, Recall::new()), &Reason::Recalled).contains(&20));
}

#[test]
fn without_useful_times_a_date_is_words_like_others() {
    let question = "What was on 21 May 2023?";
    let dated = diary(&[(30, "May 21")], question);
    let mut timeless = Conversation::new();
    dated.path().messages().for_each(|message| _ = timeless.push_at(message.clone(), Timestamp::from_millis(0)));
    let recalled = kept(&plan(&timeless, 60, Recall::new()), &Reason::Recalled);
    assert!(recalled.contains(&30) && !recalled.contains(&20), "{recalled:?}");
}

#[test]
fn in_a_chat_of_short_messages_a_whole_thought_is_worth_more_than_a_word() {
    let thought = "the boat that we rented was red and it had two sails and a small engine";
    let said = [(20, "boat"), (50, thought), (51, "boat engine")];
    let found = kept(&plan(&talk(100, &said, "which boat engine sails"), 46, Recall::new().tail(0)), &Reason::Recalled);
    assert!(found.contains(&50) && !found.contains(&20), "{found:?}");
}

#[test]
fn the_spec_can_be_read_back() {
    for (spec, full) in [
        ("recall", "recall:tail=26"),
        ("recall:tail=0", "recall:tail=0"),
        ("recall:stem=none", "recall:tail=26,stem=none"),
        ("recall:stem=english,tail=100", "recall:tail=100"),
        ("recall:excerpts=10", "recall:tail=26"),
        ("recall:excerpts=0", "recall:tail=26,excerpts=no"),
        ("recall:stem=none,excerpts=25", "recall:tail=26,excerpts=25,stem=none"),
    ] {
        let strategy = parse(spec).unwrap();
        assert_eq!(strategy.spec(), full);
        assert_eq!(parse(full).unwrap().spec(), full);
    }
    for (spec, said) in [
        ("recal", "did you mean `recall`?"),
        ("recall:tail=101", "`tail=101`; it must be 0 to 100 (percent)"),
        ("recall:tail=x", "it must be a whole number"),
        ("recall:excerpts=101", "`excerpts=101`; it must be 0 to 100 (percent)"),
        ("recall:excerpts=none", "it must be a whole number, or `no`"),
        ("recall:stem=latin", "`stem=latin`; it must be `english` (the default) or `none`"),
        ("recall:turns=1", "it takes tail=PERCENT, excerpts=PERCENT or no, stem=none"),
    ] {
        let error = parse(spec).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// The vectors of messages: those about boats lie in one direction, all others in another.
fn vectors_of(talk: &Conversation, is_known: impl Fn(usize) -> bool) -> Vectors {
    let mut vectors = Vectors::default();
    let known = talk.path().items().enumerate().filter(|(position, _)| is_known(*position));
    for (_, item) in known {
        let is_of_boats = ["boat", "dinghy", "ship"].iter().any(|word| item.message().text().contains(word));
        let parts = if is_of_boats { [1.0, 0.1] } else { [0.1, 1.0] };
        vectors.put("model", item, Vector::new(&parts).unwrap());
    }
    vectors
}

fn plan_with(talk: &Conversation, limit: u64, vectors: &Vectors) -> Plan {
    let cost = ChatCost::new(CounterFn::new("words", |text| text.split_whitespace().count() as u64));
    let mut extras = Extras::default();
    extras.vectors.clone_from(vectors);
    let planner = Planner::new(cost, &TokenBudget::limit(limit)).unwrap();
    planner.plan_with(talk, &mut Ledger::new(), &Recall::new(), &mut StrategyCache::default(), &extras).unwrap()
}

#[test]
fn with_vectors_what_means_the_same_is_found_and_explained() {
    let talk = talk(100, &[(20, "a dinghy"), (60, "red paint")], "which ship, red");
    let plan = plan_with(&talk, 100, &vectors_of(&talk, |_| true));
    assert!(kept(&plan, &Reason::Meaning).contains(&20));
    assert!(kept(&plan, &Reason::Recalled).contains(&60), "words still count");
    assert_eq!(plan.vector_requests(), []);
    insta::assert_snapshot!(plan.explain(), @"
    recall:tail=26: sends 16 of 101 messages, 100 of 100 tokens
      limit 100 tokens; high mark 100, low mark 70
      -   0-17   left out    18 messages       108 tokens  less related to the question than what fits
      +  18-22   sent         5 messages        30 tokens  close to the question in meaning
      -  23-57   left out    35 messages       210 tokens  less related to the question than what fits
      +  58-62   sent         5 messages        30 tokens  related to the question
      -  63-94   left out    32 messages       192 tokens  less related to the question than what fits
      +  95-99   sent         5 messages        30 tokens  fits
      + 100      sent          1 message         7 tokens  to be answered
      0 for the head + 0 for tools + 97 for history + 3 to open the reply = 100 tokens
    ");
}

#[test]
fn without_the_questions_vector_words_decide_and_it_is_asked_for() {
    let talk = talk(100, &[(20, "a dinghy"), (60, "red paint")], "which ship, red");
    let known = plan_with(&talk, 100, &vectors_of(&talk, |position| position < 100));
    assert_eq!(known.messages(), plan(&talk, 100, Recall::new()).messages());
    let asked = talk.path().item(100).unwrap().id();
    assert_eq!(known.vector_requests(), [asked]);
    assert_eq!(plan(&talk, 100, Recall::new()).vector_requests(), [], "where nothing has a vector");
    assert_eq!(plan_with(&talk, 10_000, &vectors_of(&talk, |_| false)).vector_requests(), [], "where all fits");
}

#[test]
fn a_message_without_a_vector_is_found_by_its_words() {
    let talk = talk(100, &[(20, "a dinghy"), (60, "red ship")], "which ship");
    let plan = plan_with(&talk, 100, &vectors_of(&talk, |position| position != 60));
    assert!(kept(&plan, &Reason::Recalled).contains(&60));
    assert!(kept(&plan, &Reason::Meaning).contains(&20));
}

#[test]
fn a_vague_question_borrows_the_meaning_of_the_one_before_it() {
    let mut talk = talk(100, &[(20, "a dinghy")], "which ship");
    for message in [Message::assistant("hm"), Message::user("filler and what was it")] {
        talk.push(message);
    }
    let plan = plan_with(&talk, 100, &vectors_of(&talk, |_| true));
    assert!(kept(&plan, &Reason::Meaning).contains(&20));
}
