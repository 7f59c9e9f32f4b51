//! What users of other programs complained about, as far as it concerns what is sent: each complaint is a test whose name
//! says what must not happen here. The public report stands beside it.
//!
//! Some have their test elsewhere: a history that is tokenized again for every message dropped (llama_index#12264,
//! langchain PR 31827) in `properties/tokenizing.rs`, text that makes a tokenizer slow (tiktoken#195, harmony#151) beside
//! the tokenizers, summaries without what they must mention beside the summarizer, a strategy that breaks a promise
//! (`plan::check`) beside the shrinking of messages.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::doc_markdown, reason = "names of repositories")]

#[path = "complaints/counted.rs"]
mod counted;
#[path = "complaints/explained.rs"]
mod explained;
#[path = "complaints/kept.rs"]
mod kept;
#[path = "complaints/limits.rs"]
mod limits;
#[path = "complaints/pairs.rs"]
mod pairs;
#[path = "complaints/summaries.rs"]
mod summaries;

use std::fs::File;
use std::io::BufReader;
use std::sync::LazyLock;

use turnwise::strategy::parse;
use turnwise::tokens::CounterFn;
use turnwise::transcript::Transcripts;
use turnwise::{
    ChatCost, Conversation, Item, ItemId, Ledger, Message, Plan, Planner, Result, Role, StrategyCache, TokenBudget,
    Transcript,
};

/// All that trim by themselves.
const TRIMMING: [&str; 9] = [
    "window",
    "window:messages=6",
    "window:turns=2",
    "head-tail",
    "recall",
    "recall:tail=5,excerpts=40",
    "tools:keep=1",
    "summarize",
    "ladder",
];

/// A byte is a token, a message costs its text and 4.
fn bytes() -> ChatCost {
    ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64))
}

fn plan_within(budget: &TokenBudget, talk: &Conversation, spec: &str) -> Result<Plan> {
    let strategy = parse(spec).unwrap();
    Planner::new(bytes(), budget)?.plan(talk, &mut Ledger::new(), &*strategy, &mut StrategyCache::default())
}

/// The same by a planner that starts with a user message.
fn plan_on_user(budget: &TokenBudget, talk: &Conversation, spec: &str) -> Result<Plan> {
    let strategy = parse(spec).unwrap();
    Planner::new(bytes(), budget)?.start_on_user().plan(
        talk,
        &mut Ledger::new(),
        &*strategy,
        &mut StrategyCache::default(),
    )
}

fn plan(limit: u64, talk: &Conversation, spec: &str) -> Plan {
    plan_within(&TokenBudget::limit(limit), talk, spec).unwrap()
}

fn ids(talk: &Conversation) -> Vec<ItemId> {
    talk.path().items().map(Item::id).collect()
}

fn texts(plan: &Plan) -> Vec<String> {
    plan.messages().iter().map(|message| message.text().into_owned()).collect()
}

/// Questions and answers of a hundred bytes each.
fn long_talk(turns: usize) -> Conversation {
    Conversation::from_messages((0..turns).flat_map(|n| {
        [Message::user(format!("question {n:03} {:086}", 0)), Message::assistant(format!("answer {n:03} {:088}", 0))]
    }))
}

/// Six real conversations of an airline's agent with its tools.
fn airline() -> Vec<Transcript> {
    let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tau_airline.jsonl")).unwrap();
    Transcripts::new(BufReader::new(file)).map(Result::unwrap).collect()
}

/// Every third request of the real conversations, under all strategies and several budgets.
static REAL: LazyLock<Vec<(Conversation, Plan)>> = LazyLock::new(|| {
    let mut plans = Vec::new();
    for mut file in airline() {
        let cost = ChatCost::default();
        let whole = file.ledger.total(&file.conversation, &cost);
        let head = cost.head(file.conversation.head(), &file.tools, &[]).tokens;
        for leaf in ids(&file.conversation).into_iter().step_by(3) {
            file.conversation.switch(leaf).unwrap();
            for (spec, part) in TRIMMING.iter().flat_map(|spec| [2, 4, 8].map(|part| (spec, part))) {
                let budget = TokenBudget::limit(head + whole / part);
                let planner = Planner::new(cost.clone(), &budget).unwrap().tools(file.tools.clone());
                let strategy = parse(spec).unwrap();
                let planned =
                    planner.plan(&file.conversation, &mut file.ledger, &*strategy, &mut StrategyCache::default());
                plans.push((file.conversation.clone(), planned.unwrap()));
            }
        }
    }
    plans
});

fn each_real_plan(judge: impl Fn(&Conversation, &Plan)) {
    assert!(REAL.len() > 1_000, "{} plans", REAL.len());
    REAL.iter().for_each(|(talk, plan)| judge(talk, plan));
}

/// Results are directly after their calls, and every call has one.
fn assert_legal(messages: &[Message]) {
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        if *message.role() == Role::Tool {
            let answered = open.iter().position(|id| Some(*id) == message.tool_call_id());
            open.remove(answered.expect("a result without its call"));
        } else {
            assert!(open.is_empty(), "a call without its result");
            open = message.tool_calls().iter().filter_map(turnwise::ToolCall::id).collect();
        }
    }
    assert!(open.is_empty(), "a call without its result at the end");
}
