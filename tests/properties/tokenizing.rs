//! Invariant 7: each text is tokenized once per encoding, and planning costs nothing for what was counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use turnwise::tokens::{Count, TokenCounter};
use turnwise::{
    ChatCost, Conversation, Everything, HeadTail, Ledger, Message, Plan, Planner, SlidingWindow, StrategyCache,
    TokenBudget, Tool, ToolCall,
};

use crate::each_case;
use crate::generate::{self, pick};

/// Counts bytes, and how often it is asked for each text.
#[derive(Clone)]
struct Watched {
    id: &'static str,
    asked: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Watched {
    fn new(id: &'static str) -> Self {
        Self { id, asked: Arc::default() }
    }

    fn asked(&self) -> u64 {
        self.asked.lock().unwrap().values().sum()
    }

    /// Texts counted more than once; names of tools and authors are short and have no place of their own.
    fn repeated(&self) -> Vec<(String, u64)> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|(text, times)| **times > 1 && text.contains('#'))
            .map(|(text, n)| (text.clone(), *n))
            .collect()
    }
}

impl TokenCounter for Watched {
    fn id(&self) -> &str {
        self.id
    }

    fn count(&self, text: &str) -> Count {
        *self.asked.lock().unwrap().entry(text.to_owned()).or_default() += 1;
        Count::exact(text.len() as u64)
    }
}

fn planner(counter: Watched) -> Planner {
    Planner::new(ChatCost::new(counter), &TokenBudget::limit(1_000_000)).unwrap()
}

fn plan(conversation: &Conversation, ledger: &mut Ledger, counter: &Watched) -> Plan {
    planner(counter.clone())
        .plan(conversation, ledger, &SlidingWindow::tokens(), &mut StrategyCache::default())
        .unwrap()
}

/// Texts that never repeat, so that a second count shows.
struct Texts(usize);

impl Texts {
    fn next(&mut self) -> String {
        self.0 += 1;
        format!("text #{}", self.0)
    }
}

#[test]
fn invariant_7_each_text_is_tokenized_once_however_one_goes_back_and_forth() {
    each_case(150, |case| {
        let rng = &mut case.rng;
        let counters = ["one", "other"].map(Watched::new);
        let planners = counters.clone().map(planner);
        let mut texts = Texts(0);
        let mut talk = Conversation::new();
        talk.set_system(texts.next());
        let mut ledger = Ledger::new();
        for _ in 0..30 {
            let items: Vec<_> = talk.items().map(turnwise::Item::id).collect();
            match rng.u8(0..8) {
                0..=3 => {
                    talk.push(Message::user(texts.next()));
                    if rng.bool() {
                        let arguments = texts.next();
                        talk.push(Message::calls([ToolCall::function("c", "f", &arguments)]));
                        talk.push(Message::tool("c", texts.next()));
                    }
                    talk.push(Message::assistant(texts.next()));
                }
                4 => {
                    talk.undo();
                }
                5 if !items.is_empty() => talk.switch(pick(rng, &items)).unwrap(),
                6 if !items.is_empty() => {
                    talk.edit(pick(rng, &items), texts.next()).unwrap();
                }
                _ => talk.clear(),
            }
            // A call whose result is on no path yet is the subject of another test.
            let is_open = talk.path().faults(0).next().is_some();
            if !is_open {
                let planner = &planners[usize::from(rng.u8(0..4) == 0)];
                for copy in [talk.clone(), talk.clone()] {
                    planner.plan(&copy, &mut ledger, &SlidingWindow::tokens(), &mut StrategyCache::default()).unwrap();
                }
            }
        }
        assert_eq!(counters.map(|counter| counter.repeated()), [vec![], vec![]]);
    });
}

/// Parallel calls are one text with their results, and are counted anew.
#[test]
fn invariant_7_a_call_is_not_tokenized_again_when_its_result_arrives() {
    let counter = Watched::new("bytes");
    let mut ledger = Ledger::new();
    let mut talk = Conversation::from_messages([Message::user("text #1")]);
    talk.push(Message::calls([ToolCall::function("a", "f", "arguments #a")]).with_content("text #2"));
    plan(&talk, &mut ledger, &counter);
    talk.push(Message::tool("a", "result #a"));
    plan(&talk, &mut ledger, &counter);
    assert_eq!(counter.repeated(), []);
}

#[test]
fn invariant_7_a_plan_of_a_counted_conversation_asks_the_counter_nothing() {
    let counter = Watched::new("bytes");
    let messages =
        (0..5_000).map(|n| if n % 2 == 0 { Message::user(format!("#{n}")) } else { Message::assistant("ok") });
    let mut talk = Conversation::from_messages(std::iter::once(Message::system("Be brief.")).chain(messages));
    let planner = Planner::new(ChatCost::new(counter.clone()), &TokenBudget::limit(900)).unwrap();
    let planner = planner.tools([Tool::new(serde_json::json!({"type":"function","function":{"name":"f"}}))]);
    let mut ledger = Ledger::new();
    let mut cache = StrategyCache::default();
    planner.plan(&talk, &mut ledger, &SlidingWindow::tokens(), &mut cache).unwrap();
    let before = counter.asked();
    assert!(before >= 5_000);
    for _ in 0..3 {
        planner.plan(&talk, &mut ledger, &SlidingWindow::tokens(), &mut cache).unwrap();
        planner.plan(&talk, &mut ledger, &SlidingWindow::turns(3).start_on_user(), &mut cache).unwrap();
        planner.plan(&talk, &mut ledger, &HeadTail::default(), &mut cache).unwrap();
        planner.plan(&talk, &mut ledger, &Everything, &mut cache).unwrap_err();
    }
    assert_eq!(counter.asked(), before);
    talk.push("one more");
    planner.plan(&talk, &mut ledger, &SlidingWindow::tokens(), &mut cache).unwrap();
    assert_eq!(counter.asked(), before + 1);
}

#[test]
fn invariant_7_the_head_is_tokenized_once_however_many_planners_there_are() {
    let counter = Watched::new("bytes");
    let talk = Conversation::from_messages([Message::system("text #1"), Message::user("text #2")]);
    let mut ledger = Ledger::new();
    for _ in 0..3 {
        plan(&talk, &mut ledger, &counter);
    }
    assert_eq!(counter.repeated(), []);
}

#[test]
fn invariant_7_a_fork_takes_the_counts_along() {
    each_case(100, |case| {
        let counter = Watched::new("bytes");
        let mut talk = generate::talk(&mut case.rng).conversation();
        talk.push("a question");
        let mut ledger = Ledger::new();
        plan(&talk, &mut ledger, &counter);
        let before = counter.asked();
        let heads = talk.head().iter().filter(|message| !message.text().is_empty()).count() as u64;
        let fork = talk.fork(talk.leaf().unwrap()).unwrap();
        plan(&fork, &mut ledger.clone(), &counter);
        assert!(counter.asked() <= before + heads, "the path was counted again");
    });
}
