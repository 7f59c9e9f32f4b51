//! Messages as libraries for programs store them.

use super::shape::{CONVERT, SHAPE, Shape, Sign, first, members, named, part, sign};
use crate::outline::Object;

pub(super) const MODEL_MESSAGES: Shape = Shape {
    id: "model-messages",
    name: "a conversation in the model messages of the Vercel AI SDK",
    way_out: CONVERT,
    message: |m| part(m, |part| part.is_one_of("type", &["tool-call", "tool-result"]) && part.has("toolCallId")),
    ..SHAPE
};

pub(super) const UI_MESSAGES: Shape = Shape {
    id: "ui-messages",
    name: "a conversation in the UI messages of the Vercel AI SDK",
    way_out: CONVERT,
    message: ui_messages,
    telling: &["parts", "toolInvocations"],
    ..SHAPE
};

fn ui_messages(message: &Object<'_>) -> Sign {
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
    sign(has_parts, "`parts`").or_else(|| sign(message.is_list("toolInvocations"), "`toolInvocations`"))
}

pub(super) const LANGCHAIN: Shape = Shape {
    id: "langchain",
    name: "a conversation of LangChain",
    way_out: CONVERT,
    message: langchain,
    roles: &[("human", "user"), ("ai", "assistant")],
    telling: &["type", "lc"],
    ..SHAPE
};

fn langchain(message: &Object<'_>) -> Sign {
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

pub(super) const LLAMA_INDEX: Shape = Shape {
    id: "llama-index",
    name: "a conversation of LlamaIndex",
    way_out: "to convert it, the text of `blocks` becomes `content`",
    message: |m| sign(first(m, "blocks")?.has("block_type"), "`blocks` with a `block_type`"),
    ..SHAPE
};

pub(super) const PYDANTIC_AI: Shape = Shape {
    id: "pydantic-ai",
    name: "a history of Pydantic AI",
    way_out: "to convert it, each part becomes a message of its own",
    message: |m| sign(first(m, "parts")?.has("part_kind"), "`parts` with a `part_kind`"),
    telling: &["kind", "parts"],
    ..SHAPE
};

pub(super) const AUTO_GEN: Shape = Shape {
    id: "autogen",
    name: "messages of AutoGen",
    way_out: "to convert it, `source` becomes `name`, with the role `user` or `assistant`",
    message: |m| {
        let kind = m.text("type").filter(|kind| kind.ends_with("Message") || kind.ends_with("Event"));
        kind.and_then(|_| members(m, &["source", "content"]))
    },
    telling: &["type"],
    ..SHAPE
};

/// Only some of its events are messages.
pub(super) const AGENT_LOG: Shape = Shape {
    id: "agent-log",
    name: "a log of the events of an agent",
    way_out: "to convert it, take the events that are messages, with the roles `user`, \
              `assistant` and `tool`",
    message: |m| {
        let is_event = m.is_text("role") && m.is_text("kind");
        let is_agents = || sign(m.is_one_of("role", &["agent"]), "the role `agent` and a `kind`");
        if is_event { members(m, &["kind", "raw"]).or_else(is_agents) } else { None }
    },
    telling: &["kind"],
    ..SHAPE
};
