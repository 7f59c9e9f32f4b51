//! Files of programs that people chat with.

use std::borrow::Cow;

use super::shape::{CONVERT, SHAPE, Shape, first, members, named, part, sign};
use super::{Detected, Format, Likelihood, Sample};
use crate::outline::Object;

pub(super) const CHAT_GPT: Shape = Shape {
    id: "chatgpt",
    name: "an export of ChatGPT",
    way_out: CONVERT,
    whole: |o| {
        let is_export = o.has_any(&["current_node", "create_time", "conversation_id", "default_model_slug"]);
        sign(is_export && o.object("mapping").is_some(), "a `mapping` of messages")
    },
    ..SHAPE
};

pub(super) const CLAUDE: Shape = Shape {
    id: "claude",
    name: "an export of Claude",
    way_out: CONVERT,
    whole: |o| sign(o.is_list("chat_messages"), "`chat_messages`"),
    ..SHAPE
};

pub(super) const AI_STUDIO: Shape = Shape {
    id: "ai-studio",
    name: "a prompt of Google AI Studio",
    way_out: "to convert it, each of `chunkedPrompt.chunks` becomes a message",
    whole: |o| members(o, &["chunkedPrompt"]),
    ..SHAPE
};

pub(super) const LLM: Shape = Shape {
    id: "llm",
    name: "a log of simonw/llm",
    way_out: CONVERT,
    whole: |o| {
        let is_turn = o.has_any(&["conversation_id", "datetime_utc", "conversation_name"]) && o.is_text("prompt");
        if is_turn { members(o, &["prompt", "response"]) } else { None }
    },
    ..SHAPE
};

pub(super) const OPEN_WEB_UI: Shape = Shape {
    id: "open-webui",
    name: "an export of Open WebUI",
    way_out: CONVERT,
    whole: |o| {
        let chat = o.object("chat");
        let history = chat.as_ref().unwrap_or(o).object("history");
        sign(history?.object("messages").is_some(), "a `history` of messages by id")
    },
    // A chat alone has its current path in `messages` too.
    body: |o| {
        let by_id = o.object("history")?.object("messages")?;
        let first = by_id.iter().next().and_then(|(_, message)| Object::of(message));
        sign(first.is_some_and(|first| first.has("childrenIds")), "a `history` of messages by id")
    },
    telling: &["history"],
    ..SHAPE
};

pub(super) const LIBRE_CHAT: Shape = Shape {
    id: "librechat",
    name: "an export of LibreChat",
    way_out: CONVERT,
    message: |m| members(m, &["messageId", "sender"]).or_else(|| members(m, &["messageId", "isCreatedByUser"])),
    whole: |o| {
        let is_export = o.has("conversationId") && first(o, "messages").is_some_and(|m| m.has("messageId"));
        sign(is_export, "messages with a `messageId`")
    },
    telling: &["messageId"],
    ..SHAPE
};

pub(super) const SILLY_TAVERN: Shape = Shape {
    id: "sillytavern",
    name: "a chat of SillyTavern",
    way_out: CONVERT,
    message: |m| members(m, &["mes", "is_user"]).or_else(|| members(m, &["user_name", "character_name"])),
    telling: &["mes"],
    ..SHAPE
};

pub(super) const LM_STUDIO: Shape = Shape {
    id: "lm-studio",
    name: "a conversation of LM Studio",
    way_out: "to convert it, take the version of each message that is selected",
    message: |m| members(m, &["versions", "currentlySelected"]),
    ..SHAPE
};

pub(super) const COPILOT: Shape = Shape {
    id: "copilot",
    name: "an export of GitHub Copilot's chat",
    way_out: "to convert it, `message.text` of each request becomes a message with the role \
              `user`, and `response` one with the role `assistant`",
    whole: |o| {
        let is_export = o.has_any(&["responderUsername", "requesterUsername"]);
        sign(is_export && o.is_list("requests"), "`requests`")
    },
    ..SHAPE
};

pub(super) const CONTINUE: Shape = Shape {
    id: "continue",
    name: "a session of Continue",
    way_out: "`jq -c '[.history[].message]'` extracts its messages",
    whole: |o| sign(first(o, "history")?.object("message").is_some(), "a `history` of messages"),
    ..SHAPE
};

pub(super) const GOOSE: Shape = Shape {
    id: "goose",
    name: "a session of goose",
    way_out: "to convert it, `toolRequest` parts become `tool_calls`, and `toolResponse` parts \
              messages of the role `tool`",
    message: |m| part(m, |part| part.is_one_of("type", &["toolRequest", "toolResponse"])),
    whole: |o| sign(o.has_all(&["working_dir", "description"]) && !o.has("messages"), "`working_dir`"),
    ..SHAPE
};

pub(super) const CLAUDE_CODE: Shape = Shape {
    id: "claude-code",
    name: "a session of Claude Code",
    way_out: CONVERT,
    message: |m| {
        let is_snapshot = m.is_one_of("type", &["file-history-snapshot"]);
        let links = || m.first_of(&["sessionId", "leafUuid", "parentUuid"]);
        let link = if is_snapshot { Some("messageId") } else { links() };
        let link = link.filter(|_| m.is_text("type") && !m.has("role"))?;
        Some(Cow::Owned(format!("`type` and `{link}`")))
    },
    whole: |o| sign(first(o, "loglines")?.has_all(&["type", "message"]), "`loglines`"),
    ..SHAPE
};

pub(super) const CODEX: Shape = Shape {
    id: "codex",
    name: "a session (rollout) of Codex",
    way_out: CONVERT,
    message: |m| members(m, &["type", "payload"]),
    whole: |o| {
        let is_header = o.has_all(&["id", "timestamp"]) && o.has_any(&["instructions", "git"]);
        sign(is_header, "`timestamp` and `git`")
    },
    ..SHAPE
};

pub(super) const CLINE: Shape = Shape {
    id: "cline-window",
    name: "what Cline showed in its window (`ui_messages.json`)",
    way_out: "it is not what was sent to the model, so it is not supported",
    message: |m| members(m, &["ts", "say"]).or_else(|| members(m, &["ts", "ask"])),
    ..SHAPE
};

pub(super) const GEMINI_CLI: Shape = Shape {
    id: "gemini-cli",
    name: "a session of the Gemini CLI",
    way_out: "to convert it, `type` becomes `role`, and `gemini` becomes `assistant`",
    message: |m| {
        let is_message = m.is_one_of("type", &["user", "gemini", "info"]) && m.has_all(&["content", "timestamp"]);
        if is_message && !m.has("role") { named("type", m) } else { None }
    },
    ..SHAPE
};

/// Markdown, and not JSON.
pub(super) const AIDER: Aider = Aider;

pub(super) struct Aider;

impl Format for Aider {
    fn id(&self) -> &'static str {
        "aider"
    }

    fn name(&self) -> &'static str {
        "a chat history of aider in Markdown"
    }

    fn detect(&self, sample: &Sample<'_>) -> Option<Detected> {
        const START: &str = "# aider chat started";
        let text = sample.text().trim_start();
        // Sessions of old versions, and notes of the user, may come before the first such line.
        let likelihood = if text.starts_with(START) {
            Likelihood::Certain
        } else if !text.starts_with(['{', '[']) && text.lines().any(|line| line.starts_with(START)) {
            Likelihood::Likely
        } else {
            return None;
        };
        Some(Detected::new(likelihood, "the line `# aider chat started`", CONVERT))
    }
}
