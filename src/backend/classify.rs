//! Sorts the error answers of chat-completions servers into kinds: by code, then by type, then by
//! their wording.
//!
//! Codes occur as strings and as numbers, inside the error object or beside it.

use serde::Deserialize;
use serde_json::Value;

use super::{limits, said};
use crate::error::ErrorKind;
use crate::halves::mended;

/// An error answer, sorted.
pub(super) struct Answer {
    pub(super) kind: ErrorKind,
    pub(super) code: Option<String>,
    pub(super) message: String,
    /// The model's window in tokens, if the answer states it.
    pub(super) limit: Option<u64>,
    /// What the model wrote instead of a valid tool call, as Groq reports it.
    pub(super) failed_generation: Option<String>,
}

/// The members of an error object, of any type, so that one unexpected member does not hide the
/// others.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(rename = "type")]
    kind: Value,
    code: Value,
    n_ctx: Value,
    error: Value,
    failed_generation: Value,
}

/// What servers write if a request is too long, in lower case. The test has a recorded answer for
/// each, with its source.
const TOO_LONG: &[&str] = &[
    "maximum context length",
    "maximum prompt length is",
    "maximum model length of",
    "max context length",
    "exceeded context length",
    "but the configured context size is",
    "model_context_window_exceeded",
    "context length exceeded",
    "longer than the context length",
    "longer than the model's context length",
    "greater than the context length",
    "exceeds the context length",
    "exceeds the context window",
    "exceed context window",
    "context window exceeds limit",
    "context window exceeded",
    "contextwindowexceedederror",
    "exceeds the available context size",
    "context size has been exceeded",
    "trying to keep the first",
    "too large for model with",
    "input length and `max_tokens` exceed",
    "prompt is too long",
    "input is too long for requested model",
    "prompt exceeds max length",
    "range of input length should be",
    "reduce the length of the messages",
    "exceeded model token limit",
    "exceed the configured limit of",
    "exceeds the limit of",
    "exceeds the maximum number of tokens allowed",
    "input token count",
    "tokens + `max_new_tokens` must be <=",
    "`inputs` must have less than",
    "too many tokens: ",
    "input_too_large",
];

/// Wording of rate limits, which also mentions tokens and limits.
const THROTTLED: &[&str] = &[
    "rate limit",
    "rate_limit",
    "tokens per min",
    "tokens per day",
    "requests per",
    "too many requests",
    "throttl",
    "quota",
    "try again in",
    "please wait",
];

pub(super) fn classify(status: u16, body: &str) -> Answer {
    let body = &*mended(body).text;
    let fields = fields(body);
    let message = said::words(body).unwrap_or_default();
    let (code, name) = (word(&fields.code), word(&fields.kind));
    let words = message.to_lowercase();
    let failed_generation = said::generation(&fields.failed_generation);
    let kind = sort(true_status(status, code.as_deref()), code.as_deref(), name.as_deref(), &words);
    // Waiting does not help if one request needs more tokens than a minute allows; a shorter
    // request does.
    let too_low = limits::too_low_for_one(&words).filter(|_| kind == ErrorKind::RateLimited);
    let kind = if too_low.is_some() { ErrorKind::Overflow } else { kind };
    let window = || fields.n_ctx.as_u64().or_else(|| limits::window(&words));
    let limit = too_low.or_else(window).filter(|_| kind == ErrorKind::Overflow);
    Answer { kind, code: code.or(name), message, limit, failed_generation }
}

fn sort(status: u16, code: Option<&str>, kind: Option<&str>, message: &str) -> ErrorKind {
    let is = |name: &str| code == Some(name) || kind == Some(name);
    if is("context_length_exceeded") || is("exceed_context_size_error") || is("input_too_large") {
        return ErrorKind::Overflow;
    }
    if is("insufficient_quota") || is("billing_hard_limit_reached") {
        return ErrorKind::Quota;
    }
    if is("content_filter") || is("content_policy_violation") {
        return ErrorKind::Rejected;
    }
    let is_throttled = status == 429 || THROTTLED.iter().any(|words| message.contains(words));
    if !is_throttled && TOO_LONG.iter().any(|words| message.contains(words)) {
        return ErrorKind::Overflow;
    }
    let named = [code, kind].into_iter().flatten().find_map(named);
    match status {
        401 | 403 => ErrorKind::Auth,
        402 => ErrorKind::Quota,
        408 | 504 => ErrorKind::Timeout,
        // Groq answers this if the tokens of a minute are used up.
        413 if is_throttled || named == Some(ErrorKind::RateLimited) => ErrorKind::RateLimited,
        413 => ErrorKind::Overflow,
        429 => ErrorKind::RateLimited,
        // Servers whose template rejects the messages answer with 500, and would reject them again.
        500 if crate::dialect::advice(message).is_some() => ErrorKind::Rejected,
        500..=599 => ErrorKind::Unavailable,
        // Most likely a gateway whose upstream server failed.
        200..=299 => named.unwrap_or(ErrorKind::Unavailable),
        _ => named.unwrap_or(ErrorKind::Rejected),
    }
}

/// The meaning of codes and types if the status is ambiguous, from the references of `OpenAI` and
/// Anthropic.
fn named(name: &str) -> Option<ErrorKind> {
    Some(match name {
        "invalid_api_key" | "authentication_error" | "permission_error" | "permission_denied" | "unauthorized" => {
            ErrorKind::Auth
        }
        "rate_limit_exceeded" | "rate_limit_error" | "too_many_requests" => ErrorKind::RateLimited,
        "billing_error" => ErrorKind::Quota,
        "timeout_error" => ErrorKind::Timeout,
        "request_too_large" => ErrorKind::Overflow,
        "overloaded_error" | "api_error" | "server_error" | "internal_server_error" => ErrorKind::Unavailable,
        "invalid_request_error" | "not_found_error" | "model_not_found" => ErrorKind::Rejected,
        _ => return None,
    })
}

/// The status of an error answer. If the answer claims success, it is the status that its code
/// states, if any.
fn true_status(status: u16, code: Option<&str>) -> u16 {
    let stated = code.and_then(|code| code.parse().ok()).filter(|code| (400..600).contains(code));
    stated.filter(|_| status < 300).unwrap_or(status)
}

/// Whether an answer reports an error, whatever its status.
#[cfg_attr(not(feature = "openai"), allow(dead_code, reason = "other backends read answers themselves"))]
pub(super) fn is_error(body: &str) -> bool {
    #[derive(Deserialize)]
    struct Failed {
        error: Value,
    }
    serde_json::from_str(&mended(body).text).is_ok_and(|Failed { error }| error.is_object() || error.is_string())
}

/// The members of the innermost object that describes the error.
fn fields(body: &str) -> Fields {
    let outer = match serde_json::from_str(body) {
        Ok(Value::Array(mut list)) if !list.is_empty() => of_object(list.swap_remove(0)),
        Ok(value) => of_object(value),
        Err(_) => Fields::default(),
    };
    match outer.error {
        inner @ Value::Object(_) => of_object(inner),
        _ => outer,
    }
}

fn of_object(value: Value) -> Fields {
    serde_json::from_value(value).unwrap_or_default()
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
