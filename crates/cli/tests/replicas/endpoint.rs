//! What endpoints of chat completions for tests and benchmarks share: a request's body, and an answer.

use std::io::{BufRead, Write};

use serde_json::Value;

/// The body of the next request. None when the client has gone.
pub(crate) fn body(reader: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).unwrap())
}

/// Answers with an object. None when the client has gone.
pub(crate) fn answer(out: &mut impl Write, answer: &Value) -> Option<()> {
    let answer = answer.to_string();
    let length = answer.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    out.write_all((head + &answer).as_bytes()).ok()
}
