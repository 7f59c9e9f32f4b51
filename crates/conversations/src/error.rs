//! `ApiError`: a refusal as the API words it.

use std::fmt;
use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use turnwise::message::RawJson;
use turnwise::{Error, ErrorKind};

/// How much of a value is quoted that is refused, in characters; it may be as long as the body.
const LONGEST_QUOTE: usize = 100;

/// A refusal of the API. As JSON it is the body of the answer:
/// `{"error":{"message","type","param","code"}}`.
///
/// # Examples
/// ```
/// use turnwise::store::MemoryStore;
/// use turnwise_conversations::Conversations;
///
/// # futures_lite::future::block_on(async {
/// let refused = Conversations::new(MemoryStore::new()).retrieve("conv_1").await.unwrap_err();
/// assert_eq!((refused.status, refused.message.as_str()), (404, "Conversation with id 'conv_1' not found."));
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The type: `invalid_request_error`, or `server_error` if the store fails.
    pub kind: &'static str,
    /// The code, if the API states one.
    pub code: Option<&'static str>,
    /// The parameter that is refused, such as `items[0].role`.
    pub param: Option<String>,
    /// What is wrong.
    pub message: String,
    /// How long to wait before the request is sent again, if that is known.
    pub retry_after: Option<Duration>,
    /// Whether the same request is refused again, though clients send it again after this status.
    pub is_final: bool,
    /// Whether the message may quote what is in a conversation, so that it is not for a log.
    pub is_private: bool,
}

impl ApiError {
    pub(crate) fn invalid(code: Option<&'static str>, param: &str, message: String) -> Self {
        let param = (!param.is_empty()).then(|| param.to_owned());
        Self {
            status: 400,
            kind: "invalid_request_error",
            code,
            param,
            message,
            retry_after: None,
            is_final: false,
            is_private: false,
        }
    }

    /// A refusal with status 400 and without code and parameter, for what a server finds wrong with a
    /// request before it reaches a conversation. All its members can be set.
    pub fn invalid_request(message: String) -> Self {
        Self::invalid(None, "", message)
    }

    /// The refusal of a parameter that has none of the values that it may have.
    pub fn invalid_value(param: &str, found: &str, allowed: &[&str]) -> Self {
        Self::wrong_value(param, found, allowed)
    }

    /// The refusal of a parameter of another type than `expected`, such as `a string`.
    pub fn not_a(param: &str, expected: &str, found: &RawJson) -> Self {
        Self::wrong_type(param, expected, crate::fields::type_of(found))
    }

    /// The refusal of a parameter that the API has and a server cannot follow.
    pub fn unsupported(param: &str, why: &str) -> Self {
        Self::invalid(Some("unsupported_parameter"), param, format!("Unsupported parameter: '{param}' {why}."))
    }

    /// The refusal while another response runs on the conversation.
    pub fn conversation_locked() -> Self {
        Self::locked()
    }

    /// The refusal for the id of a response that there is not.
    pub fn no_response(id: &str) -> Self {
        Self::not_found(format!("Response with id '{id}' not found."))
    }

    /// The refusal of a request without a parameter that it needs.
    pub fn missing_parameter(param: &str) -> Self {
        Self::missing(param)
    }

    fn not_found(message: String) -> Self {
        Self { status: 404, ..Self::invalid(None, "", message) }
    }

    /// The refusal for the id of a conversation that there is not.
    pub fn no_conversation(id: &str) -> Self {
        Self::not_found(format!("Conversation with id '{id}' not found."))
    }

    pub(crate) fn no_item(id: &str) -> Self {
        Self::not_found(format!("Item with id '{id}' not found in conversation."))
    }

    /// The refusal of an edit of an item that is in no message of the record.
    pub(crate) fn not_in_a_message(id: &str) -> Self {
        let message = format!(
            "Item '{id}' is in no message of the record, so no branch could keep it: delete it and create another one."
        );
        Self::invalid(None, "item", message)
    }

    pub(crate) fn missing(param: &str) -> Self {
        Self::invalid(Some("missing_required_parameter"), param, format!("Missing required parameter: '{param}'."))
    }

    pub(crate) fn wrong_type(param: &str, expected: &str, found: &str) -> Self {
        let message = format!("Invalid type for '{param}': expected {expected}, but got {found} instead.");
        Self::invalid(Some("invalid_type"), param, message)
    }

    pub(crate) fn wrong_value(param: &str, found: &str, allowed: &[&str]) -> Self {
        let quoted: Vec<String> = allowed.iter().map(|one| format!("'{one}'")).collect();
        let allowed = match quoted.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => quoted.concat(),
        };
        let quoted: String = found.chars().take(LONGEST_QUOTE).collect();
        let cut = if quoted.len() < found.len() { "…" } else { "" };
        let message = format!("Invalid value: '{quoted}{cut}'. Supported values are: {allowed}.");
        Self::invalid(Some("invalid_value"), param, message)
    }

    pub(crate) fn locked() -> Self {
        let message = "Another process is currently operating on this conversation. Please retry in a few seconds.";
        Self::invalid(Some("conversation_locked"), "conversation", message.to_owned())
    }

    /// The refusal for what a store says of a conversation.
    pub fn of_store(error: &Error, id: &str) -> Self {
        match error.kind() {
            // An id that is too long for the store is one that no conversation has.
            ErrorKind::NotFound | ErrorKind::Limit => Self::no_conversation(id),
            ErrorKind::Conflict => Self::locked(),
            kind => Self {
                status: 500,
                kind: "server_error",
                // Neither quotes what is said: the second names the ids of keys.
                is_private: !matches!(kind, ErrorKind::Io | ErrorKind::Auth),
                ..Self::invalid(None, "", error.to_string())
            },
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl Serialize for ApiError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            message: &'a str,
            r#type: &'a str,
            param: Option<&'a str>,
            code: Option<&'a str>,
        }
        let body = Body { message: &self.message, r#type: self.kind, param: self.param.as_deref(), code: self.code };
        let mut object = serializer.serialize_struct("ApiError", 1)?;
        object.serialize_field("error", &body)?;
        object.end()
    }
}
