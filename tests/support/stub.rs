//! A server for one test: canned answers in order, and the requests that were received. No test
//! file uses all of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// The rest of a body that comes in pieces, each after a while.
    pieces: Option<Vec<(Duration, Vec<u8>)>>,
    /// Whether the connection stays open for further requests.
    is_kept: bool,
    /// Whether the last piece is sent again and again, until the client leaves.
    is_endless: bool,
}

impl Answer {
    pub(crate) fn new(status: u16, body: &str) -> Self {
        Self::bytes(status, body.as_bytes())
    }

    pub(crate) fn bytes(status: u16, body: &[u8]) -> Self {
        Self {
            status,
            headers: String::new(),
            body: body.to_owned(),
            missing: 0,
            delay: Duration::ZERO,
            pieces: None,
            is_kept: false,
            is_endless: false,
        }
    }

    /// Breaks the connection before the body has ended; its delay comes there.
    pub(crate) fn torn(mut self) -> Self {
        self.missing = 9;
        self
    }

    /// A body that comes in these pieces, of type `text/event-stream`.
    pub(crate) fn stream(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let pieces = pieces.into_iter().map(|piece| (Duration::ZERO, piece.as_ref().to_owned())).collect();
        Self { pieces: Some(pieces), ..Self::new(200, "") }
    }

    /// Server-sent events with these data, one piece each.
    pub(crate) fn events(data: impl IntoIterator<Item = impl std::fmt::Display>) -> Self {
        Self::stream(data.into_iter().map(|data| format!("data: {data}\n\n")))
    }

    /// Waits before the last piece of a stream.
    pub(crate) fn pause(mut self, pause: Duration) -> Self {
        if let Some(last) = self.pieces.as_mut().and_then(|pieces| pieces.last_mut()) {
            last.0 = pause;
        }
        self
    }

    /// Sends the last piece of a stream again and again, with its pause before it each time.
    pub(crate) fn endless(mut self) -> Self {
        self.is_endless = true;
        self
    }

    /// Leaves the connection open for further requests, after a stream.
    pub(crate) fn kept(mut self) -> Self {
        self.is_kept = true;
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
    left: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Stub {
    /// A server with these answers; the last one is repeated.
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stub = Self { address, seen: Arc::default(), left: Arc::default(), connections: Arc::default() };
        let (seen, answers) = (Arc::clone(&stub.seen), answers.into_iter().collect::<Arc<[_]>>());
        let (left, connections) = (Arc::clone(&stub.left), Arc::clone(&stub.connections));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answers, left) = (Arc::clone(&seen), Arc::clone(&answers), Arc::clone(&left));
                connections.fetch_add(1, Ordering::SeqCst);
                let stream = stream.unwrap();
                thread::spawn(move || while serve(&stream, &seen, &left, &answers) {});
            }
        });
        stub
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many clients have closed the connection while an answer was being streamed to them.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Whether the connection stays open.
fn serve(stream: &TcpStream, seen: &Mutex<Vec<Seen>>, left: &AtomicUsize, answers: &[Answer]) -> bool {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return false;
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
    let answer = &answers[(number - 1).min(answers.len() - 1)];
    let Answer { status, headers, body, missing, delay, pieces, is_kept, is_endless } = answer;
    let is_torn = *missing > 0;
    thread::sleep(if is_torn { Duration::ZERO } else { *delay });
    if let Some(pieces) = pieces {
        let headers = if *is_kept { headers } else { &format!("connection: close\r\n{headers}") };
        let served = serve_pieces(stream, headers, pieces, is_torn, *is_endless);
        left.fetch_add(usize::from(served.is_err()), Ordering::SeqCst);
        return *is_kept && served.is_ok();
    }
    let length = body.len() + missing;
    let mut stream = stream;
    // A client that gave up is not this server's problem.
    let _ = write!(
        stream,
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
    )
    .and_then(|()| stream.write_all(body));
    thread::sleep(if is_torn { *delay } else { Duration::ZERO });
    false
}

/// Fails when the client closes the connection before the end.
fn serve_pieces(
    mut stream: &TcpStream,
    headers: &str,
    pieces: &[(Duration, Vec<u8>)],
    is_torn: bool,
    is_endless: bool,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let fixed = "content-type: text/event-stream\r\ntransfer-encoding: chunked";
    write!(stream, "HTTP/1.1 200 x\r\n{fixed}\r\n{headers}\r\n")?;
    let again = pieces.last().filter(|_| is_endless).into_iter().cycle();
    for (pause, piece) in pieces.iter().chain(again) {
        wait(stream, *pause)?;
        if !piece.is_empty() {
            write!(stream, "{:x}\r\n", piece.len())?;
            stream.write_all(piece)?;
            stream.write_all(b"\r\n")?;
        }
    }
    if is_torn { Ok(()) } else { stream.write_all(b"0\r\n\r\n") }
}

/// Waits; fails when the client closes the connection meanwhile.
fn wait(mut stream: &TcpStream, pause: Duration) -> std::io::Result<()> {
    if pause.is_zero() {
        return Ok(());
    }
    stream.set_read_timeout(Some(pause))?;
    let read = stream.read(&mut [0]);
    stream.set_read_timeout(None)?;
    match read {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        _ => Err(ErrorKind::ConnectionAborted.into()),
    }
}
