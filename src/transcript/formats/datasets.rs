//! Data to train or test models with, and conversations inside something else.

use std::borrow::Cow;

use super::sample::Stage;
use super::shape::{CONVERT, SHAPE, Shape, first, members, sign};
use super::{Detected, Format, Likelihood, Sample};
use crate::outline::{Object, elements};

pub(super) const SHARE_GPT: Shape = Shape {
    id: "sharegpt",
    name: "a conversation in the form of ShareGPT",
    way_out: CONVERT,
    message: |m| members(m, &["from", "value"]),
    whole: |o| {
        let has = |key| first(o, key).is_some_and(|said| said.has_all(&["from", "value"]));
        sign(has("conversations"), "`conversations`").or_else(|| sign(has("conversation"), "`conversation`"))
    },
    ..SHAPE
};

pub(super) const OASST: Shape = Shape {
    id: "oasst",
    name: "messages of OpenAssistant",
    way_out: CONVERT,
    message: |m| sign(m.is_one_of("role", &["prompter"]), "the role `prompter`"),
    whole: |o| sign(o.object("prompt")?.has("replies") || o.has("message_tree_id"), "a tree of `replies`"),
    ..SHAPE
};

pub(super) const SWE_AGENT: Shape = Shape {
    id: "swe-agent",
    name: "a trajectory of SWE-agent",
    way_out: CONVERT,
    whole: |o| {
        let of_run = sign(o.is_list("trajectory") && o.is_list("history"), "`trajectory` and `history`");
        // A demonstration has no steps.
        let is_of_agent = || first(o, "history").is_some_and(|first| first.has_all(&["role", "agent"]));
        of_run.or_else(|| sign(is_of_agent(), "a `history` of an `agent`"))
    },
    ..SHAPE
};

pub(super) const TAU_BENCH: Shape = Shape {
    id: "tau-bench",
    name: "a result of tau-bench",
    way_out: CONVERT,
    whole: |o| sign(o.is_list("traj"), "`traj`"),
    ..SHAPE
};

pub(super) const PREFERENCES: Shape = Shape {
    id: "preferences",
    name: "a pair of replies for preference training",
    way_out: CONVERT,
    whole: |o| members(o, &["preferred_output"]).or_else(|| members(o, &["chosen", "rejected"])),
    ..SHAPE
};

pub(super) const INSTRUCTIONS: Shape = Shape {
    id: "instructions",
    name: "a pair of a prompt and an answer, for training",
    way_out: CONVERT,
    whole: |o| {
        let pair = |prompt, answer| o.is_text(prompt) && o.is_text(answer);
        sign(pair("instruction", "output"), "`instruction` and `output`")
            .or_else(|| sign(pair("prompt", "completion"), "`prompt` and `completion`"))
    },
    ..SHAPE
};

/// A message, or a part of it, that says nothing where messages do, and something elsewhere.
pub(super) const ELSEWHERE: Shape = Shape {
    id: "elsewhere",
    name: "a conversation of another program",
    way_out: "to convert it, put the text of each message into `content`, and that of a part into `text`",
    message: |m| {
        let role = m.text("role").unwrap_or_default();
        let speaks = ["user", "system", "developer"].iter().any(|name| role.eq_ignore_ascii_case(name));
        let is_mute = speaks && !m.has("content");
        let place = m.first_of(&["text", "message", "value", "body", "parts", "blocks", "segments"]);
        let place = place.filter(|_| is_mute).map(|place| Cow::Owned(format!("`{place}` in the place of `content`")));
        let is_mute = |part: &Object<'_>| part.is_one_of("type", &["text"]) && !part.is_text("text");
        let mut mute_parts = m.objects("content").filter(is_mute);
        place.or_else(|| {
            let elsewhere = mute_parts.find_map(|part| part.first_of(&["value", "content"]))?;
            Some(Cow::Owned(format!("a part with `{elsewhere}` in the place of `text`")))
        })
    },
    likelihood: Likelihood::Possible,
    ..SHAPE
};

/// A request inside something: a line for a batch, a log, a case of an evaluation.
pub(super) struct Envelope;

const MEMBERS: &[&str] =
    &["body", "request", "input", "prompt", "conversation", "conversations", "chat", "data", "payload", "item"];

impl Format for Envelope {
    fn id(&self) -> &'static str {
        "envelope"
    }

    fn name(&self) -> &'static str {
        "an envelope around a conversation"
    }

    fn detect(&self, sample: &Sample<'_>) -> Option<Detected> {
        let at = sample.conversation()?;
        let member = MEMBERS.iter().find(|member| holds_messages(&at.object, member))?;
        let found = Detected::new(Likelihood::Possible, format!("`{member}`"), CONVERT);
        Some(Detected { stage: Stage::Whole, byte: at.byte, ..found })
    }
}

/// Whether a member holds a body, or messages.
fn holds_messages(object: &Object<'_>, member: &str) -> bool {
    let Some(inside) = object.get(member) else { return false };
    let is_body = Object::of(inside).is_some_and(|inside| inside.is_list("messages"));
    let first = elements(inside).first().and_then(|first| Object::of(first));
    is_body || first.is_some_and(|first| first.has_all(&["role", "content"]))
}
