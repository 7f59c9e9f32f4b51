//! A server that streams replies as server-sent events, and what happens to a reply if the client
//! disconnects.
//!
//! - `/chat`: the stream is dropped with the response, and the record is unchanged.
//! - `/chat/part`: the part that has arrived is recorded, marked as incomplete.
//! - `/chat/whole`: a task of its own reads the reply to its end, whether or not the client is
//!   connected.
//!
//! `cargo run --example disconnect` starts it on a free port, reads two events of each, disconnects,
//! and prints the record.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::routing::post;
use futures_util::{Stream, StreamExt, stream};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use turnwise::backend::{Answer, ChatEvent, Scripted};
use turnwise::{ConversationManager, Error, Exchange};

type Events =
    Result<Sse<stream::BoxStream<'static, Result<Event, Infallible>>>, (StatusCode, String)>;

async fn follow(State(chat): State<ConversationManager>, text: String) -> Events {
    respond(chat.send(text)).await
}

async fn keep_part(State(chat): State<ConversationManager>, text: String) -> Events {
    respond(chat.send(text).keep_partial()).await
}

async fn respond(exchange: Exchange) -> Events {
    let reply = exchange.stream().await.map_err(|error| refused(&error))?;
    Ok(Sse::new(events(reply).boxed()))
}

async fn keep_whole(State(chat): State<ConversationManager>, text: String) -> Events {
    let mut reply = chat
        .send(text)
        .stream()
        .await
        .map_err(|error| refused(&error))?;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(part) = reply.next().await {
            // The client may have disconnected; read the reply to its end all the same.
            let _ = sender.send(part);
        }
    });
    let parts = stream::poll_fn(move |context| receiver.poll_recv(context));
    Ok(Sse::new(events(parts).boxed()))
}

/// Texts as JSON, so that line breaks are kept.
fn events(
    parts: impl Stream<Item = turnwise::Result<ChatEvent>>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    parts.filter_map(async |part| {
        Some(Ok(match part {
            Ok(ChatEvent::Text(text)) => Event::default().data(json!(text).to_string()),
            Ok(ChatEvent::Finished(_)) => Event::default().event("end").data("{}"),
            Ok(_) => return None,
            // This includes `NotSaved`: the reply is recorded, but it may be gone after a restart,
            // so the client must know.
            Err(error) => Event::default()
                .event("error")
                .data(json!(error.kind().to_string()).to_string()),
        }))
    })
}

fn refused(error: &Error) -> (StatusCode, String) {
    let status = if error.is_retryable() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::BAD_GATEWAY
    };
    (status, error.kind().to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Two replies that never end, so that the client disconnects first, and one that ends.
    let rivers = || Answer::from("The Elbe, the Oder, the Havel, the Spree.");
    let backend = Scripted::default()
        .and(rivers().stalled_after(2))
        .and(rivers().stalled_after(2))
        .and(rivers());
    let folder = tempfile::TempDir::new()?;
    // If a reply cannot be saved, its stream ends in an error instead of `Finished`.
    let setup = ConversationManager::builder("gpt-4o-mini")
        .backend(backend)
        .require_saved();
    let chat = setup.resume(folder.path().join("chat.json"))?;

    let app = Router::new()
        .route("/chat", post(follow))
        .route("/chat/part", post(keep_part))
        .route("/chat/whole", post(keep_whole))
        .with_state(chat.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    for path in ["/chat", "/chat/part", "/chat/whole"] {
        let heard = hear_two(
            TcpStream::connect(address).await?,
            path,
            "Name four rivers.",
        )
        .await?;
        println!("{path}: heard {heard:?} and left");
        // As long as the stream exists, it holds the conversation's send permit.
        while chat.edit_record(|_| Ok(())).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for message in chat.history() {
            let mark = if message.is_incomplete() {
                " [incomplete]"
            } else {
                ""
            };
            println!("  {:>9}  {}{mark}", message.role().as_str(), message.text());
        }
    }
    Ok(())
}

/// A client that disconnects after two events.
async fn hear_two(mut server: TcpStream, path: &str, text: &str) -> io::Result<Vec<String>> {
    let (host, length) = (server.peer_addr()?, text.len());
    let request =
        format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n{text}");
    server.write_all(request.as_bytes()).await?;
    let mut lines = BufReader::new(server).lines();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let Some(line) = lines.next_line().await? else {
            break;
        };
        heard.extend(line.strip_prefix("data: ").map(str::to_owned));
    }
    Ok(heard)
}
