//! Cases from files. A file of `fixtures/cases` is a conversation, a budget and a strategy; its snapshot says what is
//! sent, and why. A new case needs no Rust: write the file, run with `INSTA_UPDATE=always`, read the snapshot.
//!
//! Without a `model` a word is a token, so that sums can be checked by hand: a message costs its words and 4, a call
//! the words of its name and arguments and 4 more, a result 2 more and the name of its function; the reply costs 3.
//! With `start_on_user` the planner starts with a user message. `pins` and `keep` are indexes into `messages`, the head included; the `query` stands behind the last.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use turnwise::plan::ToKeep;
use turnwise::tokens::CounterFn;
use turnwise::{
    ChatCost, Conversation, Error, Fate, ItemId, Ledger, Message, Plan, Planner, Role, StrategyCache, TokenBudget,
    Tool, strategy,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    budget: Budget,
    strategy: String,
    model: Option<String>,
    #[serde(default)]
    tools: Vec<Tool>,
    #[serde(default)]
    pins: Vec<usize>,
    query: Option<String>,
    #[serde(default)]
    keep: Vec<usize>,
    #[serde(default)]
    start_on_user: bool,
    messages: Vec<Message>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    limit: Option<u64>,
    window: Option<u64>,
    reserve: Option<u64>,
    margin: Option<u64>,
    high: Option<f64>,
    low: Option<f64>,
}

impl Budget {
    fn get(&self) -> TokenBudget {
        let mut budget = match (self.limit, self.window) {
            (Some(limit), None) => TokenBudget::limit(limit),
            (None, Some(window)) => TokenBudget::window(window),
            _ => panic!("a budget has either `limit` or `window`"),
        };
        budget = self.reserve.map_or(budget.clone(), |tokens| budget.reply_reserve(tokens));
        budget = self.margin.map_or(budget.clone(), |tokens| budget.margin(tokens));
        budget = self.high.map_or(budget.clone(), |part| budget.high_mark(part));
        self.low.map_or(budget.clone(), |part| budget.low_mark(part))
    }

    /// The same marks under another limit.
    fn allowing(&self, limit: u64) -> TokenBudget {
        Self { limit: Some(limit), window: None, reserve: None, margin: None, ..self.clone() }.get()
    }
}

impl Case {
    fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    }

    fn conversation(&self) -> Conversation {
        let mut conversation = Conversation::from_messages(self.messages.iter().cloned());
        if let Some(query) = &self.query {
            conversation.push(Message::user(&**query));
        }
        // A pin in the head has no item: the head is always sent.
        for pin in self.pins.iter().filter_map(|&index| item(&conversation, index)).collect::<Vec<_>>() {
            conversation.pin(pin).unwrap();
        }
        conversation
    }

    fn cost(&self) -> ChatCost {
        let words = |text: &str| text.split_whitespace().count() as u64;
        self.model.as_deref().map_or_else(|| ChatCost::new(CounterFn::new("words", words)), ChatCost::for_model)
    }

    fn plan(&self, conversation: &Conversation, budget: &TokenBudget) -> Result<Plan, Error> {
        let mut planner = Planner::new(self.cost(), budget)?.tools(self.tools.clone());
        if self.start_on_user {
            planner = planner.start_on_user();
        }
        let strategy = strategy::parse(&self.strategy)?;
        planner.plan(conversation, &mut Ledger::new(), &*strategy, &mut StrategyCache::default())
    }
}

impl Case {
    fn to_keep(&self, plan: &Plan, id: ItemId) -> ToKeep {
        plan.to_keep(id, &*strategy::parse(&self.strategy).unwrap()).unwrap()
    }
}

/// The item of a message by its index, the head included.
fn item(conversation: &Conversation, index: usize) -> Option<ItemId> {
    let position = index.checked_sub(conversation.head().len())?;
    Some(conversation.path().item(position).unwrap_or_else(|| panic!("there is no message {index}")).id())
}

#[test]
fn cases() {
    insta::glob!("../fixtures/cases", "*.json", |file| {
        let case = Case::read(file);
        let conversation = case.conversation();
        let said = match case.plan(&conversation, &case.budget.get()) {
            Ok(plan) => {
                check(&case, &conversation, &plan);
                in_full(&case, &conversation, &plan)
            }
            Err(error) => refused(&error),
        };
        insta::with_settings!({ description => &*case.about, omit_expression => true }, {
            insta::assert_snapshot!(said);
        });
    });
}

fn in_full(case: &Case, conversation: &Conversation, plan: &Plan) -> String {
    let mut out = format!("{}\n\n", plan.explain());
    let messages: Vec<&Message> = conversation.head().iter().chain(conversation.path().messages()).collect();
    for decision in plan.decisions() {
        let (id, role) =
            (decision.item.map_or("head".to_owned(), |id| id.to_string()), messages[decision.index].role());
        let (index, fate, reason) = (decision.index, fate(decision.fate), decision.reason.as_str());
        writeln!(out, "{index:>2} {id:<4} {:<9} {fate:<7} {reason}", role.as_str()).unwrap();
    }
    for &index in &case.keep {
        match item(conversation, index) {
            Some(id) => writeln!(out, "\n{}", case.to_keep(plan, id)).unwrap(),
            None => writeln!(out, "\nmessage {index} belongs to the head").unwrap(),
        }
    }
    let json: Map<String, Value> = serde_json::from_str(&serde_json::to_string(plan).unwrap()).unwrap();
    for (key, value) in json.iter().filter(|(key, _)| *key != "messages") {
        match value.as_array() {
            Some(rows) if !rows.is_empty() => {
                write!(out, "\n{key}:").unwrap();
                for row in rows {
                    write!(out, "\n  {row}").unwrap();
                }
            }
            _ => write!(out, "\n{key}: {value}").unwrap(),
        }
    }
    out
}

fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Kept => "kept",
        Fate::Evicted => "evicted",
        _ => "other",
    }
}

fn refused(error: &Error) -> String {
    let numbers = error.over_budget().map_or(String::new(), |over| {
        format!("\n\ngroup: {:?}\ntokens: {}\nroom: {}", over.group, over.tokens, over.room)
    });
    format!("{error}{numbers}")
}

/// What holds for every plan: it sends what it says, at the cost that it says, and the request is legal.
fn check(case: &Case, conversation: &Conversation, plan: &Plan) {
    let all: Vec<&Message> = conversation.head().iter().chain(conversation.path().messages()).collect();
    let kept = plan.decisions().filter(|decision| decision.fate == Fate::Kept);
    let mut kept: Vec<usize> = kept.map(|decision| decision.index).collect();
    for moved in plan.moved() {
        kept.retain(|index| *index != moved.message);
        let calls = kept.iter().position(|index| *index == moved.calls).unwrap();
        let results = kept[calls + 1..].iter().take_while(|index| all[**index].tool_call_id().is_some()).count();
        kept.insert(calls + 1 + results, moved.message);
    }
    let kept: Vec<Message> = kept.into_iter().map(|index| all[index].clone()).collect();
    assert_eq!(turnwise::backend::Dialect::default().fit(&kept), plan.messages(), "the decisions are not what is sent");
    assert_eq!(plan.decisions().count(), all.len(), "every message is decided about, once");

    let cost = case.cost().request(&plan.request()).total();
    assert_eq!((plan.tokens().total(), !plan.tokens().estimated), (cost.tokens, cost.exact));
    assert!(cost.tokens <= plan.budget().limit);

    let mut open: Vec<&str> = Vec::new();
    for message in plan.messages() {
        match message.role() {
            Role::Tool | Role::Function => {
                let answers = message.tool_call_id().or(message.name()).unwrap();
                let call = open.iter().position(|call| *call == answers).expect("a result without its call");
                open.remove(call);
            }
            _ => {
                assert!(open.is_empty(), "a call without its result");
                open.extend(message.tool_calls().iter().filter_map(turnwise::ToolCall::id));
                open.extend(message.function_call().map(turnwise::message::FunctionCall::name));
            }
        }
    }
    assert!(open.is_empty(), "a call without its result");
}

/// Tries a promise of `to_keep` on every message of every case, and says where it is not kept.
fn each_promise(broken: impl Fn(&Case, &Conversation, &Plan, ItemId) -> Option<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cases");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut failures = String::new();
    for file in files {
        let case = Case::read(&file);
        let conversation = case.conversation();
        let Ok(plan) = case.plan(&conversation, &case.budget.get()) else { continue };
        for item in conversation.path().items() {
            if let Some(broken) = broken(&case, &conversation, &plan, item.id()) {
                let name = file.file_stem().unwrap().display();
                writeln!(failures, "{name}: {}\n  {broken}", case.to_keep(&plan, item.id())).unwrap();
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

fn is_kept(plan: Result<Plan, Error>, id: ItemId) -> bool {
    plan.is_ok_and(|plan| plan.decisions().any(|decision| decision.item == Some(id) && decision.fate == Fate::Kept))
}

#[test]
fn the_limit_that_would_keep_a_message_keeps_it() {
    each_promise(|case, conversation, plan, id| {
        let limit = case.to_keep(plan, id).limit?;
        let allowed = case.plan(conversation, &case.budget.allowing(limit));
        (!is_kept(allowed, id)).then(|| format!("is not sent with a limit of {limit} either"))
    });
}

#[test]
fn the_limit_that_would_keep_a_message_is_the_smallest() {
    each_promise(|case, conversation, plan, id| {
        let limit = case.to_keep(plan, id).limit?;
        let kept_by = |limit: &u64| is_kept(case.plan(conversation, &case.budget.allowing(*limit)), id);
        let smallest = (1..limit).find(kept_by)?;
        Some(format!("is sent with a limit of {smallest} already"))
    });
}

#[test]
fn a_pin_lacks_what_it_is_said_to_lack() {
    each_promise(|case, conversation, plan, id| {
        let lacks = case.to_keep(plan, id).pin_lacks?;
        let mut pinned = conversation.clone();
        pinned.pin(id).unwrap();
        let enough = plan.budget().limit + lacks;
        if !is_kept(case.plan(&pinned, &case.budget.allowing(enough)), id) {
            return Some(format!("cannot be pinned with a limit of {enough}"));
        }
        let is_spare = lacks > 0 && is_kept(case.plan(&pinned, &case.budget.allowing(enough - 1)), id);
        is_spare.then(|| format!("can be pinned with a limit of {}", enough - 1))
    });
}
