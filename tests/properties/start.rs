//! A planner that starts with a user message: whatever the strategy, or refused for a reason that the input shows.

use std::borrow::Cow;

use fastrand::Rng;
use turnwise::strategy::parse;
use turnwise::{
    Conversation, Draft, Error, ErrorKind, Ledger, Message, Plan, Planner, Reason, Result, Role, Strategy,
    StrategyCache, View,
};

use crate::each_case;
use crate::generate::{self, Talk, chance};
use crate::judge::Input;
use crate::plans::{budget, bytes, cost_of};

const TRIMMING: [&str; 10] = [
    "window",
    "window:messages=3",
    "window:turns=1,start=user",
    "head-tail:first=3",
    "recall",
    "recall:tail=5,excerpts=60",
    "tools:keep=1",
    "ladder",
    "summarize:tokens=20,role=assistant",
    "summarize:tokens=20,recall=yes",
];

/// Leaves out what it is told to by index, as a strategy from outside may.
#[derive(Debug)]
struct Whim(Vec<bool>);

impl Strategy for Whim {
    fn spec(&self) -> Cow<'static, str> {
        "whim".into()
    }

    fn draft(&self, view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
        let left_out = (0..view.path().group_count()).filter(|group| self.0[group % self.0.len()]);
        Ok(left_out
            .fold(Draft::keep_all(), |draft, group| draft.evict(group..group + 1, Reason::Other("a whim".into()))))
    }
}

/// What the rule asks of an input, worked out without the crate.
struct Rule {
    /// The user message that is sent for the rule alone.
    leads: Option<usize>,
    can_start: bool,
    fixed: u64,
}

impl Rule {
    fn of(input: &Input) -> Self {
        let first = input.pins.iter().chain(&input.pending).min().copied();
        let is_user = |group: usize| input.groups[group].is_user;
        let before = first.and_then(|first| (0..first).rev().find(|&group| is_user(group)));
        let leads = before.filter(|_| !first.is_some_and(is_user));
        let can_start = first.is_none_or(is_user) || leads.is_some();
        Self { leads, can_start, fixed: input.fixed() + leads.map_or(0, |leads| input.groups[leads].tokens) }
    }
}

fn sent(plan: &Plan) -> Vec<usize> {
    plan.runs().iter().filter(|run| run.fate.is_sent()).flat_map(|run| run.groups.clone()).collect()
}

/// What is sent without the rule, from its first user message on.
fn from_first_user(input: &Input, plan: &Plan) -> Vec<usize> {
    let sent = sent(plan);
    let first = sent.iter().copied().find(|&group| input.groups[group].is_user);
    let is_user = |message: &Message| !matches!(message.role(), Role::System | Role::Developer);
    let summary = plan.summary().filter(|_| plan.strategy().contains("role=assistant")).map(|one| one.groups.end);
    let start = first.into_iter().chain(summary).min();
    let has_said = plan.messages().iter().any(is_user);
    sent.into_iter().filter(|&group| !has_said || start.is_some_and(|start| group >= start)).collect()
}

fn judge(input: &Input, limit: u64, free: &Result<Plan>, bound: &Result<Plan>, trims: bool) {
    let rule = Rule::of(input);
    match bound {
        Ok(plan) => {
            let first = plan.messages().iter().find(|message| !message.role().is_instruction());
            assert!(first.is_none_or(|first| *first.role() == Role::User), "the request begins with {first:?}");
            assert!(plan.tokens().total() <= limit);
            let kept = sent(plan);
            let mut must = input.pins.iter().chain(&input.pending).chain(&rule.leads);
            assert!(must.all(|group| kept.contains(group)), "{must:?} of {kept:?}");
            let start = plan.runs().iter().filter(|run| run.reason == Reason::Start).flat_map(|run| run.groups.clone());
            let is_own_rule = plan.strategy().contains("start=user");
            assert!(is_own_rule || start.max() < kept.first().copied().or(Some(usize::MAX)));
            // Recall may send the question of its first hit too, so that the hit need not be left out.
            let leads = plan.runs().iter().any(|run| run.reason == Reason::Leads);
            if let (None, false, Ok(free)) = (rule.leads, leads, free) {
                let expected = from_first_user(input, free);
                assert!(kept.ends_with(&expected), "{expected:?} are sent without the rule, and {kept:?} with it");
            }
        }
        Err(error) => judge_refusal(input, limit, &rule, error, trims),
    }
}

fn judge_refusal(input: &Input, limit: u64, rule: &Rule, error: &Error, trims: bool) {
    match error.kind() {
        ErrorKind::InvalidMessage => assert!(!rule.can_start || input.is_empty(), "refused: {error}"),
        _ => assert!(rule.fixed > limit || !trims, "refused though {} fit into {limit}: {error}", rule.fixed),
    }
}

/// Some with a summary of their beginning.
fn summarized(talk: &Talk, rng: &mut Rng) -> Conversation {
    let mut conversation = talk.conversation();
    let path = conversation.path();
    if chance(rng, 30) && path.group_count() > 1 {
        let ends = path.positions(0..rng.usize(1..path.group_count()));
        let (first, last) = (path.item(ends.start).unwrap().id(), path.item(ends.end - 1).unwrap().id());
        conversation.attach(first, last, "So far.", None).unwrap();
    }
    conversation
}

#[test]
fn a_request_that_must_start_with_a_user_message_does_or_is_refused() {
    let trimming = TRIMMING.map(|spec| parse(spec).unwrap());
    let everything = parse("everything").unwrap();
    let (mut changed, mut led, mut refused) = (0, 0, 0);
    each_case(1_000, |case| {
        let rng = &mut case.rng;
        let talk = generate::talk(rng);
        let conversation = summarized(&talk, rng);
        let input = Input::new(&talk.messages, &talk.pins, &[], bytes);
        let rule = Rule::of(&input);
        let limit = generate::log_uniform(rng, input.fixed().min(rule.fixed), 2 * input.whole());
        let planner = Planner::new(cost_of("bytes", bytes), &budget(rng, limit)).unwrap().never_cut();
        let whim = Whim((0..7).map(|_| chance(rng, 60)).collect());
        let own = [(&*everything, false), (&whim as &dyn Strategy, false)];
        let strategies = trimming.iter().map(|strategy| (&**strategy, true)).chain(own);
        let mut ledger = Ledger::new();
        for (strategy, trims) in strategies {
            case.note.replace(format!("{} within {limit}", strategy.spec()));
            let free = planner.plan(&conversation, &mut ledger, strategy, &mut StrategyCache::default());
            let bound = planner.clone().start_on_user();
            let bound = bound.plan(&conversation, &mut ledger, strategy, &mut StrategyCache::default());
            judge(&input, limit, &free, &bound, trims);
            let is_other = |(free, bound): (&Plan, &Plan)| free.messages() != bound.messages();
            changed += u32::from(free.as_ref().ok().zip(bound.as_ref().ok()).is_some_and(is_other));
            led += u32::from(bound.is_ok() && rule.leads.is_some());
            refused += u32::from(free.is_ok() && bound.is_err());
        }
    });
    println!("{changed} requests changed, {led} begin with a message that leads, {refused} refused for the rule");
    assert!(changed > 100 && led > 100 || crate::cases(1_000).count() < 1_000);
}
