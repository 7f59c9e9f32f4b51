//! A model behind an endpoint of chat completions, which answers a text with that text.

use std::io::BufReader;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::endpoint;

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
    let body = endpoint::body(&mut BufReader::new(stream))?;
    let asked = body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap();
    std::thread::sleep(Duration::from_millis(fastrand::u64(0..30)));
    let message = json!({"role": "assistant", "content": answer(asked)});
    let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
    endpoint::answer(&mut stream, &json!({"choices": choices}))
}
