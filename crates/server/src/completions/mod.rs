//! Chat completions: the bodies of clients go to the server behind as they are, but for messages
//! that do not fit. A request that names a stored conversation continues that.

mod bound;
mod forward;
mod replay;
mod routes;
mod stored;
mod tee;

use axum::body::Bytes;
use axum::response::Response;
use turnwise::Plan;
use turnwise::backend::BoxFuture;
use turnwise::plan::Fate;

pub(crate) use forward::with_plan;
pub(crate) use routes::routes;

/// The server behind: an endpoint of chat completions, to which bodies are passed on. For a
/// program, to bring its own HTTP client.
///
/// **Provisional**: it may change before 1.0.
pub trait Upstream: Send + Sync {
    /// Sends a request to a path after the base URL, such as `/chat/completions`: a body of JSON by
    /// POST, or a GET without one. The answer is passed on to the client with its status and body,
    /// whatever they are. An error is a text for the client, for a server that did not answer.
    fn send(&self, path: &str, body: Option<Bytes>) -> BoxFuture<'static, Result<Response, String>>;
}

/// What a plan has done, as the value of the header `x-turnwise-plan`.
pub(crate) fn summary(plan: &Plan) -> String {
    let count = |fate: Fate| {
        let runs = plan.runs().iter().filter(|run| run.fate == fate);
        runs.map(turnwise::plan::Run::messages).sum::<usize>()
    };
    format!(
        "sent={} shortened={} summarized={} left-out={} tokens={} limit={}",
        count(Fate::Kept),
        count(Fate::Shrunk),
        count(Fate::Summarized),
        count(Fate::Evicted),
        plan.tokens().total(),
        plan.budget().limit,
    )
}
