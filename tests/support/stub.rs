//! A server for one test: canned answers in order, and the requests that came. No test file uses all of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
    /// Bytes that are announced and never come.
    missing: usize,
    delay: Duration,
}

impl Answer {
    pub(crate) fn new(status: u16, body: &str) -> Self {
        Self::bytes(status, body.as_bytes())
    }

    pub(crate) fn bytes(status: u16, body: &[u8]) -> Self {
        Self { status, headers: String::new(), body: body.to_owned(), missing: 0, delay: Duration::ZERO }
    }

    /// Breaks the connection before the body has ended; its delay comes there.
    pub(crate) fn torn(mut self) -> Self {
        self.missing = 9;
        self
    }

    pub(crate) fn says(text: &str) -> Self {
        let message = serde_json::json!({ "role": "assistant", "content": text });
        Self::new(200, &serde_json::json!({ "choices": [{ "message": message, "finish_reason": "stop" }] }).to_string())
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers = format!("{}{name}: {value}\r\n", self.headers);
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) struct Stub {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    /// A server with these answers; the last one is repeated.
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stub = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let (seen, answers) = (Arc::clone(&stub.seen), answers.into_iter().collect::<Vec<_>>());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answers) = (Arc::clone(&seen), answers.clone());
                thread::spawn(move || serve(&stream.unwrap(), &seen, &answers));
            }
        });
        stub
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, seen: &Mutex<Vec<Seen>>, answers: &[Answer]) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(Seen { head, body: String::from_utf8(body).unwrap() });
        seen.len()
    };
    let Answer { status, headers, body, missing, delay } = &answers[(number - 1).min(answers.len() - 1)];
    let is_torn = *missing > 0;
    thread::sleep(if is_torn { Duration::ZERO } else { *delay });
    let length = body.len() + missing;
    let mut stream = stream;
    // A client that gave up is not this server's problem.
    let _ = write!(
        stream,
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
    )
    .and_then(|()| stream.write_all(body));
    thread::sleep(if is_torn { *delay } else { Duration::ZERO });
}
