//! A support desk: chats by their ids, streamed, kept in a folder, continued after a restart. Two
//! requests for one chat are answered in turn. `cargo run --example axum` serves some customers.

pub(crate) mod support;

use axum::response::sse::{Event, Sse};
use axum::{Router, extract::Path, extract::State, http::StatusCode, routing::post};
use futures_util::stream::{BoxStream, StreamExt};
use std::convert::Infallible;
use turnwise::{ChatEvent, ConversationManager, Error, ErrorKind, Result, Sessions};

type Answer<T> = Result<T, (StatusCode, String)>;
type Events = BoxStream<'static, Result<Event, Infallible>>;

async fn begin(desk: State<Sessions>) -> Answer<String> {
    Ok(desk.create().await.map_err(|error| refused(&error))?.id().to_owned())
}

async fn ask(desk: State<Sessions>, id: Path<String>, text: String) -> Answer<Sse<Events>> {
    let chat = desk.open_existing(&id).await.map_err(|error| refused(&error))?;
    let reply = chat.send(text).stream().await.map_err(|error| refused(&error))?;
    Ok(Sse::new(reply.map(|part| Ok(event(part))).boxed()))
}

fn event(part: Result<ChatEvent>) -> Event {
    match part {
        Ok(ChatEvent::Finished(_)) => Event::default().event("end").data("saved"),
        Ok(part) => Event::default().data(serde_json::json!(part.text()).to_string()),
        Err(error) => Event::default().event("error").data(error.kind().to_string()),
    }
}

fn refused(error: &Error) -> (StatusCode, String) {
    let is_unknown = error.kind() == ErrorKind::NotFound;
    (if is_unknown { StatusCode::NOT_FOUND } else { StatusCode::BAD_GATEWAY }, error.kind().to_string())
}

pub(crate) fn app(desk: Sessions) -> Router {
    Router::new().route("/chats", post(begin)).route("/chats/{id}", post(ask)).with_state(desk)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let backend = support::backend(["At nine.", "At six.", "In aisle four."]);
    let folder = tempfile::TempDir::new()?;
    let desk = ConversationManager::builder("gpt-4o-mini").backend(backend).require_saved().sessions(folder.path())?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let customers = support::customers::visit(listener.local_addr()?);
    Ok(axum::serve(listener, app(desk)).with_graceful_shutdown(customers).await?)
}
