//! How often the messages that answer a question are sent with it: `TURNWISE_RECALL_DATA=folder
//! cargo bench --bench recall`, or the folder as an argument. It holds pairs of files:
//!
//! - `NAME.conversations.jsonl`: `{id, messages: [{id, role, name?, content, time?}]}`; a time is in
//!   milliseconds since 1970, or `1:56 pm on 8 May, 2023`
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
use data::{Question, Set, Talk};
use meaning::Known;
use peak_alloc::PeakAlloc;
use turnwise::Strategy;
use turnwise::conversation::Timestamp;
use turnwise::strategy::parse;
use turnwise::vectors::Vectors;
use turnwise::{ChatCost, Conversation, Fate, Item, Ledger, Message, Planner, StrategyCache, TokenBudget};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const BUDGETS: [u64; 5] = [1_000, 2_000, 4_000, 8_000, 16_000];
const SPECS: [&str; 7] =
    ["window", "recall", "ladder", "recall:tail=0", "recall:tail=15", "recall:stem=none", "recall:excerpts=no"];
/// The time from the end of a conversation to the question, in milliseconds.
const AN_HOUR: i64 = 3_600_000;
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
    fn new(messages: &Talk) -> Self {
        let mut talk = Conversation::new();
        for (message, time) in messages {
            talk.push_at(message.clone(), *time);
        }
        let (ledger, cache, vectors) = (Ledger::new(), StrategyCache::default(), Vectors::default());
        let mut case = Self { talk, ledger, cache, vectors };
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
        let newest = talk.path().items().next_back().map_or(0, |item| item.created_at().as_millis());
        for message in said {
            talk.push_at(message.clone(), Timestamp::from_millis(newest + AN_HOUR));
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
    fn new(set: &'a Set) -> Self {
        Self { set, cases: set.talks.iter().map(Case::new).collect(), known: None }
    }

    /// With every message changed.
    fn changed(set: &'a Set, change: impl Fn(&Message, Timestamp) -> (Message, Timestamp)) -> Self {
        let changed = |talk: &Talk| Case::new(&talk.iter().map(|(message, time)| change(message, *time)).collect());
        Self { set, cases: set.talks.iter().map(changed).collect(), known: None }
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

/// Exchanges between a question and what points back to it.
type Between = &'static [(&'static str, &'static str)];
const NOTHING: Between = &[];
const KIND: Between = &[("Thanks, that is kind of you.", "You're welcome!")];
const BACK: Between = &[("Thanks, I am back now.", "Welcome back, how can I help?")];
const TWO: Between =
    &[BACK[0], ("Good morning! How are you today?", "I'm doing well, thank you! What can I do for you?")];
const THREE: Between =
    &[TWO[0], TWO[1], ("Great, thanks a lot, that was really helpful.", "Glad I could help! Anything else?")];
const A_CALL: Between = &[
    ("Great, thank you so much!", "Any time! Anything else?"),
    ("Sorry, I had to take a call. Where were we?", "No problem, take your time."),
];

/// Exchanges about something else, with words as rare as those of a question: those that recall was
/// tuned on.
const TOPICS: [(&str, &str); 8] = [
    ("By the way, the weather is lovely here.", "Glad to hear it, enjoy the day!"),
    ("Perfect. Brb, making coffee.", "Enjoy your coffee!"),
    ("How has your day been so far?", "All good here, thanks for asking. And yours?"),
    ("Fine, a bit tired to be honest.", "Then take it easy."),
    ("My neighbour's dog is barking again, so annoying.", "That sounds exhausting."),
    ("I just burned my toast, haha.", "Oh no!"),
    ("My laptop battery is at three percent, let me plug it in.", "Take your time."),
    ("The bus was late again today.", "That is frustrating."),
];
/// The same in words that were not looked at before recall was as it is.
const UNSEEN_TOPICS: [(&str, &str); 8] = [
    ("Hold on, the doorbell just rang.", "Sure, I'll wait."),
    ("Traffic was a nightmare this evening.", "Sorry to hear that."),
    ("Did you watch the match last night?", "I can't watch, but tell me about it!"),
    ("My coworker keeps humming the same song.", "That can be distracting."),
    ("I think I'm getting a cold, my throat hurts.", "Get well soon!"),
    ("Ugh, Mondays. I need a holiday.", "I understand."),
    ("We had pizza for lunch and I ate way too much.", "It happens to the best of us."),
    ("The heating in my office is broken, it's freezing.", "I hope it is fixed soon."),
];

/// As many exchanges in a row, others for each question.
fn topics(from: [(&'static str, &'static str); 8], turns: usize, number: usize) -> Vec<(&'static str, &'static str)> {
    (0..turns).map(|turn| from[(number + turn * 3) % from.len()]).collect()
}

/// Questions that point back to another one.
const BETWEEN: [(&str, Between); 6] = [
    ("recall, vague", NOTHING),
    ("recall, vague, after kind words", KIND),
    ("recall, vague, after small talk", BACK),
    ("recall, vague, after two turns of small talk", TWO),
    ("recall, vague, after three", THREE),
    ("recall, vague, after thanks and a call", A_CALL),
];

/// The question some turns earlier, and now only a pointer back to it.
fn vague(question: &Question, number: usize, between: &[(&str, &str)]) -> Vec<Message> {
    let vague = ["And what exactly was it?", "Can you tell me more about that?", "What was that again?"];
    earlier(question, "Let me see.", between, vague[number % vague.len()])
}

/// The question a turn earlier, a reply, and now that it was not the right one.
fn corrected(question: &Question, number: usize) -> Vec<Message> {
    let corrections = [
        "No, the other one.",
        "No, that's not what I meant.",
        "Not that one, the other time.",
        "That's wrong, look again please.",
        "Are you sure? I think it was something else.",
    ];
    earlier(question, "I think it was on a Tuesday.", NOTHING, corrections[number % corrections.len()])
}

fn earlier(question: &Question, reply: &str, between: &[(&str, &str)], now: &str) -> Vec<Message> {
    let mut said = vec![Message::user(&*question.text), Message::assistant(reply)];
    said.extend(between.iter().flat_map(|(user, reply)| [Message::user(*user), Message::assistant(*reply)]));
    said.push(Message::user(now));
    said
}

/// The first half of the question's words one turn earlier, the rest now.
fn split(question: &Question) -> Vec<Message> {
    let words: Vec<&str> = question.text.split(' ').collect();
    let (first, rest) = words.split_at(words.len() / 2);
    vec![Message::user(first.join(" ")), Message::assistant("Go on."), Message::user(rest.join(" "))]
}

/// The least that is wanted at 4,000 tokens of `LoCoMo`.
const LEAST: [(&str, f64); 6] = [
    ("recall", 85.0),
    ("ladder", 80.0),
    ("recall, vague", 82.8),
    ("recall, vague, after small talk", 65.0),
    ("recall, vague, after two turns of small talk", 65.0),
    ("recall by meaning", 89.0),
];

fn examine(set: &Set) {
    let columns: Vec<String> = BUDGETS.iter().map(|budget| format!("{}k", budget / 1_000)).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let title = format!("{}: questions with all their evidence, of {}", set.name, set.questions.len());
    let mut table = Table::with_columns(&title, &columns);
    let mut exam = Exam::new(set);
    let mut row = |name: &str, shares: Vec<f64>| {
        let least = LEAST.iter().find(|(known, _)| *known == name && set.name.starts_with("locomo"));
        let target = least.map_or_else(String::new, |(_, least)| format!(">= {least} at 4k"));
        let verdict = least.map(|(_, least)| shares[2] >= *least);
        table.row(name, shares, "%", target, verdict);
    };
    for spec in SPECS {
        row(spec, BUDGETS.iter().map(|&budget| exam.share(spec, budget, alone)).collect());
    }
    let unnamed = |message: &Message, time| (Message::new(message.role().as_str(), message.text().into_owned()), time);
    row("recall, without names", shares(&mut Exam::changed(set, unnamed), alone));
    let timeless = |message: &Message, _| (message.clone(), Timestamp::default());
    row("recall, without times", shares(&mut Exam::changed(set, timeless), alone));
    row("recall, split over two turns", shares(&mut exam, |question, _| split(question)));
    for (name, between) in BETWEEN {
        row(name, shares(&mut exam, |question, number| vague(question, number, between)));
    }
    row("recall, corrected", shares(&mut exam, corrected));
    for (name, from) in [("topics", TOPICS), ("unseen topics", UNSEEN_TOPICS)] {
        for turns in 1..=3 {
            let say = |question: &Question, number| vague(question, number, &topics(from, turns, number));
            row(&format!("recall, vague, after {turns} of {name}"), shares(&mut exam, say));
        }
    }
    if let Some(known) = meaning::vectors_of(&texts(set)) {
        let mut exam = Exam { known: Some(&known), ..Exam::new(set) };
        let mut row = |name: &str, shares| row(&name.replacen("recall", "recall by meaning", 1), shares);
        row("recall", shares(&mut exam, alone));
        row("recall, split over two turns", shares(&mut exam, |question, _| split(question)));
        for (name, between) in BETWEEN {
            row(name, shares(&mut exam, |question, number| vague(question, number, between)));
        }
        row("recall, corrected", shares(&mut exam, corrected));
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
        after.extend(BETWEEN.iter().flat_map(|(_, between)| vague(question, number, between)));
        after.extend(corrected(question, number));
    }
    meaning::texts(set.talks.iter().flatten().map(|(message, _)| message).chain(&after))
}

fn shares(exam: &mut Exam<'_>, say: impl Fn(&Question, usize) -> Vec<Message>) -> Vec<f64> {
    BUDGETS.iter().map(|&budget| exam.share("recall", budget, &say)).collect()
}

/// Where answers are long: how often the sentence that is asked for is sent, and how many of the newest messages are, whole
/// or in part, without a break.
fn examine_long_answers() {
    let (messages, asked) = data::long_answers();
    let messages: Talk = messages.into_iter().map(|message| (message, Timestamp::default())).collect();
    let columns = ["1k", "2k", "4k", "8k", "16k"];
    let title = format!("long answers, made up: sentences sent, of {}", asked.len());
    let mut sentences = Table::with_columns(&title, &columns);
    let mut newest = Table::with_columns("long answers, made up: newest messages without a break, of all", &columns);
    let mut case = Case::new(&messages);
    let questions: Vec<Message> = asked.iter().map(|(question, _)| Message::user(&**question)).collect();
    let known = meaning::vectors_of(&meaning::texts(messages.iter().map(|(message, _)| message).chain(&questions)));
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
