//! Invariants 2, 3 and 4: ten thousand conversations under every strategy, judged once for all three.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::LazyLock;
use std::thread;

use fastrand::Rng;
use turnwise::tokens::CounterFn;
use turnwise::{
    ChatCost, Conversation, Error, Fate, HeadTail, Ledger, Message, Plan, Planner, Reason, Recall, Role, SlidingWindow,
    Strategy, StrategyCache, TokenBudget, strategy,
};

use crate::generate::{self, Talk, chance};
use crate::judge::{Asked, Counter, Input, Kind, State, json_of, without_ids};
use crate::{Case, SEED, cases};

const CASES: u64 = 10_000;

pub(crate) fn bytes(text: &str) -> u64 {
    text.len() as u64
}

pub(crate) fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

pub(crate) fn cost_of(name: &str, counter: Counter) -> ChatCost {
    ChatCost::new(CounterFn::new(name, counter))
}

/// Every strategy that a case is tried under.
pub(crate) fn strategies(rng: &mut Rng) -> Vec<(Kind, Box<dyn Strategy>)> {
    let mut all: Vec<(Kind, Box<dyn Strategy>)> = vec![(Kind::Everything, strategy::parse("everything").unwrap())];
    let few = rng.usize(0..12);
    for on_user in [false, true] {
        let windows = [
            (Kind::Tokens { on_user }, SlidingWindow::tokens()),
            (Kind::Messages { most: few, on_user }, SlidingWindow::messages(few)),
            (Kind::Turns { most: few / 3, on_user }, SlidingWindow::turns(few / 3)),
        ];
        for (kind, window) in windows {
            all.push((kind, Box::new(if on_user { window.start_on_user() } else { window })));
        }
    }
    for first in [0, 1, 2, few + 3] {
        all.push((Kind::HeadTail { first }, Box::new(HeadTail::messages(first))));
    }
    for tail in [0, 15] {
        all.push((Kind::Recall, Box::new(Recall::new().tail(tail).excerpts(0))));
    }
    all
}

pub(crate) fn budget(rng: &mut Rng, limit: u64) -> TokenBudget {
    let budget = TokenBudget::limit(limit);
    match rng.u8(0..10) {
        0..=3 => budget.low_mark(1.0),
        4..=6 => budget.low_mark(0.7),
        7 => budget,
        8 => budget.high_mark(0.9).low_mark(0.5),
        _ => budget.high_mark(0.8),
    }
}

/// What a run found, and of what it consisted.
#[derive(Default)]
struct Outcome {
    conversations: u64,
    plans: u64,
    feasible: u64,
    infeasible: u64,
    trimmed: u64,
    refused: u64,
    whole_too_large: u64,
    nothing_to_send: u64,
    marked: u64,
    mix: BTreeMap<&'static str, u64>,
    /// How often each invariant was broken, and the first cases of each.
    broken: BTreeMap<u8, (u64, Vec<String>)>,
}

impl Outcome {
    fn add(mut self, other: Self) -> Self {
        self.conversations += other.conversations;
        self.plans += other.plans;
        self.feasible += other.feasible;
        self.infeasible += other.infeasible;
        self.trimmed += other.trimmed;
        self.refused += other.refused;
        self.whole_too_large += other.whole_too_large;
        self.nothing_to_send += other.nothing_to_send;
        self.marked += other.marked;
        for (what, count) in other.mix {
            *self.mix.entry(what).or_default() += count;
        }
        for (invariant, (count, first)) in other.broken {
            let known = self.broken.entry(invariant).or_default();
            known.0 += count;
            known.1.extend(first);
        }
        self
    }

    fn print(&self) {
        println!(
            "TURNWISE_SEED={}: {} conversations, {} plans asked for: {} feasible ({} trimmed, {} refused because \
             `everything` is too large), {} infeasible (all refused), {} with nothing to send; {} refused in all, {} \
             with marks of an earlier plan",
            *SEED,
            self.conversations,
            self.plans,
            self.feasible,
            self.trimmed,
            self.whole_too_large,
            self.infeasible,
            self.nothing_to_send,
            self.refused,
            self.marked
        );
        for (what, count) in &self.mix {
            println!("  {what}: {:.1} %", percent(*count, self.conversations));
        }
    }

    fn assert_holds(&self, invariant: u8) {
        println!("TURNWISE_SEED={}", *SEED);
        let Some((count, first)) = self.broken.get(&invariant) else { return };
        let first: Vec<String> = first.iter().take(3).cloned().collect();
        panic!("invariant {invariant} was broken {count} times:\n{}", first.join("\n"));
    }
}

#[allow(clippy::cast_precision_loss)]
fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

static OUTCOME: LazyLock<Outcome> = LazyLock::new(|| {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| {
                scope.spawn(move || {
                    let mut outcome = Outcome::default();
                    for number in cases(CASES).skip(first).step_by(threads) {
                        try_case(Case::new(number), &mut outcome);
                    }
                    outcome
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).fold(Outcome::default(), Outcome::add)
    })
});

fn try_case(mut case: Case, outcome: &mut Outcome) {
    let talk = generate::talk(&mut case.rng);
    let rng = &mut case.rng;
    let (name, counter): (_, Counter) = if chance(rng, 70) { ("bytes", bytes) } else { ("words", words) };
    let tools = if chance(rng, 15) { generate::tools(rng) } else { Vec::new() };
    let mut conversation = talk.conversation();
    let input = Input::new(&talk.messages, &talk.pins, &tools, counter);
    outcome.conversations += 1;
    for trait_of in traits(&talk, &input) {
        *outcome.mix.entry(trait_of).or_default() += 1;
    }

    let (fixed, whole) = (input.fixed(), input.whole());
    let feasible = match rng.u8(0..10) {
        0 => whole.saturating_add_signed(rng.i64(-1..2)).max(fixed),
        1 => fixed + rng.u64(0..2),
        _ => generate::log_uniform(rng, fixed, 2 * whole),
    };
    let mut limits = vec![feasible];
    if chance(rng, 30) {
        limits.push(if chance(rng, 50) { fixed - 1 } else { rng.u64(1..fixed) });
    }
    let strategies = strategies(rng);
    let mut ledger = Ledger::new();
    let cost = cost_of(name, counter);
    let is_marked = chance(rng, 25);
    if is_marked {
        let smaller = generate::log_uniform(rng, fixed, whole);
        leave_marks(&mut conversation, &mut ledger, &cost, smaller, &strategies);
        outcome.marked += 1;
    }
    for limit in limits {
        let planner = Planner::new(cost.clone(), &budget(rng, limit)).unwrap().never_cut().tools(tools.clone());
        for (kind, strategy) in &strategies {
            let answer = planner.plan(&conversation, &mut ledger, &**strategy, &mut StrategyCache::default());
            let asked =
                Asked { input: &input, conversation: &conversation, kind: *kind, budget: *planner.budget(), is_marked };
            outcome.count(&asked, &answer);
            for (invariant, what) in asked.judge(&answer) {
                let known = outcome.broken.entry(invariant).or_default();
                known.0 += 1;
                if known.1.len() < 2 {
                    let mut text =
                        format!("{}: {} on {:?}: {what}\n", case_again(case.number), strategy.spec(), asked.budget);
                    let _ = writeln!(text, "pins {:?}, counter {name}, tools {}", talk.pins, tools.len());
                    talk.messages.iter().take(70).for_each(|message| {
                        let _ = writeln!(text, "  {:.200}", json_of(message));
                    });
                    known.1.push(text);
                }
            }
        }
    }
}

fn case_again(number: u64) -> String {
    format!("TURNWISE_SEED={} TURNWISE_CASE={number}", *SEED)
}

fn leave_marks(
    conversation: &mut Conversation,
    ledger: &mut Ledger,
    cost: &ChatCost,
    limit: u64,
    strategies: &[(Kind, Box<dyn Strategy>)],
) {
    let planner = Planner::new(cost.clone(), &TokenBudget::limit(limit)).unwrap().never_cut();
    for (_, strategy) in strategies {
        if let Ok(plan) = planner.plan(conversation, ledger, &**strategy, &mut StrategyCache::default()) {
            plan.commit_marks(conversation).unwrap();
        }
    }
}

impl Outcome {
    fn count(&mut self, asked: &Asked<'_>, answer: &Result<Plan, Error>) {
        self.plans += 1;
        self.refused += u64::from(answer.is_err());
        match (asked.input.is_empty(), asked.is_feasible()) {
            (true, _) => self.nothing_to_send += 1,
            (_, false) => self.infeasible += 1,
            (_, true) => {
                self.feasible += 1;
                self.whole_too_large += u64::from(answer.is_err());
                let for_budget =
                    |reason: &Reason| matches!(reason, Reason::Budget | Reason::Middle | Reason::Unrelated);
                let is_trimmed = |plan: &Plan| plan.runs().iter().any(|run| for_budget(&run.reason));
                self.trimmed += u64::from(answer.as_ref().is_ok_and(is_trimmed));
            }
        }
    }
}

/// What is special about a conversation.
fn traits(talk: &Talk, input: &Input) -> BTreeSet<&'static str> {
    let messages = &talk.messages;
    let path = &messages[input.head.len()..];
    let is = |role: &'static str| move |message: &Message| message.role().as_str() == role;
    let in_a_row = |role| path.windows(2).any(|pair| pair.iter().all(is(role)));
    let ids = || path.iter().flat_map(Message::tool_calls).filter_map(|call| call.id());
    let last = input.groups.len().saturating_sub(1);
    let state = |wanted| move |group: &crate::judge::Group| group.state == wanted;
    let opens: Vec<usize> = (0..input.groups.len()).filter(|&group| state(State::Open)(&input.groups[group])).collect();
    let ends_on = |role: Role| path.last().is_some_and(|message| *message.role() == role);
    let ends_open = opens.last() == Some(&last);
    let is_late = |group: &crate::judge::Group| group.positions.windows(2).any(|pair| pair[0] + 1 < pair[1]);
    let newest = path.len().saturating_sub(1);
    [
        ("tools", path.iter().any(Message::has_calls)),
        ("parallel calls", path.iter().any(|message| message.tool_calls().len() > 1)),
        ("reused call ids", ids().collect::<BTreeSet<_>>().len() < ids().count()),
        ("orphan results", input.groups.iter().any(state(State::Orphan))),
        ("unanswered calls in the middle", opens.iter().any(|&group| group < last)),
        ("unanswered calls at the end", ends_open),
        ("results that somebody spoke before", input.groups.iter().any(is_late)),
        ("ends on such a result", input.groups.iter().any(|group| is_late(group) && group.positions.contains(&newest))),
        ("empty messages", path.iter().any(|message| message.text().is_empty() && !message.has_calls())),
        ("huge messages", path.iter().any(|message| message.text().len() > 2_000)),
        ("no head", input.head.is_empty()),
        ("several leading messages", input.head.len() > 1),
        ("instructions on the path", path.iter().any(|message| message.role().is_instruction())),
        ("user messages in a row", in_a_row("user")),
        ("assistant messages in a row", in_a_row("assistant")),
        ("ends on user", ends_on(Role::User)),
        ("ends on assistant", ends_on(Role::Assistant) && !ends_open),
        ("ends on tool", ends_on(Role::Tool) && !ends_open),
        ("functions", path.iter().any(|message| message.function_call().is_some())),
        ("pins", !talk.pins.is_empty()),
        ("unknown roles", path.iter().any(is("critic"))),
        ("empty path", path.is_empty()),
        ("40 messages or more", messages.len() >= 40),
    ]
    .into_iter()
    .filter_map(|(what, holds)| holds.then_some(what))
    .collect()
}

#[test]
fn invariant_2_every_request_is_legal() {
    OUTCOME.assert_holds(2);
}

/// Results go behind their calls and nothing else moves or is lost: the record is as it was, and where there is room, all
/// that anybody said is sent in its order.
#[test]
fn invariant_2_results_go_behind_their_calls_and_nothing_else_moves() {
    crate::each_case(2_000, |case| {
        let talk = generate::talk(&mut case.rng);
        let conversation = talk.conversation();
        let input = Input::new(&talk.messages, &talk.pins, &[], bytes);
        let planner = Planner::new(cost_of("bytes", bytes), &TokenBudget::limit(u64::MAX)).unwrap();
        let Ok(plan) =
            planner.plan(&conversation, &mut Ledger::new(), &SlidingWindow::tokens(), &mut StrategyCache::default())
        else {
            return;
        };
        assert!(conversation.messages().eq(&talk.messages), "the record");
        let is_result = |json: &String| json.contains(r#""role":"tool""#) || json.contains(r#""role":"function""#);
        let unanswered = input.groups.iter().filter(|group| group.state == State::Open).map(|group| group.positions[0]);
        let unanswered: BTreeSet<usize> = unanswered.collect();
        let said = input.path.iter().enumerate().filter(|(at, _)| !unanswered.contains(at)).map(|(_, json)| json);
        // Calls of one message that share an id are sent with an id each.
        let said = input.head.iter().chain(said).filter(|json| !is_result(json)).map(|json| without_ids(json));
        let sent: Vec<String> = plan.messages().iter().map(json_of).collect();
        assert!(said.eq(sent.iter().filter(|json| !is_result(json)).map(|json| without_ids(json))), "what was said");
        let answered = input.groups.iter().filter(|group| group.state == State::Ready);
        let results: usize = answered.map(|group| group.positions.len() - 1).sum();
        assert_eq!(sent.iter().filter(|json| is_result(json)).count(), results);
        assert!(crate::judge::is_legal(&plan.messages()[input.head.len()..]));
    });
}

#[test]
fn invariant_3_no_request_exceeds_its_budget_and_only_what_cannot_fit_is_refused() {
    OUTCOME.assert_holds(3);
}

#[test]
fn invariant_4_head_pins_and_pending_are_always_sent() {
    OUTCOME.assert_holds(4);
}

#[test]
fn the_random_conversations_have_the_stated_mix() {
    OUTCOME.print();
    if OUTCOME.conversations < 1_000 {
        return;
    }
    for (what, least) in [
        ("tools", 30.0),
        ("parallel calls", 10.0),
        ("reused call ids", 10.0),
        ("orphan results", 5.0),
        ("unanswered calls in the middle", 5.0),
        ("unanswered calls at the end", 2.0),
        ("results that somebody spoke before", 5.0),
        ("ends on such a result", 0.5),
        ("empty messages", 10.0),
        ("huge messages", 3.0),
        ("no head", 10.0),
        ("several leading messages", 10.0),
        ("instructions on the path", 5.0),
        ("user messages in a row", 10.0),
        ("assistant messages in a row", 10.0),
        ("ends on user", 10.0),
        ("ends on assistant", 10.0),
        ("ends on tool", 3.0),
        ("functions", 3.0),
        ("pins", 20.0),
        ("unknown roles", 2.0),
        ("empty path", 0.5),
        ("40 messages or more", 3.0),
    ] {
        let found = percent(OUTCOME.mix.get(what).copied().unwrap_or(0), OUTCOME.conversations);
        assert!(found >= least, "{what}: {found:.1} %, at least {least} % is stated");
    }
    assert!(percent(OUTCOME.trimmed, OUTCOME.feasible) > 20.0, "too few plans trim");
    assert!(percent(OUTCOME.infeasible, OUTCOME.plans) > 10.0, "too few budgets are infeasible");
}

#[test]
fn what_to_keep_says_is_true() {
    try_to_keep(false);
}

#[test]
fn what_to_keep_says_is_true_for_windows_that_start_on_a_user_message() {
    try_to_keep(true);
}

/// Tries what `to_keep` says: the limit that it names, and the pin.
fn try_to_keep(on_user: bool) {
    crate::each_case(1_500, |case| {
        let talk = generate::talk(&mut case.rng);
        let rng = &mut case.rng;
        let input = Input::new(&talk.messages, &talk.pins, &[], bytes);
        let mut conversation = talk.conversation();
        let limit = generate::log_uniform(rng, input.fixed(), input.whole());
        let is_full = chance(rng, 60);
        let budget = |limit| TokenBudget::limit(limit).low_mark(if is_full { 1.0 } else { 0.7 });
        let mut ledger = Ledger::new();
        let cost = cost_of("bytes", bytes);
        let few = rng.usize(0..12);
        let window = match rng.u8(0..4) {
            0 | 1 => SlidingWindow::tokens(),
            2 => SlidingWindow::messages(few),
            _ => SlidingWindow::turns(few),
        };
        let window = if on_user { window.start_on_user() } else { window };
        let mut plan = |conversation: &Conversation, limit| {
            let planner = Planner::new(cost.clone(), &budget(limit)).unwrap().never_cut();
            planner.plan(conversation, &mut ledger, &window, &mut StrategyCache::default())
        };
        let fate_at = |plan: &Plan, position: usize| {
            plan.runs().iter().find(|run| run.contains(plan.head_len() + position)).unwrap().fate
        };
        let (Ok(first), false) = (plan(&conversation, limit), input.path.is_empty()) else { return };
        let position = rng.usize(0..input.path.len());
        let item = conversation.path().item(position).unwrap().id();
        let to_keep = first.to_keep(item, &window).unwrap();
        case.note(format!("{} at {limit}, position {position}: {to_keep:?}", window.spec()));
        let group = input.groups.iter().find(|group| group.positions.contains(&position)).unwrap();
        assert_eq!((to_keep.tokens, to_keep.fate), (group.tokens, fate_at(&first, position)));
        assert!(!to_keep.to_string().is_empty());
        if let Some(enough) = to_keep.limit {
            assert_eq!(fate_at(&plan(&conversation, enough).unwrap(), position), Fate::Kept, "{enough} is not enough");
            let less = plan(&conversation, enough - 1).unwrap();
            assert!(!is_full || fate_at(&less, position) == Fate::Evicted, "{enough} is more than is needed");
        }
        if let Some(lacks) = to_keep.pin_lacks {
            conversation.pin(item).unwrap();
            assert_eq!(plan(&conversation, limit).is_ok(), lacks == 0);
            assert_eq!(fate_at(&plan(&conversation, limit + lacks).unwrap(), position), Fate::Kept);
            assert!(lacks == 0 || plan(&conversation, limit + lacks - 1).is_err());
        }
    });
}
