//! Requests that are passed on: the client's own messages, but for those that do not fit.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use turnwise::message::RawJson;
use turnwise::plan::Fate;
use turnwise::{Conversation, ErrorKind, Everything, Message, Plan, Transcript};
use turnwise_conversations::ApiError;

use super::{stored, summary, tee};
use crate::body::Body;
use crate::responses::{Responses, refusal};

pub(super) const PLAN: HeaderName = HeaderName::from_static("x-turnwise-plan");
/// Members that cost tokens, or keep some free for the reply.
const COSTLY: &[&str] = &["max_completion_tokens", "max_tokens", "response_format", "functions"];

/// Passes a request on, and the answer back. If nothing is changed, its bytes are as they came.
pub(super) async fn create(service: &Arc<Responses>, body: &Body, bytes: Bytes) -> Result<Response, ApiError> {
    let upstream =
        service.upstream().ok_or_else(|| ApiError::unsupported("model", "is not supported: no server behind"))?;
    body.need_text("model")?;
    let messages: Vec<RawJson> = messages(body)?;
    let plan = planned(service, body, &messages)?;
    let sent = plan.as_ref().and_then(|plan| what_fits(plan, &messages));
    let new = [("messages", sent.map(RawJson::from)), ("model", service.model().map(RawJson::from))];
    let kept = stored::Request::read(body, None)?;
    // What is stored here need not be stored there.
    let without: &[&str] = if kept.is_some() { &["store", "metadata"] } else { &[] };
    let sent = body.with(&new, without).unwrap_or(bytes);
    let mut response = answered(upstream.send("/chat/completions", Some(sent)).await)?;
    if let Some(request) = kept {
        response = tee::keep(Arc::clone(service), request, response).await?;
    }
    if let Some(plan) = &plan {
        service.metrics().planned(plan);
    }
    Ok(with_plan(response, &plan.map_or_else(|| "none".to_owned(), |plan| summary(&plan))))
}

/// An answer that says what a plan has done.
pub(crate) fn with_plan(mut response: Response, plan: &str) -> Response {
    let plan = HeaderValue::from_str(plan).ok();
    response.headers_mut().extend(plan.map(|plan| (PLAN, plan)));
    response
}

pub(super) fn messages(body: &Body) -> Result<Vec<RawJson>, ApiError> {
    let messages = body.need("messages")?;
    messages.parse().map_err(|_| ApiError::not_a("messages", "an array of objects", &messages))
}

/// The messages of a request, as they are recorded.
///
/// # Errors
/// 400 for the first that is none.
pub(super) fn read(messages: &[RawJson]) -> Result<Vec<Message>, ApiError> {
    let read = |(place, json): (usize, &RawJson)| {
        Message::from_json(json.as_str()).map_err(|error| {
            let mut refused = ApiError::invalid_request(format!("Invalid 'messages[{place}]': {}.", error.detail()));
            refused.param = Some(format!("messages[{place}]"));
            refused
        })
    };
    messages.iter().enumerate().map(read).collect()
}

pub(super) fn answered(answer: Result<Response, String>) -> Result<Response, ApiError> {
    answer.map_err(|why| {
        let mut error = ApiError::invalid_request(why);
        (error.status, error.kind) = (502, "server_error");
        error
    })
}

/// The plan of a request; `None` if none can be made, and the server behind has to judge: its
/// window is not known, or its messages are not as the API has them.
fn planned(service: &Responses, body: &Body, messages: &[RawJson]) -> Result<Option<Plan>, ApiError> {
    let Ok(messages) = messages.iter().map(|json| Message::from_json(json.as_str())).collect::<Result<Vec<_>, _>>()
    else {
        return Ok(None);
    };
    let mut file = Transcript::new(Conversation::new());
    let head = messages.iter().take_while(|message| message.role().is_instruction()).count();
    let (head, rest) = messages.split_at(head);
    if file.conversation.set_head(head.iter().cloned()).is_err() {
        return Ok(None);
    }
    for message in rest {
        file.conversation.push(message.clone());
    }
    let mut builder = service.builder(&body.need_text("model")?).tools(tools(body));
    for name in COSTLY {
        if let Some(value) = body.get(name) {
            builder = builder.param(name, value);
        }
    }
    if service.rules().refuses_long {
        builder = builder.strategy(Everything);
    }
    match builder.open(file).and_then(|chat| chat.reply().plan()) {
        Ok(plan) => Ok(Some(plan)),
        Err(error) if matches!(error.kind(), ErrorKind::OverBudget | ErrorKind::PinsOverBudget) => {
            let mut refused = refusal(&error);
            refused.param = Some("messages".to_owned());
            Err(refused)
        }
        Err(_) => Ok(None),
    }
}

pub(super) fn tools(body: &Body) -> Vec<RawJson> {
    body.get("tools").and_then(|tools| tools.parse().ok()).unwrap_or_default()
}

/// The messages of a plan that leaves something out; `None` for one that sends all. Those that are
/// sent in full are as the client wrote them.
fn what_fits(plan: &Plan, messages: &[RawJson]) -> Option<Vec<RawJson>> {
    if plan.runs().iter().all(|run| run.fate == Fate::Kept) {
        return None;
    }
    let is_subset =
        plan.moved().next().is_none() && plan.runs().iter().all(|run| matches!(run.fate, Fate::Kept | Fate::Evicted));
    if is_subset && plan.messages().len() == messages.len() - plan.evicted() {
        let sent = plan.decisions().filter(|decision| decision.fate.is_sent());
        return Some(sent.filter_map(|decision| messages.get(decision.index).cloned()).collect());
    }
    let written = plan.messages().iter().map(|message| serde_json::to_value(message).map(RawJson::from));
    written.collect::<Result<_, _>>().ok()
}
