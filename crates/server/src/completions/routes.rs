//! The routes of chat completions and models.

use axum::Router;
use axum::extract::Extension;
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;
use axum::routing::get;
use turnwise::message::RawJson;
use turnwise::transcript::formats::Object;
use turnwise_conversations::ApiError;

use super::{bound, forward, stored};
use crate::answer::json;
use crate::body::Body;
use crate::once::Once;
use crate::routes::{Answer, Api, ReadBody};

/// Names the stored conversation that a request continues.
const CONVERSATION: HeaderName = HeaderName::from_static("x-turnwise-conversation");
/// As the header, for clients that cannot set one.
const OF_METADATA: &str = "turnwise_conversation";

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/v1/chat/completions", get(stored::list).post(create))
        .route("/v1/models", get(models))
        .merge(stored::routes())
}

async fn create(Extension(app): Api, headers: HeaderMap, body: ReadBody) -> Answer {
    let service = crate::responses::service(app)?;
    let bytes = body.as_ref().cloned().unwrap_or_default();
    let body = Body::open(body)?;
    match conversation(&headers, &body)? {
        Some(id) => bound::create(&service, &id, &body, Once::of(&headers, &id, &bytes)?).await,
        None => Ok(forward::create(&service, &body, bytes).await?),
    }
}

fn conversation(headers: &HeaderMap, body: &Body) -> Result<Option<String>, ApiError> {
    if let Some(id) = headers.get(CONVERSATION) {
        return id.to_str().map(|id| Some(id.to_owned())).map_err(|_| {
            ApiError::invalid_request(format!(
                "Invalid '{CONVERSATION}': a header has only printable ASCII. Name the conversation as \
                 '{OF_METADATA}' in 'metadata'."
            ))
        });
    }
    let of_metadata = || {
        let metadata = body.get("metadata")?;
        let found: Object<'_> = metadata.parse().ok()?;
        found.text(OF_METADATA).map(std::borrow::Cow::into_owned)
    };
    Ok(of_metadata())
}

/// The models of the server behind, or the one that all requests are sent to.
async fn models(Extension(app): Api) -> Result<Response, crate::answer::Refusal> {
    let service = crate::responses::service(app)?;
    if let Some(model) = service.model() {
        let model = RawJson::object([
            ("id", model.into()),
            ("object", "model".into()),
            ("created", 0.into()),
            ("owned_by", "turnwise".into()),
        ]);
        return Ok(json(&RawJson::object([("object", "list".into()), ("data", vec![model].into())])));
    }
    let upstream =
        service.upstream().ok_or_else(|| ApiError::unsupported("model", "is not supported: no server behind"))?;
    Ok(forward::answered(upstream.send("/models", None).await)?)
}
