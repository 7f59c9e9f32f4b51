//! Requests, answers and lists of other APIs.

use std::borrow::Cow;

use super::shape::{CONVERT, SHAPE, Shape, Sign, first, members, part, sign};
use crate::outline::Object;

pub(super) const ANTHROPIC: Shape = Shape {
    id: "anthropic",
    name: "a conversation of Anthropic's Messages API",
    way_out: CONVERT,
    message: anthropic,
    body: anthropic_body,
    telling: &["type", "system", "thinking"],
    ..SHAPE
};

fn anthropic(message: &Object<'_>) -> Sign {
    const PARTS: &[&str] = &[
        "tool_use",
        "tool_result",
        "server_tool_use",
        "mcp_tool_use",
        "mcp_tool_result",
        "web_search_tool_result",
        "code_execution_tool_result",
        "redacted_thinking",
    ];
    if message.is_one_of("type", &["message"]) && message.has("stop_reason") {
        return Some(Cow::Borrowed("the type `message` with a `stop_reason`"));
    }
    part(message, |part| {
        let has_source = || part.object("source").is_some_and(|source| source.has("type"));
        part.is_one_of("type", PARTS)
            || part.is_one_of("type", &["thinking"]) && part.is_text("thinking") && part.is_text("signature")
            || part.is_one_of("type", &["image", "document"]) && has_source()
    })
}

fn anthropic_body(body: &Object<'_>) -> Sign {
    if body.objects("tools").any(|tool| tool.has("input_schema") && !tool.has("function")) {
        return Some(Cow::Borrowed("tools with an `input_schema`"));
    }
    if body.object("thinking").is_some_and(|thinking| thinking.has("budget_tokens")) {
        return Some(Cow::Borrowed("`thinking` with a budget"));
    }
    let has_instructions = first(body, "messages").is_some_and(|m| m.is_one_of("role", &["system", "developer"]));
    let is_claude = || body.text("model").is_some_and(|model| model.contains("claude"));
    let is_anthropic = body.is_list("system")
        || body.is_text("system")
            && (is_claude() || body.has_any(&["anthropic_version", "anthropic_beta", "stop_sequences"]));
    sign(is_anthropic && !has_instructions, "`system` beside `messages`")
}

pub(super) const BEDROCK: Shape = Shape {
    id: "bedrock",
    name: "a conversation of Amazon Bedrock's Converse API",
    way_out: "to convert it, `toolUse` parts become `tool_calls`, and `toolResult` parts \
              messages of the role `tool`",
    message: |m| {
        const KINDS: &[&str] = &["toolUse", "toolResult", "text", "image", "document"];
        let is_part = |part: Object<'_>| !part.has("type") && part.has_any(KINDS);
        sign(m.objects("content").any(is_part), "parts of content without a `type`")
    },
    ..SHAPE
};

pub(super) const THREAD: Shape = Shape {
    id: "thread",
    name: "a thread of OpenAI's Assistants API",
    way_out: "to convert it, `content[].text.value` becomes `content`",
    message: |m| sign(m.is_one_of("object", &["thread.message"]), "the object `thread.message`"),
    telling: &["object"],
    ..SHAPE
};

pub(super) const RESPONSES: Shape = Shape {
    id: "responses",
    name: "a list of items of OpenAI's Responses or Conversations API",
    way_out: CONVERT,
    message: responses,
    whole: |o| {
        let is_answer = o.is_one_of("object", &["response"]) && o.is_list("output");
        let is_list = o.is_one_of("object", &["list"]) && o.objects("data").any(|item| item.has("type"));
        sign(is_answer, "the object `response`").or(sign(is_list, "the object `list` with items in `data`"))
    },
    telling: &["type", "object"],
    ..SHAPE
};

fn responses(message: &Object<'_>) -> Sign {
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

pub(super) const RESPONSES_REQUEST: Shape = Shape {
    id: "responses-request",
    name: "a request of OpenAI's Responses API",
    way_out: CONVERT,
    whole: |o| {
        let is_item = o.objects("input").any(|item| item.has_any(&["role", "type"]));
        let is_request = o.has_any(&["model", "instructions", "previous_response_id", "max_output_tokens"]);
        sign((is_item || o.is_text("input") && o.has("instructions")) && is_request, "`input`")
    },
    ..SHAPE
};

pub(super) const GEMINI: Shape = Shape {
    id: "gemini",
    name: "a conversation of the Gemini API",
    way_out: CONVERT,
    message: gemini,
    whole: |o| sign(o.objects("contents").any(|content| content.has("parts")), "`contents` with `parts`"),
    body: |o| {
        let declares = |tool: Object<'_>| tool.has_any(&["functionDeclarations", "function_declarations"]);
        sign(o.objects("tools").any(declares), "tools with function declarations")
    },
    roles: &[("model", "assistant")],
    telling: &["parts"],
    ..SHAPE
};

fn gemini(message: &Object<'_>) -> Sign {
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
    sign(has_parts, "`parts` in the place of `content`")
}

pub(super) const OLLAMA: Shape = Shape {
    id: "ollama",
    name: "a conversation of Ollama's own API (`/api/chat`)",
    way_out: "to convert it, each of `images` becomes a part of the type `image_url` with \
              `data:image/png;base64,` before it, and results have a `tool_call_id`",
    message: |m| {
        // Replies of other servers have `images` that are objects.
        let images = m.list("images");
        let are_texts = !images.is_empty() && images.iter().all(|image| image.get().starts_with('"'));
        sign(m.has("role") && !m.is_list("content") && are_texts, "a list of texts in `images`")
    },
    body: |o| {
        let is_result = |m: Object<'_>| m.is_one_of("role", &["tool"]) && m.is_text("tool_name");
        let is_own = o.has_any(&["options", "keep_alive"]);
        sign(is_own && o.objects("messages").any(is_result), "results with a `tool_name`")
    },
    telling: &["images", "options", "keep_alive"],
    ..SHAPE
};

pub(super) const COHERE: Shape = Shape {
    id: "cohere",
    name: "a request of Cohere's first chat API",
    way_out: "to convert it, `chat_history` and `message` become `messages`",
    whole: |o| sign(o.is_text("message") && o.is_list("chat_history"), "`chat_history`"),
    ..SHAPE
};

pub(super) const COMPLETION: Shape = Shape {
    id: "completion",
    name: "an answer of a chat-completions server",
    way_out: CONVERT,
    whole: |o| {
        let is_answer = o.is_one_of("object", &["chat.completion", "chat.completion.chunk"]);
        let has_choice = || first(o, "choices").is_some_and(|choice| choice.has_any(&["message", "delta"]));
        sign(is_answer || has_choice(), "`choices`")
    },
    ..SHAPE
};

pub(super) const BATCH_OUTPUT: Shape = Shape {
    id: "batch-output",
    name: "an answer of the Batch API",
    way_out: CONVERT,
    whole: |o| o.object("response").and_then(|_| members(o, &["custom_id", "response"])),
    ..SHAPE
};
