//! A support desk: chats by their ids, streamed, kept in a folder, continued after a restart. Two
//! requests for one chat are answered in turn. `cargo run --example axum` serves some customers.

pub(crate) mod support;

use axum::response::sse::{Event, Sse};
use axum::{Router, extract::Path, extract::State, http::StatusCode, routing::post};
use futures_util::stream::{BoxStream, StreamExt};
use turnwise::{ChatEvent, ConversationManager, Error, ErrorKind, Result, Sessions};

type Answer<T> = Result<T, (StatusCode, String)>;
type Events = BoxStream<'static, Result<Event, std::convert::Infallible>>;

async fn begin(desk: State<Sessions>) -> Answer<String> {
    let chat = desk.create().await.map_err(refused)?;
    Ok(chat.id().to_owned())
}

async fn ask(desk: State<Sessions>, id: Path<String>, text: String) -> Answer<Sse<Events>> {
    let chat = desk.open_existing(&id).await.map_err(refused)?;
    let reply = chat.send(text).stream().await.map_err(refused)?;
    Ok(Sse::new(reply.map(|part| Ok(event(part))).boxed()))
}

fn event(part: Result<ChatEvent>) -> Event {
    let (name, data) = match part {
        Ok(ChatEvent::Finished(_)) => ("end", "saved".to_owned()),
        Ok(part) => ("message", serde_json::json!(part.text()).to_string()),
        Err(error) => ("error", error.kind().to_string()),
    };
    Event::default().event(name).data(data)
}

#[allow(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn refused(error: Error) -> (StatusCode, String) {
    let status = match error.kind() {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_GATEWAY,
    };
    (status, error.kind().to_string())
}

pub(crate) fn app(desk: Sessions) -> Router {
    let chats = Router::new().route("/chats", post(begin));
    chats.route("/chats/{id}", post(ask)).with_state(desk)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::TempDir::new()?;
    let desk = ConversationManager::builder("gpt-4o-mini")
        .backend(support::backend(["At nine.", "At six.", "In aisle four."]))
        .require_saved()
        .sessions(folder.path())?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let customers = support::customers::visit(listener.local_addr()?);
    let server = axum::serve(listener, app(desk));
    Ok(server.with_graceful_shutdown(customers).await?)
}
