//! `Request`: what a client asks for.

use turnwise::message::RawJson;
use turnwise::transcript::formats::Object;
use turnwise_conversations::{ApiError, InputItem, check_include, read_items};

use super::chat::{self, ChatParams};
use super::compaction;
use super::parts;
use super::socket::Newest;
use crate::body::Body;
use crate::once::Once;
use crate::seal::Sealer;

/// Members of a request that are understood.
const KNOWN: &[&str] = &[
    "background",
    // What a client says of itself, as Codex does. The published contract does not have it.
    "client_metadata",
    "conversation",
    "frequency_penalty",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
    "context_management",
];

/// Members that nothing here can do.
const UNSUPPORTED: &[&str] = &["prompt", "moderation"];

/// Asks for the plan of the request in the response.
const PLAN: &str = "turnwise.plan";
/// Asks for the reasoning, sealed.
const REASONING: &str = "reasoning.encrypted_content";
/// The least threshold of compaction, by the contract.
const LEAST_THRESHOLD: u64 = 1_000;

/// Members that the response repeats, each with its value where the request has none; an empty one
/// is left out then.
const REPEATED: &[(&str, &str)] = &[
    ("frequency_penalty", "0.0"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("presence_penalty", "0.0"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("service_tier", r#""default""#),
    ("store", "true"),
    ("temperature", "1.0"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "1.0"),
    ("user", ""),
];

/// What a response is made from.
pub(super) enum Base {
    Nothing,
    Conversation(String),
    Previous(String),
}

#[allow(clippy::struct_excessive_bools, reason = "each is something that a client asks for")]
pub(super) struct Request {
    pub(super) model: String,
    pub(super) base: Base,
    pub(super) input: Vec<InputItem>,
    pub(super) instructions: Option<String>,
    pub(super) chat: ChatParams,
    pub(super) is_stored: bool,
    pub(super) is_streamed: bool,
    /// Whether everything so far is to become one item, in the place of an answer.
    pub(super) is_compaction: bool,
    /// Whether a request that is too long is refused, and not trimmed.
    pub(super) refuses_long: bool,
    /// From how many tokens on the conversation is compacted.
    pub(super) compact_at: Option<u64>,
    /// Whether the response says what was sent and why.
    pub(super) has_plan: bool,
    /// Whether the response has the reasoning as a sealed item.
    pub(super) has_reasoning: bool,
    /// Whether it may be sent again, and is recorded once.
    pub(super) once: Option<Once>,
    /// The newest response of its connection: what it may continue, and where it is remembered.
    pub(super) newest: Option<Newest>,
    /// Members that the response repeats.
    pub(super) repeated: Vec<(&'static str, RawJson)>,
}

impl Request {
    /// Reads a request. `refuses_long` is what holds if it says nothing of `truncation`.
    pub(super) fn read(body: &Body, refuses_long: bool, sealer: &Sealer) -> Result<Self, ApiError> {
        let model = body.need_text("model")?;
        let (input, is_compaction) = input(body, sealer)?;
        for key in UNSUPPORTED {
            if body.get(key).is_some() {
                return Err(ApiError::unsupported(key, "is not supported by this server"));
            }
        }
        if body.is_true("background")? {
            return Err(ApiError::unsupported("background", "is not supported by this server"));
        }
        let truncation = body.text("truncation")?;
        let refuses_long = match truncation.as_deref() {
            None => refuses_long,
            Some("auto") => false,
            Some("disabled") => true,
            Some(other) => return Err(ApiError::invalid_value("truncation", other, &["auto", "disabled"])),
        };
        let base = base(body)?;
        if input.is_empty() && matches!(base, Base::Nothing) {
            return Err(ApiError::missing_parameter("input"));
        }
        if let Some(metadata) = body.get("metadata") {
            turnwise_conversations::check_metadata(&metadata)?;
        }
        let (compact_at, include) = (compact_at(body)?, include(body)?);
        let repeated = REPEATED.iter().filter_map(|(key, default)| {
            let value = body.get(key).or_else(|| RawJson::new(default).ok());
            let value = match *key {
                "store" if is_compaction => Some(false.into()),
                "tools" => value.map(|tools| chat::listed(&tools)),
                _ => value,
            };
            value.map(|value| (*key, value))
        });
        Ok(Self {
            model,
            base,
            input,
            instructions: body.text("instructions")?,
            chat: chat::read(body)?,
            // A response that compacts is for its client to keep.
            is_stored: !is_compaction && (body.get("store").is_none() || body.is_true("store")?),
            is_compaction,
            is_streamed: body.is_true("stream")?,
            refuses_long,
            compact_at,
            has_plan: include.iter().any(|name| name == PLAN),
            has_reasoning: include.iter().any(|name| name == REASONING),
            once: None,
            newest: None,
            repeated: repeated.collect(),
        })
    }

    pub(super) fn known() -> &'static [&'static str] {
        KNOWN
    }
}

/// The input, and whether it asks for compaction. A text is what a user says.
fn input(body: &Body, sealer: &Sealer) -> Result<(Vec<InputItem>, bool), ApiError> {
    let Some(input) = body.get("input") else { return Ok((Vec::new(), false)) };
    if let Ok(text) = input.parse::<String>() {
        let said = RawJson::object([("role", "user".into()), ("content", text.into())]);
        return Ok((read_items(&vec![said].into(), "input")?, false));
    }
    let (items, is_compaction) = compaction::checked(&input, sealer)?;
    parts::check(&items)?;
    Ok((read_items(&items, "input")?, is_compaction))
}

/// The additional data that a response has.
fn include(body: &Body) -> Result<Vec<String>, ApiError> {
    let Some(include) = body.get("include") else { return Ok(Vec::new()) };
    let names: Vec<String> =
        include.parse().map_err(|_| ApiError::not_a("include", "an array of strings", &include))?;
    check_include(names.iter().filter(|name| *name != PLAN))?;
    Ok(names)
}

/// From how many tokens on the conversation is compacted. Without a number, that is when it does
/// not fit.
fn compact_at(body: &Body) -> Result<Option<u64>, ApiError> {
    let Some(management) = body.get("context_management") else { return Ok(None) };
    let wrong = || ApiError::not_a("context_management", "an array of at least one object", &management);
    let entries: Vec<RawJson> = management.parse().map_err(|_| wrong())?;
    let mut least = None;
    for (place, entry) in entries.iter().enumerate() {
        let param = format!("context_management[{place}]");
        let object: Object<'_> = entry.parse().map_err(|_| ApiError::not_a(&param, "an object", entry))?;
        let kind = object.text("type").ok_or_else(|| ApiError::missing_parameter(&format!("{param}.type")))?;
        if kind != "compaction" {
            return Err(ApiError::invalid_value(&format!("{param}.type"), &kind, &["compaction"]));
        }
        let threshold = object
            .get("compact_threshold")
            .map(RawJson::from)
            .map_or(Ok(u64::MAX), |threshold| read_threshold(&format!("{param}.compact_threshold"), &threshold))?;
        least = Some(least.map_or(threshold, |least: u64| least.min(threshold)));
    }
    if least.is_none() { Err(wrong()) } else { Ok(least) }
}

fn read_threshold(param: &str, threshold: &RawJson) -> Result<u64, ApiError> {
    let number: i64 = threshold.parse().map_err(|_| ApiError::not_a(param, "an integer", threshold))?;
    u64::try_from(number).ok().filter(|number| *number >= LEAST_THRESHOLD).ok_or_else(|| {
        let message = format!(
            "Invalid '{param}': integer below minimum value. Expected a value >= {LEAST_THRESHOLD}, but got {number} instead."
        );
        let mut error = ApiError::invalid_request(message);
        (error.code, error.param) = (Some("integer_below_min_value"), Some(param.to_owned()));
        error
    })
}

fn base(body: &Body) -> Result<Base, ApiError> {
    let previous = body.text("previous_response_id")?;
    let conversation = body.get("conversation").map(|conversation| {
        let of_object = || conversation.parse::<Object<'_>>().ok()?.text("id").map(std::borrow::Cow::into_owned);
        let id = conversation.parse::<String>().ok().or_else(of_object);
        id.ok_or_else(|| {
            ApiError::invalid_value("conversation", conversation.as_str(), &["an id", "an object with an id"])
        })
    });
    match (conversation.transpose()?, previous) {
        (Some(_), Some(_)) => {
            let message = "Mutually exclusive parameters: ''. Ensure you are only providing one of: \
                           'previous_response_id' or 'conversation'.";
            let mut error = ApiError::invalid_request(message.to_owned());
            error.code = Some("mutually_exclusive_parameters");
            Err(error)
        }
        (Some(id), None) => Ok(Base::Conversation(id)),
        (None, Some(id)) => Ok(Base::Previous(id)),
        (None, None) => Ok(Base::Nothing),
    }
}
