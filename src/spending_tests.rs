use super::*;
use crate::tokens::{Model, Prices};

fn bill(prompt: u64, cached: u64, completion: u64, reasoning: u64) -> Usage {
    let mut usage = Usage::new(prompt, completion);
    (usage.cached_tokens, usage.reasoning_tokens) = (cached, reasoning);
    usage
}

fn mini() -> Option<Price> {
    Prices::default().of(&Model::find("gpt-4o-mini"))
}

fn reply() -> Call {
    Call::new(Purpose::Reply, "gpt-4o-mini")
}

#[test]
fn purposes_are_counted_apart_and_together() {
    let mut spending = Spending::default();
    spending.add(&reply().usage(&bill(10_000, 4_000, 500, 100)).price(mini()).attempts(3));
    spending.add(&reply().usage(&bill(12_000, 9_000, 700, 0)).price(mini()));
    spending.add(&Call::new(Purpose::Summary, "gpt-4o-mini").usage(&bill(2_000, 0, 80, 0)).price(mini()));
    let replies = spending.of(&Purpose::Reply);
    assert_eq!((replies.calls, replies.attempts, replies.failed, replies.unreported), (2, 4, 0, 0));
    assert_eq!((replies.prompt_tokens, replies.cached_tokens), (22_000, 13_000));
    assert_eq!((replies.completion_tokens, replies.reasoning_tokens), (1_200, 100));
    assert_eq!(spending.total(), replies + spending.of(&Purpose::Summary));
    assert_eq!(spending.of(&Purpose::Other("title".to_owned())), Tally::default());
    let sum: Dollars = spending.entries().iter().filter_map(|entry| entry.tally.cost()).sum();
    assert_eq!(spending.total().cost(), Some(sum));
    assert!(!spending.total().is_partial());
}

#[test]
fn what_is_not_known_is_said() {
    let mut spending = Spending::default();
    assert_eq!((spending.total().cost(), spending.total().is_partial()), (Some(Dollars::ZERO), false));
    spending.add(&reply().price(mini()));
    let total = spending.total();
    assert_eq!((total.unreported, total.cost(), total.is_partial()), (1, None, true));
    spending.add(&reply().usage(&bill(1_000, 0, 0, 0)));
    assert_eq!((spending.total().unpriced, spending.total().cost()), (1, None));
    spending.add(&reply().usage(&bill(1_000, 0, 0, 0)).price(mini()));
    let total = spending.total();
    assert_eq!((total.cost().unwrap().to_string(), total.is_partial()), ("$0.00015".to_owned(), true));
}

#[test]
fn a_model_of_ones_own_is_free_and_known_to_be() {
    let prices = Prices::default().set("smollm2", Price::FREE);
    let call = reply().usage(&bill(1_000, 0, 50, 0)).price(prices.of(&Model::find("smollm2")));
    let mut spending = Spending::default();
    spending.add(&call);
    assert_eq!((spending.total().cost(), spending.total().is_partial()), (Some(Dollars::ZERO), false));
}

#[test]
fn a_failed_call_counts_and_costs_only_what_was_billed() {
    let mut spending = Spending::default();
    spending.add(&reply().failed().attempts(4).price(mini()));
    let total = spending.total();
    assert_eq!((total.calls, total.failed, total.attempts, total.unreported), (1, 1, 4, 0));
    assert_eq!((total.cost(), total.is_partial()), (Some(Dollars::ZERO), false));
    spending.add(&reply().failed().usage(&bill(1_000, 0, 0, 0)).price(mini()));
    assert_eq!(spending.total().cost().unwrap().to_string(), "$0.00015");
}

#[test]
fn people_read_a_line_for_each_purpose_and_model() {
    let mut spending = Spending::default();
    spending.add(&reply().usage(&bill(10_000, 4_000, 500, 100)).price(mini()).attempts(3));
    spending.add(&reply().failed());
    spending.add(&Call::new(Purpose::Summary, "smollm2").usage(&bill(2_000, 0, 80, 0)));
    let lines = spending.to_string();
    let expected = [
        "reply, gpt-4o-mini: 2 calls (1 failed, 2 retried), 10,000 tokens of prompts (4,000 cached) and 500 of replies \
         (100 reasoning), $0.0015",
        "summary, smollm2: 1 call, 2,000 tokens of prompts and 80 of replies, cost not known",
        "in all: 3 calls (1 failed, 2 retried), 12,000 tokens of prompts (4,000 cached) and 580 of replies \
         (100 reasoning), $0.0015 and what is not known",
    ];
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn it_comes_back_from_json_as_it_was() {
    let mut spending = Spending::default();
    spending.add(&reply().usage(&bill(10_000, 4_000, 500, 100)).price(mini()));
    spending.add(&Call::new(Purpose::Other("title".to_owned()), "smollm2"));
    let json = serde_json::to_string(&spending).unwrap();
    assert_eq!(serde_json::from_str::<Spending>(&json).unwrap(), spending);
    let later = r#"[{"purpose":"reply","model":"m","calls":2,"audio_tokens":7}]"#;
    assert_eq!(serde_json::from_str::<Spending>(later).unwrap().total().calls, 2);
}

#[test]
fn no_figure_overflows() {
    let most = bill(u64::MAX, u64::MAX, u64::MAX, u64::MAX);
    let mut spending = Spending::default();
    for _ in 0..3 {
        spending.add(&reply().usage(&most).price(mini()).attempts(usize::MAX));
    }
    let total = spending.total();
    assert_eq!((total.prompt_tokens, total.cost().unwrap().picodollars()), (u64::MAX, u64::MAX));
    assert!(!total.to_string().is_empty());
}
