//! The routes of the Responses API.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Path, RawQuery};
use axum::http::HeaderMap;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream;
use turnwise::message::RawJson;

use super::Responses;
use super::compaction;
use super::events::NO_PLAN;
use super::exchange::Begun;
use super::request::Request;
use super::socket;
use crate::answer::{Refusal, json};
use crate::body::Body;
use crate::client_stream::Events;
use crate::completions::with_plan;
use crate::once::{Once, replayed};
use crate::query;
use crate::routes::{Answer, Api, ReadBody};
use crate::server::App;

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/v1/responses", get(socket::upgrade).post(create))
        .route("/v1/responses/input_tokens", post(input_tokens))
        .route("/v1/responses/compact", post(compact))
        .route("/v1/responses/{id}", get(retrieve).delete(delete))
        .route("/v1/responses/{id}/cancel", post(cancel))
        .route("/v1/responses/{id}/input_items", get(input_items))
}

/// The service; these routes exist only if there is one.
pub(crate) fn service(app: App) -> Result<Arc<Responses>, Refusal> {
    let missing =
        || Refusal(turnwise_conversations::ApiError::unsupported("model", "is not supported: there are no models"));
    app.responses.ok_or_else(missing)
}

impl Responses {
    pub(super) fn read(&self, body: ReadBody) -> Result<Request, turnwise_conversations::ApiError> {
        Request::read(&Body::read(body, Request::known())?, self.rules.refuses_long, &self.sealer)
    }
}

async fn create(Extension(app): Api, headers: HeaderMap, body: ReadBody) -> Answer {
    let service = service(app)?;
    let once = Once::of_sent(&headers, "responses", &body)?;
    let mut request = service.read(body)?;
    if request.is_compaction && !request.is_streamed {
        return Ok(json(&service.compacted(request).await?));
    }
    request.once = once;
    let held = match &request.once {
        Some(once) => Some(service.requests.hold(once).await),
        None => None,
    };
    if request.is_compaction {
        return Ok(with_plan(sse(service.stream_compaction(request).await?), NO_PLAN));
    }
    let is_streamed = request.is_streamed;
    match service.begin_recorded(request, held).await? {
        Begun::Recorded(recorded) if is_streamed => Ok(replayed(sse(service.replay(recorded)))),
        Begun::Recorded(recorded) => Ok(replayed(json(&recorded))),
        Begun::Run(run) if is_streamed => {
            let (events, plan) = run.events().await?;
            Ok(with_plan(sse(events), &plan))
        }
        Begun::Run(run) => {
            let (answer, plan) = run.finish().await?;
            Ok(with_plan(json(&answer), &plan))
        }
    }
}

/// An answer of events.
pub(crate) fn sse(events: Events) -> Response {
    let events = stream::unfold(events, async |mut events| {
        let event = events.recv().await?;
        Some((Ok::<_, Infallible>(event.into_sse()), events))
    });
    Sse::new(Box::pin(events)).keep_alive(KeepAlive::default()).into_response()
}

async fn compact(Extension(app): Api, body: ReadBody) -> Answer {
    Ok(json(&service(app)?.compact(&Body::read(body, compaction::KNOWN)?).await?))
}

async fn input_tokens(Extension(app): Api, body: ReadBody) -> Answer {
    let service = service(app)?;
    let request = service.read(body)?;
    let tokens = service.begin(request).await?.input_tokens()?;
    Ok(json(&RawJson::object([("object", "response.input_tokens".into()), ("input_tokens", tokens.into())])))
}

async fn retrieve(Extension(app): Api, Path(id): Path<String>, RawQuery(query): RawQuery) -> Answer {
    if query::is(query.as_deref(), "stream", "true") {
        let why = "can be true only for a response of which events are kept, and none are here: ask without it";
        return Err(turnwise_conversations::ApiError::unsupported("stream", why).into());
    }
    Ok(json(&service(app)?.retrieve(&id).await?))
}

async fn delete(Extension(app): Api, Path(id): Path<String>) -> Answer {
    Ok(json(&service(app)?.delete(&id).await?))
}

async fn cancel(Extension(app): Api, Path(id): Path<String>) -> Answer {
    Ok(json(&service(app)?.cancel(&id).await?))
}

async fn input_items(Extension(app): Api, Path(id): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let list = query::read(query.as_deref())?;
    Ok(json(&service(app)?.input_items(&id, &list).await?))
}
