//! Recognises refusals that name a difference between servers, and the option that helps.

use crate::error::Advice;

/// Fields in which servers send the model's reasoning.
const THOUGHTS: [&str; 3] = ["reasoning_content", "reasoning_details", "reasoning"];

/// Phrases for a member of a request that a server does not know.
const NOT_KNOWN: &[&str] = &[
    "extra inputs are not permitted",
    "extra fields not permitted",
    "extra_forbidden",
    "additional properties",
    "is unsupported",
    "unsupported parameter",
    "unsupported property",
    "is not supported",
    "not supported with this model",
    "unknown field",
    "unknown parameter",
    "unknown name",
    "unrecognized",
    "unexpected field",
    "unexpected keyword",
    "not permitted",
];

/// Phrases for a role that a server does not know.
const NO_SUCH_ROLE: &[&str] = &[
    "unknown variant",
    "unknown role",
    "invalid role",
    "unexpected role",
    "unsupported role",
    "not supported",
    "unsupported value",
    "does not support",
    "does not match any of the expected tags",
    "expected one of",
    "is not one of",
    "is not valid under",
];

/// Phrases for a system message that is not the first message.
const ONE_SYSTEM: &[&str] = &[
    "must be at the beginning",
    "must be at the start",
    "only be at the beginning",
    "must be the first",
    "must be first",
    "should be the first",
    "only one system",
    "one system message",
    "multiple system",
    "more than one system",
    "got system",
];

/// Phrases for roles that do not alternate.
const ALTERNATE: &[&str] =
    &["must alternate", "should alternate", "alternate between", "successive user", "consecutive"];

/// Phrases for a first message that is not a user's.
const USER_FIRST: &[&str] = &[
    "first message must",
    "first message should",
    "must start with a user",
    "should start with a user",
    "must begin with a user",
    "start with user",
    "immediately after a user turn",
];

/// Phrases for an empty list of calls.
const EMPTY_LIST: &[&str] =
    &["empty array", "must not be empty", "minimum length 1", "too short", "non-empty", "at least 1 item"];

/// Phrases for a field that must be sent back.
const MISSING: &[&str] =
    &["must be passed back", "is missing", "missing", "must be provided", "is required", "must include"];

/// The option that a server's explanation asks for, if it names a difference between servers.
///
/// Sources of the phrases: vllm-project/vllm#41114 and #6862, ggml-org/llama.cpp#19851,
/// anomalyco/opencode#5034 (templates); api-docs.deepseek.com/guides/thinking_mode,
/// abhigyanpatwari/GitNexus#43, mastra-ai/mastra#12592 (reasoning); editor-code-assistant/eca#231,
/// Gage-Technologies/mistral-go#2, tashfeenahmed/freellmapi#1070, Kilo-Org/kilocode#10375
/// (members); earendil-works/pi#1047 (roles); simonw/llm#724 (`max_tokens`).
pub(crate) fn advice(words: &str) -> Option<Advice> {
    let words = words.to_lowercase();
    let has = |any: &[&str]| any.iter().any(|one| words.contains(one));
    let thought = THOUGHTS.iter().find(|name| names(&words, name));
    if let Some(field) = thought.filter(|_| has(MISSING)) {
        return Some(Advice::new(
            format!("`Dialect::send_fields([\"{field}\"])` sends it back"),
            format!("--send-field {field} sends it back"),
        ));
    }
    if words.contains("tool_calls") && has(EMPTY_LIST) {
        return Some(Advice::of_library(
            "a `Dialect`, such as `Planner::dialect(Dialect::default())`, leaves an empty list of calls out",
        ));
    }
    if words.contains("developer") && has(NO_SUCH_ROLE) {
        return Some(Advice::new(
            "`Dialect::developer_as_system` sends it as a system message",
            "--developer-as-system sends it as a system message",
        ));
    }
    roles(&words, &has).or_else(|| members(&words, &has, thought.copied()))
}

/// Advice on the order of messages or their roles.
fn roles(words: &str, has: &impl Fn(&[&str]) -> bool) -> Option<Advice> {
    if words.contains("system") && has(ONE_SYSTEM) {
        return Some(Advice::new(
            "`Dialect::single_system` sends one, at the start",
            "--one-system sends one, at the start",
        ));
    }
    let speaks_of_roles = ["role", "user", "assistant"].iter().any(|word| words.contains(word));
    if speaks_of_roles && has(ALTERNATE) {
        return Some(Advice::new(
            "`Dialect::merge_same_role` joins consecutive messages of one role, and `start_on_user` begins with a user message",
            "--merge-roles joins consecutive messages of one role, and --start-on-user begins with a user message",
        ));
    }
    if words.contains("user") && has(USER_FIRST) {
        return Some(Advice::new(
            "`start_on_user` of the builder or the planner begins with a user message",
            "--start-on-user begins with a user message",
        ));
    }
    let has_no_system = words.contains("system") && has(NO_SUCH_ROLE) && words.contains("role")
        || words.contains("only user and assistant roles")
        || words.contains("developer instruction is not enabled");
    has_no_system.then(|| {
        Advice::new(
            "`Dialect::system_as_user` with `merge_same_role` sends it with the first question",
            "--system-as-user --merge-roles sends it with the first question",
        )
    })
}

/// Advice on a member that the server does not know.
fn members(words: &str, has: &impl Fn(&[&str]) -> bool, thought: Option<&str>) -> Option<Advice> {
    if !has(NOT_KNOWN) {
        return None;
    }
    let wants = |name: &str| {
        ["use '", "use `", "use \"", "use "].iter().any(|before| words.contains(&format!("{before}{name}")))
    };
    if wants("max_tokens") || (names(words, "max_completion_tokens") && !wants("max_completion_tokens")) {
        return Some(Advice::new(
            "`Dialect::max_tokens` states it under its older name",
            "--max-tokens states it under its older name",
        ));
    }
    if names(words, "max_tokens") {
        return Some(Advice::new(
            "`max_completion_tokens` is its newer name: leave `max_tokens` and `Dialect::max_tokens` out",
            "leave out --max-tokens and `--param max_tokens`, and use --max-reply, which states it under its newer name",
        ));
    }
    if let Some(field) = thought {
        return Some(Advice::new(
            format!("leave `{field}` out of `Dialect::send_fields`"),
            format!("leave --send-field {field} out; --dialect openai sends no field that is not in the specification"),
        ));
    }
    if names(words, "stream_options") {
        return Some(Advice::new(
            "`.param(\"stream_options\", json!(null))` leaves it out",
            "--param stream_options=null leaves it out",
        ));
    }
    let is_name =
        [".name:", ".name`", ".name'", "'name'", "\"name\"", "`name`"].iter().any(|form| words.contains(form));
    is_name.then(|| Advice::new("`Dialect::omit_names` leaves it out", "--omit-names leaves it out"))
}

/// Whether the words contain a name, not only as part of a longer one.
fn names(words: &str, name: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    words
        .match_indices(name)
        .any(|(at, _)| !words[..at].ends_with(is_of_name) && !words[at + name.len()..].starts_with(is_of_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_names_a_difference_has_its_option() {
        for (words, library, flag) in [
            ("System message must be at the beginning.", "Dialect::single_system", "--one-system"),
            ("Jinja Exception: System message must be at the beginning.", "Dialect::single_system", "--one-system"),
            ("Only user, assistant and tool roles are supported, got system", "Dialect::single_system", "--one-system"),
            (
                "Conversation roles must alternate user/assistant/user/assistant/...",
                "Dialect::merge_same_role",
                "--merge-roles",
            ),
            (
                "After the optional system message, conversation roles must alternate user and assistant",
                "merge_same_role",
                "--merge-roles",
            ),
            (
                "deepseek-reasoner does not support successive user or assistant messages",
                "merge_same_role",
                "--merge-roles",
            ),
            (
                "The `reasoning_content` in the thinking mode must be passed back to the API.",
                "reasoning_content",
                "--send-field reasoning_content",
            ),
            (
                "Missing `reasoning_content` field in the assistant message at message index 2.",
                "send_fields",
                "--send-field reasoning_content",
            ),
            (
                "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2",
                "send_fields",
                "--send-field reasoning_content",
            ),
            (
                "'messages.1' : property 'reasoning_content' is unsupported",
                "leave `reasoning_content`",
                "leave --send-field reasoning_content",
            ),
            (
                "body.messages.1.assistant.reasoning_content: Extra inputs are not permitted",
                "leave",
                "leave --send-field",
            ),
            ("body.max_completion_tokens: Extra inputs are not permitted", "Dialect::max_tokens", "--max-tokens"),
            ("unknown field `max_completion_tokens`", "Dialect::max_tokens", "--max-tokens"),
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                "max_completion_tokens",
                "--max-reply",
            ),
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model.",
                "leave `max_tokens`",
                "leave out --max-tokens and `--param max_tokens`, and use --max-reply",
            ),
            (
                "Unrecognized request argument: max_completion_tokens; use max_tokens",
                "Dialect::max_tokens",
                "--max-tokens",
            ),
            ("body.messages.0.user.name: Extra inputs are not permitted", "omit_names", "--omit-names"),
            ("'messages.0' : property 'name' is unsupported", "omit_names", "--omit-names"),
            (
                "messages[0].role: unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`",
                "developer_as_system",
                "--developer-as-system",
            ),
            ("Only user and assistant roles are supported!", "system_as_user", "--system-as-user"),
            ("System role not supported", "system_as_user", "--system-as-user"),
            (
                "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
                "system_as_user",
                "--system-as-user",
            ),
            ("Developer instruction is not enabled for models/gemma-3-27b-it", "system_as_user", "--system-as-user"),
            ("The first message must be from the user", "start_on_user", "--start-on-user"),
            ("body.stream_options: Extra inputs are not permitted", "stream_options", "--param stream_options=null"),
        ] {
            let advice = advice(words).unwrap_or_else(|| panic!("{words}"));
            assert!(advice.to_string().contains(library), "{words}: {advice}");
            assert!(advice.on_command_line().unwrap().contains(flag), "{words}: {advice:?}");
        }
        let empty =
            advice("Invalid 'messages[1].tool_calls': empty array. Expected an array with minimum length 1").unwrap();
        assert_eq!(empty.on_command_line(), None, "the program sends none");
    }

    #[test]
    fn another_refusal_has_none() {
        for words in [
            "",
            "model 'foo' not found, try pulling it first",
            "Incorrect API key provided",
            "max_tokens is too large: 65536. This model supports at most 16384 completion tokens",
            "`max_completion_tokens` must be less than or equal to `16384`",
            "This model's maximum context length is 128000 tokens.",
            "Unknown name \"foo\": Cannot find field.",
            "Function call is missing a thought_signature in functionCall parts",
            "reasoning_effort: unknown value",
            "The system is overloaded, the first try failed",
        ] {
            assert_eq!(advice(words), None, "{words}");
        }
    }
}
