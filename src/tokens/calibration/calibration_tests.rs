use fastrand::Rng;

use super::*;
use crate::budget::TokenBudget;
use crate::tokens::Count;

const BILLS: &str = include_str!("../../../fixtures/bills.csv");

const MODEL: &str = "smollm2";
const SERVER: &str = "http://127.0.0.1:8080/v1";

/// Our counts and the bills of one recorded conversation.
fn recording(name: &str) -> Vec<(u64, u64)> {
    let lines = BILLS.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let own = lines.filter(|columns| columns[0] == name);
    own.map(|columns| (columns[1].parse().unwrap(), columns[2].parse().unwrap())).collect()
}

fn recordings() -> Vec<&'static str> {
    let mut names: Vec<_> = BILLS.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    names.dedup();
    names
}

/// How the forecasts of a conversation were off, from the third exchange on.
#[derive(Debug, Default)]
struct Judged {
    bills: usize,
    /// Sums over the bills, in tokens and in thousandths of the bill.
    off: u64,
    off_part: u64,
    margins: u64,
    short: usize,
}

impl Judged {
    fn is_good(&self) -> bool {
        let bills = self.bills as u64;
        self.off <= 8 * bills || self.off_part <= 50 * bills
    }
}

fn judge(calibration: &Calibration, bills: &[(u64, u64)]) -> Judged {
    let (mut anchor, mut judged) = (None, Judged::default());
    for (index, &(estimated, billed)) in bills.iter().enumerate() {
        let forecast = calibration.of(MODEL, SERVER).forecast(Count::estimated(estimated), anchor.as_ref());
        anchor = calibration.learn(MODEL, SERVER, &forecast, billed, anchor.as_ref());
        if index >= 2 {
            let off = forecast.tokens.abs_diff(billed);
            judged.bills += 1;
            judged.off += off;
            judged.off_part += off * 1_000 / billed;
            judged.margins += forecast.margin * 1_000 / billed;
            judged.short += usize::from(billed > forecast.most());
        }
    }
    judged
}

/// What issue and design ask for, on recorded conversations whose text costs 1.07 to 2.6 times what
/// we count.
#[test]
fn forecasts_from_the_third_exchange_on_are_good() {
    let mut all = Judged::default();
    for name in recordings() {
        let judged = judge(&Calibration::new(), &recording(name));
        let bills = judged.bills as u64;
        println!(
            "{name}: {} bills, off by {} tokens, {} thousandths; margin {} thousandths; {} short",
            bills,
            judged.off / bills,
            judged.off_part / bills,
            judged.margins / bills,
            judged.short
        );
        // Every message in another of twelve languages and scripts, in 300 tokens: no ratio fits.
        assert!(judged.is_good() || name == "languages", "{name}: {judged:?}");
        assert!(judged.short <= judged.bills.div_ceil(100), "{name}: {judged:?}");
        all.bills += judged.bills;
        all.short += judged.short;
    }
    assert!(all.bills > 700 && all.short <= 3, "{all:?}");
}

/// Bills above forecast and margin: of the first two of each conversation, and of the later ones.
fn above_margin(conversations: &[Vec<(u64, u64)>]) -> (usize, usize) {
    let (mut early, mut later) = (0, 0);
    for bills in conversations {
        let (calibration, mut anchor) = (Calibration::new(), None);
        for (index, &(estimated, billed)) in bills.iter().enumerate() {
            let forecast = calibration.of(MODEL, SERVER).forecast(Count::estimated(estimated), anchor.as_ref());
            anchor = calibration.learn(MODEL, SERVER, &forecast, billed, anchor.as_ref());
            *(if index < 2 { &mut early } else { &mut later }) += usize::from(billed > forecast.most());
        }
    }
    (early, later)
}

/// The recordings, by a server that adds a prompt of its own. Nothing is known before the first
/// bill, so seven or more first bills of the ten are above any forecast.
#[test]
fn a_prompt_of_the_servers_makes_forecasts_no_worse() {
    for (hidden, most) in [(0, (7, 3)), (39, (11, 2)), (200, (11, 2))] {
        let add = |name: &&str| recording(name).into_iter().map(|(ours, billed)| (ours, billed + hidden)).collect();
        let (early, later) = above_margin(&recordings().iter().map(add).collect::<Vec<_>>());
        assert!(early <= most.0 && later <= most.1, "{hidden} more: {early} early, {later} later");
    }
}

/// The margin of a budget of GPT-4o's window after bills, for a conversation that goes on and for a
/// new one.
fn margins(bills: &[(u64, u64)], exact: bool) -> [u64; 2] {
    let (calibration, mut anchor) = (Calibration::new(), None);
    for &(tokens, billed) in bills {
        let forecast = calibration.of(MODEL, SERVER).forecast(Count { tokens, exact }, anchor.as_ref());
        anchor = calibration.learn(MODEL, SERVER, &forecast, billed, anchor.as_ref());
    }
    let budget = TokenBudget::for_model("gpt-4o").unwrap().resolve().unwrap();
    let learned = calibration.of(MODEL, SERVER);
    [anchor, None].map(|anchor| budget.calibrated(&learned, exact, anchor.as_ref(), 0).margin)
}

#[test]
fn a_small_first_bill_with_a_prompt_of_the_servers_takes_some_tens_of_tokens() {
    for exact in [true, false] {
        assert_eq!(margins(&[(11, 50)], exact), [64, 64]);
        let talk: Vec<(u64, u64)> = (0..12).map(|turn| (11 + turn * 25, 50 + turn * 25)).collect();
        for bills in 1..=talk.len() {
            let margins = margins(&talk[..bills], exact);
            assert!(margins.iter().all(|margin| (39..=256).contains(margin)), "{bills} bills: {margins:?}");
        }
        assert_eq!(margins(&talk, exact), [64, 64], "in the end the offset and a few tokens are left");
    }
}

#[test]
fn many_small_conversations_tell_an_offset_from_a_ratio() {
    let calibration = Calibration::new();
    for tokens in [11, 30, 12, 80, 25, 200, 17, 45, 60, 33] {
        let forecast = calibration.of(MODEL, SERVER).forecast(Count::estimated(tokens), None);
        calibration.learn(MODEL, SERVER, &forecast, tokens + 39, None);
    }
    let learned = calibration.of(MODEL, SERVER);
    assert!((38..=40).contains(&learned.offset()), "{learned}");
    assert!((999_000..1_010_000).contains(&learned.ratio()), "{learned}");
    assert_eq!(learned.forecast(Count::estimated(50), None).tokens, 89);
    assert_eq!(
        learned.to_string(),
        "1.000 tokens billed for each of ours and 39 more in each request (10 bills), forecasts off by 0.0 % on average \
         and short by at most 0.0 %"
    );
}

#[test]
fn one_large_first_bill_tells_the_ratio() {
    let calibration = Calibration::new();
    let forecast = calibration.of(MODEL, SERVER).forecast(Count::estimated(5_000), None);
    calibration.learn(MODEL, SERVER, &forecast, 7_500, None);
    let learned = calibration.of(MODEL, SERVER);
    assert!((1_400_000..1_520_000).contains(&learned.ratio()), "{learned}");
    assert!(learned.offset() < 300, "{learned}");
}

#[test]
fn a_new_prompt_of_the_servers_is_learned_from_the_next_bills() {
    let calibration = Calibration::new();
    for (number, hidden) in [39_u64; 20].into_iter().chain([439; 20]).enumerate() {
        let tokens = 20 + number as u64 * 7 % 50;
        let forecast = calibration.of(MODEL, SERVER).forecast(Count::exact(tokens), None);
        calibration.learn(MODEL, SERVER, &forecast, tokens + hidden, None);
        if !(20..21).contains(&number) && number > 0 {
            assert!(tokens + hidden <= forecast.most(), "conversation {number}: {forecast:?}");
        }
    }
    assert!((400..=439).contains(&calibration.of(MODEL, SERVER).offset()));
}

#[test]
fn a_prompt_of_the_servers_takes_room_in_a_window_and_none_of_a_stated_limit() {
    let (calibration, mut anchor) = (Calibration::new(), None);
    for tokens in [100, 200, 300, 400, 500, 600, 700, 800, 900] {
        let forecast = calibration.of(MODEL, SERVER).forecast(Count::exact(tokens), anchor.as_ref());
        anchor = calibration.learn(MODEL, SERVER, &forecast, tokens + 2_000, anchor.as_ref());
    }
    let learned = calibration.of(MODEL, SERVER);
    let margin = |budget: TokenBudget| budget.resolve().unwrap().calibrated(&learned, true, anchor.as_ref(), 0).margin;
    assert!((1_980..=2_100).contains(&margin(TokenBudget::window(10_000))), "{learned}");
    assert!(margin(TokenBudget::limit(1_000)) <= 32, "{learned}");
    assert!(margin(TokenBudget::limit(1_000_000).within(10_000)) >= 1_980, "a limit that became a window is one");
}

#[test]
fn what_an_older_version_has_learned_is_taken_over_without_its_first_bills() {
    let read = |text: &str| serde_json::from_str::<Calibration>(text).unwrap().of("m", "s");
    let young = r#"[{"model":"m","server":"s","bills":1,"products":550,"squares":121,"errors":[],
        "first_errors":[3545454],"limit":512}]"#;
    let young = read(young);
    assert_eq!((young.bills(), young.offset(), young.limit()), (0, 0, Some(512)));
    let old = r#"[{"model":"m","server":"s","bills":60,"products":1100000,"squares":1000000,"errors":[20000,-10000],
        "first_errors":[3545454]}]"#;
    let old = read(old);
    assert_eq!((old.bills(), old.ratio() / 1_000, old.mean_error()), (60, 1_099, 15_000));
    assert_eq!(old.error_bar(1_000, false), 30);
}

#[test]
fn a_second_conversation_profits_from_the_first() {
    let calibration = Calibration::new();
    judge(&calibration, &recording("numbers"));
    let learned = calibration.of(MODEL, SERVER);
    assert_eq!(learned.bills(), 60);
    assert!((1_060_000..1_120_000).contains(&learned.ratio()), "{learned}");
    let &(estimated, billed) = &recording("code")[0];
    let forecast = learned.forecast(Count::estimated(estimated), None);
    assert!(!forecast.anchored && forecast.tokens.abs_diff(billed) <= 8, "{forecast:?} for {billed}");
    assert!(calibration.of(MODEL, "https://elsewhere/v1") == Learned::default());
}

#[test]
fn exact_counts_need_no_margin() {
    let calibration = Calibration::new();
    let mut anchor = None;
    for tokens in [120, 400, 380, 90_000, 200] {
        let learned = calibration.of("gpt-4o", "");
        let forecast = learned.forecast(Count::exact(tokens), anchor.as_ref());
        assert_eq!((forecast.tokens, forecast.margin, learned.ratio()), (tokens, 0, 1_000_000));
        anchor = calibration.learn("gpt-4o", "", &forecast, tokens, anchor.as_ref());
        let budget = TokenBudget::window(128_000).resolve().unwrap();
        assert_eq!(budget.calibrated(&calibration.of("gpt-4o", ""), true, anchor.as_ref(), 0), budget);
    }
    let wrong = calibration.of("gpt-4o", "").forecast(Count::exact(200), anchor.as_ref());
    calibration.learn("gpt-4o", "", &wrong, 260, anchor.as_ref());
    assert!(
        calibration.of("gpt-4o", "").forecast(Count::exact(200), anchor.as_ref()).margin > 60,
        "a claim that failed"
    );
}

#[test]
fn the_budget_keeps_bills_in_the_room_and_moves_in_steps() {
    let budget = TokenBudget::window(10_000).reply_reserve(1_000).resolve().unwrap();
    let (calibration, mut anchor, mut margin, mut moves) = (Calibration::new(), None, 0, 0);
    assert_eq!(budget.calibrated(&calibration.of(MODEL, SERVER), false, None, 0), budget, "nothing is known");
    let (mut rng, mut sent, mut largest) = (Rng::with_seed(3), Vec::new(), 0);
    for turn in 0..400 {
        let learned = calibration.of(MODEL, SERVER);
        let now = budget.calibrated(&learned, false, anchor.as_ref(), margin);
        assert_eq!((now.margin % 100, now.limit + now.margin), (0, 9_000));
        moves += usize::from(now.margin != margin && turn >= 20);
        margin = now.margin;
        let tokens = rng.u64(20..400);
        sent.push((tokens, tokens * rng.u64(110..=130) / 100));
        let sum = |sent: &[(u64, u64)]| sent.iter().fold((0, 30), |sum, cost| (sum.0 + cost.0, sum.1 + cost.1));
        while sum(&sent).0 > if sent.len() > 1 { now.limit } else { u64::MAX } {
            let cut = (0..sent.len()).find(|&cut| sum(&sent[cut..]).0 <= now.low).unwrap();
            sent.drain(..cut);
        }
        let (estimated, billed) = sum(&sent);
        largest = largest.max(billed);
        let forecast = learned.forecast(Count::estimated(estimated), anchor.as_ref());
        anchor = calibration.learn(MODEL, SERVER, &forecast, billed, anchor.as_ref());
    }
    assert!((8_400..=9_000).contains(&largest), "{largest}");
    assert!(moves <= 20, "the limit moved {moves} times in 380 requests");
    assert!((1_500..2_100).contains(&margin), "{margin}");
}

#[test]
fn a_margin_falls_only_when_two_steps_less_are_enough() {
    let budget = TokenBudget::window(1_000).reply_reserve(0).resolve().unwrap();
    let calibration = Calibration::new();
    judge(&calibration, &recording("numbers"));
    let learned = calibration.of(MODEL, SERVER);
    let fresh = budget.calibrated(&learned, false, None, 0).margin;
    assert_eq!(budget.calibrated(&learned, false, None, fresh + 10).margin, fresh + 10);
    assert_eq!(budget.calibrated(&learned, false, None, fresh + 20).margin, fresh);
    assert_eq!(budget.calibrated(&learned, false, None, fresh - 10).margin, fresh);
    let own = TokenBudget::window(1_000).reply_reserve(0).margin(900).resolve().unwrap();
    assert_eq!(own.calibrated(&learned, false, None, 0), own, "the user's own margin is larger");
}

#[test]
fn counts_that_are_too_high_make_no_budget_larger() {
    let budget = TokenBudget::limit(1_000).resolve().unwrap();
    let (calibration, mut anchor) = (Calibration::new(), None);
    for estimated in [100, 200, 300, 400, 500, 600, 700, 800, 900, 950] {
        let forecast = calibration.of(MODEL, SERVER).forecast(Count::estimated(estimated), anchor.as_ref());
        anchor = calibration.learn(MODEL, SERVER, &forecast, estimated / 2, anchor.as_ref());
    }
    let learned = calibration.of(MODEL, SERVER);
    assert!(learned.ratio() < 600_000, "{learned}");
    assert_eq!(budget.calibrated(&learned, false, anchor.as_ref(), 0), budget);
}

#[test]
fn a_limit_is_learned_and_forgotten_when_a_longer_request_is_answered() {
    let calibration = Calibration::new();
    calibration.learn_limit(MODEL, SERVER, 0);
    assert_eq!(calibration.of(MODEL, SERVER).limit(), None);
    calibration.learn_limit(MODEL, SERVER, 512);
    let learned = calibration.of(MODEL, SERVER);
    assert_eq!((learned.limit(), learned.bills()), (Some(512), 0));
    let forecast = learned.forecast(Count::estimated(500), None);
    calibration.learn(MODEL, SERVER, &forecast, 512, None);
    assert_eq!(calibration.of(MODEL, SERVER).limit(), Some(512));
    calibration.learn(MODEL, SERVER, &forecast, 513, None);
    assert_eq!(calibration.of(MODEL, SERVER).limit(), None);
}

#[test]
fn it_can_be_seen_shared_reset_and_merged() {
    let calibration = Calibration::new();
    let shared = calibration.clone();
    judge(&shared, &recording("numbers"));
    calibration.learn_limit("other", SERVER, 2_048);
    assert_eq!(
        calibration.of(MODEL, SERVER).to_string(),
        "1.094 tokens billed for each of ours (60 bills), forecasts off by 0.6 % on average and short by at most 2.5 %"
    );
    let part = calibration.part(MODEL, SERVER);
    assert_eq!((part.all().len(), calibration.all().len()), (1, 2));
    let older = Calibration::new();
    judge(&older, &recording("numbers")[..5]);
    older.learn_limit(MODEL, SERVER, 512);
    older.merge(&part);
    assert_eq!((older.of(MODEL, SERVER).bills(), older.of(MODEL, SERVER).limit()), (60, Some(512)));
    part.merge(&older);
    assert_eq!(part.all(), older.all());
    assert!(calibration.reset(MODEL, SERVER).is_some() && calibration.of(MODEL, SERVER) == Learned::default());
    calibration.clear();
    assert!(shared.is_empty());
}

#[test]
fn it_comes_back_from_json_and_what_cannot_be_read_is_nothing() {
    let calibration = Calibration::new();
    for name in recordings() {
        judge(&calibration, &recording(name));
    }
    calibration.learn_limit("other", SERVER, u64::MAX);
    let json = serde_json::to_string(&calibration).unwrap();
    assert_eq!(serde_json::from_str::<Calibration>(&json).unwrap().all(), calibration.all());
    for other in ["null", "7", "{}", r#"[{"model":1}]"#, r#"[{"model":"m","server":"s","bills":"many"}]"#] {
        assert!(serde_json::from_str::<Calibration>(other).unwrap().is_empty(), "{other}");
    }
    let hostile = r#"[{"model":"m","server":"s","bills":1,"products":-9000000000000000000,"squares":-5,
        "errors":[9000000000000000000,-9000000000000000000],"later":[1]}]"#;
    let read: Calibration = serde_json::from_str(hostile).unwrap();
    let forecast = read.of("m", "s").forecast(Count::estimated(u64::MAX), None);
    assert!(read.learn("m", "s", &forecast, 1, None).is_some());
}

fn extreme(rng: &mut Rng) -> u64 {
    match rng.u8(..6) {
        0 => 0,
        1 => u64::MAX - rng.u64(..3),
        2 => rng.u64(..4),
        3 => rng.u64(..),
        _ => rng.u64(..1_000_000),
    }
}

#[test]
fn no_numbers_make_it_panic_and_forecasts_grow_with_the_count() {
    for seed in 0..200 {
        let (mut rng, calibration, again) = (Rng::with_seed(seed), Calibration::new(), Calibration::new());
        let mut anchor = None;
        for _ in 0..30 {
            let learned = calibration.of(MODEL, SERVER);
            let exact = rng.bool();
            let count = |tokens: u64| Count { tokens, exact };
            let (less, more) = (extreme(&mut rng), extreme(&mut rng));
            let (less, more) = (less.min(more), less.max(more));
            let [low, high] = [less, more].map(|tokens| learned.forecast(count(tokens), anchor.as_ref()));
            assert!(low.tokens <= high.tokens && low.most() <= high.most(), "seed {seed}: {low:?} {high:?}");
            let room = extreme(&mut rng);
            let fitting = learned.fitting(room, exact, anchor.as_ref());
            let fits = |tokens: u64| learned.most(count(tokens), anchor.as_ref()) <= room;
            assert!(fitting <= room && (fitting == 0 || fits(fitting)), "seed {seed}");
            assert!(fitting == room || !fits(fitting + 1), "seed {seed}");
            if let Ok(budget) = TokenBudget::window(room).margin(rng.u64(..50)).resolve() {
                let now = budget.calibrated(&learned, exact, anchor.as_ref(), extreme(&mut rng));
                assert!(now.limit > 0 && now.limit <= budget.limit && now.margin >= budget.margin, "seed {seed}");
            }
            let billed = extreme(&mut rng);
            let next = calibration.learn(MODEL, SERVER, &high, billed, anchor.as_ref());
            assert_eq!(again.learn(MODEL, SERVER, &high, billed, anchor.as_ref()), next);
            anchor = next;
            assert!((250_000..=8_000_000).contains(&calibration.of(MODEL, SERVER).ratio()));
            assert!(!calibration.of(MODEL, SERVER).to_string().is_empty());
        }
        assert_eq!(calibration.all(), again.all());
        let json = serde_json::to_string(&calibration).unwrap();
        assert_eq!(serde_json::from_str::<Calibration>(&json).unwrap().all(), calibration.all());
    }
}
