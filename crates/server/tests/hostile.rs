//! Clients that mean harm, or break: over real connections, as the server must bear them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/running.rs"]
mod running;

use std::sync::Arc;
use std::time::Duration;

use running::{Running, run};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use turnwise::ConversationManager;
use turnwise::backend::{Answer, ChatBackend, Scripted};
use turnwise::store::{MemoryStore, Store};
use turnwise_server::{Keys, Limits, Server};

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.body = 100_000;
    limits.body_time = Duration::from_millis(300);
    limits.read_time = Duration::from_millis(300);
    limits.grace = Duration::from_millis(300);
    limits
}

fn answering(backend: Scripted) -> Server {
    let backend: Arc<dyn ChatBackend> = Arc::new(backend);
    let managers = move |model: &str| ConversationManager::builder(model).backend(Arc::clone(&backend));
    Server::new(MemoryStore::new()).limits(limits()).responses(managers)
}

impl Running {
    /// Sends a head and a body as they are, and returns what comes until the end.
    async fn raw(&self, request: &[u8]) -> String {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        // A server that has refused already may close the connection before all is sent.
        let _ = connection.write_all(request).await;
        let mut all = Vec::new();
        let _ = connection.read_to_end(&mut all).await;
        String::from_utf8_lossy(&all).into_owned()
    }

    async fn ask(&self, line: &str, headers: &str, body: &str) -> (u16, Value) {
        let answer = self.raw(head(line, headers, body).as_bytes()).await;
        read(&answer)
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask(&format!("POST {path}"), "", &body.to_string()).await
    }
}

fn head(line: &str, headers: &str, body: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}content-length: \
         {}\r\n\r\n{body}",
        body.len()
    )
}

fn read(answer: &str) -> (u16, Value) {
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn hello() -> Value {
    json!({"model": "gpt-4o-mini", "input": "Hi"})
}

async fn conversation(server: &Running) -> String {
    server.post("/v1/conversations", &json!({})).await.1["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn bodies_that_are_slow_huge_or_deep_are_refused() {
    let server = run(answering(Scripted::new(["Hello!"]))).await;
    let slow = "POST /v1/conversations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: \
                100\r\nconnection: close\r\n\r\n{";
    let (status, error) = read(&server.raw(slow.as_bytes()).await);
    assert_eq!(status, 408, "{error}");
    let huge = format!("{{\"items\": \"{}\"}}", "x".repeat(100_000));
    let (status, error) = server.ask("POST /v1/conversations", "", &huge).await;
    assert_eq!(status, 413, "{error}");
    for deep in ["[".repeat(10_000) + &"]".repeat(10_000), "{\"items\":".repeat(5_000) + "1" + &"}".repeat(5_000)] {
        let (status, error) = server.ask("POST /v1/conversations", "", &deep).await;
        assert_eq!((status, error["error"]["type"].as_str()), (400, Some("invalid_request_error")), "{error}");
    }
    // The server is as it was.
    assert_eq!(server.post("/v1/responses", &hello()).await.0, 200);
}

#[tokio::test]
async fn a_body_may_be_compressed_but_not_blow_up() {
    let server = run(answering(Scripted::new(["Hello!"]))).await;
    let compress = |body: &[u8]| ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest);
    let send = async |body: Vec<u8>, coding: &str| {
        let line =
            "POST /v1/responses HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json";
        let mut request =
            format!("{line}\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        request.extend(body);
        read(&server.raw(&request).await).0
    };
    assert_eq!(send(compress(hello().to_string().as_bytes()), "zstd").await, 200);
    let bomb = compress(&vec![b' '; 10_000_000]);
    assert!(bomb.len() < 100_000);
    assert_eq!(send(bomb, "zstd").await, 413);
    assert_eq!(send(b"{}".to_vec(), "zstd").await, 400);
    assert_eq!(send(b"{}".to_vec(), "gzip").await, 415);
}

#[tokio::test]
async fn a_client_that_goes_away_or_does_not_read_lets_its_conversation_go() {
    let long = || Answer::from(format!("{} ", "x".repeat(2_000)).repeat(20_000));
    let server =
        run(answering(Scripted::default().and(Answer::from("Hi.").stalled_after(1)).and(long()).and("Done."))).await;
    let id = conversation(&server).await;
    let body = json!({"model": "gpt-4o-mini", "input": "Hi", "conversation": id, "stream": true}).to_string();
    let request = head("POST /v1/responses", "", &body);
    // The model is silent, and the client goes away.
    let mut gone = TcpStream::connect(server.address).await.unwrap();
    gone.write_all(request.as_bytes()).await.unwrap();
    gone.read_exact(&mut [0; 200]).await.unwrap();
    let plain = json!({"model": "gpt-4o-mini", "input": "Hi", "conversation": id});
    let (status, error) = server.post("/v1/responses", &plain).await;
    assert_eq!((status, error["error"]["code"].as_str()), (400, Some("conversation_locked")));
    drop(gone);
    tokio::time::sleep(Duration::from_millis(200)).await;
    // A client that asks for much, and reads nothing of it.
    let mut deaf = TcpStream::connect(server.address).await.unwrap();
    deaf.write_all(request.as_bytes()).await.unwrap();
    // Its conversation is busy until so much waits that no more is sent, and a moment longer.
    let (mut status, mut answer) = (400, Value::Null);
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        (status, answer) = server.post("/v1/responses", &plain).await;
        if status == 200 {
            break;
        }
    }
    assert_eq!((status, answer["status"].as_str()), (200, Some("completed")), "{answer}");
    // When it reads after all, it learns that this is not the whole stream.
    let mut late = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), deaf.read_to_end(&mut late)).await;
    let late = String::from_utf8_lossy(&late);
    let end = &late[late.len().saturating_sub(500)..];
    assert!(end.contains("event: error") && end.contains("stream_not_read"), "{end}");
}

#[tokio::test]
async fn wrong_keys_are_refused_and_what_another_tenant_has_looks_as_if_it_were_not_there() {
    let folder = tempfile::TempDir::new().unwrap();
    let keys = Keys::at(folder.path().join("keys.json"));
    let (ann, bob) = (keys.add("ann", "ann").unwrap(), keys.add("bob", "bob").unwrap());
    let server =
        answering(Scripted::new(vec!["Hello!"; 4])).keys(keys, |_| Ok(Arc::new(MemoryStore::new()) as Arc<dyn Store>));
    let server = run(server).await;
    for headers in ["", "authorization: Bearer tw-0\r\n", "authorization: Basic YTpi\r\n", "authorization: Bearer \r\n"]
    {
        let (status, error) = server.ask("POST /v1/conversations", headers, "{}").await;
        assert_eq!((status, error["error"]["code"].as_str()), (401, Some("invalid_api_key")), "{headers}");
    }
    let of = |key: &str| format!("authorization: Bearer {key}\r\n");
    let (status, made) =
        server.ask("POST /v1/conversations", &of(&ann), r#"{"items": [{"role": "user", "content": "Hi"}]}"#).await;
    assert_eq!(status, 200);
    let id = made["id"].as_str().unwrap();
    let (_, items) = server.ask(&format!("GET /v1/conversations/{id}/items"), &of(&ann), "").await;
    let item = items["first_id"].as_str().unwrap();
    let (_, response) = server.ask("POST /v1/responses", &of(&ann), &hello().to_string()).await;
    let response = response["id"].as_str().unwrap();
    let lines = [
        ("GET", "/v1/conversations/ID".to_owned(), String::new()),
        ("POST", "/v1/conversations/ID".to_owned(), r#"{"metadata": {}}"#.to_owned()),
        ("DELETE", "/v1/conversations/ID".to_owned(), String::new()),
        ("GET", "/v1/conversations/ID/items".to_owned(), String::new()),
        ("GET", format!("/v1/conversations/ID/items/{item}"), String::new()),
        (
            "POST",
            "/v1/conversations/ID/items".to_owned(),
            r#"{"items": [{"role": "user", "content": "x"}]}"#.to_owned(),
        ),
        ("GET", "/v1/responses/RESPONSE".to_owned(), String::new()),
        ("DELETE", "/v1/responses/RESPONSE".to_owned(), String::new()),
        ("GET", "/v1/responses/RESPONSE/input_items".to_owned(), String::new()),
        (
            "POST",
            "/v1/responses".to_owned(),
            json!({"model": "gpt-4o-mini", "input": "x", "conversation": "ID"}).to_string(),
        ),
        (
            "POST",
            "/v1/responses".to_owned(),
            json!({"model": "gpt-4o-mini", "input": "x", "previous_response_id": "RESPONSE"}).to_string(),
        ),
    ];
    for (method, path, body) in lines {
        let ask = async |conversation: &str, response: &str| {
            let put = |text: &str| text.replace("ID", conversation).replace("RESPONSE", response);
            let (status, answer) = server.ask(&format!("{method} {}", put(&path)), &of(&bob), &put(&body)).await;
            (status, answer.to_string().replace(conversation, "ID").replace(response, "RESPONSE"))
        };
        let (of_ann, missing) = (ask(id, response).await, ask("conv_1", "resp_1").await);
        assert_eq!(of_ann, missing, "{method} {path}");
        assert!(of_ann.0 == 404 || of_ann.0 == 400, "{of_ann:?}");
    }
    assert_eq!(server.ask(&format!("GET /v1/conversations/{id}"), &of(&ann), "").await.0, 200);
}

#[tokio::test]
async fn one_key_has_so_many_requests_running() {
    let mut few = limits();
    few.running = 1;
    let server =
        run(answering(Scripted::default().and(Answer::from("Hi.").stalled_after(1)).and("Yes.")).limits(few)).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    let body = json!({"model": "gpt-4o-mini", "input": "Hi", "stream": true}).to_string();
    first.write_all(head("POST /v1/responses", "", &body).as_bytes()).await.unwrap();
    first.read_exact(&mut [0; 200]).await.unwrap();
    let answer = server.raw(head("GET /v1/conversations/conv_1", "", "").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: 1"), "{answer}");
    drop(first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.ask("GET /v1/conversations/conv_1", "", "").await.0, 404);
}

#[tokio::test]
async fn a_server_that_stops_lets_what_runs_end_and_marks_what_does_not() {
    let server = run(answering(Scripted::default().and(Answer::from("Hi.").stalled_after(1)))).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = json!({"model": "gpt-4o-mini", "input": "Hi", "stream": true}).to_string();
    stream.write_all(head("POST /v1/responses", "", &body).as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 200]).await.unwrap();
    server.stop.send(()).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("event: response.failed") && rest.contains("shutting down"), "{rest}");
    assert!(TcpStream::connect(server.address).await.is_err());
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_health_needs_no_key() {
    let folder = tempfile::TempDir::new().unwrap();
    let keys = Keys::at(folder.path().join("keys.json"));
    let server =
        run(answering(Scripted::new(["Hi."])).keys(keys, |_| Ok(Arc::new(MemoryStore::new()) as Arc<dyn Store>))).await;
    let answer = server.raw(head("GET /v1/conversations/conv_1", "", "").as_bytes()).await;
    assert!(answer.contains("x-request-id: req_") && answer.contains("www-authenticate: Bearer"), "{answer}");
    let answer = server.raw(head("GET /v1/conversations/conv_1", "x-request-id: my-id.1\r\n", "").as_bytes()).await;
    assert!(answer.contains("x-request-id: my-id.1"), "{answer}");
    let answer = server.raw(head("GET /v1/conversations/conv_1", "x-request-id: a b\r\n", "").as_bytes()).await;
    assert!(answer.contains("x-request-id: req_"), "{answer}");
    assert_eq!(server.ask("GET /healthz", "", "").await, (200, json!({"status": "ok"})));
}

#[tokio::test]
async fn a_store_that_is_slow_to_open_holds_up_its_own_tenant_only() {
    let folder = tempfile::TempDir::new().unwrap();
    let keys = Keys::at(folder.path().join("keys.json"));
    let (slow, fast) = (keys.add("ann", "slow").unwrap(), keys.add("bob", "fast").unwrap());
    let server = answering(Scripted::default()).keys(keys, |tenant| {
        std::thread::sleep(Duration::from_secs(if tenant == "slow" { 3 } else { 0 }));
        Ok(Arc::new(MemoryStore::new()) as Arc<dyn Store>)
    });
    let server = run(server).await;
    let began = std::time::Instant::now();
    let of = |key: &str| format!("authorization: Bearer {key}\r\n");
    let waiting = async {
        let (status, _) = server.ask("GET /v1/conversations/conv_1", &of(&slow), "").await;
        (status, began.elapsed())
    };
    let passing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (status, _) = server.ask("GET /v1/conversations/conv_1", &of(&fast), "").await;
        (status, began.elapsed())
    };
    let (waiting, passing) = tokio::join!(waiting, passing);
    assert_eq!((waiting.0, passing.0), (404, 404));
    assert!(waiting.1 >= Duration::from_secs(3) && passing.1 < Duration::from_secs(2), "{waiting:?} {passing:?}");
}
