//! Responses over a WebSocket: one after the other on one connection, which remembers the newest one.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, FromRequestParts, Request as HttpRequest};
use axum::response::{IntoResponse, Response};
use tokio::time::{sleep, timeout};
use turnwise::Transcript;
use turnwise::message::RawJson;
use turnwise_conversations::ApiError;

use super::Responses;
use super::request::{Base, Request};
use super::routes::service;
use crate::access::Door;
use crate::answer::Refusal;
use crate::body::Body;
use crate::reading;
use crate::request_id;
use crate::server::App;

/// How many messages may wait for the request that is answered. When there are so many, no more are
/// read, so that their sender waits.
const WAITING: usize = 16;
/// Members that only HTTP has a use for. Clients send them all the same, with the values that a socket has.
const OF_HTTP: [(&str, bool); 2] = [("stream", true), ("background", false)];

/// The newest response of a connection, stored or not, for the next one to continue.
pub(super) type Newest = Arc<Mutex<Option<(String, Transcript)>>>;

/// Changes to the WebSocket protocol.
pub(super) async fn upgrade(
    Extension(app): Extension<App>,
    Extension(door): Extension<Door>,
    request: HttpRequest,
) -> Response {
    let service = match service(app) {
        Ok(service) => service,
        Err(refusal) => return refusal.into_response(),
    };
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade.max_message_size(door.limits().body),
        Err(_) => return not_a_socket().into_response(),
    };
    let Some(place) = door.place() else {
        let mut error = ApiError::invalid_request("Too many connections are open.".to_owned());
        (error.status, error.kind) = (503, "server_error");
        return Refusal(error).into_response();
    };
    let under = request_id::carried();
    upgrade.on_upgrade(async move |socket| {
        let connection = Connection { socket, service, door, newest: Newest::default(), waiting: VecDeque::new() };
        under.run(connection.serve()).await;
        drop(place);
    })
}

fn not_a_socket() -> Refusal {
    let message = "Invalid URL (GET /v1/responses): it answers POST, and GET that asks for a WebSocket.";
    let mut error = ApiError::invalid_request(message.to_owned());
    error.status = 404;
    Refusal(error)
}

struct Connection {
    socket: WebSocket,
    service: Arc<Responses>,
    door: Door,
    newest: Newest,
    /// Messages that came while a request was answered.
    waiting: VecDeque<Message>,
}

impl Connection {
    /// Answers until the client is gone, the connection is too old, or the server stops.
    async fn serve(mut self) {
        let life = self.door.limits().socket_life;
        let mut old = pin!(sleep(life));
        let ending = self.service.ending().clone();
        loop {
            // Also with requests that wait, a connection that is too old is over.
            let next = tokio::select! {
                biased;
                () = ending.stopping() => return,
                () = &mut old => {
                    let message = format!("This connection is {} minutes old. Open a new one.", life.as_secs() / 60);
                    let mut error = ApiError::invalid_request(message);
                    error.code = Some("websocket_connection_limit_reached");
                    self.refuse(error).await;
                    return;
                }
                next = self.next() => next,
            };
            let went_on = match next {
                Some(Ok(Message::Text(text))) => self.turn(text.as_str()).await,
                Some(Ok(Message::Binary(_))) => {
                    self.refuse(ApiError::invalid_request("Send JSON as a text message.".to_owned())).await
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Some(()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => None,
            };
            if went_on.is_none() {
                return;
            }
        }
    }

    /// The next message, those first that wait.
    async fn next(&mut self) -> Option<Result<Message, axum::Error>> {
        match self.waiting.pop_front() {
            Some(waiting) => Some(Ok(waiting)),
            None => self.socket.recv().await,
        }
    }

    /// Answers one request. `None` if the client is gone, or not let in any more.
    async fn turn(&mut self, text: &str) -> Option<()> {
        let pass = match self.door.enter() {
            Ok(pass) => pass,
            Err(error) => {
                let is_let_in = error.status != 401;
                self.refuse(error).await?;
                return is_let_in.then_some(());
            }
        };
        let request = match self.read(text) {
            Ok(request) => request,
            Err(error) => {
                let body = Body::open(Ok(Bytes::copy_from_slice(text.as_bytes()))).ok();
                let previous = body.and_then(|body| body.text("previous_response_id").ok().flatten());
                if let Some(previous) = previous {
                    self.forget(&previous);
                }
                return self.refuse(error).await;
            }
        };
        let previous = match &request.base {
            Base::Previous(id) => Some(id.clone()),
            Base::Conversation(_) | Base::Nothing => None,
        };
        let has_ended = self.show(request).await?;
        if !has_ended && let Some(previous) = previous {
            self.forget(&previous);
        }
        drop(pass);
        Some(())
    }

    /// Shows a response while it arrives. Returns whether it ended well; `None` if the client is gone.
    async fn show(&mut self, request: Request) -> Option<bool> {
        let service = Arc::clone(&self.service);
        let mut beginning = Box::pin(service.stream(request));
        let begun = loop {
            tokio::select! {
                begun = &mut beginning => break begun,
                next = self.socket.recv(), if self.waiting.len() < WAITING => self.heed(next)?,
            }
        };
        let mut events = match begun {
            Ok(events) => events,
            Err(error) => return self.refuse(error).await.map(|()| false),
        };
        let mut has_ended = false;
        loop {
            tokio::select! {
                event = events.recv() => {
                    let Some(event) = event else { return Some(has_ended) };
                    has_ended = matches!(&*event.name, "response.completed" | "response.incomplete");
                    self.send(event.data).await?;
                }
                next = self.socket.recv(), if self.waiting.len() < WAITING => self.heed(next)?,
            }
        }
    }

    /// Takes what comes while a response is made. `None` if the client is gone: without it a response
    /// ends, and is not recorded.
    fn heed(&mut self, next: Option<Result<Message, axum::Error>>) -> Option<()> {
        match next {
            // One that is no text is refused when its turn comes.
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => self.waiting.push_back(message),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => return None,
        }
        Some(())
    }

    fn read(&self, text: &str) -> Result<Request, ApiError> {
        reading::check_depth(text.as_bytes(), self.door.limits())?;
        let body = Body::open(Ok(Bytes::copy_from_slice(text.as_bytes())))?;
        let kind = body.need_text("type")?;
        if kind != "response.create" {
            return Err(ApiError::invalid_value("type", &kind, &["response.create"]));
        }
        for (key, value) in OF_HTTP {
            if body.get(key).is_some() && body.is_true(key)? != value {
                return Err(ApiError::unsupported(key, &format!("can only be {value} over a WebSocket")));
            }
        }
        let body = body.with(&[], &["type", "stream", "stream_options", "background"]).unwrap_or_default();
        let mut request = self.service.read(Ok(body))?;
        request.newest = Some(Arc::clone(&self.newest));
        Ok(request)
    }

    /// What failed is not continued any more.
    fn forget(&self, id: &str) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_some_and(|(known, _)| known == id) {
            *newest = None;
        }
    }

    async fn refuse(&mut self, error: ApiError) -> Option<()> {
        let error = request_id::shown(error);
        let param = error.param.as_deref().map_or_else(|| serde_json::Value::Null.into(), RawJson::from);
        let inner = RawJson::object([
            ("type", error.kind.into()),
            ("code", error.code.unwrap_or(error.kind).into()),
            ("message", error.message.as_str().into()),
            ("param", param),
        ]);
        let status = u64::from(error.status);
        let told = RawJson::object([("type", "error".into()), ("status", status.into()), ("error", inner)]);
        self.send(told.as_str().to_owned()).await
    }

    async fn send(&mut self, data: String) -> Option<()> {
        let read_time = self.service.rules().read_time;
        timeout(read_time, self.socket.send(Message::Text(data.into()))).await.ok()?.ok()
    }
}
