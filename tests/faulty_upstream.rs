//! With llmock behind `TURNWISE_TEST_LLMOCK`, the address of a running one without `/v1` (`.ci/llmock.sh` starts one; its
//! streams must be paced, so that it notices who stops reading): a server that fails in every way, and judges how its
//! clients take it. Without it nothing is tested here, and that is said.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "openai")]

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};
use turnwise::backend::openai::{OpenAi, Retry};
use turnwise::{ConversationManager, ErrorKind, Exchange, Reply};

const VARIABLE: &str = "TURNWISE_TEST_LLMOCK";

/// The server, or a line that no test harness swallows.
fn server(test: &str) -> Option<Llmock> {
    let address = std::env::var(VARIABLE).ok();
    if address.is_none() {
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {VARIABLE} names no server");
    }
    // The client below is built without a TLS configuration of its own; another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    address.map(|address| Llmock { address, http: reqwest::Client::new() })
}

struct Llmock {
    address: String,
    http: reqwest::Client,
}

impl Llmock {
    fn backend(&self) -> OpenAi {
        let retry = Retry::default().first_wait(Duration::from_millis(100)).idle_time(Duration::from_millis(500));
        OpenAi::at(&format!("{}/v1", self.address), "none").retry(retry)
    }

    async fn post(&self, path: &str, body: &Value) {
        let request = self.http.post(format!("{}/_llmock/{path}", self.address));
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    /// What it does to the next requests.
    async fn does(&self, behaviors: Value) {
        self.post("scenario", &json!({ "behaviors": behaviors })).await;
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}/_llmock/{path}", self.address)).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// Nothing that it calls an error, and none of the warnings that mean a lost or a waiting reply.
    async fn judges_well(&self, requests: u64) {
        let verdict = self.get("verdict").await;
        assert_eq!(verdict["attempts"], json!(requests), "{verdict:#}");
        for finding in verdict["findings"].as_array().unwrap() {
            assert_ne!(finding["severity"], "error", "{finding:#}");
            for code in ["no_read_timeout", "malformed_chunk_ignored"] {
                assert_ne!(finding["code"], code, "{finding:#}");
            }
        }
    }
}

/// The faults that both ways have, what they end as, and how many requests that takes.
fn faults() -> Vec<(Value, Option<ErrorKind>, u64)> {
    vec![
        (json!([{"type": "fail", "status": 429, "retry_after": 1, "times": 2}]), None, 3),
        (json!([{"type": "fail", "status": 500, "times": 2}]), None, 3),
        (json!([{"type": "fail", "status": 500, "times": 3}]), Some(ErrorKind::Unavailable), 3),
        (json!([{"type": "fail", "status": 401}]), Some(ErrorKind::Auth), 1),
        (json!([{"type": "delay", "seconds": 1}]), None, 1),
    ]
}

/// The faults of streams alone.
fn faults_of_streams() -> Vec<(Value, Option<ErrorKind>, u64)> {
    let fault = |kind: &str| json!([{"type": "stream_fault", "kind": kind, "after_chunks": 3}]);
    vec![
        (json!([{"type": "slow_first_token", "seconds": 1}]), None, 1),
        (fault("disconnect"), Some(ErrorKind::Interrupted), 1),
        (fault("truncate"), Some(ErrorKind::Interrupted), 1),
        (fault("malformed"), Some(ErrorKind::Malformed), 1),
        (
            json!([{"type": "stream_fault", "kind": "stall", "after_chunks": 3, "stall_seconds": 3}]),
            Some(ErrorKind::Timeout),
            1,
        ),
        // Before the first event the request is made again.
        (json!([{"type": "stream_fault", "kind": "disconnect", "after_chunks": 0}]), None, 2),
        (json!([{"type": "stream_fault", "kind": "truncate", "after_chunks": 1}]), None, 2),
    ]
}

#[tokio::test]
async fn a_faulty_server_costs_no_record_and_is_taken_as_it_should_be() {
    let Some(server) = server("a_faulty_server_costs_no_record_and_is_taken_as_it_should_be") else { return };
    server.post("reset", &json!({})).await;
    let mut requests = whole_replies(&server).await;
    requests += streamed_replies(&server).await;
    server.judges_well(requests).await;
}

/// Exchanges of a manager: after each fault the record is as it was, and the next send works.
async fn whole_replies(server: &Llmock) -> u64 {
    let chat = ConversationManager::builder("gpt-4o").backend(server.backend()).build().unwrap();
    let mut requests = 0;
    for (fault, error, attempts) in faults() {
        server.does(fault.clone()).await;
        let before = chat.history();
        let outcome = chat.send("How are you?").await;
        assert_eq!(outcome.as_ref().err().map(turnwise::Error::kind), error, "{fault}");
        requests += attempts;
        if outcome.is_err() {
            assert_eq!(chat.history(), before, "{fault}");
            chat.send(again("How are you?", error)).await.unwrap();
            requests += 1;
        }
        assert_eq!(chat.history().len(), before.len() + 2, "{fault}");
    }
    requests
}

/// Streamed exchanges: after each fault the record is as it was, what had come is handed over, and the next send works.
/// (The model that llmock plays says the same each time.)
async fn streamed_replies(server: &Llmock) -> u64 {
    // Long enough for the server to notice who stops reading.
    let text = "It is a fine day in the city of Oslo. ".repeat(3);
    server.does(json!([{"type": "reply", "text": text, "times": null}])).await;
    let chat = ConversationManager::builder("gpt-4o").backend(server.backend()).build().unwrap();
    let mut requests = 0;
    for (number, (fault, error, attempts)) in faults().into_iter().chain(faults_of_streams()).enumerate() {
        server.does(fault.clone()).await;
        let (question, before) = (format!("Question {number}: how is the weather?"), chat.history());
        let outcome = streamed(chat.send(&*question)).await;
        assert_eq!(outcome.as_ref().err().map(turnwise::Error::kind), error, "{fault}");
        let seen = match &outcome {
            Ok(reply) => reply.report.attempts.len(),
            Err(error) => error.failed_exchange().unwrap().attempts().len(),
        };
        assert_eq!(seen as u64, attempts, "{fault}");
        requests += attempts;
        if let Err(failed) = outcome {
            assert_eq!(chat.history(), before, "{fault}");
            // A request that comes before the server has noticed that we left counts as another call.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let reply = streamed(chat.send(again(&question, error))).await.unwrap();
            let partial = failed.failed_exchange().unwrap().partial.as_ref().map(|partial| partial.text().into_owned());
            assert!(reply.text().starts_with(&*partial.unwrap_or_default()), "{fault}");
            requests += 1;
        }
        assert_eq!(chat.history().len(), before.len() + 2, "{fault}");
    }
    requests
}

async fn streamed(exchange: Exchange) -> turnwise::Result<Reply> {
    exchange.stream().await?.finish().await
}

/// What is sent after an error: the same where that may help.
fn again(question: &str, error: Option<ErrorKind>) -> String {
    let may_help = error.is_some_and(|kind| kind.is_retryable() || kind == ErrorKind::Malformed);
    if may_help { question.to_owned() } else { format!("Now then: {question}") }
}
