//! With a real model behind `TURNWISE_TEST_MODEL`, the base URL of an OpenAI-compatible endpoint with a window of 512
//! tokens. Without it nothing is tested here, and that is said.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "openai")]

use std::io::Write;

use serde_json::json;
use turnwise::backend::openai::{OpenAi, Retry};
use turnwise::manager::Builder;
use turnwise::{Conversation, ConversationManager, ErrorKind, Message, Reply, Summarize, TokenBudget, Transcript};

const VARIABLE: &str = "TURNWISE_TEST_MODEL";

/// The endpoint, or a line that no test harness swallows.
fn endpoint(test: &str) -> Option<String> {
    let url = std::env::var(VARIABLE).ok();
    if url.is_none() {
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {VARIABLE} names no endpoint");
    }
    url
}

fn chat(url: &str, budget: u64) -> Builder {
    ConversationManager::builder("smollm2")
        .backend(OpenAi::at(url, "none").retry(Retry::never()))
        .budget(TokenBudget::limit(budget))
        .param("temperature", json!(0))
        .param("max_completion_tokens", json!(32))
}

#[tokio::test]
async fn the_second_request_holds_the_first_and_the_bill_shows_it() {
    let Some(url) = endpoint("the_second_request_holds_the_first_and_the_bill_shows_it") else { return };
    let chat = chat(&url, 400).build().unwrap();
    let first = chat.send("Name a river in Europe.").await.unwrap();
    let second = chat.send("Name another one.").await.unwrap();
    assert!(second.report.plan.messages().starts_with(first.report.plan.messages()));
    let billed = [&first, &second].map(|reply| reply.usage.as_ref().unwrap().prompt_tokens);
    assert!(billed[1] > billed[0], "{billed:?}");
}

/// What sixty exchanges did.
#[derive(Default)]
struct Course {
    /// The exchanges whose first request was too long.
    too_long: Vec<usize>,
    /// From the third on: what the bills were more or less than their forecasts, in tokens, and in parts of the bill.
    errors: Vec<u64>,
    parts: Vec<f64>,
    above_margin: usize,
    trimmed: usize,
}

impl Course {
    fn add(&mut self, number: usize, reply: &Reply) {
        let (report, billed) = (&reply.report, reply.usage.as_ref().unwrap().prompt_tokens);
        assert!(billed <= 480, "{billed} tokens leave no room for the reply");
        if report.attempts.len() > 1 {
            self.too_long.push(number);
        }
        if number >= 2 {
            let error = billed.abs_diff(report.forecast.tokens);
            self.errors.push(error);
            self.parts.push(f64::from(u32::try_from(error).unwrap()) / f64::from(u32::try_from(billed).unwrap()));
            self.above_margin += usize::from(billed > report.forecast.most());
        }
        self.trimmed += usize::from(report.plan.evicted() > 0);
    }

    fn check(&self, name: &str) {
        let count = u32::try_from(self.errors.len()).unwrap();
        let tokens = self.errors.iter().sum::<u64>() / u64::from(count);
        let part = self.parts.iter().sum::<f64>() / f64::from(count);
        println!(
            "{name}: too long {:?}, forecasts off by {tokens} tokens, {:.1} %, above their margin {} of {count}, trimmed {}",
            self.too_long,
            100.0 * part,
            self.above_margin,
            self.trimmed
        );
        assert!(self.too_long.len() <= 1 && self.too_long.iter().all(|&number| number < 3), "{:?}", self.too_long);
        assert!(part <= 0.05 || tokens <= 8);
        assert!(self.above_margin <= 1);
        assert!(self.trimmed > 30, "only {} requests were trimmed", self.trimmed);
    }
}

/// Its tokenizer is not ours, and 512 tokens hold prompt and reply.
fn in_a_window(url: &str) -> ConversationManager {
    let budget = TokenBudget::window(512).reply_reserve(32);
    ConversationManager::builder("smollm2")
        .backend(OpenAi::at(url, "none").retry(Retry::never()))
        .budget(budget)
        .param("temperature", json!(0))
        .system("You answer in one short sentence.")
        .build()
        .unwrap()
}

#[tokio::test]
async fn sixty_exchanges_fit_into_a_window_of_512_tokens_and_their_bills_are_foretold() {
    let Some(url) = endpoint("sixty_exchanges_fit_into_a_window_of_512_tokens") else { return };
    let (chat, mut course) = (in_a_window(&url), Course::default());
    for number in 0..60 {
        course.add(number, &chat.send(format!("Tell me one fact about the number {number}.")).await.unwrap());
    }
    assert_eq!(chat.turn_count(), 60);
    course.check("plain");
    println!("{}\n{}", chat.learned(), chat.spending());
}

#[tokio::test]
async fn sixty_streamed_exchanges_do_too() {
    let Some(url) = endpoint("sixty_streamed_exchanges_do_too") else { return };
    let (chat, mut course) = (in_a_window(&url), Course::default());
    for number in 0..60 {
        let mut stream = chat.send(format!("Name a thing that has {number} parts.")).stream().await.unwrap();
        let mut text = String::new();
        while let Some(event) = stream.next().await {
            text += event.unwrap().text().unwrap_or_default();
        }
        let reply = stream.finish().await.unwrap();
        assert_eq!(reply.text(), text);
        assert!(reply.report.first_event.unwrap() <= reply.report.elapsed);
        course.add(number, &reply);
    }
    assert_eq!(chat.turn_count(), 60);
    course.check("streamed");
}

#[tokio::test]
async fn a_window_that_was_not_known_is_learned_by_one_request_that_was_too_long() {
    let Some(url) = endpoint("a_window_that_was_not_known_is_learned_by_one_request_that_was_too_long") else { return };
    let long = (0..80).map(|number| Message::user(format!("Note {number}: the river rose by {number} centimetres.")));
    let notes = long.flat_map(|note| [note, Message::assistant("Noted.")]);
    let setup = ConversationManager::builder("smollm2")
        .backend(OpenAi::at(&url, "none").retry(Retry::never()))
        .budget(TokenBudget::window(100_000).reply_reserve(32))
        .param("temperature", json!(0));
    let chat = setup.open(Transcript::new(Conversation::from_messages(notes))).unwrap();
    for number in 0..5 {
        let reply = chat.send(format!("What is {number} plus one?")).await.unwrap();
        assert_eq!(reply.report.attempts.len(), if number == 0 { 2 } else { 1 }, "exchange {number}");
        assert!(reply.usage.unwrap().prompt_tokens <= 480);
    }
    assert_eq!(chat.learned().limit(), Some(512));
    let again = ConversationManager::builder("smollm2")
        .backend(OpenAi::at(&url, "none"))
        .budget(TokenBudget::window(100_000).reply_reserve(32))
        .open(Transcript::from_json(&chat.transcript().to_json()).unwrap())
        .unwrap();
    assert_eq!(again.send("And?").await.unwrap().report.attempts.len(), 1, "it is in the file");
}

#[tokio::test]
async fn an_overflow_with_a_numeric_code_is_typed_and_states_the_window() {
    let Some(url) = endpoint("an_overflow_with_a_numeric_code_is_typed_and_states_the_window") else { return };
    // Uncut, the message fits into no plan of the window that is learned.
    let chat = chat(&url, 1_000_000).never_cut().build().unwrap();
    let error = chat.send("word ".repeat(2_000)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_overflow()), (ErrorKind::Overflow, true));
    assert_eq!(error.failed_exchange().unwrap().error.as_ref().unwrap().limit(), Some(512));
    assert!(chat.history().is_empty());
}

#[tokio::test]
async fn a_conversation_of_twenty_windows_goes_on_with_summaries() {
    let Some(url) = endpoint("a_conversation_of_twenty_windows_goes_on_with_summaries") else { return };
    let long = (0..320).map(|number| match number % 2 {
        0 => Message::user(format!(
            "Day {number}: the river Elbe rose by {number} centimetres in the city of Dresden today."
        )),
        _ => Message::assistant(format!(
            "Thank you, I noted the level of day {} for Dresden and will compare it.",
            number - 1
        )),
    });
    let setup = chat(&url, 300).strategy(Summarize::rolling().tokens(80));
    let chat = setup.open(Transcript::new(Conversation::from_messages(long))).unwrap();
    let (mut calls, mut taken, mut named) = (Vec::new(), 0, 0);
    for number in 0..40 {
        let reply = chat.send(format!("What is {number} plus one?")).await.unwrap();
        assert!(reply.usage.unwrap().prompt_tokens <= 480);
        let plan = &reply.report.plan;
        let messages: usize = plan.runs().iter().map(|run| run.indexes.len()).sum();
        assert_eq!(messages, 320 + 2 * number + 1, "each is sent, left out with a reason, or summarized");
        calls.push(reply.report.summaries.len());
        taken += reply.report.summaries.iter().filter(|call| call.refused.is_none()).count();
        named += usize::from(plan.summary().is_some());
    }
    println!("{} calls for summaries, {taken} taken, in {named} of 40 requests", calls.iter().sum::<usize>());
    assert!(calls[0] <= 2 && calls.iter().all(|&calls| calls <= 2));
    assert_eq!(chat.turn_count(), 160 + 40);
}
