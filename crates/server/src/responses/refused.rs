//! What a client is told where a request could not be planned or answered.

use turnwise::backend::BackendError;
use turnwise::{Error, ErrorKind};
use turnwise_conversations::ApiError;

/// Codes of the server behind by which clients decide what to do. Others are in the message only.
const CODES: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "image_content_policy_violation",
    "image_parse_error",
    "image_too_large",
    "invalid_base64_image",
    "invalid_function_parameters",
    "invalid_image",
    "invalid_image_format",
    "invalid_image_url",
    "invalid_prompt",
    "invalid_type",
    "invalid_value",
    "model_not_found",
    "string_above_max_length",
    "unsupported_parameter",
    "unsupported_value",
];

/// What the API says where a request could not be planned or answered.
pub(crate) fn refusal(error: &Error) -> ApiError {
    let mut refused = ApiError::invalid_request(error.to_string());
    refused.is_private = error.kind() == ErrorKind::Damaged;
    let behind = error.failed_exchange().and_then(|failed| failed.error.as_ref());
    refused.retry_after = behind.and_then(BackendError::retry_after);
    match error.kind() {
        ErrorKind::OverBudget | ErrorKind::PinsOverBudget | ErrorKind::Overflow => {
            let message =
                "Your input exceeds the context window of this model. Please adjust your input and try again.";
            refused.message = format!("{message} ({error})");
            (refused.code, refused.param) = (Some("context_length_exceeded"), Some("input".to_owned()));
        }
        ErrorKind::UnknownModel => {
            refused.message = format!(
                "{}; whoever runs this server can state it (`turnwise serve --window TOKENS`) or describe the model \
                 (`--models FILE`)",
                error.detail()
            );
            (refused.code, refused.param) = (Some("model_not_found"), Some("model".to_owned()));
        }
        ErrorKind::UnansweredCalls | ErrorKind::UnknownCall | ErrorKind::InvalidMessage => {
            refused.param = Some("input".to_owned());
        }
        ErrorKind::InvalidTool => refused.param = Some("tools".to_owned()),
        ErrorKind::Rejected => rejected(&mut refused, behind),
        ErrorKind::InvalidParam | ErrorKind::InvalidBudget | ErrorKind::Limit => {}
        ErrorKind::RateLimited => {
            (refused.status, refused.kind) = (429, "rate_limit_error");
            refused.code = Some("rate_limit_exceeded");
        }
        ErrorKind::Quota => {
            (refused.status, refused.kind) = (429, "insufficient_quota");
            refused.code = Some("insufficient_quota");
            refused.is_final = true;
        }
        // It is this server's key that is refused, and not the client's.
        ErrorKind::Auth => (refused.status, refused.kind, refused.is_final) = (502, "server_error", true),
        ErrorKind::Timeout => (refused.status, refused.kind) = (504, "server_error"),
        ErrorKind::Io | ErrorKind::Damaged | ErrorKind::NoBackend => {
            (refused.status, refused.kind) = (500, "server_error");
        }
        // What else there is comes from the server behind.
        _ => (refused.status, refused.kind) = (502, "server_error"),
    }
    refused
}

/// What the server behind does not take, with the code that it states.
fn rejected(refused: &mut ApiError, behind: Option<&BackendError>) {
    let code = behind.and_then(BackendError::code);
    refused.code = code.and_then(|code| CODES.iter().find(|known| **known == code)).copied();
    if refused.code == Some("model_not_found") {
        refused.param = Some("model".to_owned());
    }
}
