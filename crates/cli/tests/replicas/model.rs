//! A model behind an endpoint of chat completions, which answers a text with that text.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// What it says to a text.
pub(crate) fn answer(asked: &str) -> String {
    format!("answer to {asked}")
}

/// Its base URL. It answers until the tests end.
pub(crate) fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || while answer_one(&stream).is_some() {});
        }
    });
    url
}

/// None when the client has gone.
fn answer_one(mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
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
    let body: Value = serde_json::from_slice(&body).unwrap();
    let asked = body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap();
    std::thread::sleep(Duration::from_millis(fastrand::u64(0..30)));
    let message = json!({"role": "assistant", "content": answer(asked)});
    let answer = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).to_string();
    let length = answer.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + &answer).as_bytes()).ok()
}
