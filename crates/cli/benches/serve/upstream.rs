//! An endpoint of chat completions that answers at once, or streams events that say when they were sent.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::endpoint;

/// Events of a stream.
pub(crate) const EVENTS: usize = 50;
const BETWEEN_EVENTS: Duration = Duration::from_millis(100);

/// Microseconds of the clock.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1e6
}

pub(crate) fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                let mut reader = BufReader::new(stream);
                while answer(&mut reader).is_some() {}
            });
        }
    });
    address
}

/// None when the client has gone.
fn answer(reader: &mut BufReader<TcpStream>) -> Option<()> {
    let body = endpoint::body(reader)?;
    let out = reader.get_mut();
    if body["stream"] == true {
        return stream(out);
    }
    let message = json!({"role": "assistant", "content": "The Rhine."});
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15});
    let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
    endpoint::answer(out, &json!({"id": "x", "object": "chat.completion", "choices": choices, "usage": usage}))
}

fn stream(out: &mut TcpStream) -> Option<()> {
    out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
    for _ in 0..EVENTS {
        std::thread::sleep(BETWEEN_EVENTS);
        event(out, &json!({"choices": [{"index": 0, "delta": {"content": format!("{} ", now())}}]}).to_string())?;
    }
    event(out, &json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).to_string())?;
    event(out, "[DONE]")?;
    out.write_all(b"0\r\n\r\n").ok()
}

fn event(out: &mut TcpStream, data: &str) -> Option<()> {
    let event = format!("data: {data}\n\n");
    out.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).ok()
}
