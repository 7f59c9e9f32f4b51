//! The routes of chat completions and models.

use axum::Router;
use axum::extract::{Extension, Path};
use axum::http::{HeaderMap, HeaderName};
use axum::routing::get;
use turnwise::message::RawJson;
use turnwise::transcript::formats::Object;
use turnwise_conversations::ApiError;

use super::{bound, forward, stored};
use crate::answer::json;
use crate::body::Body;
use crate::once::Once;
use crate::responses::Responses;
use crate::routes::{Answer, Api, ReadBody};

/// Names the stored conversation that a request continues.
const CONVERSATION: HeaderName = HeaderName::from_static("x-turnwise-conversation");
/// The longest name of a model, in bytes.
const LONGEST_NAME: usize = 200;
/// As the header, for clients that cannot set one.
const OF_METADATA: &str = "turnwise_conversation";

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/v1/chat/completions", get(stored::list).post(create))
        .route("/v1/models", get(models))
        .route("/v1/models/{*id}", get(model))
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
async fn models(Extension(app): Api) -> Answer {
    let service = crate::responses::service(app)?;
    match service.model() {
        Some(model) => Ok(json(&RawJson::object([("object", "list".into()), ("data", vec![described(model)].into())]))),
        None => behind(&service, "/models").await,
    }
}

/// One of them.
async fn model(Extension(app): Api, Path(id): Path<String>) -> Answer {
    let service = crate::responses::service(app)?;
    match service.model() {
        Some(model) if model == id => Ok(json(&described(model))),
        None if is_name(&id) => behind(&service, &format!("/models/{id}")).await,
        _ => {
            let quoted: String = id.chars().take(LONGEST_NAME).collect();
            let mut error = ApiError::invalid_request(format!("The model '{quoted}' does not exist."));
            (error.status, error.code, error.param) = (404, Some("model_not_found"), Some("model".to_owned()));
            Err(error.into())
        }
    }
}

/// Whether this names a model, and leads to nothing else of the server behind.
fn is_name(id: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.:@".contains(char);
    let is_step = |step: &str| step.chars().all(is_plain) && !matches!(step, "" | "." | "..");
    id.len() <= LONGEST_NAME && id.split('/').all(is_step)
}

fn described(model: &str) -> RawJson {
    RawJson::object([
        ("id", model.into()),
        ("object", "model".into()),
        ("created", 0.into()),
        ("owned_by", "turnwise".into()),
    ])
}

async fn behind(service: &Responses, path: &str) -> Answer {
    let upstream =
        service.upstream().ok_or_else(|| ApiError::unsupported("model", "is not supported: no server behind"))?;
    Ok(forward::answered(upstream.send(path, None).await)?)
}
