//! With a real model behind `TURNWISE_TEST_MODEL`, the base URL of an OpenAI-compatible endpoint with a window of 512
//! tokens. Without it nothing is tested here, and that is said.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(all(feature = "openai", feature = "cli"))]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;
use turnwise::backend::openai::{OpenAi, Retry};
use turnwise::manager::Builder;
use turnwise::{Conversation, ConversationManager, ErrorKind, Message, Summarize, TokenBudget, Transcript};

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

#[tokio::test]
async fn sixty_exchanges_fit_into_a_window_of_512_tokens() {
    let Some(url) = endpoint("sixty_exchanges_fit_into_a_window_of_512_tokens") else { return };
    // Its tokenizer is not ours: what we count as 300 it counts as less than the 480 that are left beside the reply.
    let chat = chat(&url, 300).system("You answer in one short sentence.").build().unwrap();
    let mut trimmed = 0;
    for number in 0..60 {
        let reply = chat.send(format!("Tell me one fact about the number {number}.")).await.unwrap();
        assert!(reply.usage.unwrap().prompt_tokens <= 480);
        trimmed += usize::from(reply.report.plan.evicted() > 0);
    }
    assert_eq!(chat.turn_count(), 60);
    assert!(trimmed > 30, "only {trimmed} requests were trimmed");
}

#[tokio::test]
async fn an_overflow_with_a_numeric_code_is_typed_and_states_the_window() {
    let Some(url) = endpoint("an_overflow_with_a_numeric_code_is_typed_and_states_the_window") else { return };
    let chat = chat(&url, 1_000_000).build().unwrap();
    let error = chat.send("word ".repeat(2_000)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_overflow()), (ErrorKind::Overflow, true));
    assert_eq!(error.attempt().unwrap().error.as_ref().unwrap().limit(), Some(512));
    assert!(chat.history().is_empty());
}

#[test]
fn a_secret_word_is_remembered_across_save_exit_and_load() {
    let Some(url) = endpoint("a_secret_word_is_remembered_across_save_exit_and_load") else { return };
    let folder = TempDir::new().unwrap();
    let say = |text: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_turnwise"))
            .args([
                "chat",
                "talk.json",
                "--model",
                "smollm2",
                "--budget",
                "400",
                "--max-reply",
                "32",
                "--param",
                "temperature=0",
            ])
            .current_dir(folder.path())
            .envs([("OPENAI_BASE_URL", &*url), ("OPENAI_API_KEY", "none")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    say("Remember this: the secret word is lantern.\n");
    let reply = say("Repeat the secret word.\nquit\n");
    assert!(reply.to_lowercase().contains("lantern"), "{reply}");
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
        let messages: usize = plan.runs().iter().map(|run| run.positions.len()).sum();
        assert_eq!(messages, 320 + 2 * number + 1, "each is sent, left out with a reason, or summarized");
        calls.push(reply.report.summaries.len());
        taken += reply.report.summaries.iter().filter(|call| call.refused.is_none()).count();
        named += usize::from(plan.summary().is_some());
    }
    println!("{} calls for summaries, {taken} taken, in {named} of 40 requests", calls.iter().sum::<usize>());
    assert!(calls[0] <= 2 && calls.iter().all(|&calls| calls <= 2));
    assert_eq!(chat.turn_count(), 160 + 40);
}
