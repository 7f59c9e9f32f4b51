//! The id of the request that is answered, for messages and the log, also where a task of its own
//! answers.

use std::future::Future;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::task::JoinHandle;
use turnwise_conversations::ApiError;
use turnwise_store::Failed;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static ID: String;
}

/// The id of a request: the client's, if it has one that can be logged, or a new one.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=128).contains(&id.len()) && id.as_bytes().iter().all(is_plain)
    });
    let new = || HeaderValue::from_str(&format!("req_{:032x}", fastrand::u128(..)));
    given.cloned().or_else(|| new().ok()).unwrap_or(HeaderValue::from_static("req_"))
}

/// Answers a request under its id.
pub(crate) async fn under<F: Future>(id: &HeaderValue, answer: F) -> F::Output {
    ID.scope(id.to_str().unwrap_or_default().to_owned(), answer).await
}

/// The id that is carried into a task.
pub(crate) struct Carried(String);

pub(crate) fn carried() -> Carried {
    Carried(current())
}

impl Carried {
    pub(crate) async fn run<F: Future>(self, task: F) -> F::Output {
        ID.scope(self.0, task).await
    }
}

/// Runs a task that answers the same request.
pub(crate) fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(ID.scope(current(), task))
}

fn current() -> String {
    ID.try_with(Clone::clone).unwrap_or_default()
}

/// A refusal as the client may see it. Of a failure inside, it gets the id under which the log has
/// the reason; the log gets it only if it quotes no conversation.
pub(crate) fn shown(mut error: ApiError) -> ApiError {
    if error.status == 500 {
        log(&error, "failed");
        let id = current();
        error.message = format!("The server had an error while processing your request. Its request id is '{id}'.");
    }
    error
}

/// Logs what happened because of an error.
pub(crate) fn log(error: &ApiError, what: &str) {
    let reason = if error.is_private { "not logged, since it may quote a conversation" } else { &*error.message };
    tracing::error!(target: "turnwise_server", request_id = current(), reason, "{what}");
}

/// Logs which one of many conversations cannot be read, while the others are served.
pub(crate) fn log_unread(unread: &Failed, what: &str) {
    let error = ApiError::of_store(&unread.error, &unread.id);
    let private = "not logged, since it may quote the conversation; `turnwise conversations show` says it";
    let reason = if error.is_private { private } else { &*error.message };
    tracing::error!(target: "turnwise_server", request_id = current(), conversation = unread.id, reason, "{what}");
}
