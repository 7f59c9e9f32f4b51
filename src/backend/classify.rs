//! Sorts the error answers of chat-completions servers: by code, then by type, then by their words.
//!
//! Codes come as strings and as numbers, bodies as `{"error": {…}}`, `{"error": "…"}`, flat objects and plain text.

use serde::Deserialize;
use serde_json::Value;

use crate::error::ErrorKind;

/// An error answer, sorted.
pub(super) struct Answer {
    pub(super) kind: ErrorKind,
    pub(super) code: Option<String>,
    pub(super) message: String,
    /// The model's window in tokens, where the answer states it.
    pub(super) limit: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    message: Option<String>,
    #[serde(rename = "type")]
    kind: Option<Value>,
    code: Option<Value>,
    n_ctx: Option<u64>,
    error: Option<Value>,
    detail: Option<Value>,
}

/// What servers write when a request is too long. From recorded answers of `OpenAI` and Azure, vLLM, llama.cpp, Ollama,
/// LM Studio, `OpenRouter`, Groq, Mistral, and the Anthropic- and Gemini-compatible endpoints.
const TOO_LONG: &[&str] = &[
    "maximum context length",
    "context length exceeded",
    "exceeds the context window",
    "exceeds the available context size",
    "context window exceeded",
    "context size has been exceeded",
    "exceed context window",
    "input length and `max_tokens` exceed",
    "prompt is too long",
    "too large for model with",
    "reduce the length of the messages",
    "exceeds the maximum number of tokens allowed",
    "input token count",
    "longer than the context length",
    "trying to keep the first",
];

/// Words of throttling that also speak of tokens and limits.
const THROTTLED: &[&str] = &["rate limit", "rate_limit", "tokens per min", "requests per", "quota", "try again in"];

pub(super) fn classify(status: u16, body: &str) -> Answer {
    let fields = fields(body);
    let message = fields.message.unwrap_or_else(|| body.chars().take(500).collect());
    let code = fields.code.as_ref().and_then(word);
    let kind = fields.kind.as_ref().and_then(word);
    let limit = fields.n_ctx.or_else(|| stated_limit(&message));
    let kind = sort(status, code.as_deref(), kind.as_deref(), &message.to_lowercase());
    let limit = limit.filter(|_| kind == ErrorKind::Overflow);
    Answer { kind, code: code.or(fields.kind.as_ref().and_then(word)), message, limit }
}

fn sort(status: u16, code: Option<&str>, kind: Option<&str>, message: &str) -> ErrorKind {
    let is = |name: &str| code == Some(name) || kind == Some(name);
    if is("context_length_exceeded") || is("exceed_context_size_error") {
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
    match status {
        401 | 403 => ErrorKind::Auth,
        402 => ErrorKind::Quota,
        408 | 504 => ErrorKind::Timeout,
        413 => ErrorKind::Overflow,
        429 => ErrorKind::RateLimited,
        500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Rejected,
    }
}

/// The members of the innermost object that speaks of the error.
fn fields(body: &str) -> Fields {
    let outer: Fields = match serde_json::from_str(body) {
        Ok(Value::Array(mut list)) if !list.is_empty() => {
            serde_json::from_value(list.swap_remove(0)).unwrap_or_default()
        }
        Ok(value) => serde_json::from_value(value).unwrap_or_default(),
        Err(_) => Fields::default(),
    };
    match outer.error {
        Some(Value::String(message)) => Fields { message: Some(message), error: None, ..outer },
        Some(inner @ Value::Object(_)) => serde_json::from_value(inner).unwrap_or_default(),
        _ => Fields {
            message: outer.message.or(outer.detail.as_ref().and_then(word)),
            error: None,
            detail: None,
            ..outer
        },
    }
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The window in the words of an answer: the number behind `context length is` and the like.
fn stated_limit(message: &str) -> Option<u64> {
    const BEFORE: &[&str] = &[
        "maximum context length is ",
        "available context size (",
        "maximum number of tokens allowed (",
        "context length of only ",
        "maximum is ",
        "> ",
    ];
    BEFORE.iter().find_map(|words| {
        let rest = &message[message.find(words)? + words.len()..];
        let digits: String =
            rest.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
