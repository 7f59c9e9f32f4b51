//! The customers of the example `axum`.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Begins a chat, asks two questions at once and a third one, and asks in a chat that does not
/// exist.
pub(crate) async fn visit(desk: SocketAddr) {
    let visit = async {
        let begun = post(desk, "/chats", "").await?;
        let chat = format!("/chats/{}", begun.lines().last().unwrap_or_default());
        let at_once = tokio::try_join!(
            post(desk, &chat, "When do you open?"),
            post(desk, &chat, "And close?")
        )?;
        println!("{}\n{}", at_once.0, at_once.1);
        println!("{}", post(desk, &chat, "Where is the tea?").await?);
        println!("{}", post(desk, "/chats/unknown", "Hello?").await?);
        io::Result::Ok(())
    };
    if let Err(error) = visit.await {
        eprintln!("{error}");
    }
}

/// The answer to a request: the status, and the body as it was sent.
pub(crate) async fn post(desk: SocketAddr, path: &str, text: &str) -> io::Result<String> {
    let mut server = TcpStream::connect(desk).await?;
    let length = text.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {desk}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}"
    );
    server.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    server.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    Ok(format!("{status}\n{}", without_chunk_sizes(body)))
}

/// The body of a streamed answer without the sizes of its pieces.
fn without_chunk_sizes(body: &str) -> String {
    let is_size = |line: &&str| {
        line.ends_with('\r') && line.trim_end().bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let lines = body
        .split('\n')
        .filter(|line| !is_size(line) && !line.trim().is_empty());
    lines.map(str::trim_end).collect::<Vec<_>>().join("\n")
}
