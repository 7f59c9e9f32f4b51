use super::super::Recall;
use crate::budget::TokenBudget;
use crate::conversation::Conversation;
use crate::ledger::Ledger;
use crate::message::{Message, Part};
use crate::plan::{Fate, Plan, Planner, Reason, Strategy, StrategyCache};
use crate::strategy::parse;
use crate::tokens::{ChatCost, CounterFn};

/// A word is a token, a message 4 more, the request 3.
fn plan_of(talk: &Conversation, limit: u64, strategy: &dyn Strategy, cache: &mut StrategyCache) -> Plan {
    let cost = ChatCost::new(CounterFn::new("words", |text| text.split_whitespace().count() as u64));
    let budget = TokenBudget::limit(limit).low_mark(1.0);
    Planner::new(cost.clone(), &budget).unwrap().plan(talk, &mut Ledger::new(), strategy, cache).unwrap()
}

fn plan(talk: &Conversation, limit: u64, recall: Recall) -> Plan {
    plan_of(talk, limit, &recall, &mut StrategyCache::default())
}

/// Ten paragraphs of 40 words, one of them with something else.
fn answer(name: &str, at: usize, said: &str) -> String {
    let paragraph = |number: usize| {
        if number == at {
            format!("{said} {}.", "word ".repeat(35))
        } else {
            format!("{name}{number} {}.", "word ".repeat(38))
        }
    };
    (0..10).map(paragraph).collect::<Vec<_>>().join("\n\n")
}

/// Long answers of 404 tokens; the fourth one says something.
fn talk(count: usize, question: &str) -> Conversation {
    let said = |number: usize| if number == 3 { "the red boat" } else { "nothing new here" };
    let mut messages: Vec<Message> =
        (0..count).map(|number| Message::assistant(answer(&format!("a{number}p"), 5, said(number)))).collect();
    messages.push(Message::user(question));
    Conversation::from_messages(messages)
}

fn excerpts(plan: &Plan) -> Vec<usize> {
    let runs = plan.runs().iter().filter(|run| run.fate == Fate::Shrunk);
    runs.inspect(|run| assert_eq!(run.reason, Reason::Excerpt)).flat_map(|run| run.groups.clone()).collect()
}

fn holds(plan: &Plan, text: &str) -> bool {
    plan.messages().iter().any(|message| message.text().contains(text))
}

#[test]
fn the_passage_that_answers_is_sent_without_the_rest_of_its_message() {
    let talk = talk(30, "which boat was red");
    let plan = plan(&talk, 350, Recall::new().excerpts(60));
    assert!(excerpts(&plan).contains(&3));
    assert!(holds(&plan, "the red boat"));
    assert!(
        plan.messages().iter().any(|message| message.text().starts_with("[…]\n") && message.text().contains("red"))
    );
    assert!(plan.tokens().total() <= 350);
    assert!(plan.explain().to_string().contains("parts of it, 3"), "{}", plan.explain());
    assert!(!holds(&self::plan(&talk, 350, Recall::new().excerpts(0)), "the red boat"));
}

#[test]
fn with_little_room_there_are_no_passages() {
    let talk = talk(30, "which boat was red");
    let without_heads = |limit| plan(&talk, limit, Recall::new().tail(0).excerpts(50));
    // Fixed are 11, and of what is left half is for passages.
    assert!(excerpts(&without_heads(310)).is_empty());
    assert!(excerpts(&without_heads(311)).contains(&3));
}

#[test]
fn the_newest_long_message_is_sent_by_its_first_passage() {
    let talk = talk(30, "zeppelin");
    let plan = plan(&talk, 390, Recall::new().excerpts(15));
    assert_eq!(excerpts(&plan), [29]);
    let text = plan.messages()[0].text().into_owned();
    assert!(text.starts_with("a29p0 ") && text.ends_with("[…]"), "{text}");
    assert!(excerpts(&self::plan(&talk, 390, Recall::new().excerpts(0))).is_empty());
}

#[test]
fn what_fits_whole_is_sent_whole() {
    let talk = talk(30, "which boat was red");
    let plan = plan(&talk, 1_800, Recall::new().excerpts(30));
    let recalled = plan.runs().iter().find(|run| run.reason == Reason::Recalled).unwrap();
    assert!(recalled.fate == Fate::Kept && recalled.groups.contains(&3), "{}", plan.explain());
    assert!(!excerpts(&plan).contains(&3));
}

#[test]
fn results_parts_and_what_a_ladder_made_smaller_are_never_excerpts() {
    let long = answer("p", 5, "the red boat");
    let parts = Message::user(vec![Part::from_text(&long)]);
    let thinking = Message::assistant(format!("<think>hm</think>\n{long}"));
    for (message, spec, is_excerpt) in [
        (Message::user(&*long), "recall:excerpts=80", true),
        (parts, "recall:excerpts=80", false),
        (Message::assistant(&*long), "ladder:drop-reasoning/recall:excerpts=80", true),
        (thinking, "ladder:drop-reasoning/recall:excerpts=80", false),
        (Message::new("function", long.clone()), "recall:excerpts=80", false),
    ] {
        let mut talk = talk(10, "which boat was red");
        let third = talk.path().item(3).unwrap().id();
        talk.edit(third, message).unwrap();
        for text in ["filler one", "filler two", "which boat was red"] {
            talk.push(Message::user(text));
        }
        let plan = plan_of(&talk, 350, &parse(spec).unwrap(), &mut StrategyCache::default());
        let is_part = |run: &&crate::plan::Run| run.groups.contains(&3) && run.reason == Reason::Excerpt;
        assert_eq!(plan.runs().iter().any(|run| is_part(&run)), is_excerpt, "{}", plan.explain());
    }
}

#[test]
fn a_memo_of_another_branch_or_counter_changes_nothing() {
    let mut talk = talk(30, "which boat was red");
    let recall = Recall::new().excerpts(60);
    let mut cache = StrategyCache::default();
    let same = |talk: &Conversation, cache: &mut StrategyCache| {
        let [used, fresh] = [cache, &mut StrategyCache::default()].map(|cache| plan_of(talk, 350, &recall, cache));
        assert_eq!(used.messages(), fresh.messages());
        assert_eq!(used.tokens(), fresh.tokens());
        used
    };
    same(&talk, &mut cache);
    let third = talk.path().item(3).unwrap().id();
    talk.edit(third, Message::assistant(answer("other", 1, "the green boat"))).unwrap();
    talk.push(Message::assistant(answer("new", 1, "nothing")));
    talk.push(Message::user("which boat was green"));
    same(&talk, &mut cache);
    let bytes = ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64));
    let planner = Planner::new(bytes, &TokenBudget::limit(900)).unwrap();
    let [used, fresh] = [&mut cache, &mut StrategyCache::default()]
        .map(|cache| planner.plan(&talk, &mut Ledger::new(), &recall, cache).unwrap());
    assert_eq!(used.messages(), fresh.messages());
    same(&talk, &mut cache);
}
