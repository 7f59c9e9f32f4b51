//! Recognises messages of other APIs, each on its own.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Format, Found};
use crate::transcript::shape::Object;

/// The sign that identifies a message, in the words of an error.
type Sign = fn(&Object<'_>) -> Option<Cow<'static, str>>;

/// The most specific signs first.
const MESSAGES: &[(&Format, Sign)] = &[
    (&ANTHROPIC, anthropic),
    (&BEDROCK, bedrock),
    (&MODEL_MESSAGES, model_messages),
    (&GOOSE, |m| part(m, |p| p.is_one_of("type", &["toolRequest", "toolResponse"]))),
    (&THREAD, |m| m.is_one_of("object", &["thread.message"]).then_some(Cow::Borrowed("the object `thread.message`"))),
    (&RESPONSES, responses),
    (&LANGCHAIN, langchain),
    (&UI_MESSAGES, ui_messages),
    (&GEMINI, gemini),
    (&LLAMA_INDEX, |m| first(m, "blocks")?.has("block_type").then_some(Cow::Borrowed("`blocks` with a `block_type`"))),
    (&SHARE_GPT, |m| members(m, &["from", "value"])),
    (&OASST, |m| m.is_one_of("role", &["prompter"]).then_some(Cow::Borrowed("the role `prompter`"))),
    (&LIBRE_CHAT, |m| members(m, &["messageId", "sender"]).or_else(|| members(m, &["messageId", "isCreatedByUser"]))),
    (&SILLY_TAVERN, |m| members(m, &["mes", "is_user"]).or_else(|| members(m, &["user_name", "character_name"]))),
    (&LM_STUDIO, |m| members(m, &["versions", "currentlySelected"])),
    (&CLAUDE_CODE, claude_code),
    (&CODEX, |m| members(m, &["type", "payload"])),
    (&CLINE, |m| members(m, &["ts", "say"]).or_else(|| members(m, &["ts", "ask"]))),
    (&GEMINI_CLI, gemini_cli),
    (&PYDANTIC_AI, |m| first(m, "parts")?.has("part_kind").then_some(Cow::Borrowed("`parts` with a `part_kind`"))),
    (&AUTO_GEN, auto_gen),
    (&AGENT_LOG, agent_log),
    (&OLLAMA, |m| has_images_beside_text(m).then_some(Cow::Borrowed("a list of texts in `images`"))),
    (&ELSEWHERE, elsewhere),
];

/// The format of a message, if it belongs to another API.
pub(super) fn find(message: &RawValue) -> Option<Found<'_>> {
    let object = Object::of(message)?;
    MESSAGES.iter().find_map(|(format, sign)| Some(Found::new(format, sign(&object)?, message)))
}

/// Finds messages whose roles are another library's names for the user and the model. If the usual
/// role occurs beside it, such a role is taken as an unknown one.
pub(super) fn by_roles<'a>(list: &[&'a RawValue]) -> Option<Found<'a>> {
    const NAMES: &[(&Format, &str, &str, &str)] = &[
        (&LANGCHAIN, "human", "user", "the role `human`"),
        (&LANGCHAIN, "ai", "assistant", "the role `ai`"),
        (&GEMINI, "model", "assistant", "the role `model`"),
    ];
    let roles: Vec<Cow<'a, str>> =
        list.iter().map(|message| Object::of(message).and_then(|m| m.text("role")).unwrap_or_default()).collect();
    let has = |role: &str| roles.iter().any(|known| known == role);
    let (format, name, _, sign) = NAMES.iter().find(|(_, name, known, _)| has(name) && !has(known))?;
    let index = roles.iter().position(|role| role == name)?;
    Some(Found { message: Some(index), ..Found::new(format, *sign, list[index]) })
}

fn anthropic(message: &Object<'_>) -> Option<Cow<'static, str>> {
    if message.is_one_of("type", &["message"]) && message.has("stop_reason") {
        return Some(Cow::Borrowed("the type `message` with a `stop_reason`"));
    }
    part(message, |part| {
        let is_source =
            |kind: &str| part.is_one_of("type", &[kind]) && part.object("source").is_some_and(|s| s.has("type"));
        part.is_one_of("type", &["tool_use", "tool_result", "server_tool_use", "mcp_tool_use", "mcp_tool_result"])
            || part.is_one_of("type", &["web_search_tool_result", "code_execution_tool_result", "redacted_thinking"])
            || part.is_one_of("type", &["thinking"]) && part.is_text("thinking") && part.is_text("signature")
            || is_source("image")
            || is_source("document")
    })
}

fn bedrock(message: &Object<'_>) -> Option<Cow<'static, str>> {
    let is_part = |part: Object<'_>| {
        !part.has("type") && part.first_of(&["toolUse", "toolResult", "text", "image", "document"]).is_some()
    };
    message.objects("content").any(is_part).then_some(Cow::Borrowed("parts of content without a `type`"))
}

fn model_messages(message: &Object<'_>) -> Option<Cow<'static, str>> {
    part(message, |part| part.is_one_of("type", &["tool-call", "tool-result"]) && part.has("toolCallId"))
}

fn responses(message: &Object<'_>) -> Option<Cow<'static, str>> {
    const ITEMS: &[&str] = &[
        "function_call",
        "function_call_output",
        "reasoning",
        "custom_tool_call",
        "custom_tool_call_output",
        "compaction",
        "item_reference",
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "computer_call",
        "computer_call_output",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_call",
        "mcp_list_tools",
    ];
    let item = message.text("type").filter(|kind| !message.has("role") && ITEMS.contains(&&**kind));
    let item = item.map(|kind| Cow::Owned(format!("the type `{kind}`")));
    item.or_else(|| {
        part(message, |part| part.is_one_of("type", &["input_text", "output_text", "summary_text", "input_image"]))
    })
}

fn langchain(message: &Object<'_>) -> Option<Cow<'static, str>> {
    const TYPES: &[&str] =
        &["human", "ai", "system", "tool", "function", "chat", "remove", "HumanMessage", "AIMessage"];
    const STATED: &[&str] = &["human", "ai", "AIMessageChunk"];
    if message.has_all(&["lc", "kwargs"]) {
        return members(message, &["lc", "kwargs"]);
    }
    let is_dict = message.is_one_of("type", TYPES) && message.object("data").is_some();
    let is_flat = message.is_one_of("type", STATED) && message.has("content") && !message.has("role");
    if is_dict { members(message, &["type", "data"]) } else { is_flat.then(|| named("type", message)).flatten() }
}

fn ui_messages(message: &Object<'_>) -> Option<Cow<'static, str>> {
    const KINDS: &[&str] = &[
        "text",
        "reasoning",
        "file",
        "source",
        "source-url",
        "source-document",
        "step-start",
        "dynamic-tool",
        "tool-invocation",
    ];
    let is_part = |part: Object<'_>| {
        let kind = part.text("type").unwrap_or_default();
        KINDS.contains(&&*kind) || kind.starts_with("tool-") || kind.starts_with("data-")
    };
    let has_parts = message.has("role") && message.objects("parts").any(is_part);
    let sign =
        if has_parts { Some("`parts`") } else { message.is_list("toolInvocations").then_some("`toolInvocations`") };
    sign.map(Cow::Borrowed)
}

fn gemini(message: &Object<'_>) -> Option<Cow<'static, str>> {
    const HELD: &[&str] = &[
        "text",
        "inlineData",
        "inline_data",
        "fileData",
        "file_data",
        "functionCall",
        "function_call",
        "functionResponse",
        "function_response",
        "executableCode",
        "executable_code",
    ];
    let is_part = |part: Object<'_>| !part.has_any(&["type", "part_kind"]) && part.has_any(HELD);
    let is_text = || message.list("parts").first().is_some_and(|part| part.get().starts_with('"'));
    let has_parts = !message.has("content") && (message.objects("parts").any(is_part) || is_text());
    has_parts.then_some(Cow::Borrowed("`parts` in the place of `content`"))
}

fn claude_code(message: &Object<'_>) -> Option<Cow<'static, str>> {
    const LINKS: &[&str] = &["sessionId", "leafUuid", "parentUuid"];
    let is_snapshot = message.is_one_of("type", &["file-history-snapshot"]);
    let link = if is_snapshot { Some("messageId") } else { message.first_of(LINKS) };
    let link = link.filter(|_| message.is_text("type") && !message.has("role"))?;
    Some(Cow::Owned(format!("`type` and `{link}`")))
}

fn gemini_cli(message: &Object<'_>) -> Option<Cow<'static, str>> {
    let is_message =
        message.is_one_of("type", &["user", "gemini", "info"]) && message.has_all(&["content", "timestamp"]);
    (is_message && !message.has("role")).then(|| named("type", message)).flatten()
}

fn auto_gen(message: &Object<'_>) -> Option<Cow<'static, str>> {
    let kind = message.text("type").filter(|kind| kind.ends_with("Message") || kind.ends_with("Event"));
    kind.and_then(|_| members(message, &["source", "content"]))
}

/// An event of an agent's run; only some events are messages.
fn agent_log(message: &Object<'_>) -> Option<Cow<'static, str>> {
    let is_event = message.is_text("role") && message.is_text("kind");
    if !is_event {
        return None;
    }
    let is_agent = message.is_one_of("role", &["agent"]);
    members(message, &["kind", "raw"]).or_else(|| is_agent.then_some(Cow::Borrowed("the role `agent` and a `kind`")))
}

/// Whether a message has images in base64 beside its text. In replies of other servers, `images`
/// holds objects.
fn has_images_beside_text(message: &Object<'_>) -> bool {
    let images = message.list("images");
    message.has("role")
        && !message.is_list("content")
        && !images.is_empty()
        && images.iter().all(|image| image.get().starts_with('"'))
}

/// A message without `content`, whose text is in another member.
fn elsewhere(message: &Object<'_>) -> Option<Cow<'static, str>> {
    let is_mute = message.is_one_of("role", &["user", "system", "developer"]) && !message.has("content");
    let place = message.first_of(&["text", "message", "value", "body", "parts", "blocks", "segments"]);
    place.filter(|_| is_mute).map(|place| Cow::Owned(format!("`{place}` in the place of `content`")))
}

/// The kind of the first part of the content for which `is_meant` holds.
fn part(message: &Object<'_>, is_meant: impl Fn(&Object<'_>) -> bool) -> Option<Cow<'static, str>> {
    let kind = message.objects("content").find(|part| is_meant(part))?.text("type")?.into_owned();
    Some(Cow::Owned(format!("a part of the type `{kind}`")))
}

/// The first element of a list that is an object.
fn first<'a>(message: &Object<'a>, key: &str) -> Option<Object<'a>> {
    message.objects(key).next()
}

/// Names these members, if all of them exist.
fn members(message: &Object<'_>, keys: &[&str]) -> Option<Cow<'static, str>> {
    let all = || keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and ");
    message.has_all(keys).then(|| Cow::Owned(all()))
}

/// A member with its value, which is a text of a fixed list.
fn named(key: &str, message: &Object<'_>) -> Option<Cow<'static, str>> {
    Some(Cow::Owned(format!("the {key} `{}`", message.text(key)?)))
}

pub(super) const ANTHROPIC: Format = Format {
    name: "a conversation of Anthropic's Messages API",
    way_out: "to convert it, `system` becomes the first message, `tool_use` parts become `tool_calls`, and `tool_result` parts messages of the role `tool`",
};
const BEDROCK: Format = Format {
    name: "a conversation of Amazon Bedrock's Converse API",
    way_out: "to convert it, `toolUse` parts become `tool_calls`, and `toolResult` parts messages of the role `tool`",
};
const MODEL_MESSAGES: Format = Format {
    name: "a conversation in the model messages of the Vercel AI SDK",
    way_out: "to convert it, `tool-call` parts become `tool_calls`, and `tool-result` parts messages of the role `tool`",
};
const UI_MESSAGES: Format = Format {
    name: "a conversation in the UI messages of the Vercel AI SDK",
    way_out: "to convert it, the text of `parts` becomes `content`, and each tool part a call and its result",
};
const GOOSE: Format = Format {
    name: "a session of goose",
    way_out: "to convert it, `toolRequest` parts become `tool_calls`, and `toolResponse` parts messages of the role `tool`",
};
const THREAD: Format = Format {
    name: "a thread of OpenAI's Assistants API",
    way_out: "to convert it, `content[].text.value` becomes `content`",
};
pub(super) const RESPONSES: Format = Format {
    name: "a list of items of OpenAI's Responses or Conversations API",
    way_out: "to convert it, `function_call` items become `tool_calls` of an assistant message, and their outputs messages of the role `tool`",
};
const LANGCHAIN: Format = Format {
    name: "a conversation of LangChain",
    way_out: "`convert_to_openai_messages` of `langchain_core.messages` converts it",
};
pub(super) const GEMINI: Format = Format {
    name: "a conversation of the Gemini API",
    way_out: "to convert it, `contents` becomes `messages`, the text of `parts` becomes `content`, and the role `model` becomes `assistant`",
};
const LLAMA_INDEX: Format =
    Format { name: "a conversation of LlamaIndex", way_out: "to convert it, the text of `blocks` becomes `content`" };
pub(super) const SHARE_GPT: Format = Format {
    name: "a conversation in the form of ShareGPT",
    way_out: "where it has no tools, `jq -c '(if type == \"array\" then .[] else . end) | {messages: [.conversations[] | {role: ({human: \"user\", gpt: \"assistant\"}[.from] // .from), content: .value}]}'` converts it",
};
pub(super) const OASST: Format = Format {
    name: "messages of OpenAssistant",
    way_out: "to convert it, choose one reply of each message, and `prompter` becomes `user`, `text` becomes `content`",
};
pub(super) const LIBRE_CHAT: Format = Format {
    name: "an export of LibreChat",
    way_out: "to convert it, follow `parentMessageId`, and `text` becomes `content`",
};
const SILLY_TAVERN: Format = Format {
    name: "a chat of SillyTavern",
    way_out: "to convert it, `mes` becomes `content`, and `is_user` states the role",
};
const LM_STUDIO: Format = Format {
    name: "a conversation of LM Studio",
    way_out: "to convert it, take the version of each message that is selected",
};
const CLAUDE_CODE: Format = Format {
    name: "a session of Claude Code",
    way_out: "its messages are those of Anthropic's Messages API, and are not supported",
};
const CODEX: Format = Format {
    name: "a session (rollout) of Codex",
    way_out: "its items are those of OpenAI's Responses API, and are not supported",
};
const CLINE: Format = Format {
    name: "what Cline showed in its window (`ui_messages.json`)",
    way_out: "it is not what was sent to the model, so it is not supported",
};
const GEMINI_CLI: Format = Format {
    name: "a session of the Gemini CLI",
    way_out: "to convert it, `type` becomes `role`, and `gemini` becomes `assistant`",
};
const PYDANTIC_AI: Format =
    Format { name: "a history of Pydantic AI", way_out: "to convert it, each part becomes a message of its own" };
const AUTO_GEN: Format = Format {
    name: "messages of AutoGen",
    way_out: "to convert it, `source` becomes `name`, with the role `user` or `assistant`",
};
const AGENT_LOG: Format = Format {
    name: "a log of the events of an agent",
    way_out: "to convert it, take the events that are messages, with the roles `user`, `assistant` and `tool`",
};
pub(super) const OLLAMA: Format = Format {
    name: "a conversation of Ollama's own API (`/api/chat`)",
    way_out: "to convert it, each of `images` becomes a part of the type `image_url` with `data:image/png;base64,` before it, and results have a `tool_call_id`",
};
const ELSEWHERE: Format = Format {
    name: "a conversation of another program",
    way_out: "to convert it, put the text of each message into `content`",
};
