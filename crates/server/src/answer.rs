//! Answers: the API's objects and refusals as HTTP.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use turnwise_conversations::ApiError;

use crate::request_id;

/// Tells OpenAI's clients whether to send the request again, whatever the status.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What the log says of a refusal, beside its status.
#[derive(Clone, Copy)]
pub(crate) struct Refused {
    pub(crate) kind: &'static str,
    pub(crate) code: Option<&'static str>,
}

/// A refusal.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) ApiError);

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = request_id::shown(self.0);
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, json(&error)).into_response();
        let wait = error.retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        response.headers_mut().extend(wait.map(|seconds| (header::RETRY_AFTER, HeaderValue::from(seconds))));
        if error.is_final {
            response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        response.extensions_mut().insert(Refused { kind: error.kind, code: error.code });
        response
    }
}

/// An object as the body of an answer.
pub(crate) fn json(object: &impl Serialize) -> Response {
    match serde_json::to_vec(object) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
