//! A server on this machine that repeats the last message of a request after a while.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Serves on a thread of its own until the process ends; the base URL.
pub(crate) fn start(answer: Duration) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, answer));
            }
        });
    });
    format!("http://{address}/v1")
}

/// Answers the requests of one connection, until it is closed.
async fn serve(stream: TcpStream, answer: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line.trim_end().is_empty() {
                break;
            }
            if let Some(("content-length", bytes)) = line.trim_end().to_ascii_lowercase().split_once(": ") {
                length = bytes.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        tokio::time::sleep(answer).await;
        let request: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let said = &request["messages"].as_array().unwrap().last().unwrap()["content"];
        let choice =
            serde_json::json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}});
        let reply = serde_json::json!({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]});
        let reply = reply.to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", reply.len());
        stream.write_all((head + &reply).as_bytes()).await?;
    }
}
