//! Recognises whole conversations of other programs, and envelopes around a request, by their outer
//! members.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::messages::{ANTHROPIC, GEMINI, LIBRE_CHAT, OASST, OLLAMA, RESPONSES, SHARE_GPT};
use super::{Format, Found};
use crate::transcript::shape::{Object, elements};

/// The sign that identifies a format, in the words of an error.
type Sign = fn(&Object<'_>) -> Option<&'static str>;

const CONVERSATIONS: &[(&Format, Sign)] = &[
    (&CHAT_GPT, |o| {
        let is_export = o.has_any(&["current_node", "create_time", "conversation_id", "default_model_slug"]);
        o.object("mapping").filter(|_| is_export).map(|_| "a `mapping` of messages")
    }),
    (&CLAUDE, |o| o.is_list("chat_messages").then_some("`chat_messages`")),
    (&GEMINI, |o| o.objects("contents").any(|content| content.has("parts")).then_some("`contents` with `parts`")),
    (&AI_STUDIO, |o| o.has("chunkedPrompt").then_some("`chunkedPrompt`")),
    (&RESPONSES_REQUEST, responses_request),
    (&RESPONSES, |o| {
        let is_response = o.is_one_of("object", &["response"]) && o.is_list("output");
        is_response.then_some("the object `response`")
    }),
    (&RESPONSES, |o| {
        let is_list = o.is_one_of("object", &["list"]) && o.objects("data").any(|item| item.has("type"));
        is_list.then_some("the object `list` with items in `data`")
    }),
    (&COMPLETION, |o| {
        let is_answer = o.is_one_of("object", &["chat.completion", "chat.completion.chunk"]);
        (is_answer || first(o, "choices").is_some_and(|choice| choice.has_any(&["message", "delta"])))
            .then_some("`choices`")
    }),
    (&SHARE_GPT, |o| {
        ["conversations", "conversation"]
            .into_iter()
            .find(|key| first(o, key).is_some_and(|said| said.has_all(&["from", "value"])))
    }),
    (&OASST, |o| {
        o.object("prompt")
            .filter(|prompt| prompt.has("replies") || o.has("message_tree_id"))
            .map(|_| "a tree of `replies`")
    }),
    (&LLM, |o| {
        let is_turn = o.has("response") && o.has_any(&["conversation_id", "datetime_utc", "conversation_name"]);
        (is_turn && o.is_text("prompt")).then_some("`prompt` and `response`")
    }),
    (&OPEN_WEB_UI, |o| {
        let chat = o.object("chat");
        let history = chat.as_ref().unwrap_or(o).object("history");
        history.filter(|history| history.object("messages").is_some()).map(|_| "a `history` of messages by id")
    }),
    (&LIBRE_CHAT, |o| {
        let is_export = o.has("conversationId") && first(o, "messages").is_some_and(|m| m.has("messageId"));
        is_export.then_some("messages with a `messageId`")
    }),
    (&SWE_AGENT, |o| (o.is_list("trajectory") && o.is_list("history")).then_some("`trajectory` and `history`")),
    (&TAU_BENCH, |o| o.is_list("traj").then_some("`traj`")),
    (&COPILOT, |o| {
        (o.is_list("requests") && o.has_any(&["responderUsername", "requesterUsername"])).then_some("`requests`")
    }),
    (&CONTINUE, |o| {
        first(o, "history").is_some_and(|said| said.object("message").is_some()).then_some("a `history` of messages")
    }),
    (&GOOSE_HEADER, |o| (o.has_all(&["working_dir", "description"]) && !o.has("messages")).then_some("`working_dir`")),
    (&CODEX_HEADER, |o| {
        (o.has_all(&["id", "timestamp"]) && o.has_any(&["instructions", "git"])).then_some("`timestamp` and `git`")
    }),
    (&COHERE, |o| (o.is_text("message") && o.is_list("chat_history")).then_some("`chat_history`")),
    (&PREFERENCES, |o| o.has_all(&["preferred_output"]).then_some("`preferred_output`")),
    (&PREFERENCES, |o| o.has_all(&["chosen", "rejected"]).then_some("`chosen` and `rejected`")),
    (&BATCH_OUTPUT, |o| (o.has("custom_id") && o.object("response").is_some()).then_some("`custom_id` and `response`")),
    (&INSTRUCTIONS, |o| (o.is_text("instruction") && o.is_text("output")).then_some("`instruction` and `output`")),
    (&INSTRUCTIONS, |o| (o.is_text("prompt") && o.is_text("completion")).then_some("`prompt` and `completion`")),
];

/// Finds the format of an object, or of the first element of an array.
pub(super) fn find<'a>(object: &Object<'a>, at: &'a RawValue, is_element: bool) -> Option<Found<'a>> {
    // A native conversation may have any members beside its messages.
    if object.is_list("messages") && first(object, "messages").is_none_or(|message| message.has("role")) {
        return None;
    }
    let named = CONVERSATIONS.iter().find_map(|(format, sign)| Some(Found::new(format, named(sign(object)?), at)));
    named.or_else(|| envelope(object, at, is_element))
}

/// Finds the format of a request body of another API that has `messages` too.
pub(super) fn in_body<'a>(body: &Object<'a>, at: &'a RawValue) -> Option<Found<'a>> {
    if !body.is_list("messages") {
        return None;
    }
    let of_anthropic = || body.objects("tools").any(|tool| tool.has("input_schema") && !tool.has("function"));
    if of_anthropic() {
        return Some(Found::new(&ANTHROPIC, "tools with an `input_schema`", at));
    }
    if body.objects("tools").any(|tool| tool.has_any(&["functionDeclarations", "function_declarations"])) {
        return Some(Found::new(&GEMINI, "tools with function declarations", at));
    }
    let is_ollama = body.has_any(&["options", "keep_alive"])
        && body.objects("messages").any(|message| message.is_one_of("role", &["tool"]) && message.is_text("tool_name"));
    if is_ollama {
        return Some(Found::new(&OLLAMA, "results with a `tool_name`", at));
    }
    let has_instructions = first(body, "messages").is_some_and(|m| m.is_one_of("role", &["system", "developer"]));
    let is_claude = || body.text("model").is_some_and(|model| model.contains("claude"));
    let is_anthropic = body.is_list("system")
        || body.is_text("system")
            && (is_claude() || body.has_any(&["anthropic_version", "anthropic_beta", "stop_sequences"]));
    (is_anthropic && !has_instructions).then(|| Found::new(&ANTHROPIC, "`system` beside `messages`", at))
}

/// A request inside another object: a line for a batch, a log, a test case of an evaluation.
fn envelope<'a>(object: &Object<'a>, at: &'a RawValue, is_element: bool) -> Option<Found<'a>> {
    const MEMBERS: &[&str] =
        &["body", "request", "input", "prompt", "conversation", "conversations", "chat", "data", "payload", "item"];
    let each = if is_element { ".[]" } else { "" };
    let found = |member: &str, way_out: String| {
        let sign = Cow::Owned(format!("`{member}`"));
        Some(Found { name: "an envelope around a conversation", way_out: way_out.into(), sign, message: None, at })
    };
    MEMBERS.iter().find_map(|member| {
        let inside = object.get(member)?;
        let is_message = |value: Option<Object<'_>>| value.is_some_and(|value| value.has_all(&["role", "content"]));
        if Object::of(inside).is_some_and(|inside| inside.is_list("messages")) {
            return found(member, format!("`jq -c '{each}.{member}'` extracts it"));
        }
        let first = elements(inside).first().and_then(|first| Object::of(first));
        if is_message(first) {
            let pipe = if is_element { ".[] | " } else { "" };
            return found(member, format!("`jq -c '{pipe}{{messages: .{member}}}'` extracts it"));
        }
        None
    })
}

fn responses_request(object: &Object<'_>) -> Option<&'static str> {
    let is_item = object.objects("input").any(|item| item.has_any(&["role", "type"]));
    let is_request = object.has_any(&["model", "instructions", "previous_response_id", "max_output_tokens"]);
    ((is_item || object.is_text("input") && object.has("instructions")) && is_request).then_some("`input`")
}

fn first<'a>(object: &Object<'a>, key: &str) -> Option<Object<'a>> {
    object.objects(key).next()
}

/// Encloses a member's name in backquotes.
fn named(sign: &'static str) -> Cow<'static, str> {
    if sign.contains('`') { Cow::Borrowed(sign) } else { Cow::Owned(format!("`{sign}`")) }
}

const CHAT_GPT: Format = Format {
    name: "an export of ChatGPT",
    way_out: "to convert it, walk from `current_node` up through `parent`, and `author.role` becomes `role`",
};
const CLAUDE: Format = Format {
    name: "an export of Claude",
    way_out: "to convert it, `sender` becomes `role`, and `human` becomes `user`",
};
const AI_STUDIO: Format = Format {
    name: "a prompt of Google AI Studio",
    way_out: "to convert it, each of `chunkedPrompt.chunks` becomes a message",
};
const RESPONSES_REQUEST: Format = Format {
    name: "a request of OpenAI's Responses API",
    way_out: "to convert it, `instructions` becomes the first message, and `input` becomes `messages`",
};
const COMPLETION: Format = Format {
    name: "an answer of a chat-completions server",
    way_out: "a conversation is the request's `messages` followed by `choices[0].message`",
};
const LLM: Format = Format {
    name: "a log of simonw/llm",
    way_out: "to convert it, `prompt` becomes a message with the role `user`, and `response` one with the role `assistant`",
};
const OPEN_WEB_UI: Format = Format {
    name: "an export of Open WebUI",
    way_out: "`jq -c '(if type == \"array\" then .[] else . end) | {messages: [(.chat // .).messages[] | {role, content}]}'` extracts its messages",
};
const SWE_AGENT: Format =
    Format { name: "a trajectory of SWE-agent", way_out: "`jq -c .history` extracts its messages" };
const TAU_BENCH: Format = Format {
    name: "a result of tau-bench",
    way_out: "`jq -c 'if type == \"array\" then .[].traj else .traj end'` extracts its messages",
};
const COPILOT: Format = Format {
    name: "an export of GitHub Copilot's chat",
    way_out: "to convert it, `message.text` of each request becomes a message with the role `user`, and `response` one with the role `assistant`",
};
const CONTINUE: Format =
    Format { name: "a session of Continue", way_out: "`jq -c '[.history[].message]'` extracts its messages" };
const GOOSE_HEADER: Format = Format { name: "a session of goose", way_out: "it is not supported" };
const CODEX_HEADER: Format = Format {
    name: "a session (rollout) of Codex",
    way_out: "its items are those of OpenAI's Responses API, and are not supported",
};
const COHERE: Format = Format {
    name: "a request of Cohere's first chat API",
    way_out: "to convert it, `chat_history` and `message` become `messages`",
};
const PREFERENCES: Format = Format {
    name: "a pair of replies for preference training",
    way_out: "a conversation is the messages before them followed by one of the replies",
};
const BATCH_OUTPUT: Format = Format {
    name: "an answer of the Batch API",
    way_out: "a conversation is the request's `messages` followed by `response.body.choices[0].message`",
};
const INSTRUCTIONS: Format = Format {
    name: "a pair of a prompt and an answer, for training",
    way_out: "to convert it, the first becomes a message with the role `user`, the second one with the role `assistant`",
};
