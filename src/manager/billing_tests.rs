use futures_lite::future::block_on;
use std::future::IntoFuture;

use super::*;
use crate::backend::{BackendError, BoxFuture, ChatBackend, ChatReply, Scripted, Usage};
use crate::budget::TokenBudget;
use crate::error::ErrorKind;
use crate::message::Message;
use crate::request::ChatRequest;
use crate::spending::Purpose;
use crate::strategy::Summarize;
use crate::tokens::{Anchor, Calibration, CounterFn, LastBill, Price, Prices};

/// A server whose tokenizer makes three tokens of what we count as two, with a window.
struct Windowed {
    window: u64,
    says: fn(prompt: u64, window: u64) -> String,
    requests: Arc<Mutex<Vec<u64>>>,
}

fn all_numbers(prompt: u64, window: u64) -> String {
    format!(
        r#"{{"error":{{"code":400,"message":"too long","type":"exceed_context_size_error","n_prompt_tokens":{prompt},"n_ctx":{window}}}}}"#
    )
}

fn the_window(_: u64, window: u64) -> String {
    format!(r#"{{"error":{{"message":"This model's maximum context length is {window} tokens."}}}}"#)
}

fn no_number(_: u64, _: u64) -> String {
    r#"{"error":{"code":"context_length_exceeded","message":"too long"}}"#.to_owned()
}

/// A limit on the tokens of a minute that a single request exceeds.
fn what_a_minute_allows(prompt: u64, window: u64) -> String {
    format!(
        r#"{{"error":{{"message":"Request too large on tokens per min (TPM): Limit {window}, Requested {prompt}.","type":"tokens","code":"rate_limit_exceeded"}}}}"#
    )
}

impl ChatBackend for Windowed {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let ours: u64 = request.messages.iter().map(|message| message.text().len() as u64 + 4).sum();
        let prompt = ours * 3 / 2;
        self.requests.lock().unwrap().push(prompt);
        let answer = if prompt > self.window {
            Err(BackendError::status(400, &(self.says)(prompt, self.window)))
        } else {
            Ok(ChatReply::new(Message::assistant("yes")).usage(Usage::new(prompt, 3)))
        };
        Box::pin(async move { answer })
    }

    fn server(&self) -> &'static str {
        "http://here/v1"
    }
}

type Requests = Arc<Mutex<Vec<u64>>>;

/// A long conversation with a server of a window that is smaller than it is believed to be.
fn chat(says: fn(u64, u64) -> String) -> (ConversationManager, Requests) {
    let requests = Requests::default();
    let backend = Windowed { window: 1_000, says, requests: Arc::clone(&requests) };
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(backend).counter(counter);
    let chat = builder.budget(TokenBudget::window(8_000).reply_reserve(0)).build().unwrap();
    for _ in 0..30 {
        chat.push("x".repeat(100)).unwrap();
        chat.push(Message::assistant("yes")).unwrap();
    }
    (chat, requests)
}

fn take(requests: &Requests) -> usize {
    std::mem::take(&mut *requests.lock().unwrap()).len()
}

#[test]
fn a_request_that_is_too_long_is_planned_and_sent_once_more_and_no_later_one_is() {
    for says in [all_numbers, the_window, what_a_minute_allows] {
        let (chat, requests) = chat(says);
        for number in 0..20 {
            let reply = block_on(chat.send("x".repeat(60)).into_future()).unwrap();
            let expected = if number == 0 { 2 } else { 1 };
            assert_eq!((reply.report.attempts.len(), take(&requests)), (expected, expected), "exchange {number}");
        }
        assert_eq!(chat.learned().limit(), Some(1_000));
    }
}

#[test]
fn a_window_that_no_answer_states_is_guessed_from_the_request() {
    let (chat, requests) = chat(no_number);
    let errors = (0..10).filter(|_| block_on(chat.send("x").into_future()).is_err()).count();
    assert!(errors <= 4 && take(&requests) <= 16, "{errors} failed");
    assert!(chat.turn_count() > 34, "it gets there");
    assert_eq!(chat.learned().limit(), None, "a guess is this conversation's own");
}

#[test]
fn streams_are_planned_again_too() {
    let (chat, requests) = chat(all_numbers);
    let reply = block_on(async { chat.send("x").stream().await.unwrap().finish().await.unwrap() });
    assert_eq!((reply.report.attempts.len(), take(&requests)), (2, 2));
}

#[test]
fn a_second_overflow_is_a_typed_error_and_what_was_learned_stays() {
    let answers = || BackendError::status(400, &all_numbers(5_000, 4_000));
    let script = Scripted::new([answers(), answers()]).and("later");
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(script.clone()).counter(counter);
    let chat = builder.budget(TokenBudget::window(8_000).reply_reserve(0)).build().unwrap();
    for _ in 0..50 {
        chat.push("x".repeat(90)).unwrap();
        chat.push(Message::assistant("yes")).unwrap();
    }
    let before = chat.history();
    let error = block_on(chat.send("a").into_future()).unwrap_err();
    assert!(error.is_overflow(), "{error}");
    assert_eq!((error.failed_exchange().unwrap().attempts().len(), script.requests().len()), (2, 2));
    assert_eq!((chat.history(), chat.learned().limit()), (before, Some(4_000)));
    block_on(chat.send("a").into_future()).unwrap();
    chat.forget_learned();
    assert_eq!((chat.learned().limit(), chat.learned().bills()), (None, 0));
}

#[test]
fn throttling_that_speaks_of_tokens_is_no_overflow() {
    let words =
        r#"{"error":{"message":"Rate limit reached on tokens per min (TPM): Limit 30000, maximum context length"}}"#;
    let script = Scripted::new([BackendError::status(429, words)]);
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(script.clone()).counter(counter);
    let chat = builder.budget(TokenBudget::window(8_000)).build().unwrap();
    let error = block_on(chat.send("a").into_future()).unwrap_err();
    assert_eq!((error.kind(), script.requests().len(), chat.learned().limit()), (ErrorKind::RateLimited, 1, None));
}

#[test]
fn forecasts_follow_the_bills_and_the_margin_makes_room() {
    let (chat, _) = chat(all_numbers);
    let mut last = None;
    for number in 0..12 {
        let reply = block_on(chat.send("x".repeat(30 + number)).into_future()).unwrap();
        last = Some(reply);
    }
    let report = last.unwrap().report;
    let billed = report.forecast.tokens;
    assert!(report.forecast.anchored && billed.abs_diff(report.plan.tokens().total() * 3 / 2) <= 20, "{billed}");
    let budget = report.plan.budget();
    assert!(budget.margin >= 250 && budget.margin.is_multiple_of(10), "{budget}");
}

#[test]
fn what_bills_taught_is_shared_by_managers_of_one_template_and_kept_in_files() {
    let (first, requests) = chat(all_numbers);
    block_on(first.send("x").into_future()).unwrap();
    let saved = Transcript::from_json(&first.transcript().to_json()).unwrap();
    assert_eq!(saved.model.as_deref(), Some("test-model"));
    let setup = |calibration: &Calibration| {
        let backend = Windowed { window: 1_000, says: all_numbers, requests: Arc::clone(&requests) };
        let counter = CounterFn::new("bytes", |text| text.len() as u64);
        let builder = ConversationManager::builder("test-model").backend(backend).counter(counter);
        builder.budget(TokenBudget::window(8_000).reply_reserve(0)).calibration(calibration)
    };
    let shared = Calibration::new();
    let again = setup(&shared).open(saved).unwrap();
    take(&requests);
    let reply = block_on(again.send("x").into_future()).unwrap();
    assert!(reply.report.forecast.anchored && take(&requests) == 1, "it goes on from the last bill");
    let other = setup(&shared).build().unwrap();
    assert_eq!(other.learned(), again.learned());
    assert!(block_on(other.send("x").into_future()).unwrap().report.forecast.margin > 0);
}

#[test]
fn exact_counts_need_no_margin() {
    let bill = |tokens| ChatReply::new(Message::assistant("yes")).usage(Usage::new(tokens, 1));
    let script = Scripted::default();
    let chat = ConversationManager::builder("gpt-4o").backend(script.clone()).build().unwrap();
    for number in 0..5 {
        let tokens = chat.plan(format!("Question {number}")).unwrap().tokens().total();
        script.then(bill(tokens));
        let report = block_on(chat.send(format!("Question {number}")).into_future()).unwrap().report;
        assert_eq!((report.forecast.tokens, report.forecast.margin, report.plan.budget().margin), (tokens, 0, 0));
    }
}

#[test]
fn what_was_spent_is_kept_by_purpose_also_of_failures() {
    let bill = |text: &str, tokens| ChatReply::new(Message::assistant(text)).usage(Usage::new(tokens, 10));
    let script = Scripted::default().and(bill("all about x", 500)).and(bill("one", 700));
    let script = script.and(BackendError::unavailable("down")).and(bill("", 800));
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let prices = Prices::default().set("test-model", Price::new(1_000_000, 2_000_000));
    let builder = ConversationManager::builder("test-model").backend(script).counter(counter).prices(prices);
    let chat = builder.strategy(Summarize::rolling()).budget(TokenBudget::limit(3_000)).build().unwrap();
    for _ in 0..10 {
        chat.push("x".repeat(300)).unwrap();
        chat.push(Message::assistant("yes")).unwrap();
    }
    let reply = block_on(chat.send("a").into_future()).unwrap();
    assert_eq!(reply.report.cost.unwrap().to_string(), "$0.00072");
    block_on(chat.send("b").into_future()).unwrap_err();
    block_on(chat.send("c").into_future()).unwrap_err();
    let again = Transcript::from_json(&chat.transcript().to_json()).unwrap().spending;
    assert_eq!(again, chat.spending());
    let (replies, summaries) = (again.of(&Purpose::Reply), again.of(&Purpose::Summary));
    assert_eq!((replies.calls, replies.failed, replies.prompt_tokens), (3, 2, 1_500), "{again}");
    assert_eq!((summaries.calls, summaries.prompt_tokens), (1, 500), "{again}");
    assert!(chat.fork(reply.item_id).unwrap().spending().is_empty(), "a fork has spent nothing");
}

/// A conversation of some 3,200 tokens with a scripted server.
fn long_chat(script: Scripted, budget: TokenBudget) -> ConversationManager {
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(script).counter(counter);
    let chat = builder.budget(budget).build().unwrap();
    for _ in 0..30 {
        chat.push("x".repeat(90)).unwrap();
        chat.push(Message::assistant("yes")).unwrap();
    }
    chat
}

#[test]
fn a_guessed_window_has_room_for_the_reply_that_was_asked_for() {
    let window = || TokenBudget::window(8_000);
    for (budget, longest, stated) in [
        (window().reply_reserve(4_000), None, None),
        (window(), Some(4_000), None),
        (window(), None, None),
        (window(), None, Some(0)),
    ] {
        let script = Scripted::default().and(BackendError::overflow(stated)).and("one").and("two");
        let chat = long_chat(script, budget);
        let ask = |text: &str| match longest {
            Some(longest) => chat.send(text).param("max_completion_tokens", longest),
            None => chat.send(text),
        };
        let whole = ask("a").plan().unwrap().tokens().total();
        let report = block_on(ask("a").into_future()).unwrap().report;
        let sent = report.plan.tokens().total();
        assert!(report.attempts.len() == 2 && sent <= whole / 4 * 3, "{sent} of {whole}");
        block_on(ask("b").into_future()).unwrap();
    }
}

#[test]
fn a_guess_that_does_not_help_is_not_kept() {
    let script = Scripted::default().and(BackendError::overflow(None)).and(BackendError::status(413, "")).and("yes");
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(script).counter(counter);
    let chat = builder.budget(TokenBudget::window(8_000).reply_reserve(4_000)).build().unwrap();
    for text in ["a", "an image of many bytes and few tokens"] {
        assert!(block_on(chat.send(text).into_future()).unwrap_err().is_overflow());
        assert_eq!(chat.learned().limit(), None);
    }
    block_on(chat.send("x".repeat(90)).into_future()).unwrap();
}

#[test]
fn an_unusable_reply_behind_an_overflow_names_both_attempts() {
    let script = Scripted::default().and(BackendError::overflow(Some(2_000))).and("");
    let error = block_on(long_chat(script, TokenBudget::window(8_000)).send("a").into_future()).unwrap_err();
    assert_eq!((error.kind(), error.failed_exchange().unwrap().attempts().len()), (ErrorKind::Malformed, 2));
}

#[test]
fn a_fork_goes_on_from_the_last_bill() {
    let bill = |tokens| ChatReply::new(Message::assistant("yes")).usage(Usage::new(tokens, 1));
    let chat = long_chat(Scripted::new([bill(4_000), bill(4_100)]), TokenBudget::window(8_000));
    let reply = block_on(chat.send("a").into_future()).unwrap();
    let report = block_on(chat.fork(reply.item_id).unwrap().send("b").into_future()).unwrap().report;
    assert!(report.forecast.anchored, "{:?}", report.forecast);
}

#[test]
fn the_last_bill_of_another_model_stays_in_the_file_and_starts_no_forecast() {
    let bill = LastBill::new("another-model", "", "bytes", Anchor { estimated: 100, billed: 900 }, 0);
    let mut file = Transcript::new(Conversation::from_messages([Message::user("a")]));
    file.last_bill = Some(Box::new(bill.clone()));
    let builder = ConversationManager::builder("test-model").backend(Scripted::new(["yes"]));
    let chat = builder.budget(TokenBudget::limit(8_000)).open(file).unwrap();
    assert_eq!(chat.shared.file().last_bill.as_deref(), Some(&bill));
    let report = block_on(chat.send("b").into_future()).unwrap().report;
    assert!(!report.forecast.anchored, "{:?}", report.forecast);
}

#[test]
fn no_bill_keeps_a_conversation_from_going_on() {
    let bill = |tokens| ChatReply::new(Message::assistant("yes")).usage(Usage::new(tokens, 1));
    for lie in [20_000, 1 << 40, u64::MAX] {
        let chat = long_chat(Scripted::new([lie, 3_000, 3_000].map(bill)), TokenBudget::window(8_000));
        for text in ["a", "b", "c"] {
            block_on(chat.send(text).into_future()).unwrap();
        }
    }
}

#[test]
fn summaries_are_paid_for_when_what_waited_for_them_is_dropped() {
    let bill = ChatReply::new(Message::assistant("all about x")).usage(Usage::new(500, 10));
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(Scripted::new([bill])).counter(counter);
    let chat = builder.strategy(Summarize::rolling()).budget(TokenBudget::limit(3_000)).build().unwrap();
    for _ in 0..10 {
        chat.push("x".repeat(300)).unwrap();
        chat.push(Message::assistant("yes")).unwrap();
    }
    let turn = chat.shared.queue.try_acquire().unwrap();
    let mut preparing = Box::pin(chat.prepare(0.5));
    for _ in 0..5 {
        assert!(block_on(futures_lite::future::poll_once(&mut preparing)).is_none());
    }
    drop((preparing, turn));
    assert_eq!(chat.spending().of(&Purpose::Summary).prompt_tokens, 500);
}

#[test]
fn every_overflow_is_learned_from_and_the_error_names_the_tokens_and_the_limit() {
    let script = Scripted::default().and(BackendError::overflow(Some(2_000))).and(BackendError::overflow(Some(1_000)));
    let chat = long_chat(script.and("yes"), TokenBudget::window(8_000).reply_reserve(0));
    let error = block_on(chat.send("a").into_future()).unwrap_err();
    assert_eq!((error.kind(), chat.learned().limit()), (ErrorKind::Overflow, Some(1_000)));
    let over = error.over_budget().unwrap();
    assert_eq!((over.part, over.room), (crate::error::OverPart::Request, 1_000));
    assert!(over.tokens > 1_000 && over.tokens <= 2_000, "the last request: {over:?}");
    for part in ["at most 1,000 tokens", &format!("about {} tokens", crate::text::thousands(over.tokens))] {
        assert!(error.to_string().contains(part), "{part} in {error}");
    }
    let reply = block_on(chat.send("a").into_future()).unwrap();
    assert!(reply.report.plan.tokens().total() <= 1_000 && reply.report.attempts.len() == 1);
}

#[test]
fn a_limit_far_above_the_request_is_learned_and_is_no_bill() {
    let stated = || BackendError::status(400, &the_window(0, 100_000));
    let script = Scripted::new([stated()]).and("one").and("two");
    let chat = long_chat(script.clone(), TokenBudget::window(200_000).reply_reserve(1_000));
    let whole = chat.plan("a").unwrap().tokens().total();
    assert!((1_000..10_000).contains(&whole), "{whole}");
    let report = block_on(chat.send("a").into_future()).unwrap().report;
    assert_eq!((chat.learned().limit(), chat.learned().bills()), (Some(100_000), 0));
    // The limit does not explain the refusal, so what is sent next is smaller than what was refused.
    assert!(report.attempts.len() == 2 && report.plan.tokens().total() <= whole / 4 * 3, "{}", report.plan.explain());
    assert_eq!(report.plan.budget().margin, 0);
}

#[test]
fn the_numbers_of_an_overflow_are_the_servers_own_where_it_states_them() {
    let script = Scripted::new([BackendError::status(400, &all_numbers(5_000, 4_000))]);
    let builder = ConversationManager::builder("test-model").backend(script);
    let chat = builder.budget(TokenBudget::window(8_000)).build().unwrap();
    let error = block_on(chat.send("a").into_future()).unwrap_err();
    let over = error.over_budget().unwrap();
    assert_eq!((over.part, over.tokens, over.room), (crate::error::OverPart::Request, 5_000, 4_000));
}

#[test]
fn a_plan_that_cannot_be_shorter_is_not_sent_again() {
    let script = Scripted::default().and(BackendError::overflow(Some(2))).and("yes");
    let builder = ConversationManager::builder("test-model").backend(script.clone());
    let chat = builder.budget(TokenBudget::window(8_000).reply_reserve(0)).build().unwrap();
    assert!(block_on(chat.send("a").into_future()).unwrap_err().is_overflow());
    assert_eq!(script.requests().len(), 1);
}

#[test]
fn a_request_is_priced_before_it_is_sent_as_it_is_billed_afterwards() {
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let own = Price::new(9_000_000, 3_000_000);
    let template = ConversationManager::builder("gpt-4o-mini").counter(counter);
    let template = template.prices(Prices::default().set("gpt-4o-mini", own));
    let before = template.clone().build().unwrap();
    assert_eq!((before.price(), before.model().price), (Some(own), crate::tokens::Model::find("gpt-4o-mini").price));
    let plan = before.plan("a").unwrap();
    let tokens = plan.tokens().total();
    let bill = ChatReply::new(Message::assistant("yes")).usage(Usage::new(tokens, 7));
    let chat = template.backend(Scripted::new([bill])).build().unwrap();
    let expected = chat.cost_of(&plan, 7);
    let report = block_on(chat.send("a").into_future()).unwrap().report;
    assert_eq!((report.cost, expected), (expected, Some(own.of(tokens, 0, 7))));
    let unpriced = ConversationManager::builder("test-model").budget(TokenBudget::limit(100)).build().unwrap();
    assert_eq!((unpriced.price(), unpriced.cost_of(&plan, 1)), (None, None));
}
