//! The `OpenAI` backend against a server of each test's own: what goes over the wire, and what comes of each answer.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "openai")]

#[path = "support/stub.rs"]
mod stub;

use std::future::IntoFuture;
use std::time::Duration;

use serde_json::json;
use stub::{Answer, Stub};
use turnwise::backend::openai::{OpenAi, OpenAiOptions, Retry};
use turnwise::backend::{Dialect, Embedder, FinishReason};
use turnwise::manager::Builder;
use turnwise::{ConversationManager, ErrorKind, Message, TokenBudget};

const KEY: &str = "sk-secret";

fn quick() -> Retry {
    Retry::default().first_wait(Duration::from_millis(1)).longest_wait(Duration::from_millis(20))
}

fn builder(stub: &Stub, retry: Retry) -> Builder {
    ConversationManager::builder("gpt-4o").backend(OpenAi::at(&stub.url(), KEY).retry(retry)).system("Be brief.")
}

#[tokio::test]
async fn the_body_is_byte_for_byte_the_dry_run() {
    let stub = Stub::new([Answer::says("one"), Answer::says("two")]);
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": {"b": 1.50, "a": []}}});
    let chat = builder(&stub, quick()).tools([tool]).param("temperature", json!(0.2)).build().unwrap();
    chat.send("a").await.unwrap();
    let exchange = || chat.send("b").context(Message::system("now")).param("seed", json!(7)).temperature(0.5);
    let dry = serde_json::to_string(&exchange().dry_run().unwrap()).unwrap();
    let reply = exchange().await.unwrap();
    let seen = stub.seen();
    assert_eq!(seen[1].body, dry);
    assert!(dry.ends_with(r#""temperature":0.5,"seed":7}"#), "{dry}");
    assert!(seen[0].head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
    assert!(seen[0].head.contains(&format!("authorization: Bearer {KEY}")));
    assert_eq!((reply.text().as_ref(), reply.report.attempts.len()), ("two", 1));
}

#[tokio::test]
async fn vendor_fields_come_back_into_the_record_and_are_sent_only_when_named() {
    let body = r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","reasoning_content":"hm","content":"one","n":1.50},"finish_reason":"eos","logprobs":null}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":4}},"timings":{}}"#;
    for (dialect, sent) in [
        (Dialect::default(), r#"{"role":"assistant","content":"one"}"#),
        (
            Dialect::default().send_fields(["reasoning_content"]),
            r#"{"role":"assistant","reasoning_content":"hm","content":"one"}"#,
        ),
    ] {
        let stub = Stub::new([Answer::new(200, body), Answer::says("two")]);
        let chat = builder(&stub, quick()).dialect(dialect).build().unwrap();
        let reply = chat.send("a").await.unwrap();
        assert_eq!(reply.finish, FinishReason::Other("eos".into()));
        let usage = reply.usage.unwrap();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens), (9, 2, 4));
        assert_eq!(reply.raw.unwrap().as_str(), body, "what is not known is kept too");
        let recorded = serde_json::to_string(&chat.history()[2]).unwrap();
        assert_eq!(recorded, r#"{"role":"assistant","reasoning_content":"hm","content":"one","n":1.50}"#);
        chat.send("b").await.unwrap();
        assert!(stub.seen()[1].body.contains(sent), "{}", stub.seen()[1].body);
    }
}

#[tokio::test]
async fn each_error_is_typed_and_leaves_the_record_as_it_was() {
    use ErrorKind::{Auth, Malformed, Overflow, Quota, RateLimited, Rejected, Unavailable};
    for (status, body, kind, attempts) in [
        (400, r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#, Overflow, 1),
        (
            400,
            r#"{"error":{"code":400,"message":"request (9 tokens) exceeds the available context size (5 tokens)","type":"exceed_context_size_error","n_ctx":5}}"#,
            Overflow,
            1,
        ),
        (400, r#"{"error":"input length exceeds the context window"}"#, Overflow, 1),
        (401, r#"{"error":{"message":"Incorrect API key provided: sk-secret","code":"invalid_api_key"}}"#, Auth, 1),
        (404, "not here", Rejected, 1),
        (429, r#"{"error":{"message":"quota","code":"insufficient_quota"}}"#, Quota, 1),
        (429, r#"{"error":{"message":"slow down"}}"#, RateLimited, 3),
        (500, "", Unavailable, 3),
        (200, r#"{"error":{"message":"upstream failed","code":502}}"#, Unavailable, 3),
        (200, r#"{"error":{"message":"slow down","code":429}}"#, RateLimited, 3),
        (200, r#"{"error":"upstream failed"}"#, Unavailable, 3),
        (200, r#"{"error":{"code":429},"choices":[]}"#, RateLimited, 3),
        (200, r#"{"error":{"type":"authentication_error"}}"#, Auth, 1),
        (200, "<html>", Malformed, 1),
        (200, r#"{"choices":[]}"#, Malformed, 1),
        (200, r#"{"choices":[{"message":{"role":"assistant","content":null}}]}"#, Malformed, 1),
    ] {
        let stub = Stub::new([Answer::new(status, body)]);
        let chat = builder(&stub, quick()).build().unwrap();
        let error = chat.send("my question").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {body}: {error}");
        assert_eq!(stub.seen().len(), attempts, "{status} {body}");
        let exchange = error.failed_exchange().unwrap();
        assert_eq!(exchange.attempts().len(), attempts, "{body}");
        assert!(exchange.attempts().iter().all(|attempt| attempt.status == Some(status)), "{body}");
        match (&exchange.error, &exchange.reply) {
            (Some(error), _) => {
                assert_eq!(error.body(), Some(body));
                assert!(error.status_code().is_none_or(|stated| stated == status), "{error}");
            }
            (None, reply) => assert_eq!(reply.as_ref().unwrap().raw.as_ref().unwrap().as_str(), body),
        }
        assert_eq!(chat.history().len(), 1);
        for printed in [format!("{error}"), format!("{error:?}"), format!("{exchange:?}")] {
            assert!(!printed.contains(KEY) && !printed.contains("my question"), "{printed}");
        }
    }
}

#[tokio::test]
async fn an_overflow_in_words_of_ones_own_is_one() {
    let body = r#"{"error":{"message":"Das ist zu lang: 9000 Token, maximum is 8,000"}}"#;
    for (words, kind, limit) in [(&["zu lang"][..], ErrorKind::Overflow, Some(8_000)), (&[], ErrorKind::Rejected, None)]
    {
        let stub = Stub::new([Answer::new(400, body)]);
        let backend = OpenAi::at(&stub.url(), KEY).retry(quick()).overflow_words(words.iter().copied());
        let chat = ConversationManager::builder("gpt-4o").backend(backend).build().unwrap();
        let error = chat.send("a").await.unwrap_err();
        assert_eq!((error.kind(), error.failed_exchange().unwrap().error.as_ref().unwrap().limit()), (kind, limit));
    }
}

#[tokio::test]
async fn a_wrong_base_url_shows_in_the_error() {
    let stub = Stub::new([Answer::new(404, "")]);
    let backend = OpenAi::at(&format!("{}/v2/", stub.url()), KEY).retry(quick());
    let chat = ConversationManager::builder("gpt-4o").backend(backend).build().unwrap();
    let error = chat.send("a").await.unwrap_err();
    let url = stub.url();
    assert_eq!(error.to_string(), format!("rejected: status 404 at {url}/v2/chat/completions, without a message"));
}

#[tokio::test]
async fn a_long_retry_after_is_capped_and_each_attempt_is_reported() {
    let busy = Answer::new(429, r#"{"error":{"message":"slow down"}}"#).header("retry-after", "3600");
    let stub = Stub::new([busy, Answer::new(503, ""), Answer::says("at last")]);
    let chat = builder(&stub, quick()).build().unwrap();
    let reply = chat.send("a").await.unwrap();
    let statuses: Vec<_> = reply.report.attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(429), Some(503), Some(200)]);
    assert_eq!(reply.report.attempts[0].waited, Duration::from_millis(20));
    assert_eq!(chat.history().len(), 3, "the question stands once");
}

#[tokio::test]
async fn a_time_to_come_back_may_be_a_date_or_milliseconds() {
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(3_600));
    for (name, value, asked) in [("retry-after", &*date, 3_000.0..=3_600.0), ("retry-after-ms", "1500", 1.5..=1.5)] {
        let stub = Stub::new([Answer::new(429, "{}").header(name, value)]);
        let error = builder(&stub, quick()).build().unwrap().send("a").await.unwrap_err();
        let wait = error.failed_exchange().unwrap().error.as_ref().unwrap().retry_after().unwrap();
        assert!(asked.contains(&wait.as_secs_f64()), "{name}: {wait:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_a_timeout() {
    let stub = Stub::new([Answer::says("late").after(Duration::from_secs(20))]);
    let retry = quick().attempts(2).attempt_time(Duration::from_millis(50));
    let error = builder(&stub, retry).build().unwrap().send("a").await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, true));
    assert_eq!(stub.seen().len(), 2);
}

#[tokio::test]
async fn no_further_attempt_begins_after_the_total_time() {
    let stub = Stub::new([Answer::new(500, "")]);
    let retry = quick().attempts(1_000).total_time(Duration::from_millis(100));
    assert!(builder(&stub, retry).build().unwrap().send("a").await.is_err());
    assert!(stub.seen().len() < 200);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let chat = ConversationManager::builder("x")
        .budget(TokenBudget::limit(100))
        .backend(OpenAi::at(&format!("http://{gone}/v1"), KEY).retry(quick()));
    let error = chat.build().unwrap().send("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&format!("the connection to {gone} failed: Connection refused")), "{error}");
}

#[tokio::test]
async fn a_send_that_is_dropped_leaves_the_conversation_usable() {
    let stub = Stub::new([Answer::says("late").after(Duration::from_secs(5)), Answer::says("two")]);
    let chat = builder(&stub, quick()).build().unwrap();
    let dropped = tokio::time::timeout(Duration::from_millis(50), chat.send("a").into_future()).await;
    assert!(dropped.is_err());
    assert_eq!(chat.history().len(), 1);
    chat.send("b").await.unwrap();
    assert_eq!(chat.history().len(), 3);
}

#[tokio::test]
async fn a_key_that_cannot_be_sent_is_an_error_and_no_panic() {
    let stub = Stub::new([Answer::says("one")]);
    let chat = ConversationManager::builder("gpt-4o").backend(OpenAi::at(&stub.url(), "sk-\nsecret")).build().unwrap();
    let error = chat.send("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoBackend);
    assert!(!format!("{error:?}").contains("secret"));
    let trimmed = ConversationManager::builder("gpt-4o").backend(OpenAi::at(&stub.url(), "sk-secret\n"));
    trimmed.build().unwrap().send("a").await.unwrap();
}

#[tokio::test]
async fn an_odd_bill_costs_no_reply_and_a_redirect_is_not_followed() {
    let odd = r#"{"choices":[{"message":{"role":"assistant","content":"x"},"finish_reason":7}],"usage":{"prompt_tokens":null}}"#;
    let stub =
        Stub::new([Answer::new(200, odd), Answer::new(307, "").header("location", "http://127.0.0.1:9/elsewhere")]);
    let chat = builder(&stub, quick()).build().unwrap();
    let reply = chat.send("a").await.unwrap();
    assert_eq!((reply.text().as_ref(), reply.usage.as_ref()), ("x", None));
    assert_eq!(chat.send("b").await.unwrap_err().kind(), ErrorKind::Rejected);
}

#[tokio::test]
async fn an_answer_that_breaks_off_has_its_status_and_the_time_to_come_back() {
    let torn = || Answer::new(200, r#"{"choices":[{"mess"#).header("retry-after", "7").torn();
    let stub = Stub::new([torn()]);
    let error = builder(&stub, Retry::never()).build().unwrap().send("a").await.unwrap_err();
    let exchange = error.failed_exchange().unwrap();
    assert_eq!((error.kind(), exchange.attempts()[0].status), (ErrorKind::Unavailable, Some(200)));
    assert_eq!(exchange.error.as_ref().unwrap().retry_after(), Some(Duration::from_secs(7)));

    let stalled = Stub::new([torn().after(Duration::from_secs(20))]);
    let retry = Retry::never().attempt_time(Duration::from_secs(1));
    let error = builder(&stalled, retry).build().unwrap().send("a").await.unwrap_err();
    let exchange = error.failed_exchange().unwrap();
    assert_eq!((error.kind(), exchange.attempts()[0].status), (ErrorKind::Timeout, Some(200)));
    assert_eq!(exchange.error.as_ref().unwrap().retry_after(), Some(Duration::from_secs(7)));

    let stub = Stub::new([torn(), Answer::says("whole")]);
    assert_eq!(builder(&stub, quick()).build().unwrap().send("a").await.unwrap().text(), "whole");
}

#[tokio::test]
async fn a_reply_that_is_not_text_is_malformed() {
    let body = b"{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"a\xffb\"}}]}";
    let stub = Stub::new([Answer::bytes(200, body)]);
    let error = builder(&stub, quick()).build().unwrap().send("a").await.unwrap_err();
    assert_eq!((error.kind(), stub.seen().len()), (ErrorKind::Malformed, 1));
    assert!(error.to_string().contains("UTF-8"), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let stub = Stub::new([Answer::bytes(200, &vec![b' '; 64 * 1024 * 1024 + 1])]);
    let error = builder(&stub, quick()).build().unwrap().send("a").await.unwrap_err();
    assert!(error.to_string().starts_with("malformed answer: the answer is longer than 64 MiB at http://"), "{error}");
}

#[test]
fn a_request_outside_of_a_runtime_is_an_error() {
    let chat = builder(&Stub::new([Answer::says("one")]), quick()).build().unwrap();
    let error = futures_lite::future::block_on(chat.send("a").into_future()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoBackend);
    assert!(error.to_string().contains("tokio"), "{error}");
}

#[tokio::test]
async fn a_base_url_that_is_none_is_an_error_of_the_send_and_not_of_the_plan() {
    let backend = OpenAi::at("127.0.0.1:8080/secret", KEY);
    let chat = ConversationManager::builder("gpt-4o").backend(backend).build().unwrap();
    chat.plan("a").unwrap();
    let error = chat.send("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoBackend);
    assert!(error.to_string().contains("127.0.0.1:8080") && !error.to_string().contains("secret"), "{error}");
}

/// The error of a send, whole or streamed, that is answered so.
async fn refused(answer: Answer, streamed: bool) -> turnwise::Error {
    let stub = Stub::new([answer]);
    let chat = builder(&stub, Retry::never()).build().unwrap();
    let exchange = chat.send("my question");
    if !streamed {
        return exchange.await.unwrap_err();
    }
    let mut stream = match exchange.stream().await {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    while let Some(event) = stream.next().await {
        if let Err(error) = event {
            return error;
        }
    }
    panic!("the stream ended well");
}

#[tokio::test]
async fn who_asked_reads_the_servers_reason_and_a_log_does_not() {
    for (status, body) in [
        (404, r#"{"error":"model 'foo' not found, try pulling it first"}"#),
        (400, r#"{"error":{"message":"model 'foo' not found, try pulling it first","type":"x","code":null}}"#),
        (422, r#"{"detail":"model 'foo' not found, try pulling it first"}"#),
        (400, r#"[{"error":{"code":400,"message":"model 'foo' not found, try pulling it first"}}]"#),
        (400, r#"{"object":"error","message":"model 'foo' not found, try pulling it first","code":400}"#),
        (502, "<html><title>model 'foo' not found, try pulling it first</title></html>"),
        (500, "model 'foo' not found, try pulling it first\n"),
        (200, r#"{"error":"model 'foo' not found, try pulling it first"}"#),
        (200, r#"{"object":"error","message":"model 'foo' not found, try pulling it first"}"#),
        (200, r#"{"detail":"model 'foo' not found, try pulling it first"}"#),
    ] {
        for streamed in [false, true] {
            let error = refused(Answer::new(status, body), streamed).await;
            let (shown, logged) = (error.to_string(), format!("{error:?} {:?}", error.failed_exchange().unwrap()));
            assert!(shown.contains("model 'foo' not found, try pulling it first"), "{body}: {shown}");
            assert!(!logged.contains("foo"), "{body}: {logged}");
            assert!(!shown.contains("status 200") && shown.lines().count() == 1, "{shown}");
            let backend = error.failed_exchange().unwrap().error.as_ref().unwrap();
            assert_eq!(backend.to_string(), shown);
            assert_eq!(backend.reason().unwrap(), "model 'foo' not found, try pulling it first");
        }
    }
}

#[tokio::test]
async fn an_error_inside_a_stream_is_told_in_words() {
    let text = |words: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{words}"}}}}]}}"#);
    let at_once = Answer::events([r#"{"error":"out of memory"}"#]);
    let in_the_middle = Answer::events([text("Hello"), r#"{"error":{"message":"out of memory"}}"#.to_owned()]);
    let event = Answer::stream(["event: error\ndata: {\"message\":\"out of memory\"}\n\n"]);
    for answer in [at_once, in_the_middle, event] {
        let error = refused(answer, true).await;
        let shown = error.to_string();
        assert!(shown.starts_with("unavailable: the server at http://127.0.0.1:"), "{shown}");
        assert!(shown.ends_with(" reported an error in an answer with a status of success: out of memory"), "{shown}");
    }
}

#[tokio::test]
async fn a_key_that_a_server_repeats_is_not_shown() {
    for words in [
        "Incorrect API key provided: sk-secret.",
        "Incorrect API key provided: sk-abcd****************wxyz.",
        "no access with Authorization: Bearer sk-secret",
        "not valid: Bearer abcdef0123456789",
        "<html><title>key sk-secret</title></html>",
    ] {
        let error = refused(Answer::new(401, &json!({ "error": { "message": words } }).to_string()), false).await;
        let shown = format!("{error} {error:?} {:?}", error.failed_exchange().unwrap());
        for part in ["secret", "abcd", "wxyz", "0123"] {
            assert!(!shown.contains(part), "{shown}");
        }
        assert!(shown.contains("[key]"), "{shown}");
    }
    let stub = Stub::new([Answer::new(401, r#"{"error":"who is correct horse battery?"}"#)]);
    let backend = OpenAi::at(&stub.url(), "correct horse battery").retry(Retry::never());
    let chat = ConversationManager::builder("gpt-4o").backend(backend).build().unwrap();
    assert!(chat.send("a").await.unwrap_err().to_string().ends_with(": who is [key]?"));
}

#[tokio::test]
async fn a_reason_is_one_short_line_whatever_was_sent() {
    let long = format!(r#"{{"error":"{}"}}"#, "ä\\n\\u001b[31m".repeat(10_000));
    let error = refused(Answer::new(400, &long), false).await.to_string();
    assert!(error.chars().count() < 420 && error.ends_with('…'), "{error}");
    assert!(!error.contains(['\n', '\u{1b}']), "{error}");
    let torn = refused(Answer::bytes(400, b"{\"error\":\"a\xff\xfeb\"}"), false).await;
    assert!(torn.to_string().ends_with(": a\u{fffd}\u{fffd}b"), "{torn}");
    for nothing in ["", "{}", "{", "[]", "null", r#"{"error":{}}"#] {
        let error = refused(Answer::new(400, nothing), false).await.to_string();
        assert!(error.ends_with("/chat/completions, without a message"), "{error}");
    }
}

#[tokio::test]
async fn the_address_that_was_asked_is_shown_without_its_secrets() {
    let stub = Stub::new([Answer::new(404, "404 page not found")]);
    let address = stub.url().replace("http://", "");
    let backend = OpenAi::at(&format!("http://me:password@{address}?key=abc"), KEY).retry(Retry::never());
    let chat = ConversationManager::builder("gpt-4o").backend(backend).build().unwrap();
    let error = chat.send("a").await.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("rejected: status 404 at http://{}", stub.url().split('/').nth(2).unwrap())),
        "{error}"
    );
    assert!(!error.contains("me:") && !error.contains("password") && !error.contains("key=abc"), "{error}");
}

#[tokio::test]
async fn a_refusal_that_names_a_difference_says_what_would_help() {
    let template = r#"{"error":{"code":500,"message":"Jinja Exception: System message must be at the beginning.","type":"server_error"}}"#;
    let error = refused(Answer::new(500, template), false).await;
    assert_eq!(
        (error.kind(), error.failed_exchange().unwrap().attempts().len()),
        (ErrorKind::Rejected, 1),
        "not tried again"
    );
    assert!(error.to_string().ends_with("; `Dialect::single_system` sends one, at the start"), "{error}");
    assert!(error.advice().unwrap().on_command_line().unwrap().starts_with("--one-system"));
    assert!(format!("{error:?}").contains("Dialect::single_system"), "{error:?}");
    let none = refused(Answer::new(400, r#"{"error":"no"}"#), false).await;
    assert_eq!(none.advice(), None);
}

#[tokio::test]
async fn a_dialect_is_what_is_sent_counted_and_saved() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let thinks = r#"{"choices":[{"message":{"role":"assistant","reasoning_content":"hm","content":"one"},"finish_reason":"stop"}]}"#;
    let stub = Stub::new([Answer::new(200, thinks), Answer::says("two"), Answer::says("three")]);
    let setup =
        || ConversationManager::builder("gpt-4o").backend(OpenAi::at(&stub.url(), KEY)).max_completion_tokens(9);
    let dialect = Dialect::preset("deepseek").unwrap().single_system();
    let chat = setup().developer("a").dialect(dialect.clone()).resume(&file).unwrap();
    chat.constrain("b").unwrap();
    chat.send("x").await.unwrap();
    let again = setup().resume(&file).unwrap();
    assert_eq!(again.transcript().dialect().unwrap(), dialect);
    again.send("y").await.unwrap();
    let sent = &stub.seen()[1].body;
    assert!(
        sent.contains(r#""messages":[{"role":"system","content":"a\n\nb"},{"role":"user","content":"x"}"#),
        "{sent}"
    );
    assert!(sent.contains(r#""reasoning_content":"hm""#) && sent.contains(r#""max_tokens":9"#), "{sent}");
    assert!(!sent.contains("max_completion_tokens") && !sent.contains("turnwise"), "{sent}");
    setup().dialect(Dialect::default()).resume(&file).unwrap().send("z").await.unwrap();
    assert!(stub.seen()[2].body.contains(r#""role":"developer""#), "what is said now takes the place of the file's");
    assert_eq!(turnwise::Transcript::load(&file).unwrap().dialect().unwrap(), Dialect::default());
}

#[tokio::test]
async fn options_of_streams_that_a_server_refuses_can_be_left_out() {
    let stop = r#"{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}"#;
    let stub = Stub::new([Answer::events([stop, "[DONE]"])]);
    let chat = builder(&stub, quick()).param("stream_options", json!(null)).build().unwrap();
    let mut stream = chat.send("a").stream().await.unwrap();
    while let Some(event) = stream.next().await {
        event.unwrap();
    }
    assert!(!stub.seen()[0].body.contains("stream_options"), "{}", stub.seen()[0].body);
}

#[test]
fn a_builder_without_a_backend_asks_the_server_of_the_environment() {
    let stub = Stub::new([Answer::says("hello")]);
    let asked = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "asks_the_server_of_the_environment"])
        .env("OPENAI_BASE_URL", stub.url())
        .env_remove("OPENAI_API_KEY")
        .output()
        .unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stdout));
    assert_eq!(stub.seen().len(), 1);
}

#[tokio::test]
#[ignore = "run by the test before it, with an environment of its own"]
async fn asks_the_server_of_the_environment() {
    let chat = ConversationManager::builder("smollm2").budget(TokenBudget::limit(1_000)).build().unwrap();
    chat.plan("a").unwrap();
    assert_eq!(chat.send("a").await.unwrap().text(), "hello");
}

#[tokio::test]
async fn options_and_a_client_of_ones_own_go_with_every_request() {
    let stub = Stub::new([Answer::says("one"), Answer::says("two")]);
    let options = OpenAiOptions::new(format!("{}/", stub.url())).key(KEY).header("x-tenant", "blue").query("v", "a b");
    let client = OpenAi::client_builder().unwrap().user_agent("my-program/1");
    let backend = OpenAi::with_options(options).with_client(client.build().unwrap());
    let chat = ConversationManager::builder("gpt-4o").backend(backend).build().unwrap();
    chat.send("a").spawn().await.unwrap().unwrap();
    let mut stream = chat.send("b").stream().await.unwrap();
    while stream.next().await.is_some() {}
    for seen in stub.seen() {
        assert!(seen.head.starts_with("POST /v1/chat/completions?v=a+b HTTP/1.1\r\n"), "{}", seen.head);
        for header in ["x-tenant: blue", "user-agent: my-program/1", &format!("authorization: Bearer {KEY}")] {
            assert!(seen.head.contains(header), "{header} in {}", seen.head);
        }
    }
    assert_eq!(stub.seen().len(), 2);
}

const TWO_VECTORS: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1,0]},{"object":"embedding","index":1,"embedding":[0.5,-1]}],"model":"m","usage":{"prompt_tokens":5,"total_tokens":5}}"#;

fn two_texts() -> Vec<String> {
    vec!["one".to_owned(), "two \"2\"".to_owned()]
}

#[tokio::test]
async fn texts_go_to_embeddings_with_the_key_and_vectors_come_back() {
    let stub = Stub::new([Answer::new(200, TWO_VECTORS), Answer::new(200, TWO_VECTORS)]);
    let endpoint = OpenAi::at(&stub.url(), KEY).retry(quick());
    let made = endpoint.embedder("small").embed(two_texts()).await.unwrap();
    assert_eq!((made.vectors, made.tokens), (vec![vec![1.0, 0.0], vec![0.5, -1.0]], Some(5)));
    let small = endpoint.embedder("small").dimensions(2).param("user", "me");
    assert_eq!((endpoint.embedder("small").id(), small.id()), ("small", "small/2"));
    small.embed(two_texts()).await.unwrap();
    let seen = stub.seen();
    assert!(seen[0].head.starts_with("POST /v1/embeddings HTTP/1.1\r\n"), "{}", seen[0].head);
    assert!(seen[0].head.contains(&format!("authorization: Bearer {KEY}")));
    assert_eq!(seen[0].body, r#"{"model":"small","input":["one","two \"2\""]}"#);
    assert!(seen[1].body.ends_with(r#""dimensions":2,"user":"me"}"#), "{}", seen[1].body);
}

#[tokio::test]
async fn embeddings_are_retried_and_fail_as_chat_does() {
    let stub = Stub::new([Answer::new(503, ""), Answer::new(200, TWO_VECTORS)]);
    let embedder = OpenAi::at(&stub.url(), KEY).retry(quick()).embedder("small");
    assert_eq!(embedder.embed(two_texts()).await.unwrap().vectors.len(), 2);
    for (status, body, kind) in [
        (401, r#"{"error":{"message":"Incorrect key sk-secret","code":"invalid_api_key"}}"#, ErrorKind::Auth),
        (400, r#"{"error":{"message":"input is empty"}}"#, ErrorKind::Rejected),
        (200, r#"{"error":{"message":"overloaded"}}"#, ErrorKind::Unavailable),
        (200, r#"{"data":[]}"#, ErrorKind::Malformed),
        (200, "<html>", ErrorKind::Malformed),
    ] {
        let stub = Stub::new([Answer::new(status, body)]);
        let embedder = OpenAi::at(&stub.url(), KEY).retry(Retry::never()).embedder("small");
        let error = embedder.embed(two_texts()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!error.to_string().contains(KEY), "{error}");
    }
}

#[tokio::test]
async fn a_deployment_of_azure_has_its_embeddings_under_its_own_address() {
    let stub = Stub::new([Answer::new(200, TWO_VECTORS)]);
    let azure = OpenAiOptions::azure(stub.url().trim_end_matches("/v1"), "small-eu", "2024-10-21").key(KEY);
    OpenAi::with_options(azure).embedder("small").embed(two_texts()).await.unwrap();
    let head = &stub.seen()[0].head;
    let path = "POST /openai/deployments/small-eu/embeddings?api-version=2024-10-21 HTTP/1.1\r\n";
    assert!(head.starts_with(path) && head.contains(&format!("api-key: {KEY}")), "{head}");
}
