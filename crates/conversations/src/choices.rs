//! What the published contract of the Conversations API leaves open, and what is done here.
//!
//! - **An item's own id** is not kept: every stored item gets a new one, because an id must be unique
//!   over all conversations. Items of an imported conversation keep theirs. A new id has the API's prefix for its kind and 50 hexadecimal digits, of
//!   which the first 16 are the last 16 of the conversation's id. Those of a created item go on with 8 digits that say
//!   at about which position it was added.
//! - **A conversation without metadata** answers `{}`, not null.
//! - **An empty list** has empty texts as `first_id` and `last_id`: the published schema wants text,
//!   and the official clients stop paging at `has_more`.
//! - **A limit of 0** is an empty page. The contract says 1 to 100; the official client's own tests
//!   send 0 and want a list. Below 0 is refused.
//! - **`after` an unknown item** is 404, as is an unknown item elsewhere.
//! - **An assistant message with `input_text`** is taken, and stored as `output_text`.
//! - **An `item_reference`** is resolved inside its conversation, where it is stored as a copy with a
//!   new id; an unknown one is 404. In the input of a response it may also be an item of any stored response, or of
//!   the conversation of one. With `previous_response_id` it is resolved in that response and those
//!   that it continues, by the ids that each of them has listed.
//! - **Deleting an item** takes it out of the list and of what is sent. A call without its output, or
//!   the reverse, stays in the list and is not sent, as everywhere in turnwise. The text stays in the
//!   record as a branch until [`purge_branches`](turnwise::Conversation::purge_branches).
//! - **Deleting a conversation** is [`Store::delete`](turnwise::store::Store::delete): whether it can
//!   be restored is for the store. Stored responses are not part of a conversation, and stay.
//! - **A stored response or completion** is in the same store and is no conversation: its id is unknown
//!   here ([`is_of_server`](turnwise::store::is_of_server)).
//! - **A member that is there twice** has its last value, as in the JSON readers of most programs, and
//!   is kept once.
//! - **`input_audio`** is taken as a content part: chat completions have it.
//! - **`include`** is checked and changes nothing: items are listed with all that they were given.
//! - **Two writers at once** do not refuse each other: the second one's change is made again after
//!   the first's. In one process they then take turns. Only if it fails [`MOST_CONFLICTS`] times, it is the API's `conversation_locked`.

/// The most items of one create.
pub(crate) const MOST_ITEMS: usize = 20;

/// How often a change is made again because another writer came first.
pub(crate) const MOST_CONFLICTS: usize = 64;

/// The number of items of a page, unless a request states another.
pub(crate) const PAGE: i64 = 20;
/// The largest number of items of a page.
pub(crate) const MAX_PAGE: i64 = 100;

/// A kind of item.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// What its ids begin with.
    pub(crate) prefix: &'static str,
    /// Members without which it is refused, and what they must be.
    pub(crate) required: &'static [(&'static str, Need)],
    /// Whether it is listed with a status.
    pub(crate) has_status: bool,
}

/// What a required member must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Text,
    /// Text or a list of content parts.
    Content,
    NotNull,
    /// It may be null, but not missing.
    There,
}

const fn kind(
    name: &'static str,
    prefix: &'static str,
    required: &'static [(&'static str, Need)],
    has_status: bool,
) -> Kind {
    Kind { name, prefix, required, has_status }
}

use Need::{Content, NotNull, Text, There};

/// All kinds of the contract.
pub(crate) const KINDS: &[Kind] = &[
    kind("message", "msg_", &[("role", Text), ("content", Content)], true),
    kind("function_call", "fc_", &[("call_id", Text), ("name", Text), ("arguments", Text)], true),
    kind("function_call_output", "fco_", &[("call_id", Text), ("output", Content)], true),
    kind("reasoning", "rs_", &[("summary", NotNull)], false),
    kind("compaction", "cmp_", &[("encrypted_content", Text)], false),
    kind("custom_tool_call", "ctc_", &[("call_id", Text), ("name", Text), ("input", Text)], true),
    kind("custom_tool_call_output", "ctco_", &[("call_id", Text), ("output", Content)], true),
    kind("file_search_call", "fs_", &[("queries", NotNull)], true),
    kind("web_search_call", "ws_", &[("action", NotNull)], true),
    kind("image_generation_call", "ig_", &[("result", There)], true),
    kind("computer_call", "cu_", &[("call_id", Text), ("pending_safety_checks", NotNull)], true),
    kind("computer_call_output", "cuo_", &[("call_id", Text), ("output", NotNull)], true),
    kind("tool_search_call", "ts_", &[("arguments", NotNull)], true),
    kind("tool_search_output", "tso_", &[("tools", NotNull)], true),
    kind("additional_tools", "at_", &[("role", Text), ("tools", NotNull)], false),
    kind("program", "prog_", &[("call_id", Text), ("code", Text), ("fingerprint", Text)], false),
    kind("program_output", "progo_", &[("call_id", Text), ("result", Text)], true),
    kind("code_interpreter_call", "ci_", &[("container_id", Text), ("code", There), ("outputs", There)], true),
    kind("local_shell_call", "lsh_", &[("call_id", Text), ("action", NotNull)], true),
    kind("local_shell_call_output", "lsho_", &[("output", Text)], false),
    kind("shell_call", "sh_", &[("call_id", Text), ("action", NotNull)], true),
    kind("shell_call_output", "sho_", &[("call_id", Text), ("output", NotNull)], true),
    kind("apply_patch_call", "ap_", &[("call_id", Text), ("operation", NotNull)], true),
    kind("apply_patch_call_output", "apo_", &[("call_id", Text), ("status", Text)], true),
    kind("mcp_list_tools", "mcpl_", &[("server_label", Text), ("tools", NotNull)], false),
    kind("mcp_approval_request", "mcpr_", &[("server_label", Text), ("name", Text), ("arguments", Text)], false),
    kind("mcp_approval_response", "mcpa_", &[("approval_request_id", Text), ("approve", NotNull)], false),
    kind("mcp_call", "mcp_", &[("server_label", Text), ("name", Text), ("arguments", Text)], false),
];

/// The kind with a name.
pub(crate) fn kind_of(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// What makes an item a reference to another one.
pub(crate) const REFERENCE: &str = "item_reference";

/// The parts of content, and the member that must be text.
pub(crate) const PARTS: &[(&str, Option<&str>)] = &[
    ("input_text", Some("text")),
    ("output_text", Some("text")),
    ("text", Some("text")),
    ("summary_text", Some("text")),
    ("reasoning_text", Some("text")),
    ("refusal", Some("refusal")),
    ("input_image", None),
    ("input_file", None),
    ("input_audio", None),
    ("computer_screenshot", None),
];

/// The statuses of messages, calls of functions and their outputs.
pub(crate) const STATUSES: &[&str] = &["in_progress", "completed", "incomplete"];

/// What `include` may name.
pub(crate) const INCLUDES: &[&str] = &[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
];
