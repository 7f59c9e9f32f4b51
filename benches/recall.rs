//! How often the messages that answer a question are sent with it: `TURNWISE_RECALL_DATA=folder
//! cargo bench --bench recall`, or the folder as an argument. It holds pairs of files:
//!
//! - `NAME.conversations.jsonl`: `{id, messages: [{id, role, name?, content}]}`
//! - `NAME.questions.jsonl`: `{conversation, question, evidence: [message ids]}`
//!
//! A question counts as answered if all messages of its evidence are sent word for word. Then, on a
//! synthetic conversation with long answers: how often the sentence that answers a question is
//! sent, and the time and memory of planning. `TURNWISE_TEST_EMBEDDINGS` names a server with an embedding model
//! (`.ci/embeddings.sh`) for figures of recall by meaning.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;
#[path = "recall/cost.rs"]
mod cost;
#[path = "recall/data.rs"]
mod data;
#[path = "recall/meaning.rs"]
mod meaning;

use std::env;
use std::path::PathBuf;

use common::{Table, float, is_quick};
use data::{Question, Set};
use meaning::Known;
use peak_alloc::PeakAlloc;
use turnwise::Strategy;
use turnwise::strategy::parse;
use turnwise::vectors::Vectors;
use turnwise::{ChatCost, Conversation, Fate, Item, Ledger, Message, Planner, StrategyCache, TokenBudget};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const BUDGETS: [u64; 5] = [1_000, 2_000, 4_000, 8_000, 16_000];
const SPECS: [&str; 6] =
    ["window", "recall", "recall:tail=0", "recall:tail=15", "recall:stem=none", "recall:excerpts=no"];
/// Where one budget is enough.
const USUAL: u64 = 4_000;

/// One conversation, everything counted.
struct Case {
    talk: Conversation,
    ledger: Ledger,
    cache: StrategyCache,
    vectors: Vectors,
}

impl Case {
    fn new(messages: &[Message]) -> Self {
        let mut case = Self {
            talk: Conversation::from_messages(messages.iter().cloned()),
            ledger: Ledger::new(),
            cache: StrategyCache::default(),
            vectors: Vectors::default(),
        };
        case.ledger.total(&case.talk, &ChatCost::default());
        case
    }

    /// Whether all evidence is sent when `said` follows the first `len` messages.
    fn is_kept(
        &mut self,
        len: usize,
        said: &[Message],
        evidence: &[usize],
        planner: &Planner,
        by: &dyn Strategy,
        known: Option<&Known>,
    ) -> bool {
        let mut talk = self.talk.clone();
        let ids: Vec<_> = talk.path().items().map(Item::id).collect();
        talk.switch(ids[len - 1]).unwrap();
        for message in said {
            talk.push(message.clone());
        }
        let extras = meaning::extras(&talk, &mut self.vectors, known);
        let plan = planner.plan_with(&talk, &mut self.ledger, by, &mut self.cache, &extras).unwrap();
        let is_sent = |&position: &usize| {
            let mut sent = plan.runs().iter().filter(|run| run.fate == Fate::Kept);
            sent.any(|run| run.indexes.contains(&(plan.head_len() + position)))
        };
        evidence.iter().all(is_sent)
    }
}

/// The questions of a set in the order of their conversations.
struct Exam<'a> {
    set: &'a Set,
    cases: Vec<Case>,
    /// The vectors that recall may use.
    known: Option<&'a Known>,
}

impl<'a> Exam<'a> {
    fn new(set: &'a Set, with_names: bool) -> Self {
        let unnamed = |message: &Message| Message::new(message.role().as_str(), message.text().into_owned());
        let case = |talk: &Vec<Message>| {
            if with_names { Case::new(talk) } else { Case::new(&talk.iter().map(unnamed).collect::<Vec<_>>()) }
        };
        Self { set, cases: set.talks.iter().map(case).collect(), known: None }
    }

    /// The share of questions answered, in percent, when `say` makes of a question what is said.
    fn share(&mut self, spec: &str, budget: u64, say: impl Fn(&Question, usize) -> Vec<Message>) -> f64 {
        let (planner, strategy) = (planner(budget), parse(spec).unwrap());
        let set = self.set;
        let answered = set.questions.iter().enumerate().filter(|(number, question)| {
            let (said, len) = (say(question, *number), set.talks[question.talk].len());
            self.cases[question.talk].is_kept(len, &said, &question.evidence, &planner, &strategy, self.known)
        });
        percent(answered.count(), set.questions.len())
    }

    /// The share of questions with one piece of evidence, if the conversation ends `distance`
    /// budgets after it.
    fn near(&mut self, spec: &str, distance: f64) -> f64 {
        let (planner, strategy) = (planner(USUAL), parse(spec).unwrap());
        let (mut asked, mut answered) = (0, 0);
        let set = self.set;
        let costs: Vec<Vec<u64>> = self.cases.iter().map(|case| costs(&case.talk)).collect();
        for question in set.questions.iter().filter(|question| question.evidence.len() == 1) {
            let case = &mut self.cases[question.talk];
            let Some(len) = end(&costs[question.talk], question.evidence[0], distance) else { continue };
            asked += 1;
            let said = [Message::user(&*question.text)];
            answered += usize::from(case.is_kept(len, &said, &question.evidence, &planner, &strategy, self.known));
        }
        percent(answered, asked)
    }
}

/// Tokens of each message.
fn costs(talk: &Conversation) -> Vec<u64> {
    let cost = ChatCost::default();
    talk.path().messages().map(|message| cost.group([message]).tokens).collect()
}

/// Where a conversation ends whose last messages, from `evidence` on, are at most so many budgets; only if it is longer
/// than that and must be trimmed.
fn end(costs: &[u64], evidence: usize, distance: f64) -> Option<usize> {
    let wanted = distance * float(usize::try_from(USUAL).ok()?);
    let mut sum = 0;
    let len = (evidence..costs.len()).find(|&at| {
        sum += costs[at];
        float(usize::try_from(sum).unwrap_or(usize::MAX)) > wanted
    })?;
    (costs[..len].iter().sum::<u64>() > USUAL).then_some(len)
}

fn planner(budget: u64) -> Planner {
    Planner::new(ChatCost::default(), &TokenBudget::limit(budget).low_mark(1.0)).unwrap()
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * float(part) / float(whole.max(1))
}

fn alone(question: &Question, _: usize) -> Vec<Message> {
    vec![Message::user(&*question.text)]
}

/// The question one turn earlier, and now only a pointer back to it.
fn vague(question: &Question, number: usize, small_talk: usize) -> Vec<Message> {
    let vague = ["And what exactly was it?", "Can you tell me more about that?", "What was that again?"];
    let mut said = vec![Message::user(&*question.text), Message::assistant("Let me see.")];
    for _ in 0..small_talk {
        said.extend([Message::user("Thanks, that is kind of you."), Message::assistant("You're welcome!")]);
    }
    said.push(Message::user(vague[number % vague.len()]));
    said
}

/// The first half of the question's words one turn earlier, the rest now.
fn split(question: &Question) -> Vec<Message> {
    let words: Vec<&str> = question.text.split(' ').collect();
    let (first, rest) = words.split_at(words.len() / 2);
    vec![Message::user(first.join(" ")), Message::assistant("Go on."), Message::user(rest.join(" "))]
}

fn examine(set: &Set) {
    let columns: Vec<String> = BUDGETS.iter().map(|budget| format!("{}k", budget / 1_000)).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let title = format!("{}: questions with all their evidence, of {}", set.name, set.questions.len());
    let mut table = Table::with_columns(&title, &columns);
    let mut exam = Exam::new(set, true);
    let mut row = |name: &str, shares: Vec<f64>| table.row(name, shares, "%", String::new(), None);
    for spec in SPECS {
        row(spec, BUDGETS.iter().map(|&budget| exam.share(spec, budget, alone)).collect());
    }
    let mut nameless = Exam::new(set, false);
    row("recall, without names", BUDGETS.iter().map(|&budget| nameless.share("recall", budget, alone)).collect());
    row("recall, split over two turns", shares(&mut exam, |question, _| split(question)));
    row("recall, vague", shares(&mut exam, |question, number| vague(question, number, 0)));
    row("recall, vague, small talk between", shares(&mut exam, |question, number| vague(question, number, 1)));
    if let Some(known) = meaning::vectors_of(texts(set)) {
        let mut exam = Exam { known: Some(&known), ..Exam::new(set, true) };
        row("recall by meaning", shares(&mut exam, alone));
        row("recall by meaning, split over two turns", shares(&mut exam, |question, _| split(question)));
        row("recall by meaning, vague", shares(&mut exam, |question, number| vague(question, number, 0)));
        let small_talk = shares(&mut exam, |question, number| vague(question, number, 1));
        row("recall by meaning, vague, small talk between", small_talk);
    }
    table.print();

    let distances = [0.1, 0.25, 0.5, 0.75, 0.95, 1.5];
    let title = format!("{}: evidence so many budgets of {USUAL} tokens before the end", set.name);
    let mut table =
        Table::with_columns(&title, &distances.map(|distance| distance.to_string()).each_ref().map(|d| &**d));
    for spec in ["window", "recall"] {
        let figures = distances.iter().map(|&distance| exam.near(spec, distance)).collect();
        table.row(spec, figures, "%", String::new(), None);
    }
    table.print();
}

/// All texts of a set and of what is said after it.
fn texts(set: &Set) -> Vec<String> {
    let mut after = Vec::new();
    for (number, question) in set.questions.iter().enumerate() {
        after.extend(alone(question, number));
        after.extend(split(question));
        after.extend(vague(question, number, 0));
        after.extend(vague(question, number, 1));
    }
    meaning::texts(set.talks.iter().flatten().chain(&after))
}

fn shares(exam: &mut Exam<'_>, say: impl Fn(&Question, usize) -> Vec<Message>) -> Vec<f64> {
    BUDGETS.iter().map(|&budget| exam.share("recall", budget, &say)).collect()
}

/// Where answers are long: how often the sentence that is asked for is sent, and how many of the newest messages are, whole
/// or in part, without a break.
fn examine_long_answers() {
    let (messages, asked) = data::long_answers();
    let columns = ["1k", "2k", "4k", "8k", "16k"];
    let title = format!("long answers, made up: sentences sent, of {}", asked.len());
    let mut sentences = Table::with_columns(&title, &columns);
    let mut newest = Table::with_columns("long answers, made up: newest messages without a break, of all", &columns);
    let mut case = Case::new(&messages);
    let questions: Vec<Message> = asked.iter().map(|(question, _)| Message::user(&**question)).collect();
    let known = meaning::vectors_of(meaning::texts(messages.iter().chain(&questions)));
    let by_words = ["window", "recall:excerpts=no", "recall", "recall:excerpts=25"].map(|spec| (spec, spec, None));
    let by_meaning = known.as_ref().map(|known| ("recall by meaning", "recall", Some(known)));
    for (name, spec, known) in by_words.into_iter().chain(by_meaning) {
        let strategy = parse(spec).unwrap();
        let (mut kept, mut in_a_row) = (Vec::new(), Vec::new());
        for budget in BUDGETS {
            let planner = planner(budget);
            let (mut answered, mut messages_sent) = (0, 0);
            for (question, answer) in &asked {
                let mut talk = case.talk.clone();
                talk.push(Message::user(&**question));
                let extras = meaning::extras(&talk, &mut case.vectors, known);
                let plan = planner.plan_with(&talk, &mut case.ledger, &strategy, &mut case.cache, &extras).unwrap();
                answered += usize::from(plan.messages().iter().any(|message| message.text().contains(&**answer)));
                let sent = plan.runs().iter().rev().take_while(|run| run.fate.is_sent() && !run.groups.is_empty());
                messages_sent += sent.map(|run| run.indexes.len()).sum::<usize>() - 1;
            }
            kept.push(percent(answered, asked.len()));
            in_a_row.push(float(messages_sent) / float(asked.len()));
        }
        sentences.row(name, kept, "%", String::new(), None);
        newest.row(name, in_a_row, "", String::new(), None);
    }
    sentences.print();
    newest.print();
}

fn main() {
    let named = env::args().skip(1).find(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let folder = named.or_else(|| env::var_os("TURNWISE_RECALL_DATA").map(PathBuf::from));
    if let Some(folder) = folder.filter(|_| !is_quick()) {
        data::read(&folder).iter().for_each(examine);
    } else {
        println!(
            "NO DATA: name a folder of conversations and questions in TURNWISE_RECALL_DATA for figures of recall."
        );
        println!("What follows is a small made-up conversation, which says only that the program runs.");
        examine(&data::generated());
    }
    examine_long_answers();
    cost::measure();
}
