//! The routes of the API.

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, RawQuery};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use turnwise_conversations::{ApiError, Create};

use crate::answer::{Refusal, json};
use crate::body::Body;
use crate::completions;
use crate::extensions;
use crate::once::{Once, replayed};
use crate::query;
use crate::responses;
use crate::server::App;

/// What the routes work with, for the tenant that asks.
pub(crate) type Api = Extension<App>;
/// What a route answers.
pub(crate) type Answer = Result<Response, Refusal>;
/// The body of a request, or why it could not be read.
pub(crate) type ReadBody = Result<Bytes, BytesRejection>;

/// The routes, with those that need models or without.
pub(crate) fn all(has_responses: bool) -> Router {
    let routes = if has_responses { responses::routes().merge(completions::routes()) } else { Router::new() };
    #[cfg(feature = "pages")]
    let routes = routes.merge(crate::pages::routes());
    routes
        .merge(extensions::routes())
        .route("/v1/conversations", post(create))
        .route("/v1/conversations/{id}", get(retrieve).post(update).delete(delete))
        .route("/v1/conversations/{id}/items", get(list_items).post(create_items))
        .route("/v1/conversations/{id}/items/{item}", get(retrieve_item).delete(delete_item))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_path)
}

async fn create(Extension(App { api, .. }): Api, body: ReadBody) -> Answer {
    let body = Body::read(body, &["metadata", "items"])?;
    let made = api.create(Create { metadata: body.get("metadata"), items: body.get("items") }).await?;
    Ok(json(&made))
}

async fn retrieve(Extension(App { api, .. }): Api, Path(id): Path<String>) -> Answer {
    Ok(json(&api.retrieve(&id).await?))
}

async fn update(Extension(App { api, .. }): Api, Path(id): Path<String>, body: ReadBody) -> Answer {
    let body = Body::read(body, &["metadata"])?;
    Ok(json(&api.update(&id, &body.need("metadata")?).await?))
}

async fn delete(Extension(App { api, .. }): Api, Path(id): Path<String>) -> Answer {
    Ok(json(&api.delete(&id).await?))
}

async fn list_items(Extension(App { api, .. }): Api, Path(id): Path<String>, RawQuery(query): RawQuery) -> Answer {
    let list = query::read(query.as_deref())?;
    Ok(json(&api.items(&id).list(list).await?))
}

async fn create_items(
    Extension(app): Api,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: ReadBody,
) -> Answer {
    let include = query::read(query.as_deref())?.include;
    let once = Once::of_sent(&headers, "items", &body)?;
    let body = Body::read(body, &["items"])?;
    let items = app.items_to_change(&id)?.including(include)?;
    let Some(once) = once else { return Ok(json(&items.create(&body.need("items")?).await?)) };
    let (added, is_known) = items.create_once(&body.need("items")?, &once).await?;
    let answer = json(&added);
    Ok(if is_known { replayed(answer) } else { answer })
}

async fn retrieve_item(
    Extension(App { api, .. }): Api,
    Path((id, item)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Answer {
    let include = query::read(query.as_deref())?.include;
    Ok(json(&api.items(&id).including(include)?.retrieve(&item).await?))
}

async fn delete_item(Extension(app): Api, Path((id, item)): Path<(String, String)>) -> Answer {
    Ok(json(&app.items_to_change(&id)?.delete(&item).await?))
}

async fn unknown_path(method: Method, uri: Uri) -> Refusal {
    let mut error = ApiError::invalid_request(format!("Invalid URL ({method} {})", uri.path()));
    error.status = 404;
    Refusal(error)
}
